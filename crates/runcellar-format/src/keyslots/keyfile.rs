//! The key file: secrets of key-file slots, outside the workspace. One file may serve several workspaces.

use crate::codec::{Reader, Writer};
use crate::error::{FormatError, Result};
use crate::id::{EpochId, SlotId, WorkspaceId};
use crate::secret::Secret;

const WHAT: &str = "key file";
const MAGIC: [u8; 8] = *b"rckeyfil";
const VERSION: u16 = 1;
/// The first line of a key file as text.
const TEXT_HEAD: &str = "runcellar key file";
const TEXT_LINE_BYTES: usize = 32;
/// Entries of one file.
const ENTRIES_MAX: usize = 4096;

/// The secret of one slot of one workspace.
pub struct KeyFileEntry {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The slot.
    pub slot: SlotId,
    /// The epoch for which the secret was drawn.
    pub epoch: EpochId,
    /// The secret.
    pub secret: Secret,
}

/// The content of a key file.
#[derive(Default)]
pub struct KeyFile {
    /// The entries.
    pub entries: Vec<KeyFileEntry>,
}

impl KeyFile {
    /// Returns the file's bytes, to be wiped after writing.
    ///
    /// # Errors
    /// [`FormatError::Limit`] for too many entries.
    pub fn encode(&self) -> Result<zeroize::Zeroizing<Vec<u8>>> {
        // Sized exactly, so that no reallocation leaves secrets behind.
        let mut out = Writer::with_capacity(16 + 80 * self.entries.len() + 32);
        out.raw(&MAGIC).u16(VERSION).u16(0).count(WHAT, self.entries.len(), ENTRIES_MAX as u32)?;
        for entry in &self.entries {
            out.raw(&entry.workspace.0).raw(&entry.slot.0).raw(&entry.epoch.0).raw(entry.secret.expose());
        }
        let sum = blake3::hash(out.as_slice());
        out.raw(sum.as_bytes());
        Ok(zeroize::Zeroizing::new(out.into_vec()))
    }

    /// Returns the file as text to be printed or typed, to be wiped after writing: a line that says what it is, then the
    /// bytes as hexadecimal digits in lines of 64. [`KeyFile::decode`] reads it, too.
    ///
    /// # Errors
    /// As [`KeyFile::encode`].
    pub fn to_text(&self) -> Result<zeroize::Zeroizing<String>> {
        let bytes = self.encode()?;
        // Sized exactly, as above.
        let lines = bytes.len().div_ceil(TEXT_LINE_BYTES);
        let mut out = zeroize::Zeroizing::new(String::with_capacity(TEXT_HEAD.len() + 1 + 2 * bytes.len() + lines));
        out.push_str(TEXT_HEAD);
        out.push('\n');
        for line in bytes.chunks(TEXT_LINE_BYTES) {
            let digits = line.iter().flat_map(|byte| [byte >> 4, byte & 15]);
            out.extend(digits.filter_map(|digit| char::from_digit(digit.into(), 16)));
            out.push('\n');
        }
        Ok(out)
    }

    /// Reads a key file, as bytes or as [`KeyFile::to_text`] writes it: white space and case do not matter there.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] if it is none, [`FormatError::Damaged`] for a wrong checksum,
    /// [`FormatError::NewerVersion`], [`FormatError::Truncated`], [`FormatError::Limit`].
    pub fn decode(bytes: &[u8]) -> Result<KeyFile> {
        match bytes.strip_prefix(TEXT_HEAD.as_bytes()) {
            None => Self::decode_bytes(bytes),
            Some(digits) => Self::decode_bytes(&from_digits(digits)?),
        }
    }

    fn decode_bytes(bytes: &[u8]) -> Result<KeyFile> {
        let mut reader = Reader::new(WHAT, bytes);
        if reader.array()? != MAGIC {
            return Err(reader.malformed("not a runcellar key file"));
        }
        let version = reader.u16()?;
        reader.version(version.into(), VERSION.into())?;
        if reader.u16()? != 0 {
            return Err(reader.malformed("reserved bits are set"));
        }
        let total = reader.count(ENTRIES_MAX as u32)?;
        let mut entries = Vec::new();
        for _ in 0..total {
            entries.push(KeyFileEntry {
                workspace: WorkspaceId(reader.array()?),
                slot: SlotId(reader.array()?),
                epoch: EpochId(reader.array()?),
                secret: Secret::new(reader.array()?),
            });
        }
        let sum: [u8; 32] = reader.array()?;
        reader.finish()?;
        let body = bytes.len().checked_sub(32).and_then(|len| bytes.get(..len));
        if body.map(|body| *blake3::hash(body).as_bytes()) != Some(sum) {
            return Err(FormatError::Damaged { what: WHAT });
        }
        Ok(KeyFile { entries })
    }
}

fn from_digits(text: &[u8]) -> Result<zeroize::Zeroizing<Vec<u8>>> {
    let malformed = FormatError::Malformed { what: WHAT, reason: "pairs of hexadecimal digits expected" };
    let mut out = zeroize::Zeroizing::new(Vec::with_capacity(text.len() / 2));
    let mut high: Option<u8> = None;
    for letter in text.iter().filter(|letter| !letter.is_ascii_whitespace()) {
        let digit = char::from(*letter).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let digit = digit.ok_or(malformed.clone())?;
        match high.take() {
            None => high = Some(digit),
            Some(high) => out.push(high << 4 | digit),
        }
    }
    if high.is_some() { Err(malformed) } else { Ok(out) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_reads_back_and_every_flip_is_refused() {
        let entry = |fill| KeyFileEntry {
            workspace: WorkspaceId([fill; 16]),
            slot: SlotId([fill; 16]),
            epoch: EpochId([fill; 16]),
            secret: Secret::new([fill; 32]),
        };
        let bytes = KeyFile { entries: vec![entry(1), entry(2)] }.encode().expect("short");
        let read = KeyFile::decode(&bytes).expect("reads");
        assert_eq!(read.entries.len(), 2);
        assert_eq!(read.entries[1].secret.expose(), &[2; 32]);
        let text = KeyFile { entries: vec![entry(1), entry(2)] }.to_text().expect("short");
        assert!(text.starts_with("runcellar key file\n7263") && text.lines().all(|line| line.len() <= 64), "{}", *text);
        for typed in [
            text.to_string(),
            text.replacen("\n7", "\r\n 7", 1).to_uppercase().replacen("RUNCELLAR KEY FILE", TEXT_HEAD, 1),
        ] {
            assert_eq!(KeyFile::decode(typed.as_bytes()).expect("reads").entries[1].secret.expose(), &[2; 32]);
        }
        for wrong in [&text[..text.len() - 2], &text.replace('7', "8"), &text.replacen('7', "x", 1), TEXT_HEAD] {
            assert!(KeyFile::decode(wrong.as_bytes()).is_err(), "{wrong}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(KeyFile::decode(&flipped).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(KeyFile::decode(&bytes[..len]).is_err(), "length {len}");
        }
    }
}
