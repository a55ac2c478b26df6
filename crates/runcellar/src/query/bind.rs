//! Fields of a filter on the columns of a catalogue block, and on a run that was read from its record.

use std::borrow::Cow;

use runcellar_format::ObjectId;
use runcellar_format::catalogue::{CellKind, Cells, Shape, Space, leaf_name};
use runcellar_format::record::SeriesEntry;

use super::filter::{Field, Scalar, Statistic};
use crate::catalogue::{Block, CONFIG, Column, Fresh, Known};
use crate::db::ReadTx;
use crate::keys::Keyring;
use crate::{Json, Result, Value};

/// Reads the value of a metric where another is best.
pub(super) trait AtBest {
    fn of_row(&self, block: &Block, row: u32, metric: &str, key: &str) -> Option<Value>;
    fn of_run(&self, run: ObjectId, metric: &str, key: &str) -> Option<Value>;
}

/// A field in one block: which columns it is read from.
pub(super) enum Bound<'a> {
    Absent,
    /// The first of the columns that has a value; and a column of whole maps in which it may stand instead.
    Columns(Vec<&'a Column>, Option<(&'a Column, &'a str)>),
    Time(&'a Column),
    /// From when it was made to when it ended, or to now.
    Duration(&'a Column, Option<&'a Column>, i64),
    /// Ids of projects, and the names by code.
    Project(&'a Column, Vec<&'a str>),
    /// Shapes of configs, and for each where the field is.
    Config(&'a Column, Vec<Target<'a>>),
    /// Sum, points, those that are not finite, and the smallest: what has none has no mean.
    Mean(&'a Column, &'a Column, &'a Column, Vec<&'a Column>),
    AtBest(&'a Block, &'a str, &'a str),
    EmptyList,
}

/// Where a field is in configs of one shape.
#[derive(Clone, Copy)]
pub(super) enum Target<'a> {
    Absent,
    Leaf(&'a Column),
    /// In whole configs, by its path.
    Whole(&'a Column, &'a str),
}

impl<'a> Bound<'a> {
    /// Binds a field, loading the columns that it needs.
    pub(super) fn new(
        tx: &ReadTx<'_>,
        keyring: &Keyring,
        known: &'a Known,
        block: &'a Block,
        field: &'a Field,
        now_us: i64,
    ) -> Result<Bound<'a>> {
        let load = |space, name: &str| -> Result<Vec<&'a Column>> {
            let columns = block.main.named(space, name);
            block.load(tx, keyring, columns.clone())?;
            Ok(columns.filter_map(|index| block.column(index)).collect())
        };
        let one = |space, name: &str| Ok::<_, crate::Error>(load(space, name)?.first().copied());
        let columns = |space, name: &str| Ok(Bound::Columns(load(space, name)?, None));
        match field {
            Field::Id => columns(Space::Field, "id"),
            Field::Name => columns(Space::Field, "name"),
            Field::State => columns(Space::Field, "state"),
            Field::Group => columns(Space::Field, "group"),
            Field::JobType => columns(Space::Field, "job_type"),
            Field::Notes => columns(Space::Field, "notes"),
            Field::Tags => columns(Space::Field, "tags"),
            // Labels come with sync; until then no run has one.
            Field::Labels => Ok(Bound::EmptyList),
            Field::Created => Ok(one(Space::Field, "created")?.map_or(Bound::Absent, Bound::Time)),
            Field::Finished => Ok(one(Space::Field, "finished")?.map_or(Bound::Absent, Bound::Time)),
            Field::Duration => {
                let finished = one(Space::Field, "finished")?;
                let created = one(Space::Field, "created")?;
                Ok(created.map_or(Bound::Absent, |created| Bound::Duration(created, finished, now_us)))
            }
            Field::Project => {
                let (Some(ids), names) = (one(Space::Field, "project")?, one(Space::Field, "project.name")?) else {
                    return Ok(Bound::Absent);
                };
                Ok(Bound::Project(ids, project_names(known, block, ids, names)))
            }
            Field::Config(path) => bind_config(tx, keyring, block, path),
            Field::Summary(key) => {
                let whole = load(Space::Summary, "")?.first().map(|column| (*column, key.as_str()));
                Ok(Bound::Columns(load(Space::Summary, &leaf_name(key))?, whole))
            }
            Field::Statistic(Statistic::Min, metric) => columns(Space::Min, metric),
            Field::Statistic(Statistic::Max, metric) => columns(Space::Max, metric),
            Field::Statistic(Statistic::First, metric) => columns(Space::First, metric),
            Field::Statistic(Statistic::Last, metric) => columns(Space::Last, metric),
            Field::Statistic(Statistic::Mean, metric) => {
                let figures = (one(Space::Sum, metric)?, one(Space::Points, metric)?, one(Space::NonFinite, metric)?);
                let (Some(sum), Some(points), Some(non_finite)) = figures else { return Ok(Bound::Absent) };
                Ok(Bound::Mean(sum, points, non_finite, load(Space::Min, metric)?))
            }
            Field::AtBest(metric, key) => Ok(Bound::AtBest(block, metric, key)),
        }
    }

    /// Returns the value in a row.
    pub(super) fn scalar(&self, row: u32, at_best: &dyn AtBest) -> Option<Scalar<'a>> {
        match self {
            Bound::Absent => None,
            Bound::EmptyList => Some(Scalar::List(Vec::new())),
            Bound::Columns(columns, whole) => columns
                .iter()
                .find_map(|column| cell(column, row))
                .or_else(|| whole.and_then(|(column, key)| column.nested(row)?.get(key)).map(json_scalar)),
            Bound::Time(column) => column.int(row).map(Scalar::Time),
            Bound::Duration(created, finished, now_us) => {
                let ended = finished.and_then(|finished| finished.int(row)).unwrap_or(*now_us);
                Some(Scalar::Float(seconds(created.int(row)?, ended)))
            }
            Bound::Project(column, names) => text_scalar(names.get(column.code(row)?)?),
            Bound::Config(column, targets) => match targets.get(column.code(row)?)? {
                Target::Absent => None,
                Target::Leaf(column) => cell(column, row),
                Target::Whole(column, path) => column.nested(row)?.at(path).map(json_scalar),
            },
            Bound::Mean(sum, points, non_finite, min) => {
                min.iter().find_map(|column| column.place(row))?;
                let finite = points.int(row)?.checked_sub(non_finite.int(row)?).filter(|finite| *finite > 0)?;
                Some(Scalar::Float(sum.float(row)? / finite as f64))
            }
            Bound::AtBest(block, metric, key) => at_best.of_row(block, row, metric, key).map(owned_scalar),
        }
    }
}

/// Returns the names of the projects of a block by code: as they are called now, or else when the block was written.
fn project_names<'a>(known: &'a Known, block: &Block, ids: &'a Column, then: Option<&'a Column>) -> Vec<&'a str> {
    let Cells::Text(_, dictionary) = &ids.cells else { return Vec::new() };
    let now = |id: &String| known.projects.get(&ObjectId::from_hex(id)?).map(String::as_str);
    let mut names: Vec<Option<&str>> = dictionary.iter().map(now).collect();
    if names.contains(&None) {
        for row in 0..block.main.rows {
            if let Some(name) = ids.code(row).and_then(|code| names.get_mut(code)) {
                *name = name.or_else(|| then?.text(row));
            }
        }
    }
    names.into_iter().map(Option::unwrap_or_default).collect()
}

fn bind_config<'a>(tx: &ReadTx<'_>, keyring: &Keyring, block: &'a Block, path: &'a str) -> Result<Bound<'a>> {
    enum Found {
        Nothing,
        Leaf(usize),
        Whole,
    }
    let Some(shapes) = block.main.find(Space::Field, CONFIG, CellKind::Text) else { return Ok(Bound::Absent) };
    let whole = block.main.find(Space::Config, "", CellKind::Nested);
    block.load(tx, keyring, [shapes].into_iter().chain(whole))?;
    let found = block.config_shapes()?.iter().map(|shaped| match &shaped.shape {
        Shape::Leaf(CellKind::Nested) => Found::Whole,
        shape => match shape.at(path) {
            Some((name, Shape::Leaf(kind))) => {
                block.main.find(Space::Config, &name, *kind).map_or(Found::Nothing, Found::Leaf)
            }
            _ => Found::Nothing,
        },
    });
    let found: Vec<Found> = found.collect();
    block.load(
        tx,
        keyring,
        found.iter().filter_map(|found| if let Found::Leaf(at) = found { Some(*at) } else { None }),
    )?;
    let whole = whole.and_then(|whole| block.column(whole));
    let target = |found: &Found| match found {
        Found::Nothing => Target::Absent,
        Found::Leaf(index) => block.column(*index).map_or(Target::Absent, Target::Leaf),
        Found::Whole => whole.map_or(Target::Absent, |whole| Target::Whole(whole, path)),
    };
    Ok(match block.column(shapes) {
        Some(shapes) => Bound::Config(shapes, found.iter().map(target).collect()),
        None => Bound::Absent,
    })
}

fn cell<'a>(column: &'a Column, row: u32) -> Option<Scalar<'a>> {
    let place = column.place(row)?;
    Some(match &column.cells {
        Cells::Float(all) => Scalar::Float(*all.get(place)?),
        Cells::Int(all) => Scalar::Int(*all.get(place)?),
        Cells::Bool(all) => Scalar::Bool(*all.get(place)?),
        Cells::Text(codes, texts) => Scalar::Text(Cow::Borrowed(texts.get(*codes.get(place)? as usize)?)),
        Cells::Nested(codes, values) => json_scalar(values.get(*codes.get(place)? as usize)?),
    })
}

/// Returns a field of a run that was read from its record.
pub(super) fn scalar_of<'a>(fresh: &'a Fresh, field: &Field, now_us: i64, at_best: &dyn AtBest) -> Option<Scalar<'a>> {
    let run = &fresh.info;
    match field {
        Field::Id => text_scalar(&run.id),
        Field::Name => text_scalar(&run.name),
        Field::Project => text_scalar(&run.project),
        Field::State => text_scalar(run.state.as_str()),
        Field::Group => text_scalar(&run.group),
        Field::JobType => text_scalar(&run.job_type),
        Field::Notes => text_scalar(&run.notes),
        Field::Created => Some(Scalar::Time(run.created)),
        Field::Finished => run.finished.map(Scalar::Time),
        Field::Duration => Some(Scalar::Float(run.duration_secs(now_us))),
        Field::Tags => Some(Scalar::List(run.tags.iter().filter_map(|tag| text_scalar(tag)).collect())),
        Field::Labels => Some(Scalar::List(Vec::new())),
        Field::Config(path) => run.config.at(path).map(json_scalar),
        Field::Summary(key) => run.summary(key).map(value_scalar),
        Field::Statistic(statistic, metric) => statistic_of(fresh.series(metric)?, *statistic),
        Field::AtBest(metric, key) => at_best.of_run(run.object, metric, key).map(owned_scalar),
    }
}

fn statistic_of(entry: &SeriesEntry, statistic: Statistic) -> Option<Scalar<'_>> {
    match statistic {
        Statistic::Min => entry.min.as_ref().map(value_scalar),
        Statistic::Max => entry.max.as_ref().map(value_scalar),
        Statistic::First => Some(value_scalar(&entry.first)),
        Statistic::Last => Some(value_scalar(&entry.last)),
        Statistic::Mean => {
            entry.min.as_ref()?;
            let finite = entry.points.checked_sub(entry.non_finite).filter(|finite| *finite > 0)?;
            Some(Scalar::Float(entry.sum / finite as f64))
        }
    }
}

/// Returns how long a run took in seconds.
pub(super) fn seconds(created: i64, ended: i64) -> f64 {
    ended.saturating_sub(created).max(0) as f64 / 1e6
}

fn text_scalar(text: &str) -> Option<Scalar<'_>> {
    (!text.is_empty()).then_some(Scalar::Text(Cow::Borrowed(text)))
}

pub(super) fn json_scalar(value: &Json) -> Scalar<'_> {
    match value {
        Json::Null | Json::Map(_) => Scalar::Null,
        Json::Bool(value) => Scalar::Bool(*value),
        Json::Int(value) => Scalar::Int(*value),
        Json::Float(value) => Scalar::Float(*value),
        Json::Text(value) => Scalar::Text(Cow::Borrowed(value)),
        Json::List(items) => Scalar::List(items.iter().map(json_scalar).collect()),
    }
}

pub(super) fn value_scalar(value: &Value) -> Scalar<'_> {
    match value {
        Value::Float(value) => Scalar::Float(*value),
        Value::Int(value) => Scalar::Int(*value),
        Value::Bool(value) => Scalar::Bool(*value),
        Value::Text(value) => Scalar::Text(Cow::Borrowed(value)),
        // No summary holds one, and statistics have a text in its place.
        Value::Histogram(_) | Value::Media(_) => Scalar::Null,
    }
}

fn owned_scalar(value: Value) -> Scalar<'static> {
    match value {
        Value::Float(value) => Scalar::Float(value),
        Value::Int(value) => Scalar::Int(value),
        Value::Bool(value) => Scalar::Bool(value),
        Value::Text(value) => Scalar::Text(Cow::Owned(value)),
        Value::Histogram(_) | Value::Media(_) => Scalar::Null,
    }
}

/// Returns a scalar as a value of its own; a time as its microseconds.
pub(super) fn json_of(scalar: &Scalar<'_>) -> Json {
    match scalar {
        Scalar::Null => Json::Null,
        Scalar::Bool(value) => Json::Bool(*value),
        Scalar::Int(value) | Scalar::Time(value) => Json::Int(*value),
        Scalar::Float(value) => Json::Float(*value),
        Scalar::Text(value) => Json::Text(value.clone().into_owned()),
        Scalar::List(items) => Json::List(items.iter().map(json_of).collect()),
    }
}
