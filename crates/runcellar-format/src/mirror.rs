//! The mirror of the root row, which lies beside the key file: by it an older copy of the workspace put back is noticed.
//! docs/FORMAT.md, "Mirror".

use crate::codec::{Reader, Writer};
use crate::error::{FormatError, Result};
use crate::id::LineageId;
use crate::seal::checksum;

const WHAT: &str = "mirror";
const MAGIC: [u8; 8] = *b"rcmirror";
const VERSION: u16 = 1;

/// What a mirror file says: the last root row that this machine knows of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mirror {
    /// The history that the root row belongs to.
    pub lineage: LineageId,
    /// Its counter of write transactions.
    pub counter: u64,
    /// Its keyed sum.
    pub sum: [u8; 32],
}

impl Mirror {
    /// Bytes of the file.
    pub const BYTES: usize = 8 + 2 + 2 + 16 + 8 + 32 + 32;

    /// Returns the file's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(Self::BYTES);
        out.raw(&MAGIC).u16(VERSION).u16(0).raw(&self.lineage.0).u64(self.counter).raw(&self.sum);
        let sum = checksum(out.as_slice());
        out.raw(&sum);
        out.into_vec()
    }

    /// Reads a mirror file.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] if it is none, [`FormatError::NewerVersion`], [`FormatError::Truncated`],
    /// [`FormatError::Damaged`] for a wrong checksum.
    pub fn decode(bytes: &[u8]) -> Result<Mirror> {
        let mut reader = Reader::new(WHAT, bytes);
        if reader.array()? != MAGIC {
            return Err(reader.malformed("not a mirror file"));
        }
        let version = reader.u16()?;
        reader.version(version.into(), VERSION.into())?;
        if reader.u16()? != 0 {
            return Err(reader.malformed("reserved bits are set"));
        }
        let mirror = Mirror { lineage: LineageId(reader.array()?), counter: reader.u64()?, sum: reader.array()? };
        let found: [u8; 32] = reader.array()?;
        reader.finish()?;
        if mirror.encode().get(Self::BYTES - 32..) != Some(&found[..]) {
            return Err(FormatError::Damaged { what: WHAT });
        }
        Ok(mirror)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_reads_back_and_every_flip_is_refused() {
        let mirror = Mirror { lineage: LineageId([1; 16]), counter: 7, sum: [2; 32] };
        let bytes = mirror.encode();
        assert_eq!(bytes.len(), Mirror::BYTES);
        assert_eq!(Mirror::decode(&bytes), Ok(mirror));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Mirror::decode(&flipped).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(Mirror::decode(&bytes[..len]).is_err(), "length {len}");
        }
        assert!(Mirror::decode(&[&bytes[..], &[0]].concat()).is_err());
    }
}
