//! The reader: walks the sources, cuts files, and hands on what it read in buffers.

use std::fs::File;
use std::io::Read as _;
use std::iter::Peekable;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::Ordering as Relaxedness;
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, PoisonError};

use runcellar_format::ChunkId;
use runcellar_format::blob::CHUNK_BYTES_MAX;
use runcellar_format::record::{Content, FileContent, FileFacts, ManifestEntry};

use super::batch::{Batch, Piece};
use super::{Shared, Source, What};
use crate::blob::manifest::{ManifestReader, PlacedChunk, ReadEntry, path_order};
use crate::blob::pack::PackData;
use crate::{Error, ErrorKind, Result};

/// A buffer is handed on when it holds this much content.
const BATCH_BYTES: usize = 1 << 20;
/// Or so many pieces: small files.
const BATCH_PIECES: usize = 1024;
/// How often a file that changes while it is read is begun again.
const READS_MAX: u32 = 3;
/// A file that was changed this shortly before an earlier version began to read it may have been changed again within the
/// resolution of its times, so it is read.
const UNSURE_NS: i64 = 2_000_000_000;

pub(super) fn run(
    shared: &Shared<'_>,
    sources: &mut dyn Iterator<Item = Result<Source>>,
    previous: Option<(ManifestReader<'_>, i64)>,
    empty: &Receiver<Batch>,
    to: SyncSender<Batch>,
) -> Result<()> {
    let (previous, read_from_ns) = match previous {
        Some((reader, read_from_ns)) => (Some(reader.peekable()), read_from_ns),
        None => (None, 0),
    };
    let Ok(batch) = empty.recv() else { return Ok(()) };
    let mut reader = Reader { shared, empty, to, batch, number: 0, known_bytes: 0, previous, read_from_ns };
    let read = reader.sources(sources);
    // Also if a source failed: the others keep what was read before it, for the next put to find.
    if matches!(read, Ok(true) | Err(_)) {
        reader.hand_on();
    }
    if !read? {
        return Ok(());
    }
    let total = shared.options.bytes_total;
    if total > 0 {
        // Files may have shrunk since they were counted.
        shared.inner.monitor.progress("bytes", total, total);
    }
    Ok(())
}

struct Reader<'a, 'b> {
    shared: &'a Shared<'a>,
    empty: &'a Receiver<Batch>,
    to: SyncSender<Batch>,
    batch: Batch,
    number: u64,
    /// Bytes of files that were not read, since an earlier version has them.
    known_bytes: u64,
    previous: Option<Peekable<ManifestReader<'b>>>,
    read_from_ns: i64,
}

impl Reader<'_, '_> {
    /// Reads all sources; false if the other stages have ended.
    fn sources(&mut self, sources: &mut dyn Iterator<Item = Result<Source>>) -> Result<bool> {
        let mut last: Option<Vec<u8>> = None;
        for source in sources {
            let source = source?;
            if let Some(last) = &last
                && path_order(last, &source.path) != std::cmp::Ordering::Less
            {
                let (last, path) = (String::from_utf8_lossy(last), String::from_utf8_lossy(&source.path));
                return Err(Error::invalid(format!(
                    "{path}: stands twice, or comes after {last} in no order of paths"
                )));
            }
            last = Some(source.path.clone());
            self.go_on()?;
            if !self.source(source)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads one source; false if the other stages have ended.
    fn source(&mut self, source: Source) -> Result<bool> {
        let Source { path, what, extra } = source;
        let earlier = self.earlier(&path)?;
        let entry = |content| ManifestEntry { path: path.clone(), content, extra: extra.clone() };
        let plain = |content| [Piece::Begin(entry(content)), Piece::End(None)];
        match what {
            What::Link(target) => self.batch.pieces.extend(plain(Content::Link(target))),
            What::Directory => self.batch.pieces.extend(plain(Content::Directory)),
            What::Reference(reference) => self.batch.pieces.extend(plain(Content::Reference(reference))),
            What::Bytes(bytes) => {
                self.batch.pieces.push(Piece::Begin(entry(Content::File(FileContent::default()))));
                let size = bytes.len() as u64;
                if !self.content(Path::new(""), &mut bytes.as_slice())? {
                    return Ok(false);
                }
                self.batch.pieces.push(Piece::End(Some((size, FileFacts::default()))));
            }
            What::Stream(stream) => {
                let content = FileContent { executable: stream.executable, ..FileContent::default() };
                self.batch.pieces.push(Piece::Begin(entry(Content::File(content))));
                let mut from = stream.content.lock().unwrap_or_else(PoisonError::into_inner);
                let mut from = Counted { from: &mut *from, bytes: 0 };
                let shown = String::from_utf8_lossy(&path).into_owned();
                if !self.content(Path::new(&shown), &mut from)? {
                    return Ok(false);
                }
                if from.bytes != stream.size {
                    let message = format!("{shown}: {} bytes where {} are expected", from.bytes, stream.size);
                    return Err(Error::damaged(message));
                }
                self.batch.pieces.push(Piece::End(Some((stream.size, FileFacts::default()))));
            }
            What::Stored(file) => {
                let content = FileContent { executable: file.executable, ..FileContent::default() };
                self.batch.pieces.push(Piece::Begin(entry(Content::File(content))));
                let mut from = file.open();
                let goes_on = self.content(Path::new(""), &mut from);
                // What it says of a failure is more than a reader's error can.
                if goes_on.is_err() || goes_on.as_ref().is_ok_and(|goes_on| *goes_on) {
                    from.ended()?;
                }
                if !goes_on? {
                    return Ok(false);
                }
                self.batch.pieces.push(Piece::End(Some((file.size, FileFacts::default()))));
            }
            What::File(file) => return self.file(&file, earlier, entry),
        }
        Ok(self.hand_on_if_full())
    }

    fn file(&mut self, path: &Path, earlier: Vec<ReadEntry>, entry: impl Fn(Content) -> ManifestEntry) -> Result<bool> {
        let failed = |cause| Error::io("read", path, cause);
        for _ in 0..READS_MAX {
            // Not to wait for a FIFO that took the file's place.
            let mut file = File::options()
                .read(true)
                .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
                .open(path)
                .map_err(failed)?;
            let before = file.metadata().map_err(failed)?;
            if !before.is_file() {
                return Err(Error::invalid(format!("{}: no longer a file", path.display())));
            }
            let executable = before.mode() & 0o100 != 0;
            let content = Content::File(FileContent { executable, ..FileContent::default() });
            self.batch.pieces.push(Piece::Begin(entry(content)));
            if let Some(chunks) = self.unchanged(&before, &earlier)? {
                self.known_bytes += before.len();
                self.batch.pieces.push(Piece::Known(chunks));
                self.batch.pieces.push(Piece::End(Some((before.len(), facts(&before)))));
                return Ok(self.hand_on_if_full());
            }
            if !self.content(path, &mut file)? {
                return Ok(false);
            }
            let after = file.metadata().map_err(failed)?;
            if after.len() == before.len() && facts(&after) == facts(&before) {
                self.batch.pieces.push(Piece::End(Some((before.len(), facts(&before)))));
                return Ok(self.hand_on_if_full());
            }
            self.batch.pieces.push(Piece::Again);
        }
        let message = format!("{}: changed while it was read, {READS_MAX} times", path.display());
        Err(Error::new(ErrorKind::State, message))
    }

    /// Cuts content into chunks; false if the other stages have ended.
    fn content(&mut self, path: &Path, from: &mut dyn std::io::Read) -> Result<bool> {
        let mut start = self.batch.content.len();
        loop {
            // Enough for the longest chunk must be at hand where a cut is sought.
            let wanted = (start + CHUNK_BYTES_MAX).max(BATCH_BYTES + CHUNK_BYTES_MAX) - self.batch.content.len();
            let before = self.batch.content.len();
            let outcome = (&mut *from).take(wanted as u64).read_to_end(&mut self.batch.content);
            let read = self.batch.content.len() - before;
            self.shared.read_bytes.fetch_add(read as u64, Relaxedness::Relaxed);
            // What was read before a failure is cut like all else, but for the end, which is not known.
            let at_end = outcome.is_ok() && read < wanted;
            while let Some(rest) = self.batch.content.get(start..)
                && !rest.is_empty()
                && (at_end || rest.len() >= CHUNK_BYTES_MAX)
            {
                let len = self.shared.pool.keys.cut(rest);
                self.batch.pieces.push(Piece::Chunk(u32::try_from(len).unwrap_or(u32::MAX)));
                start += len;
            }
            outcome.map_err(|cause| Error::io("read", path, cause))?;
            if at_end {
                return Ok(true);
            }
            self.go_on()?;
            let rest = self.batch.content.split_off(start);
            if !self.hand_on() {
                return Ok(false);
            }
            self.batch.content.extend_from_slice(&rest);
            start = 0;
        }
    }

    /// Ends the reading if it is cancelled; the other stages then end what was read.
    fn go_on(&self) -> Result<()> {
        match self.shared.inner.monitor.is_cancelled() {
            true => Err(Error::new(ErrorKind::State, "interrupted: what was read is stored for the next put")),
            false => Ok(()),
        }
    }

    fn progress(&self) {
        let done = self.shared.read_bytes.load(Relaxedness::Relaxed) + self.known_bytes;
        // Files may have grown since they were counted.
        let total = self.shared.options.bytes_total;
        self.shared.inner.monitor.progress("bytes", if total > 0 { done.min(total) } else { done }, total);
    }

    fn hand_on_if_full(&mut self) -> bool {
        let is_full = self.batch.content.len() >= BATCH_BYTES || self.batch.pieces.len() >= BATCH_PIECES;
        !is_full || self.hand_on()
    }

    /// Hands the buffer on and takes an empty one; false if the other stages have ended.
    fn hand_on(&mut self) -> bool {
        let mut batch = std::mem::take(&mut self.batch);
        batch.number = self.number;
        self.number += 1;
        if self.to.send(batch).is_err() {
            return false;
        }
        self.progress();
        match self.empty.recv() {
            Ok(batch) if !self.shared.is_stopped() => {
                self.batch = batch;
                true
            }
            _ => false,
        }
    }

    /// Returns what an earlier version has at a path.
    fn earlier(&mut self, path: &[u8]) -> Result<Vec<ReadEntry>> {
        let mut found = Vec::new();
        let Some(previous) = &mut self.previous else { return Ok(found) };
        while let Some(next) = previous.peek() {
            let order = match next {
                Ok(next) => path_order(&next.entry.path, path),
                Err(_) => std::cmp::Ordering::Less,
            };
            if order == std::cmp::Ordering::Greater {
                break;
            }
            let Some(next) = previous.next() else { break };
            let next = match next {
                Ok(next) => next,
                Err(error) => {
                    // An earlier version that is damaged hurts this one in nothing but time.
                    self.shared.inner.monitor.warn(&format!("all files are read: {error}"));
                    self.previous = None;
                    return Ok(Vec::new());
                }
            };
            if order == std::cmp::Ordering::Equal {
                found.push(next);
            }
        }
        Ok(found)
    }

    /// Returns the chunks of a file that is as it was in the earlier version.
    fn unchanged(&self, now: &std::fs::Metadata, earlier: &[ReadEntry]) -> Result<Option<Vec<PlacedChunk>>> {
        let mut chunks = Vec::new();
        for part in earlier {
            let Content::File(file) = &part.entry.content else { return Ok(None) };
            let is_sure = file.source.changed_ns < self.read_from_ns - UNSURE_NS;
            if file.size != now.len() || file.source != facts(now) || !is_sure {
                return Ok(None);
            }
            for (number, id) in &file.chunks {
                let hint = part.packs.get(*number as usize).copied();
                let Some(chunk) = self.placed(hint, ChunkId(*id))? else { return Ok(None) };
                chunks.push(chunk);
            }
        }
        let len: u64 = chunks.iter().map(|chunk| u64::from(chunk.raw_len)).sum();
        Ok((!earlier.is_empty() && len == now.len()).then_some(chunks))
    }

    /// Finds a chunk where it was, or where it is now.
    fn placed(&self, hint: Option<runcellar_format::ObjectId>, id: ChunkId) -> Result<Option<PlacedChunk>> {
        let Shared { inner, pool, .. } = self.shared;
        let hinted = match hint {
            Some(hint) => {
                let is_there =
                    |data: &Arc<PackData>| data.has(id) && data.has_file(inner) && self.shared.is_whole(data, id);
                pool.usable(inner, hint)?.filter(is_there)
            }
            None => None,
        };
        let data = match hinted {
            Some(data) => Some(data),
            None => match pool.locate_where(inner, id, &mut |data| self.shared.is_whole(data, id))? {
                Some(found) => pool.usable(inner, found.pack)?,
                None => None,
            },
        };
        let Some(data) = data else { return Ok(None) };
        let entry = data.slot(id).and_then(|slot| data.entries.get(slot));
        self.shared.local().rely_on_pack(&data);
        Ok(entry.map(|entry| PlacedChunk { pack: data.id, id, raw_len: entry.raw_len }))
    }
}

/// Counts what is read.
struct Counted<'a> {
    from: &'a mut dyn std::io::Read,
    bytes: u64,
}

impl std::io::Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

fn facts(metadata: &std::fs::Metadata) -> FileFacts {
    let ns = |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
    FileFacts {
        inode: metadata.ino(),
        modified_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
        changed_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
    }
}
