//! Packs: rows, buckets and files.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use runcellar_format::blob::{self, PACK_HEADER_BYTES, TRAILER_BYTES};
use runcellar_format::seal::Kind;
use runcellar_format::{ChunkId, ObjectId};

use super::file_of;
use super::read::read_packs;
use crate::blob::{Class, PackData, Pool, open_directory, pack_path};
use crate::check::{CheckOptions, CheckReport, Problem, ProblemKind};
use crate::db::{ObjectKey, ObjectRow, ReadTx};
use crate::keys::Keyring;
use crate::workspace::Inner;
use crate::{Result, io};

/// Packs whose chunks are opened together, so that no more of their keys are in memory.
const PACKS_AT_ONCE: usize = 64;

/// What packs there are, and what of them is whole.
pub(super) struct Packs {
    /// The chunks that have a key, and what is wrong with them.
    chunks: HashMap<ChunkId, Option<Arc<Trouble>>>,
    /// Packs whose file is not there.
    pub(super) lost: Vec<ObjectId>,
}

/// What is wrong with chunks.
pub(super) struct Trouble {
    pub(super) kind: ProblemKind,
    pub(super) file: String,
    pub(super) message: String,
}

impl Packs {
    /// Checks all packs and, if asked to, opens all of their chunks.
    pub(super) fn check(
        inner: &Inner,
        tx: &ReadTx<'_>,
        keyring: &Keyring,
        options: CheckOptions,
        report: &mut CheckReport,
    ) -> Result<Packs> {
        let mut packs = Packs { chunks: HashMap::new(), lost: Vec::new() };
        let mut seen = HashSet::new();
        let total = tx.count_objects(Kind::Pack)?;
        for project in tx.object_ids(Kind::Project)? {
            for class in Class::ALL {
                // A key that cannot be opened is reported with the keys.
                let Ok(Some(pool)) = Pool::find(tx, keyring, project, class) else { continue };
                let mut whole = Vec::new();
                for id in tx.owners_sealed_under(Kind::Pack, pool.key.id())? {
                    inner.monitor.progress("packs", seen.len() as u64, total);
                    seen.insert(id);
                    whole.extend(packs.look(inner, tx, keyring, &pool, id, report)?.map(Arc::new));
                    if options.read_data && whole.len() >= PACKS_AT_ONCE {
                        packs.read(inner, &pool, &whole, report);
                    }
                    if !options.read_data || whole.len() >= PACKS_AT_ONCE {
                        whole.clear();
                    }
                }
                if options.read_data {
                    packs.read(inner, &pool, &whole, report);
                }
            }
        }
        inner.monitor.progress("packs", total, total);
        let rows: HashSet<ObjectId> = tx.object_ids(Kind::Pack)?.into_iter().collect();
        for id in rows.difference(&seen) {
            let message = format!("pack {id}: its row is sealed under a key that is not there");
            report.add(of_pack(*id, ProblemKind::Damaged, message));
        }
        for id in tx.object_ids(Kind::Bucket)? {
            if !rows.contains(&id) {
                let message = format!("pack {id}: its row is missing, and the keys of its chunks are there");
                report.add(of_pack(id, ProblemKind::Missing, message));
            }
        }
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
    ) -> Result<Option<PackData>> {
        let Some(row) = tx.object(ObjectKey::new(Kind::Pack, id, 0))? else { return Ok(None) };
        let directory = match open_directory(keyring, &pool.key, &row) {
            Ok(directory) => directory,
            Err(error) => {
                report.add(of_pack(id, ProblemKind::Damaged, error.to_string()));
                return Ok(None);
            }
        };
        let data = match PackData::load(tx, keyring, &pool.key, id) {
            Ok(Some(data)) => data,
            Ok(None) => return Ok(None),
            Err(error) => {
                report.add(of_pack(id, ProblemKind::Damaged, error.to_string()));
                return Ok(None);
            }
        };
        report.checked.chunks += data.entries.len() as u64;
        report.checked.bytes += row.body.len() as u64;
        let len = match check_file(inner, &row, directory.file_bytes(), directory.padding_range().end) {
            Ok(()) => directory.file_bytes(),
            Err(BadFile { kind, message, len }) => {
                report.add(of_pack(id, kind, message));
                if len.is_none() {
                    self.lost.push(id);
                }
                len.unwrap_or(0)
            }
        };
        let trouble = (len < directory.file_bytes()).then(|| {
            let (kind, what) = match len {
                0 => (ProblemKind::Missing, "has no file".to_owned()),
                len => (ProblemKind::Damaged, format!("ends early, at {len} bytes")),
            };
            Arc::new(Trouble { kind, file: file_of(id), message: format!("its pack {id} {what}") })
        });
        for (slot, entry) in data.entries.iter().enumerate() {
            let end = data.offsets.get(slot).map_or(0, |offset| offset + u64::from(entry.stored_len));
            if data.bucket.get(slot).is_some() {
                self.add(entry.id, trouble.clone().filter(|_| end > len));
            }
        }
        Ok((len > 0).then_some(data))
    }

    /// Takes a chunk in; where two packs have it, the one that is whole counts.
    fn add(&mut self, id: ChunkId, trouble: Option<Arc<Trouble>>) {
        let known = self.chunks.entry(id).or_insert_with(|| trouble.clone());
        if trouble.is_none() {
            *known = None;
        }
    }

    /// Opens the chunks of packs.
    fn read(&mut self, inner: &Inner, pool: &Pool, packs: &[Arc<PackData>], report: &mut CheckReport) {
        for (pack, found) in packs.iter().zip(read_packs(inner, pool, packs)) {
            report.checked.bytes += found.bytes;
            if let Some(message) = found.padding {
                report.add(of_pack(pack.id, ProblemKind::Damaged, message));
            }
            for (slot, message) in found.chunks {
                report.add(of_pack(pack.id, ProblemKind::Damaged, message.clone()));
                if let Some(entry) = pack.entries.get(slot) {
                    let trouble = Trouble { kind: ProblemKind::Damaged, file: file_of(pack.id), message };
                    self.chunks.insert(entry.id, Some(Arc::new(trouble)));
                }
            }
        }
    }
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
