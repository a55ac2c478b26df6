//! Copies of a workspace: told by the inode of cellar.db, and settled under a device id, a lineage and a key of their own.
//!
//! A copy shares the root key with what it was copied from until either replaces it, but not the way to it: whoever
//! replaces the secret in a key file would lock the other out. So a copy that was opened by a key file takes a new slot
//! instead of that one, with a secret beside it, before anything else is written.

use std::path::{Path, PathBuf};

use runcellar_format::keyslots::{Device, Keyslots, SlotSecret};
use runcellar_format::record::RootRow;
use runcellar_format::{DeviceId, Secret, SlotId, WorkspaceId};

use super::keyslots::{read_to_change, rewrite};
use super::{Inner, TMP, epoch, settings};
use crate::db::{self, FILE_NAME, WriteTx};
use crate::io::{self, Io};
use crate::keys::{self, NewEntry, Opened};
use crate::{Error, Result};

/// Compares the copy with what it says of itself, and settles a copied one under its own device, lineage and key.
pub(super) fn settle(inner: &Inner, keyslots: &Keyslots, root: &RootRow) -> Result<()> {
    let database = inner.path.join(FILE_NAME);
    let found = db::patiently(&database, || inner.io.identity(&database));
    let (_, inode) = found.map_err(|cause| Error::io("open", &database, cause))?;
    let read_only = inner.state()?.db.is_read_only();
    if root.inode == 0 {
        // A new workspace, whose file has its name only now, or one that was written on a network file system.
        return match read_only || inner.is_network() {
            true => Ok(()),
            false => inner.write(None, |tx| {
                tx.root_mut().inode = inode;
                Ok(())
            }),
        };
    }
    if root.inode == inode {
        if let Some(problem) = inner.mirror_problem()? {
            inner.monitor.warn(&format!("workspace {}: {problem}; runcellar check says more", inner.path.display()));
        }
        // A copy that was settled before, and is opened now by the key file of what it was copied from.
        if !read_only && is_of_another(keyslots, inner.source.opened().slot, root.device) {
            let own = inner.write(None, |tx| take_own_slot(inner, tx))?;
            take_over(inner, own)?;
        }
        return Ok(());
    }
    inner.monitor.note(&format!(
        "workspace {}: this is a copy of another; it goes on under a device id and a key of its own",
        inner.path.display()
    ));
    if read_only {
        return Ok(());
    }
    let own = inner.write(None, |tx| {
        if tx.root().inode == inode {
            // Another opener was faster, and has a device id for all of us.
            return Ok(None);
        }
        go_on_apart(inner, tx, inode)
    })?;
    take_over(inner, own)
}

/// Goes on with the slot that was taken.
fn take_over(inner: &Inner, own: Option<Opened>) -> Result<()> {
    let Some(own) = own else { return Ok(()) };
    let taken = [own.slot];
    inner.source.take_over(own);
    forget_claim(&*inner.io, &inner.path, inner.id, None, &taken)
}

/// Settles a workspace that was made of a backup, however its file is told. The note of its slot stays until it is a workspace.
pub(super) fn settle_restored(inner: &Inner) -> Result<()> {
    let database = inner.path.join(FILE_NAME);
    let (_, inode) = inner.io.identity(&database).map_err(|cause| Error::io("open", &database, cause))?;
    let own = inner.write(None, |tx| go_on_apart(inner, tx, inode))?;
    own.into_iter().for_each(|own| inner.source.take_over(own));
    Ok(())
}

/// Draws the ids of a copy, and takes a slot of its own.
fn go_on_apart(inner: &Inner, tx: &mut WriteTx<'_>, inode: u64) -> Result<Option<Opened>> {
    let (device, lineage) = (io::random(tx.io)?, io::random(tx.io)?);
    let root = tx.root_mut();
    (root.device, root.lineage, root.next_device_seq, root.inode) = (device, lineage, 1, inode);
    take_own_slot(inner, tx)
}

/// Returns true if a slot is that of another device.
fn is_of_another(keyslots: &Keyslots, slot: SlotId, device: [u8; 16]) -> bool {
    let known = keyslots.slots.iter().any(|known| known.id == slot);
    known && epoch::own_slots(keyslots, DeviceId(device)).slots.iter().all(|own| own.id != slot)
}

/// Name of the file in `tmp/` that says which slot a copy is about to take.
const CLAIM: &str = "own.slot";

fn claim_of(folder: &Path) -> PathBuf {
    folder.join(TMP).join(CLAIM)
}

/// Notes which slot is about to be taken: the key file of one that is cut off then has something that speaks of it.
fn claim(io: &dyn Io, folder: &Path, slot: SlotId) -> Result<()> {
    let (path, part) = (claim_of(folder), claim_of(folder).with_extension("part"));
    // Left by a killed process, if there is one.
    let _ = io.remove(&part);
    io::replace(io, &path, &part, slot.to_string().as_bytes()).map_err(|cause| Error::io("write", &path, cause))
}

/// Removes the secret of a slot that a copy was about to take when it was cut off, unless it is one of `kept`, and the note
/// of it. The key files are looked for where `key_file` is.
pub(crate) fn forget_claim(
    io: &dyn Io,
    folder: &Path,
    workspace: WorkspaceId,
    key_file: Option<&Path>,
    kept: &[SlotId],
) -> Result<()> {
    let path = claim_of(folder);
    let bytes = match io.read(&path, 64) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        bytes => bytes.map_err(|cause| Error::io("read", &path, cause))?,
    };
    let slot = std::str::from_utf8(&bytes).ok().and_then(SlotId::from_hex);
    if let (Some(slot), Some(file)) = (slot.filter(|slot| !kept.contains(slot)), key_file) {
        let own = file.with_file_name(keys::key_file_name(workspace, slot));
        for file in [own.as_path(), file] {
            if io.identity(file).is_ok() {
                keys::change(io, file, |entries| {
                    let before = entries.len();
                    entries.retain(|entry| entry.slot != slot);
                    Ok(entries.len() < before)
                })?;
            }
        }
    }
    match io.remove(&path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", &path, cause)),
        _ => Ok(()),
    }
}

/// Takes a new slot with a new secret in the place of the one that opened the copy, if that has a key file.
///
/// The key files themselves stay as they are, even if the copy was made while keys were replaced: their entries belong
/// to what it was copied from.
fn take_own_slot(inner: &Inner, tx: &mut WriteTx<'_>) -> Result<Option<Opened>> {
    let (live, found) = (tx.epoch().id, read_to_change(inner, tx)?);
    let mut keyslots = epoch::only(&found.keyslots, live);
    let (opened, device) = (inner.source.opened(), DeviceId(tx.root().device));
    let at = keyslots.slots.iter().position(|slot| slot.id == opened.slot && slot.kind.has_key_file());
    let own = match (at, &opened.key_file) {
        (Some(at), Some(file)) => {
            let (id, key) = (SlotId(io::random(tx.io)?), Secret::new(io::random(tx.io)?));
            let secret = match opened.secret.key_of_two() {
                Some(_) => opened.secret.with_key(key.duplicate()),
                None => SlotSecret::key_file(key.duplicate()),
            };
            let kind = keyslots.slots[at].kind;
            let known: Vec<SlotId> = keyslots.slots.iter().map(|slot| slot.id).collect();
            forget_claim(tx.io, &inner.path, inner.id, Some(file), &known)?;
            claim(tx.io, &inner.path, id)?;
            let slot = tx.keyring.new_slot(live, id, kind, &secret, io::random(tx.io)?)?;
            // In the directory of key files each has its own; a file that the user named has entries of many.
            let of_slot = file.file_name().is_some_and(|name| *name == *keys::key_file_name(inner.id, opened.slot));
            let named = (!of_slot || inner.source.is_named()).then_some(file.as_path());
            let entry = NewEntry { workspace: inner.id, slot: id, epoch: live, secret: key };
            match entry.write(tx.io, named, file.parent()) {
                Ok(path) => {
                    keyslots.slots[at] = slot;
                    Some((id, path, secret))
                }
                Err(error) => {
                    forget_claim(tx.io, &inner.path, inner.id, None, &known)?;
                    inner.monitor.note(&format!(
                        "workspace {}: it has no key of its own yet, as none can be kept: {error}",
                        inner.path.display()
                    ));
                    None
                }
            }
        }
        _ => None,
    };
    if let Some((id, ..)) = &own {
        keyslots.devices.retain(|known| known.slot != opened.slot && known.id != device);
        keyslots.devices.push(Device { id: device, slot: *id, signing: [0; 32] });
        settings::replace_slot(tx, opened.slot, *id)?;
    }
    if own.is_some() || found.is_replacing() {
        rewrite(inner, tx, &mut keyslots)?;
    }
    Ok(own.map(|(slot, path, secret): (SlotId, PathBuf, SlotSecret)| Opened {
        slot,
        key_file: Some(path),
        by_descriptor: false,
        secret,
    }))
}
