//! What is to go from a remote after the root key was replaced: the segments of earlier generations. And how far that, and
//! the other devices, have come.

use std::collections::{BTreeMap, HashSet};

use runcellar_format::seal::Kind;
use runcellar_format::{DeviceId, ObjectId, SlotId};

use super::exchange::Exchange;
use super::packs::PackName;
use super::record::load;
use super::replica::{Replica, cursor, put_cursor};
use super::shut_out;
use crate::Result;
use crate::workspace::Inner;

/// How far a new root key has come on a remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteReach {
    pub(crate) id: ObjectId,
    /// True if nothing of this device that hangs from an earlier root key is there any more, nor of one that was shut out.
    pub(crate) is_wiped: bool,
    /// Until when a lock keeps something of it, microseconds UTC since 1970; `i64::MAX` if nobody knows.
    pub(crate) locked_until_us: Option<i64>,
}

/// How far another device has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeviceReach {
    pub(crate) id: DeviceId,
    /// Its slot here; none if it was shut out.
    pub(crate) slot: Option<SlotId>,
    /// The number of the root key that it was seen to have.
    pub(crate) epoch: u64,
}

/// How far a new root key has come outside of this workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Remotes on which this device published something.
    pub(crate) remotes: Vec<RemoteReach>,
    /// Devices that published something.
    pub(crate) devices: Vec<DeviceReach>,
}

/// Looks at the replicas, and changes none of them.
pub(crate) fn reach(inner: &Inner) -> Result<Reach> {
    let mut found = Reach::default();
    let remotes = inner.read(load)?;
    if remotes.all.is_empty() {
        return Ok(found);
    }
    let members = inner.device_slots()?;
    let this = DeviceId(inner.read(|tx, keyring| Ok(tx.root(keyring)?.device))?);
    for remote in &remotes.all {
        let id = ObjectId(remote.id);
        let mut remains = false;
        for replica in shut_out::remains(inner, id, ObjectId(remote.prefix))? {
            remains |= shut_out::is_there(&replica.cursor()?);
        }
        let mut epochs: BTreeMap<DeviceId, u64> = BTreeMap::new();
        for replica in Replica::all(inner, id)? {
            let at = replica.cursor()?;
            if replica.prefix.0 == remote.prefix {
                let is_wiped = replica.is_of_epoch(inner)? && at.headed >= at.first() && at.wiped() + 1 >= at.first();
                let is_wiped = (is_wiped || at.headed == 0) && !remains;
                found.remotes.push(RemoteReach { id, is_wiped, locked_until_us: at.locked_until_us() });
                continue;
            }
            // Of several prefixes of a device the one where it publishes now counts.
            let epoch = at.epoch().map_or(0, |(number, _)| number);
            let known = epochs.entry(DeviceId(at.device)).or_default();
            *known = epoch.max(*known);
        }
        for (device, epoch) in epochs.into_iter().filter(|(device, _)| *device != this) {
            let slot = members.iter().find(|(known, _)| *known == device).map(|(_, slot)| *slot);
            match found.devices.iter_mut().find(|known| known.id == device) {
                // On each remote it has to be seen with the new one.
                Some(known) => known.epoch = known.epoch.min(epoch),
                None => found.devices.push(DeviceReach { id: device, slot, epoch }),
            }
        }
    }
    Ok(found)
}

/// What is to be deleted at once: it was published under a root key that was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftovers {
    /// The first segment.
    pub from: u64,
    /// The last; below `from` if none is to go.
    pub to: u64,
    /// Packs that are told of no more.
    pub packs: Vec<PackName>,
}

impl Exchange {
    /// Returns what is still to be deleted of earlier generations: segments, and packs of which the present one does not tell;
    /// none before that is published.
    ///
    /// # Errors
    /// If the own replica cannot be read.
    pub fn leftovers(&self) -> Result<Option<Leftovers>> {
        let at = self.own.cursor()?;
        let (from, to) = (at.wiped() + 1, at.first() - 1);
        if (from > to && at.old_packs().is_empty()) || at.headed < at.first() || at.headed < at.number {
            return Ok(None);
        }
        let told = self.told_packs()?;
        let gone = at.old_packs().into_iter().map(ObjectId).filter(|pack| !told.contains(pack));
        let packs = gone.map(|pack| PackName::new(at.device, pack)).collect();
        Ok(Some(Leftovers { from, to, packs }))
    }

    /// Returns the device below whose name this one stores its packs.
    ///
    /// # Errors
    /// If the own replica cannot be read.
    pub fn pack_folder(&self) -> Result<String> {
        Ok(DeviceId(self.own.cursor()?.device).to_string())
    }

    /// Returns the packs of which this device tells, and those that were evicted.
    ///
    /// # Errors
    /// If the own replica cannot be read.
    pub fn told(&self) -> Result<HashSet<PackName>> {
        let device = self.own.cursor()?.device;
        Ok(self.told_packs()?.into_iter().map(|pack| PackName::new(device, pack)).collect())
    }

    /// Returns the packs that are to stay there: what is told of, and what was evicted, as it is nowhere else.
    pub(super) fn told_packs(&self) -> Result<HashSet<ObjectId>> {
        let mut told = self.evicted_from_here()?;
        told.extend(self.own.inner().read(|tx, _| tx.object_ids(Kind::Pack))?);
        Ok(told)
    }

    /// Says that all of this was deleted, and is not there any more; or until when a lock keeps some of it.
    ///
    /// # Errors
    /// If the own replica cannot be written.
    pub fn wiped(&self, leftovers: &Leftovers, locked_until_us: Option<i64>) -> Result<()> {
        let own = &self.own;
        own.inner().write(None, |tx| {
            let mut at = cursor(tx, tx.keyring, own.prefix)?;
            at.set_locked_until_us(locked_until_us);
            if locked_until_us.is_none() {
                at.set_wiped(leftovers.to);
                at.set_old_packs(&[]);
            }
            put_cursor(tx, own.prefix, &at)
        })
    }
}
