//! A device that was away for long, or that found something wrong, looks after what it published: what is gone goes there again.

use std::path::Path;

use runcellar::remotes::RemoteClass;
use runcellar_sync::engine::{Report, verify};
use runcellar_sync::remote::fake::{Fake, Last, Store};
use runcellar_sync::remote::{Folder, ObjectName, Remote};

use crate::content::{assert_alike, noise, packs, put, record};
use crate::devices::{Device, ORIGIN};
use crate::io::{Call, Fate, Hooked};

const DAY_US: i64 = 24 * 3600 * 1_000_000;

/// A device with files and artifacts that published all of it, and then was away for so long.
fn away_for(days: i64, remote: &dyn Remote) -> Device {
    let clock = Hooked::new(|_: Call, _: &Path| Fate::Done);
    let first = Device::first_with(&RemoteClass::ALL).opened_with(clock.clone());
    record(&first, "one");
    put(&first, &noise(1, 200_000), Some("one"), &["best"]);
    for run in ["two", "three"] {
        first.sync(remote).expect("syncs");
        first.record(run, 5);
    }
    first.sync(remote).expect("syncs");
    clock.move_wall_clock(days * DAY_US);
    first
}

fn prefix(device: &Device) -> String {
    device.workspace.exchange(ORIGIN).expect("begins").prefix()
}

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).expect("a name")
}

/// Others have all that the first has.
#[track_caller]
fn assert_read(first: &Device, remote: &dyn Remote) {
    let second = Device::another(first, remote);
    let report = second.sync(remote).expect("syncs");
    assert!(report.merged.left_out.is_empty(), "{report:?}");
    assert_alike(&[first, &second]);
}

#[test]
fn packs_that_went_while_a_device_was_away_are_sent_again_by_its_next_sync() {
    let shared = tempfile::tempdir().expect("a temporary directory");
    let remote = Folder::new(shared.path());
    let first = away_for(8, &remote);
    let folder = shared.path().join("packs");
    std::fs::rename(&folder, shared.path().join("elsewhere")).expect("moves");
    let report = first.sync(&remote).expect("syncs");
    assert_eq!((report.gone, report.sent_packs, report.sent), (3, 3, 0), "{report:?}");
    assert_read(&first, &remote);
    let sent = &first.workspace.ledgers(Some(ORIGIN)).expect("reads")[0].objects;
    assert_eq!(sent.iter().filter(|object| object.name.starts_with("packs/")).count(), 6, "the ledger has both");
}

#[test]
fn a_pack_that_was_cut_is_sent_again() {
    let store = Store::new();
    let remote = Fake::new(&store, 1);
    let first = away_for(8, &remote);
    let largest = |pack: &&ObjectName| store.bytes(pack).map(|bytes| bytes.len());
    let all = packs(&store);
    let pack = all.iter().max_by_key(largest).expect("there are some");
    store.replace(pack, store.bytes(pack).expect("is there")[..4096].to_vec());
    let report = first.sync(&remote).expect("syncs");
    assert_eq!((report.gone, report.sent_packs), (1, 1), "{report:?}");
    assert_read(&first, &remote);
}

#[test]
fn segments_that_went_have_everything_published_anew_and_readers_go_on() {
    let store = Store::new();
    let remote = Fake::new(&store, 1);
    let first = away_for(8, &remote);
    let second = Device::another(&first, &remote);
    second.sync(&remote).expect("syncs");
    second.record("of-second", 3);
    let (segment, welcome) = (format!("{}/0000000002", prefix(&first)), format!("devices/{}", prefix(&first)));
    assert!(store.remove(&name(&segment)) && store.remove(&name(&welcome)));
    let report = first.sync(&remote).expect("syncs");
    assert_eq!((report.gone, report.sent_packs), (2, 0), "packs are there: {report:?}");
    assert!(report.sent > 0 && report.deleted >= 2, "{report:?}");
    for device in [&second, &first, &second] {
        device.sync(&remote).expect("syncs");
    }
    assert_alike(&[&first, &second]);
    assert!(verify(&first.workspace, ORIGIN, &remote).expect("verifies").wrong.is_empty());
    assert_read(&first, &remote);
    assert_eq!(first.workspace.key_epoch().expect("reads"), 1, "the keys stay");
    for device in [&first, &second] {
        let Report { sent, fetched, deleted, gone, .. } = device.sync(&remote).expect("syncs");
        assert_eq!([sent, fetched, deleted, gone], [0; 4]);
    }
}

#[test]
fn what_verify_found_wrong_is_sent_again_by_the_next_sync() {
    let store = Store::new();
    let remote = Fake::new(&store, 1);
    let first = away_for(0, &remote);
    let altered = |name: &ObjectName| {
        let mut bytes = store.bytes(name).expect("is there").to_vec();
        bytes[100] ^= 1;
        store.replace(name, bytes);
    };
    let segment = name(&format!("{}/0000000001", prefix(&first)));
    for (object, sent) in [(packs(&store)[1].clone(), false), (segment, true)] {
        altered(&object);
        assert_eq!(verify(&first.workspace, ORIGIN, &remote).expect("verifies").wrong.len(), 1);
        let report = first.sync(&remote).expect("syncs");
        assert_eq!((report.sent > 0, report.gone), (sent, 1), "{report:?}");
        assert!(verify(&first.workspace, ORIGIN, &remote).expect("verifies").wrong.is_empty());
    }
    assert_read(&first, &remote);
}

#[test]
fn a_pack_that_is_gone_there_and_hurt_here_is_named() {
    let store = Store::new();
    let remote = Fake::new(&store, 1);
    let first = away_for(8, &remote);
    let pack = packs(&store).remove(0);
    assert!(store.remove(&pack));
    let id = pack.as_str().rsplit('/').next().expect("a name");
    let file = first.root().join("w/packs").join(&id[..2]).join(format!("{id}.pack"));
    std::fs::remove_file(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let report = first.sync(&remote).expect("syncs");
    let [left] = &report.not_sent[..] else { panic!("{report:?}") };
    assert!(left.damaged && left.what.contains(id), "{left:?}");
    assert_eq!((report.gone, report.sent_packs), (1, 0));
}

#[test]
fn who_was_here_lately_makes_no_request_for_it_and_who_was_away_two() {
    for (days, lists) in [(6, 1), (8, 3), (-300, 3)] {
        let store = Store::new();
        let remote = Fake::new(&store, 1);
        let first = away_for(days, &remote);
        let before = remote.requests();
        first.sync(&remote).expect("syncs");
        assert_eq!(remote.requests().lists - before.lists, lists, "{days} days");
        assert_eq!(remote.requests().heads, before.heads, "what a listing tells is not asked for");
        // Once.
        let before = remote.requests();
        first.sync(&remote).expect("syncs");
        assert_eq!(remote.requests().lists - before.lists, 1, "{days} days");
    }
}

#[test]
fn looking_after_it_goes_on_from_any_request() {
    let store = Store::new();
    let first = away_for(8, &Fake::new(&store, 1));
    let remote = Fake::new(&store, 2);
    let clock = Hooked::new(|_: Call, _: &Path| Fate::Done);
    let first = first.opened_with(clock.clone());
    let mut now = 8;
    // What seems to be gone is looked for several times, which takes a while each time.
    for requests in (0..).step_by(3) {
        now += 8;
        clock.move_wall_clock(now * DAY_US);
        let all = packs(&store);
        assert!(store.remove(&all[requests as usize % all.len()]));
        let mut segments = store.names().into_iter().filter(|name| name.as_str().contains("/000"));
        assert!(store.remove(&segments.next_back().expect("there is one")));
        remote.stop_after(requests, if requests % 2 == 0 { Last::Unsent } else { Last::Unanswered });
        let ended = first.sync(&remote).is_ok();
        remote.revive();
        first.sync(&remote).unwrap_or_else(|error| panic!("after {requests} requests: {error}"));
        let wrong = verify(&first.workspace, ORIGIN, &remote).expect("verifies").wrong;
        assert!(wrong.is_empty(), "after {requests} requests: {wrong:?}");
        if ended {
            assert!(requests > 10, "{requests}");
            break;
        }
    }
    assert_read(&first, &remote);
}
