//! Making and opening a workspace: raced, killed and failing at every step, damaged, copied, read-only.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use runcellar::{CheckOptions, ErrorKind, Keys, RunState, Selection, Value, Workspace};
use runcellar_format::keyslots::Keyslots;
use runcellar_format::seal::checksum;

use crate::support::child::Counter;
use crate::support::io::{Call, Fate, Faults, Hooked};
use crate::support::rows::assert_points;
use crate::support::{Heard, Place, child, copy_dir, is_network, list, not_tested};

const NOBODY: u32 = 65534;

#[track_caller]
fn assert_whole(workspace: &Workspace) {
    let report = workspace.check(CheckOptions { read_data: true }).expect("is checked");
    assert!(report.is_ok(), "{:#?}", report.problems);
}

fn names(directory: &Path) -> Vec<String> {
    list(directory).iter().map(|path| path.file_name().expect("named").to_string_lossy().into_owned()).collect()
}

fn key_files(place: &Place) -> Vec<String> {
    names(&place.keys_dir()).into_iter().filter(|name| !name.ends_with(".root")).collect()
}

/// `links` false: on a file system without hard links.
fn race(explicit_key_file: bool, links: bool) {
    const RACERS: u64 = 16;
    let place = Place::new();
    let gate = Counter::open(&place.root().join("gate"));
    let racers: Vec<_> = (0..RACERS)
        .map(|racer| child::start("creates", &place, format!("{racer} {explicit_key_file} {links}")))
        .collect();
    gate.set(1);
    for mut racer in racers {
        assert!(racer.wait().expect("waits").success(), "every racer has a workspace");
    }
    assert_eq!(names(&place.workspace().join("tmp")), Vec::<String>::new(), "nothing is left of the losers");
    let keys = keys_of(&place, explicit_key_file);
    if explicit_key_file {
        assert_eq!(std::fs::read(place.root().join("shared.key")).expect("reads").len(), 8 + 8 + 80 + 32, "one entry");
    } else {
        assert_eq!(key_files(&place).len(), 1, "{:?}", key_files(&place));
    }
    let workspace = Workspace::open(place.workspace(), keys).expect("opens");
    let runs = workspace.runs(&Selection::default()).expect("lists");
    assert_eq!(runs.len() as u64, RACERS);
    for run in &runs {
        assert_eq!(run.state, RunState::Finished);
        let points: Vec<_> = (0..3).map(|n| (n, Value::Int(n))).collect();
        assert_points(&workspace.series(run, "n", None).expect("reads"), &points, &run.id);
    }
    assert_whole(&workspace);
}

fn keys_of(place: &Place, explicit_key_file: bool) -> Keys {
    match explicit_key_file {
        true => Keys { file: Some(place.root().join("shared.key")), ..Keys::default() },
        false => place.keys(),
    }
}

pub(crate) fn creates(place: &Place, argument: &str) {
    let words: Vec<&str> = argument.split(' ').collect();
    let gate = Counter::open(&place.root().join("gate"));
    let links = words[2] == "true";
    let io = Hooked::new(move |call: Call, _: &Path| match call {
        Call::Link if !links => Fate::Fails(libc::EPERM),
        _ => Fate::Done,
    });
    let heard = Arc::new(Heard::default());
    while gate.get() == 0 {
        std::thread::yield_now();
    }
    let options = runcellar::OpenOptions { io, monitor: heard.clone(), ..place.options() };
    let options = runcellar::OpenOptions { keys: keys_of(place, words[1] == "true"), ..options };
    let workspace = options.open(&place.workspace()).expect("opens or creates");
    let run = workspace.run("p").id(format!("racer-{}", words[0])).start().expect("starts");
    (0..3_i64).for_each(|n| run.log([("n", n)]).expect("logs"));
    run.finish().expect("finishes");
    assert_eq!(heard.all(), Vec::<String>::new());
}

#[test]
fn sixteen_processes_that_create_at_once_end_in_one_workspace_and_one_key() {
    race(false, true);
    race(false, true);
}

#[test]
fn sixteen_processes_with_one_key_file_end_in_one_workspace_and_one_entry() {
    race(true, true);
}

#[test]
fn sixteen_processes_race_without_hard_links_too() {
    race(false, false);
}

/// The child dies before its n-th call, for every n until it gets through.
#[test]
fn a_creator_that_dies_at_any_step_leaves_nothing_half_made() {
    const DIED: i32 = 77;
    for n in 1.. {
        let place = Place::new();
        let status = child::command("dies_creating", &place, n).status().expect("a child starts");
        if let Ok(workspace) = Workspace::open(place.workspace(), place.keys()) {
            workspace.run("p").start().expect("what opens is whole").finish().expect("finishes");
        }
        let workspace = place.open_silently();
        workspace.run("p").start().expect("starts").finish().expect("finishes");
        assert_whole(&workspace);
        drop(workspace);
        place.open_silently();
        match status.code() {
            Some(DIED) => {}
            Some(0) => return assert!(n > 20, "creation has more steps"),
            other => panic!("step {n}: {other:?}"),
        }
    }
}

pub(crate) fn dies_creating(place: &Place, n: &str) {
    let (seen, n) = (AtomicU64::new(0), n.parse::<u64>().expect("a number"));
    let io = Hooked::new(move |_: Call, _: &Path| {
        if seen.fetch_add(1, Ordering::SeqCst) + 1 == n {
            // SAFETY: ends the process without running anything of ours.
            unsafe { libc::_exit(77) };
        }
        Fate::Done
    });
    let workspace = place.open_with(io, Arc::new(Heard::default())).expect("creates");
    // What follows the creation is not counted here.
    std::mem::forget(workspace);
    // SAFETY: as above.
    unsafe { libc::_exit(0) };
}

#[test]
fn a_creation_that_fails_at_any_step_can_be_made_again() {
    for fate in [Fate::Fails(libc::ENOSPC), Fate::DoneAndFails(libc::EIO)] {
        for n in 1.. {
            let place = Place::new();
            let faults = Faults::new(|call| call != Call::Random, n, n + 1, fate);
            faults.arm(true);
            let first = place.open_with(Hooked::shared(faults.clone()), Arc::new(Heard::default()));
            let first = first.map(|workspace| workspace.id());
            let again = place.open();
            if let Ok(id) = &first {
                assert_eq!(again.id(), *id, "step {n}: what was made stays");
            }
            again.run("p").start().expect("starts").finish().expect("finishes");
            assert_whole(&again);
            if faults.seen() < n {
                assert!(n > 20 && first.is_ok(), "creation has more steps");
                break;
            }
        }
    }
}

fn made() -> Place {
    let place = Place::new();
    let workspace = place.open();
    let run = workspace.run("p").id("made").start().expect("starts");
    (0..3_i64).for_each(|n| run.log([("n", n)]).expect("logs"));
    run.finish().expect("finishes");
    place
}

#[track_caller]
fn assert_refused(place: &Place, keys: Keys, kind: ErrorKind, says: &str) {
    let error = Workspace::open_or_create(place.workspace(), keys).expect_err("is refused");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(says), "{error}");
}

#[test]
fn what_is_missing_is_named_and_never_made_anew() {
    let place = made();
    std::fs::remove_file(place.database()).expect("removes");
    assert_refused(&place, place.keys(), ErrorKind::Damaged, "cellar.db is missing; restore it from a backup");
    assert!(!place.database().exists());
    let place = made();
    std::fs::remove_file(place.workspace().join("keyslots")).expect("removes");
    assert_refused(&place, place.keys(), ErrorKind::Damaged, "keyslots is missing; restore it from a backup");
    assert!(!place.workspace().join("keyslots").exists());
    let place = made();
    std::fs::remove_dir_all(place.keys_dir()).expect("removes");
    assert_refused(&place, place.keys(), ErrorKind::Locked, "key file not found: ");
    let place = Place::new();
    let error = Workspace::open(place.workspace(), place.keys()).expect_err("there is none");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.to_string(), format!("no workspace at {}", place.workspace().display()));
    assert!(!place.workspace().exists(), "looking makes nothing");
    std::fs::write(place.workspace(), b"a file").expect("writes");
    assert_refused(&place, place.keys(), ErrorKind::Exists, "a file is in the workspace's place");
}

#[test]
fn a_wrong_key_file_and_one_that_others_can_read_are_refused() {
    let (place, other) = (made(), made());
    let key_of = |place: &Place| place.keys_dir().join(&key_files(place)[0]);
    let with = |file: &Path| Keys { file: Some(file.to_owned()), ..Keys::default() };
    assert_refused(&place, with(&key_of(&other)), ErrorKind::Locked, "wrong key file: it has no key for workspace");
    assert_refused(
        &place,
        with(Path::new("/nonexistent.key")),
        ErrorKind::Locked,
        "key file not found: /nonexistent.key",
    );
    let key = key_of(&place);
    let whole = std::fs::read(&key).expect("reads");
    for bytes in [&whole[..whole.len() - 1], &[&whole[..50], &[whole[50] ^ 1], &whole[51..]].concat()] {
        std::fs::write(&key, bytes).expect("writes");
        assert_refused(&place, place.keys(), ErrorKind::Damaged, "key file");
    }
    std::fs::write(&key, &whole).expect("writes");
    for mode in [0o640, 0o604, 0o666] {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).expect("chmod");
        assert_refused(&place, place.keys(), ErrorKind::Locked, "others can read it");
    }
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("chmod");
    place.open_silently();
}

fn version_of(place: &Place) -> i32 {
    let connection = rusqlite::Connection::open(place.database()).expect("opens");
    connection.pragma_query_value(None, "user_version", |row| row.get(0)).expect("reads")
}

#[test]
fn a_newer_format_is_named_and_left_alone() {
    let place = made();
    let keyslots = place.workspace().join("keyslots");
    let whole = std::fs::read(&keyslots).expect("reads");
    let mut newer = whole.clone();
    newer[8] = 3;
    std::fs::write(&keyslots, &newer).expect("writes");
    assert_refused(&place, place.keys(), ErrorKind::NewerFormat, "keyslots");
    std::fs::write(&keyslots, &whole).expect("writes");
    let set_version = |version: i32| {
        let connection = rusqlite::Connection::open(place.database()).expect("opens");
        connection.pragma_update(None, "user_version", version).expect("sets");
        connection.close().expect("closes");
    };
    set_version(4);
    assert_refused(&place, place.keys(), ErrorKind::NewerFormat, "format 4 is newer than this build reads (3)");
    set_version(0);
    assert_refused(&place, place.keys(), ErrorKind::Damaged, "schema");
    set_version(1);
    place.open_silently();
    assert_eq!(version_of(&place), 1, "reading changes nothing");
    place.open().run("p").start().and_then(|run| run.finish()).expect("records");
    assert_eq!(version_of(&place), 3, "the first write brings it up to date");
    let key = place.keys_dir().join(&key_files(&place)[0]);
    let mut bytes = std::fs::read(&key).expect("reads");
    bytes[8] = 2;
    std::fs::write(&key, &bytes).expect("writes");
    assert_refused(&place, place.keys(), ErrorKind::NewerFormat, "key file");
    bytes[8] = 1;
    std::fs::write(&key, &bytes).expect("writes");
    place.open_silently();
    // A table of somebody else's, which could carry a trigger.
    let connection = rusqlite::Connection::open(place.database()).expect("opens");
    for (made, undone) in [
        ("CREATE TABLE stranger (x)", "DROP TABLE stranger"),
        ("CREATE TRIGGER stranger AFTER INSERT ON key BEGIN DELETE FROM block; END", "DROP TRIGGER stranger"),
        ("CREATE VIEW stranger AS SELECT * FROM key", "DROP VIEW stranger"),
        ("CREATE INDEX stranger ON block (length(body))", "DROP INDEX stranger"),
    ] {
        connection.execute_batch(made).expect("creates");
        assert_refused(&place, place.keys(), ErrorKind::Damaged, "its schema is not that of a runcellar workspace");
        connection.execute_batch(undone).expect("drops");
    }
    connection.close().expect("closes");
    place.open_silently();
}

/// A slot that would take a terabyte to try is refused before any memory is taken, whichever key is at hand.
#[test]
fn a_hostile_slot_is_refused_before_its_memory_is_taken() {
    let place = made();
    place.open().add_passphrase(&"a passphrase".to_owned().into(), "mine").expect("adds");
    let path = place.workspace().join("keyslots");
    let whole = std::fs::read(&path).expect("reads");
    let slots = Keyslots::decode(&whole).expect("keyslots");
    let cost = slots.slots.iter().find_map(|slot| slot.argon2).expect("a passphrase");
    let numbers = [cost.memory_kib, cost.passes, cost.lanes].map(u32::to_le_bytes).concat();
    let at = whole.windows(12).position(|bytes| bytes == numbers).expect("stands there");
    // Length, id, kind, suite, length of the parameters, salt: docs/FORMAT.md, "keyslots".
    let slot = at - 38;
    let len = u32::from_le_bytes(whole[slot - 4..slot].try_into().expect("four bytes")) as usize;
    for (field, value) in [(at, 1_u32 << 30), (at, u32::MAX), (at + 4, u32::MAX), (at + 8, u32::MAX), (at, 8)] {
        let mut bytes = whole.clone();
        bytes[field..field + 4].copy_from_slice(&value.to_le_bytes());
        let sum = checksum(&bytes[slot..slot + len - 8]);
        bytes[slot + len - 8..slot + len].copy_from_slice(&sum[..8]);
        let end = bytes.len() - 32;
        let sum = checksum(&bytes[..end]);
        bytes[end..].copy_from_slice(&sum);
        std::fs::write(&path, &bytes).expect("writes");
        let typed = Keys { passphrase: Some("a passphrase".to_owned().into()), ..Keys::default() };
        for keys in [place.keys(), typed] {
            let refused = Workspace::open(place.workspace(), keys).expect_err("hostile");
            assert_eq!(refused.kind(), ErrorKind::Damaged, "{refused}");
        }
    }
    std::fs::write(&path, &whole).expect("writes");
    place.open_silently();
}

/// A copy goes on by itself, beside the original, in one process and while a run of the original is live.
#[test]
fn a_copied_workspace_says_so_once_and_goes_on_under_a_device_id_of_its_own() {
    if is_network() {
        // There a copy is told by nothing: each published file has another inode.
        return;
    }
    let place = made();
    let original = place.open_silently();
    let live = original.run("p").id("live-run").start().expect("starts");
    (0..5_i64).for_each(|n| live.log([("n", n)]).expect("logs"));
    let copy = Place::new();
    copy_dir(&place.workspace(), &copy.workspace());
    copy_dir(&place.keys_dir(), &copy.keys_dir());
    let heard = Arc::new(Heard::default());
    let options = || runcellar::OpenOptions { monitor: heard.clone(), ..copy.options() };
    let copied = options().open(&copy.workspace()).expect("opens");
    assert_eq!(heard.notes().len(), 1, "{:?}", heard.notes());
    assert!(heard.notes()[0].contains("this is a copy of another"), "{:?}", heard.notes());
    (5..9_i64).for_each(|n| live.log([("n", n)]).expect("logs"));
    let run = |workspace: &Workspace| workspace.find_run("live-run").expect("listed");
    assert_eq!(run(&original).state, RunState::Running);
    assert_eq!(run(&copied).state, RunState::Crashed, "in the copy nobody goes on with it");
    let points = |count: i64| (0..count).map(|n| (n, Value::Int(n))).collect::<Vec<_>>();
    assert_points(&copied.series(&run(&copied), "n", None).expect("reads"), &points(5), "the copy");
    assert_points(&original.series(&run(&original), "n", None).expect("reads"), &points(9), "the original");
    let device = |workspace: &Workspace| workspace.diagnose().expect("looks").device;
    assert_ne!(device(&original), device(&copied));
    copied.run("p").start().expect("starts").finish().expect("finishes");
    live.finish().expect("finishes");
    assert_whole(&copied);
    assert_whole(&original);
    drop((original, copied));
    drop(options().open(&copy.workspace()).expect("opens"));
    assert_eq!(heard.all().len(), 1, "said once: {:?}", heard.all());
    place.open_silently();
}

fn give_to_nobody(place: &Place) -> bool {
    let paths = std::process::Command::new("find").arg(place.root()).output().expect("find runs").stdout;
    String::from_utf8(paths).expect("UTF-8").lines().all(|path| chown(path, Some(NOBODY), Some(NOBODY)).is_ok())
}

fn set_writable(place: &Place, writable: bool) {
    let change = if writable { "u+w" } else { "a-w" };
    let status = std::process::Command::new("chmod").args(["-R", change]).arg(place.workspace()).status();
    assert!(status.expect("chmod runs").success());
}

/// As root may write everywhere, a child of another user looks.
#[test]
fn a_workspace_that_may_not_be_written_is_read_and_refuses_to_be_written() {
    let place = made();
    child::play("dies_after_rows", &place, "crashed-run");
    if !give_to_nobody(&place) {
        return not_tested("a read-only directory: only root can become another user");
    }
    set_writable(&place, false);
    let output =
        child::command("reads_only", &place, "").uid(NOBODY).gid(NOBODY).stderr(std::process::Stdio::piped()).output();
    set_writable(&place, true);
    let output = output.expect("a child starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

pub(crate) fn reads_only(place: &Place, _: &str) {
    let heard = Arc::new(Heard::default());
    let options = runcellar::OpenOptions { monitor: heard.clone(), ..place.options() };
    let workspace = options.open(&place.workspace()).expect("opens");
    assert!(workspace.is_read_only().expect("says so"));
    let runs = workspace.runs(&Selection::default()).expect("lists");
    assert_eq!(runs.len(), 2);
    let points = |count: i64| (0..count).map(|n| (n, Value::Int(n))).collect::<Vec<_>>();
    let made = workspace.find_run("made").expect("listed");
    assert_points(&workspace.series(&made, "n", None).expect("reads"), &points(3), "in blocks");
    let crashed = workspace.find_run("crashed-run").expect("listed");
    assert_points(&workspace.series(&crashed, "x", None).expect("reads"), &points(10), "in a journal");
    let refused = workspace.run("p").start().expect_err("cannot be written");
    assert_eq!(refused.kind(), ErrorKind::ReadOnly, "{refused}");
    let refused = workspace.rename_run(&made, "new").expect_err("cannot be written");
    assert_eq!(refused.kind(), ErrorKind::ReadOnly, "{refused}");
    assert_eq!(heard.all(), Vec::<String>::new());
}

#[test]
fn a_workspace_of_another_user_is_refused() {
    let place = made();
    if !give_to_nobody(&place) {
        return not_tested("a workspace of another user: only root can give one away");
    }
    assert_refused(&place, place.keys(), ErrorKind::Locked, "belongs to another user (uid 65534)");
}

#[test]
fn files_and_directories_are_for_their_owner_alone() {
    let place = made();
    let run = place.open().run("p").start().expect("starts");
    let found =
        std::process::Command::new("find").arg(place.root()).args(["-mindepth", "1", "-printf", "%m %y %P\n"]).output();
    let found = String::from_utf8(found.expect("find runs").stdout).expect("UTF-8");
    for line in found.lines() {
        let expected = if line.split(' ').nth(1) == Some("d") { "700" } else { "600" };
        assert!(line.starts_with(expected), "{line}");
    }
    assert!(found.lines().count() > 8, "{found}");
    drop(run);
}

#[test]
fn a_copy_without_its_empty_directories_opens() {
    let place = made();
    for name in ["journals", "packs", "tmp"] {
        std::fs::remove_dir(place.workspace().join(name)).expect("is empty");
    }
    let workspace = place.open_silently();
    let run = workspace.run("p").start().expect("starts");
    run.log([("n", 1_i64)]).expect("logs");
    run.finish().expect("finishes");
    assert_whole(&workspace);
}
