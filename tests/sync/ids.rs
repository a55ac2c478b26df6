//! Runs that were given one id on several devices: all devices come to call them alike, whoever hears of whom first.

use runcellar_sync::remote::fake::{Fake, Store};

use crate::devices::Device;

/// Devices that know each other.
fn devices(remote: &Fake, count: usize) -> Vec<Device> {
    let mut all = vec![Device::first()];
    all[0].record("begin", 1);
    all[0].sync(remote).expect("syncs");
    while all.len() < count {
        all.push(Device::another(&all[0], remote));
        all.last().expect("is there").sync(remote).expect("syncs");
    }
    all
}

#[track_caller]
fn settle(devices: &[Device], remote: &Fake) {
    for _ in 0..3 {
        devices.iter().for_each(|device| drop(device.sync(remote).expect("syncs")));
    }
    for device in devices {
        let report = device.sync(remote).expect("syncs");
        assert_eq!((report.sent, report.fetched), (0, 0), "nothing is left to do");
        assert_eq!(device.state(), devices[0].state());
        device.is_whole();
    }
}

/// Returns ids of runs with their rows.
fn runs(device: &Device) -> Vec<(String, usize)> {
    let rows = |id: &str| device.workspace.series(&device.run(id), "loss", None).expect("reads").steps.len();
    let ids = device.state().iter().map(|run| run.split(' ').nth(1).expect("an id").to_owned()).collect::<Vec<_>>();
    ids.into_iter().map(|id| (id.clone(), rows(&id))).collect()
}

#[test]
fn runs_of_one_id_on_several_devices_are_called_alike_on_all() {
    for order in [[2, 1, 0], [1, 2, 0]] {
        let remote = Fake::new(&Store::new(), 1);
        let devices = devices(&remote, 3);
        for (at, device) in devices.iter().enumerate() {
            device.record("same", 2 + at as i64);
        }
        let mut renamed = 0;
        for at in order {
            renamed += devices[at].sync(&remote).expect("syncs").merged.renamed.len();
        }
        assert!(renamed > 0, "it is told");
        settle(&devices, &remote);
        let found = runs(&devices[0]);
        assert_eq!(found.len(), 4, "{found:?}");
        // The first that was begun keeps the id; others have digits of their own behind it.
        assert_eq!(found[1], ("same".to_owned(), 2), "{order:?} {found:?}");
        for (id, rows) in &found[2..] {
            let digits = id.strip_prefix("same.").expect("the id that was given stays before it");
            assert!(digits.len() == 6 && (3..=4).contains(rows), "{id} {rows}");
        }
        let fresh = Device::another(&devices[0], &remote);
        fresh.sync(&remote).expect("syncs");
        assert_eq!(fresh.state(), devices[0].state());
    }
}

/// What goes on under an id, is purged, or has the id that another would get, changes nothing for the others.
#[test]
fn ids_stay_alike_when_runs_go_on_are_purged_or_have_the_id_that_another_gets() {
    let remote = Fake::new(&Store::new(), 1);
    let devices = devices(&remote, 3);
    for device in &devices[..2] {
        device.record("same", 2);
    }
    devices[0].sync(&remote).expect("syncs");
    devices[1].sync(&remote).expect("syncs");
    let other = runs(&devices[1]).into_iter().map(|(id, _)| id).find(|id| id.starts_with("same.")).expect("is there");
    // The third has not heard of either: it gives the id that one of them got, and the one that both had.
    devices[2].record(&other, 5);
    devices[2].record("same", 6);
    devices[1].tag(&other, "seen");
    settle(&devices, &remote);
    let found = runs(&devices[2]);
    assert_eq!(found.len(), 5, "{found:?}");
    assert_eq!(found.iter().filter(|(id, _)| id.starts_with("same")).count(), 4);
    // The one that keeps the id goes: nobody else gets it.
    devices[2].workspace.purge(&["same".parse().expect("a run")], Default::default()).expect("purges");
    settle(&devices, &remote);
    let found: Vec<String> = runs(&devices[0]).into_iter().map(|(id, _)| id).collect();
    assert!(found.len() == 4 && !found.contains(&"same".to_owned()), "{found:?}");
    let run = devices[0].workspace.run("p").id("same").start().expect("the id is free");
    run.finish().expect("finishes");
    settle(&devices, &remote);
}

/// A run is renamed while it is recorded: what is logged afterwards belongs to it.
#[test]
fn a_run_that_is_renamed_while_it_is_recorded_goes_on() {
    let remote = Fake::new(&Store::new(), 1);
    let devices = devices(&remote, 2);
    devices[0].record("same", 2);
    let run = devices[1].workspace.run("p").id("same").start().expect("starts");
    run.log([("loss", 1.0)]).expect("logs");
    devices[0].sync(&remote).expect("syncs");
    devices[1].sync(&remote).expect("syncs");
    run.log([("loss", 0.5)]).expect("logs");
    run.log([("loss", 0.25)]).expect("logs");
    run.finish().expect("finishes");
    settle(&devices, &remote);
    let found = runs(&devices[0]);
    assert_eq!((found.len(), found[1].1, found[2].1), (3, 2, 3), "{found:?}");
}
