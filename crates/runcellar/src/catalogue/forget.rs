//! Taking runs out of the catalogue that are removed for good.

use std::collections::HashSet;

use runcellar_format::ObjectId;
use runcellar_format::record::{Body, CatalogueDirectory};
use runcellar_format::seal::Kind;

use super::block::Block;
use super::directory::{self, DIRECTORY};
use crate::db::{Cover, ReadTx, WORKSPACE_OWNER, WriteTx};
use crate::keys::{Keyring, Purpose};
use crate::{Error, ErrorKind, Result};

/// Removes the blocks in which runs stand, with their keys. The other runs of these blocks are read from their records
/// until the next fold takes them up.
///
/// The directory is written in any case, so that handles which read it before look again. If it is damaged, or a block is,
/// all blocks go: who knows of whom they speak.
pub(crate) fn forget_runs(tx: &mut WriteTx<'_>, runs: &HashSet<ObjectId>) -> Result<()> {
    let directory = match without(tx, tx.keyring, runs) {
        Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::InvalidArgument) => {
            CatalogueDirectory::default()
        }
        outcome => outcome?,
    };
    let kept: HashSet<ObjectId> = directory.blocks.iter().map(|entry| ObjectId(entry.id)).collect();
    for id in tx.object_ids(Kind::Catalogue)? {
        if id != WORKSPACE_OWNER && !kept.contains(&id) {
            tx.remove_with_keys(Kind::Catalogue, id)?;
        }
    }
    let key = tx.workspace_key(tx.keyring, Purpose::Integrity)?;
    let body = directory.to_body().map_err(|cause| Error::format("catalogue directory", cause))?;
    tx.put(DIRECTORY, None, &key, &body, Cover::Root)?;
    Ok(())
}

/// Returns the directory without the blocks in which runs stand.
fn without(tx: &ReadTx<'_>, keyring: &Keyring, runs: &HashSet<ObjectId>) -> Result<CatalogueDirectory> {
    let Some(row) = tx.object(DIRECTORY)? else { return Ok(CatalogueDirectory::default()) };
    let mut directory = directory::open_directory(tx, keyring, &row)?;
    let mut outside: HashSet<ObjectId> = directory.outside.iter().copied().map(ObjectId).collect();
    let mut kept = Vec::new();
    for entry in std::mem::take(&mut directory.blocks) {
        let block = Block::open(tx, keyring, &entry)?;
        match block.runs.iter().any(|run| runs.contains(run)) {
            true => outside.extend(block.runs),
            false => kept.push(entry),
        }
    }
    directory.blocks = kept;
    directory.outside = outside.into_iter().filter(|run| !runs.contains(run)).map(|run| run.0).collect();
    directory.outside.sort_unstable();
    Ok(directory)
}
