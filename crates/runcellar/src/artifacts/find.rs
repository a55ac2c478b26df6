//! Finding and listing versions.

use std::collections::HashMap;

use runcellar_format::ObjectId;
use runcellar_format::record::{Artifact, Body as _, Project, Version};
use runcellar_format::seal::Kind;

use super::name::{ArtifactName, VersionName};
use super::records::{self, Stored, alias_target, aliases_of};
use super::{ArtifactVersion, hexadecimal};
use crate::db::ReadTx;
use crate::keys::Keyring;
use crate::{Error, ErrorKind, Result, Workspace};

impl Workspace {
    /// Finds a version of an artifact by `[project/]name[:vN|:alias]`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Ambiguous`] if several projects have the name and none is given.
    pub fn artifact(&self, name: &str) -> Result<ArtifactVersion> {
        let wanted = ArtifactName::parse(name)?;
        let not_found = |what: String| Error::new(ErrorKind::NotFound, what);
        let (artifact, version, project) = self.inner.read(|tx, keyring| {
            let projects = project_names(tx, keyring)?;
            let mut found: Vec<Stored<Artifact>> = records::artifacts(tx, keyring)?;
            found.retain(|artifact| {
                let project = projects.get(&ObjectId(artifact.record.project));
                artifact.record.name == wanted.name && wanted.project.as_ref().is_none_or(|name| Some(name) == project)
            });
            let name_of = |artifact: &Artifact| projects.get(&ObjectId(artifact.project)).cloned().unwrap_or_default();
            if found.len() > 1 {
                let names: Vec<String> =
                    found.iter().map(|one| format!("{}/{}", name_of(&one.record), one.record.name)).collect();
                let message = format!("artifact {}: {} have that name", wanted.name, names.join(", "));
                return Err(Error::new(ErrorKind::Ambiguous, message));
            }
            let Some(artifact) = found.pop() else { return Err(not_found(format!("no artifact {name}"))) };
            let object = match &wanted.version {
                VersionName::Alias(alias) => alias_target(&artifact.record, alias),
                VersionName::Number(number) => {
                    let version = artifact.record.versions.iter().find(|version| version.number == *number);
                    version.map(|version| ObjectId(version.version))
                }
            };
            let Some(object) = object else { return Err(not_found(format!("no version {name}"))) };
            let project = name_of(&artifact.record);
            Ok((artifact, records::version(tx, keyring, object)?, project))
        })?;
        self.version_of(&artifact.record, version, project)
    }

    /// Lists all versions of all artifacts, of one project if it is given: by project, name and number.
    ///
    /// # Errors
    /// If the workspace cannot be read.
    pub fn artifacts(&self, project: Option<&str>) -> Result<Vec<ArtifactVersion>> {
        let found = self.inner.read(|tx, keyring| {
            let projects = project_names(tx, keyring)?;
            let mut found = Vec::new();
            for artifact in records::artifacts(tx, keyring)? {
                let name = projects.get(&ObjectId(artifact.record.project)).cloned().unwrap_or_default();
                if project.is_some_and(|project| project != name) {
                    continue;
                }
                for version in &artifact.record.versions {
                    let version = records::version(tx, keyring, ObjectId(version.version))?;
                    found.push((artifact.record.clone(), version, name.clone()));
                }
            }
            Ok(found)
        })?;
        let found = found.into_iter().map(|(artifact, version, project)| self.version_of(&artifact, version, project));
        let mut found = found.collect::<Result<Vec<_>>>()?;
        found.sort_by(|a, b| (&a.project, &a.name, a.number).cmp(&(&b.project, &b.name, b.number)));
        Ok(found)
    }

    pub(super) fn version_of(
        &self,
        artifact: &Artifact,
        stored: Stored<Version>,
        project: String,
    ) -> Result<ArtifactVersion> {
        let Stored { object, record } = stored;
        let listed = artifact.versions.iter().find(|version| version.version == object.0);
        let number = listed.map_or(record.number, |version| version.number);
        let metadata = record.metadata.json().map_err(|cause| Error::format("metadata of an artifact", cause))?;
        Ok(ArtifactVersion {
            inner: self.inner.clone(),
            object,
            project_object: ObjectId(artifact.project),
            parts: record.parts.len() as u64,
            project,
            name: artifact.name.clone(),
            kind: artifact.kind.clone(),
            number,
            digest: record.digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            created: record.created,
            files: record.files,
            bytes: record.bytes,
            description: record.description,
            metadata,
            aliases: aliases_of(artifact, object),
            made_by: hexadecimal(record.made_by),
            used_by: record.used_by.iter().filter_map(|(run, time)| Some((hexadecimal(*run)?, *time))).collect(),
        })
    }
}

/// Returns what the projects are called.
fn project_names(tx: &ReadTx<'_>, keyring: &Keyring) -> Result<HashMap<ObjectId, String>> {
    let mut names = HashMap::new();
    for row in tx.objects(Kind::Project, None)? {
        let body = tx.open_object(keyring, &row)?;
        let project = Project::from_body(&body).map_err(|cause| Error::format("project", cause))?;
        names.insert(row.key.id, project.name);
    }
    Ok(names)
}
