//! Change records: what one device did, in its own order, with what a merge needs.

use bincode::{Decode, Encode};

use super::Body;
use super::run::Tokens;
use crate::error::{FormatError, Result};
use crate::value::Json;

/// What a change record does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum ChangeKind {
    /// Makes a project; one field, its name.
    CreateProject,
    /// Makes a run; its fields follow.
    CreateRun,
    /// Sets fields of a run.
    SetFields,
    /// Adds row groups to a run (and takes those away that were merged into them).
    AddGroups,
    /// Sets settings of the workspace.
    SetSettings,
    /// Adds packs to a project, or takes them away; since format 3.
    AddPacks,
    /// Makes an artifact, or changes what versions and aliases it has; since format 3.
    SetArtifact,
    /// Adds a version to an artifact, or changes what is said of it; since format 3.
    SetVersion,
    /// Puts runs and artifact versions into a capsule, whose random id is the object; since format 3.
    MakeCapsule,
}

/// `Change.extra` of [`ChangeKind::MakeCapsule`]: the object ids of what was put into it, one after the other.
pub const CAPSULE_FIELD: u16 = 4;

/// A field that a change sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum FieldId {
    /// The name of a run or project.
    Name,
    /// Notes.
    Notes,
    /// The group.
    Group,
    /// The job type.
    JobType,
    /// A top-level key of the config.
    Config,
    /// A key of the summary.
    Summary,
    /// Adds a tag: the key is the tag, the value the hexadecimal id of the adding.
    AddTag,
    /// Removes a tag: the key is the tag, the value the hexadecimal ids of the addings seen.
    RemoveTag,
    /// Hides or shows a run: the value is a time or null.
    Removed,
    /// Says how a metric is summarised and drawn: the key is its name.
    Metric,
    /// A setting of the workspace.
    Setting,
    /// Takes a key away from the config.
    RemoveConfig,
    /// Takes a key away from the summary.
    RemoveSummary,
    /// The state of a run and of its writers, as derived by the device that writes.
    State,
    /// Row groups of a writer (the key): the value holds the numbers added and removed.
    Groups,
    /// The run's id that users see.
    RunId,
    /// The run's project: the key is its name, the value its object id.
    Project,
    /// When the run was made, microseconds UTC since 1970.
    Created,
    /// A keyslot of the workspace: the key is its id in hexadecimal, the value a map of its name and time of making.
    Slot,
}

/// One field of a change.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct FieldChange {
    /// The field.
    pub field: FieldId,
    /// The key inside the field; empty if it has none.
    pub key: String,
    value: Tokens,
}

impl FieldChange {
    /// Makes a field change.
    ///
    /// # Errors
    /// [`crate::FormatError::Limit`] if the value nests too deep.
    pub fn new(field: FieldId, key: impl Into<String>, value: &Json) -> Result<Self> {
        Ok(FieldChange { field, key: key.into(), value: Tokens::new(value)? })
    }

    /// Returns the value.
    ///
    /// # Errors
    /// [`crate::FormatError`] if its tokens are of no value.
    pub fn value(&self) -> Result<Json> {
        self.value.json()
    }

    /// Returns the value as it stands in records.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        &self.value
    }
}

/// One change: fields of one object at one clock.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Change {
    /// Hybrid clock: milliseconds since 1970 in the upper 48 bits, a counter in the lower 16.
    pub clock: u64,
    /// What it does.
    pub kind: ChangeKind,
    /// The object it does it to.
    pub object: [u8; 16],
    /// The fields.
    pub fields: Vec<FieldChange>,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Body for Change {
    const NAME: &'static str = "change record";
}

/// Change records are padded to this grid, so that a remote shows no more of a short note than of a long one.
pub const CHANGE_GRID_BYTES: usize = 64;

impl Change {
    /// Returns the body, padded: a byte 0x80, and zeros up to the grid.
    ///
    /// # Errors
    /// As [`Body::to_body`].
    pub fn to_padded_body(&self) -> Result<Vec<u8>> {
        let mut body = self.to_body()?;
        body.push(0x80);
        body.resize(body.len().next_multiple_of(CHANGE_GRID_BYTES), 0);
        Ok(body)
    }

    /// Reads a padded body.
    ///
    /// # Errors
    /// As [`Body::from_body`], and [`FormatError::Malformed`] for padding that no writer makes.
    pub fn from_padded_body(bytes: &[u8]) -> Result<Change> {
        let malformed = FormatError::Malformed { what: Self::NAME, reason: "padding" };
        let end = bytes.iter().rposition(|byte| *byte != 0).filter(|at| bytes.get(*at) == Some(&0x80));
        let grid = |end: usize| (end + 1).next_multiple_of(CHANGE_GRID_BYTES);
        let end = end.filter(|end| bytes.len() == grid(*end)).ok_or(malformed.clone())?;
        Change::from_body(bytes.get(..end).ok_or(malformed)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_reads_back_at_every_length_and_no_other_padding_is_taken() {
        for length in 0..130 {
            let field = FieldChange::new(FieldId::Notes, "x".repeat(length), &Json::Null).expect("shallow");
            let change =
                Change { clock: 1, kind: ChangeKind::SetFields, object: [0; 16], fields: vec![field], extra: vec![] };
            let padded = change.to_padded_body().expect("short");
            assert_eq!(padded.len() % CHANGE_GRID_BYTES, 0);
            assert_eq!(Change::from_padded_body(&padded), Ok(change));
            assert!(Change::from_padded_body(&padded[..padded.len() - 1]).is_err());
            assert!(Change::from_padded_body(&[&padded[..], &[0; CHANGE_GRID_BYTES]].concat()).is_err());
            assert!(Change::from_padded_body(&[&padded[..], &[0x80], &[0; CHANGE_GRID_BYTES - 1]].concat()).is_err());
        }
        assert!(Change::from_padded_body(&[]).is_err());
    }
}
