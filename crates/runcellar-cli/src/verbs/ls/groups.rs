//! `ls --group-by`: what runs with the same values have in common.

use runcellar::query::filter::Field;
use runcellar::query::parse_fields;
use runcellar::{Group, GroupStatistics, Groups, Json, Selection, Value};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::{Args, ROWS_DEFAULT, json_text, say_what_is_left, value_text};
use crate::failure::Failure;
use crate::render::number::short_number;
use crate::render::table::{Cell, Column, Table};
use crate::render::{Style, time};
use crate::session::Session;
use crate::shapes::{Float, Nested, Scalar, Time};

/// Columns by which runs are grouped stay; figures go from the last.
const KEEP_FIGURES: u8 = 100;

pub(super) fn run(session: &Session, selection: &Selection, by: &str, args: &Args) -> Result<(), Failure> {
    let fields = |text: &str| parse_fields(text).map_err(|error| Failure::query(error, text));
    let (by, of) = (fields(by)?, fields(args.of.as_deref().unwrap_or_default())?);
    let (workspace, _) = session.open_as_of(&args.as_of)?;
    let mut groups = {
        let _work = session.work("reading runs");
        workspace.group_runs(selection, &by, &of)?
    };
    if let Some(keys) = &args.sort {
        groups.order_by(keys).map_err(|error| Failure::query(error, keys))?;
    }
    let total = groups.groups.len();
    let limit = args.limit.unwrap_or(if session.json { 0 } else { ROWS_DEFAULT });
    if limit > 0 {
        groups.groups.truncate(limit);
    }
    if session.json || total > 0 {
        let shape: Vec<GroupShape<'_>> =
            groups.groups.iter().map(|group| GroupShape { groups: &groups, group }).collect();
        session.answer(&shape, || table(&groups).render(session.display.width, session.display.color))?;
    }
    if !session.json {
        say_what_is_left(session, total, groups.groups.len(), args, "groups");
        session.remind_of_one_slot(&workspace);
    }
    Ok(())
}

fn table(groups: &Groups) -> Table {
    let title = |field: &Field| match field {
        Field::Config(path) => path.clone(),
        field => field.to_string(),
    };
    let mut heads: Vec<Column> = groups.by.iter().map(|field| Column::left(title(field)).shrink_to(6)).collect();
    heads.push(Column::right("runs"));
    for field in &groups.of {
        let name = if let Field::Summary(key) = field { key.clone() } else { field.to_string() };
        for figure in ["mean", "sd", "min", "max"] {
            heads.push(Column::right(format!("{name} {figure}")).priority(KEEP_FIGURES));
        }
    }
    let mut table = Table::new(heads);
    for group in &groups.groups {
        let keys = groups.by.iter().zip(&group.key).map(|(field, key)| key_text(field, key.as_ref()).into());
        let mut cells: Vec<Cell> = keys.collect();
        cells.push(Cell::new(group.runs.to_string(), Style::Bold));
        for figures in &group.statistics {
            let float = |value: Option<f64>| value.map(short_number).unwrap_or_default();
            let exact = |value: &Option<Value>| value.as_ref().map(value_text).unwrap_or_default();
            cells.push(float(figures.mean).into());
            cells.push(Cell::new(float(figures.deviation), Style::Dim));
            cells.push(exact(&figures.min).into());
            cells.push(exact(&figures.max).into());
        }
        table.push(cells);
    }
    table
}

fn key_text(field: &Field, key: Option<&Json>) -> String {
    match (field, key) {
        (Field::Created | Field::Finished, Some(Json::Int(us))) => time::rfc3339_us(*us),
        (_, Some(key)) => json_text(key),
        (_, None) => String::new(),
    }
}

/// One group: `{"group": {FIELD: VALUE}, "runs": INT, "stats": {FIELD: {...}}}`.
struct GroupShape<'a> {
    groups: &'a Groups,
    group: &'a Group,
}

/// A value that a group was made by.
struct KeyShape<'a>(&'a Field, Option<&'a Json>);

/// Figures of one field.
struct FiguresShape<'a>(&'a GroupStatistics);

/// Members with names that are made on the way.
struct Members<T>(Vec<(String, T)>);

impl<T: Serialize> Serialize for Members<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl Serialize for GroupShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let keys = self.groups.by.iter().zip(&self.group.key);
        let keys = keys.map(|(field, key)| (field.to_string(), KeyShape(field, key.as_ref()))).collect();
        let figures = self.groups.of.iter().zip(&self.group.statistics);
        let figures = figures.map(|(field, figures)| (field.to_string(), FiguresShape(figures))).collect();
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("group", &Members(keys))?;
        map.serialize_entry("runs", &self.group.runs)?;
        map.serialize_entry("stats", &Members(figures))?;
        map.end()
    }
}

impl Serialize for KeyShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.0, self.1) {
            (Field::Created | Field::Finished, Some(Json::Int(us))) => Time(*us).serialize(serializer),
            (_, Some(key)) => Nested(key).serialize(serializer),
            (_, None) => serializer.serialize_none(),
        }
    }
}

impl Serialize for FiguresShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let GroupStatistics { count, non_finite, mean, deviation, min, max } = self.0;
        let mut map = serializer.serialize_map(Some(6))?;
        map.serialize_entry("n", count)?;
        map.serialize_entry("mean", &mean.map(Float))?;
        map.serialize_entry("sd", &deviation.map(Float))?;
        map.serialize_entry("min", &min.as_ref().map(Scalar))?;
        map.serialize_entry("max", &max.as_ref().map(Scalar))?;
        map.serialize_entry("non_finite", non_finite)?;
        map.end()
    }
}
