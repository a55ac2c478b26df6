//! The keys below the root epoch key, opened on demand and kept for the life of the handle.
//!
//! Epoch keys encrypt keys only (rule K1): [`Keyring`] hands out [`OwnerKey`]s, and epoch keys never leave it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runcellar_format::keyslots::{Keyslots, Slot, SlotKind, SlotSecret};
use runcellar_format::seal::{Kind, OwnerKey, Place, Sealed};
use runcellar_format::{EpochId, KeyId, ObjectId, Secret, SlotId, WorkspaceId};

use super::source::Source;
use super::unlock::EpochKeys;
use crate::io::{self, Io};
use crate::os::guarded;
use crate::{Error, ErrorKind, Result};

/// What a key is for. With its owner it names a key's place; docs/FORMAT.md, "Key table".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Purpose {
    /// A run's metrics, parameters and metadata.
    Metrics = 1,
    /// A run's code.
    Code = 2,
    /// A run's media.
    Media = 3,
    /// A project's record.
    ProjectRecord = 32,
    /// A project's epoch key, which wraps the keys below it.
    ProjectEpoch = 33,
    /// An artifact's record.
    Artifact = 34,
    /// A version of an artifact: its record and manifest.
    Version = 35,
    /// The keys of a pack's chunks.
    Bucket = 36,
    /// A project's blobs of artifacts: how they are cut and named, and the directories of their packs. Never rotated.
    ArtifactBlobs = 40,
    /// The same for code.
    CodeBlobs = 41,
    /// The same for media.
    MediaBlobs = 42,
    /// Lookup tags of a workspace; never rotated.
    Lookup = 64,
    /// Tombstones and changes of the key table.
    Control = 65,
    /// Keyed sums, heads and the root row.
    Integrity = 66,
    /// Settings and names of slots.
    Settings = 67,
    /// The private half of the ingest pair.
    Ingest = 68,
    /// A block of the catalogue, which goes with its key.
    Catalogue = 69,
    /// What a device signs with: the seed.
    Signing = 70,
}

/// A row of the key table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyRow {
    pub(crate) id: KeyId,
    pub(crate) owner: ObjectId,
    pub(crate) purpose: u8,
    pub(crate) epoch: EpochId,
    pub(crate) wrap: Vec<u8>,
}

/// Epoch keys, and the owner keys opened so far.
pub(crate) struct Keyring {
    workspace: WorkspaceId,
    /// None for a workspace in the making.
    source: Option<Arc<Source>>,
    epochs: Mutex<Vec<Arc<OwnerKey>>>,
    opened: Mutex<HashMap<KeyId, Arc<OwnerKey>>>,
}

impl Keyring {
    pub(crate) fn new(workspace: WorkspaceId, epochs: EpochKeys, source: Option<Arc<Source>>) -> Self {
        let keyring = Keyring { workspace, source, epochs: Mutex::default(), opened: Mutex::default() };
        keyring.learn(epochs);
        keyring
    }

    /// Makes a keyring of the same epoch keys for a forked child, without waiting for this one's locks: if a thread of
    /// the parent was just at them, the child reads the keys again.
    pub(crate) fn for_child(&self) -> Self {
        let epochs = self.epochs.try_lock().map(|epochs| epochs.clone()).unwrap_or_default();
        let source = self.source.clone();
        Keyring { workspace: self.workspace, source, epochs: Mutex::new(epochs), opened: Mutex::default() }
    }

    /// Makes a keyring of the same epoch keys for a copy of the workspace.
    pub(crate) fn for_copy(&self, source: Arc<Source>) -> Self {
        Keyring { source: Some(source), ..self.for_child() }
    }

    /// Takes in the keys of epochs.
    pub(crate) fn learn(&self, keys: EpochKeys) {
        let mut epochs = self.epochs();
        for (id, secret) in keys {
            if epochs.iter().all(|known| known.id().0 != id.0) {
                epochs.push(Arc::new(OwnerKey::new(KeyId(id.0), guarded(secret))));
            }
        }
    }

    /// Forgets the keys of all epochs but one.
    pub(crate) fn keep_epoch(&self, epoch: EpochId) {
        self.epochs().retain(|known| known.id().0 == epoch.0);
    }

    fn epochs(&self) -> MutexGuard<'_, Vec<Arc<OwnerKey>>> {
        // A panic elsewhere leaves the list whole.
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn workspace(&self) -> WorkspaceId {
        self.workspace
    }

    fn cache(&self) -> MutexGuard<'_, HashMap<KeyId, Arc<OwnerKey>>> {
        // A panic elsewhere leaves the map whole: it only ever gains entries.
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a key that was dropped from the key table.
    pub(crate) fn forget(&self, id: KeyId) {
        self.cache().remove(&id);
    }

    /// Returns a key that was opened before.
    pub(crate) fn cached(&self, id: KeyId) -> Option<Arc<OwnerKey>> {
        self.cache().get(&id).cloned()
    }

    /// Returns the key of an epoch as a wrapping key, named by the epoch's id. One that is not known is looked for: others
    /// may have replaced the keys since this handle was opened.
    pub(crate) fn epoch_key(&self, epoch: EpochId) -> Result<Arc<OwnerKey>> {
        if let Some(known) = self.known_epoch(epoch) {
            return Ok(known);
        }
        let not_at_hand = || Error::new(ErrorKind::Locked, "the workspace's keys were replaced: open it again");
        let read = self.source.as_ref().ok_or_else(not_at_hand)?.read();
        self.learn(read.map_err(|cause| match cause.kind() {
            ErrorKind::Locked => not_at_hand().with_cause(cause),
            _ => cause,
        })?);
        self.known_epoch(epoch).ok_or_else(not_at_hand)
    }

    /// Returns the key of an epoch if it is at hand.
    pub(crate) fn known_epoch(&self, epoch: EpochId) -> Option<Arc<OwnerKey>> {
        self.epochs().iter().find(|known| known.id().0 == epoch.0).cloned()
    }

    /// Checks the MACs of a `keyslots` file: that of each epoch whose key is at hand, and of one at least.
    pub(crate) fn verify_keyslots(&self, keyslots: &Keyslots, bytes: &[u8]) -> Result<()> {
        let newest = keyslots.epochs.last().map_or(EpochId::NIL, |epoch| epoch.id);
        if keyslots.epochs.iter().all(|epoch| self.known_epoch(epoch.id).is_none()) {
            self.epoch_key(newest)?;
        }
        for (index, epoch) in keyslots.epochs.iter().enumerate() {
            let Some(key) = self.known_epoch(epoch.id) else { continue };
            Keyslots::verify(bytes, keyslots.epochs.len(), index, key.secret())
                .map_err(|cause| Error::format("keyslots", cause))?;
        }
        Ok(())
    }

    /// Returns the bytes of a `keyslots` file, authenticated under its epoch keys.
    pub(crate) fn encode_keyslots(&self, keyslots: &Keyslots) -> Result<Vec<u8>> {
        let keys = keyslots.epochs.iter().map(|epoch| self.epoch_key(epoch.id)).collect::<Result<Vec<_>>>()?;
        let keys: Vec<&Secret> = keys.iter().map(|key| key.secret()).collect();
        keyslots.encode(&keys).map_err(|cause| Error::format("keyslots", cause))
    }

    /// Makes a slot for a `keyslots` file of one epoch, with the epoch key sealed in it.
    pub(crate) fn new_slot(
        &self,
        epoch: EpochId,
        id: SlotId,
        kind: SlotKind,
        secret: &SlotSecret,
        ephemeral: [u8; 32],
    ) -> Result<Slot> {
        let key = self.epoch_key(epoch)?;
        Slot::new(self.workspace, id, kind, secret, (epoch, key.secret()), ephemeral)
            .map_err(|cause| Error::format("slot", cause))
    }

    /// Draws a key, wraps it under `wrapping`, and keeps it opened.
    pub(crate) fn draw(
        &self,
        io: &dyn Io,
        owner: ObjectId,
        purpose: Purpose,
        epoch: EpochId,
        wrapping: &OwnerKey,
    ) -> Result<(KeyRow, Arc<OwnerKey>)> {
        let id = KeyId(io::random(io)?);
        let key = Arc::new(OwnerKey::new(id, guarded(Secret::new(io::random(io)?))));
        Ok((self.wrap(io, owner, purpose, (epoch, wrapping), &key)?, key))
    }

    /// Wraps a key, and remembers it as opened.
    pub(crate) fn wrap(
        &self,
        io: &dyn Io,
        owner: ObjectId,
        purpose: Purpose,
        (epoch, wrapping): (EpochId, &OwnerKey),
        key: &Arc<OwnerKey>,
    ) -> Result<KeyRow> {
        let id = key.id();
        let place = self.place(id, owner, purpose as u8, epoch);
        let wrap: Sealed = wrapping.seal(io::random(io)?, &place, key.secret().expose());
        self.cache().insert(id, key.clone());
        Ok(KeyRow { id, owner, purpose: purpose as u8, epoch, wrap: wrap.into_bytes() })
    }

    /// Opens a row of the key table with its wrapping key.
    pub(crate) fn open(&self, row: &KeyRow, wrapping: &OwnerKey) -> Result<Arc<OwnerKey>> {
        if let Some(key) = self.cached(row.id) {
            return Ok(key);
        }
        let place = self.place(row.id, row.owner, row.purpose, row.epoch);
        let noun = || format!("key {} of object {}", row.id, row.owner);
        let secret = wrapping.open(&place, &row.wrap).map_err(|cause| Error::format(noun(), cause))?;
        let secret = zeroize::Zeroizing::new(secret);
        let secret = Secret::from_slice(&secret).ok_or_else(|| Error::damaged(format!("{}: not 32 bytes", noun())))?;
        let key = Arc::new(OwnerKey::new(row.id, guarded(secret)));
        self.cache().insert(row.id, key.clone());
        Ok(key)
    }

    /// Opens a row of the key table with its wrapping key, without keeping it, and wraps it anew for another epoch.
    pub(crate) fn rewrap(
        &self,
        io: &dyn Io,
        row: &KeyRow,
        from: &OwnerKey,
        to: &OwnerKey,
        epoch: EpochId,
    ) -> Result<KeyRow> {
        let old = self.place(row.id, row.owner, row.purpose, row.epoch);
        let secret = from.open(&old, &row.wrap);
        let secret =
            secret.map_err(|cause| Error::format(format_args!("key {} of object {}", row.id, row.owner), cause))?;
        let secret = zeroize::Zeroizing::new(secret);
        let place = self.place(row.id, row.owner, row.purpose, epoch);
        Ok(KeyRow { epoch, wrap: to.seal(io::random(io)?, &place, &secret).into_bytes(), ..*row })
    }

    fn place(&self, id: KeyId, owner: ObjectId, purpose: u8, epoch: EpochId) -> Place {
        // The key's own id stands in the place of a row's version, so that wraps of two keys of one owner cannot be
        // swapped; only wraps carry an epoch id.
        Place::of(self.workspace, Kind::Wrap, owner)
            .part(epoch.0)
            .at(purpose.into(), 0)
            .version(runcellar_format::DeviceId(id.0), 0)
    }
}
