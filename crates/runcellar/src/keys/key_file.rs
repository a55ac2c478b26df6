//! Reading and replacing key files.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use runcellar_format::keyslots::{KeyFile, KeyFileEntry};
use runcellar_format::{SlotId, WorkspaceId};
use zeroize::Zeroizing;

use crate::io::{self, Io};
use crate::{Error, ErrorKind, Result};

/// The longest key file that is read: some thousand entries.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 20;

/// Returns the name of the key file of one slot in the directory of key files.
pub(crate) fn key_file_name(workspace: WorkspaceId, slot: SlotId) -> String {
    format!("{workspace}.{slot}.key")
}

pub(super) fn not_found(path: &Path) -> Error {
    Error::new(ErrorKind::Locked, format!("key file not found: {}", path.display()))
}

/// Reads a key file; `None` if it is not there.
///
/// A file that others can read is refused: whoever has it opens the workspace.
pub(super) fn read(io: &dyn Io, path: &Path) -> Result<Option<KeyFile>> {
    let bytes = match io.read(path, FILE_BYTES_MAX) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => {
            let message = format!("key file {}: {cause}", path.display());
            return Err(Error::new(ErrorKind::Locked, message).with_cause(cause));
        }
    };
    let mode = std::fs::metadata(path).map(|metadata| metadata.permissions().mode()).unwrap_or(0o600);
    if mode & 0o077 != 0 {
        let path = path.display();
        let message = format!("key file {path}: others can read it (mode {:03o}): chmod 600 {path}", mode & 0o777);
        return Err(Error::new(ErrorKind::Locked, message));
    }
    KeyFile::decode(&bytes).map(Some).map_err(|cause| Error::format(format_args!("key file {}", path.display()), cause))
}

/// Adds an entry to a key file, making file and directory if they are missing.
pub(crate) fn add_entry(io: &dyn Io, path: &Path, entry: KeyFileEntry) -> Result<()> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        io::create_dir_durable(io, directory).map_err(|cause| Error::io("create key directory", directory, cause))?;
    }
    change(io, path, |file| file.entries.push(entry))
}

/// Writes a key file of its own for one slot of one workspace: the name is random, so nobody else writes it.
pub(crate) fn write_own(io: &dyn Io, path: &Path, entry: KeyFileEntry) -> Result<()> {
    let failed = |cause| Error::io("write key file", path, cause);
    let directory = path.parent().unwrap_or(Path::new("."));
    io::create_dir_durable(io, directory).map_err(|cause| Error::io("create key directory", directory, cause))?;
    let bytes = KeyFile { entries: vec![entry] }.encode().map_err(|cause| Error::format(path.display(), cause))?;
    io::write_new(io, path, &bytes).map_err(failed)?;
    io.sync_dir(directory).map_err(failed)
}

/// Removes the entry of one slot; a file without entries goes.
pub(crate) fn remove_entry(io: &dyn Io, path: &Path, slot: SlotId) -> Result<()> {
    change(io, path, |file| file.entries.retain(|entry| entry.slot != slot))
}

/// Replaces a key file whole, under the lock of `<file>.lock`, re-read inside the lock: several processes may serve
/// several workspaces from one file. The lock file stays, as removing it would let two processes hold locks on two
/// files of that name.
fn change(io: &dyn Io, path: &Path, edit: impl FnOnce(&mut KeyFile)) -> Result<()> {
    let failed = |doing| move |cause| Error::io(doing, path, cause);
    let beside = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let lock_path = beside(".lock");
    let lock = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path);
    let lock = lock.map_err(failed("lock key file"))?;
    crate::os::lock_wait(&lock).map_err(failed("lock key file"))?;
    let mut file = read(io, path)?.unwrap_or_default();
    edit(&mut file);
    if file.entries.is_empty() {
        io.remove(path).map_err(failed("remove key file"))
    } else {
        let bytes = file.encode().map_err(|cause| Error::format(path.display(), cause))?;
        let temporary = beside(&format!(".{}.tmp", runcellar_format::KeyId(io::random(io)?)));
        io::replace(io, path, &temporary, &bytes).map_err(failed("write key file"))
    }
}
