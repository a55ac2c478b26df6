//! The sealers: name each chunk, and seal it if it is new.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use runcellar_format::blob::{self, Bucket, Form};
use runcellar_format::{ChunkId, DeviceId, ObjectId, Secret};

use super::batch::{Batch, Done, Outcome, Piece};
use super::{Batches, Shared};
use crate::blob::Damaged;
use crate::blob::pack::PackData;
use crate::blob::pool::Found;
use crate::{Error, Result, io};

/// Chunks in a row that took one form before only some of those that follow are probed.
const STEADY_AFTER: u32 = 8;
/// Of those, one in so many.
const PROBE_EVERY: u32 = 8;

/// What this put has written, and what it relies on.
#[derive(Default)]
pub(super) struct Local {
    /// Chunks of the pack that is open.
    pub(super) open: HashMap<ChunkId, ObjectId>,
    /// Packs that are closed and not known to the database yet.
    pub(super) pending: HashMap<ObjectId, Arc<Vec<ChunkId>>>,
    /// Chunks of these.
    pub(super) pending_chunks: HashMap<ChunkId, ObjectId>,
    /// Packs of the database in which chunks were found, and versions of their buckets.
    pub(super) relied_on: HashMap<ObjectId, (DeviceId, u64)>,
    /// Chunks that were found damaged in packs of the database, and are stored again.
    pub(super) damaged: Damaged,
}

impl Local {
    pub(super) fn find(&self, id: ChunkId) -> Option<ObjectId> {
        self.open.get(&id).or_else(|| self.pending_chunks.get(&id)).copied()
    }

    /// Remembers that chunks of a pack are relied on.
    pub(super) fn rely_on(&mut self, found: Found) {
        self.relied_on.entry(found.pack).or_insert(found.version);
    }

    /// Remembers that this put made packs known, which may be removed before its manifest names their chunks.
    pub(super) fn rely_on_own(&mut self, packs: impl Iterator<Item = ObjectId>, version: (DeviceId, u64)) {
        self.relied_on.extend(packs.map(|pack| (pack, version)));
    }

    pub(super) fn rely_on_pack(&mut self, pack: &PackData) {
        self.rely_on(Found { pack: pack.id, version: pack.version });
    }
}

/// The version that stands for "written by this put".
const OWN: (DeviceId, u64) = (DeviceId::NIL, 0);

/// Tells the writer that a sealer has ended: it may be waiting for a batch that will not come.
pub(super) struct Ended<'a>(pub(super) &'a SyncSender<Option<Batch>>);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        // If the writer has ended, too, there is nobody to tell.
        let _ = self.0.send(None);
    }
}

pub(super) fn run(shared: &Shared<'_>, take: &Batches, to: &SyncSender<Option<Batch>>) -> Result<()> {
    let mut forms = Forms::default();
    loop {
        // The lock is held while waiting: the others wait for the same thing.
        let next = take.lock().unwrap_or_else(std::sync::PoisonError::into_inner).recv();
        let Ok(mut batch) = next else { return Ok(()) };
        if shared.is_stopped() {
            return Ok(());
        }
        seal_batch(shared, &mut batch, &mut forms)?;
        if to.send(Some(batch)).is_err() {
            return Ok(());
        }
    }
}

fn seal_batch(shared: &Shared<'_>, batch: &mut Batch, forms: &mut Forms) -> Result<()> {
    let workspace = shared.inner.id;
    let mut rest = batch.content.as_slice();
    let mut new = 0;
    for piece in &batch.pieces {
        let Piece::Chunk(raw_len) = *piece else { continue };
        let Some((content, after)) = rest.split_at_checked(raw_len as usize) else { break };
        rest = after;
        let id = shared.pool.keys.chunk_id(content);
        let own = shared.local().find(id).map(|pack| Found { pack, version: OWN });
        let found = match own {
            Some(found) => Some(found),
            None => shared.pool.locate_where(shared.inner, id, &mut |pack| shared.is_whole(pack, id))?,
        };
        new += usize::from(found.is_none());
        let outcome = found.map_or(Outcome::New { form: Form::Raw, stored_len: 0 }, Outcome::Known);
        batch.chunks.push(Done { id, raw_len, outcome });
    }
    if new == 0 {
        return Ok(());
    }
    // One secret for all of them: half of what a chunk takes beside its content would be its key.
    let keys = Bucket::grow(Secret::new(io::random(&*shared.inner.io)?), new);
    batch.keys = keys.map_err(|cause| Error::format("keys of chunks", cause))?;
    let mut keys = batch.keys.keys().into_iter().flatten();
    let mut rest = batch.content.as_slice();
    for Done { id, raw_len, outcome } in &mut batch.chunks {
        let Some((content, after)) = rest.split_at_checked(*raw_len as usize) else { break };
        rest = after;
        if let Outcome::New { form, stored_len } = outcome
            && let Some(key) = keys.next()
        {
            let from = batch.sealed.len();
            let effort = shared.options.effort;
            let chosen = forms.choose(content, || blob::probe(content, effort));
            *form = blob::encode(chosen, effort, content, &mut batch.sealed);
            forms.took(*form);
            blob::seal_chunk(workspace, &key, *id, *form, *raw_len, &mut batch.sealed, from);
            *stored_len = u32::try_from(batch.sealed.len() - from).unwrap_or(u32::MAX);
        }
    }
    Ok(())
}

/// Which form pays: chunks that follow one another are mostly alike, so not each is probed.
#[derive(Default)]
struct Forms {
    last: Option<Form>,
    alike: u32,
}

impl Forms {
    fn choose(&mut self, content: &[u8], probe: impl FnOnce() -> Form) -> Form {
        match self.last {
            // Whole chunks only: small files have nothing to do with one another.
            Some(last)
                if content.len() >= blob::CHUNK_BYTES_MIN
                    && self.alike >= STEADY_AFTER
                    && !self.alike.is_multiple_of(PROBE_EVERY) =>
            {
                last
            }
            _ => probe(),
        }
    }

    fn took(&mut self, form: Form) {
        self.alike = if self.last == Some(form) { self.alike.wrapping_add(1) } else { 0 };
        self.last = Some(form);
    }
}

/// Returns true if a place is in a pack of this put.
pub(super) fn is_own(found: Found) -> bool {
    found.version == OWN
}
