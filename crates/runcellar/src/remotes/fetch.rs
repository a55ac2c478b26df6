//! Bringing back what was evicted, where it is read or when it is asked for.
//!
//! The store opens no connection: a [`ContentSource`] does. What it brings is believed only if it is what was evicted, and is
//! stored as if it had never been away.

use std::collections::HashSet;
use std::error::Error as StdError;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use runcellar_format::ObjectId;
use runcellar_format::record::Away;
use runcellar_format::seal::{Kind, checksum};

use super::packs::{PackName, is_pack};
use super::record::{RemoteInfo, load};
use crate::blob::{away_of, has_file, is_away, not_away, pack_path};
use crate::db::ObjectKey;
use crate::erase::Target;
use crate::io::{self, IoFile};
use crate::workspace::{Inner, TMP};
use crate::{Error, ErrorKind, Result, Workspace};

/// Packs that are fetched at once when they are asked for.
const TRANSFERS: usize = 4;

/// Why something could not be fetched.
pub type FetchError = Box<dyn StdError + Send + Sync>;

/// Brings what was evicted, for programs that can reach remotes.
pub trait ContentSource: Send + Sync {
    /// Returns a pack as a remote has it; none if it is not there. The user agreed to the remote.
    ///
    /// # Errors
    /// If the remote cannot be asked.
    fn fetch(&self, remote: &RemoteInfo, pack: &PackName) -> Result<Option<Vec<u8>>, FetchError>;
}

/// What [`Workspace::fetch_evicted`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Brought {
    /// Packs that were fetched.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
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
        self.inner.set_fetch(source.map(|source| {
            let fetch = move |inner: &Inner, pack| brought(inner, pack, &*source, &turns);
            Arc::new(fetch) as Arc<crate::blob::Fetch>
        }));
    }

    /// Returns the content of what targets name that was evicted: packs, and their bytes; of all there is without a target.
    ///
    /// # Errors
    /// As [`Workspace::plan_eviction`].
    pub fn plan_fetch(&self, targets: &[Target]) -> Result<Brought> {
        let mut found = Brought::default();
        for (pack, away) in self.evicted_packs(targets)? {
            if !has_file(&self.inner, pack) {
                found = Brought { packs: found.packs + 1, bytes: found.bytes + away.bytes };
            }
        }
        Ok(found)
    }

    /// Brings back the content of what targets name, by the source that was set; of all that was evicted without a target.
    ///
    /// # Errors
    /// [`ErrorKind::Evicted`] if it cannot be fetched now, [`ErrorKind::Damaged`] if the remote lost it; if it cannot be stored.
    pub fn fetch_evicted(&self, targets: &[Target]) -> Result<Brought> {
        let inner = &*self.inner;
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
        Ok(Brought { packs: packs.into_inner(), bytes: bytes.into_inner() })
    }
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
        let bytes = fetched(inner, pack, &away, source)?;
        let folder = path.parent().unwrap_or(&path);
        // Nobody else writes to a name that was drawn; what a crash leaves there is swept away by a collection.
        let temporary = inner.path.join(TMP).join(format!("{}.pack", ObjectId(io::random(&*inner.io)?)));
        let stored = io::create_dir_durable(&*inner.io, folder)
            .and_then(|()| io::replace(&*inner.io, &path, &temporary, &bytes));
        stored.map_err(|cause| Error::io("store", &path, cause))?;
    }
    if inner.read(|tx, _| is_away(tx, pack))? {
        inner.write(None, |tx| not_away(tx, pack))?;
    }
    inner.io.open(&path).map(Some).map_err(|cause| Error::io("open pack", &path, cause))
}

/// Fetches a pack from the remote to which it was evicted, or from another that has it.
fn fetched(inner: &Inner, pack: ObjectId, away: &Away, source: &dyn ContentSource) -> Result<Vec<u8>> {
    let name = PackName::new(away.device, pack);
    let mut remotes = inner.read(load)?.all;
    remotes.sort_by_key(|remote| remote.id != away.remote);
    let mut why = None;
    for remote in &remotes {
        let fetched = inner.may_fetch(&remote.name).map_err(FetchError::from);
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
fn is_it(inner: &Inner, pack: ObjectId, away: &Away, bytes: &[u8]) -> Result<bool> {
    if away.hash != [0; 32] {
        return Ok(bytes.len() as u64 == away.bytes && checksum(bytes) == away.hash);
    }
    let row = inner.read(|tx, _| tx.object(ObjectKey::new(Kind::Pack, pack, 0)))?;
    Ok(bytes.len() as u64 == away.bytes && row.is_some_and(|row| is_pack(pack, bytes, &row.body)))
}
