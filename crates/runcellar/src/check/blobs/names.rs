//! What users call artifacts and their versions.

use std::collections::{BTreeMap, HashMap};

use runcellar_format::ObjectId;
use runcellar_format::record::{Artifact, Body as _, Project};
use runcellar_format::seal::Kind;

use crate::Result;
use crate::check::rows::Known;
use crate::db::ReadTx;
use crate::keys::Keyring;

/// Artifacts and versions by object id. What cannot be read is left out; whoever checks it reports it.
pub(crate) struct Names {
    names: HashMap<ObjectId, String>,
    /// The versions that artifacts list, with their artifact.
    pub(super) versions: Vec<(ObjectId, ObjectId)>,
}

impl Names {
    /// A record that cannot be read, or is older than what was made of it, is told by its last change.
    pub(in crate::check) fn load(tx: &ReadTx<'_>, keyring: &Keyring, known: &Known) -> Result<Names> {
        let mut projects = HashMap::new();
        for row in tx.objects(Kind::Project, None)? {
            let project = tx.open_object(keyring, &row).ok().and_then(|body| Project::from_body(&body).ok());
            projects.extend(project.map(|project| (row.key.id, project.name)));
        }
        let (mut names, mut versions) = (HashMap::new(), Vec::new());
        let mut artifacts: BTreeMap<ObjectId, Artifact> = BTreeMap::new();
        artifacts.extend(known.artifacts.iter().map(|(id, artifact)| (*id, artifact.clone())));
        for row in tx.objects(Kind::Artifact, None)? {
            let artifact = tx.open_object(keyring, &row).ok().and_then(|body| Artifact::from_body(&body).ok());
            let is_newest = known.last_changes.get(&row.key.id).is_none_or(|last| *last <= row.seq);
            artifacts.extend(artifact.filter(|_| is_newest).map(|artifact| (row.key.id, artifact)));
        }
        for (id, artifact) in artifacts {
            let project = ObjectId(artifact.project);
            let project = projects.get(&project).cloned().unwrap_or_else(|| project.to_string());
            let name = format!("{project}/{}", artifact.name);
            // Links of a collection name versions of others.
            if !artifact.collection {
                for version in &artifact.versions {
                    names.insert(ObjectId(version.version), format!("{name}:v{}", version.number));
                    versions.push((ObjectId(version.version), id));
                }
            }
            names.insert(id, name);
        }
        Ok(Names { names, versions })
    }

    /// Returns `project/name` of an artifact or `project/name:v3` of a version.
    pub(crate) fn get(&self, object: ObjectId) -> Option<&str> {
        self.names.get(&object).map(String::as_str)
    }
}
