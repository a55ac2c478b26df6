//! Bringing back what was evicted, where it is read or when it is asked for.
//!
//! The store opens no connection: a [`ContentSource`] does. What it brings is believed only if it is what was evicted, and is
//! stored as if it had never been away.

use std::collections::HashSet;
use std::error::Error as StdError;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use runcellar_format::ObjectId;
use runcellar_format::record::Away;
use runcellar_format::seal::{Kind, checksum};

use super::left::{Bringing, SegmentName};
use super::packs::{PackName, is_pack};
use super::record::{RemoteInfo, load};
use crate::blob::{away_of, has_file, is_away, not_away, pack_path};
use crate::db::ObjectKey;
use crate::erase::Target;
use crate::ingest::rows_away::{self, BringRows};
use crate::io::{self, IoFile};
use crate::workspace::{Inner, TMP};
use crate::{Error, ErrorKind, Result, Workspace};

/// Packs that are fetched at once when they are asked for.
const TRANSFERS: usize = 4;
/// How long rows wait for another process that exchanges with their remote.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a run is called whose rows are to be brought.
const RUN: &str = "run:";
/// What a pack is called that is to be brought.
const PACK: &str = "pack:";

/// Why something could not be fetched.
pub type FetchError = Box<dyn StdError + Send + Sync>;

/// Brings what was evicted, for programs that can reach remotes.
pub trait ContentSource: Send + Sync {
    /// Returns a pack as a remote has it; none if it is not there. The user agreed to the remote.
    ///
    /// # Errors
    /// If the remote cannot be asked.
    fn fetch(&self, remote: &RemoteInfo, pack: &PackName) -> Result<Option<Vec<u8>>, FetchError>;

    /// Returns a segment as a remote has it, in which rows of a run are; none if it is not there. The user agreed to the remote.
    ///
    /// # Errors
    /// If the remote cannot be asked.
    fn segment(&self, remote: &RemoteInfo, segment: &SegmentName) -> Result<Option<Vec<u8>>, FetchError>;
}

/// Has another process bring what lies on remotes alone, for programs that cannot reach these.
pub trait ContentBringer: Send + Sync {
    /// Brings a thing into the workspace, named as `runcellar fetch --object` and [`Workspace::fetch_object`] take it.
    ///
    /// # Errors
    /// If that cannot be done; the text says why.
    fn bring(&self, object: &str) -> Result<(), FetchError>;
}

/// What [`Workspace::fetch_evicted`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Brought {
    /// Packs that were fetched.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Runs whose rows were fetched.
    pub runs: u64,
}

/// Packs that are being fetched: who wants the same waits.
#[derive(Default)]
struct Turns {
    taken: Mutex<HashSet<ObjectId>>,
    freed: Condvar,
}

/// The right to fetch a pack.
struct Turn<'a>(&'a Turns, ObjectId);

impl Turns {
    fn take(&self, pack: ObjectId) -> Turn<'_> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken =
            self.freed.wait_while(taken, |taken| taken.contains(&pack)).unwrap_or_else(PoisonError::into_inner);
        taken.insert(pack);
        Turn(self, pack)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
        self.0.freed.notify_all();
    }
}

impl Workspace {
    /// Has what was evicted fetched by `source` where it is read; without one, reading it is an error of the kind
    /// [`ErrorKind::Evicted`]. What was fetched stays here.
    pub fn set_content_source(&self, source: Option<Arc<dyn ContentSource>>) {
        let turns = Arc::new(Turns::default());
        let of_rows = source.clone();
        self.inner.set_bring_rows(of_rows.map(|source| {
            let bring = move |workspace: &Workspace, run| rows_brought(workspace, run, &*source);
            Arc::new(bring) as Arc<BringRows>
        }));
        self.inner.set_fetch(source.map(|source| {
            let fetch = move |inner: &Inner, pack| brought(inner, pack, &*source, &turns);
            Arc::new(fetch) as Arc<crate::blob::Fetch>
        }));
    }

    /// Has what lies on remotes alone brought by another process where it is read, as [`Workspace::set_content_source`] does in this one.
    pub fn set_content_bringer(&self, bringer: Arc<dyn ContentBringer>) {
        let of_packs = bringer.clone();
        self.inner.set_bring_rows(Some(Arc::new(move |workspace: &Workspace, run| {
            let id = workspace.inner.read(|tx, keyring| rows_away::id_of(tx, keyring, run))?;
            let asked = bringer.bring(&format!("{RUN}{run}"));
            asked.map_err(|cause| not_brought(&format!("run {id}: its rows lie"), cause))?;
            workspace.inner.read(|tx, keyring| rows_away::refuse(tx, keyring, run))
        })));
        self.inner.set_fetch(Some(Arc::new(move |inner: &Inner, pack| {
            let path = pack_path(&inner.path, pack);
            if !has_file(inner, pack) {
                if inner.read(|tx, keyring| away_of(tx, keyring, pack))?.is_none() {
                    return Ok(None);
                }
                let asked = of_packs.bring(&format!("{PACK}{pack}"));
                asked.map_err(|cause| not_brought(&format!("pack {pack}: its content lies"), cause))?;
            }
            inner.io.open(&path).map(Some).map_err(|cause| Error::io("open pack", &path, cause))
        })));
    }

    /// Brings one thing here by the source that was set: `run:` and the object id of a run for its rows, `pack:` and an id for a pack.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for something else; as [`Workspace::fetch_evicted`].
    pub fn fetch_object(&self, object: &str) -> Result<Brought> {
        let id = |prefix: &str| object.strip_prefix(prefix).and_then(ObjectId::from_hex);
        if let Some(run) = id(RUN) {
            self.bring_rows(run)?;
            return Ok(Brought { runs: 1, ..Brought::default() });
        }
        let unknown = || Error::invalid(format!("{object}: expected {RUN}ID or {PACK}ID"));
        let pack = id(PACK).ok_or_else(unknown)?;
        let bytes = self.inner.read(|tx, keyring| away_of(tx, keyring, pack))?.map_or(0, |away| away.bytes);
        let gone = || Error::new(ErrorKind::NotFound, format!("pack {pack}: it is not in this workspace"));
        self.inner.fetch_pack(pack)?.ok_or_else(gone)?;
        Ok(Brought { packs: 1, bytes, runs: 0 })
    }

    /// Returns the content of what targets name that is not here: packs, their bytes, and runs whose rows are not; of all there is
    /// without a target.
    ///
    /// # Errors
    /// As [`Workspace::plan_eviction`].
    pub fn plan_fetch(&self, targets: &[Target]) -> Result<Brought> {
        let mut found = Brought { runs: self.runs_without_rows(targets)?.len() as u64, ..Brought::default() };
        for (pack, away) in self.evicted_packs(targets)? {
            if !has_file(&self.inner, pack) {
                found = Brought { packs: found.packs + 1, bytes: found.bytes + away.bytes, ..found };
            }
        }
        Ok(found)
    }

    /// Brings the content of what targets name here, and the rows of its runs, by the source that was set; of all that is not here
    /// without a target.
    ///
    /// # Errors
    /// [`ErrorKind::Evicted`] if it cannot be fetched now, [`ErrorKind::Damaged`] if the remote lost it; if it cannot be stored.
    pub fn fetch_evicted(&self, targets: &[Target]) -> Result<Brought> {
        let inner = &*self.inner;
        let runs = self.runs_without_rows(targets)?;
        runs.iter().try_for_each(|run| self.bring_rows(*run))?;
        let all = self.evicted_packs(targets)?;
        let total = all.iter().filter(|(pack, _)| !has_file(inner, *pack)).map(|(_, away)| away.bytes).sum();
        let (next, packs, bytes) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let bring = || -> Result<()> {
            while let Some((pack, away)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                let was_here = has_file(inner, *pack);
                let fetched = inner.fetch_pack(*pack);
                if fetched.is_err() {
                    next.store(all.len(), Ordering::Relaxed);
                }
                if fetched?.is_some() && !was_here {
                    packs.fetch_add(1, Ordering::Relaxed);
                    let done = bytes.fetch_add(away.bytes, Ordering::Relaxed) + away.bytes;
                    inner.monitor.progress("bytes", done, total);
                }
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..all.len().min(TRANSFERS)).map(|_| scope.spawn(bring)).collect();
            let joined = threads.into_iter().map(|thread| match thread.join() {
                Ok(outcome) => outcome,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            joined.collect::<Vec<_>>().into_iter().collect::<Result<()>>()
        })?;
        Ok(Brought { packs: packs.into_inner(), bytes: bytes.into_inner(), runs: runs.len() as u64 })
    }
}

fn not_brought(what: &str, cause: FetchError) -> Error {
    Error::new(ErrorKind::Evicted, format!("{what} on a remote alone: {cause}")).with_cause(cause)
}

/// Brings the rows of a run here from the remotes where they lie.
fn rows_brought(workspace: &Workspace, run: ObjectId, source: &dyn ContentSource) -> Result<()> {
    let inner = &workspace.inner;
    inner.refuse_if_only_read()?;
    let away = inner.read(|tx, keyring| rows_away::of(tx, keyring, run))?.unwrap_or_default();
    let id = inner.read(|tx, keyring| rows_away::id_of(tx, keyring, run))?;
    let remotes = inner.read(load)?.all;
    let (mut is_anywhere, mut missing) = (false, None);
    for remote in remotes.iter().filter(|remote| away.places.iter().any(|place| place.remote == remote.id)) {
        let failed = |cause: FetchError| {
            let message = format!("run {id}: its rows lie on {} alone: {cause}", remote.name);
            Error::new(ErrorKind::Evicted, message).with_cause(cause)
        };
        let info = inner.may_read(&remote.name).map_err(|cause| failed(cause.into()))?;
        let exchange = workspace.exchange_within(&remote.name, PATIENCE)?;
        match exchange.bring_rows(run, &mut |segment| source.segment(&info, segment).map_err(failed))? {
            Bringing::Done => is_anywhere = true,
            Bringing::Missing(segment) => missing = Some((remote.name.clone(), segment)),
            Bringing::Nowhere => {}
        }
    }
    let why = match (missing, is_anywhere) {
        (None, true) => return Ok(()),
        (None, false) => {
            let message = format!("run {id}: no device publishes its rows now: sync, and try again");
            return Err(Error::new(ErrorKind::State, message));
        }
        (Some((remote, SegmentName { prefix, number })), _) => {
            format!("its rows are published anew just now, or {remote} lost them (segment {number} of device {prefix})")
        }
    };
    Err(Error::new(ErrorKind::Evicted, format!("run {id}: {why}: sync, and try again")))
}

/// Opens the file of a pack that was evicted, after it was fetched and stored; none if it is not here, and was not evicted.
fn brought(
    inner: &Inner,
    pack: ObjectId,
    source: &dyn ContentSource,
    turns: &Turns,
) -> Result<Option<Arc<dyn IoFile>>> {
    let _turn = turns.take(pack);
    let path = pack_path(&inner.path, pack);
    // Somebody else may have fetched it meanwhile.
    if !has_file(inner, pack) {
        let Some(away) = inner.read(|tx, keyring| away_of(tx, keyring, pack))? else { return Ok(None) };
        inner.refuse_if_only_read()?;
        store(inner, pack, &fetched(inner, pack, &away, source)?)?;
    }
    if inner.read(|tx, _| is_away(tx, pack))? {
        inner.write(None, |tx| not_away(tx, pack))?;
    }
    inner.io.open(&path).map(Some).map_err(|cause| Error::io("open pack", &path, cause))
}

/// Stores the file of a pack that was fetched.
pub(super) fn store(inner: &Inner, pack: ObjectId, bytes: &[u8]) -> Result<()> {
    let path = pack_path(&inner.path, pack);
    let folder = path.parent().unwrap_or(&path);
    // Nobody else writes to a name that was drawn; what a crash leaves there is swept away by a collection.
    let temporary = inner.path.join(TMP).join(format!("{}.pack", ObjectId(io::random(&*inner.io)?)));
    let stored =
        io::create_dir_durable(&*inner.io, folder).and_then(|()| io::replace(&*inner.io, &path, &temporary, bytes));
    stored.map_err(|cause| Error::io("store", &path, cause))
}

/// Fetches a pack from the remote to which it was evicted, or from another that has it.
fn fetched(inner: &Inner, pack: ObjectId, away: &Away, source: &dyn ContentSource) -> Result<Vec<u8>> {
    let name = PackName::new(away.device, pack);
    let mut remotes = inner.read(load)?.all;
    remotes.sort_by_key(|remote| remote.id != away.remote);
    let mut why = None;
    for remote in &remotes {
        let fetched = inner.may_read(&remote.name).map_err(FetchError::from);
        let error = match fetched.and_then(|info| source.fetch(&info, &name)) {
            Ok(Some(bytes)) if is_it(inner, pack, away, &bytes)? => return Ok(bytes),
            Ok(Some(_)) => {
                Error::damaged(format!("its content is not here, and {} has something else there", remote.name))
            }
            Ok(None) => Error::damaged(format!("its content is not here, and {} has lost it", remote.name)),
            Err(cause) => Error::new(ErrorKind::Evicted, format!("its content is not here: {cause}")).with_cause(cause),
        };
        // What counts is what the first says: the content was evicted to that one.
        why.get_or_insert(error);
    }
    let unknown = || Error::new(ErrorKind::Evicted, "its content is not here, and no remote is known");
    Err(why.unwrap_or_else(unknown).of(format_args!("pack {pack}")))
}

/// Returns whether bytes are the pack that lies there. Of one that was never here the directory is compared; its chunks are
/// opened when they are read.
pub(super) fn is_it(inner: &Inner, pack: ObjectId, away: &Away, bytes: &[u8]) -> Result<bool> {
    if away.hash != [0; 32] {
        return Ok(bytes.len() as u64 == away.bytes && checksum(bytes) == away.hash);
    }
    let row = inner.read(|tx, _| tx.object(ObjectKey::new(Kind::Pack, pack, 0)))?;
    Ok(bytes.len() as u64 == away.bytes && row.is_some_and(|row| is_pack(pack, bytes, &row.body)))
}
