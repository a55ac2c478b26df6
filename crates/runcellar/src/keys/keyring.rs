//! The keys below the root epoch key, opened on demand and kept for the life of the handle.
//!
//! Epoch keys encrypt keys only (rule K1): [`Keyring`] hands out [`OwnerKey`]s, and epoch keys never leave it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runcellar_format::keyslots::{Keyslots, Slot, SlotKind, SlotSecret};
use runcellar_format::seal::{Kind, OwnerKey, Place, Sealed};
use runcellar_format::{EpochId, KeyId, ObjectId, Secret, SlotId, WorkspaceId};

use crate::io::{self, Io};
use crate::{Error, Result};

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
    epochs: Vec<(EpochId, Arc<Secret>)>,
    opened: Mutex<HashMap<KeyId, Arc<OwnerKey>>>,
}

impl Keyring {
    pub(crate) fn new(workspace: WorkspaceId, epochs: Vec<(EpochId, Arc<Secret>)>) -> Self {
        Keyring { workspace, epochs, opened: Mutex::default() }
    }

    /// Makes a keyring of the same epoch keys for a forked child, without touching this one's lock.
    pub(crate) fn for_child(&self) -> Self {
        Keyring::new(self.workspace, self.epochs.clone())
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

    /// Returns the live epoch key as a wrapping key, named by the epoch's id.
    pub(crate) fn epoch_key(&self, epoch: EpochId) -> Result<OwnerKey> {
        let (id, secret) = self.epoch(epoch)?;
        Ok(OwnerKey::new(KeyId(id.0), secret.duplicate()))
    }

    /// Checks the MACs of a `keyslots` file, whose epochs must be those of this keyring.
    pub(crate) fn verify_keyslots(&self, keyslots: &Keyslots, bytes: &[u8]) -> Result<()> {
        for (index, epoch) in keyslots.epochs.iter().enumerate() {
            let (_, key) = self.epoch(epoch.id)?;
            Keyslots::verify(bytes, keyslots.epochs.len(), index, key)
                .map_err(|cause| Error::format("keyslots", cause))?;
        }
        Ok(())
    }

    /// Returns the bytes of a `keyslots` file, authenticated under its epoch keys.
    pub(crate) fn encode_keyslots(&self, keyslots: &Keyslots) -> Result<Vec<u8>> {
        let keys = keyslots.epochs.iter().map(|epoch| self.epoch(epoch.id).map(|(_, key)| &**key));
        let keys = keys.collect::<Result<Vec<&Secret>>>()?;
        keyslots.encode(&keys).map_err(|cause| Error::format("keyslots", cause))
    }

    /// Makes a slot for a `keyslots` file, with its epoch key sealed in it.
    pub(crate) fn new_slot(
        &self,
        keyslots: &Keyslots,
        id: SlotId,
        kind: SlotKind,
        secret: &SlotSecret,
        ephemeral: [u8; 32],
    ) -> Result<Slot> {
        let [epoch] = keyslots.epochs.as_slice() else {
            return Err(Error::new(crate::ErrorKind::Busy, "keyslots: a purge is under way"));
        };
        let (id_of_epoch, key) = self.epoch(epoch.id)?;
        Slot::new(self.workspace, id, kind, secret, (*id_of_epoch, key), ephemeral)
            .map_err(|cause| Error::format("slot", cause))
    }

    fn epoch(&self, epoch: EpochId) -> Result<&(EpochId, Arc<Secret>)> {
        self.epochs
            .iter()
            .find(|(id, _)| *id == epoch)
            .ok_or_else(|| Error::new(crate::ErrorKind::Locked, format!("epoch {epoch}: its key is not at hand")))
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
        let key = Arc::new(OwnerKey::new(id, Secret::new(io::random(io)?)));
        let place = self.place(id, owner, purpose as u8, epoch);
        let wrap: Sealed = wrapping.seal(io::random(io)?, &place, key.secret().expose());
        self.cache().insert(id, key.clone());
        let row = KeyRow { id, owner, purpose: purpose as u8, epoch, wrap: wrap.into_bytes() };
        Ok((row, key))
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
        let key = Arc::new(OwnerKey::new(row.id, secret));
        self.cache().insert(row.id, key.clone());
        Ok(key)
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
