//! Artifacts, versions and manifests: whether they are there, and whether all that they name is.

use std::collections::{BTreeSet, HashSet};

use runcellar_format::record::{Artifact, Body, Content, Manifest, Version};
use runcellar_format::seal::Kind;
use runcellar_format::{ChunkId, ObjectId};

use super::names::Names;
use super::packs::{Packs, Trouble};
use crate::blob::Class;
use crate::check::rows::Known;
use crate::check::{CheckReport, Problem, ProblemKind};
use crate::db::{ObjectKey, ObjectRow, ReadTx};
use crate::keys::Keyring;
use crate::{Error, Result};

/// Whose manifest it is, for reports.
struct Owner {
    artifact: Option<String>,
    run: Option<String>,
    /// Artifact or run and class, for messages.
    noun: String,
}

impl Owner {
    fn problem(&self, kind: ProblemKind, what: &str) -> Problem {
        let problem = Problem::error(kind, format!("{}: {what}", self.noun));
        Problem { artifact: self.artifact.clone(), run: self.run.clone(), ..problem }
    }
}

pub(super) fn check(
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    known: &Known,
    packs: &Packs,
    report: &mut CheckReport,
) -> Result<()> {
    let names = Names::load(tx, keyring, known)?;
    let rows = tx.objects(Kind::Artifact, None)?;
    let artifact_owner = |id: ObjectId| {
        let name = names.get(id).map_or_else(|| id.to_string(), str::to_owned);
        Owner { noun: format!("artifact {name}"), artifact: Some(name), run: None }
    };
    for row in &rows {
        report.checked.bytes += row.body.len() as u64;
        let owner = artifact_owner(row.key.id);
        if let Err(error) = opened::<Artifact>(tx, keyring, row) {
            report.add(owner.problem(ProblemKind::Damaged, &error.to_string()));
        }
        check_version_of_row(&owner, row, known, report);
    }
    let present: HashSet<ObjectId> = rows.iter().map(|row| row.key.id).collect();
    for id in known.artifacts.keys().filter(|id| !present.contains(id)) {
        report.add(artifact_owner(*id).problem(ProblemKind::Missing, "its record is missing"));
    }
    let listed: HashSet<ObjectId> = names.versions.iter().map(|(version, _)| *version).collect();
    for (version, artifact) in &names.versions {
        check_version(tx, keyring, &names, known, (*version, *artifact), report)?;
    }
    for id in tx.object_ids(Kind::Version)? {
        if !listed.contains(&id) {
            let message = format!("artifact version {id}: no artifact lists it");
            report.add(Problem::error(ProblemKind::Unreferenced, message));
        }
    }
    for owner in tx.object_ids(Kind::Manifest)? {
        let is_run = tx.object(ObjectKey::new(Kind::Run, owner, 0))?.is_some();
        for row in tx.objects(Kind::Manifest, Some(owner))? {
            report.checked.bytes += row.body.len() as u64;
            let class = Class::ALL.into_iter().find(|class| class.positions().contains(&row.key.position));
            let class = class.map_or("unknown", Class::name);
            let owner = match names.get(owner) {
                Some(name) => Owner { artifact: Some(name.to_owned()), run: None, noun: format!("artifact {name}") },
                None if is_run => {
                    let run = known.name(owner);
                    Owner { artifact: None, noun: format!("run {run}: {class}"), run: Some(run) }
                }
                None => {
                    let message = format!("manifest {owner}: of no run and no version of an artifact");
                    report.add(Problem::error(ProblemKind::Unreferenced, message));
                    break;
                }
            };
            match opened::<Manifest>(tx, keyring, &row) {
                Ok(manifest) => check_manifest(&manifest, &owner, packs, report),
                Err(error) => report.add(owner.problem(ProblemKind::Damaged, &error.to_string())),
            }
        }
    }
    Ok(())
}

fn opened<T: Body>(tx: &ReadTx<'_>, keyring: &Keyring, row: &ObjectRow) -> Result<T> {
    let body = tx.open_object(keyring, row)?;
    T::from_body(&body).map_err(|cause| Error::format(format_args!("{} {}", T::NAME, row.key.id), cause))
}

/// Compares what a row says that it was written by with the last change.
fn check_version_of_row(owner: &Owner, row: &ObjectRow, known: &Known, report: &mut CheckReport) {
    if let Some(last) = known.last_changes.get(&row.key.id).filter(|last| row.seq < **last) {
        let what = format!("its record is of change {}, but change {last} was made to it", row.seq);
        report.add(owner.problem(ProblemKind::Replayed, &what));
    }
}

/// Checks the record of a version, and that its manifest has all of its parts.
fn check_version(
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    names: &Names,
    known: &Known,
    (version, artifact): (ObjectId, ObjectId),
    report: &mut CheckReport,
) -> Result<()> {
    let name = names.get(version).unwrap_or_default().to_owned();
    let owner = Owner { noun: format!("artifact {name}"), artifact: Some(name), run: None };
    let Some(row) = tx.object(ObjectKey::new(Kind::Version, version, 0))? else {
        report.add(owner.problem(ProblemKind::Missing, "its record is missing"));
        return Ok(());
    };
    report.checked.bytes += row.body.len() as u64;
    check_version_of_row(&owner, &row, known, report);
    let record = match opened::<Version>(tx, keyring, &row) {
        Ok(record) => record,
        Err(error) => {
            report.add(owner.problem(ProblemKind::Damaged, &error.to_string()));
            return Ok(());
        }
    };
    if record.artifact != artifact.0 {
        report.add(owner.problem(ProblemKind::Damaged, "its record is of another artifact"));
    }
    let there: BTreeSet<u64> = tx.positions(Kind::Manifest, version)?.into_iter().collect();
    let wanted: BTreeSet<u64> = (0..record.parts.len() as u64).collect();
    for part in wanted.difference(&there) {
        report.add(owner.problem(ProblemKind::Missing, &format!("part {part} of its manifest is missing")));
    }
    for part in there.difference(&wanted) {
        report.add(owner.problem(ProblemKind::Unreferenced, &format!("part {part} of its manifest is too many")));
    }
    Ok(())
}

/// Names the files whose chunks are missing or damaged.
fn check_manifest(manifest: &Manifest, owner: &Owner, packs: &Packs, report: &mut CheckReport) {
    for entry in &manifest.entries {
        let Content::File(file) = &entry.content else { continue };
        let mut hurt = file.chunks.iter().filter_map(|(_, id)| match packs.get(ChunkId(*id)) {
            None => Some((ProblemKind::Missing, format!("chunk {} is missing", ChunkId(*id)), None, false)),
            Some(Some(Trouble { kind, file, message, repairable })) => {
                Some((*kind, message.clone(), Some(file.clone()), *repairable))
            }
            Some(None) => None,
        });
        let Some((kind, what, file, first)) = hurt.next() else { continue };
        let hurt: Vec<bool> = hurt.map(|(.., repairable)| repairable).collect();
        let repairable = first && hurt.iter().all(|repairable| *repairable);
        let others = match hurt.len() {
            0 => String::new(),
            1 => ", and 1 chunk more".to_owned(),
            others => format!(", and {others} chunks more"),
        };
        let path = String::from_utf8_lossy(&entry.path).into_owned();
        let problem = owner.problem(kind, &format!("{path}: {what}{others}"));
        report.add(Problem { path: Some(path), file, repairable, ..problem });
    }
}
