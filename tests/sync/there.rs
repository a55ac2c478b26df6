//! Devices that leave the content of others on the remote: they show all of it, fetch what is read, and never publish or delete
//! what they do not have.

use runcellar::artifacts::{ArtifactDraft, PutSettings, RemoveOptions};
use runcellar::remotes::RemoteClass;
use runcellar::{CollectOptions, ErrorKind};
use runcellar_sync::engine;
use runcellar_sync::remote::fake::{Fake, Store};

use crate::content::{noise, put, record, shown};
use crate::devices::{Device, ORIGIN};
use crate::evict::{assert_sound, files, packs_on, with_source};

fn put_files(device: &Device, files: &[(&str, Vec<u8>)]) {
    let mut draft = ArtifactDraft::new("data", "data").expect("a name");
    for (name, content) in files {
        draft.add_bytes(name, content.clone()).expect("adds");
    }
    let settings = PutSettings { project: "p".into(), ..PutSettings::default() };
    device.workspace.put_artifact(&draft, &settings).expect("is put");
}

/// A device with content, and one that leaves it on the remote.
fn pair() -> (Store, Fake, Device, Device) {
    let store = Store::new();
    let (first, remote) = (Device::first_with(&RemoteClass::ALL), Fake::new(&store, 1));
    record(&first, "one");
    put(&first, &noise(1, 90_000), Some("one"), &["first"]);
    first.sync(&remote).expect("syncs");
    let second = Device::another(&first, &remote);
    second.workspace.set_setting("sync.content", Some("remote")).expect("is set");
    (store, remote, first, second)
}

#[test]
fn a_device_without_content_shows_all_and_fetches_what_is_read() {
    let (store, remote, first, second) = pair();
    let report = second.sync(&remote).expect("syncs");
    assert_eq!((report.fetched_packs, report.merged.new_versions), (0, 1), "{report:?}");
    assert!(report.merged.new_files > 1 && report.merged.left_out.is_empty(), "{report:?}");
    assert_eq!((report.sent_packs, report.sent_versions), (0, 0), "what is not here is not published");
    assert_eq!(first.state(), second.state());
    assert!(files(&second).is_empty());
    assert_sound(&second, true);
    let version = second.workspace.artifact("p/model:first").expect("is listed");
    let error = version.download(&second.root().join("to"), &Default::default()).expect_err("is not here");
    assert!(error.kind() == ErrorKind::Evicted && error.to_string().contains("lies on origin alone"), "{error}");
    with_source(&second, &store);
    assert_eq!(shown(&second), shown(&first));
    assert_sound(&second, false);
    assert!(second.sync(&remote).expect("syncs").not_sent.is_empty());
    // What was read may go again: the other device's packs are what the remote proves.
    let plan = second.workspace.plan_eviction(&["project:p".parse().expect("a target")], ORIGIN).expect("plans");
    assert_eq!(plan.packs.len(), files(&second).len());
    let evicted = engine::evict(&second.workspace, ORIGIN, &remote, &plan).expect("evicts");
    assert!(evicted.wrong.is_empty() && files(&second).is_empty(), "{evicted:?}");
    assert_eq!(shown(&second), shown(&first));
}

#[test]
fn it_records_and_publishes_what_is_its_own_and_nothing_else() {
    let (store, remote, first, second) = pair();
    second.sync(&remote).expect("syncs");
    let theirs = packs_on(&store);
    record(&second, "two");
    // It shares most with what is not here.
    put(&second, &[noise(1, 90_000), noise(2, 50_000)].concat(), Some("two"), &["second"]);
    let report = second.sync(&remote).expect("syncs");
    assert!(report.not_sent.is_empty() && report.sent_versions == 1, "{report:?}");
    assert!(theirs.iter().all(|name| store.bytes(name).is_some()));
    first.sync(&remote).expect("syncs");
    assert_eq!(first.state(), second.state());
    assert_sound(&first, false);
    second.workspace.collect_garbage(CollectOptions { now: true }).expect("collects");
    second.workspace.rotate_keys().expect("rotates");
    let report = second.sync(&remote).expect("syncs");
    assert!(report.not_sent.is_empty(), "{report:?}");
    let report = first.sync(&remote).expect("syncs");
    assert!(report.not_sent.is_empty(), "{report:?}");
    second.sync(&remote).expect("syncs");
    assert!(theirs.iter().all(|name| store.bytes(name).is_some()));
    with_source(&second, &store);
    assert_eq!(shown(&second), shown(&first));
    assert!(engine::verify(&second.workspace, ORIGIN, &remote).expect("reads").wrong.is_empty());
    for device in [&first, &second] {
        assert_sound(device, false);
    }
}

#[test]
fn packs_that_their_device_wrote_anew_are_followed() {
    let (store, remote, first, second) = pair();
    first.workspace.set_setting("sync.grace", Some("0")).expect("is set");
    let (small, large) = (noise(3, 40_000), noise(4, 400_000));
    put_files(&first, &[("large", large), ("small", small.clone())]);
    first.sync(&remote).expect("syncs");
    put_files(&first, &[("small", small.clone())]);
    first.sync(&remote).expect("syncs");
    second.sync(&remote).expect("syncs");
    let before = packs_on(&store);
    let version = first.workspace.artifact("p/data:v0").expect("is there");
    first.workspace.remove_version(&version, RemoveOptions::default()).expect("removes");
    let collected = first.workspace.collect_garbage(CollectOptions { now: true }).expect("collects");
    assert!(collected.packs > 0, "{collected:?}");
    first.sync(&remote).expect("syncs");
    assert!(before.iter().any(|name| store.bytes(name).is_none()), "one was written anew");
    let report = second.sync(&remote).expect("syncs");
    assert!(report.merged.left_out.iter().all(|left| !left.damaged) && report.fetched_packs == 0, "{report:?}");
    assert_sound(&second, true);
    with_source(&second, &store);
    let to = second.root().join("to");
    let version = second.workspace.artifact("p/data:v1").expect("is there");
    assert!(version.download(&to, &Default::default()).expect("downloads").hurt.is_empty());
    assert!(std::fs::read(to.join("small")).expect("reads") == small);
}

#[test]
fn what_is_purged_elsewhere_goes_and_a_purge_here_reaches_the_others() {
    let (store, remote, first, second) = pair();
    put(&first, &noise(5, 60_000), None, &[]);
    first.sync(&remote).expect("syncs");
    for device in [&second, &first] {
        device.sync(&remote).expect("syncs");
    }
    first.workspace.purge(&["artifact:p/model:v0".parse().expect("a target")], Default::default()).expect("purges");
    for device in [&first, &second, &first] {
        device.sync(&remote).expect("syncs");
    }
    let numbers = |device: &Device| {
        let versions = device.workspace.artifact_versions("p/model").expect("lists");
        versions.into_iter().map(|version| version.number).collect::<Vec<_>>()
    };
    assert_eq!((numbers(&first), numbers(&second)), (vec![1], vec![1]));
    assert_sound(&second, true);
    second.workspace.purge(&["artifact:p/model".parse().expect("a target")], Default::default()).expect("purges");
    for device in [&second, &first, &second] {
        device.sync(&remote).expect("syncs");
    }
    assert!(first.workspace.artifact_versions("p/model").is_err(), "it is gone there, too");
    with_source(&second, &store);
    assert_eq!(shown(&second), shown(&first));
    for device in [&first, &second] {
        assert_sound(device, false);
    }
}
