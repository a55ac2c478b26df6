//! Opening a workspace: keyslots, key, database, and what a crash or a copy left.

use std::path::Path;
use std::sync::Arc;

use runcellar_format::record::RootRow;

use super::mirror::Mirror;
use super::slots::{self, KeyslotsFile};
use super::{Inner, KEYSLOTS, State, Workspace, create};
use crate::catalogue::Cache;
use crate::db::{Db, FILE_NAME};
use crate::io::{self, Io, SystemIo};
use crate::keys::{Keyring, Keys, Unlocked, unlock};
use crate::monitor::{Monitor, Silent};
use crate::os::Forkable;
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
        let mut creation = None;
        if !is_workspace(&*self.io, path)? {
            if !self.create {
                return Err(Error::new(ErrorKind::NotFound, format!("no workspace at {}", path.display())));
            }
            creation = create::create(&*self.io, path, &self.keys, self.homeless, self.recovery_code)?;
        }
        owned(path)?;
        let file = KeyslotsFile::read(&*self.io, path)?;
        let Unlocked { epochs, slot, key_file } = unlock(&*self.io, &file.keyslots, file.bytes(), &self.keys)?;
        create::finish(&*self.io, path, file.keyslots.workspace)?;
        let keyring = Keyring::new(file.keyslots.workspace, epochs);
        let db = Db::open(&path.join(FILE_NAME))?;
        let (file, root, unfinished) = slots::settle_file(&*self.io, path, &keyring, &db, file)?;
        let keyslots = file.keyslots;
        let directory = key_file.as_deref().and_then(Path::parent).map(Path::to_owned).or(self.keys.directory);
        let mirror = Mirror::new(directory, keyslots.workspace);
        let may_write = self.recover && !db.is_read_only();
        let state = State { db, mirror, keyring, catalogue: Cache::default(), read_cache: ReadCache::default() };
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

/// Refuses a workspace of another user.
pub(super) fn owned(path: &Path) -> Result<()> {
    crate::environment::owned_by_this_user(path)
}

impl Workspace {
    /// Compares the copy with what it says of itself, and settles a copied one under its own device and lineage.
    fn settle(&self, root: RootRow) -> Result<()> {
        let inner = &self.inner;
        let database = inner.path.join(FILE_NAME);
        let (_, inode) = inner.io.identity(&database).map_err(|cause| Error::io("open", &database, cause))?;
        if root.inode == 0 {
            // A new workspace: its file has its name only now.
            return match self.is_read_only()? {
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
