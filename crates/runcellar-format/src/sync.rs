//! The objects of a remote, sealed and opened: segments, heads, and the welcome. docs/FORMAT.md, "Remotes".
//!
//! ```text
//! <prefix>/welcome       keyslots, epochs and the keys of the workspace: all that a new device needs, beside a secret
//! <prefix>/<number>      segments, each naming the hash of the one before
//! <prefix>/head          how far the device has published, signed
//! ```

use zeroize::Zeroizing;

use crate::codec::{Reader, Writer};
use crate::error::{FormatError, Result};
use crate::id::{DeviceId, EpochId, KeyId, ObjectId, WorkspaceId};
use crate::keyslots::{self, Epoch};
use crate::object::{SealedObject, grid};
use crate::record::{Body, DeviceHead, Segment};
use crate::seal::{Kind, OwnerKey, Place, SALT_BYTES, checksum, constant_time_eq};
use crate::secret::Secret;
use crate::sign::{self, SigningKey};

/// The longest segment, sealed: what a reader takes into memory.
pub const SEGMENT_BYTES_MAX: u64 = 32 << 20;
/// The longest head, sealed.
pub const HEAD_BYTES_MAX: u64 = 1 << 20;
/// The longest welcome.
pub const WELCOME_BYTES_MAX: u64 = 2 << 20;
/// What a device signs of its head.
const HEAD_LABEL: &str = "runcellar 1 device head";
/// By which the key of vouchers is derived from a root key.
const VOUCHER_CONTEXT: &str = "runcellar 1 voucher";
/// Epochs and keys that a welcome tells of at most.
const ROWS_MAX: u32 = 65_536;
const WRAP_BYTES_MAX: u32 = 4096;
const MAGIC: [u8; 8] = *b"rcwelcom";
const VERSION: u16 = 1;
/// Ends a welcome, before the zeros that fill up to the grid.
const END: u8 = 0x80;

/// Returns what shows whoever has a root key that a device had it, too: a MAC over the device and the key that it signs with.
#[must_use]
pub fn voucher(root_key: &Secret, of: (WorkspaceId, EpochId), device: DeviceId, public: &[u8; 32]) -> [u8; 32] {
    let key = Zeroizing::new(blake3::derive_key(VOUCHER_CONTEXT, root_key.expose()));
    let (WorkspaceId(workspace), EpochId(epoch)) = of;
    *blake3::keyed_hash(&key, &[&workspace[..], &epoch, &device.0, public].concat()).as_bytes()
}

/// Returns whether that is what somebody found.
#[must_use]
pub fn is_voucher(
    root_key: &Secret,
    of: (WorkspaceId, EpochId),
    device: DeviceId,
    public: &[u8; 32],
    found: &[u8; 32],
) -> bool {
    constant_time_eq(&voucher(root_key, of, device, public), found)
}

/// Returns the hash by which a sealed segment is cited.
#[must_use]
pub fn segment_hash(sealed: &[u8]) -> [u8; 32] {
    checksum(sealed)
}

/// Returns the place of a segment.
#[must_use]
pub fn segment_place(workspace: WorkspaceId, prefix: ObjectId, number: u64) -> Place {
    Place::of(workspace, Kind::Segment, prefix).at(number, 0)
}

fn head_place(workspace: WorkspaceId, prefix: ObjectId) -> Place {
    Place::of(workspace, Kind::DeviceHead, prefix)
}

impl Segment {
    /// Seals it for its place.
    ///
    /// # Errors
    /// [`FormatError::Limit`] if it is longer than [`SEGMENT_BYTES_MAX`].
    pub fn seal(
        &self,
        key: &OwnerKey,
        salt: [u8; SALT_BYTES],
        workspace: WorkspaceId,
        prefix: ObjectId,
    ) -> Result<SealedObject> {
        let object = key.seal_object(salt, &segment_place(workspace, prefix, self.number), &self.to_body()?)?;
        within(Self::NAME, object.len(), SEGMENT_BYTES_MAX)?;
        Ok(object)
    }

    /// Opens the segment that belongs under a prefix and number.
    ///
    /// # Errors
    /// As [`OwnerKey::open`] and [`Body::from_body`]; [`FormatError::Malformed`] if it says another number.
    pub fn open(
        key: &OwnerKey,
        workspace: WorkspaceId,
        prefix: ObjectId,
        number: u64,
        sealed: &[u8],
    ) -> Result<Segment> {
        within(Self::NAME, sealed.len() as u64, SEGMENT_BYTES_MAX)?;
        let segment = Segment::from_body(&key.open_object(&segment_place(workspace, prefix, number), sealed)?)?;
        if segment.number != number {
            return Err(FormatError::Malformed { what: Self::NAME, reason: "it says another number" });
        }
        Ok(segment)
    }
}

impl DeviceHead {
    /// Signs and seals it.
    ///
    /// # Errors
    /// [`FormatError::Limit`] if it is longer than [`HEAD_BYTES_MAX`].
    pub fn seal(
        mut self,
        signing: &SigningKey,
        key: &OwnerKey,
        salt: [u8; SALT_BYTES],
        workspace: WorkspaceId,
        prefix: ObjectId,
    ) -> Result<SealedObject> {
        self.public = signing.public();
        self.signature = Vec::new();
        self.signature = signing.sign(HEAD_LABEL, &self.signed(prefix)?).to_vec();
        let object = key.seal_object(salt, &head_place(workspace, prefix), &self.to_body()?)?;
        within(Self::NAME, object.len(), HEAD_BYTES_MAX)?;
        Ok(object)
    }

    /// Opens the head that belongs under a prefix, and checks its signature, by the key that it names itself.
    ///
    /// # Errors
    /// As [`OwnerKey::open`] and [`Body::from_body`]; [`FormatError::Damaged`] if the signature does not fit.
    pub fn open(key: &OwnerKey, workspace: WorkspaceId, prefix: ObjectId, sealed: &[u8]) -> Result<DeviceHead> {
        within(Self::NAME, sealed.len() as u64, HEAD_BYTES_MAX)?;
        let head = DeviceHead::from_body(&key.open_object(&head_place(workspace, prefix), sealed)?)?;
        let signature: [u8; 64] = head
            .signature
            .as_slice()
            .try_into()
            .map_err(|_| FormatError::Malformed { what: Self::NAME, reason: "a signature has 64 bytes" })?;
        let unsigned = DeviceHead { signature: Vec::new(), ..head.clone() };
        sign::verify(&head.public, HEAD_LABEL, &unsigned.signed(prefix)?, &signature)?;
        Ok(head)
    }

    fn signed(&self, prefix: ObjectId) -> Result<Vec<u8>> {
        Ok([&prefix.0[..], &self.to_body()?].concat())
    }
}

fn within(what: &'static str, found: u64, limit: u64) -> Result<()> {
    match found <= limit {
        true => Ok(()),
        false => Err(FormatError::Limit { what, found, limit }),
    }
}

/// A key of the workspace as a whole, wrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WelcomeKey {
    /// Key id.
    pub id: KeyId,
    /// What it is for.
    pub purpose: u8,
    /// Epoch under which it is wrapped.
    pub epoch: EpochId,
    /// The wrap.
    pub wrap: Vec<u8>,
}

/// All that a device needs of a workspace to read what others publish, beside a secret that opens a slot.
///
/// It holds no secret and nothing that the user wrote: slots, ids, and wraps. Who changes it is noticed: the MAC of `keyslots`
/// and the seal of each wrap tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The device that wrote it.
    pub device: DeviceId,
    /// The file `keyslots`.
    pub keyslots: Vec<u8>,
    /// All epochs.
    pub epochs: Vec<Epoch>,
    /// The keys of the workspace as a whole.
    pub keys: Vec<WelcomeKey>,
}

impl Welcome {
    const NAME: &'static str = "welcome";

    /// Returns its bytes, on the size grid.
    ///
    /// # Errors
    /// [`FormatError::Limit`] if something is longer than a reader takes.
    pub fn encode(&self) -> Result<SealedObject> {
        let mut out = Writer::with_capacity(8192);
        out.raw(&MAGIC).u16(VERSION).u16(0).raw(&self.workspace.0).raw(&self.device.0);
        out.bytes(Self::NAME, &self.keyslots, keyslots::FILE_BYTES_MAX as u32)?;
        out.count(Self::NAME, self.epochs.len(), ROWS_MAX)?;
        for epoch in &self.epochs {
            out.u64(epoch.number).raw(&epoch.id.0).raw(&epoch.parent.0);
        }
        out.count(Self::NAME, self.keys.len(), ROWS_MAX)?;
        for key in &self.keys {
            out.raw(&key.id.0).u8(key.purpose).raw(&key.epoch.0).bytes(Self::NAME, &key.wrap, WRAP_BYTES_MAX)?;
        }
        let sum = checksum(out.as_slice());
        out.raw(&sum);
        let object = SealedObject::of_ciphertext(out.into_vec());
        within(Self::NAME, object.len(), WELCOME_BYTES_MAX)?;
        Ok(object)
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`FormatError::Damaged`] for a wrong checksum, [`FormatError::NewerVersion`], [`FormatError::Malformed`],
    /// [`FormatError::Limit`].
    pub fn decode(bytes: &[u8]) -> Result<Welcome> {
        let what = Self::NAME;
        let mut reader = Reader::new(what, bytes);
        if reader.array()? != MAGIC {
            return Err(reader.malformed("not a welcome"));
        }
        let version = reader.u16()?;
        reader.version(version.into(), VERSION.into())?;
        within(what, bytes.len() as u64, WELCOME_BYTES_MAX)?;
        let malformed = FormatError::Malformed { what, reason: "padding" };
        let end = bytes.iter().rposition(|byte| *byte != 0).filter(|at| bytes.get(*at) == Some(&END));
        let end = end.filter(|end| grid(*end as u64 + 1) == bytes.len() as u64).ok_or(malformed)?;
        let whole = bytes.get(..end).and_then(|whole| whole.split_at_checked(end.saturating_sub(32)));
        let (body, sum) = whole.ok_or(FormatError::Truncated { what, needed: 32 })?;
        if checksum(body) != *sum {
            return Err(FormatError::Damaged { what });
        }
        let mut reader = Reader::new(what, body);
        reader.take(10)?;
        if reader.u16()? != 0 {
            return Err(reader.malformed("a reserved field is not 0"));
        }
        let (workspace, device) = (WorkspaceId(reader.array()?), DeviceId(reader.array()?));
        let keyslots = reader.bytes(keyslots::FILE_BYTES_MAX as u32)?.to_vec();
        let mut epochs = Vec::new();
        for _ in 0..reader.count(ROWS_MAX)? {
            let (number, id) = (reader.u64()?, EpochId(reader.array()?));
            epochs.push(Epoch { number, id, parent: EpochId(reader.array()?) });
        }
        let mut keys = Vec::new();
        for _ in 0..reader.count(ROWS_MAX)? {
            let (id, purpose, epoch) = (KeyId(reader.array()?), reader.u8()?, EpochId(reader.array()?));
            keys.push(WelcomeKey { id, purpose, epoch, wrap: reader.bytes(WRAP_BYTES_MAX)?.to_vec() });
        }
        reader.finish()?;
        Ok(Welcome { workspace, device, keyslots, epochs, keys })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::SegmentEntry;
    use crate::secret::Secret;

    const WORKSPACE: WorkspaceId = WorkspaceId([1; 16]);
    const PREFIX: ObjectId = ObjectId([2; 16]);

    fn key() -> OwnerKey {
        OwnerKey::new(KeyId([3; 16]), Secret::new([4; 32]))
    }

    fn bytes(object: &SealedObject) -> Vec<u8> {
        object.read().expect("in memory")
    }

    fn segment(number: u64, bytes: usize) -> Segment {
        let block = SegmentEntry::Block { run: [5; 16], writer: [6; 16], number: 7, part: 8, body: vec![0x80; bytes] };
        Segment { device: [9; 16], number, entries: vec![block, SegmentEntry::KeyGone([1; 16])], ..Segment::default() }
    }

    #[test]
    fn a_segment_stands_on_the_grid_and_opens_in_its_place_alone() {
        for bytes in [0, 1, 3_700, 3_900, 4_000, 8_000, 100_000] {
            let whole = segment(3, bytes);
            let sealed = whole.seal(&key(), [7; SALT_BYTES], WORKSPACE, PREFIX).expect("seals");
            let sealed = sealed.read().expect("in memory");
            let sealed = sealed.as_slice();
            assert_eq!(sealed.len() as u64, grid(sealed.len() as u64), "{bytes}");
            assert_eq!(Segment::open(&key(), WORKSPACE, PREFIX, 3, sealed), Ok(whole));
            assert!(Segment::open(&key(), WORKSPACE, PREFIX, 4, sealed).is_err(), "another number");
            assert!(Segment::open(&key(), WORKSPACE, ObjectId([8; 16]), 3, sealed).is_err(), "another prefix");
            assert!(Segment::open(&key(), WORKSPACE, PREFIX, 3, &sealed[..sealed.len() - 1]).is_err());
        }
    }

    #[test]
    fn a_segment_that_says_another_number_than_its_place_is_refused() {
        let body = segment(5, 10).to_body().expect("encodes");
        let sealed = key().seal_object([7; SALT_BYTES], &segment_place(WORKSPACE, PREFIX, 4), &body).expect("seals");
        let opened = Segment::open(&key(), WORKSPACE, PREFIX, 4, &bytes(&sealed));
        assert!(matches!(opened, Err(FormatError::Malformed { .. })), "{opened:?}");
    }

    #[test]
    fn a_head_is_signed_for_its_prefix() {
        let signing = SigningKey::new(&Secret::new([5; 32]));
        let head = DeviceHead { number: 4, sum: [1; 32], clock: 9, ..DeviceHead::default() };
        let sealed = head.clone().seal(&signing, &key(), [7; SALT_BYTES], WORKSPACE, PREFIX).expect("seals");
        let opened = DeviceHead::open(&key(), WORKSPACE, PREFIX, &bytes(&sealed)).expect("opens");
        assert_eq!((opened.number, opened.sum, opened.public), (4, [1; 32], signing.public()));
        for forged in [
            DeviceHead { number: 5, ..opened.clone() },
            DeviceHead { public: SigningKey::new(&Secret::new([6; 32])).public(), ..opened.clone() },
            DeviceHead { signature: vec![0; 63], ..opened.clone() },
        ] {
            let body = forged.to_body().expect("encodes");
            let sealed = key().seal_object([7; SALT_BYTES], &head_place(WORKSPACE, PREFIX), &body).expect("seals");
            assert!(DeviceHead::open(&key(), WORKSPACE, PREFIX, &bytes(&sealed)).is_err(), "{forged:?}");
        }
    }

    #[test]
    fn a_welcome_reads_back_and_no_other_bytes_are_taken() {
        let epoch = Epoch { number: 1, id: EpochId([2; 16]), parent: EpochId::NIL };
        let key = WelcomeKey { id: KeyId([3; 16]), purpose: 65, epoch: epoch.id, wrap: vec![4; 150] };
        for bytes in [0, 100, 3_700, 5_000] {
            let (keyslots, epochs, keys) = (vec![7; bytes], vec![epoch], vec![key.clone()]);
            let welcome = Welcome { workspace: WORKSPACE, device: DeviceId([8; 16]), keyslots, epochs, keys };
            let sealed = welcome.encode().expect("encodes").read().expect("in memory");
            assert_eq!(sealed.len() % 4096, 0);
            assert_eq!(Welcome::decode(&sealed), Ok(welcome));
            for at in 0..sealed.len() {
                let mut flipped = sealed.clone();
                flipped[at] ^= 1;
                assert!(Welcome::decode(&flipped).is_err(), "byte {at}");
            }
            assert!(Welcome::decode(&sealed[..sealed.len() - 4096]).is_err());
            assert!(Welcome::decode(&[&sealed[..], &[0; 4096]].concat()).is_err());
        }
    }
}
