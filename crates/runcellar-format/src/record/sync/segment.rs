//! Segments: changes of rows.

use bincode::{Decode, Encode};

use crate::record::Body;

/// Part of what a device published: changes of rows, in order.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct Segment {
    /// The device.
    pub device: [u8; 16],
    /// Its number: from 1 without gap.
    pub number: u64,
    /// BLAKE3 of the sealed segment before it; zeros for the first.
    pub previous: [u8; 32],
    /// The changes.
    pub entries: Vec<SegmentEntry>,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Body for Segment {
    const NAME: &'static str = "segment";
}

/// A row that came or changed, or one that went: as the tables of cellar.db have them.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum SegmentEntry {
    /// An epoch.
    Epoch {
        /// Counts from 1.
        number: u64,
        /// Random id.
        id: [u8; 16],
        /// The epoch before.
        parent: [u8; 16],
    },
    /// A row of the key table.
    Key {
        /// Key id.
        id: [u8; 16],
        /// Whose.
        owner: [u8; 16],
        /// What for.
        purpose: u8,
        /// Epoch under which it is wrapped.
        epoch: [u8; 16],
        /// The wrap.
        wrap: Vec<u8>,
    },
    /// A key that was dropped.
    KeyGone([u8; 16]),
    /// A sealed record.
    Object(SegmentObject),
    /// A record that was removed.
    ObjectGone {
        /// Kind.
        kind: u16,
        /// Owner.
        id: [u8; 16],
        /// Position.
        position: u64,
    },
    /// A part of a row group.
    Block {
        /// The run.
        run: [u8; 16],
        /// The writer.
        writer: [u8; 16],
        /// Number of the group.
        number: u32,
        /// Part.
        part: u32,
        /// Sealed bytes.
        body: Vec<u8>,
    },
}

/// A sealed record as it stands in the table `object`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SegmentObject {
    /// Kind.
    pub kind: u16,
    /// Owner.
    pub id: [u8; 16],
    /// Position.
    pub position: u64,
    /// Device that wrote this version of it.
    pub device: [u8; 16],
    /// Sequence of that device's change.
    pub seq: u64,
    /// Lookup tag.
    pub tag: Option<[u8; 32]>,
    /// Sealed bytes.
    pub body: Vec<u8>,
}
