//! What lies on a remote of devices that were shut out: their keys still open it, so it goes once others publish what they took in.

use std::collections::HashSet;

use runcellar_format::record::ReplicaCursor;
use runcellar_format::{DeviceId, ObjectId};

use super::exchange::Exchange;
use super::replica::{Replica, cursor, put_cursor};
use crate::blob::all_away;
use crate::workspace::Inner;
use crate::{Error, Result};

/// What a device published that was shut out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShutOut {
    /// Where it published.
    pub prefix: String,
    /// The device, below whose name its packs lie.
    pub device: String,
    /// Its last segment that is known here, or the first, if none is: it may have sent some since.
    pub known: u64,
}

impl Exchange {
    /// Lists what is to go of devices that were shut out: this device has published all that it has under the present root key, and what
    /// it did not take in before it cannot read any more.
    ///
    /// # Errors
    /// If `keyslots` or a replica cannot be read.
    pub fn shut_out(&self) -> Result<Vec<ShutOut>> {
        let at = self.own.cursor()?;
        if at.headed < at.first() || at.headed < at.number {
            return Ok(Vec::new());
        }
        // What was left there until it is read, and that nobody else has published yet.
        let read = self.workspace.inner.read(all_away)?;
        let is_read = |device: [u8; 16]| read.iter().any(|(_, away)| away.device == device);
        let mut found = Vec::new();
        for replica in remains(&self.workspace.inner, ObjectId(self.remote.id), self.own.prefix)? {
            let at = replica.cursor()?;
            if is_read(at.device) {
                continue;
            }
            if is_there(&at) {
                let device = DeviceId(at.device).to_string();
                found.push(ShutOut { prefix: replica.prefix.to_string(), device, known: at.headed.max(1) });
            }
        }
        Ok(found)
    }

    /// Says that nothing of it is there any more, up to its last segment, but its head.
    ///
    /// # Errors
    /// If the replica cannot be written.
    pub fn forgotten(&self, gone: &ShutOut, last: u64) -> Result<()> {
        let named = || Error::invalid(format!("{}: no device", gone.prefix));
        let prefix = ObjectId::from_hex(&gone.prefix).ok_or_else(named)?;
        let (inner, remote) = (&self.workspace.inner, ObjectId(self.remote.id));
        let Some(replica) = Replica::open(inner, remote, prefix, true)? else { return Ok(()) };
        replica.inner().write(None, |tx| {
            let mut at = cursor(tx, tx.keyring, prefix)?;
            at.set_wiped(last);
            put_cursor(tx, prefix, &at)
        })
    }
}

/// Returns whether something may be there of a device that was shut out.
pub(super) fn is_there(at: &ReplicaCursor) -> bool {
    at.wiped() < at.headed.max(1)
}

/// Lists the replicas of devices whose slots were removed. That one has no slot here is not enough: in a copy of a workspace its own
/// slot stands in the place of that of what it was copied from.
pub(super) fn remains(inner: &Inner, remote: ObjectId, own: ObjectId) -> Result<Vec<Replica>> {
    let (this, removed) = inner.read(|tx, keyring| {
        let slots = tx.tombstones(keyring)?.into_iter().filter(|(_, tombstone)| tombstone.is_of_slot());
        Ok((DeviceId(tx.root(keyring)?.device), slots.map(|(slot, _)| slot.0).collect::<HashSet<_>>()))
    })?;
    let members = inner.device_slots()?;
    let mut found = Vec::new();
    if removed.is_empty() {
        return Ok(found);
    }
    for replica in Replica::all(inner, remote)? {
        let at = replica.cursor()?;
        let device = DeviceId(at.device);
        let is_removed = at.slot().is_some_and(|slot| removed.contains(&slot));
        if is_removed && replica.prefix != own && device != this && members.iter().all(|(known, _)| *known != device) {
            found.push(replica);
        }
    }
    Ok(found)
}
