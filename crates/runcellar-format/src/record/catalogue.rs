//! The directory of the catalogue: which blocks there are, and up to which change they speak.

use bincode::{Decode, Encode};

use super::Body;

/// One block of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct CatalogueBlock {
    /// Its object id, drawn anew whenever it is written.
    pub id: [u8; 16],
    /// Its rows.
    pub rows: u32,
    /// Its parts, the main part included.
    pub parts: u32,
}

/// The directory. It names no run but those that no block holds, and holds nothing that a user wrote.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct CatalogueDirectory {
    /// The blocks, the oldest first: of several rows of one run the last counts.
    pub blocks: Vec<CatalogueBlock>,
    /// For each device the sequence of the last change that the blocks speak of; a device that is missing: none.
    pub covered: Vec<([u8; 16], u64)>,
    /// Runs that no block holds though they were not changed since: their records are too large, or cannot be read.
    pub outside: Vec<[u8; 16]>,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Body for CatalogueDirectory {
    const NAME: &'static str = "catalogue directory";
}
