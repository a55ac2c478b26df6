//! Versions that came from another workspace.

use runcellar_format::ObjectId;
use runcellar_format::record::{Artifact, CarriedVersion, Version, VersionRef};

use super::ArtifactVersion;
use super::Found;
use super::name::checked_alias;
use super::records::{self, Stored};
use crate::blob::{Entered, Pool, Put, put_manifest};
use crate::db::{ReadTx, WriteTx};
use crate::ingest::store::tag_of;
use crate::keys::{Keyring, Purpose};
use crate::{Error, ErrorKind, Result, io};
use runcellar_format::seal::Kind;

/// What became of a version that came in.
pub(crate) struct TakenIn {
    pub(crate) number: u32,
    pub(crate) is_new: bool,
}

impl ArtifactVersion {
    /// Reads the version's record.
    pub(crate) fn record(&self) -> Result<Version> {
        self.inner.read(|tx, keyring| records::version(tx, keyring, self.object)).map(|stored| stored.record)
    }
}

/// Finds the artifact of a version that comes in.
fn artifact_of(
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    project: ObjectId,
    carried: &CarriedVersion,
) -> Found<Stored<Artifact>> {
    let artifact = records::artifact(tx, keyring, project, &carried.name)?;
    if let Some(Stored { record, .. }) = &artifact {
        if record.collection {
            let message = format!("artifact {}: is a collection of links here", carried.name);
            return Err(Error::new(ErrorKind::Exists, message));
        }
        if record.kind != carried.kind {
            let (name, here, there) = (&carried.name, &record.kind, &carried.kind);
            let message = format!("artifact {name}: is of type {here:?} here, not {there:?}");
            return Err(Error::new(ErrorKind::Exists, message));
        }
    }
    Ok(artifact)
}

/// Finds a version that came in before; returns its number.
///
/// # Errors
/// If an alias is none, or its artifact is of another sort here.
pub(crate) fn find_carried(tx: &ReadTx<'_>, keyring: &Keyring, carried: &CarriedVersion) -> Found<u32> {
    let wrong = |what: &dyn std::fmt::Display| Error::damaged(format!("artifact {}: {what}", carried.name));
    carried.aliases.iter().try_for_each(|alias| checked_alias(alias).map(drop)).map_err(|error| wrong(&error))?;
    carried.version.metadata.json().map_err(|cause| wrong(&cause))?;
    let tag = tag_of(tx, keyring, Kind::Project, &carried.project)?;
    let Some(project) = tx.object_by_tag(Kind::Project, &tag)? else { return Ok(None) };
    let Some(artifact) = artifact_of(tx, keyring, project.key.id, carried)? else { return Ok(None) };
    let listed = artifact.record.versions.iter().find(|listed| listed.version == carried.object);
    Ok(listed.map(|listed| listed.number))
}

/// Makes a version of content that was put; none if it must be put again.
pub(crate) fn take_in(
    tx: &mut WriteTx<'_>,
    pool: &Pool,
    put: &Put,
    carried: &CarriedVersion,
) -> Result<Option<TakenIn>> {
    if put.commit(tx, pool)? == Entered::Stale {
        return Ok(None);
    }
    let mut artifact = match artifact_of(tx, tx.keyring, pool.project, carried)? {
        Some(artifact) => artifact,
        None => {
            let object = ObjectId(io::random(tx.io)?);
            records::draw_key(tx, pool.project, object, Purpose::Artifact)?;
            let (name, kind, created) = (carried.name.clone(), carried.kind.clone(), carried.version.created);
            Stored { object, record: Artifact { project: pool.project.0, name, kind, created, ..Artifact::default() } }
        }
    };
    let made_by = ObjectId(carried.version.made_by);
    for listed in artifact.record.versions.clone() {
        let mut here = records::version(tx, tx.keyring, ObjectId(listed.version))?;
        if here.record.digest == put.digest {
            if made_by != ObjectId::NIL && records::make_again(&mut here.record, made_by) {
                records::store_version(tx, &here)?;
            }
            return Ok(Some(TakenIn { number: listed.number, is_new: false }));
        }
    }
    let object = match records::find_version(tx, tx.keyring, ObjectId(carried.object))? {
        None => ObjectId(carried.object),
        Some(_) => ObjectId(io::random(tx.io)?),
    };
    records::draw_key(tx, pool.project, object, Purpose::Version)?;
    let record = &mut artifact.record;
    let wanted = carried.version.number;
    let is_free = wanted < u32::MAX && record.versions.iter().all(|listed| listed.number != wanted);
    let number = if is_free { wanted } else { record.next_version };
    let next = number.checked_add(1);
    let next = next.ok_or_else(|| Error::invalid(format!("artifact {}: has no more numbers", carried.name)))?;
    record.next_version = record.next_version.max(next);
    let at = record.versions.partition_point(|listed| listed.number < number);
    record.versions.insert(at, VersionRef { number, version: object.0, time: carried.version.created });
    let version = Version {
        artifact: artifact.object.0,
        number,
        read_from_ns: 0,
        digest: put.digest,
        files: put.files,
        bytes: put.bytes,
        parts: put.manifest.firsts.clone(),
        ..carried.version.clone()
    };
    let key = records::store_version(tx, &Stored { object, record: version })?;
    put_manifest(tx, &key, object, 0, &put.manifest.parts)?;
    for alias in &carried.aliases {
        if records::alias_target(&artifact.record, alias).is_none() {
            records::set_alias(tx, &mut artifact.record, &checked_alias(alias)?, object);
        }
    }
    records::store_artifact(tx, &artifact)?;
    Ok(Some(TakenIn { number, is_new: true }))
}

/// Records that a run used a version, if the version is here.
pub(crate) fn note_use(tx: &mut WriteTx<'_>, version: ObjectId, run: ObjectId, time: i64) -> Result<()> {
    let Some(mut version) = records::find_version(tx, tx.keyring, version)? else { return Ok(()) };
    if version.record.used_by.iter().any(|(user, _)| *user == run.0) {
        return Ok(());
    }
    version.record.used_by.push((run.0, time));
    records::store_version(tx, &version).map(drop)
}
