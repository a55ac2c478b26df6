//! The keys of a pack's chunks: without its bucket a pack is noise, and a key that is dropped from it erases a chunk.

use zeroize::Zeroizing;

use super::PACK_CHUNKS_MAX;
use crate::codec::Reader;
use crate::error::{FormatError, Result};
use crate::seal::constant_time_eq;
use crate::secret::Secret;

const WHAT: &str = "chunk bucket";
const VERSION: u8 = 1;
/// Where the key of a chunk was dropped.
const DROPPED: [u8; 32] = [0; 32];

/// The keys of the chunks of one pack, in order. Its text is sealed under a key of its own.
pub struct Bucket {
    keys: Vec<Option<Secret>>,
}

impl Bucket {
    /// Takes over the keys of a pack's chunks.
    ///
    /// # Errors
    /// [`FormatError::Limit`] above [`PACK_CHUNKS_MAX`]; [`FormatError::Malformed`] without keys, or for one of zeros,
    /// which no generator of random bytes gives.
    pub fn new(keys: Vec<Secret>) -> Result<Bucket> {
        let bucket = Bucket { keys: keys.into_iter().map(Some).collect() };
        check_len(bucket.len() as u64)?;
        if bucket.keys.iter().flatten().any(|key| constant_time_eq(key.expose(), &DROPPED)) {
            return Err(FormatError::Malformed { what: WHAT, reason: "a key of zeros" });
        }
        Ok(bucket)
    }

    /// Returns the number of chunks, those whose keys were dropped too.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a bucket has one chunk at least")]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns the key of the chunk at a place; `None` if it was dropped, or there is no such chunk.
    #[must_use]
    pub fn get(&self, slot: usize) -> Option<&Secret> {
        self.keys.get(slot)?.as_ref()
    }

    /// Drops the key of a chunk; false if there is none.
    pub fn drop_key(&mut self, slot: usize) -> bool {
        self.keys.get_mut(slot).is_some_and(|key| key.take().is_some())
    }

    /// Returns the text of the bucket, for [`OwnerKey::seal`](crate::seal::OwnerKey::seal).
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(5 + 32 * self.len()));
        let count = u32::try_from(self.len()).expect("checked when it was made");
        out.push(VERSION);
        out.extend_from_slice(&count.to_le_bytes());
        for key in &self.keys {
            out.extend_from_slice(key.as_ref().map_or(&DROPPED, |key| key.expose()));
        }
        out
    }

    /// Reads the text of a bucket.
    ///
    /// # Errors
    /// [`FormatError::Limit`], [`FormatError::Truncated`], [`FormatError::Malformed`], [`FormatError::NewerVersion`].
    pub fn from_text(text: &[u8]) -> Result<Bucket> {
        let mut reader = Reader::new(WHAT, text);
        let version = reader.u8()?;
        reader.version(version.into(), VERSION.into())?;
        let count = reader.u32()?;
        check_len(count.into())?;
        let mut keys = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let key = Zeroizing::new(reader.array()?);
            keys.push((!constant_time_eq(key.as_slice(), &DROPPED)).then(|| Secret::new(*key)));
        }
        reader.finish()?;
        Ok(Bucket { keys })
    }
}

fn check_len(found: u64) -> Result<()> {
    match found {
        0 => Err(FormatError::Malformed { what: WHAT, reason: "no chunks" }),
        found if found > PACK_CHUNKS_MAX as u64 => {
            Err(FormatError::Limit { what: WHAT, found, limit: PACK_CHUNKS_MAX as u64 })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket() -> Bucket {
        Bucket::new((1..=3).map(|byte| Secret::new([byte; 32])).collect()).expect("three keys")
    }

    fn first_bytes(bucket: &Bucket) -> Vec<Option<u8>> {
        (0..bucket.len()).map(|slot| bucket.get(slot).map(|key| key.expose()[0])).collect()
    }

    #[test]
    fn a_dropped_key_is_gone_from_the_text_and_the_others_keep_their_places() {
        let mut bucket = bucket();
        assert!(bucket.drop_key(1));
        assert!(!bucket.drop_key(1) && !bucket.drop_key(3));
        let text = bucket.to_text();
        assert!(!text.contains(&2));
        let read = Bucket::from_text(&text).expect("just written");
        assert_eq!(first_bytes(&read), [Some(1), None, Some(3)]);
        assert!(read.get(3).is_none());
        assert_eq!(*read.to_text(), *text);
    }

    #[test]
    fn counts_that_no_pack_has_are_refused() {
        let keys = |count| (0..count).map(|_| Secret::new([1; 32])).collect();
        assert!(Bucket::new(keys(PACK_CHUNKS_MAX)).is_ok());
        assert!(matches!(Bucket::new(keys(PACK_CHUNKS_MAX + 1)), Err(FormatError::Limit { .. })));
        assert!(matches!(Bucket::new(vec![]), Err(FormatError::Malformed { .. })));
        assert!(matches!(Bucket::new(vec![Secret::new([0; 32])]), Err(FormatError::Malformed { .. })));
        let text = bucket().to_text();
        let with = |at: usize, bytes: &[u8]| {
            let mut text = text.to_vec();
            text[at..at + bytes.len()].copy_from_slice(bytes);
            Bucket::from_text(&text).map(|read| read.len())
        };
        assert_eq!(with(0, &[1]), Ok(3));
        assert!(matches!(with(0, &[2]), Err(FormatError::NewerVersion { .. })));
        assert!(matches!(with(1, &[0; 4]), Err(FormatError::Malformed { .. })));
        assert!(matches!(with(1, &[2]), Err(FormatError::Malformed { .. })));
        assert!(matches!(with(1, &[4]), Err(FormatError::Truncated { .. })));
        assert!(matches!(with(1, &[0xff; 4]), Err(FormatError::Limit { .. })));
    }
}
