//! The ledger: nothing was ever sent without a line, and no line can be changed or taken away unseen.

use std::collections::BTreeSet;
use std::path::PathBuf;

use runcellar::remotes::Ledger;
use runcellar_format::seal::checksum;
use runcellar_sync::remote::fake::{Fake, Last, Store};

use crate::devices::{Device, ORIGIN};

fn ledger(device: &Device) -> Ledger {
    device.workspace.ledgers(Some(ORIGIN)).expect("reads").remove(0)
}

/// Every object that the remote ever had has a line that tells its name, length and hash.
#[track_caller]
fn assert_all_told(device: &Device, store: &Store) {
    let ledger = ledger(device);
    assert_eq!(ledger.problems, [""; 0]);
    let told: BTreeSet<(String, u64, String)> =
        ledger.objects.into_iter().map(|object| (object.name, object.bytes, object.hash)).collect();
    for (name, bytes) in store.ever() {
        let hash: String = checksum(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(told.contains(&(name.to_string(), bytes.len() as u64, hash)), "{name}");
    }
}

fn file(device: &Device) -> PathBuf {
    let id = device.workspace.remote(ORIGIN).expect("is there").id;
    device.root().join("w/remotes").join(id).join("ledger")
}

#[test]
fn nothing_is_sent_without_a_line_whatever_request_is_the_last() {
    for last in [Last::Unsent, Last::Unanswered] {
        for requests in 1..8 {
            let store = Store::new();
            let (first, remote) = (Device::first(), Fake::new(&store, 1));
            first.record("one", 10);
            remote.stop_after(requests, last);
            let _ = first.sync(&remote);
            assert_all_told(&first, &store);
            remote.revive();
            first.sync(&remote).expect("syncs");
            assert_all_told(&first, &store);
        }
    }
}

#[test]
fn a_line_tells_class_runs_and_consent_and_what_became_of_the_object() {
    let store = Store::new();
    let (first, remote) = (Device::first(), Fake::new(&store, 1));
    first.record("one", 10);
    first.record("two", 10);
    first.sync(&remote).expect("syncs");
    let before = ledger(&first);
    let segment = before.objects.iter().find(|object| object.name.ends_with("/0000000001")).expect("a segment");
    assert_eq!(segment.class.map(|class| class.as_str()), Some("metrics"));
    assert_eq!(segment.runs.iter().collect::<BTreeSet<_>>(), BTreeSet::from([&"one".to_owned(), &"two".to_owned()]));
    assert_eq!(segment.consent, first.workspace.consent_request(ORIGIN).expect("asks").hash);
    assert!(before.objects.iter().all(|object| object.stored.is_some() && object.deleted.is_none()), "{before:?}");
    // What is deleted there keeps its line.
    first.workspace.rotate_keys().expect("rotates");
    first.sync(&remote).expect("syncs");
    let after = ledger(&first);
    let deleted: Vec<&str> =
        after.objects.iter().filter(|object| object.deleted.is_some()).map(|object| object.name.as_str()).collect();
    let all: Vec<&str> = before.objects.iter().map(|object| object.name.as_str()).collect();
    assert_eq!(deleted, all, "the segment, and what welcome and head were before");
    assert_eq!(after.problems, [""; 0]);
}

#[test]
fn a_ledger_that_was_altered_or_cut_says_so_for_ever_and_goes_on() {
    let store = Store::new();
    let (first, remote) = (Device::first(), Fake::new(&store, 1));
    for id in ["one", "two"] {
        first.record(id, 10);
        first.sync(&remote).expect("syncs");
    }
    let (path, whole) = (file(&first), std::fs::read(file(&first)).expect("reads"));
    let lines = ledger(&first).objects.len();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let ends_of_lines = {
        let mut ends = vec![0];
        while ends[ends.len() - 1] < whole.len() {
            let at = ends[ends.len() - 1];
            let len = u32::from_le_bytes(whole[at..at + 4].try_into().expect("four bytes"));
            ends.push(at + 4 + len as usize);
        }
        ends
    };
    let cut = whole[..ends_of_lines[ends_of_lines.len() - 3]].to_vec();
    for wrong in [Some(flipped), Some(cut), Some(whole[..whole.len() - 7].to_vec()), Some(Vec::new()), None] {
        match &wrong {
            Some(wrong) => std::fs::write(&path, wrong).expect("writes"),
            None => std::fs::remove_file(&path).expect("removes"),
        }
        let told = ledger(&first);
        assert_eq!(told.problems.len(), 1, "{told:?}");
        assert!(told.objects.len() <= lines);
    }
    // The file is gone by now. What is sent from here on is written down, and what was lost is told of still.
    first.record("three", 10);
    first.sync(&remote).expect("syncs");
    let told = ledger(&first);
    assert!(told.problems[0].contains("lines, and 0 of them were found whole"), "{told:?}");
    assert!(told.objects.iter().any(|object| object.runs == ["three"]));
    first.sync(&remote).expect("syncs");
    assert_eq!(ledger(&first).problems, told.problems);
}

#[test]
fn a_line_that_a_crash_cut_off_costs_nothing() {
    let store = Store::new();
    let (first, remote) = (Device::first(), Fake::new(&store, 1));
    first.record("one", 10);
    first.sync(&remote).expect("syncs");
    let whole = std::fs::read(file(&first)).expect("reads");
    let torn = [&whole[..], &300_u32.to_le_bytes(), b"torn"].concat();
    std::fs::write(file(&first), torn).expect("writes");
    assert_eq!(ledger(&first).problems, [""; 0]);
    first.record("two", 10);
    first.sync(&remote).expect("syncs");
    assert_all_told(&first, &store);
}

#[test]
fn the_ledger_of_a_remote_that_was_removed_stays() {
    let store = Store::new();
    let (first, remote) = (Device::first(), Fake::new(&store, 1));
    first.record("one", 10);
    first.sync(&remote).expect("syncs");
    let (before, path) = (ledger(&first), file(&first));
    first.workspace.remove_remote(ORIGIN).expect("removes");
    let left = path.parent().expect("a folder");
    assert_eq!(std::fs::read_dir(left).expect("lists").count(), 1, "nothing else is left");
    assert_eq!(ledger(&first), before);
    let whole = std::fs::read(&path).expect("reads");
    std::fs::write(&path, &whole[..whole.len() - 1]).expect("writes");
    assert_eq!(ledger(&first).problems, ["its end is missing"]);
}
