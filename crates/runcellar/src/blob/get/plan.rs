//! What to write: files cut into spans, directories, links.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;

use runcellar_format::ChunkId;
use runcellar_format::record::{Content, FileContent, PATH_BYTES_MAX};

use super::read::Placed;
use super::write::Target;
use super::{Shared, refused};
use crate::blob::manifest::ReadEntry;
use crate::{Error, ErrorKind, Result, io};

/// Content of one span at most: what one worker does at a time of a large file.
const SPAN_BYTES: u64 = 4 << 20;
/// A lot of small files is handed on when it has this much content, or so many files.
const LOT_BYTES: u64 = 1 << 20;
const LOT_FILES: usize = 64;

/// Consecutive chunks of a file.
pub(super) struct Span {
    pub(super) target: Arc<Target>,
    pub(super) offset: u64,
    pub(super) chunks: Vec<Placed>,
}

/// Chunks as a part of a manifest lists them: (which of its packs, chunk id), and its packs.
type Listed = (Vec<(u32, [u8; 16])>, Arc<Vec<runcellar_format::ObjectId>>);

/// Spans that a worker takes at once.
pub(super) type Lot = Vec<Span>;

pub(super) struct Plan<'a> {
    shared: &'a Shared<'a>,
    to: Option<Destination>,
    references: Vec<(String, String)>,
    lot: Lot,
    lot_bytes: u64,
}

/// The directory that is written to.
struct Destination {
    root: PathBuf,
    /// Files on their way.
    temporary: PathBuf,
    files: u64,
    /// Directories that are there.
    known: HashSet<Vec<u8>>,
    /// Links that are to be made: (path, target).
    links: Vec<(Vec<u8>, Vec<u8>)>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(shared: &'a Shared<'a>, to: Option<(&Path, Option<&Path>)>) -> Result<Plan<'a>> {
        let to = to.map(|(root, temporary)| Destination::make(shared, root, temporary)).transpose()?;
        Ok(Plan { shared, to, references: Vec::new(), lot: Vec::new(), lot_bytes: 0 })
    }

    /// Plans all entries and hands the spans to workers.
    pub(super) fn run(
        &mut self,
        entries: &mut dyn Iterator<Item = Result<ReadEntry>>,
        give: &SyncSender<Lot>,
    ) -> Result<()> {
        let mut entries = entries.peekable();
        while let Some(entry) = entries.next() {
            let ReadEntry { entry, packs } = entry?;
            let path = entry.path;
            if let Err(error) = check_path(&path) {
                self.shared.hurt(&path, error);
                continue;
            }
            match entry.content {
                Content::File(first) => {
                    let mut parts = vec![(first.chunks.clone(), packs)];
                    // A file with very many chunks goes on in the next part of the manifest.
                    while let Some(Ok(next)) = entries.peek()
                        && next.entry.path == path
                        && let Content::File(more) = &next.entry.content
                    {
                        parts.push((more.chunks.clone(), next.packs.clone()));
                        entries.next();
                    }
                    self.file(&path, &first, &parts, give)?;
                }
                Content::Directory => self.directory(&path)?,
                Content::Link(target) => self.link(&path, target)?,
                Content::Reference(reference) => {
                    self.references.push((String::from_utf8_lossy(&path).into_owned(), reference.uri));
                }
            }
        }
        self.hand_on(give)
    }

    fn file(&mut self, path: &[u8], file: &FileContent, parts: &[Listed], give: &SyncSender<Lot>) -> Result<()> {
        let Shared { inner, pool, .. } = self.shared;
        let mut chunks = Vec::new();
        for (listed, packs) in parts {
            for (number, id) in listed {
                let hint = packs.get(*number as usize).copied();
                match Placed::find(inner, pool, hint, ChunkId(*id)) {
                    Ok(placed) => chunks.push(placed),
                    Err(error) if error.kind() == ErrorKind::Damaged => {
                        self.shared.hurt(path, error);
                        return Ok(());
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        let size: u64 = chunks.iter().map(|chunk| u64::from(chunk.raw_len())).sum();
        if size != file.size {
            let message = format!("its chunks have {size} bytes, and it is listed with {}", file.size);
            self.shared.hurt(path, Error::damaged(message));
            return Ok(());
        }
        let target = match &mut self.to {
            None => Target::none(path),
            Some(to) => match to.target(path, file) {
                Ok(target) => target,
                Err(error) if error.kind() == ErrorKind::InvalidArgument => {
                    self.shared.hurt(path, error);
                    return Ok(());
                }
                Err(error) => return Err(error),
            },
        };
        let spans = if target.existing.is_some() { vec![(0, chunks)] } else { spans(chunks) };
        target.pending.store(spans.len(), Ordering::Relaxed);
        let target = Arc::new(target);
        for (offset, chunks) in spans {
            self.lot_bytes += chunks.iter().map(|chunk| u64::from(chunk.raw_len())).sum::<u64>();
            self.lot.push(Span { target: target.clone(), offset, chunks });
            if self.lot_bytes >= LOT_BYTES || self.lot.len() >= LOT_FILES {
                self.hand_on(give)?;
            }
        }
        Ok(())
    }

    fn hand_on(&mut self, give: &SyncSender<Lot>) -> Result<()> {
        self.lot_bytes = 0;
        let lot = std::mem::take(&mut self.lot);
        if self.shared.stop.load(Ordering::Relaxed) {
            // Why is among what is hurt.
            return Ok(());
        }
        if !lot.is_empty() && give.send(lot).is_err() {
            return Err(Error::new(ErrorKind::State, "files were not written: all threads ended early"));
        }
        Ok(())
    }

    fn directory(&mut self, path: &[u8]) -> Result<()> {
        self.shared.files.fetch_add(1, Ordering::Relaxed);
        match &mut self.to {
            Some(to) => to.make_directory(path).or_else(|error| self.shared.passed_over(path, error)),
            None => Ok(()),
        }
    }

    fn link(&mut self, path: &[u8], target: Vec<u8>) -> Result<()> {
        let Some(to) = &mut self.to else {
            self.shared.files.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        };
        match to.make_parents(path) {
            // Links come last, so that no file is written through one.
            Ok(()) => to.links.push((path.to_vec(), target)),
            Err(error) => return self.shared.passed_over(path, error),
        }
        Ok(())
    }

    /// Makes the links, when all files are there; returns what lies elsewhere.
    pub(super) fn finish(self) -> Result<Vec<(String, String)>> {
        if let Some(to) = self.to {
            for (index, (path, target)) in to.links.iter().enumerate() {
                let (place, target) = (to.root.join(OsStr::from_bytes(path)), OsStr::from_bytes(target));
                let failed = |cause| refused("make link", &place, cause);
                if fs::symlink_metadata(&place).is_ok_and(|there| there.is_dir()) {
                    self.shared.hurt(path, directory_in_the_way(&place));
                    continue;
                }
                if fs::read_link(&place).is_ok_and(|there| there.as_os_str() == target) {
                    self.shared.files.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                let temporary = to.temporary.join(format!("link-{index}"));
                std::os::unix::fs::symlink(target, &temporary).map_err(failed)?;
                if let Err(error) = fs::rename(&temporary, &place).map_err(failed) {
                    self.shared.passed_over(path, error)?;
                    continue;
                }
                self.shared.files.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(self.references)
    }
}

/// Cuts a file's chunks into spans.
fn spans(chunks: Vec<Placed>) -> Vec<(u64, Vec<Placed>)> {
    let mut spans = vec![(0, Vec::new())];
    let (mut offset, mut bytes) = (0, 0);
    for chunk in chunks {
        let len = u64::from(chunk.raw_len());
        if bytes > 0 && bytes + len > SPAN_BYTES {
            spans.push((offset, Vec::new()));
            bytes = 0;
        }
        offset += len;
        bytes += len;
        if let Some((_, span)) = spans.last_mut() {
            span.push(chunk);
        }
    }
    spans
}

fn directory_in_the_way(place: &Path) -> Error {
    Error::invalid(format!("{}: a directory stands there", place.display()))
}

/// Refuses a path that would leave the directory below which it is written.
pub(crate) fn check_path(path: &[u8]) -> Result<()> {
    let refused = |why: &str| Err(Error::invalid(format!("path {}: {why}", String::from_utf8_lossy(path))));
    if path.is_empty() || path.len() > PATH_BYTES_MAX {
        return refused("empty, or longer than a path can be");
    }
    if path.contains(&0) {
        return refused("holds a NUL");
    }
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" => return refused("begins or ends with a slash, or has two in a row"),
            b"." | b".." => return refused("leaves the directory that it belongs to"),
            _ => {}
        }
    }
    Ok(())
}

impl Destination {
    fn make(shared: &Shared<'_>, root: &Path, temporary: Option<&Path>) -> Result<Destination> {
        let failed = |cause| Error::io("create", root, cause);
        fs::create_dir_all(root).map_err(failed)?;
        let random: [u8; 8] = io::random(&*shared.inner.io)?;
        let by_chance = || root.join(format!(".runcellar-{:016x}", u64::from_le_bytes(random)));
        let temporary = temporary.map_or_else(by_chance, Path::to_owned);
        fs::create_dir(&temporary).map_err(|cause| Error::io("create", &temporary, cause))?;
        let known = HashSet::new();
        Ok(Destination { root: root.to_owned(), temporary, files: 0, known, links: Vec::new() })
    }

    fn target(&mut self, path: &[u8], file: &FileContent) -> Result<Target> {
        self.make_parents(path)?;
        let place = self.root.join(OsStr::from_bytes(path));
        let existing = match fs::symlink_metadata(&place) {
            Ok(there) if there.is_dir() => {
                return Err(directory_in_the_way(&place));
            }
            Ok(there) => (there.is_file() && there.len() == file.size).then_some(there),
            Err(_) => None,
        };
        self.files += 1;
        let temporary = self.temporary.join(self.files.to_string());
        Ok(Target::new(path, place, temporary, existing.is_some(), file))
    }

    /// Makes the directories above a path; none of them may be a link, which could lead elsewhere.
    fn make_parents(&mut self, path: &[u8]) -> Result<()> {
        match path.iter().rposition(|byte| *byte == b'/') {
            Some(at) => self.make_directory(path.get(..at).unwrap_or_default()),
            None => Ok(()),
        }
    }

    fn make_directory(&mut self, path: &[u8]) -> Result<()> {
        if self.known.contains(path) {
            return Ok(());
        }
        self.make_parents(path)?;
        let place = self.root.join(OsStr::from_bytes(path));
        match fs::symlink_metadata(&place) {
            Ok(there) if there.is_dir() => {}
            Ok(_) => {
                return Err(Error::invalid(format!("{}: stands there and is no directory", place.display())));
            }
            Err(_) => fs::create_dir(&place).map_err(|cause| refused("create", &place, cause))?,
        }
        self.known.insert(path.to_vec());
        Ok(())
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        // What is left in it was on its way when something failed.
        let _ = fs::remove_dir_all(&self.temporary);
    }
}
