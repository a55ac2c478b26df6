//! Blobs: the content of files as chunks, sealed, in packs.
//!
//! A file is cut where its content says ([`BlobKeys::cut`]), so that an edit moves few cuts; a chunk is named by a keyed
//! hash ([`BlobKeys::chunk_id`]), takes the form that pays ([`probe`], [`encode`]), is sealed under a key of its own
//! ([`seal_chunk`]), and stands in a pack, which says itself what it holds ([`finish`], [`open_directory`]). The keys of a
//! pack's chunks are its [`Bucket`]. docs/FORMAT.md, "Packs".
//!
//! What must never be here: which chunks are known already, files, threads, randomness: ids, keys and salts are given.

mod bucket;
mod chunker;
mod counts;
mod form;
mod keys;
mod pack;
mod planes;
mod probe;
mod sealed;

pub use bucket::Bucket;
pub use chunker::{CUTS, Cuts};
pub use form::{Effort, Form, decode, encode};
pub use keys::BlobKeys;
pub use pack::{
    Directory, Entry, PACK_HEADER_BYTES, PADDING_BYTES_MIN, TRAILER_BYTES, check_header, check_padding,
    directory_range, finish, header, open_directory, read_header, tail,
};
pub use probe::probe;
pub use sealed::{CHUNK_OVERHEAD_BYTES, open_chunk, seal_chunk};

/// The shortest chunk, unless a file ends before it.
pub const CHUNK_BYTES_MIN: usize = 32 << 10;
/// How long chunks of random bytes are on average, as [`CUTS`] make them.
pub const CHUNK_BYTES_AVERAGE: usize = 102 << 10;
/// The longest chunk, and so the most that decoding one takes.
pub const CHUNK_BYTES_MAX: usize = 256 << 10;
/// A pack is closed when its chunks would take more than this with the next one.
pub const PACK_BYTES_TARGET: usize = 16 << 20;
/// The most chunks of one pack, and so keys of one bucket.
pub const PACK_CHUNKS_MAX: usize = 4096;
