//! What lies on a remote of devices that were shut out: their keys still open it, so it goes once others publish what they took in.

use std::collections::{BTreeSet, HashMap, HashSet};

use runcellar_format::record::ReplicaCursor;
use runcellar_format::{DeviceId, ObjectId};

use super::exchange::Exchange;
use super::incoming::Advance;
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
    /// Somebody may have left content there until it is read: its welcome goes, and the rest waits.
    pub is_read: bool,
}

impl Exchange {
    /// Lists what is to go of devices that were shut out: this device has published all that it has under the present root key, and what
    /// it did not take in before it cannot read any more. What another left there until it is read waits until that one has
    /// fetched it, or found it elsewhere: it may have heard of content of which this one never did.
    ///
    /// # Errors
    /// If `keyslots` or a replica cannot be read.
    pub fn shut_out(&self) -> Result<Vec<ShutOut>> {
        let at = self.own.cursor()?;
        if at.headed < at.first() || at.headed < at.number {
            return Ok(Vec::new());
        }
        let gone = remains(&self.workspace.inner, ObjectId(self.remote.id), self.own.prefix)?;
        if gone.is_empty() {
            return Ok(Vec::new());
        }
        let readers = self.readers()?;
        let own = self.left_at()?.unwrap_or_default();
        let mut found = Vec::new();
        for replica in gone {
            let at = replica.cursor()?;
            if is_there(&at) {
                let is_read = own.contains(&at.device) || readers.iter().any(|reader| reader.may_read(at.device));
                let (prefix, device) = (replica.prefix.to_string(), DeviceId(at.device).to_string());
                found.push(ShutOut { prefix, device, known: at.headed.max(1), is_read });
            }
        }
        Ok(found)
    }

    /// Returns the devices at which this one left content until it is read; none if it is to have all, and has.
    pub(super) fn left_at(&self) -> Result<Option<Vec<[u8; 16]>>> {
        let own = self.own.cursor()?.device;
        let away = self.workspace.inner.read(all_away)?.into_iter().map(|(_, away)| away);
        let left: BTreeSet<[u8; 16]> =
            away.filter(|away| away.remote == self.remote.id && away.device != own).map(|away| away.device).collect();
        let leaves = !left.is_empty() || self.stays_there(own)?.is_some();
        Ok(leaves.then(|| Vec::from_iter(left)))
    }

    /// Notes where the head of another device says that it left content.
    ///
    /// # Errors
    /// If its replica cannot be read or written.
    pub fn note_left(&self, advance: &Advance) -> Result<()> {
        let (replica, left) = (self.replica_of(advance)?, advance.head.left());
        if replica.cursor()?.left() == left {
            return Ok(());
        }
        replica.inner().write(None, |tx| {
            let mut at = cursor(tx, tx.keyring, replica.prefix)?;
            at.set_left(left.as_deref());
            put_cursor(tx, replica.prefix, &at)
        })
    }

    /// Lists the other devices that have keys here and leave content where it lies. Of several prefixes of a device the one where it
    /// publishes now counts.
    fn readers(&self) -> Result<Vec<Reader>> {
        let inner = &self.workspace.inner;
        let (live, this) = inner.read(|tx, keyring| Ok((tx.epoch().id.0, tx.root(keyring)?.device)))?;
        let mut all: HashMap<[u8; 16], Vec<Reader>> = HashMap::new();
        for other in self.others()? {
            let at = other.cursor()?;
            let is_present = at.epoch().is_some_and(|(_, id)| id == live);
            all.entry(at.device).or_default().push(Reader { left: at.left(), is_present });
        }
        let members = inner.device_slots()?;
        let members = members.iter().map(|(device, _)| device.0).filter(|device| *device != this);
        let mut found = Vec::new();
        for mut heads in members.filter_map(|device| all.remove(&device)) {
            if heads.iter().any(|head| head.is_present) {
                heads.retain(|head| head.is_present);
            }
            found.extend(heads);
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

/// What the newest head of another device says of content that it left where it lies.
struct Reader {
    left: Option<Vec<[u8; 16]>>,
    /// True if the head is of the present root key: its device knows who was shut out, and leaves nothing more there.
    is_present: bool,
}

impl Reader {
    fn may_read(&self, device: [u8; 16]) -> bool {
        self.left.as_ref().is_some_and(|left| !self.is_present || left.contains(&device))
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
