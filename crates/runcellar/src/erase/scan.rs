//! Looking through files for wraps under keys that are gone.
//!
//! A wrap is a sealed object, and begins with what every sealed object begins with and the id of its wrapping key. That key
//! was drawn anew, so no file should have such a beginning: neither a page of the database that is free now, nor its log.

use std::collections::HashSet;
use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use runcellar_format::KeyId;
use runcellar_format::seal::ENVELOPE_START;

/// Bytes that are read at once.
const WINDOW_BYTES: usize = 4 << 20;
/// A start and a key id.
const PATTERN_BYTES: usize = ENVELOPE_START.len() + 16;

/// Databases that were looked through stay open for the life of the process: closing any descriptor of one drops the locks
/// by which SQLite keeps others from removing its log. One for each workspace that this process purges.
static KEPT: Mutex<Vec<Arc<File>>> = Mutex::new(Vec::new());

/// Opens a database that this process has open, to read it as it lies on the disk.
pub(super) fn open_database(path: &Path) -> std::io::Result<Arc<File>> {
    let identity = |metadata: &Metadata| (metadata.dev(), metadata.ino());
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let looked_for = identity(&std::fs::metadata(path)?);
    // Nobody else opens what has no name any more.
    kept.retain(|file| file.metadata().is_ok_and(|found| found.nlink() > 0));
    if let Some(file) = kept.iter().find(|file| file.metadata().is_ok_and(|found| identity(&found) == looked_for)) {
        return Ok(file.clone());
    }
    let file = Arc::new(File::open(path)?);
    kept.push(file.clone());
    Ok(file)
}

/// Returns true if a file holds a sealed object under one of these keys.
pub(super) fn holds_wraps(file: &File, keys: &HashSet<KeyId>) -> std::io::Result<bool> {
    let finder = memchr::memmem::Finder::new(&ENVELOPE_START);
    let step_bytes = file.metadata()?.len().saturating_add(1).min(WINDOW_BYTES as u64) as usize;
    let (mut window, mut offset) = (Vec::with_capacity(step_bytes + PATTERN_BYTES), 0);
    loop {
        let kept = window.len();
        window.resize(kept + step_bytes, 0);
        let read = file.read_at(window.get_mut(kept..).unwrap_or_default(), offset)?;
        if read == 0 {
            return Ok(false);
        }
        window.truncate(kept + read);
        offset += read as u64;
        let found = finder.find_iter(&window).any(|at| {
            let id = window.get(at + ENVELOPE_START.len()..at + PATTERN_BYTES);
            id.and_then(|id| <[u8; 16]>::try_from(id).ok()).is_some_and(|id| keys.contains(&KeyId(id)))
        });
        if found {
            return Ok(true);
        }
        // One that begins in this window may end in the next.
        let kept = window.len().saturating_sub(PATTERN_BYTES - 1);
        window.drain(..kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrap_is_found_wherever_it_lies_and_only_under_its_key() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("file");
        let wrap = [&ENVELOPE_START[..], &[7; 16]].concat();
        let other = [&ENVELOPE_START[..], &[8; 16]].concat();
        for at in
            [0, 1, WINDOW_BYTES - 30, WINDOW_BYTES - PATTERN_BYTES, WINDOW_BYTES - 10, WINDOW_BYTES, WINDOW_BYTES + 5]
        {
            let bytes = [vec![0; at], wrap.clone(), other.clone(), vec![0; 100]].concat();
            std::fs::write(&path, bytes).expect("writes");
            let file = File::open(&path).expect("opens");
            assert!(holds_wraps(&file, &[KeyId([7; 16])].into()).expect("reads"), "at {at}");
            assert!(!holds_wraps(&file, &[KeyId([9; 16])].into()).expect("reads"), "at {at}");
        }
    }
}
