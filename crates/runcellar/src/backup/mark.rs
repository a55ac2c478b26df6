//! The mark of a backup, and the lock of whoever writes it.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runcellar_format::backup::{Mark, MarkKind};

use super::stage;
use crate::io::{self, FileIdentity, Io, IoFile};
use crate::workspace::KEYSLOTS;
use crate::{Error, ErrorKind, Result};

/// Name of the mark in a folder.
const MARK: &str = "backup.mark";
/// Name of a mark on its way: the first file of a new backup.
const MARK_PART: &str = "backup.mark.part";

/// Reads the mark of a folder; none if it has none.
pub(super) fn read(io: &dyn Io, folder: &Path) -> Result<Option<Mark>> {
    let path = folder.join(MARK);
    match io.read(&path, Mark::BYTES as u64 + 1) {
        Ok(bytes) => Mark::decode(&bytes).map(Some).map_err(|cause| Error::format(path.display(), cause)),
        Err(cause) if matches!(cause.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(cause) => Err(Error::io("read", &path, cause)),
    }
}

/// Returns whether a folder is a backup, after finishing what a killed process left of the last steps of one.
pub(crate) fn is_backup(io: &dyn Io, folder: &Path) -> Result<bool> {
    match read(io, folder)?.map(|mark| mark.kind) {
        None => Ok(false),
        Some(MarkKind::Backup) => stage::finish(io, folder).map(|()| true),
        Some(MarkKind::Restoring) => {
            let message = format!("{}: restore-from was cut off before it was whole; run it again", folder.display());
            Err(Error::new(ErrorKind::State, message))
        }
    }
}

/// The error of a backup whose first making was cut off.
pub(crate) fn never_whole(folder: &Path) -> Error {
    let message = format!("{}: a backup that was cut off before it was whole; make it again", folder.display());
    Error::new(ErrorKind::NotFound, message)
}

/// Returns whether a folder may become a copy with this mark: it is not there, empty, or such a copy already.
pub(super) fn may_become(io: &dyn Io, folder: &Path, mark: Mark) -> Result<()> {
    let refuse = |why: &str| Err(Error::new(ErrorKind::Exists, format!("{}: {why}", folder.display())));
    match read(io, folder)? {
        Some(found) if found == mark => return Ok(()),
        Some(found) if found.workspace != mark.workspace => return refuse("it is the backup of another workspace"),
        Some(found) if found.lineage != mark.lineage => {
            return refuse("it is the backup of another copy of this workspace: choose another folder");
        }
        Some(found) if found.kind == MarkKind::Restoring => {
            return refuse("restore-from was cut off in it: run that again, or remove the folder");
        }
        Some(_) => return refuse("it is a backup: choose another folder"),
        None => {}
    }
    let names = match io.list(folder) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotADirectory => return refuse("a file is in its place"),
        names => names.map_err(|cause| Error::io("list", folder, cause))?,
    };
    match names.iter().find(|name| name.as_os_str() != MARK_PART) {
        None => Ok(()),
        Some(_) if names.iter().any(|name| name.as_os_str() == KEYSLOTS) => refuse("a workspace is there"),
        Some(_) => refuse("the folder is not empty, and no backup of this workspace"),
    }
}

/// The folders that this process writes: record locks do not keep its own threads apart.
static HELD: Mutex<Vec<FileIdentity>> = Mutex::new(Vec::new());

fn held() -> MutexGuard<'static, Vec<FileIdentity>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The right to write a copy, which one at a time has.
pub(super) struct Hold {
    folder: FileIdentity,
    lock: Option<Arc<dyn IoFile>>,
}

impl Hold {
    /// Makes the folder if it is not there, and marks it.
    pub(super) fn take(io: &dyn Io, folder: &Path, mark: Mark) -> Result<Hold> {
        may_become(io, folder, mark)?;
        let failed = |cause| Error::io("make backup", folder, cause);
        io::create_dir_durable(io, folder).map_err(failed)?;
        let busy =
            || Error::new(ErrorKind::Busy, format!("{}: another process is writing this backup", folder.display()));
        let identity = io.identity(folder).map_err(failed)?;
        {
            let mut held = held();
            if held.contains(&identity) {
                return Err(busy());
            }
            held.push(identity);
        }
        let mut hold = Hold { folder: identity, lock: None };
        let path = folder.join(MARK);
        if read(io, folder)?.is_none() {
            let part = folder.join(MARK_PART);
            // Left by a killed process, if there is one.
            let _ = io.remove(&part);
            io::replace(io, &path, &part, &mark.encode()).map_err(failed)?;
        }
        let lock = io.open(&path).map_err(failed)?;
        match lock.try_lock() {
            Ok(true) => {}
            Ok(false) => return Err(busy()),
            // Where there are no locks, or the medium cannot be written, which the next step says.
            Err(cause)
                if matches!(cause.kind(), std::io::ErrorKind::Unsupported | std::io::ErrorKind::PermissionDenied) => {}
            Err(cause) => return Err(failed(cause)),
        }
        hold.lock = Some(lock);
        Ok(hold)
    }

    /// Takes the mark away: the folder is a workspace from now on.
    pub(super) fn unmark(self, io: &dyn Io, folder: &Path) -> Result<()> {
        let path = folder.join(MARK);
        io.remove(&path).and_then(|()| io.sync_dir(folder)).map_err(|cause| Error::io("remove", &path, cause))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // Before another thread may take it: closing the file gives the lock back.
        self.lock = None;
        held().retain(|folder| *folder != self.folder);
    }
}
