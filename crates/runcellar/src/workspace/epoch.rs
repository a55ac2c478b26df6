//! Replacing the root key, so that a crash at any point leaves the old one or the new one, and nothing between.
//!
//! All under one write lock:
//!
//! | | step | a crash after it |
//! |---|---|---|
//! | a | key files get new secrets beside the old ones | nothing happened: the new ones open nothing |
//! | b | `keyslots` has both epochs: the old one for the old secrets, the new one for the new | nothing happened |
//! | c | COMMIT: the new epoch row, new project epoch keys, all wraps anew | it happened |
//! | d | key files lose the old secrets | |
//! | e | the log of SQLite is emptied: old wraps stand in it | |
//! | f | `keyslots` loses the old epoch | it is complete |
//!
//! **The epoch row alone decides.** Two epochs in `keyslots` are the sign that something is left to do, which is why they
//! go last: [`finish`] undoes (a) and (b) if the row is the old one, else does what is left of (d) to (f).
//! docs/FORMAT.md, "Replacing the root key".

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use runcellar_format::keyslots::{Device, Epoch, KeyFileEntry, Keyslots, Slot};
use runcellar_format::seal::OwnerKey;
use runcellar_format::{DeviceId, EpochId, KeyId, Secret, SlotId};

use super::keyslots::{KeyslotsFile, read_settled, read_to_change, rewrite};
use super::{Inner, settings};
use crate::db::{EpochRow, WriteTx};
use crate::io::{self, Io};
use crate::keys;
use crate::{Error, ErrorKind, Result};

/// A root key that another device drew, and its ways to unlock it.
pub(crate) struct Drawn {
    pub(crate) epoch: Epoch,
    pub(crate) key: Secret,
    /// Epochs between the live one here and that one.
    pub(crate) between: Vec<EpochRow>,
    /// Slots of that device's `keyslots`; those of this device are passed over.
    pub(crate) slots: Vec<Slot>,
    /// The place of the epoch in each of them.
    pub(crate) index: usize,
    pub(crate) devices: Vec<Device>,
}

/// What another device did with the root key, and what follows from it here.
pub(crate) struct Elsewhere {
    /// The key that it drew; none if one is to be drawn here, after both devices had replaced the same.
    pub(crate) drawn: Option<Drawn>,
    /// The least number of a key that is drawn here.
    pub(crate) number_min: u64,
    /// Epochs of other devices that stand beside those here.
    pub(crate) siblings: Vec<Epoch>,
}

impl Elsewhere {
    pub(crate) fn duplicate(&self) -> Elsewhere {
        let drawn = self.drawn.as_ref().map(Drawn::duplicate);
        Elsewhere { drawn, number_min: self.number_min, siblings: self.siblings.clone() }
    }
}

impl Drawn {
    pub(crate) fn duplicate(&self) -> Drawn {
        let (between, slots, devices) = (self.between.clone(), self.slots.clone(), self.devices.clone());
        Drawn { epoch: self.epoch, key: self.key.duplicate(), between, slots, index: self.index, devices }
    }
}

/// Replaces the root key, with new secrets in the key files at hand. Slots of `without` do not open the new one.
///
/// `also` runs in the same transaction, before the wraps are written anew: keys that it removes are lost with the old
/// epoch, and what it changes of `keyslots` stands beside both.
///
/// # Errors
/// Nothing has happened then, unless the new epoch row was committed: then the next opener finishes.
pub(crate) fn replace<T>(
    inner: &Inner,
    without: &[SlotId],
    also: impl FnOnce(&mut WriteTx<'_>, &mut Keyslots) -> Result<T>,
) -> Result<T> {
    replace_by(inner, Elsewhere { drawn: None, number_min: 0, siblings: Vec::new() }, without, also)
}

/// As [`replace`], by the root key that another device drew if there is one.
pub(crate) fn replace_by<T>(
    inner: &Inner,
    elsewhere: Elsewhere,
    without: &[SlotId],
    also: impl FnOnce(&mut WriteTx<'_>, &mut Keyslots) -> Result<T>,
) -> Result<T> {
    finish(inner)?;
    if inner.source.opened().by_descriptor {
        let message = "the key came through a descriptor and cannot be replaced: name its file by --key-file";
        return Err(Error::new(ErrorKind::State, message));
    }
    let keyring = &inner.state()?.keyring;
    let Elsewhere { drawn, number_min, siblings } = elsewhere;
    let new = match &drawn {
        Some(drawn) => drawn.epoch.id,
        None => EpochId(io::random(&*inner.io)?),
    };
    let replaced = inner.write(None, |tx| {
        let mut keyslots = read_settled(inner, tx)?.keyslots;
        let value = also(tx, &mut keyslots)?;
        let drawn = match drawn {
            Some(drawn) => drawn,
            None => draw(tx, new, number_min)?,
        };
        settings::add_siblings(tx, &siblings)?;
        settings::keep_voucher(tx)?;
        let next = drawn.epoch;
        let root = Arc::new(OwnerKey::new(KeyId(next.id.0), drawn.key.duplicate()));
        tx.begin_epoch(EpochRow { number: next.number, id: next.id, parent: next.parent }, &drawn.between, &root)?;
        tx.keyring.learn(vec![(next.id, root.secret().duplicate())]);
        let secrets = add_secrets(inner, tx.io, &own_slots(&keyslots, DeviceId(tx.root().device)), without, next.id)?;
        seal_to_all(inner, tx, &mut keyslots, (without, &secrets), &drawn)?;
        keyslots.epochs.push(next);
        rewrite(inner, tx, &mut keyslots)?;
        Ok(value)
    });
    // Either way: without a commit this undoes what was prepared. What fails is left to the next opener.
    let finished = finish(inner);
    if replaced.is_err() {
        let live = inner.read(|tx, _| Ok(tx.epoch().id))?;
        keyring.keep_epoch(live);
        if live != new {
            // New secrets that no slot has yet open nothing, so they may stay if they must.
            let _ = forget_secrets(inner, new);
        }
        return replaced;
    }
    finished.and(replaced)
}

/// Draws the root key that follows the live one.
fn draw(tx: &WriteTx<'_>, id: EpochId, number_min: u64) -> Result<Drawn> {
    let now = tx.epoch();
    let number = now.number.checked_add(1).ok_or_else(|| Error::damaged("epoch row: its number has no successor"))?;
    Ok(Drawn {
        epoch: Epoch { number: number.max(number_min), id, parent: now.id },
        key: Secret::new(io::random(tx.io)?),
        between: Vec::new(),
        slots: Vec::new(),
        index: 0,
        devices: Vec::new(),
    })
}

/// Seals a root key to all slots that shall open it: those that are here, and those that its device has.
fn seal_to_all(
    inner: &Inner,
    tx: &WriteTx<'_>,
    keyslots: &mut Keyslots,
    (without, secrets): (&[SlotId], &HashMap<SlotId, Secret>),
    drawn: &Drawn,
) -> Result<()> {
    let epoch = (drawn.epoch.id, &drawn.key);
    let named = |slot: SlotId| move |cause| Error::format(format_args!("slot {slot}"), cause);
    // Who drew the key knows the present halves of other devices better, and those of this one worse.
    let is_own = |slot: SlotId| slot == inner.source.opened().slot || secrets.contains_key(&slot);
    let is_theirs = |slot: &&Slot| {
        let opens = slot.halves.get(drawn.index).is_some_and(Option::is_some);
        opens && !without.contains(&slot.id) && !is_own(slot.id)
    };
    let mut theirs = Vec::new();
    for slot in drawn.slots.iter().filter(is_theirs) {
        theirs.push(Slot::of_device(inner.id, slot, drawn.index, epoch, io::random(tx.io)?).map_err(named(slot.id))?);
    }
    for slot in &mut keyslots.slots {
        if without.contains(&slot.id) {
            slot.halves.push(None);
        } else if let Some(at) = theirs.iter().position(|known| known.id == slot.id && known.kind == slot.kind) {
            slot.halves.extend(theirs.swap_remove(at).halves);
        } else {
            slot.add_epoch(inner.id, secrets.get(&slot.id), epoch, io::random(tx.io)?).map_err(named(slot.id))?;
        }
    }
    theirs.retain(|slot| keyslots.slots.iter().all(|known| known.id != slot.id));
    for mut slot in theirs {
        slot.halves.insert(0, None);
        keyslots.slots.push(slot);
    }
    let this = DeviceId(tx.root().device);
    for device in drawn.devices.iter().filter(|device| device.id != this) {
        keyslots.devices.retain(|known| known.id != device.id);
        keyslots.devices.push(*device);
    }
    match keyslots.slots.iter().all(|slot| slot.halves.last().is_none_or(Option::is_none)) {
        true => Err(Error::new(ErrorKind::State, "no slot would be left that opens the workspace")),
        false => Ok(()),
    }
}

/// Returns the slots that are not other devices': their key files are theirs to change, also where they lie beside one's own.
pub(super) fn own_slots(keyslots: &Keyslots, device: DeviceId) -> Keyslots {
    let mut own = keyslots.clone();
    let is_of_another = |slot: &Slot| keyslots.devices.iter().any(|known| known.slot == slot.id && known.id != device);
    // What is typed is nobody's alone, also if a device was opened by it.
    own.slots.retain(|slot| !(slot.kind.has_key_file() && is_of_another(slot)));
    own
}

/// Returns the key files of the workspace that are at hand: the one that opened it, and those in the directory.
fn key_files(inner: &Inner, keyslots: &Keyslots) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = inner.source.opened().key_file.clone().into_iter().collect();
    if let Some(directory) = inner.source.directory() {
        let of_slots = keyslots.slots.iter().filter(|slot| slot.kind.has_key_file());
        for path in of_slots.map(|slot| directory.join(keys::key_file_name(inner.id, slot.id))) {
            if path.is_file() && !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    paths
}

/// (a): Draws a new secret for each slot that has one in a key file at hand.
fn add_secrets(
    inner: &Inner,
    io: &dyn Io,
    keyslots: &Keyslots,
    without: &[SlotId],
    epoch: EpochId,
) -> Result<HashMap<SlotId, Secret>> {
    let mut secrets: HashMap<SlotId, Secret> = HashMap::new();
    for path in key_files(inner, keyslots) {
        keys::change(io, &path, |entries| {
            let stays = |slot: SlotId| keyslots.slots.iter().any(|known| known.id == slot) && !without.contains(&slot);
            let mut slots: Vec<SlotId> = Vec::new();
            for entry in entries.iter().filter(|entry| entry.workspace == inner.id && stays(entry.slot)) {
                if !slots.contains(&entry.slot) {
                    slots.push(entry.slot);
                }
            }
            for slot in &slots {
                let secret = match secrets.get(slot) {
                    Some(drawn) => drawn.duplicate(),
                    None => Secret::new(io::random(io)?),
                };
                secrets.entry(*slot).or_insert_with(|| secret.duplicate());
                entries.push(KeyFileEntry { workspace: inner.id, slot: *slot, epoch, secret });
            }
            Ok(!slots.is_empty())
        })
        .map_err(|cause| cannot_be_replaced(&path, cause))?;
    }
    Ok(secrets)
}

/// (a) undone, where it did not come to (b).
fn forget_secrets(inner: &Inner, epoch: EpochId) -> Result<()> {
    let device = DeviceId(inner.read(|tx, keyring| Ok(tx.root(keyring)?.device))?);
    let keyslots = own_slots(&KeyslotsFile::read(&*inner.io, &inner.path)?.keyslots, device);
    if keyslots.epochs.iter().any(|known| known.id == epoch) {
        return Ok(());
    }
    key_files(inner, &keyslots).iter().try_for_each(|path| {
        keys::change(&*inner.io, path, |entries| {
            let before = entries.len();
            entries.retain(|entry| entry.workspace != inner.id || entry.epoch != epoch);
            Ok(entries.len() != before)
        })
    })
}

/// Returns true if the root key of `keyslots` is one alone, and not one before that of this number.
pub(crate) fn is_root_key_alone(inner: &Inner, number: u64) -> Result<bool> {
    let file = KeyslotsFile::read_verified(&*inner.io, &inner.path, &inner.state()?.keyring)?;
    let live = inner.read(|tx, _| Ok(tx.epoch()))?;
    Ok(!file.is_replacing() && live.number >= number && file.keyslots.epochs.iter().all(|epoch| epoch.id == live.id))
}

/// Returns true if no key file at hand has a secret of a root key that was replaced, for a slot that opens the present one.
pub(crate) fn old_secrets_are_gone(inner: &Inner) -> Result<bool> {
    let keyslots = KeyslotsFile::read_verified(&*inner.io, &inner.path, &inner.state()?.keyring)?.keyslots;
    let (live, device) = inner.read(|tx, keyring| Ok((tx.epoch().id, DeviceId(tx.root(keyring)?.device))))?;
    let keyslots = own_slots(&keyslots, device);
    let mut gone = true;
    for path in key_files(inner, &keyslots) {
        keys::change(&*inner.io, &path, |entries| {
            let ours = entries.iter().filter(|entry| entry.workspace == inner.id);
            let of_slots = ours.filter(|entry| keyslots.slots.iter().any(|slot| slot.id == entry.slot));
            gone &= of_slots.into_iter().all(|entry| entry.epoch == live);
            Ok(false)
        })?;
    }
    Ok(gone)
}

fn cannot_be_replaced(path: &std::path::Path, cause: Error) -> Error {
    let message = format!("key file {}: it cannot be replaced, so the keys cannot be either: {cause}", path.display());
    Error::new(cause.kind(), message).with_cause(cause)
}

/// Brings to its end what a replacement of the root key has left undone, or takes back what it had prepared.
pub(crate) fn finish(inner: &Inner) -> Result<()> {
    let state = inner.state()?;
    let file = KeyslotsFile::read_verified(&*inner.io, &inner.path, &state.keyring)?;
    if !file.is_replacing() {
        return Ok(());
    }
    let (mut live, device) = inner.read(|tx, keyring| Ok((tx.epoch().id, DeviceId(tx.root(keyring)?.device))))?;
    if file.keyslots.epochs.last().is_some_and(|newest| newest.id != live) {
        // The old row, as far as can be seen: under the write lock it is known whether it stays.
        live = inner.write(None, |tx| {
            let file = read_to_change(inner, tx)?;
            let live = tx.epoch().id;
            if file.is_replacing() && file.keyslots.epochs.last().is_some_and(|newest| newest.id != live) {
                keep_secrets(inner, tx.io, &own_slots(&file.keyslots, device), live)?;
                rewrite(inner, tx, &mut only(&file.keyslots, live))?;
            }
            Ok(live)
        })?;
    }
    let file = KeyslotsFile::read_verified(&*inner.io, &inner.path, &state.keyring)?;
    if file.is_replacing() {
        keep_secrets(inner, &*inner.io, &own_slots(&file.keyslots, device), live)?;
        if !inner.is_network() {
            // A reader may keep the log from being emptied. Whoever needs to be sure looks at the files afterwards.
            state.db.empty_log()?;
        }
        inner.write(None, |tx| {
            let file = read_to_change(inner, tx)?;
            match file.is_replacing() {
                true => rewrite(inner, tx, &mut only(&file.keyslots, live)),
                false => Ok(()),
            }
        })?;
    }
    state.keyring.keep_epoch(live);
    Ok(())
}

/// Leaves in the key files at hand the secrets that open an epoch: (d), or (a) undone. Entries that are not of these
/// epochs, or of slots that only a copy of the workspace has, stay as they are.
fn keep_secrets(inner: &Inner, io: &dyn Io, keyslots: &Keyslots, live: EpochId) -> Result<()> {
    let newest = keyslots.epochs.last().map_or(EpochId::NIL, |epoch| epoch.id);
    let gone: Vec<SlotId> = without_epoch(keyslots, live);
    for path in key_files(inner, keyslots) {
        keys::change(io, &path, |entries| {
            let ours = |entry: &KeyFileEntry| entry.workspace == inner.id;
            let of_newest = entries.iter().filter(|entry| ours(entry) && entry.epoch == newest);
            let renewed: Vec<SlotId> = of_newest.map(|entry| entry.slot).collect();
            let before = entries.len();
            entries.retain(|entry| match entry.epoch == newest {
                _ if !ours(entry) => true,
                true => live == newest,
                false => live != newest || !(renewed.contains(&entry.slot) || gone.contains(&entry.slot)),
            });
            Ok(entries.len() != before)
        })?;
    }
    Ok(())
}

/// Returns the slots that do not open an epoch.
fn without_epoch(keyslots: &Keyslots, epoch: EpochId) -> Vec<SlotId> {
    let kept = only(keyslots, epoch).slots;
    let ids = keyslots.slots.iter().map(|slot| slot.id);
    ids.filter(|id| kept.iter().all(|slot| slot.id != *id)).collect()
}

/// Returns what opens one of two epochs.
pub(super) fn only(keyslots: &Keyslots, epoch: EpochId) -> Keyslots {
    let mut kept = keyslots.clone();
    let index = kept.epochs.iter().position(|known| known.id == epoch).unwrap_or(0);
    for slot in &mut kept.slots {
        slot.halves = slot.halves.get(index).cloned().flatten().map(Some).into_iter().collect();
    }
    kept.slots.retain(|slot| !slot.halves.is_empty());
    kept.epochs = kept.epochs.get(index).copied().into_iter().collect();
    kept
}
