//! Root keys that are replaced, and runs that are purged, reach the remote and the other devices.

use std::collections::BTreeSet;
use std::path::Path;

use runcellar::CollectOptions;
use runcellar::remotes::RemoteClass;
use runcellar_sync::remote::fake::{Fake, Faults as RemoteFaults, Last, Store};
use runcellar_sync::remote::{Folder, ObjectName, Remote};

use crate::content;
use crate::devices::{Device, ORIGIN};
use crate::io::{Call, Fate, Faults, Hooked};

/// Two devices of one workspace, which know each other.
fn pair(remote: &dyn Remote) -> (Device, Device) {
    let first = Device::first();
    first.record("one", 20);
    first.sync(remote).expect("syncs");
    let second = Device::another(&first, remote);
    second.record("two", 20);
    second.sync(remote).expect("syncs");
    first.sync(remote).expect("syncs");
    (first, second)
}

#[track_caller]
fn assert_alike(devices: &[&Device]) {
    let first = devices[0].state();
    devices[1..].iter().for_each(|device| assert_eq!(device.state(), first));
    devices.iter().for_each(|device| device.is_whole());
}

fn epoch(device: &Device) -> u64 {
    device.workspace.key_epoch().expect("is read")
}

#[test]
fn keys_that_are_replaced_on_one_device_are_taken_over_by_the_others() {
    let shared = tempfile::tempdir().expect("a temporary directory");
    let remote = Folder::new(shared.path());
    let (first, second) = pair(&remote);
    let kinds: Vec<_> = first.workspace.slots().expect("lists").iter().map(|slot| slot.kind).collect();
    assert_eq!(kinds, ["key-file", "device"]);
    first.workspace.rotate_keys().expect("rotates");
    // What the second does before it hears of it is published again under the new keys.
    second.record("three", 20);
    let report = first.sync(&remote).expect("syncs");
    assert!(report.deleted > 0 && report.behind == 1, "{report:?}");
    let report = second.sync(&remote).expect("syncs");
    assert!(report.deleted > 0 && report.behind == 0, "{report:?}");
    assert_eq!((epoch(&first), epoch(&second)), (2, 2));
    assert_eq!(first.sync(&remote).expect("syncs").behind, 0);
    assert_alike(&[&first, &second]);
    assert_eq!(first.state().len(), 3);
    // Either may be next, and each has a key of its own.
    let (first, second) = (first.opened_again(), second.opened_again());
    second.workspace.rotate_keys().expect("rotates");
    second.sync(&remote).expect("syncs");
    first.sync(&remote).expect("syncs");
    second.sync(&remote).expect("syncs");
    assert_eq!((epoch(&first), epoch(&second)), (3, 3));
    let third = Device::another(&first, &remote);
    third.sync(&remote).expect("syncs");
    assert_alike(&[&first, &second, &third]);
    // Nothing is left to do.
    for device in [&first, &second, &third, &first] {
        device.sync(&remote).expect("syncs");
    }
    for device in [&first, &second, &third] {
        let report = device.sync(&remote).expect("syncs");
        assert_eq!((report.sent, report.fetched, report.deleted, report.behind), (0, 0, 0, 0));
    }
}

#[test]
fn what_one_device_purges_goes_from_the_remote_and_from_the_others() {
    let store = Store::new();
    let remote = Fake::new(&store, 1);
    let (first, second) = pair(&remote);
    second.record("three", 20);
    let targets = ["one".parse().expect("a run"), "two".parse().expect("a run")];
    first.workspace.purge(&targets, Default::default()).expect("purges");
    assert_eq!(lacks(&first), ["remotes_wiped", "devices_acknowledged"]);
    let before = store.names();
    let report = first.sync(&remote).expect("syncs");
    assert_eq!((report.deleted, report.behind), (1, 1));
    assert_eq!(lacks(&first), ["devices_acknowledged"]);
    let receipt = &first.workspace.receipts().expect("lists")[0];
    let devices = first.workspace.slots().expect("lists").into_iter().filter(|slot| slot.kind == "device");
    let devices: Vec<_> = devices.map(|slot| slot.id).collect();
    let waits = receipt.residual_openers().iter().filter(|opener| opener["kind"] == "device");
    assert_eq!(waits.map(|opener| opener["id"].as_str().expect("a text").to_owned()).collect::<Vec<_>>(), devices);
    second.sync(&remote).expect("syncs");
    first.sync(&remote).expect("syncs");
    assert_alike(&[&first, &second]);
    assert_eq!(first.state().len(), 1);
    for device in [&first, &second] {
        let receipts = device.workspace.receipts().expect("lists");
        assert_eq!(receipts.len(), 1, "each says what went there");
        assert!(receipts[0].is_complete(), "{}", receipts[0].to_json());
        receipts[0].verify().expect("is signed");
        assert_eq!(receipts[0].targets().len(), 2);
        let kinds = receipts[0].residual_openers().iter().map(|opener| opener["kind"].clone());
        assert!(kinds.clone().all(|kind| kind != "device" && kind != "remote_version"), "{}", receipts[0].to_json());
    }
    // Of what the remote had before nothing is there but heads and welcomes, which were written anew.
    let after = store.names();
    let segments = |names: &[ObjectName]| -> Vec<ObjectName> {
        names.iter().filter(|name| name.as_str().contains("/00")).cloned().collect()
    };
    assert!(segments(&before).iter().all(|name| !after.contains(name)), "{before:?} {after:?}");
    assert!(!segments(&after).is_empty());
}

/// Files go, too: packs that nobody tells of any more are deleted, and what shares one with what went stays readable.
#[test]
fn a_purged_version_goes_from_the_remote_with_its_packs_and_everything_else_stays() {
    let store = Store::new();
    let remote = Fake::new(&store, 1);
    let first = Device::first_with(&RemoteClass::ALL);
    content::record(&first, "stays");
    content::record(&first, "goes");
    let goes = content::put(&first, &[7; 300_000], Some("goes"), &["best"]).name;
    first.sync(&remote).expect("syncs");
    let second = Device::another(&first, &remote);
    second.sync(&remote).expect("syncs");
    content::record(&second, "second");
    second.sync(&remote).expect("syncs");
    first.sync(&remote).expect("syncs");
    let packs = || store.names().into_iter().filter(|name| name.as_str().starts_with("packs/")).collect::<Vec<_>>();
    let before = packs();
    let targets = [format!("artifact:{goes}"), "class:media@stays".to_owned(), "goes".to_owned()];
    let targets = targets.map(|target| target.parse().expect("a target"));
    first.workspace.purge(&targets, Default::default()).expect("purges");
    for device in [&first, &second, &first, &second] {
        device.sync(&remote).expect("syncs");
    }
    assert_alike(&[&first, &second]);
    assert_eq!(content::shown(&first), content::shown(&second));
    for device in [&first, &second] {
        assert!(device.workspace.artifacts(None).expect("lists").is_empty());
        let ids: Vec<String> = device.state().iter().map(|run| run.split(' ').nth(1).expect("an id").into()).collect();
        assert_eq!(ids, ["second", "stays"]);
        assert_eq!(device.workspace.code(&device.run("stays")).expect("lists").len(), 1);
        assert!(device.workspace.receipts().expect("lists")[0].is_complete());
    }
    let after = packs();
    assert!(before.iter().any(|pack| !after.contains(pack)), "{before:?} {after:?}");
    assert!(after.iter().any(|pack| before.contains(pack)), "what is still told of was not sent again");
    // Whoever begins now has all that is left.
    let third = Device::another(&first, &remote);
    third.sync(&remote).expect("syncs");
    assert_eq!(content::shown(&third), content::shown(&first));
}

#[test]
fn devices_whose_key_files_lie_side_by_side_leave_each_other_the_key() {
    let remote = Fake::new(&Store::new(), 1);
    let first = Device::first();
    first.record("one", 5);
    first.sync(&remote).expect("syncs");
    let second = Device::beside(&first, &remote);
    second.record("two", 5);
    second.sync(&remote).expect("syncs");
    first.sync(&remote).expect("syncs");
    first.workspace.rotate_keys().expect("rotates");
    let second = second.opened_again();
    first.sync(&remote).expect("syncs");
    let second = {
        second.sync(&remote).expect("syncs");
        second.opened_again()
    };
    let first = first.opened_again();
    first.sync(&remote).expect("syncs");
    assert_alike(&[&first, &second]);
    assert_eq!((epoch(&first), epoch(&second)), (2, 2));
}

/// Both purge and rotate before either hears of the other: both purges hold, and one key is left.
#[test]
fn devices_that_replace_the_keys_at_once_come_to_one_key_and_erase_what_either_purged() {
    for order in [[0, 1, 0, 1, 0, 1], [1, 0, 0, 1, 1, 0], [0, 0, 1, 1, 0, 1]] {
        let remote = Fake::new(&Store::new(), 1);
        let (first, second) = pair(&remote);
        let third = Device::another(&first, &remote);
        third.record("three", 20);
        for device in [&third, &first, &second, &third] {
            device.sync(&remote).expect("syncs");
        }
        first.workspace.purge(&["one".parse().expect("a run")], Default::default()).expect("purges");
        second.workspace.purge(&["two".parse().expect("a run")], Default::default()).expect("purges");
        first.record("of-first", 10);
        second.record("of-second", 10);
        third.record("of-third", 10);
        let devices = [&first, &second, &third];
        let mut waiting = Vec::new();
        for at in order {
            // Whoever is not the one to join them may have to wait until the other has.
            waiting.push(devices[at].sync(&remote).is_err());
            third.sync(&remote).expect("syncs");
        }
        for device in devices.iter().chain(&devices) {
            device.sync(&remote).expect("syncs");
        }
        assert_alike(&devices);
        let ids: Vec<String> =
            first.state().iter().map(|run| run.split(' ').nth(1).expect("an id").to_owned()).collect();
        assert_eq!(ids, ["of-first", "of-second", "of-third", "three"], "{order:?} {waiting:?}");
        assert_eq!((epoch(&first), epoch(&second), epoch(&third)), (3, 3, 3));
        for device in [&first, &second] {
            for receipt in device.workspace.receipts().expect("lists") {
                assert!(receipt.is_complete(), "{}", receipt.to_json());
            }
            let report = device.sync(&remote).expect("syncs");
            assert_eq!((report.sent, report.fetched, report.behind), (0, 0, 0));
        }
    }
}

/// The process that replaced the keys dies at any request, and so does the one that takes them over.
#[test]
fn a_new_generation_goes_on_from_any_request() {
    let store = Store::new();
    let (mine, yours) = (Fake::new(&store, 1), Fake::new(&store, 2));
    let (first, second) = pair(&mine);
    for requests in 0.. {
        let last = if requests % 2 == 0 { Last::Unanswered } else { Last::Unsent };
        first.workspace.rotate_keys().expect("rotates");
        mine.stop_after(requests, last);
        let first_ended = first.sync(&mine).is_ok();
        mine.revive();
        second.record(&format!("second-{requests}"), 3);
        yours.stop_after(requests, last);
        let second_ended = second.sync(&yours).is_ok();
        yours.revive();
        for (device, remote) in [(&first, &mine), (&second, &yours), (&first, &mine)] {
            device.sync(remote).unwrap_or_else(|error| panic!("after {requests} requests: {error}"));
        }
        assert_eq!(epoch(&first), epoch(&second), "after {requests} requests");
        assert_eq!(first.state(), second.state(), "after {requests} requests");
        if first_ended && second_ended {
            assert!(requests > 10, "{requests}");
            break;
        }
    }
    assert_alike(&[&first, &second]);
}

fn changes(call: Call) -> bool {
    matches!(call, Call::Create | Call::Rename | Call::Link | Call::Remove | Call::Append | Call::Sync | Call::SyncDir)
}

/// From some change of a file on every one fails, as if the process had been killed there.
#[test]
fn a_takeover_that_ends_at_any_change_of_a_file_goes_on_when_it_is_opened() {
    let remote = Fake::new(&Store::new(), 1);
    let (first, mut second) = pair(&remote);
    let mut ends = 0;
    for at in (1..).step_by(7) {
        let doomed = format!("goes-{at}");
        first.record(&doomed, 3);
        first.sync(&remote).expect("syncs");
        second.sync(&remote).expect("syncs");
        first.workspace.purge(&[doomed.parse().expect("a run")], Default::default()).expect("purges");
        first.sync(&remote).expect("syncs");
        second.record(&format!("second-{at}"), 3);
        let faults = Faults::new(changes, at, u64::MAX, Fate::Fails(libc::EIO));
        second = second.opened_with(Hooked::shared(faults.clone()));
        faults.arm(true);
        let ended = second.sync(&remote).is_ok();
        faults.arm(false);
        second = second.opened_again();
        second.sync(&remote).unwrap_or_else(|error| panic!("change {at}: {error}"));
        first.sync(&remote).unwrap_or_else(|error| panic!("change {at}: {error}"));
        assert_eq!(first.state(), second.state(), "change {at}");
        assert_eq!(epoch(&first), epoch(&second), "change {at}");
        ends += u64::from(!ended);
        if faults.seen() < at {
            break;
        }
    }
    assert!(ends > 3, "{ends}");
    assert_alike(&[&first, &second]);
}

#[test]
fn a_lock_on_objects_is_told_and_waited_for() {
    let remote = Fake::new(&Store::new(), 1);
    let first = Device::first();
    ["goes", "stays"].into_iter().for_each(|run| first.record(run, 5));
    first.sync(&remote).expect("syncs");
    first.workspace.purge(&["goes".parse().expect("a run")], Default::default()).expect("purges");
    remote.set_faults(RemoteFaults { locked_until_us: Some(4_070_908_800_000_000), ..RemoteFaults::default() });
    for _ in 0..2 {
        let report = first.sync(&remote).expect("syncs");
        assert_eq!((report.deleted, report.locked_until_us), (0, Some(4_070_908_800_000_000)));
        let receipts = first.workspace.receipts().expect("lists");
        let opener = receipts[0].residual_openers().iter().find(|opener| opener["kind"] == "remote_version");
        assert_eq!(opener.expect("is listed")["until"], "2099-01-01T00:00:00.000000Z");
        assert_eq!(lacks(&first), ["remotes_wiped"]);
    }
    remote.set_faults(RemoteFaults::default());
    assert_eq!(first.sync(&remote).expect("syncs").deleted, 1);
    assert_eq!(lacks(&first), [""; 0]);
}

/// Any order of records, tags, purges, rotations and syncs, on three devices and over connections that fail in every way: in
/// the end all have the same, nothing that was purged is there, and everything else is. `RUNCELLAR_SCHEDULES` says how many.
#[test]
fn any_order_of_purges_rotations_and_syncs_comes_to_one_state() {
    let schedules = std::env::var("RUNCELLAR_SCHEDULES").map_or(1, |count| count.parse().expect("a number"));
    for seed in 0..schedules {
        let store = Store::new();
        let remotes: Vec<Fake> = (0..3).map(|at| Fake::new(&store, seed * 10 + at)).collect();
        let (first, second) = pair(&remotes[0]);
        let third = Device::another(&first, &remotes[2]);
        let devices = [&first, &second, &third];
        let settle = |rounds: usize| {
            for _ in 0..rounds {
                for (device, remote) in devices.iter().zip(&remotes) {
                    device.sync(remote).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
                }
            }
        };
        settle(2);
        let faults = RemoteFaults {
            refused: 60,
            lost_answers: 60,
            truncated: 30,
            flipped: 30,
            hidden: 30,
            ..RemoteFaults::default()
        };
        remotes.iter().for_each(|remote| remote.set_faults(faults.clone()));
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut below = |limit: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % limit
        };
        let (mut made, mut purged) = (BTreeSet::from(["one".to_owned(), "two".to_owned()]), BTreeSet::new());
        for step in 0..25 {
            let at = below(3) as usize;
            let device = devices[at];
            match below(8) {
                0 | 1 => {
                    // Of one length: the beginning of an id names a run, too.
                    let id = format!("run-{step:02}");
                    device.record(&id, 3);
                    made.insert(id);
                }
                2 => {
                    let ids: Vec<String> =
                        made.iter().filter(|id| device.workspace.find_run(id).is_ok()).cloned().collect();
                    if let Some(id) = ids.get(below(ids.len().max(1) as u64) as usize) {
                        device.workspace.purge(&[id.parse().expect("a run")], Default::default()).expect("purges");
                        purged.insert(id.clone());
                    }
                }
                3 => drop(device.workspace.rotate_keys().expect("rotates")),
                // Each failure is one that passes.
                _ => drop(device.sync(&remotes[at])),
            }
        }
        remotes.iter().for_each(|remote| remote.set_faults(RemoteFaults::default()));
        // Whoever waits for another to join their keys says so.
        for _ in 0..3 {
            devices.iter().zip(&remotes).for_each(|(device, remote)| drop(device.sync(remote)));
        }
        settle(2);
        assert_alike(&devices);
        let ids: BTreeSet<String> =
            first.state().iter().map(|run| run.split(' ').nth(1).expect("an id").to_owned()).collect();
        assert_eq!(ids, made.difference(&purged).cloned().collect(), "seed {seed}");
        for device in devices {
            for receipt in device.workspace.receipts().expect("lists") {
                assert!(receipt.is_complete(), "seed {seed}: {}", receipt.to_json());
            }
        }
    }
}

/// Runs that were removed long ago go when garbage is collected, on all devices, and under the same key.
#[test]
fn what_is_collected_on_one_device_is_erased_on_the_others() {
    let remote = Fake::new(&Store::new(), 1);
    let (first, second) = pair(&remote);
    let clock = Hooked::new(|_: Call, _: &Path| Fate::Done);
    let first = first.opened_with(clock.clone());
    first.workspace.remove_runs(&[first.run("one")]).expect("removes");
    clock.move_wall_clock(31 * 24 * 3600 * 1_000_000);
    assert_eq!(first.workspace.collect_garbage(CollectOptions::default()).expect("collects").erased, 1);
    for device in [&first, &second, &first, &second] {
        device.sync(&remote).expect("syncs");
    }
    assert!(second.workspace.find_run("one").is_err());
    assert_alike(&[&first, &second]);
    assert_eq!((first.state().len(), epoch(&first), epoch(&second)), (1, 1, 1));
}

/// Of two keys that were drawn at once the device with the smallest id makes one. If that is lost, another does so once it is
/// shut out, whoever does that.
#[test]
fn two_keys_are_joined_by_another_device_if_the_one_that_should_is_lost_and_shut_out() {
    for by in [0, 1] {
        let remote = Fake::new(&Store::new(), 1);
        let (first, second) = pair(&remote);
        let third = Device::another(&first, &remote);
        for device in [&third, &first, &second, &third] {
            device.sync(&remote).expect("syncs");
        }
        let mut devices = [first, second, third];
        devices
            .sort_by_key(|device| device.workspace.exchange(ORIGIN).expect("begins").pack_folder().expect("is read"));
        let [lost, left @ ..] = &devices;
        let slot = lost.workspace.slots().expect("lists").into_iter().find(|slot| slot.in_use).expect("opened it").id;
        lost.workspace.rotate_keys().expect("rotates");
        left[0].workspace.rotate_keys().expect("rotates");
        lost.sync(&remote).expect("publishes, and is not seen again");
        for device in [&left[1], &left[0], &left[1], &left[0], &left[1]] {
            let report = device.sync(&remote).expect("waits");
            device.record(&format!("run-{}", device.state().len()), 1);
            assert!(report.behind > 0 || epoch(device) == 2);
        }
        assert_ne!(left[0].state(), left[1].state(), "they wait for the one that is lost");
        left[by].workspace.remove_slots(&[slot]).expect("removes");
        for round in 0..4 {
            for device in left {
                device.sync(&remote).unwrap_or_else(|error| panic!("{by}, {round}: {error}"));
            }
        }
        assert_eq!(epoch(&left[0]), epoch(&left[1]), "shut out by {by}");
        assert_alike(&[&left[0], &left[1]]);
        for device in left {
            let report = device.sync(&remote).expect("syncs");
            assert_eq!((report.sent, report.fetched), (0, 0));
        }
    }
}

/// A device that joined replaces the keys, once or twice, before anybody met it: that it had the key before lets it in.
#[test]
fn a_key_that_a_device_draws_that_nobody_met_is_followed() {
    for times in [1, 2] {
        let remote = Fake::new(&Store::new(), 1);
        let first = Device::first();
        first.record("one", 5);
        first.record("goes", 5);
        first.sync(&remote).expect("syncs");
        let second = Device::another(&first, &remote);
        second.sync(&remote).expect("syncs");
        second.workspace.purge(&["goes".parse().expect("a run")], Default::default()).expect("purges");
        second.record("two", 5);
        second.sync(&remote).expect("syncs");
        if times == 2 {
            second.workspace.rotate_keys().expect("rotates");
            second.sync(&remote).expect("syncs");
        }
        let report = first.sync(&remote).expect("follows");
        assert_eq!((report.behind, report.strangers, epoch(&first)), (0, 0, 1 + times));
        second.sync(&remote).expect("syncs");
        assert_alike(&[&first, &second]);
        assert_eq!(first.state().len(), 2);
        assert!(second.workspace.receipts().expect("lists")[0].is_complete());
        // They know each other now.
        first.workspace.rotate_keys().expect("rotates");
        first.sync(&remote).expect("syncs");
        second.sync(&remote).expect("syncs");
        assert_eq!(epoch(&second), 2 + times);
    }
}

/// What shows that a device had the key before shows it of one that was shut out, too: whoever shut it out counts.
#[test]
fn a_key_that_a_device_draws_that_was_shut_out_is_not_followed_by_who_did_not_hear_of_it() {
    let remote = Fake::new(&Store::new(), 1);
    let (first, late) = pair(&remote);
    let third = Device::another(&first, &remote);
    third.sync(&remote).expect("syncs");
    first.sync(&remote).expect("meets it");
    let own = third.workspace.slots().expect("lists").into_iter().find(|slot| slot.in_use).expect("opened it");
    first.workspace.remove_slots(std::slice::from_ref(&own.id)).expect("removes");
    first.sync(&remote).expect("syncs");
    // From the key that all had, to one that counts higher.
    (0..3).for_each(|_| drop(third.workspace.rotate_keys().expect("rotates")));
    third.record("planted", 5);
    third.workspace.remove_remote(ORIGIN).expect("is removed");
    let third = third.with_remote();
    third.sync(&remote).expect("publishes");
    for device in [&late, &first, &late] {
        let report = device.sync(&remote).expect("passes it over");
        assert_eq!(report.behind, 0);
        assert_eq!((epoch(device), device.state().len()), (2, 2));
        assert!(device.workspace.slots().expect("lists").iter().all(|slot| slot.id != own.id));
    }
}

/// Both replaced the keys, and one does not know the other: that is said, with how many, until it is cloned anew.
#[test]
fn a_device_that_is_not_known_and_replaced_the_keys_is_told_of() {
    let remote = Fake::new(&Store::new(), 1);
    let first = Device::first();
    first.record("one", 5);
    first.sync(&remote).expect("syncs");
    let second = Device::another(&first, &remote);
    second.sync(&remote).expect("syncs");
    second.workspace.rotate_keys().expect("rotates");
    first.workspace.rotate_keys().expect("rotates");
    first.workspace.rotate_keys().expect("rotates");
    second.sync(&remote).expect("syncs");
    for _ in 0..2 {
        let report = first.sync(&remote).expect("syncs");
        assert_eq!((report.strangers, report.behind), (1, 0));
        assert_eq!(first.workspace.last_exchange(ORIGIN).expect("is read").strangers, 1);
    }
}

/// A device that was shut out knows all that was secret before, also the control key: nobody follows it.
#[test]
fn a_key_that_a_device_draws_that_was_shut_out_is_not_followed() {
    let remote = Fake::new(&Store::new(), 1);
    let (first, second) = pair(&remote);
    let third = Device::another(&first, &remote);
    for device in [&third, &first, &second, &third] {
        device.sync(&remote).expect("syncs");
    }
    let slots = |device: &Device| device.workspace.slots().expect("lists").into_iter().map(|slot| slot.id);
    let own = third.workspace.slots().expect("lists").into_iter().find(|slot| slot.in_use).expect("opened it");
    first.workspace.remove_slots(std::slice::from_ref(&own.id)).expect("removes");
    for device in [&first, &second] {
        device.sync(&remote).expect("syncs");
    }
    assert!(slots(&second).all(|slot| slot != own.id), "it is shut out everywhere");
    // It goes on under keys of its own, which count higher than those of the others.
    (0..3).for_each(|_| drop(third.workspace.rotate_keys().expect("rotates")));
    third.record("planted", 5);
    third.workspace.remove_remote(ORIGIN).expect("is removed");
    let third = third.with_remote();
    let _ = third.sync(&remote);
    for device in [&first, &second] {
        device.sync(&remote).expect("passes it over");
        assert_eq!((epoch(device), device.state().len()), (2, 2));
        assert!(slots(device).all(|slot| slot != own.id));
    }
}

/// One removes a device, and another, which knows nothing of that yet, replaces the keys for it as well.
#[test]
fn a_device_that_is_removed_while_another_replaces_the_keys_stays_out() {
    for first_syncs_first in [true, false] {
        let remote = Fake::new(&Store::new(), 1);
        let (first, second) = pair(&remote);
        let third = Device::another(&first, &remote);
        for device in [&third, &first, &second, &third] {
            device.sync(&remote).expect("syncs");
        }
        let lost = third.workspace.slots().expect("lists").into_iter().find(|slot| slot.in_use).expect("opened it");
        first.workspace.remove_slots(std::slice::from_ref(&lost.id)).expect("removes");
        second.workspace.rotate_keys().expect("rotates");
        let order = if first_syncs_first { [&first, &second] } else { [&second, &first] };
        for device in order.iter().cycle().take(8) {
            let _ = device.sync(&remote);
        }
        assert_alike(&[&first, &second]);
        assert_eq!(epoch(&first), epoch(&second));
        for device in [&first, &second] {
            let slots = device.workspace.slots().expect("lists");
            assert!(slots.iter().all(|slot| slot.id != lost.id), "it is shut out everywhere");
        }
    }
}

/// What a lost device left there tells of keys that were replaced since: whoever begins, begins with those of now.
#[test]
fn a_clone_begins_with_the_keys_of_now_whoever_was_lost() {
    for _ in 0..4 {
        let remote = Fake::new(&Store::new(), 1);
        let (first, second) = pair(&remote);
        let lost = second.workspace.slots().expect("lists").into_iter().find(|slot| slot.in_use).expect("opened it");
        drop(second);
        first.workspace.remove_slots(&[lost.id]).expect("removes");
        first.sync(&remote).expect("syncs");
        let third = Device::another(&first, &remote);
        third.sync(&remote).expect("syncs");
        assert_alike(&[&first, &third]);
    }
}

/// Who tells that media of a run were erased does not say that the run was, although another device publishes that.
#[test]
fn a_run_whose_media_were_erased_goes_on_for_all() {
    let remote = Fake::new(&Store::new(), 1);
    let first = Device::first_with(&RemoteClass::ALL);
    content::record(&first, "one");
    first.sync(&remote).expect("syncs");
    let second = Device::another(&first, &remote);
    for device in [&second, &first] {
        device.sync(&remote).expect("syncs");
    }
    second.workspace.purge(&["class:media@one".parse().expect("a target")], Default::default()).expect("purges");
    for device in [&second, &first, &second] {
        device.sync(&remote).expect("syncs");
    }
    // What the second publishes anew is only what the first does not.
    first.workspace.rotate_keys().expect("rotates");
    for device in [&first, &second, &first] {
        device.sync(&remote).expect("syncs");
    }
    let run = first.workspace.run("p").id("one").resume(runcellar::Resume::Must).start().expect("resumes");
    run.log([("loss", 0.25)]).expect("logs");
    run.finish().expect("finishes");
    for device in [&first, &second] {
        device.sync(&remote).expect("syncs");
    }
    assert_alike(&[&first, &second]);
    let loss = second.workspace.series(&second.run("one"), "loss", None).expect("reads");
    assert_eq!(loss.steps.len(), 2);
}

/// Returns the checks of a device's receipt that are not ok.
fn lacks(device: &Device) -> Vec<String> {
    let receipts = device.workspace.receipts().expect("lists");
    let lacking = receipts[0].checks().iter().filter(|check| check["ok"] != true);
    lacking.map(|check| check["name"].as_str().expect("a text").to_owned()).collect()
}
