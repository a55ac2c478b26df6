//! What is to be put: files and folders of this machine, bytes at hand, references.

use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use runcellar_format::record::Reference;

use super::listed::Listed;
use super::name::{checked_alias, checked_artifact};
use crate::blob::{Source, What, check_path};
use crate::workspace::KEYSLOTS;
use crate::{Error, Json, Result};

/// What becomes of symbolic links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Links {
    /// They are kept as links, dangling ones too.
    #[default]
    Keep,
    /// What they lead to is put in their place.
    Follow,
}

/// Describes a version of an artifact that is to be put.
#[derive(Debug, Clone)]
pub struct ArtifactDraft {
    pub(super) name: String,
    /// What sort of thing it is: `dataset`, `model`.
    pub kind: String,
    /// Description of this version.
    pub description: String,
    /// Metadata: a map.
    pub metadata: Json,
    /// Aliases that are to name the version.
    pub(super) aliases: Vec<String>,
    listed: Listed,
    /// Sockets, FIFOs, devices and workspaces that were passed over.
    pub(super) skipped: Vec<PathBuf>,
}

impl ArtifactDraft {
    /// Begins a version of the artifact `name`, of the sort `kind`.
    ///
    /// # Errors
    /// If the name is none: 1 to 128 bytes, no control characters, none of `/ \ : # ?`.
    pub fn new(name: &str, kind: &str) -> Result<ArtifactDraft> {
        Ok(ArtifactDraft {
            name: checked_artifact(name)?,
            kind: kind.to_owned(),
            description: String::new(),
            metadata: Json::Map(Vec::new()),
            aliases: Vec::new(),
            listed: Listed::default(),
            skipped: Vec::new(),
        })
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns sockets, FIFOs, devices and workspaces that were passed over.
    #[must_use]
    pub fn skipped(&self) -> &[PathBuf] {
        &self.skipped
    }

    /// Adds an alias that is to name the version.
    ///
    /// # Errors
    /// If it is no alias; those that look like versions are none.
    pub fn alias(&mut self, alias: &str) -> Result<()> {
        self.aliases.push(checked_alias(alias)?);
        Ok(())
    }

    /// Adds a file under its own name, or under `name`, which may hold slashes.
    ///
    /// # Errors
    /// If the file is not there, or something stands under the name already.
    pub fn add_file(&mut self, path: &Path, name: Option<&str>, links: Links) -> Result<()> {
        let name = match name {
            Some(name) => name.as_bytes().to_vec(),
            None => base_name(path)?,
        };
        let failed = |cause| Error::io("read", path, cause);
        let metadata = match links {
            Links::Keep => fs::symlink_metadata(path),
            Links::Follow => fs::metadata(path),
        };
        let kind = metadata.map_err(failed)?.file_type();
        if kind.is_dir() {
            return Err(Error::invalid(format!("{}: a directory, where a file is expected", path.display())));
        }
        match self.what(path, kind)? {
            Some(what) => self.add(&name, what),
            None => {
                self.skipped.pop();
                Err(Error::invalid(format!("{}: a socket, FIFO or device, where a file is expected", path.display())))
            }
        }
    }

    /// Adds what is below a directory, by paths relative to it, or below `name`.
    ///
    /// Sockets, FIFOs and devices are passed over, and folders that are a workspace, as the one that this is put into often
    /// stands among the files; [`ArtifactDraft::skipped`] lists them.
    ///
    /// # Errors
    /// If something cannot be read, or stands under a path already.
    pub fn add_dir(&mut self, path: &Path, name: Option<&str>, links: Links) -> Result<()> {
        if !fs::metadata(path).map_err(|cause| Error::io("read", path, cause))?.is_dir() {
            return Err(Error::invalid(format!("{}: not a directory", path.display())));
        }
        let walked = self.walk(path, name, links);
        self.skipped.sort();
        let twice = self.listed.sort();
        walked.and_then(|()| twice.map_or(Ok(()), |twice| Err(self.is_there(&twice))))
    }

    fn walk(&mut self, path: &Path, name: Option<&str>, links: Links) -> Result<()> {
        let mut relative = name.map(|name| [name.as_bytes(), b"/"].concat()).unwrap_or_default();
        let prefix = relative.len();
        let folder = std::path::absolute(path).map_err(|cause| Error::io("read", path, cause))?;
        let folder = self.listed.folder(folder, prefix);
        let mut walk = walkdir::WalkDir::new(path).min_depth(1).follow_links(links == Links::Follow).into_iter();
        while let Some(found) = walk.next() {
            let found = found.map_err(|cause| {
                let at = cause.path().unwrap_or(path).to_owned();
                let why = cause.to_string();
                match cause.into_io_error() {
                    Some(cause) => Error::io("read", &at, cause),
                    None => Error::invalid(why),
                }
            })?;
            let kind = found.file_type();
            if kind.is_dir() && is_workspace(found.path()) {
                self.skipped.push(found.path().to_owned());
                walk.skip_current_dir();
                continue;
            }
            if kind.is_dir() && !is_empty(found.path())? {
                continue;
            }
            let below = found.path().strip_prefix(path).unwrap_or(found.path());
            relative.truncate(prefix);
            relative.extend_from_slice(below.as_os_str().as_bytes());
            check_path(&relative)?;
            if kind.is_file() {
                self.listed.push_file(folder, &relative);
            } else if let Some(what) = self.what(found.path(), kind)? {
                self.listed.push_other(&relative, what);
            }
        }
        Ok(())
    }

    /// Adds a file of these bytes.
    ///
    /// # Errors
    /// If something stands under the name already.
    pub fn add_bytes(&mut self, name: &str, bytes: Vec<u8>) -> Result<()> {
        self.add(name.as_bytes(), What::Bytes(bytes))
    }

    /// Adds something that lies elsewhere. It is never fetched.
    ///
    /// # Errors
    /// If something stands under the name already.
    pub fn add_reference(&mut self, uri: &str, name: &str, size: Option<u64>, digest: Option<&str>) -> Result<()> {
        if uri.is_empty() || uri.chars().any(char::is_control) {
            return Err(Error::invalid(format!("reference {uri:?}: not a URI")));
        }
        let digest = digest.unwrap_or_default().to_owned();
        self.add(name.as_bytes(), What::Reference(Reference { uri: uri.to_owned(), size, digest }))
    }

    /// Returns what is to be put for what was found at a path; none if it is passed over.
    fn what(&mut self, path: &Path, kind: fs::FileType) -> Result<Option<What>> {
        let failed = |cause| Error::io("read", path, cause);
        Ok(if kind.is_symlink() {
            let target = fs::read_link(path).map_err(failed)?;
            Some(What::Link(target.into_os_string().into_vec()))
        } else if kind.is_dir() {
            Some(What::Directory)
        } else if kind.is_file() {
            Some(What::File(std::path::absolute(path).map_err(failed)?))
        } else {
            debug_assert!(kind.is_socket() || kind.is_fifo() || kind.is_char_device() || kind.is_block_device());
            self.skipped.push(path.to_owned());
            None
        })
    }

    fn add(&mut self, path: &[u8], what: What) -> Result<()> {
        check_path(path)?;
        if self.listed.add(path, what) { Ok(()) } else { Err(self.is_there(path)) }
    }

    fn is_there(&self, path: &[u8]) -> Error {
        let shown = String::from_utf8_lossy(path);
        Error::new(crate::ErrorKind::Exists, format!("artifact {}: {shown} is in it already", self.name))
    }

    /// Returns what is to be put, in the order of manifests.
    pub(super) fn sources(&self) -> impl Iterator<Item = Result<Source>> {
        self.listed.sources().map(Ok)
    }

    /// Returns how many bytes the files have, as far as that can be told now.
    pub(super) fn bytes(&self) -> u64 {
        self.listed.bytes()
    }
}

fn base_name(path: &Path) -> Result<Vec<u8>> {
    path.file_name()
        .map(|name| name.as_bytes().to_vec())
        .ok_or_else(|| Error::invalid(format!("{}: has no file name", path.display())))
}

fn is_workspace(path: &Path) -> bool {
    [KEYSLOTS, crate::db::FILE_NAME].iter().all(|name| path.join(name).is_file())
}

fn is_empty(path: &Path) -> Result<bool> {
    let mut entries = fs::read_dir(path).map_err(|cause| Error::io("read", path, cause))?;
    Ok(entries.next().is_none())
}
