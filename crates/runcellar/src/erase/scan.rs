//! Looking through files for wraps under keys that are gone.
//!
//! A wrap is a sealed object, and begins with what every sealed object begins with and the id of its wrapping key. That key
//! was drawn anew, so no file should have such a beginning: neither a page of the database that is free now, nor its log.

use std::collections::HashSet;
use std::io::Read as _;
use std::path::Path;

use runcellar_format::KeyId;
use runcellar_format::seal::ENVELOPE_START;

use crate::{Error, Result};

/// Bytes that are read at once.
const WINDOW_BYTES: usize = 4 << 20;
/// A start and a key id.
const PATTERN_BYTES: usize = ENVELOPE_START.len() + 16;

/// Returns true if a file holds a sealed object under one of these keys. A file that is not there holds none.
pub(super) fn holds_wraps(path: &Path, keys: &HashSet<KeyId>) -> Result<bool> {
    let failed = |cause| Error::io("read", path, cause);
    let mut file = match std::fs::File::open(path) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        opened => opened.map_err(failed)?,
    };
    let finder = memchr::memmem::Finder::new(&ENVELOPE_START);
    let mut window = Vec::with_capacity(WINDOW_BYTES + PATTERN_BYTES);
    loop {
        let read = (&mut file).take(WINDOW_BYTES as u64).read_to_end(&mut window).map_err(failed)?;
        if read == 0 {
            return Ok(false);
        }
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
            assert!(holds_wraps(&path, &[KeyId([7; 16])].into()).expect("reads"), "at {at}");
            assert!(!holds_wraps(&path, &[KeyId([9; 16])].into()).expect("reads"), "at {at}");
        }
        assert!(!holds_wraps(&directory.path().join("none"), &[KeyId([7; 16])].into()).expect("reads"));
    }
}
