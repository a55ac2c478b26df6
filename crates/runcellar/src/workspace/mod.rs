//! The workspace: one directory, one handle, and what all verbs need of it.

mod create;
mod diagnose;
pub(crate) mod epoch;
mod keyslots;
mod members;
mod mirror;
mod network;
mod open;
mod pairs;
mod quota;
pub(crate) mod settings;
mod settle;
mod slots;
mod turn;
mod usage;

pub(crate) use turn::{SILENCE_US, file_system_now_us};

pub use create::Creation;
pub(crate) use create::Foundation;
pub use diagnose::{Diagnosis, FORMAT_VERSION, FileFacts, FileSystemUse, MirrorFacts};
pub(crate) use epoch::{
    Drawn, Elsewhere, finish as finish_replacing, is_root_key_alone, old_secrets_are_gone, replace as replace_root_key,
    replace_by,
};
pub(crate) use members::Signer;
pub use network::FileSystemMode;
pub(crate) use network::Writing;
pub use open::OpenOptions;
pub(crate) use pairs::{device_key, device_signs, drop_old_ingest_pairs, known_device_key, new_ingest_pair};
pub(crate) use quota::Occasion;
pub use quota::QuotaUse;
pub use settings::{SETTINGS, SettingInfo, setting};
pub(crate) use settle::forget_claim;
pub use slots::{KeySlot, KeysReplaced, RecoveryCode};
pub use usage::{DiskUsage, ProjectUsage, RunUsage, Usage, UsageKind};

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runcellar_format::keyslots::{IngestPublic, Keyslots};
use runcellar_format::{WorkspaceId, WriterId};

use crate::Result;
use crate::blob::PackSource;
use crate::catalogue::{Cache, Known};
use crate::db::{Access, Db, ReadTx};
use crate::ingest::rows_away::RowsSource;
use crate::io::Io;
use crate::keys::{Keyring, Source};
use crate::monitor::Monitor;
use crate::os::Forkable;
use crate::query::ReadCache;

/// Name of the file whose existence makes a directory a workspace.
pub(crate) const KEYSLOTS: &str = "keyslots";
/// Directory of journals.
pub(crate) const JOURNALS: &str = "journals";
/// Directory of packs.
pub(crate) const PACKS: &str = "packs";
/// Directory of files on their way.
pub(crate) const TMP: &str = "tmp";
/// Directory of what devices published on remotes; made when it is needed.
pub(crate) const REMOTES: &str = "remotes";
/// Directory of what `repair` set aside; made when it is needed.
pub(crate) const QUARANTINE: &str = "quarantine";

/// Directory of hints that a pack is damaged; made when it is needed.
pub(crate) const SUSPECTS: &str = "suspects";

/// An open workspace. Cheap to clone; usable from many threads, and from forked children.
#[derive(Clone)]
pub struct Workspace {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) io: Arc<dyn Io>,
    pub(crate) monitor: Arc<dyn Monitor>,
    pub(crate) path: PathBuf,
    pub(crate) id: WorkspaceId,
    /// What opened it, and opens it again.
    pub(crate) source: Arc<Source>,
    creation: Option<Creation>,
    keyslots: Keyslots,
    /// Off for handles that must not write.
    pub(crate) may_write: bool,
    place: network::Place,
    /// Shows the workspace as it was at this time, microseconds UTC since 1970.
    pub(crate) as_of: Option<i64>,
    /// What was measured for quotas, and told of them.
    quotas: Mutex<quota::Known>,
    pub(crate) pack_source: PackSource,
    pub(crate) rows_source: RowsSource,
    state: Forkable<State>,
}

/// What a forked child makes anew.
struct State {
    keyring: Keyring,
    db: Db,
    mirror: mirror::Mirror,
    catalogue: Cache,
    read_cache: ReadCache,
    /// Writers whose groups recovery stored cheaply: somebody with time writes them anew.
    owed: Mutex<Vec<WriterId>>,
}

impl std::fmt::Debug for Workspace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workspace").field("path", &self.inner.path).field("id", &self.inner.id).finish_non_exhaustive()
    }
}

impl Workspace {
    /// Opens the workspace at `path` with the first of `keys` that fits.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] if there is none, [`crate::ErrorKind::Locked`] if no key opens it,
    /// [`crate::ErrorKind::Damaged`], [`crate::ErrorKind::NewerFormat`].
    pub fn open(path: impl AsRef<Path>, keys: crate::Keys) -> Result<Workspace> {
        OpenOptions { keys, ..OpenOptions::default() }.open(path.as_ref())
    }

    /// Opens the workspace at `path`, or makes one there on first use.
    ///
    /// # Errors
    /// As [`Workspace::open`], and if the directory or the key file cannot be written.
    pub fn open_or_create(path: impl AsRef<Path>, keys: crate::Keys) -> Result<Workspace> {
        OpenOptions { keys, create: true, ..OpenOptions::default() }.open(path.as_ref())
    }

    /// Returns the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Returns the workspace's random id: 32 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> String {
        self.inner.id.to_string()
    }

    /// Returns the key file that opened the workspace, if one did.
    #[must_use]
    pub fn key_file(&self) -> Option<&Path> {
        self.inner.key_file()
    }

    /// Returns where a copy of the key file that opened the workspace would be found without being named; none if it lies
    /// in that directory, or none opened it.
    #[must_use]
    pub fn key_file_unnamed(&self) -> Option<PathBuf> {
        let source = &self.inner.source;
        let (file, directory) = (self.key_file()?, source.directory()?);
        let name = crate::keys::key_file_name(self.inner.id, source.opened().slot);
        (file.parent() != Some(directory)).then(|| directory.join(name))
    }

    /// Returns what was made, if opening this handle made the workspace.
    #[must_use]
    pub fn creation(&self) -> Option<&Creation> {
        self.inner.creation.as_ref()
    }

    /// Returns a handle that shows the workspace as it was at a time, microseconds UTC since 1970, and writes nothing:
    /// runs that were there, with the points that they had and what was set by then. Rewinds and removals that came
    /// later are undone.
    ///
    /// # Errors
    /// If the database cannot be opened.
    pub fn as_of(&self, time_us: i64) -> Result<Workspace> {
        let inner = &*self.inner;
        let inner = Inner {
            io: inner.io.clone(),
            monitor: inner.monitor.clone(),
            path: inner.path.clone(),
            id: inner.id,
            source: inner.source.clone(),
            creation: None,
            keyslots: inner.keyslots.clone(),
            may_write: false,
            place: inner.place.clone(),
            as_of: Some(time_us),
            quotas: Mutex::default(),
            pack_source: PackSource::default(),
            rows_source: RowsSource::default(),
            state: Forkable::new(inner.opened_again(inner.state()?)?),
        };
        Ok(Workspace { inner: Arc::new(inner) })
    }

    /// Returns true if nothing can be written here.
    ///
    /// # Errors
    /// If the database cannot be opened.
    pub fn is_read_only(&self) -> Result<bool> {
        self.inner.is_read_only()
    }
}

impl Inner {
    pub(crate) fn is_read_only(&self) -> Result<bool> {
        let only_read = self.as_of.is_some() || self.place.only_read;
        Ok(only_read || self.state()?.db.is_read_only())
    }

    fn state(&self) -> Result<&State> {
        self.state.get(|old| self.opened_again(old))
    }

    fn opened_again(&self, old: &State) -> Result<State> {
        Ok(State {
            keyring: old.keyring.for_child(),
            db: Db::open(&self.path.join(crate::db::FILE_NAME), self.place.access())?,
            mirror: old.mirror.for_child(),
            catalogue: Cache::default(),
            read_cache: ReadCache::default(),
            owed: Mutex::default(),
        })
    }

    /// Returns the key file that opened the workspace, if one did.
    pub(crate) fn key_file(&self) -> Option<&Path> {
        self.source.opened().key_file.as_deref()
    }

    pub(crate) fn read_cache(&self) -> Result<&ReadCache> {
        Ok(&self.state()?.read_cache)
    }

    /// Copies the database as it is now into the empty file at `to`.
    pub(crate) fn copy_database(&self, to: &Path, progress: impl FnMut(u64, u64)) -> Result<()> {
        self.state()?.db.copy_to(to, progress)
    }

    /// Returns the length of the database in bytes.
    pub(crate) fn database_bytes(&self) -> Result<u64> {
        self.state()?.db.bytes()
    }

    /// Opens a copy of the database, and asks it something.
    pub(crate) fn read_copy<T>(
        &self,
        copy: &Path,
        reading: impl FnOnce(&ReadTx<'_>, &Keyring) -> Result<T>,
    ) -> Result<T> {
        let keyring = &self.state()?.keyring;
        Db::open(copy, Access::Kept)?.read(|tx| reading(tx, keyring))
    }

    /// Returns the bytes of `keyslots` as they are now, and whether they and a copy of the database belong together: each
    /// epoch of the one can be opened with the other.
    pub(crate) fn keyslots_for(&self, copy: &Path) -> Result<(Vec<u8>, bool)> {
        let keyring = &self.state()?.keyring;
        let file = keyslots::KeyslotsFile::read_verified(&*self.io, &self.path, keyring)?;
        let fits = self.read_copy(copy, |tx, keyring| file.fits(tx.epoch(), || tx.root(keyring)))?;
        Ok((file.bytes().to_vec(), fits))
    }

    /// Returns the bytes of `keyslots` as they are now.
    pub(crate) fn present_keyslots(&self) -> Result<Vec<u8>> {
        let file = keyslots::KeyslotsFile::read_verified(&*self.io, &self.path, &self.state()?.keyring)?;
        Ok(file.bytes().to_vec())
    }

    /// Returns the public half to which a journal is sealed whose run the database does not know yet, as it stands now: a
    /// purge draws another.
    pub(crate) fn present_ingest_public(&self) -> Result<IngestPublic> {
        let file = keyslots::KeyslotsFile::read_verified(&*self.io, &self.path, &self.state()?.keyring)?;
        Ok(file.keyslots.ingest)
    }

    /// Returns true if the workspace's directory was removed, or replaced by something else.
    pub(crate) fn is_removed(&self) -> bool {
        let is_missing = |name: &str| {
            let found = self.io.identity(&self.path.join(name));
            found.is_err_and(|cause| {
                matches!(cause.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
            })
        };
        is_missing(KEYSLOTS) && is_missing(crate::db::FILE_NAME)
    }

    pub(crate) fn journals(&self) -> PathBuf {
        self.path.join(JOURNALS)
    }

    /// Runs `reading` in one read transaction, with what this handle knows of the catalogue.
    pub(crate) fn read_catalogue<T>(
        &self,
        reading: impl FnOnce(&ReadTx<'_>, &Keyring, &mut Known) -> Result<T>,
    ) -> Result<T> {
        let state = self.state()?;
        self.read(|tx, keyring| reading(tx, keyring, &mut state.catalogue.lock()))
    }

    fn owed(&self) -> Result<MutexGuard<'_, Vec<WriterId>>> {
        Ok(self.state()?.owed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Remembers that a writer's groups are to be written anew at the best level.
    pub(crate) fn owe_best(&self, writer: WriterId) -> Result<()> {
        self.owed()?.push(writer);
        Ok(())
    }

    /// Returns a writer whose groups are to be written anew.
    pub(crate) fn next_owed(&self) -> Result<Option<WriterId>> {
        Ok(self.owed()?.last().copied())
    }

    /// Forgets a writer whose groups are all at the best level.
    pub(crate) fn paid(&self, writer: WriterId) -> Result<()> {
        self.owed()?.retain(|owed| *owed != writer);
        Ok(())
    }

    /// Cuts SQLite's log to nothing; false if a reader keeps it from that.
    pub(crate) fn empty_log(&self) -> Result<bool> {
        self.state()?.db.empty_log()
    }

    pub(crate) fn structure_problems(&self) -> Result<Vec<String>> {
        self.state()?.db.structure_problems()
    }

    pub(crate) fn rebuild_indexes(&self) -> Result<()> {
        self.state()?.db.rebuild_indexes()
    }

    /// Writes the mirror beside the key file now, whatever the time since the last.
    pub(crate) fn flush_mirror(&self) {
        if let Some(state) = self.state.own() {
            state.mirror.flush(&*self.io);
        }
    }

    /// Compares the workspace with its mirror; returns what does not fit, in words.
    pub(crate) fn mirror_problem(&self) -> Result<Option<String>> {
        let state = self.state()?;
        let root = || state.db.read(|tx| tx.root(&state.keyring));
        let first = root()?;
        let Some(mirrored) = state.mirror.seen(&*self.io, &first) else { return Ok(None) };
        if mirror::problem(&mirrored, &first).is_none() {
            return Ok(None);
        }
        // Another process may have committed, and written the mirror, after the first look at the row.
        Ok(mirror::problem(&mirrored, &root()?))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.flush_mirror();
    }
}
