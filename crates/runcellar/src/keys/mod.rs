//! Keys: finding the secret that opens a workspace, and the keys below it.
//!
//! [`Keys`] says where secrets are, a [`Search`] turns one into the root epoch key, the [`Source`] keeps how, and the
//! [`Keyring`] opens the keys of the key table that hang from it. Nothing here knows runs or series.

mod exposure;
mod key_file;
mod keychain;
mod keyring;
mod source;
mod stretch;
mod unlock;

pub(crate) use exposure::exposed;
pub(crate) use key_file::{NewEntry, change, key_file_name, remove_entry, write_copy};
pub use keychain::Keychain;
pub(crate) use keychain::{failed as keychain_failed, name_of as keychain_name};
pub(crate) use keyring::{KeyRow, Keyring, Purpose};
pub(crate) use source::Source;
pub(crate) use stretch::stretch;
pub(crate) use unlock::{EpochKeys, Opened, Search};
pub use unlock::{Keys, Passphrase, PassphrasePrompt};
