//! The age format around a capsule: who can open it, and opening it. <https://age-encryption.org/v1>

use std::fs::File;
use std::io::{BufReader, Error, ErrorKind, Read, Result as IoResult, Seek, SeekFrom, Write};
use std::iter::once;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use age::secrecy::SecretString;
use age::stream::{StreamReader, StreamWriter};
use age::{DecryptError, Decryptor, Encryptor, Identity, Recipient, scrypt, x25519};
use zeroize::Zeroizing;

use crate::failure::{Code, Failure};
use crate::prompt;

/// Base-2 logarithm of scrypt's work for new capsules: 256 MiB, and about a second. The one that age itself uses.
const WORK_FACTOR: u8 = 18;
/// The greatest work that is done to open one: 1 GiB. A hostile file could ask for more than the machine has.
const WORK_FACTOR_MAX: u8 = 20;
/// Bytes of a file of recipients or identities at most.
const LIST_BYTES_MAX: u64 = 1 << 20;

/// Who can open a capsule.
pub(crate) enum Lock {
    Passphrase(SecretString),
    Recipients(Vec<x25519::Recipient>),
}

impl Lock {
    /// Reads recipients; without any, asks twice for a passphrase.
    pub(crate) fn choose(recipients: &[String], files: &[PathBuf]) -> Result<Lock, Failure> {
        let mut all = recipients.iter().map(|text| recipient(text)).collect::<Result<Vec<_>, _>>()?;
        for path in files {
            let before = all.len();
            for line in lines(path)?.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
                all.push(recipient(line)?);
            }
            if all.len() == before {
                return Err(Failure::usage(format!("{}: names no recipient", path.display())));
            }
        }
        if !all.is_empty() {
            return Ok(Lock::Recipients(all));
        }
        prompt::new_secret().map(secret).map(Lock::Passphrase)
    }

    /// Begins a capsule.
    pub(crate) fn seal<W: Write>(&self, out: W) -> IoResult<StreamWriter<W>> {
        let encryptor = match self {
            Lock::Passphrase(passphrase) => {
                let mut recipient = scrypt::Recipient::new(passphrase.clone());
                recipient.set_work_factor(WORK_FACTOR);
                Encryptor::with_recipients(once(&recipient as &dyn Recipient))
            }
            Lock::Recipients(all) => Encryptor::with_recipients(all.iter().map(|one| one as &dyn Recipient)),
        };
        encryptor.map_err(Error::other)?.wrap_output(out)
    }
}

fn recipient(text: &str) -> Result<x25519::Recipient, Failure> {
    x25519::Recipient::from_str(text).map_err(|_| {
        let what = if text.starts_with("AGE-SECRET-KEY-") { "a secret key" } else { "something else" };
        Failure::usage(format!("recipient: an X25519 recipient is expected, age1 and 58 letters; this is {what}"))
    })
}

fn secret(mut text: Zeroizing<String>) -> SecretString {
    SecretString::from(std::mem::take(&mut *text))
}

fn lines(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let failed = |cause: Error| Failure::file("read", path, &cause);
    let mut text = Zeroizing::new(String::new());
    let file = File::open(path).map_err(failed)?;
    file.take(LIST_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

fn identities(path: &Path) -> Result<Vec<x25519::Identity>, Failure> {
    let text = lines(path)?;
    let wanted = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let read = |line: &str| {
        let message = format!("{}: an identity of age is expected, AGE-SECRET-KEY-1 and 58 letters", path.display());
        x25519::Identity::from_str(line).map_err(|_| Failure::usage(message))
    };
    let all = wanted.map(read).collect::<Result<Vec<_>, _>>()?;
    if all.is_empty() {
        return Err(Failure::usage(format!("{}: holds no identity", path.display())));
    }
    Ok(all)
}

/// A capsule that was opened. It is read from its beginning as often as is wanted.
pub(crate) struct Opened(StreamReader<BufReader<File>>);

impl Opened {
    /// Opens a capsule with one of the identities, or with a passphrase, for which it asks.
    pub(crate) fn open(path: &Path, files: &[PathBuf]) -> Result<Opened, Failure> {
        let failed = |cause: Error| Failure::file("read", path, &cause);
        let mut keys = Vec::new();
        for file in files {
            keys.extend(identities(file)?);
        }
        let file = File::open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(Failure::usage(format!("{}: not a file", path.display())));
        }
        let refused = |error: DecryptError| refused(path, error);
        let decryptor = Decryptor::new_buffered(BufReader::with_capacity(1 << 16, file)).map_err(refused)?;
        let stream = if decryptor.is_scrypt() {
            if !keys.is_empty() {
                return Err(Failure::usage(format!("{}: opens with a passphrase, not --identity", path.display())));
            }
            let mut identity = scrypt::Identity::new(secret(prompt::secret()?));
            identity.set_max_work_factor(WORK_FACTOR_MAX);
            decryptor.decrypt(once(&identity as &dyn Identity))
        } else if keys.is_empty() {
            let message = format!("{}: is for recipients, one of whose identities opens it", path.display());
            return Err(Failure::new(Code::Locked, message).advise("  name it: --identity FILE"));
        } else {
            decryptor.decrypt(keys.iter().map(|key| key as &dyn Identity))
        };
        stream.map(Opened).map_err(refused)
    }

    /// Goes back to the beginning.
    pub(crate) fn rewind(&mut self) -> IoResult<()> {
        self.0.seek(SeekFrom::Start(0)).map(drop)
    }
}

impl Read for Opened {
    fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize> {
        self.0.read(buffer).map_err(|cause| match cause.kind() {
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof => {
                Error::new(ErrorKind::InvalidData, "it was cut off or changed after it was written")
            }
            _ => cause,
        })
    }
}

fn refused(path: &Path, error: DecryptError) -> Failure {
    let path = path.display();
    match error {
        DecryptError::ExcessiveWork { required, .. } => Failure::new(
            Code::Damage,
            format!("{path}: asks for 2^{required} of scrypt's work, and at most 2^{WORK_FACTOR_MAX} is done"),
        ),
        DecryptError::NoMatchingKeys => Failure::new(Code::Locked, format!("{path}: none of the identities opens it")),
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => {
            Failure::new(Code::Locked, "wrong passphrase")
        }
        DecryptError::InvalidHeader | DecryptError::InvalidMac | DecryptError::UnknownFormat => {
            Failure::new(Code::Damage, format!("{path}: not a capsule, or its header was changed"))
        }
        DecryptError::Io(cause) if cause.kind() == ErrorKind::UnexpectedEof => {
            Failure::new(Code::Damage, format!("{path}: not a capsule, or cut off"))
        }
        other => Failure::new(Code::Other, format!("{path}: {other}")),
    }
}
