//! Opening a workspace: keyslots, key, database, and what a crash or a copy left.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use runcellar_format::WorkspaceId;
use runcellar_format::record::RootRow;

use super::mirror::Mirror;
use super::network::{FileSystemMode, Place};
use super::slots::{self, KeyslotsFile};
use super::turn::Turn;
use super::{Inner, KEYSLOTS, State, Workspace, create};
use crate::catalogue::Cache;
use crate::db::{self, Db, FILE_NAME};
use crate::io::{self, Io, SystemIo};
use crate::keys::{Keyring, Keys, Unlocked, unlock};
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
        let file = KeyslotsFile::read(&*self.io, path)?;
        let Unlocked { epochs, slot, key_file } = unlock(&*self.io, &file.keyslots, file.bytes(), &self.keys)?;
        create::finish(&*self.io, path, file.keyslots.workspace, place.access())?;
        let keyring = Keyring::new(file.keyslots.workspace, epochs);
        let db = open_database(&self.io, path, &place, file.keyslots.workspace)?;
        let (file, root, unfinished) = slots::settle_file(&*self.io, path, &keyring, &db, file)?;
        let keyslots = file.keyslots;
        let directory = key_file.as_deref().and_then(Path::parent).map(Path::to_owned).or(self.keys.directory);
        let mirror = Mirror::new(directory, keyslots.workspace);
        let may_write = self.recover && !db.is_read_only();
        let caches = (Cache::default(), ReadCache::default());
        let state = State { db, mirror, keyring, catalogue: caches.0, read_cache: caches.1, owed: Mutex::default() };
        let inner = Inner {
            io: self.io,
            monitor: self.monitor,
            path: path.to_owned(),
            id: keyslots.workspace,
            key_file,
            slot,
            creation,
            keyslots,
            may_write,
            place,
            as_of: None,
            quotas: Mutex::default(),
            state: Forkable::new(state),
        };
        create::restore_directories(&*inner.io, path);
        let workspace = Workspace { inner: Arc::new(inner) };
        workspace.settle(root)?;
        if unfinished && !workspace.is_read_only()? {
            slots::finish_rewrite(&workspace.inner)?;
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

impl Workspace {
    /// Compares the copy with what it says of itself, and settles a copied one under its own device and lineage.
    fn settle(&self, root: RootRow) -> Result<()> {
        let inner = &self.inner;
        let database = inner.path.join(FILE_NAME);
        let found = db::patiently(&database, || inner.io.identity(&database));
        let (_, inode) = found.map_err(|cause| Error::io("open", &database, cause))?;
        if root.inode == 0 {
            // A new workspace, whose file has its name only now, or one that was written on a network file system.
            return match self.is_read_only()? || inner.is_network() {
                true => Ok(()),
                false => inner.write(None, |tx| {
                    tx.root_mut().inode = inode;
                    Ok(())
                }),
            };
        }
        if root.inode == inode {
            if let Some(problem) = inner.mirror_problem()? {
                inner
                    .monitor
                    .warn(&format!("workspace {}: {problem}; runcellar check says more", inner.path.display()));
            }
            return Ok(());
        }
        inner.monitor.note(&format!(
            "workspace {}: this is a copy of another; it goes on under a device id of its own",
            inner.path.display()
        ));
        if self.is_read_only()? {
            return Ok(());
        }
        inner.write(None, |tx| {
            if tx.root().inode == inode {
                // Another opener was faster, and has a device id for all of us.
                return Ok(());
            }
            let (device, lineage) = (io::random(tx.io)?, io::random(tx.io)?);
            let root = tx.root_mut();
            (root.device, root.lineage, root.next_device_seq, root.inode) = (device, lineage, 1, inode);
            Ok(())
        })
    }
}
