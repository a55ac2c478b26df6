//! Which chunks of a pool are in use: those that a manifest names, and nothing else decides.
//!
//! What cannot be read might name any chunk, and what belongs to nobody that is known might belong to this pool: both
//! stop a collection.

use std::collections::{HashMap, HashSet};

use runcellar_format::record::{Artifact, Body, Content, Manifest, RunRecord, Version};
use runcellar_format::seal::Kind;
use runcellar_format::{ChunkId, ObjectId};

use super::pool::{Class, Pool};
use crate::db::{ObjectKey, ReadTx};
use crate::keys::Keyring;
use crate::{Error, Result};

/// Calls `each` with the chunks that manifests of a pool name, but for manifests of some owners; with one that several
/// name more than once.
///
/// # Errors
/// If a manifest cannot be read or told to belong to another pool: nothing may be dropped then.
pub(super) fn each_live_chunk(
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    pool: &Pool,
    except: &HashSet<ObjectId>,
    each: &mut dyn FnMut(ChunkId),
) -> Result<()> {
    for owner in owners_in(tx, keyring, pool)?.into_iter().filter(|owner| !except.contains(owner)) {
        let positions = pool.class.positions();
        for row in tx.objects_within(Kind::Manifest, owner, positions.start, positions.end - 1)? {
            let body = tx.open_object(keyring, &row)?;
            let part = Manifest::from_body(&body)
                .map_err(|cause| Error::format(format_args!("manifest {owner}, part {}", row.key.position), cause))?;
            for entry in part.entries {
                if let Content::File(file) = entry.content {
                    file.chunks.iter().for_each(|(_, id)| each(ChunkId(*id)));
                }
            }
        }
    }
    Ok(())
}

/// Returns whose manifests name chunks of a pool: versions of artifacts, or runs.
pub(crate) fn owners_in(tx: &ReadTx<'_>, keyring: &Keyring, pool: &Pool) -> Result<Vec<ObjectId>> {
    let mut owners = Vec::new();
    let mut artifacts = HashMap::new();
    for owner in tx.object_ids(Kind::Manifest)? {
        let positions = pool.class.positions();
        if !tx.positions(Kind::Manifest, owner)?.iter().any(|position| positions.contains(position)) {
            continue;
        }
        let project = match pool.class {
            Class::Artifacts => {
                let artifact = ObjectId(record::<Version>(tx, keyring, Kind::Version, owner)?.artifact);
                match artifacts.get(&artifact) {
                    Some(project) => *project,
                    None => {
                        let project = record::<Artifact>(tx, keyring, Kind::Artifact, artifact)?.project;
                        artifacts.insert(artifact, project);
                        project
                    }
                }
            }
            Class::Code | Class::Media => record::<RunRecord>(tx, keyring, Kind::Run, owner)?.project,
        };
        if project == pool.project.0 {
            owners.push(owner);
        }
    }
    Ok(owners)
}

pub(super) fn record<T: Body>(tx: &ReadTx<'_>, keyring: &Keyring, kind: Kind, id: ObjectId) -> Result<T> {
    let row = tx.object(ObjectKey::new(kind, id, 0))?;
    let row = row.ok_or_else(|| Error::damaged(format!("{} {id}: missing, and its manifest is there", T::NAME)))?;
    let body = tx.open_object(keyring, &row)?;
    T::from_body(&body).map_err(|cause| Error::format(format_args!("{} {id}", T::NAME), cause))
}
