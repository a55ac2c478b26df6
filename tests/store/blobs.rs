//! The blob store under faults: calls that fail, kills, races, forks, full disks. A put is there whole or not at all, what is
//! there opens, and the next put works.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use runcellar::artifacts::{ArtifactDraft, ArtifactVersion, DownloadOptions, PutReport, PutSettings, RemoveOptions};
use runcellar::{CheckOptions, CollectOptions, ErrorKind, Result, Workspace};

use crate::blob_damage::packs;
use crate::support::child::{self, Counter};
use crate::support::io::{Call, Fate, Faults, Hooked};
use crate::support::{Heard, Place, Rng, count_from, list};

pub(crate) const NOW: CollectOptions = CollectOptions { now: true };

pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut rng = Rng(seed);
    std::iter::repeat_with(|| rng.next().to_le_bytes()).flatten().take(len).collect()
}

/// A version of 300 kB, of which 200 kB are in all versions.
pub(crate) fn draft(name: &str, seed: u64) -> ArtifactDraft {
    let mut draft = ArtifactDraft::new(name, "dataset").expect("a name");
    draft.add_bytes("shared", noise(0, 200_000)).expect("adds");
    draft.add_bytes("own", noise(seed + 1, 100_000)).expect("adds");
    draft
}

pub(crate) fn try_put(workspace: &Workspace, name: &str, seed: u64) -> Result<PutReport> {
    workspace.put_artifact(&draft(name, seed), &PutSettings { project: "p".into(), ..PutSettings::default() })
}

pub(crate) fn put(workspace: &Workspace, name: &str, seed: u64) -> ArtifactVersion {
    try_put(workspace, name, seed).expect("puts").version
}

#[track_caller]
pub(crate) fn assert_whole(workspace: &Workspace, noun: &str) {
    let report = workspace.check(CheckOptions { read_data: true }).expect("checks");
    assert!(report.is_ok(), "{noun}: {:#?}", report.problems);
}

#[track_caller]
pub(crate) fn assert_opens(version: &ArtifactVersion, noun: &str) {
    let verified = version.verify().expect("verifies");
    assert!(verified.hurt.is_empty(), "{noun}: {:?}", verified.hurt);
    assert_eq!(verified.bytes, 300_000, "{noun}");
}

/// Which calls fail: those about the blob store and what they need.
fn all(_: Call) -> bool {
    true
}

const FATES: [Fate; 3] = [Fate::Fails(libc::ENOSPC), Fate::Half, Fate::DoneAndFails(libc::EIO)];

/// Lets each call of some work fail in turn, each in a new workspace that `prepare` made; `after` looks at what is left. Of the
/// six ways in which a call fails each one takes the next two, or all with `RUNCELLAR_FATE_EVERY=1` instead of 3.
pub(crate) fn fail_at_every_call(
    prepare: impl Fn(&Workspace),
    work: impl Fn(&Workspace) -> bool,
    after: impl Fn(&Place, &Workspace, bool, &str),
) {
    let every = count_from("RUNCELLAR_FATE_EVERY", 3);
    let ways = FATES.into_iter().flat_map(|fate| [(fate, 1), (fate, u64::MAX)]);
    let ways: Vec<_> = (0..).zip(ways).collect();
    let mut met = 0;
    for n in 1.. {
        let mut any = false;
        for (_, (fate, length)) in ways.iter().filter(|(way, _)| (n + way) % every == 0) {
            let place = Place::new();
            let faults = Faults::new(all, n, n.saturating_add(*length), *fate);
            let io = Hooked::shared(faults.clone());
            let noun = format!("{fate:?} at call {n}, {length} long");
            let workspace = place.open_with(io, Arc::new(Heard::default())).expect("opens");
            prepare(&workspace);
            faults.arm(true);
            let done = work(&workspace);
            faults.arm(false);
            drop(workspace);
            after(&place, &place.open(), done, &noun);
            let failed = faults.seen() >= n;
            assert!(done || failed, "{noun}: nothing failed");
            any |= failed;
        }
        if !any {
            break;
        }
        met += 1;
    }
    assert!(met > 3, "{met} calls");
}

#[test]
fn a_put_that_fails_at_any_call_leaves_nothing_or_the_version() {
    fail_at_every_call(
        |workspace| drop(put(workspace, "data", 1)),
        |workspace| try_put(workspace, "data", 2).is_ok(),
        |place, workspace, done, noun| {
            assert_whole(workspace, noun);
            let versions = workspace.artifacts(None).expect("lists");
            assert!(versions.len() == 2 || (versions.len() == 1 && !done), "{noun}: {versions:?}");
            versions.iter().for_each(|version| assert_opens(version, noun));
            assert_opens(&put(workspace, "data", 2), noun);
            assert_opens(&put(workspace, "data", 3), noun);
            assert_whole(workspace, noun);
            // Where nothing can be removed, and where a file was made unseen, something is left for later.
            if noun.ends_with(" 1 long") && !noun.starts_with("Done") {
                let left = || list(&place.workspace().join("tmp"));
                let is_put = |path: &Path| path.extension().is_some_and(|end| end == "put");
                assert!(left().iter().all(|path| is_put(path)), "{noun}: left in tmp/: {:?}", left());
                if !left().is_empty() {
                    workspace.collect_garbage(NOW).expect("collects");
                }
                assert_eq!(left().len(), 0, "{noun}: what says that a put is under way");
            }
        },
    );
}

#[test]
fn a_collection_that_fails_at_any_call_loses_nothing() {
    fail_at_every_call(
        |workspace| {
            let first = put(workspace, "data", 1);
            put(workspace, "data", 2);
            put(workspace, "data", 3);
            workspace.remove_version(&first, RemoveOptions::default()).expect("removes");
            let second = workspace.artifact("data:v1").expect("finds");
            workspace.remove_version(&second, RemoveOptions::default()).expect("removes");
        },
        |workspace| workspace.collect_garbage(NOW).is_ok(),
        |_, workspace, _, noun| {
            assert_whole(workspace, noun);
            assert_opens(&workspace.artifact("data:latest").expect("finds"), noun);
            workspace.collect_garbage(NOW).expect("collects");
            assert_whole(workspace, noun);
            assert_opens(&workspace.artifact("data:latest").expect("finds"), noun);
        },
    );
}

/// When the database is about to know a pack, its bytes are durable, then its name.
#[test]
fn bytes_come_before_names_and_names_before_pointers() {
    let seen: Arc<Mutex<Vec<(Call, std::path::PathBuf)>>> = Arc::default();
    let hook = seen.clone();
    let io = Hooked::new(move |call: Call, path: &Path| {
        let mut seen = hook.lock().expect("unpoisoned");
        if call == Call::Identity && path.extension().is_some_and(|end| end == "pack") {
            // Looked for in the transaction that writes its row.
            let name = path.file_name().expect("a name");
            let at = |wanted: Call, path: &Path| seen.iter().rposition(|(call, seen)| *call == wanted && seen == path);
            let temporary = path.ancestors().nth(3).expect("the workspace").join("tmp").join(name);
            let (appended, synced) = (at(Call::Append, &temporary), at(Call::Sync, &temporary));
            let (named, durable) = (at(Call::Rename, path), at(Call::SyncDir, path.parent().expect("has one")));
            assert!(appended.is_some() && appended < synced && synced < named && named < durable, "{path:?}: {seen:?}");
        }
        seen.push((call, path.to_owned()));
        Fate::Done
    });
    let place = Place::new();
    let workspace = place.open_with(io, Arc::new(Heard::default())).expect("opens");
    put(&workspace, "data", 1);
    let seen = seen.lock().expect("unpoisoned");
    assert!(seen.iter().any(|(call, path)| *call == Call::Identity && path.extension().is_some()), "looked for");
}

/// Plays a writer that puts, removes and collects until it is killed; says after each put which it was.
pub(crate) fn puts_and_removes(place: &Place, argument: &str) {
    let (workspace, counter) = (place.open(), Counter::open(&place.root().join("put")));
    let first: u64 = argument.parse().expect("a number");
    for seed in first.. {
        let version = put(&workspace, "data", seed);
        counter.set(seed);
        if seed % 3 == 2 {
            for old in workspace.artifacts(None).expect("lists") {
                if old.number + 2 <= version.number {
                    workspace.remove_version(&old, RemoveOptions::default()).expect("removes");
                }
            }
            workspace.collect_garbage(NOW).expect("collects");
        }
    }
}

#[test]
fn a_kill_at_any_moment_of_put_remove_and_collect_loses_nothing_acknowledged() {
    let (place, mut rng) = (Place::new(), Rng::seeded());
    drop(place.open());
    let counter = Counter::open(&place.root().join("put"));
    let mut next = 1;
    for kill in 0..count_from("RUNCELLAR_KILLS", 100) / 10 {
        let mut killed = child::start("puts_and_removes", &place, next);
        counter.wait_for(next + rng.below(4), &mut killed);
        for _ in 0..rng.below(2_000) {
            std::thread::yield_now();
        }
        child::kill(killed);
        let (last, noun) = (counter.get(), format!("kill {kill}"));
        let workspace = place.open();
        assert_whole(&workspace, &noun);
        let newest = workspace.artifact("data:latest").expect("finds");
        assert_opens(&newest, &noun);
        let to = place.root().join("to");
        newest.download(&to, &DownloadOptions::default()).expect("downloads");
        let own = fs::read(to.join("own")).expect("reads");
        assert!(own == noise(last + 1, 100_000) || own == noise(last + 2, 100_000), "{noun}: an older one");
        next = last + 2;
    }
}

pub(crate) fn puts_the_same(place: &Place, _: &str) {
    assert_opens(&put(&place.open(), "data", 7), "in a child");
}

#[test]
fn processes_that_put_the_same_at_once_make_one_version() {
    let place = Place::new();
    drop(place.open());
    let children: Vec<_> = (0..3).map(|_| child::start("puts_the_same", &place, "")).collect();
    for mut child in children {
        assert!(child.wait().expect("waits").success());
    }
    let workspace = place.open();
    assert_whole(&workspace, "after all");
    let versions = workspace.artifacts(None).expect("lists");
    assert_eq!(versions.len(), 1, "{versions:?}");
    assert_opens(&versions[0], "after all");
}

#[test]
fn what_is_put_while_garbage_is_collected_is_whole() {
    let place = Place::new();
    let (workspace, other) = (place.open(), place.open());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                other.collect_garbage(NOW).expect("collects");
            }
        });
        for seed in 0..count_from("RUNCELLAR_KILLS", 100) / 4 {
            match try_put(&workspace, "data", seed % 5) {
                Ok(report) => {
                    assert_opens(&report.version, &format!("put {seed}"));
                    if seed % 2 == 1 {
                        workspace.remove_version(&report.version, RemoveOptions::default()).expect("removes");
                    }
                }
                // It says so, and there is no version.
                Err(error) => assert_eq!(error.kind(), ErrorKind::Busy, "{error}"),
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_whole(&workspace, "after all");
    for version in workspace.artifacts(None).expect("lists") {
        assert_opens(&version, "after all");
    }
}

/// Plays a process that forks between puts: both halves go on putting.
pub(crate) fn forks_and_puts(place: &Place, _: &str) {
    let workspace = place.open();
    put(&workspace, "before", 1);
    // SAFETY: the child uses the store as any process may after a fork, and ends without running destructors.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| put(&workspace, "child", 2)));
        // SAFETY: ends the process.
        unsafe { libc::_exit(i32::from(outcome.is_err())) };
    }
    put(&workspace, "parent", 3);
    let mut status = 0;
    // SAFETY: the child is ours, and `status` outlives the call.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "the child's put");
    put(&workspace, "after", 4);
}

#[test]
fn a_forked_child_puts_while_its_parent_does() {
    let place = Place::new();
    drop(place.open());
    child::play("forks_and_puts", &place, "");
    let workspace = place.open();
    for name in ["before", "child", "parent", "after"] {
        assert_opens(&workspace.artifact(name).expect("finds"), name);
    }
    assert_whole(&workspace, "after a fork");
}

/// Where content is cut depends on the project's key, so each new workspace fills the last buffer to another part.
#[test]
fn a_file_that_cannot_be_read_makes_no_version_and_what_was_put_is_found() {
    for _ in 0..4 {
        a_file_that_cannot_be_read();
    }
}

fn a_file_that_cannot_be_read() {
    let place = Place::new();
    let workspace = place.open();
    let (from, settings) = (place.root().join("from"), PutSettings { project: "p".into(), ..PutSettings::default() });
    fs::create_dir(&from).expect("creates");
    fs::write(from.join("a"), noise(1, 20 << 20)).expect("writes");
    fs::write(from.join("b"), b"gone soon").expect("writes");
    let mut draft = ArtifactDraft::new("data", "dataset").expect("a name");
    draft.add_dir(&from, None, runcellar::artifacts::Links::Keep).expect("adds");
    fs::remove_file(from.join("b")).expect("removes");
    let error = workspace.put_artifact(&draft, &settings).expect_err("a file is missing");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert_eq!(workspace.artifacts(None).expect("lists").len(), 0);
    assert_eq!(list(&place.workspace().join("tmp")).len(), 0, "left in tmp/");
    fs::write(from.join("b"), b"there").expect("writes");
    let kept = packs(&place).len();
    let mut draft = ArtifactDraft::new("data", "dataset").expect("a name");
    draft.add_dir(&from, None, runcellar::artifacts::Links::Keep).expect("adds");
    let report = workspace.put_artifact(&draft, &settings).expect("puts");
    assert_eq!((kept, report.new_bytes), (2, 5), "all that was read is found: packs, and bytes that are new");
    assert_whole(&workspace, "after all");
}
