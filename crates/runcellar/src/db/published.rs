//! The published cellar.db of a network file system, as readers take it: whole, at once, through one handle.
//!
//! Nobody changes a published file; another takes its name. Whoever kept it open and read pages when it needs them would
//! be served wrongly: NFS forgets a file that another host replaced (`ESTALE`), and a FUSE file system that goes by paths
//! has one page cache for all files that had a name, so that whoever has the new one open reads pages that somebody else's
//! reading of the old one left there. So all of it is read when it is opened, past that cache, into memory or a file of
//! this host that nobody else knows. What lies there is what lies in cellar.db: sealed.
//!
//! Whoever reads looks before each transaction whether another file has taken the place ([`Stamp`]).

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::{copy, open_immutable, prepare, schema};
use crate::{Error, Result, os};

/// Bytes of a SQLite file's header, which a change counter among them makes differ after each change.
const HEADER_BYTES: usize = 100;
/// Bytes of a page of the database.
const PAGE_BYTES: u64 = 4096;
/// How long reading waits for this host to see a file as it was published: FUSE remembers lengths for a second by
/// default, and a file may be replaced while it is read.
const REPLACED_WAIT: Duration = Duration::from_secs(3);
/// Pause between attempts to read it.
const PAUSE: Duration = Duration::from_millis(20);
/// The largest database that is held in memory; a larger one is copied to a disk of this host.
const MEMORY_MAX: u64 = 64 << 20;
/// Where such copies lie, without a name: the first of these that takes a file. /var/tmp is seldom memory.
const SCRATCH: [&str; 2] = ["/var/tmp", "/tmp"];

/// What tells a published file from the next.
///
/// The header was read through the handle that the rest is read through. What a FUSE file system says of a handle may be
/// about the file that has the name by now, so inode and time alone do not tell what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    header: [u8; HEADER_BYTES],
    device: u64,
    inode: u64,
    bytes: u64,
    written: (i64, i64),
}

impl Stamp {
    fn of(mut file: &File) -> std::io::Result<Stamp> {
        let metadata = file.metadata()?;
        let mut header = [0; HEADER_BYTES];
        match file.read_exact(&mut header) {
            // Shorter than a header: SQLite says what is wrong with it.
            Err(cause) if cause.kind() == ErrorKind::UnexpectedEof => {}
            read => read?,
        }
        let written = (metadata.mtime(), metadata.mtime_nsec());
        Ok(Stamp { header, device: metadata.dev(), inode: metadata.ino(), bytes: metadata.len(), written })
    }

    pub(super) fn header(&self) -> &[u8] {
        &self.header
    }

    fn is_wal(&self) -> bool {
        self.header[18] == 2
    }

    /// Returns whether the file's length is what its header says. It is not for as long as this host remembers the length
    /// of the file that was there before. One in WAL mode may be longer than its header says.
    fn is_whole(&self) -> bool {
        let pages: [u8; 4] = std::array::from_fn(|at| self.header[28 + at]);
        self.is_wal() || self.bytes == u64::from(u32::from_be_bytes(pages)) * PAGE_BYTES
    }
}

/// Opens the file that is published at `path` now.
///
/// It is opened and not only looked at: NFS asks the server when a file is opened, and may answer from memory when it is
/// not. Fails if a process uses the database in WAL mode, as the file alone is not all of it then.
fn open_now(path: &Path, deadline: Instant) -> Result<(File, Stamp)> {
    if copy::has_wal(path) {
        return Err(copy::in_wal_mode(path));
    }
    retry(path, deadline, || {
        let file = File::open(path)?;
        os::read_past_cache(&file)?;
        let stamp = Stamp::of(&file)?;
        match stamp.is_whole() || Instant::now() >= deadline {
            // One that was cut: SQLite says what is wrong with it.
            true => Ok((file, stamp)),
            false => Err(ErrorKind::UnexpectedEof.into()),
        }
    })
    .map_err(|cause| Error::io("open", path, cause))
}

/// Looks at a published file, again if it is not there or not whole because another is taking its place.
///
/// Taking a place is one step on a server's disk, but not on its way there: NFS and FUSE move a file aside first if
/// somebody on the host has it open, and for that moment it has no name.
pub(crate) fn patiently<T>(path: &Path, look: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    retry(path, Instant::now() + REPLACED_WAIT, look)
}

fn retry<T>(path: &Path, deadline: Instant, mut look: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    loop {
        match look() {
            Err(cause) if is_replaced(path, &cause) && Instant::now() < deadline => std::thread::sleep(PAUSE),
            found => return found,
        }
    }
}

/// Returns whether a file may not have been found or read because another was taking its place.
fn is_replaced(path: &Path, cause: &std::io::Error) -> bool {
    match cause.kind() {
        ErrorKind::StaleNetworkFileHandle | ErrorKind::UnexpectedEof => true,
        // The whole workspace may have been removed.
        ErrorKind::NotFound => path.parent().is_some_and(Path::is_dir),
        _ => false,
    }
}

/// Returns which file is published at `path`.
pub(super) fn stamp(path: &Path) -> Result<Stamp> {
    open_now(path, Instant::now() + REPLACED_WAIT).map(|(_, stamp)| stamp)
}

/// The bytes of a published file, of which the header was read.
struct Content<'a> {
    header: &'a [u8],
    file: &'a File,
    /// Why a read failed, as SQLite does not pass it on.
    failure: Option<std::io::Error>,
}

impl Read for Content<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if !self.header.is_empty() {
            return self.header.read(out);
        }
        let read = self.file.read(out);
        match &read {
            Ok(0) if !out.is_empty() => self.failure = Some(ErrorKind::UnexpectedEof.into()),
            Err(cause) if cause.kind() != ErrorKind::Interrupted => self.failure = Some(copy_of(cause)),
            _ => {}
        }
        read
    }
}

fn copy_of(cause: &std::io::Error) -> std::io::Error {
    cause.raw_os_error().map_or_else(|| cause.kind().into(), std::io::Error::from_raw_os_error)
}

/// Gives all bytes of the published file to `taking`, with how many they are; again if it is replaced meanwhile.
fn read_whole<T>(path: &Path, mut taking: impl FnMut(&mut Content<'_>, &Stamp) -> Result<T>) -> Result<(T, Stamp)> {
    let deadline = Instant::now() + REPLACED_WAIT;
    loop {
        let (file, stamp) = open_now(path, deadline)?;
        let header = &stamp.header[..stamp.bytes.min(HEADER_BYTES as u64) as usize];
        let mut content = Content { header, file: &file, failure: None };
        let taken = taking(&mut content, &stamp);
        match content.failure {
            None => return Ok((taken?, stamp)),
            Some(cause) if is_replaced(path, &cause) && Instant::now() < deadline => std::thread::sleep(PAUSE),
            Some(cause) => return Err(Error::io("read", path, cause)),
        }
    }
}

/// Opens the published database as it is now; it stays so whatever takes its place.
pub(super) fn open(path: &Path) -> Result<(Connection, Stamp)> {
    open_below(path, MEMORY_MAX)
}

fn open_below(path: &Path, memory_max: u64) -> Result<(Connection, Stamp)> {
    read_whole(path, |content, stamp| {
        if stamp.bytes <= memory_max {
            return in_memory(content, stamp);
        }
        match Scratch::make() {
            Some(scratch) => scratch.hold(content, stamp),
            None => in_memory(content, stamp),
        }
    })
}

fn in_memory(content: &mut Content<'_>, stamp: &Stamp) -> Result<Connection> {
    if stamp.bytes < HEADER_BYTES as u64 {
        return Err(Error::damaged("cellar.db: not a runcellar database"));
    }
    let mut header = stamp.header;
    // SQLite opens nothing in memory that says it is in WAL mode. It has no log beside it: that was looked at.
    (header[18], header[19]) = (1, 1);
    let mut patched = Content { header: &header, file: content.file, failure: None };
    let mut connection = Connection::open_in_memory()?;
    let bytes = usize::try_from(stamp.bytes).map_err(|_| Error::damaged("cellar.db: too long for memory"))?;
    let read = connection.deserialize_read_exact("main", &mut patched, bytes, true);
    content.failure = patched.failure;
    read?;
    prepare(&connection)?;
    schema::verify(&connection)?;
    Ok(connection)
}

/// A file of this host that loses its name when it is open.
struct Scratch {
    path: PathBuf,
    file: File,
}

impl Scratch {
    /// Returns none where nothing takes a file.
    fn make() -> Option<Scratch> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        SCRATCH.iter().find_map(|directory| {
            // Another process may have had the number of this one, in another namespace or before it died.
            (0..100).find_map(|_| {
                let count = COUNT.fetch_add(1, Ordering::Relaxed);
                let path = Path::new(directory).join(format!("runcellar-{}-{count}.copy", std::process::id()));
                let file = File::options().write(true).create_new(true).mode(0o600).open(&path).ok()?;
                Some(Scratch { path, file })
            })
        })
    }

    fn hold(mut self, content: &mut Content<'_>, stamp: &Stamp) -> Result<Connection> {
        let copied = std::io::copy(&mut content.take(stamp.bytes), &mut self.file);
        copied.map_err(|cause| Error::io("write", &self.path, cause))?;
        open_immutable(&self.path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It has no other use than that of the connection, which has it open.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Copies the published database to a file of the workspace; returns what it is a copy of.
pub(super) fn copy_to(path: &Path, to: &Path) -> Result<Stamp> {
    let (_, stamp) = read_whole(path, |content, stamp| {
        let mode = content.file.metadata().map_or(0o600, |metadata| metadata.mode());
        let made = File::options().write(true).create(true).truncate(true).mode(mode & 0o777).open(to);
        let copied = made.and_then(|mut file| std::io::copy(&mut content.take(stamp.bytes), &mut file));
        copied.map_err(|cause| Error::io("write", to, cause))
    })?;
    Ok(stamp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::db::{Access, FILE_NAME};

    fn make(directory: &Path, name: &str, access: Access) -> PathBuf {
        let path = directory.join(name);
        File::create_new(&path).expect("makes");
        schema::create(&path, access, |_| Ok(())).expect("is made");
        path
    }

    fn tables(connection: &Connection) -> i64 {
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).expect("reads")
    }

    #[test]
    fn a_database_reads_alike_in_memory_and_from_a_copy_in_whatever_mode_it_was_left() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for (name, access) in [("rollback", Access::Published), ("wal", Access::Shared)] {
            let path = make(directory.path(), name, access);
            for memory_max in [0, MEMORY_MAX] {
                let (connection, stamp) = open_below(&path, memory_max).expect("opens");
                assert_eq!(stamp.is_wal(), access == Access::Shared);
                assert!(tables(&connection) >= 6);
                connection.execute_batch("DELETE FROM epoch").expect_err("only read");
            }
            let copy = directory.path().join(format!("{name}.copy"));
            copy_to(&path, &copy).expect("copies");
            assert_eq!(std::fs::read(&copy).expect("reads"), std::fs::read(&path).expect("reads"));
        }
        let mine = format!("runcellar-{}-", std::process::id());
        for entry in SCRATCH.iter().flat_map(std::fs::read_dir).flatten() {
            let name = entry.expect("reads").file_name();
            assert!(!name.to_string_lossy().starts_with(&mine), "{} is left", name.display());
        }
    }

    #[test]
    fn what_was_opened_stays_as_it_was_and_the_stamp_tells_of_another() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = make(directory.path(), FILE_NAME, Access::Published);
        let (connection, first) = open(&path).expect("opens");
        assert_eq!(stamp(&path).expect("looks"), first);
        let next = make(directory.path(), "next", Access::Published);
        std::fs::rename(next, &path).expect("renames");
        assert_ne!(stamp(&path).expect("looks"), first);
        assert!(tables(&connection) >= 6);
    }

    #[test]
    fn a_file_that_was_cut_or_is_none_is_damage() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = make(directory.path(), FILE_NAME, Access::Published);
        let whole = std::fs::read(&path).expect("reads");
        for bytes in [0, 50, HEADER_BYTES, 5000, whole.len() - 4096] {
            std::fs::write(&path, &whole[..bytes]).expect("writes");
            // As after the time that is waited for another to take its place.
            let deadline = Instant::now();
            let (file, stamp) = open_now(&path, deadline).expect("opens");
            let header = &stamp.header[..bytes.min(HEADER_BYTES)];
            let refused = in_memory(&mut Content { header, file: &file, failure: None }, &stamp);
            assert_eq!(refused.map(drop).expect_err("refused").kind(), ErrorKind::Damaged, "{bytes} bytes");
        }
    }
}
