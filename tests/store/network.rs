//! Network file systems: how a workspace is used there, in a forced mode and on FUSE mounts. Two mounts of one folder are
//! two hosts: record locks of the one are not seen through the other.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use runcellar::artifacts::PutSettings;
use runcellar::{
    ArtifactDraft, CheckOptions, Claim, CollectOptions, FileSystemMode, LeftWhy, OpenOptions, Repair, RepairAction,
    Resume, RunInfo, RunState, Selection, Value, Workspace,
};

use crate::support::child::Counter;
use crate::support::io::{Call, Fate, Hooked};
use crate::support::rows::assert_points;
use crate::support::{Heard, Place, Rng, age, child, is_network, list, not_tested, rows};

fn open_as(place: &Place, file_system: FileSystemMode) -> Workspace {
    let heard = Arc::new(Heard::default());
    let options = OpenOptions { file_system, monitor: heard.clone(), ..place.options() };
    let workspace = options.open(&place.workspace()).expect("the workspace opens");
    assert_eq!(heard.all(), Vec::<String>::new());
    workspace
}

fn record(workspace: &Workspace, id: &str, count: i64) {
    let run = workspace.run("p").id(id).start().expect("starts");
    (0..count).for_each(|n| run.log([("n", n)]).expect("logs"));
    run.finish().expect("finishes");
}

#[track_caller]
fn assert_run(workspace: &Workspace, id: &str, count: i64, state: RunState) {
    let run = workspace.find_run(id).expect("listed");
    let points: Vec<_> = (0..count).map(|n| (n, Value::Int(n))).collect();
    assert_points(&workspace.series(&run, "n", None).expect("reads"), &points, id);
    assert_eq!(run.state, state, "{id}");
}

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut rng = Rng(seed);
    std::iter::repeat_with(|| rng.next().to_le_bytes()).flatten().take(len).collect()
}

#[track_caller]
fn assert_whole(workspace: &Workspace) {
    let report = workspace.check(CheckOptions { read_data: true }).expect("is checked");
    assert!(report.problems.is_empty(), "{:#?}", report.problems);
}

/// What SQLite keeps beside a database that it has open.
fn companions(place: &Place) -> Vec<PathBuf> {
    let mut all = list(&place.workspace());
    all.retain(|path| path.to_string_lossy().contains("cellar.db-"));
    all
}

#[test]
fn a_workspace_that_moves_between_a_disk_and_a_network_is_one_workspace() {
    use FileSystemMode::{Local, Network};
    let place = Place::new();
    for (round, mode) in [Network, Local, Network, Network, Local, Local, Network].into_iter().enumerate() {
        let workspace = open_as(&place, mode);
        record(&workspace, &format!("run-{round}"), 10);
        for earlier in 0..=round {
            assert_run(&workspace, &format!("run-{earlier}"), 10, RunState::Finished);
        }
        assert_whole(&workspace);
        assert_eq!(companions(&place).is_empty(), mode == Network, "{:?}", companions(&place));
        assert_eq!(place.journal_files(), Vec::<PathBuf>::new());
    }
}

#[test]
fn ranks_that_began_one_run_without_seeing_each_other_are_one_run_before_and_after_they_are_taken_in() {
    let place = Place::new();
    let workspace = open_as(&place, FileSystemMode::Network);
    let begin = |rank: u32| {
        let run = workspace.run("p").id("joined-run").resume(Resume::Allow).rank(rank).start().expect("starts");
        (0..10).for_each(|n| run.log_at(n, [(format!("rank/{rank}"), n)]).expect("logs"));
        run
    };
    let run = begin(0);
    // The other rank does not see its journal yet.
    let hidden: Vec<_> = place.journal_files().into_iter().map(|path| (place.root().join("hidden"), path)).collect();
    hidden.iter().for_each(|(aside, path)| std::fs::rename(path, aside).expect("renames"));
    let other = begin(1);
    hidden.iter().for_each(|(aside, path)| std::fs::rename(aside, path).expect("renames"));
    let assert_both = |workspace: &Workspace, run: &RunInfo| {
        for rank in 0..2 {
            let series = workspace.series(run, &format!("rank/{rank}"), None).expect("reads");
            assert_eq!(series.steps, (0..10).collect::<Vec<_>>(), "rank {rank}");
        }
        assert_eq!(workspace.metrics(run).expect("metrics").len(), 2);
        assert_eq!(workspace.refresh_run(run).expect("reads").id, "joined-run");
    };
    let seen = workspace.runs(&Selection::default()).expect("lists");
    assert_eq!(seen.len(), 1, "{seen:#?}");
    assert_both(&workspace, &seen[0]);
    let mut follower = workspace.follow(&seen[0], None);
    assert_eq!(follower.poll().expect("polls").len(), 20);
    run.finish().expect("finishes");
    other.finish().expect("finishes");
    assert_eq!(place.journal_files(), Vec::<PathBuf>::new());
    let stored = workspace.runs(&Selection::default()).expect("lists");
    assert_eq!(stored.len(), 1, "{stored:#?}");
    for run in seen.iter().chain(&stored) {
        assert_both(&workspace, run);
    }
    assert_eq!(follower.poll().expect("polls"), []);
    assert_whole(&workspace);
}

#[test]
fn a_run_shows_to_others_from_its_first_row_and_stays_shown_while_it_is_taken_in() {
    let place = Place::new();
    let (writing, reading) = (open_as(&place, FileSystemMode::Network), open_as(&place, FileSystemMode::Network));
    let run = writing.run("p").id("shown-run").start().expect("starts");
    assert_eq!(reading.find_run("shown-run").expect("listed").state, RunState::Running);
    for n in 0..100_i64 {
        run.log([("n", n)]).expect("logs");
        if n % 25 == 0 {
            assert_run(&reading, "shown-run", n + 1, RunState::Running);
        }
    }
    let again = writing.run("p").id("shown-run").start().expect_err("there already");
    assert_eq!(again.kind(), runcellar::ErrorKind::Exists);
    run.finish().expect("finishes");
    assert_run(&reading, "shown-run", 100, RunState::Finished);
    reading.tag_run(&reading.find_run("shown-run").expect("listed"), &["good".into()], &[]).expect("tags");
    assert_eq!(writing.find_run("shown-run").expect("listed").tags, ["good"]);
    assert_whole(&reading);
}

/// A process on this disk uses the database in place, beside one that takes the disk for a network's.
#[test]
fn a_process_that_takes_the_network_for_a_disk_is_told_of_and_nothing_is_lost() {
    let place = Place::new();
    drop(open_as(&place, FileSystemMode::Network));
    let counter = Counter::open(&place.root().join("counter"));
    let mut local = child::command("logs", &place, format!("local-run {} 10", 1 << 20));
    let mut local = local.env("RUNCELLAR_TEST_FILE_SYSTEM", "local").spawn().expect("a child starts");
    counter.wait_for(100, &mut local);
    let refused = OpenOptions { file_system: FileSystemMode::Network, ..place.options() }.open(&place.workspace());
    let refused = refused.map(drop).expect_err("in use");
    assert_eq!(refused.kind(), runcellar::ErrorKind::Busy);
    assert!(refused.to_string().contains("takes this file system for a local disk"), "{refused}");
    child::kill(local);
    let workspace = open_as(&place, FileSystemMode::Network);
    let run = workspace.find_run("local-run").expect("listed");
    assert!(rows::verify(&workspace, &run) >= counter.get());
    assert_eq!(companions(&place), Vec::<PathBuf>::new(), "what it left is taken in");
}

/// Another host has the turn: everything but fields from outside goes on, and what was recorded is read from journals.
#[test]
fn recording_and_reading_wait_for_no_turn() {
    let place = Place::new();
    drop(open_as(&place, FileSystemMode::Network));
    let ingester = place.workspace().join("ingester");
    std::fs::write(&ingester, "of a version that is not known").expect("writes");
    let workspace = open_as(&place, FileSystemMode::Network);
    record(&workspace, "waiting-run", 20);
    assert_eq!(place.journal_files().len(), 1, "nobody may take it in");
    assert_run(&workspace, "waiting-run", 20, RunState::Finished);
    assert_run(&open_as(&place, FileSystemMode::Network), "waiting-run", 20, RunState::Finished);
    age(&ingester, "-11 minutes");
    assert_run(&open_as(&place, FileSystemMode::Network), "waiting-run", 20, RunState::Finished);
    assert_eq!(place.journal_files(), Vec::<PathBuf>::new(), "the one who had the turn is gone");
    assert!(!ingester.exists());
    assert_whole(&workspace);
}

/// The working copy is lost with its writer, at whatever call that dies: what it took in stands in journals still.
#[test]
fn an_ingester_that_dies_at_any_step_loses_nothing() {
    for n in 1.. {
        let place = Place::new();
        child::play("dies_on_a_network", &place, "");
        let status = child::command("dies_ingesting", &place, n).status().expect("a child starts");
        let workspace = open_as(&place, FileSystemMode::Network);
        assert_run(&workspace, "left-run", 30, RunState::Crashed);
        let report = workspace.check(CheckOptions { read_data: true }).expect("is checked");
        assert!(report.is_ok(), "step {n}: {:#?}", report.problems);
        assert_eq!(place.journal_files(), Vec::<PathBuf>::new(), "step {n}");
        match status.code() {
            Some(77) => {}
            Some(0) => return assert!(n > 20, "a turn has more steps"),
            other => panic!("step {n}: {other:?}"),
        }
    }
}

pub(crate) fn dies_on_a_network(place: &Place, _: &str) {
    let workspace = open_as(place, FileSystemMode::Network);
    let run = workspace.run("p").id("left-run").start().expect("starts");
    (0..30_i64).for_each(|n| run.log([("n", n)]).expect("logs"));
    std::mem::forget((run, workspace));
}

pub(crate) fn dies_ingesting(place: &Place, n: &str) {
    let (seen, n) = (std::sync::atomic::AtomicU64::new(0), n.parse::<u64>().expect("a number"));
    let io = Hooked::new(move |_: Call, _: &Path| {
        if seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1 == n {
            // SAFETY: ends the process without running anything of ours.
            unsafe { libc::_exit(77) };
        }
        Fate::Done
    });
    let options = OpenOptions { io, file_system: FileSystemMode::Network, ..place.options() };
    drop(options.open(&place.workspace()).expect("opens"));
    // SAFETY: as above.
    unsafe { libc::_exit(0) };
}

/// What a writer left is found when another has gone on with its run, and ended well: that one's end stands.
#[test]
fn a_journal_that_is_found_after_its_run_was_gone_on_with_does_not_make_it_crashed() {
    let place = Place::new();
    child::play("dies_on_a_network", &place, "");
    let options = OpenOptions { recover: false, file_system: FileSystemMode::Network, ..place.options() };
    let workspace = options.open(&place.workspace()).expect("opens");
    let run = workspace.run("p").id("left-run").resume(Resume::Must).start().expect("resumes");
    assert_eq!(run.step(), 30, "its journal tells");
    run.log([("n", 30_i64)]).expect("logs");
    run.finish().expect("finishes, and takes in what is left");
    assert_eq!(place.journal_files(), Vec::<PathBuf>::new());
    assert_run(&workspace, "left-run", 31, RunState::Finished);
    assert!(workspace.check(CheckOptions { read_data: true }).expect("is checked").is_ok());
}

/// One folder, mounted twice through FUSE; unmounted at the end.
struct Hosts {
    folder: tempfile::TempDir,
    mounts: [tempfile::TempDir; 2],
}

impl Hosts {
    fn mount() -> Option<Hosts> {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mounts = [(); 2].map(|()| tempfile::tempdir().expect("a temporary directory"));
        let hosts = Hosts { folder, mounts };
        let mounted = hosts.mounts.iter().all(|mount| {
            // Without memories of its own, as a host that looks at the server when it opens a file.
            let mut command = Command::new("bindfs");
            command.args(["-o", "attr_timeout=0,entry_timeout=0,negative_timeout=0"]);
            let output = command.arg(hosts.folder.path()).arg(mount.path()).output();
            output.is_ok_and(|output| output.status.success())
        });
        mounted.then_some(hosts)
    }

    fn place(&self, host: usize) -> Place {
        Place::at(self.mounts[host].path())
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for mount in &self.mounts {
            let _ = Command::new("umount").arg("-l").arg(mount.path()).stderr(Stdio::null()).status();
        }
    }
}

/// Starts a child that believes to be on another host.
fn start_elsewhere(role: &str, place: &Place, argument: &str) -> Option<Child> {
    let told = child::command(role, place, argument);
    let mut command = Command::new("unshare");
    command.args(["--uts", "sh", "-c", "hostname elsewhere && exec \"$0\" \"$@\""]);
    command.arg(told.get_program()).args(told.get_args()).stdin(Stdio::null()).stdout(Stdio::null());
    for (name, value) in told.get_envs() {
        command.env(name, value.expect("set"));
    }
    let can = Command::new("unshare").args(["--uts", "hostname", "elsewhere"]).stderr(Stdio::null()).status();
    can.is_ok_and(|status| status.success()).then(|| command.spawn().expect("a child starts"))
}

/// The whole life of a run on another host whose locks are not seen: at work, silent, back again, closed.
#[test]
fn a_writer_on_another_host_is_presumed_dead_by_its_silence_and_may_come_back() {
    let Some(hosts) = Hosts::mount() else {
        return not_tested("a network file system: bindfs cannot mount here");
    };
    let (here, there) = (hosts.place(0), hosts.place(1));
    let workspace = here.open_silently();
    let used = workspace.diagnose().expect("looks").file_system;
    assert_eq!((used.network, used.forced, used.locks), (true, is_network(), Some(true)), "{used:?}");
    // Not through a mount, which may answer from memory while a file is open.
    let counter = Counter::open(&hosts.folder.path().join("counter"));
    let Some(mut writer) = start_elsewhere("logs", &there, &format!("far-run {} 10", 1 << 20)) else {
        return not_tested("another host: unshare --uts is not allowed here");
    };
    let state = || here.open_silently().find_run("far-run").expect("listed").state;
    let journals = || here.journal_files().len();
    let verified = || {
        let workspace = here.open_silently();
        rows::verify(&workspace, &workspace.find_run("far-run").expect("listed"))
    };
    counter.wait_for(50, &mut writer);
    assert_eq!((state(), journals()), (RunState::Running, 1), "its lock is free from here, and it is at work");
    // It stops for longer than it may be silent.
    child::stop(&writer);
    let acknowledged = counter.get();
    age(&here.journal_files()[0], "-11 minutes");
    assert_eq!((state(), journals()), (RunState::Crashed, 1), "taken in, and kept");
    assert!(verified() >= acknowledged);
    child::go_on(&writer);
    counter.wait_for(acknowledged + 50, &mut writer);
    assert_eq!(state(), RunState::Running, "it was heard of again");
    // What it logs while it is read would not be in one reading as it is in the next.
    child::stop(&writer);
    assert!(verified() >= acknowledged + 50);
    // It dies, and nothing here can know: its silence is all there is.
    child::kill(writer);
    let acknowledged = counter.get();
    assert_eq!((state(), journals()), (RunState::Running, 1));
    age(&here.journal_files()[0], "-11 minutes");
    assert_eq!((state(), journals()), (RunState::Crashed, 1));
    age(&here.journal_files()[0], "-31 days");
    assert_eq!((state(), journals()), (RunState::Crashed, 0), "nobody comes back after a month");
    assert!(verified() >= acknowledged);
    let report = here.open_silently().check(CheckOptions { read_data: true }).expect("is checked");
    assert!(report.is_ok(), "{:#?}", report.problems);
    let messages: Vec<&str> = report.problems.iter().map(|problem| problem.message.as_str()).collect();
    assert!(matches!(messages[..], [note] if note.contains("ended without a word")), "{messages:?}");
}

/// Whoever has the turn stops for longer than it may be silent, with its copy of the database written. Another host takes
/// the turn and publishes; the first one, when it goes on, notices and begins anew.
#[test]
fn an_ingester_that_stops_in_its_turn_overwrites_nothing_of_the_next() {
    let Some(hosts) = Hosts::mount() else {
        return not_tested("a network file system: bindfs cannot mount here");
    };
    let (here, there) = (hosts.place(0), hosts.place(1));
    let workspace = here.open_silently();
    record(&workspace, "before-run", 10);
    let Some(mut stopped) = start_elsewhere("stops_in_its_turn", &there, "") else {
        return not_tested("another host: unshare --uts is not allowed here");
    };
    child::wait_until_stopped(&stopped);
    let ingester = here.workspace().join("ingester");
    record(&workspace, "waiting-run", 20);
    assert_eq!(here.journal_files().len(), 2, "it is not silent for long: nobody takes its turn");
    age(&ingester, "-11 minutes");
    record(&workspace, "taking-run", 30);
    assert!(!ingester.exists(), "taken and given back");
    child::go_on(&stopped);
    assert!(stopped.wait().expect("waits").success());
    let workspace = here.open_silently();
    for (id, count) in [("before-run", 10), ("waiting-run", 20), ("taking-run", 30), ("stopped-run", 40)] {
        assert_run(&workspace, id, count, RunState::Finished);
    }
    assert_eq!(here.journal_files(), Vec::<PathBuf>::new());
    assert_whole(&workspace);
}

pub(crate) fn stops_in_its_turn(place: &Place, _: &str) {
    let was_stopped = std::sync::atomic::AtomicBool::new(false);
    let io = Hooked::new(move |call: Call, path: &Path| {
        let is_published = call == Call::Open && path.extension().is_some_and(|end| end == "copy");
        if is_published && !was_stopped.swap(true, std::sync::atomic::Ordering::SeqCst) {
            // SAFETY: stops this process until somebody lets it go on.
            assert_eq!(unsafe { libc::raise(libc::SIGSTOP) }, 0);
        }
        Fate::Done
    });
    record(&place.open_with(io, Arc::new(Heard::default())).expect("opens"), "stopped-run", 40);
}

/// Hosts that see nothing of each other's locks record, read and take in at once.
#[test]
fn hosts_that_share_a_folder_lose_nothing_of_each_other() {
    let Some(hosts) = Hosts::mount() else {
        return not_tested("many hosts: bindfs cannot mount here");
    };
    let (here, there) = (hosts.place(0), hosts.place(1));
    drop(here.open_silently());
    let writers: Vec<_> = (0..4).map(|n| start_elsewhere("records_some", &there, &format!("far-{n}"))).collect();
    let local: Vec<_> = (0..4).map(|n| child::start("records_some", &here, format!("near-{n}"))).collect();
    let mut expected = 0;
    for mut writer in writers.into_iter().flatten().chain(local) {
        while writer.try_wait().expect("waits").is_none() {
            let workspace = here.open();
            workspace.runs(&Selection::default()).expect("lists");
        }
        assert!(writer.wait().expect("waits").success());
        expected += RUNS_EACH;
    }
    let workspace = here.open_silently();
    let runs = workspace.runs(&Selection::default()).expect("lists");
    assert_eq!(runs.len(), expected, "{:?}", runs.iter().map(|run| &run.id).collect::<Vec<_>>());
    for run in &runs {
        assert_run(&workspace, &run.id, 50, RunState::Finished);
    }
    let report = workspace.check(CheckOptions { read_data: true }).expect("is checked");
    assert!(report.is_ok(), "{:#?}", report.problems);
}

const RUNS_EACH: usize = 3;

pub(crate) fn records_some(place: &Place, prefix: &str) {
    let workspace = place.open();
    (0..RUNS_EACH).for_each(|n| record(&workspace, &format!("{prefix}-{n}"), 50));
}

/// A writer of another host that nobody hears of any more: its journal is taken over when somebody says so, by name even
/// before it was silent for long. A writer that is seen at work never is.
#[test]
fn the_journal_of_a_foreign_host_that_was_abandoned_is_taken_over_when_it_is_claimed() {
    let Some(hosts) = Hosts::mount() else {
        return not_tested("a network file system: bindfs cannot mount here");
    };
    let (here, there) = (hosts.place(0), hosts.place(1));
    drop(here.open_silently());
    let repair = |claim| here.look().repair(&Repair { claim }).expect("repairs");
    for (id, silent) in [("silent-run", true), ("heard-run", false)] {
        let counter = Counter::open(&hosts.folder.path().join("counter"));
        counter.set(0);
        let Some(mut writer) = start_elsewhere("logs", &there, &format!("{id} {} 10", 1 << 20)) else {
            return not_tested("another host: unshare --uts is not allowed here");
        };
        counter.wait_for(50, &mut writer);
        child::kill(writer);
        let acknowledged = counter.get();
        let journal = here.journal_files()[0].clone();
        let name = journal.file_name().expect("a name").to_string_lossy().into_owned();
        let left = repair(Claim::Silent).left;
        assert!(
            matches!(&left[..], [left] if left.why == LeftWhy::Heard && left.run.as_deref() == Some(id)),
            "{left:?}"
        );
        if silent {
            age(&journal, "-11 minutes");
            let left = repair(Claim::None).left;
            assert!(matches!(&left[..], [left] if left.why == LeftWhy::Silent), "{left:?}");
            age(&journal, "-11 minutes");
        }
        let report = repair(if silent { Claim::Silent } else { Claim::Named(vec![name.clone()]) });
        assert!(report.left.is_empty(), "{report:?}");
        let [done] = &report.done[..] else { panic!("{report:?}") };
        assert_eq!((&done.action, &done.file), (&RepairAction::Claimed, &format!("journals/{name}")));
        assert_eq!((done.run.as_deref(), done.host.as_deref()), (Some(id), Some("elsewhere")));
        assert_eq!(here.journal_files(), Vec::<PathBuf>::new());
        let workspace = here.open_silently();
        let run = workspace.find_run(id).expect("listed");
        assert_eq!(run.state, RunState::Crashed);
        assert!(rows::verify(&workspace, &run) >= acknowledged);
    }
    let workspace = here.open_silently();
    let run = workspace.run("p").id("live-run").start().expect("starts");
    run.log([("n", 0_i64)]).expect("logs");
    let name = here.journal_files()[0].display().to_string();
    let report = workspace.repair(&Repair { claim: Claim::Named(vec![name]) }).expect("repairs");
    assert!(matches!(&report.left[..], [left] if left.why == LeftWhy::AtWork && left.claimed), "{report:?}");
    run.finish().expect("finishes");
    let missing = workspace.repair(&Repair { claim: Claim::Named(vec!["0f".repeat(16)]) }).expect_err("not there");
    assert_eq!(missing.kind(), runcellar::ErrorKind::NotFound);
}

/// Whoever asks while another handle of this process writes waits for it, and is not mixed with it.
#[test]
fn threads_that_change_fields_at_once_all_get_their_turn() {
    let place = Place::new();
    let workspace = open_as(&place, FileSystemMode::Network);
    record(&workspace, "tagged-run", 3);
    let run = workspace.find_run("tagged-run").expect("listed");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (workspace, run, place) = (&workspace, &run, &place);
            scope.spawn(move || {
                let other = open_as(place, FileSystemMode::Network);
                for n in 0..3 {
                    let handle = if n % 2 == 0 { workspace } else { &other };
                    handle.tag_run(run, &[format!("tag-{thread}-{n}")], &[]).expect("tags");
                }
            });
        }
    });
    assert_eq!(workspace.find_run("tagged-run").expect("listed").tags.len(), 12);
    assert_whole(&workspace);
}

/// One handle records, puts artifacts, collects and changes fields from threads at once: what one of them has not published
/// yet is neither read nor published by another.
#[test]
fn what_threads_write_at_once_through_one_handle_is_not_mixed() {
    const ROUNDS: u64 = 8;
    let place = Place::new();
    let workspace = open_as(&place, FileSystemMode::Network);
    record(&workspace, "tagged-run", 3);
    let run = workspace.find_run("tagged-run").expect("listed");
    let put = |name: String, seed: u64| {
        let mut draft = ArtifactDraft::new(&name, "dataset").expect("a name");
        draft.add_bytes("noise", noise(seed, 100_000)).expect("adds");
        workspace.put_artifact(&draft, &PutSettings { project: "p".into(), ..PutSettings::default() }).expect("puts")
    };
    std::thread::scope(|scope| {
        scope.spawn(|| (0..ROUNDS).for_each(|round| drop(put(format!("left-{round}"), round))));
        scope.spawn(|| (0..ROUNDS).for_each(|round| drop(put(format!("right-{round}"), ROUNDS + round))));
        scope.spawn(|| (0..ROUNDS).for_each(|round| record(&workspace, &format!("run-{round}"), 50)));
        scope.spawn(|| {
            for round in 0..ROUNDS {
                workspace.tag_run(&run, &[format!("tag-{round}")], &[]).expect("tags");
                workspace.collect_garbage(CollectOptions::default()).expect("collects");
            }
        });
    });
    for round in 0..ROUNDS {
        assert_run(&workspace, &format!("run-{round}"), 50, RunState::Finished);
        for side in ["left", "right"] {
            let verified = workspace.artifact(&format!("{side}-{round}")).expect("finds").verify().expect("verifies");
            assert!(verified.hurt.is_empty() && verified.bytes == 100_000, "{side}-{round}: {:?}", verified.hurt);
        }
    }
    assert_eq!(workspace.find_run("tagged-run").expect("listed").tags.len() as u64, ROUNDS);
    assert_whole(&workspace);
}

/// The header says by its 19th byte whether SQLite logs ahead: never on a network.
#[test]
fn the_database_of_a_network_is_never_in_wal_mode() {
    let place = Place::new();
    let workspace = open_as(&place, FileSystemMode::Network);
    let version = || {
        let mut byte = [0];
        std::fs::File::open(place.database()).expect("opens").read_exact_at(&mut byte, 18).expect("reads");
        byte[0]
    };
    assert_eq!(version(), 1);
    record(&workspace, "a-run", 3);
    drop(workspace);
    assert_eq!(version(), 1);
    drop(open_as(&place, FileSystemMode::Local));
    assert_eq!(version(), 2);
    record(&open_as(&place, FileSystemMode::Network), "b-run", 3);
    assert_eq!(version(), 1);
}
