//! Finding and listing versions.

use std::collections::HashMap;
use std::sync::Arc;

use runcellar_format::ObjectId;
use runcellar_format::record::{Artifact, Body as _, Project, Version, VersionRef};
use runcellar_format::seal::Kind;

use super::name::{ArtifactName, VersionName};
use super::records::{self, Stored, alias_target, aliases_of};
use super::{ArtifactVersion, hexadecimal};
use crate::db::ReadTx;
use crate::keys::Keyring;
use crate::workspace::Inner;
use crate::{Error, ErrorKind, Result, Workspace};

impl Workspace {
    /// Finds a version of an artifact by `[project/]name[:vN|:alias]`.
    ///
    /// A link of a collection is followed: what comes back has the content of the version that it links to, under the
    /// collection's name and number.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], also if a link leads to a version that was removed; [`ErrorKind::Ambiguous`] if several
    /// projects have the name and none is given.
    pub fn artifact(&self, name: &str) -> Result<ArtifactVersion> {
        let wanted = ArtifactName::parse(name)?;
        self.inner.read(|tx, keyring| {
            let look = Look::new(&self.inner, tx, keyring)?;
            let artifact = look.artifact(&wanted, name)?;
            let no_version = || Error::new(ErrorKind::NotFound, format!("no version {name}"));
            let versions = &artifact.record.versions;
            let listed = match &wanted.version {
                VersionName::Alias(alias) => {
                    let object = alias_target(&artifact.record, alias).ok_or_else(no_version)?;
                    versions.iter().find(|version| version.version == object.0)
                }
                VersionName::Number(number) => versions.iter().find(|version| version.number == *number),
            };
            look.version(&artifact, *listed.ok_or_else(no_version)?)
        })
    }

    /// Lists all versions of all artifacts, of one project if it is given: by project, name and number.
    ///
    /// Links whose version was removed are left out, with a warning.
    ///
    /// # Errors
    /// If the workspace cannot be read.
    pub fn artifacts(&self, project: Option<&str>) -> Result<Vec<ArtifactVersion>> {
        let mut found = self.inner.read(|tx, keyring| {
            let look = Look::new(&self.inner, tx, keyring)?;
            let mut found = Vec::new();
            for artifact in records::artifacts(tx, keyring)? {
                if project.is_none_or(|project| project == look.project(&artifact.record)) {
                    look.versions(&artifact, &mut found)?;
                }
            }
            Ok(found)
        })?;
        found.sort_by(|a, b| (&a.project, &a.name, a.number).cmp(&(&b.project, &b.name, b.number)));
        Ok(found)
    }

    /// Finds an artifact or collection by `[project/]name`: its object id, and `project/name`.
    pub(crate) fn artifact_object(&self, name: &str) -> Result<(ObjectId, String)> {
        let wanted = ArtifactName::without_version(name)?;
        self.inner.read(|tx, keyring| {
            let look = Look::new(&self.inner, tx, keyring)?;
            let found = look.artifact(&wanted, name)?;
            Ok((found.object, look.full_name(&found.record)))
        })
    }

    /// Lists the versions of one artifact, by number. `name` is `[project/]name`.
    ///
    /// # Errors
    /// As [`Workspace::artifact`]; [`ErrorKind::InvalidArgument`] if a version is named.
    pub fn artifact_versions(&self, name: &str) -> Result<Vec<ArtifactVersion>> {
        let wanted = ArtifactName::without_version(name)?;
        self.inner.read(|tx, keyring| {
            let look = Look::new(&self.inner, tx, keyring)?;
            let mut found = Vec::new();
            look.versions(&look.artifact(&wanted, name)?, &mut found)?;
            Ok(found)
        })
    }
}

/// An artifact or collection, by what it is and has.
pub(crate) struct Listed {
    pub(crate) artifact: ObjectId,
    pub(crate) project: ObjectId,
    /// Its own versions; none of a collection, which has links.
    pub(crate) versions: Vec<ObjectId>,
}

/// Lists all artifacts and collections.
pub(crate) fn listed(tx: &ReadTx<'_>, keyring: &Keyring) -> Result<Vec<Listed>> {
    let list = |Stored { object, record }: Stored<Artifact>| Listed {
        artifact: object,
        project: ObjectId(record.project),
        versions: match record.collection {
            true => Vec::new(),
            false => record.versions.iter().map(|version| ObjectId(version.version)).collect(),
        },
    };
    Ok(records::artifacts(tx, keyring)?.into_iter().map(list).collect())
}

/// One look at the artifacts of a workspace: what projects are called, read once.
pub(super) struct Look<'a> {
    inner: &'a Arc<Inner>,
    tx: &'a ReadTx<'a>,
    keyring: &'a Keyring,
    projects: HashMap<ObjectId, String>,
}

impl<'a> Look<'a> {
    pub(super) fn new(inner: &'a Arc<Inner>, tx: &'a ReadTx<'a>, keyring: &'a Keyring) -> Result<Look<'a>> {
        Ok(Look { inner, tx, keyring, projects: project_names(tx, keyring)? })
    }

    /// Returns the name of an artifact's project.
    pub(super) fn project(&self, artifact: &Artifact) -> &str {
        self.projects.get(&ObjectId(artifact.project)).map_or("", String::as_str)
    }

    /// Finds the one artifact of a name, which was typed as `typed`.
    pub(super) fn artifact(&self, wanted: &ArtifactName, typed: &str) -> Result<Stored<Artifact>> {
        let mut found = records::artifacts(self.tx, self.keyring)?;
        found.retain(|artifact| {
            let project = self.project(&artifact.record);
            artifact.record.name == wanted.name && wanted.project.as_ref().is_none_or(|name| name == project)
        });
        if found.len() > 1 {
            let mut names: Vec<String> = found.iter().map(|one| self.full_name(&one.record)).collect();
            names.sort_unstable();
            let message = format!("artifact {}: it can be {}", wanted.name, names.join(" or "));
            return Err(Error::new(ErrorKind::Ambiguous, message));
        }
        found.pop().ok_or_else(|| Error::new(ErrorKind::NotFound, format!("no artifact {typed}")))
    }

    fn full_name(&self, artifact: &Artifact) -> String {
        format!("{}/{}", self.project(artifact), artifact.name)
    }

    /// Adds the versions of an artifact to a list, without links that lead nowhere.
    pub(super) fn versions(&self, artifact: &Stored<Artifact>, to: &mut Vec<ArtifactVersion>) -> Result<()> {
        for listed in &artifact.record.versions {
            match self.version(artifact, *listed) {
                Ok(version) => to.push(version),
                Err(error) if artifact.record.collection && error.kind() == ErrorKind::NotFound => {
                    self.inner.monitor.warn(&error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads a version that an artifact or collection lists.
    pub(super) fn version(&self, artifact: &Stored<Artifact>, listed: VersionRef) -> Result<ArtifactVersion> {
        let Stored { object: home, record: artifact } = artifact;
        let object = ObjectId(listed.version);
        let found = records::find_version(self.tx, self.keyring, object)?;
        let name = || format!("artifact {}:v{}", self.full_name(artifact), listed.number);
        let version = match found {
            Some(version) => version.record,
            None if artifact.collection => {
                let message = format!("{}: the version that it links to was removed", name());
                return Err(Error::new(ErrorKind::NotFound, message));
            }
            None => return Err(Error::damaged(format!("{}: its record is missing", name()))),
        };
        let origin = match artifact.collection {
            true => Some(records::artifact_at(self.tx, self.keyring, ObjectId(version.artifact))?),
            false => None,
        };
        let metadata = version.metadata.json().map_err(|cause| Error::format("metadata of an artifact", cause))?;
        let links_to = origin.as_ref().map(|origin| format!("{}:v{}", self.full_name(&origin.record), version.number));
        let made_again_by = records::made_again_by(&version).filter_map(hexadecimal).collect();
        let Version { digest, created, files, bytes, description, made_by, used_by, parts, .. } = version;
        Ok(ArtifactVersion {
            inner: self.inner.clone(),
            object,
            artifact: *home,
            content_project: ObjectId(origin.map_or(artifact.project, |origin| origin.record.project)),
            parts: parts.len() as u64,
            project: self.project(artifact).to_owned(),
            name: artifact.name.clone(),
            kind: artifact.kind.clone(),
            number: listed.number,
            digest: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            created,
            files,
            bytes,
            description,
            metadata,
            aliases: aliases_of(artifact, object),
            links_to,
            made_by: hexadecimal(made_by),
            made_again_by,
            used_by: used_by.iter().filter_map(|(run, time)| Some((hexadecimal(*run)?, *time))).collect(),
        })
    }
}

/// Returns what the projects are called.
pub(crate) fn project_names(tx: &ReadTx<'_>, keyring: &Keyring) -> Result<HashMap<ObjectId, String>> {
    let mut names = HashMap::new();
    for row in tx.objects(Kind::Project, None)? {
        let body = tx.open_object(keyring, &row)?;
        let project = Project::from_body(&body).map_err(|cause| Error::format("project", cause))?;
        names.insert(row.key.id, project.name);
    }
    Ok(names)
}
