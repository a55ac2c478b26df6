//! What is kept of a purge.

use bincode::{Decode, Encode};

use super::Body;

/// A purge that was committed, and what is known of its end.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct PurgeRecord {
    /// The receipt, as JSON text: without a signature until all that it says was looked at.
    pub receipt: String,
    /// Ids of the keys that wrapped others before the purge: no file must hold a wrap under one of them.
    pub wrapping: Vec<[u8; 16]>,
    /// Generation of the ingest pair that the purge drew; those before it are to go.
    pub ingest_generation: u32,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Body for PurgeRecord {
    const NAME: &'static str = "purge record";
}
