//! Root keys that are replaced, and runs that are purged, reach the remote and the other devices.

use runcellar_sync::remote::fake::{Fake, Store};
use runcellar_sync::remote::{Folder, ObjectName, Remote};

use crate::devices::Device;

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

/// Returns the checks of a device's receipt that are not ok.
fn lacks(device: &Device) -> Vec<String> {
    let receipts = device.workspace.receipts().expect("lists");
    let lacking = receipts[0].checks().iter().filter(|check| check["ok"] != true);
    lacking.map(|check| check["name"].as_str().expect("a text").to_owned()).collect()
}
