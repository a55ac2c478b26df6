//! Which chunks a pool has, and in which packs: what tells new content from known.
//!
//! Sixteen bytes a chunk, whatever its size: half of a chunk's id, and the number of its pack. Who finds one asks the pack's
//! directory whether it is so.

use std::collections::{HashMap, HashSet};

use runcellar_format::ChunkId;
use runcellar_format::ObjectId;
use runcellar_format::seal::Kind;

use super::pack;
use super::pool::Pool;
use crate::db::{ObjectKey, ReadTx};
use crate::keys::Keyring;
use crate::{ErrorKind, Result};

/// Chunks that are looked up one by one before they are sorted in among the others.
const RECENT_MAX: usize = 1 << 16;

#[derive(Default)]
pub(super) struct Index {
    packs: Vec<ObjectId>,
    numbers: HashMap<ObjectId, u32>,
    /// By half of the id, then pack.
    sorted: Vec<(u64, u32)>,
    recent: HashMap<u64, Vec<u32>>,
    recent_count: usize,
}

fn half(id: ChunkId) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = id.0;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

impl Index {
    /// Returns the packs in which a chunk may be.
    pub(super) fn candidates(&self, id: ChunkId) -> Vec<ObjectId> {
        let half = half(id);
        let from = self.sorted.partition_point(|(known, _)| *known < half);
        let sorted = self.sorted.iter().skip(from).take_while(|(known, _)| *known == half).map(|(_, pack)| *pack);
        let recent = self.recent.get(&half).into_iter().flatten().copied();
        sorted.chain(recent).filter_map(|number| self.packs.get(number as usize).copied()).collect()
    }

    /// Takes in a pack.
    pub(super) fn add(&mut self, pack: ObjectId, chunks: impl IntoIterator<Item = ChunkId>) {
        let number = u32::try_from(self.packs.len()).unwrap_or(u32::MAX);
        if self.numbers.contains_key(&pack) {
            return;
        }
        self.packs.push(pack);
        self.numbers.insert(pack, number);
        for id in chunks {
            self.recent.entry(half(id)).or_default().push(number);
            self.recent_count += 1;
        }
        if self.recent_count > RECENT_MAX.max(self.sorted.len() / 8) {
            self.sort();
        }
    }

    fn sort(&mut self) {
        let recent = self.recent.drain().flat_map(|(half, packs)| packs.into_iter().map(move |pack| (half, pack)));
        self.sorted.extend(recent);
        self.sorted.sort_unstable();
        self.recent_count = 0;
    }

    /// Learns of packs that came and went since the last look.
    pub(super) fn refresh(&mut self, pool: &Pool, tx: &ReadTx<'_>, keyring: &Keyring) -> Result<()> {
        let there = tx.owners_sealed_under(Kind::Pack, pool.key.id())?;
        let now: HashSet<ObjectId> = there.iter().copied().collect();
        if self.packs.iter().any(|pack| !now.contains(pack)) {
            *self = Index::default();
        }
        for id in there {
            if self.numbers.contains_key(&id) {
                continue;
            }
            let Some(row) = tx.object(ObjectKey::new(Kind::Pack, id, 0))? else { continue };
            match pack::open_directory(keyring, &pool.key, &row) {
                Ok(directory) => self.add(id, directory.entries.iter().map(|entry| entry.id)),
                // What it has counts as not there: whoever needs it says so, and whoever puts it stores it again.
                Err(error) if error.kind() == ErrorKind::Damaged => self.add(id, []),
                Err(error) => return Err(error),
            }
        }
        self.sort();
        Ok(())
    }
}
