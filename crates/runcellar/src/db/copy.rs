//! cellar.db on a network file system, where SQLite can share no memory between hosts and its locks prove nothing.
//!
//! There the file is never written in place. Whoever has the turn writes a copy that nobody else knows, without locks
//! and without a log of SQLite's, as a copy that is not published is simply dropped; and renames it into place whole.
//! How the published file is read is in [`super::published`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::published::{self, Stamp};
use super::{Access, Db, prepare, schema};
use crate::io::Io;
use crate::{Error, ErrorKind, Result};

/// How long taking in a log that was left by WAL mode waits for processes that still use it.
const FOLD_WAIT: Duration = Duration::from_millis(250);

pub(super) fn in_wal_mode(path: &Path) -> Error {
    let message = format!(
        "{}: a process has it open that takes this file system for a local disk (there is a -wal file); end it, or \
         start it with RUNCELLAR_FILE_SYSTEM=network",
        path.display()
    );
    Error::new(ErrorKind::Busy, message)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Returns whether a log with transactions stands beside a database.
pub(super) fn has_wal(path: &Path) -> bool {
    std::fs::metadata(beside(path, "-wal")).is_ok_and(|wal| wal.len() > 0)
}

/// Returns whether files stand beside a database that a process which used it in place had open, or has.
pub(crate) fn has_companions(path: &Path) -> bool {
    ["-wal", "-shm", "-journal"].iter().any(|ending| beside(path, ending).exists())
}

/// Takes in what such a process left, so that the file alone is all of the database. In place, and under SQLite's own
/// locks: [`ErrorKind::Busy`] if one still has it open, as far as locks tell.
pub(crate) fn fold_in(path: &Path) -> Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let folded = Connection::open_with_flags(path, flags).and_then(|connection| {
        connection.busy_timeout(FOLD_WAIT)?;
        connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = FULL;")?;
        let mode: String = connection.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))?;
        connection.query_row("PRAGMA schema_version", [], |_| Ok(()))?;
        connection.close().map_err(|(_, error)| error)?;
        Ok(mode == "delete")
    });
    match folded.map_err(Error::from) {
        // Left by one that died, as nobody has it open: in exclusive mode SQLite leaves it alone.
        Ok(true) => match std::fs::remove_file(beside(path, "-shm")) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(Error::io("fold in", path, cause)),
            _ => Ok(()),
        },
        Ok(false) => Err(in_wal_mode(path)),
        Err(error) if error.kind() == ErrorKind::Busy => Err(in_wal_mode(path)),
        Err(error) => Err(error),
    }
}

/// Opens a database that no other process knows: nothing is locked, and nothing is logged.
pub(super) fn connect_privately(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags_and_vfs(path, flags, c"unix-none")?;
    // Exclusive first: a file in WAL mode then needs no shared memory to be led out of it.
    connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY;")?;
    Ok(connection)
}

pub(super) fn open_private(path: &Path) -> Result<Connection> {
    let connection = connect_privately(path)?;
    prepare(&connection)?;
    connection.execute_batch("PRAGMA synchronous = OFF")?;
    schema::verify(&connection)?;
    Ok(connection)
}

/// A copy of cellar.db that is written in a turn.
pub(crate) struct WorkingCopy {
    db: Arc<Db>,
    original: PathBuf,
    path: PathBuf,
    /// Which file was copied.
    copied: Stamp,
}

impl WorkingCopy {
    /// Copies the published database to `path`.
    pub(crate) fn make(original: &Path, path: &Path) -> Result<WorkingCopy> {
        let opened = published::copy_to(original, path)
            .and_then(|copied| Ok((copied, Db::open(path, Access::Private)?)))
            .inspect_err(|_| {
                // The next turn removes one that stays.
                let _ = std::fs::remove_file(path);
            });
        let (copied, db) = opened?;
        Ok(WorkingCopy { db: Arc::new(db), original: original.to_owned(), path: path.to_owned(), copied })
    }

    pub(crate) fn db(&self) -> &Arc<Db> {
        &self.db
    }

    /// Makes the copy durable and puts it in the original's place, unless that has changed meanwhile.
    pub(crate) fn publish(self, io: &dyn Io, may: impl Fn() -> Result<()>) -> Result<()> {
        // One that took the turn from this process removes its copy, too.
        let failed = |cause| may().err().unwrap_or_else(|| Error::io("publish", &self.original, cause));
        // A reader of this process may still use the connection: all that was committed is in the file.
        io.open(&self.path).and_then(|file| file.sync()).map_err(failed)?;
        may()?;
        if published::stamp(&self.original)?.header() != self.copied.header() {
            let message = format!("{}: another process wrote it meanwhile", self.original.display());
            return Err(Error::new(ErrorKind::Busy, message));
        }
        io.rename(&self.path, &self.original).map_err(failed)?;
        io.sync_dir(self.original.parent().unwrap_or(Path::new("."))).map_err(failed)
    }
}

impl Drop for WorkingCopy {
    fn drop(&mut self) {
        // Once published it is not there under this name; one that stays is removed in the next turn.
        let _ = std::fs::remove_file(&self.path);
    }
}
