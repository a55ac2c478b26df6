//! P7, forks: a child forked at whatever moment logs and exits, and neither it nor its parent notices.
//!
//! Each test forks in a process of its own, started for it, as the harness has threads that belong to other tests. A
//! child that waits for a lock that nobody will ever release is ended by an alarm.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use runcellar::io::Io as _;
use runcellar::run::Run;
use runcellar::{CheckOptions, ErrorKind, RunState, Selection, Value, Workspace};

use crate::support::io::{Call, Fate, Gate, Hooked, in_background, is_journal};
use crate::support::{Heard, Place, child, is_network};

const CHILDREN: i64 = 64;
const ROWS_EACH: i64 = 5;
/// Seconds after which a child counts as stuck.
const ALARM_SECS: u32 = 120;

/// How a child ends.
#[derive(Clone, Copy)]
pub(crate) enum End {
    Exit,
    ExitAtOnce,
    Finish,
    Killed,
}

const ENDS: [End; 4] = [End::Exit, End::ExitAtOnce, End::Finish, End::Killed];

/// Forks; the child runs `act` and ends. Returns the child's process id.
pub(crate) fn fork(end: End, act: impl FnOnce()) -> libc::pid_t {
    // SAFETY: the child of this process with many threads uses the store, which is what is tested here, and the
    // allocator, which glibc keeps usable after a fork.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "forks");
    if pid > 0 {
        return pid;
    }
    // SAFETY: plain system calls; nothing of the parent's is run at the end but for `exit`.
    unsafe {
        libc::alarm(ALARM_SECS);
        let code = i32::from(std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).is_err());
        match end {
            End::Exit => libc::exit(code),
            End::Killed if code == 0 => libc::raise(libc::SIGKILL),
            _ => libc::_exit(code),
        };
    }
    unreachable!("the child has ended")
}

#[track_caller]
pub(crate) fn wait(pid: libc::pid_t, end: End) {
    let mut status = 0;
    // SAFETY: waits for a child of this process.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    let expected = if matches!(end, End::Killed) { libc::SIGKILL } else { 0 };
    assert_eq!(status, expected, "a child ended with status {status:#x} ({} is an alarm: it was stuck)", libc::SIGALRM);
}

/// Logs the rows of a child, and ends its writer if that is how it ends.
fn child_rows(run: &Run, number: i64, end: End) {
    for row in 0..ROWS_EACH {
        run.log([("child", number * ROWS_EACH + row)]).expect("a child logs");
    }
    if matches!(end, End::Finish) {
        run.finish().expect("a child ends its own writer");
    }
}

#[track_caller]
fn assert_rows(workspace: &Workspace, id: &str, children: i64, parent_rows: i64) {
    let run = workspace.find_run(id).expect("listed");
    let values = |metric: &str| {
        let series = workspace.series(&run, metric, None).expect("reads");
        let value = |at| match series.values.get(at) {
            Some(Value::Int(value)) => value,
            other => panic!("{metric}: {other:?}"),
        };
        let all: BTreeSet<i64> = (0..series.steps.len()).map(value).collect();
        assert_eq!(all.len(), series.steps.len(), "{metric}: each once");
        all
    };
    assert_eq!(values("child"), (0..children * ROWS_EACH).collect(), "rows of children");
    assert_eq!(values("parent"), (0..parent_rows).collect(), "rows of the parent");
    assert_eq!(run.state, RunState::Finished, "a child that is killed or ends silently says nothing of the run");
}

fn assert_whole(place: &Place, id: &str, children: i64, parent_rows: i64) {
    let workspace = place.open_silently();
    assert_rows(&workspace, id, children, parent_rows);
    assert_eq!(place.journal_files(), Vec::<std::path::PathBuf>::new());
    let report = workspace.check(CheckOptions { read_data: true }).expect("is checked");
    assert!(report.is_ok(), "{:#?}", report.problems);
}

/// The locks that a thread can hold while it waits for the disk, and where to stop it there. On a network file system the
/// background ingests once a minute at most, so a thread that ends a run is stopped at its ingest.
fn gate_of(lock: &str) -> fn(Call, &Path) -> bool {
    match lock {
        "ingest" if is_network() => |call, path| call == Call::ReadAt && is_journal(path),
        "database" if is_network() => {
            |call, path| call == Call::Open && path.extension().is_some_and(|end| end == "copy")
        }
        "writer" => |call, path| call == Call::Append && is_journal(path),
        "sync" => |call, path| call == Call::Sync && is_journal(path),
        "ingest" => |call, path| call == Call::ReadAt && is_journal(path) && in_background(),
        "database" => |call, _| call == Call::Random && in_background(),
        "mirror" => |call, path| call == Call::Append && path.to_string_lossy().contains(".root"),
        "registry" => |call, path| call == Call::Create && is_journal(path),
        other => panic!("no lock {other}"),
    }
}

pub(crate) fn forks_while_held(place: &Place, lock: &str) {
    let gate = Gate::new(gate_of(lock));
    let (io, heard) = (Hooked::shared(gate.clone()), Arc::new(Heard::default()));
    let workspace = place.open_with(io.clone(), heard.clone()).expect("opens");
    let run = Arc::new(workspace.run("p").id("forked-run").start().expect("starts"));
    let parent_rows = AtomicU64::new(0);
    let log = |count: u64| {
        for _ in 0..count {
            run.log([("parent", parent_rows.fetch_add(1, Ordering::SeqCst) as i64)]).expect("the parent logs");
        }
    };
    log(10);
    std::thread::scope(|scope| {
        gate.arm();
        scope.spawn(|| match lock {
            "writer" => log(10),
            // Whole row groups, so that the background ingests.
            "ingest" | "database" if !is_network() => log(5000),
            "sync" => run.flush().expect("flushes"),
            "mirror" => (0..2).for_each(|_| {
                io.pass(2_000_000);
                workspace.set_setting("console", Some("false")).expect("sets");
            }),
            _ => workspace.run("p").start().expect("starts").finish().expect("finishes"),
        });
        gate.wait();
        for (number, end) in (0..4).zip(ENDS) {
            let pid = fork(end, || child_rows(&run, number, end));
            wait(pid, end);
        }
        gate.open();
    });
    log(10);
    run.finish().expect("finishes");
    assert_eq!(heard.warnings(), Vec::<String>::new());
    assert_rows(&workspace, "forked-run", 4, parent_rows.load(Ordering::SeqCst) as i64);
    drop((run, workspace));
    assert_whole(place, "forked-run", 4, parent_rows.load(Ordering::SeqCst) as i64);
}

#[test]
fn a_child_forked_while_a_lock_is_held_logs_and_exits() {
    for lock in ["writer", "sync", "ingest", "database", "mirror", "registry"] {
        let place = Place::new();
        child::play("forks_while_held", &place, lock);
    }
}

/// Locks that are held for moments only (keyring, registry, connection) are met by number: threads that log, follow
/// journals, start runs, list and read, while 64 children are forked.
pub(crate) fn forks_often(place: &Place, _: &str) {
    let heard = Arc::new(Heard::default());
    let workspace = place.open_with(Arc::new(runcellar::io::SystemIo), heard.clone()).expect("opens");
    let run = workspace.run("p").id("forked-run").journal_bytes(20_000).start().expect("starts");
    run.log([("parent", 0_i64)]).expect("logs");
    let (stop, rows) = (AtomicBool::new(false), AtomicU64::new(1));
    let until_stopped = |act: &dyn Fn()| {
        while !stop.load(Ordering::SeqCst) {
            act();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                until_stopped(&|| {
                    run.log([("parent", rows.fetch_add(1, Ordering::SeqCst) as i64)]).expect("the parent logs");
                });
            });
        }
        scope.spawn(|| {
            until_stopped(&|| {
                let runs = workspace.runs(&Selection::default()).expect("lists");
                assert!(!runs.is_empty());
                workspace.series(&runs[runs.len() - 1], "parent", Some(10)).map(drop).unwrap_or_default();
            });
        });
        scope.spawn(|| {
            until_stopped(&|| {
                let other = workspace.run("p").start().expect("starts");
                other.log([("x", 1_i64)]).expect("logs");
                other.finish().expect("finishes");
            });
        });
        let mut children = Vec::new();
        for number in 0..CHILDREN {
            let end = ENDS[number as usize % ENDS.len()];
            children.push((fork(end, || child_rows(&run, number, end)), end));
            if children.len() == 8 {
                children.drain(..).for_each(|(pid, end)| wait(pid, end));
            }
        }
        children.drain(..).for_each(|(pid, end)| wait(pid, end));
        stop.store(true, Ordering::SeqCst);
    });
    run.finish().expect("finishes");
    assert_eq!(heard.warnings(), Vec::<String>::new());
    assert_rows(&workspace, "forked-run", CHILDREN, rows.load(Ordering::SeqCst) as i64);
    drop((run, workspace));
    assert_whole(place, "forked-run", CHILDREN, rows.load(Ordering::SeqCst) as i64);
}

#[test]
fn sixty_four_children_forked_at_any_moment_log_and_exit() {
    child::play("forks_often", &Place::new(), "");
}

/// A child of a quiet parent may do everything: read, log into the parent's run, and record a run of its own; and so
/// may its own child.
pub(crate) fn forks_and_uses_all(place: &Place, _: &str) {
    let workspace = place.open();
    let run = workspace.run("p").id("forked-run").start().expect("starts");
    run.log([("parent", 0_i64)]).expect("logs");
    let use_all = |number: i64| {
        let seen = workspace.find_run("forked-run").expect("a child lists");
        assert_eq!(seen.state, RunState::Running);
        assert_eq!(workspace.series(&seen, "parent", None).expect("a child reads").steps.len(), 1);
        child_rows(&run, number, End::Exit);
        let own = workspace.run("p").id(format!("own-run-{number}")).start().expect("a child starts a run");
        own.log([("x", number)]).expect("logs");
        own.finish().expect("finishes");
    };
    let pid = fork(End::ExitAtOnce, || {
        use_all(0);
        let pid = fork(End::ExitAtOnce, || use_all(1));
        wait(pid, End::ExitAtOnce);
    });
    wait(pid, End::ExitAtOnce);
    assert_eq!(workspace.runs(&Selection::default()).expect("the parent lists").len(), 3);
    run.log([("parent", 1_i64)]).expect("logs");
    run.finish().expect("finishes");
    drop((run, workspace));
    assert_whole(place, "forked-run", 2, 2);
    let workspace = place.open_silently();
    for number in 0..2 {
        let own = workspace.find_run(&format!("own-run-{number}")).expect("listed");
        assert_eq!((own.state, own.summary("x")), (RunState::Finished, Some(&Value::Int(number))));
    }
}

#[test]
fn a_child_of_a_quiet_parent_may_read_log_and_start_runs() {
    child::play("forks_and_uses_all", &Place::new(), "");
}

/// A child that drops what it inherited, and logged nothing, must not end the parent's run.
pub(crate) fn forks_and_drops(place: &Place, _: &str) {
    let workspace = place.open();
    let run = workspace.run("p").id("forked-run").start().expect("starts");
    let slot = Mutex::new(Some((run, workspace)));
    let log = |value: i64| slot.lock().expect("own").as_ref().expect("there").0.log([("parent", value)]);
    log(0).expect("logs");
    let pid = fork(End::Exit, || drop(slot.lock().expect("own").take()));
    wait(pid, End::Exit);
    let pid = fork(End::Exit, || {
        let inherited = slot.lock().expect("own").take().expect("there");
        child_rows(&inherited.0, 0, End::Exit);
        drop(inherited);
    });
    wait(pid, End::Exit);
    log(1).expect("logs");
    let (run, workspace) = slot.lock().expect("own").take().expect("there");
    assert_eq!(workspace.find_run("forked-run").expect("listed").state, RunState::Running);
    run.finish().expect("finishes");
    drop((run, workspace));
    assert_whole(place, "forked-run", 1, 2);
}

#[test]
fn a_child_that_drops_what_it_inherited_ends_its_own_writer_alone() {
    child::play("forks_and_drops", &Place::new(), "");
}

/// In a child whose first file cannot be made rows wait in memory, as they would in its parent.
pub(crate) fn forks_on_a_full_disk(place: &Place, _: &str) {
    static FULL: AtomicBool = AtomicBool::new(false);
    let io = Hooked::new(|call: Call, path: &Path| match call {
        Call::Create if is_journal(path) && FULL.load(Ordering::SeqCst) => Fate::Fails(libc::ENOSPC),
        _ => Fate::Done,
    });
    let heard = Arc::new(Heard::default());
    let workspace = place.open_with(io.clone(), heard.clone()).expect("opens");
    let run = workspace.run("p").id("forked-run").start().expect("starts");
    run.log([("parent", 0_i64)]).expect("logs");
    let pid = fork(End::ExitAtOnce, || {
        FULL.store(true, Ordering::SeqCst);
        child_rows(&run, 0, End::Exit);
        assert_eq!(heard.warnings().len(), 1, "{:?}", heard.warnings());
        assert_eq!(run.flush().expect_err("nothing is on the disk").kind(), ErrorKind::ReadOnly);
        FULL.store(false, Ordering::SeqCst);
        io.pass(2_000_000);
        run.flush().expect("there is room again");
        assert!(io.wall_us() > 0 && run.dropped() == 0);
    });
    wait(pid, End::ExitAtOnce);
    run.log([("parent", 1_i64)]).expect("logs");
    run.finish().expect("finishes");
    drop((run, workspace));
    assert_whole(place, "forked-run", 1, 2);
}

#[test]
fn a_child_forked_on_a_full_disk_keeps_its_rows() {
    child::play("forks_on_a_full_disk", &Place::new(), "");
}
