//! Artifacts: named content in versions, with aliases, metadata, and who made and used them.
//!
//! [`ArtifactDraft`] says what is to be put, [`Workspace::put_artifact`] puts it, [`Workspace::artifact`] finds a version by
//! `[project/]name[:vN|:alias]`, and [`ArtifactVersion`] downloads, verifies and lists. The content lies in the pool of the
//! project's class `artifacts` ([`crate::blob`]). A **collection** is an artifact whose versions are links to versions of
//! others, under names and aliases of its own; so a registry of models is a project of collections. docs/FORMAT.md,
//! "Artifacts".

mod carried;
mod diff;
mod download;
mod draft;
mod entries;
mod find;
mod graph;
mod label;
mod link;
mod listed;
mod makings;
mod merge;
mod name;
mod news;
mod put;
mod records;
mod remove;
mod used;

pub(crate) use carried::{TakenIn, find_carried, note_use, take_in};
pub use diff::{Changed, VersionDiff};
pub use download::{Download, DownloadOptions};
pub use draft::{ArtifactDraft, Links};
pub use entries::{Entry, EntryKind};
pub(crate) use find::{Listed, listed, project_names};
pub use graph::{ArtifactGraph, GraphEdge, GraphNode, GraphStart};
pub use label::{AliasChange, VersionText};
pub use link::REGISTRY;
pub(crate) use merge::merge;
pub use name::ArtifactName;
pub(crate) use name::checked_artifact;
pub(crate) use news::{ArtifactNews, Said, VersionNews, news};
pub use put::{PutReport, PutSettings};
pub use remove::RemoveOptions;
pub(crate) use remove::{erase_artifact, erase_version};
pub use used::{RunArtifacts, VersionRuns};

use std::sync::Arc;

use runcellar_format::ObjectId;

use crate::workspace::Inner;
use crate::{Json, Result};

/// One version of an artifact, as it was when it was looked up.
#[derive(Clone)]
pub struct ArtifactVersion {
    pub(crate) inner: Arc<Inner>,
    /// The version's record; the one that it links to if it is a link.
    pub(crate) object: ObjectId,
    /// The artifact or collection that lists it.
    artifact: ObjectId,
    /// The project whose pool has the content.
    pub(crate) content_project: ObjectId,
    parts: u64,
    /// Name of the project.
    pub project: String,
    /// Name of the artifact.
    pub name: String,
    /// What sort of thing it is: `dataset`, `model`; empty if nobody said.
    pub kind: String,
    /// Its number: 3 of `v3`.
    pub number: u32,
    /// What it holds, as 64 hexadecimal digits: equal for equal paths and contents within a project.
    pub digest: String,
    /// When it was made, microseconds UTC since 1970.
    pub created: i64,
    /// Files.
    pub files: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Description.
    pub description: String,
    /// Metadata: a map.
    pub metadata: Json,
    /// Aliases that name this version.
    pub aliases: Vec<String>,
    /// Of a link: the version that it links to, as `project/name:v3`.
    pub links_to: Option<String>,
    /// Object id of the run that made it, in hexadecimal; none if no run did.
    pub made_by: Option<String>,
    /// Object ids of the runs that put the same content later.
    pub made_again_by: Vec<String>,
    /// Object ids of the runs that used it, in hexadecimal, and when.
    pub used_by: Vec<(String, i64)>,
}

impl std::fmt::Debug for ArtifactVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ArtifactVersion({})", self.full_name())
    }
}

impl ArtifactVersion {
    /// Returns `v3`.
    #[must_use]
    pub fn version(&self) -> String {
        format!("v{}", self.number)
    }

    /// Returns `project/name:v3`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}:v{}", self.project, self.name, self.number)
    }

    pub(crate) fn object_id(&self) -> ObjectId {
        self.object
    }

    pub(crate) fn artifact_id(&self) -> ObjectId {
        self.artifact
    }

    pub(crate) fn manifest(&self) -> crate::blob::ManifestReader<'_> {
        crate::blob::ManifestReader::new(&self.inner, self.object, 0..self.parts)
    }
}

/// Returns an object id as users of the library see it.
fn hexadecimal(id: [u8; 16]) -> Option<String> {
    (id != [0; 16]).then(|| ObjectId(id).to_string())
}

/// A result of this module.
type Found<T> = Result<Option<T>>;
