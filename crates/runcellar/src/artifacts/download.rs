//! Taking content out, and proving that it is there.

use std::path::{Path, PathBuf};

use super::ArtifactVersion;
use super::entries::{EntryKind, Pattern};
use crate::blob::{self, Class, Got, Hurt, Pool, ReadEntry};
use crate::{Error, Result};

/// What to take out.
#[derive(Debug, Clone, Default)]
pub struct DownloadOptions {
    /// Only paths that match this pattern, and what is below directories that do: `*` and `?` within a component, `**`
    /// across, `[...]`, `{a,b}`.
    pub glob: Option<String>,
    /// A folder to make for files on their way, on the file system of the target; it is gone when the download ends. By
    /// default one of a random name below the target.
    pub temporary: Option<PathBuf>,
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
        let to = to.map(|root| (root, options.temporary.as_deref()));
        let got = blob::get(&self.inner, &pool, &mut entries, to, total)
            .map_err(|error| error.of_evicted(format_args!("artifact {}", self.full_name())))?;
        let Got { files, bytes, written_bytes, hurt, references, .. } = got;
        Ok(Download { files, bytes, written_bytes, hurt, references })
    }

    /// Returns the bytes of the files that match a pattern, before anything is made for them.
    fn bytes_matching(&self, glob: &str) -> Result<u64> {
        let mut bytes = None;
        for entry in self.each_entry(Some(glob))? {
            let size = if let EntryKind::File { size, .. } = entry?.kind { size } else { 0 };
            // Sizes are what a manifest claims.
            bytes = Some(bytes.unwrap_or(0_u64).saturating_add(size));
        }
        bytes.ok_or_else(|| {
            let message = format!("artifact {}: nothing in it matches {glob}", self.full_name());
            Error::new(crate::ErrorKind::NotFound, message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifacts::{ArtifactDraft, PutSettings};
    use crate::blob::{put_manifest, remove_manifest};
    use crate::keys::Purpose;
    use crate::{Keys, Workspace};
    use runcellar_format::record::{Body as _, Content, FileContent, Manifest, ManifestEntry};

    fn opened(place: &Path) -> (Workspace, ArtifactVersion) {
        let keys = Keys { directory: Some(place.join("keys")), ..Keys::default() };
        let workspace = Workspace::open_or_create(place.join("w"), keys).expect("opens");
        let mut draft = ArtifactDraft::new("data", "").expect("a name");
        draft.add_bytes("good", Vec::new()).expect("adds");
        draft.add_bytes("some", vec![7; 5000]).expect("adds");
        let settings = PutSettings { project: "p".into(), ..PutSettings::default() };
        let version = workspace.put_artifact(&draft, &settings).expect("puts").version;
        (workspace, version)
    }

    /// Puts another manifest in the place of a version's.
    fn replace_manifest(workspace: &Workspace, object: runcellar_format::ObjectId, manifest: &Manifest) {
        let body = manifest.to_body().expect("encodes");
        let replaced = workspace.inner.write(None, |tx| {
            let key = tx.owner_key(tx.keyring, object, Purpose::Version)?.expect("has a key");
            remove_manifest(tx, object, 0..1)?;
            put_manifest(tx, &key, object, 0, &[body])
        });
        replaced.expect("writes");
    }

    #[test]
    fn a_manifest_that_claims_more_than_its_chunks_have_hurts_those_files_alone() {
        let place = tempfile::tempdir().expect("a directory");
        let (workspace, version) = opened(place.path());
        let entries: Vec<_> = version.manifest().map(|entry| entry.expect("reads")).collect();
        let packs = entries[0].packs.iter().map(|pack| pack.0).collect();
        let of = |path: &str, size: u64| {
            let mut entry = entries.last().expect("two entries").entry.clone();
            entry.path = path.into();
            if let Content::File(file) = &mut entry.content {
                file.size = size;
            }
            entry
        };
        let entries = vec![of("huge", 1 << 60), of("most", u64::MAX), of("none", 0), of("some", 5000)];
        replace_manifest(&workspace, version.object, &Manifest { packs, entries, ..Manifest::default() });
        let to = place.path().join("to");
        for glob in [None, Some("*".to_owned())] {
            let options = DownloadOptions { glob, ..DownloadOptions::default() };
            let got = version.download(&to, &options).expect("downloads");
            let named: Vec<&str> = got.hurt.iter().map(|hurt| hurt.path.as_str()).collect();
            assert_eq!(named, ["huge", "most", "none"]);
            assert!(got.hurt.iter().all(|hurt| hurt.error.kind() == crate::ErrorKind::Damaged), "{:?}", got.hurt);
            let there: Vec<_> = std::fs::read_dir(&to).expect("lists").map(|entry| entry.expect("reads")).collect();
            assert_eq!(there.len(), 1);
            assert_eq!(std::fs::read(to.join("some")).expect("reads"), vec![7; 5000]);
        }
    }

    /// A manifest under the right key may still be hostile: whoever has the key of a shared workspace can write one.
    #[test]
    fn paths_that_leave_the_target_are_named_and_not_written() {
        let place = tempfile::tempdir().expect("a directory");
        let (workspace, version) = opened(place.path());
        let hostile = ["", "..", "../up", "/absolute", "a/../../up", "a//b", "a/./b", "link/through", "nul\0"];
        let empty = |path: &str| ManifestEntry {
            path: path.into(),
            content: Content::File(FileContent::default()),
            extra: Vec::new(),
        };
        let outside = place.path().join("outside");
        std::fs::create_dir(&outside).expect("creates");
        let link =
            ManifestEntry { content: Content::Link(outside.as_os_str().as_encoded_bytes().to_vec()), ..empty("link") };
        let entries: Vec<_> = [link, empty("good")].into_iter().chain(hostile.map(empty)).collect();
        replace_manifest(&workspace, version.object, &Manifest { entries, ..Manifest::default() });
        let to = place.path().join("deep/er/to");
        let got = version.download(&to, &DownloadOptions::default()).expect("downloads");
        assert!(to.join("good").exists());
        let through = "link/through";
        let named: Vec<&str> = got.hurt.iter().map(|hurt| hurt.path.as_str()).collect();
        for path in hostile.into_iter().filter(|path| *path != through) {
            assert!(named.contains(&path), "{path:?} among {named:?}");
        }
        assert!(named.contains(&"link"), "what a file below it has made a directory: {named:?}");
        assert_eq!(std::fs::read_dir(&outside).expect("lists").count(), 0, "nothing was written through a link");
        assert_eq!(std::fs::read_dir(place.path().join("deep/er")).expect("lists").count(), 1, "nor beside the target");
    }
}
