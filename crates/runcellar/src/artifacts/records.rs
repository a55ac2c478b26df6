//! Artifacts and versions as they stand in the database.

use std::sync::Arc;

use runcellar_format::ObjectId;
use runcellar_format::record::{AliasSet, Artifact, Body, Change, ChangeKind, MADE_AGAIN_FIELD, RECORD_FIELD, Version};
use runcellar_format::seal::{Kind, OwnerKey, lookup_tag};

use super::Found;
use super::name::LATEST;
use crate::blob::project_epoch_key;
use crate::db::{Cover, ObjectKey, ObjectRow, ReadTx, WriteTx};
use crate::keys::{Keyring, Purpose};
use crate::{Error, Result};

/// An artifact with its object id.
#[derive(Debug, Clone)]
pub(super) struct Stored<T> {
    pub(super) object: ObjectId,
    pub(super) record: T,
}

/// Returns the lookup tag of an artifact's name.
pub(super) fn tag_of(tx: &ReadTx<'_>, keyring: &Keyring, project: ObjectId, name: &str) -> Result<[u8; 32]> {
    let key = tx.workspace_key(keyring, Purpose::Lookup)?;
    Ok(lookup_tag(key.secret(), Kind::Artifact, project, name))
}

fn opened<T: Body>(tx: &ReadTx<'_>, keyring: &Keyring, row: &ObjectRow) -> Result<Stored<T>> {
    let body = tx.open_object(keyring, row)?;
    let record =
        T::from_body(&body).map_err(|cause| Error::format(format_args!("{} {}", T::NAME, row.key.id), cause))?;
    Ok(Stored { object: row.key.id, record })
}

/// Finds an artifact of a project.
pub(super) fn artifact(tx: &ReadTx<'_>, keyring: &Keyring, project: ObjectId, name: &str) -> Found<Stored<Artifact>> {
    let tag = tag_of(tx, keyring, project, name)?;
    tx.object_by_tag(Kind::Artifact, &tag)?.map(|row| opened(tx, keyring, &row)).transpose()
}

/// Returns all artifacts, of one project if it is given.
pub(super) fn artifacts(tx: &ReadTx<'_>, keyring: &Keyring) -> Result<Vec<Stored<Artifact>>> {
    tx.objects(Kind::Artifact, None)?.iter().map(|row| opened(tx, keyring, row)).collect()
}

/// Reads an artifact.
pub(super) fn artifact_at(tx: &ReadTx<'_>, keyring: &Keyring, object: ObjectId) -> Result<Stored<Artifact>> {
    let row = tx.object(ObjectKey::new(Kind::Artifact, object, 0))?;
    let row = row.ok_or_else(|| Error::damaged(format!("artifact {object}: its record is missing")))?;
    opened(tx, keyring, &row)
}

/// Reads a version; none if it was removed.
pub(super) fn find_version(tx: &ReadTx<'_>, keyring: &Keyring, object: ObjectId) -> Found<Stored<Version>> {
    tx.object(ObjectKey::new(Kind::Version, object, 0))?.map(|row| opened(tx, keyring, &row)).transpose()
}

/// Reads a version that is listed.
pub(super) fn version(tx: &ReadTx<'_>, keyring: &Keyring, object: ObjectId) -> Result<Stored<Version>> {
    find_version(tx, keyring, object)?
        .ok_or_else(|| Error::damaged(format!("artifact version {object}: its record is missing")))
}

/// Returns the runs that put the content of a version again.
pub(super) fn made_again_by(version: &Version) -> impl Iterator<Item = [u8; 16]> {
    let field = version.extra.iter().find(|(field, _)| *field == MADE_AGAIN_FIELD);
    let bytes = field.map(|(_, bytes)| bytes.as_slice()).unwrap_or_default();
    bytes.as_chunks().0.iter().copied()
}

/// Remembers that a run put the content of a version again; false if that is known.
pub(super) fn make_again(version: &mut Version, run: ObjectId) -> bool {
    if version.made_by == run.0 || made_again_by(version).any(|known| known == run.0) {
        return false;
    }
    match version.extra.iter_mut().find(|(field, _)| *field == MADE_AGAIN_FIELD) {
        Some((_, bytes)) => bytes.extend_from_slice(&run.0),
        None => version.extra.push((MADE_AGAIN_FIELD, run.0.to_vec())),
    }
    true
}

/// Draws the key of a new artifact or version.
pub(super) fn draw_key(
    tx: &mut WriteTx<'_>,
    project: ObjectId,
    object: ObjectId,
    purpose: Purpose,
) -> Result<Arc<OwnerKey>> {
    let wrapping = project_epoch_key(tx, tx.keyring, project)?;
    tx.draw_key(object, purpose, &wrapping)
}

fn key(tx: &ReadTx<'_>, keyring: &Keyring, object: ObjectId, purpose: Purpose) -> Result<Arc<OwnerKey>> {
    tx.owner_key(keyring, object, purpose)?
        .ok_or_else(|| Error::damaged(format!("{purpose:?} {object}: its key is missing")))
}

/// Writes an artifact's record, and says so in a change.
pub(super) fn store_artifact(tx: &mut WriteTx<'_>, stored: &Stored<Artifact>) -> Result<()> {
    let Stored { object, record } = stored;
    let tag = tag_of(tx, tx.keyring, ObjectId(record.project), &record.name)?;
    let key = key(tx, tx.keyring, *object, Purpose::Artifact)?;
    let body = record.to_body().map_err(|cause| Error::format(format_args!("artifact {}", record.name), cause))?;
    change(tx, &key, ChangeKind::SetArtifact, *object, &body)?;
    tx.put(ObjectKey::new(Kind::Artifact, *object, 0), Some(tag), &key, &body, Cover::Root)?;
    Ok(())
}

/// Writes a version's record, and says so in a change; returns its key, which seals its manifest.
pub(super) fn store_version(tx: &mut WriteTx<'_>, stored: &Stored<Version>) -> Result<Arc<OwnerKey>> {
    let Stored { object, record } = stored;
    let key = key(tx, tx.keyring, *object, Purpose::Version)?;
    let body = record.to_body().map_err(|cause| Error::format(format_args!("version v{}", record.number), cause))?;
    change(tx, &key, ChangeKind::SetVersion, *object, &body)?;
    tx.put(ObjectKey::new(Kind::Version, *object, 0), None, &key, &body, Cover::Root)?;
    Ok(key)
}

fn change(tx: &mut WriteTx<'_>, key: &OwnerKey, kind: ChangeKind, object: ObjectId, body: &[u8]) -> Result<()> {
    let clock = tx.next_clock();
    let extra = vec![(RECORD_FIELD, body.to_vec())];
    tx.change(key, &Change { clock, kind, object: object.0, fields: Vec::new(), extra })
}

/// Takes an alias away.
pub(super) fn take_alias(tx: &mut WriteTx<'_>, artifact: &mut Artifact, alias: &str) {
    let clock = tx.next_clock();
    artifact.aliases.push(AliasSet { name: alias.to_owned(), version: ObjectId::NIL.0, clock });
}

/// Lets an alias name a version.
pub(super) fn set_alias(tx: &mut WriteTx<'_>, artifact: &mut Artifact, alias: &str, version: ObjectId) {
    if alias_target(artifact, alias) == Some(version) {
        return;
    }
    let clock = tx.next_clock();
    artifact.aliases.push(AliasSet { name: alias.to_owned(), version: version.0, clock });
}

/// Returns the version that an alias names.
pub(super) fn alias_target(artifact: &Artifact, alias: &str) -> Option<ObjectId> {
    if alias == LATEST {
        return artifact.versions.iter().max_by_key(|version| version.number).map(|version| ObjectId(version.version));
    }
    let set = artifact.aliases.iter().filter(|set| set.name == alias).max_by_key(|set| (set.clock, set.version))?;
    (set.version != [0; 16]).then_some(ObjectId(set.version))
}

/// Returns the aliases that name a version, `latest` first.
pub(super) fn aliases_of(artifact: &Artifact, version: ObjectId) -> Vec<String> {
    let mut names: Vec<&str> = artifact.aliases.iter().map(|set| set.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let all = std::iter::once(LATEST).chain(names);
    all.filter(|alias| alias_target(artifact, alias) == Some(version)).map(str::to_owned).collect()
}
