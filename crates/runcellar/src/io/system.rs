//! [`Io`] of the operating system.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Result, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::{COPY_BYTES, FileIdentity, Io, IoFile};
use crate::os;

/// Files, clocks and random bytes of the operating system.
#[derive(Debug, Default)]
pub struct SystemIo;

impl Io for SystemIo {
    fn wall_us(&self) -> i64 {
        let micros = |duration: std::time::Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => micros(since),
            Err(before) => -micros(before.duration()),
        }
    }

    fn monotonic_us(&self) -> i64 {
        static START: OnceLock<Instant> = OnceLock::new();
        i64::try_from(START.get_or_init(Instant::now).elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    fn random(&self, out: &mut [u8]) -> Result<()> {
        getrandom::fill(out).map_err(std::io::Error::other)
    }

    fn create_new(&self, path: &Path) -> Result<Arc<dyn IoFile>> {
        let file = OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(path)?;
        Ok(Arc::new(SystemFile(file)))
    }

    fn copy_new(&self, from: &Path, to: &Path, told: &mut dyn FnMut(u64)) -> Result<(Arc<dyn IoFile>, u64)> {
        // Linux copies within the kernel, but not to a file that is open for appending.
        let from = File::open(from)?;
        let to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
        let mut bytes = 0;
        loop {
            let copied = std::io::copy(&mut (&from).take(COPY_BYTES as u64), &mut &to)?;
            bytes += copied;
            told(copied);
            if copied < COPY_BYTES as u64 {
                return Ok((Arc::new(SystemFile(to)), bytes));
            }
        }
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn IoFile>> {
        let writable = OpenOptions::new().read(true).append(true).open(path);
        let file = match writable {
            // To be read all the same; its lock cannot be taken, so nobody takes its writer for dead.
            Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
                File::open(path)?
            }
            other => other?,
        };
        Ok(Arc::new(SystemFile(file)))
    }

    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let file = File::open(path)?;
        // Files that are read whole are such as are replaced whole.
        os::read_past_cache(&file)?;
        file.take(limit.saturating_add(1)).read_to_end(&mut out)?;
        if out.len() as u64 > limit {
            return Err(ErrorKind::FileTooLarge.into());
        }
        Ok(out)
    }

    fn list(&self, path: &Path) -> Result<Vec<PathBuf>> {
        std::fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().into())).collect()
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        File::open(path)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        std::fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        std::fs::hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        std::fs::remove_file(path)
    }

    fn identity(&self, path: &Path) -> Result<FileIdentity> {
        let metadata = std::fs::metadata(path)?;
        Ok((metadata.dev(), metadata.ino()))
    }

    fn modified_us(&self, path: &Path) -> Result<i64> {
        let metadata = std::fs::metadata(path)?;
        Ok(metadata.mtime().saturating_mul(1_000_000).saturating_add(metadata.mtime_nsec() / 1000))
    }
}

struct SystemFile(File);

impl IoFile for SystemFile {
    fn append(&self, bytes: &[u8]) -> Result<usize> {
        (&self.0).write(bytes)
    }

    fn read_at(&self, out: &mut [u8], offset: u64) -> Result<usize> {
        self.0.read_at(out, offset)
    }

    fn sync(&self) -> Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn try_lock(&self) -> Result<bool> {
        os::try_lock(&self.0)
    }

    fn lock_holder(&self) -> Result<Option<u32>> {
        os::lock_holder(&self.0)
    }

    fn identity(&self) -> Result<FileIdentity> {
        let metadata = self.0.metadata()?;
        Ok((metadata.dev(), metadata.ino()))
    }
}
