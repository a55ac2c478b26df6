//! Rows of other devices' runs that stay on the remote, by the setting `sync.content`: what is said of a run is here, its rows come
//! when they are read, and nobody is shown a part of them for the whole.

use runcellar::{ErrorKind, HistoryPoint, MergeOptions, Resume, RunInfo, Window};
use runcellar_sync::remote::ObjectName;
use runcellar_sync::remote::fake::{Fake, Store};

use crate::devices::{Device, ORIGIN};
use crate::evict::with_source;

/// So many rows that they stand in a segment of their own.
const MANY: i64 = 4_000;

fn lazy(first: &Device, remote: &Fake) -> Device {
    let device = Device::another(first, remote);
    device.workspace.set_setting("sync.content", Some("remote")).expect("is set");
    device
}

/// Records rows that do not compress to nothing; goes on with a run that is there.
fn record(device: &Device, id: &str, from: i64, rows: i64) {
    let run = device.workspace.run("p").id(id).resume(Resume::Allow).start().expect("starts");
    for step in from..from + rows {
        let noise = (step as f64 * 0.7).sin() / (step + 1) as f64;
        run.log_at(step, [("loss", noise), ("accuracy", noise.cos())]).expect("logs");
    }
    run.finish().expect("finishes");
}

fn away(device: &Device) -> u64 {
    device.workspace.runs_with_rows_away().expect("reads")
}

/// What is said of a run without reading a row of it.
fn said(device: &Device, id: &str) -> String {
    let run = device.run(id);
    let metrics = device.workspace.metrics(&run).expect("lists");
    format!("{:?} {:?} {:?} {metrics:?}", run.config, run.summary, run.tags)
}

fn points(device: &Device, run: &RunInfo) -> runcellar::Result<usize> {
    Ok(device.workspace.series(run, "loss", None)?.steps.len())
}

/// A device that published a long run and a short one, and one that leaves rows where they are.
fn two() -> (Store, [Fake; 2], [Device; 2]) {
    let store = Store::new();
    let remotes = [Fake::new(&store, 1), Fake::new(&store, 2)];
    let first = Device::first();
    record(&first, "short", 0, 3);
    first.sync(&remotes[0]).expect("syncs");
    record(&first, "long", 0, MANY);
    first.sync(&remotes[0]).expect("syncs");
    let second = lazy(&first, &remotes[1]);
    second.sync(&remotes[1]).expect("syncs");
    (store, remotes, [first, second])
}

#[test]
fn rows_stay_on_the_remote_until_they_are_read() {
    let (store, _, [first, second]) = two();
    assert_eq!(away(&second), 1, "the short one's rows stand beside its record");
    assert_eq!(said(&second, "long"), said(&first, "long"));
    assert_eq!(second.workspace.metrics(&second.run("long")).expect("lists")[0].points, MANY as u64);
    second.is_whole();

    let long = second.run("long");
    let error = points(&second, &long).expect_err("they are not here");
    assert_eq!(error.to_string(), "run long: its rows lie on a remote alone; `runcellar fetch long` brings them here");
    let from = HistoryPoint { run: "long".to_owned(), step: Some(9) };
    let as_of = second.workspace.as_of(i64::MAX - 1).expect("opens");
    let elsewhere = Device::first();
    let merged = elsewhere.workspace.merge(&second.workspace, &MergeOptions::default()).expect("merges");
    assert_eq!((merged.new_runs, merged.left_out.len()), (1, 1), "{merged:?}");
    let mut refused = vec![
        ("history", second.workspace.history(&long, None, Window::default(), None).map(drop)),
        ("hidden", second.workspace.hidden_series(&long, "loss").map(drop)),
        ("follow", second.workspace.follow(&long, None).poll().map(drop)),
        ("as of", as_of.series(&long, "loss", None).map(drop)),
        ("carry", second.workspace.carry_run_out(&long, &mut |_| Ok(())).map(drop)),
        ("fork", second.workspace.run("p").id("fork").fork_from(from.clone()).start().map(drop)),
        ("rewind", second.workspace.run("p").resume_from(from).start().map(drop)),
        ("rotate", second.workspace.rotate_keys().map(drop)),
    ];
    for (what, refused) in refused.drain(..) {
        assert_eq!(refused.expect_err(what).kind(), ErrorKind::Evicted, "{what}");
    }
    assert_eq!(away(&second), 1);

    with_source(&second, &store);
    assert_eq!(second.state(), first.state());
    assert_eq!(away(&second), 0);
    second.is_whole();
}

#[test]
fn what_is_passed_over_is_not_fetched_and_what_is_read_is_fetched_once() {
    let store = Store::new();
    let remotes: Vec<Fake> = (1..4).map(|seed| Fake::new(&store, seed)).collect();
    let first = Device::first();
    record(&first, "long", 0, MANY);
    first.sync(&remotes[0]).expect("syncs");
    let (whole, lazy) = (Device::another(&first, &remotes[1]), lazy(&first, &remotes[2]));
    let [all, few] = [(&whole, &remotes[1]), (&lazy, &remotes[2])].map(|(device, remote)| {
        let report = device.sync(remote).expect("syncs");
        (report.fetched, report.fetched_bytes)
    });
    assert_eq!((all.0, few.0), (2, 1));
    assert!(few.1 * 2 < all.1, "{few:?} {all:?}");
    with_source(&lazy, &store);
    let brought = lazy.workspace.fetch_evicted(&["long".parse().expect("a target")]).expect("fetches");
    assert_eq!((brought.runs, brought.packs), (1, 0));
    assert_eq!(lazy.workspace.fetch_evicted(&[]).expect("fetches").runs, 0);
    lazy.workspace.set_content_source(None);
    assert_eq!(lazy.state(), first.state());
    // The other one that has all of it publishes nothing of it.
    assert_eq!(lazy.sync(&remotes[2]).expect("syncs").sent_runs, 0);
}

#[test]
fn a_run_goes_on_there_and_here_and_all_see_the_same_of_it() {
    let (store, remotes, [first, second]) = two();
    second.tag("long", "kept");
    record(&first, "long", MANY, MANY);
    first.sync(&remotes[0]).expect("syncs");
    second.sync(&remotes[1]).expect("syncs");
    assert_eq!(second.workspace.metrics(&second.run("long")).expect("lists")[0].points, 2 * MANY as u64);
    // It goes on where none of its rows are.
    record(&second, "long", 2 * MANY, 10);
    second.sync(&remotes[1]).expect("syncs");
    first.sync(&remotes[0]).expect("syncs");
    assert_eq!(away(&second), 1);
    with_source(&second, &store);
    assert_eq!(points(&second, &second.run("long")).expect("reads"), 2 * MANY as usize + 10);
    second.sync(&remotes[1]).expect("syncs");
    first.sync(&remotes[0]).expect("syncs");
    assert_eq!(second.state(), first.state());
    assert_eq!(first.run("long").tags, ["kept"]);
    second.is_whole();
    first.is_whole();
}

#[test]
fn rows_are_brought_here_before_the_keys_go_that_open_them() {
    let (store, remotes, [first, second]) = two();
    let third_remote = Fake::new(&store, 3);
    let third = lazy(&first, &third_remote);
    third.sync(&third_remote).expect("syncs");
    first.sync(&remotes[0]).expect("syncs");
    second.sync(&remotes[1]).expect("syncs");
    let was = first.state();
    // The first one is never seen again, and the others have its rows on the remote alone.
    drop(first);
    with_source(&second, &store);
    second.workspace.rotate_keys().expect("rotates");
    assert_eq!(away(&second), 0);
    second.sync(&remotes[1]).expect("syncs");
    // Whoever takes the key over keeps what it would lose, too, without being asked.
    assert_eq!(away(&third), 1);
    third.sync(&third_remote).expect("syncs");
    assert_eq!(away(&third), 0);
    assert_eq!(third.state(), was);
    assert_eq!(second.state(), was);
}

/// Whoever shuts the first device out never heard of the run.
#[test]
fn rows_of_a_run_of_which_one_device_alone_heard_are_here_before_they_go() {
    let store = Store::new();
    let remotes = [1, 2, 3].map(|salt| Fake::new(&store, salt));
    let first = Device::first();
    first.sync(&remotes[0]).expect("syncs");
    let (second, third) = (lazy(&first, &remotes[1]), Device::another(&first, &remotes[2]));
    for (device, remote) in [(&second, 1), (&third, 2), (&first, 0), (&second, 1), (&third, 2)] {
        device.sync(&remotes[remote]).expect("syncs");
    }
    record(&first, "long", 0, MANY);
    first.sync(&remotes[0]).expect("syncs");
    second.sync(&remotes[1]).expect("syncs");
    let (was, own) = (first.state(), first.workspace.slots().expect("lists"));
    let own = own.into_iter().find(|slot| slot.in_use).expect("it opened it").id;
    drop(first);
    third.workspace.remove_slots(&[own]).expect("removes");
    third.sync(&remotes[2]).expect("syncs");
    assert_eq!(away(&second), 1);
    for (device, remote) in [(&second, 1), (&third, 2)] {
        device.sync(&remotes[remote]).expect("syncs");
    }
    assert_eq!(away(&second), 0);
    assert_eq!((second.state(), third.state()), (was.clone(), was));
}

#[test]
fn rows_that_nobody_publishes_any_more_are_named_and_damage_does_not_come_in() {
    let (store, _, [first, second]) = two();
    let long = second.run("long");
    let segment = format!("{}/{:010}", first.workspace.exchange(ORIGIN).expect("opens").prefix(), 3);
    let name = ObjectName::new(segment.clone()).expect("a name");
    let sealed = store.bytes(&name).expect("is there");
    with_source(&second, &store);
    let mut other = sealed.to_vec();
    other[sealed.len() / 2] ^= 1;
    store.replace(&name, other);
    assert_eq!(points(&second, &long).expect_err("it is altered").kind(), ErrorKind::Damaged);
    assert!(store.remove(&name));
    let error = points(&second, &long).expect_err("it is gone");
    let said = error.to_string();
    assert!(error.kind() == ErrorKind::Evicted && said.contains("origin lost them (segment 3"), "{error}");
    assert!(said.starts_with("run long: "), "{error}");
    store.replace(&name, sealed);
    assert_eq!(points(&second, &long).expect("reads"), MANY as usize);
}

/// Two devices resume and annotate a run: each publishes its own rows, and lists those of the other.
#[test]
fn a_run_whose_rows_several_devices_publish_comes_in_whole() {
    let store = Store::new();
    let remote = Fake::new(&store, 1);
    let first = Device::first();
    record(&first, "shared", 0, 5);
    first.sync(&remote).expect("syncs");
    let second = Device::another(&first, &remote);
    second.sync(&remote).expect("syncs");
    let tag = |device: &Device, tag: &str| {
        let run = device.run("shared");
        device.workspace.tag_run(&run, &[tag.to_owned()], &[]).expect("tags");
        device.sync(&remote).expect("syncs");
    };
    tag(&second, "of-the-second");
    record(&second, "shared", 5, 5);
    second.sync(&remote).expect("syncs");
    first.sync(&remote).expect("syncs");
    tag(&first, "of-the-first");
    second.sync(&remote).expect("syncs");
    for (device, leaves_rows) in [(Device::another(&first, &remote), false), (lazy(&first, &remote), true)] {
        let report = device.sync(&remote).expect("syncs");
        assert!(report.merged.left_out.is_empty(), "{:?}", report.merged.left_out);
        if leaves_rows {
            with_source(&device, &store);
        }
        assert_eq!(points(&device, &device.run("shared")).expect("reads"), 10);
        assert_eq!(device.state(), first.state());
        device.is_whole();
    }
}
