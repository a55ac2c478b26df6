//! The welcome: what a new device needs to begin, beside a secret; and a workspace made of it.

use std::path::Path;

use runcellar_format::keyslots::{Epoch, Keyslots};
use runcellar_format::object::SealedObject;
use runcellar_format::record::{RootRow, Settings};
use runcellar_format::seal::{Kind, checksum};
use runcellar_format::sync::{Welcome, WelcomeKey};
use runcellar_format::{DeviceId, KeyId};

use super::exchange::Exchange;
use super::replica::{Base, cursor, put_cursor};
use crate::db::{Cover, EpochRow, ObjectKey, WORKSPACE_OWNER, WriteTx};
use crate::keys::{KeyRow, Keyring, Purpose};
use crate::workspace::{Foundation, forget_claim, settings};
use crate::{Error, ErrorKind, OpenOptions, Result, Workspace, io};

impl Exchange {
    /// Returns the welcome, if it is not stored on the remote as it is now.
    ///
    /// # Errors
    /// If the workspace cannot be read.
    pub fn welcome(&self) -> Result<Option<SealedObject>> {
        let inner = &self.workspace.inner;
        let (base, siblings, device) = inner
            .read(|tx, keyring| Ok((Base::read(tx)?, settings::siblings(tx, keyring)?, tx.root(keyring)?.device)))?;
        let key = |row: KeyRow| WelcomeKey { id: row.id, purpose: row.purpose, epoch: row.epoch, wrap: row.wrap };
        let epoch = |row: EpochRow| Epoch { number: row.number, id: row.id, parent: row.parent };
        let welcome = Welcome {
            workspace: inner.id,
            device: DeviceId(device),
            keyslots: inner.present_keyslots()?,
            epochs: base.epochs.into_iter().map(epoch).chain(siblings).collect(),
            keys: base.keys.into_iter().map(key).collect(),
        };
        let object = welcome.encode().map_err(|cause| Error::format("welcome", cause))?;
        let known = hash_of(&object)?;
        Ok((self.own.cursor()?.welcome() != Some(known)).then_some(object))
    }

    /// Says that a welcome was stored.
    ///
    /// # Errors
    /// If the own replica cannot be written.
    pub fn welcomed(&self, welcome: &SealedObject) -> Result<()> {
        let own = &self.own;
        own.inner().write(None, |tx| {
            let mut at = cursor(tx, tx.keyring, own.prefix)?;
            at.set_welcome(&hash_of(welcome)?);
            put_cursor(tx, own.prefix, &at)
        })
    }
}

/// Returns how often the root key was replaced by the time that a device stored a welcome; 0 if it is none.
#[must_use]
pub fn epoch_of_welcome(welcome: &[u8]) -> u64 {
    let welcome = Welcome::decode(welcome).ok();
    welcome.and_then(|welcome| welcome.epochs.iter().map(|row| row.number).max()).unwrap_or_default()
}

fn hash_of(object: &SealedObject) -> Result<[u8; 32]> {
    let bytes = object.read().map_err(|cause| Error::new(ErrorKind::Io, cause.to_string()))?;
    Ok(checksum(&bytes))
}

/// Makes a workspace at `dir`, which is a folder to be or an empty one, that is another device of the one that a welcome
/// is of. It has nothing yet; what other devices published comes in through an [`Exchange`].
///
/// # Errors
/// [`ErrorKind::Damaged`] if it is no welcome, [`ErrorKind::Exists`] if something is at `dir`, [`ErrorKind::Locked`] if no key
/// opens it, [`ErrorKind::ReadOnly`] if `dir` cannot be written.
pub fn clone_from(welcome: &[u8], dir: &Path, options: OpenOptions) -> Result<Workspace> {
    let refused = |cause: runcellar_format::FormatError| {
        if cause.is_newer() { Error::format("welcome", cause) } else { Error::damaged(cause.to_string()) }
    };
    let welcome = Welcome::decode(welcome).map_err(refused)?;
    let keyslots = Keyslots::decode(&welcome.keyslots).map_err(refused)?;
    if keyslots.workspace != welcome.workspace {
        return Err(Error::damaged("welcome: its keyslots are those of another workspace"));
    }
    if dir.is_dir() && std::fs::read_dir(dir).map_err(|cause| Error::io("list", dir, cause))?.next().is_some() {
        return Err(Error::new(ErrorKind::Exists, format!("{}: something is there already", dir.display())));
    }
    let io = options.io.clone();
    let fill = |keyring: &Keyring, transaction: &rusqlite::Transaction<'_>| {
        // Those that stand beside others of the same number come last.
        let (mut epochs, mut siblings) = (Vec::<EpochRow>::new(), Vec::new());
        for row in &welcome.epochs {
            match epochs.iter().any(|known| known.number == row.number) {
                true => siblings.push(*row),
                false => epochs.push(EpochRow { number: row.number, id: row.id, parent: row.parent }),
            }
        }
        let keys = welcome.keys.iter().map(|key| KeyRow {
            id: KeyId(key.id.0),
            owner: WORKSPACE_OWNER,
            purpose: key.purpose,
            epoch: key.epoch,
            wrap: key.wrap.clone(),
        });
        let keys: Vec<KeyRow> = keys.collect();
        let root = RootRow {
            lineage: io::random(&*io)?,
            device: io::random(&*io)?,
            next_device_seq: 1,
            keyslots_version: keyslots.version,
            keyslots_hash: checksum(&welcome.keyslots),
            ..RootRow::default()
        };
        let mut tx = WriteTx::begin_copy(transaction, keyring, &*io, (&epochs, &keys), root)?;
        let key = tx.workspace_key(keyring, Purpose::Settings)?;
        let body = runcellar_format::record::Body::to_body(&Settings::default())
            .map_err(|cause| Error::format("settings", cause))?;
        tx.put(ObjectKey::new(Kind::Settings, WORKSPACE_OWNER, 0), None, &key, &body, Cover::Root)?;
        settings::add_siblings(&mut tx, &siblings)?;
        tx.finish().map(drop)
    };
    let unlocked = Foundation { keyslots: &keyslots, bytes: &welcome.keyslots }.lay(dir, &options, fill)?;
    let workspace = options.open_laid(dir, unlocked)?;
    workspace.inner.settle_restored()?;
    forget_claim(&*workspace.inner.io, dir, workspace.inner.id, None, &[])?;
    workspace.leave_recovery_code()?;
    workspace.inner.flush_mirror();
    Ok(workspace)
}
