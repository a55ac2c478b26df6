//! Opening all chunks of packs, and their padding.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use runcellar_format::ObjectId;
use runcellar_format::blob::{self, PADDING_BYTES_MIN};

use crate::blob::{PackData, Pool, open_content, pack_path};
use crate::io::{self, IoFile};
use crate::workspace::Inner;
use crate::{Error, Result};

/// Threads at most.
const READERS_MAX: usize = 8;

/// What is wrong in a pack.
#[derive(Default)]
pub(super) struct Found {
    /// Chunks by slot.
    pub(super) chunks: Vec<(usize, String)>,
    pub(super) padding: Option<String>,
    /// Bytes that were opened.
    pub(super) bytes: u64,
}

/// Opens the padding of packs and the chunks of those that are chosen, several packs at a time.
pub(super) fn read_packs(
    inner: &Inner,
    pool: &Pool,
    packs: &[Arc<PackData>],
    chunks: &(dyn Fn(ObjectId) -> bool + Sync),
) -> Vec<Found> {
    let found: Vec<Mutex<Found>> = packs.iter().map(|_| Mutex::default()).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((pack, found)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            packs.get(at).zip(found.get(at))
        } {
            *found.lock().unwrap_or_else(PoisonError::into_inner) = read_pack(inner, pool, pack, chunks(pack.id));
        }
    };
    let readers = std::thread::available_parallelism().map_or(1, usize::from).min(READERS_MAX).min(packs.len());
    std::thread::scope(|scope| {
        for _ in 1..readers {
            // Without more threads it takes longer.
            let _ = std::thread::Builder::new().name("runcellar-check".into()).spawn_scoped(scope, work);
        }
        work();
    });
    found.into_iter().map(|found| found.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
}

fn read_pack(inner: &Inner, pool: &Pool, pack: &PackData, chunks: bool) -> Found {
    let mut found = Found::default();
    let Ok(file) = inner.io.open(&pack_path(&inner.path, pack.id)) else {
        // That it cannot be opened was found before; a file that goes while it is checked was collected.
        return found;
    };
    let (mut sealed, mut plain) = (Vec::new(), Vec::new());
    for slot in 0..if chunks { pack.entries.len() } else { 0 } {
        match read_chunk(inner, pool, pack, &*file, slot, (&mut sealed, &mut plain)) {
            Ok(bytes) => found.bytes += bytes,
            Err(error) => found.chunks.push((slot, error.to_string())),
        }
    }
    found.padding = check_padding(pool, pack, &*file).err().map(|error| error.to_string());
    found
}

/// Returns whether any chunk opens where it should stand: then the file is this pack's.
pub(super) fn opens_any(inner: &Inner, pool: &Pool, pack: &PackData) -> bool {
    let Ok(file) = inner.io.open(&pack_path(&inner.path, pack.id)) else { return false };
    let (mut sealed, mut plain) = (Vec::new(), Vec::new());
    (0..pack.entries.len()).any(|slot| {
        let read = read_chunk(inner, pool, pack, &*file, slot, (&mut sealed, &mut plain));
        read.is_ok_and(|bytes| bytes > 0)
    })
}

/// Opens a chunk and compares its id; returns the bytes that it takes in the file.
fn read_chunk(
    inner: &Inner,
    pool: &Pool,
    pack: &PackData,
    file: &dyn IoFile,
    slot: usize,
    (sealed, plain): (&mut Vec<u8>, &mut Vec<u8>),
) -> Result<u64> {
    let (Some(entry), Some(_), Some(offset)) = (pack.entries.get(slot), pack.key(slot), pack.offsets.get(slot)) else {
        // Its key was dropped: nobody can read it, and nothing needs it.
        return Ok(0);
    };
    let noun = || format!("chunk {slot} of pack {}", pack.id);
    sealed.resize(entry.stored_len as usize, 0);
    let read = io::read_into(file, *offset, sealed);
    let read = read.map_err(|cause| Error::damaged(format!("{}: cannot be read: {cause}", noun())))?;
    sealed.truncate(read);
    open_content(inner, pool, pack, slot, sealed, plain)?;
    Ok(entry.stored_len.into())
}

fn check_padding(pool: &Pool, pack: &PackData, file: &dyn IoFile) -> Result<()> {
    let noun = || format!("padding of pack {}", pack.id);
    let len = usize::try_from(pack.padding.end - pack.padding.start).unwrap_or(PADDING_BYTES_MIN as usize);
    let padding = io::read_range(file, pack.padding.start, len)
        .map_err(|cause| Error::damaged(format!("{}: cannot be read: {cause}", noun())))?;
    blob::check_padding(&pool.keys, pack.id, &padding).map_err(|cause| Error::format(noun(), cause))
}
