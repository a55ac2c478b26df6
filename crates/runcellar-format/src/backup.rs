//! The mark of a folder that is a copy of a workspace made by `backup`, or one that `restore-from` is still filling.
//! docs/FORMAT.md, "Backup".

use crate::codec::{Reader, Writer};
use crate::error::{FormatError, Result};
use crate::id::{LineageId, WorkspaceId};
use crate::seal::checksum;

const WHAT: &str = "backup mark";
const MAGIC: [u8; 8] = *b"rcbackup";
const VERSION: u16 = 1;

/// What a folder with a mark is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum MarkKind {
    /// A backup: whoever opens it only reads it.
    Backup = 1,
    /// A workspace to be, into which a backup is being copied.
    Restoring = 2,
}

/// What the mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// What the folder is.
    pub kind: MarkKind,
    /// The workspace of which it is a copy.
    pub workspace: WorkspaceId,
    /// The history of that workspace's copy, so that two copies that went different ways never share a backup.
    pub lineage: LineageId,
}

impl Mark {
    /// Bytes of the file.
    pub const BYTES: usize = 8 + 2 + 2 + 16 + 16 + 32;

    /// Returns the file's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(Self::BYTES);
        out.raw(&MAGIC).u16(VERSION).u16(self.kind as u16).raw(&self.workspace.0).raw(&self.lineage.0);
        let sum = checksum(out.as_slice());
        out.raw(&sum);
        out.into_vec()
    }

    /// Reads a mark.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] if it is none, [`FormatError::NewerVersion`], [`FormatError::Truncated`],
    /// [`FormatError::Damaged`] for a wrong checksum.
    pub fn decode(bytes: &[u8]) -> Result<Mark> {
        let mut reader = Reader::new(WHAT, bytes);
        if reader.array()? != MAGIC {
            return Err(reader.malformed("not a backup mark"));
        }
        let version = reader.u16()?;
        reader.version(version.into(), VERSION.into())?;
        let kind = match reader.u16()? {
            1 => MarkKind::Backup,
            2 => MarkKind::Restoring,
            _ => return Err(reader.malformed("unknown kind")),
        };
        let mark = Mark { kind, workspace: WorkspaceId(reader.array()?), lineage: LineageId(reader.array()?) };
        let found: [u8; 32] = reader.array()?;
        reader.finish()?;
        if mark.encode().get(Self::BYTES - 32..) != Some(&found[..]) {
            return Err(FormatError::Damaged { what: WHAT });
        }
        Ok(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_and_every_flip_is_refused() {
        for kind in [MarkKind::Backup, MarkKind::Restoring] {
            let mark = Mark { kind, workspace: WorkspaceId([1; 16]), lineage: LineageId([2; 16]) };
            let bytes = mark.encode();
            assert_eq!(bytes.len(), Mark::BYTES);
            assert_eq!(Mark::decode(&bytes), Ok(mark));
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(Mark::decode(&flipped).is_err(), "bit {bit}");
            }
            for len in 0..bytes.len() {
                assert!(Mark::decode(&bytes[..len]).is_err(), "length {len}");
            }
            assert!(Mark::decode(&[&bytes[..], &[0]].concat()).is_err());
        }
    }
}
