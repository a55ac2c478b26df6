//! The table of `runs()`: the fields of runs, then their configs and summaries key by key, then both whole.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use runcellar::{Json, RunInfo};

use super::frame::{Cells, Column, Frame};

pub(super) fn frame(runs: Vec<RunInfo>) -> Frame {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    let now_us = i64::try_from(now).unwrap_or(i64::MAX);
    let text = |of: fn(&RunInfo) -> &str| Cells::Text(runs.iter().map(|run| of(run).to_owned()).collect());
    let optional = |name: &str, of: fn(&RunInfo) -> &str| {
        let values = runs.iter().map(|run| Some(of(run)).filter(|text| !text.is_empty()).map(str::to_owned));
        Column::optional(name, values.collect(), Cells::Text)
    };
    let mut columns = vec![
        Column::new("id", text(|run| &run.id)),
        Column::new("name", text(|run| &run.name)),
        Column::new("project", text(|run| &run.project)),
        Column::new("state", text(|run| run.state.as_str())),
        Column::new("created", Cells::Time(runs.iter().map(|run| run.created).collect())),
        Column::optional("finished", runs.iter().map(|run| run.finished).collect(), |all: Vec<i64>| {
            Cells::Time(all.into())
        }),
        Column::new("duration", Cells::Float(runs.iter().map(|run| run.duration_secs(now_us)).collect())),
        Column::new("tags", Cells::Texts(runs.iter().map(|run| run.tags.clone()).collect())),
        optional("group", |run| &run.group),
        optional("job_type", |run| &run.job_type),
        optional("notes", |run| &run.notes),
    ];
    let summaries: Vec<Json> = runs.iter().map(summary).collect();
    let leaves = runs.iter().map(|run| {
        let mut leaves = Vec::new();
        leaves_of("config", &run.config, &mut leaves);
        leaves
    });
    columns.extend(columns_of(leaves));
    // Summary keys are flat already, whatever dots they have.
    columns.extend(columns_of(summaries.iter().map(|summary| match summary {
        Json::Map(members) => members.iter().map(|(key, value)| (format!("summary.{key}"), value.clone())).collect(),
        _ => Vec::new(),
    })));
    let (rows, configs) = (runs.len(), runs.into_iter().map(|run| run.config).collect());
    columns.push(Column::new("config", Cells::Json(configs)));
    columns.push(Column::new("summary", Cells::Json(summaries)));
    Frame { rows, columns, sampled: false }
}

fn summary(run: &RunInfo) -> Json {
    Json::Map(run.summary.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect())
}

/// Adds the values of a nested config under dotted names; a list or an empty map is one value.
fn leaves_of(name: &str, value: &Json, out: &mut Vec<(String, Json)>) {
    match value {
        Json::Map(members) if !members.is_empty() || name == "config" => {
            for (key, member) in members {
                leaves_of(&format!("{name}.{key}"), member, out);
            }
        }
        value => out.push((name.to_owned(), value.clone())),
    }
}

/// Makes one column a name, in order of first use. A null is an absent value.
fn columns_of(runs: impl ExactSizeIterator<Item = Vec<(String, Json)>>) -> Vec<Column> {
    let count = runs.len();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut columns: Vec<(String, Vec<Option<Json>>)> = Vec::new();
    for (row, leaves) in runs.enumerate() {
        for (name, value) in leaves {
            let place = *places.entry(name.clone()).or_insert_with(|| {
                columns.push((name, vec![None; count]));
                columns.len() - 1
            });
            if let Some(cell) = columns.get_mut(place).and_then(|(_, cells)| cells.get_mut(row)) {
                *cell = Some(value).filter(|value| *value != Json::Null);
            }
        }
    }
    columns.into_iter().map(|(name, values)| Column::of_json(name, values)).collect()
}
