//! The digest of a manifest.

use super::{Content, ManifestEntry};
use crate::id::ChunkId;

/// What a manifest says, in 32 bytes: equal for equal paths and contents within a pool.
///
/// Times, inodes and places of chunks do not count. docs/FORMAT.md, "Artifacts".
pub struct ManifestDigest(blake3::Hasher);

impl Default for ManifestDigest {
    fn default() -> Self {
        Self::new()
    }
}

impl ManifestDigest {
    /// Begins.
    #[must_use]
    pub fn new() -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"runcellar 1 artifact");
        ManifestDigest(hasher)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    }

    /// Begins an entry; of a file the chunks follow.
    pub fn entry(&mut self, entry: &ManifestEntry) {
        self.bytes(&entry.path);
        match &entry.content {
            Content::File(file) => {
                self.0.update(&[0, file.executable.into()]).update(&file.size.to_le_bytes());
            }
            Content::Link(target) => {
                self.0.update(&[1]);
                self.bytes(target);
            }
            Content::Directory => {
                self.0.update(&[2]);
            }
            Content::Reference(reference) => {
                self.0.update(&[3]);
                self.bytes(reference.uri.as_bytes());
                self.0.update(&reference.size.map_or(u64::MAX, |size| size).to_le_bytes());
                self.bytes(reference.digest.as_bytes());
            }
        }
    }

    /// Adds a chunk of the entry that was begun last.
    pub fn chunk(&mut self, id: ChunkId) {
        self.0.update(&id.0);
    }

    /// Returns the digest.
    #[must_use]
    pub fn finish(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}
