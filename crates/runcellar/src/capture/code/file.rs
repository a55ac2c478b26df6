//! Reading one file of code: a regular one, of text, and not too long.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::{FILE_BYTES_MAX, notebook};

/// Bytes at the beginning of a file in which a NUL makes it a binary one, as git sees it.
const TEXT_LOOKED_AT: usize = 8000;

/// Reads a file as it is kept: a notebook without what its cells gave. An error says why it is left out.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| error.to_string();
    // Of what is no regular file even opening may wait.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err("not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    let is_notebook = path.extension().is_some_and(|extension| extension == "ipynb");
    // Of a notebook the pictures in it are most, and they go.
    let limit = if is_notebook { notebook::BYTES_MAX } else { FILE_BYTES_MAX };
    file.take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(format!("over {} MiB", limit >> 20));
    }
    if bytes.get(..bytes.len().min(TEXT_LOOKED_AT)).is_some_and(|start| start.contains(&0)) {
        return Err("not a text".to_owned());
    }
    match is_notebook {
        true => notebook::without_outputs(&bytes),
        false => Ok(bytes),
    }
}
