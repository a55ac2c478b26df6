//! The keychain of the operating system: Secret Service, macOS Keychain or Windows Credential Manager, where built in.

use std::sync::Arc;

use runcellar::Keychain;

/// Returns the keychain; none if this build has none (cargo feature `keychain`).
pub(crate) fn of_system() -> Option<Arc<dyn Keychain>> {
    #[cfg(feature = "keychain")]
    return Some(Arc::new(system::System));
    #[cfg(not(feature = "keychain"))]
    None
}

#[cfg(feature = "keychain")]
mod system {
    use std::io;

    use keyring::v1::{Entry, Error};
    use runcellar::Keychain;
    use zeroize::Zeroizing;

    /// What the keychain lists the secrets of all workspaces under.
    const SERVICE: &str = "runcellar";

    pub(super) struct System;

    impl System {
        fn entry(name: &str) -> io::Result<Entry> {
            match Entry::store_status() {
                Ok(()) => Entry::new(SERVICE, name).map_err(io::Error::other),
                Err(error) => Err(io::Error::other(error.to_string())),
            }
        }
    }

    impl Keychain for System {
        fn get(&self, name: &str) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
            match System::entry(name)?.get_secret() {
                Ok(secret) => Ok(Some(Zeroizing::new(secret))),
                Err(Error::NoEntry) => Ok(None),
                Err(error) => Err(io::Error::other(error)),
            }
        }

        fn set(&self, name: &str, secret: &[u8]) -> io::Result<()> {
            System::entry(name)?.set_secret(secret).map_err(io::Error::other)
        }

        fn remove(&self, name: &str) -> io::Result<()> {
            match System::entry(name)?.delete_credential() {
                Ok(()) | Err(Error::NoEntry) => Ok(()),
                Err(error) => Err(io::Error::other(error)),
            }
        }
    }
}
