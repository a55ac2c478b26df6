//! The writer: takes batches in the order in which they were read, writes new chunks into packs, and lists files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use runcellar_format::blob::{self, Bucket, Entry, PACK_BYTES_TARGET, PACK_CHUNKS_MAX, PACK_HEADER_BYTES};
use runcellar_format::record::{Content, ManifestDigest, ManifestEntry};
use runcellar_format::{ChunkId, ObjectId};

use super::batch::{Batch, Done, Outcome, Piece};
use super::sync::ClosedPack;
use super::{ManifestWriter, Shared, seal};
use crate::blob::manifest::PlacedChunk;
use crate::io::{self, IoFile};
use crate::workspace::TMP;
use crate::{Error, Result};

/// What is left when all was read.
pub(super) struct Collected {
    pub(super) manifest: ManifestWriter,
    pub(super) digest: [u8; 32],
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) new_bytes: u64,
}

/// Takes batches until there are no more; none if the put was stopped.
pub(super) fn run(
    shared: &Shared<'_>,
    take: &Receiver<Option<Batch>>,
    empty: &SyncSender<Batch>,
    closed: SyncSender<ClosedPack>,
) -> Result<Option<Collected>> {
    let mut writer = Writer {
        shared,
        closed,
        open: None,
        manifest: ManifestWriter::default(),
        digest: ManifestDigest::new(),
        entry: None,
        chunks: Vec::new(),
        files: 0,
        bytes: 0,
        new_bytes: 0,
    };
    // Sealers end in any order. No more than there are buffers wait here.
    let mut waiting = BTreeMap::new();
    let mut next = 0;
    while let Ok(batch) = take.recv() {
        if shared.is_stopped() {
            return Ok(None);
        }
        let Some(batch) = batch else { continue };
        waiting.insert(batch.number, batch);
        while let Some(mut batch) = waiting.remove(&next) {
            writer.take(&mut batch)?;
            next += 1;
            batch.clear();
            // The reader has ended if it takes none.
            let _ = empty.send(batch);
        }
    }
    if shared.is_stopped() || !waiting.is_empty() {
        return Ok(None);
    }
    writer.close_pack()?;
    writer.manifest.finish()?;
    Ok(Some(Collected {
        digest: std::mem::take(&mut writer.digest).finish(),
        manifest: std::mem::take(&mut writer.manifest),
        files: writer.files,
        bytes: writer.bytes,
        new_bytes: writer.new_bytes,
    }))
}

struct Writer<'a> {
    shared: &'a Shared<'a>,
    closed: SyncSender<ClosedPack>,
    open: Option<OpenPack>,
    manifest: ManifestWriter,
    digest: ManifestDigest,
    /// The entry that is being read, and its chunks so far.
    entry: Option<ManifestEntry>,
    chunks: Vec<PlacedChunk>,
    files: u64,
    bytes: u64,
    new_bytes: u64,
}

struct OpenPack {
    id: ObjectId,
    path: PathBuf,
    file: Arc<dyn IoFile>,
    len: usize,
    entries: Vec<Entry>,
    bucket: Bucket,
}

/// What of a batch belongs to the open pack, and has yet to be written there.
struct Waiting<'a> {
    /// The sealed chunks of the batch; those that wait are at `written..at`.
    sealed: &'a [u8],
    written: usize,
    at: usize,
    /// Keys of the chunks from the first that waits on; `count` of them wait.
    keys: Bucket,
    count: usize,
}

impl Waiting<'_> {
    /// Takes what waits.
    fn take(&mut self) -> (&[u8], Bucket) {
        let bytes = self.sealed.get(self.written..self.at).unwrap_or_default();
        let behind = self.keys.split_off(self.count);
        (self.written, self.count) = (self.at, 0);
        (bytes, std::mem::replace(&mut self.keys, behind))
    }

    /// Passes over the next chunk, when nothing waits.
    fn leave_out(&mut self, stored_len: u32) {
        self.at += stored_len as usize;
        self.count += 1;
        drop(self.take());
    }
}

impl Writer<'_> {
    fn take(&mut self, batch: &mut Batch) -> Result<()> {
        let mut done = std::mem::take(&mut batch.chunks).into_iter();
        let keys = std::mem::take(&mut batch.keys);
        let mut waiting = Waiting { sealed: &batch.sealed, written: 0, at: 0, keys, count: 0 };
        for piece in batch.pieces.drain(..) {
            match piece {
                Piece::Begin(entry) => {
                    self.entry = Some(entry);
                    self.chunks.clear();
                }
                Piece::Known(chunks) => self.chunks.extend(chunks),
                Piece::Again => self.chunks.clear(),
                Piece::Chunk(_) => {
                    let Some(chunk) = done.next() else { break };
                    self.chunk(chunk, &mut waiting)?;
                }
                Piece::End(read) => self.end(read)?,
            }
        }
        self.append(&mut waiting)
    }

    /// Places one chunk.
    fn chunk(&mut self, chunk: Done, waiting: &mut Waiting<'_>) -> Result<()> {
        let Done { id, raw_len, outcome } = chunk;
        let pack = match outcome {
            Outcome::Known(found) => {
                if !seal::is_own(found) {
                    self.shared.local().rely_on(found);
                }
                found.pack
            }
            Outcome::New { form, stored_len } => {
                let twin = self.shared.local().find(id);
                match twin {
                    // Another sealer had the same content at the same time: this one is left out.
                    Some(pack) => {
                        self.append(waiting)?;
                        waiting.leave_out(stored_len);
                        pack
                    }
                    None => {
                        if !self.has_room(stored_len) {
                            self.append(waiting)?;
                            self.close_pack()?;
                        }
                        waiting.at += stored_len as usize;
                        waiting.count += 1;
                        self.new_bytes += u64::from(raw_len);
                        self.add(Entry { id, raw_len, stored_len, form })?
                    }
                }
            }
        };
        self.chunks.push(PlacedChunk { pack, id, raw_len });
        Ok(())
    }

    fn has_room(&self, stored_len: u32) -> bool {
        self.open.as_ref().is_none_or(|open| {
            open.entries.len() < PACK_CHUNKS_MAX && open.len + stored_len as usize <= PACK_BYTES_TARGET
        })
    }

    fn add(&mut self, entry: Entry) -> Result<ObjectId> {
        let open = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(OpenPack::create(self.shared)?),
        };
        open.len += entry.stored_len as usize;
        self.shared.local().open.insert(entry.id, open.id);
        open.entries.push(entry);
        Ok(open.id)
    }

    /// Writes what waits into the open pack, and takes over its keys.
    fn append(&mut self, waiting: &mut Waiting<'_>) -> Result<()> {
        match &mut self.open {
            Some(open) if waiting.count > 0 => {
                let (bytes, keys) = waiting.take();
                open.bucket.append(keys);
                io::write_all(&*open.file, bytes).map_err(|cause| Error::io("write pack", &open.path, cause))
            }
            _ => Ok(()),
        }
    }

    fn close_pack(&mut self) -> Result<()> {
        // Of a pack that cannot be closed, `drop` removes the file.
        let Some(open) = &self.open else { return Ok(()) };
        let Shared { inner, pool, .. } = self.shared;
        let salt = io::random(&*inner.io)?;
        let (tail, directory) = blob::finish(&pool.keys, &pool.key, salt, open.id, &open.entries)
            .map_err(|cause| Error::format(format_args!("pack {}", open.id), cause))?;
        io::write_all(&*open.file, &tail).map_err(|cause| Error::io("write pack", &open.path, cause))?;
        let Some(open) = self.open.take() else { return Ok(()) };
        let ids: Vec<ChunkId> = open.entries.iter().map(|entry| entry.id).collect();
        {
            let mut local = self.shared.local();
            local.open.clear();
            local.pending_chunks.extend(ids.iter().map(|id| (*id, open.id)));
            local.pending.insert(open.id, Arc::new(ids));
        }
        let OpenPack { id, path, file, entries, bucket, .. } = open;
        // The syncer has failed if it takes none; it reports why.
        if let Err(refused) = self.closed.send(ClosedPack { id, path, file, entries, bucket, directory }) {
            let _ = inner.io.remove(&refused.0.path);
        }
        Ok(())
    }

    fn end(&mut self, read: Option<(u64, runcellar_format::record::FileFacts)>) -> Result<()> {
        let Some(mut entry) = self.entry.take() else { return Ok(()) };
        if let Content::File(file) = &mut entry.content {
            if let Some((size, source)) = read {
                (file.size, file.source) = (size, source);
            }
            self.files += 1;
            self.bytes += file.size;
        }
        self.digest.entry(&entry);
        for chunk in &self.chunks {
            self.digest.chunk(chunk.id);
        }
        self.manifest.add(entry, &self.chunks)?;
        self.chunks.clear();
        Ok(())
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            // Something has failed, which is reported; what stays is swept away later.
            let _ = self.shared.inner.io.remove(&open.path);
        }
    }
}

impl OpenPack {
    fn create(shared: &Shared<'_>) -> Result<OpenPack> {
        let inner = shared.inner;
        let id = ObjectId(io::random(&*inner.io)?);
        let path = inner.path.join(TMP).join(format!("{id}.pack"));
        let file = inner.io.create_new(&path).map_err(|cause| Error::io("create pack", &path, cause))?;
        if let Err(cause) = io::write_all(&*file, &blob::header(id)) {
            // What stays is swept away later.
            let _ = inner.io.remove(&path);
            return Err(Error::io("write pack", &path, cause));
        }
        Ok(OpenPack { id, path, file, len: PACK_HEADER_BYTES, entries: Vec::new(), bucket: Bucket::default() })
    }
}
