//! Code and media of runs: read from the packs of the other workspace, and put into packs of this one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use runcellar_format::record::{Away, Body as _, Content, Manifest};
use runcellar_format::seal::Kind;
use runcellar_format::{ChunkId, ObjectId};

use crate::blob::{
    Class, Entered, Pool, PutOptions, ReadEntry, Source, StoredFile, Told, What, add_manifest, add_to_pool,
    files_of_run, path_order, pool_of_run_like, put,
};
use crate::db::ObjectKey;
use crate::ingest::data::RunData;
use crate::{Error, ErrorKind, Result, Workspace};

/// Bytes that are put at once: as many stand in a manifest that is written whole.
const BYTES_AT_ONCE: u64 = 256 << 20;
/// How often content is put again because chunks that it relied on went meanwhile.
const PUTS_MAX: usize = 4;

/// What became of the files of a run.
pub(super) enum Brought {
    /// So many were not here.
    Files(u64),
    /// They were erased here.
    StaysErased,
}

/// Brings in the files of a run and class that are not here.
pub(super) fn bring(into: &Workspace, other: &Workspace, run: ObjectId, class: Class) -> Result<Brought> {
    let theirs = files_of_run(&other.inner, run, class)?;
    if theirs.is_empty() {
        return Ok(Brought::Files(0));
    }
    if into.inner.read(|tx, keyring| tx.is_buried_in_part(keyring, run, class.purpose_of_run()))? {
        return Ok(Brought::StaysErased);
    }
    let mine = files_of_run(&into.inner, run, class)?;
    let known: HashSet<&[u8]> = mine.iter().map(|file| file.entry.path.as_slice()).collect();
    let mut new = theirs.into_iter().filter(|file| !known.contains(file.entry.path.as_slice())).peekable();
    if new.peek().is_none() {
        return Ok(Brought::Files(0));
    }
    let pool = other.inner.read(|tx, keyring| {
        let row = tx.object(ObjectKey::new(Kind::Run, run, 0))?;
        let row = row.ok_or_else(|| Error::damaged(format!("run {run}: its record is missing")))?;
        let project = ObjectId(RunData::without_series(tx, keyring, &row)?.record.project);
        Pool::find(tx, keyring, project, class)
    });
    let pool = pool?.ok_or_else(|| Error::damaged(format!("run {run}: the key of its {} is missing", class.name())))?;
    // Devices of one workspace name content alike, where one of them was the first to have some.
    let like = (into.inner.id == other.inner.id).then_some(&pool);
    let pool_here = Arc::new(pool_of_run_like(&into.inner, run, class, like)?);
    if let Some(there) = other.inner.stays_there()
        && pool_here.is_twin_of(&pool)
    {
        drop(new);
        return bring_list((into, &pool_here), (other, &pool), run, &there);
    }
    into.inner.read(|tx, keyring| pool_here.refresh(tx, keyring))?;
    let sources = sources((into, &pool_here), (other, &Arc::new(pool)), new);
    let count = sources.len() as u64;
    let mut batch = Vec::new();
    let mut bytes = 0;
    for (source, len) in sources {
        batch.push(source);
        bytes += len;
        if bytes >= BYTES_AT_ONCE {
            add_to_pool(&into.inner, &pool_here, run, &std::mem::take(&mut batch))?;
            bytes = 0;
        }
    }
    if !batch.is_empty() {
        add_to_pool(&into.inner, &pool_here, run, &batch)?;
    }
    Ok(Brought::Files(count))
}

/// Brings in what lists the files of a run that are not here; their content stays on a remote.
fn bring_list(
    (into, pool_here): (&Workspace, &Pool),
    (other, pool): (&Workspace, &Pool),
    run: ObjectId,
    there: &Away,
) -> Result<Brought> {
    let class = pool.class;
    let known: HashSet<Vec<u8>> =
        files_of_run(&into.inner, run, class)?.into_iter().map(|file| file.entry.path).collect();
    let named = |cause| Error::format(format_args!("{} of run {run}", class.name()), cause);
    let (mut parts, mut paths) = (Vec::new(), HashSet::new());
    other.inner.read(|tx, keyring| {
        let at = class.positions();
        for row in tx.objects_within(Kind::Manifest, run, at.start, at.end - 1)? {
            let mut part = Manifest::from_body(&tx.open_object(keyring, &row)?).map_err(named)?;
            part.entries.retain(|entry| !known.contains(&entry.path));
            paths.extend(part.entries.iter().map(|entry| entry.path.clone()));
            if !part.entries.is_empty() {
                parts.push(part.to_body().map_err(named)?);
            }
        }
        Ok(())
    })?;
    let told = Told::of_manifest(&other.inner, pool, run)?;
    into.inner.write(None, |tx| {
        told.adopt(tx, pool_here, there)?;
        add_manifest(tx, run, class, &parts)
    })?;
    Ok(Brought::Files(paths.len() as u64))
}

/// Puts files here again whose chunks are lost, from a device that names content in another way. They are listed here already, and
/// have the same chunks as before.
pub(crate) fn put_again(
    here: (&Workspace, &Arc<Pool>),
    other: (&Workspace, &Arc<Pool>),
    owner: ObjectId,
    lost: &HashSet<ChunkId>,
) -> Result<()> {
    let (inner, pool) = (&here.0.inner, here.1);
    let is_lost = |file: &ReadEntry| match &file.entry.content {
        Content::File(file) => file.chunks.iter().any(|(_, chunk)| lost.contains(&ChunkId(*chunk))),
        _ => false,
    };
    let mut mine = files_of_run(inner, owner, pool.class)?;
    mine.retain(is_lost);
    let lacking: HashSet<Vec<u8>> = mine.into_iter().map(|file| file.entry.path).collect();
    let mut theirs = files_of_run(&other.0.inner, owner, pool.class)?;
    theirs.retain(|file| lacking.contains(&file.entry.path));
    if theirs.is_empty() {
        return Ok(());
    }
    let sources = sources(here, other, theirs.into_iter());
    for _ in 0..PUTS_MAX {
        let mut all = sources.iter().map(|(source, _)| Ok(source.clone()));
        let done = put(inner, pool, &mut all, None, PutOptions::default())?;
        let entered = inner.write(None, |tx| done.commit(tx, pool))?;
        done.committed(pool);
        if entered == Entered::Yes {
            return Ok(());
        }
    }
    let message = format!("{} of {owner}: what it shares is being removed all the time", pool.class.name());
    Err(Error::new(ErrorKind::Busy, message))
}

/// Makes sources of what a manifest lists, in its order, each with its length. Of a path that stands twice the later counts.
fn sources(
    (into, pool_here): (&Workspace, &Arc<Pool>),
    (other, pool): (&Workspace, &Arc<Pool>),
    files: impl Iterator<Item = ReadEntry>,
) -> Vec<(Source, u64)> {
    let mut all: HashMap<Vec<u8>, (Source, u64)> = HashMap::new();
    for ReadEntry { entry, packs } in files {
        let path = entry.path.clone();
        let (what, len) = match entry.content {
            Content::File(file) => {
                // A file that goes on in another part.
                if file.offset > 0
                    && let Some((Source { what: What::Stored(known), .. }, _)) = all.get_mut(&path)
                {
                    known.add(&file, &packs);
                    continue;
                }
                let size = file.size;
                let stored = StoredFile::new(&other.inner, pool, &file, &packs);
                (What::Stored(stored.rather_from(&into.inner, pool_here)), size)
            }
            Content::Link(target) => (What::Link(target), 0),
            Content::Directory => (What::Directory, 0),
            Content::Reference(reference) => (What::Reference(reference), 0),
        };
        all.insert(path, (Source { path: entry.path, what, extra: entry.extra }, len));
    }
    let mut all: Vec<(Source, u64)> = all.into_values().collect();
    all.sort_by(|(one, _), (other, _)| path_order(&one.path, &other.path));
    all
}
