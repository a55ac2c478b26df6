//! Artifact versions that come in.

use std::sync::Arc;

use runcellar_format::ObjectId;
use runcellar_format::record::CarriedVersion;

use super::arrive::{Outcome, Taken};
use super::examine::pass;
use super::pieces::FilesIn;
use super::run::moved;
use crate::artifacts::{TakenIn, find_carried, take_in};
use crate::blob::{self, Class, Pool, PutOptions};
use crate::ingest::store::ensure_project;
use crate::workspace::Inner;
use crate::{Result, io};

/// Finds a version that comes in.
///
/// # Errors
/// If its artifact is of another type here, or a collection.
pub(super) fn find(inner: &Inner, carried: &CarriedVersion) -> Result<Option<Taken>> {
    let erased = inner.read(|tx, keyring| {
        let version = &carried.version;
        Ok(tx.is_buried(keyring, ObjectId(carried.object))? || tx.is_buried(keyring, ObjectId(version.artifact))?)
    });
    if erased? {
        return Ok(Some(taken(carried, carried.version.number, carried.version.bytes, Outcome::Erased)));
    }
    let number = inner.read(|tx, keyring| find_carried(tx, keyring, carried))?;
    Ok(number.map(|number| taken(carried, number, carried.version.bytes, Outcome::Here)))
}

pub(super) fn taken(carried: &CarriedVersion, number: u32, amount: u64, outcome: Outcome) -> Taken {
    let name = format!("{}:v{number}", carried.name);
    Taken { name, project: carried.project.clone(), is_run: false, amount, outcome }
}

/// Opens the pool of a project, and makes both if they are not there.
pub(super) fn pool_of(inner: &Inner, project: &str, class: Class) -> Result<Pool> {
    inner.write(None, |tx| {
        let object = ObjectId(io::random(tx.io)?);
        let created = tx.io.wall_us();
        let object = ensure_project(tx, project, object, created)?;
        Pool::find_or_make(tx, object, class)
    })
}

pub(super) fn store(inner: &Arc<Inner>, carried: &CarriedVersion, files: &mut FilesIn<'_, '_>) -> Result<Taken> {
    if let Some(here) = find(inner, carried)? {
        pass(files)?;
        return Ok(here);
    }
    let pool = pool_of(inner, &carried.project, Class::Artifacts)?;
    let put = blob::put(inner, &pool, files, None, PutOptions::default())?;
    let stored = inner.write(None, |tx| take_in(tx, &pool, &put, carried))?;
    put.committed(&pool);
    let TakenIn { number, is_new } = stored.ok_or_else(|| moved(&carried.name))?;
    Ok(taken(carried, number, put.bytes, if is_new { Outcome::New } else { Outcome::Here }))
}
