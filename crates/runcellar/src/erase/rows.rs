//! Erasing in one transaction: rows, keys, and what repeats them elsewhere.

use std::collections::HashSet;

use runcellar_format::ObjectId;
use runcellar_format::seal::Kind;

use super::scope::Scope;
use crate::artifacts::{Listed, erase_artifact, erase_version, listed};
use crate::blob::{Class, Pool, chunks_of, drop_chunks, owners_in, remove_manifest, remove_rows};
use crate::catalogue::forget_runs;
use crate::db::{ObjectKey, ReadTx, WriteTx};
use crate::ingest::data::RunData;
use crate::ingest::rows_away;
use crate::keys::Keyring;
use crate::{Error, Result};

/// What an erasure leaves to be done when it is committed.
#[derive(Debug, Default)]
pub(crate) struct Erased {
    /// Packs whose files nobody knows any more.
    pub(crate) packs: Vec<ObjectId>,
}

/// Erases what is in scope: its keys at once, so that nothing of it can be read again. The bytes of its chunks go with packs
/// that have nothing else, and with others when they are collected.
pub(crate) fn erase(tx: &mut WriteTx<'_>, scope: &Scope) -> Result<Erased> {
    let mut freed = Vec::new();
    for (pool, owners) in pools_in_scope(tx, tx.keyring, scope)? {
        if !scope.projects.contains(&pool.project) {
            let chunks = chunks_of(tx, tx.keyring, &pool, &owners)?;
            freed.push((pool, chunks));
        }
    }
    for (run, class) in &scope.classes {
        remove_manifest(tx, *run, class.positions())?;
        tx.bury_keys(*run, Some(class.purpose_of_run()))?;
    }
    for run in &scope.runs {
        erase_run(tx, *run)?;
    }
    for (version, artifact) in &scope.versions {
        erase_version(tx, *artifact, *version)?;
    }
    for artifact in &scope.artifacts {
        erase_artifact(tx, *artifact)?;
    }
    let mut erased = Erased::default();
    for (pool, chunks) in freed {
        erased.packs.extend(drop_chunks(tx, &pool, chunks)?);
    }
    for project in &scope.projects {
        erase_project(tx, *project, &mut erased)?;
    }
    if !scope.runs.is_empty() || !scope.projects.is_empty() {
        forget_runs(tx, &scope.runs.iter().copied().collect())?;
    }
    Ok(erased)
}

/// Returns the pools in which something in scope has files, and what that is.
pub(crate) fn pools_in_scope(
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    scope: &Scope,
) -> Result<Vec<(Pool, HashSet<ObjectId>)>> {
    let mut found = Vec::new();
    for class in Class::ALL {
        let mut owners = HashSet::new();
        for owner in scope.owners(class) {
            if tx.positions(Kind::Manifest, owner)?.iter().any(|position| class.positions().contains(position)) {
                owners.insert(owner);
            }
        }
        if owners.is_empty() {
            continue;
        }
        for project in tx.object_ids(Kind::Project)? {
            let Some(pool) = Pool::find(tx, keyring, project, class)? else { continue };
            let here: HashSet<ObjectId> =
                owners_in(tx, keyring, &pool)?.into_iter().filter(|owner| owners.contains(owner)).collect();
            if !here.is_empty() {
                found.push((pool, here));
            }
        }
    }
    Ok(found)
}

/// Returns whether all that is in the projects and artifacts in scope is in scope itself: something may have been added since it
/// was planned.
pub(super) fn is_all(tx: &ReadTx<'_>, keyring: &Keyring, scope: &Scope) -> Result<bool> {
    if !scope.projects.is_empty() {
        for row in tx.objects(Kind::Run, None)? {
            // What cannot be read says nothing of its project; if that goes, the keys of it do.
            let Ok(run) = RunData::without_series(tx, keyring, &row) else { continue };
            if scope.projects.contains(&ObjectId(run.record.project)) && !scope.runs.contains(&row.key.id) {
                return Ok(false);
            }
        }
    }
    if scope.projects.is_empty() && scope.artifacts.is_empty() {
        return Ok(true);
    }
    let is_planned = |known: &Listed| {
        let goes = scope.projects.contains(&known.project) || scope.artifacts.contains(&known.artifact);
        !goes
            || (scope.artifacts.contains(&known.artifact)
                && known.versions.iter().all(|version| scope.versions.contains_key(version)))
    };
    Ok(listed(tx, keyring)?.iter().all(is_planned))
}

fn erase_run(tx: &mut WriteTx<'_>, run: ObjectId) -> Result<()> {
    for key in tx.keys_of(run)? {
        for writer in tx.owners_sealed_under(Kind::Writer, key.id)? {
            tx.remove_object(ObjectKey::new(Kind::Writer, writer, 0))?;
            // What it logs later, and what it left in journals, is dropped.
            tx.bury(writer)?;
        }
    }
    for class in [Class::Code, Class::Media] {
        remove_manifest(tx, run, class.positions())?;
    }
    tx.remove_series(run)?;
    rows_away::remove(tx, run)?;
    tx.remove_object(ObjectKey::new(Kind::Head, run, 0))?;
    tx.remove_object(ObjectKey::new(Kind::Run, run, 0))?;
    tx.bury(run)
}

fn erase_project(tx: &mut WriteTx<'_>, project: ObjectId, erased: &mut Erased) -> Result<()> {
    for class in Class::ALL {
        let Some(pool) = Pool::find(tx, tx.keyring, project, class)? else { continue };
        for pack in tx.owners_sealed_under(Kind::Pack, pool.key.id())? {
            remove_rows(tx, &pool, pack)?;
            erased.packs.push(pack);
        }
    }
    if !tx.remove_object(ObjectKey::new(Kind::Project, project, 0))? {
        return Err(Error::new(crate::ErrorKind::NotFound, format!("project {project}: it is gone already")));
    }
    tx.bury(project)
}
