//! Where the file of a pack lies that is not here.

use bincode::{Decode, Encode};

use super::Body;

/// A pack whose file was evicted: a remote has it, as was proven by reading it back. Its directory and keys are still here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Away {
    /// The remote that was read.
    pub remote: [u8; 16],
    /// The device below whose name the pack lies there.
    pub device: [u8; 16],
    /// Bytes of the file.
    pub bytes: u64,
    /// BLAKE3 of the file.
    pub hash: [u8; 32],
    /// When it was read back, microseconds UTC since 1970.
    pub time: i64,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Body for Away {
    const NAME: &'static str = "evicted pack";
}
