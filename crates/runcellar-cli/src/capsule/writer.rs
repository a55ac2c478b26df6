//! Writing the archive inside of a capsule: files one after the other, and what each of them hashes to.

use std::io::{Error, Result, Write};

use runcellar::transfer::{Departing, FileClass};
use runcellar_format::record::{Content, ManifestEntry};
use runcellar_format::tar::{END, Entry, EntryKind};
use sha2::{Digest as _, Sha256};

use super::{EXACT, place_of, sums};

/// Writes the files of a capsule.
pub(crate) struct CapsuleWriter<W> {
    out: W,
    sums: Vec<u8>,
    sums_files: u32,
    open: Option<Open>,
    /// Where the files of the run or version at hand lie.
    directory: String,
    /// Numbers of its lists, names and row groups.
    numbers: [u32; 5],
    pub(crate) files: u64,
}

/// The file that is being written.
struct Open {
    entry: Entry,
    left: u64,
    digest: Sha256,
}

impl<W: Write> CapsuleWriter<W> {
    pub(crate) fn new(out: W) -> CapsuleWriter<W> {
        CapsuleWriter {
            out,
            sums: Vec::new(),
            sums_files: 0,
            open: None,
            directory: String::new(),
            numbers: [0; 5],
            files: 0,
        }
    }

    /// Goes on with another run or version, whose files lie below `directory`.
    pub(crate) fn enter(&mut self, directory: &str) {
        (self.directory, self.numbers) = (directory.to_owned(), [0; 5]);
    }

    /// Writes a file at the top.
    pub(crate) fn top(&mut self, path: &str, content: &[u8]) -> Result<()> {
        self.begin(Entry::file(path, content.len() as u64))?;
        self.content(content)
    }

    /// Writes a file of the run or version at hand.
    pub(crate) fn file(&mut self, name: &str, content: &[u8]) -> Result<()> {
        self.top(&format!("{}/{name}", self.directory), content)
    }

    /// Writes a piece of the store.
    pub(crate) fn piece(&mut self, piece: Departing<'_>) -> Result<()> {
        let lists = |class: FileClass| match class {
            FileClass::Code => (0, "code"),
            FileClass::Media => (1, "media"),
            FileClass::Artifact => (2, "files"),
        };
        match piece {
            Departing::Version(body) => self.exact("version", &body),
            Departing::Run(body) => self.exact("run", &body),
            Departing::Record(body) => self.exact("record", &body),
            Departing::Files(class, body) => self.numbered(lists(class), &body),
            Departing::Names(body) => self.numbered((3, "names"), &body),
            Departing::Group(bytes) => self.numbered((4, "rows"), &bytes),
            Departing::Entry(class, entry) => self.listed(class, entry),
            Departing::Content(bytes) => self.content(bytes),
        }
    }

    fn exact(&mut self, name: &str, content: &[u8]) -> Result<()> {
        self.file(&format!("{EXACT}/{name}"), content)
    }

    fn numbered(&mut self, (place, name): (usize, &str), content: &[u8]) -> Result<()> {
        let number = self.numbers.get_mut(place).map_or(0, |number| {
            *number += 1;
            *number
        });
        self.exact(&format!("{name}-{number:06}"), content)
    }

    fn listed(&mut self, class: FileClass, entry: &ManifestEntry) -> Result<()> {
        match tar_entry(&self.directory, class, entry) {
            Some(entry) => self.begin(entry),
            None => Ok(()),
        }
    }

    fn begin(&mut self, entry: Entry) -> Result<()> {
        self.close()?;
        self.out.write_all(&entry.encode().map_err(Error::other)?)?;
        self.files += 1;
        if matches!(entry.kind, EntryKind::File { .. }) {
            let left = entry.size();
            self.open = Some(Open { entry, left, digest: Sha256::new() });
        }
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> Result<()> {
        let open = self.open.as_mut().ok_or_else(|| Error::other("content of no file"))?;
        let left = open.left.checked_sub(bytes.len() as u64);
        open.left = left.ok_or_else(|| Error::other("a file is longer than it was listed"))?;
        open.digest.update(bytes);
        self.out.write_all(bytes)
    }

    /// Ends the file that was begun last.
    fn close(&mut self) -> Result<()> {
        let Some(Open { entry, left, digest }) = self.open.take() else { return Ok(()) };
        if left > 0 {
            return Err(Error::other("a file is shorter than it was listed"));
        }
        self.out.write_all(&vec![0; entry.padding()])?;
        self.sums.extend_from_slice(&sums::line(&entry.path, digest));
        if self.sums.len() >= sums::BYTES_MAX { self.put_sums() } else { Ok(()) }
    }

    fn put_sums(&mut self) -> Result<()> {
        let all = std::mem::take(&mut self.sums);
        self.sums_files += 1;
        let entry = Entry::file(sums::name(self.sums_files), all.len() as u64);
        self.out.write_all(&entry.encode().map_err(Error::other)?)?;
        self.out.write_all(&all)?;
        self.out.write_all(&vec![0; entry.padding()])
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> Result<W> {
        self.close()?;
        if !self.sums.is_empty() {
            self.put_sums()?;
        }
        self.out.write_all(&END)?;
        Ok(self.out)
    }
}

/// Returns how what is listed stands in the archive; none for what lies elsewhere.
pub(super) fn tar_entry(directory: &str, class: FileClass, entry: &ManifestEntry) -> Option<Entry> {
    let kind = match &entry.content {
        Content::File(file) => EntryKind::File { size: file.size, executable: file.executable },
        Content::Link(target) => EntryKind::Link { target: target.clone() },
        Content::Directory => EntryKind::Directory,
        Content::Reference(_) => return None,
    };
    Some(Entry { path: [directory.as_bytes(), b"/", &place_of(class, entry)].concat(), kind })
}
