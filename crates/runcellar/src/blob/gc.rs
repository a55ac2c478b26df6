//! Giving back what nobody refers to: keys of chunks at once, their bytes when a pack is mostly dead.
//!
//! A chunk without a key cannot be read again, whatever copies of its pack there are. A crash at any point leaves bytes that
//! nobody refers to, which the next collection removes.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use runcellar_format::blob::{self, Bucket, PACK_BYTES_TARGET, PACK_CHUNKS_MAX, PACK_HEADER_BYTES};
use runcellar_format::record::{Change, ChangeKind};
use runcellar_format::seal::{Kind, Sealed};
use runcellar_format::{ChunkId, ObjectId};
use zeroize::Zeroizing;

use super::apart::at_home;
use super::away::{is_away, not_away};
use super::hold::is_put_under_way;
use super::live::each_live_chunk;
use super::pack::{PackData, pack_path};
use super::pool::{Class, Pool, project_epoch_key};
use super::suspects;
use crate::db::{Cover, ObjectKey, ReadTx, WriteTx};
use crate::keys::Purpose;
use crate::workspace::{Inner, PACKS, TMP};
use crate::{Error, ErrorKind, Result, Workspace, io};

/// Packs and files that nobody refers to are left alone for so long: somebody may be about to.
pub(super) const GRACE_US: i64 = 24 * 3600 * 1_000_000;
/// Also by who asks to collect at once. What puts that are under way wrote is left alone however long they take.
const GRACE_OF_FILES_US: i64 = 10 * 60 * 1_000_000;
/// A pack of which less than one part in this many is in use is written anew without the rest.
const WORTH_KEEPING: u64 = 2;

/// What a collection did, or would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// Chunks whose keys were dropped.
    pub chunks: u64,
    /// Packs that were removed.
    pub packs: u64,
    /// Bytes that the disk has back.
    pub bytes: u64,
    /// Files without an owner that were removed.
    pub files: u64,
    /// Runs that `rm` hid more than 30 days ago, which were erased.
    pub erased: u64,
    /// Runs beyond their retention, which were hidden.
    pub hidden: u64,
}

/// How to collect.
#[derive(Debug, Clone, Copy, Default)]
pub struct CollectOptions {
    /// Do not wait a day with what may have been left by something that is still at work. A put that is under way finds out
    /// and stores again what went.
    pub now: bool,
}

impl Workspace {
    /// Erases runs that `rm` hid more than 30 days ago, and what retention sets an end to ([`Workspace::expiring`] says
    /// what); drops the keys of chunks that nothing refers to, and gives their space back. Row groups that were stored in haste
    /// are written anew at the best level.
    ///
    /// # Errors
    /// If a manifest cannot be read, or the workspace cannot be written.
    pub fn collect_garbage(&self, options: CollectOptions) -> Result<Collected> {
        let inner = &*self.inner;
        let grace = if options.now { 0 } else { GRACE_US };
        let mut collected = Collected::default();
        self.expire(&mut collected)?;
        let projects = inner.read(|tx, _| tx.object_ids(Kind::Project))?;
        for project in projects {
            for class in Class::ALL {
                let pool = inner.read(|tx, keyring| Pool::find(tx, keyring, project, class))?;
                let Some(pool) = pool else { continue };
                collect_pool(inner, &pool, grace, &mut collected)?;
            }
        }
        sweep(inner, grace.max(GRACE_OF_FILES_US), &mut collected)?;
        suspects::forget_lost(inner)?;
        crate::ingest::compact_all(inner)?;
        Ok(collected)
    }
}

fn collect_pool(inner: &Inner, pool: &Pool, grace: i64, collected: &mut Collected) -> Result<()> {
    let age = |pack: ObjectId| age_us(inner, &pack_path(&inner.path, pack));
    let (thin, gone, home) = inner.write(None, |tx| {
        let mut live = HashSet::new();
        each_live_chunk(tx, tx.keyring, pool, &HashSet::new(), &mut |id| {
            live.insert(id);
        })?;
        let (mut thin, mut gone) = (Vec::new(), Vec::new());
        for pack in tx.owners_sealed_under(Kind::Pack, pool.key.id())? {
            let mut data = match PackData::load(tx, tx.keyring, &pool.key, pack) {
                Ok(Some(data)) => data,
                Ok(None) => continue,
                Err(error) if error.kind() == ErrorKind::Damaged => {
                    inner.monitor.warn(&format!("{error}: left as it is; check says more"));
                    continue;
                }
                Err(error) => return Err(error),
            };
            if age(pack).is_some_and(|age| age < grace) {
                continue;
            }
            collected.chunks += drop_keys(tx, pool, &mut data, &|id| !live.contains(&id))?;
            let bytes_of = |alive: bool| -> u64 {
                let slots = data.entries.iter().enumerate();
                let chosen = slots.filter(|(slot, _)| data.bucket.has(*slot) == alive);
                chosen.map(|(_, entry)| u64::from(entry.stored_len)).sum()
            };
            let (alive, dead) = (bytes_of(true), bytes_of(false));
            if alive == 0 {
                remove_rows(tx, pool, pack)?;
                gone.push(pack);
            } else if alive * WORTH_KEEPING < alive + dead && !is_away(tx, pack)? {
                thin.push(pack);
            }
        }
        let home = if thin.is_empty() { HashSet::new() } else { at_home(tx, tx.keyring, pool)? };
        Ok((thin, gone, home))
    })?;
    pool.forget();
    remove_files(inner, &gone, collected);
    repack(inner, pool, thin, &home, collected)
}

/// Drops the keys of a pack's chunks that are dead; returns how many.
pub(super) fn drop_keys(
    tx: &mut WriteTx<'_>,
    pool: &Pool,
    data: &mut PackData,
    is_dead: &dyn Fn(ChunkId) -> bool,
) -> Result<u64> {
    let mut dropped = 0;
    for (slot, entry) in data.entries.iter().enumerate() {
        if is_dead(entry.id) && data.bucket.drop_key(slot) {
            dropped += 1;
        }
    }
    if dropped > 0 {
        // The others under a new key: whoever has the old bucket cannot open it once its key has gone.
        let wrapping = project_epoch_key(tx, tx.keyring, pool.project)?;
        let old = tx.keys_of(data.id)?;
        change(tx, pool, data.id)?;
        let key = tx.draw_key(data.id, Purpose::Bucket, &wrapping)?;
        let bucket = data.bucket.to_text().map_err(|cause| Error::format(format_args!("pack {}", data.id), cause))?;
        tx.put(ObjectKey::new(Kind::Bucket, data.id, 0), None, &key, &bucket, Cover::Root)?;
        for key in old {
            tx.remove_key(key.id)?;
        }
        data.version = tx.version();
    }
    Ok(dropped)
}

/// Drops the keys of chunks that something had which was removed, unless something else has them. Returns the packs that
/// have none left and went: their files are to be removed after the commit.
pub(crate) fn drop_chunks(tx: &mut WriteTx<'_>, pool: &Pool, mut chunks: HashSet<ChunkId>) -> Result<Vec<ObjectId>> {
    each_live_chunk(tx, tx.keyring, pool, &HashSet::new(), &mut |id| {
        chunks.remove(&id);
    })?;
    let is_dead = |id: ChunkId| chunks.contains(&id);
    let mut gone = Vec::new();
    for pack in tx.owners_sealed_under(Kind::Pack, pool.key.id())? {
        let Some(mut data) = PackData::load(tx, tx.keyring, &pool.key, pack)? else { continue };
        let dropped = drop_keys(tx, pool, &mut data, &is_dead)?;
        if dropped > 0 && (0..data.bucket.len()).all(|slot| !data.bucket.has(slot)) {
            remove_rows(tx, pool, pack)?;
            gone.push(pack);
        }
    }
    pool.forget();
    Ok(gone)
}

/// Drops the keys of a pack's chunks but for these; without any left it goes.
pub(crate) fn keep_only(tx: &mut WriteTx<'_>, pool: &Pool, pack: ObjectId, chunks: &HashSet<ChunkId>) -> Result<()> {
    let Some(mut data) = PackData::load(tx, tx.keyring, &pool.key, pack)? else { return Ok(()) };
    match data.entries.iter().enumerate().any(|(slot, entry)| data.bucket.has(slot) && chunks.contains(&entry.id)) {
        true => drop(drop_keys(tx, pool, &mut data, &|chunk| !chunks.contains(&chunk))?),
        false => remove_rows(tx, pool, pack)?,
    }
    pool.forget();
    Ok(())
}

pub(super) fn change(tx: &mut WriteTx<'_>, pool: &Pool, pack: ObjectId) -> Result<()> {
    let clock = tx.next_clock();
    let extra = vec![(super::PACKS_CHANGED_FIELD, pack.0.to_vec())];
    let change = Change { clock, kind: ChangeKind::AddPacks, object: pool.project.0, fields: Vec::new(), extra };
    tx.change(&pool.key, &change)
}

/// Removes what the database has of a pack, its keys too.
pub(crate) fn remove_rows(tx: &mut WriteTx<'_>, pool: &Pool, pack: ObjectId) -> Result<()> {
    change(tx, pool, pack)?;
    tx.remove_object(ObjectKey::new(Kind::Pack, pack, 0))?;
    tx.remove_object(ObjectKey::new(Kind::Bucket, pack, 0))?;
    not_away(tx, pack)?;
    for key in tx.keys_of(pack)? {
        tx.remove_key(key.id)?;
    }
    Ok(())
}

/// Removes files of packs that the database does not know any more.
pub(crate) fn remove_files(inner: &Inner, packs: &[ObjectId], collected: &mut Collected) {
    for pack in packs {
        let path = pack_path(&inner.path, *pack);
        let bytes = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        match inner.io.remove(&path) {
            Ok(()) => {
                collected.packs += 1;
                collected.bytes += bytes;
            }
            // It was evicted.
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => collected.packs += 1,
            // The next collection finds it again.
            Err(cause) => inner.monitor.warn(&format!("pack {pack} is left: {cause}")),
        }
    }
}

/// Chunks for one new pack, as they are: sealed under the keys that they have.
#[derive(Default)]
struct Part {
    entries: Vec<blob::Entry>,
    bucket: Bucket,
    bytes: Vec<u8>,
}

/// New packs for what is alive of old ones: one for most, and one for what stays at home.
#[derive(Default)]
struct Fresh {
    parts: [Part; 2],
    from: Vec<(ObjectId, (runcellar_format::DeviceId, u64))>,
}

/// Writes what is alive of some packs into full ones, chunks of `home` into others than the rest.
pub(super) fn repack(
    inner: &Inner,
    pool: &Pool,
    thin: Vec<ObjectId>,
    home: &HashSet<ChunkId>,
    collected: &mut Collected,
) -> Result<()> {
    let mut fresh = Fresh::default();
    for pack in thin {
        // Somebody else may have written it anew since.
        let old = inner.read(|tx, keyring| PackData::load(tx, keyring, &pool.key, pack))?;
        let Some(old) = old else { continue };
        let mut alive: [Vec<usize>; 2] = Default::default();
        let slots = old.entries.iter().enumerate().filter(|(slot, _)| old.bucket.has(*slot));
        slots.for_each(|(slot, entry)| alive[usize::from(home.contains(&entry.id))].push(slot));
        let len = |slots: &[usize]| -> usize {
            slots.iter().filter_map(|slot| old.entries.get(*slot)).map(|entry| entry.stored_len as usize).sum()
        };
        let is_full = fresh.parts.iter().zip(&alive).any(|(part, slots)| {
            part.bytes.len() + len(slots) + PACK_HEADER_BYTES > PACK_BYTES_TARGET
                || part.entries.len() + slots.len() > PACK_CHUNKS_MAX
        });
        if is_full {
            publish(inner, pool, std::mem::take(&mut fresh), collected)?;
        }
        let before = fresh.parts.each_ref().map(|part| part.bytes.len());
        let mut parts = fresh.parts.iter_mut().zip(&alive);
        if let Err(error) = parts.try_for_each(|(part, slots)| read_alive(inner, &old, slots, &mut part.bytes)) {
            fresh.parts.iter_mut().zip(before).for_each(|(part, before)| part.bytes.truncate(before));
            inner.monitor.warn(&format!("pack {} stays as it is: {error}", old.id));
            continue;
        }
        fresh.from.push((old.id, old.version));
        for (part, slots) in fresh.parts.iter_mut().zip(&alive) {
            part.entries.extend(slots.iter().filter_map(|slot| old.entries.get(*slot)));
        }
        let is_home = |slot: usize| old.entries.get(slot).is_some_and(|entry| home.contains(&entry.id));
        let (first, second) = old.bucket.parted(is_home);
        fresh.parts.iter_mut().zip([first, second]).for_each(|(part, bucket)| part.bucket.append(bucket));
    }
    if fresh.from.is_empty() { Ok(()) } else { publish(inner, pool, fresh, collected) }
}

/// Appends the sealed bytes of chunks of a pack.
fn read_alive(inner: &Inner, pack: &PackData, alive: &[usize], out: &mut Vec<u8>) -> Result<()> {
    let path = pack_path(&inner.path, pack.id);
    let failed = |cause| Error::io("read pack", &path, cause);
    let file = inner.io.open(&path).map_err(failed)?;
    for slot in alive {
        let (Some(entry), Some(offset)) = (pack.entries.get(*slot), pack.offsets.get(*slot)) else { continue };
        let sealed = io::read_range(&*file, *offset, entry.stored_len as usize).map_err(failed)?;
        if sealed.len() != entry.stored_len as usize {
            return Err(Error::damaged(format!("{}: ends early", path.display())));
        }
        out.extend_from_slice(&sealed);
    }
    Ok(())
}

/// A new pack whose file is there, and of which nobody knows yet.
struct Written {
    id: ObjectId,
    directory: Sealed,
    bucket: Zeroizing<Vec<u8>>,
    bytes: u64,
}

/// Writes the file of a new pack.
fn write(inner: &Inner, pool: &Pool, part: Part) -> Result<Written> {
    let Part { entries, bucket, bytes } = part;
    let id = ObjectId(io::random(&*inner.io)?);
    let failed = |cause| Error::format(format_args!("pack {id}"), cause);
    let (tail, directory): (Vec<u8>, Sealed) =
        blob::finish(&pool.keys, &pool.key, io::random(&*inner.io)?, id, &entries).map_err(failed)?;
    let bucket = bucket.to_text().map_err(failed)?;
    let whole = [&blob::header(id)[..], &bytes, &tail].concat();
    let temporary = inner.path.join(TMP).join(format!("{id}.pack"));
    let path = pack_path(&inner.path, id);
    let parent = path.parent().map_or_else(PathBuf::new, Path::to_owned);
    io::create_dir_durable(&*inner.io, &parent).map_err(|cause| Error::io("create", &parent, cause))?;
    io::replace(&*inner.io, &path, &temporary, &whole).map_err(|cause| Error::io("write pack", &path, cause))?;
    Ok(Written { id, directory, bucket, bytes: whole.len() as u64 })
}

/// Writes new packs and puts them in the place of the old ones, unless these were changed meanwhile.
fn publish(inner: &Inner, pool: &Pool, fresh: Fresh, collected: &mut Collected) -> Result<()> {
    let Fresh { parts, from } = fresh;
    let parts = parts.into_iter().filter(|part| !part.entries.is_empty());
    let written = parts.map(|part| write(inner, pool, part)).collect::<Result<Vec<_>>>()?;
    let is_done = inner.write(None, |tx| {
        for (old, version) in &from {
            let row = tx.object(ObjectKey::new(Kind::Bucket, *old, 0))?;
            if row.is_none_or(|row| (row.device, row.seq) != *version) {
                return Ok(false);
            }
        }
        let wrapping = project_epoch_key(tx, tx.keyring, pool.project)?;
        for Written { id, directory, bucket, .. } in &written {
            change(tx, pool, *id)?;
            let key = tx.draw_key(*id, Purpose::Bucket, &wrapping)?;
            tx.put(ObjectKey::new(Kind::Bucket, *id, 0), None, &key, bucket, Cover::Root)?;
            tx.put_sealed(ObjectKey::new(Kind::Pack, *id, 0), directory)?;
        }
        for (old, _) in &from {
            remove_rows(tx, pool, *old)?;
        }
        Ok(true)
    })?;
    pool.forget();
    if !is_done {
        // Somebody drops keys of these packs just now; the next collection finds them as they are then.
        let new: Vec<ObjectId> = written.iter().map(|pack| pack.id).collect();
        remove_files(inner, &new, &mut Collected::default());
        return Ok(());
    }
    let old: Vec<ObjectId> = from.into_iter().map(|(old, _)| old).collect();
    remove_files(inner, &old, collected);
    collected.bytes = collected.bytes.saturating_sub(written.iter().map(|pack| pack.bytes).sum());
    Ok(())
}

/// Removes files of packs that nobody knows, unless somebody is putting: then they may be about to be known.
fn sweep(inner: &Inner, grace: i64, collected: &mut Collected) -> Result<()> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause| Error::io("list", &path, cause)
    };
    let mut found = Vec::new();
    let mut list = |directory: &Path| -> Result<()> {
        for name in inner.io.list(directory).map_err(failed(directory))? {
            let id = name.to_str().and_then(|name| name.strip_suffix(".pack")).and_then(ObjectId::from_hex);
            found.extend(id.map(|id| (id, directory.join(&name))));
        }
        Ok(())
    };
    list(&inner.path.join(TMP))?;
    let packs = inner.path.join(PACKS);
    for name in inner.io.list(&packs).map_err(failed(&packs))? {
        let directory = packs.join(name);
        if directory.is_dir() {
            list(&directory)?;
        }
    }
    let is_of_nobody = |tx: &ReadTx<'_>, (id, path): &(ObjectId, PathBuf)| -> Result<bool> {
        let is_known = tx.object(ObjectKey::new(Kind::Pack, *id, 0))?.is_some()
            || tx.object(ObjectKey::new(Kind::Bucket, *id, 0))?.is_some();
        let is_named = *path == pack_path(&inner.path, *id);
        Ok(!(is_known && is_named) && age_us(inner, path).is_some_and(|age| age >= grace))
    };
    inner.read(|tx, _| {
        let mut kept = Vec::new();
        for one in std::mem::take(&mut found) {
            if is_of_nobody(tx, &one)? {
                kept.push(one);
            }
        }
        found = kept;
        Ok(())
    })?;
    if is_put_under_way(inner)? || found.is_empty() {
        return Ok(());
    }
    // Under the lock of a write: a put that is about to make its packs known looks for their files under it, too.
    inner.write(None, |tx| {
        for one in &found {
            let bytes = std::fs::metadata(&one.1).map_or(0, |metadata| metadata.len());
            if is_of_nobody(tx, one)? && inner.io.remove(&one.1).is_ok() {
                collected.files += 1;
                collected.bytes += bytes;
            }
        }
        Ok(())
    })
}

/// Returns how long ago a file was written last; none if that cannot be told.
fn age_us(inner: &Inner, path: &Path) -> Option<i64> {
    Some(inner.io.wall_us() - inner.io.modified_us(path).ok()?)
}
