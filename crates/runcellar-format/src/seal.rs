//! The sealed object: the one envelope around everything that a workspace or remote holds.
//!
//! In: an owner's key, a random salt, the place where the object belongs, and plaintext. Out: [`Sealed`], which
//! nothing else can make. The envelope commits to its key (the commitment is compared before anything is
//! decrypted), so a wrong key and damage are told apart. docs/FORMAT.md, "Sealed object".

use crate::aead::{Aead, TAG_BYTES};
use crate::codec::{Reader, Writer};
use crate::error::{FormatError, Result};
use crate::id::{DeviceId, KeyId, ObjectId, WorkspaceId};
use crate::secret::Secret;

/// The first two bytes of every sealed object.
pub const MAGIC: [u8; 2] = *b"rc";
/// The newest envelope version that this build reads, and the one it writes.
pub const VERSION: u8 = 1;
/// BLAKE3 derivation with RFC 8439 ChaCha20-Poly1305, the only suite of version 1.
pub const SUITE: u8 = 1;
/// How every sealed object of this version begins; the id of its key follows.
pub const ENVELOPE_START: [u8; 4] = [MAGIC[0], MAGIC[1], VERSION, SUITE];
/// Bytes of the random salt from which an object's key is derived.
pub const SALT_BYTES: usize = 24;
/// Bytes before the ciphertext.
pub const HEADER_BYTES: usize = 4 + 16 + SALT_BYTES + 32;
/// Bytes that sealing adds to a plaintext.
pub const OVERHEAD_BYTES: usize = HEADER_BYTES + TAG_BYTES;

const OBJECT_CONTEXT: &str = "runcellar 1 object";

/// What kind of thing a sealed object is; part of its associated data, so that no kind passes for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
#[non_exhaustive]
pub enum Kind {
    /// A key wrapped under an epoch key or a project epoch key.
    Wrap = 1,
    /// A project's record.
    Project = 2,
    /// A run's record: everything about it but its series.
    Run = 3,
    /// A run's head: counters and the keyed sum over its pages.
    Head = 4,
    /// Up to 256 series of a run: names and statistics.
    SeriesPage = 5,
    /// Up to 256 row groups of a run: extents and keyed sums.
    GroupPage = 6,
    /// A part of a row group.
    Block = 7,
    /// A change record.
    Change = 8,
    /// The root row of a workspace copy.
    Root = 9,
    /// Settings of a workspace, slot names among them.
    Settings = 10,
    /// A writer's place in its sequence.
    Writer = 11,
    /// A chunk of a blob, sealed without envelope.
    Chunk = 12,
    /// A part of a manifest: the files of an artifact version, or of a run's code or media; since format 3.
    Manifest = 13,
    /// A bucket: the keys of a pack's chunks.
    Bucket = 14,
    /// A segment that a device publishes.
    Segment = 15,
    /// How far a device has published: its signed head.
    DeviceHead = 16,
    /// A block of the catalogue, since format 2.
    Catalogue = 17,
    /// What was removed for good, and its keys; since format 3.
    Tombstone = 18,
    /// Reserved: media by content.
    Media = 19,
    /// An artifact: its name, versions and aliases; since format 3.
    Artifact = 20,
    /// How far a replica is; later also a ledger entry.
    Remote = 21,
    /// Summaries of many row groups of a run, by which a chart is drawn without reading them; since format 2.
    Overview = 22,
    /// The directory of a pack.
    Pack = 23,
    /// A version of an artifact, since format 3.
    Version = 24,
    /// What is kept of a purge: its receipt; since format 3.
    Receipt = 25,
    /// A document of the terms under which somebody stores what is sent; since format 3.
    Terms = 26,
    /// Where the file of a pack lies that was evicted from here.
    Away = 27,
    /// What was searched for secrets of a run, and found: stands in a device's own replica alone.
    Searched = 28,
    /// Where the rows of a run lie that are not here.
    RowsAway = 29,
}

/// Where a sealed object belongs: its associated data, fixed-width, with zeros where a field does not apply.
///
/// An object that is moved to another row, column, workspace or version does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The kind of object.
    pub kind: Kind,
    /// The owner or the row: a run, project, artifact.
    pub object: ObjectId,
    /// A second id where one row needs two (the epoch of a wrap, the journal of a writer).
    pub part: [u8; 16],
    /// Position inside the owner (page number, group number, purpose of a key).
    pub position: u64,
    /// Second position (column part of a group).
    pub sub_position: u32,
    /// The device that wrote this version of the row.
    pub device: DeviceId,
    /// That device's sequence number at the time: the row's version.
    pub device_seq: u64,
}

impl Place {
    /// Bytes of the associated data of one object.
    pub const BYTES: usize = 2 + 16 + 2 + 16 + 16 + 16 + 8 + 4 + 16 + 8;

    /// Makes the place of an object that is told apart by kind and owner alone.
    #[must_use]
    pub fn of(workspace: WorkspaceId, kind: Kind, object: ObjectId) -> Self {
        Place {
            workspace,
            kind,
            object,
            part: [0; 16],
            position: 0,
            sub_position: 0,
            device: DeviceId::NIL,
            device_seq: 0,
        }
    }

    /// Sets the position inside the owner.
    #[must_use]
    pub fn at(self, position: u64, sub_position: u32) -> Self {
        Place { position, sub_position, ..self }
    }

    /// Sets the second id.
    #[must_use]
    pub fn part(self, part: [u8; 16]) -> Self {
        Place { part, ..self }
    }

    /// Sets the version of the row: the device that wrote it and its sequence number.
    #[must_use]
    pub fn version(self, device: DeviceId, device_seq: u64) -> Self {
        Place { device, device_seq, ..self }
    }

    fn associated(&self, key: KeyId) -> Vec<u8> {
        let mut out = Writer::with_capacity(Self::BYTES);
        out.u8(VERSION).u8(SUITE).raw(&self.workspace.0).u16(self.kind as u16).raw(&key.0).raw(&self.object.0);
        out.raw(&self.part).u64(self.position).u32(self.sub_position).raw(&self.device.0).u64(self.device_seq);
        out.into_vec()
    }
}

/// A random key of the key table with its id: the only thing that seals and opens objects.
pub struct OwnerKey {
    id: KeyId,
    secret: Secret,
}

impl OwnerKey {
    /// Joins a key and its id.
    #[must_use]
    pub fn new(id: KeyId, secret: Secret) -> Self {
        OwnerKey { id, secret }
    }

    /// Returns the id, which objects carry in clear.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Returns the secret, for derivations named in docs/FORMAT.md only.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Seals `plain` for `place`.
    ///
    /// `salt` must be fresh random bytes: the object's key, commitment and nonce are derived from it.
    #[must_use]
    pub fn seal(&self, salt: [u8; SALT_BYTES], place: &Place, plain: &[u8]) -> Sealed {
        let derived = Derived::new(OBJECT_CONTEXT, &self.secret, &salt);
        let nonce = derived.object_nonce();
        let mut out = Vec::with_capacity(plain.len() + OVERHEAD_BYTES);
        out.extend_from_slice(&ENVELOPE_START);
        out.extend_from_slice(&self.id.0);
        out.extend_from_slice(&salt);
        out.extend_from_slice(&derived.commitment);
        out.extend_from_slice(plain);
        let text = out.get_mut(HEADER_BYTES..).expect("the header was just written");
        let tag = derived.aead().seal(nonce, &place.associated(self.id), text);
        out.extend_from_slice(&tag);
        Sealed(out)
    }

    /// Opens an object that belongs at `place`.
    ///
    /// # Errors
    /// [`FormatError::WrongKey`] if another key sealed it; [`FormatError::Damaged`] if it was changed or moved;
    /// the errors of [`Envelope::parse`].
    pub fn open(&self, place: &Place, sealed: &[u8]) -> Result<Vec<u8>> {
        let what = place.kind.name();
        let envelope = Envelope::parse(what, sealed)?;
        let derived = Derived::new(OBJECT_CONTEXT, &self.secret, &envelope.salt);
        if envelope.key != self.id || !constant_time_eq(&derived.commitment, &envelope.commitment) {
            return Err(FormatError::WrongKey { what });
        }
        let mut text = envelope.ciphertext.to_vec();
        if derived.aead().open(derived.object_nonce(), &place.associated(self.id), &mut text, &envelope.tag) {
            Ok(text)
        } else {
            Err(FormatError::Damaged { what })
        }
    }
}

/// Ciphertext that may leave this machine; a remote accepts nothing else. [`OwnerKey::seal`] makes it, and
/// [`crate::sync::Welcome`], which is wraps and public halves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// Returns the bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the bytes by value.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// The fields of a sealed object that can be read without its key.
#[derive(Debug, Clone)]
pub struct Envelope<'a> {
    /// The key that sealed it.
    pub key: KeyId,
    /// The salt.
    pub salt: [u8; SALT_BYTES],
    /// The commitment to the key.
    pub commitment: [u8; 32],
    /// The ciphertext.
    pub ciphertext: &'a [u8],
    /// The tag.
    pub tag: [u8; TAG_BYTES],
}

impl<'a> Envelope<'a> {
    /// Splits a sealed object into its fields.
    ///
    /// # Errors
    /// [`FormatError::Truncated`], [`FormatError::Malformed`] for another magic, [`FormatError::NewerVersion`],
    /// [`FormatError::UnknownSuite`].
    pub fn parse(what: &'static str, sealed: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::new(what, sealed);
        if reader.array()? != MAGIC {
            return Err(reader.malformed("not a sealed object"));
        }
        let version = reader.u8()?;
        reader.version(version.into(), VERSION.into())?;
        let suite = reader.u8()?;
        if suite != SUITE {
            return Err(FormatError::UnknownSuite { what, found: suite });
        }
        let key = KeyId(reader.array()?);
        let salt = reader.array()?;
        let commitment = reader.array()?;
        let len = reader
            .remaining()
            .checked_sub(TAG_BYTES)
            .ok_or_else(|| FormatError::Truncated { what, needed: TAG_BYTES.abs_diff(reader.remaining()) })?;
        let ciphertext = reader.take(len)?;
        let tag = reader.array()?;
        Ok(Envelope { key, salt, commitment, ciphertext, tag })
    }
}

impl Kind {
    /// Returns the name that errors use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Wrap => "wrapped key",
            Kind::Project => "project record",
            Kind::Run => "run record",
            Kind::Head => "run head",
            Kind::SeriesPage => "series page",
            Kind::GroupPage => "group page",
            Kind::Block => "block",
            Kind::Change => "change record",
            Kind::Root => "root row",
            Kind::Settings => "settings",
            Kind::Writer => "writer row",
            Kind::Chunk => "chunk",
            Kind::Manifest => "manifest",
            Kind::Bucket => "chunk bucket",
            Kind::Segment => "changeset segment",
            Kind::DeviceHead => "device head",
            Kind::Catalogue => "catalogue block",
            Kind::Tombstone => "tombstone",
            Kind::Media => "media object",
            Kind::Artifact => "artifact record",
            Kind::Remote => "remote record",
            Kind::Overview => "overview",
            Kind::Pack => "pack directory",
            Kind::Version => "artifact version",
            Kind::Receipt => "receipt",
            Kind::Terms => "terms document",
            Kind::Away => "evicted pack",
            Kind::Searched => "searched run",
            Kind::RowsAway => "rows away",
        }
    }
}

/// What is derived from a secret for one object or journal: the cipher's key, a commitment, and where nonces come
/// from.
pub(crate) struct Derived {
    key: Secret,
    pub(crate) commitment: [u8; 32],
    /// An object's nonce is the beginning of this; the nonces of a journal's frames are hashes under it.
    pub(crate) nonce: Secret,
}

impl Derived {
    /// `bound` makes the keys belong to one object or journal: a random salt is in it.
    pub(crate) fn new(context: &'static str, secret: &Secret, bound: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        hasher.update(secret.expose()).update(bound);
        let mut out = zeroize::Zeroizing::new([[0; 32]; 3]);
        hasher.finalize_xof().fill(out.as_flattened_mut());
        let [key, commitment, nonce] = *out;
        Derived { key: Secret::new(key), commitment, nonce: Secret::new(nonce) }
    }

    pub(crate) fn aead(&self) -> Aead {
        Aead::new(self.key.expose())
    }

    fn object_nonce(&self) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce.copy_from_slice(&self.nonce.expose()[..12]);
        nonce
    }
}

/// Compares without a branch on the content.
#[must_use]
pub(crate) fn constant_time_eq(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).fold(0, |acc, (a, b)| acc | (a ^ b)) == 0
}

/// Returns the BLAKE3 hash of bytes, as files outside any envelope carry it against accidents.
#[must_use]
pub fn checksum(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

/// Returns a keyed tag of a name: BLAKE3 keyed with the lookup key over kind, parent and name.
///
/// Equal names under one parent have equal tags, so that `UNIQUE` works without plaintext. Source:
/// docs/FORMAT.md, "Lookup tags".
#[must_use]
pub fn lookup_tag(lookup_key: &Secret, kind: Kind, parent: ObjectId, name: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(lookup_key.expose());
    hasher.update(b"runcellar 1 lookup");
    hasher.update(&(kind as u16).to_le_bytes()).update(&parent.0).update(name.as_bytes());
    *hasher.finalize().as_bytes()
}

/// Returns what the ranks of a job share: BLAKE3 keyed with the lookup key over project, job and the ordinal of the
/// run among those that each rank starts. The first half is the run's object id, the second gives its id.
#[must_use]
pub fn launch_hash(lookup_key: &Secret, project: &str, job: &str, ordinal: u32) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(lookup_key.expose());
    hasher.update(b"runcellar 1 launch");
    hasher.update(&(project.len() as u64).to_le_bytes()).update(project.as_bytes());
    hasher.update(&ordinal.to_le_bytes()).update(job.as_bytes());
    *hasher.finalize().as_bytes()
}

/// Returns what names a redacted secret: the first 6 bytes, in hexadecimal, of BLAKE3 keyed with the lookup key over its
/// rule and its text. docs/FORMAT.md, "Findings".
#[must_use]
pub fn finding_id(lookup_key: &Secret, rule: &str, secret: &str) -> String {
    let mut hasher = blake3::Hasher::new_keyed(lookup_key.expose());
    hasher.update(b"runcellar 1 finding");
    hasher.update(&(rule.len() as u64).to_le_bytes()).update(rule.as_bytes()).update(secret.as_bytes());
    hasher.finalize().as_bytes()[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place::of(WorkspaceId([1; 16]), Kind::Run, ObjectId([2; 16])).at(3, 4).version(DeviceId([5; 16]), 6)
    }

    fn key() -> OwnerKey {
        OwnerKey::new(KeyId([9; 16]), Secret::new([8; 32]))
    }

    #[test]
    fn an_object_opens_only_under_its_key_and_at_its_place() {
        let sealed = key().seal([7; 24], &place(), b"learning rate");
        assert_eq!(sealed.as_bytes().len(), 13 + OVERHEAD_BYTES);
        assert_eq!(key().open(&place(), sealed.as_bytes()), Ok(b"learning rate".to_vec()));
        let other = OwnerKey::new(KeyId([9; 16]), Secret::new([9; 32]));
        assert_eq!(other.open(&place(), sealed.as_bytes()), Err(FormatError::WrongKey { what: "run record" }));
        for moved in [
            Place { workspace: WorkspaceId([0; 16]), ..place() },
            Place { kind: Kind::Project, ..place() },
            Place { object: ObjectId([3; 16]), ..place() },
            place().part([1; 16]),
            place().at(4, 4),
            place().at(3, 5),
            place().version(DeviceId([6; 16]), 6),
            place().version(DeviceId([5; 16]), 7),
        ] {
            let refused = key().open(&moved, sealed.as_bytes());
            assert!(matches!(refused, Err(FormatError::Damaged { .. })), "{moved:?}");
        }
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_refused() {
        let sealed = key().seal([7; 24], &place(), b"0.1").into_bytes();
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(key().open(&place(), &flipped).is_err(), "bit {bit}");
        }
        for len in 0..sealed.len() {
            assert!(key().open(&place(), &sealed[..len]).is_err(), "length {len}");
        }
    }

    #[test]
    fn whole_objects_are_the_same_by_either_cipher() {
        for len in [0, 1, 64, 1000, 100_000] {
            let plain: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            let sealed = key().seal([7; 24], &place(), &plain);
            let envelope = Envelope::parse("test", sealed.as_bytes()).expect("whole");
            let derived = Derived::new(OBJECT_CONTEXT, key().secret(), &envelope.salt);
            let reference = crate::aead::Reference::new(derived.key.expose());
            let associated = place().associated(key().id());
            assert_eq!(associated.len(), Place::BYTES);
            let mut text = plain.clone();
            assert_eq!(reference.seal(derived.object_nonce(), &associated, &mut text), envelope.tag);
            assert_eq!(text, envelope.ciphertext);
            assert!(reference.open(derived.object_nonce(), &associated, &mut text, &envelope.tag));
            assert_eq!(text, plain);
        }
    }

    #[test]
    fn lookup_tags_differ_by_kind_parent_and_name() {
        let secret = Secret::new([1; 32]);
        let tag = |kind, parent, name| lookup_tag(&secret, kind, ObjectId([parent; 16]), name);
        let base = tag(Kind::Run, 0, "a");
        assert_eq!(base, tag(Kind::Run, 0, "a"));
        assert!(![tag(Kind::Project, 0, "a"), tag(Kind::Run, 1, "a"), tag(Kind::Run, 0, "b")].contains(&base));
    }
}
