//! Packs in which damage was found: a put opens what it finds in them before it relies on it.
//!
//! Who finds a chunk damaged leaves an empty file in `suspects/`, named by the pack. It says nothing that must be believed: a
//! put looks for itself, and stores again what does not open. Then the key of the damaged chunk is dropped, so that all who
//! look for it where it was find the new one, and older versions are whole again.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use runcellar_format::seal::Kind;
use runcellar_format::{ChunkId, ObjectId};

use super::gc::drop_keys;
use super::pack::PackData;
use super::pool::Pool;
use crate::Result;
use crate::db::{ObjectKey, WriteTx};
use crate::workspace::{Inner, SUSPECTS};

/// Damaged chunks by the pack that they lie in.
pub(crate) type Damaged = HashMap<ObjectId, HashSet<ChunkId>>;

fn place(inner: &Inner, pack: ObjectId) -> PathBuf {
    inner.path.join(SUSPECTS).join(pack.to_string())
}

/// Returns the packs that are suspected.
pub(crate) fn suspects(inner: &Inner) -> HashSet<ObjectId> {
    // There is no folder before there was damage. What cannot be listed suspects nobody.
    let names = inner.io.list(&inner.path.join(SUSPECTS)).unwrap_or_default();
    names.iter().filter_map(|name| name.to_str().and_then(ObjectId::from_hex)).collect()
}

/// Remembers that damage was found in a pack, as far as this workspace can be written.
pub(crate) fn suspect(inner: &Inner, pack: ObjectId) {
    if inner.is_read_only().unwrap_or(true) {
        return;
    }
    // It is there already, or it is found again by whoever reads the pack next.
    let _ = inner.io.create_dir(&inner.path.join(SUSPECTS));
    let _ = inner.io.create_new(&place(inner, pack));
}

/// Forgets a pack: it is whole, or gone.
pub(crate) fn trust(inner: &Inner, pack: ObjectId) {
    // One that stays costs time, and nothing else.
    let _ = inner.io.remove(&place(inner, pack));
}

/// Forgets packs that are no longer there.
pub(super) fn forget_lost(inner: &Inner) -> Result<()> {
    for pack in suspects(inner) {
        if inner.read(|tx, _| tx.object(ObjectKey::new(Kind::Pack, pack, 0)))?.is_none() {
            trust(inner, pack);
        }
    }
    Ok(())
}

/// Drops the keys of damaged chunks, each of which lies whole in another pack.
pub(crate) fn give_up(tx: &mut WriteTx<'_>, pool: &Pool, damaged: &Damaged) -> Result<u64> {
    let mut dropped = 0;
    for (pack, chunks) in damaged {
        if let Some(mut data) = PackData::load(tx, tx.keyring, &pool.key, *pack)? {
            dropped += drop_keys(tx, pool, &mut data, &|id| chunks.contains(&id))?;
        }
    }
    Ok(dropped)
}
