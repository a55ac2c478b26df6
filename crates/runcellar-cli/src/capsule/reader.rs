//! Reading the archive inside of a capsule: every file is hashed and compared, and the pieces of the store are handed on.
//!
//! Nothing is unpacked: no path of a capsule ever names a file here. What a capsule can make this keep in memory is bounded by the
//! constants below, whatever it says of itself.

use std::io::{Error, ErrorKind, Read, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runcellar::transfer::{Arriving, FileClass, Pieces};
use runcellar_format::record::ManifestEntry;
use runcellar_format::tar::{BLOCK_BYTES, Entry, EntryKind, Headers, Step};
use sha2::{Digest as _, Sha256};

use super::writer::tar_entry;
use super::{EXACT, FORMAT, HEAD, VERSION, sums};

/// The longest piece that is read into memory: more than a row group of four million values takes.
const PIECE_BYTES_MAX: u64 = 256 << 20;
/// The longest `capsule.json`.
const HEAD_BYTES_MAX: u64 = 1 << 20;

/// Reads the pieces of a capsule.
pub(crate) struct CapsuleReader<R> {
    archive: Arc<Mutex<Archive<R>>>,
    /// Where the files of the run or version at hand lie.
    directory: String,
    class: FileClass,
    began: bool,
}

/// Makes the error of a capsule that is not what a capsule is.
fn wrong(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidData, what.to_string())
}

impl<R: Read + Send + 'static> CapsuleReader<R> {
    pub(crate) fn new(input: R) -> CapsuleReader<R> {
        let archive = Archive { input, file: None, lines: Vec::new(), lines_bytes: 0, sums_files: 0, ended: false };
        CapsuleReader {
            archive: Arc::new(Mutex::new(archive)),
            directory: String::new(),
            class: FileClass::Code,
            began: false,
        }
    }

    fn archive(&self) -> MutexGuard<'_, Archive<R>> {
        self.archive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn head(&mut self) -> Result<()> {
        let mut archive = self.archive();
        let first = archive.next()?.filter(|entry| entry.path == HEAD.as_bytes());
        first.ok_or_else(|| wrong(format_args!("it does not begin with {HEAD}: not a capsule")))?;
        let head: serde_json::Value = serde_json::from_slice(&archive.whole(HEAD_BYTES_MAX)?)
            .map_err(|cause| wrong(format_args!("{HEAD}: {cause}")))?;
        let version = head.get("version").and_then(serde_json::Value::as_u64);
        match (head.get("format").and_then(serde_json::Value::as_str), version) {
            (Some(FORMAT), Some(1..=VERSION)) => Ok(()),
            (Some(FORMAT), Some(newer)) if newer > VERSION => {
                Err(wrong(format_args!("it is of version {newer}, and this runcellar reads {VERSION}: upgrade it")))
            }
            _ => Err(wrong(format_args!("{HEAD}: does not say that this is a capsule"))),
        }
    }

    fn listed(&mut self, listed: &ManifestEntry) -> Result<Option<Arriving>> {
        let expected = tar_entry(&self.directory, self.class, listed);
        let found = self.archive().next()?;
        if found.is_none() || found != expected {
            let shown = |entry: Option<Entry>| {
                entry.map_or_else(|| "the end".to_owned(), |entry| entry.path.escape_ascii().to_string())
            };
            let (found, expected) = (shown(found), shown(expected));
            return Err(wrong(format_args!("{expected}: is listed, and not what comes next, which is {found}")));
        }
        Ok(Some(Arriving::Entry { entry: Box::new(listed.clone()), content: self.archive.clone() }))
    }

    fn piece(&mut self) -> Result<Option<Arriving>> {
        loop {
            let Some(entry) = self.archive().next()? else { return Ok(None) };
            let path = String::from_utf8(entry.path).unwrap_or_default();
            let marker = format!("/{EXACT}/");
            // What people read, which is compared with its digest and passed over.
            let Some((directory, name)) = path.split_once(&marker) else { continue };
            let kind = name.split('-').next().unwrap_or_default();
            if matches!(kind, "run" | "version") {
                self.directory = directory.to_owned();
            } else if directory != self.directory {
                return Err(wrong(format_args!("{path}: belongs to nothing that has begun")));
            }
            let body = self.archive().whole(PIECE_BYTES_MAX)?;
            let mut list = |class, body| {
                self.class = class;
                Arriving::Files(class, body)
            };
            return Ok(Some(match kind {
                "run" => Arriving::Run(body),
                "version" => Arriving::Version(body),
                "code" => list(FileClass::Code, body),
                "media" => list(FileClass::Media, body),
                "files" => list(FileClass::Artifact, body),
                "record" => Arriving::Record(body),
                "names" => Arriving::Names(body),
                "rows" => Arriving::Group(body),
                _ => return Err(wrong(format_args!("{path}: not known what it is"))),
            }));
        }
    }
}

impl<R: Read + Send + 'static> Pieces for CapsuleReader<R> {
    fn next(&mut self, listed: Option<&ManifestEntry>) -> Result<Option<Arriving>> {
        if !self.began {
            self.began = true;
            self.head()?;
        }
        match listed {
            Some(listed) => self.listed(listed),
            None => self.piece(),
        }
    }
}

/// The archive, at some place in it.
struct Archive<R> {
    input: R,
    file: Option<File>,
    /// Lines of the files since the last digests.
    lines: Vec<Vec<u8>>,
    lines_bytes: usize,
    sums_files: u32,
    ended: bool,
}

/// The file whose content is read.
struct File {
    path: Vec<u8>,
    left: u64,
    padding: usize,
    digest: Sha256,
}

impl<R: Read> Archive<R> {
    /// Returns the next entry that is not a file of digests; none at the end, where nothing may follow.
    fn next(&mut self) -> Result<Option<Entry>> {
        loop {
            self.close()?;
            if self.ended {
                return Ok(None);
            }
            let mut headers = Headers::default();
            let entry = loop {
                let mut block = [0; BLOCK_BYTES];
                self.input.read_exact(&mut block).map_err(cut_off)?;
                match headers.take(&block).map_err(wrong)? {
                    Step::More => {}
                    Step::Entry(entry) => break entry,
                    Step::End => {
                        self.end()?;
                        return Ok(None);
                    }
                }
            };
            if matches!(entry.kind, EntryKind::File { .. }) {
                let (left, padding) = (entry.size(), entry.padding());
                self.file = Some(File { path: entry.path.clone(), left, padding, digest: Sha256::new() });
            }
            if entry.path != sums::name(self.sums_files + 1).as_bytes() {
                return Ok(Some(entry));
            }
            self.compare()?;
        }
    }

    fn end(&mut self) -> Result<()> {
        self.ended = true;
        if let Some(line) = self.lines.first() {
            return Err(wrong(format_args!("digests are missing from {} on", shown(line))));
        }
        match self.input.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(wrong("something follows its end")),
        }
    }

    /// Compares the digests that stand here with those of the files before them.
    fn compare(&mut self) -> Result<()> {
        let all = self.whole((2 * sums::BYTES_MAX) as u64)?;
        // The digests have none of their own.
        self.file = None;
        self.sums_files += 1;
        self.lines_bytes = 0;
        let mut rest = all.as_slice();
        for line in std::mem::take(&mut self.lines) {
            rest = rest.strip_prefix(line.as_slice()).ok_or_else(|| {
                wrong(format_args!("{}: is not what its digest in {} says", shown(&line), sums::name(self.sums_files)))
            })?;
        }
        match rest {
            [] => Ok(()),
            rest => Err(wrong(format_args!(
                "{}: is missing",
                shown(rest.split(|byte| *byte == b'\n').next().unwrap_or(rest))
            ))),
        }
    }

    /// Reads the content of a file into memory.
    fn whole(&mut self, limit: u64) -> Result<Vec<u8>> {
        let Some(file) = &self.file else { return Err(wrong("a file is expected, and not a link or directory")) };
        let (left, padding) = (file.left, file.padding);
        if left > limit {
            let path = file.path.escape_ascii();
            return Err(wrong(format_args!("{path}: {left} bytes, where at most {limit} are expected")));
        }
        let mut all = Vec::new();
        self.read_to_end(&mut all)?;
        self.skip_padding(padding)?;
        if let Some(file) = &mut self.file {
            file.padding = 0;
        }
        Ok(all)
    }

    /// Passes over what is left of the file, and keeps its digest.
    fn close(&mut self) -> Result<()> {
        let Some(padding) = self.file.as_ref().map(|file| file.padding) else { return Ok(()) };
        std::io::copy(self, &mut std::io::sink())?;
        self.skip_padding(padding)?;
        let Some(file) = self.file.take() else { return Ok(()) };
        let line = sums::line(&file.path, file.digest);
        self.lines_bytes += line.len();
        if self.lines_bytes > 2 * sums::BYTES_MAX {
            return Err(wrong("too many files without digests"));
        }
        self.lines.push(line);
        Ok(())
    }

    fn skip_padding(&mut self, padding: usize) -> Result<()> {
        let mut zeros = [0; BLOCK_BYTES];
        let zeros = zeros.get_mut(..padding).unwrap_or_default();
        self.input.read_exact(zeros).map_err(cut_off)?;
        match zeros.iter().all(|byte| *byte == 0) {
            true => Ok(()),
            false => Err(wrong("something stands between two files")),
        }
    }
}

impl<R: Read> Read for Archive<R> {
    /// Reads content of the file at hand.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let Some(file) = &mut self.file else { return Ok(0) };
        let len = buffer.len().min(usize::try_from(file.left).unwrap_or(usize::MAX));
        let buffer = buffer.get_mut(..len).unwrap_or_default();
        let read = self.input.read(buffer)?;
        if read == 0 && len > 0 {
            return Err(cut_off(ErrorKind::UnexpectedEof.into()));
        }
        file.digest.update(buffer.get(..read).unwrap_or_default());
        file.left -= read as u64;
        Ok(read)
    }
}

fn cut_off(cause: Error) -> Error {
    match cause.kind() {
        ErrorKind::UnexpectedEof => wrong("it ends early"),
        _ => cause,
    }
}

/// Returns the path in a line of digests.
fn shown(line: &[u8]) -> String {
    let path = line.splitn(2, |byte| *byte == b' ').nth(1).unwrap_or(line);
    path.trim_ascii().escape_ascii().to_string()
}
