//! Rows as another copy of the workspace wrote them: a replica takes them as they are, without opening or sealing any.

use runcellar_format::record::RootRow;
use runcellar_format::seal::Kind;
use rusqlite::{Transaction, params};

use super::rows::Summed as _;
use super::write::{COVERED, insert_epoch, insert_key};
use super::{BlockRow, EpochRow, ObjectKey, ObjectRow, ReadTx, WriteTx};
use crate::Result;
use crate::io::Io;
use crate::keys::{KeyRow, Keyring};

impl<'a> WriteTx<'a> {
    /// Begins the first transaction of a replica, with the epochs and the keys of the workspace that are known here. They
    /// are no part of what its device published, and its sum does not count them.
    pub(crate) fn begin_replica(
        transaction: &'a Transaction<'a>,
        keyring: &'a Keyring,
        io: &'a dyn Io,
        (epochs, keys): (&[EpochRow], &[KeyRow]),
        root: RootRow,
    ) -> Result<Self> {
        for epoch in epochs {
            insert_epoch(transaction, *epoch)?;
        }
        for key in keys {
            insert_key(transaction, key)?;
        }
        Self::with_root(ReadTx::begin(transaction)?, keyring, io, root)
    }

    /// Begins the first transaction of a copy of the workspace that has nothing but its epochs and these keys.
    pub(crate) fn begin_copy(
        transaction: &'a Transaction<'a>,
        keyring: &'a Keyring,
        io: &'a dyn Io,
        (epochs, keys): (&[EpochRow], &[KeyRow]),
        root: RootRow,
    ) -> Result<Self> {
        let mut tx = Self::begin_replica(transaction, keyring, io, (epochs, keys), root)?;
        let integrity = tx.integrity().clone();
        epochs.iter().for_each(|row| tx.add_to_sum(&row.hash(integrity.secret())));
        keys.iter().for_each(|row| tx.add_to_sum(&row.hash(integrity.secret())));
        Ok(tx)
    }

    /// Puts a record in its place as it is.
    pub(crate) fn place_object(&mut self, row: &ObjectRow) -> Result<()> {
        self.take_object(row.key)?;
        if COVERED.contains(&row.key.kind) {
            self.add_to_sum(&row.hash(self.integrity().clone().secret()));
        }
        self.replace(row)
    }

    /// Takes a record away; nothing happens if it is not there.
    pub(crate) fn take_object(&mut self, key: ObjectKey) -> Result<()> {
        let Some(row) = self.object(key)? else { return Ok(()) };
        if COVERED.contains(&row.key.kind) {
            self.remove_from_sum(&row.hash(self.integrity().clone().secret()));
        }
        let sql = "DELETE FROM object WHERE kind = ?1 AND id = ?2 AND position = ?3";
        let values = params![key.kind as u16, key.id.0, key.position.cast_signed()];
        self.transaction().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Puts a row of the key table in its place as it is.
    pub(crate) fn place_key(&mut self, row: &KeyRow) -> Result<()> {
        self.remove_key(row.id)?;
        self.add_to_sum(&row.hash(self.integrity().clone().secret()));
        insert_key(self.transaction(), row)
    }

    /// Puts a part of a row group in its place as it is.
    pub(crate) fn place_block(&self, row: &BlockRow) -> Result<()> {
        let sql = "INSERT INTO block (run, writer, number, part, body) VALUES (?1, ?2, ?3, ?4, ?5) \
                   ON CONFLICT (run, writer, number, part) DO UPDATE SET body = excluded.body";
        let values = params![row.run.0, row.writer.0, row.number, row.part, row.body];
        self.transaction().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Takes records of a kind and owner away whose position is at most `last`.
    pub(crate) fn take_up_to(&self, key: ObjectKey) -> Result<()> {
        debug_assert!(!COVERED.contains(&key.kind), "the root row's sum does not count them");
        let sql = "DELETE FROM object WHERE kind = ?1 AND id = ?2 AND position <= ?3";
        let values = params![key.kind as u16, key.id.0, key.position.cast_signed()];
        self.transaction().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Returns the sum as it is now.
    pub(crate) fn present_sum(&self) -> [u8; 32] {
        self.sum_so_far()
    }
}

/// Kinds of records that belong to a run and lie under its object id.
pub(crate) const OF_RUN: [Kind; 5] = [Kind::Run, Kind::Head, Kind::SeriesPage, Kind::GroupPage, Kind::Overview];
