//! Which columns a table of runs has.
//!
//! Fixed ones first. Of the config, what differs between the runs: that is what a comparison is about. Of the
//! summary, what at least half of the runs have, validation and test metrics before others.

use runcellar::query::filter::Field;
use runcellar::{Json, RunInfo, Value};

use crate::render::number::short_number;
use crate::render::table::Column;

/// Columns of config, and of summary, that are considered; more than fit any terminal.
const CONSIDERED_MAX: usize = 8;

/// A column and what stands in it.
pub(super) struct Chosen {
    pub(super) head: Column,
    pub(super) field: Field,
}

/// How long a column is kept when space is short, the highest longest. The first metric and the first of the config
/// stay before the times; of the rest, metrics and config take turns.
mod keep {
    pub(super) const ID: u8 = 200;
    pub(super) const NAME: u8 = 190;
    pub(super) const WANTED: u8 = 180;
    pub(super) const STATE: u8 = 170;
    pub(super) const PROJECT: u8 = 165;
    pub(super) const METRIC: u8 = 160;
    pub(super) const CONFIG: u8 = 158;
    /// From one metric to the next, and from one of the config to the next.
    pub(super) const STEP: u8 = 6;
    pub(super) const CREATED: u8 = 150;
    pub(super) const GROUP: u8 = 125;
    pub(super) const DURATION: u8 = 120;
    pub(super) const TAGS: u8 = 40;
}

/// Chooses the columns for these runs; `wanted` are the fields that the user filters and sorts by.
pub(super) fn choose(runs: &[RunInfo], wanted: &[Field]) -> Vec<Chosen> {
    let is_wanted = |field: &Field| wanted.contains(field);
    let fixed = [
        (Field::Id, Column::left("id").shrink_to(12).priority(keep::ID), true),
        (Field::Name, Column::left("name").shrink_to(16).priority(keep::NAME), true),
        (
            Field::Project,
            Column::left("project").shrink_to(6).priority(keep::PROJECT),
            differs(runs, |run| &run.project),
        ),
        (Field::State, Column::left("state").priority(keep::STATE), true),
        (Field::Created, Column::left("created").priority(keep::CREATED), true),
        (Field::Finished, Column::left("finished").priority(keep::CREATED), false),
        (Field::Duration, Column::right("duration").priority(keep::DURATION), true),
        (Field::Group, Column::left("group").shrink_to(6).priority(keep::GROUP), differs(runs, |run| &run.group)),
        (Field::JobType, Column::left("job").shrink_to(6).priority(keep::GROUP), differs(runs, |run| &run.job_type)),
        (
            Field::Tags,
            Column::left("tags").shrink_to(6).priority(keep::TAGS),
            runs.iter().any(|run| !run.tags.is_empty()),
        ),
        (Field::Notes, Column::left("notes").shrink_to(8).priority(keep::TAGS), false),
    ];
    let mut columns: Vec<Chosen> = Vec::new();
    for (field, head, shown) in fixed {
        if shown || is_wanted(&field) {
            columns.push(Chosen { head, field });
        }
    }
    // Tags and notes are long; they stand last.
    let at =
        columns.iter().position(|column| matches!(column.field, Field::Tags | Field::Notes)).unwrap_or(columns.len());
    let last = columns.split_off(at);

    let metrics = metrics(runs, wanted);
    let configs = configs(runs, wanted);
    for (path, base) in rank(configs, keep::CONFIG, |path| is_wanted(&Field::Config(path.to_owned()))) {
        let taken = metrics.contains(&path);
        let title = if taken { format!("config.{path}") } else { path.clone() };
        let numeric = runs
            .iter()
            .filter_map(|run| run.config.at(&path))
            .all(|value| matches!(value, Json::Int(_) | Json::Float(_)));
        columns.push(Chosen { head: column(title, numeric).priority(base), field: Field::Config(path) });
    }
    for (key, base) in rank(metrics, keep::METRIC, |key| is_wanted(&Field::Summary(key.to_owned()))) {
        let numeric = runs.iter().filter_map(|run| run.summary(&key)).all(|value| !matches!(value, Value::Text(_)));
        columns.push(Chosen { head: column(key.clone(), numeric).priority(base), field: Field::Summary(key) });
    }
    for field in wanted.iter().filter(|field| super::is_computed(field)) {
        columns.push(Chosen { head: Column::right(field.to_string()).priority(keep::WANTED), field: field.clone() });
    }
    columns.extend(last);
    columns
}

fn column(title: String, numeric: bool) -> Column {
    if numeric { Column::right(title) } else { Column::left(title).shrink_to(6) }
}

/// Gives each name a priority: wanted ones the highest, then the first before the next.
fn rank(names: Vec<String>, base: u8, wanted: impl Fn(&str) -> bool) -> Vec<(String, u8)> {
    let priority = |at: usize, name: &str| {
        if wanted(name) { keep::WANTED } else { base - keep::STEP * at.min(CONSIDERED_MAX) as u8 }
    };
    names
        .into_iter()
        .enumerate()
        .map(|(at, name)| {
            let kept = priority(at, &name);
            (name, kept)
        })
        .collect()
}

fn differs<'a>(runs: &'a [RunInfo], text: impl Fn(&'a RunInfo) -> &'a String) -> bool {
    runs.windows(2).any(|pair| text(&pair[0]) != text(&pair[1]))
}

/// Returns names in order of first use with how many runs have each.
fn counted<'a>(names: impl Iterator<Item = &'a str>) -> Vec<(&'a str, usize)> {
    let mut places = std::collections::HashMap::new();
    let mut all: Vec<(&str, usize)> = Vec::new();
    for name in names {
        let at = *places.entry(name).or_insert_with(|| {
            all.push((name, 0));
            all.len() - 1
        });
        all[at].1 += 1;
    }
    all
}

fn metrics(runs: &[RunInfo], wanted: &[Field]) -> Vec<String> {
    let is_wanted = |key: &str| wanted.iter().any(|field| matches!(field, Field::Summary(path) if path == key));
    let all = counted(runs.iter().flat_map(|run| run.summary.iter().map(|(key, _)| key.as_str())));
    let mut shared: Vec<&str> =
        all.into_iter().filter(|(key, count)| is_wanted(key) || count * 2 >= runs.len()).map(|(key, _)| key).collect();
    shared.sort_by_key(|key| (!is_wanted(key), importance(key)));
    shared.into_iter().take(CONSIDERED_MAX).map(str::to_owned).collect()
}

/// Returns 0 for what a comparison is decided by, more for what it is not.
fn importance(metric: &str) -> u8 {
    let name = metric.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    match () {
        () if name.starts_with("system") || name.starts_with('_') => 3,
        () if has(&["best", "val", "eval", "test"]) => 0,
        () if has(&["loss", "acc", "f1", "auc", "reward", "score", "ppl", "perplexity", "bleu", "error"]) => 1,
        () => 2,
    }
}

fn configs(runs: &[RunInfo], wanted: &[Field]) -> Vec<String> {
    let is_wanted = |key: &str| wanted.iter().any(|field| matches!(field, Field::Config(path) if path == key));
    let flat: Vec<Vec<String>> = runs.iter().map(|run| leaves(&run.config)).collect();
    let all = counted(flat.iter().flatten().map(String::as_str));
    let different = |path: &str| {
        let mut values = runs.iter().filter_map(|run| run.config.at(path));
        let first = values.next();
        values.any(|value| Some(value) != first)
    };
    let telling =
        all.into_iter().filter(|(path, count)| is_wanted(path) || (count * 2 >= runs.len() && different(path)));
    let mut telling: Vec<&str> = telling.map(|(path, _)| path).collect();
    telling.sort_by_key(|path| !is_wanted(path));
    telling.into_iter().take(CONSIDERED_MAX).map(str::to_owned).collect()
}

/// Returns the dotted paths of everything in a config that is no map.
fn leaves(config: &Json) -> Vec<String> {
    fn walk(value: &Json, path: &str, out: &mut Vec<String>) {
        let Json::Map(members) = value else {
            out.push(path.to_owned());
            return;
        };
        for (name, value) in members {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            walk(value, &path, out);
        }
    }
    let mut out = Vec::new();
    walk(config, "", &mut out);
    out.retain(|path| !path.is_empty());
    out
}

/// Returns a value as a cell shows it.
pub(crate) fn value_text(value: &Value) -> String {
    match value {
        Value::Float(float) => short_number(*float),
        Value::Int(int) => int.to_string(),
        Value::Bool(bool) => bool.to_string(),
        Value::Text(text) => text.clone(),
        Value::Histogram(histogram) => format!("histogram of {} bins", histogram.counts().len()),
        Value::Media(_) => "media".to_owned(),
    }
}

/// Returns a nested value as a cell shows it: lists in brackets, maps in braces.
pub(crate) fn json_text(value: &Json) -> String {
    match value {
        Json::Null => "null".to_owned(),
        Json::Bool(bool) => bool.to_string(),
        Json::Int(int) => int.to_string(),
        Json::Float(float) => short_number(*float),
        Json::Text(text) => text.clone(),
        Json::List(items) => format!("[{}]", items.iter().map(json_text).collect::<Vec<_>>().join(", ")),
        Json::Map(members) => {
            let members = members.iter().map(|(name, value)| format!("{name}: {}", json_text(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
    }
}
