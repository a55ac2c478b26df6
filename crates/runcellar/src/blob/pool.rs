//! The packs that a project's blobs of one class share.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runcellar_format::blob::BlobKeys;
use runcellar_format::record::{Body, Content, Manifest, ManifestEntry, Project};
use runcellar_format::seal::{Kind, OwnerKey};
use runcellar_format::{ChunkId, DeviceId, ObjectId};

use super::away::is_away;
use super::get::{PackReader, Placed};
use super::index::Index;
use super::pack::{PackCache, PackData};
use crate::db::{ReadTx, WriteTx};
use crate::keys::{Keyring, Purpose};
use crate::workspace::Inner;
use crate::{Error, ErrorKind, Result};

/// What a blob belongs to; each class has keys and packs of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Class {
    /// Files of artifacts.
    Artifacts,
    /// Code of runs.
    Code,
    /// Media of runs.
    Media,
}

impl Class {
    pub(crate) const ALL: [Class; 3] = [Class::Artifacts, Class::Code, Class::Media];

    /// Which key of a project its blobs of this class are cut and named by.
    pub(crate) fn purpose(self) -> Purpose {
        match self {
            Class::Artifacts => Purpose::ArtifactBlobs,
            Class::Code => Purpose::CodeBlobs,
            Class::Media => Purpose::MediaBlobs,
        }
    }

    /// Which key of a run seals its manifests of this class; artifacts are no run's own.
    pub(crate) fn purpose_of_run(self) -> Purpose {
        match self {
            Class::Artifacts => Purpose::Version,
            Class::Code => Purpose::Code,
            Class::Media => Purpose::Media,
        }
    }

    /// Where the parts of a manifest of this class stand.
    pub(crate) fn positions(self) -> std::ops::Range<u64> {
        let class: u64 = match self {
            Class::Artifacts => 0,
            Class::Code => 1,
            Class::Media => 2,
        };
        class << 32..(class + 1) << 32
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Class::Artifacts => "artifacts",
            Class::Code => "code",
            Class::Media => "media",
        }
    }
}

/// The blobs of one project and class.
pub(crate) struct Pool {
    pub(crate) class: Class,
    pub(crate) project: ObjectId,
    /// The blob key: seals the directories of packs.
    pub(crate) key: Arc<OwnerKey>,
    pub(crate) keys: BlobKeys,
    index: Mutex<Index>,
    packs: Mutex<PackCache>,
}

/// A part of a manifest.
pub(crate) struct Part {
    pub(crate) position: u64,
    /// It begins within a file of the part before.
    pub(crate) goes_on: bool,
    pub(crate) packs: HashSet<ObjectId>,
}

/// Where a chunk lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) pack: ObjectId,
    /// Version of the pack's bucket when it was looked at: another one may have dropped the chunk's key.
    pub(crate) version: (DeviceId, u64),
}

impl Pool {
    /// Opens a pool; none if nothing was ever put into it.
    pub(crate) fn find(tx: &ReadTx<'_>, keyring: &Keyring, project: ObjectId, class: Class) -> Result<Option<Pool>> {
        let key = tx.owner_key(keyring, project, class.purpose())?;
        Ok(key.map(|key| Pool::new(keyring, project, class, key)))
    }

    /// Opens a pool, with a new key if there is none.
    pub(crate) fn find_or_make(tx: &mut WriteTx<'_>, project: ObjectId, class: Class) -> Result<Pool> {
        Pool::find_or_make_like(tx, project, class, None)
    }

    /// As [`Pool::find_or_make`], with the key of a pool that another device of this workspace made, if it is given one: then
    /// both cut and name content alike, and know of each chunk whether the other has it.
    pub(crate) fn find_or_make_like(
        tx: &mut WriteTx<'_>,
        project: ObjectId,
        class: Class,
        like: Option<&Pool>,
    ) -> Result<Pool> {
        if let Some(pool) = Pool::find(tx, tx.keyring, project, class)? {
            return Ok(pool);
        }
        let wrapping = project_epoch_key(tx, tx.keyring, project)?;
        let key = match like {
            Some(like) => tx.take_over_key(project, class.purpose(), &wrapping, like.key.clone())?,
            None => tx.draw_key(project, class.purpose(), &wrapping)?,
        };
        Ok(Pool::new(tx.keyring, project, class, key))
    }

    /// Returns whether another pool names content as this one does.
    pub(crate) fn is_twin_of(&self, other: &Pool) -> bool {
        self.key.id() == other.key.id()
    }

    fn new(keyring: &Keyring, project: ObjectId, class: Class, key: Arc<OwnerKey>) -> Pool {
        let keys = BlobKeys::derive(keyring.workspace(), &key);
        Pool { class, project, key, keys, index: Mutex::default(), packs: Mutex::default() }
    }

    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns of packs that came and went.
    pub(crate) fn refresh(&self, tx: &ReadTx<'_>, keyring: &Keyring) -> Result<()> {
        self.index().refresh(self, tx, keyring)
    }

    /// Returns where a chunk is, if its key and the file of its pack are still there.
    pub(crate) fn locate(&self, inner: &Inner, id: ChunkId) -> Result<Option<Found>> {
        self.locate_where(inner, id, &mut |_| true)
    }

    /// As [`Pool::locate`], in a pack that `is_fit` takes.
    pub(crate) fn locate_where(
        &self,
        inner: &Inner,
        id: ChunkId,
        is_fit: &mut dyn FnMut(&Arc<PackData>) -> bool,
    ) -> Result<Option<Found>> {
        let candidates = self.index().candidates(id);
        for pack in candidates {
            let Some(data) = self.usable(inner, pack)? else { continue };
            if data.has(id) && data.has_file(inner) && is_fit(&data) {
                return Ok(Some(Found { pack, version: data.version }));
            }
        }
        Ok(None)
    }

    /// Returns the packs in which a chunk may be.
    pub(super) fn candidates(&self, id: ChunkId) -> Vec<ObjectId> {
        self.index().candidates(id)
    }

    /// Returns where a chunk is that no file here has: in a pack that was evicted.
    pub(crate) fn locate_evicted(&self, inner: &Inner, id: ChunkId) -> Result<Option<Arc<PackData>>> {
        let candidates = self.index().candidates(id);
        for pack in candidates {
            if let Some(data) = self.usable(inner, pack)?.filter(|data| data.has(id))
                && inner.read(|tx, _| is_away(tx, pack))?
            {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// Returns whether a chunk lies in a pack that is none of these. [`Pool::refresh`] comes before.
    pub(crate) fn is_in_another(
        &self,
        tx: &ReadTx<'_>,
        keyring: &Keyring,
        id: ChunkId,
        these: &HashSet<ObjectId>,
    ) -> Result<bool> {
        for pack in self.candidates(id).into_iter().filter(|pack| !these.contains(pack)) {
            if PackData::load(tx, keyring, &self.key, pack)?.is_some_and(|data| data.has(id)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns whether a chunk that is damaged in one pack lies whole in another. [`Pool::refresh`] comes before.
    pub(crate) fn has_twin(
        &self,
        inner: &Inner,
        tx: &ReadTx<'_>,
        keyring: &Keyring,
        id: ChunkId,
        damaged: ObjectId,
    ) -> bool {
        let candidates = self.index().candidates(id);
        candidates.into_iter().filter(|pack| *pack != damaged).any(|pack| {
            let data = PackData::load(tx, keyring, &self.key, pack).ok().flatten();
            let placed = data.and_then(|data| Placed::within(Arc::new(data), id));
            placed.is_some_and(|placed| PackReader::new(inner, self).opens(&placed))
        })
    }

    /// Returns what is known of a pack; none if it is gone.
    pub(crate) fn pack(&self, inner: &Inner, pack: ObjectId) -> Result<Option<Arc<PackData>>> {
        if let Some(data) = self.cached(pack) {
            return Ok(Some(data));
        }
        inner.read(|tx, keyring| self.loaded(tx, keyring, pack))
    }

    fn cached(&self, pack: ObjectId) -> Option<Arc<PackData>> {
        self.packs.lock().unwrap_or_else(PoisonError::into_inner).get(pack)
    }

    fn loaded(&self, tx: &ReadTx<'_>, keyring: &Keyring, pack: ObjectId) -> Result<Option<Arc<PackData>>> {
        let data = PackData::load(tx, keyring, &self.key, pack)?;
        let Some(data) = data.map(Arc::new) else { return Ok(None) };
        self.packs.lock().unwrap_or_else(PoisonError::into_inner).add(data.clone());
        Ok(Some(data))
    }

    /// Returns the packs in which the content lies that a manifest lists.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] if some of it lies nowhere.
    pub(crate) fn packs_of(&self, tx: &ReadTx<'_>, keyring: &Keyring, owner: ObjectId) -> Result<HashSet<ObjectId>> {
        let parts = self.packs_of_parts(tx, keyring, owner)?;
        Ok(parts.into_iter().flat_map(|part| part.packs).collect())
    }

    /// Returns the parts of a manifest with the packs in which their content lies: one that is here rather than one that is not.
    ///
    /// # Errors
    /// As [`Pool::packs_of`].
    pub(crate) fn packs_of_parts(&self, tx: &ReadTx<'_>, keyring: &Keyring, owner: ObjectId) -> Result<Vec<Part>> {
        let (mut parts, positions) = (Vec::new(), self.class.positions());
        let mut is_fresh = false;
        let within = |pack: ObjectId| -> Result<Option<Arc<PackData>>> {
            let cached = self.cached(pack);
            if cached.is_some() { Ok(cached) } else { self.loaded(tx, keyring, pack) }
        };
        for row in tx.objects_within(Kind::Manifest, owner, positions.start, positions.end - 1)? {
            let body = tx.open_object(keyring, &row)?;
            let part = Manifest::from_body(&body)
                .map_err(|cause| Error::format(format_args!("manifest {owner}, part {}", row.key.position), cause))?;
            let hints = part.packs.iter().map(|pack| within(ObjectId(*pack))).collect::<Result<Vec<_>>>()?;
            let mut packs = HashSet::new();
            let goes_on = |entry: &ManifestEntry| matches!(&entry.content, Content::File(file) if file.offset > 0);
            let goes_on = part.entries.first().is_some_and(goes_on);
            for entry in part.entries {
                let Content::File(file) = entry.content else { continue };
                for (number, id) in file.chunks {
                    let id = ChunkId(id);
                    let hint = hints.get(number as usize).and_then(Option::as_ref);
                    if let Some(pack) = hint.filter(|data| data.has(id)) {
                        packs.insert(pack.id);
                        continue;
                    }
                    if !std::mem::replace(&mut is_fresh, true) {
                        self.refresh(tx, keyring)?;
                    }
                    let (candidates, mut found) = (self.index().candidates(id), None);
                    for pack in candidates {
                        if within(pack)?.is_some_and(|data| data.has(id)) {
                            let is_here = !is_away(tx, pack)?;
                            found = if is_here { Some(pack) } else { found.or(Some(pack)) };
                            if is_here {
                                break;
                            }
                        }
                    }
                    packs.insert(found.ok_or_else(|| Error::damaged(format!("chunk {id} is missing")))?);
                }
            }
            parts.push(Part { position: row.key.position, goes_on, packs });
        }
        Ok(parts)
    }

    /// As [`Pool::pack`], and none if it is damaged, too: what it has is stored again.
    pub(crate) fn usable(&self, inner: &Inner, pack: ObjectId) -> Result<Option<Arc<PackData>>> {
        match self.pack(inner, pack) {
            Err(error) if error.kind() == ErrorKind::Damaged => Ok(None),
            found => found,
        }
    }

    /// Forgets what was read of packs: their rows were changed.
    pub(crate) fn forget(&self) {
        *self.packs.lock().unwrap_or_else(PoisonError::into_inner) = PackCache::default();
    }
}

/// Returns the key that wraps the keys of a project.
pub(crate) fn project_epoch_key(tx: &ReadTx<'_>, keyring: &Keyring, project: ObjectId) -> Result<Arc<OwnerKey>> {
    tx.owner_key(keyring, project, Purpose::ProjectEpoch)?
        .ok_or_else(|| Error::damaged(format!("{} {project}: its epoch key is missing", Project::NAME)))
}
