//! Backups: a copy of the workspace in another folder, made while runs are recorded, and workspaces made of such copies.
//!
//! A backup is a folder laid out as a workspace, with a mark that says what it is: whoever opens it only reads it. What
//! comes next is first copied beside what is there, under temporary names, and takes its place in a few renames, which
//! whoever comes next finishes should they be cut off ([`stage`]). docs/FORMAT.md, "Backup".

mod files;
mod make;
mod mark;
mod restore;
mod stage;

pub(crate) use mark::{is_backup, never_whole};
pub use restore::{Restored, restore_from};

use std::path::{Path, PathBuf};

use crate::{CheckReport, Result, Workspace};

/// How a backup is made.
#[derive(Debug, Clone, Copy, Default)]
pub struct BackupOptions {
    /// Read the copy back and check all that is in it.
    pub verify: bool,
}

/// What [`Workspace::backup`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BackupReport {
    /// Files that were copied.
    pub copied_files: u64,
    /// Bytes of these.
    pub copied_bytes: u64,
    /// Files that the backup had already.
    pub kept_files: u64,
    /// Bytes of these.
    pub kept_bytes: u64,
    /// Files that the workspace has no longer, and the backup neither.
    pub removed_files: u64,
    /// Packs that the workspace itself has lost, relative to it: what lay in them is in no backup made from now on.
    pub missing: Vec<String>,
    /// Packs that were evicted, and are not in the backup either: a remote has them.
    pub evicted_files: u64,
    /// Bytes of these.
    pub evicted_bytes: u64,
    /// The key file, which is not part of the backup; none if the workspace was opened otherwise.
    pub key_file: Option<PathBuf>,
    /// What was found when the copy was read back, if that was asked for.
    pub verified: Option<CheckReport>,
}

impl BackupReport {
    /// Returns true if all of the workspace is in the backup and, if that was asked for, reads back.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.missing.is_empty() && self.verified.as_ref().is_none_or(CheckReport::is_ok)
    }
}

impl Workspace {
    /// Copies the workspace as it is now to `dest`, which is a folder to be, an empty one, or an earlier backup of this
    /// workspace: then only what is new is copied, and the earlier state stands until the new one is durable.
    ///
    /// All that was acknowledged before the call is in the copy. Runs may be recorded meanwhile. The key file is not
    /// copied: without it, or another way to unlock the workspace, a backup is of no use.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Exists`] if `dest` is something else, [`crate::ErrorKind::Busy`] if another backup is being
    /// written to it, [`crate::ErrorKind::ReadOnly`] if it cannot be written or is full.
    pub fn backup(&self, dest: &Path, options: BackupOptions) -> Result<BackupReport> {
        make::backup(&self.inner, dest, options)
    }
}
