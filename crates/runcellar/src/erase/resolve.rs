//! From targets to what is in the workspace.

use runcellar_format::seal::Kind;

use super::plan::{ItemKind, PlannedItem};
use super::scope::Scope;
use super::target::{RunClass, Target};
use crate::artifacts::{GraphNode, GraphStart, listed};
use crate::blob::Class;
use crate::ingest::store;
use crate::{ArtifactVersion, Error, ErrorKind, Result, RunInfo, Selection, Workspace};

const DAY_US: i64 = 24 * 3600 * 1_000_000;

/// One thing that a target names, and what goes with it.
pub(super) struct Item {
    pub(super) shown: PlannedItem,
    pub(super) scope: Scope,
}

/// Finds what targets name, each thing once.
///
/// # Errors
/// [`ErrorKind::NotFound`], [`ErrorKind::Ambiguous`] for the first that is not found.
pub(super) fn resolve(workspace: &Workspace, targets: &[Target], now_us: i64) -> Result<Vec<Item>> {
    let mut items: Vec<Item> = Vec::new();
    for target in targets {
        for item in resolve_one(workspace, target, now_us)? {
            if items.iter().all(|known| known.scope != item.scope) {
                items.push(item);
            }
        }
    }
    Ok(items)
}

fn resolve_one(workspace: &Workspace, target: &Target, now_us: i64) -> Result<Vec<Item>> {
    Ok(match target {
        Target::Run(name) => vec![of_run(&workspace.find_run(name)?)],
        Target::Project(name) => vec![of_project(workspace, name)?],
        Target::Artifact(name) => vec![of_artifact(workspace, name)?],
        Target::Class(class, name) => vec![of_class(*class, &workspace.find_run(name)?)],
        Target::Older(days) => older(workspace, now_us - i64::from(*days) * DAY_US)?,
        Target::From(name) => derived(workspace, name)?,
    })
}

fn of_run(run: &RunInfo) -> Item {
    let name = format!("{}/{}", run.project, run.name);
    Item {
        shown: PlannedItem::new(ItemKind::Run, run.object, &run.id, name),
        scope: Scope { runs: [run.object].into(), ..Scope::default() },
    }
}

fn of_class(class: RunClass, run: &RunInfo) -> Item {
    let (kind, blobs) = match class {
        RunClass::Code => (ItemKind::Code, Class::Code),
        RunClass::Media => (ItemKind::Media, Class::Media),
    };
    Item {
        shown: PlannedItem::new(kind, run.object, &run.id, format!("{}/{}", run.project, run.name)),
        scope: Scope { classes: [(run.object, blobs)].into(), ..Scope::default() },
    }
}

fn of_version(version: &ArtifactVersion) -> Item {
    let name = version.full_name();
    Item {
        shown: PlannedItem::new(ItemKind::Version, version.object_id(), &name, name.clone()),
        scope: Scope { versions: [(version.object_id(), version.artifact_id())].into(), ..Scope::default() },
    }
}

fn of_artifact(workspace: &Workspace, name: &str) -> Result<Item> {
    if name.contains(':') {
        let version = workspace.artifact(name)?;
        if let Some(origin) = &version.links_to {
            let message = format!("artifact {name}: a link to {origin}: name that, or remove the link by artifact rm");
            return Err(Error::invalid(message));
        }
        return Ok(of_version(&version));
    }
    let (artifact, full_name) = workspace.artifact_object(name)?;
    let mut scope = Scope { artifacts: [artifact].into(), ..Scope::default() };
    let all = workspace.inner.read(listed)?;
    for known in all.into_iter().filter(|known| known.artifact == artifact) {
        scope.versions.extend(known.versions.into_iter().map(|version| (version, artifact)));
    }
    Ok(Item { shown: PlannedItem::new(ItemKind::Artifact, artifact, &full_name, full_name.clone()), scope })
}

fn of_project(workspace: &Workspace, name: &str) -> Result<Item> {
    let project = workspace.inner.read(|tx, keyring| {
        let tag = store::tag_of(tx, keyring, Kind::Project, name)?;
        Ok(tx.object_by_tag(Kind::Project, &tag)?.map(|row| row.key.id))
    })?;
    let project = project.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("no project {name} in {}", workspace.path().display()))
    })?;
    let mut scope = Scope { projects: [project].into(), ..Scope::default() };
    for removed in [false, true] {
        let selection = Selection { project: Some(name.to_owned()), removed, ..Selection::default() };
        scope.runs.extend(workspace.runs(&selection)?.iter().map(|run| run.object));
    }
    for known in workspace.inner.read(listed)?.into_iter().filter(|known| known.project == project) {
        scope.versions.extend(known.versions.into_iter().map(|version| (version, known.artifact)));
        scope.artifacts.insert(known.artifact);
    }
    Ok(Item { shown: PlannedItem::new(ItemKind::Project, project, name, name.to_owned()), scope })
}

/// Finds runs that ended, and versions that were made, before a time.
fn older(workspace: &Workspace, before: i64) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    for removed in [false, true] {
        let runs = workspace.runs(&Selection { removed, ..Selection::default() })?;
        items.extend(runs.iter().filter(|run| run.finished.is_some_and(|ended| ended < before)).map(of_run));
    }
    let versions = workspace.artifacts(None)?;
    let old = versions.iter().filter(|version| version.links_to.is_none() && version.created < before);
    items.extend(old.map(of_version));
    Ok(items)
}

/// Finds what derives from a version: runs that used it, versions that these made, and so on.
fn derived(workspace: &Workspace, name: &str) -> Result<Vec<Item>> {
    let start = workspace.artifact(name)?;
    let graph = workspace.artifact_graph(GraphStart::Version(&start))?;
    let mut reached = vec![false; graph.nodes.len()];
    let mut waiting = vec![graph.start];
    while let Some(node) = waiting.pop() {
        for edge in graph.edges.iter().filter(|edge| edge.from == node) {
            if !std::mem::replace(&mut reached[edge.to], true) {
                waiting.push(edge.to);
            }
        }
    }
    let derived = graph.nodes.iter().zip(reached).filter(|(_, reached)| *reached);
    Ok(derived
        .filter_map(|(node, _)| match node {
            GraphNode::Version { version, .. } => Some(of_version(version)),
            GraphNode::Run(run) => Some(of_run(run)),
            GraphNode::LostRun(_) => None,
        })
        .collect())
}

/// Finds what is in a scope that nobody named, each thing as an item of its own.
pub(super) fn items_of(workspace: &Workspace, scope: &Scope) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    for run in &scope.runs {
        items.extend(workspace.run_of_object(&run.to_string())?.iter().map(of_run));
    }
    for (run, class) in &scope.classes {
        let class = if *class == Class::Code { RunClass::Code } else { RunClass::Media };
        items.extend(workspace.run_of_object(&run.to_string())?.iter().map(|run| of_class(class, run)));
    }
    let versions = if scope.versions.is_empty() { Vec::new() } else { workspace.artifacts(None)? };
    let is_in_scope = |version: &&ArtifactVersion| scope.versions.contains_key(&version.object_id());
    items.extend(versions.iter().filter(|version| version.links_to.is_none()).filter(is_in_scope).map(of_version));
    for artifact in &scope.artifacts {
        let id = artifact.to_string();
        let shown = PlannedItem::new(ItemKind::Artifact, *artifact, &id, id.clone());
        items.push(Item { shown, scope: Scope { artifacts: [*artifact].into(), ..Scope::default() } });
    }
    Ok(items)
}

/// Returns what targets name, each thing once, and the scope of all of it.
pub(crate) fn chosen(workspace: &Workspace, targets: &[Target]) -> Result<(Vec<PlannedItem>, Scope)> {
    let items = resolve(workspace, targets, workspace.inner.io.wall_us())?;
    let scope = union(&items);
    Ok((items.into_iter().map(|item| item.shown).collect(), scope))
}

/// Returns all that is in scope of several items.
pub(super) fn union(items: &[Item]) -> Scope {
    let mut all = Scope::default();
    items.iter().for_each(|item| all.add(&item.scope));
    all
}
