//! Packs: rows, buckets and files.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use runcellar_format::blob::{self, PACK_HEADER_BYTES, TRAILER_BYTES};
use runcellar_format::seal::Kind;
use runcellar_format::{ChunkId, ObjectId};

use super::read::{opens_any, read_packs};
use super::{Mend, file_of};
use crate::blob::{
    Class, PackData, Pool, is_away, load_bucket, open_directory, pack_path, suspect, suspects, told_by_file, trust,
};
use crate::check::{CheckReport, Problem, ProblemKind};
use crate::db::{ObjectKey, ObjectRow, ReadTx};
use crate::keys::Keyring;
use crate::workspace::Inner;
use crate::{Error, ErrorKind, Result, io};

/// Packs whose chunks are opened together, so that no more of their keys are in memory.
const PACKS_AT_ONCE: usize = 64;

/// How much of packs is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Rows, and of files what says what they hold.
    Rows,
    /// Their padding, too, and the chunks of those in which damage was found before.
    Frames,
    /// All of their chunks.
    Chunks,
}

/// What packs there are, and what of them is whole.
pub(super) struct Packs {
    depth: Depth,
    /// Packs in which damage was found before.
    suspects: HashSet<ObjectId>,
    /// The chunks that have a key, and what is wrong with them.
    chunks: HashMap<ChunkId, Option<Arc<Trouble>>>,
    /// Packs whose file is not there.
    pub(super) lost: Vec<ObjectId>,
    /// What `repair` can do.
    pub(super) mends: Vec<Mend>,
    /// Packs that were evicted, and their bytes: nothing of them is here to be checked.
    pub(super) evicted: (u64, u64),
}

/// What is wrong with chunks.
pub(super) struct Trouble {
    pub(super) kind: ProblemKind,
    pub(super) file: String,
    pub(super) message: String,
    pub(super) repairable: bool,
}

impl Packs {
    /// Checks all packs.
    pub(super) fn check(
        inner: &Inner,
        tx: &ReadTx<'_>,
        keyring: &Keyring,
        depth: Depth,
        report: &mut CheckReport,
    ) -> Result<Packs> {
        let (chunks, lost, mends) = (HashMap::new(), Vec::new(), Vec::new());
        let mut packs = Packs { depth, suspects: suspects(inner), chunks, lost, mends, evicted: (0, 0) };
        let mut pools = Vec::new();
        for project in tx.object_ids(Kind::Project)? {
            // A key that cannot be opened is reported with the keys.
            pools.extend(Class::ALL.into_iter().filter_map(|class| Pool::find(tx, keyring, project, class).ok()?));
        }
        let mut members = Vec::new();
        for pool in &pools {
            members.push(tx.owners_sealed_under(Kind::Pack, pool.key.id())?);
        }
        let rows: HashSet<ObjectId> = tx.object_ids(Kind::Pack)?.into_iter().collect();
        let all = rows.iter().copied().chain(tx.object_ids(Kind::Bucket)?).collect::<BTreeSet<_>>();
        let seen: HashSet<ObjectId> = members.iter().flatten().copied().collect();
        for id in all.into_iter().filter(|id| !seen.contains(id)) {
            let told = |pool: &Pool| told_by_file(inner, keyring, &pool.key, id).is_some();
            match pools.iter().position(told).and_then(|at| members.get_mut(at)) {
                Some(members) => members.push(id),
                None if rows.contains(&id) => {
                    let message = format!("pack {id}: its row is sealed under a key that is not there");
                    report.add(of_pack(id, ProblemKind::Damaged, message));
                }
                None => report.add(of_pack(id, ProblemKind::Missing, row_is_missing(id))),
            }
        }
        let (mut done, total) = (0, members.iter().flatten().count() as u64);
        for (pool, members) in pools.iter().zip(members) {
            for members in members.chunks(PACKS_AT_ONCE) {
                let mut whole = Vec::new();
                for id in members {
                    inner.monitor.progress("packs", done, total);
                    done += 1;
                    let found = packs.look(inner, tx, keyring, pool, *id, report)?;
                    whole.extend(found.filter(|_| depth != Depth::Rows));
                }
                packs.read(inner, tx, keyring, pool, &whole, report)?;
            }
        }
        inner.monitor.progress("packs", total, total);
        Ok(packs)
    }

    /// Returns whether a chunk can be read, as far as is known: `Some` if it is there, and what is wrong with it.
    pub(super) fn get(&self, id: ChunkId) -> Option<Option<&Trouble>> {
        self.chunks.get(&id).map(Option::as_deref)
    }

    /// Checks row, bucket and file of a pack; returns it if its chunks may be whole.
    fn look(
        &mut self,
        inner: &Inner,
        tx: &ReadTx<'_>,
        keyring: &Keyring,
        pool: &Pool,
        id: ObjectId,
        report: &mut CheckReport,
    ) -> Result<Option<Seen>> {
        let there = tx.object(ObjectKey::new(Kind::Pack, id, 0))?;
        let opened = match &there {
            Some(row) => open_directory(keyring, &pool.key, row).map_err(|error| (ProblemKind::Damaged, error)),
            None => Err((ProblemKind::Missing, Error::damaged(row_is_missing(id)))),
        };
        let told = || told_by_file(inner, keyring, &pool.key, id);
        let (row, directory, bad_row) = match opened {
            Ok(directory) => (there.clone(), Some(directory), None),
            Err((kind, error)) if error.kind() == ErrorKind::Damaged => {
                let (row, directory) = told().unzip();
                (row, directory, Some((kind, error.to_string())))
            }
            Err((kind, error)) => {
                report.add(of_pack(id, kind, error.to_string()));
                return Ok(None);
            }
        };
        let bucket = load_bucket(tx, keyring, id);
        let data = match (row, directory, bucket) {
            (Some(row), Some(directory), Ok((bucket, version))) => {
                PackData::of_parts(id, directory.clone(), bucket, version).map(|data| (row, directory, data))
            }
            (_, _, Err(error)) => Err(error),
            _ => Err(Error::damaged("")),
        };
        let repairable = data.is_ok();
        if let Some((kind, message)) = &bad_row {
            report.add(Problem { repairable, ..of_pack(id, *kind, message.clone()) });
        }
        let (row, directory, data) = match data {
            Ok(data) => data,
            Err(error) => {
                let message = error.to_string();
                if !message.is_empty() {
                    report.add(of_pack(id, ProblemKind::Damaged, message));
                }
                let is_there = inner.io.identity(&pack_path(&inner.path, id)).is_ok();
                // What has no file may be put back from a backup with its rows; what is of a later version is not for us.
                if is_there && error.kind() == ErrorKind::Damaged {
                    let rows = [there, tx.object(ObjectKey::new(Kind::Bucket, id, 0))?];
                    self.mends.push(Mend::Lost { pack: id, project: pool.project, class: pool.class, rows });
                }
                return Ok(None);
            }
        };
        report.checked.chunks += data.entries.len() as u64;
        report.checked.bytes += row.body.len() as u64;
        let pack = Seen { data: Arc::new(data), tail: blob::tail(&pool.keys, id, directory.padding, &row.body) };
        let data = &pack.data;
        let len = match check_file(inner, &row, directory.file_bytes(), data.padding.end) {
            Ok(()) => directory.file_bytes(),
            // What is wrong with its row is said with the keys and settings.
            Err(BadFile { kind: ProblemKind::Missing, .. }) if is_away(tx, id)? => {
                self.evicted.0 += 1;
                self.evicted.1 += directory.file_bytes();
                let slots = data.entries.iter().enumerate().filter(|(slot, _)| data.bucket.has(*slot));
                slots.for_each(|(_, entry)| self.add(entry.id, None));
                return Ok(None);
            }
            Err(BadFile { kind, message, len }) => {
                // What stands around the chunks is written anew, if they are this pack's.
                let repairable = len.is_some_and(|len| len >= data.padding.start) && opens_any(inner, pool, data);
                report.add(Problem { repairable, ..of_pack(id, kind, message) });
                if repairable {
                    self.mends.push(pack.mend());
                }
                if len.is_none() {
                    self.lost.push(id);
                }
                len.unwrap_or(0)
            }
        };
        let cut = (len < data.padding.start).then(|| {
            if len > 0 {
                suspect(inner, id);
            }
            let (kind, what) = match len {
                0 => (ProblemKind::Missing, "has no file".to_owned()),
                len => (ProblemKind::Damaged, format!("ends early, at {len} bytes")),
            };
            let message = format!("its pack {id} {what}");
            Arc::new(Trouble { kind, file: file_of(id), message, repairable: false })
        });
        let of_row = bad_row.map(|(kind, message)| {
            self.mends.push(Mend::Row { row, instead: there });
            Arc::new(Trouble { kind, file: file_of(id), message, repairable: true })
        });
        for (slot, entry) in data.entries.iter().enumerate() {
            let end = data.offsets.get(slot).map_or(0, |offset| offset + u64::from(entry.stored_len));
            if data.bucket.has(slot) {
                self.add(entry.id, cut.clone().filter(|_| end > len).or_else(|| of_row.clone()));
            }
        }
        Ok((len > 0).then_some(pack))
    }

    /// Takes a chunk in; where two packs have it, the one that is whole counts.
    fn add(&mut self, id: ChunkId, trouble: Option<Arc<Trouble>>) {
        let known = self.chunks.entry(id).or_insert_with(|| trouble.clone());
        if trouble.is_none() {
            *known = None;
        }
    }

    /// Opens the padding of packs and, if asked to, their chunks.
    fn read(
        &mut self,
        inner: &Inner,
        tx: &ReadTx<'_>,
        keyring: &Keyring,
        pool: &Pool,
        packs: &[Seen],
        report: &mut CheckReport,
    ) -> Result<()> {
        let all: Vec<Arc<PackData>> = packs.iter().map(|pack| pack.data.clone()).collect();
        let is_read = |pack: ObjectId| self.depth == Depth::Chunks || self.suspects.contains(&pack);
        for (pack, found) in packs.iter().zip(read_packs(inner, pool, &all, &is_read)) {
            let id = pack.data.id;
            report.checked.bytes += found.bytes;
            if let Some(message) = found.padding {
                let is_mended = self.mends.iter().any(|mend| matches!(mend, Mend::File { pack, .. } if *pack == id));
                let repairable = is_mended || opens_any(inner, pool, &pack.data);
                report.add(Problem { repairable, ..of_pack(id, ProblemKind::Damaged, message) });
                if repairable && !is_mended {
                    self.mends.push(pack.mend());
                }
            }
            if found.chunks.is_empty() {
                if is_read(id) {
                    trust(inner, id);
                }
                continue;
            }
            suspect(inner, id);
            pool.refresh(tx, keyring)?;
            let mut twins = HashSet::new();
            for (slot, message) in found.chunks {
                let Some(entry) = pack.data.entries.get(slot) else { continue };
                let repairable = pool.has_twin(inner, tx, keyring, entry.id, id);
                report.add(Problem { repairable, ..of_pack(id, ProblemKind::Damaged, message.clone()) });
                let trouble = Trouble { kind: ProblemKind::Damaged, file: file_of(id), message, repairable };
                self.chunks.insert(entry.id, Some(Arc::new(trouble)));
                twins.extend(repairable.then_some(entry.id));
            }
            if !twins.is_empty() {
                self.mends.push(Mend::Twins { pack: id, project: pool.project, class: pool.class, chunks: twins });
            }
        }
        Ok(())
    }
}

/// A pack whose rows open.
struct Seen {
    data: Arc<PackData>,
    /// What stands behind the chunks in its file.
    tail: Vec<u8>,
}

impl Seen {
    fn mend(&self) -> Mend {
        Mend::File { pack: self.data.id, tail_at: self.data.padding.start, tail: self.tail.clone() }
    }
}

fn row_is_missing(pack: ObjectId) -> String {
    format!("pack {pack}: its row is missing, and the keys of its chunks are there")
}

fn of_pack(pack: ObjectId, kind: ProblemKind, message: String) -> Problem {
    Problem::error(kind, message).of_file(file_of(pack))
}

/// What is wrong with a file.
struct BadFile {
    kind: ProblemKind,
    message: String,
    /// Its length; none if it is not there.
    len: Option<u64>,
}

/// Checks the length of a pack's file, and what stands in it beside chunks and padding.
fn check_file(inner: &Inner, row: &ObjectRow, wanted: u64, tail_at: u64) -> std::result::Result<(), BadFile> {
    let id = row.key.id;
    let bad = |kind, len, what: String| BadFile { kind, message: format!("pack {id}: {what}"), len };
    let unreadable = |cause: std::io::Error| bad(ProblemKind::Damaged, None, format!("cannot be read: {cause}"));
    let file = match inner.io.open(&pack_path(&inner.path, id)) {
        Ok(file) => file,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            return Err(bad(ProblemKind::Missing, None, "its file is missing".into()));
        }
        Err(cause) => return Err(unreadable(cause)),
    };
    let len = file.len().map_err(unreadable)?;
    if len != wanted {
        let what = format!("its file has {len} bytes, and its row says {wanted}");
        return Err(bad(ProblemKind::Damaged, Some(len), what));
    }
    let head = io::read_range(&*file, 0, PACK_HEADER_BYTES).map_err(unreadable)?;
    let tail_len = row.body.len() + TRAILER_BYTES;
    let tail = io::read_range(&*file, tail_at, tail_len).map_err(unreadable)?;
    let (directory, trailer) = tail.split_at_checked(row.body.len()).unwrap_or((&tail, &[]));
    let checked = blob::check_header(id, &head).and_then(|()| blob::directory_range(id, len, trailer));
    let what = match checked {
        Err(cause) => format!("its file: {cause}"),
        Ok(range) if directory != row.body || range.start != tail_at => {
            "the directory in its file is not the one of its row".to_owned()
        }
        Ok(_) => return Ok(()),
    };
    // Chunks are where the row says; what stands around them is written anew.
    Err(bad(ProblemKind::Damaged, Some(len), what))
}
