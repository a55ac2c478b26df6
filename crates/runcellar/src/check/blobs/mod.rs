//! Blobs: packs and their files, manifests, and whether every chunk that these name is there.

mod manifests;
mod names;
mod packs;
mod read;

use runcellar_format::ObjectId;
use runcellar_format::seal::Kind;

use super::rows::Known;
use super::{CheckOptions, CheckReport, Problem, ProblemKind};
use crate::Result;
use crate::blob::pack_path;
use crate::db::ObjectKey;
use crate::workspace::{Inner, PACKS};
pub(super) use names::Names;
use packs::Packs;

/// How often this looks anew because packs went while it looked at their files.
const LOOKS_MAX: usize = 4;

pub(super) fn check(inner: &Inner, known: &Known, options: CheckOptions, report: &mut CheckReport) -> Result<()> {
    for look in 1..=LOOKS_MAX {
        let mut found = CheckReport::default();
        let lost = inner.read(|tx, keyring| {
            let packs = Packs::check(inner, tx, keyring, options, &mut found)?;
            manifests::check(tx, keyring, known, &packs, &mut found)?;
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
    note_strangers(inner, report)
}

/// Returns the path of a pack's file, relative to the workspace.
pub(super) fn file_of(pack: ObjectId) -> String {
    pack_path(std::path::Path::new(""), pack).display().to_string()
}

/// Notes files of packs that the database does not know: left by a crash, or by a put that is under way.
fn note_strangers(inner: &Inner, report: &mut CheckReport) -> Result<()> {
    let packs = inner.path.join(PACKS);
    let mut found = Vec::new();
    for directory in inner.io.list(&packs).unwrap_or_default() {
        for name in inner.io.list(&packs.join(&directory)).unwrap_or_default() {
            let file = format!("{PACKS}/{}/{}", directory.display(), name.display());
            let id = name.to_str().and_then(|name| name.strip_suffix(".pack")).and_then(ObjectId::from_hex);
            found.push((id.filter(|id| file_of(*id) == file), file));
        }
    }
    found.sort_by(|left, right| left.1.cmp(&right.1));
    inner.read(|tx, _| {
        for (id, file) in found {
            let is_known = match id {
                Some(id) => {
                    tx.object(ObjectKey::new(Kind::Pack, id, 0))?.is_some()
                        || tx.object(ObjectKey::new(Kind::Bucket, id, 0))?.is_some()
                }
                None => false,
            };
            if !is_known {
                let message = format!("{file}: nothing refers to it");
                report.add(Problem::note(ProblemKind::Unreferenced, message).of_file(file));
            }
        }
        Ok(())
    })
}
