//! A workspace made of a backup.

use std::path::Path;
use std::time::Duration;

use runcellar_format::backup::MarkKind;

use super::{BackupReport, make, mark};
use crate::ingest::{self, Claims};
use crate::workspace::forget_claim;
use crate::{CheckOptions, CheckReport, Error, ErrorKind, OpenOptions, Result, Workspace};

/// How long this waits for the turn to write on a network file system.
const RECOVER_WAIT: Duration = Duration::from_secs(20);

/// A workspace made of a backup.
#[derive(Debug)]
pub struct Restored {
    /// The workspace.
    pub workspace: Workspace,
    /// What was copied.
    pub copied: BackupReport,
    /// What was found when the copy was read back. Damage is named here; what is whole is in the workspace.
    pub check: CheckReport,
}

/// Makes a workspace at `dir`, which is a folder to be or an empty one, of the backup at `backup`.
///
/// The copy is read back, and goes on under ids of its own, so that it and the workspace that the backup is of can both be
/// used. Runs that were being recorded have what their writers had written by then, and count as crashed. If this is killed,
/// the folder is no workspace, and the same call goes on with it.
///
/// # Errors
/// [`ErrorKind::NotFound`] if there is no backup, [`ErrorKind::Exists`] if something is at `dir`, [`ErrorKind::Locked`] if no
/// key opens the backup, [`ErrorKind::ReadOnly`] if `dir` cannot be written or is full.
pub fn restore_from(backup: &Path, dir: &Path, options: OpenOptions) -> Result<Restored> {
    let kind = mark::read(&*options.io, backup)?.map(|mark| mark.kind);
    if kind != Some(MarkKind::Backup) {
        return Err(Error::new(ErrorKind::NotFound, format!("no backup at {}", backup.display())));
    }
    let mode = options.file_system;
    let source = OpenOptions { create: false, recovery_code: false, recover: false, ..options }.open(backup)?;
    forget_cut_off(&source, dir)?;
    let (copied, hold) = make::copy(&source.inner, dir, MarkKind::Restoring)?;
    let check = source.inner.copy_at(dir, true, mode)?.check(CheckOptions { read_data: true })?;
    let workspace = source.inner.copy_at(dir, false, mode)?;
    let inner = &workspace.inner;
    inner.settle_restored()?;
    ingest::recover_claiming(inner, &Claims { all: true, ..Claims::default() }, RECOVER_WAIT)?;
    hold.unmark(&*inner.io, dir)?;
    forget_claim(&*inner.io, dir, inner.id, None, &[])?;
    inner.flush_mirror();
    Ok(Restored { workspace, copied, check })
}

/// Removes the key that a restore which was cut off in this folder had made for it: nothing but that copy knew it.
fn forget_cut_off(source: &Workspace, dir: &Path) -> Result<()> {
    let inner = &source.inner;
    match mark::read(&*inner.io, dir)?.map(|mark| (mark.kind, mark.workspace)) {
        Some((MarkKind::Restoring, workspace)) if workspace == inner.id => {
            forget_claim(&*inner.io, dir, inner.id, inner.key_file(), &[])
        }
        _ => Ok(()),
    }
}
