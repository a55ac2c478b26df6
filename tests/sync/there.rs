//! Devices that leave the content of others on the remote: they show all of it, fetch what is read, and never publish or delete
//! what they do not have.

use std::collections::BTreeSet;
use std::sync::Arc;

use runcellar::artifacts::{ArtifactDraft, PutSettings, RemoveOptions};
use runcellar::remotes::RemoteClass;
use runcellar::{CollectOptions, ErrorKind, NewMedia, Resume, SeriesValues, json};
use runcellar_sync::engine;
use runcellar_sync::remote::ObjectName;
use runcellar_sync::remote::fake::{Fake, Store};

use crate::content::{noise, put, put_as, record, shown};
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

/// Has a device replace its keys and publish all that it has; then what the others published before goes.
fn take_over(by: &Device, others: &[&Device], remote: &Fake) {
    by.workspace.rotate_keys().expect("rotates");
    for device in [&[by], others].concat() {
        let report = device.sync(remote).expect("syncs");
        assert!(report.not_sent.is_empty() && report.merged.left_out.is_empty(), "{report:?}");
    }
}

fn resume_with_picture(device: &Device, id: &str) {
    let run = device.workspace.run("p").id(id).resume(Resume::Must).start().expect("resumes");
    let picture = NewMedia {
        kind: "image".into(),
        format: "png".into(),
        metadata: json!({"caption": "another"}),
        content: Arc::new(noise(8, 5_000)),
        companions: Vec::new(),
        parts: Vec::new(),
    };
    run.log_media(None, None, vec![("more".into(), picture)], |_| {}).expect("logs");
    run.finish().expect("finishes");
}

/// The lengths of all media of a run.
fn pictures(device: &Device, id: &str) -> Vec<usize> {
    let run = device.run(id);
    let media = device.workspace.media(&run).expect("lists");
    let of = |key: &str| {
        let series = device.workspace.series(&run, key, None).expect("reads");
        let SeriesValues::Media(ids) = series.values else { panic!("{key} is of media") };
        ids.into_iter().map(|id| media.read(id).expect("reads").len()).collect::<Vec<_>>()
    };
    ["sample", "more"].into_iter().flat_map(of).collect()
}

#[test]
fn content_that_another_device_publishes_now_is_followed_there() {
    let (store, remote, first, second) = pair();
    let third = Device::another(&first, &remote);
    for device in [&second, &third] {
        device.sync(&remote).expect("syncs");
    }
    let before = packs_on(&store);
    // The third has all that the first published, and so the first leaves it to that.
    take_over(&third, &[&first, &second], &remote);
    assert!(before.iter().all(|name| store.bytes(name).is_none()));
    assert!(files(&second).is_empty());
    assert_sound(&second, true);
    with_source(&second, &store);
    assert_eq!(shown(&second), shown(&first));
    assert_sound(&second, false);
}

#[test]
fn a_pack_that_another_device_fetched_and_publishes_now_is_followed_there() {
    let (store, remote, first, second) = pair();
    let third = Device::another(&first, &remote);
    third.workspace.set_setting("sync.content", Some("remote")).expect("is set");
    for device in [&second, &third] {
        device.sync(&remote).expect("syncs");
    }
    with_source(&third, &store);
    assert_eq!(shown(&third), shown(&first));
    let before = packs_on(&store);
    take_over(&third, &[&first, &second], &remote);
    assert!(before.iter().all(|name| store.bytes(name).is_none()));
    let name = |name: &ObjectName| name.as_str().rsplit('/').next().map(str::to_owned);
    let names = |all: Vec<ObjectName>| all.iter().map(name).collect::<BTreeSet<_>>();
    assert_eq!(names(before), names(packs_on(&store)), "the same, of another device");
    assert!(files(&second).is_empty());
    with_source(&second, &store);
    assert_eq!(shown(&second), shown(&first));
    assert_sound(&second, false);
}

#[test]
fn content_that_only_devices_publish_now_which_name_it_in_another_way_is_brought() {
    let (store, remote, first, second) = pair();
    // It had content of its own before it heard of that of the first.
    let third = Device::another(&first, &remote);
    record(&third, "three");
    put_as(&third, "other", &noise(3, 30_000), None, &[]);
    for device in [&third, &first, &second, &third] {
        device.sync(&remote).expect("syncs");
    }
    let before = packs_on(&store);
    take_over(&third, &[&first, &second], &remote);
    let is_left = |name: &&ObjectName| store.bytes(name).is_none();
    assert!(before.iter().filter(is_left).count() >= 3, "the first left it to the third");
    with_source(&second, &store);
    assert_eq!(shown(&second), shown(&first));
    assert_eq!(shown(&second), shown(&third));
    let on = packs_on(&store);
    for device in [&first, &second, &third] {
        assert_sound(device, false);
        assert_eq!(device.sync(&remote).expect("syncs").sent_packs, 0, "it lies there but once");
    }
    assert_eq!(packs_on(&store), on);
}

#[test]
fn what_only_a_lost_device_named_alike_is_brought_from_who_took_it_in() {
    let (store, remote, first, second) = pair();
    let third = Device::another(&first, &remote);
    record(&third, "three");
    put_as(&third, "other", &noise(3, 30_000), None, &[]);
    for device in [&third, &first, &second, &third] {
        device.sync(&remote).expect("syncs");
    }
    let (wanted, slot) = (shown(&first), first.workspace.slots().expect("lists"));
    let slot = slot.into_iter().find(|slot| slot.in_use).expect("it opened it").id;
    drop(first);
    third.workspace.remove_slots(&[slot]).expect("removes");
    for device in [&third, &second, &third, &second] {
        device.sync(&remote).expect("syncs");
    }
    with_source(&second, &store);
    assert_eq!(shown(&second), wanted);
    for device in [&second, &third] {
        assert_sound(device, false);
    }
}

#[test]
fn what_nobody_fetched_before_its_device_was_shut_out_is_taken_over_by_another() {
    let (store, remote, first, second) = pair();
    let third = Device::another(&first, &remote);
    third.workspace.set_setting("sync.content", Some("remote")).expect("is set");
    for device in [&third, &second, &first, &second] {
        device.sync(&remote).expect("syncs");
    }
    let (wanted, slot, before) = (shown(&first), first.workspace.slots().expect("lists"), packs_on(&store));
    let slot = slot.into_iter().find(|slot| slot.in_use).expect("it opened it").id;
    drop(first);
    second.workspace.remove_slots(&[slot]).expect("removes");
    // Some other might still publish it.
    second.sync(&remote).expect("syncs");
    assert!(files(&second).is_empty() && before.iter().all(|name| store.bytes(name).is_some()));
    for device in [&third, &second, &third, &second] {
        device.sync(&remote).expect("syncs");
    }
    assert!(before.iter().all(|name| store.bytes(name).is_none()), "what the lost device stored is gone");
    assert!(files(&second).is_empty() != files(&third).is_empty(), "one has it");
    for device in [&second, &third] {
        with_source(device, &store);
        assert_eq!(shown(device), wanted);
        assert_sound(device, false);
        assert!(device.workspace.receipts().expect("lists").iter().all(|receipt| receipt.is_complete()));
    }
}

/// The removed device published something last of which the one that removes it never heard.
#[test]
fn what_a_device_without_content_alone_has_heard_of_waits_for_it() {
    let (store, remote, first, second) = pair();
    let third = Device::another(&first, &remote);
    for device in [&third, &second, &first, &second, &third] {
        device.sync(&remote).expect("syncs");
    }
    record(&first, "unheard");
    put(&first, &noise(5, 60_000), Some("unheard"), &["second"]);
    for device in [&first, &second] {
        device.sync(&remote).expect("syncs");
    }
    let (wanted, slot, before) = (shown(&first), first.workspace.slots().expect("lists"), packs_on(&store));
    let slot = slot.into_iter().find(|slot| slot.in_use).expect("it opened it").id;
    drop(first);
    third.workspace.remove_slots(&[slot]).expect("removes");
    for _ in 0..2 {
        third.sync(&remote).expect("syncs");
        assert!(before.iter().all(|name| store.bytes(name).is_some()), "the second may have left it there");
    }
    for device in [&second, &third, &second, &third] {
        device.sync(&remote).expect("syncs");
    }
    assert!(before.iter().all(|name| store.bytes(name).is_none()), "what the lost device stored is gone");
    for device in [&second, &third] {
        with_source(device, &store);
        assert_eq!(shown(device), wanted);
        assert_sound(device, false);
        assert!(device.workspace.receipts().expect("lists").iter().all(|receipt| receipt.is_complete()));
    }
}

#[test]
fn of_a_run_it_publishes_the_files_that_are_its_own_beside_those_that_lie_there() {
    let (store, remote, first, second) = pair();
    second.sync(&remote).expect("syncs");
    let theirs = packs_on(&store);
    resume_with_picture(&second, "one");
    let report = second.sync(&remote).expect("syncs");
    assert_eq!((report.sent_packs, report.not_sent.len()), (1, 0), "{report:?}");
    first.sync(&remote).expect("syncs");
    let wanted = pictures(&first, "one");
    assert_eq!(wanted.len(), 2);
    // Whoever replaces the keys: what others published they publish again, as nobody else tells of it.
    second.workspace.rotate_keys().expect("rotates");
    for device in [&second, &first, &second] {
        assert!(device.sync(&remote).expect("syncs").not_sent.is_empty());
    }
    assert!(theirs.iter().all(|name| store.bytes(name).is_some()));
    let third = Device::another(&second, &remote);
    third.sync(&remote).expect("syncs");
    for device in [&first, &second, &third] {
        let report = device.sync(&remote).expect("syncs");
        assert_eq!((report.sent_packs, report.merged.new_files), (0, 0), "{report:?}");
    }
    with_source(&second, &store);
    for device in [&first, &second, &third] {
        assert_eq!(pictures(device, "one"), wanted);
    }
    assert_sound(&first, false);
    assert_sound(&third, false);
}
