//! Reading chunks out of pack files.

use std::collections::HashMap;
use std::sync::Arc;

use runcellar_format::blob::{self, Form};
use runcellar_format::{ChunkId, ObjectId};

use crate::blob::pack::{PackData, pack_path};
use crate::blob::pool::Pool;
use crate::io::{self, IoFile};
use crate::workspace::Inner;
use crate::{Error, ErrorKind, Result};

/// Pack files that a reader keeps open at most.
const FILES_MAX: usize = 16;

/// A chunk, and where it is.
#[derive(Clone)]
pub(crate) struct Placed {
    pub(crate) pack: Arc<PackData>,
    pub(crate) slot: usize,
}

impl Placed {
    /// Finds a chunk where a manifest says that it was, or where it is now.
    pub(crate) fn find(inner: &Inner, pool: &Pool, hint: Option<ObjectId>, id: ChunkId) -> Result<Placed> {
        let mut damaged = None;
        let hinted = match hint.map(|hint| pool.pack(inner, hint)) {
            Some(Err(error)) if error.kind() == ErrorKind::Damaged => {
                damaged = Some(error);
                None
            }
            found => found.transpose()?.flatten(),
        };
        if let Some(placed) = hinted.and_then(|pack| Placed::within(pack, id)) {
            return Ok(placed);
        }
        inner.read(|tx, keyring| pool.refresh(tx, keyring))?;
        let found = pool.locate(inner, id)?.map(|found| pool.usable(inner, found.pack)).transpose()?.flatten();
        found.and_then(|pack| Placed::within(pack, id)).ok_or_else(|| {
            let elsewhere = || match hint {
                Some(hint) => format!("chunk {id} is missing: it is not in pack {hint}, nor in any other"),
                None => format!("chunk {id} is missing"),
            };
            damaged.unwrap_or_else(|| Error::damaged(elsewhere()))
        })
    }

    fn within(pack: Arc<PackData>, id: ChunkId) -> Option<Placed> {
        let slot = pack.slot(id).filter(|slot| pack.bucket.get(*slot).is_some())?;
        Some(Placed { pack, slot })
    }

    pub(crate) fn raw_len(&self) -> u32 {
        self.pack.entries.get(self.slot).map_or(0, |entry| entry.raw_len)
    }

    fn is_followed_by(&self, next: &Placed) -> bool {
        Arc::ptr_eq(&self.pack, &next.pack) && self.slot + 1 == next.slot
    }
}

/// What became of reading chunks.
enum Read {
    Done,
    /// Their pack has no file.
    Gone(Error),
}

/// Opens chunks; one a thread.
pub(crate) struct PackReader<'a> {
    inner: &'a Inner,
    pool: &'a Pool,
    files: HashMap<ObjectId, Arc<dyn IoFile>>,
    sealed: Vec<u8>,
    plain: Vec<u8>,
}

impl<'a> PackReader<'a> {
    pub(crate) fn new(inner: &'a Inner, pool: &'a Pool) -> PackReader<'a> {
        PackReader { inner, pool, files: HashMap::new(), sealed: Vec::new(), plain: Vec::new() }
    }

    /// Opens chunks in order and calls `each` with the content of each.
    pub(crate) fn read(&mut self, chunks: &[Placed], each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        for run in chunks.chunk_by(Placed::is_followed_by) {
            match self.read_run(run, each)? {
                Read::Done => {}
                // Written into another pack since it was looked up.
                Read::Gone(error) => {
                    self.pool.forget();
                    for chunk in run {
                        let id = chunk.pack.entries.get(chunk.slot).map(|entry| entry.id);
                        let Some(id) = id else { continue };
                        let moved = Placed::find(self.inner, self.pool, None, id)?;
                        if moved.pack.id == chunk.pack.id {
                            return Err(error);
                        }
                        if let Read::Gone(error) = self.read_run(std::slice::from_ref(&moved), each)? {
                            return Err(error);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Opens chunks that stand one after the other.
    fn read_run(&mut self, run: &[Placed], each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<Read> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(Read::Done) };
        let (start, end) = (span(first)?.0, span(last)?.1);
        let bytes = match self.bytes(first.pack.id, start, end)? {
            Ok(bytes) => bytes,
            Err(gone) => return Ok(Read::Gone(gone)),
        };
        let mut rest = bytes.as_slice();
        for chunk in run {
            let (from, to) = span(chunk)?;
            let Some((sealed, after)) = rest.split_at_checked(usize::try_from(to - from).unwrap_or(usize::MAX)) else {
                let message = format!("pack {}: ends early, at {} bytes", chunk.pack.id, start + bytes.len() as u64);
                return Err(Error::damaged(message));
            };
            rest = after;
            let plain = self.open(chunk, sealed)?;
            each(plain)?;
        }
        Ok(Read::Done)
    }

    fn open(&mut self, chunk: &Placed, sealed: &[u8]) -> Result<&[u8]> {
        let (pack, slot) = (&chunk.pack, chunk.slot);
        let damaged = || format!("chunk {slot} of pack {}", pack.id);
        let (Some(entry), Some(key)) = (pack.entries.get(slot), pack.bucket.get(slot)) else {
            return Err(Error::damaged(format!("{}: missing", damaged())));
        };
        self.sealed.clear();
        self.sealed.extend_from_slice(sealed);
        blob::open_chunk(self.inner.id, key, entry.id, entry.form, entry.raw_len, &mut self.sealed)
            .map_err(|cause| Error::format(damaged(), cause))?;
        let plain = if entry.form == Form::Raw {
            &self.sealed
        } else {
            self.plain.clear();
            blob::decode(entry.form, entry.raw_len as usize, &self.sealed, &mut self.plain)
                .map_err(|cause| Error::format(damaged(), cause))?;
            &self.plain
        };
        if self.pool.keys.chunk_id(plain) != entry.id {
            return Err(Error::damaged(format!("{}: its content is not what its id says", damaged())));
        }
        Ok(plain)
    }

    /// Reads a stretch of a pack; the inner error says that its file is not there.
    fn bytes(&mut self, pack: ObjectId, start: u64, end: u64) -> Result<Result<Vec<u8>>> {
        let path = pack_path(&self.inner.path, pack);
        let file = match self.files.get(&pack) {
            Some(file) => file.clone(),
            None => {
                let file = match self.inner.io.open(&path) {
                    Ok(file) => file,
                    Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
                        let gone = format!("pack {pack}: its file is missing");
                        return Ok(Err(Error::new(ErrorKind::Damaged, gone).with_cause(cause)));
                    }
                    Err(cause) => return Err(Error::io("open pack", &path, cause)),
                };
                if self.files.len() >= FILES_MAX {
                    self.files.clear();
                }
                self.files.insert(pack, file.clone());
                file
            }
        };
        let len = usize::try_from(end - start).unwrap_or(usize::MAX);
        // What the disk does not give back is lost as what it gives back changed: the rest comes out all the same.
        let unreadable = |cause| Error::damaged(format!("pack {pack}: cannot be read: {cause}")).with_cause(cause);
        io::read_range(&*file, start, len).map_err(unreadable).map(Ok)
    }
}

/// Where a chunk begins and ends in its file.
fn span(chunk: &Placed) -> Result<(u64, u64)> {
    let Placed { pack, slot } = chunk;
    match (pack.offsets.get(*slot), pack.entries.get(*slot)) {
        (Some(offset), Some(entry)) => Ok((*offset, offset + u64::from(entry.stored_len))),
        _ => Err(Error::damaged(format!("chunk {slot} of pack {}: not in its directory", pack.id))),
    }
}
