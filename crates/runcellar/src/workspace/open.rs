//! Opening a workspace: keyslots, key, database, and what a crash or a copy left.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use runcellar_format::WorkspaceId;

use super::keyslots::{self, KeyslotsFile, settle_file};
use super::mirror::Mirror;
use super::network::{FileSystemMode, Place};
use super::settle::settle;
use super::turn::Turn;
use super::{Inner, KEYSLOTS, State, Workspace, create, epoch};
use crate::catalogue::Cache;
use crate::db::{self, Db, FILE_NAME};
use crate::io::{Io, SystemIo};
use crate::keys::{EpochKeys, Keyring, Keys, Opened, Search, Source};
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
        let (mut creation, place) = (None, Place::find(path, self.file_system));
        if !is_workspace(&*self.io, path)? {
            if !self.create {
                return Err(Error::new(ErrorKind::NotFound, format!("no workspace at {}", path.display())));
            }
            creation = create::create(&*self.io, path, &self.keys, self.homeless, self.recovery_code, place.access())?;
        }
        owned(path)?;
        let (file, opened, epochs) = unlock(&*self.io, path, &self.keys)?;
        create::finish(&*self.io, path, file.keyslots.workspace, place.access())?;
        let directory = opened.key_file.as_deref().and_then(Path::parent).or(self.keys.directory.as_deref());
        let directory = directory.map(Path::to_owned);
        let source = Arc::new(Source::new(self.io.clone(), path.join(KEYSLOTS), &self.keys, opened));
        let keyring = Keyring::new(file.keyslots.workspace, epochs, Some(source.clone()));
        let db = open_database(&self.io, path, &place, file.keyslots.workspace)?;
        let (file, root, unfinished) = settle_file(&*self.io, path, &keyring, &db, file)?;
        let keyslots = file.keyslots;
        let mirror = Mirror::new(directory, keyslots.workspace);
        let may_write = self.recover && !db.is_read_only();
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
            state: Forkable::new(state),
        };
        create::restore_directories(&*inner.io, path);
        settle(&inner, &inner.keyslots, &root)?;
        let workspace = Workspace { inner: Arc::new(inner) };
        if unfinished && !workspace.is_read_only()? {
            epoch::finish(&workspace.inner)?;
            keyslots::take_over(&workspace.inner)?;
        }
        if self.recover {
            crate::ingest::recover(&workspace.inner)?;
        }
        Ok(workspace)
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
