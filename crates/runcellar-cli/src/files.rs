//! Files that users ask for: written under a temporary name and renamed, so that nobody sees half of one.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::failure::{Code, Failure};
use crate::interrupt;

/// A file that takes its name when it is whole. Dropped before that, it leaves nothing.
pub(crate) struct NewFile {
    out: Option<BufWriter<File>>,
    /// The name that was asked for.
    path: PathBuf,
    /// The file to write and its name until it is whole; none if the target is a device or a pipe.
    temporary: Option<(PathBuf, PathBuf)>,
}

impl NewFile {
    /// Begins a file. A file of that name is replaced at the end; a device or a pipe is written to directly.
    pub(crate) fn create(path: &Path) -> Result<NewFile, Failure> {
        let failed = |cause: io::Error| Failure::file("write", path, &cause);
        // Through a link the file behind it is replaced, not the link.
        let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if target.is_dir() {
            return Err(Failure::new(Code::Other, format!("write {}: it is a directory", path.display())));
        }
        if target.exists() && !target.is_file() {
            let file = OpenOptions::new().write(true).open(&target).map_err(failed)?;
            return Ok(NewFile { out: Some(BufWriter::new(file)), path: path.to_owned(), temporary: None });
        }
        let temporary = beside(&target);
        interrupt::guard(&temporary);
        let file = OpenOptions::new().write(true).create_new(true).open(&temporary);
        let file = file.map_err(|cause| {
            interrupt::unguard(&temporary);
            failed(cause)
        })?;
        Ok(NewFile {
            out: Some(BufWriter::with_capacity(1 << 16, file)),
            path: path.to_owned(),
            temporary: Some((target, temporary)),
        })
    }

    /// Makes the file durable and gives it its name.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        let failed = |cause: io::Error| Failure::file("write", &self.path, &cause);
        let Some(out) = self.out.take() else { return Ok(()) };
        let file = out.into_inner().map_err(|error| failed(error.into_error()))?;
        if let Some((target, temporary)) = &self.temporary {
            file.sync_all().map_err(failed)?;
            std::fs::rename(temporary, target).map_err(failed)?;
            interrupt::unguard(temporary);
            self.temporary = None;
        }
        Ok(())
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.as_mut().map_or(Ok(0), |out| out.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some((_, temporary)) = &self.temporary {
            // The error that ended the writing is the one to report.
            let _ = std::fs::remove_file(temporary);
            interrupt::unguard(temporary);
        }
    }
}

/// Returns the temporary name beside a file: hidden, and of this process.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

/// A new file of mode 0600 for a secret, made before the secret is, so that none is drawn that cannot be kept.
pub(crate) struct SecretFile {
    file: File,
    path: PathBuf,
    kept: bool,
}

impl SecretFile {
    /// Makes the file. One that is there is never written over.
    pub(crate) fn create(path: &Path) -> Result<SecretFile, Failure> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|cause| {
            if cause.kind() == io::ErrorKind::AlreadyExists {
                return Failure::new(
                    Code::Other,
                    format!("{} is there already, and is not written over", path.display()),
                );
            }
            Failure::file("write", path, &cause)
        })?;
        interrupt::guard(path);
        Ok(SecretFile { file, path: path.to_owned(), kept: false })
    }

    /// Writes the secret on one line, makes it durable and keeps the file.
    pub(crate) fn finish(mut self, secret: &str) -> Result<(), Failure> {
        self.write(secret)?;
        self.keep();
        Ok(())
    }

    /// Keeps the file.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }

    /// Writes the secret on one line and makes it durable. The file goes nevertheless unless it is kept.
    pub(crate) fn write(&mut self, secret: &str) -> Result<(), Failure> {
        let failed = |cause: io::Error| Failure::file("write", &self.path, &cause);
        self.file.write_all(secret.as_bytes()).and_then(|()| self.file.write_all(b"\n")).map_err(failed)?;
        self.file.sync_all().map_err(failed)?;
        // The name too; where a directory cannot be synced, the file is there all the same.
        let _ = self.path.parent().map(|parent| File::open(parent).and_then(|parent| parent.sync_all()));
        Ok(())
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        if !self.kept {
            // Empty or cut off, it would only look like a secret.
            let _ = std::fs::remove_file(&self.path);
        }
        interrupt::unguard(&self.path);
    }
}
