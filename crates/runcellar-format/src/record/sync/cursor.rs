//! How far a replica is.

use bincode::{Decode, Encode};

use super::{extra_array, extra_ids, set_extra_bytes, set_extra_ids};
use crate::record::Body;

/// Field of `ReplicaCursor.extra` in which [`LastSync`] stands.
pub const LAST_SYNC_FIELD: u16 = 8;
/// Field of `ReplicaCursor.extra` in which [`Waste`] stands.
pub const WASTE_FIELD: u16 = 11;

/// `ReplicaCursor.extra`: BLAKE3 of the welcome that was stored last, or that of the other device that was looked at last.
const KNOWN_WELCOME_FIELD: u16 = 1;
/// `ReplicaCursor.extra`: number of the first segment of the generation whose rows these are.
const KNOWN_FIRST_FIELD: u16 = 2;
/// `ReplicaCursor.extra`, one's own: BLAKE3 of the welcome of which the last head spoke.
const HEADED_WELCOME_FIELD: u16 = 3;
/// `ReplicaCursor.extra`, one's own: number of the last segment that was deleted, with all before it.
const WIPED_FIELD: u16 = 4;
/// `ReplicaCursor.extra`, one's own: until when a lock keeps earlier segments, microseconds UTC since 1970.
const LOCKED_FIELD: u16 = 5;
/// `ReplicaCursor.extra`, another's: number and id of the epoch that its newest head spoke of.
const EPOCH_FIELD: u16 = 6;
/// `ReplicaCursor.extra`, another's: ids of the slots that its welcome had.
const SLOTS_FIELD: u16 = 7;
/// `ReplicaCursor.extra`, one's own: ids of the packs of which earlier generations told, until those are deleted.
const PACKS_FIELD: u16 = 9;
/// `ReplicaCursor.extra`, another's: up to which segment of this device it had read when it published its newest head.
const ACKNOWLEDGED_FIELD: u16 = 10;
/// `ReplicaCursor.extra`, one's own: ids of packs that were found altered or missing on the remote; zeros for
/// segments, ones for the welcome.
const ALTERED_FIELD: u16 = 12;
/// `ReplicaCursor.extra`, one's own: how many devices that are not known here replaced the root key, at the last exchange.
const STRANGERS_FIELD: u16 = 14;
/// `ReplicaCursor.extra`, another's: ids of the epochs that its welcome had.
const EPOCHS_FIELD: u16 = 13;
/// `ReplicaCursor.extra`, another's: id of the slot of that device itself in its welcome.
const SLOT_FIELD: u16 = 15;
/// `ReplicaCursor.extra`: the devices at which the newest head, one's own or another's, says that content was left.
const LEFT_AT_FIELD: u16 = 16;

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

impl ReplicaCursor {
    /// Returns the hash of the welcome that was stored, or looked at, last.
    #[must_use]
    pub fn welcome(&self) -> Option<[u8; 32]> {
        extra_array(&self.extra, KNOWN_WELCOME_FIELD)
    }

    /// Says so.
    pub fn set_welcome(&mut self, hash: &[u8; 32]) {
        set_extra_bytes(&mut self.extra, KNOWN_WELCOME_FIELD, hash);
    }

    /// Has it stored again.
    pub fn forget_welcome(&mut self) {
        self.extra.retain(|(field, _)| *field != KNOWN_WELCOME_FIELD);
    }

    /// Returns the number of the first segment of the generation.
    #[must_use]
    pub fn first(&self) -> u64 {
        extra_array(&self.extra, KNOWN_FIRST_FIELD).map_or(1, u64::from_le_bytes)
    }

    /// Says so.
    pub fn set_first(&mut self, number: u64) {
        set_extra_bytes(&mut self.extra, KNOWN_FIRST_FIELD, &number.to_le_bytes());
    }

    /// Returns the hash of the welcome of which the last head spoke.
    #[must_use]
    pub fn headed_welcome(&self) -> Option<[u8; 32]> {
        extra_array(&self.extra, HEADED_WELCOME_FIELD)
    }

    /// Says so.
    pub fn set_headed_welcome(&mut self, hash: &[u8; 32]) {
        set_extra_bytes(&mut self.extra, HEADED_WELCOME_FIELD, hash);
    }

    /// Returns the number of the last segment that was deleted, with all before it.
    #[must_use]
    pub fn wiped(&self) -> u64 {
        extra_array(&self.extra, WIPED_FIELD).map_or(0, u64::from_le_bytes)
    }

    /// Says so.
    pub fn set_wiped(&mut self, number: u64) {
        set_extra_bytes(&mut self.extra, WIPED_FIELD, &number.to_le_bytes());
    }

    /// Returns until when a lock keeps earlier segments, microseconds UTC since 1970; `i64::MAX` if nobody knows.
    #[must_use]
    pub fn locked_until_us(&self) -> Option<i64> {
        extra_array(&self.extra, LOCKED_FIELD).map(i64::from_le_bytes)
    }

    /// Says so.
    pub fn set_locked_until_us(&mut self, time: Option<i64>) {
        match time {
            Some(time) => set_extra_bytes(&mut self.extra, LOCKED_FIELD, &time.to_le_bytes()),
            None => self.extra.retain(|(field, _)| *field != LOCKED_FIELD),
        }
    }

    /// Returns number and id of the epoch of which the newest head of another device spoke.
    #[must_use]
    pub fn epoch(&self) -> Option<(u64, [u8; 16])> {
        let bytes: [u8; 24] = extra_array(&self.extra, EPOCH_FIELD)?;
        let (number, id) = bytes.split_first_chunk()?;
        Some((u64::from_le_bytes(*number), id.try_into().ok()?))
    }

    /// Says so.
    pub fn set_epoch(&mut self, number: u64, id: [u8; 16]) {
        set_extra_bytes(&mut self.extra, EPOCH_FIELD, &[&number.to_le_bytes()[..], &id].concat());
    }

    /// Returns the ids of the slots that the welcome of another device had.
    #[must_use]
    pub fn slots(&self) -> Vec<[u8; 16]> {
        self.ids(SLOTS_FIELD)
    }

    /// Says so.
    pub fn set_slots(&mut self, slots: &[[u8; 16]]) {
        set_extra_ids(&mut self.extra, SLOTS_FIELD, Some(slots));
    }

    /// Returns the id of the slot of another device itself, in the welcome that was looked at last.
    #[must_use]
    pub fn slot(&self) -> Option<[u8; 16]> {
        extra_array(&self.extra, SLOT_FIELD)
    }

    /// Says so.
    pub fn set_slot(&mut self, slot: &[u8; 16]) {
        set_extra_bytes(&mut self.extra, SLOT_FIELD, slot);
    }

    /// Returns up to which of this device's segments another had read when it published its newest head.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        extra_array(&self.extra, ACKNOWLEDGED_FIELD).map_or(0, u64::from_le_bytes)
    }

    /// Says so.
    pub fn set_acknowledged(&mut self, number: u64) {
        set_extra_bytes(&mut self.extra, ACKNOWLEDGED_FIELD, &number.to_le_bytes());
    }

    /// Returns the ids of the packs of which earlier generations told.
    #[must_use]
    pub fn old_packs(&self) -> Vec<[u8; 16]> {
        self.ids(PACKS_FIELD)
    }

    /// Says so.
    pub fn set_old_packs(&mut self, packs: &[[u8; 16]]) {
        self.set_ids(PACKS_FIELD, packs);
    }

    /// Returns the ids of packs that were found altered or missing on the remote; zeros for
    /// segments, ones for the welcome.
    #[must_use]
    pub fn altered(&self) -> Vec<[u8; 16]> {
        self.ids(ALTERED_FIELD)
    }

    /// Says so.
    pub fn set_altered(&mut self, ids: &[[u8; 16]]) {
        self.set_ids(ALTERED_FIELD, ids);
    }

    /// Returns how many devices that are not known here had replaced the root key at the last exchange.
    #[must_use]
    pub fn strangers(&self) -> u64 {
        extra_array(&self.extra, STRANGERS_FIELD).map_or(0, u64::from_le_bytes)
    }

    /// Says so.
    pub fn set_strangers(&mut self, count: u64) {
        set_extra_bytes(&mut self.extra, STRANGERS_FIELD, &count.to_le_bytes());
    }

    /// Returns the ids of the epochs that the welcome of another device had: its own, and all that it replaced.
    #[must_use]
    pub fn epochs(&self) -> Vec<[u8; 16]> {
        self.ids(EPOCHS_FIELD)
    }

    /// Says so.
    pub fn set_epochs(&mut self, ids: &[[u8; 16]]) {
        self.set_ids(EPOCHS_FIELD, ids);
    }

    fn set_ids(&mut self, field: u16, ids: &[[u8; 16]]) {
        set_extra_ids(&mut self.extra, field, Some(ids).filter(|ids| !ids.is_empty()));
    }

    fn ids(&self, field: u16) -> Vec<[u8; 16]> {
        extra_ids(&self.extra, field).unwrap_or_default()
    }

    /// Returns the devices at which content was left, as the newest head says, one's own or another's; none if all of it is there.
    #[must_use]
    pub fn left(&self) -> Option<Vec<[u8; 16]>> {
        extra_ids(&self.extra, LEFT_AT_FIELD)
    }

    /// Says so.
    pub fn set_left(&mut self, devices: Option<&[[u8; 16]]>) {
        set_extra_ids(&mut self.extra, LEFT_AT_FIELD, devices);
    }
}

/// A pack of one's own that nothing which is published tells of any more. It is deleted when nobody can be reading it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct WastePack {
    /// The pack.
    pub id: [u8; 16],
    /// The last segment that was made when it was not needed any more: who has read so far does not ask for it.
    pub number: u64,
    /// When a head that tells so was known to be stored, microseconds UTC since 1970 by the device's own clock; none before.
    pub since: Option<i64>,
    /// Exchanges that were made since.
    pub exchanges: u64,
}

/// What waits to be deleted: field [`WASTE_FIELD`] of the cursor of one's own replica.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Waste {
    /// In the order in which they went.
    pub packs: Vec<WastePack>,
}

impl Body for Waste {
    const NAME: &'static str = "waste";
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
