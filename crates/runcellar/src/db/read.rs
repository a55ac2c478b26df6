//! Reading rows inside a transaction.

use runcellar_format::seal::{Envelope, Kind, OwnerKey};
use runcellar_format::{DeviceId, EpochId, KeyId, ObjectId, WriterId};
use rusqlite::types::FromSql;
use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use std::collections::HashSet;
use std::sync::Arc;

use super::{BlockRow, EpochRow, GroupKey, ObjectKey, ObjectRow};
use crate::keys::{KeyRow, Keyring, Purpose};
use crate::{Error, ErrorKind, Result};

/// A transaction that sees one state of the database.
pub(crate) struct ReadTx<'a> {
    transaction: &'a Transaction<'a>,
    epoch: EpochRow,
}

pub(super) fn array<const N: usize>(row: &Row<'_>, column: usize) -> rusqlite::Result<[u8; N]> {
    <[u8; N]>::column_result(row.get_ref(column)?).map_err(Into::into)
}

fn object_from(row: &Row<'_>, kind: Kind) -> rusqlite::Result<ObjectRow> {
    Ok(ObjectRow {
        key: ObjectKey { kind, id: ObjectId(array(row, 0)?), position: row.get::<_, i64>(1)?.cast_unsigned() },
        device: DeviceId(array(row, 2)?),
        seq: row.get::<_, i64>(3)?.cast_unsigned(),
        tag: match row.get_ref(4)? {
            rusqlite::types::ValueRef::Null => None,
            _ => Some(array(row, 4)?),
        },
        body: row.get(5)?,
    })
}

pub(super) fn key_from(row: &Row<'_>) -> rusqlite::Result<KeyRow> {
    Ok(KeyRow {
        id: KeyId(array(row, 0)?),
        owner: ObjectId(array(row, 1)?),
        purpose: row.get(2)?,
        epoch: EpochId(array(row, 3)?),
        wrap: row.get(4)?,
    })
}

fn counted(row: &Row<'_>) -> rusqlite::Result<(u64, u64)> {
    Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned()))
}

pub(super) const KEY_COLUMNS: &str = "SELECT id, owner, purpose, epoch, wrap FROM key";
const OBJECT_COLUMNS: &str = "SELECT id, position, device, seq, tag, body FROM object";

impl<'a> ReadTx<'a> {
    /// Begins: reads the epoch row first, which fixes the state that the transaction sees.
    pub(super) fn begin(transaction: &'a Transaction<'a>) -> Result<Self> {
        let mut statement =
            transaction.prepare_cached("SELECT number, id, parent FROM epoch ORDER BY number DESC LIMIT 1")?;
        let epoch = statement
            .query_row([], |row| {
                let number = row.get::<_, i64>(0)?.cast_unsigned();
                Ok(EpochRow { number, id: EpochId(array(row, 1)?), parent: EpochId(array(row, 2)?) })
            })
            .optional()?
            .ok_or_else(|| Error::damaged("cellar.db: the epoch row is missing"))?;
        Ok(ReadTx { transaction, epoch })
    }

    pub(super) fn transaction(&self) -> &Transaction<'a> {
        self.transaction
    }

    /// Returns the live epoch.
    pub(crate) fn epoch(&self) -> EpochRow {
        self.epoch
    }

    pub(super) fn set_epoch(&mut self, epoch: EpochRow) {
        self.epoch = epoch;
    }

    /// Returns one sealed record.
    pub(crate) fn object(&self, key: ObjectKey) -> Result<Option<ObjectRow>> {
        let sql =
            "SELECT id, position, device, seq, tag, body FROM object WHERE kind = ?1 AND id = ?2 AND position = ?3";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let place = params![key.kind as u16, key.id.0, key.position.cast_signed()];
        Ok(statement.query_row(place, |row| object_from(row, key.kind)).optional()?)
    }

    /// Returns the record that has a lookup tag.
    pub(crate) fn object_by_tag(&self, kind: Kind, tag: &[u8; 32]) -> Result<Option<ObjectRow>> {
        let mut statement =
            self.transaction.prepare_cached(&format!("{OBJECT_COLUMNS} WHERE tag = ?1 AND kind = ?2"))?;
        Ok(statement.query_row(params![tag, kind as u16], |row| object_from(row, kind)).optional()?)
    }

    /// Returns all records of a kind, or those of one owner, by owner and position.
    pub(crate) fn objects(&self, kind: Kind, owner: Option<ObjectId>) -> Result<Vec<ObjectRow>> {
        let condition = if owner.is_some() { " AND id = ?2" } else { " AND ?2 IS NULL" };
        let sql = format!("{OBJECT_COLUMNS} WHERE kind = ?1{condition} ORDER BY id, position");
        let mut statement = self.transaction.prepare_cached(&sql)?;
        let rows =
            statement.query_map(params![kind as u16, owner.map(|owner| owner.0)], |row| object_from(row, kind))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Returns whose records of a kind there are.
    pub(crate) fn object_ids(&self, kind: Kind) -> Result<Vec<ObjectId>> {
        let mut statement = self.transaction.prepare_cached("SELECT DISTINCT id FROM object WHERE kind = ?1")?;
        let rows = statement.query_map([kind as u16], |row| Ok(ObjectId(array(row, 0)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Returns the records of one owner from a position to another, both among them, by position.
    pub(crate) fn objects_within(&self, kind: Kind, owner: ObjectId, from: u64, to: u64) -> Result<Vec<ObjectRow>> {
        let sql =
            format!("{OBJECT_COLUMNS} WHERE kind = ?1 AND id = ?2 AND position BETWEEN ?3 AND ?4 ORDER BY position");
        let mut statement = self.transaction.prepare_cached(&sql)?;
        let place = params![kind as u16, owner.0, from.cast_signed(), to.cast_signed()];
        let rows = statement.query_map(place, |row| object_from(row, kind))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Returns the versions of an owner's records of a kind at some positions, in order of position: who wrote each, and when.
    pub(crate) fn versions_within(
        &self,
        kind: Kind,
        owner: ObjectId,
        at: std::ops::Range<u64>,
    ) -> Result<Vec<(u64, DeviceId, u64)>> {
        let sql = "SELECT position, device, seq FROM object WHERE kind = ?1 AND id = ?2 AND position BETWEEN ?3 AND ?4 \
                   ORDER BY position";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let (from, to) = (at.start.cast_signed(), at.end.cast_signed() - 1);
        let mut rows = statement.query(params![kind as u16, owner.0, from, to])?;
        let mut versions = Vec::new();
        while let Some(row) = rows.next()? {
            let (position, seq): (i64, i64) = (row.get(0)?, row.get(2)?);
            versions.push((position.cast_unsigned(), DeviceId(array(row, 1)?), seq.cast_unsigned()));
        }
        Ok(versions)
    }

    /// Returns the positions of the records of one owner.
    pub(crate) fn positions(&self, kind: Kind, owner: ObjectId) -> Result<Vec<u64>> {
        let mut statement =
            self.transaction.prepare_cached("SELECT position FROM object WHERE kind = ?1 AND id = ?2")?;
        let rows = statement.query_map(params![kind as u16, owner.0], |row| row.get::<_, i64>(0))?;
        Ok(rows.map(|position| Ok(position?.cast_unsigned())).collect::<rusqlite::Result<_>>()?)
    }

    /// Counts the records of one kind and owner, and their bytes.
    pub(crate) fn measure(&self, kind: Kind, owner: ObjectId) -> Result<(u64, u64)> {
        let sql = "SELECT count(*), coalesce(sum(length(body)), 0) FROM object WHERE kind = ?1 AND id = ?2";
        let mut statement = self.transaction.prepare_cached(sql)?;
        Ok(statement.query_row(params![kind as u16, owner.0], counted)?)
    }

    /// Does so for those within some positions.
    pub(crate) fn measure_within(&self, kind: Kind, owner: ObjectId, at: std::ops::Range<u64>) -> Result<(u64, u64)> {
        let sql = "SELECT count(*), coalesce(sum(length(body)), 0) FROM object \
                   WHERE kind = ?1 AND id = ?2 AND position >= ?3 AND position < ?4";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let place = params![kind as u16, owner.0, at.start.cast_signed(), at.end.cast_signed()];
        Ok(statement.query_row(place, counted)?)
    }

    /// Counts the parts of row groups of a run, and their bytes.
    pub(crate) fn measure_blocks(&self, run: ObjectId) -> Result<(u64, u64)> {
        let sql = "SELECT count(*), coalesce(sum(length(body)), 0) FROM block WHERE run = ?1";
        Ok(self.transaction.prepare_cached(sql)?.query_row([run.0], counted)?)
    }

    /// Counts the records of a kind.
    pub(crate) fn count_objects(&self, kind: Kind) -> Result<u64> {
        let mut statement = self.transaction.prepare_cached("SELECT count(*) FROM object WHERE kind = ?1")?;
        Ok(statement.query_row([kind as u16], |row| row.get::<_, i64>(0))?.cast_unsigned())
    }

    /// Returns the owners of the records of a kind that are sealed under a key, without opening them.
    pub(crate) fn owners_sealed_under(&self, kind: Kind, key: KeyId) -> Result<Vec<ObjectId>> {
        // The key id stands in clear behind magic, version and suite of the envelope.
        let sql = "SELECT DISTINCT id FROM object WHERE kind = ?1 AND substr(body, 5, 16) = ?2";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let rows = statement.query_map(params![kind as u16, key.0], |row| Ok(ObjectId(array(row, 0)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Returns one part of a row group.
    pub(crate) fn block(&self, group: GroupKey, part: u32) -> Result<Option<BlockRow>> {
        let sql = "SELECT body FROM block WHERE run = ?1 AND writer = ?2 AND number = ?3 AND part = ?4";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let place = params![group.run.0, group.writer.0, group.number, part];
        let body = statement.query_row(place, |row| row.get(0)).optional()?;
        let GroupKey { run, writer, number } = group;
        Ok(body.map(|body| BlockRow { run, writer, number, part, body }))
    }

    /// Calls `each` for every part of every row group of a run, by writer, number and part.
    pub(crate) fn blocks(&self, run: ObjectId, mut each: impl FnMut(BlockRow) -> Result<()>) -> Result<()> {
        let sql = "SELECT writer, number, part, body FROM block WHERE run = ?1 ORDER BY writer, number, part";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let mut rows = statement.query([run.0])?;
        while let Some(row) = rows.next()? {
            let writer = WriterId(array(row, 0)?);
            each(BlockRow { run, writer, number: row.get(1)?, part: row.get(2)?, body: row.get(3)? })?;
        }
        Ok(())
    }

    /// Returns writer, number and part of each part of a run's row groups that is here.
    pub(crate) fn block_places(&self, run: ObjectId) -> Result<HashSet<(WriterId, u32, u32)>> {
        let sql = "SELECT writer, number, part FROM block WHERE run = ?1";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let rows = statement.query_map([run.0], |row| Ok((WriterId(array(row, 0)?), row.get(1)?, row.get(2)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Returns the runs that own blocks.
    pub(crate) fn block_owners(&self) -> Result<Vec<ObjectId>> {
        let mut statement = self.transaction.prepare_cached("SELECT DISTINCT run FROM block")?;
        let rows = statement.query_map([], |row| Ok(ObjectId(array(row, 0)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Returns a row of the key table.
    pub(crate) fn key_row(&self, id: KeyId) -> Result<Option<KeyRow>> {
        let mut statement = self.transaction.prepare_cached(&format!("{KEY_COLUMNS} WHERE id = ?1"))?;
        Ok(statement.query_row([id.0], key_from).optional()?)
    }

    /// Returns the keys of an owner.
    pub(crate) fn keys_of(&self, owner: ObjectId) -> Result<Vec<KeyRow>> {
        let mut statement = self.transaction.prepare_cached(&format!("{KEY_COLUMNS} WHERE owner = ?1"))?;
        Ok(statement.query_map([owner.0], key_from)?.collect::<rusqlite::Result<_>>()?)
    }

    /// Returns the owner of a key and what the key is for.
    pub(crate) fn key_owner(&self, id: KeyId) -> Result<Option<(ObjectId, u8)>> {
        let mut statement = self.transaction.prepare_cached("SELECT owner, purpose FROM key WHERE id = ?1")?;
        Ok(statement.query_row([id.0], |row| Ok((ObjectId(array(row, 0)?), row.get(1)?))).optional()?)
    }

    /// Returns the devices whose changes stand here, each with the sequence of its last.
    pub(crate) fn devices(&self) -> Result<Vec<(ObjectId, u64)>> {
        // The distinct ids one seek at a time, as the rows of one device are many.
        let sql = "SELECT id FROM object WHERE kind = ?1 AND id > ?2 ORDER BY id LIMIT 1";
        let mut next = self.transaction.prepare_cached(sql)?;
        let mut last =
            self.transaction.prepare_cached("SELECT max(position) FROM object WHERE kind = ?1 AND id = ?2")?;
        let (kind, mut devices, mut after) = (Kind::Change as u16, Vec::new(), Vec::new());
        while let Some(id) = next.query_row(params![kind, after], |row| array(row, 0)).optional()? {
            let seq: i64 = last.query_row(params![kind, id], |row| row.get(0))?;
            devices.push((ObjectId(id), seq.cast_unsigned()));
            after = id.to_vec();
        }
        Ok(devices)
    }

    /// Calls `each` with the sequence and the key of every change of a device after one, in order, until it returns
    /// false. The changes are not opened.
    pub(crate) fn changes_after(
        &self,
        device: ObjectId,
        after: u64,
        mut each: impl FnMut(u64, KeyId) -> Result<bool>,
    ) -> Result<()> {
        // The key id stands in clear behind magic, version and suite of the envelope.
        let sql = "SELECT position, substr(body, 5, 16) FROM object WHERE kind = ?1 AND id = ?2 AND position > ?3 \
                   ORDER BY position";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let mut rows = statement.query(params![Kind::Change as u16, device.0, after.cast_signed()])?;
        while let Some(row) = rows.next()? {
            let key = <[u8; 16]>::column_result(row.get_ref(1)?);
            // A body too short for its header is damage, which `check` reports; it says nothing of any run.
            let Ok(key) = key else { continue };
            if !each(row.get::<_, i64>(0)?.cast_unsigned(), KeyId(key))? {
                break;
            }
        }
        Ok(())
    }

    /// Returns all rows of the key table.
    pub(crate) fn key_rows(&self) -> Result<Vec<KeyRow>> {
        let mut statement = self.transaction.prepare_cached(KEY_COLUMNS)?;
        Ok(statement.query_map([], key_from)?.collect::<rusqlite::Result<_>>()?)
    }

    /// Returns all epochs.
    pub(crate) fn epochs(&self) -> Result<Vec<EpochRow>> {
        let mut statement = self.transaction.prepare_cached("SELECT number, id, parent FROM epoch ORDER BY number")?;
        let rows = statement.query_map([], |row| {
            let number = row.get::<_, i64>(0)?.cast_unsigned();
            Ok(EpochRow { number, id: EpochId(array(row, 1)?), parent: EpochId(array(row, 2)?) })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Opens the key with this id, and the key that wraps it if need be.
    pub(crate) fn key(&self, keyring: &Keyring, id: KeyId) -> Result<Arc<OwnerKey>> {
        if let Some(key) = keyring.cached(id) {
            return Ok(key);
        }
        let row = self.key_row(id)?.ok_or_else(|| Error::damaged(format!("key {id}: missing from the key table")))?;
        self.open_key(keyring, &row)
    }

    /// Opens the key of an owner for a purpose, the newest of several.
    pub(crate) fn owner_key(
        &self,
        keyring: &Keyring,
        owner: ObjectId,
        purpose: Purpose,
    ) -> Result<Option<Arc<OwnerKey>>> {
        let sql = "SELECT id, owner, purpose, epoch, wrap FROM key WHERE owner = ?1 AND purpose = ?2";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let row = statement.query_row(params![owner.0, purpose as u8], key_from).optional()?;
        row.map(|row| self.open_key(keyring, &row)).transpose()
    }

    /// Opens a row of the key table.
    pub(crate) fn open_key(&self, keyring: &Keyring, row: &KeyRow) -> Result<Arc<OwnerKey>> {
        let noun = || format!("key {} of object {}", row.id, row.owner);
        if row.epoch != self.epoch().id {
            // All wraps are written anew with the epoch row: an older one was put back.
            return Err(Error::damaged(format!(
                "{}: wrapped under root key {}, which was replaced",
                noun(),
                row.epoch
            )));
        }
        let wrapping = Envelope::parse("wrapped key", &row.wrap).map_err(|cause| Error::format(noun(), cause))?.key;
        if wrapping.0 == row.epoch.0 {
            return keyring.open(row, &*keyring.epoch_key(row.epoch)?);
        }
        if wrapping == row.id {
            return Err(Error::damaged(format!("{}: wrapped under itself", noun())));
        }
        let parent = self.key_row(wrapping)?;
        match parent.filter(|parent| parent.purpose == Purpose::ProjectEpoch as u8) {
            // A project's epoch key hangs from the root epoch, so this goes one step further at most.
            Some(parent) => keyring.open(row, &*keyring.open(&parent, &*keyring.epoch_key(parent.epoch)?)?),
            None => Err(Error::new(ErrorKind::Damaged, format!("{}: its wrapping key {wrapping} is missing", noun()))),
        }
    }

    /// Opens a sealed record.
    pub(crate) fn open_object(&self, keyring: &Keyring, row: &ObjectRow) -> Result<Vec<u8>> {
        let noun = || format!("{} {}", row.key.kind.name(), row.key.id);
        let id = Envelope::parse(row.key.kind.name(), &row.body).map_err(|cause| Error::format(noun(), cause))?.key;
        let key = self.key(keyring, id)?;
        key.open(&row.place(keyring.workspace()), &row.body).map_err(|cause| damaged_in_place(noun(), cause))
    }
}

/// A record that names a key which opens, and yet does not open under it, was changed or moved: "wrong key" cannot
/// be, as the key is found by its id.
pub(crate) fn damaged_in_place(noun: String, cause: runcellar_format::FormatError) -> Error {
    match cause {
        runcellar_format::FormatError::WrongKey { .. } => {
            Error::damaged(format!("{noun}: its commitment does not fit its key: changed or replaced"))
                .with_cause(cause)
        }
        cause => Error::format(noun, cause),
    }
}
