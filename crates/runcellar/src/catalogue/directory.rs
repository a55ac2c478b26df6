//! The directory: which blocks there are, and which changes they know nothing of.

use std::collections::{HashMap, HashSet};

use runcellar_format::record::{Body, CatalogueDirectory};
use runcellar_format::seal::Kind;
use runcellar_format::{KeyId, ObjectId};

use crate::db::{ObjectKey, ObjectRow, ReadTx, WORKSPACE_OWNER};
use crate::keys::{Keyring, Purpose};
use crate::{Error, Result};

/// The place of the directory.
pub(crate) const DIRECTORY: ObjectKey = ObjectKey { kind: Kind::Catalogue, id: WORKSPACE_OWNER, position: 0 };

/// Opens the directory's row.
pub(crate) fn open_directory(tx: &ReadTx<'_>, keyring: &Keyring, row: &ObjectRow) -> Result<CatalogueDirectory> {
    let body = tx.open_object(keyring, row)?;
    CatalogueDirectory::from_body(&body).map_err(|cause| Error::format("catalogue directory", cause))
}

/// What changed since some changes.
#[derive(Default)]
pub(super) struct Changes {
    /// Runs, each once, in order of their first change.
    pub(super) runs: Vec<ObjectId>,
    /// True if a project was made or changed.
    pub(super) projects: bool,
    /// For each device the last change looked at.
    pub(super) reached: HashMap<ObjectId, u64>,
}

/// Finds what was changed after the changes `seen`, without opening a record: the clear header of a change names its
/// key, and the key table says whose it is. Stops when `runs_max` runs are found.
pub(super) fn changes_since(tx: &ReadTx<'_>, seen: &HashMap<ObjectId, u64>, runs_max: usize) -> Result<Changes> {
    let mut changes = Changes { reached: seen.clone(), ..Changes::default() };
    let mut owners: HashMap<KeyId, Option<(ObjectId, u8)>> = HashMap::new();
    let mut found = HashSet::new();
    for (device, last) in tx.devices()? {
        let from = seen.get(&device).copied().unwrap_or(0);
        if last <= from {
            continue;
        }
        tx.changes_after(device, from, |seq, key| {
            let owner = match owners.get(&key) {
                Some(owner) => *owner,
                None => {
                    let owner = tx.key_owner(key)?;
                    owners.insert(key, owner);
                    owner
                }
            };
            match owner {
                Some((run, purpose)) if purpose < Purpose::ProjectRecord as u8 && !found.contains(&run) => {
                    if found.len() == runs_max {
                        return Ok(false);
                    }
                    found.insert(run);
                    changes.runs.push(run);
                }
                Some((_, purpose)) if (Purpose::ProjectRecord as u8..Purpose::Lookup as u8).contains(&purpose) => {
                    changes.projects = true;
                }
                // Of a run that is known already, or of the workspace; or the key is gone, and with it what was said.
                _ => {}
            }
            changes.reached.insert(device, seq);
            Ok(true)
        })?;
    }
    Ok(changes)
}

/// Returns the runs that were changed since a directory's blocks.
pub(crate) fn changed_since(tx: &ReadTx<'_>, directory: &CatalogueDirectory) -> Result<HashSet<ObjectId>> {
    Ok(changes_since(tx, &covered(directory), usize::MAX)?.runs.into_iter().collect())
}

/// Counts the changes that a directory knows nothing of.
pub(super) fn changes_uncovered(tx: &ReadTx<'_>, directory: &CatalogueDirectory) -> Result<u64> {
    let covered = covered(directory);
    let behind = |(device, last): &(ObjectId, u64)| last.saturating_sub(covered.get(device).copied().unwrap_or(0));
    Ok(tx.devices()?.iter().map(behind).sum())
}

/// Returns what a directory covers, by device.
pub(super) fn covered(directory: &CatalogueDirectory) -> HashMap<ObjectId, u64> {
    directory.covered.iter().map(|(device, seq)| (ObjectId(*device), *seq)).collect()
}
