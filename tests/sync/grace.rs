//! Packs that nothing needs any more: others are told so first, and they go when nobody can be reading them. Whoever reads one
//! that went meanwhile goes on from what is there now.

use std::sync::Mutex;

use runcellar::CollectOptions;
use runcellar::artifacts::RemoveOptions;
use runcellar::remotes::{RemoteClass, WaitingPacks};
use runcellar_format::object::SealedObject;
use runcellar_sync::Result;
use runcellar_sync::remote::fake::{Fake, Faults, Last, Store};
use runcellar_sync::remote::{Entry, ObjectName, Remote};

use crate::content::{assert_alike, noise, packs, put, record, shown};
use crate::devices::{Device, ORIGIN};
use crate::io::{Call, Fate, Hooked};

const DAY_US: i64 = 24 * 3600 * 1_000_000;

/// A device that published a pack with two versions, of which the larger was removed since.
fn with_waste(remote: &dyn Remote) -> Device {
    let first = Device::first_with(&RemoteClass::ALL);
    waste(&first, remote, 1);
    first
}

/// Publishes a pack, and collects most of it.
fn waste(device: &Device, remote: &dyn Remote, seed: u64) {
    let (large, small) = (noise(seed, 200_000), noise(seed + 1000, 20_000));
    let version = put(device, &[&large[..], &small[..]].concat(), None, &[]);
    put(device, &small, None, &[]);
    device.sync(remote).expect("syncs");
    device.workspace.remove_version(&version, RemoveOptions::default()).expect("is removed");
    let collected = device.workspace.collect_garbage(CollectOptions { now: true }).expect("collects");
    assert!(collected.packs > 0, "{collected:?}");
}

fn waiting(device: &Device) -> WaitingPacks {
    device.workspace.waiting_packs(ORIGIN).expect("is read")
}

/// Syncs; returns how many packs went, and how many wait.
#[track_caller]
fn synced(device: &Device, remote: &dyn Remote) -> (u64, u64) {
    let report = device.sync(remote).expect("syncs");
    assert!(report.merged.left_out.iter().all(|left| !left.damaged), "{report:?}");
    assert_eq!(report.waiting, waiting(device).packs);
    (report.deleted, report.waiting)
}

#[test]
fn what_is_not_needed_any_more_goes_when_all_devices_have_read_on() {
    let store = Store::new();
    let remote = Fake::new(&store, 1);
    let first = Device::first_with(&RemoteClass::ALL);
    record(&first, "one");
    first.sync(&remote).expect("syncs");
    let (second, third) = (Device::another(&first, &remote), Device::another(&first, &remote));
    waste(&first, &remote, 1);
    for (device, id) in [(&second, "two"), (&third, "three")] {
        device.record(id, 1);
        device.sync(&remote).expect("syncs");
    }
    let before = packs(&store);
    assert_eq!(synced(&first, &remote), (0, 1));
    assert!(before.iter().all(|pack| store.bytes(pack).is_some()), "the old one stays beside the new one");
    // One says that it has read on, and then the other.
    second.record("said", 1);
    assert_eq!(synced(&second, &remote), (0, 0));
    assert_eq!(synced(&first, &remote), (0, 1));
    third.record("said too", 1);
    third.sync(&remote).expect("syncs");
    assert_eq!(synced(&first, &remote), (1, 0));
    let gone: Vec<_> = before.iter().filter(|pack| store.bytes(pack).is_none()).collect();
    assert_eq!(gone.len(), 1);
    let ledger = &first.workspace.ledgers(Some(ORIGIN)).expect("reads")[0];
    let line = ledger.objects.iter().find(|object| object.name == gone[0].as_str()).expect("was sent");
    assert!(line.deleted.is_some(), "the ledger has it");
    for device in [&second, &third, &first] {
        device.sync(&remote).expect("syncs");
    }
    assert_alike(&[&first, &second, &third]);
}

/// Whatever the clock says: a day has to pass by it, and two exchanges.
#[test]
fn what_is_not_needed_any_more_goes_after_a_day_by_the_clock_of_its_device() {
    let store = Store::new();
    let remote = Fake::new(&store, 1);
    let clock = Hooked::new(|_: Call, _: &std::path::Path| Fate::Done);
    let first = with_waste(&remote).opened_with(clock.clone());
    assert_eq!(waiting(&first), WaitingPacks::default(), "nobody was told yet");
    assert_eq!(synced(&first, &remote), (0, 1));
    let until = waiting(&first).until.expect("others were told");
    for moved in [DAY_US / 2, -40 * 365 * DAY_US, DAY_US / 2, DAY_US / 4] {
        clock.move_wall_clock(moved);
        assert_eq!(synced(&first, &remote), (0, 1));
    }
    assert!(waiting(&first).until.expect("it waits") < until, "a clock that goes back begins anew");
    clock.move_wall_clock(DAY_US / 4 + 1);
    let before = packs(&store).len();
    assert_eq!(synced(&first, &remote), (1, 0));
    assert_eq!(waiting(&first), WaitingPacks::default());
    assert_eq!(packs(&store).len(), before - 1);
    clock.move_wall_clock(40 * 365 * DAY_US);
    // It jumps by decades, and an exchange comes between nevertheless.
    waste(&first, &remote, 2);
    assert_eq!(synced(&first, &remote), (0, 1));
    clock.move_wall_clock(40 * 365 * DAY_US);
    assert_eq!([synced(&first, &remote), synced(&first, &remote)], [(0, 1), (1, 0)]);
}

#[test]
fn without_grace_it_goes_in_the_exchange_that_says_so() {
    let store = Store::new();
    let remote = Fake::new(&store, 1);
    let first = with_waste(&remote);
    first.workspace.set_setting("sync.grace", Some("0")).expect("is set");
    let before = packs(&store);
    assert_eq!(synced(&first, &remote), (1, 0));
    assert_eq!(before.iter().filter(|pack| store.bytes(pack).is_none()).count(), 1);
}

#[test]
fn a_purge_deletes_at_once_what_waited() {
    let store = Store::new();
    let remote = Fake::new(&store, 1);
    let first = with_waste(&remote);
    record(&first, "goes");
    assert_eq!(synced(&first, &remote), (0, 1));
    first.workspace.purge(&["goes".parse().expect("a run")], Default::default()).expect("purges");
    let (deleted, waits) = synced(&first, &remote);
    assert!(deleted > 1 && waits == 0, "{deleted} {waits}");
    let told = first.workspace.exchange(ORIGIN).expect("begins").told().expect("is read");
    assert_eq!(packs(&store).len(), told.len(), "nothing else is left");
    assert!(first.workspace.receipts().expect("lists")[0].is_complete());
}

#[test]
fn a_lock_keeps_what_is_to_go_until_it_ends() {
    let store = Store::new();
    let remote = Fake::new(&store, 1);
    let first = with_waste(&remote);
    first.workspace.set_setting("sync.grace", Some("0")).expect("is set");
    remote.set_faults(Faults { locked_until_us: Some(4_070_908_800_000_000), ..Faults::default() });
    let report = first.sync(&remote).expect("syncs");
    assert_eq!((report.deleted, report.waiting, report.locked_until_us), (0, 1, Some(4_070_908_800_000_000)));
    remote.set_faults(Faults::default());
    assert_eq!(synced(&first, &remote), (1, 0));
}

/// The one that deletes dies at any request, and so does the one that reads.
#[test]
fn deleting_goes_on_from_any_request() {
    let store = Store::new();
    let remote = Fake::new(&store, 1);
    let first = Device::first_with(&RemoteClass::ALL);
    first.workspace.set_setting("sync.grace", Some("0")).expect("is set");
    record(&first, "one");
    first.sync(&remote).expect("syncs");
    let second = Device::another(&first, &remote);
    for requests in 0.. {
        let last = if requests % 2 == 0 { Last::Unanswered } else { Last::Unsent };
        waste(&first, &remote, requests);
        let mut ended = true;
        for device in [&first, &second] {
            remote.stop_after(requests, last);
            ended &= device.sync(&remote).is_ok();
            remote.revive();
            synced(device, &remote);
        }
        let told = first.workspace.exchange(ORIGIN).expect("begins").told().expect("is read");
        let made =
            packs(&store).len() - second.workspace.exchange(ORIGIN).expect("begins").told().expect("reads").len();
        assert_eq!(made, told.len(), "after {requests} requests nothing else is left");
        if ended {
            assert!(requests >= 6, "{requests}");
            break;
        }
    }
    first.sync(&remote).expect("syncs");
    assert_alike(&[&first, &second]);
}

/// A remote on which something happens before a request for an object whose name fits is answered, once.
struct Meanwhile<'a> {
    remote: &'a Fake,
    when: fn(&str) -> bool,
    what: Mutex<Option<Box<dyn FnOnce() + Send + 'a>>>,
}

impl<'a> Meanwhile<'a> {
    fn new(remote: &'a Fake, when: fn(&str) -> bool, what: impl FnOnce() + Send + 'a) -> Meanwhile<'a> {
        Meanwhile { remote, when, what: Mutex::new(Some(Box::new(what))) }
    }

    fn has_happened(&self) -> bool {
        self.what.lock().expect("nobody failed").is_none()
    }
}

impl Remote for Meanwhile<'_> {
    fn put_new(&self, name: &ObjectName, object: &SealedObject) -> Result<bool> {
        self.remote.put_new(name, object)
    }

    fn put(&self, name: &ObjectName, object: &SealedObject) -> Result<()> {
        self.remote.put(name, object)
    }

    fn get(&self, name: &ObjectName, range: Option<std::ops::Range<u64>>) -> Result<Option<Vec<u8>>> {
        if (self.when)(name.as_str())
            && let Some(what) = self.what.lock().expect("nobody failed").take()
        {
            what();
        }
        self.remote.get(name, range)
    }

    fn list(&self, below: Option<&ObjectName>, each: &mut dyn FnMut(Entry) -> std::ops::ControlFlow<()>) -> Result<()> {
        self.remote.list(below, each)
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        self.remote.delete(name)
    }

    fn delete_older(&self, name: &ObjectName) -> Result<()> {
        self.remote.delete_older(name)
    }

    fn head(&self, name: &ObjectName) -> Result<Option<u64>> {
        self.remote.head(name)
    }
}

#[test]
fn who_reads_a_pack_that_goes_meanwhile_goes_on_from_what_is_there_now() {
    let store = Store::new();
    let remote = Fake::new(&store, 1);
    let first = Device::first_with(&RemoteClass::ALL);
    first.workspace.set_setting("sync.grace", Some("0")).expect("is set");
    let (large, small) = (noise(1, 500_000), noise(2, 100_000));
    let version = put(&first, &[&large[..], &small[..]].concat(), None, &[]);
    put(&first, &small, None, &["best"]);
    record(&first, "one");
    first.sync(&remote).expect("syncs");
    let second = Device::another(&first, &remote);
    let way = Fake::new(&store, 2);
    let reading = Meanwhile::new(
        &way,
        |name| name.starts_with("packs/"),
        || {
            first.workspace.remove_version(&version, RemoveOptions::default()).expect("is removed");
            first.workspace.collect_garbage(CollectOptions { now: true }).expect("collects");
            assert_eq!(synced(&first, &remote), (1, 0));
        },
    );
    assert_eq!(synced(&second, &reading), (0, 0));
    assert!(reading.has_happened());
    assert_alike(&[&first, &second]);
    assert_eq!(shown(&second).len(), 3);
}

#[test]
fn who_reads_segments_that_go_meanwhile_goes_on_from_what_is_there_now() {
    let store = Store::new();
    let remote = Fake::new(&store, 1);
    let first = Device::first();
    first.record("one", 5);
    first.sync(&remote).expect("syncs");
    let second = Device::another(&first, &remote);
    for device in [&second, &first, &second] {
        device.record(&format!("run {}", device.state().len()), 1);
        device.sync(&remote).expect("syncs");
    }
    let rotates = || {
        first.workspace.rotate_keys().expect("rotates");
        assert!(synced(&first, &remote).0 > 0);
    };
    // Once while rows are read, and once while a root key is taken over.
    for is_replaced in [false, true] {
        first.record(if is_replaced { "last" } else { "more" }, 3);
        if is_replaced {
            first.workspace.rotate_keys().expect("rotates");
        }
        first.sync(&remote).expect("syncs");
        let way = Fake::new(&store, 2);
        let reading = Meanwhile::new(&way, |name| name.contains("/00000"), rotates);
        second.sync(&reading).expect("goes on");
        assert!(reading.has_happened());
        assert_eq!(second.workspace.key_epoch().expect("reads"), first.workspace.key_epoch().expect("reads"));
        assert_eq!(second.state(), first.state());
        first.sync(&remote).expect("syncs");
    }
    [&first, &second].iter().for_each(|device| device.is_whole());
}
