//! Frames: sealing one into a buffer, opening one, and finding them in a file.

use crate::aead::{Aead, TAG_BYTES};
use crate::error::{FormatError, Result};
use crate::id::{JournalId, WorkspaceId};
use crate::seal::Derived;
use crate::secret::Secret;

const WHAT: &str = "journal frame";
const NONCE_BYTES: usize = 12;
const PREFIX_BYTES: usize = 4 + 4 + 8 + NONCE_BYTES;
/// Bytes that a frame adds to its plaintext: mark, length, sequence, nonce, tag.
pub const FRAME_OVERHEAD_BYTES: usize = PREFIX_BYTES + TAG_BYTES;
/// The longest plaintext of a frame. One `log()` is one frame; what is longer is refused as a value too large.
pub const FRAME_PLAIN_BYTES_MAX: usize = 16 << 20;
/// How many times its own length a scan deciphers in vain before it gives up. Damage that nobody made up costs no more
/// than once: a frame with a wrong length is deciphered for naught, and marks inside it are one in 2^32 bytes.
const FAILED_BYTES_FACTOR: usize = 4;
const ASSOCIATED_BYTES: usize = 16 + 16 + 16;

/// Seals and opens the frames of one journal file.
pub struct FrameKey {
    aead: Aead,
    nonce: Secret,
    workspace: WorkspaceId,
    journal: JournalId,
}

impl FrameKey {
    pub(super) fn new(derived: &Derived, workspace: WorkspaceId, journal: JournalId) -> Self {
        FrameKey { aead: derived.aead(), nonce: derived.nonce.duplicate(), workspace, journal }
    }

    /// The four bytes that begin each frame of this file, by which reading resumes after damage.
    fn mark(&self) -> [u8; 4] {
        let id = &self.journal.0;
        [id[0], id[1], id[2], id[3]]
    }

    /// Appends the sealed frame of `plain` to `out`.
    ///
    /// The nonce is keyed BLAKE3 over the frame's sequence and its plaintext, under a key of this file, so that a forked
    /// child, a cloned machine or a restored copy that writes other content under the same sequence uses another nonce.
    ///
    /// # Errors
    /// [`FormatError::Limit`] above [`FRAME_PLAIN_BYTES_MAX`].
    pub fn seal_into(&self, sequence: u64, plain: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let over = FormatError::Limit { what: WHAT, found: plain.len() as u64, limit: FRAME_PLAIN_BYTES_MAX as u64 };
        let len = u32::try_from(plain.len()).ok().filter(|_| plain.len() <= FRAME_PLAIN_BYTES_MAX).ok_or(over)?;
        let mut prefix = [0; 16];
        prefix[..4].copy_from_slice(&self.mark());
        prefix[4..8].copy_from_slice(&len.to_le_bytes());
        prefix[8..].copy_from_slice(&sequence.to_le_bytes());
        out.reserve(plain.len() + FRAME_OVERHEAD_BYTES);
        out.extend_from_slice(&prefix);
        let nonce_at = out.len();
        // Sequence and plaintext are hashed where they stand, in one piece: the nonce then takes the sequence's place.
        out.extend_from_slice(&[0; NONCE_BYTES - 8]);
        out.extend_from_slice(&prefix[8..]);
        let start = out.len();
        out.extend_from_slice(plain);
        let nonce = self.nonce(out.get(start - 8..).expect("just appended"));
        out.get_mut(nonce_at..start).expect("just appended").copy_from_slice(&nonce);
        let text = out.get_mut(start..).expect("the plaintext was just appended");
        let tag = self.aead.seal(nonce, &self.associated(&prefix), text);
        out.extend_from_slice(&tag);
        Ok(())
    }

    /// Opens the frame that begins at `bytes`; returns its sequence, its plaintext and its length in bytes.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] if the bytes end inside it, [`FormatError::Malformed`] for another mark,
    /// [`FormatError::Limit`], [`FormatError::Damaged`].
    pub fn open(&self, bytes: &[u8]) -> Result<(u64, Vec<u8>, usize)> {
        let mut reader = crate::codec::Reader::new(WHAT, bytes);
        let prefix: [u8; 16] = reader.array()?;
        let mut fields = crate::codec::Reader::new(WHAT, &prefix);
        if fields.array()? != self.mark() {
            return Err(FormatError::Malformed { what: WHAT, reason: "mark expected" });
        }
        let len = fields.count(FRAME_PLAIN_BYTES_MAX as u32)?;
        let sequence = fields.u64()?;
        let nonce = reader.array()?;
        let mut text = reader.take(len)?.to_vec();
        let tag = reader.array()?;
        if self.aead.open(nonce, &self.associated(&prefix), &mut text, &tag) {
            Ok((sequence, text, len + FRAME_OVERHEAD_BYTES))
        } else {
            Err(FormatError::Damaged { what: WHAT })
        }
    }

    /// Returns how many bytes of text the frame at `bytes` says that it has.
    fn claimed_bytes(&self, bytes: &[u8]) -> usize {
        let mut reader = crate::codec::Reader::new(WHAT, bytes);
        reader.take(4).and_then(|_| reader.count(FRAME_PLAIN_BYTES_MAX as u32)).unwrap_or(0)
    }

    fn nonce(&self, sequence_and_plain: &[u8]) -> [u8; NONCE_BYTES] {
        let hash = blake3::keyed_hash(self.nonce.expose(), sequence_and_plain);
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&hash.as_bytes()[..NONCE_BYTES]);
        nonce
    }

    fn associated(&self, prefix: &[u8; 16]) -> [u8; ASSOCIATED_BYTES] {
        let mut out = [0; ASSOCIATED_BYTES];
        out[..16].copy_from_slice(&self.workspace.0);
        out[16..32].copy_from_slice(&self.journal.0);
        out[32..].copy_from_slice(prefix);
        out
    }
}

/// What [`scan`] found in a stretch of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A frame that opened.
    Frame {
        /// Its sequence.
        sequence: u64,
        /// Its plaintext.
        plain: Vec<u8>,
        /// Offset in the given bytes of the byte after it.
        end: usize,
    },
    /// Bytes before a good frame that are no frame, or too many bytes that are none to go on looking: damage.
    Damage {
        /// Offset of its first byte.
        start: usize,
        /// Offset of the byte after it.
        end: usize,
    },
    /// Bytes at the end that are no whole frame: a write that was cut, or one that is under way.
    Tail {
        /// Offset of its first byte.
        start: usize,
    },
}

/// Finds the frames in `bytes`, which begin where a frame should.
///
/// A bad frame before a good one is damage, and reading goes on at the next mark; a bad frame at the end is a torn
/// write. Calls `found` in order of offset until it returns false. O(n), as marks that somebody made up are tried
/// only until [`FAILED_BYTES_FACTOR`] times the bytes were deciphered in vain; what is left is damage then.
pub fn scan(key: &FrameKey, bytes: &[u8], mut found: impl FnMut(Found) -> bool) {
    let mut at = 0;
    let mut bad_from = None;
    let mut failed_bytes = 0_usize;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        if failed_bytes > bytes.len().saturating_mul(FAILED_BYTES_FACTOR) {
            found(Found::Damage { start: bad_from.unwrap_or(at), end: bytes.len() });
            return;
        }
        match key.open(rest) {
            Ok((sequence, plain, len)) => {
                if let Some(start) = bad_from.take()
                    && !found(Found::Damage { start, end: at })
                {
                    return;
                }
                at += len;
                if !found(Found::Frame { sequence, plain, end: at }) {
                    return;
                }
            }
            Err(error) => {
                bad_from.get_or_insert(at);
                if matches!(error, FormatError::Damaged { .. }) {
                    failed_bytes = failed_bytes.saturating_add(key.claimed_bytes(rest));
                }
                let next = rest.get(1..).and_then(|tail| tail.windows(4).position(|four| four == key.mark()));
                at = next.map_or(bytes.len(), |offset| at + 1 + offset);
            }
        }
    }
    if let Some(start) = bad_from {
        found(Found::Tail { start });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{KeyId, WriterId};
    use crate::journal::Header;

    fn key() -> FrameKey {
        let secret = Secret::new([3; 32]);
        let ids = (WorkspaceId([1; 16]), JournalId(*b"journalid 123456"), WriterId([2; 16]));
        let (header, key) = Header::under_run_key(ids.0, ids.1, ids.2, 1, (KeyId([4; 16]), &secret), [5; 24]);
        let bytes = header.encode().expect("short");
        let (read, len) = Header::decode(&bytes).expect("reads back");
        assert_eq!((&read, len), (&header, bytes.len()));
        assert!(read.open_with_run_key(ids.0, &Secret::new([4; 32])).is_err());
        read.open_with_run_key(ids.0, &secret).expect("same key");
        key
    }

    fn file(key: &FrameKey, texts: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        for (sequence, text) in (1..).zip(texts) {
            key.seal_into(sequence, text.as_bytes(), &mut out).expect("short");
        }
        out
    }

    fn scanned(key: &FrameKey, bytes: &[u8]) -> Vec<Found> {
        let mut all = Vec::new();
        scan(key, bytes, |found| {
            all.push(found);
            true
        });
        all
    }

    fn sequences(all: &[Found]) -> Vec<u64> {
        let sequence = |found: &Found| match found {
            Found::Frame { sequence, .. } => Some(*sequence),
            _ => None,
        };
        all.iter().filter_map(sequence).collect()
    }

    #[test]
    fn frames_read_back_and_a_torn_tail_is_told_from_damage() {
        let key = key();
        let bytes = file(&key, &["one", "two", "three"]);
        assert_eq!(sequences(&scanned(&key, &bytes)), [1, 2, 3]);
        let frame_bytes = 3 + FRAME_OVERHEAD_BYTES;
        for cut in 2 * frame_bytes + 1..bytes.len() {
            let all = scanned(&key, &bytes[..cut]);
            assert_eq!(sequences(&all), [1, 2]);
            assert_eq!(all.last(), Some(&Found::Tail { start: 2 * frame_bytes }));
        }
        let mut damaged = bytes.clone();
        damaged[frame_bytes + 30] ^= 1;
        let all = scanned(&key, &damaged);
        assert_eq!(sequences(&all), [1, 3]);
        assert_eq!(all.get(1), Some(&Found::Damage { start: frame_bytes, end: 2 * frame_bytes }));
    }

    #[test]
    fn every_flipped_bit_hides_exactly_its_own_frame() {
        let key = key();
        let bytes = file(&key, &["one", "two", "three"]);
        let frame_bytes = 3 + FRAME_OVERHEAD_BYTES;
        for bit in 0..2 * frame_bytes * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let expected = if bit / 8 < frame_bytes { [2, 3] } else { [1, 3] };
            assert_eq!(sequences(&scanned(&key, &flipped)), expected, "bit {bit}");
        }
    }

    #[test]
    fn made_up_marks_cost_no_more_than_a_few_times_the_bytes() {
        let key = key();
        let mut bytes = file(&key, &["one"]);
        let start = bytes.len();
        // 10,000 marks, each with the longest text that fits behind it.
        for left in (1..=10_000_u32).rev() {
            bytes.extend(key.mark());
            bytes.extend((left * 32 - 32).to_le_bytes());
            bytes.extend([0; 24]);
        }
        key.seal_into(2, b"two", &mut bytes).expect("short");
        // Without the bound this would decipher 1.6 GB, and find the second frame.
        let all = scanned(&key, &bytes);
        assert_eq!(sequences(&all), [1]);
        assert_eq!(all.last(), Some(&Found::Damage { start, end: bytes.len() }));
    }

    #[test]
    fn a_changed_header_does_not_open() {
        let secret = Secret::new([3; 32]);
        let ids = (WorkspaceId([1; 16]), JournalId([6; 16]), WriterId([2; 16]));
        let (header, _) = Header::under_run_key(ids.0, ids.1, ids.2, 1, (KeyId([4; 16]), &secret), [5; 24]);
        for changed in [
            Header { writer: WriterId([3; 16]), ..header.clone() },
            Header { journal: JournalId([7; 16]), ..header.clone() },
            Header { first_sequence: 2, ..header.clone() },
            Header { source: crate::journal::KeySource::Run(KeyId([5; 16])), ..header.clone() },
            Header { salt: [6; 24], ..header.clone() },
        ] {
            assert!(changed.open_with_run_key(ids.0, &secret).is_err(), "{changed:?}");
        }
        header.open_with_run_key(ids.0, &secret).expect("as it was");
    }

    #[test]
    fn equal_sequences_with_other_content_use_another_nonce() {
        let key = key();
        let (mut left, mut right) = (Vec::new(), Vec::new());
        key.seal_into(7, b"parent", &mut left).expect("short");
        key.seal_into(7, b"child!", &mut right).expect("short");
        assert_ne!(left[16..28], right[16..28]);
    }
}
