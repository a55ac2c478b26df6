//! What is to go from a remote after the root key was replaced: the segments of earlier generations. And how far that, and
//! the other devices, have come.

use runcellar_format::{DeviceId, ObjectId, SlotId};

use super::exchange::Exchange;
use super::record::load;
use super::replica::{Replica, cursor, put_cursor};
use crate::Result;
use crate::workspace::Inner;

/// How far a new root key has come on a remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteReach {
    pub(crate) id: ObjectId,
    /// True if nothing of this device that hangs from an earlier root key is there any more.
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
    for remote in &remotes.all {
        let id = ObjectId(remote.id);
        for replica in Replica::all(inner, id)? {
            let at = replica.cursor()?;
            if replica.prefix.0 == remote.prefix {
                let is_wiped = replica.is_of_epoch(inner)? && at.headed >= at.first() && at.wiped() + 1 >= at.first();
                let is_wiped = is_wiped || at.headed == 0;
                found.remotes.push(RemoteReach { id, is_wiped, locked_until_us: at.locked_until_us() });
                continue;
            }
            let device = DeviceId(at.device);
            let epoch = at.epoch().map_or(0, |(number, _)| number);
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

/// Segments that are to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leftovers {
    /// The first of them.
    pub from: u64,
    /// The last.
    pub to: u64,
}

impl Exchange {
    /// Returns the segments of earlier generations that are still to be deleted; none before the present one is published.
    ///
    /// # Errors
    /// If the own replica cannot be read.
    pub fn leftovers(&self) -> Result<Option<Leftovers>> {
        let at = self.own.cursor()?;
        let (from, to) = (at.wiped() + 1, at.first() - 1);
        Ok((from <= to && at.headed >= at.first()).then_some(Leftovers { from, to }))
    }

    /// Says that segments were deleted, and that they are not there any more; or until when a lock keeps some of them.
    ///
    /// # Errors
    /// If the own replica cannot be written.
    pub fn wiped(&self, leftovers: Leftovers, locked_until_us: Option<i64>) -> Result<()> {
        let own = &self.own;
        own.inner().write(None, |tx| {
            let mut at = cursor(tx, tx.keyring, own.prefix)?;
            at.set_locked_until_us(locked_until_us);
            if locked_until_us.is_none() {
                at.set_wiped(leftovers.to);
            }
            put_cursor(tx, own.prefix, &at)
        })
    }
}
