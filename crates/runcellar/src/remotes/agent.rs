//! Which process follows the workspace and keeps its remotes current: one at a time.

use std::path::PathBuf;
use std::sync::Arc;

use super::exchange::Only;
use crate::io::IoFile;
use crate::{Error, ErrorKind, Filter, Result, Selection, Workspace};

/// File in the workspace's folder whose lock is held by the process that follows it.
pub const AGENT_FILE: &str = "agent";

/// The right to follow a workspace. It ends with this, and with the process.
pub struct AgentLock {
    path: PathBuf,
    file: Arc<dyn IoFile>,
    _only: Only,
}

impl std::fmt::Debug for AgentLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentLock").field("path", &self.path).finish_non_exhaustive()
    }
}

impl AgentLock {
    /// Writes a byte to the file that is locked: who follows the folder learns in this way whether changes are told there.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn touch(&self) -> Result<()> {
        self.file.append(b".").map(drop).map_err(|cause| Error::io("write", &self.path, cause))
    }
}

impl Workspace {
    /// Takes the right to follow this workspace.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] with the process that has it; if the folder cannot be written.
    pub fn become_agent(&self) -> Result<AgentLock> {
        self.inner.refuse_if_only_read()?;
        let path = self.path().join(AGENT_FILE);
        let busy = |pid: u32| Error::new(ErrorKind::Busy, format!("process {pid} follows this workspace already"));
        let only = Only::take(path.clone()).ok_or_else(|| busy(std::process::id()))?;
        let io = &*self.inner.io;
        // Begun anew each time, as nothing in it is of use; whoever has the lock of the old one keeps it by its path.
        let file = match io.create_new(&path) {
            Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => io.open(&path),
            made => made,
        };
        let file = file.map_err(|cause| Error::io("open", &path, cause))?;
        match file.try_lock().map_err(|cause| Error::io("lock", &path, cause))? {
            true => Ok(AgentLock { path, file, _only: only }),
            false => Err(busy(file.lock_holder().ok().flatten().unwrap_or_default())),
        }
    }

    /// Returns the process that follows this workspace; 0 if it is one of another pid namespace.
    ///
    /// # Errors
    /// If its file cannot be read.
    pub fn agent(&self) -> Result<Option<u32>> {
        let path = self.path().join(AGENT_FILE);
        // To open and close the file would drop the lock that a thread of this process has.
        if Only::is_taken(&path) {
            return Ok(Some(std::process::id()));
        }
        let failed = |cause| Error::io("look at", &path, cause);
        match self.inner.io.open(&path) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
            file => file.and_then(|file| file.lock_holder()).map_err(failed),
        }
    }

    /// Returns a number that differs after each change of the database.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn change_number(&self) -> Result<u64> {
        self.inner.read(|tx, keyring| Ok(tx.root(keyring)?.counter))
    }

    /// Takes in what writers left that died since the workspace was opened.
    ///
    /// # Errors
    /// If the journals cannot be listed; what is wrong with one of them is told to the monitor.
    pub fn take_in_what_was_left(&self) -> Result<()> {
        match crate::ingest::journal_files(&self.inner)?.is_empty() {
            true => Ok(()),
            false => crate::ingest::recover(&self.inner),
        }
    }

    /// Returns whether a run is being recorded.
    ///
    /// # Errors
    /// If the runs cannot be read.
    pub fn is_recording(&self) -> Result<bool> {
        let filter = Filter::parse("state = 'running'").map_err(|error| Error::invalid(error.to_string()))?;
        let running = Selection { filter: Some(filter), limit: Some(1), ..Selection::default() };
        Ok(!self.runs(&running)?.is_empty())
    }
}
