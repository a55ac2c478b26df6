//! The ways to unlock a workspace: listing them, adding and removing one, replacing the root key below them.

use std::path::{Path, PathBuf};

use runcellar_format::keyslots::{Keyslots, SlotKind, SlotSecret, format_recovery_code, parse_recovery_code};
use runcellar_format::record::SlotInfo;
use runcellar_format::{DeviceId, Secret, SlotId};
use zeroize::Zeroizing;

use super::keyslots::{KeyslotsFile, read_settled, rewrite};
use super::{Workspace, epoch, settings};
use crate::db::WriteTx;
use crate::io;
use crate::keys::{self, NewEntry, Opened, Passphrase};
use crate::{Error, ErrorKind, Result, os};

/// The shortest part of a slot's id that names it.
const PREFIX_LEN_MIN: usize = 4;

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

/// A recovery code: 160 bits. Wiped on drop.
pub struct RecoveryCode(Zeroizing<[u8; 20]>);

impl RecoveryCode {
    /// Reads a code as people type it; `None` if it is none.
    #[must_use]
    pub fn parse(typed: &str) -> Option<RecoveryCode> {
        parse_recovery_code(typed).map(|code| RecoveryCode(Zeroizing::new(code)))
    }

    /// Returns the code as it is written down.
    #[must_use]
    pub fn text(&self) -> String {
        format_recovery_code(&self.0)
    }

    /// Returns true if somebody typed this code, in any case, with or without dashes.
    #[must_use]
    pub fn is(&self, typed: &str) -> bool {
        parse_recovery_code(typed) == Some(*self.0)
    }
}

/// What replacing the root key did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysReplaced {
    /// How often the root key was replaced by now, counted from 1 for the first one.
    pub epoch: u64,
    /// The ways to unlock that are left.
    pub slots: Vec<KeySlot>,
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
        let opened_by = inner.source.opened().slot;
        let listing = file.keyslots.slots.iter().map(|slot| {
            let info = known.iter().find(|info| info.slot == slot.id.0);
            listing(slot.id, slot.kind, info, opened_by)
        });
        Ok(listing.collect())
    }

    /// Finds a slot by its id, the beginning of its id (4 characters at least), or its name.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Ambiguous`], and as [`Workspace::slots`].
    pub fn slot(&self, text: &str) -> Result<KeySlot> {
        let slots = self.slots()?;
        let by_id = |slot: &&KeySlot| text.len() >= PREFIX_LEN_MIN && slot.id.starts_with(text);
        let mut found: Vec<&KeySlot> = slots.iter().filter(by_id).collect();
        if found.is_empty() {
            found = slots.iter().filter(|slot| slot.name == text).collect();
        }
        match found.as_slice() {
            [] => Err(Error::new(ErrorKind::NotFound, format!("no key {text:?}"))),
            [slot] => Ok((*slot).clone()),
            several => {
                let ids: Vec<&str> = several.iter().map(|slot| slot.id.as_str()).collect();
                let message = format!("{text:?} names {} keys: {}", several.len(), ids.join(", "));
                Err(Error::new(ErrorKind::Ambiguous, message))
            }
        }
    }

    /// Adds a slot that opens with a passphrase.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for an empty passphrase, [`ErrorKind::ReadOnly`], [`ErrorKind::Busy`].
    pub fn add_passphrase(&self, passphrase: &Passphrase, name: &str) -> Result<KeySlot> {
        let secret = keys::stretch(&*self.inner.io, passphrase)?;
        self.add_slot(self.new_slot_id()?, SlotKind::Passphrase, &secret, name)
    }

    /// Draws a recovery code. It opens nothing until [`Workspace::add_recovery`] adds it.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn draw_recovery_code(&self) -> Result<RecoveryCode> {
        Ok(RecoveryCode(Zeroizing::new(io::random(&*self.inner.io)?)))
    }

    /// Adds a slot that opens with a recovery code.
    ///
    /// # Errors
    /// [`ErrorKind::ReadOnly`], [`ErrorKind::Busy`].
    pub fn add_recovery(&self, code: &RecoveryCode, name: &str) -> Result<KeySlot> {
        self.add_slot(self.new_slot_id()?, SlotKind::Recovery, &SlotSecret::recovery(&code.0), name)
    }

    /// Adds a slot that opens with a new recovery code, and returns the code: it is kept nowhere.
    ///
    /// # Errors
    /// [`ErrorKind::ReadOnly`], [`ErrorKind::Busy`].
    pub fn add_recovery_code(&self, name: &str) -> Result<(KeySlot, String)> {
        let code = self.draw_recovery_code()?;
        Ok((self.add_recovery(&code, name)?, code.text()))
    }

    /// Adds a slot that opens with a new key file, in the directory of key files, or at `path`: a key file that is there
    /// gets one more entry. Returns the file.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`] if there is no such directory, [`ErrorKind::ReadOnly`], [`ErrorKind::Busy`], and if the key
    /// file cannot be written.
    pub fn add_key_file(&self, name: &str, path: Option<&Path>) -> Result<(KeySlot, PathBuf)> {
        self.add_with_file(SlotKind::KeyFile, path, name, SlotSecret::key_file)
    }

    /// Adds a key file and goes on with that, if a recovery code opened the workspace: a code is void once keys are
    /// replaced, and they are if what had the key file before was lost. Nothing happens where no key files can be kept.
    pub(crate) fn leave_recovery_code(&self) -> Result<()> {
        let source = &self.inner.source;
        let opened = source.opened().slot.to_string();
        let by_code = |slot: &KeySlot| slot.id == opened && slot.kind == SlotKind::Recovery.as_str();
        if source.directory().is_none() || !self.slots()?.iter().any(by_code) {
            return Ok(());
        }
        let mut drawn = None;
        let secret = |key: Secret| SlotSecret::key_file(drawn.insert(key).duplicate());
        let (slot, path) = self.add_with_file(SlotKind::KeyFile, None, &os::host_name(), secret)?;
        if let (Some(slot), Some(key)) = (SlotId::from_hex(&slot.id), drawn) {
            let secret = SlotSecret::key_file(key);
            source.take_over(Opened { slot, key_file: Some(path), by_descriptor: false, secret });
        }
        Ok(())
    }

    /// Adds a slot whose new key file, at `path`, is for another device.
    ///
    /// # Errors
    /// As [`Workspace::add_key_file`].
    pub fn add_device(&self, name: &str, path: &Path) -> Result<(KeySlot, PathBuf)> {
        self.add_with_file(SlotKind::Device, Some(path), name, SlotSecret::key_file)
    }

    /// Adds a slot that needs both a passphrase and a new key file, which is put where [`Workspace::add_key_file`] does.
    ///
    /// # Errors
    /// As [`Workspace::add_key_file`], and [`ErrorKind::InvalidArgument`] for an empty passphrase.
    pub fn add_two_factor(
        &self,
        passphrase: &Passphrase,
        name: &str,
        path: Option<&Path>,
    ) -> Result<(KeySlot, PathBuf)> {
        let stretched = keys::stretch(&*self.inner.io, passphrase)?;
        self.add_with_file(SlotKind::TwoFactor, path, name, |key| stretched.with_key(key))
    }

    /// Adds a slot whose new secret the keychain in [`Keys::keychain`](crate::Keys::keychain) keeps: the secret first, so
    /// that there is never a slot without one.
    ///
    /// # Errors
    /// [`ErrorKind::State`] if the workspace was opened without a keychain, [`ErrorKind::ReadOnly`], [`ErrorKind::Busy`],
    /// and those of the keychain.
    pub fn add_keychain(&self, name: &str) -> Result<KeySlot> {
        let (inner, id) = (&self.inner, self.new_slot_id()?);
        let keychain =
            inner.source.keychain().ok_or_else(|| Error::new(ErrorKind::State, "keychain: none is at hand"))?;
        let (secret, place) = (Secret::new(io::random(&*inner.io)?), keys::keychain_name(inner.id, id));
        keychain.set(&place, secret.expose()).map_err(keys::keychain_failed)?;
        self.add_slot(id, SlotKind::Keychain, &SlotSecret::keychain(secret), name).inspect_err(|_| {
            // A secret that opens nothing harms nobody, if it cannot be removed.
            let _ = keychain.remove(&place);
        })
    }

    /// Forgets the secrets of slots that were removed.
    fn forget_in_keychain(&self, ids: &[SlotId]) {
        for (id, keychain) in ids.iter().filter_map(|id| Some((id, self.inner.source.keychain()?))) {
            if let Err(cause) = keychain.remove(&keys::keychain_name(self.inner.id, *id)) {
                self.inner.monitor.warn(&format!("keychain: {cause}; the key of slot {id} opens nothing any more"));
            }
        }
    }

    /// Removes slots and replaces the root key, so that what they opened is of no use from then on: neither their secrets
    /// nor older copies of `keyslots` open what is written later. Key files at hand get new secrets. `ids` are whole.
    ///
    /// # Errors
    /// [`ErrorKind::State`] if no slot would be left, [`ErrorKind::NotFound`], and as [`Workspace::rotate_keys`].
    pub fn remove_slots(&self, ids: &[impl AsRef<str>]) -> Result<KeysReplaced> {
        let not_found = |id: &str| Error::new(ErrorKind::NotFound, format!("no key {id:?}"));
        let parsed = ids.iter().map(|id| SlotId::from_hex(id.as_ref()).ok_or_else(|| not_found(id.as_ref())));
        let ids: Vec<SlotId> = parsed.collect::<Result<_>>()?;
        let mut in_keychain: Vec<SlotId> = Vec::new();
        let replaced = self.replace_keys(&ids, |tx, keyslots| {
            let of_keychain = keyslots.slots.iter().filter(|slot| slot.kind == SlotKind::Keychain);
            in_keychain = of_keychain.map(|slot| slot.id).filter(|id| ids.contains(id)).collect();
            if let Some(id) = ids.iter().find(|id| keyslots.slots.iter().all(|slot| slot.id != **id)) {
                return Err(not_found(&id.to_string()));
            }
            // Those of other devices open the workspace for nobody here.
            let own = epoch::own_slots(keyslots, DeviceId(tx.root().device));
            if own.slots.iter().all(|slot| ids.contains(&slot.id)) {
                let message = "this is the last key: without it nothing opens the workspace; add another one first";
                return Err(Error::new(ErrorKind::State, message));
            }
            ids.iter().try_for_each(|id| tx.bury_slot(*id))?;
            settings::change_slots(tx, &ids, None)
        })?;
        self.forget_in_keychain(&in_keychain);
        Ok(replaced)
    }

    /// Writes a copy of the key that opened the workspace into a new file of mode 0600: a key file of this workspace
    /// alone, or the same as text to be printed, which opens as well. Replacing the keys makes it useless.
    ///
    /// # Errors
    /// [`ErrorKind::State`] if the workspace was opened without a key file, [`ErrorKind::Exists`] for a file that is
    /// there, and if it cannot be written.
    pub fn export_key(&self, path: &Path, printable: bool) -> Result<()> {
        let inner = &self.inner;
        let opened = inner.source.opened();
        let secret = match opened.secret.key_of_two() {
            Some(key) => Some(key),
            None if opened.key_file.is_some() || opened.by_descriptor => Some(opened.secret.secret()),
            None => None,
        };
        let secret = secret.ok_or_else(|| {
            Error::new(ErrorKind::State, "the workspace was opened without a key file, so there is none to copy")
        })?;
        keys::write_copy(&*inner.io, path, (inner.id, opened.slot), secret, printable)
    }

    /// Replaces the root key and all keys that hang from it directly, and writes every wrap of the key table anew. Data
    /// is not encrypted anew. Key files at hand get new secrets; passphrases and recovery codes stay as they are.
    ///
    /// # Errors
    /// [`ErrorKind::State`] if the key came through a descriptor, [`ErrorKind::ReadOnly`], [`ErrorKind::Busy`], and if a
    /// key file cannot be replaced. Nothing has happened then.
    pub fn rotate_keys(&self) -> Result<KeysReplaced> {
        self.replace_keys(&[], |_, _| Ok(()))
    }

    fn replace_keys(
        &self,
        without: &[SlotId],
        also: impl FnOnce(&mut WriteTx<'_>, &mut Keyslots) -> Result<()>,
    ) -> Result<KeysReplaced> {
        // What lies on remotes is published under the key that goes.
        self.bring_all_rows(|_| true)?;
        epoch::replace(&self.inner, without, also)?;
        Ok(KeysReplaced { epoch: self.key_epoch()?, slots: self.slots()? })
    }

    /// Returns how often the root key was replaced by now, counted from 1 for the first one.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn key_epoch(&self) -> Result<u64> {
        self.inner.read(|tx, _| Ok(tx.epoch().number))
    }

    fn new_slot_id(&self) -> Result<SlotId> {
        Ok(SlotId(io::random(&*self.inner.io)?))
    }

    /// Adds a slot and puts its key into a file: the file first, so that there is never a slot without a key.
    fn add_with_file(
        &self,
        kind: SlotKind,
        path: Option<&Path>,
        name: &str,
        secret: impl FnOnce(Secret) -> SlotSecret,
    ) -> Result<(KeySlot, PathBuf)> {
        let (inner, id) = (&self.inner, self.new_slot_id()?);
        let epoch = inner.read(|tx, _| Ok(tx.epoch().id))?;
        let key = Secret::new(io::random(&*inner.io)?);
        let secret = secret(key.duplicate());
        let place = path.map(Path::to_owned).or_else(|| Some(inner.source.directory()?.to_owned()));
        let entry = NewEntry { workspace: inner.id, slot: id, epoch, secret: key };
        let path = entry.write(&*inner.io, path, place.as_deref())?;
        match self.add_slot(id, kind, &secret, name) {
            Ok(slot) => Ok((slot, path)),
            Err(error) => {
                // An entry that opens nothing harms nobody, if it cannot be removed.
                let _ = keys::remove_entry(&*inner.io, &path, id);
                Err(error)
            }
        }
    }

    fn add_slot(&self, id: SlotId, kind: SlotKind, secret: &SlotSecret, name: &str) -> Result<KeySlot> {
        let inner = &self.inner;
        epoch::finish(inner)?;
        inner.write(None, |tx| {
            let mut keyslots = read_settled(inner, tx)?.keyslots;
            let slot = tx.keyring.new_slot(tx.epoch().id, id, kind, secret, io::random(tx.io)?)?;
            keyslots.slots.push(slot);
            let info = SlotInfo { slot: id.0, name: name.to_owned(), created: tx.io.wall_us() };
            settings::change_slots(tx, &[], Some(&info))?;
            rewrite(inner, tx, &mut keyslots)?;
            Ok(listing(id, kind, Some(&info), inner.source.opened().slot))
        })
    }
}

fn listing(id: SlotId, kind: SlotKind, info: Option<&SlotInfo>, opened_by: SlotId) -> KeySlot {
    KeySlot {
        id: id.to_string(),
        kind: kind.as_str(),
        name: info.map(|info| info.name.clone()).unwrap_or_default(),
        created: info.map(|info| info.created),
        opens_without_key_file: !kind.has_key_file(),
        in_use: id == opened_by,
    }
}

#[cfg(test)]
mod tests {
    use super::super::KEYSLOTS;
    use super::*;
    use crate::Keys;
    use crate::db::FILE_NAME;
    use crate::keys::Keychain as _;

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

        fn file(&self, name: &str) -> PathBuf {
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

    /// A keychain in memory, which may be locked.
    #[derive(Default)]
    struct InMemory {
        secrets: std::sync::Mutex<std::collections::BTreeMap<String, Vec<u8>>>,
        locked: std::sync::atomic::AtomicBool,
    }

    impl InMemory {
        fn unlocked(&self) -> std::io::Result<std::sync::MutexGuard<'_, std::collections::BTreeMap<String, Vec<u8>>>> {
            match self.locked.load(std::sync::atomic::Ordering::Relaxed) {
                true => Err(std::io::Error::other("locked")),
                false => Ok(self.secrets.lock().expect("not poisoned")),
            }
        }
    }

    impl keys::Keychain for InMemory {
        fn get(&self, name: &str) -> std::io::Result<Option<Zeroizing<Vec<u8>>>> {
            Ok(self.unlocked()?.get(name).cloned().map(Zeroizing::new))
        }

        fn set(&self, name: &str, secret: &[u8]) -> std::io::Result<()> {
            self.unlocked()?.insert(name.to_owned(), secret.to_vec());
            Ok(())
        }

        fn remove(&self, name: &str) -> std::io::Result<()> {
            self.unlocked()?.remove(name);
            Ok(())
        }
    }

    #[test]
    fn a_keychain_opens_without_a_key_file_until_its_slot_is_removed() {
        let (place, keychain) = (Place::new(), std::sync::Arc::new(InMemory::default()));
        let with = |keys: Keys| Keys { keychain: Some(keychain.clone()), ..keys };
        let alone = || with(Keys { directory: Some(place.0.path().join("none")), ..Keys::default() });
        let refused = |keys: Keys| place.open(keys).expect_err("does not open").to_string();

        let none_at_hand = place.open(place.keys()).expect("creates").add_keychain("login").expect_err("refused");
        assert_eq!(none_at_hand.kind(), ErrorKind::State);
        let workspace = place.open(with(place.keys())).expect("opens");
        let slot = workspace.add_keychain("login").expect("adds");
        assert_eq!((slot.kind, slot.opens_without_key_file), ("keychain", true));
        assert_eq!(
            keychain.unlocked().expect("open").keys().cloned().collect::<Vec<_>>(),
            [format!("{}.{}", workspace.id(), slot.id)]
        );
        drop(workspace);

        let workspace = place.open(alone()).expect("opens");
        assert!(workspace.slots().expect("lists")[1].in_use);
        // The root key is replaced below an open handle and below the secret that the keychain keeps.
        place.open(place.keys()).expect("opens").rotate_keys().expect("rotates");
        workspace.run("p").id("a-run").start().expect("starts").finish().expect("finishes");
        drop(workspace);
        drop(place.open(alone()).expect("opens"));

        keychain.locked.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(refused(alone()), "keychain: locked");
        keychain.locked.store(false, std::sync::atomic::Ordering::Relaxed);
        let nothing = Keys { directory: Some(place.0.path().join("none")), ..Keys::default() };
        assert_eq!(refused(nothing), "keychain: not within reach of this program");
        let secrets = std::mem::take(&mut *keychain.unlocked().expect("open"));
        assert_eq!(refused(alone()), format!("keychain: it has no key for slot {}", slot.id));
        for wrong in [vec![7; 32], vec![7; 5]] {
            keychain.set(secrets.keys().next().expect("one"), &wrong).expect("sets");
            assert_eq!(refused(alone()), format!("keychain: wrong key: it does not open slot {}", slot.id));
        }
        *keychain.unlocked().expect("open") = secrets;
        let workspace = place.open(alone()).expect("opens again");
        drop(workspace);

        let by_file = place.open(with(place.keys())).expect("opens");
        by_file.remove_slots(&[&slot.id]).expect("removes");
        assert!(keychain.unlocked().expect("open").is_empty(), "the secret went with its slot");
        assert!(place.open(alone()).is_err());
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
