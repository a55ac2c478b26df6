//! The names of fields, as they are typed in filters and sort keys.

use std::fmt;

use super::{lex, parse, quote};

/// A field of a run that can be filtered and sorted by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// The run id.
    Id,
    /// The name of the run.
    Name,
    /// The project it belongs to.
    Project,
    /// `running`, `finished`, `failed`, `crashed` or `killed`.
    State,
    /// The group of runs it belongs to.
    Group,
    /// What it does in its group.
    JobType,
    /// Free text of the user.
    Notes,
    /// When it began.
    Created,
    /// When it ended.
    Finished,
    /// How long it took, in seconds.
    Duration,
    /// A list of texts.
    Tags,
    /// A list of texts.
    Labels,
    /// A parameter, by its keys joined with dots. A key may itself hold dots: quoting a segment does not show here.
    Config(String),
    /// The summary of a metric, by its keys joined with dots.
    Summary(String),
    /// A statistic over all points of a metric.
    Statistic(Statistic, String),
    /// The value of the second metric at the step where the first is best: largest if its definition says `maximize`,
    /// smallest otherwise.
    AtBest(String, String),
}

/// A figure over all points of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Statistic {
    /// The smallest finite value.
    Min,
    /// The largest finite value.
    Max,
    /// The value at the lowest step.
    First,
    /// The value at the highest step.
    Last,
    /// The mean of the finite values.
    Mean,
}

impl Statistic {
    const ALL: [Statistic; 5] = [Statistic::Min, Statistic::Max, Statistic::First, Statistic::Last, Statistic::Mean];

    /// Returns the word of the filter language.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Statistic::Min => "min",
            Statistic::Max => "max",
            Statistic::First => "first",
            Statistic::Last => "last",
            Statistic::Mean => "mean",
        }
    }

    pub(super) fn named(name: &str) -> Option<Statistic> {
        Statistic::ALL.into_iter().find(|statistic| statistic.as_str() == name)
    }
}

/// The name of the function that reads another metric at a best step.
pub(super) const AT_BEST: &str = "at_best";

static PLAIN: [Field; 12] = [
    Field::Id,
    Field::Name,
    Field::Project,
    Field::State,
    Field::Group,
    Field::JobType,
    Field::Notes,
    Field::Created,
    Field::Finished,
    Field::Duration,
    Field::Tags,
    Field::Labels,
];

impl Field {
    /// Returns the field of this name, written as in a filter: `created`, `config.lr`, `summary."val loss"`, `max(acc)`.
    pub fn parse(text: &str) -> Option<Field> {
        parse::field(text).ok()
    }

    /// Returns the field named by these segments, which were unquoted before.
    pub(super) fn from_segments(segments: &[String]) -> Option<Field> {
        match segments {
            [name] => PLAIN.iter().find(|field| field.head() == name).cloned(),
            [head, path @ ..] if head == "config" && !path.is_empty() => Some(Field::Config(path.join("."))),
            [head, path @ ..] if head == "summary" && !path.is_empty() => Some(Field::Summary(path.join("."))),
            _ => None,
        }
    }

    fn head(&self) -> &'static str {
        match self {
            Field::Id => "id",
            Field::Name => "name",
            Field::Project => "project",
            Field::State => "state",
            Field::Group => "group",
            Field::JobType => "job_type",
            Field::Notes => "notes",
            Field::Created => "created",
            Field::Finished => "finished",
            Field::Duration => "duration",
            Field::Tags => "tags",
            Field::Labels => "labels",
            Field::Config(_) => "config",
            Field::Summary(_) => "summary",
            Field::Statistic(statistic, _) => statistic.as_str(),
            Field::AtBest(..) => AT_BEST,
        }
    }
}

/// Writes the name so that [`Field::parse`] reads the same field.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.head())?;
        match self {
            Field::Config(path) | Field::Summary(path) => write_path(f, path),
            Field::Statistic(_, metric) => write_argument(f, metric),
            Field::AtBest(metric, key) => {
                write_argument(f, metric)?;
                write_path(f, key)
            }
            _ => Ok(()),
        }
    }
}

/// Writes a dot and each part of a path.
fn write_path(f: &mut fmt::Formatter<'_>, path: &str) -> fmt::Result {
    for segment in path.split('.') {
        if !segment.is_empty() && segment.chars().all(lex::is_name_char) {
            write!(f, ".{segment}")?;
            continue;
        }
        f.write_str(".")?;
        write_quoted(f, segment)?;
    }
    Ok(())
}

/// Writes the metric of a function in parentheses.
fn write_argument(f: &mut fmt::Formatter<'_>, metric: &str) -> fmt::Result {
    // What begins like a number, or is more than one name, would be read as something else.
    let begins = metric.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_');
    if begins && metric.split('.').all(|part| !part.is_empty() && part.chars().all(lex::is_name_char)) {
        return write!(f, "({metric})");
    }
    f.write_str("(")?;
    write_quoted(f, metric)?;
    f.write_str(")")
}

fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            _ => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}

/// Returns the message for a name that is no field, with the most likely remedy.
pub(super) fn unknown_field(segments: &[String]) -> String {
    let name = segments.join(".");
    let Some((head, path)) = segments.split_first() else {
        return "expected a field".to_owned();
    };
    if path.is_empty() && (head == "config" || head == "summary") {
        return format!("{} needs a name after it: {head}.NAME", quote(head));
    }
    let likely = if path.is_empty() {
        let known = PLAIN.iter().map(Field::head);
        nearest(head, known).map(str::to_owned)
    } else {
        let parents = nearest(head, ["config", "summary"].into_iter());
        let whole = PLAIN.iter().map(Field::head).find(|known| known == head);
        parents.map(|parent| format!("{parent}.{}", path.join("."))).or(whole.map(str::to_owned))
    };
    match likely {
        Some(likely) => format!("unknown field {} (did you mean {}?)", quote(&name), quote(&likely)),
        None if path.is_empty() && (head == AT_BEST || Statistic::named(head).is_some()) => {
            format!("{} is a function: {head}(METRIC)", quote(head))
        }
        None => format!("unknown field {} (parameters are config.NAME, metrics are summary.NAME)", quote(&name)),
    }
}

/// Returns the known name that a slip of the keyboard would turn into `name`.
fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let name: Vec<char> = name.to_lowercase().chars().collect();
    // Two edits among five letters make another word: `date` would suggest `state`.
    let edits_max = if name.len() < 6 { 1 } else { 2 };
    known
        .map(|known| (edits(&name, &known.chars().collect::<Vec<_>>()), known))
        .filter(|(edits, _)| *edits <= edits_max)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, known)| known)
}

/// Returns how many letters to insert, remove, replace or swap with their neighbour make `a` into `b`.
fn edits(a: &[char], b: &[char]) -> usize {
    // Known names are short, so anything long is far from all of them; this also bounds the work.
    const LEN_MAX: usize = 32;
    if a.len() > LEN_MAX || b.len() > LEN_MAX {
        return usize::MAX;
    }
    let mut table = [[0_usize; LEN_MAX + 1]; LEN_MAX + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            if i == 0 || j == 0 {
                table[i][j] = i.max(j);
                continue;
            }
            let replaced = table[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(table[i - 1][j] + 1).min(table[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(table[i - 2][j - 2] + 1);
            }
            table[i][j] = least;
        }
    }
    table[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(name: &str) -> String {
        unknown_field(&name.split('.').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn every_field_is_read_back_from_its_display() {
        let paths =
            ["lr", "a.b", "val loss", "a..b", "", ".", "a/b-c_d.0", "\"\\\n\t'", "\u{e9}te\u{301}", "x@y:z", "-"];
        let nested = paths.iter().flat_map(|p| {
            let p = (*p).to_owned();
            let of = |statistic| Field::Statistic(statistic, p.clone());
            let functions = [of(Statistic::Mean), Field::AtBest(p.clone(), "a.b c".to_owned())];
            [Field::Config(p.clone()), Field::Summary(p.clone())].into_iter().chain(functions)
        });
        for field in PLAIN.iter().cloned().chain(nested) {
            assert_eq!(Field::parse(&field.to_string()), Some(field.clone()), "{field}");
        }
        assert_eq!(Field::Summary("a.val loss".to_owned()).to_string(), "summary.a.\"val loss\"");
    }

    #[test]
    fn what_is_no_field_is_not_parsed() {
        for text in
            ["", " ", "stat", "config", "config.", "config..a", "State", "-created", "id name", "'id'", "tags.a", "1"]
        {
            assert_eq!(Field::parse(text), None, "{text:?}");
        }
        for text in ["max", "max(", "max()", "max(a", "max(a))", "max(a,b)", "max(a).b", "at_best(a)", "at_best(a) .b"]
        {
            assert_eq!(Field::parse(text), None, "{text:?}");
        }
        assert_eq!(Field::parse(" created "), Some(Field::Created));
        assert_eq!(Field::parse("max( val/loss )"), Some(Field::Statistic(Statistic::Max, "val/loss".into())));
        assert_eq!(Field::parse("at_best('a b').c.'d e'"), Some(Field::AtBest("a b".into(), "c.d e".into())));
    }

    #[test]
    fn a_slip_is_told_from_another_word() {
        assert_eq!(unknown("stat"), "unknown field \"stat\" (did you mean \"state\"?)");
        assert_eq!(unknown("staet"), "unknown field \"staet\" (did you mean \"state\"?)");
        assert_eq!(unknown("ID"), "unknown field \"ID\" (did you mean \"id\"?)");
        assert_eq!(unknown("jobtype"), "unknown field \"jobtype\" (did you mean \"job_type\"?)");
        assert_eq!(unknown("confg.a.b"), "unknown field \"confg.a.b\" (did you mean \"config.a.b\"?)");
        assert_eq!(unknown("tags.best"), "unknown field \"tags.best\" (did you mean \"tags\"?)");
        assert_eq!(unknown("config"), "\"config\" needs a name after it: config.NAME");
        for name in ["loss", "date", "lr", "time", "train.loss"] {
            let expected = format!("unknown field {name:?} (parameters are config.NAME, metrics are summary.NAME)");
            assert_eq!(unknown(name), expected);
        }
    }
}
