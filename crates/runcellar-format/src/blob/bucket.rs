//! The keys of a pack's chunks: without its bucket a pack is noise, and a key that is dropped from it erases a chunk.
//!
//! Keys of chunks that were sealed together grow from one random secret, as the leaves of a tree: a secret gives two, each of
//! half of its chunks, until one is left with one chunk. None is told from those beside or below it, so that a key is
//! dropped by putting in the place of a secret those beside the way down to it: the others stay, and it is gone.
//!
//! Source: Goldreich, Goldwasser, Micali, How to construct random functions, JACM 1986; dropped so: Boneh, Waters,
//! Constrained pseudorandom functions, ASIACRYPT 2013.

use zeroize::Zeroizing;

use super::PACK_CHUNKS_MAX;
use crate::codec::{Reader, Writer};
use crate::error::{FormatError, Result};
use crate::secret::Secret;

const WHAT: &str = "chunk bucket";
const VERSION: u8 = 1;
const CONTEXT: &str = "runcellar 1 chunk keys";
/// Added to the count of chunks whose keys were dropped.
const DROPPED: u16 = 0x8000;

/// The keys of chunks that follow one another: of a pack, or of what will be in one.
#[derive(Default)]
pub struct Bucket {
    nodes: Vec<Node>,
    len: usize,
}

/// The keys of some chunks in a row.
struct Node {
    count: usize,
    /// What they grow from; of a single chunk its key. None if they were dropped.
    secret: Option<Secret>,
}

impl Bucket {
    /// Grows the keys of `count` chunks from a random secret.
    ///
    /// # Errors
    /// [`FormatError::Limit`] above [`PACK_CHUNKS_MAX`].
    pub fn grow(secret: Secret, count: usize) -> Result<Bucket> {
        check_len(count as u64)?;
        let nodes = if count == 0 { Vec::new() } else { vec![Node { count, secret: Some(secret) }] };
        Ok(Bucket { nodes, len: count })
    }

    /// Returns the number of chunks, those whose keys were dropped too.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns true if it is of no chunks, as no pack's is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns whether a chunk at a place has a key: it may have been dropped, or there is no such chunk.
    #[must_use]
    pub fn has(&self, slot: usize) -> bool {
        let mut end = 0;
        let node = self.nodes.iter().find(|node| {
            end += node.count;
            slot < end
        });
        node.is_some_and(|node| node.secret.is_some())
    }

    /// Returns the keys of all chunks, none where it was dropped.
    #[must_use]
    pub fn keys(&self) -> Vec<Option<Secret>> {
        let mut out = Vec::with_capacity(self.len);
        for node in &self.nodes {
            match &node.secret {
                Some(secret) => leaves(secret.duplicate(), node.count, &mut out),
                None => out.extend(std::iter::repeat_with(|| None).take(node.count)),
            }
        }
        out
    }

    /// Drops the key of a chunk; false if there is none.
    pub fn drop_key(&mut self, slot: usize) -> bool {
        if !self.has(slot) {
            return false;
        }
        let behind = self.split_off(slot + 1);
        drop(self.split_off(slot));
        self.push(Node { count: 1, secret: None });
        self.append(behind);
        true
    }

    /// Takes the keys of the chunks from a place on.
    #[must_use]
    pub fn split_off(&mut self, slot: usize) -> Bucket {
        let mut behind = Vec::new();
        while self.len > slot
            && let Some(node) = self.nodes.pop()
        {
            self.len -= node.count;
            let Node { count, secret } = node;
            if self.len >= slot {
                behind.push(Node { count, secret });
                continue;
            }
            match secret {
                None => {
                    let before = slot - self.len;
                    self.push(Node { count: before, secret: None });
                    behind.push(Node { count: count - before, secret: None });
                }
                Some(secret) => {
                    let (left, (first, second)) = (left_of(count), halves(&secret));
                    self.push(Node { count: left, secret: Some(first) });
                    self.push(Node { count: count - left, secret: Some(second) });
                }
            }
        }
        let mut out = Bucket::default();
        behind.into_iter().rev().for_each(|node| out.push(node));
        out
    }

    /// Adds the keys of the chunks that follow.
    pub fn append(&mut self, more: Bucket) {
        more.nodes.into_iter().for_each(|node| self.push(node));
    }

    /// Takes apart the keys of the chunks of which `is_second` says so, and those before them in the tuple. Chunks whose keys were dropped
    /// are left out.
    #[must_use]
    pub fn parted(mut self, is_second: impl Fn(usize) -> bool) -> (Bucket, Bucket) {
        let mut pieces = Vec::new();
        while let Some(last) = self.len.checked_sub(1) {
            let side = is_second(last);
            let start = (0..last).rev().find(|slot| is_second(*slot) != side).map_or(0, |slot| slot + 1);
            pieces.push((side, self.split_off(start).alive()));
        }
        let (mut first, mut second) = (Bucket::default(), Bucket::default());
        for (side, piece) in pieces.into_iter().rev() {
            if side { second.append(piece) } else { first.append(piece) }
        }
        (first, second)
    }

    /// Leaves out the chunks whose keys were dropped.
    #[must_use]
    pub fn alive(self) -> Bucket {
        let mut out = Bucket::default();
        self.nodes.into_iter().filter(|node| node.secret.is_some()).for_each(|node| out.push(node));
        out
    }

    fn push(&mut self, node: Node) {
        self.len += node.count;
        match self.nodes.last_mut() {
            Some(last) if last.secret.is_none() && node.secret.is_none() => last.count += node.count,
            _ => self.nodes.push(node),
        }
    }

    /// Returns the text of the bucket, for [`OwnerKey::seal`](crate::seal::OwnerKey::seal).
    ///
    /// # Errors
    /// [`FormatError::Limit`] and [`FormatError::Malformed`] for a number of chunks that no pack has.
    pub fn to_text(&self) -> Result<Zeroizing<Vec<u8>>> {
        check_pack_len(self.len as u64)?;
        let mut out = Writer::with_capacity(3 + self.nodes.len() * 34);
        out.u8(VERSION).u16(self.len as u16);
        for Node { count, secret } in &self.nodes {
            match secret {
                Some(secret) => out.u16(*count as u16).raw(secret.expose()),
                None => out.u16(*count as u16 | DROPPED),
            };
        }
        Ok(Zeroizing::new(out.into_vec()))
    }

    /// Reads the text of a bucket.
    ///
    /// # Errors
    /// [`FormatError::Limit`], [`FormatError::Truncated`], [`FormatError::Malformed`], [`FormatError::NewerVersion`].
    pub fn from_text(text: &[u8]) -> Result<Bucket> {
        let mut reader = Reader::new(WHAT, text);
        let version = reader.u8()?;
        reader.version(version.into(), VERSION.into())?;
        let len = usize::from(reader.u16()?);
        check_pack_len(len as u64)?;
        let mut bucket = Bucket::default();
        while bucket.len < len {
            let count = reader.u16()?;
            let is_dropped = count & DROPPED != 0;
            let count = usize::from(count & !DROPPED);
            let follows_dropped = bucket.nodes.last().is_some_and(|last| last.secret.is_none());
            if count == 0 || count > len - bucket.len || is_dropped && follows_dropped {
                return Err(reader.malformed("a count of keys that no writer gives"));
            }
            let secret = if is_dropped { None } else { Some(Secret::new(reader.array()?)) };
            bucket.push(Node { count, secret });
        }
        reader.finish()?;
        Ok(bucket)
    }
}

/// How many of the keys grow from the first half: the highest power of two below their number.
fn left_of(count: usize) -> usize {
    count.next_power_of_two() / 2
}

/// Returns the two secrets that one gives.
fn halves(secret: &Secret) -> (Secret, Secret) {
    let mut both = Zeroizing::new([[0; 32]; 2]);
    blake3::Hasher::new_derive_key(CONTEXT).update(secret.expose()).finalize_xof().fill(both.as_flattened_mut());
    (Secret::new(both[0]), Secret::new(both[1]))
}

fn leaves(secret: Secret, count: usize, out: &mut Vec<Option<Secret>>) {
    if count <= 1 {
        out.push(Some(secret));
        return;
    }
    let (left, (first, second)) = (left_of(count), halves(&secret));
    leaves(first, left, out);
    leaves(second, count - left, out);
}

fn check_len(found: u64) -> Result<()> {
    match found {
        found if found > PACK_CHUNKS_MAX as u64 => {
            Err(FormatError::Limit { what: WHAT, found, limit: PACK_CHUNKS_MAX as u64 })
        }
        _ => Ok(()),
    }
}

fn check_pack_len(found: u64) -> Result<()> {
    match found {
        0 => Err(FormatError::Malformed { what: WHAT, reason: "no chunks" }),
        found => check_len(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grown(count: usize) -> Bucket {
        Bucket::grow(Secret::new([7; 32]), count).expect("few enough")
    }

    fn exposed(bucket: &Bucket) -> Vec<Option<[u8; 32]>> {
        bucket.keys().iter().map(|key| key.as_ref().map(|key| *key.expose())).collect()
    }

    fn read(bucket: &Bucket) -> Bucket {
        let text = bucket.to_text().expect("as many as a pack has");
        let read = Bucket::from_text(&text).expect("just written");
        assert_eq!(*read.to_text().expect("the same"), *text);
        read
    }

    #[test]
    fn keys_are_taken_apart_by_chunk_and_stay_what_they_are() {
        for count in [1, 2, 5, 100] {
            let all = exposed(&grown(count));
            for every in [1, 2, 3, 1000] {
                let mut bucket = grown(count);
                let is_dropped = |slot: usize| count > 1 && slot == count / 2;
                (0..count).filter(|slot| is_dropped(*slot)).for_each(|slot| assert!(bucket.drop_key(slot)));
                let is_second = |slot: usize| slot.is_multiple_of(every);
                let of = |side: bool| -> Vec<_> {
                    (0..count)
                        .filter(|slot| is_second(*slot) == side && !is_dropped(*slot))
                        .map(|slot| all[slot])
                        .collect()
                };
                let (first, second) = bucket.parted(is_second);
                assert_eq!((exposed(&first), exposed(&second)), (of(false), of(true)), "{count} {every}");
            }
        }
    }

    #[test]
    fn keys_differ_and_are_the_same_wherever_they_are_cut_apart() {
        for count in [1, 2, 3, 5, 8, 157, 1000, PACK_CHUNKS_MAX] {
            let all = exposed(&grown(count));
            let kinds: std::collections::HashSet<_> = all.iter().flatten().collect();
            assert_eq!((all.len(), kinds.len()), (count, count));
            for at in [0, 1, count / 3, count / 2, count - 1, count] {
                let mut first = grown(count);
                let second = first.split_off(at);
                assert_eq!((first.len(), second.len()), (at, count - at));
                assert_eq!((exposed(&first), exposed(&second)), (all[..at].to_vec(), all[at..].to_vec()), "{at}");
                first.append(second);
                assert_eq!(exposed(&first), all);
            }
        }
    }

    #[test]
    fn a_dropped_key_is_gone_and_the_others_keep_their_places() {
        let all = exposed(&grown(20));
        let mut bucket = grown(20);
        let mut left = all.clone();
        for slot in [7, 0, 19, 8, 6, 12] {
            assert!(bucket.has(slot) && bucket.drop_key(slot));
            assert!(!bucket.has(slot) && !bucket.drop_key(slot));
            left[slot] = None;
            assert_eq!(exposed(&read(&bucket)), left);
            let text = bucket.to_text().expect("twenty");
            let dropped = all[slot].expect("there before");
            assert!(!text.windows(32).any(|bytes| bytes == dropped));
        }
        assert!(!bucket.drop_key(20) && !bucket.has(20));
        assert_eq!(exposed(&bucket.alive()), left.into_iter().filter(Option::is_some).collect::<Vec<_>>());
    }

    /// Every secret that a bucket says, and all that grow from them.
    fn told(bucket: &Bucket) -> Vec<[u8; 32]> {
        let mut out = Vec::new();
        let mut waiting: Vec<(Secret, usize)> =
            bucket.nodes.iter().filter_map(|node| Some((node.secret.as_ref()?.duplicate(), node.count))).collect();
        while let Some((secret, count)) = waiting.pop() {
            out.push(*secret.expose());
            // Also below single keys: whoever has one may try.
            let (first, second) = halves(&secret);
            out.extend([*first.expose(), *second.expose()]);
            if count > 1 {
                waiting.extend([(first, left_of(count)), (second, count - left_of(count))]);
            }
        }
        out
    }

    #[test]
    fn no_secret_that_is_left_gives_a_dropped_key() {
        let all = exposed(&grown(33));
        for (slot, key) in all.iter().flatten().enumerate() {
            let mut bucket = grown(33);
            assert!(bucket.drop_key(slot));
            assert!(!told(&bucket).contains(key), "{slot}");
            let text = bucket.to_text().expect("33");
            assert!(text.len() <= 3 + 2 + 6 * 34, "{} bytes", text.len());
        }
    }

    #[test]
    fn counts_that_no_pack_has_are_refused() {
        assert!(matches!(Bucket::grow(Secret::new([1; 32]), PACK_CHUNKS_MAX + 1), Err(FormatError::Limit { .. })));
        assert!(matches!(grown(0).to_text(), Err(FormatError::Malformed { .. })));
        let mut bucket = grown(PACK_CHUNKS_MAX);
        assert!(bucket.to_text().is_ok());
        bucket.append(grown(1));
        assert!(matches!(bucket.to_text(), Err(FormatError::Limit { .. })));
        let mut bucket = grown(3);
        bucket.drop_key(1);
        let text = bucket.to_text().expect("three").to_vec();
        let with = |at: usize, bytes: &[u8]| {
            let mut text = text.clone();
            text[at..at + bytes.len()].copy_from_slice(bytes);
            Bucket::from_text(&text).map(|read| read.len())
        };
        assert_eq!(with(0, &[1]), Ok(3));
        assert!(matches!(with(0, &[2]), Err(FormatError::NewerVersion { .. })));
        assert!(matches!(with(1, &[0; 2]), Err(FormatError::Malformed { .. })));
        assert!(matches!(with(1, &[2]), Err(FormatError::Malformed { .. })));
        assert!(matches!(with(1, &[4]), Err(FormatError::Truncated { .. })));
        assert!(matches!(with(1, &[0xff; 2]), Err(FormatError::Limit { .. })));
        assert!(matches!(with(3, &[0]), Err(FormatError::Malformed { .. })));
        assert!(matches!(with(37, &[0]), Err(FormatError::Malformed { .. })));
    }
}
