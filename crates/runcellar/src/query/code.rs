//! Reading the code that is kept with a run.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use runcellar_format::record::{Content, FileContent};

use super::runs::RunInfo;
use crate::blob::{self, Class, Got, Hurt, Pool, ReadEntry};
use crate::{Error, ErrorKind, Result, Workspace};

/// The longest file of code that is read into memory, in bytes: above all that capture keeps.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// A file of the code that is kept with a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeEntry {
    /// Its path, as bytes: `diff.patch`, or a name below `main/`, `untracked/`, or that of a folder.
    pub path: Vec<u8>,
    /// Its length in bytes.
    pub size: u64,
}

/// A file that two runs do not have alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodePair {
    /// Its path, as bytes.
    pub path: Vec<u8>,
    /// What the left run has; none if nothing.
    pub left: Option<Vec<u8>>,
    /// What the right run has; none if nothing.
    pub right: Option<Vec<u8>>,
}

/// How long the shortest diff of a file is looked for; after that a longer one does.
const DIFF_WITHIN: Duration = Duration::from_secs(1);

impl CodePair {
    /// Returns the path as a text.
    #[must_use]
    pub fn name(&self) -> String {
        String::from_utf8_lossy(&self.path).into_owned()
    }

    /// Returns what became of the file on the way from left to right: `added`, `removed` or `changed`.
    #[must_use]
    pub fn change(&self) -> &'static str {
        match (&self.left, &self.right) {
            (None, _) => "added",
            (_, None) => "removed",
            _ => "changed",
        }
    }

    /// Returns the unified diff; none if one side is no text.
    #[must_use]
    pub fn unified(&self) -> Option<String> {
        fn text(side: Option<&Vec<u8>>) -> Option<&str> {
            std::str::from_utf8(side.map_or(&[], Vec::as_slice)).ok()
        }
        let (left, right) = (text(self.left.as_ref())?, text(self.right.as_ref())?);
        let mut lines = similar::TextDiff::configure();
        let lines = lines.timeout(DIFF_WITHIN).diff_lines(left, right);
        let path = self.name();
        Some(lines.unified_diff().header(&format!("a/{path}"), &format!("b/{path}")).to_string())
    }
}

/// What became of a checkout.
#[derive(Debug, Default)]
pub struct CodeCheckout {
    /// Files that are there now.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that did not come out.
    pub hurt: Vec<Hurt>,
}

impl Workspace {
    /// Lists the code that is kept with a run, by path.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn code(&self, run: &RunInfo) -> Result<Vec<CodeEntry>> {
        let entry =
            |entry: ReadEntry| CodeEntry { size: file_of(&entry).map_or(0, |file| file.size), path: entry.entry.path };
        Ok(self.code_entries(run)?.into_iter().map(entry).collect())
    }

    /// Reads one file of the code that is kept with a run.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none at `path`, damage.
    pub fn code_file(&self, run: &RunInfo, path: &[u8]) -> Result<Vec<u8>> {
        let entry = self.code_entries(run)?.into_iter().find(|entry| entry.entry.path == path);
        let shown = String::from_utf8_lossy(path);
        let entry = entry
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("run {}: no file {shown:?} in its code", run.id)))?;
        blob::read_file(&self.inner, &self.code_pool(run)?, &entry, FILE_BYTES_MAX)
            .map_err(|error| error.of_evicted(format_args!("code of run {}", run.id)))
    }

    /// Writes the code that is kept with a run below a directory, each file whole or not at all. Files that are there are
    /// overwritten only if that is asked for; nothing is written through a link.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if none is kept, [`ErrorKind::Exists`] if a file is there already: then nothing is written.
    pub fn checkout_code(&self, run: &RunInfo, to: &Path, overwrite: bool) -> Result<CodeCheckout> {
        use std::os::unix::ffi::OsStrExt as _;
        let entries = self.code_entries(run)?;
        if entries.is_empty() {
            return Err(Error::new(ErrorKind::NotFound, format!("run {}: no code is kept with it", run.id)));
        }
        for entry in &entries {
            blob::check_path(&entry.entry.path)?;
            let place = to.join(std::ffi::OsStr::from_bytes(&entry.entry.path));
            if !overwrite && std::fs::symlink_metadata(&place).is_ok() {
                return Err(Error::new(ErrorKind::Exists, format!("{}: is there already", place.display())));
            }
        }
        let pool = self.code_pool(run)?;
        let total = entries.iter().filter_map(file_of).map(|file| file.size).sum();
        let Got { files, bytes, hurt, .. } =
            blob::get(&self.inner, &pool, &mut entries.into_iter().map(Ok), Some((to, None)), total)
                .map_err(|error| error.of_evicted(format_args!("code of run {}", run.id)))?;
        Ok(CodeCheckout { files, bytes, hurt })
    }

    /// Returns the files of code that two runs do not have alike, by path.
    ///
    /// # Errors
    /// If one of them cannot be read.
    pub fn code_diff(&self, left: &RunInfo, right: &RunInfo) -> Result<Vec<CodePair>> {
        let (of_left, of_right) = (self.code_entries(left)?, self.code_entries(right)?);
        if of_left.is_empty() && of_right.is_empty() {
            return Ok(Vec::new());
        }
        let pools = [(&of_left, left), (&of_right, right)]
            .map(|(entries, run)| if entries.is_empty() { Ok(None) } else { self.code_pool(run).map(Some) });
        let [left_pool, right_pool] = pools;
        let (left_pool, right_pool) = (left_pool?, right_pool?);
        let read = |pool: &Option<Pool>, entry: Option<&ReadEntry>| match (pool, entry) {
            (Some(pool), Some(entry)) => blob::read_file(&self.inner, pool, entry, FILE_BYTES_MAX).map(Some),
            _ => Ok(None),
        };
        let one_pool = left.project_object == right.project_object;
        let mut pairs = Vec::new();
        let only_right = of_right.iter().filter(|entry| find(&of_left, &entry.entry.path).is_none());
        for (path, one, other) in of_left
            .iter()
            .map(|entry| (&entry.entry.path, Some(entry), find(&of_right, &entry.entry.path)))
            .chain(only_right.map(|entry| (&entry.entry.path, None, Some(entry))))
        {
            if one_pool && one.zip(other).is_some_and(|(one, other)| is_same(one, other)) {
                continue;
            }
            let (one, other) = (read(&left_pool, one)?, read(&right_pool, other)?);
            if one != other {
                pairs.push(CodePair { path: path.clone(), left: one, right: other });
            }
        }
        pairs.sort_by(|left, right| blob::path_order(&left.path, &right.path));
        Ok(pairs)
    }

    pub(crate) fn code_pool(&self, run: &RunInfo) -> Result<Pool> {
        let pool = self.inner.read(|tx, keyring| Pool::find(tx, keyring, run.project_object, Class::Code))?;
        pool.ok_or_else(|| Error::damaged(format!("run {}: the key of its project's code is missing", run.id)))
    }

    /// Reads the list of a run's code in order of path: of a path that was kept more than once the last.
    pub(crate) fn code_entries(&self, run: &RunInfo) -> Result<Vec<ReadEntry>> {
        let mut entries: Vec<ReadEntry> = Vec::new();
        for read in blob::files_of_run(&self.inner, run.object, Class::Code)? {
            match entries.last_mut() {
                Some(last)
                    if last.entry.path == read.entry.path && file_of(&read).is_some_and(|file| file.offset > 0) =>
                {
                    go_on(last, &read);
                }
                _ => entries.push(read),
            }
        }
        // Stable, so that what was kept later comes later.
        entries.sort_by(|left, right| blob::path_order(&left.entry.path, &right.entry.path));
        entries.reverse();
        entries.dedup_by(|left, right| left.entry.path == right.entry.path);
        entries.reverse();
        Ok(entries)
    }
}

fn file_of(entry: &ReadEntry) -> Option<&FileContent> {
    match &entry.entry.content {
        Content::File(file) => Some(file),
        _ => None,
    }
}

/// Joins a file to its rest in the next part of the manifest, which counts packs for itself.
fn go_on(entry: &mut ReadEntry, rest: &ReadEntry) {
    let first = u32::try_from(entry.packs.len()).unwrap_or(u32::MAX);
    entry.packs = Arc::new(entry.packs.iter().chain(rest.packs.iter()).copied().collect());
    if let (Content::File(file), Some(more)) = (&mut entry.entry.content, file_of(rest)) {
        file.chunks.extend(more.chunks.iter().map(|(number, id)| (first.saturating_add(*number), *id)));
    }
}

fn find<'a>(entries: &'a [ReadEntry], path: &[u8]) -> Option<&'a ReadEntry> {
    let at = entries.binary_search_by(|entry| blob::path_order(&entry.entry.path, path)).ok()?;
    entries.get(at)
}

/// Returns true if two files of one pool have the same chunks, and so the same content.
fn is_same(left: &ReadEntry, right: &ReadEntry) -> bool {
    let chunks = |entry| file_of(entry).map(|file| file.chunks.iter().map(|(_, id)| *id).collect::<Vec<_>>());
    chunks(left) == chunks(right)
}
