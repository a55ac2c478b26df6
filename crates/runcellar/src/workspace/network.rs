//! The two ways to use a workspace: on a local disk and on a network file system.
//!
//! | | local disk | network file system |
//! |---|---|---|
//! | cellar.db | WAL, read and written in place by many | never changed in place: a copy is written and renamed |
//! | who writes it | whoever has SQLite's write lock | whoever has the turn (`turn.rs`) |
//! | start of a run | one transaction | a journal that brings the whole start; SQLite only reads |
//! | a journal's writer is dead | its record lock is free | it was seen to be gone, or silent for ten minutes |
//!
//! The rest of the store asks [`Inner::read`] and [`Inner::write`], and around many writes [`Inner::writing`].

use std::path::Path;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use runcellar_format::record::RootRow;

use super::turn::Turn;
use super::{Inner, State};
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
}

impl Place {
    /// Finds out what `path` lies on, or the directory in which it will be made.
    pub(super) fn find(path: &Path, mode: FileSystemMode) -> Place {
        let there = path.ancestors().map(|above| if above.as_os_str().is_empty() { Path::new(".") } else { above });
        let mount = there.into_iter().find(|above| above.exists()).and_then(|above| os::mount_of(above).ok());
        Place { mount, mode }
    }

    pub(super) fn is_network(&self) -> bool {
        match self.mode {
            FileSystemMode::Auto => self.mount.as_ref().is_some_and(|mount| mount.kind == FileSystem::Network),
            FileSystemMode::Local => false,
            FileSystemMode::Network => true,
        }
    }

    pub(super) fn access(&self) -> Access {
        if self.is_network() { Access::Published } else { Access::Shared }
    }
}

/// The turn to write, and what is written in it.
pub(super) struct OpenTurn {
    // In this order: the copy goes before the turn does.
    copy: Option<WorkingCopy>,
    /// The root row as last written.
    root: Option<RootRow>,
    turn: Turn,
}

/// Several writes that become visible together on a network file system, and one by one elsewhere.
pub(crate) struct Writing<'a> {
    /// None on a local disk.
    inner: Option<&'a Inner>,
}

impl Writing<'_> {
    /// Makes what was written visible and durable. What the writes made superfluous may be removed only then.
    pub(crate) fn publish(mut self) -> Result<()> {
        // Taken, as the next turn of this handle may begin before `self` goes.
        let Some(inner) = self.inner.take() else { return Ok(()) };
        let state = inner.state()?;
        let Some(OpenTurn { copy, root, turn }) = state.open_turn().take() else { return Ok(()) };
        if let Some(copy) = copy {
            copy.publish(&*inner.io, || turn.require())?;
        }
        if let Some(root) = root {
            state.mirror.committed(&*inner.io, root);
        }
        Ok(())
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        // A forked child has nothing open here.
        if let Some(state) = self.inner.and_then(|inner| inner.state.own()) {
            drop(state.open_turn().take());
        }
    }
}

impl State {
    fn open_turn(&self) -> MutexGuard<'_, Option<OpenTurn>> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the database as this handle has written it.
    fn written(&self) -> Option<Arc<Db>> {
        self.open_turn().as_ref()?.copy.as_ref().map(|copy| copy.db().clone())
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
        match state.written() {
            Some(copy) => copy.read(|tx| reading(tx, &state.keyring)),
            None => state.db.read(|tx| reading(tx, &state.keyring)),
        }
    }

    /// Runs `writing` in one write transaction and then brings the mirror beside the key file up to date. When this
    /// returns, others see what was written.
    pub(crate) fn write<T>(
        &self,
        wait: Option<Duration>,
        writing: impl FnOnce(&mut WriteTx<'_>) -> Result<T>,
    ) -> Result<T> {
        if !self.is_network() {
            return self.write_shared(wait, writing);
        }
        let several = self.writing(wait)?;
        let value = self.write_in_turn(writing)?;
        several.publish()?;
        Ok(value)
    }

    fn refuse_in_the_past(&self) -> Result<()> {
        match self.as_of {
            Some(_) => Err(Error::new(ErrorKind::ReadOnly, "the workspace as it was cannot be written")),
            None => Ok(()),
        }
    }

    /// As [`Inner::write`] on a local disk. On a network file system this is [`ErrorKind::Busy`]: what calls it must not
    /// wait for other hosts.
    pub(crate) fn write_shared<T>(
        &self,
        wait: Option<Duration>,
        writing: impl FnOnce(&mut WriteTx<'_>) -> Result<T>,
    ) -> Result<T> {
        self.refuse_in_the_past()?;
        if self.is_network() {
            return Err(Error::new(ErrorKind::Busy, "cellar.db: one process at a time writes it here"));
        }
        let state = self.state()?;
        let (value, root) = state.db.write(&state.keyring, &*self.io, wait, writing)?;
        state.mirror.committed(&*self.io, root);
        Ok(value)
    }

    /// Begins several writes, each by [`Inner::write_one`]. On a network file system this waits for the turn.
    pub(crate) fn writing(&self, wait: Option<Duration>) -> Result<Writing<'_>> {
        self.refuse_in_the_past()?;
        if !self.is_network() {
            return Ok(Writing { inner: None });
        }
        let state = self.state()?;
        if state.db.is_read_only() {
            return Err(read_only());
        }
        let turn = Turn::take(&self.io, &self.path, self.id, wait.unwrap_or(TURN_WAIT))?;
        turn.tidy();
        *state.open_turn() = Some(OpenTurn { copy: None, root: None, turn });
        Ok(Writing { inner: Some(self) })
    }

    /// Runs `writing` in one of several write transactions, from whatever thread; alone if none were begun.
    pub(crate) fn write_one<T>(
        &self,
        wait: Option<Duration>,
        writing: impl FnOnce(&mut WriteTx<'_>) -> Result<T>,
    ) -> Result<T> {
        let begun = self.is_network() && self.state()?.open_turn().is_some();
        if begun { self.write_in_turn(writing) } else { self.write(wait, writing) }
    }

    /// Writes to the copy of the turn, which is made by the first write.
    fn write_in_turn<T>(&self, writing: impl FnOnce(&mut WriteTx<'_>) -> Result<T>) -> Result<T> {
        let state = self.state()?;
        let copy = {
            let mut open = state.open_turn();
            let open = open.as_mut().ok_or_else(|| Error::new(ErrorKind::State, "cellar.db: the turn is over"))?;
            open.turn.beat()?;
            let copy = match open.copy.take() {
                Some(copy) => copy,
                None => WorkingCopy::make(&self.path.join(FILE_NAME), &open.turn.temporary())?,
            };
            open.copy.insert(copy).db().clone()
        };
        let (value, root) = copy.write(&state.keyring, &*self.io, None, writing)?;
        if let Some(open) = state.open_turn().as_mut() {
            open.root = Some(root);
        }
        Ok(value)
    }
}

pub(super) fn read_only() -> Error {
    Error::new(ErrorKind::ReadOnly, "the workspace cannot be written")
}
