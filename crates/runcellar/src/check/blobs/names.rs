//! What users call artifacts and their versions.

use std::collections::HashMap;

use runcellar_format::ObjectId;
use runcellar_format::record::{Artifact, Body as _, Project};
use runcellar_format::seal::Kind;

use crate::Result;
use crate::db::ReadTx;
use crate::keys::Keyring;

/// Artifacts and versions by object id. What cannot be read is left out; whoever checks it reports it.
pub(crate) struct Names {
    names: HashMap<ObjectId, String>,
    /// The versions that artifacts list, with their artifact.
    pub(super) versions: Vec<(ObjectId, ObjectId)>,
}

impl Names {
    pub(crate) fn load(tx: &ReadTx<'_>, keyring: &Keyring) -> Result<Names> {
        let mut projects = HashMap::new();
        for row in tx.objects(Kind::Project, None)? {
            let project = tx.open_object(keyring, &row).ok().and_then(|body| Project::from_body(&body).ok());
            projects.extend(project.map(|project| (row.key.id, project.name)));
        }
        let (mut names, mut versions) = (HashMap::new(), Vec::new());
        for row in tx.objects(Kind::Artifact, None)? {
            let artifact = tx.open_object(keyring, &row).ok().and_then(|body| Artifact::from_body(&body).ok());
            let Some(artifact) = artifact else { continue };
            let project = ObjectId(artifact.project);
            let project = projects.get(&project).cloned().unwrap_or_else(|| project.to_string());
            let name = format!("{project}/{}", artifact.name);
            // Links of a collection name versions of others.
            if !artifact.collection {
                for version in &artifact.versions {
                    names.insert(ObjectId(version.version), format!("{name}:v{}", version.number));
                    versions.push((ObjectId(version.version), row.key.id));
                }
            }
            names.insert(row.key.id, name);
        }
        Ok(Names { names, versions })
    }

    /// Returns `project/name` of an artifact or `project/name:v3` of a version.
    pub(crate) fn get(&self, object: ObjectId) -> Option<&str> {
        self.names.get(&object).map(String::as_str)
    }
}
