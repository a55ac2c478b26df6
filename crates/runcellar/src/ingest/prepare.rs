//! Making a batch ready to be stored: the work that needs no transaction, so that nobody waits for it.
//!
//! In comes a batch, out go encoded columns under provisional numbers and what the batch adds to each series. A short
//! group that went before is read and joined here as well; [`super::store`] looks whether it is still the last one.

use runcellar_format::WriterId;
use runcellar_format::block::{
    COLUMNS_MAX, Column, EncodedColumn, EncodedSpine, GroupRows, Level, Presence, Values, encode_column, encode_spine,
};
use runcellar_format::record::{GroupEntry, SeriesEntry};

use super::batch::{Batch, CELLS_MAX, LONG_BYTES_MAX, MetricColumns, ROWS_MAX};
use super::data::value_at;
use super::groups::{self, Group};
use super::series::SeriesNumbers;
use super::{statistics, store};
use crate::db::ReadTx;
use crate::keys::Keyring;
use crate::workspace::Writing;
use crate::{Error, Result};

/// A batch made ready.
#[derive(Default)]
pub(super) struct Prepared {
    /// What it adds to each of its series.
    pub(super) series: Vec<SeriesEntry>,
    /// Points of the batch.
    pub(super) points: u64,
    pub(super) group: Option<PreparedGroup>,
}

/// A group whose columns do not have the run's numbers yet.
pub(super) struct PreparedGroup {
    /// What is known before it is stored; place, number, parts and sum are not.
    pub(super) entry: GroupEntry,
    pub(super) spine: EncodedSpine,
    /// Columns; those of the batch's series are numbered by their place in [`Prepared::series`].
    pub(super) columns: Vec<EncodedColumn>,
    /// The run's numbers of series that only the joined group has values of, provisionally numbered after the others.
    pub(super) others: Vec<u32>,
    /// The short group that is joined in, and goes.
    pub(super) joins: Option<GroupEntry>,
}

/// Makes a batch ready, taking its values.
pub(super) fn prepare(
    writing: &Writing<'_>,
    batch: &mut Batch,
    known: &mut SeriesNumbers,
    level: Level,
) -> Result<Prepared> {
    let Some(sequences) = batch.row_sequences else { return Ok(Prepared::default()) };
    let rows = batch.rows();
    let (mut series, mut columns) = (Vec::with_capacity(batch.metrics.len()), Vec::new());
    for (number, metric) in (0..).zip(&mut batch.metrics) {
        let mut of_metric = metric.columns.take_columns(number, rows);
        series.push(statistics::of_columns(&metric.name, &of_metric, &batch.steps));
        columns.append(&mut of_metric);
    }
    let points = columns.iter().map(|column| column.values.len() as u64).sum();
    let mut group = Group { sequences, steps: batch.steps.clone(), times: batch.times.clone(), columns };
    let (mut joins, mut others) = (None, Vec::new());
    if rows < ROWS_MAX
        && let Some(short) = writing.read(|tx, keyring| short_group(tx, keyring, batch.writer, &group, known))?
        && fit_together(&short.group, &group)
    {
        let mut before = short.group;
        others = renumber(&mut before, &series, known);
        group = joined(before, group);
        joins = Some(short.entry);
    }
    let named = |cause| Error::format(format_args!("writer {}", batch.writer), cause);
    let (entry, spine, columns) = encode(batch.writer, &group, level).map_err(named)?;
    Ok(Prepared { series, points, group: Some(PreparedGroup { entry, spine, columns, others, joins }) })
}

/// Encodes a group. Of the entry, place, number, parts and sum are left to whoever stores it.
pub(crate) fn encode(
    writer: WriterId,
    group: &Group,
    level: Level,
) -> Result<(GroupEntry, EncodedSpine, Vec<EncodedColumn>), runcellar_format::FormatError> {
    let (first_sequence, last_sequence) = group.sequences;
    let header = GroupRows { writer, first_sequence, last_sequence, steps: &group.steps, times: &group.times };
    let spine = encode_spine(&header, level)?;
    let rows = u32::try_from(group.steps.len()).unwrap_or(u32::MAX);
    let columns = group.columns.iter().map(|column| encode_column(column, rows, level)).collect::<Result<_, _>>()?;
    Ok((GroupEntry { best: level == Level::Best, ..entry_of(writer, group) }, spine, columns))
}

/// Says what a group holds. Place, number, level, parts and sum are left to whoever stores it.
pub(crate) fn entry_of(writer: WriterId, group: &Group) -> GroupEntry {
    let (first_sequence, last_sequence) = group.sequences;
    let extent = |all: &[i64]| (all.iter().min().copied().unwrap_or(0), all.iter().max().copied().unwrap_or(0));
    let ((first_step, last_step), (first_time, last_time)) = (extent(&group.steps), extent(&group.times));
    GroupEntry {
        writer: writer.0,
        first_sequence,
        last_sequence,
        rows: u32::try_from(group.steps.len()).unwrap_or(u32::MAX),
        points: group.columns.iter().map(|column| column.values.len() as u64).sum(),
        first_step,
        last_step,
        first_time,
        last_time,
        ..GroupEntry::default()
    }
}

struct ShortGroup {
    entry: GroupEntry,
    group: Group,
}

/// Reads the last group of a writer if the rows of `next` may join it, so that however often little is ingested, at
/// most one group of a writer is short.
fn short_group(
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    writer: WriterId,
    next: &Group,
    known: &mut SeriesNumbers,
) -> Result<Option<ShortGroup>> {
    let Some(row) = store::writer_row(tx, keyring, writer)? else { return Ok(None) };
    let data = store::load(tx, keyring, runcellar_format::ObjectId(row.run))?;
    let last = groups::last_group(tx, keyring, &data, writer)?;
    let rewinds = data.rewinds()?;
    let shows = |last: &GroupEntry| !rewinds.iter().any(|rewind| rewind.hides(last.writer, last.number));
    let Some(entry) = last.filter(|last| may_join(last, next) && shows(last)) else { return Ok(None) };
    known.refresh(tx, keyring, &data)?;
    let group = groups::read_group(tx, keyring, &data, groups::group_key(&data, &entry))?;
    Ok(Some(ShortGroup { entry, group }))
}

/// Returns true if a group may take up the rows of another, as far as its entry tells: limits hold for what is joined
/// as for a batch, or a run of long texts or many metrics would be rewritten as one ever longer group.
fn may_join(last: &GroupEntry, group: &Group) -> bool {
    let cells: usize = group.columns.iter().map(|column| column.values.len()).sum();
    last.rows as usize + group.steps.len() <= ROWS_MAX && last.points as usize + cells <= CELLS_MAX
}

/// Returns true if a group is no larger than what is made of a batch.
pub(crate) fn is_within_limits(group: &Group) -> bool {
    let cells: usize = group.columns.iter().map(|column| column.values.len()).sum();
    let long_bytes: usize = group.columns.iter().map(long_bytes).sum();
    let columns = group.columns.len();
    let fits = cells <= CELLS_MAX && long_bytes <= LONG_BYTES_MAX && columns <= COLUMNS_MAX as usize;
    fits && group.steps.len() <= ROWS_MAX
}

/// Returns the bytes of a column's texts and histograms.
pub(crate) fn long_bytes(column: &Column) -> usize {
    match &column.values {
        Values::Text(all) => all.iter().map(String::len).sum(),
        Values::Histogram(all) => all.iter().map(|one| one.numbers() * size_of::<f64>()).sum(),
        _ => 0,
    }
}

pub(super) fn fit_together(left: &Group, right: &Group) -> bool {
    let columns = || left.columns.iter().chain(&right.columns);
    columns().map(long_bytes).sum::<usize>() <= LONG_BYTES_MAX && columns().count() <= COLUMNS_MAX as usize
}

/// Gives the columns of a stored group provisional numbers: the places of `series`, or numbers after them for series
/// that are not among these, which are returned.
fn renumber(group: &mut Group, series: &[SeriesEntry], known: &SeriesNumbers) -> Vec<u32> {
    let number = |(place, entry): (u32, &SeriesEntry)| Some((known.get(&entry.name)?, place));
    let mut places: std::collections::HashMap<u32, u32> = (0..).zip(series).filter_map(number).collect();
    let mut others = Vec::new();
    for column in &mut group.columns {
        column.series = *places.entry(column.series).or_insert_with(|| {
            others.push(column.series);
            u32::try_from(series.len() + others.len() - 1).unwrap_or(u32::MAX)
        });
    }
    others
}

/// Joins two groups of one writer whose columns are numbered alike.
pub(super) fn joined(mut left: Group, right: Group) -> Group {
    let offset = u32::try_from(left.steps.len()).unwrap_or(u32::MAX);
    let mut columns: std::collections::BTreeMap<u32, MetricColumns> = std::collections::BTreeMap::new();
    for (shift, part) in [(0, left.columns), (offset, right.columns)] {
        for column in part {
            let all = columns.entry(column.series).or_default();
            for index in 0..column.values.len() {
                let row = match &column.presence {
                    Presence::Dense => u32::try_from(index).unwrap_or(u32::MAX),
                    Presence::Rows(rows) => rows.get(index).copied().unwrap_or(u32::MAX),
                };
                if let Some(value) = value_at(&column.values, index) {
                    all.push(row + shift, 0, value);
                }
            }
        }
    }
    left.steps.extend(right.steps);
    left.times.extend(right.times);
    let rows = left.steps.len();
    let columns = columns.into_iter().flat_map(|(series, mut all)| all.take_columns(series, rows)).collect();
    let sequences = (left.sequences.0.min(right.sequences.0), left.sequences.1.max(right.sequences.1));
    Group { sequences, steps: left.steps, times: left.times, columns }
}
