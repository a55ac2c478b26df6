//! Putting a version: content first, then one transaction that names it.

use std::sync::Arc;

use runcellar_format::ObjectId;
use runcellar_format::blob::Effort;
use runcellar_format::record::{Artifact, Tokens, Version, VersionRef};

use super::ArtifactVersion;
use super::draft::ArtifactDraft;
use super::find::Look;
use super::label::checked_metadata;
use super::name::checked_alias;
use super::records::{self, Stored};
use crate::blob::{self, Class, Entered, ManifestReader, Pool, PutOptions, put_manifest};
use crate::db::WriteTx;
use crate::ingest::store::ensure_project;
use crate::keys::Purpose;
use crate::workspace::{Inner, Occasion};
use crate::{Error, ErrorKind, Result, Workspace, io};

/// How often content is put again because chunks that it relied on went meanwhile.
const PUTS_MAX: usize = 4;

/// How to put an artifact.
#[derive(Debug, Clone, Default)]
pub struct PutSettings {
    /// The project.
    pub project: String,
    /// The run that makes it, as [`Workspace::find_run`] finds it.
    pub run: Option<String>,
    /// Spend more time on making it smaller.
    pub compress: bool,
    /// Aliases that are to name the version, besides those of the draft.
    pub aliases: Vec<String>,
}

/// What a put did.
#[derive(Debug)]
pub struct PutReport {
    /// The version that has the content now.
    pub version: ArtifactVersion,
    /// False if the newest version had this content already.
    pub is_new: bool,
    /// Bytes of content that were not there before.
    pub new_bytes: u64,
    /// Bytes of files that were read: those that are as they were in the newest version are not.
    pub read_bytes: u64,
}

impl Workspace {
    /// Puts a version of an artifact. When this returns it is durable.
    ///
    /// Content that the newest version has already makes no new version: its aliases are set, and that is all.
    ///
    /// # Errors
    /// If a file cannot be read or changes while it is read, or the workspace cannot be written. Then there is no new version; a
    /// later put of the same files goes on where this one ended.
    pub fn put_artifact(&self, draft: &ArtifactDraft, settings: &PutSettings) -> Result<PutReport> {
        let inner = &*self.inner;
        let project = crate::run::checked_name("project", settings.project.clone(), &['/', ':', '#', '?'])?;
        let metadata = checked_metadata(&draft.metadata)?;
        let more = settings.aliases.iter().map(|alias| checked_alias(alias)).collect::<Result<Vec<_>>>()?;
        let aliases = [draft.aliases.as_slice(), &more].concat();
        let made_by = settings.run.as_deref().map(|run| self.find_run(run)).transpose()?.map(|run| run.object);
        let (pool, newest) = inner.write(None, |tx| {
            let object = ObjectId(io::random(tx.io)?);
            let created = tx.io.wall_us();
            let object = ensure_project(tx, &project, object, created)?;
            let pool = Pool::find_or_make(tx, object, Class::Artifacts)?;
            Ok((pool, newest(tx, object, &draft.name)?))
        })?;
        let effort = if settings.compress { Effort::Best } else { Effort::Default };
        let options = PutOptions { effort, bytes_total: draft.bytes() };
        for _ in 0..PUTS_MAX {
            let read_from_ns = inner.io.wall_us().saturating_mul(1000);
            let previous = newest.as_ref().map(|newest| {
                let parts = newest.record.parts.len() as u64;
                (ManifestReader::new(inner, newest.object, 0..parts), newest.record.read_from_ns)
            });
            let put = blob::put(inner, &pool, &mut draft.sources(), previous, options)?;
            let new = New { draft, metadata: &metadata, aliases: &aliases, made_by, read_from_ns };
            let named = inner.write(None, |tx| name_it(&self.inner, tx, &pool, &put, &new))?;
            put.committed(&pool);
            let Some((version, is_new)) = named else { continue };
            self.warn_of_quotas(&project, Occasion::Put(put.new_bytes));
            return Ok(PutReport { version, is_new, new_bytes: put.new_bytes, read_bytes: put.read_bytes });
        }
        let message = format!("artifact {}: what it shares with others is being removed all the time", draft.name);
        Err(Error::new(ErrorKind::Busy, message))
    }
}

struct New<'a> {
    draft: &'a ArtifactDraft,
    metadata: &'a Tokens,
    aliases: &'a [String],
    made_by: Option<ObjectId>,
    read_from_ns: i64,
}

fn newest(tx: &WriteTx<'_>, project: ObjectId, name: &str) -> Result<Option<Stored<Version>>> {
    let Some(artifact) = records::artifact(tx, tx.keyring, project, name)? else { return Ok(None) };
    match records::alias_target(&artifact.record, super::name::LATEST) {
        Some(version) => records::version(tx, tx.keyring, version).map(Some),
        None => Ok(None),
    }
}

/// Enters the packs and makes the version, or finds that the newest has this content; none if it must be put again.
fn name_it(
    inner: &Arc<Inner>,
    tx: &mut WriteTx<'_>,
    pool: &Pool,
    put: &blob::Put,
    new: &New<'_>,
) -> Result<Option<(ArtifactVersion, bool)>> {
    if put.commit(tx, pool)? == Entered::Stale {
        return Ok(None);
    }
    let New { draft, metadata, aliases, made_by, read_from_ns } = *new;
    let now = tx.io.wall_us();
    let mut artifact = match records::artifact(tx, tx.keyring, pool.project, &draft.name)? {
        Some(artifact) => artifact,
        None => {
            let object = ObjectId(io::random(tx.io)?);
            records::draw_key(tx, pool.project, object, Purpose::Artifact)?;
            let (name, kind) = (draft.name.clone(), draft.kind.clone());
            let record = Artifact { project: pool.project.0, name, kind, created: now, ..Artifact::default() };
            Stored { object, record }
        }
    };
    if artifact.record.collection {
        return Err(Error::invalid(format!("artifact {}: a collection of links, to which none is put", draft.name)));
    }
    if !draft.kind.is_empty() && artifact.record.kind != draft.kind {
        let message = format!("artifact {}: is of type {:?}, not {:?}", draft.name, artifact.record.kind, draft.kind);
        return Err(Error::invalid(message));
    }
    let newest = newest(tx, pool.project, &draft.name)?;
    let same = newest.filter(|newest| newest.record.digest == put.digest);
    let is_new = same.is_none();
    let version = match same {
        Some(mut version) => {
            if made_by.is_some_and(|run| records::make_again(&mut version.record, run)) {
                records::store_version(tx, &version)?;
            }
            version
        }
        None => {
            let object = ObjectId(io::random(tx.io)?);
            records::draw_key(tx, pool.project, object, Purpose::Version)?;
            let number = artifact.record.next_version;
            let record = Version {
                artifact: artifact.object.0,
                number,
                created: now,
                read_from_ns,
                digest: put.digest,
                files: put.files,
                bytes: put.bytes,
                parts: put.manifest.firsts.clone(),
                description: draft.description.clone(),
                metadata: metadata.clone(),
                made_by: made_by.map_or([0; 16], |run| run.0),
                ..Version::default()
            };
            let version = Stored { object, record };
            let key = records::store_version(tx, &version)?;
            put_manifest(tx, &key, object, 0, &put.manifest.parts)?;
            artifact.record.next_version = number
                .checked_add(1)
                .ok_or_else(|| Error::invalid(format!("artifact {}: has no more numbers", draft.name)))?;
            artifact.record.versions.push(VersionRef { number, version: object.0, time: now });
            version
        }
    };
    let before = artifact.record.aliases.len();
    for alias in aliases {
        records::set_alias(tx, &mut artifact.record, alias, version.object);
    }
    if is_new || artifact.record.aliases.len() > before {
        records::store_artifact(tx, &artifact)?;
    }
    let listed = artifact.record.versions.iter().find(|listed| listed.version == version.object.0);
    let listed = *listed.ok_or_else(|| Error::damaged(format!("artifact {}: does not list a version", draft.name)))?;
    let version = Look::new(inner, tx, tx.keyring)?.version(&artifact, listed)?;
    Ok(Some((version, is_new)))
}
