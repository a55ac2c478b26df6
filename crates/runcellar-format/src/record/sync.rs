//! What devices publish on a remote, and what a workspace keeps of its remotes. docs/FORMAT.md, "Remotes".

use bincode::{Decode, Encode};

use super::Body;
use super::run::Stamped;
use crate::seal::checksum;
use crate::sign::{SigningKey, verify};

/// `Settings.extra`: the remotes of this copy, a [`Remotes`].
pub const REMOTES_FIELD: u16 = 16;
/// `Settings.extra`: root keys that were replaced beside others of the same number, [`Siblings`].
pub const SIBLINGS_FIELD: u16 = 18;
/// `Settings.extra`: for root keys that this device replaced, what shows others that it had them, [`Vouchers`].
pub const VOUCHERS_OF_SETTINGS_FIELD: u16 = 20;
/// The most vouchers that a device keeps: those of the latest root keys.
pub const VOUCHERS_MAX: usize = 64;
/// `RemoteRecord.extra`: the terms document that a consent to the remote pins, a [`PinnedTerms`].
pub const TERMS_FIELD: u16 = 1;
/// `RemoteRecord.extra`: BLAKE3 of the URL from which the user agreed to read content, 32 bytes.
pub const READ_FIELD: u16 = 2;
/// The longest terms document, bytes: a contract of a hundred pages with its fonts is a tenth of that.
pub const TERMS_BYTES_MAX: usize = 8 << 20;
/// Field of `ReplicaCursor.extra` in which [`LastSync`] stands.
pub const LAST_SYNC_FIELD: u16 = 8;
/// Field of `ReplicaCursor.extra` in which [`Waste`] stands.
pub const WASTE_FIELD: u16 = 11;

/// `DeviceHead.extra`: number of the first segment that there is, as bytes; 1 without it.
const FIRST_FIELD: u16 = 1;
/// `DeviceHead.extra`: BLAKE3 of the device's welcome.
const WELCOME_FIELD: u16 = 2;
/// `DeviceHead.extra`: for root keys that its device replaced, the id of the epoch and the voucher, 48 bytes each.
const VOUCHERS_FIELD: u16 = 3;
/// `DeviceHead.extra`: ids of the devices at which its device left content until it is read; there, if it leaves content at all.
const LEFT_FIELD: u16 = 4;

/// Returns a field of `extra` that has just so many bytes.
fn extra_array<const N: usize>(extra: &[(u16, Vec<u8>)], field: u16) -> Option<[u8; N]> {
    extra.iter().find(|(number, _)| *number == field).and_then(|(_, bytes)| bytes.as_slice().try_into().ok())
}

/// Puts bytes into a field of `extra`.
fn set_extra_bytes(extra: &mut Vec<(u16, Vec<u8>)>, field: u16, bytes: &[u8]) {
    extra.retain(|(number, _)| *number != field);
    extra.push((field, bytes.to_vec()));
    extra.sort_by_key(|(number, _)| *number);
}

/// Returns the ids in a field of `extra`; none without it.
fn extra_ids(extra: &[(u16, Vec<u8>)], field: u16) -> Option<Vec<[u8; 16]>> {
    let (_, bytes) = extra.iter().find(|(number, _)| *number == field)?;
    Some(bytes.as_chunks().0.to_vec())
}

/// Puts ids into a field of `extra`, or takes the field away.
fn set_extra_ids(extra: &mut Vec<(u16, Vec<u8>)>, field: u16, ids: Option<&[[u8; 16]]>) {
    match ids {
        Some(ids) => set_extra_bytes(extra, field, ids.as_flattened()),
        None => extra.retain(|(number, _)| *number != field),
    }
}

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

impl DeviceHead {
    /// Returns the number of the first segment that there is: those before are of an earlier generation.
    #[must_use]
    pub fn first(&self) -> u64 {
        extra_array(&self.extra, FIRST_FIELD).map_or(1, u64::from_le_bytes)
    }

    /// Says which is the first segment.
    pub fn set_first(&mut self, number: u64) {
        set_extra_bytes(&mut self.extra, FIRST_FIELD, &number.to_le_bytes());
    }

    /// Returns the hash of the welcome that belongs to it.
    #[must_use]
    pub fn welcome(&self) -> Option<[u8; 32]> {
        extra_array(&self.extra, WELCOME_FIELD)
    }

    /// Says which welcome belongs to it.
    pub fn set_welcome(&mut self, hash: &[u8; 32]) {
        set_extra_bytes(&mut self.extra, WELCOME_FIELD, hash);
    }

    /// Returns the voucher under the root key of an epoch, if its device had that.
    #[must_use]
    pub fn voucher(&self, epoch: [u8; 16]) -> Option<[u8; 32]> {
        let (_, bytes) = self.extra.iter().find(|(field, _)| *field == VOUCHERS_FIELD)?;
        let all = bytes.as_chunks::<48>().0;
        all.iter().find_map(|known| known.strip_prefix(&epoch)?.try_into().ok())
    }

    /// Puts in vouchers: ids of epochs with theirs.
    pub fn set_vouchers(&mut self, vouchers: &[([u8; 16], [u8; 32])]) {
        if !vouchers.is_empty() {
            let bytes: Vec<u8> = vouchers.iter().flat_map(|(epoch, voucher)| [&epoch[..], voucher].concat()).collect();
            set_extra_bytes(&mut self.extra, VOUCHERS_FIELD, &bytes);
        }
    }

    /// Returns the devices at which its device left content until it is read; none if it has all that it tells of.
    #[must_use]
    pub fn left(&self) -> Option<Vec<[u8; 16]>> {
        extra_ids(&self.extra, LEFT_FIELD)
    }

    /// Says so.
    pub fn set_left(&mut self, devices: Option<&[[u8; 16]]>) {
        set_extra_ids(&mut self.extra, LEFT_FIELD, devices);
    }
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

/// Epochs that two devices began at once: of two with one number the table `epoch` has one, and these are the others. What was
/// erased with them is erased with a later one, too.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Siblings {
    /// Number, id and parent of each.
    pub epochs: Vec<(u64, [u8; 16], [u8; 16])>,
}

impl Body for Siblings {
    const NAME: &'static str = "siblings of epochs";
}

/// What shows whoever still has a root key which this device replaced that it had that, too.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Vouchers {
    /// Id of the epoch, and voucher; the latest last.
    pub all: Vec<([u8; 16], [u8; 32])>,
}

impl Body for Vouchers {
    const NAME: &'static str = "vouchers";
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

impl Body for Consent {
    const NAME: &'static str = "consent";
}

/// What a device signs of a consent.
const CONSENT_LABEL: &str = "runcellar 1 consent";

impl Consent {
    /// Makes the consent to a text, signed.
    #[must_use]
    pub fn sign(text: String, time: i64, key: &SigningKey) -> Consent {
        let hash = checksum(text.as_bytes());
        let signature = key.sign(CONSENT_LABEL, &signed(&hash, time)).to_vec();
        Consent { time, text, hash, public: key.public(), signature, extra: Vec::new() }
    }

    /// Returns whether the hash is that of the text, and the signature that of the key it names.
    #[must_use]
    pub fn holds(&self) -> bool {
        let signature = self.signature.as_slice().try_into();
        self.hash == checksum(self.text.as_bytes())
            && signature.is_ok_and(|signature| {
                verify(&self.public, CONSENT_LABEL, &signed(&self.hash, self.time), signature).is_ok()
            })
    }
}

fn signed(hash: &[u8; 32], time: i64) -> Vec<u8> {
    [&hash[..], &time.to_le_bytes()].concat()
}

/// The terms document that a consent to a remote pins: field [`TERMS_FIELD`] of the remote.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct PinnedTerms {
    /// Object id of the [`TermsDocument`].
    pub id: [u8; 16],
    /// BLAKE3 of its bytes.
    pub hash: [u8; 32],
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Body for PinnedTerms {
    const NAME: &'static str = "pinned terms";
}

/// A document of the terms under which somebody stores what is sent, as the user gave it.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct TermsDocument {
    /// Id of the remote that it was given for.
    pub remote: [u8; 16],
    /// The name that the remote had.
    pub remote_name: String,
    /// Name of the file that it was read from.
    pub name: String,
    /// The date that the user said it has, microseconds UTC since 1970.
    pub date: Option<i64>,
    /// When it was given, microseconds UTC since 1970.
    pub added: i64,
    /// When the first consent that pins it was given; none before.
    pub agreed: Option<i64>,
    /// The document.
    pub bytes: Vec<u8>,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Body for TermsDocument {
    const NAME: &'static str = "terms document";
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;

    #[test]
    fn a_consent_holds_for_its_text_time_and_key_alone() {
        let consent = Consent::sign("to this".into(), 7, &SigningKey::new(&Secret::new([7; 32])));
        assert!(consent.holds());
        let other = SigningKey::new(&Secret::new([8; 32])).public();
        let cases = [
            Consent { text: "to that".into(), ..consent.clone() },
            Consent { text: "to that".into(), hash: checksum(b"to that"), ..consent.clone() },
            Consent { time: 8, ..consent.clone() },
            Consent { public: other, ..consent.clone() },
            Consent { public: [0xff; 32], ..consent.clone() },
            Consent { signature: Vec::new(), ..consent.clone() },
            Consent { signature: [&consent.signature[..], &[0]].concat(), ..consent },
        ];
        for (case, consent) in cases.into_iter().enumerate() {
            assert!(!consent.holds(), "case {case}");
        }
    }
}
