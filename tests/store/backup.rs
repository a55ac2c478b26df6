//! Backups: whole while writers are at work, as good as their last whole state whenever one is cut off, and workspaces
//! made of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use runcellar::artifacts::{ArtifactDraft, Links, PutSettings, RemoveOptions};
use runcellar::{
    BackupOptions, BackupReport, CheckOptions, CollectOptions, ErrorKind, FileSystemMode, OpenOptions, Result, Run,
    RunState, Selection, Severity, Workspace, restore_from,
};

use crate::support::child::{Counter, command, kill, play, start};
use crate::support::io::{Call, Fate, Hooked};
use crate::support::{Heard, Place, Rng, list, rows};

fn dest(place: &Place) -> PathBuf {
    place.root().join("backup")
}

fn back_up(place: &Place) -> BackupReport {
    let report = place.look().backup(&dest(place), BackupOptions { verify: true }).expect("is backed up");
    assert!(report.is_whole(), "{report:#?}");
    report
}

fn record(workspace: &Workspace, id: &str, count: u64) {
    let run = workspace.run("p").id(id).start().expect("starts");
    (0..count).for_each(|i| rows::log(&run, i));
    run.finish().expect("finishes");
}

fn put(workspace: &Workspace, root: &Path, name: &str, seed: u64) {
    let file = root.join(name);
    let mut rng = Rng(seed);
    let bytes: Vec<u8> = std::iter::repeat_with(|| rng.next().to_le_bytes()).take(40_000).flatten().collect();
    std::fs::write(&file, bytes).expect("writes");
    let mut draft = ArtifactDraft::new(name, "data").expect("a name");
    draft.add_file(&file, None, Links::Keep).expect("is there");
    workspace.put_artifact(&draft, &PutSettings { project: "p".into(), ..PutSettings::default() }).expect("is put");
}

fn open_existing(place: &Place, path: &Path) -> Result<Workspace> {
    OpenOptions { create: false, ..place.options() }.open(path)
}

fn open_kept(place: &Place) -> Result<Workspace> {
    open_existing(place, &dest(place))
}

/// Opens a backup, and fails if anything in it is hurt.
#[track_caller]
fn open_whole(place: &Place) -> Workspace {
    let copy = open_kept(place).expect("the backup opens");
    is_whole(&copy);
    copy
}

#[track_caller]
fn is_whole(copy: &Workspace) {
    let report = copy.check(CheckOptions { read_data: true }).expect("is checked");
    let errors: Vec<_> = report.problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

fn ids(workspace: &Workspace) -> Vec<String> {
    let mut ids: Vec<String> =
        workspace.runs(&Selection::default()).expect("lists").into_iter().map(|run| run.id.clone()).collect();
    ids.sort();
    ids
}

/// Every file below a folder, with its bytes.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for path in list(folder) {
        match path.is_dir() {
            true => all.extend(contents(&path)),
            false => drop(all.insert(path.clone(), std::fs::read(&path).expect("reads"))),
        }
    }
    all
}

/// Logs as many rows as [`allowance`] says, and says how many were acknowledged. Argument: the run's id.
pub(crate) fn logs_until_killed(place: &Place, id: &str) {
    let workspace = place.open();
    let run = workspace.run("p").id(id).journal_bytes(16 << 10).start().expect("starts");
    let (counter, allowed) = (Counter::open(&place.root().join(id)), allowance(place));
    for i in 0.. {
        while i >= allowed.get() {
            std::thread::sleep(Duration::from_millis(1));
        }
        rows::log(&run, i);
        counter.set(i + 1);
        // Some hundred rows a second, so that what is read back stays little on a slow machine.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// How many rows each writer may log by now.
fn allowance(place: &Place) -> Counter {
    Counter::open(&place.root().join("allowed"))
}

/// Writers at work, which a failed test does not leave behind.
struct Writers(Vec<std::process::Child>);

impl Drop for Writers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill().and_then(|()| child.wait());
        }
    }
}

/// Writers log, change files and ingest all the time; each row that was acknowledged before the call is in the copy, and
/// no row before it is missing.
#[test]
fn a_backup_taken_while_writers_log_is_whole_and_has_every_acknowledged_row() {
    let place = Place::new();
    put(&place.open(), place.root(), "weights", 1);
    let writers: Vec<String> = (0..8).map(|number| format!("writer-{number}")).collect();
    let allowed = allowance(&place);
    let mut children = Writers(writers.iter().map(|id| start("logs_until_killed", &place, id)).collect());
    let counters: Vec<Counter> = writers.iter().map(|id| Counter::open(&place.root().join(id))).collect();
    for round in 1..=3 {
        // They are not waited for beyond the first: the copy is made while they log the second.
        allowed.set((round + 1) * 300);
        for (counter, child) in counters.iter().zip(&mut children.0) {
            counter.wait_for(round * 300, child);
        }
        let acknowledged: Vec<u64> = counters.iter().map(Counter::get).collect();
        back_up(&place);
        let copy = open_whole(&place);
        for (id, least) in writers.iter().zip(&acknowledged) {
            let found = rows::verify(&copy, &copy.find_run(id).expect("listed"));
            assert!(found >= *least, "round {round}: {id} has {found} rows of {least}");
        }
    }
    std::mem::take(&mut children.0).into_iter().for_each(kill);
}

/// A writer goes on with the file that it made ahead, which says nothing of itself before, while its journals are copied.
#[test]
fn a_backup_has_no_gap_where_a_writer_goes_on_with_an_empty_journal_meanwhile() {
    for file_system in [FileSystemMode::Network, FileSystemMode::Local] {
        let place = Place::new();
        let options = || OpenOptions { file_system, ..place.options() };
        let workspace = options().open(&place.workspace()).expect("opens");
        let run = workspace.run("p").id("live").journal_bytes(16 << 10).start().expect("starts");
        let (logged, run) = (AtomicU64::new(0), Arc::new(run));
        let log = move |run: &Run| rows::log(run, logged.fetch_add(1, Ordering::SeqCst));
        let length = |path: &PathBuf| std::fs::metadata(path).map_or(0, |found| found.len());
        while place.journal_files().iter().all(|path| length(path) < 9 << 10) {
            log(&run);
        }
        // The background makes it.
        while place.journal_files().len() < 2 {
            std::thread::yield_now();
        }
        let (tmp, copied) = (dest(&place).join("tmp"), AtomicU64::new(0));
        let writer = run.clone();
        let io = Hooked::new(move |call: Call, path: &Path| {
            let is_journal = path.starts_with(&tmp) && path.extension().is_some_and(|end| end == "jnl");
            if call == Call::Create && is_journal && copied.fetch_add(1, Ordering::SeqCst) == 1 {
                // One is copied and the other is not. Rows are about a hundred bytes.
                (0..300).for_each(|_| log(&writer));
            }
            Fate::Done
        });
        let looking = OpenOptions { io, recover: false, ..options() }.open(&place.workspace()).expect("opens");
        let report = looking.backup(&dest(&place), BackupOptions { verify: true }).expect("is backed up");
        assert!(report.is_whole(), "{report:#?}");
        let copy = open_whole(&place);
        assert!(rows::verify(&copy, &copy.find_run("live").expect("listed")) >= 50);
        drop(looking);
        Arc::into_inner(run).expect("nobody else has it").finish().expect("finishes");
    }
}

#[test]
fn only_what_is_new_is_copied_and_what_is_gone_goes() {
    let place = Place::new();
    let workspace = place.open();
    record(&workspace, "one", 10);
    put(&workspace, place.root(), "weights", 1);
    let first = back_up(&place);
    assert!(first.copied_files >= 2 && first.kept_files == 0 && first.key_file.is_some(), "{first:?}");
    let before = contents(&dest(&place));
    let again = back_up(&place);
    assert_eq!((again.copied_files, again.copied_bytes, again.removed_files), (0, 0, 0));
    assert_eq!(again.kept_bytes, first.copied_bytes);
    assert!(contents(&dest(&place)) == before, "nothing was written");

    put(&workspace, place.root(), "weights", 2);
    let next = back_up(&place);
    assert!(next.copied_bytes < first.copied_bytes + 400_000 && next.kept_bytes >= 320_000, "{next:?}");
    let version = workspace.artifact("weights:v0").expect("is there");
    workspace.remove_version(&version, RemoveOptions { aliases_too: true }).expect("is removed");
    workspace.collect_garbage(CollectOptions { now: true }).expect("collects");
    let last = back_up(&place);
    assert_eq!(last.removed_files, 1, "{last:?}");
    assert_eq!(ids(&open_whole(&place)), ["one"]);
}

#[test]
fn a_backup_is_only_read_and_opening_it_changes_nothing() {
    let place = Place::new();
    record(&place.open(), "one", 10);
    let run = place.look().run("p").id("live").start().expect("starts");
    rows::log(&run, 0);
    back_up(&place);
    let before = contents(&dest(&place));
    let copy = open_whole(&place);
    assert_eq!(ids(&copy), ["live", "one"]);
    assert_eq!(rows::verify(&copy, &copy.find_run("live").expect("listed")), 1);
    let is_refused = |error: runcellar::Error| {
        assert_eq!(error.kind(), ErrorKind::ReadOnly);
        assert!(error.to_string().contains("it is a backup, which is only read"), "{error}");
    };
    is_refused(copy.run("p").start().map(drop).expect_err("refused"));
    is_refused(copy.set_setting("console", Some("false")).expect_err("refused"));
    assert_eq!(copy.repair(&runcellar::Repair::default()).expect_err("refused").kind(), ErrorKind::ReadOnly);
    drop(copy);
    assert!(contents(&dest(&place)) == before);
    run.finish().expect("finishes");
}

#[test]
fn what_is_no_backup_of_this_workspace_is_refused() {
    let (place, other) = (Place::new(), Place::new());
    record(&place.open(), "one", 1);
    record(&other.open(), "two", 1);
    back_up(&other);
    let refuse = |to: &Path, why: &str| {
        let error = place.look().backup(to, BackupOptions::default()).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
        assert!(error.to_string().ends_with(why), "{error}");
    };
    let before = contents(other.root());
    refuse(&dest(&other), "it is the backup of another workspace");
    refuse(&other.workspace(), "a workspace is there");
    refuse(&place.workspace(), "a workspace is there");
    refuse(other.root(), "the folder is not empty, and no backup of this workspace");
    let file = place.root().join("file");
    std::fs::write(&file, "x").expect("writes");
    refuse(&file, "a file is in its place");
    assert!(contents(other.root()) == before, "nothing was touched");
}

/// A copy that goes its own way must not take the place of the other's backup.
#[test]
fn the_backup_of_another_copy_of_the_workspace_is_refused() {
    if crate::support::is_network() {
        // Copies are not told there; docs/FORMAT.md, "Ingester".
        return;
    }
    let place = Place::new();
    record(&place.open(), "one", 1);
    back_up(&place);
    let moved = place.root().join("moved");
    crate::support::copy_dir(&place.workspace(), &moved);
    let copy = place.options().open(&moved).expect("opens");
    record(&copy, "two", 1);
    let error = copy.backup(&dest(&place), BackupOptions::default()).expect_err("refused");
    assert!(error.to_string().contains("another copy of this workspace"), "{error}");
    assert_eq!(ids(&open_whole(&place)), ["one"]);
}

/// Ends this process at the n-th call about the backup. Argument: n, and which of the two backups.
pub(crate) fn dies_backing_up(place: &Place, n: &str) {
    let (n, seen, folder) = (n.parse::<u64>().expect("a number"), AtomicU64::new(0), dest(place));
    let io = Hooked::new(move |_: Call, path: &Path| {
        if path.starts_with(&folder) && seen.fetch_add(1, Ordering::SeqCst) + 1 == n {
            // SAFETY: ends the process without running anything of ours.
            unsafe { libc::_exit(77) }
        }
        Fate::Done
    });
    let options = OpenOptions { io, recover: false, ..place.options() };
    let workspace = options.open(&place.workspace()).expect("opens");
    workspace.backup(&dest(place), BackupOptions::default()).expect("is backed up");
}

/// The first backup is there or not; a later one leaves the state before it, or its own: never half of one.
#[test]
fn killed_at_any_call_a_backup_leaves_a_whole_one() {
    for later in [false, true] {
        let place = Place::new();
        record(&place.open(), "one", 3);
        put(&place.open(), place.root(), "weights", 1);
        let mut expected = vec![vec!["live".to_owned(), "one".to_owned(), "two".to_owned()]];
        if later {
            back_up(&place);
            expected.push(vec!["one".to_owned()]);
        }
        let earlier = place.root().join("earlier");
        if later {
            crate::support::copy_dir(&dest(&place), &earlier);
        }
        // A new way to unlock it changes `keyslots`, too.
        let workspace = place.open();
        workspace.add_recovery_code("code").expect("adds");
        record(&workspace, "two", 3);
        put(&workspace, place.root(), "more", 2);
        let run = workspace.run("p").id("live").start().expect("starts");
        rows::log(&run, 0);
        for n in 1.. {
            let status = command("dies_backing_up", &place, n).status().expect("runs");
            if status.code() != Some(77) {
                assert!(status.success(), "call {n}: {status}");
                break;
            }
            match open_kept(&place) {
                Err(error) => {
                    assert!(!later && error.kind() == ErrorKind::NotFound, "call {n}: {error}");
                }
                Ok(copy) => {
                    let found = ids(&copy);
                    assert!(expected.contains(&found), "call {n}: {found:?}");
                    is_whole(&copy);
                }
            }
            // The next begins with what was there before this one.
            std::fs::remove_dir_all(dest(&place)).or_else(|_| std::fs::create_dir_all(dest(&place))).expect("removes");
            if later {
                crate::support::copy_dir(&earlier, &dest(&place));
            } else if n % 5 != 0 {
                continue;
            } else {
                // Or with what a killed one left.
                command("dies_backing_up", &place, n).status().expect("runs");
                back_up(&place);
                assert_eq!(ids(&open_whole(&place)), expected[0]);
                std::fs::remove_dir_all(dest(&place)).expect("removes");
            }
        }
        assert_eq!(ids(&open_whole(&place)), expected[0]);
        run.finish().expect("finishes");
    }
}

/// No space, or a disk that fails, at each call in turn: the backup says so, and the earlier one stays.
#[test]
fn a_full_disk_leaves_the_earlier_backup_whole() {
    let place = Place::new();
    record(&place.open(), "one", 3);
    back_up(&place);
    record(&place.open(), "two", 3);
    put(&place.open(), place.root(), "weights", 1);
    let (mut failed, earlier) = (0, place.root().join("earlier"));
    crate::support::copy_dir(&dest(&place), &earlier);
    for n in 1.. {
        std::fs::remove_dir_all(dest(&place)).expect("removes");
        crate::support::copy_dir(&earlier, &dest(&place));
        let (seen, folder) = (Arc::new(AtomicU64::new(0)), dest(&place));
        let counted = seen.clone();
        let io = Hooked::new(move |call: Call, path: &Path| {
            let writes = matches!(call, Call::Create | Call::Append | Call::Sync | Call::SyncDir | Call::Rename);
            let hit = writes && path.starts_with(&folder) && counted.fetch_add(1, Ordering::SeqCst) + 1 == n;
            if hit { Fate::Fails(libc::ENOSPC) } else { Fate::Done }
        });
        let workspace = OpenOptions { io, ..place.options() }.open(&place.workspace()).expect("opens");
        let outcome = workspace.backup(&dest(&place), BackupOptions::default());
        drop(workspace);
        let found = ids(&open_whole(&place));
        match outcome {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ReadOnly, "call {n}: {error}");
                assert!(found == ["one"] || found == ["one", "two"], "call {n}: {found:?}");
                failed += 1;
            }
            Ok(_) => assert_eq!(found, ["one", "two"], "call {n}"),
        }
        if seen.load(Ordering::SeqCst) < n {
            break;
        }
    }
    assert!(failed >= 10, "{failed} calls failed");
}

#[test]
fn a_file_that_was_lost_from_the_workspace_is_named() {
    let place = Place::new();
    put(&place.open(), place.root(), "weights", 1);
    let packs = place.workspace().join("packs");
    let pack = list(&list(&packs)[0])[0].clone();
    std::fs::remove_file(&pack).expect("removes");
    let report = place.look().backup(&dest(&place), BackupOptions::default()).expect("the rest is backed up");
    let name = pack.strip_prefix(place.workspace()).expect("below").display().to_string();
    assert_eq!((report.missing.clone(), report.is_whole()), (vec![name], false));
}

/// Starts a run, says so, and stays at work.
pub(crate) fn logs_some_and_stays(place: &Place, _: &str) {
    let run = place.open().run("p").id("live").start().expect("starts");
    (0..5).for_each(|i| rows::log(&run, i));
    Counter::open(&place.root().join("ready")).set(1);
    loop {
        std::thread::park();
    }
}

#[test]
fn a_restored_workspace_goes_on_beside_the_one_that_was_backed_up() {
    let place = Place::new();
    record(&place.open(), "one", 10);
    put(&place.open(), place.root(), "weights", 1);
    let mut child = start("logs_some_and_stays", &place, "");
    Counter::open(&place.root().join("ready")).wait_for(1, &mut child);
    back_up(&place);
    let kept = contents(&dest(&place));
    let (to, heard) = (place.root().join("restored"), Arc::new(Heard::default()));
    let options = OpenOptions { monitor: heard.clone(), ..place.options() };
    let restored = restore_from(&dest(&place), &to, options).expect("is restored");
    assert!(restored.check.is_ok(), "{:?}", restored.check);
    assert_eq!(heard.warnings(), Vec::<String>::new());
    assert!(contents(&dest(&place)) == kept, "the backup is as it was");

    // A run at work has what its writer had written, and ended without a word.
    let workspace = restored.workspace;
    let live = workspace.find_run("live").expect("listed");
    assert_eq!((live.state, rows::verify(&workspace, &live)), (RunState::Crashed, 5));
    assert_eq!(workspace.find_run("one").expect("listed").state, RunState::Finished);
    assert!(list(&to.join("journals")).is_empty(), "all journals are ingested");
    record(&workspace, "here", 3);
    is_whole(&workspace);
    drop(workspace);
    let again = open_existing(&place, &to).expect("opens");
    assert_eq!(ids(&again), ["here", "live", "one"]);
    // Nor does either disturb what the other's mirror says.
    record(&place.open(), "there", 3);
    place.open_silently();
    assert_eq!(place.look().find_run("live").expect("listed").state, RunState::Running);
    back_up(&place);
    kill(child);

    for occupied in [to, place.workspace(), dest(&place)] {
        let error = restore_from(&dest(&place), &occupied, place.options()).map(drop).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
    }
    let nothing = restore_from(&place.workspace(), &place.root().join("x"), place.options()).map(drop);
    assert_eq!(nothing.expect_err("no backup").kind(), ErrorKind::NotFound);
}

/// Ends this process at the n-th call about the folder that is restored to.
pub(crate) fn dies_restoring(place: &Place, n: &str) {
    let to = place.root().join("restored");
    let (n, seen, folder) = (n.parse::<u64>().expect("a number"), AtomicU64::new(0), to.clone());
    let io = Hooked::new(move |_: Call, path: &Path| {
        if path.starts_with(&folder) && seen.fetch_add(1, Ordering::SeqCst) + 1 == n {
            // SAFETY: ends the process without running anything of ours.
            unsafe { libc::_exit(77) }
        }
        Fate::Done
    });
    restore_from(&dest(place), &to, OpenOptions { io, ..place.options() }).expect("is restored");
}

#[test]
fn killed_at_any_call_a_restore_is_no_workspace_or_a_whole_one_and_goes_on() {
    let place = Place::new();
    record(&place.open(), "one", 3);
    put(&place.open(), place.root(), "weights", 1);
    let run = place.look().run("p").id("live").start().expect("starts");
    rows::log(&run, 0);
    back_up(&place);
    let (to, mut restored) = (place.root().join("restored"), 0);
    for n in (1..).step_by(2) {
        let status = command("dies_restoring", &place, n).status().expect("runs");
        let ended = status.code() != Some(77);
        assert!(!ended || status.success(), "call {n}: {status}");
        match open_existing(&place, &to) {
            Ok(workspace) => is_whole(&workspace),
            Err(error) => {
                assert!(!ended && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::State), "call {n}: {error}");
                play("restores", &place, "");
            }
        }
        let workspace = open_existing(&place, &to).expect("opens");
        assert_eq!(ids(&workspace), ["live", "one"], "call {n}");
        is_whole(&workspace);
        drop(workspace);
        // That of the workspace, and one for each that was restored: of a cut off one no secret is left.
        restored += 1;
        let of_slots =
            || list(&place.keys_dir()).into_iter().filter(|path| path.extension().is_some_and(|end| end == "key"));
        assert_eq!(of_slots().count(), 1 + restored, "call {n}");
        // The note of its slot may be left by one that was cut off last of all; `repair` removes it.
        let notes = list(&to.join("tmp"));
        assert!(notes.iter().all(|path| path.ends_with("own.slot")), "call {n}: {notes:?}");
        if ended {
            break;
        }
        std::fs::remove_dir_all(&to).expect("removes");
    }
    run.finish().expect("finishes");
}

pub(crate) fn restores(place: &Place, _: &str) {
    restore_from(&dest(place), &place.root().join("restored"), place.options()).expect("is restored");
}

#[test]
fn a_workspace_on_a_network_file_system_is_backed_up_and_restored() {
    let place = Place::new();
    let options = || OpenOptions { file_system: FileSystemMode::Network, ..place.options() };
    let workspace = options().open(&place.workspace()).expect("opens");
    record(&workspace, "one", 10);
    let run = workspace.run("p").id("live").start().expect("starts");
    (0..5).for_each(|i| rows::log(&run, i));
    workspace.backup(&dest(&place), BackupOptions { verify: true }).expect("is backed up");
    let copy = open_whole(&place);
    assert_eq!(rows::verify(&copy, &copy.find_run("live").expect("listed")), 5);
    for (mode, to) in [(FileSystemMode::Network, "network"), (FileSystemMode::Local, "local")] {
        let to = place.root().join(to);
        let options = OpenOptions { file_system: mode, ..place.options() };
        let restored = restore_from(&dest(&place), &to, options).expect("is restored").workspace;
        assert_eq!(restored.find_run("live").expect("listed").state, RunState::Crashed);
        record(&restored, "here", 2);
        is_whole(&restored);
    }
    run.finish().expect("finishes");
    assert_eq!(workspace.find_run("live").expect("listed").state, RunState::Finished);
}
