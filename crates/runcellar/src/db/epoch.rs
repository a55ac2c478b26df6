//! Replacing the root key: a new epoch row, new project epoch keys, and every wrap of the key table written anew.
//!
//! Wraps alone are rewritten, about a hundred bytes a key: no object is (rule K1).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use runcellar_format::KeyId;
use runcellar_format::seal::{Envelope, OwnerKey};

use super::read::{KEY_COLUMNS, key_from};
use super::rows::Summed as _;
use super::{BUSY_WAIT, Db, EpochRow, ReadTx, WriteTx, insert_epoch, insert_key};
use crate::keys::{KeyRow, Purpose};
use crate::{Error, Result};

impl WriteTx<'_> {
    /// Begins an epoch: draws new project epoch keys, and wraps every key of the table anew, under `root` or these.
    ///
    /// Keys that are to be lost with the old epoch are removed before. Keys that are drawn in this transaction
    /// afterwards hang from the new epoch. `between` are epochs of other devices that come before it.
    pub(crate) fn begin_epoch(&mut self, next: EpochRow, between: &[EpochRow], root: &Arc<OwnerKey>) -> Result<()> {
        let old = self.epoch();
        let old_root = self.keyring.epoch_key(old.id)?;
        for row in between.iter().chain([&next]) {
            insert_epoch(self.transaction(), *row)?;
            self.add_to_sum(&row.hash(self.integrity().secret()));
        }
        self.set_epoch(next);
        let mut projects = HashMap::new();
        for row in self.keys_for(Purpose::ProjectEpoch)? {
            let before = self.keyring.open(&row, &old_root)?;
            let (new, key) = self.keyring.draw(self.io, row.owner, Purpose::ProjectEpoch, next.id, root)?;
            self.remove_key(row.id)?;
            self.add_to_sum(&new.hash(self.integrity().secret()));
            insert_key(self.transaction(), &new)?;
            projects.insert(before.id(), (before, key));
        }
        // The table is emptied and filled again, not changed row by row: SQLite moves rows between pages without clearing
        // what they leave behind, and overwrites the pages of a table that it empties. About 300 bytes of memory a key.
        let integrity = self.integrity().clone();
        let mut rows = self.all_keys()?;
        for row in rows.iter_mut().filter(|row| row.epoch != next.id) {
            let by = wrapping_key(row)?;
            let wrapped = match projects.get(&by) {
                Some((from, to)) => self.keyring.rewrap(self.io, row, from, to, next.id)?,
                None if by.0 == old.id.0 => self.keyring.rewrap(self.io, row, &old_root, root, next.id)?,
                None => return Err(Error::damaged(format!("key {}: its wrapping key {by} is missing", row.id))),
            };
            self.remove_from_sum(&row.hash(integrity.secret()));
            self.add_to_sum(&wrapped.hash(integrity.secret()));
            *row = wrapped;
        }
        self.transaction().execute("DELETE FROM key", [])?;
        rows.iter().try_for_each(|row| insert_key(self.transaction(), row))
    }
}

fn wrapping_key(row: &KeyRow) -> Result<KeyId> {
    let envelope = Envelope::parse("wrapped key", &row.wrap);
    Ok(envelope.map_err(|cause| Error::format(format_args!("key {} of object {}", row.id, row.owner), cause))?.key)
}

impl ReadTx<'_> {
    /// Returns the keys for a purpose.
    pub(crate) fn keys_for(&self, purpose: Purpose) -> Result<Vec<KeyRow>> {
        let mut statement = self.transaction().prepare_cached(&format!("{KEY_COLUMNS} WHERE purpose = ?1"))?;
        Ok(statement.query_map([purpose as u8], key_from)?.collect::<rusqlite::Result<_>>()?)
    }

    fn all_keys(&self) -> Result<Vec<KeyRow>> {
        let mut statement = self.transaction().prepare_cached(&format!("{KEY_COLUMNS} ORDER BY id"))?;
        Ok(statement.query_map([], key_from)?.collect::<rusqlite::Result<_>>()?)
    }
}

impl Db {
    /// Writes the log back into the file and cuts it to nothing, so that no old page stays in it; false, at once, if
    /// somebody who reads or writes keeps it from that.
    pub(crate) fn empty_log(&self) -> Result<bool> {
        let connection = self.lock()?;
        connection.busy_timeout(Duration::ZERO)?;
        let emptied = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        connection.busy_timeout(BUSY_WAIT)?;
        Ok(emptied? == 0)
    }
}
