//! A slot whose secret the operating system keeps: opened for whoever is logged in, without a key file or typing.
//!
//! The store reaches no keychain itself; who embeds it hands one over in [`Keys::keychain`](super::Keys::keychain).

use std::io;

use runcellar_format::keyslots::{Keyslots, SlotKind, SlotSecret};
use runcellar_format::{Secret, SlotId, WorkspaceId};
use zeroize::Zeroizing;

use super::unlock::{EpochKeys, Opened, first_that_opens};
use crate::{Error, ErrorKind, Result};

/// Bytes of a secret.
const SECRET_BYTES: usize = 32;

/// The keychain of an operating system, or anything else that keeps a secret under a name for one user.
pub trait Keychain: Send + Sync {
    /// Returns the secret of a name; none if there is none.
    ///
    /// # Errors
    /// If the keychain cannot be reached or stays locked.
    fn get(&self, name: &str) -> io::Result<Option<Zeroizing<Vec<u8>>>>;

    /// Keeps a secret under a name, in place of one that is there.
    ///
    /// # Errors
    /// As [`Keychain::get`].
    fn set(&self, name: &str, secret: &[u8]) -> io::Result<()>;

    /// Forgets the secret of a name; one that is not there is no error.
    ///
    /// # Errors
    /// As [`Keychain::get`].
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// The name under which a keychain has the secret of a slot.
pub(crate) fn name_of(workspace: WorkspaceId, slot: SlotId) -> String {
    format!("{workspace}.{slot}")
}

/// Makes an error of what a keychain says.
pub(crate) fn failed(cause: io::Error) -> Error {
    Error::new(ErrorKind::Locked, format!("keychain: {cause}")).with_cause(cause)
}

/// Tries the slots of keychains. The inner error says why none opens; none if there is no such slot.
pub(super) fn open(
    keychain: Option<&dyn Keychain>,
    keyslots: &Keyslots,
) -> Result<Result<(Opened, EpochKeys), Option<Error>>> {
    let missing = |what: &str| Error::new(ErrorKind::Locked, format!("keychain: {what}"));
    let mut reason = None;
    for slot in keyslots.slots.iter().filter(|slot| slot.kind == SlotKind::Keychain) {
        let Some(keychain) = keychain else {
            return Ok(Err(Some(missing("not within reach of this program"))));
        };
        let secret = match keychain.get(&name_of(keyslots.workspace, slot.id)) {
            Ok(Some(secret)) => secret,
            Ok(None) => {
                reason = Some(missing(&format!("it has no key for slot {}", slot.id)));
                continue;
            }
            Err(cause) => {
                reason = Some(failed(cause));
                continue;
            }
        };
        let mut wrong = missing(&format!("wrong key: it does not open slot {}", slot.id));
        let Ok(bytes) = <[u8; SECRET_BYTES]>::try_from(&**secret) else {
            reason = Some(wrong);
            continue;
        };
        let candidate = (None, SlotSecret::keychain(Secret::new(bytes)));
        match first_that_opens(keyslots, slot, vec![candidate], &mut wrong)? {
            Some((_, secret, epochs)) => {
                return Ok(Ok((Opened { slot: slot.id, key_file: None, by_descriptor: false, secret }, epochs)));
            }
            None => reason = Some(wrong),
        }
    }
    Ok(Err(reason))
}
