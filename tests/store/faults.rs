//! P8: the training loop never breaks. A fault at the n-th file operation, for every n; a disk that is full, and has
//! room again; permissions that are taken away. `log()` does not fail, warns once, and counts exactly what it dropped.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use runcellar::run::Run;
use runcellar::{ErrorKind, RunInfo, RunState, Value, Workspace};

use crate::support::child::Counter;
use crate::support::io::{Call, Fate, Faults, Hooked};
use crate::support::{Heard, Place, child, count_from, is_network, not_tested};

const ROWS: u64 = 24;
/// More than the writer's pause between attempts to make a file.
const PAUSE_US: i64 = 1_500_000;
const FOREVER: u64 = u64::MAX;

/// Compares what is read back of rows (n = step) with what was dropped: each row is there or counted.
#[track_caller]
fn assert_exact(workspace: &Workspace, run: &RunInfo, logged: u64, dropped: u64, noun: &str) {
    let summary = u64::from(run.summary("said").is_some());
    let rows = match workspace.series(run, "n", None) {
        Ok(series) => {
            for (index, step) in series.steps.iter().enumerate() {
                assert_eq!(series.values.get(index), Some(Value::Int(*step)), "{noun}");
            }
            assert!(series.steps.is_sorted_by(|left, right| left < right), "{noun}: each row once");
            series.steps.len() as u64
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{noun}: {error}");
            0
        }
    };
    assert_eq!(rows + summary + dropped, logged, "{noun}: {rows} rows and {summary} field read, {dropped} dropped");
}

/// Records a run with faults from the `n`-th call on, `length` calls long; returns false if none was met.
fn record(place: &Place, counts: fn(Call) -> bool, fate: Fate, n: u64, length: u64) -> bool {
    let noun = format!("{fate:?} from call {n} on, {length} calls");
    let id = format!("run-{n}-{length}");
    let faults = Faults::new(counts, n, n.saturating_add(length), fate);
    let (io, heard) = (Hooked::shared(faults.clone()), Arc::new(Heard::default()));
    faults.arm(true);
    let mut logged = None;
    if let Ok(workspace) = place.open_with(io.clone(), heard.clone()) {
        let before = heard.warnings().len();
        if let Ok(run) = workspace.run("p").id(&id).journal_bytes(600).start() {
            for i in 0..ROWS {
                io.pass(PAUSE_US);
                run.log([("n", i as i64)]).unwrap_or_else(|error| panic!("{noun}: log() failed: {error}"));
                if i == ROWS / 2 {
                    run.summary("said", 1_i64).unwrap_or_else(|error| panic!("{noun}: summary() failed: {error}"));
                    // A disk that does not sync is an error of this call.
                    let _ = run.flush();
                }
            }
            let warnings = heard.warnings();
            assert!(warnings.len() <= before + 1, "{noun}: {warnings:#?}");
            let finished = run.finish();
            logged = Some((ROWS + 1, run.dropped(), finished.is_ok()));
        }
    }
    let met = faults.seen() >= n;
    faults.arm(false);
    // Files that could not be removed would be looked at again and again.
    place.ten_minutes_pass();
    let workspace = place.open();
    match (logged, workspace.find_run(&id)) {
        (Some((logged, dropped, finished)), Ok(run)) => {
            assert_exact(&workspace, &run, logged, dropped, &noun);
            assert_ne!(run.state, RunState::Running, "{noun}");
            assert!(!finished || run.state == RunState::Finished, "{noun}: {:?}", run.state);
        }
        (Some(_), Err(error)) => panic!("{noun}: {error}"),
        (None, Ok(run)) => assert_ne!(run.state, RunState::Running, "{noun}: a run that could not start"),
        (None, Err(error)) => assert_eq!(error.kind(), ErrorKind::NotFound, "{noun}: {error}"),
    }
    met
}

fn survive(counts: fn(Call) -> bool, fates: &[Fate]) {
    for fate in fates {
        for length in [1, 3, FOREVER] {
            let place = Place::new();
            drop(place.open());
            let met = (1..).take_while(|n| record(&place, counts, *fate, *n, length)).count();
            assert!(met > 0, "no such call was made");
        }
    }
}

const EIO: Fate = Fate::Fails(libc::EIO);
const ENOSPC: Fate = Fate::Fails(libc::ENOSPC);
const EACCES: Fate = Fate::Fails(libc::EACCES);

#[test]
fn appends_that_fail_at_any_moment_lose_nothing_unsaid() {
    survive(|call| call == Call::Append, &[ENOSPC, Fate::Half, Fate::DoneAndFails(libc::EIO)]);
}

/// Every row brings a metric of its own, so that each file begins with more names than the one before it, and lacks those
/// that came while it was made ahead.
#[test]
fn names_that_come_while_files_fail_are_neither_lost_nor_mixed_up() {
    for n in 1.. {
        let place = Place::new();
        drop(place.open());
        let faults = Faults::new(|call| call == Call::Append, n, n + 1, ENOSPC);
        let (io, noun) = (Hooked::shared(faults.clone()), format!("append {n} fails"));
        let workspace = place.open_with(io.clone(), Arc::new(Heard::default())).expect("opens");
        let run = workspace.run("p").id("the-run").journal_bytes(600).start().expect("starts");
        faults.arm(true);
        for i in 0..ROWS as i64 {
            io.pass(PAUSE_US);
            run.log([("n".to_owned(), i), (format!("of/{i}"), i)]).expect("log() does not fail");
        }
        run.finish().expect("finishes");
        let met = faults.seen() >= n;
        assert_eq!(run.dropped(), 0, "{noun}");
        let info = workspace.find_run("the-run").expect("listed");
        assert_exact(&workspace, &info, ROWS, 0, &noun);
        for i in 0..ROWS as i64 {
            let series = workspace.series(&info, &format!("of/{i}"), None).expect("reads");
            assert_eq!((series.steps, series.values.get(0)), (vec![i], Some(Value::Int(i))), "{noun}");
        }
        if !met {
            break;
        }
    }
}

#[test]
fn syncs_that_fail_at_any_moment_lose_nothing_unsaid() {
    survive(|call| call == Call::Sync, &[EIO, Fate::DoneAndFails(libc::EIO)]);
}

#[test]
fn files_that_cannot_be_made_lose_nothing_unsaid() {
    survive(|call| call == Call::Create, &[ENOSPC, EACCES, Fate::Fails(libc::EMFILE)]);
    survive(|call| call == Call::SyncDir, &[EIO]);
    survive(|call| call == Call::Lock, &[EIO]);
}

#[test]
fn files_that_cannot_be_read_lose_nothing_unsaid() {
    survive(|call| matches!(call, Call::ReadAt | Call::Open), &[EIO]);
    survive(|call| call == Call::List, &[EIO]);
}

#[test]
fn files_that_cannot_be_moved_or_looked_at_lose_nothing_unsaid() {
    survive(|call| matches!(call, Call::Remove | Call::Rename), &[EACCES]);
    survive(|call| call == Call::Identity, &[EACCES]);
}

#[test]
fn a_disk_that_takes_nothing_at_all_loses_nothing_unsaid() {
    let writes = |call| matches!(call, Call::Append | Call::Create | Call::Sync | Call::SyncDir | Call::Rename);
    survive(writes, &[ENOSPC]);
}

#[test]
fn a_strict_run_fails_for_each_value_that_is_not_kept() {
    let place = Place::new();
    let faults = Faults::new(|call| matches!(call, Call::Append | Call::Create), 1, FOREVER, ENOSPC);
    let workspace = place.open_with(Hooked::shared(faults.clone()), Arc::new(Heard::default())).expect("opens");
    let run = workspace.run("p").strict(true).start().expect("starts");
    run.log([("n", 0_i64)]).expect("logs");
    faults.arm(true);
    for i in 1..5_i64 {
        assert_eq!(run.log([("n", i)]).expect_err("the disk is full").kind(), ErrorKind::ReadOnly);
    }
    if is_network() {
        // There the database is a file that is written anew.
        assert_eq!(run.finish().expect_err("the disk is full").kind(), ErrorKind::ReadOnly);
        assert_eq!(run.dropped(), 4);
    } else {
        run.finish().expect("the database had room for what no journal took");
        assert_eq!(run.dropped(), 0);
    }
    faults.arm(false);
    let workspace = place.open();
    let info = workspace.find_run(run.id()).expect("listed");
    assert_exact(&workspace, &info, 5, run.dropped(), "strict");
}

/// While the disk is full rows wait in memory, and are written once there is room.
#[test]
fn a_full_disk_that_has_room_again_loses_nothing() {
    let place = Place::new();
    let faults = Faults::new(|call| matches!(call, Call::Append | Call::Create), 1, FOREVER, ENOSPC);
    let (io, heard) = (Hooked::shared(faults.clone()), Arc::new(Heard::default()));
    let workspace = place.open_with(io.clone(), heard.clone()).expect("opens");
    let run = workspace.run("p").start().expect("starts");
    for i in 0..3000_i64 {
        faults.arm((1000..2000).contains(&i));
        io.pass(PAUSE_US / 100);
        run.log([("n", i)]).expect("logs");
    }
    let other = place.look();
    let info = other.find_run(run.id()).expect("listed");
    assert_exact(&other, &info, 3000, 0, "from another handle, while it runs");
    run.finish().expect("finishes");
    assert_eq!((run.dropped(), heard.warnings().len()), (0, 1), "{:#?}", heard.warnings());
    let info = workspace.find_run(run.id()).expect("listed");
    assert_exact(&workspace, &info, 3000, 0, "after finish()");
    assert_eq!(info.state, RunState::Finished);
}

/// The buffer is bounded: what does not fit is dropped, counted, and said at the end.
#[test]
fn a_disk_that_is_full_for_long_costs_what_the_buffer_cannot_hold_and_says_how_much() {
    let place = Place::new();
    let faults = Faults::new(|call| matches!(call, Call::Append | Call::Create), 1, FOREVER, ENOSPC);
    let (io, heard) = (Hooked::shared(faults.clone()), Arc::new(Heard::default()));
    let workspace = place.open_with(io.clone(), heard.clone()).expect("opens");
    let run = workspace.run("p").start().expect("starts");
    let pad = "x".repeat(100_000);
    for i in 0..300_i64 {
        faults.arm((100..250).contains(&i));
        io.pass(PAUSE_US);
        let row = [("n", Value::Int(i)), ("pad", Value::from(pad.as_str()))];
        run.log(row).expect("logs");
    }
    run.finish().expect("finishes");
    let dropped = run.dropped();
    assert!(dropped > 0 && dropped.is_multiple_of(2), "{dropped} values, two a row");
    let info = workspace.find_run(run.id()).expect("listed");
    assert_exact(&workspace, &info, 300, dropped / 2, "n");
    assert_eq!(info.dropped, dropped);
    let warnings = heard.warnings();
    assert_eq!(warnings.len(), 2, "one at first, one at the end: {warnings:#?}");
    assert!(warnings[1].ends_with(&format!("{dropped} values were dropped")), "{warnings:#?}");
}

/// What a sync that failed may have lost is written anew before the next one is believed.
#[test]
fn a_failed_sync_is_never_followed_by_a_success_of_the_same_file() {
    let place = Place::new();
    let faults = Faults::new(|call| call == Call::Sync, 1, 2, EIO);
    let (io, heard) = (Hooked::shared(faults.clone()), Arc::new(Heard::default()));
    let workspace = place.open_with(io, heard).expect("opens");
    let run = workspace.run("p").start().expect("starts");
    (0..10_i64).for_each(|i| run.log([("n", i)]).expect("logs"));
    let before = place.journal_files();
    faults.arm(true);
    run.flush().expect("the rows stand in another file by now");
    assert_eq!(faults.seen(), 2);
    let after: Vec<_> = place.journal_files().into_iter().filter(|file| !before.contains(file)).collect();
    assert_eq!(after.len(), 1, "a new file");
    // All ten rows are in the new file: the old one may go.
    before.iter().for_each(|file| std::fs::remove_file(file).expect("removes"));
    let other = place.look();
    let info = other.find_run(run.id()).expect("listed");
    assert_exact(&other, &info, 10, 0, "from the new file alone");
    run.finish().expect("finishes");
}

/// At more rows a second than one ingest takes, the background must still sync each second.
#[test]
fn rows_that_come_fast_are_synced_all_the_same() {
    let place = Place::new();
    let faults = Faults::new(|call| call == Call::Sync, FOREVER, FOREVER, EIO);
    let (io, heard) = (Hooked::shared(faults.clone()), Arc::new(Heard::default()));
    let workspace = place.open_with(io, heard).expect("opens");
    let run = workspace.run("p").start().expect("starts");
    faults.arm(true);
    let limit = count_from("RUNCELLAR_FAST_ROWS", 20_000_000);
    let mut rows = 0;
    while faults.seen() < 2 {
        run.log([("n", rows as i64)]).expect("logs");
        rows += 1;
        assert!(rows < limit, "{rows} rows and {} syncs", faults.seen());
    }
    run.finish().expect("finishes");
    assert_eq!(
        workspace.series(&workspace.find_run(run.id()).expect("listed"), "n", None).expect("reads").steps.len() as u64,
        rows
    );
}

/// A small file system in memory; unmounted at the end.
pub(crate) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    pub(crate) fn mount(size: &str) -> Option<SmallDisk> {
        let at = tempfile::tempdir().expect("a temporary directory");
        let option = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &option, "tmpfs"]).arg(at.path()).output();
        mounted.ok().filter(|output| output.status.success()).map(|_| SmallDisk(at))
    }
}

impl SmallDisk {
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// The real thing: a file system of 2 MiB that another program fills, and frees.
#[test]
fn a_real_disk_that_is_full_and_has_room_again_loses_nothing_unsaid() {
    let Some(disk) = SmallDisk::mount("2m") else {
        return not_tested("P8 on a real full disk: tmpfs may not be mounted here");
    };
    let (place, keys) = (Place::at(disk.0.path()), tempfile::tempdir().expect("a temporary directory"));
    let keys = runcellar::Keys { directory: Some(keys.path().to_owned()), ..Default::default() };
    let (io, heard) = (Hooked::new(|_: Call, _: &Path| Fate::Done), Arc::new(Heard::default()));
    let open = |monitor: Arc<Heard>| {
        runcellar::OpenOptions { keys: keys.clone(), create: true, io: io.clone(), monitor, ..Default::default() }
            .open(&place.workspace())
            .expect("opens")
    };
    let workspace = open(heard.clone());
    let run = workspace.run("p").journal_bytes(64 << 10).start().expect("starts");
    let ballast = place.root().join("ballast");
    let log = |rows: std::ops::Range<i64>, pause: i64| {
        for i in rows {
            io.pass(pause);
            run.log([("n", i)]).expect("logs");
        }
    };
    log(0..1000, 0);
    let full = Command::new("dd").args(["if=/dev/zero", "bs=4k"]).arg(format!("of={}", ballast.display())).output();
    assert!(!full.expect("dd runs").status.success(), "dd stops at the full disk");
    log(1000..9000, 0);
    log(9000..9100, PAUSE_US);
    assert_eq!(heard.warnings().len(), 1, "{:#?}", heard.warnings());
    std::fs::remove_file(&ballast).expect("removes");
    log(9100..9200, PAUSE_US);
    run.finish().expect("finishes");
    let dropped = run.dropped();
    let info = workspace.find_run(run.id()).expect("listed");
    assert_exact(&workspace, &info, 9200, dropped, "before reopening");
    assert_eq!((dropped, info.state), (0, RunState::Finished), "the buffer holds that much");
    drop((run, workspace));
    let workspace = open(Arc::new(Heard::default()));
    let info = workspace.find_run(&info.id).expect("listed");
    assert_exact(&workspace, &info, 9200, dropped, "after reopening");
}

/// The disk of the database fills in the middle of ingest, while journals have room: nothing is lost, it is said at the
/// end, and once there is room again the next opener ingests it.
#[test]
fn a_disk_that_fills_in_the_middle_of_ingest_loses_nothing_and_is_said() {
    const ROWS: i64 = 40_000;
    let Some(disk) = SmallDisk::mount("1m") else {
        return not_tested("a disk that fills in the middle of ingest: tmpfs may not be mounted here");
    };
    let (place, outside) = (Place::at(disk.0.path()), tempfile::tempdir().expect("a temporary directory"));
    let keys = runcellar::Keys { directory: Some(outside.path().join("keys")), ..Default::default() };
    let open = |monitor: Arc<Heard>| {
        runcellar::OpenOptions { keys: keys.clone(), create: true, monitor, ..Default::default() }
            .open(&place.workspace())
            .expect("opens")
    };
    let heard = Arc::new(Heard::default());
    let workspace = open(heard.clone());
    let (journals, elsewhere) = (place.workspace().join("journals"), outside.path().join("journals"));
    std::fs::create_dir(&elsewhere).expect("makes");
    std::fs::remove_dir(&journals).expect("it is empty");
    std::os::unix::fs::symlink(&elsewhere, &journals).expect("links");
    let run = workspace.run("p").id("full-run").journal_bytes(256 << 10).start().expect("starts");
    // Noise, which does not pack: 40,000 values take more than the disk has.
    let noise = |n: i64, salt: u64| {
        let mut word = (n.cast_unsigned() + 1).wrapping_mul(salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for _ in 0..3 {
            word = (word ^ (word >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        }
        word.cast_signed()
    };
    for n in 0..ROWS {
        run.log([("n", n), ("x", noise(n, 1)), ("y", noise(n, 2)), ("z", noise(n, 3))]).expect("logs");
    }
    run.finish().expect("all of it stands in journals");
    let warnings = heard.warnings();
    assert!(warnings.iter().any(|text| text.contains("full")), "{warnings:#?}");
    assert_eq!(run.dropped(), 0);
    let whole = |workspace: &Workspace| {
        let info = workspace.find_run("full-run").expect("listed");
        for (metric, salt) in [("x", 1), ("z", 3)] {
            let series = workspace.series(&info, metric, None).expect("reads");
            assert_eq!(series.steps, (0..ROWS).collect::<Vec<_>>());
            let right = |at: i64| series.values.get(at as usize) == Some(Value::Int(noise(at, salt)));
            assert!((0..ROWS).all(right), "{metric}");
        }
        assert_eq!(info.state, RunState::Finished);
    };
    whole(&workspace);
    drop((run, workspace));
    let grown = Command::new("mount").args(["-o", "remount,size=64m"]).arg(disk.0.path()).status();
    assert!(grown.expect("mount runs").success(), "the disk grows");
    let workspace = open(Arc::new(Heard::default()));
    whole(&workspace);
    let left = std::fs::read_dir(&elsewhere).expect("lists").count();
    assert_eq!(left, 0, "all journals are ingested");
    let report = workspace.check(runcellar::CheckOptions { read_data: true }).expect("is checked");
    assert!(report.is_ok(), "{:#?}", report.problems);
}

/// The disk never has room again: what could not be written is counted at the end, to the value.
#[test]
fn a_real_disk_that_stays_full_costs_exactly_what_is_counted() {
    let Some(disk) = SmallDisk::mount("1m") else {
        return not_tested("P8 on a real full disk: tmpfs may not be mounted here");
    };
    let (place, keys) = (Place::at(disk.0.path()), tempfile::tempdir().expect("a temporary directory"));
    let keys = runcellar::Keys { directory: Some(keys.path().to_owned()), ..Default::default() };
    let (io, heard) = (Hooked::new(|_: Call, _: &Path| Fate::Done), Arc::new(Heard::default()));
    let open = |monitor: Arc<Heard>| {
        runcellar::OpenOptions { keys: keys.clone(), create: true, io: io.clone(), monitor, ..Default::default() }
            .open(&place.workspace())
            .expect("opens")
    };
    let workspace = open(heard.clone());
    let run = workspace.run("p").start().expect("starts");
    for i in 0..30_000_i64 {
        io.pass(PAUSE_US / 1000);
        run.log([("n", i)]).expect("logs");
    }
    let finished = run.finish();
    let (id, dropped) = (run.id().to_owned(), run.dropped());
    assert!(dropped > 0 && finished.is_err(), "1 MiB cannot hold 30,000 rows");
    drop((run, workspace));
    let workspace = open(Arc::new(Heard::default()));
    let info = workspace.find_run(&id).expect("listed");
    assert_exact(&workspace, &info, 30_000, dropped, "after reopening");
}

/// A user who may not write any more, as root cannot be kept from writing: the directory of journals is closed while
/// a child of another user logs over it, and opened again.
#[test]
fn permissions_taken_away_and_given_back_lose_nothing() {
    const NOBODY: u32 = 65534;
    let place = Place::new();
    std::fs::set_permissions(place.root(), std::fs::Permissions::from_mode(0o777)).expect("root of its place");
    if chown(place.root(), Some(NOBODY), Some(NOBODY)).is_err() {
        return not_tested("P8 with permissions taken away: only root can become another user");
    }
    let counter = Counter::open(&place.root().join("counter"));
    std::fs::set_permissions(place.root().join("counter"), std::fs::Permissions::from_mode(0o666)).expect("shares");
    let mut logging = child::command("logs_without_permission", &place, "");
    let mut logging = match logging.uid(NOBODY).gid(NOBODY).spawn() {
        Ok(child) => child,
        Err(error) => return not_tested(&format!("P8 with permissions taken away: {error}")),
    };
    let close =
        |mode| std::fs::set_permissions(place.journals(), std::fs::Permissions::from_mode(mode)).expect("chmod");
    counter.wait_for(500, &mut logging);
    close(0o500);
    counter.set(1000);
    counter.wait_for(1500, &mut logging);
    close(0o700);
    counter.set(2000);
    assert!(logging.wait().expect("waits").success(), "the child says why");
}

pub(crate) fn logs_without_permission(place: &Place, _: &str) {
    let counter = Counter::open(&place.root().join("counter"));
    let io = Hooked::new(|_: Call, _: &Path| Fate::Done);
    let workspace = place.open_with(io.clone(), Arc::new(Heard::default())).expect("opens");
    let run = workspace.run("p").journal_bytes(2000).start().expect("starts");
    let log = |rows: std::ops::Range<i64>| {
        for i in rows {
            io.pass(PAUSE_US / 10);
            run.log([("n", i)]).expect("logs");
        }
    };
    let wait = |value| {
        while counter.get() < value {
            std::thread::yield_now();
        }
    };
    log(0..500);
    counter.set(500);
    wait(1000);
    log(500..1500);
    counter.set(1500);
    wait(2000);
    log(1500..2000);
    run.finish().expect("finishes");
    let info = workspace.find_run(run.id()).expect("listed");
    assert_exact(&workspace, &info, 2000, run.dropped(), "nobody");
    assert_eq!(run.dropped(), 0);
}

/// A run that could not start at all leaves no trace that would count as one at work.
#[test]
fn starting_on_a_full_disk_is_an_error_that_says_so() {
    let place = Place::new();
    drop(place.open());
    let faults = Faults::new(|call| call == Call::Create, 1, FOREVER, ENOSPC);
    let workspace = place.open_with(Hooked::shared(faults.clone()), Arc::new(Heard::default())).expect("opens");
    faults.arm(true);
    let refused: Result<Run, _> = workspace.run("p").id("never").start();
    assert_eq!(refused.expect_err("no file can be made").kind(), ErrorKind::ReadOnly);
    assert_eq!(workspace.find_run("never").expect_err("no such run").kind(), ErrorKind::NotFound);
    assert_eq!(place.journal_files(), Vec::<std::path::PathBuf>::new());
}
