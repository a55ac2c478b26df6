//! Other devices of the workspace: their slots stand in `keyslots` beside one's own, so that a new root key is sealed to them.
//!
//! Two things prove a slot. The MAC of a `keyslots` file under the live root key: whoever made it has that key anyway. And,
//! for a device that is a member already and went on under another root key, its signature: a new public half of its own.
//! A remote has neither, and a device that was shut out has no slot here any more.

use std::collections::HashSet;

use runcellar_format::keyslots::{Device, Keyslots, Slot};
use runcellar_format::record::SlotInfo;
use runcellar_format::{DeviceId, SlotId};

use super::keyslots::{KeyslotsFile, read_settled, rewrite};
use super::{Inner, device_signs, epoch, settings};
use crate::db::{ReadTx, WriteTx};
use crate::io;
use crate::keys::Keyring;
use crate::{Error, Result};

/// Hexadecimal digits of a device's id in the name of its slot.
const DIGITS: usize = 8;

/// A device as its head shows it: the signature of the head was checked by this key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signer {
    pub(crate) device: DeviceId,
    pub(crate) public: [u8; 32],
}

impl Inner {
    /// Sees to it that `keyslots` has this device, with the key that it signs with.
    pub(crate) fn announce(&self) -> Result<()> {
        epoch::finish(self)?;
        let known = self.read(|tx, keyring| {
            let device = DeviceId(tx.root(keyring)?.device);
            let signing = super::known_device_key(tx, keyring)?.map(|key| key.public());
            let file = KeyslotsFile::read_verified(&*self.io, &self.path, keyring)?;
            let stands = |known: &Device| known.id == device && Some(known.signing) == signing;
            Ok(file.keyslots.devices.iter().any(stands))
        })?;
        match known {
            true => Ok(()),
            false => self.write(None, |tx| {
                let mut keyslots = read_settled(self, tx)?.keyslots;
                device_signs(self, tx, &mut keyslots)?;
                rewrite(self, tx, &mut keyslots)
            }),
        }
    }

    /// Returns true if a device has a slot here, and signed with the key that is known of it.
    pub(crate) fn is_member(&self, signer: Signer) -> Result<bool> {
        let file = self.read(|_, keyring| KeyslotsFile::read_verified(&*self.io, &self.path, keyring))?;
        Ok(stands(&file.keyslots, signer))
    }

    /// Lists the other devices that have a slot here, each with it.
    pub(crate) fn device_slots(&self) -> Result<Vec<(DeviceId, SlotId)>> {
        self.read(|tx, keyring| {
            let this = DeviceId(tx.root(keyring)?.device);
            let keyslots = KeyslotsFile::read_verified(&*self.io, &self.path, keyring)?.keyslots;
            let has_slot = |device: &&Device| keyslots.slots.iter().any(|slot| slot.id == device.slot);
            let others = keyslots.devices.iter().filter(|device| device.id != this).filter(has_slot);
            Ok(others.map(|device| (device.id, device.slot)).collect())
        })
    }

    /// Takes in the devices and slots of another device's `keyslots`, if it is of the live root key, or that device's own new
    /// public half, if it is a member. Returns whether anything is new.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Damaged`] if the file says to be of the live root key, and whoever made it did not have it.
    pub(crate) fn admit(&self, signer: Signer, bytes: &[u8]) -> Result<bool> {
        let theirs = Keyslots::decode(bytes).map_err(|cause| Error::format("keyslots of another device", cause))?;
        epoch::finish(self)?;
        let mut planned = false;
        self.read(|tx, keyring| {
            let mine = KeyslotsFile::read_verified(&*self.io, &self.path, keyring)?.keyslots;
            let live = keyring.epoch_key(tx.epoch().id)?;
            if let Some(index) = theirs.epochs.iter().position(|known| known.id == tx.epoch().id) {
                Keyslots::verify(bytes, theirs.epochs.len(), index, live.secret())
                    .map_err(|cause| Error::format("keyslots of another device", cause))?;
            }
            let this = DeviceId(tx.root(keyring)?.device);
            planned = !news(&mine, this, &theirs, tx.epoch().id, signer).without(tx, keyring)?.is_empty();
            Ok(())
        })?;
        if !planned {
            return Ok(false);
        }
        self.write(None, |tx| {
            let mut mine = read_settled(self, tx)?.keyslots;
            let this = DeviceId(tx.root().device);
            let news = news(&mine, this, &theirs, tx.epoch().id, signer).without(tx, tx.keyring)?;
            for (slot, index) in news.slots {
                self.take_slot(tx, &mut mine, slot, index)?;
            }
            for device in news.devices {
                mine.devices.retain(|known| known.id != device.id);
                mine.devices.push(device);
            }
            rewrite(self, tx, &mut mine)
        })?;
        Ok(true)
    }

    fn take_slot(&self, tx: &mut WriteTx<'_>, mine: &mut Keyslots, theirs: &Slot, index: usize) -> Result<()> {
        let live = tx.epoch().id;
        let key = tx.keyring.epoch_key(live)?;
        let slot = Slot::of_device(self.id, theirs, index, (live, key.secret()), io::random(tx.io)?)
            .map_err(|cause| Error::format(format_args!("slot {}", theirs.id), cause))?;
        match mine.slots.iter_mut().find(|known| known.id == slot.id) {
            Some(known) => *known = slot,
            None => {
                let id = slot.id.to_string();
                let name = format!("device {}", id.get(..DIGITS).unwrap_or(&id));
                settings::change_slots(tx, &[], Some(&SlotInfo { slot: slot.id.0, name, created: tx.io.wall_us() }))?;
                mine.slots.push(slot);
            }
        }
        Ok(())
    }
}

fn stands(keyslots: &Keyslots, signer: Signer) -> bool {
    let has_slot = |device: &Device| keyslots.slots.iter().any(|slot| slot.id == device.slot);
    let is_signer = |device: &&Device| device.id == signer.device && device.signing == signer.public;
    keyslots.devices.iter().find(is_signer).is_some_and(has_slot)
}

/// What another device's `keyslots` has that one's own has not.
struct News<'a> {
    /// Slots, each with the place of the epoch in it whose public half counts.
    slots: Vec<(&'a Slot, usize)>,
    devices: Vec<Device>,
}

impl News<'_> {
    fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.devices.is_empty()
    }

    /// Leaves out slots that were removed: who has not heard of it yet has them still.
    fn without(mut self, tx: &ReadTx<'_>, keyring: &Keyring) -> Result<Self> {
        let mut removed = HashSet::new();
        for (owner, tombstone) in tx.tombstones(keyring)? {
            removed.extend(tombstone.is_of_slot().then_some(SlotId(owner.0)));
        }
        self.slots.retain(|(slot, _)| !removed.contains(&slot.id));
        self.devices.retain(|device| !removed.contains(&device.slot));
        Ok(self)
    }
}

fn news<'a>(
    mine: &Keyslots,
    this: DeviceId,
    theirs: &'a Keyslots,
    live: runcellar_format::EpochId,
    signer: Signer,
) -> News<'a> {
    let of_live = theirs.epochs.iter().position(|known| known.id == live);
    let index = of_live.unwrap_or(theirs.epochs.len().saturating_sub(1));
    let own = epoch::own_slots(mine, this);
    let of_signer = theirs.devices.iter().find(|device| device.id == signer.device);
    let differs = |slot: &Slot| {
        let half = slot.halves.get(index).and_then(Option::as_ref);
        let known = mine.slots.iter().find(|known| known.id == slot.id);
        let known = known.map(|known| known.halves.last().and_then(Option::as_ref));
        let public = |half: &runcellar_format::keyslots::Half| (half.public, half.inner);
        half.is_some_and(|half| known.is_none_or(|known| known.map(public) != Some(public(half))))
    };
    let is_wanted = |slot: &&Slot| {
        let is_signers = of_signer.is_some_and(|device| device.slot == slot.id);
        // Of what is here already a device has its say on its own slot alone.
        let is_known = mine.slots.iter().any(|known| known.id == slot.id);
        let counts = if of_live.is_some() { is_signers || !is_known } else { is_signers && is_known };
        counts && !own.slots.iter().any(|own| own.id == slot.id) && differs(slot)
    };
    let member = stands(mine, signer);
    if of_live.is_none() && !member {
        return News { slots: Vec::new(), devices: Vec::new() };
    }
    let is_new = |device: &&Device| {
        let known = mine.devices.iter().find(|known| known.id == device.id);
        let is_signer = device.id == signer.device && device.signing == signer.public;
        device.id != this && known.is_none_or(|known| is_signer && known.signing == [0; 32])
    };
    News {
        slots: theirs.slots.iter().filter(is_wanted).map(|slot| (slot, index)).collect(),
        devices: theirs.devices.iter().filter(|_| of_live.is_some()).filter(is_new).copied().collect(),
    }
}
