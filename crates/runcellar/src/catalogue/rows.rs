//! What stands in a row: a run as listings show it, to columns and back. docs/FORMAT.md lists the columns.

use std::collections::HashSet;

use runcellar_format::catalogue::{BlockWriter, CellKind, Shape, Space, leaf_name};
use runcellar_format::record::{RunState, SeriesEntry};
use runcellar_format::value::{Json, Value};
use runcellar_format::{FormatError, ObjectId};

use super::block::{Block, Shaped};
use crate::own::is_own;
use crate::query::RunInfo;

/// The first 8 bytes of the run's object id, as an integer.
pub(super) const RUN_FIRST: &str = "run.first";
/// The last 8.
pub(super) const RUN_LAST: &str = "run.last";
/// The shape of the config.
pub(crate) const CONFIG: &str = "config";
/// The shape of the summary.
pub(super) const SUMMARY: &str = "summary";

/// The most leaves, summary keys and metrics of a run in a block. A run of more is read from its record.
const RUN_CELLS_MAX: usize = 4_096;

/// The most bytes of names and texts of a run in a block.
const RUN_TEXT_BYTES_MAX: usize = 256 << 10;

/// Returns true if a run is no more than what a block takes.
pub(super) fn fits(info: &RunInfo, series: &[SeriesEntry]) -> bool {
    let (mut cells, mut bytes) = (series.len() + info.summary.len(), info.notes.len());
    bytes += series.iter().map(|entry| entry.name.len() + value_bytes(&entry.first)).sum::<usize>();
    bytes += info.summary.iter().map(|(key, value)| key.len() + value_bytes(value)).sum::<usize>();
    bytes += info.tags.iter().map(String::len).sum::<usize>();
    measure(&info.config, &mut cells, &mut bytes);
    cells <= RUN_CELLS_MAX && bytes <= RUN_TEXT_BYTES_MAX
}

fn value_bytes(value: &Value) -> usize {
    if let Value::Text(text) = value { text.len() } else { 0 }
}

fn measure(value: &Json, cells: &mut usize, bytes: &mut usize) {
    *cells += 1;
    match value {
        Json::Text(text) => *bytes += text.len(),
        Json::List(items) => items.iter().for_each(|item| measure(item, cells, bytes)),
        Json::Map(members) => members.iter().for_each(|(name, member)| {
            *bytes += name.len();
            measure(member, cells, bytes);
        }),
        _ => {}
    }
}

/// Writes a run into the next row.
pub(crate) fn put(writer: &mut BlockWriter, info: &RunInfo, series: &[SeriesEntry]) -> Result<(), FormatError> {
    // Naming every field makes a new one stop here, so that none is left out of the catalogue unnoticed.
    let RunInfo {
        object,
        project_object,
        id,
        name,
        project,
        state,
        created,
        finished,
        tags,
        group,
        job_type,
        notes,
        config,
        summary,
        exit_code,
        dropped,
        git_commit,
        git_branch,
        program,
        runtime,
        host,
        removed,
    } = info;
    writer.begin_row();
    let half = |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |all, byte| all << 8 | u64::from(*byte)).cast_signed();
    let (first, last) = object.0.split_at(8);
    let integers = [
        (RUN_FIRST, Some(half(first))),
        (RUN_LAST, Some(half(last))),
        ("created", Some(*created)),
        ("finished", *finished),
        ("removed", *removed),
        ("exit_code", exit_code.map(i64::from)),
        ("dropped", Some(dropped.cast_signed()).filter(|dropped| *dropped != 0)),
    ];
    for (field, value) in integers {
        if let Some(value) = value {
            writer.put(Space::Field, field, &Value::Int(value))?;
        }
    }
    let project_id = project_object.to_string();
    let texts = [
        ("id", id.as_str()),
        ("name", name),
        ("project", &project_id),
        ("project.name", project),
        ("state", state.as_str()),
        ("group", group),
        ("job_type", job_type),
        ("notes", notes),
        ("git.commit", git_commit),
        ("git.branch", git_branch),
        ("program", program),
        ("runtime", runtime),
        ("host", host),
    ];
    for (field, text) in texts {
        if !text.is_empty() {
            writer.put_leaf(Space::Field, field, &Json::Text(text.to_owned()))?;
        }
    }
    let tags = tags.iter().map(|tag| Json::Text(tag.clone())).collect();
    writer.put_leaf(Space::Field, "tags", &Json::List(tags))?;
    put_shaped(writer, Space::Config, CONFIG, config)?;
    let summary = summary.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    put_shaped(writer, Space::Summary, SUMMARY, &Json::Map(summary))?;
    for entry in series.iter().filter(|entry| entry.points > 0 && !is_own(&entry.name)) {
        put_statistics(writer, entry)?;
    }
    Ok(())
}

fn put_shaped(writer: &mut BlockWriter, space: Space, field: &str, value: &Json) -> Result<(), FormatError> {
    let mut shape = Shape::of(value);
    let (mut names, mut told_apart) = (HashSet::new(), true);
    shape.leaves(&mut |name, kind| told_apart &= names.insert((name.to_owned(), kind)));
    // A map may hold a name twice: its values would meet in one column, so the whole stands in one cell.
    if !told_apart || !matches!(shape, Shape::Map(_)) {
        shape = Shape::Leaf(CellKind::Nested);
        writer.put_leaf(space, "", value)?;
    } else {
        put_leaves(writer, space, value, &mut String::new())?;
    }
    writer.put_leaf(Space::Field, field, &Json::Text(shape.to_text()))
}

fn put_leaves(writer: &mut BlockWriter, space: Space, value: &Json, path: &mut String) -> Result<(), FormatError> {
    let Json::Map(members) = value else { return writer.put_leaf(space, path, value) };
    for (name, member) in members {
        let before = path.len();
        path.push_str(&leaf_name(name));
        put_leaves(writer, space, member, path)?;
        path.truncate(before);
    }
    Ok(())
}

fn put_statistics(writer: &mut BlockWriter, entry: &SeriesEntry) -> Result<(), FormatError> {
    let name = &entry.name;
    for (space, value) in [(Space::Min, &entry.min), (Space::Max, &entry.max)] {
        if let Some(value) = value {
            writer.put(space, name, value)?;
        }
    }
    writer.put(Space::First, name, &entry.first)?;
    writer.put(Space::Last, name, &entry.last)?;
    writer.put(Space::Points, name, &Value::Int(entry.points.cast_signed()))?;
    writer.put(Space::NonFinite, name, &Value::Int(entry.non_finite.cast_signed()))?;
    writer.put(Space::Sum, name, &Value::Float(entry.sum))
}

/// Returns the run of a row, whose fields, config and summary must be loaded; none if that makes none. The project's
/// name is the one that it had when the row was written.
pub(crate) fn info_at(block: &Block, row: u32) -> Option<RunInfo> {
    let text = |field: &str| {
        let column = block.field(field, CellKind::Text);
        column.and_then(|column| column.text(row)).unwrap_or_default().to_owned()
    };
    let int = |field: &str| block.field(field, CellKind::Int).and_then(|column| column.int(row));
    let states = [RunState::Running, RunState::Finished, RunState::Failed, RunState::Crashed, RunState::Killed];
    let state = text("state");
    let tags = block.field("tags", CellKind::Nested)?;
    let Json::List(tags) = tags.cells.json(tags.place(row)?)? else { return None };
    let tag = |tag| if let Json::Text(tag) = tag { Some(tag) } else { None };
    let summary = shaped_at(block, SUMMARY, block.summary_shapes().ok()?, row)?;
    let Json::Map(summary) = summary else { return None };
    let value = |(key, value): (String, Json)| {
        Some(match value {
            Json::Float(value) => (key, Value::Float(value)),
            Json::Int(value) => (key, Value::Int(value)),
            Json::Bool(value) => (key, Value::Bool(value)),
            Json::Text(value) => (key, Value::Text(value)),
            Json::Null | Json::List(_) | Json::Map(_) => return None,
        })
    };
    Some(RunInfo {
        object: *block.runs.get(row as usize)?,
        project_object: ObjectId::from_hex(&text("project"))?,
        id: text("id"),
        name: text("name"),
        project: text("project.name"),
        state: states.into_iter().find(|known| known.as_str() == state)?,
        created: int("created")?,
        finished: int("finished"),
        tags: tags.into_iter().map(tag).collect::<Option<_>>()?,
        group: text("group"),
        job_type: text("job_type"),
        notes: text("notes"),
        config: shaped_at(block, CONFIG, block.config_shapes().ok()?, row)?,
        summary: summary.into_iter().map(value).collect::<Option<_>>()?,
        exit_code: int("exit_code").and_then(|code| i32::try_from(code).ok()),
        dropped: int("dropped").unwrap_or(0).cast_unsigned(),
        git_commit: text("git.commit"),
        git_branch: text("git.branch"),
        program: text("program"),
        runtime: text("runtime"),
        host: text("host"),
        removed: int("removed"),
    })
}

fn shaped_at(block: &Block, field: &str, shapes: &[Shaped], row: u32) -> Option<Json> {
    let shaped = shapes.get(block.field(field, CellKind::Text)?.code(row)?)?;
    let mut leaves = shaped.leaves.iter();
    shaped.shape.fill(&mut || {
        let column = block.column((*leaves.next()?)?)?;
        column.cells.json(column.place(row)?)
    })
}
