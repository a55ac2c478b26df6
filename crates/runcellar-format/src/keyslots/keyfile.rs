//! The key file: secrets of key-file slots, outside the workspace. One file may serve several workspaces.

use crate::codec::{Reader, Writer};
use crate::error::{FormatError, Result};
use crate::id::{EpochId, SlotId, WorkspaceId};
use crate::secret::Secret;

const WHAT: &str = "key file";
const MAGIC: [u8; 8] = *b"rckeyfil";
const VERSION: u16 = 1;
/// Entries of one file.
const ENTRIES_MAX: usize = 4096;

/// The secret of one slot of one workspace.
pub struct KeyFileEntry {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The slot.
    pub slot: SlotId,
    /// The epoch for which the secret was drawn.
    pub epoch: EpochId,
    /// The secret.
    pub secret: Secret,
}

/// The content of a key file.
#[derive(Default)]
pub struct KeyFile {
    /// The entries.
    pub entries: Vec<KeyFileEntry>,
}

impl KeyFile {
    /// Returns the file's bytes, to be wiped after writing.
    ///
    /// # Errors
    /// [`FormatError::Limit`] for too many entries.
    pub fn encode(&self) -> Result<zeroize::Zeroizing<Vec<u8>>> {
        // Sized exactly, so that no reallocation leaves secrets behind.
        let mut out = Writer::with_capacity(16 + 80 * self.entries.len() + 32);
        out.raw(&MAGIC).u16(VERSION).u16(0).count(WHAT, self.entries.len(), ENTRIES_MAX as u32)?;
        for entry in &self.entries {
            out.raw(&entry.workspace.0).raw(&entry.slot.0).raw(&entry.epoch.0).raw(entry.secret.expose());
        }
        let sum = blake3::hash(out.as_slice());
        out.raw(sum.as_bytes());
        Ok(zeroize::Zeroizing::new(out.into_vec()))
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] if it is none, [`FormatError::Damaged`] for a wrong checksum,
    /// [`FormatError::NewerVersion`], [`FormatError::Truncated`], [`FormatError::Limit`].
    pub fn decode(bytes: &[u8]) -> Result<KeyFile> {
        let mut reader = Reader::new(WHAT, bytes);
        if reader.array()? != MAGIC {
            return Err(reader.malformed("not a runcellar key file"));
        }
        let version = reader.u16()?;
        reader.version(version.into(), VERSION.into())?;
        if reader.u16()? != 0 {
            return Err(reader.malformed("reserved bits are set"));
        }
        let total = reader.count(ENTRIES_MAX as u32)?;
        let mut entries = Vec::new();
        for _ in 0..total {
            entries.push(KeyFileEntry {
                workspace: WorkspaceId(reader.array()?),
                slot: SlotId(reader.array()?),
                epoch: EpochId(reader.array()?),
                secret: Secret::new(reader.array()?),
            });
        }
        let sum: [u8; 32] = reader.array()?;
        reader.finish()?;
        let body = bytes.len().checked_sub(32).and_then(|len| bytes.get(..len));
        if body.map(|body| *blake3::hash(body).as_bytes()) != Some(sum) {
            return Err(FormatError::Damaged { what: WHAT });
        }
        Ok(KeyFile { entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_reads_back_and_every_flip_is_refused() {
        let entry = |fill| KeyFileEntry {
            workspace: WorkspaceId([fill; 16]),
            slot: SlotId([fill; 16]),
            epoch: EpochId([fill; 16]),
            secret: Secret::new([fill; 32]),
        };
        let bytes = KeyFile { entries: vec![entry(1), entry(2)] }.encode().expect("short");
        let read = KeyFile::decode(&bytes).expect("reads");
        assert_eq!(read.entries.len(), 2);
        assert_eq!(read.entries[1].secret.expose(), &[2; 32]);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(KeyFile::decode(&flipped).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(KeyFile::decode(&bytes[..len]).is_err(), "length {len}");
        }
    }
}
