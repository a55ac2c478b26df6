//! What carries runs and artifacts from one workspace into another, without the keys of either.
//!
//! docs/CAPSULE.md. In a capsule each body is a file of its own, and stands for no more than the writer of the capsule says.

use bincode::{Decode, Encode};

use super::{Body, RunRecord, Version};
use crate::codec::{Reader, Writer};
use crate::error::Result;

/// Parts of a row group at most: the main part, and one for each column.
const GROUP_PARTS_MAX: u32 = crate::block::COLUMNS_MAX + 1;

/// A run to come: its files follow, then its record.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct CarriedRun {
    /// Its object id.
    pub run: [u8; 16],
    /// Its id that users see.
    pub id: String,
    /// Name of its project.
    pub project: String,
    /// Artifact versions that it used: (object id, time).
    pub used: Vec<([u8; 16], i64)>,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Body for CarriedRun {
    const NAME: &'static str = "carried run";
}

/// The record of the run that was announced. Names of its series follow, then its row groups.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct CarriedRecord {
    /// The record.
    pub record: RunRecord,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Body for CarriedRecord {
    const NAME: &'static str = "carried run record";
}

/// Names of series, in order of their numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct CarriedNames {
    /// The names, at most [`super::PAGE_ENTRIES`].
    pub names: Vec<String>,
}

impl Body for CarriedNames {
    const NAME: &'static str = "carried names";
}

/// An artifact version; its files follow.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct CarriedVersion {
    /// Its object id.
    pub object: [u8; 16],
    /// Name of the artifact's project.
    pub project: String,
    /// The artifact's name.
    pub name: String,
    /// What sort of thing the artifact is.
    pub kind: String,
    /// The version's record; digest, parts and sources of files are of the workspace that it came from.
    pub version: Version,
    /// Aliases that named it.
    pub aliases: Vec<String>,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Body for CarriedVersion {
    const NAME: &'static str = "carried version";
}

/// A row group: its number among those of its writer, and its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarriedGroup {
    /// Its number among the writer's groups.
    pub number: u32,
    /// Encoded at the best level.
    pub best: bool,
    /// Its parts as they are before they are sealed.
    pub parts: Vec<Vec<u8>>,
}

impl CarriedGroup {
    /// Returns its bytes.
    ///
    /// # Errors
    /// [`crate::FormatError::Limit`] if it has more parts, or longer ones, than a row group can have.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut out = Writer::with_capacity(self.parts.iter().map(|part| part.len() + 4).sum::<usize>() + 16);
        out.u8(super::VERSION).u32(self.number).u8(self.best.into());
        out.count("parts of a row group", self.parts.len(), GROUP_PARTS_MAX)?;
        for part in &self.parts {
            out.bytes("part of a row group", part, crate::block::PART_BYTES_MAX)?;
        }
        Ok(out.into_vec())
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`crate::FormatError`] for bytes that no writer makes.
    pub fn decode(bytes: &[u8]) -> Result<CarriedGroup> {
        let mut reader = Reader::new("carried row group", bytes);
        let version = reader.u8()?;
        reader.version(version.into(), super::VERSION.into())?;
        let number = reader.u32()?;
        let best = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(reader.malformed("level is unknown")),
        };
        let mut parts = Vec::new();
        for _ in 0..reader.count(GROUP_PARTS_MAX)? {
            parts.push(reader.bytes(crate::block::PART_BYTES_MAX)?.to_vec());
        }
        reader.finish()?;
        Ok(CarriedGroup { number, best, parts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_group_reads_back_and_nothing_that_was_cut_or_lengthened_does() {
        let group = CarriedGroup { number: 7, best: true, parts: vec![vec![1, 2, 3], Vec::new()] };
        let bytes = group.encode().expect("small");
        assert_eq!(CarriedGroup::decode(&bytes), Ok(group));
        assert!((0..bytes.len()).all(|len| CarriedGroup::decode(&bytes[..len]).is_err()));
        assert!(CarriedGroup::decode(&[&bytes[..], &[0]].concat()).is_err());
        let mut wrong = bytes.clone();
        wrong[5] = 2;
        assert!(CarriedGroup::decode(&wrong).is_err(), "a level that is none");
        let mut huge = bytes;
        huge[6..10].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(CarriedGroup::decode(&huge).is_err(), "more parts than a group has columns");
    }
}
