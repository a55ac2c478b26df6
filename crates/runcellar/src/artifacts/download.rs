//! Taking content out, and proving that it is there.

use std::path::Path;

use super::ArtifactVersion;
use super::entries::{Entry, EntryKind, Pattern};
use crate::blob::{self, Class, Got, Hurt, Pool, ReadEntry};
use crate::{Error, Result};

/// What to take out.
#[derive(Debug, Clone, Default)]
pub struct DownloadOptions {
    /// Only paths that match this pattern, and what is below directories that do: `*` and `?` within a component, `**`
    /// across, `[...]`, `{a,b}`.
    pub glob: Option<String>,
}

/// What was taken out.
#[derive(Debug)]
pub struct Download {
    /// Files, links and directories that are there now.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// Bytes that had to be written; the rest stood there already.
    pub written_bytes: u64,
    /// Files that could not be taken out, and why; all others were.
    pub hurt: Vec<Hurt>,
    /// What lies elsewhere and was not fetched: (path, URI).
    pub references: Vec<(String, String)>,
}

impl ArtifactVersion {
    /// Writes the content below `to`: exactly its paths, each file whole or not at all. What stands there with the same
    /// content is left as it is.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] if nothing matches the pattern; if nothing can be written there. Damage is in the result.
    pub fn download(&self, to: &Path, options: &DownloadOptions) -> Result<Download> {
        self.take_out(Some(to), options)
    }

    /// Opens and compares all content.
    ///
    /// # Errors
    /// If the workspace cannot be read. Damage is in the result.
    pub fn verify(&self) -> Result<Download> {
        self.take_out(None, &DownloadOptions::default())
    }

    fn take_out(&self, to: Option<&Path>, options: &DownloadOptions) -> Result<Download> {
        let pattern = options.glob.as_deref().map(Pattern::new).transpose()?;
        let pool = self.inner.read(|tx, keyring| Pool::find(tx, keyring, self.content_project, Class::Artifacts))?;
        let pool = pool
            .ok_or_else(|| Error::damaged(format!("project {}: the key of its artifacts is missing", self.project)))?;
        let total = match &options.glob {
            Some(glob) => self.bytes_matching(glob)?,
            None => self.bytes,
        };
        let is_wanted = |entry: &Result<ReadEntry>| match (entry, &pattern) {
            (Ok(entry), Some(pattern)) => pattern.matches(&entry.entry.path),
            _ => true,
        };
        let mut entries = self.manifest().filter(is_wanted);
        let got = blob::get(&self.inner, &pool, &mut entries, to, total)?;
        let Got { files, bytes, written_bytes, hurt, references, .. } = got;
        Ok(Download { files, bytes, written_bytes, hurt, references })
    }

    /// Returns the bytes of the files that match a pattern, before anything is made for them.
    fn bytes_matching(&self, glob: &str) -> Result<u64> {
        let entries = self.entries(Some(glob))?;
        if entries.is_empty() {
            let message = format!("artifact {}: nothing in it matches {glob}", self.full_name());
            return Err(Error::new(crate::ErrorKind::NotFound, message));
        }
        let size = |entry: &Entry| if let EntryKind::File { size, .. } = entry.kind { size } else { 0 };
        Ok(entries.iter().map(size).sum())
    }
}
