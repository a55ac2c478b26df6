//! Reading chunks out of pack files.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use runcellar_format::blob::{self, Form};
use runcellar_format::{ChunkId, ObjectId};

use crate::blob::pack::{PackData, pack_path};
use crate::blob::pool::Pool;
use crate::blob::suspect;
use crate::io::{self, IoFile};
use crate::workspace::Inner;
use crate::{Error, ErrorKind, Result};

/// Pack files that a reader keeps open at most.
const FILES_MAX: usize = 16;

/// Sealed chunks that stand one after the other are read together until they are this long: small ones take few calls, and
/// what was read is still in the processor's cache when it is opened.
const READ_BYTES: u64 = 256 << 10;

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
        let found = match pool.locate(inner, id)? {
            Some(found) => pool.usable(inner, found.pack)?,
            None => pool.locate_evicted(inner, id)?,
        };
        found.and_then(|pack| Placed::within(pack, id)).ok_or_else(|| {
            let elsewhere = || match hint {
                Some(hint) => format!("chunk {id} is missing: it is not in pack {hint}, nor in any other"),
                None => format!("chunk {id} is missing"),
            };
            damaged.unwrap_or_else(|| Error::damaged(elsewhere()))
        })
    }

    pub(crate) fn within(pack: Arc<PackData>, id: ChunkId) -> Option<Placed> {
        let slot = pack.slot(id).filter(|slot| pack.bucket.has(*slot))?;
        Some(Placed { pack, slot })
    }

    pub(crate) fn raw_len(&self) -> u32 {
        self.pack.entries.get(self.slot).map_or(0, |entry| entry.raw_len)
    }

    fn stored_len(&self) -> u64 {
        self.pack.entries.get(self.slot).map_or(0, |entry| entry.stored_len.into())
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
        let mut bytes = 0;
        let is_read_with = |chunk: &Placed, next: &Placed| {
            bytes += chunk.stored_len();
            let more = chunk.is_followed_by(next) && bytes < READ_BYTES;
            bytes = if more { bytes } else { 0 };
            more
        };
        for run in chunks.chunk_by(is_read_with) {
            // What another device published is never here; what was evicted may lie in another pack that is.
            match self.read_run(run, self.inner.is_replica(), each)? {
                Read::Done => {}
                // Evicted, or written into another pack since it was looked up.
                Read::Gone(_) => {
                    self.pool.forget();
                    for chunk in run {
                        let id = chunk.pack.entries.get(chunk.slot).map(|entry| entry.id);
                        let Some(id) = id else { continue };
                        let moved = match Placed::find(self.inner, self.pool, None, id) {
                            // Another thread may have fetched it just now.
                            Err(error) if error.kind() == ErrorKind::Damaged => chunk.clone(),
                            found => found?,
                        };
                        if let Read::Gone(error) = self.read_run(std::slice::from_ref(&moved), true, each)? {
                            return Err(error);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns whether a chunk can be opened where it is.
    pub(crate) fn opens(&mut self, chunk: &Placed) -> bool {
        matches!(self.read_run(std::slice::from_ref(chunk), false, &mut |_| Ok(())), Ok(Read::Done))
    }

    /// Opens chunks that stand one after the other; has their pack fetched, if it is not here and `fetches`.
    fn read_run(&mut self, run: &[Placed], fetches: bool, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<Read> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(Read::Done) };
        let (start, end) = (span(first)?.0, span(last)?.1);
        let len = match self.bytes(first.pack.id, start..end, fetches)? {
            Ok(len) => len,
            Err(gone) => return Ok(Read::Gone(gone)),
        };
        let mut rest = self.sealed.get_mut(..len).unwrap_or_default();
        for chunk in run {
            let (from, to) = span(chunk)?;
            let stored_len = usize::try_from(to - from).unwrap_or(usize::MAX);
            let Some((sealed, after)) = rest.split_at_mut_checked(stored_len) else {
                suspect(self.inner, chunk.pack.id);
                let message = format!("pack {}: ends early, at {} bytes", chunk.pack.id, start + len as u64);
                return Err(Error::damaged(message));
            };
            rest = after;
            let content = open_content(self.inner, self.pool, &chunk.pack, chunk.slot, sealed, &mut self.plain);
            each(content.inspect_err(|_| suspect(self.inner, chunk.pack.id))?)?;
        }
        Ok(Read::Done)
    }

    /// Reads a stretch of a pack into `sealed` and returns how long it is; the inner error says that its file is not there.
    fn bytes(&mut self, pack: ObjectId, at: Range<u64>, fetches: bool) -> Result<Result<usize>> {
        let path = pack_path(&self.inner.path, pack);
        let file = match self.files.get(&pack) {
            Some(file) => file.clone(),
            None => {
                let file = match self.inner.io.open(&path) {
                    Ok(file) => file,
                    Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
                        let gone = format!("pack {pack}: its file is missing");
                        let gone = Error::new(ErrorKind::Damaged, gone).with_cause(cause);
                        match if fetches { self.inner.fetch_pack(pack)? } else { None } {
                            Some(file) => file,
                            None => return Ok(Err(gone)),
                        }
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
        let len = usize::try_from(at.end - at.start).unwrap_or(usize::MAX);
        // What the disk does not give back is lost as what it gives back changed: the rest comes out all the same.
        let unreadable = |cause| {
            suspect(self.inner, pack);
            Error::damaged(format!("pack {pack}: cannot be read: {cause}")).with_cause(cause)
        };
        // What was there before is read over; it would take as long to clear it as to decrypt a third of it.
        if self.sealed.len() < len {
            self.sealed.resize(len, 0);
        }
        io::read_into(&*file, at.start, self.sealed.get_mut(..len).unwrap_or_default()).map_err(unreadable).map(Ok)
    }
}

/// Opens a chunk in place and compares its content with its id. `plain` is room for content that is stored in another form.
pub(crate) fn open_content<'a>(
    inner: &Inner,
    pool: &Pool,
    pack: &PackData,
    slot: usize,
    sealed: &'a mut [u8],
    plain: &'a mut Vec<u8>,
) -> Result<&'a [u8]> {
    let noun = || format!("chunk {slot} of pack {}", pack.id);
    let (Some(entry), Some(key)) = (pack.entries.get(slot), pack.key(slot)) else {
        return Err(Error::damaged(format!("{}: missing", noun())));
    };
    let stored = blob::open_chunk(inner.id, key, entry.id, entry.form, entry.raw_len, sealed)
        .map_err(|cause| Error::format(noun(), cause))?;
    let content = if entry.form == Form::Raw {
        stored
    } else {
        if plain.len() < entry.raw_len as usize {
            plain.resize(entry.raw_len as usize, 0);
        }
        let plain = plain.get_mut(..entry.raw_len as usize).unwrap_or_default();
        blob::decode(entry.form, stored, plain).map_err(|cause| Error::format(noun(), cause))?;
        plain
    };
    if pool.keys.chunk_id(content) != entry.id {
        return Err(Error::damaged(format!("{}: its content is not what its id says", noun())));
    }
    Ok(content)
}

/// Where a chunk begins and ends in its file.
fn span(chunk: &Placed) -> Result<(u64, u64)> {
    let Placed { pack, slot } = chunk;
    match (pack.offsets.get(*slot), pack.entries.get(*slot)) {
        (Some(offset), Some(entry)) => Ok((*offset, offset + u64::from(entry.stored_len))),
        _ => Err(Error::damaged(format!("chunk {slot} of pack {}: not in its directory", pack.id))),
    }
}
