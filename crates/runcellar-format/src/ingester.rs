//! The file by which the one ingester of a workspace on a network file system says who it is.
//! docs/FORMAT.md, "Ingester".

use crate::WorkspaceId;
use crate::codec::{Reader, Writer};
use crate::error::{FormatError, Result};
use crate::seal::checksum;

const WHAT: &str = "ingester file";
const MAGIC: [u8; 8] = *b"rcingest";
const VERSION: u16 = 1;

/// Who writes the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ingester {
    /// Random: drawn for each turn.
    pub token: [u8; 16],
    /// What the process can be seen from: [`Ingester::place`]; zeros if that cannot be told.
    pub place: [u8; 16],
    /// Process id.
    pub pid: u32,
    /// When the process started, in clock ticks since the boot.
    pub started: u64,
}

impl Ingester {
    /// Bytes of the file.
    pub const BYTES: usize = 8 + 2 + 2 + 16 + 16 + 4 + 8 + 32;

    /// Returns what stands for a host, its boot and a namespace of process ids, without telling them: the first half
    /// of a hash, in which the random boot id keeps the host's name from being guessed. Zeros without a boot id.
    #[must_use]
    pub fn place(workspace: WorkspaceId, host: &str, boot_id: &str, namespace: u64) -> [u8; 16] {
        let mut out = [0; 16];
        if !boot_id.is_empty() {
            let mut bytes = Writer::with_capacity(128);
            bytes.raw(b"runcellar 1 place").raw(&workspace.0).u64(namespace);
            bytes.u64(boot_id.len() as u64).raw(boot_id.as_bytes()).raw(host.as_bytes());
            let hash = checksum(bytes.as_slice());
            out.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        }
        out
    }

    /// Returns the file's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(Self::BYTES);
        out.raw(&MAGIC).u16(VERSION).u16(0).raw(&self.token).raw(&self.place).u32(self.pid).u64(self.started);
        let sum = checksum(out.as_slice());
        out.raw(&sum);
        out.into_vec()
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] if it is none, [`FormatError::NewerVersion`], [`FormatError::Truncated`],
    /// [`FormatError::Damaged`] for a wrong checksum.
    pub fn decode(bytes: &[u8]) -> Result<Ingester> {
        let mut reader = Reader::new(WHAT, bytes);
        if reader.array()? != MAGIC {
            return Err(reader.malformed("not an ingester file"));
        }
        let version = reader.u16()?;
        reader.version(version.into(), VERSION.into())?;
        if reader.u16()? != 0 {
            return Err(reader.malformed("reserved bits are set"));
        }
        let (token, place) = (reader.array()?, reader.array()?);
        let ingester = Ingester { token, place, pid: reader.u32()?, started: reader.u64()? };
        let found: [u8; 32] = reader.array()?;
        reader.finish()?;
        if ingester.encode().get(Self::BYTES - 32..) != Some(&found[..]) {
            return Err(FormatError::Damaged { what: WHAT });
        }
        Ok(ingester)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ingester_file_reads_back_and_every_flip_is_refused() {
        let place = Ingester::place(WorkspaceId([3; 16]), "host", "boot", 7);
        let ingester = Ingester { token: [1; 16], place, pid: 42, started: 99 };
        let bytes = ingester.encode();
        assert_eq!(bytes.len(), Ingester::BYTES);
        assert_eq!(Ingester::decode(&bytes), Ok(ingester));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Ingester::decode(&flipped).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(Ingester::decode(&bytes[..len]).is_err(), "length {len}");
        }
        assert!(Ingester::decode(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn places_differ_in_each_part_and_none_is_told_without_a_boot_id() {
        let place =
            |workspace, host, boot, namespace| Ingester::place(WorkspaceId([workspace; 16]), host, boot, namespace);
        let all = [
            place(1, "ab", "c", 1),
            place(2, "ab", "c", 1),
            place(1, "b", "ca", 1),
            place(1, "ab", "d", 1),
            place(1, "ab", "c", 2),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(all.iter().skip(index + 1).all(|other| other != one) && *one != [0; 16]);
        }
        assert_eq!(place(1, "ab", "", 1), [0; 16]);
    }
}
