//! Everything that the store reads from a workspace, as JSON: metadata of all runs, and all points of all metrics.
//!
//! Floats stand there as `f` and their bits in hexadecimal, as JSON knows neither NaN nor -0.0; integers as `i` and
//! digits, texts as `t` and the text.

use runcellar::{Json, Result, Selection, Workspace};
use serde_json::{Map, Value as Out, json as out};

pub(crate) fn dump(workspace: &Workspace) -> Result<Out> {
    let mut all = Map::new();
    for removed in [false, true] {
        for run in workspace.runs(&Selection { removed, ..Selection::default() })? {
            let mut metrics = Map::new();
            for metric in workspace.metrics(&run)? {
                let series = workspace.series(&run, &metric.name, None)?;
                let point = |at: usize| {
                    let value = series.values.get(at).map_or(Out::Null, |value| leaf(&Json::from(value)));
                    out!([series.steps[at], series.times[at], value])
                };
                metrics.insert(metric.name, (0..series.steps.len()).map(point).collect());
            }
            let summary: Map<String, Out> =
                run.summary.iter().map(|(key, value)| (key.clone(), leaf(&Json::from(value.clone())))).collect();
            let one = out!({
                "project": run.project, "name": run.name, "state": run.state.as_str(), "created": run.created,
                "finished": run.finished, "exit_code": run.exit_code, "tags": run.tags, "notes": run.notes,
                "group": run.group, "job_type": run.job_type, "removed": run.removed, "config": leaf(&run.config),
                "summary": summary, "metrics": metrics,
            });
            all.insert(run.id.clone(), one);
        }
    }
    Ok(Out::Object(all))
}

fn leaf(value: &Json) -> Out {
    match value {
        Json::Null => Out::Null,
        Json::Bool(value) => Out::Bool(*value),
        Json::Int(value) => Out::String(format!("i{value}")),
        Json::Float(value) => Out::String(format!("f{:016x}", value.to_bits())),
        Json::Text(value) => Out::String(format!("t{value}")),
        Json::List(items) => items.iter().map(leaf).collect(),
        Json::Map(members) => Out::Object(members.iter().map(|(key, value)| (key.clone(), leaf(value))).collect()),
    }
}
