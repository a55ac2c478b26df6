//! From a secret at hand to the root epoch key.

use std::cell::OnceCell;
use std::fmt;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use runcellar_format::keyslots::{KeyFile, Keyslots, Slot, SlotKind, SlotSecret, parse_recovery_code};
use runcellar_format::{EpochId, FormatError, Secret, SlotId};
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use super::key_file;
use super::keychain::{self, Keychain};
use crate::io::Io;
use crate::{Error, ErrorKind, Result};

/// A passphrase; wiped on drop and never shown.
#[derive(Clone)]
pub struct Passphrase(Arc<Zeroizing<String>>);

impl Passphrase {
    /// Returns the passphrase's bytes in Unicode NFC, so that it is the same on every keyboard.
    pub(crate) fn normalised(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.nfc().collect::<String>().into_bytes())
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Returns true if nothing was typed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Passphrase {
    fn from(text: String) -> Self {
        Passphrase(Arc::new(Zeroizing::new(text)))
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// Asks a person for a passphrase; `None` without a terminal.
pub type PassphrasePrompt = Arc<dyn Fn() -> Option<Passphrase> + Send + Sync>;

/// Where secrets are found and kept. All empty: nothing opens.
#[derive(Clone, Default)]
pub struct Keys {
    /// A key file named by the user; then no other is looked for.
    pub file: Option<PathBuf>,
    /// An inherited descriptor from which a key file's content is read.
    pub descriptor: Option<i32>,
    /// The directory of key files, one a workspace, outside it.
    pub directory: Option<PathBuf>,
    /// Where secrets of slots of the kind `keychain` are kept.
    pub keychain: Option<Arc<dyn Keychain>>,
    /// A passphrase or recovery code.
    pub passphrase: Option<Passphrase>,
    /// Asks for a passphrase or recovery code when no key file opens.
    pub prompt: Option<PassphrasePrompt>,
}

impl Keys {
    /// Returns the same without what can be read or asked for only once.
    pub(super) fn lasting(&self) -> Keys {
        let Keys { file, directory, keychain, .. } = self.clone();
        Keys { file, directory, keychain, ..Keys::default() }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("file", &self.file).field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// What opened a workspace.
pub(crate) struct Opened {
    pub(crate) slot: SlotId,
    /// The key file that opened it, if one did.
    pub(crate) key_file: Option<PathBuf>,
    /// Its key came through a descriptor: it stands in a file that nobody here can name.
    pub(crate) by_descriptor: bool,
    pub(crate) secret: SlotSecret,
}

/// The keys of epochs, each with the id of its epoch.
pub(crate) type EpochKeys = Vec<(EpochId, Secret)>;

/// A way to the epoch keys: what can be read or asked for only once is kept for the next attempt.
pub(crate) struct Search<'a> {
    io: &'a dyn Io,
    keys: &'a Keys,
    described: OnceCell<Vec<Entry>>,
    typed: OnceCell<Option<Passphrase>>,
}

/// A key file, and its entries for the workspace.
struct Found {
    path: Option<PathBuf>,
    entries: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    slot: SlotId,
    secret: Arc<Secret>,
}

impl Found {
    fn name(&self) -> String {
        self.path.as_ref().map_or_else(|| "key descriptor".to_owned(), |path| format!("key file {}", path.display()))
    }

    fn secrets(&self, slot: SlotId) -> impl Iterator<Item = &Secret> {
        self.entries.iter().filter(move |entry| entry.slot == slot).map(|entry| &*entry.secret)
    }

    fn opened(&self, slot: SlotId, secret: SlotSecret) -> Opened {
        Opened { slot, key_file: self.path.clone(), by_descriptor: self.path.is_none(), secret }
    }
}

impl<'a> Search<'a> {
    pub(crate) fn new(io: &'a dyn Io, keys: &'a Keys) -> Self {
        Search { io, keys, described: OnceCell::new(), typed: OnceCell::new() }
    }

    /// Opens the epoch keys with the first secret that fits: a key file alone, the keychain, else what is typed.
    pub(crate) fn unlock(&self, keyslots: &Keyslots, bytes: &[u8]) -> Result<(Opened, EpochKeys)> {
        let (found, none) = self.key_files(keyslots)?;
        let (opened, epochs) = match open_by_key_file(keyslots, &found, none)? {
            Ok(opened) => opened,
            // A key file that was named, and is there, is meant: whoever named the wrong one is told so.
            Err(reason) if self.is_named() && !found.is_empty() && !has_half_of_two(keyslots, &found) => {
                return Err(reason);
            }
            Err(reason) => match keychain::open(self.keys.keychain.as_deref(), keyslots)? {
                Ok(opened) => opened,
                Err(of_keychain) => self.open_by_typing(keyslots, &found, of_keychain.unwrap_or(reason))?,
            },
        };
        verify(keyslots, bytes, &epochs)?;
        Ok((opened, epochs))
    }

    /// Returns the key files that may open the workspace, and what to say if none does.
    fn key_files(&self, keyslots: &Keyslots) -> Result<(Vec<Found>, Error)> {
        let of_workspace = |file: KeyFile| -> Vec<Entry> {
            let ours = file.entries.into_iter().filter(|entry| entry.workspace == keyslots.workspace);
            ours.map(|entry| Entry { slot: entry.slot, secret: Arc::new(entry.secret) }).collect()
        };
        if let Some(path) = &self.keys.file {
            let none = key_file::not_found(path);
            let file = key_file::read(self.io, path)?;
            let found = file.map(|file| Found { path: Some(path.clone()), entries: of_workspace(file) });
            return Ok((found.into_iter().collect(), none));
        }
        if let Some(descriptor) = self.keys.descriptor {
            let entries = match self.described.get() {
                Some(entries) => entries.clone(),
                None => {
                    let read = of_workspace(read_descriptor(descriptor)?);
                    self.described.get_or_init(|| read).clone()
                }
            };
            let none = Error::new(ErrorKind::Locked, format!("key descriptor {descriptor}: no key"));
            return Ok((vec![Found { path: None, entries }], none));
        }
        let Some(directory) = &self.keys.directory else {
            let none = Error::new(ErrorKind::Locked, "key file not found: no home or config directory");
            return Ok((Vec::new(), none));
        };
        let (mut found, mut missing) = (Vec::new(), directory.join(format!("{}.*.key", keyslots.workspace)));
        for slot in keyslots.slots.iter().filter(|slot| slot.kind.has_key_file()) {
            let path = directory.join(key_file::key_file_name(keyslots.workspace, slot.id));
            match key_file::read(self.io, &path)? {
                Some(file) => found.push(Found { path: Some(path), entries: of_workspace(file) }),
                None => missing = path,
            }
        }
        Ok((found, key_file::not_found(&missing)))
    }

    fn is_named(&self) -> bool {
        self.keys.file.is_some() || self.keys.descriptor.is_some()
    }

    fn typed(&self) -> Option<Passphrase> {
        let ask = || self.keys.passphrase.clone().or_else(|| self.keys.prompt.as_ref().and_then(|prompt| prompt()));
        self.typed.get_or_init(ask).clone()
    }

    fn open_by_typing(&self, keyslots: &Keyslots, found: &[Found], reason: Error) -> Result<(Opened, EpochKeys)> {
        let is_typed = |slot: &&Slot| match slot.kind {
            SlotKind::Passphrase | SlotKind::Recovery => true,
            kind => kind == SlotKind::TwoFactor && has_key(found, slot),
        };
        let slots: Vec<&Slot> = keyslots.slots.iter().filter(is_typed).collect();
        if slots.is_empty() {
            return Err(reason);
        }
        let Some(typed) = self.typed() else {
            let needed = Error::new(ErrorKind::Locked, "passphrase needed (no terminal)");
            return Err(if slots.iter().any(|slot| slot.kind.has_passphrase()) { needed } else { reason });
        };
        let code = parse_recovery_code(typed.text());
        let stretched = |slot: &Slot| {
            let params = slot.argon2.ok_or_else(|| Error::damaged(format!("slot {}: it says no cost", slot.id)))?;
            SlotSecret::passphrase(&typed.normalised(), params)
                .map_err(|cause| Error::format(format_args!("slot {}", slot.id), cause))
        };
        let mut wrong = Error::new(ErrorKind::Locked, "wrong passphrase");
        for slot in slots {
            let candidates = match (slot.kind, &code) {
                (SlotKind::Passphrase, _) => vec![(None, stretched(slot)?)],
                (SlotKind::Recovery, Some(code)) => vec![(None, SlotSecret::recovery(code))],
                (SlotKind::TwoFactor, _) => {
                    let stretched = stretched(slot)?;
                    let both = |key: &Secret| stretched.with_key(key.duplicate());
                    let of_file = |file: &'_ Found| -> Vec<_> {
                        file.secrets(slot.id).map(|key| (file.path.clone(), both(key))).collect()
                    };
                    found.iter().flat_map(of_file).collect()
                }
                _ => continue,
            };
            if let Some((key_file, secret, epochs)) = first_that_opens(keyslots, slot, candidates, &mut wrong)? {
                let by_descriptor = slot.kind == SlotKind::TwoFactor && key_file.is_none();
                return Ok((Opened { slot: slot.id, key_file, by_descriptor, secret }, epochs));
            }
        }
        Err(wrong)
    }
}

fn has_key(found: &[Found], slot: &Slot) -> bool {
    found.iter().any(|file| file.secrets(slot.id).next().is_some())
}

fn has_half_of_two(keyslots: &Keyslots, found: &[Found]) -> bool {
    keyslots.slots.iter().any(|slot| slot.kind == SlotKind::TwoFactor && has_key(found, slot))
}

type Candidate = (Option<PathBuf>, SlotSecret);

/// Tries what was typed, with each key file that may belong to it; says in `wrong` if it was the key file that did not
/// fit. While keys are replaced, two keys of a file open one epoch each.
pub(super) fn first_that_opens(
    keyslots: &Keyslots,
    slot: &Slot,
    candidates: Vec<Candidate>,
    wrong: &mut Error,
) -> Result<Option<(Option<PathBuf>, SlotSecret, EpochKeys)>> {
    let mut first: Option<(Option<PathBuf>, SlotSecret, EpochKeys)> = None;
    for (path, secret) in candidates {
        match slot.open(keyslots.workspace, &keyslots.epochs, &secret) {
            Ok(epochs) => match &mut first {
                Some((_, _, all)) => all.extend(epochs),
                None => first = Some((path, secret, epochs)),
            },
            Err(FormatError::WrongKey { what: "key file" }) => {
                let name =
                    path.map_or_else(|| "key descriptor".to_owned(), |path| format!("key file {}", path.display()));
                *wrong = does_not_open(&name, slot);
            }
            Err(FormatError::WrongKey { .. }) => {}
            Err(cause) => return Err(Error::format(format_args!("slot {}", slot.id), cause)),
        }
    }
    Ok(first)
}

/// Tries the key files alone. The inner error says why none opens; something typed may still do.
fn open_by_key_file(
    keyslots: &Keyslots,
    found: &[Found],
    mut reason: Error,
) -> Result<Result<(Opened, EpochKeys), Error>> {
    for file in found {
        let mut known = false;
        for slot in &keyslots.slots {
            let mut opened: Option<(SlotSecret, EpochKeys)> = None;
            for secret in file.secrets(slot.id) {
                known = true;
                if slot.kind == SlotKind::TwoFactor {
                    continue;
                }
                let secret = SlotSecret::key_file(secret.duplicate());
                match slot.open(keyslots.workspace, &keyslots.epochs, &secret) {
                    Ok(epochs) => match &mut opened {
                        Some((_, all)) => all.extend(epochs),
                        None => opened = Some((secret, epochs)),
                    },
                    Err(FormatError::WrongKey { .. }) => reason = does_not_open(&file.name(), slot),
                    Err(cause) => return Err(Error::format(format_args!("slot {}", slot.id), cause)),
                }
            }
            if let Some((secret, epochs)) = opened {
                return Ok(Ok((file.opened(slot.id, secret), epochs)));
            }
        }
        if !known {
            let message = match file.entries.is_empty() {
                true => format!("{}: wrong key file: it has no key for workspace {}", file.name(), keyslots.workspace),
                false => format!("{}: wrong key file: its slot was removed from the workspace", file.name()),
            };
            return Err(Error::new(ErrorKind::Locked, message));
        }
    }
    Ok(Err(reason))
}

pub(super) fn does_not_open(name: &str, slot: &Slot) -> Error {
    Error::new(ErrorKind::Locked, format!("{name}: wrong key: it does not open slot {}", slot.id))
}

/// Checks the MACs of the epochs whose keys are known.
pub(crate) fn verify(keyslots: &Keyslots, bytes: &[u8], epochs: &EpochKeys) -> Result<()> {
    for (id, key) in epochs {
        let index = keyslots.epochs.iter().position(|epoch| epoch.id == *id).unwrap_or(usize::MAX);
        Keyslots::verify(bytes, keyslots.epochs.len(), index, key).map_err(|cause| Error::format("keyslots", cause))?;
    }
    Ok(())
}

fn read_descriptor(descriptor: i32) -> Result<KeyFile> {
    let path = PathBuf::from(format!("/dev/fd/{descriptor}"));
    let mut bytes = Zeroizing::new(Vec::new());
    std::fs::File::open(&path).and_then(|file| file.take(key_file::FILE_BYTES_MAX).read_to_end(&mut bytes)).map_err(
        |cause| Error::new(ErrorKind::Locked, format!("key descriptor {descriptor}: {cause}")).with_cause(cause),
    )?;
    KeyFile::decode(&bytes).map_err(|cause| Error::unreadable("key descriptor", cause))
}
