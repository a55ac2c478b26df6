//! What devices publish on a remote, and what a workspace keeps of its remotes. docs/FORMAT.md, "Remotes".

use bincode::{Decode, Encode};

use super::Body;
use super::run::Stamped;

/// `Settings.extra`: the remotes of this copy, a [`Remotes`].
pub const REMOTES_FIELD: u16 = 16;
/// Field of `ReplicaCursor.extra` in which [`LastSync`] stands.
pub const LAST_SYNC_FIELD: u16 = 8;

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

/// How far a device has published.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct DeviceHead {
    /// The device.
    pub device: [u8; 16],
    /// Its last segment.
    pub number: u64,
    /// BLAKE3 of that segment, sealed; zeros before the first.
    pub segment: [u8; 32],
    /// Keyed sum over all rows that these segments leave, as the root row of their replica has it.
    pub sum: [u8; 32],
    /// The live epoch of the device.
    pub epoch: u64,
    /// Its id.
    pub epoch_id: [u8; 16],
    /// Heads of other devices that this one has seen: what it published may rest on theirs.
    pub cites: Vec<Cited>,
    /// Hybrid clock of the device.
    pub clock: u64,
    /// The device's Ed25519 key.
    pub public: [u8; 32],
    /// Signature over the body with this field empty.
    pub signature: Vec<u8>,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Body for DeviceHead {
    const NAME: &'static str = "device head";
}

/// A head of another device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct Cited {
    /// Where the device publishes.
    pub prefix: [u8; 16],
    /// Its last segment.
    pub number: u64,
    /// BLAKE3 of it.
    pub segment: [u8; 32],
}

/// How far a replica is; it stands in the replica itself.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct ReplicaCursor {
    /// The device whose rows these are.
    pub device: [u8; 16],
    /// Its public key; zeros until a head was seen.
    pub public: [u8; 32],
    /// The last segment that is in the rows.
    pub number: u64,
    /// BLAKE3 of it.
    pub segment: [u8; 32],
    /// The last segment of the newest head that was published, or seen and found to fit the rows.
    pub headed: u64,
    /// One's own: counter of the root row that was looked at last. Another's: the head's number that was merged.
    pub counter: u64,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Body for ReplicaCursor {
    const NAME: &'static str = "replica cursor";
}

/// How the last exchanges with a remote ended: field [`LAST_SYNC_FIELD`] of the cursor of one's own replica.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct LastSync {
    /// When one came to its end, microseconds UTC since 1970.
    pub succeeded: Option<i64>,
    /// When one failed.
    pub failed: Option<i64>,
    /// Why it failed.
    pub why: String,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Body for LastSync {
    const NAME: &'static str = "last sync";
}

/// How a remote stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub enum RemoteState {
    /// Known, and never used.
    #[default]
    Added,
    /// The user consented.
    Enabled,
    /// The user consented once, and wants nothing sent now.
    Paused,
}

/// A place to which a workspace may publish.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct RemoteRecord {
    /// Random id: the name of its folder here.
    pub id: [u8; 16],
    /// The user's name for it.
    pub name: String,
    /// Where it is, without a secret.
    pub url: String,
    /// Classes that may go there: 0 metrics, 1 code, 2 media, 3 artifacts.
    pub classes: Vec<u8>,
    /// Projects that may go there; all if none is named.
    pub projects: Vec<String>,
    /// How it stands.
    pub state: Stamped<RemoteState>,
    /// The device that publishes below `prefix`.
    pub device: [u8; 16],
    /// Where this device publishes on it: random.
    pub prefix: [u8; 16],
    /// What the user consented to; none before.
    pub consent: Option<Consent>,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

/// A consent of the user.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct Consent {
    /// When, microseconds UTC since 1970.
    pub time: i64,
    /// The text that was shown.
    pub text: String,
    /// BLAKE3 of the text.
    pub hash: [u8; 32],
    /// The device's public key.
    pub public: [u8; 32],
    /// Its signature over the hash and the time.
    pub signature: Vec<u8>,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

/// The remotes of a copy of a workspace.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct Remotes {
    /// All of them, in the order of their adding.
    pub all: Vec<RemoteRecord>,
}

impl Body for Remotes {
    const NAME: &'static str = "remotes";
}
