//! What a purge would do: what goes, what stays, and who could still open older copies.

use std::collections::HashSet;

use runcellar_format::ObjectId;
use runcellar_format::seal::Kind;
use serde_json::json;

use super::openers::Opener;
use super::resolve::{Item, resolve, union};
use super::rows::pools_in_scope;
use super::scope::Scope;
use super::target::Target;
use crate::blob::{Holdings, Pool, chunks_of};
use crate::db::ReadTx;
use crate::keys::Keyring;
use crate::{Result, Workspace};

/// What sort of thing goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ItemKind {
    /// A run.
    Run,
    /// The code of a run.
    Code,
    /// The media of a run.
    Media,
    /// A version of an artifact.
    Version,
    /// An artifact with all its versions.
    Artifact,
    /// A project with all its runs and artifacts.
    Project,
}

impl ItemKind {
    /// Returns the name that programs use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ItemKind::Run => "run",
            ItemKind::Code => "code",
            ItemKind::Media => "media",
            ItemKind::Version => "version",
            ItemKind::Artifact => "artifact",
            ItemKind::Project => "project",
        }
    }
}

/// One thing that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedItem {
    /// What it is.
    pub kind: ItemKind,
    /// Its random object id, 32 hexadecimal digits: what receipts name.
    pub object: String,
    /// What users type to name it.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Records, blocks and chunks that go.
    pub objects: u64,
    /// Their bytes as they are stored.
    pub bytes: u64,
}

impl PlannedItem {
    pub(super) fn new(kind: ItemKind, object: ObjectId, id: &str, name: String) -> PlannedItem {
        PlannedItem { kind, object: object.to_string(), id: id.to_owned(), name, objects: 0, bytes: 0 }
    }
}

/// Chunks that stay, as something else has them, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// How many.
    pub chunks: u64,
    /// Their bytes as they are stored.
    pub bytes: u64,
}

/// What a purge would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PurgePlan {
    /// What goes, each thing once, in the order of the targets.
    pub items: Vec<PlannedItem>,
    /// Records, blocks and chunks that go, all in all: chunks that two items share count here once.
    pub objects: u64,
    /// Their bytes as they are stored.
    pub bytes: u64,
    /// What stays of the content that goes, as something else has it, too.
    pub shared: Share,
    /// Runs that go while they are recorded; what they log later is dropped.
    pub at_work: Vec<String>,
    /// What could still open older copies afterwards.
    pub openers: Vec<Opener>,
    /// Aliases and links that go with versions: `best`, `registry/model:v0`.
    pub aliases: Vec<String>,
}

impl PurgePlan {
    /// Returns it as JSON text, in the shape that `runcellar purge --dry-run --json` prints.
    #[must_use]
    pub fn to_json(&self) -> String {
        let item = |item: &PlannedItem| {
            let PlannedItem { kind, object, id, name, objects, bytes } = item;
            let kind = kind.as_str();
            json!({"kind": kind, "object": object, "id": id, "name": name, "objects": objects, "bytes": bytes})
        };
        let plan = json!({
            "plan": self.items.iter().map(item).collect::<Vec<_>>(),
            "objects": self.objects,
            "bytes": self.bytes,
            "shared_chunks": self.shared.chunks,
            "shared_bytes": self.shared.bytes,
            "at_work": self.at_work,
            "aliases": self.aliases,
            "residual_openers": self.openers.iter().map(Opener::to_json).collect::<Vec<_>>(),
        });
        plan.to_string()
    }
}

/// What was found for targets, ready to be carried out.
pub(super) struct Found {
    pub(super) plan: PurgePlan,
    pub(super) scope: Scope,
}

impl Workspace {
    /// Says what a purge of these targets would do. Changes nothing.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`], [`crate::ErrorKind::Ambiguous`] for a target that names nothing or several things;
    /// damage of what they name.
    pub fn plan_purge(&self, targets: &[Target]) -> Result<PurgePlan> {
        Ok(self.find_targets(targets)?.plan)
    }

    pub(super) fn find_targets(&self, targets: &[Target]) -> Result<Found> {
        self.weigh(resolve(self, targets, self.inner.io.wall_us())?)
    }

    /// Finds out what would go with items.
    pub(super) fn weigh(&self, items: Vec<Item>) -> Result<Found> {
        let scope = union(&items);
        let mut plan = PurgePlan {
            at_work: self.at_work(&scope)?,
            aliases: self.aliases_of(&scope)?,
            openers: self.openers(&scope)?,
            ..PurgePlan::default()
        };
        self.inner.read(|tx, keyring| {
            let all = Content::of(tx, keyring, &scope)?;
            for Item { mut shown, scope } in items {
                let (rows, chunks) = (rows_of(tx, &scope)?, all.of_item(tx, keyring, &scope)?);
                (shown.objects, shown.bytes) = (rows.objects + chunks.objects, rows.bytes + chunks.bytes);
                plan.items.push(shown);
            }
            let rows = rows_of(tx, &scope)?;
            for (_, holdings, _) in &all.pools {
                let (alone, shared) = (holdings.weigh_all(), holdings.shared);
                (plan.objects, plan.bytes) = (plan.objects + alone.chunks, plan.bytes + alone.bytes);
                plan.shared.chunks += shared.chunks;
                plan.shared.bytes += shared.bytes;
            }
            (plan.objects, plan.bytes) = (plan.objects + rows.objects, plan.bytes + rows.bytes);
            Ok(())
        })?;
        Ok(Found { plan, scope })
    }

    fn at_work(&self, scope: &Scope) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for run in &scope.runs {
            let info = self.run_of_object(&run.to_string())?;
            found.extend(info.filter(|info| info.state == crate::RunState::Running).map(|info| info.id));
        }
        Ok(found)
    }

    fn aliases_of(&self, scope: &Scope) -> Result<Vec<String>> {
        if scope.versions.is_empty() {
            return Ok(Vec::new());
        }
        let all = self.artifacts(None)?;
        let mut found = Vec::new();
        for version in all.iter().filter(|version| scope.versions.contains_key(&version.object_id())) {
            match version.links_to {
                Some(_) => found.push(version.full_name()),
                None => found.extend(version.aliases.iter().filter(|alias| *alias != "latest").cloned()),
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}

#[derive(Default)]
struct Rows {
    objects: u64,
    bytes: u64,
}

/// The content of all that is in scope, by pool.
struct Content {
    pools: Vec<(Pool, Holdings, HashSet<ObjectId>)>,
}

impl Content {
    fn of(tx: &ReadTx<'_>, keyring: &Keyring, scope: &Scope) -> Result<Content> {
        let mut pools = Vec::new();
        for (pool, owners) in pools_in_scope(tx, keyring, scope)? {
            let holdings = Holdings::of(tx, keyring, &pool, &owners)?;
            pools.push((pool, holdings, owners));
        }
        Ok(Content { pools })
    }

    /// Counts the chunks of one item that nothing else than what is in scope has.
    fn of_item(&self, tx: &ReadTx<'_>, keyring: &Keyring, scope: &Scope) -> Result<Rows> {
        let mut found = Rows::default();
        for (pool, holdings, owners) in &self.pools {
            let mut own = scope.owners(pool.class);
            own.retain(|owner| owners.contains(owner));
            if !own.is_empty() {
                let weight = holdings.weigh(&chunks_of(tx, keyring, pool, &own)?);
                (found.objects, found.bytes) = (found.objects + weight.chunks, found.bytes + weight.bytes);
            }
        }
        Ok(found)
    }
}

/// Counts the rows of what is in scope, without chunks.
fn rows_of(tx: &ReadTx<'_>, scope: &Scope) -> Result<Rows> {
    let mut all = Rows::default();
    let mut add = |(objects, bytes): (u64, u64)| (all.objects, all.bytes) = (all.objects + objects, all.bytes + bytes);
    for run in &scope.runs {
        for kind in [Kind::Run, Kind::Head, Kind::SeriesPage, Kind::GroupPage, Kind::Overview, Kind::Manifest] {
            add(tx.measure(kind, *run)?);
        }
        add(tx.measure_blocks(*run)?);
    }
    for (run, class) in &scope.classes {
        add(tx.measure_within(Kind::Manifest, *run, class.positions())?);
    }
    for version in scope.versions.keys() {
        add(tx.measure(Kind::Version, *version)?);
        add(tx.measure(Kind::Manifest, *version)?);
    }
    for artifact in &scope.artifacts {
        add(tx.measure(Kind::Artifact, *artifact)?);
    }
    for project in &scope.projects {
        add(tx.measure(Kind::Project, *project)?);
    }
    Ok(all)
}
