//! What was removed for good.

use bincode::{Decode, Encode};

use super::Body;

/// Something and its keys are gone: what was sealed under these is no damage, and cannot be read again.
///
/// It names ids alone, never names. docs/FORMAT.md, "Tombstones".
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Tombstone {
    /// Hybrid clock of the removal.
    pub clock: u64,
    /// Ids of the keys that were dropped.
    pub keys: Vec<[u8; 16]>,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Body for Tombstone {
    const NAME: &'static str = "tombstone";
}
