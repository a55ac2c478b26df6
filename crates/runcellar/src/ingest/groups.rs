//! Row groups: cutting a batch into groups, and joining it with a short group that went before.

use runcellar_format::WriterId;
use runcellar_format::block::{
    COLUMNS_MAX, Column, ColumnEntry, GroupMain, GroupRows, Level, Presence, Values, encode_column, encode_group,
};
use runcellar_format::record::{Body, GroupEntry, GroupPage, PAGE_ENTRIES, WriterRow};
use runcellar_format::seal::Kind;
use runcellar_format::sum::Sum;

use super::batch::{Batch, CELLS_MAX, MetricColumns, ROWS_MAX, TEXT_BYTES_MAX};
use super::data::{RunData, value_at};
use crate::db::{BlockRow, Cover, GroupKey, ObjectKey, ReadTx, WriteTx};
use crate::keys::Keyring;
use crate::{Error, Result};

/// A row group, decoded.
pub(crate) struct Group {
    pub(crate) sequences: (u64, u64),
    pub(crate) steps: Vec<i64>,
    pub(crate) times: Vec<i64>,
    pub(crate) columns: Vec<Column>,
}

/// Opens one part of a group.
pub(crate) fn open_part(
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    data: &RunData,
    group: GroupKey,
    part: u32,
) -> Result<Vec<u8>> {
    let noun = || format!("block {} part {part} of run {}", group.number, data.record.id);
    let row = tx.block(group, part)?.ok_or_else(|| Error::damaged(format!("{}: missing", noun())))?;
    let place = BlockRow::place(keyring.workspace(), group, part);
    data.key()?.open(&place, &row.body).map_err(|cause| crate::db::damaged_in_place(noun(), cause))
}

/// Returns the key of a group entry of a run.
pub(crate) fn group_key(data: &RunData, entry: &GroupEntry) -> GroupKey {
    GroupKey { run: data.object, writer: WriterId(entry.writer), number: entry.number }
}

/// Reads a column of a group, opening its own part if it has one.
pub(crate) fn read_column(
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    data: &RunData,
    group: GroupKey,
    entry: &ColumnEntry<'_>,
) -> Result<Values> {
    let part = (entry.part != 0).then(|| open_part(tx, keyring, data, group, entry.part)).transpose()?;
    entry
        .decode(part.as_deref())
        .map_err(|cause| Error::format(format_args!("block {} of run {}", group.number, data.record.id), cause))
}

/// Reads a whole group.
pub(crate) fn read_group(tx: &ReadTx<'_>, keyring: &Keyring, data: &RunData, group: GroupKey) -> Result<Group> {
    let named = |cause| Error::format(format_args!("block {} of run {}", group.number, data.record.id), cause);
    let main = open_part(tx, keyring, data, group, 0)?;
    let main = GroupMain::decode(&main).map_err(named)?;
    let mut columns = Vec::new();
    for entry in &main.columns {
        let values = read_column(tx, keyring, data, group, entry)?;
        columns.push(Column { series: entry.series, presence: entry.presence().map_err(named)?, values });
    }
    let (steps, times) = (main.steps().map_err(named)?, main.times().map_err(named)?);
    Ok(Group { sequences: (main.first_sequence, main.last_sequence), steps, times, columns })
}

/// Stores the rows of a batch whose columns carry the run's numbers; returns the groups made and those taken away.
///
/// A short last group of the same writer is joined with them, so that however often little is ingested, at most one
/// group of a writer is short.
pub(super) fn store_rows(
    tx: &mut WriteTx<'_>,
    data: &mut RunData,
    writer: &mut WriterRow,
    batch: &Batch,
    columns: Vec<Column>,
) -> Result<(Vec<u32>, Vec<u32>)> {
    let (mut made, mut gone) = (Vec::new(), Vec::new());
    let Some(sequences) = batch.row_sequences else { return Ok((made, gone)) };
    data.head.rows += batch.rows() as u64;
    data.head.points += columns.iter().map(|column| column.values.len() as u64).sum::<u64>();
    let mut group = Group { sequences, steps: batch.steps.clone(), times: batch.times.clone(), columns };
    if let Some(short) = last_group(tx, data, batch.writer)?.filter(|last| may_join(last, &group)) {
        let before = read_group(tx, tx.keyring, data, group_key(data, &short))?;
        if fit_together(&before, &group) {
            group = joined(before, group);
            remove_group(tx, data, &short)?;
            gone.push(short.number);
        }
    }
    let entry = store_group(tx, data, writer, batch.writer, &group)?;
    made.push(entry.number);
    add_entry(tx, data, entry)?;
    Ok((made, gone))
}

/// Returns true if a group may take up the rows of another, as far as its entry tells: limits hold for what is joined
/// as for a batch, or a run of long texts or many metrics would be rewritten as one ever longer group.
fn may_join(last: &GroupEntry, group: &Group) -> bool {
    let cells: usize = group.columns.iter().map(|column| column.values.len()).sum();
    last.rows as usize + group.steps.len() <= ROWS_MAX && last.points as usize + cells <= CELLS_MAX
}

fn fit_together(left: &Group, right: &Group) -> bool {
    let columns = || left.columns.iter().chain(&right.columns);
    let text_bytes = |column: &Column| match &column.values {
        Values::Text(all) => all.iter().map(String::len).sum(),
        _ => 0,
    };
    columns().map(text_bytes).sum::<usize>() <= TEXT_BYTES_MAX && columns().count() <= COLUMNS_MAX as usize
}

fn joined(mut left: Group, right: Group) -> Group {
    let offset = u32::try_from(left.steps.len()).unwrap_or(u32::MAX);
    let mut columns: Vec<(u32, MetricColumns)> = Vec::new();
    for (shift, part) in [(0, left.columns), (offset, right.columns)] {
        for column in part {
            let at = columns.iter().position(|(series, _)| *series == column.series).unwrap_or_else(|| {
                columns.push((column.series, MetricColumns::default()));
                columns.len() - 1
            });
            for index in 0..column.values.len() {
                let row = match &column.presence {
                    Presence::Dense => u32::try_from(index).unwrap_or(u32::MAX),
                    Presence::Rows(rows) => rows.get(index).copied().unwrap_or(u32::MAX),
                };
                if let (Some(value), Some((_, all))) = (value_at(&column.values, index), columns.get_mut(at)) {
                    all.push(row + shift, 0, value);
                }
            }
        }
    }
    left.steps.extend(right.steps);
    left.times.extend(right.times);
    let rows = left.steps.len();
    let columns = columns.into_iter().flat_map(|(series, all)| all.into_columns(series, rows)).collect();
    let sequences = (left.sequences.0.min(right.sequences.0), left.sequences.1.max(right.sequences.1));
    Group { sequences, steps: left.steps, times: left.times, columns }
}

fn store_group(
    tx: &mut WriteTx<'_>,
    data: &mut RunData,
    writer: &mut WriterRow,
    id: WriterId,
    group: &Group,
) -> Result<GroupEntry> {
    let named = |cause| Error::format(format_args!("run {}", data.record.id), cause);
    let rows = u32::try_from(group.steps.len()).unwrap_or(u32::MAX);
    let encoded = group.columns.iter().map(|column| encode_column(column, rows, Level::Best));
    let encoded = encoded.collect::<Result<Vec<_>, _>>().map_err(named)?;
    let (first_sequence, last_sequence) = group.sequences;
    let header = GroupRows { writer: id, first_sequence, last_sequence, steps: &group.steps, times: &group.times };
    let parts = encode_group(&header, encoded, Level::Best).map_err(named)?.parts;
    let (number, place) = (writer.next_group, data.head.next_group);
    writer.next_group += 1;
    data.head.next_group += 1;
    let (key, group_key) = (data.key()?, GroupKey { run: data.object, writer: id, number });
    let mut sum = Sum::default();
    for (part, plain) in (0..).zip(&parts) {
        sum.add(&tx.put_block(group_key, part, &key, plain)?);
    }
    let extent = |all: &[i64]| (all.iter().min().copied().unwrap_or(0), all.iter().max().copied().unwrap_or(0));
    let ((first_step, last_step), (first_time, last_time)) = (extent(&group.steps), extent(&group.times));
    Ok(GroupEntry {
        place,
        writer: id.0,
        number,
        first_sequence,
        last_sequence,
        rows,
        points: group.columns.iter().map(|column| column.values.len() as u64).sum(),
        first_step,
        last_step,
        first_time,
        last_time,
        parts: u32::try_from(parts.len()).unwrap_or(u32::MAX),
        best: true,
        sum: sum.0,
    })
}

/// Returns the last group of a writer if it stands on one of the last two pages; an older short group stays short.
fn last_group(tx: &WriteTx<'_>, data: &RunData, writer: WriterId) -> Result<Option<GroupEntry>> {
    let last_page = u64::from(data.head.next_group.saturating_sub(1)) / PAGE_ENTRIES as u64;
    for number in (last_page.saturating_sub(1)..=last_page).rev() {
        let page = page_at(tx, data, number)?;
        if let Some(entry) = page.entries.into_iter().rev().find(|entry| entry.writer == writer.0) {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

fn page_number(entry: &GroupEntry) -> u64 {
    u64::from(entry.place) / PAGE_ENTRIES as u64
}

fn page_at(tx: &WriteTx<'_>, data: &RunData, number: u64) -> Result<GroupPage> {
    match tx.object(ObjectKey::new(Kind::GroupPage, data.object, number))? {
        Some(row) => data.group_page(tx, tx.keyring, &row),
        None => Ok(GroupPage::default()),
    }
}

fn put_page(tx: &mut WriteTx<'_>, data: &mut RunData, number: u64, page: &GroupPage) -> Result<()> {
    let body = page.to_body().map_err(|cause| Error::format(format_args!("run {}", data.record.id), cause))?;
    let key = data.key()?;
    let (old, new) = tx.put(ObjectKey::new(Kind::GroupPage, data.object, number), None, &key, &body, Cover::Head)?;
    let mut sum = Sum(data.head.sum);
    if let Some(old) = old {
        sum.remove(&old);
    }
    sum.add(&new);
    data.head.sum = sum.0;
    Ok(())
}

fn add_entry(tx: &mut WriteTx<'_>, data: &mut RunData, entry: GroupEntry) -> Result<()> {
    let number = page_number(&entry);
    let mut page = page_at(tx, data, number)?;
    page.entries.push(entry);
    put_page(tx, data, number, &page)
}

fn remove_group(tx: &mut WriteTx<'_>, data: &mut RunData, entry: &GroupEntry) -> Result<()> {
    tx.delete_group(group_key(data, entry))?;
    let number = page_number(entry);
    let mut page = page_at(tx, data, number)?;
    page.entries.retain(|known| known.place != entry.place);
    put_page(tx, data, number, &page)
}
