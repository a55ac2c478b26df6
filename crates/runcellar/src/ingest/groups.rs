//! Row groups in the database: reading them, and putting them and the pages that list them there.

use runcellar_format::block::{Column, ColumnEntry, EncodedColumn, EncodedSpine, GroupMain, Values, assemble_group};
use runcellar_format::record::{Body, GroupEntry, GroupPage, PAGE_ENTRIES, WriterRow};
use runcellar_format::seal::{Kind, OwnerKey};
use runcellar_format::{WorkspaceId, WriterId};

use super::data::RunData;
use crate::db::{BlockRow, GroupKey, ObjectKey, ReadTx, WriteTx};
use crate::keys::Keyring;
use crate::{Error, Result};

/// A row group, decoded.
#[derive(Clone)]
pub(crate) struct Group {
    pub(crate) sequences: (u64, u64),
    pub(crate) steps: Vec<i64>,
    pub(crate) times: Vec<i64>,
    pub(crate) columns: Vec<Column>,
}

/// Reads one part of a group, sealed.
pub(crate) fn sealed_part(tx: &ReadTx<'_>, data: &RunData, group: GroupKey, part: u32) -> Result<BlockRow> {
    let missing = || Error::damaged(format!("{}: missing", part_noun(group.number, part, &data.record.id)));
    tx.block(group, part)?.ok_or_else(missing)
}

/// Opens a part under the key of its run.
pub(crate) fn open_sealed(key: &OwnerKey, workspace: WorkspaceId, run: &str, row: &BlockRow) -> Result<Vec<u8>> {
    let group = GroupKey { run: row.run, writer: row.writer, number: row.number };
    let opened = key.open(&BlockRow::place(workspace, group, row.part), &row.body);
    opened.map_err(|cause| crate::db::damaged_in_place(part_noun(row.number, row.part, run), cause))
}

fn part_noun(number: u32, part: u32, run: &str) -> String {
    format!("block {number} part {part} of run {run}")
}

/// Opens one part of a group.
pub(crate) fn open_part(
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    data: &RunData,
    group: GroupKey,
    part: u32,
) -> Result<Vec<u8>> {
    open_sealed(&*data.key()?, keyring.workspace(), &data.record.id, &sealed_part(tx, data, group, part)?)
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

/// Stores an encoded group whose columns carry the run's numbers, in the place of the group that it takes up or after
/// all others. Of `entry`, place, number, parts and sum are filled in.
pub(crate) fn store_group(
    tx: &mut WriteTx<'_>,
    data: &mut RunData,
    writer: &mut WriterRow,
    mut entry: GroupEntry,
    (spine, columns): (&EncodedSpine, Vec<EncodedColumn>),
    instead_of: &[GroupEntry],
) -> Result<u32> {
    entry.number = writer.next_group;
    writer.next_group += 1;
    // Before the new one is put, which then has their pages.
    for old in instead_of {
        tx.delete_group(group_key(data, old))?;
        change_page(tx, data, old.place, |entries| entries.retain(|known| known.place != old.place))?;
    }
    put_blocks(tx, data, &mut entry, spine, columns)?;
    // A group that takes up others keeps the first one's place: groups of a writer stay in order of sequence.
    entry.place = instead_of.first().map_or(data.head.next_group, |first| first.place);
    data.head.next_group = data.head.next_group.max(entry.place + 1);
    let number = entry.number;
    change_page(tx, data, entry.place, |entries| {
        let at = entries.partition_point(|known| known.place < entry.place);
        entries.insert(at, entry);
    })?;
    Ok(number)
}

/// Puts the blocks of an encoded group, and fills in parts and sum of its entry.
pub(crate) fn put_blocks(
    tx: &mut WriteTx<'_>,
    data: &RunData,
    entry: &mut GroupEntry,
    spine: &EncodedSpine,
    columns: Vec<EncodedColumn>,
) -> Result<()> {
    let named = |cause| Error::format(format_args!("run {}", data.record.id), cause);
    let parts = assemble_group(spine, columns).map_err(named)?.parts;
    let sum = tx.put_group(group_key(data, entry), &*data.key()?, &parts)?;
    (entry.sum, entry.parts) = (sum.0, u32::try_from(parts.len()).unwrap_or(u32::MAX));
    Ok(())
}

/// Returns the last group of a writer if it stands on one of the last two pages; an older short group stays short.
pub(super) fn last_group(
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    data: &RunData,
    writer: WriterId,
) -> Result<Option<GroupEntry>> {
    let last_page = page_of(data.head.next_group.saturating_sub(1));
    for number in (last_page.saturating_sub(1)..=last_page).rev() {
        let page = page_at(tx, keyring, data, number)?;
        if let Some(entry) = page.entries.into_iter().rev().find(|entry| entry.writer == writer.0) {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

/// Returns true if a group is still there as it was read, and shows.
pub(super) fn is_there(tx: &ReadTx<'_>, keyring: &Keyring, data: &RunData, entry: &GroupEntry) -> Result<bool> {
    let is_hidden = data.rewinds()?.iter().any(|rewind| rewind.hides(entry.writer, entry.number));
    Ok(!is_hidden && page_at(tx, keyring, data, page_of(entry.place))?.entries.contains(entry))
}

fn page_of(place: u32) -> u64 {
    u64::from(place) / PAGE_ENTRIES as u64
}

fn page_at(tx: &ReadTx<'_>, keyring: &Keyring, data: &RunData, number: u64) -> Result<GroupPage> {
    match tx.object(ObjectKey::new(Kind::GroupPage, data.object, number))? {
        Some(row) => data.group_page(tx, keyring, &row),
        None => Ok(GroupPage::default()),
    }
}

fn change_page(
    tx: &mut WriteTx<'_>,
    data: &mut RunData,
    place: u32,
    change: impl FnOnce(&mut Vec<GroupEntry>),
) -> Result<()> {
    let number = page_of(place);
    let mut page = page_at(tx, tx.keyring, data, number)?;
    change(&mut page.entries);
    put_page(tx, data, number, &page)
}

/// Writes a page of the list of groups.
pub(crate) fn put_page(tx: &mut WriteTx<'_>, data: &mut RunData, number: u64, page: &GroupPage) -> Result<()> {
    let body = page.to_body().map_err(|cause| Error::format(format_args!("run {}", data.record.id), cause))?;
    data.put_page(tx, Kind::GroupPage, number, &body)
}
