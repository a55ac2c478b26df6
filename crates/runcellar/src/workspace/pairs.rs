//! Pairs of the workspace that a purge draws anew or needs: the ingest pair, and what this device signs with.

use runcellar_format::keyslots::{Device, IngestPublic, Keyslots};
use runcellar_format::pair::Pair;
use runcellar_format::sign::SigningKey;
use runcellar_format::{DeviceId, ObjectId};

use super::Inner;
use super::keyslots::KeyslotsFile;
use crate::db::{ReadTx, WORKSPACE_OWNER, WriteTx};
use crate::ingest::{self, journal_files};
use crate::keys::{KeyRow, Keyring, Purpose};
use crate::{Error, Result};

/// Draws a new ingest pair, whose public half `keyslots` has from then on; returns its generation. The private halves of
/// those before stay until [`drop_old_ingest_pairs`].
pub(crate) fn new_ingest_pair(tx: &mut WriteTx<'_>, keyslots: &mut Keyslots) -> Result<u32> {
    let root = tx.keyring.epoch_key(tx.epoch().id)?;
    let key = tx.draw_key(WORKSPACE_OWNER, Purpose::Ingest, &root)?;
    let generation = keyslots.ingest.generation.checked_add(1);
    let generation = generation.ok_or_else(|| Error::damaged("keyslots: the ingest generation has no successor"))?;
    keyslots.ingest = IngestPublic { generation, public: Pair::derive(key.secret(), &key.id().0).public() };
    Ok(generation)
}

/// Drops the private halves of ingest pairs before a generation, unless a journal is sealed to one of them or may be about
/// to; returns whether there is none left.
pub(crate) fn drop_old_ingest_pairs(inner: &Inner, generation: u32) -> Result<bool> {
    let ingest_keys = |tx: &ReadTx<'_>| -> Result<Vec<KeyRow>> {
        Ok(tx.keys_of(WORKSPACE_OWNER)?.into_iter().filter(|row| row.purpose == Purpose::Ingest as u8).collect())
    };
    if inner.read(|tx, _| Ok(ingest_keys(tx)?.len() <= 1))? {
        return Ok(true);
    }
    if is_needed(inner, generation) {
        return Ok(false);
    }
    inner.write(None, |tx| {
        let rows = ingest_keys(tx)?;
        if is_needed(inner, generation) {
            return Ok(false);
        }
        let present = KeyslotsFile::read_verified(tx.io, &inner.path, tx.keyring)?.keyslots.ingest.public;
        for row in rows {
            let key = tx.open_key(tx.keyring, &row)?;
            if Pair::derive(key.secret(), &row.id.0).public() != present {
                tx.remove_key(row.id)?;
            }
        }
        Ok(true)
    })
}

/// Returns true if a journal is sealed to an ingest pair before a generation, or may be: also one that cannot be read.
fn is_needed(inner: &Inner, generation: u32) -> bool {
    let Ok(files) = journal_files(inner) else { return true };
    // A writer makes its file before it looks which pair is the present one: see `run::meet`.
    files.into_iter().any(|(id, path)| match ingest::ingest_generation(inner, id, &path) {
        Ok(Some(sealed)) => sealed < generation,
        Ok(None) | Err(_) => true,
    })
}

/// Sees to it that this device has a key to sign with, and that `keyslots` has its public half.
pub(crate) fn device_signs(inner: &Inner, tx: &mut WriteTx<'_>, keyslots: &mut Keyslots) -> Result<()> {
    let device = DeviceId(tx.root().device);
    let signing = device_key(tx)?.public();
    match keyslots.devices.iter_mut().find(|known| known.id == device) {
        Some(known) => known.signing = signing,
        None => keyslots.devices.push(Device { id: device, slot: inner.source.opened().slot, signing }),
    }
    Ok(())
}

/// Returns what this device signs with, if it has signed before.
pub(crate) fn known_device_key(tx: &ReadTx<'_>, keyring: &Keyring) -> Result<Option<SigningKey>> {
    let owner = ObjectId(tx.root(keyring)?.device);
    Ok(tx.owner_key(keyring, owner, Purpose::Signing)?.map(|seed| SigningKey::new(seed.secret())))
}

/// Returns what this device signs with; a copy of a workspace is a new device, and draws its own.
pub(crate) fn device_key(tx: &mut WriteTx<'_>) -> Result<SigningKey> {
    let owner = ObjectId(tx.root().device);
    let seed = match tx.owner_key(tx.keyring, owner, Purpose::Signing)? {
        Some(seed) => seed,
        None => {
            let root = tx.keyring.epoch_key(tx.epoch().id)?;
            tx.draw_key(owner, Purpose::Signing, &root)?
        }
    };
    Ok(SigningKey::new(seed.secret()))
}
