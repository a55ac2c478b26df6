//! Packs as the database knows them, and their files.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use runcellar_format::blob::{Bucket, Directory, Entry};
use runcellar_format::seal::{Kind, OwnerKey};
use runcellar_format::{ChunkId, DeviceId, ObjectId, Secret, blob};

use crate::db::{ObjectKey, ObjectRow, ReadTx};
use crate::keys::Keyring;
use crate::workspace::{Inner, PACKS};
use crate::{Error, Result, io};

/// Bytes of directories and buckets that a pool keeps at most.
const CACHE_BYTES_MAX: usize = 32 << 20;

/// Returns the path of a pack in a workspace.
pub(crate) fn pack_path(workspace: &Path, pack: ObjectId) -> PathBuf {
    let name = pack.to_string();
    workspace.join(PACKS).join(name.get(..2).unwrap_or_default()).join(format!("{name}.pack"))
}

/// What the database has of a pack.
pub(crate) struct PackData {
    pub(crate) id: ObjectId,
    pub(crate) entries: Vec<Entry>,
    /// Where each chunk begins in the file.
    pub(crate) offsets: Vec<u64>,
    /// Where its padding stands.
    pub(crate) padding: std::ops::Range<u64>,
    pub(crate) bucket: Bucket,
    /// Version of the bucket's row.
    pub(crate) version: (DeviceId, u64),
    slots: HashMap<ChunkId, usize>,
    has_file: OnceLock<()>,
    /// The bucket's keys, once one is asked for.
    keys: OnceLock<Vec<Option<Secret>>>,
}

impl PackData {
    pub(crate) fn new(id: ObjectId, directory: Directory, bucket: Bucket, version: (DeviceId, u64)) -> PackData {
        let slots = directory.entries.iter().enumerate().map(|(slot, entry)| (entry.id, slot)).collect();
        let (offsets, padding) = (directory.offsets().collect(), directory.padding_range());
        let (has_file, keys) = (OnceLock::new(), OnceLock::new());
        PackData { id, entries: directory.entries, offsets, padding, bucket, version, slots, has_file, keys }
    }

    /// Reads directory and bucket of a pack; none if it is not there.
    pub(crate) fn load(tx: &ReadTx<'_>, keyring: &Keyring, key: &OwnerKey, id: ObjectId) -> Result<Option<PackData>> {
        let Some(row) = tx.object(ObjectKey::new(Kind::Pack, id, 0))? else { return Ok(None) };
        let directory = open_directory(keyring, key, &row)?;
        let (bucket, version) = load_bucket(tx, keyring, id)?;
        PackData::of_parts(id, directory, bucket, version).map(Some)
    }

    /// Puts directory and bucket together, which must be of one length.
    pub(crate) fn of_parts(
        id: ObjectId,
        directory: Directory,
        bucket: Bucket,
        version: (DeviceId, u64),
    ) -> Result<PackData> {
        if bucket.len() != directory.entries.len() {
            return Err(Error::damaged(format!("pack {id}: its directory and bucket are not of one length")));
        }
        Ok(PackData::new(id, directory, bucket, version))
    }

    pub(crate) fn slot(&self, id: ChunkId) -> Option<usize> {
        self.slots.get(&id).copied()
    }

    /// Returns true if a chunk is here and its key was not dropped.
    pub(crate) fn has(&self, id: ChunkId) -> bool {
        self.slot(id).is_some_and(|slot| self.bucket.has(slot))
    }

    /// Returns the key of a chunk; none if it was dropped.
    pub(crate) fn key(&self, slot: usize) -> Option<&Secret> {
        self.keys.get_or_init(|| self.bucket.keys()).get(slot)?.as_ref()
    }

    /// Returns false if the file was lost or evicted: what it had is stored again when it is put again. That of a replica is
    /// fetched.
    pub(crate) fn has_file(&self, inner: &Inner) -> bool {
        // One that is not there may be fetched any time.
        let is_there = self.has_file.get().is_some()
            || inner.is_replica()
            || inner.io.identity(&pack_path(&inner.path, self.id)).is_ok();
        if is_there {
            self.has_file.get_or_init(|| ());
        }
        is_there
    }

    fn bytes(&self) -> usize {
        self.entries.len() * (size_of::<Entry>() + 8 + size_of::<Option<Secret>>() + 48)
    }
}

/// Opens the keys of a pack's chunks; returns the version of their row, too.
///
/// # Errors
/// [`crate::ErrorKind::Damaged`] if they are missing, or cannot be opened: then the pack is noise.
pub(crate) fn load_bucket(tx: &ReadTx<'_>, keyring: &Keyring, id: ObjectId) -> Result<(Bucket, (DeviceId, u64))> {
    let row = tx.object(ObjectKey::new(Kind::Bucket, id, 0))?;
    let row = row.ok_or_else(|| Error::damaged(format!("pack {id}: the keys of its chunks are missing")))?;
    let text = zeroize::Zeroizing::new(tx.open_object(keyring, &row)?);
    let bucket = Bucket::from_text(&text).map_err(|cause| Error::format(format_args!("pack {id}"), cause))?;
    Ok((bucket, (row.device, row.seq)))
}

/// Opens the directory that stands in a row.
pub(crate) fn open_directory(keyring: &Keyring, key: &OwnerKey, row: &ObjectRow) -> Result<Directory> {
    blob::open_directory(keyring.workspace(), key, row.key.id, &row.body)
        .map_err(|cause| crate::db::damaged_in_place(format!("directory of pack {}", row.key.id), cause))
}

/// Returns the row of a pack as its file tells it, with the directory in it; none if it tells none that `key` opens.
pub(crate) fn told_by_file(
    inner: &Inner,
    keyring: &Keyring,
    key: &OwnerKey,
    id: ObjectId,
) -> Option<(ObjectRow, Directory)> {
    let file = inner.io.open(&pack_path(&inner.path, id)).ok()?;
    let len = file.len().ok()?;
    let trailer_at = len.checked_sub(blob::TRAILER_BYTES as u64)?;
    let trailer = io::read_range(&*file, trailer_at, blob::TRAILER_BYTES).ok()?;
    let range = blob::directory_range(id, len, &trailer).ok()?;
    let body = io::read_range(&*file, range.start, usize::try_from(range.end - range.start).ok()?).ok()?;
    let row = ObjectRow { key: ObjectKey::new(Kind::Pack, id, 0), device: DeviceId::NIL, seq: 0, tag: None, body };
    let directory = open_directory(keyring, key, &row).ok()?;
    (directory.file_bytes() == len).then_some((row, directory))
}

/// Packs that were looked at last.
#[derive(Default)]
pub(super) struct PackCache {
    packs: HashMap<ObjectId, Arc<PackData>>,
    order: VecDeque<ObjectId>,
    bytes: usize,
}

impl PackCache {
    pub(super) fn get(&self, pack: ObjectId) -> Option<Arc<PackData>> {
        self.packs.get(&pack).cloned()
    }

    pub(super) fn add(&mut self, data: Arc<PackData>) {
        let (id, bytes) = (data.id, data.bytes());
        if self.packs.insert(id, data).is_some() {
            return;
        }
        self.order.push_back(id);
        self.bytes += bytes;
        while self.bytes > CACHE_BYTES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.bytes -= self.packs.remove(&oldest).map_or(0, |data| data.bytes());
        }
    }
}
