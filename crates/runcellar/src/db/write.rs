//! Writing rows inside a transaction, with the root row kept in step.

use std::collections::HashSet;
use std::sync::Arc;

use runcellar_format::record::{Body, Change, RootRow, Tombstone};
use runcellar_format::seal::{Kind, OVERHEAD_BYTES, OwnerKey, Sealed};
use runcellar_format::sum::Sum;
use runcellar_format::{DeviceId, KeyId, ObjectId, SlotId};
use rusqlite::{Transaction, params};

use super::packing;
use super::rows::Summed;
use super::{BlockRow, EpochRow, GroupKey, ObjectKey, ObjectRow, ReadTx};
use crate::io::{self, Io};
use crate::keys::{KeyRow, Keyring, Purpose};
use crate::{Error, Result};

/// The owner of what belongs to the workspace as a whole.
pub(crate) const WORKSPACE_OWNER: ObjectId = ObjectId::NIL;

/// Which sum covers a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cover {
    /// The root row's.
    Root,
    /// A run head's, which the caller keeps.
    Head,
}

/// A transaction that may write.
pub(crate) struct WriteTx<'a> {
    read: ReadTx<'a>,
    pub(crate) keyring: &'a Keyring,
    pub(crate) io: &'a dyn Io,
    root: RootRow,
    sum: Sum,
    integrity: Arc<OwnerKey>,
}

impl<'a> std::ops::Deref for WriteTx<'a> {
    type Target = ReadTx<'a>;

    fn deref(&self) -> &ReadTx<'a> {
        &self.read
    }
}

impl<'a> WriteTx<'a> {
    pub(super) fn begin(transaction: &'a Transaction<'a>, keyring: &'a Keyring, io: &'a dyn Io) -> Result<Self> {
        let read = ReadTx::begin(transaction)?;
        let root = read.root(keyring)?;
        Self::with_root(read, keyring, io, root)
    }

    pub(super) fn with_root(read: ReadTx<'a>, keyring: &'a Keyring, io: &'a dyn Io, root: RootRow) -> Result<Self> {
        let integrity = read.integrity_key(keyring)?;
        let sum = Sum(root.sum);
        Ok(WriteTx { read, keyring, io, root, sum, integrity })
    }

    /// Begins the first transaction of a new database: writes the epoch row, and the keys of the workspace.
    pub(crate) fn begin_new(
        transaction: &'a Transaction<'a>,
        keyring: &'a Keyring,
        io: &'a dyn Io,
        epoch: EpochRow,
        root: RootRow,
        ingest: KeyRow,
    ) -> Result<Self> {
        insert_epoch(transaction, epoch)?;
        let wrapping = keyring.epoch_key(epoch.id)?;
        let mut rows = vec![ingest];
        for purpose in [Purpose::Lookup, Purpose::Control, Purpose::Integrity, Purpose::Settings] {
            rows.push(keyring.draw(io, WORKSPACE_OWNER, purpose, epoch.id, &wrapping)?.0);
        }
        for row in &rows {
            insert_key(transaction, row)?;
        }
        let mut tx = Self::with_root(ReadTx::begin(transaction)?, keyring, io, root)?;
        tx.sum.add(&epoch.hash(tx.integrity.secret()));
        for row in &rows {
            let hash = row.hash(tx.integrity.secret());
            tx.sum.add(&hash);
        }
        Ok(tx)
    }

    /// Writes the root row, the last step before the commit, and returns it.
    pub(crate) fn finish(mut self) -> Result<RootRow> {
        self.root.counter += 1;
        self.root.sum = self.sum.0;
        let key = ObjectKey::new(Kind::Root, WORKSPACE_OWNER, 0);
        let body = self.root.to_body().map_err(|cause| Error::format("root row", cause))?;
        let integrity = self.integrity.clone();
        let row = self.sealed(key, None, &integrity, &body)?;
        self.replace(&row)?;
        Ok(self.root)
    }

    pub(super) fn integrity(&self) -> &Arc<OwnerKey> {
        &self.integrity
    }

    pub(super) fn sum_so_far(&self) -> [u8; 32] {
        self.sum.0
    }

    pub(super) fn add_to_sum(&mut self, row: &[u8; 32]) {
        self.sum.add(row);
    }

    pub(super) fn remove_from_sum(&mut self, row: &[u8; 32]) {
        self.sum.remove(row);
    }

    /// Makes an epoch the live one of this transaction.
    pub(super) fn set_epoch(&mut self, epoch: EpochRow) {
        self.read.set_epoch(epoch);
    }

    /// Returns the root row as this transaction will leave it.
    pub(crate) fn root(&self) -> &RootRow {
        &self.root
    }

    /// Returns the version of the rows that are written now.
    pub(crate) fn version(&self) -> (DeviceId, u64) {
        (DeviceId(self.root.device), self.root.next_device_seq.saturating_sub(1))
    }

    /// Lets the caller change what the root row says of this copy: device, lineage, keyslots.
    pub(crate) fn root_mut(&mut self) -> &mut RootRow {
        &mut self.root
    }

    /// Returns the next hybrid clock: the wall clock in milliseconds, or one more than the last if that is ahead.
    pub(crate) fn next_clock(&mut self) -> u64 {
        let wall = u64::try_from(self.io.wall_us() / 1000).unwrap_or(0) << 16;
        self.root.clock = wall.max(self.root.clock + 1);
        self.root.clock
    }

    /// Raises the clock to at least one that was given out elsewhere.
    pub(crate) fn witness_clock(&mut self, clock: u64) {
        self.root.clock = self.root.clock.max(clock);
    }

    /// Appends a change record; the rows written after it carry its sequence as their version.
    pub(crate) fn change(&mut self, key: &OwnerKey, change: &Change) -> Result<()> {
        let device = DeviceId(self.root.device);
        let seq = self.root.next_device_seq;
        self.root.next_device_seq += 1;
        let place = ObjectKey::new(Kind::Change, ObjectId(device.0), seq);
        let body = change.to_padded_body().map_err(|cause| Error::format("change record", cause))?;
        let row = self.sealed(place, None, key, &body)?;
        self.sum.add(&row.hash(self.integrity.secret()));
        self.replace(&row)
    }

    /// Seals and writes a record, replacing the one at its place; returns the hashes of the old one, if any, and of
    /// the new one, for a head that covers it.
    pub(crate) fn put(
        &mut self,
        key: ObjectKey,
        tag: Option<[u8; 32]>,
        seal_key: &OwnerKey,
        body: &[u8],
        cover: Cover,
    ) -> Result<(Option<[u8; 32]>, [u8; 32])> {
        let old = self.read.object(key)?.map(|row| row.hash(self.integrity.secret()));
        let row = self.sealed(key, tag, seal_key, body)?;
        let new = row.hash(self.integrity.secret());
        if cover == Cover::Root {
            if let Some(old) = &old {
                self.sum.remove(old);
            }
            self.sum.add(&new);
        }
        self.replace(&row)?;
        Ok((old, new))
    }

    /// Removes all records of a kind and owner that the root row covers, and the owner's keys with them.
    pub(crate) fn remove_with_keys(&mut self, kind: Kind, owner: ObjectId) -> Result<()> {
        for row in self.read.objects(kind, Some(owner))? {
            self.sum.remove(&row.hash(self.integrity.secret()));
        }
        for row in self.read.keys_of(owner)? {
            self.sum.remove(&row.hash(self.integrity.secret()));
            self.keyring.forget(row.id);
        }
        let transaction = self.read.transaction();
        transaction.execute("DELETE FROM object WHERE kind = ?1 AND id = ?2", params![kind as u16, owner.0])?;
        transaction.execute("DELETE FROM key WHERE owner = ?1", [owner.0])?;
        Ok(())
    }

    /// Writes a record that was sealed before, without a version: the same bytes stand in a file, too.
    pub(crate) fn put_sealed(&mut self, key: ObjectKey, sealed: &Sealed) -> Result<()> {
        let row = ObjectRow { key, device: DeviceId::NIL, seq: 0, tag: None, body: sealed.as_bytes().to_vec() };
        self.remove_object(key)?;
        self.sum.add(&row.hash(self.integrity.secret()));
        self.replace(&row)
    }

    /// Writes a record again as it was written before it was lost or damaged: the sum of the root row has it still.
    pub(crate) fn restore(&self, row: &ObjectRow) -> Result<()> {
        self.replace(row)
    }

    /// Removes a record that the root row covers; false if there was none.
    pub(crate) fn remove_object(&mut self, key: ObjectKey) -> Result<bool> {
        let Some(row) = self.read.object(key)? else { return Ok(false) };
        self.sum.remove(&row.hash(self.integrity.secret()));
        let sql = "DELETE FROM object WHERE kind = ?1 AND id = ?2 AND position = ?3";
        let values = params![key.kind as u16, key.id.0, key.position.cast_signed()];
        self.read.transaction().prepare_cached(sql)?.execute(values)?;
        Ok(true)
    }

    /// Removes a key: what it sealed cannot be opened again.
    pub(crate) fn remove_key(&mut self, id: KeyId) -> Result<()> {
        let Some(row) = self.read.key_row(id)? else { return Ok(()) };
        self.sum.remove(&row.hash(self.integrity.secret()));
        self.keyring.forget(id);
        self.read.transaction().prepare_cached("DELETE FROM key WHERE id = ?1")?.execute([id.0])?;
        Ok(())
    }

    /// Drops all keys of an owner and writes its tombstone: records that were sealed under them are no damage then.
    pub(crate) fn bury(&mut self, owner: ObjectId) -> Result<()> {
        self.bury_keys(owner, None)
    }

    /// Does so with the owner's keys of one purpose. The tombstone names that also if there are none: others may have some.
    pub(crate) fn bury_keys(&mut self, owner: ObjectId, purpose: Option<Purpose>) -> Result<()> {
        let mut tombstone = Tombstone::default();
        if let Some(row) = self.read.object(ObjectKey::new(Kind::Tombstone, owner, 0))? {
            tombstone = open_tombstone(&self.read, self.keyring, &row)?;
        }
        for row in
            self.read.keys_of(owner)?.iter().filter(|row| purpose.is_none_or(|purpose| row.purpose == purpose as u8))
        {
            tombstone.keys.push(row.id.0);
            tombstone.add_purpose(row.purpose);
            self.remove_key(row.id)?;
        }
        if let Some(purpose) = purpose {
            tombstone.add_purpose(purpose as u8);
        }
        tombstone.clock = self.next_clock();
        let body = tombstone.to_body().map_err(|cause| Error::format("tombstone", cause))?;
        let control = self.read.workspace_key(self.keyring, Purpose::Control)?;
        self.put(ObjectKey::new(Kind::Tombstone, owner, 0), None, &control, &body, Cover::Root)?;
        Ok(())
    }

    /// Writes the tombstone of a slot that was removed: no other device brings it back.
    pub(crate) fn bury_slot(&mut self, slot: SlotId) -> Result<()> {
        let mut tombstone = Tombstone { clock: self.next_clock(), ..Tombstone::default() };
        tombstone.set_of_slot();
        self.keep_tombstone(ObjectId(slot.0), &tombstone)
    }

    /// Keeps the tombstone of another device: whatever it names is joined to what is known here. Returns without a write if
    /// nothing is new.
    pub(crate) fn keep_tombstone(&mut self, owner: ObjectId, theirs: &Tombstone) -> Result<()> {
        let place = ObjectKey::new(Kind::Tombstone, owner, 0);
        let known = self.read.object(place)?;
        let known = known.map(|row| open_tombstone(&self.read, self.keyring, &row)).transpose()?;
        let mut joined = known.clone().unwrap_or_default();
        for key in &theirs.keys {
            if !joined.keys.contains(key) {
                joined.keys.push(*key);
            }
        }
        theirs.purposes().iter().for_each(|purpose| joined.add_purpose(*purpose));
        if theirs.is_of_slot() {
            joined.set_of_slot();
        }
        joined.clock = joined.clock.max(theirs.clock);
        if known.as_ref() == Some(&joined) {
            return Ok(());
        }
        let body = joined.to_body().map_err(|cause| Error::format("tombstone", cause))?;
        let control = self.read.workspace_key(self.keyring, Purpose::Control)?;
        self.put(place, None, &control, &body, Cover::Root).map(drop)
    }

    /// Draws a key for an owner and stores its wrap under `wrapping`.
    pub(crate) fn draw_key(&mut self, owner: ObjectId, purpose: Purpose, wrapping: &OwnerKey) -> Result<Arc<OwnerKey>> {
        let epoch = self.read.epoch().id;
        let (row, key) = self.keyring.draw(self.io, owner, purpose, epoch, wrapping)?;
        self.sum.add(&row.hash(self.integrity.secret()));
        insert_key(self.read.transaction(), &row)?;
        Ok(key)
    }

    /// Stores the wrap of a key that another device of this workspace drew.
    pub(crate) fn take_over_key(
        &mut self,
        owner: ObjectId,
        purpose: Purpose,
        wrapping: &OwnerKey,
        key: Arc<OwnerKey>,
    ) -> Result<Arc<OwnerKey>> {
        let epoch = self.read.epoch().id;
        let row = self.keyring.wrap(self.io, owner, purpose, (epoch, wrapping), &key)?;
        self.sum.add(&row.hash(self.integrity.secret()));
        insert_key(self.read.transaction(), &row)?;
        Ok(key)
    }

    /// Seals and writes the parts of a row group, in an order that fills pages; returns their sum for the group's entry.
    pub(crate) fn put_group(&mut self, group: GroupKey, seal_key: &OwnerKey, parts: &[Vec<u8>]) -> Result<Sum> {
        let size =
            |(part, plain): (u32, &Vec<u8>)| packing::bytes_in_leaf(group.number, part, plain.len() + OVERHEAD_BYTES);
        let sizes: Vec<usize> = (0..).zip(parts).map(size).collect();
        let mut sum = Sum::default();
        for at in packing::order(&sizes, packing::room_in_last_page(self.read.transaction())?) {
            let part = u32::try_from(at).unwrap_or(u32::MAX);
            sum.add(&self.put_block(group, part, seal_key, &parts[at])?);
        }
        Ok(sum)
    }

    fn put_block(&self, group: GroupKey, part: u32, seal_key: &OwnerKey, plain: &[u8]) -> Result<[u8; 32]> {
        let place = BlockRow::place(self.keyring.workspace(), group, part);
        let body = seal_key.seal(io::random(self.io)?, &place, plain).into_bytes();
        let GroupKey { run, writer, number } = group;
        let row = BlockRow { run, writer, number, part, body };
        let sql = "INSERT INTO block (run, writer, number, part, body) VALUES (?1, ?2, ?3, ?4, ?5)";
        let values = params![run.0, writer.0, number, part, row.body];
        self.read.transaction().prepare_cached(sql)?.execute(values)?;
        Ok(row.hash(self.integrity.secret()))
    }

    /// Removes the rows of a run's series, which its head covers: the head goes with them.
    pub(crate) fn remove_series(&mut self, run: ObjectId) -> Result<()> {
        let transaction = self.read.transaction();
        for kind in [Kind::SeriesPage, Kind::GroupPage, Kind::Overview] {
            let mut statement = transaction.prepare_cached("DELETE FROM object WHERE kind = ?1 AND id = ?2")?;
            statement.execute(params![kind as u16, run.0])?;
        }
        transaction.prepare_cached("DELETE FROM block WHERE run = ?1")?.execute([run.0])?;
        Ok(())
    }

    /// Removes all parts of a row group.
    pub(crate) fn delete_group(&mut self, group: GroupKey) -> Result<()> {
        let sql = "DELETE FROM block WHERE run = ?1 AND writer = ?2 AND number = ?3";
        let mut statement = self.read.transaction().prepare_cached(sql)?;
        statement.execute(params![group.run.0, group.writer.0, group.number])?;
        Ok(())
    }

    fn sealed(&self, key: ObjectKey, tag: Option<[u8; 32]>, seal_key: &OwnerKey, body: &[u8]) -> Result<ObjectRow> {
        let (device, seq) = self.version();
        let mut row = ObjectRow { key, device, seq, tag, body: Vec::new() };
        row.body = seal_key.seal(io::random(self.io)?, &row.place(self.keyring.workspace()), body).into_bytes();
        Ok(row)
    }

    pub(super) fn replace(&self, row: &ObjectRow) -> Result<()> {
        let sql = "INSERT INTO object (kind, id, position, device, seq, tag, body) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (kind, id, position) DO UPDATE SET \
                   device = excluded.device, seq = excluded.seq, tag = excluded.tag, body = excluded.body";
        let (key, seq) = (row.key, row.seq.cast_signed());
        let values =
            params![key.kind as u16, key.id.0, key.position.cast_signed(), row.device.0, seq, row.tag, row.body];
        self.read.transaction().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }
}

impl ReadTx<'_> {
    /// Returns true if something was erased for good: a run, a version, a writer of a run.
    ///
    /// # Errors
    /// If its tombstone does not open: nothing is dropped for one that somebody else put there.
    pub(crate) fn is_buried(&self, keyring: &Keyring, owner: ObjectId) -> Result<bool> {
        let row = self.object(ObjectKey::new(Kind::Tombstone, owner, 0))?;
        row.map_or(Ok(false), |row| open_tombstone(self, keyring, &row).map(|_| true))
    }

    /// Returns true if a run was erased for good, and not its code or media alone.
    pub(crate) fn is_run_buried(&self, keyring: &Keyring, run: ObjectId) -> Result<bool> {
        let row = self.object(ObjectKey::new(Kind::Tombstone, run, 0))?;
        let tombstone = row.map(|row| open_tombstone(self, keyring, &row)).transpose()?;
        Ok(tombstone.is_some_and(|tombstone| tombstone.is_whole(Purpose::Metrics as u8)))
    }

    /// Returns whether something's keys of one purpose were dropped: the code of a run, or its media.
    pub(crate) fn is_buried_in_part(&self, keyring: &Keyring, owner: ObjectId, purpose: Purpose) -> Result<bool> {
        let row = self.object(ObjectKey::new(Kind::Tombstone, owner, 0))?;
        let tombstone = row.map(|row| open_tombstone(self, keyring, &row)).transpose()?;
        Ok(tombstone.is_some_and(|tombstone| tombstone.names_purpose(purpose as u8)))
    }

    /// Returns all tombstones, by whose they are.
    pub(crate) fn tombstones(&self, keyring: &Keyring) -> Result<Vec<(ObjectId, Tombstone)>> {
        let rows = self.objects(Kind::Tombstone, None)?;
        rows.iter().map(|row| Ok((row.key.id, open_tombstone(self, keyring, row)?))).collect()
    }

    /// Returns the keys that tombstones name.
    pub(crate) fn buried_keys(&self, keyring: &Keyring) -> Result<HashSet<KeyId>> {
        let mut keys = HashSet::new();
        for row in self.objects(Kind::Tombstone, None)? {
            keys.extend(open_tombstone(self, keyring, &row)?.keys.into_iter().map(KeyId));
        }
        Ok(keys)
    }

    /// Returns the key of keyed sums and the root row.
    pub(crate) fn integrity_key(&self, keyring: &Keyring) -> Result<Arc<OwnerKey>> {
        self.workspace_key(keyring, Purpose::Integrity)
    }

    /// Returns a key of the workspace as a whole.
    pub(crate) fn workspace_key(&self, keyring: &Keyring, purpose: Purpose) -> Result<Arc<OwnerKey>> {
        self.owner_key(keyring, WORKSPACE_OWNER, purpose)?
            .ok_or_else(|| Error::damaged(format!("key table: the workspace's {purpose:?} key is missing")))
    }

    /// Returns the root row.
    pub(crate) fn root(&self, keyring: &Keyring) -> Result<RootRow> {
        let row = self
            .object(ObjectKey::new(Kind::Root, WORKSPACE_OWNER, 0))?
            .ok_or_else(|| Error::damaged("cellar.db: the root row is missing"))?;
        let body = self.open_object(keyring, &row)?;
        RootRow::from_body(&body).map_err(|cause| Error::format("root row", cause))
    }

    /// Sums every row that the root row covers.
    pub(crate) fn sum_of_all(&self, keyring: &Keyring) -> Result<Sum> {
        let integrity = self.integrity_key(keyring)?;
        let mut sum = Sum::default();
        for epoch in self.epochs()? {
            sum.add(&epoch.hash(integrity.secret()));
        }
        for row in self.key_rows()? {
            sum.add(&row.hash(integrity.secret()));
        }
        for kind in COVERED {
            for row in self.objects(kind, None)? {
                sum.add(&row.hash(integrity.secret()));
            }
        }
        Ok(sum)
    }
}

fn open_tombstone(tx: &ReadTx<'_>, keyring: &Keyring, row: &ObjectRow) -> Result<Tombstone> {
    let body = tx.open_object(keyring, row)?;
    Tombstone::from_body(&body).map_err(|cause| Error::format(format_args!("tombstone {}", row.key.id), cause))
}

/// Kinds of records that the root row covers.
pub(crate) const COVERED: [Kind; 17] = [
    Kind::Project,
    Kind::Run,
    Kind::Head,
    Kind::Change,
    Kind::Settings,
    Kind::Writer,
    Kind::Manifest,
    Kind::Bucket,
    Kind::Catalogue,
    Kind::Tombstone,
    Kind::Artifact,
    Kind::Pack,
    Kind::Version,
    Kind::Receipt,
    Kind::Terms,
    Kind::Away,
    Kind::RowsAway,
];

pub(super) fn insert_epoch(transaction: &Transaction<'_>, epoch: EpochRow) -> Result<()> {
    let sql = "INSERT INTO epoch (number, id, parent) VALUES (?1, ?2, ?3)";
    transaction.execute(sql, params![epoch.number.cast_signed(), epoch.id.0, epoch.parent.0])?;
    Ok(())
}

pub(super) fn insert_key(transaction: &Transaction<'_>, row: &KeyRow) -> Result<()> {
    let sql = "INSERT INTO key (id, owner, purpose, epoch, wrap) VALUES (?1, ?2, ?3, ?4, ?5)";
    let values = params![row.id.0, row.owner.0, row.purpose, row.epoch.0, row.wrap];
    transaction.prepare_cached(sql)?.execute(values)?;
    Ok(())
}
