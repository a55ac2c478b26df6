//! Reading and replacing key files.

use std::convert::Infallible;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use runcellar_format::keyslots::{KeyFile, KeyFileEntry};
use runcellar_format::{EpochId, Secret, SlotId, WorkspaceId};
use zeroize::Zeroizing;

use crate::io::{self, Io};
use crate::os::Forkable;
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
    KeyFile::decode(&bytes)
        .map(Some)
        .map_err(|cause| Error::unreadable(format_args!("key file {}", path.display()), cause))
}

/// Adds an entry to a key file, making file and directory if they are missing.
fn add_entry(io: &dyn Io, path: &Path, entry: KeyFileEntry) -> Result<()> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        io::create_dir_durable(io, directory).map_err(|cause| Error::io("create key directory", directory, cause))?;
    }
    change(io, path, |entries| {
        entries.push(entry);
        Ok(true)
    })
}

/// Writes a key file of its own for one slot of one workspace: the name is random, so nobody else writes it.
fn write_own(io: &dyn Io, path: &Path, entry: KeyFileEntry) -> Result<()> {
    let failed = |cause| Error::io("write key file", path, cause);
    let directory = path.parent().unwrap_or(Path::new("."));
    io::create_dir_durable(io, directory).map_err(|cause| Error::io("create key directory", directory, cause))?;
    let bytes = KeyFile { entries: vec![entry] }.encode().map_err(|cause| Error::format(path.display(), cause))?;
    io::write_new(io, path, &bytes).map_err(failed)?;
    io.sync_dir(directory).map_err(failed)
}

/// Writes a copy of one secret into a new key file, as bytes or as text.
pub(crate) fn write_copy(
    io: &dyn Io,
    path: &Path,
    (workspace, slot): (WorkspaceId, SlotId),
    secret: &Secret,
    printable: bool,
) -> Result<()> {
    let entry = KeyFileEntry { workspace, slot, epoch: EpochId::NIL, secret: secret.duplicate() };
    let file = KeyFile { entries: vec![entry] };
    let named = |cause| Error::format(path.display(), cause);
    let bytes = match printable {
        true => Zeroizing::new(file.to_text().map_err(named)?.as_bytes().to_vec()),
        false => file.encode().map_err(named)?,
    };
    let written = io::write_new(io, path, &bytes).and_then(|()| {
        let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
        io.sync_dir(directory.unwrap_or(Path::new(".")))
    });
    written.map_err(|cause| match cause.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Error::new(ErrorKind::Exists, format!("{} is there already, and is not written over", path.display()))
        }
        _ => Error::io("write key file", path, cause),
    })
}

/// Removes the entry of one slot; a file without entries goes.
pub(crate) fn remove_entry(io: &dyn Io, path: &Path, slot: SlotId) -> Result<()> {
    change(io, path, |entries| {
        entries.retain(|entry| entry.slot != slot);
        Ok(true)
    })
}

/// A secret on its way into a key file.
pub(crate) struct NewEntry {
    pub(crate) workspace: WorkspaceId,
    pub(crate) slot: SlotId,
    pub(crate) epoch: EpochId,
    pub(crate) secret: Secret,
}

impl NewEntry {
    /// Puts the secret into the file that is named, or into one of its own in the directory; returns the file.
    pub(crate) fn write(self, io: &dyn Io, named: Option<&Path>, directory: Option<&Path>) -> Result<PathBuf> {
        let NewEntry { workspace, slot, epoch, secret } = self;
        let entry = KeyFileEntry { workspace, slot, epoch, secret };
        if let Some(named) = named {
            add_entry(io, named, entry)?;
            return Ok(named.to_owned());
        }
        let directory = directory.ok_or_else(|| {
            let message = "no home directory to keep the key file in: set RUNCELLAR_KEY_FILE or RUNCELLAR_CONFIG_DIR";
            Error::new(ErrorKind::Locked, message)
        })?;
        let path = directory.join(key_file_name(workspace, slot));
        write_own(io, &path, entry)?;
        Ok(path)
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Replaces a key file whole, under the lock of `<file>.lock`, re-read inside the lock: several processes may serve
/// several workspaces from one file. `edit` returns whether it changed anything. The lock file stays, as removing it
/// would let two processes hold locks on two files of that name.
pub(crate) fn change(
    io: &dyn Io,
    path: &Path,
    edit: impl FnOnce(&mut Vec<KeyFileEntry>) -> Result<bool>,
) -> Result<()> {
    // Through a link the file behind it is replaced, not the link.
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let failed = |doing| move |cause| Error::io(doing, path, cause);
    // First: closing another descriptor of the lock file would drop this process's lock on it.
    let _of_this_process = threads();
    let lock = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(beside(&target, ".lock"));
    let lock = lock.map_err(failed("lock key file"))?;
    crate::os::lock_wait(&lock).map_err(failed("lock key file"))?;
    let mut file = read(io, path)?.unwrap_or_default();
    if !edit(&mut file.entries)? {
        return Ok(());
    }
    remove_leftovers(io, &target);
    let directory = target.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if file.entries.is_empty() {
        io.remove(&target).and_then(|()| io.sync_dir(directory)).map_err(failed("remove key file"))
    } else {
        let bytes = file.encode().map_err(|cause| Error::format(path.display(), cause))?;
        let temporary = beside(&target, &format!(".{}.tmp", runcellar_format::KeyId(io::random(io)?)));
        let replaced = io::replace(io, &target, &temporary, &bytes);
        if replaced.is_err() {
            // What could not be put in place holds secrets; the next change removes one that stays.
            let _ = io.remove(&temporary);
        }
        replaced.map_err(failed("write key file"))
    }
}

/// Keeps the threads of this process apart, which a record lock does not.
fn threads() -> MutexGuard<'static, ()> {
    static THREADS: OnceLock<Forkable<Mutex<()>>> = OnceLock::new();
    match THREADS.get_or_init(|| Forkable::new(Mutex::default())).get(|_| Ok::<_, Infallible>(Mutex::default())) {
        Ok(mutex) => mutex.lock().unwrap_or_else(PoisonError::into_inner),
        Err(never) => match never {},
    }
}

/// Removes what changes that were cut off left beside a key file: it holds secrets. Called with the lock held, so nobody
/// else is writing one.
fn remove_leftovers(io: &dyn Io, path: &Path) {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return };
    let start = format!("{}.", name.to_string_lossy());
    for found in io.list(directory).unwrap_or_default() {
        let text = found.to_string_lossy();
        if text.strip_prefix(&start).is_some_and(|rest| rest.len() == 36 && rest.ends_with(".tmp")) {
            let _ = io.remove(&directory.join(&found));
        }
    }
}
