//! Two runs side by side.

use super::runs::RunInfo;
use super::source::Source;
use crate::{Json, Result, Value, Workspace};

/// What two runs have under one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// The name: nested keys are joined by dots.
    pub name: String,
    /// What the left run has; none if nothing.
    pub left: Option<Json>,
    /// What the right run has; none if nothing.
    pub right: Option<Json>,
}

impl Pair {
    /// Returns true if both have the same. NaN is NaN, and 1 is 1.0.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        match (&self.left, &self.right) {
            (Some(left), Some(right)) => is_same(left, right),
            (left, right) => left.is_none() && right.is_none(),
        }
    }
}

/// Two runs side by side: everything that either has, in the order of the left one.
#[derive(Debug, Clone, PartialEq)]
pub struct RunDiff {
    /// Where the code comes from, and what ran it: `commit`, `branch`, `remote`, `dirty`, `program`, `runtime`, `host`.
    pub source: Vec<Pair>,
    /// Config.
    pub config: Vec<Pair>,
    /// Summary.
    pub summary: Vec<Pair>,
    /// Packages: name and version.
    pub packages: Vec<Pair>,
}

impl RunDiff {
    /// Returns what there is under each heading.
    #[must_use]
    pub fn sections(&self) -> [(&'static str, &[Pair]); 4] {
        let RunDiff { source, config, summary, packages } = self;
        [("source", source), ("config", config), ("summary", summary), ("packages", packages)]
    }

    /// Leaves out what both runs have alike.
    pub fn leave_out_equal(&mut self) {
        let RunDiff { source, config, summary, packages } = self;
        [source, config, summary, packages].into_iter().for_each(|pairs| pairs.retain(|pair| !pair.is_equal()));
    }
}

impl Workspace {
    /// Puts two runs side by side.
    ///
    /// # Errors
    /// If one of them cannot be read.
    pub fn diff(&self, left: &RunInfo, right: &RunInfo) -> Result<RunDiff> {
        let sources = [self.source(left)?, self.source(right)?];
        let [of_left, of_right] = &sources;
        Ok(RunDiff {
            source: pairs(origin(left, of_left), origin(right, of_right)),
            config: pairs(flat(&left.config), flat(&right.config)),
            summary: pairs(values(&left.summary), values(&right.summary)),
            packages: pairs(versions(of_left), versions(of_right)),
        })
    }
}

fn origin(run: &RunInfo, source: &Source) -> Vec<(String, Json)> {
    let text = |name: &str, text: &str| (!text.is_empty()).then(|| (name.to_owned(), Json::Text(text.to_owned())));
    let all = [
        text("commit", &source.commit),
        text("branch", &source.branch),
        text("remote", &source.remote),
        source.dirty.map(|dirty| ("dirty".to_owned(), Json::Bool(dirty))),
        text("program", &run.program),
        text("runtime", &run.runtime),
        text("host", &run.host),
    ];
    all.into_iter().flatten().collect()
}

fn values(summary: &[(String, Value)]) -> Vec<(String, Json)> {
    summary.iter().map(|(name, value)| (name.clone(), Json::from(value.clone()))).collect()
}

fn versions(source: &Source) -> Vec<(String, Json)> {
    source.packages.iter().map(|(name, version)| (name.clone(), Json::Text(version.clone()))).collect()
}

/// Returns the members of nested maps under dotted names; an empty map is a value.
fn flat(config: &Json) -> Vec<(String, Json)> {
    fn walk(prefix: &str, value: &Json, out: &mut Vec<(String, Json)>) {
        match value {
            Json::Map(members) if !members.is_empty() || prefix.is_empty() => {
                for (name, member) in members {
                    let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                    walk(&name, member, out);
                }
            }
            value => out.push((prefix.to_owned(), value.clone())),
        }
    }
    let mut out = Vec::new();
    walk("", config, &mut out);
    out
}

/// Joins by name: what the left one has in its order, then what the right one alone has.
fn pairs(left: Vec<(String, Json)>, right: Vec<(String, Json)>) -> Vec<Pair> {
    let mut of_right: std::collections::HashMap<&str, &Json> =
        right.iter().map(|(name, value)| (name.as_str(), value)).collect();
    let mut joined: Vec<Pair> = Vec::new();
    for (name, value) in left {
        let right = of_right.remove(name.as_str()).cloned();
        joined.push(Pair { name, left: Some(value), right });
    }
    for (name, value) in &right {
        if of_right.remove(name.as_str()).is_some() {
            joined.push(Pair { name: name.clone(), left: None, right: Some(value.clone()) });
        }
    }
    joined
}

fn is_same(left: &Json, right: &Json) -> bool {
    match (left, right) {
        (Json::Float(left), Json::Float(right)) => left == right || (left.is_nan() && right.is_nan()),
        // An integer that a float cannot hold equals none.
        (Json::Int(int), Json::Float(float)) | (Json::Float(float), Json::Int(int)) => {
            *int as f64 == *float && (*int as f64) as i128 == i128::from(*int)
        }
        (Json::List(left), Json::List(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| is_same(left, right))
        }
        (Json::Map(left), Json::Map(right)) => {
            let same = |(name, value): &(String, Json)| {
                right.iter().any(|(other, of_right)| other == name && is_same(value, of_right))
            };
            left.len() == right.len() && left.iter().all(same)
        }
        (left, right) => left == right,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn nested_values_stand_side_by_side_by_dotted_name() {
        let left = json!({"opt": {"lr": 0.1, "betas": [0.9, 0.99]}, "empty": {}, "gone": null, "n": 1});
        let right = json!({"n": 1.0, "opt": {"betas": [0.9, 0.999], "lr": 0.1, "wd": 0}, "empty": {}});
        let all = pairs(flat(&left), flat(&right));
        let names: Vec<&str> = all.iter().map(|pair| pair.name.as_str()).collect();
        assert_eq!(names, ["opt.lr", "opt.betas", "empty", "gone", "n", "opt.wd"]);
        let different: Vec<&str> = all.iter().filter(|pair| !pair.is_equal()).map(|pair| pair.name.as_str()).collect();
        assert_eq!(different, ["opt.betas", "gone", "opt.wd"]);
        assert_eq!((&all[3].left, &all[3].right), (&Some(Json::Null), &None));
    }

    #[test]
    fn numbers_are_compared_as_numbers_and_exactly() {
        let same = |left: Json, right: Json| is_same(&left, &right);
        assert!(same(json!(f64::NAN), json!(f64::NAN)) && same(json!(0.0), json!(-0.0)) && same(json!(2), json!(2.0)));
        assert!(!same(json!(9_007_199_254_740_993_i64), json!(9_007_199_254_740_992.0)));
        assert!(!same(json!(1), json!(true)) && !same(json!(1), json!("1")) && !same(json!(0.1), json!(0.2)));
        assert!(same(json!({"a": 1, "b": [1.0]}), json!({"b": [1], "a": 1})));
        assert!(!same(json!({"a": 1}), json!({"a": 1, "b": 2})));
    }
}
