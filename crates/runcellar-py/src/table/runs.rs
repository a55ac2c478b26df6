//! The table of `runs()`: the fields of runs, then their configs and summaries key by key, then both whole.
//!
//! Runs come one by one and go into columns at once, as a table of very many is smaller than its runs.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use runcellar::{Json, RunInfo, to_exact};

use super::frame::{Cells, Column, Frame};

/// Columns that grow run by run.
pub(crate) struct RunRows {
    now_us: i64,
    id: Vec<String>,
    name: Vec<String>,
    project: Vec<String>,
    state: Vec<String>,
    created: Vec<i64>,
    finished: Vec<Option<i64>>,
    duration: Vec<f64>,
    tags: Vec<Vec<String>>,
    group: Vec<Option<String>>,
    job_type: Vec<Option<String>>,
    notes: Vec<Option<String>>,
    configs: Vec<String>,
    summaries: Vec<String>,
    config: Leaves,
    summary: Leaves,
}

impl RunRows {
    pub(crate) fn new() -> RunRows {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
        RunRows {
            now_us: i64::try_from(now).unwrap_or(i64::MAX),
            id: Vec::new(),
            name: Vec::new(),
            project: Vec::new(),
            state: Vec::new(),
            created: Vec::new(),
            finished: Vec::new(),
            duration: Vec::new(),
            tags: Vec::new(),
            group: Vec::new(),
            job_type: Vec::new(),
            notes: Vec::new(),
            configs: Vec::new(),
            summaries: Vec::new(),
            config: Leaves::default(),
            summary: Leaves::default(),
        }
    }

    pub(crate) fn push(&mut self, run: RunInfo) {
        let row = self.id.len();
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        self.duration.push(run.duration_secs(self.now_us));
        self.id.push(run.id);
        self.name.push(run.name);
        self.project.push(run.project);
        self.state.push(run.state.as_str().to_owned());
        self.created.push(run.created);
        self.finished.push(run.finished);
        self.tags.push(run.tags);
        self.group.push(some(run.group));
        self.job_type.push(some(run.job_type));
        self.notes.push(some(run.notes));
        // What was read is no deeper than what can be written.
        self.configs.push(to_exact(&run.config).unwrap_or_default());
        let summary = Json::Map(run.summary.into_iter().map(|(key, value)| (key, value.into())).collect());
        self.summaries.push(to_exact(&summary).unwrap_or_default());
        self.config.push_nested(row, "config", run.config);
        // Summary keys are flat already, whatever dots they have.
        if let Json::Map(members) = summary {
            for (key, value) in members {
                self.summary.push(row, format!("summary.{key}"), value);
            }
        }
    }

    pub(super) fn frame(self) -> Frame {
        let rows = self.id.len();
        let mut columns = vec![
            Column::new("id", Cells::Text(self.id)),
            Column::new("name", Cells::Text(self.name)),
            Column::new("project", Cells::Text(self.project)),
            Column::new("state", Cells::Text(self.state)),
            Column::new("created", Cells::times(self.created)),
            Column::optional("finished", self.finished, Cells::times),
            Column::new("duration", Cells::floats(self.duration)),
            Column::new("tags", Cells::Texts(self.tags)),
            Column::optional("group", self.group, Cells::Text),
            Column::optional("job_type", self.job_type, Cells::Text),
            Column::optional("notes", self.notes, Cells::Text),
        ];
        columns.extend(self.config.columns(rows));
        columns.extend(self.summary.columns(rows));
        columns.push(Column::new("config", Cells::Exact(self.configs)));
        columns.push(Column::new("summary", Cells::Exact(self.summaries)));
        Frame { rows, columns, sampled: false }
    }
}

/// Values by name, one column a name in order of first use.
#[derive(Default)]
struct Leaves {
    places: HashMap<String, usize>,
    columns: Vec<(String, Vec<u32>, Values)>,
}

/// Values as long as they agree in kind; then as they are.
enum Values {
    None,
    Bool(Vec<bool>),
    Int(Vec<i64>),
    Float(Vec<f64>),
    Text(Vec<String>),
    Mixed(Vec<Json>),
}

impl Leaves {
    /// Adds the values of a nested config under dotted names; a list or an empty map is one value.
    fn push_nested(&mut self, row: usize, name: &str, value: Json) {
        match value {
            Json::Map(members) if !members.is_empty() || name == "config" => {
                for (key, member) in members {
                    self.push_nested(row, &format!("{name}.{key}"), member);
                }
            }
            value => self.push(row, name.to_owned(), value),
        }
    }

    fn push(&mut self, row: usize, name: String, value: Json) {
        let place = match self.places.get(&name) {
            Some(place) => *place,
            None => {
                self.places.insert(name.clone(), self.columns.len());
                self.columns.push((name, Vec::new(), Values::None));
                self.columns.len() - 1
            }
        };
        let Some((_, rows, values)) = self.columns.get_mut(place) else { return };
        let Ok(row) = u32::try_from(row) else { return };
        if rows.last() == Some(&row) {
            // Two keys of one dotted name: the last counts.
            rows.pop();
            values.pop();
        }
        // A null is an absent value.
        if value != Json::Null {
            rows.push(row);
            values.push(value);
        }
    }

    fn columns(self, rows: usize) -> impl Iterator<Item = Column> {
        self.columns.into_iter().map(move |(name, places, values)| match values {
            Values::None => Column::optional(name, vec![None; rows], Cells::Json),
            Values::Bool(all) => Column::optional(name, spread(rows, &places, all), Cells::Bool),
            Values::Int(all) => Column::optional(name, spread(rows, &places, all), Cells::ints),
            Values::Float(all) => Column::optional(name, spread(rows, &places, all), Cells::floats),
            Values::Text(all) => Column::optional(name, spread(rows, &places, all), Cells::Text),
            Values::Mixed(all) => Column::optional(name, spread(rows, &places, all), Cells::Json),
        })
    }
}

/// Puts values into their rows.
fn spread<T>(rows: usize, places: &[u32], values: Vec<T>) -> Vec<Option<T>> {
    let mut out: Vec<Option<T>> = std::iter::repeat_with(|| None).take(rows).collect();
    for (place, value) in places.iter().zip(values) {
        if let Some(slot) = out.get_mut(*place as usize) {
            *slot = Some(value);
        }
    }
    out
}

impl Values {
    fn push(&mut self, value: Json) {
        match (&mut *self, value) {
            (Values::None, Json::Bool(value)) => *self = Values::Bool(vec![value]),
            (Values::None, Json::Int(value)) => *self = Values::Int(vec![value]),
            (Values::None, Json::Float(value)) => *self = Values::Float(vec![value]),
            (Values::None, Json::Text(value)) => *self = Values::Text(vec![value]),
            (Values::Bool(all), Json::Bool(value)) => all.push(value),
            (Values::Int(all), Json::Int(value)) => all.push(value),
            (Values::Float(all), Json::Float(value)) => all.push(value),
            (Values::Text(all), Json::Text(value)) => all.push(value),
            (Values::Mixed(all), value) => all.push(value),
            (_, value) => {
                let mut all = std::mem::replace(self, Values::None).into_json();
                all.push(value);
                *self = Values::Mixed(all);
            }
        }
    }

    fn pop(&mut self) {
        match self {
            Values::None => {}
            Values::Bool(all) => drop(all.pop()),
            Values::Int(all) => drop(all.pop()),
            Values::Float(all) => drop(all.pop()),
            Values::Text(all) => drop(all.pop()),
            Values::Mixed(all) => drop(all.pop()),
        }
    }

    fn into_json(self) -> Vec<Json> {
        match self {
            Values::None => Vec::new(),
            Values::Bool(all) => all.into_iter().map(Json::Bool).collect(),
            Values::Int(all) => all.into_iter().map(Json::Int).collect(),
            Values::Float(all) => all.into_iter().map(Json::Float).collect(),
            Values::Text(all) => all.into_iter().map(Json::Text).collect(),
            Values::Mixed(all) => all,
        }
    }
}
