//! What only a run has that stays at home goes nowhere, also if it came to lie in one pack with what other runs have.

use std::path::Path;
use std::sync::Arc;

use runcellar::remotes::RemoteClass;
use runcellar::{CollectOptions, NewMedia, SeriesValues, json};
use runcellar_sync::remote::fake::{Fake, Store};

use crate::content::{noise, packs};
use crate::devices::Device;
use crate::io::{Call, Fate, Hooked};

const DAY_US: i64 = 24 * 3600 * 1_000_000;

/// Records a run with these pictures.
fn record(device: &Device, id: &str, pictures: &[&[u8]]) {
    let run = device.workspace.run("p").id(id).start().expect("starts");
    for content in pictures {
        let picture = NewMedia {
            kind: "image".into(),
            format: "png".into(),
            metadata: json!({}),
            content: Arc::new(content.to_vec()),
            companions: Vec::new(),
            parts: Vec::new(),
        };
        run.log_media(None, None, vec![("sample".into(), picture)], |_| {}).expect("logs");
    }
    run.finish().expect("finishes");
}

/// The pictures of a run, as they are read.
fn pictures(device: &Device, id: &str) -> Vec<Vec<u8>> {
    let run = device.run(id);
    let media = device.workspace.media(&run).expect("lists");
    let SeriesValues::Media(ids) = device.workspace.series(&run, "sample", None).expect("reads").values else {
        panic!("sample is of media")
    };
    ids.into_iter().map(|id| media.read(id).expect("reads")).collect()
}

fn published(store: &Store) -> usize {
    packs(store).iter().map(|pack| store.bytes(pack).expect("is there").len()).sum()
}

#[test]
fn what_a_run_has_alone_that_stays_at_home_is_set_apart_before_anything_is_sent() {
    let store = Store::new();
    let (first, remote) = (Device::first_with(&RemoteClass::ALL), Fake::new(&store, 1));
    let (shared, secret) = (noise(1, 20_000), noise(2, 300_000));
    // Both in one pack, and the shared picture is stored once.
    record(&first, "secret", &[&secret, &shared]);
    record(&first, "open", &[&shared]);
    first.tag("secret", "local_only");
    let report = first.sync(&remote).expect("syncs");
    assert_eq!((report.sent_runs, report.sent_packs, report.not_sent.len()), (1, 1, 0), "{report:?}");
    assert!(published(&store) < 40_000, "{}", published(&store));
    let second = Device::another(&first, &remote);
    second.sync(&remote).expect("syncs");
    assert_eq!(pictures(&second, "open"), std::slice::from_ref(&shared));
    assert!(second.workspace.find_run("secret").is_err());
    assert_eq!(pictures(&first, "secret"), [secret, shared]);
    for device in [&first, &second] {
        device.is_whole();
        assert_eq!(device.sync(&remote).expect("syncs").sent, 0);
    }
}

#[test]
fn a_collection_does_not_write_what_stays_at_home_into_one_pack_with_the_rest() {
    let store = Store::new();
    let clock = Hooked::new(|_: Call, _: &Path| Fate::Done);
    let first = Device::first_with(&RemoteClass::ALL).opened_with(clock.clone());
    let remote = Fake::new(&store, 1);
    let pieces: Vec<Vec<u8>> = (0..4).map(|seed| noise(seed, if seed % 2 == 0 { 200_000 } else { 20_000 })).collect();
    record(&first, "old-secret", &[&pieces[0], &pieces[1]]);
    record(&first, "old-open", &[&pieces[2], &pieces[3]]);
    record(&first, "secret", &[&pieces[1]]);
    record(&first, "open", &[&pieces[3]]);
    first.tag("secret", "local_only");
    first.workspace.remove_runs(&[first.run("old-secret"), first.run("old-open")]).expect("removes");
    clock.move_wall_clock(31 * DAY_US);
    let collected = first.workspace.collect_garbage(CollectOptions::default()).expect("collects");
    assert_eq!((collected.erased, collected.packs), (2, 2), "{collected:?}");
    let report = first.sync(&remote).expect("syncs");
    assert_eq!((report.sent_packs, report.not_sent.len()), (1, 0), "{report:?}");
    assert!(published(&store) < 30_000, "{}", published(&store));
    let second = Device::another(&first, &remote);
    second.sync(&remote).expect("syncs");
    assert_eq!(pictures(&second, "open"), pieces[3..]);
    assert_eq!(pictures(&first, "secret"), pieces[1..2]);
    first.is_whole();
}
