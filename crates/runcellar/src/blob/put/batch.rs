//! What goes round between the stages of a put: a buffer of content, with what is in it.

use runcellar_format::ChunkId;
use runcellar_format::blob::{Bucket, Form};
use runcellar_format::record::{FileFacts, ManifestEntry};

use super::super::manifest::PlacedChunk;
use crate::blob::pool::Found;

/// About a megabyte of content, or many small files.
#[derive(Default)]
pub(super) struct Batch {
    /// Its place in the order of reading.
    pub(super) number: u64,
    /// Content: the chunks, one after the other.
    pub(super) content: Vec<u8>,
    pub(super) pieces: Vec<Piece>,
    /// Sealed bytes of the chunks that are new, one after the other.
    pub(super) sealed: Vec<u8>,
    /// What became of each chunk, in order.
    pub(super) chunks: Vec<Done>,
    /// Keys of those that are new, in order.
    pub(super) keys: Bucket,
}

/// What the reader says, in order.
pub(super) enum Piece {
    /// An entry begins. Chunks that follow are its own.
    Begin(ManifestEntry),
    /// The next bytes of the content are a chunk of this length.
    Chunk(u32),
    /// Chunks that are there already, from an earlier version.
    Known(Vec<PlacedChunk>),
    /// What was read of the file does not count: it changed, and is read again.
    Again,
    /// The entry is whole. Of a file that was read: its length and what tells it from a later state.
    End(Option<(u64, FileFacts)>),
}

/// What became of a chunk.
pub(super) struct Done {
    pub(super) id: ChunkId,
    pub(super) raw_len: u32,
    pub(super) outcome: Outcome,
}

pub(super) enum Outcome {
    /// It was there.
    Known(Found),
    /// It was sealed.
    New { form: Form, stored_len: u32 },
}

impl Batch {
    /// Empties it for the next use; its memory stays.
    pub(super) fn clear(&mut self) {
        self.content.clear();
        self.pieces.clear();
        self.sealed.clear();
        self.chunks.clear();
        self.keys = Bucket::default();
    }
}
