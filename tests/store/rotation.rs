//! Replacing the root key: what opens before and after, what is written anew, and that a crash at any point leaves the
//! old key or the new one.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use runcellar::{CheckOptions, ErrorKind, Keys, OpenOptions, Workspace};
use runcellar_format::keyslots::{KeyFile, Keyslots};
use rusqlite::Connection;

use crate::support::io::{Call, Fate, Hook, Hooked};
use crate::support::names::NamesIo;
use crate::support::{Heard, Place, child, is_network, list};

fn key_file(place: &Place) -> PathBuf {
    let is_key = |path: &PathBuf| path.extension().is_some_and(|end| end == "key");
    let found: Vec<PathBuf> = list(&place.keys_dir()).into_iter().filter(is_key).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

fn entries(path: &Path) -> Vec<[u8; 32]> {
    let file = KeyFile::decode(&std::fs::read(path).expect("reads")).expect("a key file");
    file.entries.iter().map(|entry| *entry.secret.expose()).collect()
}

fn keyslots(place: &Place) -> Keyslots {
    Keyslots::decode(&std::fs::read(place.workspace().join("keyslots")).expect("reads")).expect("a keyslots file")
}

fn typed(place: &Place, text: &str) -> Keys {
    Keys { directory: Some(place.root().join("none")), passphrase: Some(text.to_owned().into()), ..Keys::default() }
}

fn record(workspace: &Workspace, id: &str) {
    let run = workspace.run("p").id(id).config(runcellar::json!({"lr": 0.1})).start().expect("starts");
    (0..10).for_each(|step| run.log([("loss", f64::from(step))]).expect("logs"));
    run.finish().expect("finishes");
}

fn loss(workspace: &Workspace, id: &str) -> usize {
    let run = workspace.find_run(id).expect("is there");
    workspace.series(&run, "loss", None).expect("reads").steps.len()
}

fn assert_whole(workspace: &Workspace) {
    let report = workspace.check(CheckOptions { read_data: true }).expect("checks");
    assert!(report.is_ok(), "{:?}", report.problems);
}

/// Wraps of the key table and the epochs that they name.
fn wraps(place: &Place) -> (i64, Vec<[u8; 16]>) {
    let connection = Connection::open(place.database()).expect("opens");
    let mut statement = connection.prepare("SELECT DISTINCT epoch FROM key").expect("SQL");
    let epochs = statement.query_map([], |row| row.get(0)).expect("rows").map(|id| id.expect("an id")).collect();
    (connection.query_row("SELECT count(*) FROM key", [], |row| row.get(0)).expect("a number"), epochs)
}

#[test]
fn every_wrap_is_written_anew_and_every_key_but_the_old_file_opens() {
    let place = Place::new();
    let workspace = place.open();
    let (_, code) = workspace.add_recovery_code("safe").expect("adds");
    record(&workspace, "first");
    drop(workspace);
    let (path, before) = (key_file(&place), std::fs::read(key_file(&place)).expect("reads"));
    let (count, old_epochs) = wraps(&place);

    let workspace = place.open_silently();
    let replaced = workspace.rotate_keys().expect("rotates");
    assert_eq!((replaced.epoch, replaced.slots.len()), (2, 2));
    record(&workspace, "second");
    assert_whole(&workspace);
    drop(workspace);
    let (count_now, epochs) = wraps(&place);
    assert!(count_now > count && epochs.len() == 1 && epochs != old_epochs, "{epochs:?}");
    assert_eq!((entries(&path).len(), keyslots(&place).epochs.len()), (1, 1));
    for keys in [place.keys(), typed(&place, &code)] {
        let workspace = Workspace::open(place.workspace(), keys).expect("opens");
        assert_eq!((loss(&workspace, "first"), loss(&workspace, "second")), (10, 10));
    }
    std::fs::write(&path, before).expect("writes");
    let old = place.try_open().expect_err("the old key file");
    assert_eq!(old.kind(), ErrorKind::Locked, "{old}");
}

#[test]
fn what_is_open_meanwhile_goes_on_with_the_new_keys() {
    let place = Place::new();
    let (_, code) = place.open().add_recovery_code("safe").expect("adds");
    let by_file = place.open();
    let keys = typed(&place, &code);
    let by_code = OpenOptions { keys, ..place.options() }.open(&place.workspace()).expect("opens");
    let run = by_file.run("p").id("open").start().expect("starts");
    run.log([("loss", 1.0)]).expect("logs");
    for _ in 0..2 {
        place.open().rotate_keys().expect("rotates");
        run.log([("loss", 2.0)]).expect("logs");
    }
    run.finish().expect("finishes");
    assert_eq!(loss(&by_code, "open"), 3);
    for (number, workspace) in (0..).zip([&by_file, &by_code]) {
        record(workspace, &format!("later-{number}"));
        workspace.rotate_keys().expect("rotates");
        assert_whole(workspace);
    }
    assert_eq!(place.open().rotate_keys().expect("rotates").epoch, 6);
}

#[test]
fn a_removed_key_opens_nothing_and_the_last_one_stays() {
    let place = Place::new();
    let workspace = place.open();
    record(&workspace, "run");
    let own = workspace.slots().expect("lists")[0].id.clone();
    let last = workspace.remove_slots(&[&own]).expect_err("the last");
    assert!(last.to_string().starts_with("this is the last key"), "{last}");
    let (slot, code) = workspace.add_recovery_code("safe").expect("adds");
    let (_, kept) = workspace.add_recovery_code("second").expect("adds");
    let old_keyslots = std::fs::read(place.workspace().join("keyslots")).expect("reads");
    let left = workspace.remove_slots(&[&slot.id]).expect("removes");
    assert_eq!((left.epoch, left.slots.len()), (2, 2));
    let unknown = workspace.remove_slots(&[&slot.id]).expect_err("is gone");
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
    drop(workspace);
    let gone = Workspace::open(place.workspace(), typed(&place, &code)).expect_err("removed");
    assert_eq!((gone.kind(), gone.to_string()), (ErrorKind::Locked, "wrong passphrase".to_owned()));
    drop(Workspace::open(place.workspace(), typed(&place, &kept)).expect("opens"));
    // The old file put back is told from the present one, by whatever key.
    let now = std::fs::read(place.workspace().join("keyslots")).expect("reads");
    std::fs::write(place.workspace().join("keyslots"), old_keyslots).expect("writes");
    for keys in [typed(&place, &code), typed(&place, &kept)] {
        let older = Workspace::open(place.workspace(), keys).expect_err("older");
        assert_eq!(older.kind(), ErrorKind::Damaged, "{older}");
    }
    std::fs::write(place.workspace().join("keyslots"), now).expect("writes");
    // The key that opened the handle goes with its file.
    let workspace = place.open();
    workspace.remove_slots(&[&own]).expect("removes");
    drop(workspace);
    assert!(!list(&place.keys_dir()).iter().any(|path| path.extension().is_some_and(|end| end == "key")));
    let workspace = Workspace::open(place.workspace(), typed(&place, &kept)).expect("opens");
    assert_eq!(loss(&workspace, "run"), 10);
}

#[test]
fn a_copy_and_what_it_was_copied_from_keep_to_their_own_keys() {
    if is_network() {
        // Copies are not told there: docs/FORMAT.md, "Ingester".
        return;
    }
    let place = Place::new();
    let workspace = place.open();
    let (_, code) = workspace.add_recovery_code("safe").expect("adds");
    record(&workspace, "run");
    drop(workspace);
    let copy = place.root().join("copy");
    crate::support::copy_dir(&place.workspace(), &copy);
    let open = |path: &Path, keys: Keys| Workspace::open(path, keys);
    // Opened by a code, the copy has no key file to begin with; by the other's it takes one of its own.
    drop(open(&copy, typed(&place, &code)).expect("opens"));
    for round in 0..3 {
        let copied = open(&copy, place.keys()).expect("opens");
        assert_whole(&copied);
        let original = place.open_silently();
        let own = |workspace: &Workspace| {
            workspace.slots().expect("lists").into_iter().find(|slot| slot.in_use).expect("one")
        };
        assert_ne!(own(&original).id, own(&copied).id);
        assert_eq!((own(&copied).name, copied.slots().expect("lists").len()), (own(&original).name, 2));
        assert_ne!(original.key_file(), copied.key_file());
        match round {
            0 => copied.rotate_keys().map(drop),
            _ => original.rotate_keys().map(drop),
        }
        .expect("rotates");
    }
    // A file that the user named gets an entry for each.
    let named = Keys { file: Some(place.root().join("all.key")), ..Keys::default() };
    let first = place.root().join("first");
    drop(Workspace::open_or_create(&first, named.clone()).expect("makes"));
    drop(open(&first, named.clone()).expect("settles"));
    let second = place.root().join("second");
    crate::support::copy_dir(&first, &second);
    for path in [&second, &first, &second, &first] {
        open(path, named.clone()).expect("opens").rotate_keys().expect("rotates");
    }
    assert_eq!(entries(&place.root().join("all.key")).len(), 2);
}

#[test]
fn a_copy_made_while_keys_are_replaced_leaves_the_key_files_alone() {
    if is_network() {
        // Copies are not told there.
        return;
    }
    for at in [11, 14, 18, 22] {
        let place = Place::new();
        let workspace = place.open();
        workspace.add_recovery_code("first").expect("adds");
        record(&workspace, "run");
        drop(workspace);
        child::start("dies_rotating", &place, at.to_string()).wait().expect("ends");
        let copy = place.root().join("copy");
        crate::support::copy_dir(&place.workspace(), &copy);
        let (path, before) = (key_file(&place), entries(&key_file(&place)));
        let copied = Workspace::open(&copy, place.keys()).expect("opens");
        assert_eq!(loss(&copied, "run"), 10);
        copied.rotate_keys().expect("rotates");
        drop(copied);
        assert_eq!(entries(&path), before, "kill {at}");
        for path in [&place.workspace(), &copy] {
            assert_whole(&Workspace::open(path, place.keys()).expect("opens"));
        }
    }
}

fn changes(call: Call) -> bool {
    use Call::{Append, Create, Link, Remove, Rename, Sync, SyncDir};
    matches!(call, Append | Create | Link | Remove | Rename | Sync | SyncDir)
}

/// Replaces the keys and kills itself at the n-th change of a file.
pub(crate) fn dies_rotating(place: &Place, argument: &str) {
    let (at, removes): (u64, bool) = match argument.split_once(' ') {
        Some((at, _)) => (at.parse().expect("a number"), true),
        None => (argument.parse().expect("a number"), false),
    };
    let armed = Arc::new(AtomicU64::new(u64::MAX));
    let left = armed.clone();
    let io = Hooked::new(move |call: Call, _: &Path| {
        if changes(call) && left.load(Ordering::SeqCst) != u64::MAX && left.fetch_sub(1, Ordering::SeqCst) == 1 {
            // SAFETY: has no preconditions.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        }
        Fate::Done
    });
    let workspace = place.open_with(io, Arc::new(Heard::default())).expect("opens");
    let slot = workspace.slots().expect("lists")[1].id.clone();
    armed.store(at, Ordering::SeqCst);
    match removes {
        true => workspace.remove_slots(&[&slot]).map(drop),
        false => workspace.rotate_keys().map(drop),
    }
    .expect("is done");
    // What follows is no part of it.
    armed.store(u64::MAX, Ordering::SeqCst);
}

#[test]
fn killed_at_any_write_the_keys_are_the_old_or_the_new_ones() {
    let (mut olds, mut news) = (0, 0);
    for removes in [false, true] {
        for at in 1.. {
            let place = Place::new();
            let workspace = place.open();
            let (_, first) = workspace.add_recovery_code("first").expect("adds");
            let (_, second) = workspace.add_recovery_code("second").expect("adds");
            record(&workspace, "run");
            drop(workspace);
            let before = entries(&key_file(&place));
            let argument = if removes { format!("{at} removes") } else { at.to_string() };
            let mut child = child::start("dies_rotating", &place, argument);
            if child.wait().expect("ends").success() {
                assert!(at > 12, "it writes {at} times");
                break;
            }
            // A recovery code opens first, as the key file could not be at hand; then the file.
            for keys in [typed(&place, &second), place.keys()] {
                let workspace = Workspace::open(place.workspace(), keys).expect("opens");
                assert_eq!(loss(&workspace, "run"), 10, "kill {at}");
                assert_whole(&workspace);
            }
            let happened = keyslots(&place).epochs[0].number == 2;
            assert_eq!(keyslots(&place).epochs.len(), 1, "kill {at}");
            // The removed code opens if nothing happened, and only then.
            let by_first = Workspace::open(place.workspace(), typed(&place, &first));
            assert_eq!(by_first.is_ok(), !(happened && removes), "kill {at}");
            drop(by_first);
            let workspace = place.open_silently();
            workspace.rotate_keys().expect("rotates");
            record(&workspace, "later");
            assert_whole(&workspace);
            drop(workspace);
            let after = entries(&key_file(&place));
            assert!(after.len() == 1 && after != before, "kill {at}: no secret stays behind");
            let left: Vec<PathBuf> = list(&place.keys_dir())
                .into_iter()
                .filter(|path| path.extension().is_some_and(|end| end == "tmp"))
                .collect();
            assert!(left.is_empty(), "kill {at}: {left:?}");
            if happened { news += 1 } else { olds += 1 }
        }
    }
    assert!(olds > 10 && news > 10, "{olds} {news}");
}

#[test]
fn a_failure_at_any_write_changes_nothing_or_is_finished_by_the_next_opener() {
    for first in 1.. {
        let place = Place::new();
        drop(place.open());
        let faults = crate::support::io::Faults::new(changes, first, first + 1, Fate::Fails(libc::EIO));
        let workspace = place.open_with(Hooked::shared(faults.clone()), Arc::new(Heard::default())).expect("opens");
        record(&workspace, "run");
        faults.arm(true);
        let outcome = workspace.rotate_keys();
        faults.arm(false);
        record(&workspace, "later");
        assert_whole(&workspace);
        drop(workspace);
        let workspace = place.open_silently();
        assert_eq!((loss(&workspace, "run"), loss(&workspace, "later")), (10, 10));
        assert_whole(&workspace);
        assert_eq!((keyslots(&place).epochs.len(), entries(&key_file(&place)).len()), (1, 1), "fault {first}");
        if faults.seen() < first {
            outcome.expect("nothing failed");
            break;
        }
    }
}

#[test]
fn a_key_file_that_cannot_be_replaced_keeps_the_keys_as_they_are() {
    let place = Place::new();
    drop(place.open());
    let key = key_file(&place);
    let (slots, before) = (keyslots(&place), entries(&key));
    let descriptor = std::fs::File::open(&key).expect("opens");
    let number = std::os::fd::AsRawFd::as_raw_fd(&descriptor);
    let keys = Keys { descriptor: Some(number), ..Keys::default() };
    let refused = Workspace::open(place.workspace(), keys).expect("opens").rotate_keys().expect_err("a descriptor");
    assert!(refused.to_string().contains("came through a descriptor"), "{refused}");
    let faults = Hooked::new(|call: Call, path: &Path| {
        let is_key = path.to_string_lossy().contains(".key");
        if call == Call::Rename && is_key { Fate::Fails(libc::EBUSY) } else { Fate::Done }
    });
    let workspace = place.open_with(faults, Arc::new(Heard::default())).expect("opens");
    let refused = workspace.rotate_keys().expect_err("busy");
    assert!(refused.to_string().contains("it cannot be replaced, so the keys cannot be either"), "{refused}");
    drop(workspace);
    assert_eq!((keyslots(&place).epochs, entries(&key)), (slots.epochs, before));
    place.open_silently();
}

/// Takes a file of the copy for the one that was there when the power went: restored by a restart, it has its old inode.
struct Restarted(runcellar::io::FileIdentity);

impl Hook for Restarted {
    fn fate(&self, _: Call, _: &Path) -> Fate {
        Fate::Done
    }

    fn identity(&self, path: &Path) -> Option<runcellar::io::FileIdentity> {
        path.ends_with("cellar.db").then_some(self.0)
    }
}

#[test]
fn a_power_cut_at_any_change_of_a_file_leaves_keys_that_open() {
    let place = Place::new();
    let workspace = place.open();
    workspace.add_recovery_code("first").expect("adds");
    record(&workspace, "run");
    drop(workspace);
    let identity = runcellar::io::Io::identity(&runcellar::io::SystemIo, &place.database()).expect("is there");
    let io = NamesIo::new(&[key_file(&place), place.workspace().join("keyslots")]);
    let workspace = place.open_with(io.clone(), Arc::new(Heard::default())).expect("opens");
    let (from, cuts) = (Place::at(place.root()), Arc::new(Mutex::new(Vec::new())));
    let left = cuts.clone();
    io.before_each_change(Some(Box::new(move |io| {
        for (slots_kept, keys_kept) in [(false, false), (false, true), (true, false), (true, true)] {
            let after = Place::new();
            crate::support::copy_dir(&from.workspace(), &after.workspace());
            std::fs::create_dir(after.keys_dir()).expect("creates");
            // Shared memory is gone with the power.
            let _ = std::fs::remove_file(after.workspace().join("cellar.db-shm"));
            let of_workspace = io.left(&from.workspace(), slots_kept).into_iter();
            let in_place = of_workspace.chain(io.left(&from.keys_dir(), keys_kept));
            for (path, bytes) in in_place {
                let to = after.root().join(path.strip_prefix(from.root()).expect("below"));
                std::fs::write(&to, bytes).expect("writes");
                std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o600)).expect("our own");
            }
            left.lock().expect("unpoisoned").push(after);
        }
    })));
    workspace.rotate_keys().expect("rotates");
    io.before_each_change(None);
    drop(workspace);
    let cuts = std::mem::take(&mut *cuts.lock().expect("unpoisoned"));
    assert!(cuts.len() >= 40, "{}", cuts.len());
    let mut happened = 0;
    for (number, cut) in cuts.iter().enumerate() {
        let io = Hooked::shared(Arc::new(Restarted(identity)));
        let workspace = cut.open_with(io, Arc::new(Heard::default()));
        let workspace = workspace.unwrap_or_else(|error| panic!("cut {number}: {error}"));
        assert_eq!(loss(&workspace, "run"), 10, "cut {number}");
        assert_whole(&workspace);
        happened += usize::from(keyslots(cut).epochs[0].number == 2);
        let left = (keyslots(cut).epochs.len(), entries(&key_file(cut)).len());
        assert!(left == (1, 1) || (left == (1, 2) && keyslots(cut).epochs[0].number == 1), "cut {number}: {left:?}");
    }
    assert!(happened > 4 && happened < cuts.len() - 4, "{happened} of {}", cuts.len());
}
