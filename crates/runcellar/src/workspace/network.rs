//! The two ways to use a workspace: on a local disk and on a network file system.
//!
//! | | local disk | network file system |
//! |---|---|---|
//! | cellar.db | WAL, read and written in place by many | never changed in place: a copy is written and renamed |
//! | who writes it | whoever has SQLite's write lock | whoever has the turn (`turn.rs`) |
//! | start of a run | one transaction | a journal that brings the whole start; SQLite only reads |
//! | a journal's writer is dead | its record lock is free | it was seen to be gone, or silent for ten minutes |
//!
//! The rest of the store asks [`Inner::read`] and [`Inner::write`], and for many writes [`Inner::writing`].

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use runcellar_format::record::RootRow;

use super::Inner;
use super::turn::Turn;
use crate::db::{Access, Db, FILE_NAME, ReadTx, WorkingCopy, WriteTx};
use crate::keys::Keyring;
use crate::os::{self, FileSystem, Mount};
use crate::{Error, ErrorKind, Result};

/// How long a call waits for the turn before it reports `Busy`: a turn takes what copying the database takes.
const TURN_WAIT: Duration = Duration::from_secs(20);

/// What a workspace's file system is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileSystemMode {
    /// What it is found to be.
    #[default]
    Auto,
    /// A disk of this machine.
    Local,
    /// One that other machines may use at the same time.
    Network,
}

/// What a workspace lies on, and what it is taken for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// What was found; none if it could not be told.
    pub(super) mount: Option<Mount>,
    pub(super) mode: FileSystemMode,
    /// It is a backup: nothing in it is changed.
    pub(super) kept: bool,
    /// This handle changes nothing.
    pub(super) only_read: bool,
}

impl Place {
    /// Finds out what `path` lies on, or the directory in which it will be made.
    pub(super) fn find(path: &Path, mode: FileSystemMode) -> Place {
        let there = path.ancestors().map(|above| if above.as_os_str().is_empty() { Path::new(".") } else { above });
        let mount = there.into_iter().find(|above| above.exists()).and_then(|above| os::mount_of(above).ok());
        Place { mount, mode, kept: false, only_read: false }
    }

    pub(super) fn is_network(&self) -> bool {
        match self.mode {
            _ if self.kept => false,
            FileSystemMode::Auto => self.mount.as_ref().is_some_and(|mount| mount.kind == FileSystem::Network),
            FileSystemMode::Local => false,
            FileSystemMode::Network => true,
        }
    }

    pub(super) fn access(&self) -> Access {
        match self.is_network() {
            _ if self.kept => Access::Kept,
            true => Access::Published,
            false => Access::Shared,
        }
    }
}

/// Several writes: on a network file system they are made in one turn and become visible together, elsewhere one by one.
///
/// What is done in a turn reads and writes through this alone: what other threads of this process read and write
/// meanwhile is no part of it.
pub(crate) struct Writing<'a> {
    inner: &'a Inner,
    /// None on a local disk.
    turn: Option<OpenTurn>,
}

/// The turn to write, and what is written in it.
struct OpenTurn {
    // In this order: the copy goes before the turn does.
    written: Mutex<Written>,
    turn: Turn,
}

#[derive(Default)]
struct Written {
    /// Made by the first write.
    copy: Option<WorkingCopy>,
    /// The root row as last written.
    root: Option<RootRow>,
}

impl OpenTurn {
    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the database as it is written, once it is.
    fn copy(&self) -> Option<Arc<Db>> {
        self.written().copy.as_ref().map(|copy| copy.db().clone())
    }

    /// Returns the database to write to.
    fn writable(&self, inner: &Inner) -> Result<Arc<Db>> {
        self.turn.beat()?;
        let mut written = self.written();
        let copy = match written.copy.take() {
            Some(copy) => copy,
            None => WorkingCopy::make(&inner.path.join(FILE_NAME), &self.turn.temporary())?,
        };
        Ok(written.copy.insert(copy).db().clone())
    }
}

impl Writing<'_> {
    /// Returns the workspace.
    pub(crate) fn inner(&self) -> &Inner {
        self.inner
    }

    /// Runs `reading` in one read transaction, which sees what was written.
    pub(crate) fn read<T>(&self, reading: impl FnOnce(&ReadTx<'_>, &Keyring) -> Result<T>) -> Result<T> {
        match self.turn.as_ref().and_then(OpenTurn::copy) {
            Some(copy) => {
                let state = self.inner.state()?;
                copy.read(|tx| reading(tx, &state.keyring))
            }
            None => self.inner.read(reading),
        }
    }

    /// Runs `writing` in one write transaction, from whatever thread.
    pub(crate) fn write<T>(
        &self,
        wait: Option<Duration>,
        writing: impl FnOnce(&mut WriteTx<'_>) -> Result<T>,
    ) -> Result<T> {
        let Some(turn) = &self.turn else { return self.inner.write_shared(wait, writing) };
        let state = self.inner.state()?;
        let (value, root) = turn.writable(self.inner)?.write(&state.keyring, &*self.inner.io, None, writing)?;
        turn.written().root = Some(root);
        Ok(value)
    }

    /// Makes what was written visible and durable. What the writes made superfluous may be removed only then.
    pub(crate) fn publish(self) -> Result<()> {
        let Some(OpenTurn { written, turn }) = self.turn else { return Ok(()) };
        let Written { copy, root } = written.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(copy) = copy {
            copy.publish(&*self.inner.io, || turn.require())?;
        }
        if let Some(root) = root {
            self.inner.state()?.mirror.committed(&*self.inner.io, root);
        }
        Ok(())
    }
}

impl Inner {
    /// Returns whether several hosts may use the workspace at once.
    pub(crate) fn is_network(&self) -> bool {
        self.place.is_network()
    }

    /// Runs `reading` in one read transaction.
    pub(crate) fn read<T>(&self, reading: impl FnOnce(&ReadTx<'_>, &Keyring) -> Result<T>) -> Result<T> {
        let state = self.state()?;
        state.db.read(|tx| reading(tx, &state.keyring))
    }

    /// Runs `writing` in one write transaction and then brings the mirror beside the key file up to date. When this
    /// returns, others see what was written.
    pub(crate) fn write<T>(
        &self,
        wait: Option<Duration>,
        writing: impl FnOnce(&mut WriteTx<'_>) -> Result<T>,
    ) -> Result<T> {
        let one = self.writing(wait)?;
        let value = one.write(wait, writing)?;
        one.publish()?;
        Ok(value)
    }

    /// Refuses to write to a workspace as it was, and to a backup.
    pub(crate) fn refuse_if_only_read(&self) -> Result<()> {
        if self.as_of.is_some() {
            return Err(Error::new(ErrorKind::ReadOnly, "the workspace as it was cannot be written"));
        }
        if self.place.only_read {
            return Err(Error::new(
                ErrorKind::ReadOnly,
                format!("{}: it was opened only to be read", self.path.display()),
            ));
        }
        if self.place.kept {
            let message = format!(
                "{}: it is a backup, which is only read; restore-from makes a workspace of it",
                self.path.display()
            );
            return Err(Error::new(ErrorKind::ReadOnly, message));
        }
        Ok(())
    }

    /// As [`Inner::write`] on a local disk. On a network file system this is [`ErrorKind::Busy`]: what calls it must not
    /// wait for other hosts.
    pub(crate) fn write_shared<T>(
        &self,
        wait: Option<Duration>,
        writing: impl FnOnce(&mut WriteTx<'_>) -> Result<T>,
    ) -> Result<T> {
        self.refuse_if_only_read()?;
        if self.is_network() {
            return Err(Error::new(ErrorKind::Busy, "cellar.db: one process at a time writes it here"));
        }
        let state = self.state()?;
        let (value, root) = state.db.write(&state.keyring, &*self.io, wait, writing)?;
        state.mirror.committed(&*self.io, root);
        Ok(value)
    }

    /// Begins several writes. On a network file system this waits for the turn.
    pub(crate) fn writing(&self, wait: Option<Duration>) -> Result<Writing<'_>> {
        self.refuse_if_only_read()?;
        if !self.is_network() {
            return Ok(Writing { inner: self, turn: None });
        }
        if self.state()?.db.is_read_only() {
            return Err(read_only());
        }
        let turn = Turn::take(&self.io, &self.path, self.id, wait.unwrap_or(TURN_WAIT))?;
        turn.tidy();
        Ok(Writing { inner: self, turn: Some(OpenTurn { written: Mutex::default(), turn }) })
    }
}

pub(super) fn read_only() -> Error {
    Error::new(ErrorKind::ReadOnly, "the workspace cannot be written")
}

#[cfg(test)]
mod tests {
    use runcellar_format::record::{FieldChange, FieldId};

    use super::*;
    use crate::ingest::store;
    use crate::{Json, Keys, OpenOptions, RunInfo, Workspace};

    fn rename(tx: &mut WriteTx<'_>, run: &RunInfo, name: &str) -> Result<()> {
        let change = FieldChange::new(FieldId::Name, "", &Json::Text(name.into())).expect("a text");
        store::set_fields(tx, run.object, vec![change], Vec::new())
    }

    fn name_of(workspace: &Workspace) -> String {
        workspace.find_run("a-run").expect("listed").name
    }

    #[test]
    fn what_is_written_in_a_turn_is_its_own_until_it_is_published() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let keys = Keys { directory: Some(directory.path().join("keys")), ..Keys::default() };
        let options =
            OpenOptions { keys, file_system: FileSystemMode::Network, create: true, ..OpenOptions::default() };
        let workspace = options.open(&directory.path().join("w")).expect("opens");
        let run = workspace.run("p").id("a-run").name("first").start().expect("starts");
        run.finish().expect("finishes");
        let run = workspace.find_run("a-run").expect("listed");

        let dropped = workspace.inner.writing(None).expect("the turn");
        dropped.write(None, |tx| rename(tx, &run, "never")).expect("writes");
        assert_eq!(name_of(&workspace), "first", "not published");
        drop(dropped);
        assert_eq!(name_of(&workspace), "first", "not to be published");

        let published = workspace.inner.writing(None).expect("the turn");
        published.write(None, |tx| rename(tx, &run, "second")).expect("writes");
        let seen = published.read(|tx, keyring| Ok(store::load(tx, keyring, run.object)?.record.name));
        assert_eq!(seen.expect("reads").value, "second");
        let other = workspace.inner.write(Some(Duration::ZERO), |tx| rename(tx, &run, "another thread's"));
        assert_eq!(other.expect_err("it is another's turn").kind(), ErrorKind::Busy);
        published.publish().expect("publishes");
        assert_eq!(name_of(&workspace), "second");
    }
}
