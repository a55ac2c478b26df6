//! Collections: artifacts whose versions are links to versions of others.

use runcellar_format::ObjectId;
use runcellar_format::record::{Artifact, VersionRef};

use super::find::Look;
use super::name::{ArtifactName, checked_alias};
use super::records::{self, Stored};
use super::{ArtifactVersion, makings};
use crate::ingest::store::ensure_project;
use crate::keys::Purpose;
use crate::{Error, Result, Workspace, io};

/// The project of collections that are named without one.
pub const REGISTRY: &str = "registry";

impl Workspace {
    /// Links a version into a collection, `[project/]name`, as its next version, and lets aliases name it there. What is
    /// linked there already is not linked again.
    ///
    /// Links take no space. Who removes the version that they lead to removes them, too.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] if the name is one of an ordinary artifact or of a collection of another
    /// type; [`crate::ErrorKind::NotFound`] if the version is gone.
    pub fn link_version(
        &self,
        version: &ArtifactVersion,
        collection: &str,
        aliases: &[String],
    ) -> Result<ArtifactVersion> {
        let wanted = ArtifactName::without_version(collection)?;
        let project = wanted.project.unwrap_or_else(|| REGISTRY.to_owned());
        let name = wanted.name;
        let aliases = aliases.iter().map(|alias| checked_alias(alias)).collect::<Result<Vec<_>>>()?;
        self.inner.write(None, |tx| {
            records::find_version(tx, tx.keyring, version.object)?.ok_or_else(|| version.is_gone())?;
            let now = tx.io.wall_us();
            let object = ObjectId(io::random(tx.io)?);
            let home = ensure_project(tx, &project, object, now)?;
            let mut collection = match records::artifact(tx, tx.keyring, home, &name)? {
                Some(collection) => collection,
                None => {
                    let object = ObjectId(io::random(tx.io)?);
                    records::draw_key(tx, home, object, Purpose::Artifact)?;
                    let (name, kind) = (name.clone(), version.kind.clone());
                    let record =
                        Artifact { project: home.0, name, kind, created: now, collection: true, ..Artifact::default() };
                    Stored { object, record }
                }
            };
            let record = &mut collection.record;
            if !record.collection {
                return Err(Error::invalid(format!(
                    "artifact {project}/{name}: no collection, so nothing is linked to it"
                )));
            }
            if record.kind != version.kind {
                let message =
                    format!("collection {project}/{name}: is of type {:?}, not {:?}", record.kind, version.kind);
                return Err(Error::invalid(message));
            }
            let known = record.versions.iter().find(|listed| listed.version == version.object.0).copied();
            let listed = match known {
                Some(listed) => listed,
                None => {
                    let number = record.next_version;
                    let more = || Error::invalid(format!("collection {project}/{name}: has no more numbers"));
                    record.next_version = number.checked_add(1).ok_or_else(more)?;
                    let time = makings::time_of_new(record, version.object, now)?;
                    let listed = VersionRef { number, version: version.object.0, time };
                    record.versions.push(listed);
                    listed
                }
            };
            let before = record.aliases.len();
            for alias in &aliases {
                records::set_alias(tx, record, alias, version.object);
            }
            if known.is_none() || record.aliases.len() > before {
                records::store_artifact(tx, &collection)?;
            }
            Look::new(&self.inner, tx, tx.keyring)?.version(&collection, listed)
        })
    }
}
