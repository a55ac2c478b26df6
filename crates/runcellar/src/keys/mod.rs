//! Keys: finding the secret that opens a workspace, and the keys below it.
//!
//! [`Keys`] says where secrets are, [`unlock`] turns one into the root epoch key, and the [`Keyring`] opens the keys
//! of the key table that hang from it. Nothing here knows runs or series.

mod key_file;
mod keyring;
mod unlock;

pub(crate) use key_file::{add_entry, key_file_name, remove_entry, write_own};
pub(crate) use keyring::{KeyRow, Keyring, Purpose};
pub use unlock::{Keys, Passphrase, PassphrasePrompt};
pub(crate) use unlock::{Unlocked, unlock};
