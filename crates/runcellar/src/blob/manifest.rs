//! Manifests: written and read part by part, so that a million files take no more memory than a few thousand.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use runcellar_format::ChunkId;
use runcellar_format::ObjectId;
use runcellar_format::record::{
    Body, Content, FileContent, MANIFEST_CHUNKS_MAX, MANIFEST_ENTRIES_MAX, MANIFEST_TEXT_MAX, Manifest, ManifestEntry,
};
use runcellar_format::seal::{Kind, OwnerKey};

use crate::db::{Cover, ObjectKey, WriteTx};
use crate::workspace::Inner;
use crate::{Error, Result};

/// Compares paths of a manifest: component by component, each by its bytes. So what is below a directory stands together.
pub(crate) fn path_order(left: &[u8], right: &[u8]) -> Ordering {
    left.split(|byte| *byte == b'/').cmp(right.split(|byte| *byte == b'/'))
}

/// A chunk of a file, and the pack that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlacedChunk {
    pub(crate) pack: ObjectId,
    pub(crate) id: ChunkId,
    pub(crate) raw_len: u32,
}

/// Collects entries into parts.
#[derive(Default)]
pub(crate) struct ManifestWriter {
    /// Bodies of the parts that are full.
    pub(crate) parts: Vec<Vec<u8>>,
    /// First path of each part.
    pub(crate) firsts: Vec<Vec<u8>>,
    part: Manifest,
    pack_numbers: HashMap<ObjectId, u32>,
    chunks: usize,
    text: usize,
}

impl ManifestWriter {
    /// Adds an entry. What chunks a file has is given beside it: where each lies, and how long it is.
    pub(crate) fn add(&mut self, entry: ManifestEntry, chunks: &[PlacedChunk]) -> Result<()> {
        let text = entry.path.len() + text_of(&entry.content);
        let is_full = self.part.entries.len() >= MANIFEST_ENTRIES_MAX
            || self.chunks + chunks.len().min(MANIFEST_CHUNKS_MAX) > MANIFEST_CHUNKS_MAX
            || self.text + text > MANIFEST_TEXT_MAX;
        if is_full && !self.part.entries.is_empty() {
            self.close()?;
        }
        self.text += text;
        self.part.entries.push(entry);
        let mut offset = 0;
        for chunk in chunks {
            if self.chunks >= MANIFEST_CHUNKS_MAX {
                self.go_on_at(offset)?;
            }
            let number = self.pack_number(chunk.pack);
            if let Some(ManifestEntry { content: Content::File(file), .. }) = self.part.entries.last_mut() {
                file.chunks.push((number, chunk.id.0));
                self.chunks += 1;
            }
            offset += u64::from(chunk.raw_len);
        }
        Ok(())
    }

    /// Goes on with the last file in another part.
    fn go_on_at(&mut self, offset: u64) -> Result<()> {
        let Some(ManifestEntry { path, content: Content::File(file), .. }) = self.part.entries.last() else {
            return Ok(());
        };
        let content = Content::File(FileContent { offset, chunks: Vec::new(), ..file.clone() });
        let more = ManifestEntry { path: path.clone(), content, extra: Vec::new() };
        self.close()?;
        self.text = more.path.len();
        self.part.entries.push(more);
        Ok(())
    }

    fn pack_number(&mut self, pack: ObjectId) -> u32 {
        let next = u32::try_from(self.part.packs.len()).unwrap_or(u32::MAX);
        let number = *self.pack_numbers.entry(pack).or_insert(next);
        if number == next {
            self.part.packs.push(pack.0);
        }
        number
    }

    /// Closes the last part.
    pub(crate) fn finish(&mut self) -> Result<()> {
        if self.part.entries.is_empty() { Ok(()) } else { self.close() }
    }

    fn close(&mut self) -> Result<()> {
        let part = std::mem::take(&mut self.part);
        self.firsts.push(part.entries.first().map(|entry| entry.path.clone()).unwrap_or_default());
        self.parts.push(part.to_body().map_err(|cause| Error::format("manifest", cause))?);
        self.pack_numbers.clear();
        (self.chunks, self.text) = (0, 0);
        Ok(())
    }
}

fn text_of(content: &Content) -> usize {
    match content {
        Content::Link(target) => target.len(),
        Content::Reference(reference) => reference.uri.len() + reference.digest.len(),
        Content::File(_) | Content::Directory => 0,
    }
}

/// Writes a manifest's parts from a position on.
pub(crate) fn put_manifest(
    tx: &mut WriteTx<'_>,
    key: &OwnerKey,
    owner: ObjectId,
    first: u64,
    parts: &[Vec<u8>],
) -> Result<()> {
    for (position, body) in (first..).zip(parts) {
        tx.put(ObjectKey::new(Kind::Manifest, owner, position), None, key, body, Cover::Root)?;
    }
    Ok(())
}

/// Removes a manifest's parts within these positions.
pub(crate) fn remove_manifest(tx: &mut WriteTx<'_>, owner: ObjectId, positions: std::ops::Range<u64>) -> Result<()> {
    for position in tx.positions(Kind::Manifest, owner)? {
        if positions.contains(&position) {
            tx.remove_object(ObjectKey::new(Kind::Manifest, owner, position))?;
        }
    }
    Ok(())
}

/// An entry as it is read, with the packs that its chunks were in.
#[derive(Clone)]
pub(crate) struct ReadEntry {
    pub(crate) entry: ManifestEntry,
    pub(crate) packs: Arc<Vec<ObjectId>>,
}

/// Reads the entries of a manifest in order, one part at a time.
pub(crate) struct ManifestReader<'a> {
    inner: &'a Inner,
    owner: ObjectId,
    positions: std::vec::IntoIter<u64>,
    packs: Arc<Vec<ObjectId>>,
    entries: std::vec::IntoIter<ManifestEntry>,
}

impl<'a> ManifestReader<'a> {
    /// Reads the parts at `positions`.
    pub(crate) fn new(
        inner: &'a Inner,
        owner: ObjectId,
        positions: impl IntoIterator<Item = u64>,
    ) -> ManifestReader<'a> {
        let positions = Vec::from_iter(positions).into_iter();
        ManifestReader { inner, owner, positions, packs: Arc::default(), entries: Vec::new().into_iter() }
    }

    fn part(&mut self, position: u64) -> Result<()> {
        let key = ObjectKey::new(Kind::Manifest, self.owner, position);
        let noun = || format!("part {} of manifest {}", key.position, key.id);
        let body = self.inner.read(|tx, keyring| {
            let row = tx.object(key)?.ok_or_else(|| Error::damaged(format!("{}: missing", noun())))?;
            tx.open_object(keyring, &row)
        })?;
        let part = Manifest::from_body(&body).map_err(|cause| Error::format(noun(), cause))?;
        self.packs = Arc::new(part.packs.into_iter().map(ObjectId).collect());
        self.entries = part.entries.into_iter();
        Ok(())
    }
}

impl Iterator for ManifestReader<'_> {
    type Item = Result<ReadEntry>;

    fn next(&mut self) -> Option<Result<ReadEntry>> {
        loop {
            if let Some(entry) = self.entries.next() {
                return Some(Ok(ReadEntry { entry, packs: self.packs.clone() }));
            }
            let position = self.positions.next()?;
            if let Err(error) = self.part(position) {
                self.positions = Vec::new().into_iter();
                return Some(Err(error));
            }
        }
    }
}
