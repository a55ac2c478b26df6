//! Files of a run: its code and its media, listed in a manifest under a key of the run and class.

use std::sync::Arc;

use runcellar_format::ObjectId;
use runcellar_format::seal::{Kind, OwnerKey};

use super::get::{PackReader, Placed};
use super::manifest::{ManifestReader, ReadEntry, put_manifest};
use super::pool::{Class, Pool, project_epoch_key};
use super::put::{Entered, PutOptions, Source, put};
use crate::db::{ObjectKey, WriteTx};
use crate::workspace::Inner;
use crate::{Error, ErrorKind, Result};
use runcellar_format::record::Content;

/// How often content is put again because chunks that it relied on went meanwhile.
const PUTS_MAX: usize = 4;

/// Adds files to what a run has of a class; a path that it has already means the later one.
///
/// `sources` is in the order of manifests.
///
/// # Errors
/// [`ErrorKind::NotFound`] if the database does not know the run yet (its journal does), and as [`put`].
pub(crate) fn add_to_run(inner: &Inner, run: ObjectId, class: Class, sources: &[Source]) -> Result<()> {
    add_to_pool(inner, &pool_of_run(inner, run, class)?, run, sources)
}

/// Opens the pool of a run's files of a class, for what adds more than once.
///
/// # Errors
/// As [`add_to_run`].
pub(crate) fn pool_of_run(inner: &Inner, run: ObjectId, class: Class) -> Result<Pool> {
    pool_of_run_like(inner, run, class, None)
}

/// As [`pool_of_run`]; one that is made is like another, if one is given ([`Pool::find_or_make_like`]).
pub(crate) fn pool_of_run_like(inner: &Inner, run: ObjectId, class: Class, like: Option<&Pool>) -> Result<Pool> {
    inner.write(None, |tx| {
        let project = project_of(tx, run)?;
        Pool::find_or_make_like(tx, project, class, like)
    })
}

/// As [`add_to_run`], into the run's pool.
pub(crate) fn add_to_pool(inner: &Inner, pool: &Pool, run: ObjectId, sources: &[Source]) -> Result<()> {
    let class = pool.class;
    for _ in 0..PUTS_MAX {
        let mut all = sources.iter().cloned().map(Ok);
        let done = put(inner, pool, &mut all, None, PutOptions::default())?;
        let entered = inner.write(None, |tx| {
            if done.commit(tx, pool)? == Entered::Stale {
                return Ok(false);
            }
            add_manifest(tx, run, class, &done.manifest.parts)?;
            Ok(true)
        })?;
        done.committed(pool);
        if entered {
            return Ok(());
        }
    }
    let message = format!("{} of run {run}: what it shares with others is being removed all the time", class.name());
    Err(Error::new(ErrorKind::Busy, message))
}

/// Adds parts to a run's manifest of a class.
pub(crate) fn add_manifest(tx: &mut WriteTx<'_>, run: ObjectId, class: Class, parts: &[Vec<u8>]) -> Result<()> {
    let key = key_of(tx, run, class)?;
    let positions = class.positions();
    let taken = tx.positions(Kind::Manifest, run)?;
    let next = taken.into_iter().filter(|position| positions.contains(position)).max();
    put_manifest(tx, &key, run, next.map_or(positions.start, |last| last + 1), parts)
}

fn project_of(tx: &WriteTx<'_>, run: ObjectId) -> Result<ObjectId> {
    let row = tx.object(ObjectKey::new(Kind::Run, run, 0))?;
    let row = row.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("run {run}: not in the database yet")))?;
    let data = crate::ingest::data::RunData::without_series(tx, tx.keyring, &row)?;
    Ok(ObjectId(data.record.project))
}

/// Returns the key that seals a run's manifest of a class; it is drawn if there is none.
pub(crate) fn key_of(tx: &mut WriteTx<'_>, run: ObjectId, class: Class) -> Result<Arc<OwnerKey>> {
    let purpose = class.purpose_of_run();
    if let Some(key) = tx.owner_key(tx.keyring, run, purpose)? {
        return Ok(key);
    }
    let project = project_of(tx, run)?;
    let wrapping = project_epoch_key(tx, tx.keyring, project)?;
    tx.draw_key(run, purpose, &wrapping)
}

/// Reads what a run has of a class, in order of adding. Of what a device publishes parts may be missing: others publish these.
pub(crate) fn files_of_run(inner: &Inner, run: ObjectId, class: Class) -> Result<Vec<ReadEntry>> {
    let mut positions = inner.read(|tx, _| tx.positions(Kind::Manifest, run))?;
    positions.retain(|position| class.positions().contains(position));
    positions.sort_unstable();
    ManifestReader::new(inner, run, positions).collect()
}

/// Reads the content of one file of at most `limit` bytes into memory.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] if it is longer; damage.
pub(crate) fn read_file(inner: &Inner, pool: &Pool, entry: &ReadEntry, limit: u64) -> Result<Vec<u8>> {
    let path = String::from_utf8_lossy(&entry.entry.path).into_owned();
    let Content::File(file) = &entry.entry.content else {
        return Err(Error::invalid(format!("{path}: not a file")));
    };
    if file.size > limit {
        return Err(Error::invalid(format!("{path}: {} bytes, and at most {limit} are read", file.size)));
    }
    let placed = file.chunks.iter().map(|(number, id)| {
        Placed::find(inner, pool, entry.packs.get(*number as usize).copied(), runcellar_format::ChunkId(*id))
    });
    let placed = placed.collect::<Result<Vec<_>>>()?;
    let mut content = Vec::new();
    PackReader::new(inner, pool).read(&placed, &mut |bytes| {
        content.extend_from_slice(bytes);
        Ok(())
    })?;
    if content.len() as u64 != file.size {
        return Err(Error::damaged(format!("{path}: {} bytes where {} are listed", content.len(), file.size)));
    }
    Ok(content)
}
