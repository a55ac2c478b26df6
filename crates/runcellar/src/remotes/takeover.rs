//! Root keys across devices: whoever replaces one seals it to the others, and they take it over.
//!
//! A head is signed, and says which root key its device has and the hash of its welcome; so a welcome, with the `keyslots` in
//! it, is that of its device. docs/FORMAT.md, "Taking over a root key".

use std::collections::BTreeMap;
use std::sync::Arc;

use runcellar_format::keyslots::Keyslots;
use runcellar_format::record::{Body as _, Segment, SegmentEntry, Tombstone};
use runcellar_format::seal::{Kind, OwnerKey, checksum};
use runcellar_format::sync::{Welcome, segment_hash};
use runcellar_format::{DeviceId, EpochId, ObjectId, SlotId};

use super::exchange::Exchange;
use super::incoming::Advance;
use super::replica::{cursor, put_cursor};
use crate::db::{EpochRow, ObjectKey, ObjectRow};
use crate::workspace::{Drawn, Signer};
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
    drawn: Drawn,
    removed: Vec<SlotId>,
    control: Arc<OwnerKey>,
    /// The last segment that was read.
    last: (u64, [u8; 32]),
    tombstones: BTreeMap<ObjectId, Tombstone>,
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
        let (live, known) = self.workspace.inner.read(|tx, _| Ok((tx.epoch(), tx.epochs()?)))?;
        let (number, id) = (advance.head.epoch, EpochId(advance.head.epoch_id));
        Ok(if id == live.id {
            Standing::Same
        } else if known.iter().any(|row| row.id == id) {
            Standing::Behind
        } else if number > live.number {
            Standing::Ahead
        } else {
            Standing::Apart
        })
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
        let (_, keyslots) = read(welcome, advance)?;
        let decoded = Keyslots::decode(&keyslots).map_err(|cause| Error::format(advance.named(), cause))?;
        self.workspace.inner.admit(advance.signer(), &keyslots)?;
        let replica = self.replica_of(advance)?;
        replica.inner().write(None, |tx| {
            let mut at = cursor(tx, tx.keyring, replica.prefix)?;
            at.set_welcome(&hash);
            at.set_slots(&decoded.slots.iter().map(|slot| slot.id.0).collect::<Vec<_>>());
            put_cursor(tx, replica.prefix, &at)
        })
    }

    /// Begins to take over the root key that a device drew. Its segments follow, from the first that there is.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`] if the device is not known here, or sealed the key to others alone: this device was shut out, or
    /// not known there. [`ErrorKind::Busy`] if its welcome is not the one of which its head tells. [`ErrorKind::Damaged`].
    pub fn begin_takeover(&self, advance: &Advance, welcome: &[u8]) -> Result<Takeover> {
        let inner = &self.workspace.inner;
        let named = advance.named();
        let locked = |what: &str| Error::new(ErrorKind::Locked, format!("{named}: it replaced the keys, {what}"));
        if !inner.is_member(advance.signer())? {
            return Err(locked("and it is not known here, so that cannot be trusted"));
        }
        if advance.head.welcome() != Some(checksum(welcome)) {
            let message = format!("{named}: it is replacing the keys: sync again when it has");
            return Err(Error::new(ErrorKind::Busy, message));
        }
        let (welcome, bytes) = read(welcome, advance)?;
        let keyslots = Keyslots::decode(&bytes).map_err(|cause| Error::format(&named, cause))?;
        let id = EpochId(advance.head.epoch_id);
        let index = keyslots.epochs.iter().position(|epoch| epoch.id == id);
        let index = index.ok_or_else(|| Error::damaged(format!("{named}: its keyslots lack the epoch that it has")))?;
        let shut_out = || locked("and not for this device: its key was removed there, or was not known yet");
        let opened = inner.source.open_with_own(&keyslots, &bytes)?.ok_or_else(shut_out)?;
        let key = opened.into_iter().find(|(epoch, _)| *epoch == id).ok_or_else(shut_out)?.1;
        let (live, control) =
            inner.read(|tx, keyring| Ok((tx.epoch(), tx.workspace_key(keyring, crate::keys::Purpose::Control)?)))?;
        if welcome.epochs.iter().all(|row| row.id != live.id) {
            let what = "and so did this one: only one of them can; see docs/SYNC.md";
            return Err(Error::new(ErrorKind::State, format!("{named}: it replaced the keys, {what}")));
        }
        let between = welcome.epochs.iter().filter(|row| row.number > live.number && row.number < advance.head.epoch);
        let between = between.map(|row| EpochRow { number: row.number, id: row.id, parent: row.parent });
        let seen = self.replica_of(advance)?.cursor()?.slots();
        let is_gone = |slot: &[u8; 16]| keyslots.slots.iter().all(|known| known.id.0 != *slot);
        Ok(Takeover {
            drawn: Drawn {
                epoch: keyslots.epochs[index],
                key,
                between: between.collect(),
                slots: keyslots.slots.clone(),
                index,
                devices: keyslots.devices.clone(),
            },
            removed: seen.into_iter().filter(is_gone).map(SlotId).collect(),
            control,
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
    pub fn take_over(self, takeover: Takeover) -> Result<Exchange> {
        let Takeover { advance, drawn, removed, last, tombstones, .. } = takeover;
        if last != (advance.head.number, advance.head.segment) {
            return Err(Error::damaged(format!("{}: what it published is not what its head says", advance.named())));
        }
        let (workspace, name) = (self.workspace.clone(), self.remote.name.clone());
        drop(self);
        workspace.take_over_root_key(drawn, &removed, &tombstones)?;
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
