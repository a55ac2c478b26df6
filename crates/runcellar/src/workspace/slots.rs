//! The ways to unlock a workspace: listing them, adding one, and keeping `keyslots` and the root row in step.
//!
//! A rewrite of `keyslots` happens inside one write transaction, and the file is renamed into place before the
//! transaction commits. A crash in between leaves a file one version ahead of the root row, authentic under the epoch
//! key: whoever opens the workspace next takes it over. A file that is behind the root row is an older one put back.

use std::path::Path;

use runcellar_format::SlotId;
use runcellar_format::keyslots::{Argon2Params, FILE_BYTES_MAX, Keyslots, SlotKind, SlotSecret, format_recovery_code};
use runcellar_format::record::{FieldChange, FieldId, RootRow, SlotInfo};
use runcellar_format::seal::checksum;
use zeroize::Zeroizing;

use super::{Inner, KEYSLOTS, TMP, Workspace, settings};
use crate::db::{Db, WriteTx};
use crate::io::{self, Io};
use crate::keys::{Keyring, Passphrase};
use crate::{Error, Json, Result};

/// How often an opener reads `keyslots` again because another process was adding a slot.
const ATTEMPTS: usize = 5;

/// One way to unlock a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySlot {
    /// Random id, 32 hexadecimal digits.
    pub id: String,
    /// `key-file`, `passphrase`, `two-factor`, `recovery`, `keychain` or `device`.
    pub kind: &'static str,
    /// The name that the user gave it, or a default.
    pub name: String,
    /// When it was made, microseconds UTC since 1970; none if a crash kept that from being noted.
    pub created: Option<i64>,
    /// True if whoever knows or holds this secret needs no key file.
    pub opens_without_key_file: bool,
    /// True if this handle was opened with it.
    pub in_use: bool,
}

/// The `keyslots` file of a workspace and its bytes.
pub(super) struct KeyslotsFile {
    pub(super) keyslots: Keyslots,
    bytes: Vec<u8>,
}

impl KeyslotsFile {
    /// Reads the file. Its MAC is checked once a key is known.
    pub(super) fn read(io: &dyn Io, workspace: &Path) -> Result<Self> {
        let path = workspace.join(KEYSLOTS);
        let bytes = io.read(&path, FILE_BYTES_MAX as u64).map_err(|cause| Error::io("read", &path, cause))?;
        let named = |cause| Error::format(format_args!("workspace {}", workspace.display()), cause);
        Ok(KeyslotsFile { keyslots: Keyslots::decode(&bytes).map_err(named)?, bytes })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads the file and checks its MAC.
    fn read_verified(io: &dyn Io, workspace: &Path, keyring: &Keyring) -> Result<Self> {
        let file = Self::read(io, workspace)?;
        keyring.verify_keyslots(&file.keyslots, &file.bytes)?;
        Ok(file)
    }

    /// Compares the file with the root row of the database that it belongs to.
    fn standing(&self, root: &RootRow) -> Standing {
        match self.keyslots.version.checked_sub(root.keyslots_version) {
            Some(0) if root.keyslots_hash == checksum(&self.bytes) => Standing::Same,
            Some(1) => Standing::Ahead,
            Some(0) | None => Standing::Replaced,
            Some(_) => Standing::DatabaseBehind,
        }
    }

    fn note_in(&self, root: &mut RootRow) {
        (root.keyslots_version, root.keyslots_hash) = (self.keyslots.version, checksum(&self.bytes));
    }
}

/// How the `keyslots` file stands to the root row.
enum Standing {
    Same,
    /// A rewrite that did not reach its commit.
    Ahead,
    Replaced,
    DatabaseBehind,
}

/// Returns the file and the root row that belong together, and whether the root row is still to be brought up to date.
///
/// The file is read before the database, so another process that adds a slot in between makes it look old: it is read
/// again before anything is called damage.
pub(super) fn settle_file(
    io: &dyn Io,
    workspace: &Path,
    keyring: &Keyring,
    db: &Db,
    mut file: KeyslotsFile,
) -> Result<(KeyslotsFile, RootRow, bool)> {
    let mut attempt = 0;
    loop {
        let root = db.read(|tx| tx.root(keyring))?;
        let what = match file.standing(&root) {
            Standing::Same => return Ok((file, root, false)),
            Standing::Ahead => return Ok((file, root, true)),
            Standing::Replaced => "keyslots was replaced by an older or foreign file",
            Standing::DatabaseBehind => "cellar.db is older than keyslots",
        };
        attempt += 1;
        if attempt == ATTEMPTS {
            return Err(Error::damaged(format!("workspace {}: {what}", workspace.display())));
        }
        file = KeyslotsFile::read_verified(io, workspace, keyring)?;
    }
}

/// Brings the root row up to a `keyslots` file whose rewrite was cut off before its commit.
pub(super) fn finish_rewrite(inner: &Inner) -> Result<()> {
    inner.write(None, |tx| {
        // Inside the write lock: whoever was rewriting has committed by now, or is gone.
        let file = KeyslotsFile::read_verified(tx.io, &inner.path, tx.keyring)?;
        if matches!(file.standing(tx.root()), Standing::Ahead) {
            file.note_in(tx.root_mut());
        }
        Ok(())
    })
}

impl Workspace {
    /// Lists the ways to unlock the workspace, in order of making.
    ///
    /// # Errors
    /// If `keyslots` or the database cannot be read.
    pub fn slots(&self) -> Result<Vec<KeySlot>> {
        let inner = &self.inner;
        let (file, known) = inner.read(|tx, keyring| {
            let file = KeyslotsFile::read_verified(&*inner.io, &inner.path, keyring)?;
            Ok((file, settings::load(tx, keyring)?.slots))
        })?;
        let listing = file.keyslots.slots.iter().map(|slot| {
            let info = known.iter().find(|info| info.slot == slot.id.0);
            listing(slot.id, slot.kind, info, inner.slot)
        });
        Ok(listing.collect())
    }

    /// Adds a slot that opens with a passphrase.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] for an empty passphrase, [`crate::ErrorKind::ReadOnly`], [`crate::ErrorKind::Busy`].
    pub fn add_passphrase(&self, passphrase: &Passphrase, name: &str) -> Result<KeySlot> {
        if passphrase.is_empty() {
            return Err(Error::invalid("the passphrase is empty"));
        }
        let params = Argon2Params::default_cost(io::random(&*self.inner.io)?);
        let secret = SlotSecret::passphrase(&passphrase.normalised(), params)
            .map_err(|cause| Error::format("passphrase", cause))?;
        self.add_slot(SlotKind::Passphrase, &secret, name)
    }

    /// Adds a slot that opens with a new recovery code, and returns the code: it is kept nowhere.
    ///
    /// # Errors
    /// [`crate::ErrorKind::ReadOnly`], [`crate::ErrorKind::Busy`].
    pub fn add_recovery_code(&self, name: &str) -> Result<(KeySlot, String)> {
        let code = Zeroizing::new(io::random::<20>(&*self.inner.io)?);
        let slot = self.add_slot(SlotKind::Recovery, &SlotSecret::recovery(&code), name)?;
        Ok((slot, format_recovery_code(&code)))
    }

    fn add_slot(&self, kind: SlotKind, secret: &SlotSecret, name: &str) -> Result<KeySlot> {
        let inner = &self.inner;
        inner.write(None, |tx| {
            let mut file = KeyslotsFile::read_verified(tx.io, &inner.path, tx.keyring)?;
            if matches!(file.standing(tx.root()), Standing::Replaced | Standing::DatabaseBehind) {
                let message =
                    format!("workspace {}: keyslots and cellar.db do not belong together", inner.path.display());
                return Err(Error::damaged(message));
            }
            let id = SlotId(io::random(tx.io)?);
            let slot = tx.keyring.new_slot(&file.keyslots, id, kind, secret, io::random(tx.io)?)?;
            file.keyslots.slots.push(slot);
            file.keyslots.version += 1;
            file.bytes = tx.keyring.encode_keyslots(&file.keyslots)?;
            let info = SlotInfo { slot: id.0, name: name.to_owned(), created: tx.io.wall_us() };
            note_slot(tx, &info)?;
            file.note_in(tx.root_mut());
            // Last before the commit, so that a failure above leaves the file alone.
            let temporary = inner.path.join(TMP).join(format!("{id}.{KEYSLOTS}"));
            let path = inner.path.join(KEYSLOTS);
            io::replace(tx.io, &path, &temporary, &file.bytes).map_err(|cause| Error::io("write", &path, cause))?;
            Ok(listing(id, kind, Some(&info), inner.slot))
        })
    }
}

/// Keeps the name and time of a slot, which stand nowhere in clear.
fn note_slot(tx: &mut WriteTx<'_>, info: &SlotInfo) -> Result<()> {
    let value =
        Json::Map(vec![("name".into(), Json::Text(info.name.clone())), ("created".into(), Json::Int(info.created))]);
    let change = FieldChange::new(FieldId::Slot, SlotId(info.slot).to_string(), &value);
    let change = change.map_err(|cause| Error::format("slot", cause))?;
    settings::update(tx, vec![change], |settings, _| settings.slots.push(info.clone()))
}

fn listing(id: SlotId, kind: SlotKind, info: Option<&SlotInfo>, opened_by: SlotId) -> KeySlot {
    KeySlot {
        id: id.to_string(),
        kind: kind.as_str(),
        name: info.map(|info| info.name.clone()).unwrap_or_default(),
        created: info.map(|info| info.created),
        opens_without_key_file: !matches!(kind, SlotKind::KeyFile | SlotKind::TwoFactor),
        in_use: id == opened_by,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::FILE_NAME;
    use crate::{ErrorKind, Keys};

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Place(tempfile::tempdir().expect("temporary directory"))
        }

        fn keys(&self) -> Keys {
            Keys { directory: Some(self.0.path().join("keys")), ..Keys::default() }
        }

        fn typed(&self, text: &str) -> Keys {
            Keys {
                directory: Some(self.0.path().join("none")),
                passphrase: Some(text.to_owned().into()),
                ..Keys::default()
            }
        }

        fn open(&self, keys: Keys) -> Result<Workspace> {
            Workspace::open_or_create(self.0.path().join("w"), keys)
        }

        fn file(&self, name: &str) -> std::path::PathBuf {
            self.0.path().join("w").join(name)
        }

        fn read(&self, name: &str) -> Vec<u8> {
            std::fs::read(self.file(name)).expect("the file is there")
        }

        /// Writes in place: a new inode would count as a copied workspace.
        fn write(&self, name: &str, bytes: &[u8]) {
            std::fs::write(self.file(name), bytes).expect("writes");
        }
    }

    fn pass(text: &str) -> Passphrase {
        text.to_owned().into()
    }

    #[test]
    fn an_added_passphrase_and_recovery_code_open_and_others_do_not() {
        let place = Place::new();
        let workspace = place.open(place.keys()).expect("creates");
        workspace.add_passphrase(&pass("caf\u{e9} au lait"), "laptop").expect("adds");
        let (slot, code) = workspace.add_recovery_code("safe").expect("adds");
        assert_eq!((slot.kind, slot.opens_without_key_file), ("recovery", true));
        let kinds: Vec<_> =
            workspace.slots().expect("lists").into_iter().map(|slot| (slot.kind, slot.in_use)).collect();
        assert_eq!(kinds, [("key-file", true), ("passphrase", false), ("recovery", false)]);
        drop(workspace);
        // The accent typed as a letter of its own is the same passphrase.
        let by_passphrase = place.open(place.typed("cafe\u{301} au lait")).expect("opens");
        assert!(by_passphrase.slots().expect("lists")[1].in_use);
        place.open(place.typed(&code.to_lowercase())).expect("opens");
        let wrong = place.open(place.typed("cafe au lait")).expect_err("wrong");
        assert_eq!((wrong.kind(), wrong.to_string()), (ErrorKind::Locked, "wrong passphrase".to_owned()));
        let empty = by_passphrase.add_passphrase(&pass(""), "x").expect_err("empty");
        assert_eq!(empty.kind(), ErrorKind::InvalidArgument);
    }

    #[test]
    fn a_crash_between_the_file_and_the_commit_is_finished_by_the_next_opener() {
        let place = Place::new();
        drop(place.open(place.keys()).expect("creates"));
        drop(place.open(place.keys()).expect("settles"));
        let before = place.read(FILE_NAME);
        let workspace = place.open(place.keys()).expect("opens");
        workspace.add_passphrase(&pass("one"), "one").expect("adds");
        drop(workspace);
        place.write(FILE_NAME, &before);
        let workspace = place.open(place.typed("one")).expect("the slot is there");
        let slots = workspace.slots().expect("lists");
        assert_eq!((slots.len(), slots[1].created), (2, None), "its name was never noted");
        drop(workspace);
        assert_ne!(place.read(FILE_NAME), before, "the root row was brought up to date");
        place.open(place.keys()).expect("opens").add_passphrase(&pass("two"), "two").expect("adds another");
        drop(place.open(place.typed("two")).expect("opens"));
    }

    #[test]
    fn older_and_foreign_files_put_back_are_damage() {
        let place = Place::new();
        drop(place.open(place.keys()).expect("creates"));
        drop(place.open(place.keys()).expect("settles"));
        let (old_slots, old_database) = (place.read(KEYSLOTS), place.read(FILE_NAME));
        for name in ["one", "two"] {
            place.open(place.keys()).expect("opens").add_passphrase(&pass(name), name).expect("adds");
        }
        let new_slots = place.read(KEYSLOTS);
        place.write(KEYSLOTS, &old_slots);
        let older = place.open(place.keys()).expect_err("older");
        assert_eq!(older.kind(), ErrorKind::Damaged);
        assert!(older.to_string().ends_with("keyslots was replaced by an older or foreign file"), "{older}");
        place.write(KEYSLOTS, &new_slots);
        place.write(FILE_NAME, &old_database);
        let behind = place.open(place.keys()).expect_err("the database is older");
        assert_eq!(behind.kind(), ErrorKind::Damaged);
    }

    #[test]
    fn slots_added_at_once_are_all_there_and_no_opener_sees_damage() {
        let place = Place::new();
        drop(place.open(place.keys()).expect("creates"));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let workspace = place.open(place.keys()).expect("opens");
                    for _ in 0..8 {
                        workspace.add_recovery_code("code").expect("adds");
                    }
                });
            }
            scope.spawn(|| (0..40).for_each(|_| drop(place.open(place.keys()).expect("opens"))));
        });
        assert_eq!(place.open(place.keys()).expect("opens").slots().expect("lists").len(), 1 + 3 * 8);
    }
}
