//! Taking content out, and proving that it is there.

use std::path::Path;

use super::ArtifactVersion;
use crate::blob::{self, Class, Got, Hurt, Pool, ReadEntry};
use crate::{Error, Result};

/// What to take out.
#[derive(Debug, Clone, Default)]
pub struct DownloadOptions {
    /// Only paths that match this pattern: `*` and `?` within a component, `**` across, `[...]`.
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
        let glob = options.glob.as_deref().map(pattern).transpose()?;
        let pool = self.inner.read(|tx, keyring| Pool::find(tx, keyring, self.project_object, Class::Artifacts))?;
        let pool = pool
            .ok_or_else(|| Error::damaged(format!("project {}: the key of its artifacts is missing", self.project)))?;
        let mut matched = 0_u64;
        let is_wanted = |entry: &Result<ReadEntry>| match (entry, &glob) {
            (Ok(entry), Some(glob)) => {
                glob.is_match(Path::new(std::ffi::OsStr::new(&*String::from_utf8_lossy(&entry.entry.path))))
            }
            _ => true,
        };
        let mut entries = self.manifest().filter(is_wanted).inspect(|_| matched += 1);
        let total = if glob.is_some() { 0 } else { self.bytes };
        let got = blob::get(&self.inner, &pool, &mut entries, to, total)?;
        if let (Some(glob), 0) = (&options.glob, matched) {
            let message = format!("artifact {}: nothing in it matches {glob}", self.full_name());
            return Err(Error::new(crate::ErrorKind::NotFound, message));
        }
        let Got { files, bytes, written_bytes, hurt, references, .. } = got;
        Ok(Download { files, bytes, written_bytes, hurt, references })
    }
}

fn pattern(glob: &str) -> Result<globset::GlobMatcher> {
    let glob = globset::GlobBuilder::new(glob).literal_separator(true).build();
    Ok(glob.map_err(|cause| Error::invalid(format!("pattern {cause}")).with_cause(cause))?.compile_matcher())
}
