//! Packs: those of this device as objects to store, and those of others as they are read.

use std::collections::VecDeque;
use std::io::Result as IoResult;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use runcellar_format::blob::{PACK_HEADER_BYTES, TRAILER_BYTES, check_header, directory_range};
use runcellar_format::object::{ReadAt, SealedObject};
use runcellar_format::record::{Segment, SegmentEntry};
use runcellar_format::seal::{Envelope, Kind, OwnerKey};
use runcellar_format::{DeviceId, ObjectId};

use super::exchange::Exchange;
use super::replica::Replica;
use crate::blob::pack_path;
use crate::db::ObjectKey;
use crate::io::{self, Io, IoFile};
use crate::keys::Purpose;
use crate::workspace::{Inner, PACKS, TMP};
use crate::{Error, ErrorKind, MergeReport, Result, Workspace};

/// Packs of another device that are kept while they are read, 16 MiB each: those that were fetched first go first.
const PACKS_KEPT_MAX: usize = 256;

/// Where a pack lies on a remote.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackName {
    /// The device that made it: 32 hexadecimal digits.
    pub device: String,
    /// The pack: as many.
    pub pack: String,
}

impl PackName {
    pub(super) fn new(device: [u8; 16], pack: ObjectId) -> PackName {
        PackName { device: DeviceId(device).to_string(), pack: pack.to_string() }
    }

    pub(super) fn id(&self) -> Result<ObjectId> {
        ObjectId::from_hex(&self.pack).ok_or_else(|| Error::invalid(format!("{}: no pack", self.pack)))
    }
}

/// A pack as it was fetched, or what is wrong with the one that the remote has.
pub type Fetched = std::result::Result<Vec<u8>, String>;

/// An open file of a pack.
struct PackFile(Arc<dyn IoFile>);

impl ReadAt for PackFile {
    fn read_at(&self, out: &mut [u8], offset: u64) -> IoResult<usize> {
        self.0.read_at(out, offset)
    }
}

/// Makes an object of the file of a pack, which `key` tells to be that.
///
/// # Errors
/// [`ErrorKind::Damaged`] if it is missing, or something else.
pub(super) fn object_of(inner: &Inner, key: &OwnerKey, pack: ObjectId) -> Result<SealedObject> {
    let path = pack_path(&inner.path, pack);
    let damaged = |cause: std::io::Error| Error::damaged(format!("pack {pack}: {cause}")).with_cause(cause);
    let file = inner.io.open(&path).map_err(|cause| match cause.kind() {
        std::io::ErrorKind::NotFound => Error::damaged(format!("pack {pack}: its file is missing")).with_cause(cause),
        _ => Error::io("open pack", &path, cause),
    })?;
    let len = file.len().map_err(|cause| Error::io("read", &path, cause))?;
    SealedObject::of_pack(inner.id, key, pack, Arc::new(PackFile(file)), len).map_err(damaged)
}

impl Exchange {
    /// Lists the packs of which segments tell that wait to be sent: they are stored before these.
    ///
    /// # Errors
    /// If the own replica cannot be read.
    pub fn packs(&self) -> Result<Vec<PackName>> {
        let mut packs = Vec::new();
        for number in self.outbox()? {
            let named = |cause| Error::format(format_args!("segment {number}"), cause);
            let Some(sealed) = self.waiting(number)? else { continue };
            let sealed = sealed.read().map_err(|cause| Error::damaged(cause.to_string()))?;
            let key = self.workspace.inner.read(|tx, keyring| tx.workspace_key(keyring, Purpose::Control))?;
            let segment = Segment::open(&key, self.workspace_id(), self.own.prefix, number, &sealed).map_err(named)?;
            for entry in segment.entries {
                if let SegmentEntry::Object(row) = entry
                    && row.kind == Kind::Pack as u16
                {
                    packs.push(PackName::new(segment.device, ObjectId(row.id)));
                }
            }
        }
        Ok(packs)
    }

    /// Returns a pack of this device; none if it is not here any more, as its content was collected, written anew or evicted
    /// ([`Exchange::evicted`]).
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] if its file is not what it was.
    pub fn pack(&self, name: &PackName) -> Result<Option<SealedObject>> {
        let inner = &self.workspace.inner;
        let pack = name.id()?;
        if self.evicted(name)?.is_some() {
            return Ok(None);
        }
        let key = inner.read(|tx, keyring| {
            let Some(row) = tx.object(ObjectKey::new(Kind::Pack, pack, 0))? else { return Ok(None) };
            let envelope = Envelope::parse("pack directory", &row.body);
            let envelope = envelope.map_err(|cause| Error::format(format_args!("pack {pack}"), cause))?;
            tx.key(keyring, envelope.key).map(Some)
        })?;
        key.map(|key| object_of(inner, &key, pack)).transpose()
    }

    /// Merges a replica by [`Workspace::merge_replica`] or [`Workspace::merge_artifacts`]; what that needs of packs is given by
    /// `fetch`, on this thread.
    pub(super) fn merge_by<E: From<Error>>(
        &self,
        merge: fn(&Workspace, &Workspace) -> Result<MergeReport>,
        replica: &Replica,
        fetch: &mut dyn FnMut(&PackName) -> std::result::Result<Fetched, E>,
    ) -> std::result::Result<MergeReport, E> {
        replica.inner().set_there(self.stays_there(replica.cursor()?.device)?);
        self.with_packs_of(replica, fetch, || merge(&self.workspace, &replica.workspace))
    }

    /// Does something, on another thread, that reads packs of a device.
    pub(super) fn with_packs_of<T: Send, E: From<Error>>(
        &self,
        replica: &Replica,
        fetch: &mut dyn FnMut(&PackName) -> std::result::Result<Fetched, E>,
        work: impl FnOnce() -> Result<T> + Send,
    ) -> std::result::Result<T, E> {
        let device = replica.cursor()?.device;
        let (ask, asked): (_, Receiver<Wanted>) = channel();
        let kept = Mutex::new(VecDeque::new());
        let inner = replica.workspace.inner.clone();
        inner.set_fetch(Some(Arc::new(move |inner: &Inner, pack| fetched(inner, pack, &ask, &kept))));
        std::thread::scope(|scope| {
            let working = scope.spawn(|| {
                let _end = EndFetching(replica.inner());
                work()
            });
            let mut failure = None;
            for Wanted { pack, answer } in asked {
                // Who failed once is not asked again: without an answer the merge ends.
                if failure.is_some() {
                    continue;
                }
                match fetch(&PackName::new(device, pack)) {
                    // It waits for it.
                    Ok(fetched) => drop(answer.send(fetched)),
                    Err(error) => failure = Some(error),
                }
            }
            let done = working.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            match failure {
                Some(failure) => Err(failure),
                None => Ok(done?),
            }
        })
    }
}

/// Ends the fetching, also if the merge panics: who waits for its questions waits no longer.
struct EndFetching<'a>(&'a Inner);

impl Drop for EndFetching<'_> {
    fn drop(&mut self) {
        self.0.set_fetch(None);
    }
}

/// A pack that a merge reads.
struct Wanted {
    pack: ObjectId,
    answer: SyncSender<Fetched>,
}

/// Asks for a pack and stores it in the replica's folder, if it is the one that its device published.
fn fetched(
    inner: &Inner,
    pack: ObjectId,
    ask: &Sender<Wanted>,
    kept: &Mutex<VecDeque<ObjectId>>,
) -> Result<Option<Arc<dyn IoFile>>> {
    let (answer, answered) = sync_channel(1);
    let given_up = || Error::new(ErrorKind::Io, format!("pack {pack}: it was not fetched"));
    ask.send(Wanted { pack, answer }).map_err(|_| given_up())?;
    let damaged = |why: &str| Error::damaged(format!("pack {pack}: {why}"));
    let bytes = answered.recv().map_err(|_| given_up())?.map_err(Error::damaged)?;
    let row = inner.read(|tx, _| tx.object(ObjectKey::new(Kind::Pack, pack, 0)))?;
    if !row.is_some_and(|row| is_pack(pack, &bytes, &row.body)) {
        return Err(damaged("what the remote has is not what its device published"));
    }
    let path = pack_path(&inner.path, pack);
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    while kept.len() >= PACKS_KEPT_MAX
        && let Some(oldest) = kept.pop_front()
    {
        let oldest = pack_path(&inner.path, oldest);
        inner.io.remove(&oldest).map_err(|cause| Error::io("remove", &oldest, cause))?;
    }
    kept.push_back(pack);
    // Not synced: what a power cut leaves of it does not open, and is fetched again.
    let stored = (|| {
        let temporary = inner.path.join(TMP).join(format!("{pack}.pack"));
        let made = match inner.io.create_new(&temporary) {
            Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => {
                inner.io.remove(&temporary)?;
                inner.io.create_new(&temporary)
            }
            made => made,
        }?;
        if let Err(cause) = io::write_all(&*made, &bytes) {
            // The room that it takes is what may be missing.
            let _ = inner.io.remove(&temporary);
            return Err(cause);
        }
        inner.io.create_dir(path.parent().unwrap_or(&path))?;
        inner.io.rename(&temporary, &path)?;
        inner.io.open(&path)
    })();
    stored.map(Some).map_err(|cause| Error::io("store", &path, cause))
}

/// Returns whether bytes begin and end as a pack whose directory is known.
pub(super) fn is_pack(pack: ObjectId, bytes: &[u8], directory: &[u8]) -> bool {
    let header = bytes.first_chunk::<PACK_HEADER_BYTES>().is_some_and(|header| check_header(pack, header).is_ok());
    let trailer = bytes.last_chunk::<TRAILER_BYTES>();
    let range = trailer.and_then(|trailer| directory_range(pack, bytes.len() as u64, trailer).ok());
    let range = range.map(|range| range.start as usize..range.end as usize);
    header && range.and_then(|range| bytes.get(range)) == Some(directory)
}

/// Removes what was fetched for a replica: it was taken in, or is to be fetched again.
pub(super) fn drop_fetched(inner: &Inner) -> Result<()> {
    let io: &dyn Io = &*inner.io;
    let folder = inner.path.join(PACKS);
    let failed = |path: &std::path::Path| {
        let path = path.to_owned();
        move |cause| Error::io("remove", &path, cause)
    };
    for name in io.list(&folder).map_err(failed(&folder))? {
        let below = folder.join(name);
        for name in io.list(&below).map_err(failed(&below))? {
            let path = below.join(name);
            io.remove(&path).map_err(failed(&path))?;
        }
    }
    Ok(())
}
