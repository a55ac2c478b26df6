//! Where an open handle gets epoch keys from, and gets them again when others have replaced them meanwhile.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use runcellar_format::keyslots::{FILE_BYTES_MAX, Keyslots, SlotSecret};

use super::key_file;
use super::keychain::Keychain;
use super::unlock::{EpochKeys, Keys, Opened, Search, does_not_open, first_that_opens, verify};
use crate::io::Io;
use crate::{Error, Result};

/// Where a handle gets epoch keys from, and gets them again when others have replaced them meanwhile.
pub(crate) struct Source {
    io: Arc<dyn Io>,
    keyslots: PathBuf,
    keys: Keys,
    first: Arc<Opened>,
    /// What it is opened with from now on: a copy of a workspace takes a slot of its own.
    own: OnceLock<Opened>,
}

impl Source {
    pub(crate) fn new(io: Arc<dyn Io>, keyslots: PathBuf, keys: &Keys, opened: Opened) -> Source {
        Source { io, keyslots, keys: keys.lasting(), first: Arc::new(opened), own: OnceLock::new() }
    }

    /// Opens a copy of the workspace, whose `keyslots` lie elsewhere, with what opened this one.
    pub(crate) fn of_copy(&self, keyslots: PathBuf) -> Source {
        let (io, keys, first) = (self.io.clone(), self.keys.clone(), self.first.clone());
        Source { io, keyslots, keys, first, own: OnceLock::new() }
    }

    /// Returns what opened the workspace.
    pub(crate) fn opened(&self) -> &Opened {
        self.own.get().unwrap_or(&self.first)
    }

    /// Takes another slot from now on. Only the first call counts.
    pub(crate) fn take_over(&self, opened: Opened) {
        let _ = self.own.set(opened);
    }

    /// Returns the directory in which key files of the workspace lie.
    pub(crate) fn directory(&self) -> Option<&Path> {
        let of_file = || self.opened().key_file.as_deref().and_then(Path::parent);
        self.keys.directory.as_deref().or_else(of_file)
    }

    /// Returns the keychain that the workspace was opened with.
    pub(crate) fn keychain(&self) -> Option<&dyn Keychain> {
        self.keys.keychain.as_deref()
    }

    /// Returns true if the user named the key file.
    pub(crate) fn is_named(&self) -> bool {
        self.keys.file.is_some()
    }

    /// Reads the epoch keys as they are now.
    pub(crate) fn read(&self) -> Result<EpochKeys> {
        let bytes = self.io.read(&self.keyslots, FILE_BYTES_MAX as u64);
        let bytes = bytes.map_err(|cause| Error::io("read", &self.keyslots, cause))?;
        let keyslots = Keyslots::decode(&bytes).map_err(|cause| Error::unreadable("keyslots", cause))?;
        if let Some(epochs) = self.open_with_own(&keyslots, &bytes)? {
            return Ok(epochs);
        }
        Search::new(&*self.io, &self.named()).unlock(&keyslots, &bytes).map(|(_, epochs)| epochs)
    }

    fn named(&self) -> Keys {
        let file = self.opened().key_file.clone().or_else(|| self.keys.file.clone());
        Keys { file, ..self.keys.clone() }
    }

    /// Opens a `keyslots` file by the slot that opened the workspace; none if it has no such slot, or another secret opens it.
    pub(crate) fn open_with_own(&self, keyslots: &Keyslots, bytes: &[u8]) -> Result<Option<EpochKeys>> {
        // A passphrase or recovery code opens the new epoch, too; a key file was written anew.
        let opened = self.opened();
        if let Some(slot) = keyslots.slots.iter().find(|slot| slot.id == opened.slot)
            && let Ok(epochs) = slot.open(keyslots.workspace, &keyslots.epochs, &opened.secret)
            && epochs.len() == keyslots.epochs.len()
        {
            verify(keyslots, bytes, &epochs)?;
            return Ok(Some(epochs));
        }
        let named = self.named();
        let (Some(path), Some(slot)) = (&named.file, keyslots.slots.iter().find(|slot| slot.id == opened.slot)) else {
            return Ok(None);
        };
        let is_of_two = opened.secret.key_of_two().is_some();
        if !(is_of_two || slot.kind.has_key_file()) {
            return Ok(None);
        }
        let Some(file) = key_file::read(&*self.io, path)? else { return Ok(None) };
        let of_slot = file.entries.iter().filter(|entry| entry.slot == slot.id);
        let with = of_slot.map(|entry| match is_of_two {
            // What was typed stays as it is.
            true => (None, opened.secret.with_key(entry.secret.duplicate())),
            false => (None, SlotSecret::key_file(entry.secret.duplicate())),
        });
        let mut wrong = does_not_open("key file", slot);
        match first_that_opens(keyslots, slot, with.collect(), &mut wrong)? {
            Some((_, _, epochs)) => {
                verify(keyslots, bytes, &epochs)?;
                Ok(Some(epochs))
            }
            None if is_of_two => Err(wrong),
            None => Ok(None),
        }
    }
}
