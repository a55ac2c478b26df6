//! Putting files into a pool: read and cut, name and seal, write packs, list.
//!
//! ```text
//! calling thread      sealers (one a processor)           writer                       syncer
//! read, cut     --->  name, known? compress, seal  --->  in order: packs, manifest ---> fsync, rename
//!      ^                                                    |
//!      +------------------- empty buffers ------------------+
//! ```
//!
//! As many buffers go round as bound the memory, whatever is put. Packs that are closed are entered into the database
//! every [`PACKS_BETWEEN_COMMITS`], so that what was interrupted finds its chunks there and goes on; the manifest comes last, in
//! the caller's transaction ([`Put::commit`]).

mod batch;
mod collect;
mod commit;
mod read;
mod seal;
mod sync;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use runcellar_format::blob::{Bucket, Effort, Entry};
use runcellar_format::record::Reference;
use runcellar_format::seal::Sealed;
use runcellar_format::{ChunkId, DeviceId, ObjectId};

use super::hold::Hold;
use super::pack::PackData;
use super::pool::Pool;
use super::{Damaged, ManifestReader, ManifestWriter, PackReader, Placed, StoredFile, suspects};
use crate::workspace::Inner;
use crate::{Error, Result};
use batch::Batch;
pub(crate) use commit::Entered;
use seal::Local;

/// Buffers that go round for each sealer. Two would keep it busy; more even out files of different sizes.
const BUFFERS_PER_SEALER: usize = 3;
/// Sealers at most: more than this are held back by the one that reads.
const SEALERS_MAX: usize = 8;
/// Closed packs (16 MiB each) that are entered into the database together while a put goes on.
const PACKS_BETWEEN_COMMITS: usize = 16;
/// The same on a network file system, where each commit copies the database.
const PACKS_BETWEEN_COMMITS_ON_NETWORK: usize = 128;

/// Something to put.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Path in the manifest.
    pub(crate) path: Vec<u8>,
    pub(crate) what: What,
    /// Fields of the manifest's entry.
    pub(crate) extra: Vec<(u16, Vec<u8>)>,
}

/// What stands at a path.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// A file of this machine.
    File(PathBuf),
    /// Bytes at hand.
    Bytes(Vec<u8>),
    /// Bytes that come but once.
    Stream(Stream),
    /// A file of another pool.
    Stored(StoredFile),
    /// A symbolic link, with what it names.
    Link(Vec<u8>),
    /// An empty directory.
    Directory,
    /// What lies elsewhere.
    Reference(Reference),
}

/// A file that is read once, from its beginning to its end.
#[derive(Clone)]
pub(crate) struct Stream {
    pub(crate) content: Arc<Mutex<dyn std::io::Read + Send>>,
    /// Its bytes: more or less of them are an error.
    pub(crate) size: u64,
    pub(crate) executable: bool,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stream({} bytes)", self.size)
    }
}

/// How to put.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PutOptions {
    pub(crate) effort: Effort,
    /// Bytes that there are in all, for progress; 0 if not known.
    pub(crate) bytes_total: u64,
}

impl Default for PutOptions {
    fn default() -> Self {
        PutOptions { effort: Effort::Default, bytes_total: 0 }
    }
}

/// What was put. Its packs are on the disk; [`Put::commit`] makes them known.
pub(crate) struct Put {
    pub(crate) manifest: ManifestWriter,
    /// Equal for equal paths and contents.
    pub(crate) digest: [u8; 32],
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// Bytes of content that were not there before.
    pub(crate) new_bytes: u64,
    /// Bytes of files that were read.
    pub(crate) read_bytes: u64,
    ready: Vec<ReadyPack>,
    /// Packs of others that chunks were found in, and the version of their buckets.
    relied_on: HashMap<ObjectId, (DeviceId, u64)>,
    /// What was found damaged, and lies whole in another pack now.
    damaged: Damaged,
    /// Until this is dropped nobody sweeps its packs away.
    _hold: Hold,
}

/// A pack whose file is whole and has its name, and that the database does not know yet.
struct ReadyPack {
    id: ObjectId,
    path: PathBuf,
    entries: Vec<Entry>,
    bucket: Bucket,
    directory: Sealed,
}

/// What all threads of a put share.
struct Shared<'a> {
    inner: &'a Inner,
    pool: &'a Pool,
    options: PutOptions,
    /// Packs in which damage was found: what they have is opened before it is relied on.
    suspects: HashSet<ObjectId>,
    local: Mutex<Local>,
    /// Packs whose files are durable, and that the database does not know yet.
    ready: Mutex<Vec<ReadyPack>>,
    stop: AtomicBool,
    read_bytes: AtomicU64,
}

impl Shared<'_> {
    fn local(&self) -> std::sync::MutexGuard<'_, Local> {
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ready(&self) -> std::sync::MutexGuard<'_, Vec<ReadyPack>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns false if a chunk lies in a pack that is suspected, and is damaged there.
    fn is_whole(&self, pack: &Arc<PackData>, id: ChunkId) -> bool {
        if !self.suspects.contains(&pack.id) {
            return true;
        }
        let placed = Placed::within(pack.clone(), id);
        let is_whole = placed.is_some_and(|placed| PackReader::new(self.inner, self.pool).opens(&placed));
        if !is_whole {
            self.local().damaged.entry(pack.id).or_default().insert(id);
        }
        is_whole
    }

    /// Returns true when another thread has failed.
    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Puts what `sources` gives, in order of path, into a pool.
///
/// `previous` is the manifest of an earlier version of the same files: those that are as they were then are not read.
/// `read_from_ns` is when that one began to read.
///
/// # Errors
/// If a file cannot be read or changes while it is read: all that was read before is found by the next put of the same
/// content. If the workspace cannot be written: so is what stands in packs that were closed before. Nothing is referred to.
pub(crate) fn put(
    inner: &Inner,
    pool: &Pool,
    sources: &mut dyn Iterator<Item = Result<Source>>,
    previous: Option<(ManifestReader<'_>, i64)>,
    options: PutOptions,
) -> Result<Put> {
    let hold = Hold::take(inner)?;
    inner.read(|tx, keyring| pool.refresh(tx, keyring))?;
    let sealers = std::thread::available_parallelism().map_or(1, usize::from).min(SEALERS_MAX);
    let shared = Shared {
        inner,
        pool,
        options,
        suspects: suspects(inner),
        local: Mutex::default(),
        ready: Mutex::default(),
        stop: AtomicBool::new(false),
        read_bytes: AtomicU64::new(0),
    };
    let buffers = sealers * BUFFERS_PER_SEALER;
    let (empty_give, empty_take) = sync_channel::<Batch>(buffers);
    for _ in 0..buffers {
        // Cannot fail: the channel has room for all of them.
        let _ = empty_give.send(Batch::default());
    }
    let (read_give, read_take) = sync_channel::<Batch>(buffers);
    let (sealed_give, sealed_take) = sync_channel::<Option<Batch>>(buffers + sealers);
    let (closed_give, closed_take) = sync_channel::<sync::ClosedPack>(sync::PACKS_WAITING_MAX);
    let read_take = Arc::new(Mutex::new(read_take));
    let result = std::thread::scope(|scope| {
        let shared = &shared;
        let spawn = |name: &str| std::thread::Builder::new().name(format!("runcellar-{name}"));
        let failed =
            |cause| Error::new(crate::ErrorKind::Io, format!("no thread to put files: {cause}")).with_cause(cause);
        let mut workers = Vec::new();
        for _ in 0..sealers {
            let (take, give) = (read_take.clone(), sealed_give.clone());
            let work = move || {
                let _ended = seal::Ended(&give);
                stopping(shared, || seal::run(shared, &take, &give))
            };
            workers.push(spawn("seal").spawn_scoped(scope, work).map_err(failed)?);
        }
        drop(sealed_give);
        let writer = spawn("pack").spawn_scoped(scope, move || {
            stopping(shared, || collect::run(shared, &sealed_take, &empty_give, closed_give))
        });
        let syncer = spawn("sync").spawn_scoped(scope, move || stopping(shared, || sync::run(shared, &closed_take)));
        let (writer, syncer) = (writer.map_err(failed)?, syncer.map_err(failed)?);
        // If it fails, the others end what was read so far: the next put finds it.
        let read = read::run(shared, sources, previous, &empty_take, read_give);
        drop(empty_take);
        drop(read_take);
        let mut results: Vec<Result<()>> = workers.into_iter().map(joined).collect();
        let (collected, synced) = (joined(writer), joined(syncer));
        // What began the failure comes first: a thread that was stopped by another reports nothing.
        results.insert(0, read);
        results.push(synced);
        results.into_iter().collect::<Result<()>>()?;
        collected?.ok_or_else(|| Error::new(crate::ErrorKind::State, "files were not put: a thread ended early"))
    });
    let ready = std::mem::take(&mut *shared.ready());
    let collected = match result {
        Ok(collected) => collected,
        Err(error) => {
            commit::keep(inner, pool, ready);
            return Err(error);
        }
    };
    let (relied_on, damaged) = {
        let mut local = shared.local();
        (std::mem::take(&mut local.relied_on), std::mem::take(&mut local.damaged))
    };
    Ok(Put {
        manifest: collected.manifest,
        digest: collected.digest,
        files: collected.files,
        bytes: collected.bytes,
        new_bytes: collected.new_bytes,
        read_bytes: shared.read_bytes.into_inner(),
        ready,
        relied_on,
        damaged,
        _hold: hold,
    })
}

/// Runs a stage; if it fails, the others stop.
fn stopping<T>(shared: &Shared<'_>, stage: impl FnOnce() -> Result<T>) -> Result<T> {
    /// Nobody may wait for a thread that has panicked.
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.fetch_or(std::thread::panicking(), Ordering::Relaxed);
        }
    }
    let _stop = Stop(&shared.stop);
    let result = stage();
    if result.is_err() {
        shared.stop.store(true, Ordering::Relaxed);
    }
    result
}

fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

type Batches = Mutex<Receiver<Batch>>;
