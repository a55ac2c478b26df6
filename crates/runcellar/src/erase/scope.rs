//! What is to go, by object id.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use runcellar_format::ObjectId;

use crate::blob::Class;

/// What is to go; each thing once, however many targets name it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) runs: BTreeSet<ObjectId>,
    /// Code and media of runs that stay otherwise.
    pub(crate) classes: BTreeSet<(ObjectId, Class)>,
    /// Versions, each with its artifact.
    pub(crate) versions: BTreeMap<ObjectId, ObjectId>,
    /// Artifacts of which no version stays.
    pub(crate) artifacts: BTreeSet<ObjectId>,
    /// Projects of which nothing stays.
    pub(crate) projects: BTreeSet<ObjectId>,
}

impl Scope {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Scope::default()
    }

    pub(crate) fn add(&mut self, other: &Scope) {
        self.runs.extend(&other.runs);
        self.classes.extend(&other.classes);
        self.versions.extend(&other.versions);
        self.artifacts.extend(&other.artifacts);
        self.projects.extend(&other.projects);
    }

    /// Returns whose manifests of a class go.
    pub(crate) fn owners(&self, class: Class) -> HashSet<ObjectId> {
        match class {
            Class::Artifacts => self.versions.keys().copied().collect(),
            Class::Code | Class::Media => {
                let alone = self.classes.iter().filter(|(_, other)| *other == class).map(|(run, _)| *run);
                self.runs.iter().copied().chain(alone).collect()
            }
        }
    }
}
