//! cellar.db on a network file system, where SQLite can share no memory between hosts and its locks prove nothing.
//!
//! There the file is never written in place. Whoever has the turn writes a copy that nobody else knows, without locks
//! and without a log of SQLite's, as a copy that is not published is simply dropped; and renames it into place whole.
//! Readers take the file as unchanging, and look before each transaction whether another has taken its place.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use super::{Access, Db, prepare, schema};
use crate::io::Io;
use crate::{Error, ErrorKind, Result};

/// Bytes of a SQLite file's header, which a change counter among them makes differ after each change.
const HEADER_BYTES: usize = 100;
/// Bytes of a page of the database.
const PAGE_BYTES: u64 = 4096;
/// How long reading waits for this host to see the length of a file that was just published: FUSE remembers lengths for
/// a second by default.
const REPLACED_WAIT: Duration = Duration::from_secs(3);
/// How long taking in a log that was left by WAL mode waits for processes that still use it.
const FOLD_WAIT: Duration = Duration::from_millis(250);

/// What tells a published file from the next: device, inode, bytes, and when it was written in nanoseconds.
pub(super) type Stamp = (u64, u64, u64, i128);

/// Returns which file is published at `path`.
///
/// It is opened and not only looked at: NFS looks at the server when a file is opened, and may answer from memory when
/// it is not. Fails if a process uses the database in WAL mode, as the file alone is not all of it then.
pub(super) fn stamp(path: &Path) -> Result<Stamp> {
    if has_wal(path) {
        return Err(in_wal_mode(path));
    }
    let deadline = Instant::now() + REPLACED_WAIT;
    loop {
        let (metadata, whole) = look(path).map_err(|cause| Error::io("open", path, cause))?;
        if whole {
            let written = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
            return Ok((metadata.dev(), metadata.ino(), metadata.len(), written));
        }
        if Instant::now() >= deadline {
            // A file that was cut: SQLite says what is wrong with it.
            return Ok((metadata.dev(), metadata.ino(), metadata.len(), 0));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Opens a published file; returns what it is, and whether its length is what its header says. It is not for as long as
/// this host remembers the length of the file that was there before.
fn look(path: &Path) -> std::io::Result<(Metadata, bool)> {
    let mut head = [0; HEADER_BYTES];
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    let is_read = file.read_exact(&mut head).is_ok();
    // A file in WAL mode may be longer than its header says.
    let pages = head.get(28..32).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes);
    let whole = is_read && (head.get(18) == Some(&2) || metadata.len() == u64::from(pages) * PAGE_BYTES);
    Ok((metadata, whole))
}

fn in_wal_mode(path: &Path) -> Error {
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
    /// Header of the original when it was copied.
    header: Vec<u8>,
}

impl WorkingCopy {
    /// Copies the published database to `path`.
    pub(crate) fn make(original: &Path, path: &Path) -> Result<WorkingCopy> {
        let failed = |cause| Error::io("copy", original, cause);
        let header = header(original).map_err(failed)?;
        // Waits until this host sees the file that is there now.
        stamp(original)?;
        let copied = std::fs::copy(original, path).map_err(failed).and_then(|_| Db::open(path, Access::Private));
        let db = copied.inspect_err(|_| {
            // The next turn removes one that stays.
            let _ = std::fs::remove_file(path);
        })?;
        Ok(WorkingCopy { db: Arc::new(db), original: original.to_owned(), path: path.to_owned(), header })
    }

    pub(crate) fn db(&self) -> &Arc<Db> {
        &self.db
    }

    /// Makes the copy durable and puts it in the original's place, unless that has changed meanwhile.
    pub(crate) fn publish(self, io: &dyn Io, may: impl FnOnce() -> Result<()>) -> Result<()> {
        let failed = |cause| Error::io("publish", &self.original, cause);
        // A reader of this process may still use the connection: all that was committed is in the file.
        io.open(&self.path).and_then(|file| file.sync()).map_err(failed)?;
        may()?;
        if has_wal(&self.original) {
            return Err(in_wal_mode(&self.original));
        }
        if header(&self.original).map_err(failed)? != self.header {
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

fn header(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(HEADER_BYTES);
    File::open(path)?.take(HEADER_BYTES as u64).read_to_end(&mut out)?;
    Ok(out)
}
