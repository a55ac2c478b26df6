//! Blobs: packs and their files, manifests, and whether every chunk that these name is there.

mod manifests;
mod names;
mod packs;
mod read;

use std::collections::HashSet;

use runcellar_format::seal::Kind;
use runcellar_format::{ChunkId, ObjectId};

use super::rows::Known;
use super::{CheckOptions, CheckReport, Problem, ProblemKind};
use crate::Result;
use crate::blob::{Class, pack_path};
use crate::db::{ObjectKey, ObjectRow};
use crate::workspace::{Inner, PACKS, QUARANTINE};
pub(super) use names::Names;
use packs::{Depth, Packs};

/// How often this looks anew because packs went while it looked at their files.
const LOOKS_MAX: usize = 4;

/// What `repair` does about a pack.
pub(crate) enum Mend {
    /// Writes its row again, as its file tells it, in the place of what is there.
    Row { row: ObjectRow, instead: Option<ObjectRow> },
    /// Writes again what stands around the chunks in its file: the header, and all from `tail_at` on.
    File { pack: ObjectId, tail_at: u64, tail: Vec<u8> },
    /// Drops the keys of damaged chunks of a pack that lie whole in other packs, so that everybody reads these.
    Twins { pack: ObjectId, project: ObjectId, class: Class, chunks: HashSet<ChunkId> },
    /// Nothing can open its chunks: takes its rows away, if they are still these, and sets its file aside.
    Lost { pack: ObjectId, project: ObjectId, class: Class, rows: [Option<ObjectRow>; 2] },
}

/// Returns the rows that mends write, with those that are there instead.
pub(super) fn rows_of(mends: &[Mend]) -> impl Iterator<Item = (&ObjectRow, Option<&ObjectRow>)> {
    mends.iter().filter_map(|mend| match mend {
        Mend::Row { row, instead } => Some((row, instead.as_ref())),
        Mend::File { .. } | Mend::Twins { .. } | Mend::Lost { .. } => None,
    })
}

/// Returns what can be mended, and what is wrong with packs.
pub(crate) fn mends(inner: &Inner) -> Result<(Vec<Mend>, CheckReport)> {
    let mut report = CheckReport::default();
    let packs = inner.read(|tx, keyring| Packs::check(inner, tx, keyring, Depth::Frames, &mut report))?;
    Ok((packs.mends, report))
}

/// Checks packs, manifests and what belongs to nobody; returns what `repair` can mend.
pub(super) fn check(
    inner: &Inner,
    known: &Known,
    options: CheckOptions,
    report: &mut CheckReport,
) -> Result<Vec<Mend>> {
    let depth = if options.read_data { Depth::Chunks } else { Depth::Rows };
    let (mut mends, mut evicted) = (Vec::new(), (0, 0));
    for look in 1..=LOOKS_MAX {
        let mut found = CheckReport::default();
        let lost = inner.read(|tx, keyring| {
            let packs = Packs::check(inner, tx, keyring, depth, &mut found)?;
            manifests::check(tx, keyring, known, &packs, &mut found)?;
            mends = packs.mends;
            evicted = packs.evicted;
            Ok(packs.lost)
        })?;
        // A collection removes files once it has removed their rows, which this may not have seen yet.
        let is_here = |tx: &crate::db::ReadTx<'_>, pack: &ObjectId| tx.object(ObjectKey::new(Kind::Pack, *pack, 0));
        let still = inner
            .read(|tx, _| lost.iter().map(|pack| Ok(is_here(tx, pack)?.is_some())).collect::<Result<Vec<bool>>>())?;
        if still.into_iter().all(|still| still) || look == LOOKS_MAX {
            report.checked.chunks += found.checked.chunks;
            report.checked.bytes += found.checked.bytes;
            report.problems.append(&mut found.problems);
            break;
        }
    }
    note_strangers(inner, report)?;
    if let (packs @ 1.., bytes) = evicted {
        let count = if packs == 1 { "1 pack".to_owned() } else { format!("{packs} packs") };
        let message = format!("{count} with {bytes} bytes: not here, on remotes alone");
        report.add(Problem::note(ProblemKind::Evicted, message));
    }
    for name in inner.io.list(&inner.path.join(QUARANTINE)).unwrap_or_default() {
        let file = format!("{QUARANTINE}/{}", name.display());
        let message = format!("{file}: set aside by repair, as nothing here can open it");
        report.add(Problem::note(ProblemKind::Unreferenced, message).of_file(file));
    }
    Ok(mends)
}

/// Returns the path of a pack's file, relative to the workspace.
pub(crate) fn file_of(pack: ObjectId) -> String {
    pack_path(std::path::Path::new(""), pack).display().to_string()
}

/// A file below `packs/`.
pub(crate) struct Stranger {
    /// Relative to the workspace.
    pub(crate) file: String,
    /// What its name says, if a pack of that id stands there.
    pub(crate) pack: Option<ObjectId>,
}

/// Returns files of packs that the database does not know: left by a crash, or by a put that is under way.
pub(crate) fn strangers(inner: &Inner) -> Result<Vec<Stranger>> {
    let packs = inner.path.join(PACKS);
    let mut found = Vec::new();
    for directory in inner.io.list(&packs).unwrap_or_default() {
        for name in inner.io.list(&packs.join(&directory)).unwrap_or_default() {
            let file = format!("{PACKS}/{}/{}", directory.display(), name.display());
            let pack = name.to_str().and_then(|name| name.strip_suffix(".pack")).and_then(ObjectId::from_hex);
            found.push(Stranger { pack: pack.filter(|id| file_of(*id) == file), file });
        }
    }
    found.sort_by(|left, right| left.file.cmp(&right.file));
    inner.read(|tx, _| {
        let is_known = |pack: ObjectId| -> Result<bool> {
            let there = |kind| tx.object(ObjectKey::new(kind, pack, 0));
            Ok(there(Kind::Pack)?.is_some() || there(Kind::Bucket)?.is_some())
        };
        let mut unknown = Vec::new();
        for one in found {
            if !one.pack.map(is_known).transpose()?.unwrap_or(false) {
                unknown.push(one);
            }
        }
        Ok(unknown)
    })
}

fn note_strangers(inner: &Inner, report: &mut CheckReport) -> Result<()> {
    for Stranger { file, .. } in strangers(inner)? {
        let message = format!("{file}: nothing refers to it");
        report.add(Problem::note(ProblemKind::Unreferenced, message).of_file(file));
    }
    Ok(())
}
