//! The workers: open chunks and put them where they belong.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, OnceLock, PoisonError};

use runcellar_format::record::FileContent;

use super::plan::{Lot, Span};
use super::read::{PackReader, Placed};
use super::{Shared, refused};
use crate::{Error, ErrorKind, Result};

/// Zeros in a row that are left out of a file as a hole.
const HOLE_BYTES_MIN: usize = 32 << 10;

/// A file on its way.
pub(super) struct Target {
    path: Vec<u8>,
    /// Where it will stand; none if it is only compared.
    place: Option<PathBuf>,
    temporary: PathBuf,
    /// A file of the same length that stands there already.
    pub(super) existing: Option<PathBuf>,
    size: u64,
    executable: bool,
    file: OnceLock<File>,
    opening: Mutex<()>,
    /// Spans that are not done.
    pub(super) pending: AtomicUsize,
    failed: Mutex<Option<Error>>,
}

impl Target {
    pub(super) fn new(path: &[u8], place: PathBuf, temporary: PathBuf, exists: bool, file: &FileContent) -> Target {
        Target {
            path: path.to_vec(),
            existing: exists.then(|| place.clone()),
            place: Some(place),
            temporary,
            size: file.size,
            executable: file.executable,
            file: OnceLock::new(),
            opening: Mutex::new(()),
            pending: AtomicUsize::new(0),
            failed: Mutex::new(None),
        }
    }

    /// A file that is opened and compared, and not written.
    pub(super) fn none(path: &[u8]) -> Target {
        Target { place: None, ..Target::new(path, PathBuf::new(), PathBuf::new(), false, &FileContent::default()) }
    }

    fn fail(&self, error: Error) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    fn has_failed(&self) -> bool {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn mode(&self) -> u32 {
        if self.executable { 0o777 } else { 0o666 }
    }

    /// Returns the temporary file, made by whoever comes first.
    fn open(&self) -> Result<&File> {
        let _guard = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let file = File::options().write(true).create_new(true).mode(self.mode()).open(&self.temporary);
        let file = file.map_err(|cause| self.write_error(cause))?;
        Ok(self.file.get_or_init(|| file))
    }

    fn write_error(&self, cause: std::io::Error) -> Error {
        refused("write", self.place.as_deref().unwrap_or(Path::new("")), cause)
    }

    fn write(&self, content: &[u8], offset: u64) -> Result<()> {
        let file = self.open()?;
        if content.len() >= HOLE_BYTES_MIN && content.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        file.write_all_at(content, offset).map_err(|cause| self.write_error(cause))
    }

    /// Gives the file its name, when all of it is there.
    fn finish(&self) -> Result<()> {
        let Some(place) = &self.place else { return Ok(()) };
        let file = self.open()?;
        file.set_len(self.size).map_err(|cause| self.write_error(cause))?;
        fs::rename(&self.temporary, place).map_err(|cause| self.write_error(cause))
    }
}

pub(super) fn run(shared: &Shared<'_>, take: &Mutex<Receiver<Lot>>) {
    let mut reader = PackReader::new(shared.inner, shared.pool);
    loop {
        let next = take.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(lot) = next else { return };
        // Once stopped, lots are still taken: whoever plans may be waiting to hand one on.
        for span in lot.iter().take_while(|_| !shared.stop.load(Ordering::Relaxed)) {
            work(shared, &mut reader, span);
        }
    }
}

fn work(shared: &Shared<'_>, reader: &mut PackReader<'_>, span: &Span) {
    let target = &span.target;
    let done = if target.has_failed() {
        Ok(())
    } else if let Some(existing) = &target.existing {
        compare(shared, reader, target, existing, &span.chunks)
    } else {
        write(shared, reader, target, span.offset, &span.chunks)
    };
    if let Err(error) = done {
        target.fail(error);
    }
    if target.pending.fetch_sub(1, Ordering::AcqRel) > 1 {
        return;
    }
    let failed = target.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
    // A file that stood there with the same content has no temporary one.
    let is_kept = target.existing.is_some() && target.file.get().is_none();
    let ended = match failed {
        Some(error) => Err(error),
        None if is_kept => Ok(()),
        None => target.finish(),
    };
    match ended {
        Ok(()) => {
            shared.files.fetch_add(1, Ordering::Relaxed);
        }
        Err(error) => {
            if target.file.get().is_some() {
                // It may be gone already with its directory.
                let _ = fs::remove_file(&target.temporary);
            }
            // Damage hurts this file, and so does its name; what the disk refuses it refuses to all of them.
            if !matches!(error.kind(), ErrorKind::Damaged | ErrorKind::InvalidArgument) {
                shared.stop.store(true, Ordering::Relaxed);
            }
            shared.hurt(&target.path, error);
        }
    }
}

fn write(
    shared: &Shared<'_>,
    reader: &mut PackReader<'_>,
    target: &Target,
    mut offset: u64,
    chunks: &[Placed],
) -> Result<()> {
    reader.read(chunks, &mut |content| {
        if target.place.is_some() {
            target.write(content, offset)?;
            shared.written.fetch_add(content.len() as u64, Ordering::Relaxed);
        }
        offset += content.len() as u64;
        shared.advance(content.len() as u64);
        Ok(())
    })
}

/// Looks which chunks stand there already, and writes the file anew only if some do not.
fn compare(
    shared: &Shared<'_>,
    reader: &mut PackReader<'_>,
    target: &Target,
    existing: &Path,
    chunks: &[Placed],
) -> Result<()> {
    let failed = |cause| Error::io("read", existing, cause);
    let there = File::open(existing).map_err(failed)?;
    let mut buffer = Vec::new();
    let mut content = |offset: u64, chunk: &Placed| -> Result<Option<Vec<u8>>> {
        buffer.resize(chunk.raw_len() as usize, 0);
        if there.read_exact_at(&mut buffer, offset).is_err() {
            return Ok(None);
        }
        let listed = chunk.pack.entries.get(chunk.slot).map(|entry| entry.id);
        Ok((Some(shared.pool.keys.chunk_id(&buffer)) == listed).then(|| buffer.clone()))
    };
    let offsets = chunks.iter().scan(0, |at, chunk| {
        let offset = *at;
        *at += u64::from(chunk.raw_len());
        Some((offset, chunk))
    });
    let mut is_same = true;
    for (offset, chunk) in offsets.clone() {
        is_same &= content(offset, chunk)?.is_some();
        if !is_same {
            break;
        }
    }
    if is_same {
        let mode = there.metadata().map_err(failed)?.permissions().mode();
        let wanted = if target.executable { mode | (mode & 0o444) >> 2 } else { mode & !0o111 };
        if wanted != mode {
            there.set_permissions(fs::Permissions::from_mode(wanted)).map_err(failed)?;
        }
        shared.advance(target.size);
        return Ok(());
    }
    for (offset, chunk) in offsets {
        match content(offset, chunk)? {
            Some(same) => {
                target.write(&same, offset)?;
                shared.advance(same.len() as u64);
            }
            None => write(shared, reader, target, offset, std::slice::from_ref(chunk))?,
        }
    }
    Ok(())
}
