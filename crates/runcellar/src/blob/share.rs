//! What owners of manifests have alone, and what they share with others.

use std::collections::{HashMap, HashSet};

use runcellar_format::record::{Body, Content, Manifest};
use runcellar_format::seal::Kind;
use runcellar_format::{ChunkId, ObjectId};

use super::live::each_live_chunk;
use super::pack::PackData;
use super::pool::Pool;
use crate::db::ReadTx;
use crate::keys::Keyring;
use crate::{Error, Result};

/// Chunks, and their bytes as they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Weight {
    pub(crate) chunks: u64,
    pub(crate) bytes: u64,
}

impl Weight {
    fn add(&mut self, stored_len: u32) {
        self.chunks += 1;
        self.bytes += u64::from(stored_len);
    }
}

/// What some owners of manifests have of a pool.
pub(crate) struct Holdings {
    /// Chunks that nobody else has, and how many bytes each takes.
    alone: HashMap<ChunkId, u32>,
    /// What others have, too.
    pub(crate) shared: Weight,
}

/// Returns the chunks of a pool that manifests of some owners name. A manifest that cannot be read names none that are
/// known: what only it had is given back by the next collection.
pub(crate) fn chunks_of(
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    pool: &Pool,
    owners: &HashSet<ObjectId>,
) -> Result<HashSet<ChunkId>> {
    let (mut chunks, positions) = (HashSet::new(), pool.class.positions());
    for owner in owners {
        for row in tx.objects_within(Kind::Manifest, *owner, positions.start, positions.end - 1)? {
            let part = tx.open_object(keyring, &row).and_then(|body| {
                Manifest::from_body(&body).map_err(|cause| Error::format(format_args!("manifest {owner}"), cause))
            });
            for entry in part.map(|part| part.entries).unwrap_or_default() {
                if let Content::File(file) = entry.content {
                    chunks.extend(file.chunks.iter().map(|(_, id)| ChunkId(*id)));
                }
            }
        }
    }
    Ok(chunks)
}

impl Holdings {
    pub(crate) fn of(tx: &ReadTx<'_>, keyring: &Keyring, pool: &Pool, owners: &HashSet<ObjectId>) -> Result<Holdings> {
        let chunks = chunks_of(tx, keyring, pool, owners)?;
        let mut others = HashSet::new();
        each_live_chunk(tx, keyring, pool, owners, &mut |id| {
            if chunks.contains(&id) {
                others.insert(id);
            }
        })?;
        let mut found = Holdings { alone: HashMap::new(), shared: Weight::default() };
        for pack in tx.owners_sealed_under(Kind::Pack, pool.key.id())? {
            let Some(data) = PackData::load(tx, keyring, &pool.key, pack)? else { continue };
            for (slot, entry) in data.entries.iter().enumerate() {
                if !chunks.contains(&entry.id) || !data.bucket.has(slot) {
                    continue;
                }
                match others.contains(&entry.id) {
                    true => found.shared.add(entry.stored_len),
                    false => drop(found.alone.insert(entry.id, entry.stored_len)),
                }
            }
        }
        Ok(found)
    }

    /// Returns what of these chunks nobody else has.
    pub(crate) fn weigh(&self, chunks: &HashSet<ChunkId>) -> Weight {
        let mut weight = Weight::default();
        chunks.iter().filter_map(|chunk| self.alone.get(chunk)).for_each(|bytes| weight.add(*bytes));
        weight
    }

    /// Returns all that nobody else has.
    pub(crate) fn weigh_all(&self) -> Weight {
        let mut weight = Weight::default();
        self.alone.values().for_each(|bytes| weight.add(*bytes));
        weight
    }
}
