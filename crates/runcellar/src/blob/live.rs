//! Which chunks of a pool are in use: those that a manifest names.

use std::collections::HashSet;

use runcellar_format::record::{Artifact, Body, Content, Manifest, RunRecord};
use runcellar_format::seal::Kind;
use runcellar_format::{ChunkId, ObjectId};

use super::pool::{Class, Pool};
use crate::db::{ObjectKey, ReadTx};
use crate::keys::Keyring;
use crate::{Error, Result};

/// Returns the chunks that manifests of a pool name.
///
/// # Errors
/// If a manifest cannot be read: what it names is not known then, and nothing may be dropped.
pub(super) fn live_chunks(tx: &ReadTx<'_>, keyring: &Keyring, pool: &Pool) -> Result<HashSet<ChunkId>> {
    let mut live = HashSet::new();
    let mut each = |owner: ObjectId, positions: std::ops::Range<u64>| -> Result<()> {
        for row in tx.objects_within(Kind::Manifest, owner, positions.start, positions.end - 1)? {
            let body = tx.open_object(keyring, &row)?;
            let part = Manifest::from_body(&body)
                .map_err(|cause| Error::format(format_args!("manifest {owner}, part {}", row.key.position), cause))?;
            for entry in part.entries {
                if let Content::File(file) = entry.content {
                    live.extend(file.chunks.iter().map(|(_, id)| ChunkId(*id)));
                }
            }
        }
        Ok(())
    };
    for owner in owners(tx, keyring, pool)? {
        each(owner, pool.class.positions())?;
    }
    Ok(live)
}

/// Returns what may have manifests in a pool: versions of artifacts, or runs.
fn owners(tx: &ReadTx<'_>, keyring: &Keyring, pool: &Pool) -> Result<Vec<ObjectId>> {
    let mut owners = Vec::new();
    match pool.class {
        Class::Artifacts => {
            for row in tx.objects(Kind::Artifact, None)? {
                let body = tx.open_object(keyring, &row)?;
                let artifact = Artifact::from_body(&body)
                    .map_err(|cause| Error::format(format_args!("artifact {}", row.key.id), cause))?;
                // Links of a collection name versions of others.
                if artifact.project == pool.project.0 && !artifact.collection {
                    owners.extend(artifact.versions.iter().map(|version| ObjectId(version.version)));
                }
            }
        }
        Class::Code | Class::Media => {
            for owner in tx.object_ids(Kind::Manifest)? {
                let Some(row) = tx.object(ObjectKey::new(Kind::Run, owner, 0))? else { continue };
                let body = tx.open_object(keyring, &row)?;
                let record =
                    RunRecord::from_body(&body).map_err(|cause| Error::format(format_args!("run {owner}"), cause))?;
                if record.project == pool.project.0 {
                    owners.push(owner);
                }
            }
        }
    }
    Ok(owners)
}
