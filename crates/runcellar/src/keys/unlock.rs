//! From a secret at hand to the root epoch key.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use runcellar_format::keyslots::{KeyFile, Keyslots, Slot, SlotKind, SlotSecret, parse_recovery_code};
use runcellar_format::{EpochId, FormatError, Secret, SlotId};
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use super::key_file;
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
    /// A passphrase or recovery code.
    pub passphrase: Option<Passphrase>,
    /// Asks for a passphrase or recovery code when no key file opens.
    pub prompt: Option<PassphrasePrompt>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("file", &self.file).field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// What unlocking gave.
pub(crate) struct Unlocked {
    /// Live epochs with their keys, in the order of the file.
    pub(crate) epochs: Vec<(EpochId, Arc<Secret>)>,
    /// The slot that opened.
    pub(crate) slot: SlotId,
    /// The key file that opened it, if one did.
    pub(crate) key_file: Option<PathBuf>,
}

/// Opens the root epoch keys with the first secret that fits.
pub(crate) fn unlock(io: &dyn Io, keyslots: &Keyslots, bytes: &[u8], keys: &Keys) -> Result<Unlocked> {
    let by_file = open_by_key_file(io, keyslots, keys)?;
    let (slot, key_file, opened) = match by_file {
        Ok((slot, path, opened)) => (slot, path, opened),
        Err(no_key_file) => {
            let (slot, opened) = open_by_passphrase(keyslots, keys, no_key_file)?;
            (slot, None, opened)
        }
    };
    for (index, key) in opened.iter().enumerate() {
        Keyslots::verify(bytes, keyslots.epochs.len(), index, key).map_err(|cause| Error::format("keyslots", cause))?;
    }
    let epochs = keyslots.epochs.iter().map(|epoch| epoch.id).zip(opened.into_iter().map(Arc::new)).collect();
    Ok(Unlocked { epochs, slot, key_file })
}

type ByFile = (SlotId, Option<PathBuf>, Vec<Secret>);

/// Tries the key file. The inner error says why there is none to try; a passphrase may still do.
fn open_by_key_file(io: &dyn Io, keyslots: &Keyslots, keys: &Keys) -> Result<Result<ByFile, Error>> {
    let (file, path) = if let Some(path) = &keys.file {
        match key_file::read(io, path)? {
            Some(file) => (file, Some(path.clone())),
            None => return Ok(Err(key_file::not_found(path))),
        }
    } else if let Some(descriptor) = keys.descriptor {
        (read_descriptor(descriptor)?, None)
    } else {
        match find_in_directory(io, keyslots, keys)? {
            Ok((file, path)) => (file, Some(path)),
            Err(missing) => return Ok(Err(missing)),
        }
    };
    let name = path.as_ref().map_or_else(|| "key descriptor".to_owned(), |path| format!("key file {}", path.display()));
    let mut wrong = None;
    for entry in file.entries.iter().filter(|entry| entry.workspace == keyslots.workspace) {
        let Some(slot) = keyslots.slots.iter().find(|slot| slot.id == entry.slot) else { continue };
        match slot.open(keyslots.workspace, &keyslots.epochs, &entry.secret) {
            Ok(opened) => return Ok(Ok((slot.id, path, opened))),
            Err(cause) => wrong = Some(slot_error(&name, slot, cause)),
        }
    }
    Err(wrong.unwrap_or_else(|| {
        Error::new(
            ErrorKind::Locked,
            format!("{name}: wrong key file: it has no key for workspace {}", keyslots.workspace),
        )
    }))
}

fn find_in_directory(io: &dyn Io, keyslots: &Keyslots, keys: &Keys) -> Result<Result<(KeyFile, PathBuf), Error>> {
    let Some(directory) = &keys.directory else {
        return Ok(Err(Error::new(ErrorKind::Locked, "key file not found: no home or config directory")));
    };
    let candidates = keyslots.slots.iter().filter(|slot| slot.kind == SlotKind::KeyFile);
    let mut missing = directory.join(format!("{}.*.key", keyslots.workspace));
    for slot in candidates {
        let path = directory.join(key_file::key_file_name(keyslots.workspace, slot.id));
        if let Some(file) = key_file::read(io, &path)? {
            return Ok(Ok((file, path)));
        }
        missing = path;
    }
    Ok(Err(key_file::not_found(&missing)))
}

fn read_descriptor(descriptor: i32) -> Result<KeyFile> {
    let path = PathBuf::from(format!("/dev/fd/{descriptor}"));
    let mut bytes = Zeroizing::new(Vec::new());
    std::fs::File::open(&path).and_then(|file| file.take(key_file::FILE_BYTES_MAX).read_to_end(&mut bytes)).map_err(
        |cause| Error::new(ErrorKind::Locked, format!("key descriptor {descriptor}: {cause}")).with_cause(cause),
    )?;
    KeyFile::decode(&bytes).map_err(|cause| locked_or_damaged(Path::new("key descriptor"), cause))
}

fn locked_or_damaged(path: &Path, cause: FormatError) -> Error {
    Error::format(path.display(), cause)
}

fn open_by_passphrase(keyslots: &Keyslots, keys: &Keys, no_key_file: Error) -> Result<(SlotId, Vec<Secret>)> {
    let typed = |kinds: &[SlotKind]| keyslots.slots.iter().any(|slot| kinds.contains(&slot.kind));
    if !typed(&[SlotKind::Passphrase, SlotKind::Recovery]) {
        return Err(no_key_file);
    }
    let given = keys.passphrase.clone().or_else(|| keys.prompt.as_ref().and_then(|prompt| prompt()));
    let Some(passphrase) = given else {
        let needed = Error::new(ErrorKind::Locked, "passphrase needed (no terminal)");
        return Err(if typed(&[SlotKind::Passphrase]) { needed } else { no_key_file });
    };
    let code = parse_recovery_code(passphrase.text());
    for slot in &keyslots.slots {
        let secret = match (slot.kind, slot.argon2, &code) {
            (SlotKind::Passphrase, Some(params), _) => SlotSecret::passphrase(&passphrase.normalised(), params)
                .map_err(|cause| Error::format(format_args!("slot {}", slot.id), cause))?,
            (SlotKind::Recovery, _, Some(code)) => SlotSecret::recovery(code),
            _ => continue,
        };
        match slot.open(keyslots.workspace, &keyslots.epochs, secret.secret()) {
            Ok(opened) => return Ok((slot.id, opened)),
            Err(FormatError::WrongKey { .. }) => {}
            Err(cause) => return Err(slot_error("passphrase", slot, cause)),
        }
    }
    Err(Error::new(ErrorKind::Locked, "wrong passphrase"))
}

fn slot_error(name: &str, slot: &Slot, cause: FormatError) -> Error {
    match cause {
        FormatError::WrongKey { .. } => {
            Error::new(ErrorKind::Locked, format!("{name}: wrong key: it does not open slot {}", slot.id))
        }
        cause => Error::format(format_args!("slot {}", slot.id), cause),
    }
}
