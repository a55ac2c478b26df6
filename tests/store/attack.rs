//! P5, attacked: what somebody can read who kept every version of every file of the workspace, from before a purge, from
//! each moment of it and from after it.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use runcellar::artifacts::{ArtifactDraft, PutSettings};
use runcellar::{CheckOptions, NewMedia, PurgeOptions, Receipt, Target, WholeRun, Workspace, json};
use runcellar_format::WorkspaceId;
use runcellar_format::blob::Bucket;
use runcellar_format::seal::Kind;
use rusqlite::Connection;

use crate::support::io::{Call, Fate, Hook, Hooked};
use crate::support::outsider::{Id, Outsider, Row, Trace, Wraps, contents, rows, traces, wraps_anywhere};
use crate::support::{Heard, Place, child, copy_dir, is_network};

/// Runs that go; each has three objects at least.
const GOES: usize = 400;
const STAYS: usize = 40;
const TYPED: &str = "what the two factors need besides a key file";
const ALONE: &str = "what opens without a key file";

/// Copies the workspace before each change of a file, and the log of SQLite whenever randomness is asked for, which
/// every seal in a transaction does.
struct Keeper {
    from: PathBuf,
    to: PathBuf,
    armed: AtomicBool,
    count: AtomicU64,
}

impl Keeper {
    fn new(place: &Place) -> Arc<Keeper> {
        let to = place.root().join("versions");
        std::fs::create_dir(&to).expect("creates");
        Arc::new(Keeper { from: place.workspace(), to, armed: AtomicBool::new(false), count: AtomicU64::new(0) })
    }

    fn keep(&self, what: &Path) {
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        copy_dir(what, &self.to.join(number.to_string()));
    }
}

impl Hook for Keeper {
    fn fate(&self, call: Call, _: &Path) -> Fate {
        use Call::{Append, Create, Link, Random, Remove, Rename, Sync, SyncDir};
        if self.armed.load(Ordering::SeqCst) {
            match call {
                Append | Create | Link | Remove | Rename | Sync | SyncDir => self.keep(&self.from),
                Random => {
                    let log = self.from.join("cellar.db-wal");
                    if log.exists() && self.count.load(Ordering::SeqCst) < 400 {
                        self.keep(&log);
                    }
                }
                _ => {}
            }
        }
        Fate::Done
    }
}

fn whole(id: String) -> WholeRun {
    WholeRun {
        id,
        project: "p".into(),
        config: json!({"lr": 0.1}),
        created: 1_700_000_000_000_000,
        finished: 1_700_000_100_000_000,
        metrics: vec![("loss".into(), 0.0, 1.0), ("accuracy".into(), 0.5, 1.0)],
    }
}

fn record(workspace: &Workspace, id: &str) {
    let run = workspace.run("p").id(id).config(json!({"lr": 0.1})).start().expect("starts");
    (0..5_000).for_each(|step| run.log([("loss", f64::from(step))]).expect("logs"));
    let image = NewMedia {
        kind: "image".into(),
        format: "png".into(),
        metadata: json!({}),
        content: Arc::new(id.repeat(300).into_bytes()),
        companions: Vec::new(),
        parts: Vec::new(),
    };
    run.log_media(None, None, vec![("image".into(), image)], |_| {}).expect("logs");
    run.finish().expect("finishes");
}

fn put(workspace: &Workspace, name: &str, files: &[&str]) {
    let mut draft = ArtifactDraft::new(name, "dataset").expect("a name");
    for file in files {
        draft.add_bytes(file, file.repeat(5_000).into_bytes()).expect("adds");
    }
    let settings = PutSettings { project: "p".into(), ..PutSettings::default() };
    workspace.put_artifact(&draft, &settings).expect("puts");
}

/// What is known of a purge and of the files around it.
struct Scene {
    place: Place,
    workspace: WorkspaceId,
    receipt: Receipt,
    /// Key files of before.
    old_keys: Vec<Vec<u8>>,
    /// The workspace as it was before.
    before: PathBuf,
    /// What stands anywhere in every version of every file.
    wraps: Wraps,
    traces: HashSet<Trace>,
    keyslots: BTreeSet<Vec<u8>>,
    journals: Vec<Vec<u8>>,
}

/// Purges runs, a version that shares a chunk with another, and a run whose journal is left, and keeps every version of
/// every file meanwhile.
fn purged(slots: impl FnOnce(&Workspace)) -> Scene {
    let place = Place::new();
    let keeper = Keeper::new(&place);
    let io = Hooked::shared(keeper.clone());
    let workspace = place.open_with(io, Arc::new(Heard::default())).expect("opens");
    slots(&workspace);
    let goes = (0..GOES).map(|number| whole(format!("goes-{number}")));
    workspace.make_whole_runs(goes.chain((0..STAYS).map(|number| whole(format!("stays-{number}"))))).expect("makes");
    ["goes-recorded", "stays-recorded"].into_iter().for_each(|id| record(&workspace, id));
    put(&workspace, "goes", &["alone", "shared"]);
    put(&workspace, "stays", &["shared", "other"]);
    workspace.fold_catalogue().expect("folds");
    child::play("dies_after_rows", &place, "goes-in-a-journal");
    let before = place.root().join("before");
    copy_dir(&place.workspace(), &before);
    let old_keys = contents(&place.keys_dir()).into_iter().filter(|bytes| bytes.starts_with(b"rckeyfil")).collect();

    let mut targets: Vec<Target> =
        (0..GOES).map(|number| format!("goes-{number}").parse().expect("a target")).collect();
    targets.extend(["goes-recorded", "goes-in-a-journal", "artifact:goes"].map(|text| text.parse().expect("a target")));
    keeper.armed.store(true, Ordering::SeqCst);
    let purged = workspace.purge(&targets, PurgeOptions::default()).expect("purges");
    keeper.armed.store(false, Ordering::SeqCst);
    assert!(purged.receipt.is_complete(), "{}", purged.receipt.to_json());
    assert!(workspace.check(CheckOptions { read_data: true }).expect("checks").is_ok());
    let id = WorkspaceId::from_hex(&workspace.id()).expect("an id");
    drop(workspace);

    let (mut files, mut keyslots, mut journals) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for directory in [&before, &keeper.to, &place.workspace()] {
        for bytes in contents(directory) {
            match bytes.get(..8) {
                Some(b"rckeyslt") => drop(keyslots.insert(bytes)),
                Some(b"rcjournl") => journals.push(bytes),
                _ => drop(files.insert(bytes)),
            }
        }
    }
    assert!(keyslots.len() >= 3, "{} versions of keyslots: before, with two epochs, and after", keyslots.len());
    assert!(keeper.count.load(Ordering::SeqCst) > 20);
    let wraps = files.iter().flat_map(|bytes| wraps_anywhere(bytes)).collect();
    let traces = files.iter().flat_map(|bytes| traces(bytes)).collect();
    Scene { place, workspace: id, receipt: purged.receipt, old_keys, before, wraps, traces, keyslots, journals }
}

impl Scene {
    /// Returns what somebody gets who has all these files, some key files, and knows some passphrases.
    fn attack(&self, key_files: &[Vec<u8>], passphrases: &[&str]) -> Outsider {
        let mut outsider = Outsider::default();
        self.keyslots.iter().for_each(|keyslots| outsider.unlock(keyslots, key_files, passphrases));
        outsider.unwrap_all(&self.wraps);
        outsider
    }

    fn new_keys(&self) -> Vec<Vec<u8>> {
        contents(&self.place.keys_dir()).into_iter().filter(|bytes| bytes.starts_with(b"rckeyfil")).collect()
    }

    /// Returns the objects that went: those under keys of what the receipt names, the blocks of the catalogue that listed
    /// them, and the buckets that had keys of their chunks.
    fn purged_objects(&self) -> HashSet<Trace> {
        let targets = self.receipt.targets().iter();
        let owners: HashSet<String> = targets.map(|target| target["id"].as_str().expect("an id").to_owned()).collect();
        let connection = Connection::open(self.before.join("cellar.db")).expect("opens");
        let mut statement = connection.prepare("SELECT id, lower(hex(owner)) FROM key").expect("SQL");
        let keys = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
        let keys = keys.map(|row| row.expect("a key"));
        let doomed: HashSet<Id> =
            keys.filter(|(_, owner): &(Id, String)| owners.contains(owner)).map(|(id, _)| id).collect();
        assert!(doomed.len() > GOES, "{} keys of {} things", doomed.len(), owners.len());
        let buckets = self.buckets_of_purged();
        let goes = |row: &Row| match row.place.kind {
            Kind::Catalogue => row.place.object.0 != [0; 16],
            Kind::Bucket => buckets.contains(&row.place.object.0),
            _ => doomed.contains(&row.key()),
        };
        rows(&self.before.join("cellar.db"), self.workspace).iter().filter(|row| goes(row)).map(Row::trace).collect()
    }

    /// Returns the packs that lost a key: they are gone, or their buckets are sealed anew.
    fn buckets_of_purged(&self) -> HashSet<Id> {
        let of = |database: PathBuf| -> HashSet<(Id, Trace)> {
            let buckets = rows(&database, self.workspace).into_iter().filter(|row| row.place.kind == Kind::Bucket);
            buckets.map(|row| (row.place.object.0, row.trace())).collect()
        };
        let now = of(self.place.database());
        of(self.before.join("cellar.db")).difference(&now).map(|(pack, _)| *pack).collect()
    }
}

#[test]
fn whoever_has_every_version_of_every_file_and_the_keys_of_now_opens_nothing_that_was_purged() {
    if is_network() {
        // A journal there is sealed to the ingest pair, and cellar.db published whole; `purge` holds what differs.
        return;
    }
    let scene = purged(|workspace| {
        workspace.add_two_factor(&TYPED.to_owned().into(), "two", None).expect("adds");
    });
    let gone = scene.purged_objects();
    assert!(gone.len() >= 1_000, "{}", gone.len());

    let outsider = scene.attack(&scene.new_keys(), &[TYPED]);
    assert_eq!(outsider.slots.len(), 2, "the new key files and the passphrase open both slots");
    let opened = gone.iter().filter(|trace| outsider.opens(trace)).count();
    assert_eq!(opened, 0, "of {} purged objects", gone.len());
    assert!(gone.is_subset(&scene.traces), "the files were searched");
    let old = scene.attack(&scene.old_keys, &[TYPED]);
    assert!(scene.journals.iter().map(|journal| old.frames(journal)).sum::<usize>() >= 10);
    assert_eq!(scene.journals.iter().map(|journal| outsider.frames(journal)).sum::<usize>(), 0);
    // Of the pack that is left a key is gone, and others are there.
    let rows_now = rows(&scene.place.database(), scene.workspace);
    let buckets = rows_now.iter().filter(|row| row.place.kind == Kind::Bucket);
    let buckets = buckets.map(|row| Bucket::from_text(&outsider.open(row).expect("opens")).expect("a bucket"));
    let (mut dropped, mut kept) = (0, 0);
    for bucket in buckets {
        let there = bucket.keys().iter().filter(|key| key.is_some()).count();
        (dropped, kept) = (dropped + bucket.len() - there, kept + there);
    }
    assert!(dropped >= 1 && kept >= 2, "{dropped} keys of chunks dropped, {kept} kept");

    // Every object that survived opens at its place. Change records of what went stay, under keys that are no more: those
    // of before, and the one of the journal, whose rows were taken in to be erased.
    let closed: Vec<&Row> = rows_now.iter().filter(|row| outsider.open(row).is_err()).collect();
    assert!(closed.iter().all(|row| row.place.kind == Kind::Change), "{:?}", closed.first().map(|row| row.place));
    let of_the_journal = closed.iter().filter(|row| !gone.contains(&row.trace())).count();
    assert!(of_the_journal <= 8, "{of_the_journal}");
    assert!(rows_now.len() - closed.len() > 3 * STAYS, "{}", rows_now.len());

    // The test can fail: with the old key file everything of before opens.
    assert!(gone.iter().all(|trace| old.opens(trace)));
    let all = rows(&scene.before.join("cellar.db"), scene.workspace);
    assert!(all.iter().all(|row| old.open(row).is_ok()), "and all else");
    // The passphrase alone, or with a key file of another slot, opens nothing.
    let passphrase_alone = scene.attack(&[], &[TYPED, ALONE]);
    assert!(passphrase_alone.slots.is_empty() && gone.iter().all(|trace| !passphrase_alone.opens(trace)));
}

/// The limit that plan and receipt list.
#[test]
fn a_passphrase_that_opens_alone_opens_old_copies_and_is_listed() {
    if is_network() {
        return;
    }
    let scene = purged(|workspace| {
        let slot = workspace.add_passphrase(&ALONE.to_owned().into(), "alone").expect("adds");
        record(workspace, "planned");
        let plan = workspace.plan_purge(&["planned".parse().expect("a target")]).expect("plans");
        assert!(plan.openers.iter().any(|opener| opener.kind == "passphrase" && opener.id == slot.id));
    });
    let gone = scene.purged_objects();
    let outsider = scene.attack(&[], &[ALONE]);
    assert!(gone.iter().all(|trace| outsider.opens(trace)), "which is why it is listed");
    let kinds = scene.receipt.residual_openers().iter().filter_map(|opener| opener["kind"].as_str());
    assert!(kinds.collect::<Vec<_>>().contains(&"passphrase"), "{}", scene.receipt.to_json());
}
