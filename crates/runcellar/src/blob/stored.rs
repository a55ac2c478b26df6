//! A file of one pool as the source of another: read from its packs, chunk by chunk.

use std::collections::VecDeque;
use std::fmt;
use std::io::Read;
use std::sync::Arc;

use runcellar_format::record::FileContent;
use runcellar_format::{ChunkId, ObjectId};

use super::get::{PackReader, Placed};
use super::pool::Pool;
use crate::workspace::Inner;
use crate::{Error, Result};

/// Chunks that are read at once: some megabytes.
const CHUNKS_AT_ONCE: usize = 32;

/// A file that lies in a pool.
#[derive(Clone)]
pub(crate) struct StoredFile {
    inner: Arc<Inner>,
    pool: Arc<Pool>,
    /// A pool that names content alike, where chunks are looked for first.
    nearer: Option<(Arc<Inner>, Arc<Pool>)>,
    chunks: Vec<(Option<ObjectId>, ChunkId)>,
    pub(crate) size: u64,
    pub(crate) executable: bool,
}

impl fmt::Debug for StoredFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredFile").field("size", &self.size).finish_non_exhaustive()
    }
}

impl StoredFile {
    /// Names the chunks that a manifest lists; `packs` are those of the part.
    pub(crate) fn new(inner: &Arc<Inner>, pool: &Arc<Pool>, file: &FileContent, packs: &[ObjectId]) -> StoredFile {
        let (inner, pool) = (inner.clone(), pool.clone());
        let (size, executable) = (file.size, file.executable);
        let mut stored = StoredFile { inner, pool, nearer: None, chunks: Vec::new(), size, executable };
        stored.add(file, packs);
        stored
    }

    /// Has chunks read from another pool, as far as it has them whole, if it names content as this one does.
    pub(crate) fn rather_from(mut self, inner: &Arc<Inner>, pool: &Arc<Pool>) -> StoredFile {
        self.nearer = pool.is_twin_of(&self.pool).then(|| (inner.clone(), pool.clone()));
        self
    }

    /// Adds what the next part lists of it.
    pub(crate) fn add(&mut self, file: &FileContent, packs: &[ObjectId]) {
        let chunks = file.chunks.iter().map(|(number, id)| (packs.get(*number as usize).copied(), ChunkId(*id)));
        self.chunks.extend(chunks);
    }

    pub(crate) fn open(&self) -> StoredReader<'_> {
        StoredReader { file: self, next: 0, buffer: VecDeque::new(), bytes: 0, failure: None }
    }
}

/// Reads a file that lies in a pool.
pub(crate) struct StoredReader<'a> {
    file: &'a StoredFile,
    next: usize,
    buffer: VecDeque<u8>,
    bytes: u64,
    /// Why a read failed, as errors of readers say less.
    failure: Option<Error>,
}

impl StoredReader<'_> {
    fn fill(&mut self) -> Result<()> {
        let file = self.file;
        let end = file.chunks.len().min(self.next + CHUNKS_AT_ONCE);
        let chunks = file.chunks.get(self.next..end).unwrap_or_default();
        self.next = end;
        let buffer = &mut self.buffer;
        let mut take = |bytes: &[u8]| {
            buffer.extend(bytes);
            Ok(())
        };
        let mut far = PackReader::new(&file.inner, &file.pool);
        let Some((inner, pool)) = &file.nearer else {
            let placed = chunks.iter().map(|(pack, id)| Placed::find(&file.inner, &file.pool, *pack, *id));
            return far.read(&placed.collect::<Result<Vec<_>>>()?, &mut take);
        };
        let mut near = PackReader::new(inner, pool);
        for (pack, id) in chunks {
            let placed = match pool.locate(inner, *id)? {
                Some(found) => pool.usable(inner, found.pack)?.and_then(|data| Placed::within(data, *id)),
                None => None,
            };
            match placed.filter(|placed| near.opens(placed)) {
                Some(placed) => near.read(&[placed], &mut take)?,
                None => far.read(&[Placed::find(&file.inner, &file.pool, *pack, *id)?], &mut take)?,
            }
        }
        Ok(())
    }

    /// Returns what went wrong, or that the file is not as long as it was listed.
    pub(crate) fn ended(self) -> Result<()> {
        match self.failure {
            Some(failure) => Err(failure),
            None if self.bytes != self.file.size => {
                Err(Error::damaged(format!("a file of {} bytes where {} are listed", self.bytes, self.file.size)))
            }
            None => Ok(()),
        }
    }
}

impl Read for StoredReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while self.buffer.is_empty() && self.next < self.file.chunks.len() {
            if let Err(error) = self.fill() {
                self.failure = Some(error);
                return Err(std::io::ErrorKind::InvalidData.into());
            }
        }
        let read = self.buffer.read(out)?;
        self.bytes += read as u64;
        Ok(read)
    }
}
