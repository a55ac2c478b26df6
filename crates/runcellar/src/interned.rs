//! Texts that are held once and numbered: names of metrics, of which a run may have a million.
//!
//! They stand one after the other in pieces of fixed size, and are found by a hash table that is cut into shards: nothing
//! ever moves all of them at once, so that adding one never takes more than a fraction of a millisecond.

use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;

/// Bytes of a piece of text. A longer text has a piece of its own.
const PIECE_BYTES: usize = 64 << 10;
const FIRST_PIECE_BYTES: usize = 1 << 10;
/// Shards of the hash table: at a million texts one grows in tens of microseconds.
const SHARDS: usize = 256;

/// Where a text stands.
#[derive(Debug, Clone, Copy)]
struct Place {
    piece: u32,
    start: u32,
    len: u32,
}

/// A text in the hash table; its hash, so that growing does not read it.
#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u32,
    number: u32,
}

impl Entry {
    /// The upper bits choose the shard, so the lower ones must do for the place in it, and the table wants 64.
    fn spread(hash: u32) -> u64 {
        u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// Texts by number, from 0 in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    pieces: Vec<String>,
    places: Vec<Place>,
}

impl Texts {
    /// Returns how many there are.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.places.len()).unwrap_or(u32::MAX)
    }

    /// Returns the text of a number.
    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<&str> {
        let Place { piece, start, len } = *self.places.get(number as usize)?;
        self.pieces.get(piece as usize)?.get(start as usize..start as usize + len as usize)
    }

    /// Adds a text and returns its number; `None` if there is no more room.
    pub(crate) fn push(&mut self, text: &str) -> Option<u32> {
        let number = u32::try_from(self.places.len()).ok().filter(|number| *number < u32::MAX)?;
        let fits = self.pieces.last().is_some_and(|last| last.capacity() - last.len() >= text.len());
        if !fits {
            // The first one is small: most runs have a few dozen names.
            let bytes = if self.pieces.is_empty() { FIRST_PIECE_BYTES } else { PIECE_BYTES };
            self.pieces.push(String::with_capacity(bytes.max(text.len())));
        }
        let piece = u32::try_from(self.pieces.len() - 1).ok()?;
        let last = self.pieces.last_mut()?;
        let (start, len) = (u32::try_from(last.len()).ok()?, u32::try_from(text.len()).ok()?);
        last.push_str(text);
        self.places.push(Place { piece, start, len });
        Some(number)
    }
}

/// Texts that are found again, each of which has one number.
#[derive(Debug, Default)]
pub(crate) struct Interned {
    texts: Texts,
    shards: Vec<HashTable<Entry>>,
    hasher: RandomState,
}

impl Interned {
    /// Returns how many there are.
    pub(crate) fn len(&self) -> u32 {
        self.texts.len()
    }

    /// Returns the text of a number.
    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<&str> {
        self.texts.get(number)
    }

    /// Walks the texts from a number on.
    pub(crate) fn walk(&self, from: u32) -> impl Iterator<Item = (u32, &str)> {
        (from..self.len()).map_while(|number| Some((number, self.get(number)?)))
    }

    /// Returns the number of a text.
    pub(crate) fn find(&self, text: &str) -> Option<u32> {
        self.find_hashed(self.hash(text), text)
    }

    /// Returns the number of a text, which is the next one if it is new; `None` if there is no more room.
    pub(crate) fn add(&mut self, text: &str) -> Option<u32> {
        let hash = self.hash(text);
        if let Some(known) = self.find_hashed(hash, text) {
            return Some(known);
        }
        let number = self.texts.push(text)?;
        if self.shards.is_empty() {
            self.shards.resize_with(SHARDS, HashTable::new);
        }
        let shard = self.shards.get_mut(shard_of(hash))?;
        shard.insert_unique(Entry::spread(hash), Entry { hash, number }, |entry| Entry::spread(entry.hash));
        Some(number)
    }

    fn find_hashed(&self, hash: u32, text: &str) -> Option<u32> {
        let is = |entry: &Entry| entry.hash == hash && self.get(entry.number) == Some(text);
        self.shards.get(shard_of(hash))?.find(Entry::spread(hash), is).map(|entry| entry.number)
    }

    fn hash(&self, text: &str) -> u32 {
        (self.hasher.hash_one(text) >> 32) as u32
    }
}

fn shard_of(hash: u32) -> usize {
    (hash >> 24) as usize
}

const _: () = assert!(SHARDS == 1 << 8, "shard_of() takes the upper 8 of 32 bits");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_numbered_in_order_and_found_again() {
        let mut texts = Interned::default();
        assert_eq!((texts.find("a"), texts.get(0), texts.len()), (None, None, 0));
        let long = "x".repeat(2 * PIECE_BYTES);
        let all: Vec<String> =
            (0..50_000).map(|n| format!("metric/{n}")).chain(["".into(), long, "\u{e9}".into()]).collect();
        for (number, text) in (0..).zip(&all) {
            assert_eq!(texts.add(text), Some(number));
        }
        for (number, text) in (0..).zip(&all) {
            assert_eq!((texts.find(text), texts.get(number)), (Some(number), Some(text.as_str())));
            assert_eq!(texts.add(text), Some(number), "a text is held once");
        }
        assert_eq!(texts.len() as usize, all.len());
        assert!(texts.walk(49_999).map(|(_, text)| text).eq(all.iter().skip(49_999)));
        assert_eq!((texts.find("metric/50000"), texts.get(texts.len())), (None, None));
    }
}
