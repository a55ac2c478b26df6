//! Keeping apart what stays at home: a pack goes to a remote as a whole, so no chunk that only a run with the tag `local_only`
//! has may lie in one with chunks of other runs.
//!
//! A put stores a chunk once, so a run may come to share a pack with one that stays at home; and a run may be given the tag later.

use std::collections::HashSet;

use runcellar_format::record::RunRecord;
use runcellar_format::seal::Kind;
use runcellar_format::{ChunkId, ObjectId};

use super::gc::{Collected, repack};
use super::live::{each_live_chunk, owners_in, record};
use super::pack::PackData;
use super::pool::{Class, Pool};
use crate::Result;
use crate::db::ReadTx;
use crate::keys::Keyring;
use crate::workspace::Inner;
use crate::workspace::settings::LOCAL_ONLY;

/// Returns the chunks of a pool that only runs have which stay at home.
///
/// # Errors
/// If a manifest or record cannot be read.
pub(crate) fn at_home(tx: &ReadTx<'_>, keyring: &Keyring, pool: &Pool) -> Result<HashSet<ChunkId>> {
    let mut chunks = HashSet::new();
    // Artifacts belong to their project.
    if pool.class == Class::Artifacts {
        return Ok(chunks);
    }
    let (mut home, mut away) = (HashSet::new(), HashSet::new());
    for owner in owners_in(tx, keyring, pool)? {
        let run: RunRecord = record(tx, keyring, Kind::Run, owner)?;
        let stays = run.tags.iter().any(|tag| tag.name == LOCAL_ONLY);
        if stays {
            home.insert(owner)
        } else {
            away.insert(owner)
        };
    }
    if home.is_empty() {
        return Ok(chunks);
    }
    each_live_chunk(tx, keyring, pool, &away, &mut |id| {
        chunks.insert(id);
    })?;
    each_live_chunk(tx, keyring, pool, &home, &mut |id| {
        chunks.remove(&id);
    })?;
    Ok(chunks)
}

/// Returns which of some packs have chunks of `home` beside others.
///
/// # Errors
/// If a pack cannot be read.
pub(crate) fn mixed<'a>(
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    pool: &Pool,
    home: &HashSet<ChunkId>,
    packs: impl Iterator<Item = &'a ObjectId>,
) -> Result<HashSet<ObjectId>> {
    let mut found = HashSet::new();
    if home.is_empty() {
        return Ok(found);
    }
    for pack in packs {
        let Some(data) = PackData::load(tx, keyring, &pool.key, *pack)? else { continue };
        let mut alive = data.entries.iter().enumerate().filter(|(slot, _)| data.bucket.has(*slot));
        let Some((_, first)) = alive.next() else { continue };
        let stays = home.contains(&first.id);
        if alive.any(|(_, entry)| home.contains(&entry.id) != stays) {
            found.insert(*pack);
        }
    }
    Ok(found)
}

/// Writes packs anew, so that what stays at home lies in others than the rest.
///
/// # Errors
/// If the workspace cannot be read or written. A pack that is damaged stays as it is, and the monitor is told.
pub(crate) fn set_apart(inner: &Inner, project: ObjectId, class: Class, packs: Vec<ObjectId>) -> Result<()> {
    let found = inner.read(|tx, keyring| {
        let pool = Pool::find(tx, keyring, project, class)?;
        pool.map(|pool| at_home(tx, keyring, &pool).map(|home| (pool, home))).transpose()
    })?;
    let Some((pool, home)) = found else { return Ok(()) };
    repack(inner, &pool, packs, &home, &mut Collected::default())
}
