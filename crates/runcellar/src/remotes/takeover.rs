//! Root keys across devices: whoever replaces one seals it to the others, and they take it over.
//!
//! A head is signed, and says which root key its device has and the hash of its welcome; so a welcome, with the `keyslots` in
//! it, is that of its device. docs/FORMAT.md, "Taking over a root key".

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use runcellar_format::keyslots::{Epoch, Keyslots};
use runcellar_format::record::{Body as _, Segment, SegmentEntry, Tombstone};
use runcellar_format::seal::{Kind, OwnerKey, checksum};
use runcellar_format::sync::{Welcome, is_voucher, segment_hash};
use runcellar_format::{DeviceId, EpochId, ObjectId, SlotId};

use super::exchange::Exchange;
use super::incoming::Advance;
use super::replica::{cursor, put_cursor};
use crate::db::{EpochRow, ObjectKey, ObjectRow};
use crate::workspace::{Drawn, Elsewhere, Signer, settings};
use crate::{Error, ErrorKind, Result};

/// How the root key of another device stands to the one here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is the same.
    Same,
    /// It was replaced here, and the device has not taken over the new one yet: what it published waits until then.
    Behind,
    /// It replaced the one here.
    Ahead,
    /// Both replaced one and the same.
    Apart,
}

/// A root key that another device drew, about to be taken over, and what was erased with the one before.
pub struct Takeover {
    advance: Advance,
    elsewhere: Elsewhere,
    removed: Vec<SlotId>,
    control: Arc<OwnerKey>,
    /// The last segment that was read.
    last: (u64, [u8; 32]),
    tombstones: BTreeMap<ObjectId, Tombstone>,
}

/// What can be done about the root key of another device.
#[derive(Debug)]
pub enum Begun {
    /// It is taken over, or joined with the one here, once all segments were read.
    Takeover(Box<Takeover>),
    /// Both replaced one and the same, though that one counts higher.
    Apart,
    /// Nothing, before the device has seen what this one publishes: it sealed the key to what this one had before; or it is
    /// publishing just now.
    Waits,
}

impl std::fmt::Debug for Takeover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Takeover").field("advance", &self.advance).finish_non_exhaustive()
    }
}

impl Advance {
    fn signer(&self) -> Signer {
        Signer { device: DeviceId(self.head.device), public: self.head.public }
    }

    fn locked(&self, what: &str) -> Error {
        Error::new(ErrorKind::Locked, format!("{}: it replaced the keys, {what}", self.named()))
    }

    fn named(&self) -> String {
        format!("device {}", self.prefix)
    }
}

impl Exchange {
    /// Compares the root key that a head tells of with the one here.
    ///
    /// # Errors
    /// If the workspace cannot be read.
    pub fn standing(&self, advance: &Advance) -> Result<Standing> {
        let (live, known, siblings) = self.epochs()?;
        let (number, id) = (advance.head.epoch, EpochId(advance.head.epoch_id));
        Ok(if id == live.id {
            Standing::Same
        } else if known.iter().any(|row| row.id == id) || siblings.iter().any(|epoch| epoch.id == id) {
            Standing::Behind
        } else if number > live.number {
            Standing::Ahead
        } else {
            Standing::Apart
        })
    }

    /// Returns the live epoch, all of the table, and those beside them.
    fn epochs(&self) -> Result<(EpochRow, Vec<EpochRow>, Vec<Epoch>)> {
        self.workspace.inner.read(|tx, keyring| Ok((tx.epoch(), tx.epochs()?, settings::siblings(tx, keyring)?)))
    }

    /// Returns whether a device is known here.
    ///
    /// # Errors
    /// If `keyslots` cannot be read.
    pub fn is_member(&self, advance: &Advance) -> Result<bool> {
        self.workspace.inner.is_member(advance.signer())
    }

    /// Returns whether a device shows that it had the root key which is live here, before it replaced that.
    fn is_vouched(&self, advance: &Advance) -> Result<bool> {
        self.workspace.inner.read(|tx, keyring| {
            let epoch = tx.epoch().id;
            let Some(found) = advance.head.voucher(epoch.0) else { return Ok(false) };
            let root = keyring.epoch_key(epoch)?;
            let Signer { device, public } = advance.signer();
            Ok(is_voucher(root.secret(), (keyring.workspace(), epoch), device, &public, &found))
        })
    }

    /// Returns of several devices with newer root keys those that may be followed, the one first that all devices choose. One
    /// that is not known here may not, as anybody could have drawn its key, unless it had the root key here: so it was let in by
    /// somebody who was, and replaced the keys before it was met.
    ///
    /// It counts only where no device that is known replaced that root key, too: that one may have shut it out.
    ///
    /// # Errors
    /// If `keyslots` cannot be read.
    pub fn leaders<'a>(&self, ahead: &[&'a Advance]) -> Result<Vec<&'a Advance>> {
        let (mut known, mut vouched) = (Vec::new(), Vec::new());
        for advance in ahead {
            if self.is_member(advance)? {
                known.push(*advance);
            } else if self.is_vouched(advance)? {
                vouched.push(*advance);
            }
        }
        if known.is_empty() {
            known = vouched;
        }
        known.sort_by_key(|advance| (std::cmp::Reverse(advance.head.epoch), advance.head.device));
        Ok(known)
    }

    /// Returns the device whose root key and the one here, which replaced the same, are to be replaced by one that is drawn
    /// here. Of all devices concerned the one with the smallest id does that, so that one alone does; who has a key that another
    /// replaced since takes that over first, and is not concerned. `apart` are heads of which only their welcomes told that they stand so.
    ///
    /// # Errors
    /// If the workspace cannot be read.
    pub fn to_join<'a>(&self, heads: &[&'a Advance], apart: &[&'a Advance]) -> Result<Option<&'a Advance>> {
        let inner = &self.workspace.inner;
        let this = inner.read(|tx, keyring| Ok(tx.root(keyring)?.device))?;
        let (mut concerned, mut replaced) = (Vec::new(), HashSet::new());
        for advance in heads {
            let is_apart = apart.iter().any(|known| known.prefix == advance.prefix);
            let standing = if is_apart { Standing::Apart } else { self.standing(advance)? };
            // What this device left under an earlier prefix has no say.
            let is_this = advance.head.device == this;
            if is_this || !matches!(standing, Standing::Same | Standing::Apart) || !inner.is_member(advance.signer())? {
                continue;
            }
            if let Some(replica) = self.other(advance.object)? {
                let epochs = replica.cursor()?.epochs().into_iter();
                replaced.extend(epochs.filter(|epoch| *epoch != advance.head.epoch_id));
            }
            concerned.push((advance, standing));
        }
        let (mut found, mut is_first) = (None, true);
        for (advance, standing) in concerned {
            if replaced.contains(&advance.head.epoch_id) {
                continue;
            }
            is_first &= this < advance.head.device;
            if standing == Standing::Apart {
                found = Some(*advance);
            }
        }
        Ok(found.filter(|_| is_first))
    }

    /// Begins to join the root key of a device with the one here. Its segments follow, from the first that there is.
    ///
    /// # Errors
    /// As [`Exchange::begin_takeover`].
    pub fn begin_join(&self, advance: &Advance, welcome: &[u8]) -> Result<Begun> {
        let Some((read, keyslots, _)) = self.proven(advance, welcome)? else { return Ok(Begun::Waits) };
        let (live, known, _) = self.epochs()?;
        let is_new = |epoch: &&Epoch| known.iter().all(|row| row.id != epoch.id);
        let elsewhere = Elsewhere {
            drawn: None,
            number_min: live.number.max(advance.head.epoch).saturating_add(1),
            siblings: read.epochs.iter().filter(is_new).copied().collect(),
        };
        let takeover = self.takeover(advance, elsewhere, &keyslots)?;
        // Its new public half, to which the key is sealed.
        self.meet(advance, welcome)?;
        Ok(Begun::Takeover(Box::new(takeover)))
    }

    /// Returns whether the welcome of a device changed since it was looked at.
    ///
    /// # Errors
    /// If a replica cannot be read.
    pub fn is_welcome_new(&self, advance: &Advance) -> Result<bool> {
        let Some(hash) = advance.head.welcome() else { return Ok(false) };
        Ok(self.replica_of(advance)?.cursor()?.welcome() != Some(hash))
    }

    /// Looks at the welcome of a device: its slots come to stand here, so that a new root key is sealed to it, too. One that
    /// is not the welcome of which the head tells is passed over.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] if whoever wrote it did not have the root key that it speaks of.
    pub fn meet(&self, advance: &Advance, welcome: &[u8]) -> Result<()> {
        let hash = checksum(welcome);
        if advance.head.welcome() != Some(hash) {
            return Ok(());
        }
        let (welcome, keyslots) = read(welcome, advance)?;
        let decoded = Keyslots::decode(&keyslots).map_err(|cause| Error::format(advance.named(), cause))?;
        self.workspace.inner.admit(advance.signer(), &keyslots)?;
        let replica = self.replica_of(advance)?;
        replica.inner().write(None, |tx| {
            let mut at = cursor(tx, tx.keyring, replica.prefix)?;
            at.set_welcome(&hash);
            at.set_epochs(&welcome.epochs.iter().map(|epoch| epoch.id.0).collect::<Vec<_>>());
            if let Some(own) = decoded.devices.iter().find(|known| known.id.0 == advance.head.device) {
                at.set_slot(&own.slot.0);
            }
            at.set_slots(&decoded.slots.iter().map(|slot| slot.id.0).collect::<Vec<_>>());
            put_cursor(tx, replica.prefix, &at)
        })
    }

    /// Begins to take over the root key that a device drew. Its segments follow, from the first that there is.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`] if the device sealed the key to others alone: this device was shut out, or not known there.
    /// [`ErrorKind::Damaged`].
    pub fn begin_takeover(&self, advance: &Advance, welcome: &[u8]) -> Result<Begun> {
        let inner = &self.workspace.inner;
        let Some((welcome, keyslots, index)) = self.proven(advance, welcome)? else { return Ok(Begun::Waits) };
        let (live, known, _) = self.epochs()?;
        if welcome.epochs.iter().all(|row| row.id != live.id) {
            return Ok(Begun::Apart);
        }
        let epoch = keyslots.epochs[index];
        let opened = inner.source.open_with_own(&keyslots, &welcome.keyslots)?.unwrap_or_default();
        let Some((_, key)) = opened.into_iter().find(|(id, _)| *id == epoch.id) else {
            // It knows this device, by a public half that was replaced since.
            let own = inner.source.opened().slot;
            return match keyslots
                .slots
                .iter()
                .any(|slot| slot.id == own && slot.halves.get(index).is_some_and(Option::is_some))
            {
                true => Ok(Begun::Waits),
                // Whoever is not known here cannot keep this device from syncing.
                false if !self.is_member(advance)? => Ok(Begun::Waits),
                false => {
                    Err(advance.locked("and not for this device: its key was removed there, or was not known yet"))
                }
            };
        };
        let is_between = |row: &&Epoch| row.number > live.number && row.number < epoch.number;
        let mut between: Vec<EpochRow> = Vec::new();
        let mut siblings = Vec::new();
        for row in &welcome.epochs {
            let is_taken = between.iter().any(|known| known.number == row.number);
            if is_between(&row) && !is_taken {
                between.push(EpochRow { number: row.number, id: row.id, parent: row.parent });
            } else if row.id != epoch.id && known.iter().all(|known| known.id != row.id) {
                siblings.push(*row);
            }
        }
        let (slots, devices) = (keyslots.slots.clone(), keyslots.devices.clone());
        let drawn = Drawn { epoch, key, between, slots, index, devices };
        let elsewhere = Elsewhere { drawn: Some(drawn), number_min: 0, siblings };
        Ok(Begun::Takeover(Box::new(self.takeover(advance, elsewhere, &keyslots)?)))
    }

    /// Reads the welcome of which a head tells; returns its `keyslots`, and the place of its epoch in them. None if it is another
    /// one: its device is publishing.
    fn proven(&self, advance: &Advance, welcome: &[u8]) -> Result<Option<(Welcome, Keyslots, usize)>> {
        let named = advance.named();
        if advance.head.welcome() != Some(checksum(welcome)) {
            return Ok(None);
        }
        let (welcome, bytes) = read(welcome, advance)?;
        let keyslots = Keyslots::decode(&bytes).map_err(|cause| Error::format(&named, cause))?;
        let id = EpochId(advance.head.epoch_id);
        let index = keyslots.epochs.iter().position(|epoch| epoch.id == id);
        let index = index.ok_or_else(|| Error::damaged(format!("{named}: its keyslots lack the epoch that it has")))?;
        Ok(Some((welcome, keyslots, index)))
    }

    fn takeover(&self, advance: &Advance, elsewhere: Elsewhere, keyslots: &Keyslots) -> Result<Takeover> {
        let seen = self.replica_of(advance)?.cursor()?.slots();
        let is_gone = |slot: &[u8; 16]| keyslots.slots.iter().all(|known| known.id.0 != *slot);
        Ok(Takeover {
            elsewhere,
            removed: seen.into_iter().filter(is_gone).map(SlotId).collect(),
            control: self.control_key()?,
            last: (advance.first - 1, [0; 32]),
            tombstones: BTreeMap::new(),
            advance: advance.clone(),
        })
    }

    /// Takes over a root key of which all segments were read: the keys here are wrapped under it, and what was erased where it
    /// was drawn is erased here.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] if segments are missing; else as [`crate::Workspace::purge`].
    pub fn take_over(self, takeover: Box<Takeover>) -> Result<Exchange> {
        let Takeover { advance, elsewhere, removed, last, tombstones, .. } = *takeover;
        if last != (advance.head.number, advance.head.segment) {
            return Err(Error::damaged(format!("{}: what it published is not what its head says", advance.named())));
        }
        let (workspace, name) = (self.workspace.clone(), self.remote.name.clone());
        drop(self);
        workspace.take_over_root_key(&elsewhere, &removed, &tombstones)?;
        workspace.exchange(&name)
    }
}

impl Takeover {
    /// Reads a segment of the device that drew the key: what it erased.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] if it is not the next that the device published.
    pub fn read(&mut self, number: u64, sealed: &[u8], exchange: &Exchange) -> Result<()> {
        let named = || format!("segment {number} of {}", self.advance.named());
        let workspace = exchange.workspace_id();
        let segment = Segment::open(&self.control, workspace, self.advance.object, number, sealed)
            .map_err(|cause| Error::damaged(format!("{}: {cause}", named())).with_cause(cause))?;
        let goes_on = number == self.advance.first || segment.previous == self.last.1;
        if number != self.last.0 + 1 || !goes_on || segment.device != self.advance.head.device {
            return Err(Error::damaged(format!("{}: it does not go on where the one before ended", named())));
        }
        self.last = (number, segment_hash(sealed));
        for entry in segment.entries {
            let SegmentEntry::Object(row) = entry else { continue };
            if row.kind != Kind::Tombstone as u16 {
                continue;
            }
            let key = ObjectKey::new(Kind::Tombstone, ObjectId(row.id), row.position);
            let row = ObjectRow { key, device: DeviceId(row.device), seq: row.seq, tag: row.tag, body: row.body };
            let body = self.control.open(&row.place(workspace), &row.body);
            let tombstone = body.and_then(|body| Tombstone::from_body(&body));
            let tombstone = tombstone.map_err(|cause| Error::format(named(), cause))?;
            self.tombstones.insert(key.id, tombstone);
        }
        Ok(())
    }
}

/// Reads a welcome; returns its `keyslots` beside it.
fn read(welcome: &[u8], advance: &Advance) -> Result<(Welcome, Vec<u8>)> {
    let named = || format!("welcome of {}", advance.named());
    let welcome = Welcome::decode(welcome).map_err(|cause| Error::format(named(), cause))?;
    if welcome.device.0 != advance.head.device {
        return Err(Error::damaged(format!("{}: it is another device's", named())));
    }
    let bytes = welcome.keyslots.clone();
    Ok((welcome, bytes))
}
