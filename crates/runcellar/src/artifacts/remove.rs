//! Removing versions: their keys go at once, and their space when packs are collected.

use std::collections::HashSet;

use runcellar_format::record::{Artifact, Content};
use runcellar_format::seal::Kind;
use runcellar_format::{ChunkId, ObjectId};

use super::find::Look;
use super::records::{self, Stored};
use super::{ArtifactVersion, makings, name::LATEST};
use crate::blob::{Class, Collected, Pool, drop_chunks, remove_files, remove_manifest};
use crate::db::{ObjectKey, WriteTx};
use crate::{Error, ErrorKind, Result, Workspace};

/// How to remove a version.
#[derive(Debug, Clone, Copy, Default)]
pub struct RemoveOptions {
    /// Also if aliases other than `latest` name it, or collections link to it; aliases and links are taken away.
    pub aliases_too: bool,
}

impl Workspace {
    /// Removes a version: record, manifest, and the keys of chunks that nothing else has. Without any version left, its artifact
    /// stays and goes on counting. [`Workspace::collect_garbage`] gives the space back.
    ///
    /// Of a link only the link goes; a merge with a copy that still has it does not bring it back.
    ///
    /// # Errors
    /// [`ErrorKind::State`] if aliases name it or collections link to it, which protects it; [`ErrorKind::NotFound`] if it is
    /// gone already.
    pub fn remove_version(&self, version: &ArtifactVersion, options: RemoveOptions) -> Result<()> {
        let mut chunks = HashSet::new();
        if version.links_to.is_none() {
            for entry in version.manifest() {
                if let Content::File(file) = entry?.entry.content {
                    chunks.extend(file.chunks.iter().map(|(_, id)| ChunkId(*id)));
                }
            }
        }
        let object = version.object;
        let gone = self.inner.write(None, |tx| {
            let mut artifact = records::artifact_at(tx, tx.keyring, version.artifact)?;
            let collections = if version.links_to.is_none() { links_to(tx, object)? } else { Vec::new() };
            if !options.aliases_too {
                let look = Look::new(&self.inner, tx, tx.keyring)?;
                protected(&look, version, &artifact.record, &collections)?;
            }
            if !unlist(tx, &mut artifact, object)? {
                return Err(version.is_gone());
            }
            if version.links_to.is_some() {
                return Ok(Vec::new());
            }
            for mut collection in collections {
                unlist(tx, &mut collection, object)?;
            }
            erase_record(tx, object)?;
            match Pool::find(tx, tx.keyring, version.content_project, Class::Artifacts)? {
                Some(pool) => drop_chunks(tx, &pool, std::mem::take(&mut chunks)),
                None => Ok(Vec::new()),
            }
        })?;
        remove_files(&self.inner, &gone, &mut Collected::default());
        Ok(())
    }
}

/// Erases a version wherever it is listed; its chunks are the caller's to drop.
pub(crate) fn erase_version(tx: &mut WriteTx<'_>, artifact: ObjectId, object: ObjectId) -> Result<()> {
    for mut listing in links_to(tx, object)? {
        unlist(tx, &mut listing, object)?;
    }
    unlist(tx, &mut records::artifact_at(tx, tx.keyring, artifact)?, object)?;
    erase_record(tx, object)
}

/// Erases an artifact or collection whose versions are erased.
pub(crate) fn erase_artifact(tx: &mut WriteTx<'_>, artifact: ObjectId) -> Result<()> {
    tx.remove_object(ObjectKey::new(Kind::Artifact, artifact, 0))?;
    tx.bury(artifact)
}

fn erase_record(tx: &mut WriteTx<'_>, object: ObjectId) -> Result<()> {
    remove_manifest(tx, object, Class::Artifacts.positions())?;
    tx.remove_object(ObjectKey::new(Kind::Version, object, 0))?;
    tx.bury(object)
}

/// Returns the collections that link to a version. An alias of one may still name a version of which the link was taken away
/// on another device.
fn links_to(tx: &WriteTx<'_>, object: ObjectId) -> Result<Vec<Stored<Artifact>>> {
    let mut all = records::artifacts(tx, tx.keyring)?;
    let lists = |artifact: &Artifact| artifact.versions.iter().any(|listed| listed.version == object.0);
    let names = |artifact: &Artifact| !records::aliases_of(artifact, object).is_empty();
    all.retain(|Stored { record, .. }| record.collection && (lists(record) || names(record)));
    Ok(all)
}

/// Refuses to remove what aliases name or collections link to.
fn protected(
    look: &Look<'_>,
    version: &ArtifactVersion,
    artifact: &Artifact,
    collections: &[Stored<Artifact>],
) -> Result<()> {
    let aliases = records::aliases_of(artifact, version.object);
    let aliases = aliases.into_iter().filter(|alias| alias != LATEST).map(|alias| format!("alias {alias}"));
    let links = collections.iter().flat_map(|Stored { record, .. }| {
        let listed = record.versions.iter().filter(|listed| listed.version == version.object.0);
        listed.map(|listed| format!("link {}/{}:v{}", look.project(record), record.name, listed.number))
    });
    let names: Vec<String> = aliases.chain(links).collect();
    if names.is_empty() {
        return Ok(());
    }
    let message = format!("artifact {}: is kept by {}", version.full_name(), names.join(", "));
    Err(Error::new(ErrorKind::State, message))
}

/// Takes a version and its aliases out of what lists it; false if it is not listed.
fn unlist(tx: &mut WriteTx<'_>, artifact: &mut Stored<Artifact>, object: ObjectId) -> Result<bool> {
    let Stored { record, .. } = artifact;
    let aliases = records::aliases_of(record, object);
    let before = record.versions.len();
    match record.collection {
        true => makings::take_away(record, object)?,
        false => record.versions.retain(|listed| listed.version != object.0),
    }
    let is_listed = record.versions.len() < before;
    for alias in aliases.iter().filter(|alias| *alias != LATEST) {
        records::take_alias(tx, record, alias);
    }
    if is_listed || !aliases.is_empty() {
        records::store_artifact(tx, artifact)?;
    }
    Ok(is_listed)
}
