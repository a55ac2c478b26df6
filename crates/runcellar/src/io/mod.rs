//! The seam to files, time and randomness: everything outside SQLite that can fail goes through [`Io`].
//!
//! The store takes an `Arc<dyn Io>`; programs give [`SystemIo`], tests one that counts, fails at the n-th call or
//! forgets what was not synced. SQLite reads and writes cellar.db itself.

mod system;

pub use system::SystemIo;

use std::io::Result;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes that are copied at once.
const COPY_BYTES: usize = 1 << 20;

/// What tells one file from another on this machine: device and inode.
pub type FileIdentity = (u64, u64);

/// Files, clocks and random bytes.
pub trait Io: Send + Sync + 'static {
    /// Returns the wall clock, microseconds UTC since 1970.
    fn wall_us(&self) -> i64;

    /// Returns a clock that never runs backwards, microseconds since some start.
    fn monotonic_us(&self) -> i64;

    /// Fills `out` with random bytes fit for keys.
    ///
    /// # Errors
    /// If the system gives none.
    fn random(&self, out: &mut [u8]) -> Result<()>;

    /// Creates a file of mode 0600 that must not exist, for appending and reading.
    ///
    /// # Errors
    /// `AlreadyExists`, or what the system says.
    fn create_new(&self, path: &Path) -> Result<Arc<dyn IoFile>>;

    /// Copies a file to a new one of mode 0600, which must not exist and is not synced; returns that and its length. `told` is
    /// given the bytes of each piece.
    ///
    /// The system may have a faster way than to read and to write, which this does piece by piece.
    ///
    /// # Errors
    /// As [`Io::open`] and [`Io::create_new`]. A file that was begun stays.
    fn copy_new(&self, from: &Path, to: &Path, told: &mut dyn FnMut(u64)) -> Result<(Arc<dyn IoFile>, u64)> {
        let from = self.open(from)?;
        let to = self.create_new(to)?;
        let (mut buffer, mut bytes) = (vec![0; COPY_BYTES], 0);
        loop {
            let read = read_into(&*from, bytes, &mut buffer)?;
            write_all(&*to, buffer.get(..read).unwrap_or_default())?;
            bytes += read as u64;
            told(read as u64);
            if read < COPY_BYTES {
                return Ok((to, bytes));
            }
        }
    }

    /// Opens a file for reading and, for its lock, writing.
    ///
    /// # Errors
    /// What the system says.
    fn open(&self, path: &Path) -> Result<Arc<dyn IoFile>>;

    /// Reads a whole file of at most `limit` bytes.
    ///
    /// # Errors
    /// `FileTooLarge` above the limit, or what the system says.
    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>>;

    /// Lists the names in a directory, in no order.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self, path: &Path) -> Result<Vec<PathBuf>>;

    /// Creates a directory of mode 0700 and the missing ones above it.
    ///
    /// # Errors
    /// What the system says.
    fn create_dir(&self, path: &Path) -> Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// What the system says.
    fn sync_dir(&self, path: &Path) -> Result<()>;

    /// Renames, replacing what stands there.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;

    /// Gives a file a second name that must not exist.
    ///
    /// # Errors
    /// `AlreadyExists`, `Unsupported` where the file system has no links, or what the system says.
    fn link(&self, from: &Path, to: &Path) -> Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, path: &Path) -> Result<()>;

    /// Returns which file stands at a path.
    ///
    /// # Errors
    /// What the system says, `NotFound` among it.
    fn identity(&self, path: &Path) -> Result<FileIdentity>;

    /// Returns when the file at a path was last written, microseconds since 1970 by the clock of the file system, which
    /// may be another machine's.
    ///
    /// # Errors
    /// What the system says.
    fn modified_us(&self, path: &Path) -> Result<i64>;
}

/// An open file.
#[allow(clippy::len_without_is_empty, reason = "a file, not a collection")]
pub trait IoFile: Send + Sync {
    /// Appends bytes with one `write(2)`; returns how many were taken.
    ///
    /// # Errors
    /// What the system says.
    fn append(&self, bytes: &[u8]) -> Result<usize>;

    /// Reads up to `out.len()` bytes at `offset`; 0 at the end.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, out: &mut [u8], offset: u64) -> Result<usize>;

    /// Makes content and length durable.
    ///
    /// # Errors
    /// What the system says; afterwards nothing is known of what was written since the last success.
    fn sync(&self) -> Result<()>;

    /// Returns the length in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn len(&self) -> Result<u64>;

    /// Tries to take the exclusive lock of the file, which belongs to the process and ends with it; false if another
    /// process has it. The lock is lost if any descriptor of this file is closed in this process.
    ///
    /// # Errors
    /// What the system says, `Unsupported` where there are no locks, `PermissionDenied` for a file that could be opened
    /// for reading only.
    fn try_lock(&self) -> Result<bool>;

    /// Returns which process has the exclusive lock of the file; none if no other one has it.
    ///
    /// # Errors
    /// What the system says, `Unsupported` where there are no locks.
    fn lock_holder(&self) -> Result<Option<u32>>;

    /// Returns which file this is.
    ///
    /// # Errors
    /// What the system says.
    fn identity(&self) -> Result<FileIdentity>;
}

/// Reads a stretch of a file into a vector; shorter if the file ends.
pub(crate) fn read_range(file: &dyn IoFile, offset: u64, len: usize) -> Result<Vec<u8>> {
    let mut out = vec![0; len];
    let filled = read_into(file, offset, &mut out)?;
    out.truncate(filled);
    Ok(out)
}

/// Fills a buffer from an offset on, as far as the file goes; returns how many bytes that were.
pub(crate) fn read_into(file: &dyn IoFile, offset: u64, out: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while let Some(rest) = out.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Writes a new file whole: temporary name, write, sync, rename, sync of the directory.
pub(crate) fn replace(io: &dyn Io, path: &Path, temporary: &Path, bytes: &[u8]) -> Result<()> {
    write_new(io, temporary, bytes)?;
    io.rename(temporary, path)?;
    io.sync_dir(path.parent().unwrap_or(Path::new(".")))
}

/// Creates a directory and those above it that are missing, and makes their names durable: a file that is synced is
/// lost all the same if the name of its directory is.
pub(crate) fn create_dir_durable(io: &dyn Io, path: &Path) -> Result<()> {
    let named = |path: &&Path| !path.as_os_str().is_empty();
    let missing: Vec<&Path> = path.ancestors().filter(named).take_while(|above| io.identity(above).is_err()).collect();
    io.create_dir(path)?;
    for made in missing {
        // Where a directory may not be read it cannot be synced; its name is as durable as the system makes it.
        let _ = io.sync_dir(made.parent().unwrap_or(Path::new(".")));
    }
    Ok(())
}

/// Writes and syncs a file that must not exist; on failure nothing stays behind.
pub(crate) fn write_new(io: &dyn Io, path: &Path, bytes: &[u8]) -> Result<()> {
    let file = io.create_new(path)?;
    let written = write_all(&*file, bytes).and_then(|()| file.sync());
    if written.is_err() {
        // The write error is the one to report; a leftover in tmp/ harms nobody.
        let _ = io.remove(path);
    }
    written
}

/// Appends all bytes.
pub(crate) fn write_all(file: &dyn IoFile, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match file.append(bytes) {
            Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
            Ok(taken) => bytes = bytes.get(taken..).unwrap_or_default(),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Draws a random array.
pub(crate) fn random<const N: usize>(io: &dyn Io) -> crate::Result<[u8; N]> {
    let mut out = [0; N];
    io.random(&mut out).map_err(|cause| {
        crate::Error::new(crate::ErrorKind::Io, format!("no random bytes from the system: {cause}")).with_cause(cause)
    })?;
    Ok(out)
}
