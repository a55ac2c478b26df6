//! Opening a workspace: keyslots, key, database, and what a crash or a copy left.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use runcellar_format::WorkspaceId;
use runcellar_format::keyslots::Keyslots;

use super::keyslots::{self, KeyslotsFile, settle_file};
use super::mirror::Mirror;
use super::network::{FileSystemMode, Place};
use super::settle::{settle, settle_restored};
use super::turn::Turn;
use super::{Inner, KEYSLOTS, State, Workspace, create, epoch};
use crate::backup;
use crate::blob::PackSource;
use crate::catalogue::Cache;
use crate::db::{self, Db, FILE_NAME};
use crate::ingest::rows_away::RowsSource;
use crate::io::{Io, SystemIo};
use crate::keys::{self, EpochKeys, Keyring, Keys, Opened, Search, Source};
use crate::monitor::{Monitor, Silent};
use crate::os::{self, Forkable};
use crate::query::ReadCache;
use crate::{Error, ErrorKind, Result};

/// How a workspace is opened.
pub struct OpenOptions {
    /// Where keys are found, and kept for a new workspace.
    pub keys: Keys,
    /// Make the workspace if there is none.
    pub create: bool,
    /// Draw a recovery code when making it.
    pub recovery_code: bool,
    /// The environment names no home, so the key's place is a guess.
    pub homeless: bool,
    /// Read journals that dead writers left into the database. Off for handles that must not write.
    pub recover: bool,
    /// What the workspace's file system is taken for.
    pub file_system: FileSystemMode,
    /// Receives notes and warnings.
    pub monitor: Arc<dyn Monitor>,
    /// Files, clocks and randomness.
    pub io: Arc<dyn Io>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        OpenOptions {
            keys: Keys::default(),
            create: false,
            recovery_code: false,
            homeless: false,
            recover: true,
            file_system: FileSystemMode::Auto,
            monitor: Arc::new(Silent),
            io: Arc::new(SystemIo),
        }
    }
}

impl OpenOptions {
    /// Opens the workspace at `path`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none and none is to be made, [`ErrorKind::Locked`] if no key opens it or
    /// it belongs to another user, [`ErrorKind::Damaged`], [`ErrorKind::NewerFormat`], [`ErrorKind::ReadOnly`].
    pub fn open(self, path: &Path) -> Result<Workspace> {
        self.open_as(path, false)
    }

    /// Opens the workspace at `path` only to read it: nothing in it is changed, also if it was copied or a process died in
    /// it, and writing to it fails.
    ///
    /// # Errors
    /// As [`OpenOptions::open`].
    pub fn open_to_read(self, path: &Path) -> Result<Workspace> {
        OpenOptions { create: false, recover: false, ..self }.open_as(path, true)
    }

    fn open_as(self, path: &Path, only_read: bool) -> Result<Workspace> {
        let (mut creation, mut place) = (None, Place::find(path, self.file_system));
        (place.kept, place.only_read) = (backup::is_backup(&*self.io, path)?, only_read);
        if !is_workspace(&*self.io, path)? {
            if place.kept {
                return Err(backup::never_whole(path));
            }
            if !self.create {
                return Err(Error::new(ErrorKind::NotFound, format!("no workspace at {}", path.display())));
            }
            creation = create::create(&*self.io, path, &self.keys, self.homeless, self.recovery_code, place.access())?;
        }
        owned(path)?;
        let unlocked = unlock(&*self.io, path, &self.keys)?;
        self.open_unlocked(path, place, creation, unlocked)
    }

    /// Opens a workspace that this call has laid, with what opened it then: some keys can be read or typed only once.
    pub(crate) fn open_laid(self, path: &Path, (opened, epochs): (Opened, EpochKeys)) -> Result<Workspace> {
        let (file, place) = (KeyslotsFile::read(&*self.io, path)?, Place::find(path, self.file_system));
        self.open_unlocked(path, place, None, (file, opened, epochs))
    }

    fn open_unlocked(
        self,
        path: &Path,
        place: Place,
        creation: Option<create::Creation>,
        (file, opened, epochs): (KeyslotsFile, Opened, EpochKeys),
    ) -> Result<Workspace> {
        let only_read = place.only_read;
        if !only_read {
            create::finish(&*self.io, path, file.keyslots.workspace, place.access())?;
        }
        // A backup is older than the workspace, which its mirror speaks of.
        let directory = opened.key_file.as_deref().and_then(Path::parent).or(self.keys.directory.as_deref());
        let directory = directory.filter(|_| !place.kept).map(Path::to_owned);
        let source = Arc::new(Source::new(self.io.clone(), path.join(KEYSLOTS), &self.keys, opened));
        let keyring = Keyring::new(file.keyslots.workspace, epochs, Some(source.clone()));
        let db = match only_read {
            true => Db::open(&path.join(FILE_NAME), place.access())?,
            false => open_database(&self.io, path, &place, file.keyslots.workspace)?,
        };
        let (file, root, unfinished) = settle_file(&*self.io, path, &keyring, &db, file)?;
        let keyslots = file.keyslots;
        let mirror = Mirror::new(directory, keyslots.workspace);
        let may_write = self.recover && !only_read && !db.is_read_only();
        let caches = (Cache::default(), ReadCache::default());
        let state = State { db, mirror, keyring, catalogue: caches.0, read_cache: caches.1, owed: Mutex::default() };
        let inner = Inner {
            io: self.io,
            monitor: self.monitor,
            path: path.to_owned(),
            id: keyslots.workspace,
            source,
            creation,
            keyslots,
            may_write,
            place,
            as_of: None,
            quotas: Mutex::default(),
            pack_source: PackSource::default(),
            rows_source: RowsSource::default(),
            state: Forkable::new(state),
        };
        let opened = inner.source.opened();
        if let Some(warning) = opened.key_file.as_deref().and_then(|file| keys::exposed(path, file)) {
            inner.monitor.warn(&warning);
        }
        if only_read || inner.place.kept {
            return Ok(Workspace { inner: Arc::new(inner) });
        }
        create::restore_directories(&*inner.io, path);
        settle(&inner, &inner.keyslots, &root)?;
        let workspace = Workspace { inner: Arc::new(inner) };
        if unfinished && !workspace.is_read_only()? {
            epoch::finish(&workspace.inner)?;
            keyslots::take_over(&workspace.inner)?;
        }
        if self.recover {
            crate::ingest::recover(&workspace.inner)?;
            crate::erase::conclude_pending(&workspace.inner);
        }
        Ok(workspace)
    }
}

impl Inner {
    /// Returns a handle to a copy of this workspace in another folder, opened with the keys of this one; nothing in it is
    /// changed if it is `kept`.
    pub(crate) fn copy_at(&self, path: &Path, kept: bool, mode: FileSystemMode) -> Result<Workspace> {
        let place = Place { kept, ..Place::find(path, mode) };
        let source = Arc::new(self.source.of_copy(path.join(KEYSLOTS)));
        let keyring = self.state()?.keyring.for_copy(source.clone());
        let file = KeyslotsFile::read_verified(&*self.io, path, &keyring)?;
        let db = open_database(&self.io, path, &place, self.id)?;
        let (file, _, _) = settle_file(&*self.io, path, &keyring, &db, file)?;
        let directory = source.directory().filter(|_| !kept).map(Path::to_owned);
        let packs = PackSource::default();
        Ok(self.beside(path, place, (source, keyring, file.keyslots), (db, directory, packs), !kept))
    }

    /// Returns a handle to a database of rows of this workspace, opened with the keys of this one: it has no keyslots, no
    /// mirror and no writers of its own.
    pub(crate) fn replica_at(&self, path: &Path) -> Result<Workspace> {
        let mount = self.place.mount.clone();
        let place = Place { mount, mode: FileSystemMode::Local, kept: false, only_read: false };
        let keyring = self.state()?.keyring.for_copy(self.source.clone());
        let database = (Db::open(&path.join(FILE_NAME), place.access())?, None, PackSource::of_replica());
        Ok(self.beside(path, place, (self.source.clone(), keyring, self.keyslots.clone()), database, false))
    }

    /// Makes a handle to another folder that has rows of this workspace; `directory` is where its mirror lies.
    fn beside(
        &self,
        path: &Path,
        place: Place,
        (source, keyring, keyslots): (Arc<Source>, Keyring, Keyslots),
        (db, directory, pack_source): (Db, Option<PathBuf>, PackSource),
        may_write: bool,
    ) -> Workspace {
        let mirror = Mirror::new(directory, self.id);
        let caches = (Cache::default(), ReadCache::default());
        let state = State { db, mirror, keyring, catalogue: caches.0, read_cache: caches.1, owed: Mutex::default() };
        let inner = Inner {
            io: self.io.clone(),
            monitor: self.monitor.clone(),
            path: path.to_owned(),
            id: self.id,
            source,
            creation: None,
            keyslots,
            may_write,
            place,
            as_of: None,
            quotas: Mutex::default(),
            pack_source,
            rows_source: RowsSource::default(),
            state: Forkable::new(state),
        };
        Workspace { inner: Arc::new(inner) }
    }

    /// Has a restored copy go on under a device id, a lineage and a key of its own.
    pub(crate) fn settle_restored(&self) -> Result<()> {
        create::restore_directories(&*self.io, &self.path);
        settle_restored(self)
    }
}

fn is_workspace(io: &dyn Io, path: &Path) -> Result<bool> {
    match io.identity(&path.join(KEYSLOTS)) {
        Ok(_) => Ok(true),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(_) if path.is_file() => {
            Err(Error::new(ErrorKind::Exists, format!("{}: a file is in the workspace's place", path.display())))
        }
        Err(cause) => Err(Error::io("open workspace", path, cause)),
    }
}

/// Reads `keyslots` and opens it with the first key that fits. Between reading it and a key file another process may
/// replace both, so a key that does not fit is looked at again.
fn unlock(io: &dyn Io, path: &Path, keys: &Keys) -> Result<(KeyslotsFile, Opened, EpochKeys)> {
    let (mut file, search) = (KeyslotsFile::read(io, path)?, Search::new(io, keys));
    let mut attempt = 1;
    loop {
        let error = match search.unlock(&file.keyslots, file.bytes()) {
            Ok((opened, epochs)) => return Ok((file, opened, epochs)),
            Err(error) => error,
        };
        let again = KeyslotsFile::read(io, path)?;
        if error.kind() != ErrorKind::Locked || again.bytes() == file.bytes() || attempt == keyslots::ATTEMPTS {
            return Err(error);
        }
        (file, attempt) = (again, attempt + 1);
    }
}

/// How long changing the way in which a workspace is used waits for those who use it in the other.
const CHANGE_WAIT: Duration = Duration::from_secs(20);

/// Opens the database, and leads it from the one way of use to the other if the workspace was moved between a local
/// disk and a network file system.
fn open_database(io: &Arc<dyn Io>, path: &Path, place: &Place, workspace: WorkspaceId) -> Result<Db> {
    let database = path.join(FILE_NAME);
    if place.is_network() && db::has_companions(&database) && os::can_write(path) {
        let turn = Turn::take(io, path, workspace, CHANGE_WAIT)?;
        if db::has_companions(&database) {
            db::fold_in(&database)?;
        }
        drop(turn);
    }
    let opened = Db::open(&database, place.access())?;
    if !place.is_network() && !opened.is_read_only() && !opened.is_wal()? {
        let _turn = Turn::take(io, path, workspace, CHANGE_WAIT)?;
        opened.make_wal()?;
    }
    Ok(opened)
}

/// Refuses a workspace of another user.
pub(super) fn owned(path: &Path) -> Result<()> {
    crate::environment::owned_by_this_user(path)
}
