//! Who is at work, and who is dead: a journal's record lock says so, and must say so through readers, openers, clocks,
//! and files that are taken away.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use runcellar::{CheckOptions, ErrorKind, RunState, Selection, Value, Workspace};

use crate::support::child::Counter;
use crate::support::io::{Call, Fate, Hooked};
use crate::support::rows::assert_points;
use crate::support::{Heard, Place, child, is_network, rows};

#[track_caller]
fn assert_n(workspace: &Workspace, id: &str, count: i64) -> RunState {
    let run = workspace.find_run(id).expect("listed");
    let points: Vec<_> = (0..count).map(|n| (n, Value::Int(n))).collect();
    assert_points(&workspace.series(&run, "n", None).expect("reads"), &points, id);
    run.state
}

#[track_caller]
fn assert_whole(place: &Place) {
    place.ten_minutes_pass();
    let report = place.open_silently().check(CheckOptions { read_data: true }).expect("is checked");
    assert!(report.is_ok(), "{:#?}", report.problems);
    assert_eq!(place.journal_files(), Vec::<PathBuf>::new());
}

/// Opens the workspace as any program does, taking in what dead writers left; argument: a run and its expected state.
pub(crate) fn opens_silently(place: &Place, argument: &str) {
    let workspace = place.open_silently();
    if let Some((id, state)) = argument.split_once(' ') {
        assert_eq!(workspace.find_run(id).expect("listed").state.as_str(), state);
    }
}

/// Closing any descriptor of a file drops the locks of the process on it: readers must not have one of their own.
#[test]
fn a_reader_in_the_process_of_a_writer_does_not_drop_its_lock() {
    let place = Place::new();
    let workspace = place.open();
    let run = workspace.run("p").id("live-run").start().expect("starts");
    for n in 0..50_i64 {
        run.log([("n", n)]).expect("logs");
        let other = place.open_silently();
        assert_eq!(assert_n(&other, "live-run", n + 1), RunState::Running);
        other.runs(&Selection::default()).expect("lists");
        if n % 10 == 0 {
            assert!(other.check(CheckOptions::default()).expect("is checked").is_ok());
            other.diagnose().expect("looks");
        }
        drop(other);
        if n % 10 == 0 {
            child::play("opens_silently", &place, "live-run running");
            assert_eq!(place.journal_files().len(), 1);
        }
    }
    drop(workspace);
    child::play("opens_silently", &place, "live-run running");
    run.finish().expect("finishes");
    assert_eq!(assert_n(&place.open_silently(), "live-run", 50), RunState::Finished);
    assert_whole(&place);
}

#[test]
fn the_run_of_a_killed_writer_is_marked_by_the_next_opener() {
    let place = Place::new();
    let counter = Counter::open(&place.root().join("counter"));
    let mut logging = child::start("logs", &place, format!("dead-run {} {}", 1 << 20, u64::MAX));
    counter.wait_for(100, &mut logging);
    child::play("opens_silently", &place, "dead-run running");
    child::kill(logging);
    child::play("opens_silently", &place, "dead-run crashed");
    let workspace = place.open_silently();
    let run = workspace.find_run("dead-run").expect("listed");
    assert_eq!(run.state, RunState::Crashed);
    assert!(run.finished.is_some_and(|finished| finished >= run.created), "ended when last heard of");
    assert!(rows::verify(&workspace, &run) >= counter.get());
    assert_whole(&place);
}

/// Drops the locks of this process on a file, as a library that opens everything would.
fn drop_lock(place: &Place) {
    let journals = place.journal_files();
    journals.iter().for_each(|journal| drop(std::fs::File::open(journal).expect("opens")));
}

/// Waits until the background has made a file that was not there `before`.
fn wait_for_a_new_file(place: &Place, before: &[PathBuf]) {
    while place.journal_files().iter().all(|file| before.contains(file)) {
        std::thread::yield_now();
    }
}

#[test]
fn a_writer_that_was_only_thought_dead_goes_on_and_loses_nothing() {
    let place = Place::new();
    let heard = Arc::new(Heard::default());
    let workspace = place.open_with(Arc::new(runcellar::io::SystemIo), heard.clone()).expect("opens");
    let run = workspace.run("p").id("thought-dead").start().expect("starts");
    (0..10_i64).for_each(|n| run.log([("n", n)]).expect("logs"));
    run.flush().expect("flushes");
    drop_lock(&place);
    if is_network() {
        // There a lock proves nothing, and the process is seen to be at work.
        child::play("opens_silently", &place, "thought-dead running");
        assert_eq!(place.journal_files().len(), 1);
        run.finish().expect("finishes");
        assert_eq!(assert_n(&workspace, "thought-dead", 10), RunState::Finished);
        return assert_whole(&place);
    }
    child::play("opens_silently", &place, "thought-dead crashed");
    assert_eq!(place.journal_files(), Vec::<PathBuf>::new(), "taken in and removed");
    (10..20_i64).for_each(|n| run.log([("n", n)]).expect("logs"));
    wait_for_a_new_file(&place, &[]);
    (20..30_i64).for_each(|n| run.log([("n", n)]).expect("logs"));
    assert_eq!(assert_n(&place.look(), "thought-dead", 30), RunState::Running, "it was heard of again");
    child::play("opens_silently", &place, "thought-dead running");
    run.finish().expect("finishes");
    assert_eq!(heard.warnings().len(), 1, "{:?}", heard.warnings());
    assert_eq!(assert_n(&workspace, "thought-dead", 30), RunState::Finished);
    drop((run, workspace));
    assert_whole(&place);
}

#[test]
fn a_journal_that_is_removed_or_replaced_is_written_anew() {
    for replaced in [false, true] {
        let place = Place::new();
        let heard = Arc::new(Heard::default());
        let workspace = place.open_with(Arc::new(runcellar::io::SystemIo), heard.clone()).expect("opens");
        let run = workspace.run("p").id("robbed-run").start().expect("starts");
        (0..10_i64).for_each(|n| run.log([("n", n)]).expect("logs"));
        run.flush().expect("flushes");
        (10..20_i64).for_each(|n| run.log([("n", n)]).expect("logs"));
        let before = place.journal_files();
        if replaced {
            // By another process: to open the journal here and close it would drop its lock.
            let name = before[0].to_str().expect("UTF-8");
            let script = format!("cp {name} {name}.new && mv {name}.new {name}");
            assert!(std::process::Command::new("sh").args(["-c", &script]).status().expect("sh runs").success());
        } else {
            std::fs::remove_file(&before[0]).expect("removes");
        }
        (20..30_i64).for_each(|n| run.log([("n", n)]).expect("logs"));
        wait_for_a_new_file(&place, &before);
        (30..40_i64).for_each(|n| run.log([("n", n)]).expect("logs"));
        run.finish().expect("finishes");
        assert_eq!(heard.warnings().len(), 1, "{:?}", heard.warnings());
        assert_eq!(assert_n(&workspace, "robbed-run", 40), RunState::Finished);
        drop((run, workspace));
        assert_whole(&place);
    }
}

/// As above, and then the writer is killed: what it had in the removed file was taken in before.
#[test]
fn a_writer_robbed_of_its_journal_and_then_killed_loses_nothing() {
    let place = Place::new();
    let counter = Counter::open(&place.root().join("counter"));
    let mut logging = child::start("logs", &place, format!("robbed-run {} 50", 1 << 30));
    counter.wait_for(200, &mut logging);
    let before = place.journal_files();
    std::fs::remove_file(&before[0]).expect("removes");
    wait_for_a_new_file(&place, &before);
    // What stands in the removed file is no longer than this, and is taken in next.
    let removed = counter.get();
    let look = place.look();
    let has_all = || {
        let run = match look.find_run("robbed-run") {
            // Its start stood in the removed file too, which the writer is still taking in.
            Err(error) if error.kind() == ErrorKind::NotFound => return false,
            found => found.expect("listed"),
        };
        let steps = look.series(&run, "n", None).map(|series| series.steps).unwrap_or_default();
        steps.get(removed as usize) == Some(&(removed as i64))
    };
    while !has_all() {
        std::thread::yield_now();
    }
    child::kill(logging);
    let acknowledged = counter.get();
    drop(look);
    let workspace = place.open_silently();
    let run = workspace.find_run("robbed-run").expect("listed");
    assert!(rows::verify(&workspace, &run) >= acknowledged);
    drop(workspace);
    assert_whole(&place);
}

/// The child dies before its n-th call from `start()` on, for every n until it gets through.
#[test]
fn a_writer_that_dies_at_any_step_of_its_start_leaves_no_run_at_work() {
    for n in 1.. {
        let place = Place::new();
        drop(place.open());
        let status = child::command("dies_starting", &place, n).status().expect("a child starts");
        let workspace = place.open_silently();
        for run in workspace.runs(&Selection::default()).expect("lists") {
            assert_ne!(run.state, RunState::Running, "step {n}");
        }
        drop(workspace);
        assert_whole(&place);
        match status.code() {
            Some(77) => {}
            Some(0) => return assert!(n > 8, "a start has more steps"),
            other => panic!("step {n}: {other:?}"),
        }
    }
}

pub(crate) fn dies_starting(place: &Place, n: &str) {
    static ARMED: AtomicBool = AtomicBool::new(false);
    let (seen, n) = (AtomicU64::new(0), n.parse::<u64>().expect("a number"));
    let io = Hooked::new(move |_: Call, _: &Path| {
        if ARMED.load(Ordering::SeqCst) && seen.fetch_add(1, Ordering::SeqCst) + 1 == n {
            // SAFETY: ends the process without running anything of ours.
            unsafe { libc::_exit(77) };
        }
        Fate::Done
    });
    let workspace = place.open_with(io, Arc::new(Heard::default())).expect("opens");
    ARMED.store(true, Ordering::SeqCst);
    std::mem::forget((workspace.run("p").start().expect("starts"), workspace));
    // SAFETY: as above.
    unsafe { libc::_exit(0) };
}

#[test]
fn many_openers_take_in_what_a_dead_writer_left_once_and_say_nothing() {
    let place = Place::new();
    let counter = Counter::open(&place.root().join("counter"));
    for round in 0..3 {
        counter.set(0);
        let id = format!("dead-run-{round}");
        let mut logging = child::start("logs", &place, format!("{id} {} {}", 16 << 10, u64::MAX));
        counter.wait_for(2000, &mut logging);
        child::kill(logging);
        let acknowledged = counter.get();
        let openers: Vec<_> = (0..6).map(|_| child::start("opens_silently", &place, "")).collect();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let workspace = place.open_silently();
                    let run = workspace.find_run(&id).expect("listed");
                    assert!(rows::verify(&workspace, &run) >= acknowledged);
                });
            }
        });
        for mut opener in openers {
            assert!(opener.wait().expect("waits").success());
        }
        child::play("opens_silently", &place, format!("{id} crashed"));
        assert_whole(&place);
    }
}

/// Times are those of a clock that only runs forwards, whatever its owner does to the wall clock.
/// Rows of a journal that is too long to be stored at the best level while somebody waits.
const MANY_ROWS: usize = 60_000;

pub(crate) fn dies_with_many_rows(place: &Place, _: &str) {
    let workspace = place.open();
    let run = workspace.run("p").id("long-dead").start().expect("starts");
    for row in 0..MANY_ROWS {
        let value = |metric: usize| ((row * (metric + 1)) as f64).sin();
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        run.log(names.iter().enumerate().map(|(metric, name)| (*name, value(metric)))).expect("logs");
    }
    std::process::abort();
}

/// While somebody holds the database, a writer fills its journals and dies. The opener stores them in haste; a collection
/// makes them smaller, and not a point is another.
#[test]
fn what_recovery_stores_in_haste_is_made_smaller_later() {
    let place = Place::new();
    drop(place.open());
    let held = rusqlite::Connection::open(place.database()).expect("opens");
    held.execute_batch("BEGIN IMMEDIATE").expect("is held");
    let status = child::start("dies_with_many_rows", &place, "").wait().expect("waits");
    assert!(!status.success(), "it aborted");
    drop(held);
    let workspace = place.open();
    let run = workspace.find_run("long-dead").expect("listed");
    let last = workspace.series(&run, "j", None).expect("reads");
    assert_eq!(last.steps.len(), MANY_ROWS);
    assert_eq!(last.values.get(77), Some(Value::Float(770_f64.sin())));
    let metrics = || {
        let usage = workspace.disk_usage().expect("measures").by_kind();
        usage.into_iter().find(|(kind, _)| *kind == runcellar::UsageKind::Metrics).map_or(0, |(_, bytes)| bytes)
    };
    let hasty = metrics();
    workspace.collect_garbage(runcellar::CollectOptions::default()).expect("collects");
    assert!(metrics() < hasty, "{hasty} bytes in haste, {} at best", metrics());
    assert_eq!(workspace.series(&run, "j", None).expect("reads"), last);
    assert!(workspace.check(CheckOptions { read_data: true }).expect("checks").is_ok());
}

#[test]
fn times_never_run_backwards() {
    let place = Place::new();
    let io = Hooked::new(|_: Call, _: &Path| Fate::Done);
    let workspace = place.open_with(io.clone(), Arc::new(Heard::default())).expect("opens");
    let run = workspace.run("p").id("clock-run").start().expect("starts");
    for n in 0..100_i64 {
        io.move_wall_clock([-3_600_000_000, 7_200_000_000, 0][n as usize % 3]);
        io.pass(1000);
        run.log([("n", n)]).expect("logs");
    }
    run.finish().expect("finishes");
    assert_n(&workspace, "clock-run", 100);
    let info = workspace.find_run("clock-run").expect("listed");
    let series = workspace.series(&info, "n", None).expect("reads");
    assert!(series.times.is_sorted_by(|left, right| left < right));
    assert!(info.finished.is_some_and(|finished| finished >= *series.times.last().expect("rows")));
}

/// A machine that dies leaves more journals than a process may have files open.
#[test]
fn more_journals_than_descriptors_are_taken_in() {
    const RUNS: u64 = 150;
    let place = Place::new();
    child::play("dies_with_many_runs", &place, RUNS);
    assert_eq!(place.journal_files().len() as u64, RUNS);
    child::play("opens_with_few_descriptors", &place, RUNS);
    assert_whole(&place);
}

pub(crate) fn dies_with_many_runs(place: &Place, runs: &str) {
    let workspace = place.open();
    for number in 0..runs.parse().expect("a number") {
        let run = workspace.run("p").id(format!("of-many-{number}")).start().expect("starts");
        (0..3_i64).for_each(|n| run.log([("n", n)]).expect("logs"));
        std::mem::forget(run);
    }
    std::mem::forget(workspace);
    // SAFETY: ends the process without running anything of ours.
    unsafe { libc::_exit(0) };
}

pub(crate) fn opens_with_few_descriptors(place: &Place, runs: &str) {
    let few = libc::rlimit { rlim_cur: 100, rlim_max: 100 };
    // SAFETY: the struct is valid for the length of the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const few) }, 0);
    let workspace = place.open_silently();
    for number in 0..runs.parse::<u64>().expect("a number") {
        assert_eq!(assert_n(&workspace, &format!("of-many-{number}"), 3), RunState::Crashed);
    }
}

/// A run of a week: its journals are followed by others when they are full or old, and go when they are ingested; what is
/// kept on disk besides the database is what the background has not come to yet.
#[test]
fn journals_of_a_long_run_roll_over_and_go() {
    const ROWS: i64 = 12_000;
    if is_network() {
        // There one process ingests, when it comes to it.
        return;
    }
    let place = Place::new();
    let io = Hooked::new(|_: Call, _: &Path| Fate::Done);
    let workspace = place.open_with(io.clone(), Arc::new(Heard::default())).expect("opens");
    let run = workspace.run("p").id("long-run").journal_bytes(8 << 10).start().expect("starts");
    let log = |rows: std::ops::Range<i64>| rows.for_each(|n| run.log([("n", n)]).expect("logs"));
    // The one that is written to, and the one made ahead.
    let settle = || {
        while place.journal_files().len() > 2 {
            std::thread::yield_now();
        }
    };
    log(0..ROWS / 2);
    settle();
    log(ROWS / 2..ROWS);
    settle();
    let before = place.journal_files();
    // Little was logged since; after ten minutes what there is goes to the database all the same.
    io.pass(601 * 1_000_000);
    while before.iter().all(|journal| journal.exists()) {
        std::thread::yield_now();
    }
    let looking = place.look();
    let series = looking.series(&looking.find_run("long-run").expect("listed"), "n", None).expect("reads");
    assert_eq!(series.steps, (0..ROWS).collect::<Vec<_>>());
    run.finish().expect("finishes");
    assert_eq!(place.journal_files(), Vec::<PathBuf>::new());
    let report = workspace.check(CheckOptions { read_data: true }).expect("is checked");
    assert!(report.is_ok(), "{:#?}", report.problems);
    assert!(report.checked.blocks <= 2 * (ROWS as u64).div_ceil(4096), "short groups were joined");
}

/// Each file begins with all names so far, most of which the background has written into it ahead of need. Readers see
/// each value as soon as it is logged, under its name, whichever file it is in.
#[test]
fn names_that_come_while_the_next_file_is_made_are_found_in_it() {
    const ROWS: i64 = 400;
    let place = Place::new();
    let workspace = place.open();
    let run = workspace.run("p").id("many-names").journal_bytes(4 << 10).start().expect("starts");
    let looking = place.look();
    for n in 0..ROWS {
        run.log([("n".to_owned(), n), (format!("of/{n}"), n)]).expect("logs");
        if n % 50 == 49 {
            let info = looking.find_run("many-names").expect("listed");
            for name in ["n".to_owned(), format!("of/{n}"), format!("of/{}", n / 2)] {
                let series = looking.series(&info, &name, None).expect("reads");
                let last = series.steps.last().copied().expect("a point");
                assert_eq!(series.values.get(series.steps.len() - 1), Some(Value::Int(last)), "{name}");
            }
        }
    }
    run.finish().expect("finishes");
    assert_eq!(run.dropped(), 0);
    let info = looking.find_run("many-names").expect("listed");
    assert_eq!(looking.metrics(&info).expect("metrics").len() as i64, ROWS + 1);
    for n in 0..ROWS {
        let series = looking.series(&info, &format!("of/{n}"), None).expect("reads");
        assert_eq!((series.steps, series.values.get(0)), (vec![n], Some(Value::Int(n))));
    }
    let report = workspace.check(CheckOptions { read_data: true }).expect("is checked");
    assert!(report.is_ok(), "{:#?}", report.problems);
}
