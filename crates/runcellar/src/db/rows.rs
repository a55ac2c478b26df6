//! Rows as they stand in the tables, and the hash by which each enters a keyed sum.

use runcellar_format::seal::{HEADER_BYTES, Kind, Place};
use runcellar_format::sum::row_hash;
use runcellar_format::{DeviceId, EpochId, ObjectId, Secret, WorkspaceId, WriterId};

use crate::keys::KeyRow;

/// A generation of the root key; the highest number is live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EpochRow {
    pub(crate) number: u64,
    pub(crate) id: EpochId,
    pub(crate) parent: EpochId,
}

/// Which row of the object table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ObjectKey {
    pub(crate) kind: Kind,
    pub(crate) id: ObjectId,
    pub(crate) position: u64,
}

impl ObjectKey {
    pub(crate) fn new(kind: Kind, id: ObjectId, position: u64) -> Self {
        ObjectKey { kind, id, position }
    }
}

/// A sealed record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectRow {
    pub(crate) key: ObjectKey,
    /// Version of the row: the device that wrote it and the sequence of its change.
    pub(crate) device: DeviceId,
    pub(crate) seq: u64,
    pub(crate) tag: Option<[u8; 32]>,
    pub(crate) body: Vec<u8>,
}

impl ObjectRow {
    pub(crate) fn place(&self, workspace: WorkspaceId) -> Place {
        Place::of(workspace, self.key.kind, self.key.id).at(self.key.position, 0).version(self.device, self.seq)
    }
}

/// A part of a row group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlockRow {
    pub(crate) run: ObjectId,
    pub(crate) writer: WriterId,
    /// Number among the writer's groups: with the writer it names the group on every device.
    pub(crate) number: u32,
    pub(crate) part: u32,
    pub(crate) body: Vec<u8>,
}

/// Which row group of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct GroupKey {
    pub(crate) run: ObjectId,
    pub(crate) writer: WriterId,
    pub(crate) number: u32,
}

impl BlockRow {
    pub(crate) fn place(workspace: WorkspaceId, group: GroupKey, part: u32) -> Place {
        Place::of(workspace, Kind::Block, group.run).part(group.writer.0).at(group.number.into(), part)
    }
}

/// A row that takes part in a keyed sum. The clear header of a sealed body stands for the body: it holds the random
/// salt and the commitment, so two different bodies never share it, and the tag does the rest.
pub(crate) trait Summed {
    fn hash(&self, key: &Secret) -> [u8; 32];
}

fn head(body: &[u8]) -> &[u8] {
    body.get(..HEADER_BYTES).unwrap_or(body)
}

impl Summed for EpochRow {
    fn hash(&self, key: &Secret) -> [u8; 32] {
        row_hash(key, "epoch", &[&self.number.to_le_bytes(), &self.id.0, &self.parent.0])
    }
}

impl Summed for KeyRow {
    fn hash(&self, key: &Secret) -> [u8; 32] {
        row_hash(key, "key", &[&self.id.0, &self.owner.0, &[self.purpose], &self.epoch.0, head(&self.wrap)])
    }
}

impl Summed for ObjectRow {
    fn hash(&self, key: &Secret) -> [u8; 32] {
        let tag = self.tag.as_ref().map_or(&[][..], |tag| tag);
        let place = [&(self.key.kind as u16).to_le_bytes()[..], &self.key.id.0, &self.key.position.to_le_bytes()];
        row_hash(
            key,
            "object",
            &[place[0], place[1], place[2], &self.device.0, &self.seq.to_le_bytes(), tag, head(&self.body)],
        )
    }
}

impl Summed for BlockRow {
    fn hash(&self, key: &Secret) -> [u8; 32] {
        row_hash(
            key,
            "block",
            &[&self.run.0, &self.writer.0, &self.number.to_le_bytes(), &self.part.to_le_bytes(), head(&self.body)],
        )
    }
}
