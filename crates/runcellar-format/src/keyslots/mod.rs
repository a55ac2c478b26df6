//! The `keyslots` file: the ways to unlock a workspace, and its public halves. It holds no secret.
//!
//! Each slot seals the root epoch key to a public half that is derived from the slot's secret. A MAC under a key
//! derived from each epoch key covers the whole file, and is checked after unlocking and before anything is sealed
//! to a public half that stands here. docs/FORMAT.md, "keyslots".

mod keyfile;
mod secret;
mod slot;

pub use keyfile::{KeyFile, KeyFileEntry};
pub use secret::{Argon2Params, SlotSecret, format_recovery_code, parse_recovery_code};
pub use slot::{Half, Slot, SlotKind};

use crate::codec::{Reader, Writer};
use crate::error::{FormatError, Result};
use crate::id::{DeviceId, EpochId, SlotId, WorkspaceId};
use crate::pair::PublicHalf;
use crate::seal::{checksum, constant_time_eq};
use crate::secret::Secret;

const WHAT: &str = "keyslots";
const MAGIC: [u8; 8] = *b"rckeyslt";
/// Each slot opens all epochs of the file with one pair.
const VERSION_PLAIN: u16 = 1;
/// Each slot says for each epoch whether it opens it, and with which pair.
const VERSION_BY_EPOCH: u16 = 2;
const MAC_CONTEXT: &str = "runcellar 1 keyslots mac";
/// Slots of one workspace: one a device and a few for people; the limit bounds what an opener tries.
pub const SLOTS_MAX: usize = 256;
/// Devices named in one workspace.
pub const DEVICES_MAX: usize = 256;
/// The longest `keyslots` file that is read.
pub const FILE_BYTES_MAX: usize = 1 << 20;
const SLOT_BYTES_MAX: u32 = 1024;

/// One generation of the root key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch {
    /// Counts from 1.
    pub number: u64,
    /// Random id.
    pub id: EpochId,
    /// The epoch before; nil for the first.
    pub parent: EpochId,
}

/// The public half to which journals of key source 2 are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IngestPublic {
    /// Counts from 1.
    pub generation: u32,
    /// The public half.
    pub public: PublicHalf,
}

/// A device that writes to the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// Its slot.
    pub slot: SlotId,
    /// Its Ed25519 public key; zeros until the device first signs.
    pub signing: [u8; 32],
}

/// The content of a `keyslots` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyslots {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Rises with every rewrite.
    pub version: u64,
    /// The live epoch, or two of them while the root key is replaced: first the old one, then the new.
    pub epochs: Vec<Epoch>,
    /// The ingest public key.
    pub ingest: IngestPublic,
    /// Devices.
    pub devices: Vec<Device>,
    /// Slots.
    pub slots: Vec<Slot>,
}

fn mac(epoch_key: &Secret, body: &[u8]) -> [u8; 32] {
    let key = zeroize::Zeroizing::new(blake3::derive_key(MAC_CONTEXT, epoch_key.expose()));
    *blake3::keyed_hash(&key, body).as_bytes()
}

impl Keyslots {
    /// Returns the file's bytes, authenticated under the epoch keys, which stand in the order of `epochs`.
    ///
    /// # Errors
    /// [`FormatError::Limit`] for too many slots or devices, [`FormatError::Malformed`] for what
    /// [`Keyslots::decode`] would refuse.
    pub fn encode(&self, epoch_keys: &[&Secret]) -> Result<Vec<u8>> {
        self.check()?;
        let whole = |slot: &Slot| slot.halves.len() == self.epochs.len();
        if epoch_keys.len() != self.epochs.len() || !self.slots.iter().all(whole) {
            return Err(FormatError::Malformed { what: WHAT, reason: "not one key for each epoch" });
        }
        let mut out = Writer::with_capacity(1024);
        let version = if self.slots.iter().all(Slot::is_plain) { VERSION_PLAIN } else { VERSION_BY_EPOCH };
        out.raw(&MAGIC).u16(version).u16(0).raw(&self.workspace.0).u64(self.version);
        out.u8(self.epochs.len() as u8);
        for epoch in &self.epochs {
            out.u64(epoch.number).raw(&epoch.id.0).raw(&epoch.parent.0);
        }
        out.u32(self.ingest.generation).raw(&self.ingest.public.0);
        out.count(WHAT, self.devices.len(), DEVICES_MAX as u32)?;
        for device in &self.devices {
            out.raw(&device.id.0).raw(&device.slot.0).raw(&device.signing);
        }
        out.count(WHAT, self.slots.len(), SLOTS_MAX as u32)?;
        for slot in &self.slots {
            out.bytes(WHAT, &slot.encode(version == VERSION_PLAIN)?, SLOT_BYTES_MAX)?;
        }
        let body_bytes = out.as_slice().len();
        for key in epoch_keys {
            let mac = mac(key, out.as_slice().get(..body_bytes).expect("the body is there"));
            out.raw(&mac);
        }
        let sum = checksum(out.as_slice());
        out.raw(&sum);
        Ok(out.into_vec())
    }

    /// Reads a file. Its MAC is checked by [`Keyslots::verify`], once an epoch key is known.
    ///
    /// # Errors
    /// [`FormatError::Damaged`] for a wrong checksum of the file or of a slot, [`FormatError::NewerVersion`],
    /// [`FormatError::Malformed`], [`FormatError::Limit`].
    pub fn decode(bytes: &[u8]) -> Result<Keyslots> {
        let mut reader = Reader::new(WHAT, bytes);
        if reader.array()? != MAGIC {
            return Err(reader.malformed("not a keyslots file"));
        }
        let format = reader.u16()?;
        reader.version(format.into(), VERSION_BY_EPOCH.into())?;
        check_len(bytes.len())?;
        let (body, sum) = bytes
            .split_at_checked(bytes.len().saturating_sub(32))
            .filter(|(body, _)| body.len() > 12)
            .ok_or(FormatError::Truncated { what: WHAT, needed: 32 })?;
        if checksum(body) != *sum {
            return Err(FormatError::Damaged { what: WHAT });
        }
        let mut reader = Reader::new(WHAT, body);
        reader.take(10)?;
        if reader.u16()? != 0 {
            return Err(reader.malformed("reserved bits are set"));
        }
        let workspace = WorkspaceId(reader.array()?);
        let version = reader.u64()?;
        let epoch_total = usize::from(reader.u8()?);
        check_epochs(epoch_total)?;
        let epoch = |reader: &mut Reader<'_>| -> Result<Epoch> {
            let number = reader.u64()?;
            Ok(Epoch { number, id: EpochId(reader.array()?), parent: EpochId(reader.array()?) })
        };
        let epochs = (0..epoch_total).map(|_| epoch(&mut reader)).collect::<Result<Vec<_>>>()?;
        let ingest = IngestPublic { generation: reader.u32()?, public: PublicHalf(reader.array()?) };
        let device_total = reader.count(DEVICES_MAX as u32)?;
        let device = |reader: &mut Reader<'_>| -> Result<Device> {
            let (id, slot) = (DeviceId(reader.array()?), SlotId(reader.array()?));
            Ok(Device { id, slot, signing: reader.array()? })
        };
        let devices = (0..device_total).map(|_| device(&mut reader)).collect::<Result<Vec<_>>>()?;
        let slot_total = reader.count(SLOTS_MAX as u32)?;
        let plain = format == VERSION_PLAIN;
        let slot = |_| Slot::decode(reader.bytes(SLOT_BYTES_MAX)?, epoch_total, plain);
        let slots = (0..slot_total).map(slot).collect::<Result<Vec<_>>>()?;
        if !plain && slots.iter().all(Slot::is_plain) {
            return Err(reader.malformed("version 2 for what version 1 can say"));
        }
        reader.take(32 * epoch_total)?;
        reader.finish()?;
        let keyslots = Keyslots { workspace, version, epochs, ingest, devices, slots };
        keyslots.check()?;
        Ok(keyslots)
    }

    /// Refuses what cannot be told apart, and a workspace that nothing opens.
    fn check(&self) -> Result<()> {
        let malformed = |reason| Err(FormatError::Malformed { what: WHAT, reason });
        check_epochs(self.epochs.len())?;
        if self.slots.is_empty() {
            return malformed("no slot");
        }
        if self.slots.iter().any(|slot| slot.halves.iter().all(Option::is_none)) {
            return malformed("a slot that opens no epoch");
        }
        if has_twice(self.epochs.iter().map(|epoch| epoch.id.0))
            || has_twice(self.devices.iter().map(|device| device.id.0))
            || has_twice(self.slots.iter().map(|slot| slot.id.0))
        {
            return malformed("two epochs, devices or slots of one id");
        }
        Ok(())
    }

    /// Checks the MAC of the `index`-th epoch over the file's bytes.
    ///
    /// # Errors
    /// [`FormatError::Damaged`] if somebody without the key wrote the file.
    pub fn verify(bytes: &[u8], epoch_total: usize, index: usize, epoch_key: &Secret) -> Result<()> {
        let damaged = FormatError::Damaged { what: WHAT };
        let tail = 32 * (epoch_total + 1);
        let body_bytes = bytes.len().checked_sub(tail).ok_or(damaged.clone())?;
        let at = body_bytes + 32 * index;
        let (Some(body), Some(found)) = (bytes.get(..body_bytes), bytes.get(at..at + 32)) else {
            return Err(damaged);
        };
        if constant_time_eq(&mac(epoch_key, body), found) { Ok(()) } else { Err(damaged) }
    }
}

fn check_len(len: usize) -> Result<()> {
    let (found, limit) = (len as u64, FILE_BYTES_MAX as u64);
    if found > limit { Err(FormatError::Limit { what: WHAT, found, limit }) } else { Ok(()) }
}

fn has_twice(ids: impl Iterator<Item = [u8; 16]>) -> bool {
    let mut seen = std::collections::BTreeSet::new();
    ids.into_iter().any(|id| !seen.insert(id))
}

fn check_epochs(total: usize) -> Result<()> {
    let malformed = FormatError::Malformed { what: WHAT, reason: "one or two epochs expected" };
    if (1..=2).contains(&total) { Ok(()) } else { Err(malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Keyslots, Secret, SlotSecret) {
        let workspace = WorkspaceId([1; 16]);
        let epoch_key = Secret::new([2; 32]);
        let secret = SlotSecret::key_file(Secret::new([3; 32]));
        let epoch = Epoch { number: 1, id: EpochId([4; 16]), parent: EpochId::NIL };
        let id = SlotId([5; 16]);
        let slot =
            Slot::new(workspace, id, SlotKind::KeyFile, &secret, (epoch.id, &epoch_key), [6; 32]).expect("seals");
        let ingest = IngestPublic { generation: 1, public: PublicHalf([7; 32]) };
        let devices = vec![Device { id: DeviceId([8; 16]), slot: id, signing: [0; 32] }];
        let slots = vec![slot];
        (Keyslots { workspace, version: 1, epochs: vec![epoch], ingest, devices, slots }, epoch_key, secret)
    }

    #[test]
    fn the_file_reads_back_opens_and_verifies() {
        let (keyslots, epoch_key, secret) = sample();
        let bytes = keyslots.encode(&[&epoch_key]).expect("encodes");
        let read = Keyslots::decode(&bytes).expect("reads");
        assert_eq!(read, keyslots);
        let opened = read.slots[0].open(read.workspace, &read.epochs, &secret).expect("opens");
        assert_eq!(opened[0].1.expose(), epoch_key.expose());
        Keyslots::verify(&bytes, 1, 0, &opened[0].1).expect("authentic");
        assert!(Keyslots::verify(&bytes, 1, 0, &Secret::new([9; 32])).is_err());
    }

    #[test]
    fn a_wrong_secret_and_a_damaged_slot_are_different_errors() {
        let (mut keyslots, epoch_key, secret) = sample();
        let wrong =
            keyslots.slots[0].open(keyslots.workspace, &keyslots.epochs, &SlotSecret::key_file(Secret::new([9; 32])));
        assert_eq!(wrong.err(), Some(FormatError::WrongKey { what: "slot" }));
        keyslots.slots[0].halves[0].as_mut().expect("sealed").sealed[40] ^= 1;
        let damaged = keyslots.slots[0].open(keyslots.workspace, &keyslots.epochs, &secret);
        assert_eq!(damaged.err(), Some(FormatError::Damaged { what: "slot" }));
        assert!(keyslots.encode(&[&epoch_key]).is_ok());
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_refused() {
        let (keyslots, epoch_key, _) = sample();
        let bytes = keyslots.encode(&[&epoch_key]).expect("encodes");
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Keyslots::decode(&flipped).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(Keyslots::decode(&bytes[..len]).is_err(), "length {len}");
        }
    }
}
