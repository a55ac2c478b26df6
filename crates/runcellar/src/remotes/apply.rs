//! Changes of rows, as segments tell of them.

use runcellar_format::record::{SegmentEntry, SegmentObject};
use runcellar_format::seal::Kind;
use runcellar_format::{DeviceId, EpochId, KeyId, ObjectId, WriterId};

use crate::db::{BlockRow, OF_RUN, ObjectKey, ObjectRow, WriteTx};
use crate::keys::KeyRow;
use crate::{Error, Result};

/// Kinds of records that a segment may tell of, besides those of runs.
const PUBLISHED: [Kind; 8] = [
    Kind::Project,
    Kind::Writer,
    Kind::Tombstone,
    Kind::Artifact,
    Kind::Version,
    Kind::Manifest,
    Kind::Bucket,
    Kind::Pack,
];

/// Makes the entry of a record.
pub(super) fn object_entry(row: &ObjectRow) -> SegmentEntry {
    SegmentEntry::Object(SegmentObject {
        kind: row.key.kind as u16,
        id: row.key.id.0,
        position: row.key.position,
        device: row.device.0,
        seq: row.seq,
        tag: row.tag,
        body: row.body.clone(),
    })
}

/// Makes the entry of a record that is gone.
pub(super) fn object_gone(key: ObjectKey) -> SegmentEntry {
    SegmentEntry::ObjectGone { kind: key.kind as u16, id: key.id.0, position: key.position }
}

/// Makes the entry of a key.
pub(super) fn key_entry(row: &KeyRow) -> SegmentEntry {
    let KeyRow { id, owner, purpose, epoch, wrap } = row;
    SegmentEntry::Key { id: id.0, owner: owner.0, purpose: *purpose, epoch: epoch.0, wrap: wrap.clone() }
}

/// Makes the entry of a part of a row group.
pub(super) fn block_entry(row: BlockRow) -> SegmentEntry {
    let BlockRow { run, writer, number, part, body } = row;
    SegmentEntry::Block { run: run.0, writer: writer.0, number, part, body }
}

/// Returns about how many bytes an entry takes.
pub(super) fn weight(entry: &SegmentEntry) -> usize {
    64 + match entry {
        SegmentEntry::Object(row) => row.body.len() + 96,
        SegmentEntry::Block { body, .. } => body.len(),
        SegmentEntry::Key { wrap, .. } => wrap.len(),
        SegmentEntry::Epoch { .. } | SegmentEntry::KeyGone(_) | SegmentEntry::ObjectGone { .. } => 0,
    }
}

/// Whose row groups are stored: one's own stand in cellar.db.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blocks {
    Stored,
    LeftOut,
}

/// Carries entries out in a replica.
pub(super) fn apply(tx: &mut WriteTx<'_>, entries: &[SegmentEntry], blocks: Blocks) -> Result<()> {
    for entry in entries {
        match entry {
            // Epochs come with the keys of the workspace: a segment only says that its device knows of them.
            SegmentEntry::Epoch { .. } => {}
            SegmentEntry::Key { id, owner, purpose, epoch, wrap } => tx.place_key(&KeyRow {
                id: KeyId(*id),
                owner: ObjectId(*owner),
                purpose: *purpose,
                epoch: EpochId(*epoch),
                wrap: wrap.clone(),
            })?,
            SegmentEntry::KeyGone(id) => tx.remove_key(KeyId(*id))?,
            SegmentEntry::Object(row) => {
                let key = ObjectKey::new(kind(row.kind)?, ObjectId(row.id), row.position);
                let (device, seq) = (DeviceId(row.device), row.seq);
                tx.place_object(&ObjectRow { key, device, seq, tag: row.tag, body: row.body.clone() })?;
            }
            SegmentEntry::ObjectGone { kind: number, id, position } => {
                tx.take_object(ObjectKey::new(kind(*number)?, ObjectId(*id), *position))?;
            }
            SegmentEntry::Block { run, writer, number, part, body } if blocks == Blocks::Stored => {
                let (run, writer, body) = (ObjectId(*run), WriterId(*writer), body.clone());
                tx.place_block(&BlockRow { run, writer, number: *number, part: *part, body })?;
            }
            SegmentEntry::Block { .. } => {}
        }
    }
    Ok(())
}

fn kind(number: u16) -> Result<Kind> {
    let mut kinds = OF_RUN.into_iter().chain(PUBLISHED);
    kinds.find(|kind| *kind as u16 == number).ok_or_else(|| {
        Error::new(crate::ErrorKind::NewerFormat, format!("a segment has records of kind {number}: upgrade runcellar"))
    })
}
