//! Facts about a workspace and its surroundings, for `doctor`: gathered here, judged by front ends.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{FileSystemMode, Inner, KEYSLOTS, KeySlot, TMP, Workspace};
use crate::os::{self, FileSystem};
use crate::{Error, Result, db};

/// The version of the format of all files of a workspace that this build writes.
pub const FORMAT_VERSION: u32 = 3;

/// What [`Workspace::diagnose`] found.
#[derive(Debug, Clone)]
pub struct Diagnosis {
    /// Version of the format.
    pub format: u32,
    /// Random id of the device that writes here: 32 hexadecimal digits.
    pub device: String,
    /// The ways to unlock it.
    pub slots: Vec<KeySlot>,
    /// The key file that opened it, if one did.
    pub key_file: Option<FileFacts>,
    /// Why the key file's place is a bad one, in words: inside the workspace, or in a folder that is copied elsewhere.
    pub key_file_exposed: Option<String>,
    /// The workspace's directory.
    pub directory: FileFacts,
    /// The directory of key files and its mirror of the root row; none if there is no such directory.
    pub mirror: Option<MirrorFacts>,
    /// Journals of writers at work.
    pub journals_live: u64,
    /// Journals that dead writers left and that are not in the database yet.
    pub journals_left: u64,
    /// Bytes of cellar.db with its `-wal`.
    pub database_bytes: u64,
    /// Bytes of journals.
    pub journal_bytes: u64,
    /// Bytes of files on their way.
    pub temporary_bytes: u64,
    /// Bytes that this user can still write on the workspace's file system.
    pub free_bytes: u64,
    /// Version of SQLite.
    pub sqlite: String,
    /// True if nothing can be written here.
    pub read_only: bool,
    /// How the workspace is used on its file system.
    pub file_system: FileSystemUse,
}

/// How a workspace is used on its file system, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystemUse {
    /// Type of the file system as the mount table has it, such as `ext4`, `nfs4` or `fuse.sshfs`; `unknown` if it
    /// cannot be told.
    pub mount: String,
    /// True if it is used as on a network file system: the database is renamed into place whole by one ingester.
    /// Else it is used in WAL mode.
    pub network: bool,
    /// True if the caller said so, and not the file system.
    pub forced: bool,
    /// True if a record lock was seen to be in the way of another on this host; none if that could not be tried.
    pub locks: Option<bool>,
}

/// A file or directory and what it lies on.
#[derive(Debug, Clone)]
pub struct FileFacts {
    /// Where it is.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// `local`, `overlay`, `memory`, `network`, or `unknown`.
    pub file_system: &'static str,
    /// Number of the device that it lies on; equal numbers mean one file system.
    pub device: u64,
}

/// The mirror of the root row, by which an older copy put back is noticed.
#[derive(Debug, Clone)]
pub struct MirrorFacts {
    /// The mirror's file.
    pub path: PathBuf,
    /// True if it is there.
    pub written: bool,
    /// True if its directory can be written.
    pub writable: bool,
    /// What does not fit between mirror and workspace, in words.
    pub problem: Option<String>,
}

impl Workspace {
    /// Gathers facts about the workspace, its key file and the file systems of both. Changes nothing.
    ///
    /// # Errors
    /// If the workspace cannot be read.
    pub fn diagnose(&self) -> Result<Diagnosis> {
        let inner = &self.inner;
        let root = inner.read(|tx, keyring| tx.root(keyring))?;
        let (journals_live, journals_left) = crate::ingest::count_journals(inner)?;
        let size = |name: &str| std::fs::metadata(inner.path.join(name)).map_or(0, |metadata| metadata.len());
        let mirror = inner.state()?.mirror.path(&root).map(|path| MirrorFacts {
            written: path.is_file(),
            writable: os::can_write(path.parent().unwrap_or(Path::new("."))),
            problem: None,
            path,
        });
        let problem = inner.mirror_problem()?;
        Ok(Diagnosis {
            format: FORMAT_VERSION,
            device: runcellar_format::DeviceId(root.device).to_string(),
            slots: self.slots()?,
            key_file: inner.source.opened().key_file.as_deref().map(facts).transpose()?,
            key_file_exposed: inner
                .source
                .opened()
                .key_file
                .as_deref()
                .and_then(|file| crate::keys::exposed(&inner.path, file)),
            directory: facts(&inner.path)?,
            mirror: mirror.map(|mirror| MirrorFacts { problem, ..mirror }),
            journals_live,
            journals_left,
            database_bytes: size(db::FILE_NAME) + size(&format!("{}-wal", db::FILE_NAME)),
            journal_bytes: bytes_in(&inner.journals()),
            temporary_bytes: bytes_in(&inner.path.join(TMP)),
            free_bytes: os::free_bytes(&inner.path).map_err(|cause| Error::io("look at", &inner.path, cause))?,
            sqlite: db::sqlite_version().to_owned(),
            read_only: self.is_read_only()?,
            file_system: inner.file_system_use(),
        })
    }
}

impl Inner {
    fn file_system_use(&self) -> FileSystemUse {
        FileSystemUse {
            mount: self.place.mount.as_ref().map_or_else(|| "unknown".to_owned(), |mount| mount.name.clone()),
            network: self.place.is_network(),
            forced: self.place.mode != FileSystemMode::Auto,
            // Nobody locks `keyslots`, and closing a descriptor of it drops no lock that is needed.
            locks: os::locks_work(&self.path.join(KEYSLOTS)).ok(),
        }
    }
}

fn facts(path: &Path) -> Result<FileFacts> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(path).map_err(|cause| Error::io("look at", path, cause))?;
    let file_system = match os::mount_of(path).map(|mount| mount.kind) {
        Ok(FileSystem::Local) => "local",
        Ok(FileSystem::Overlay) => "overlay",
        Ok(FileSystem::Memory) => "memory",
        Ok(FileSystem::Network) => "network",
        Err(_) => "unknown",
    };
    let mode = metadata.permissions().mode() & 0o7777;
    Ok(FileFacts { path: path.to_owned(), mode, file_system, device: metadata.dev() })
}

/// Sums the sizes of the files in a directory; what vanishes meanwhile counts nothing.
fn bytes_in(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}
