//! Packs and what the database knows of them: each is made whole from the other, as far as that goes. A pack file that
//! nothing can open is set aside in `quarantine/`, and never removed.
//!
//! What is done is what `check` said that could be: both ask [`crate::check::blobs`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use runcellar_format::blob::{self as format, PACK_BYTES_TARGET, PACK_HEADER_BYTES};
use runcellar_format::seal::Kind;
use runcellar_format::{ChunkId, ObjectId};

use super::{LeftWhy, RepairAction, RepairDone, RepairLeft, RepairReport};
use crate::blob::{self, Pool, pack_path};
use crate::check::Severity;
use crate::check::blobs::{self, Mend, Stranger, file_of};
use crate::db::{ObjectKey, WriteTx};
use crate::workspace::{Inner, QUARANTINE, SILENCE_US, TMP, file_system_now_us};
use crate::{Error, Result, io};

/// More than any pack has.
const PACK_FILE_BYTES_MAX: u64 = 2 * PACK_BYTES_TARGET as u64;

pub(super) fn repair(inner: &Inner, report: &mut RepairReport) -> Result<()> {
    let (mends, found) = blobs::mends(inner)?;
    let mut lost = BTreeSet::new();
    for mend in &mends {
        let (pack, action) = match mend {
            Mend::Row { row, .. } => (row.key.id, RepairAction::Rebuilt),
            Mend::File { pack, .. } => (*pack, RepairAction::Rewritten),
            Mend::Twins { pack, .. } => (*pack, RepairAction::Replaced),
            Mend::Lost { pack, .. } => {
                if inner.write(None, |tx| is_done(tx, inner, mend))? {
                    lost.insert(file_of(*pack));
                }
                continue;
            }
        };
        if inner.write(None, |tx| is_done(tx, inner, mend))? {
            report.done.push(done(action, file_of(pack)));
        }
    }
    set_aside(inner, &lost, report)?;
    let errors = found.problems.into_iter().filter(|problem| problem.severity == Severity::Error);
    let left = errors.filter(|problem| !problem.repairable).filter_map(|problem| problem.file);
    for file in left.collect::<BTreeSet<_>>().difference(&lost) {
        report.left.push(left_as(LeftWhy::Damaged, file.clone()));
    }
    Ok(())
}

fn done(action: RepairAction, file: String) -> RepairDone {
    RepairDone { action, file, run: None, host: None }
}

fn left_as(why: LeftWhy, file: String) -> RepairLeft {
    RepairLeft { why, file, run: None, host: None, claimed: false }
}

/// Mends one thing; false if it is not as it was found any more.
fn is_done(tx: &mut WriteTx<'_>, inner: &Inner, mend: &Mend) -> Result<bool> {
    let there = |tx: &WriteTx<'_>, kind, pack| tx.object(ObjectKey::new(kind, pack, 0));
    match mend {
        Mend::Row { row, instead } => {
            // A collection may have taken it away, with the keys of its chunks.
            let is_as_found = there(tx, Kind::Pack, row.key.id)? == *instead;
            let is_wanted = is_as_found && there(tx, Kind::Bucket, row.key.id)?.is_some();
            if is_wanted {
                tx.restore(row)?;
            }
            Ok(is_wanted)
        }
        Mend::File { pack, tail_at, tail } => {
            // A row that was damaged is there again.
            let is_wanted = there(tx, Kind::Pack, *pack)?.is_some();
            if is_wanted {
                write_again(inner, *pack, *tail_at, tail)?;
            }
            Ok(is_wanted)
        }
        Mend::Twins { pack, project, class, chunks } => {
            let Some(pool) = Pool::find(tx, tx.keyring, *project, *class)? else { return Ok(false) };
            pool.refresh(tx, tx.keyring)?;
            let still = |id: &ChunkId| pool.has_twin(inner, tx, tx.keyring, *id, *pack);
            let chunks = chunks.iter().copied().filter(still).collect();
            Ok(blob::give_up(tx, &pool, &blob::Damaged::from([(*pack, chunks)]))? > 0)
        }
        Mend::Lost { pack, project, class, rows } => {
            let is_as_found = [there(tx, Kind::Pack, *pack)?, there(tx, Kind::Bucket, *pack)?] == *rows;
            let pool = Pool::find(tx, tx.keyring, *project, *class)?.filter(|_| is_as_found);
            let Some(pool) = pool else { return Ok(false) };
            blob::remove_rows(tx, &pool, *pack)?;
            Ok(true)
        }
    }
}

/// Writes a pack's file again, with the chunks that it has.
fn write_again(inner: &Inner, pack: ObjectId, tail_at: u64, tail: &[u8]) -> Result<()> {
    let path = pack_path(&inner.path, pack);
    let bytes = inner.io.read(&path, PACK_FILE_BYTES_MAX).map_err(|cause| Error::io("read pack", &path, cause))?;
    let tail_at = usize::try_from(tail_at).unwrap_or(usize::MAX);
    let chunks = bytes.get(PACK_HEADER_BYTES..tail_at);
    let chunks = chunks.ok_or_else(|| Error::damaged(format!("{}: ends early", path.display())))?;
    let whole = [&format::header(pack)[..], chunks, tail].concat();
    let temporary = inner.path.join(TMP).join(format!("{:016x}.mended", u64::from_le_bytes(io::random(&*inner.io)?)));
    io::replace(&*inner.io, &path, &temporary, &whole).map_err(|cause| Error::io("write pack", &path, cause))
}

/// Moves files below `packs/` aside that the database does not know, unless somebody may be about to make them known.
fn set_aside(inner: &Inner, lost: &BTreeSet<String>, report: &mut RepairReport) -> Result<()> {
    let strangers = blobs::strangers(inner)?;
    if strangers.is_empty() {
        return Ok(());
    }
    let (is_put_under_way, now) = (blob::is_put_under_way(inner)?, file_system_now_us(&*inner.io, &inner.path)?);
    let quarantine = inner.path.join(QUARANTINE);
    for Stranger { file, pack } in strangers {
        let path = inner.path.join(&file);
        let is_recent = match inner.io.modified_us(&path) {
            Ok(written) => now.saturating_sub(written) < SILENCE_US,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => continue,
            Err(cause) => return Err(Error::io("look at", &path, cause)),
        };
        if !lost.contains(&file) && (is_put_under_way || is_recent) {
            let why = if is_put_under_way { LeftWhy::AtWork } else { LeftWhy::Recent };
            report.left.push(left_as(why, file));
            continue;
        }
        io::create_dir_durable(&*inner.io, &quarantine).map_err(|cause| Error::io("create", &quarantine, cause))?;
        // Under the lock of a write: a put looks for its files under it before it makes them known.
        let is_moved = inner.write(None, |tx| {
            let row = pack.map(|pack| tx.object(ObjectKey::new(Kind::Pack, pack, 0))).transpose()?.flatten();
            if row.is_none() {
                move_aside(inner, &path, &quarantine)?;
            }
            Ok(row.is_none())
        })?;
        if is_moved {
            report.done.push(done(RepairAction::SetAside, file));
        }
    }
    Ok(())
}

/// Moves a file to a name in a directory that nothing has yet.
fn move_aside(inner: &Inner, path: &Path, to: &Path) -> Result<()> {
    let name = path.file_name().unwrap_or_default();
    let numbered = |number: u32| -> PathBuf {
        match number {
            0 => to.join(name),
            number => to.join(format!("{}.{number}", name.display())),
        }
    };
    let place = (0..).map(numbered).find(|place| inner.io.identity(place).is_err()).unwrap_or_else(|| to.join(name));
    let moved = inner.io.rename(path, &place).and_then(|()| inner.io.sync_dir(to));
    moved.map_err(|cause| Error::io("set aside", path, cause))
}
