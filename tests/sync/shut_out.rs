//! Devices that were shut out: what they published goes from the remote, and nothing is lost with it.

use runcellar::remotes::RemoteClass;
use runcellar_sync::engine;
use runcellar_sync::remote::fake::{Fake, Last, Store};

use crate::content;
use crate::devices::{Device, ORIGIN};
use crate::evict::with_source;

/// A device that is lost, one that shuts it out, and one that is away meanwhile.
fn three(store: &Store) -> (Fake, [Device; 3]) {
    let remote = Fake::new(store, 1);
    let lost = Device::first_with(&RemoteClass::ALL);
    content::record(&lost, "of the lost");
    content::put(&lost, &[7; 300_000], Some("of the lost"), &["best"]);
    lost.sync(&remote).expect("syncs");
    let (first, away) = (Device::another(&lost, &remote), Device::another(&lost, &remote));
    content::record(&first, "of the first");
    for device in [&first, &away, &lost, &first] {
        device.sync(&remote).expect("syncs");
    }
    (remote, [lost, first, away])
}

fn shut_out(device: &Device, lost: &Device) {
    let own = lost.workspace.slots().expect("lists").into_iter().find(|slot| slot.in_use).expect("opened it");
    device.workspace.remove_slots(&[own.id]).expect("removes");
}

/// Where a device publishes, and below what name its packs lie.
fn places(device: &Device) -> [String; 2] {
    let exchange = device.workspace.exchange(ORIGIN).expect("begins");
    [exchange.prefix(), exchange.pack_folder().expect("reads")]
}

/// What the remote has of a device.
fn objects_of(store: &Store, places: &[String; 2]) -> Vec<String> {
    let names = store.names().into_iter().map(|name| name.as_str().to_owned());
    names.filter(|name| places.iter().any(|place| name.contains(place.as_str()))).collect()
}

#[test]
fn what_a_device_published_goes_once_it_is_shut_out_and_others_have_it() {
    let store = Store::new();
    let (remote, [lost, first, away]) = three(&store);
    let of_lost = places(&lost);
    shut_out(&first, &lost);
    let report = first.sync(&remote).expect("syncs");
    assert_eq!(report.behind, 1, "the one that is away has not heard of it");
    assert_eq!(objects_of(&store, &of_lost), [format!("{}/head", of_lost[0])]);
    // Who was away meanwhile, and who begins now, has all of it.
    away.sync(&remote).expect("syncs");
    first.sync(&remote).expect("syncs");
    let new = Device::another(&first, &remote);
    new.sync(&remote).expect("syncs");
    for device in [&away, &new] {
        assert_eq!(content::shown(device), content::shown(&first));
    }
    assert_eq!(first.state().len(), 2);
    // Nothing is left to do, and nobody is waited for.
    for device in [&away, &new, &first, &away, &new] {
        device.sync(&remote).expect("syncs");
    }
    for device in [&first, &away, &new] {
        let report = device.sync(&remote).expect("syncs");
        assert_eq!((report.sent, report.deleted, report.behind), (0, 0, 0), "{report:?}");
    }
    // The one that was lost is told so, sends nothing, and keeps what it had.
    let before = store.names();
    let told = lost.sync(&remote).expect_err("it is shut out").to_string();
    assert!(told.contains("not for this device"), "{told}");
    assert_eq!((store.names(), lost.state().len()), (before, 2));
}

#[test]
fn a_purge_is_not_complete_while_a_device_that_was_shut_out_has_something_there() {
    let store = Store::new();
    let (remote, [lost, first, away]) = three(&store);
    shut_out(&first, &lost);
    let target = "of the lost".parse().expect("a target");
    first.workspace.purge(&[target], Default::default()).expect("purges");
    // All of its own is published anew, and what the other one had is there still.
    remote.stop_after(12, Last::Unanswered);
    first.sync(&remote).expect_err("is cut off");
    remote.revive();
    let is_complete = || first.workspace.receipts().expect("lists")[0].is_complete();
    assert!(!is_complete());
    for device in [&first, &away, &first] {
        device.sync(&remote).expect("syncs");
    }
    assert!(is_complete());
    assert_eq!(objects_of(&store, &places(&lost)).len(), 1);
}

#[test]
fn what_nobody_took_in_before_goes_as_well_and_stays_on_the_device() {
    let store = Store::new();
    let (remote, [lost, first, _]) = three(&store);
    lost.record("later", 5);
    lost.sync(&remote).expect("syncs");
    shut_out(&first, &lost);
    first.sync(&remote).expect("syncs");
    assert_eq!(objects_of(&store, &places(&lost)).len(), 1);
    // Nothing is deleted twice.
    assert_eq!(first.sync(&remote).expect("syncs").deleted, 0);
    assert_eq!((first.state().len(), lost.state().len()), (2, 3));
}

#[test]
fn what_a_device_published_goes_also_if_it_had_nothing_there_when_it_was_met() {
    let store = Store::new();
    let remote = Fake::new(&store, 1);
    let first = Device::first();
    first.sync(&remote).expect("syncs");
    let lost = Device::another(&first, &remote);
    for device in [&lost, &first] {
        device.sync(&remote).expect("syncs");
    }
    lost.record("later", 5);
    lost.sync(&remote).expect("syncs");
    shut_out(&first, &lost);
    first.sync(&remote).expect("syncs");
    assert_eq!(objects_of(&store, &places(&lost)).len(), 1);
    assert_eq!(first.sync(&remote).expect("syncs").deleted, 0);
}

/// Three devices that know each other, in the order of their ids.
fn known_to_each_other(remote: &Fake) -> Vec<Device> {
    let first = Device::first();
    first.record("one", 3);
    first.sync(remote).expect("syncs");
    let mut devices = vec![Device::another(&first, remote), Device::another(&first, remote), first];
    for device in devices.iter().chain(&devices) {
        device.sync(remote).expect("syncs");
    }
    devices.sort_by_key(|device| places(device)[1].clone());
    devices
}

/// Syncs until all have the same, and nothing is left to do.
#[track_caller]
fn come_to_one(devices: &[&Device], remote: &Fake) {
    for _ in 0..5 {
        for device in devices {
            device.sync(remote).expect("goes on");
        }
    }
    for device in devices {
        let report = device.sync(remote).expect("syncs");
        assert_eq!((report.sent, report.fetched, report.deleted, report.behind), (0, 0, 0, 0), "{report:?}");
        assert_eq!(device.state(), devices[0].state());
    }
}

/// It took over the keys of a device, and published nothing under them: those who shut that one out know its own key of before,
/// and delete, until some request.
#[test]
fn who_has_the_keys_of_a_device_that_was_shut_out_goes_on_without_what_went() {
    let shut_out_there = |last| {
        let remote = Fake::new(&Store::new(), 1);
        let mut devices = known_to_each_other(&remote);
        let away = devices.pop().expect("three");
        let [lost, first] = &devices[..] else { panic!("two are left") };
        lost.workspace.rotate_keys().expect("rotates");
        lost.sync(&remote).expect("syncs");
        engine::pull(&away.workspace, ORIGIN, &remote).expect("takes the keys over");
        let away = away.opened_again();
        lost.record("late", 2);
        lost.sync(&remote).expect("syncs");
        first.sync(&remote).expect("syncs");
        shut_out(first, lost);
        let before = remote.requests().all();
        remote.stop_after(last, Last::Unanswered);
        let _ = first.sync(&remote);
        let requests = remote.requests().all() - before;
        remote.revive();
        away.record("of-away", 2);
        away.sync(&remote).unwrap_or_else(|error| panic!("publishes what it has, {last}: {error}"));
        come_to_one(&[first, &away], &remote);
        assert_eq!(away.state().len(), 3);
        requests
    };
    let all = shut_out_there(u64::MAX);
    for last in all - 10..all {
        shut_out_there(last);
    }
}

/// All three replaced the keys before they heard of each other, and one of them shut another out with that.
#[test]
fn who_replaced_the_keys_as_a_device_was_shut_out_joins_those_who_did_that() {
    for [lost, first, away] in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let remote = Fake::new(&Store::new(), 1);
        let devices = known_to_each_other(&remote);
        let [lost, first, away] = [lost, first, away].map(|at| &devices[at]);
        lost.workspace.rotate_keys().expect("rotates");
        lost.sync(&remote).expect("syncs");
        shut_out(first, lost);
        first.sync(&remote).expect("syncs");
        away.workspace.rotate_keys().expect("rotates");
        away.record("of-away", 2);
        come_to_one(&[away, first], &remote);
        assert_eq!(first.state().len(), 2);
    }
}

/// One leaves content there, and had the keys that the lost one drew; another shuts that one out, and replaced them, too.
#[test]
fn who_leaves_content_does_not_wait_for_a_device_that_was_shut_out() {
    for [lost, first, lazy] in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let remote = Fake::new(&Store::new(), 1);
        let devices = known_to_each_other(&remote);
        let [lost, first, lazy] = [lost, first, lazy].map(|at| &devices[at]);
        lazy.workspace.set_setting("sync.content", Some("remote")).expect("is set");
        lazy.sync(&remote).expect("says so");
        lost.workspace.rotate_keys().expect("rotates");
        lost.sync(&remote).expect("syncs");
        first.workspace.rotate_keys().expect("rotates");
        first.record("of-first", 2);
        lazy.sync(&remote).expect("takes the keys of the lost one over");
        lazy.record("of-lazy", 2);
        shut_out(first, lost);
        come_to_one(&[first, lazy], &remote);
        assert_eq!(first.state().len(), 3);
    }
}

/// Its keys are apart from those of all others, and of an older one of these nothing is there any more.
#[test]
fn who_replaced_the_keys_before_a_device_was_shut_out_joins_those_who_did_that() {
    for [lost, first, away] in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let remote = Fake::new(&Store::new(), 1);
        let devices = known_to_each_other(&remote);
        let [lost, first, away] = [lost, first, away].map(|at| &devices[at]);
        for _ in 0..2 {
            lost.workspace.rotate_keys().expect("rotates");
            lost.sync(&remote).expect("syncs");
        }
        first.sync(&remote).expect("syncs");
        shut_out(first, lost);
        first.sync(&remote).expect("syncs");
        away.workspace.rotate_keys().expect("rotates");
        away.record("of-away", 2);
        come_to_one(&[away, first], &remote);
        assert_eq!(first.state().len(), 2);
    }
}

#[test]
fn what_goes_of_a_device_that_was_shut_out_goes_on_from_any_request() {
    let shut_out_there = |last| {
        let store = Store::new();
        let (remote, [lost, first, away]) = three(&store);
        shut_out(&first, &lost);
        let before = remote.requests().all();
        remote.stop_after(last, Last::Unanswered);
        let _ = first.sync(&remote);
        let requests = remote.requests().all() - before;
        remote.revive();
        // In whatever state that left it, another device comes to the same.
        for device in [&away, &first, &away] {
            device.sync(&remote).expect("syncs");
        }
        assert_eq!(content::shown(&away), content::shown(&first));
        assert_eq!(objects_of(&store, &places(&lost)).len(), 1);
        requests
    };
    let all = shut_out_there(u64::MAX);
    // What comes before is the publication under new keys.
    for last in all - 12..all {
        shut_out_there(last);
    }
}

#[test]
fn content_that_a_device_left_there_is_found_where_others_publish_it_and_kept_where_nobody_does() {
    let store = Store::new();
    let remote = Fake::new(&store, 1);
    let lost = Device::first_with(&RemoteClass::ALL);
    content::record(&lost, "of the lost");
    content::put(&lost, &[7; 300_000], Some("of the lost"), &["best"]);
    lost.sync(&remote).expect("syncs");
    let (first, lazy) = (Device::another(&lost, &remote), Device::another(&lost, &remote));
    lazy.workspace.set_setting("sync.content", Some("remote")).expect("is set");
    for device in [&first, &lazy, &lost, &first, &lazy] {
        device.sync(&remote).expect("syncs");
    }
    let of_lost = places(&lost);
    let packs =
        |store: &Store| objects_of(store, &of_lost).into_iter().filter(|name| name.starts_with("packs")).count();
    let before = packs(&store);
    assert!(before > 0);
    // One that does not have the content leaves it where it lies.
    shut_out(&lazy, &lost);
    lazy.sync(&remote).expect("syncs");
    assert_eq!(packs(&store), before);
    // One that has it publishes it; the other finds it there, and nobody needs the rest then.
    first.sync(&remote).expect("syncs");
    assert_eq!(packs(&store), before, "it still says that it reads there");
    lazy.sync(&remote).expect("syncs");
    assert_eq!((packs(&store), objects_of(&store, &of_lost).len()), (0, 1));
    with_source(&lazy, &store);
    assert_eq!(content::shown(&lazy), content::shown(&first));
}
