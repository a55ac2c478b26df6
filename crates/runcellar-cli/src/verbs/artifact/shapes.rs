//! The JSON of artifacts: docs/CLI.md lists it.

use std::cell::RefCell;

use runcellar::artifacts::{
    AliasChange, ArtifactGraph, Changed, Entry, EntryKind, GraphNode, RunArtifacts, VersionDiff, VersionRuns,
};
use runcellar::{ArtifactVersion, Hurt};
use serde::ser::{Error as _, Serialize, SerializeSeq as _, Serializer};

use crate::shapes::{Nested, RunName, Time, some};

/// A version.
#[derive(serde::Serialize)]
pub(crate) struct VersionShape<'a> {
    name: &'a str,
    project: &'a str,
    version: String,
    #[serde(rename = "type")]
    kind: Option<&'a str>,
    digest: &'a str,
    size: u64,
    files: u64,
    created: Time,
    aliases: &'a [String],
    links_to: Option<&'a str>,
    description: Option<&'a str>,
    metadata: Nested<'a>,
}

impl<'a> VersionShape<'a> {
    pub(crate) fn of(version: &'a ArtifactVersion) -> VersionShape<'a> {
        VersionShape {
            name: &version.name,
            project: &version.project,
            version: version.version(),
            kind: some(&version.kind),
            digest: &version.digest,
            size: version.bytes,
            files: version.files,
            created: Time(version.created),
            aliases: &version.aliases,
            links_to: version.links_to.as_deref(),
            description: some(&version.description),
            metadata: Nested(&version.metadata),
        }
    }
}

/// What a version is called.
#[derive(serde::Serialize)]
pub(super) struct VersionName<'a> {
    pub(super) name: &'a str,
    pub(super) project: &'a str,
    pub(super) version: String,
}

impl<'a> VersionName<'a> {
    pub(super) fn of(version: &'a ArtifactVersion) -> VersionName<'a> {
        VersionName { name: &version.name, project: &version.project, version: version.version() }
    }
}

/// What stands at a path. Bytes of a path that are no UTF-8 are replaced.
#[derive(serde::Serialize)]
struct EntryShape {
    path: String,
    kind: &'static str,
    size: Option<u64>,
    executable: bool,
    target: Option<String>,
    uri: Option<String>,
    digest: Option<String>,
}

impl EntryShape {
    fn of(entry: &Entry) -> EntryShape {
        let (mut executable, mut target, mut uri, mut digest) = (false, None, None, None);
        match &entry.kind {
            EntryKind::File { executable: flag, .. } => executable = *flag,
            EntryKind::Link { target: named } => target = Some(named.to_string_lossy().into_owned()),
            EntryKind::Reference { uri: given, digest: known, .. } => {
                uri = Some(given.clone());
                digest = some(known).map(str::to_owned);
            }
            EntryKind::Directory => {}
        }
        let path = entry.path.to_string_lossy().into_owned();
        EntryShape { path, kind: entry.kind.as_str(), size: entry.kind.size(), executable, target, uri, digest }
    }
}

/// What stands at the paths of a version, written as it is read: a million paths are a list that nobody needs to hold.
pub(super) struct EntriesShape<I>(RefCell<I>);

impl<I: Iterator<Item = runcellar::Result<Entry>>> EntriesShape<I> {
    /// Shows what is left of a list, once.
    pub(super) fn new(entries: I) -> EntriesShape<I> {
        EntriesShape(RefCell::new(entries))
    }
}

impl<I: Iterator<Item = runcellar::Result<Entry>>> Serialize for EntriesShape<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for entry in &mut *self.0.borrow_mut() {
            list.serialize_element(&EntryShape::of(&entry.map_err(S::Error::custom)?))?;
        }
        list.end()
    }
}

/// What differs between two versions.
#[derive(serde::Serialize)]
pub(super) struct DiffShape<'a> {
    old: VersionName<'a>,
    new: VersionName<'a>,
    added: Vec<PathShape>,
    removed: Vec<PathShape>,
    changed: Vec<ChangedShape>,
    unchanged: u64,
}

#[derive(serde::Serialize)]
struct PathShape {
    path: String,
    kind: &'static str,
    size: Option<u64>,
}

#[derive(serde::Serialize)]
struct ChangedShape {
    path: String,
    kind: &'static str,
    old_size: Option<u64>,
    new_size: Option<u64>,
}

impl PathShape {
    fn of(entry: &Entry) -> PathShape {
        let path = entry.path.to_string_lossy().into_owned();
        PathShape { path, kind: entry.kind.as_str(), size: entry.kind.size() }
    }
}

impl<'a> DiffShape<'a> {
    pub(super) fn of(old: &'a ArtifactVersion, new: &'a ArtifactVersion, diff: &VersionDiff) -> DiffShape<'a> {
        let changed = |Changed { before, after }: &Changed| ChangedShape {
            path: after.path.to_string_lossy().into_owned(),
            kind: after.kind.as_str(),
            old_size: before.kind.size(),
            new_size: after.kind.size(),
        };
        DiffShape {
            old: VersionName::of(old),
            new: VersionName::of(new),
            added: diff.added.iter().map(PathShape::of).collect(),
            removed: diff.removed.iter().map(PathShape::of).collect(),
            changed: diff.changed.iter().map(changed).collect(),
            unchanged: diff.unchanged,
        }
    }
}

/// A file that did not come out.
#[derive(serde::Serialize)]
pub(super) struct HurtShape<'a> {
    path: &'a str,
    error: String,
}

impl<'a> HurtShape<'a> {
    pub(super) fn of(hurt: &'a Hurt) -> HurtShape<'a> {
        HurtShape { path: &hurt.path, error: hurt.error.to_string() }
    }
}

/// A setting of an alias.
#[derive(serde::Serialize)]
pub(super) struct AliasShape<'a> {
    alias: &'a str,
    time: Time,
    version: Option<String>,
}

impl<'a> AliasShape<'a> {
    pub(super) fn of(change: &'a AliasChange) -> AliasShape<'a> {
        let version = change.number.map(|number| format!("v{number}"));
        AliasShape { alias: &change.alias, time: Time(change.time), version }
    }
}

/// Everything about one version.
#[derive(serde::Serialize)]
pub(super) struct ShowShape<'a, E> {
    #[serde(flatten)]
    version: VersionShape<'a>,
    entries: E,
    made_by: Vec<RunName<'a>>,
    used_by: Vec<RunName<'a>>,
    alias_history: Vec<AliasShape<'a>>,
    lineage: GraphShape<'a>,
}

impl<'a, E: Serialize> ShowShape<'a, E> {
    pub(super) fn of(
        version: &'a ArtifactVersion,
        entries: E,
        runs: &'a VersionRuns,
        aliases: &'a [AliasChange],
        graph: &'a ArtifactGraph,
    ) -> ShowShape<'a, E> {
        ShowShape {
            version: VersionShape::of(version),
            entries,
            made_by: runs.made.iter().map(RunName::of).collect(),
            used_by: runs.used.iter().map(RunName::of).collect(),
            alias_history: aliases.iter().map(AliasShape::of).collect(),
            lineage: GraphShape::of(graph),
        }
    }
}

/// A lineage graph; edges name nodes by their place.
#[derive(serde::Serialize)]
struct GraphShape<'a> {
    start: usize,
    nodes: Vec<NodeShape<'a>>,
    edges: Vec<EdgeShape>,
}

#[derive(serde::Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum NodeShape<'a> {
    Version {
        name: &'a str,
        project: &'a str,
        version: String,
        #[serde(rename = "type")]
        of_type: Option<&'a str>,
        digest: &'a str,
        created: Time,
        links: &'a [String],
    },
    Run {
        id: Option<&'a str>,
        name: Option<&'a str>,
        project: Option<&'a str>,
        state: Option<&'static str>,
    },
}

#[derive(serde::Serialize)]
struct EdgeShape {
    from: usize,
    to: usize,
    kind: &'static str,
}

impl<'a> GraphShape<'a> {
    fn of(graph: &'a ArtifactGraph) -> GraphShape<'a> {
        let node = |node: &'a GraphNode| match node {
            GraphNode::Version { version, links } => NodeShape::Version {
                name: &version.name,
                project: &version.project,
                version: version.version(),
                of_type: some(&version.kind),
                digest: &version.digest,
                created: Time(version.created),
                links,
            },
            GraphNode::Run(run) => NodeShape::Run {
                id: Some(&run.id),
                name: Some(&run.name),
                project: Some(&run.project),
                state: Some(run.state.as_str()),
            },
            GraphNode::LostRun(_) => NodeShape::Run { id: None, name: None, project: None, state: None },
        };
        let edges =
            graph.edges.iter().map(|edge| EdgeShape { from: edge.from, to: edge.to, kind: graph.edge_kind(*edge) });
        GraphShape { start: graph.start, nodes: graph.nodes.iter().map(node).collect(), edges: edges.collect() }
    }
}

/// The versions that a run made and used.
#[derive(serde::Serialize)]
pub(crate) struct RunArtifactsShape<'a> {
    made: Vec<VersionName<'a>>,
    used: Vec<VersionName<'a>>,
}

impl<'a> RunArtifactsShape<'a> {
    pub(crate) fn of(artifacts: &'a RunArtifacts) -> RunArtifactsShape<'a> {
        let names = |versions: &'a [ArtifactVersion]| versions.iter().map(VersionName::of).collect();
        RunArtifactsShape { made: names(&artifacts.made), used: names(&artifacts.used) }
    }
}
