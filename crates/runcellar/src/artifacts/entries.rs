//! What a version holds, path by path.

use std::ffi::OsString;
use std::iter::Peekable;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use globset::GlobMatcher;
use runcellar_format::record::{Content, ManifestEntry};

use super::ArtifactVersion;
use crate::blob::{ManifestReader, ReadEntry};
use crate::{Error, Result};

/// What stands at a path of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The path, relative; bytes that need not be UTF-8.
    pub path: PathBuf,
    /// What it is.
    pub kind: EntryKind,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A file.
    File {
        /// Bytes.
        size: u64,
        /// True if its owner may run it.
        executable: bool,
    },
    /// A symbolic link.
    Link {
        /// What it names.
        target: PathBuf,
    },
    /// A directory that holds nothing.
    Directory,
    /// Something that lies elsewhere, and is never fetched.
    Reference {
        /// Where, as the user gave it.
        uri: String,
        /// Its bytes, if known.
        size: Option<u64>,
        /// Its digest as the user gave it; empty if not known.
        digest: String,
    },
}

impl EntryKind {
    /// Returns the name that programs use.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            EntryKind::File { .. } => "file",
            EntryKind::Link { .. } => "link",
            EntryKind::Directory => "directory",
            EntryKind::Reference { .. } => "reference",
        }
    }

    /// Returns the bytes of a file, or of a reference where they are known.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        match self {
            EntryKind::File { size, .. } => Some(*size),
            EntryKind::Reference { size, .. } => *size,
            EntryKind::Link { .. } | EntryKind::Directory => None,
        }
    }
}

impl ArtifactVersion {
    /// Lists what the version holds, in order of path; of all or of what matches `glob`, see
    /// [`DownloadOptions`](super::DownloadOptions).
    ///
    /// # Errors
    /// If the pattern is none; if the manifest cannot be read.
    pub fn entries(&self, glob: Option<&str>) -> Result<Vec<Entry>> {
        self.each_entry(glob)?.collect()
    }

    /// As [`ArtifactVersion::entries`], one after the other: a million files take no more memory than a few thousand.
    ///
    /// # Errors
    /// If the pattern is none. That the manifest cannot be read is said where it happens, and ends the list.
    pub fn each_entry(&self, glob: Option<&str>) -> Result<impl Iterator<Item = Result<Entry>>> {
        let pattern = glob.map(Pattern::new).transpose()?;
        let is_wanted = move |path: &[u8]| pattern.as_ref().is_none_or(|pattern| pattern.matches(path));
        Ok(self.manifest().filter_map(move |read| match read {
            Ok(ReadEntry { entry, .. }) => {
                // A file of very many chunks goes on in the next part.
                let goes_on = matches!(&entry.content, Content::File(file) if file.offset > 0);
                (!goes_on && is_wanted(&entry.path)).then(|| Ok(Entry::of(&entry)))
            }
            Err(error) => Some(Err(error)),
        }))
    }
}

impl Entry {
    pub(super) fn of(entry: &ManifestEntry) -> Entry {
        let path_of = |bytes: &[u8]| PathBuf::from(OsString::from_vec(bytes.to_vec()));
        let kind = match &entry.content {
            Content::File(file) => EntryKind::File { size: file.size, executable: file.executable },
            Content::Link(target) => EntryKind::Link { target: path_of(target) },
            Content::Directory => EntryKind::Directory,
            Content::Reference(reference) => EntryKind::Reference {
                uri: reference.uri.clone(),
                size: reference.size,
                digest: reference.digest.clone(),
            },
        };
        Entry { path: path_of(&entry.path), kind }
    }
}

/// A pattern of paths.
pub(super) struct Pattern(GlobMatcher);

impl Pattern {
    pub(super) fn new(glob: &str) -> Result<Pattern> {
        // `dir/` means what is below it, as in a shell.
        let built = globset::GlobBuilder::new(glob.trim_end_matches('/')).literal_separator(true).build();
        let glob =
            built.map_err(|cause| Error::invalid(format!("pattern {glob:?}: {}", cause.kind())).with_cause(cause))?;
        Ok(Pattern(glob.compile_matcher()))
    }

    /// Returns true if a path matches, or a directory above it.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let mut candidates = std::iter::once(path.len()).chain(ends).filter_map(|end| path.get(..end));
        candidates.any(|path| self.0.is_match(Path::new(std::ffi::OsStr::from_bytes(path))))
    }
}

/// An entry with all chunk ids of its file.
pub(super) struct Whole {
    pub(super) entry: ManifestEntry,
    pub(super) chunks: Vec<[u8; 16]>,
}

/// Joins the parts of files that go on from one part of a manifest to the next.
pub(super) struct WholeEntries<'a>(pub(super) Peekable<ManifestReader<'a>>);

impl Iterator for WholeEntries<'_> {
    type Item = Result<Whole>;

    fn next(&mut self) -> Option<Result<Whole>> {
        let entry = match self.0.next()? {
            Ok(read) => read.entry,
            Err(error) => return Some(Err(error)),
        };
        let mut chunks = Vec::new();
        if let Content::File(file) = &entry.content {
            chunks.extend(file.chunks.iter().map(|(_, id)| *id));
            while let Some(Ok(next)) = self.0.peek()
                && next.entry.path == entry.path
                && let Content::File(more) = &next.entry.content
            {
                chunks.extend(more.chunks.iter().map(|(_, id)| *id));
                self.0.next();
            }
        }
        Some(Ok(Whole { entry, chunks }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_paths_and_what_is_below_them() {
        let matches = |glob: &str, path: &[u8]| Pattern::new(glob).expect("a pattern").matches(path);
        assert!(matches("*.bin", b"model.bin") && !matches("*.bin", b"a/model.bin"));
        assert!(matches("**/*.bin", b"a/b/model.bin") && matches("**/*.bin", b"model.bin"));
        assert!(matches("a", b"a/b/c") && matches("a/", b"a/b") && !matches("a", b"ab/c"));
        assert!(matches("a/?", b"a/x/deep") && !matches("a/?", b"a"));
        assert!(matches("no*", b"not \xff utf-8") && matches("**/*.npy", b"\xfe\xff/x.npy"));
        assert!(!matches("*", b"") || Pattern::new("[").is_err());
        assert!(Pattern::new("a[").is_err());
    }
}
