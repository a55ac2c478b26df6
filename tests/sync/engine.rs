//! The order of requests: everything arrives once, whatever request is the last, and a remote that lies is caught.

use runcellar::remotes::{NewTerms, RemoteChange, RemoteClass};
use runcellar::{ErrorKind, Json, Resume, json};
use runcellar_sync::engine::{Failure, Report};
use runcellar_sync::remote::fake::{Fake, Faults, Last, Store};
use runcellar_sync::remote::{Folder, ObjectName, Remote};

use crate::devices::{Device, ORIGIN};

#[track_caller]
fn assert_alike(devices: &[&Device]) {
    let first = devices[0].state();
    for device in &devices[1..] {
        assert_eq!(device.state(), first);
    }
    devices.iter().for_each(|device| device.is_whole());
}

/// A remote to which one device has published a run.
fn published() -> (Store, Fake, Device) {
    let store = Store::new();
    let (first, remote) = (Device::first(), Fake::new(&store, 1));
    first.record("one", 10);
    first.sync(&remote).expect("syncs");
    (store, remote, first)
}

#[track_caller]
fn damaged(outcome: Result<Report, Failure>) -> String {
    match outcome {
        Err(Failure::Store(error)) if error.kind() == ErrorKind::Damaged => error.to_string(),
        Err(Failure::Remote(error)) if error.kind() == runcellar_sync::ErrorKind::Damaged => error.to_string(),
        other => panic!("it is not called damaged: {other:?}"),
    }
}

#[test]
fn devices_that_share_a_folder_come_to_one_state() {
    let shared = tempfile::tempdir().expect("a temporary directory");
    let remote = Folder::new(shared.path());
    let first = Device::first();
    first.record("one", 5_000);
    let report = first.sync(&remote).expect("syncs");
    assert_eq!((report.sent_runs, report.devices), (1, 1));
    let second = Device::another(&first, &remote);
    assert_eq!(second.sync(&remote).expect("syncs").merged.new_runs, 1);
    let third = Device::another(&first, &remote);
    third.record("three", 10);
    second.record("two", 20);
    second.tag("one", "good");
    for device in [&third, &second, &first, &third, &second] {
        device.sync(&remote).expect("syncs");
    }
    assert_alike(&[&first, &second, &third]);
    assert_eq!(first.run("one").tags, ["good"]);
    // Nothing is left to do, and nothing is sent.
    for device in [&first, &second, &third] {
        let report = device.sync(&remote).expect("syncs");
        assert_eq!((report.sent, report.fetched, report.merged.is_empty(), report.devices), (0, 0, true, 3));
    }
}

#[test]
fn the_first_sync_of_all_makes_the_folder_and_no_later_one_does() {
    let disk = tempfile::tempdir().expect("a temporary directory");
    let place = disk.path().join("runs");
    let remote = Folder::new(&place);
    let is_missing = |outcome: Result<Report, Failure>| matches!(outcome, Err(Failure::Remote(error)) if error.kind() == runcellar_sync::ErrorKind::NoSuchPlace);
    let first = Device::first();
    first.record("one", 10);
    // Nothing around it is made, and who only reads makes nothing.
    assert!(is_missing(first.sync(&Folder::new(disk.path().join("mnt/runs")))));
    assert!(is_missing(runcellar_sync::engine::pull(&first.workspace, ORIGIN, &remote)));
    assert!(std::fs::read_dir(disk.path()).expect("lists").next().is_none());
    assert_eq!(first.sync(&remote).expect("syncs").sent_runs, 1);
    let second = Device::another(&first, &remote);
    second.sync(&remote).expect("syncs");
    // The disk is not mounted any more.
    std::fs::rename(&place, disk.path().join("elsewhere")).expect("is moved");
    for (device, run) in [(&first, "two"), (&second, "three")] {
        device.record(run, 10);
        assert!(is_missing(device.sync(&remote)));
        assert!(!place.exists());
    }
    std::fs::rename(disk.path().join("elsewhere"), &place).expect("is moved");
    for device in [&first, &second, &first] {
        device.sync(&remote).expect("syncs");
    }
    assert_alike(&[&first, &second]);
}

#[test]
fn what_two_devices_set_apart_is_kept_until_somebody_sets_it_who_saw_both() {
    let (_, remote, first) = published();
    let second = Device::another(&first, &remote);
    second.sync(&remote).expect("syncs");
    let note = |device: &Device, text: &str| {
        device.workspace.annotate_run(&device.run("one"), text).expect("is noted");
    };
    let lost = |device: &Device| {
        let all = device.workspace.conflicts(&device.run("one")).expect("reads");
        all.into_iter().map(|lost| (lost.field, lost.value)).collect::<Vec<_>>()
    };
    let sync_all = || [&first, &second, &first].map(|device| device.sync(&remote).expect("syncs"));

    note(&first, "from the first");
    sync_all();
    note(&second, "from the second, who saw that");
    sync_all();
    assert_eq!([lost(&first), lost(&second)], [vec![], vec![]], "one after the other");

    note(&first, "noisy");
    note(&second, "good");
    for (device, rate) in [(&second, 0.25), (&first, 0.75)] {
        let again = device.workspace.run("p").id("one").resume(Resume::Must).start().expect("goes on");
        again.config("lr", rate).expect("is set");
        again.finish().expect("finishes");
    }
    sync_all();
    // Within a millisecond either may be the later one.
    let other = if first.run("one").notes == "good" { "noisy" } else { "good" };
    let both = vec![("config.lr".to_owned(), json!(0.25)), ("notes".to_owned(), json!(other))];
    let sorted = |mut all: Vec<(String, Json)>| {
        all.sort_by(|one, two| one.0.cmp(&two.0));
        all
    };
    assert_eq!([sorted(lost(&first)), sorted(lost(&second))], [both.clone(), both]);
    assert_alike(&[&first, &second]);

    note(&first, "good, but noisy");
    sync_all();
    assert_eq!(lost(&second), [("config.lr".to_owned(), json!(0.25))], "whoever set it saw both");
    assert_alike(&[&first, &second]);
}

#[test]
fn a_clone_leaves_nothing_behind_that_a_check_would_note() {
    let (_, remote, first) = published();
    let second = Device::another(&first, &remote);
    let report = second.workspace.check(Default::default()).expect("is checked");
    assert!(report.problems.is_empty(), "{:#?}", report.problems);
}

#[test]
fn a_sync_that_ends_at_any_request_goes_on_with_the_next() {
    for last in [Last::Unsent, Last::Unanswered] {
        let store = Store::new();
        let (first, remote) = (Device::first(), Fake::new(&store, 1));
        first.record("before", 30);
        first.sync(&remote).expect("syncs");
        let second = Device::another(&first, &remote);
        let mut requests = 0;
        loop {
            let run = format!("run-{requests}");
            first.record(&run, 10);
            second.record(&format!("other-{requests}"), 10);
            Device::sync(&second, &remote).expect("syncs");
            remote.stop_after(requests, last);
            let ended = first.sync(&remote).is_ok();
            remote.revive();
            first.sync(&remote).expect("goes on");
            second.sync(&remote).expect("syncs");
            assert_eq!(first.state(), second.state(), "after {requests} requests");
            if ended {
                break;
            }
            requests += 1;
        }
        assert!(requests >= 6, "a sync has more requests than {requests}");
        assert_alike(&[&first, &second]);
    }
}

#[test]
fn no_request_is_made_of_a_remote_that_is_not_enabled() {
    let store = Store::new();
    let (first, remote) = (Device::first(), Fake::new(&store, 1));
    first.record("one", 10);
    first.workspace.pause_remote(ORIGIN).expect("is paused");
    assert!(matches!(first.sync(&remote), Err(Failure::Store(error)) if error.kind() == ErrorKind::State));
    first.workspace.remove_remote(ORIGIN).expect("is removed");
    first.workspace.add_remote(ORIGIN, "memory", &[RemoteClass::Metrics], &[]).expect("is added");
    assert!(matches!(first.sync(&remote), Err(Failure::Store(error)) if error.kind() == ErrorKind::Consent));
    assert_eq!(remote.requests().all(), 0);
}

#[test]
fn a_remote_that_is_not_what_was_agreed_to_any_more_is_read_and_nothing_is_stored_there() {
    let (store, remote, first) = published();
    let second = Device::another(&first, &remote);
    second.record("two", 10);
    second.sync(&remote).expect("syncs");
    first.record("three", 10);
    let terms = NewTerms { name: "terms".into(), date: None, bytes: b"all of it is ours".to_vec() };
    assert!(first.workspace.set_terms(ORIGIN, Some(&terms)).expect("are set").is_change());
    let before = store.ever();
    let report = first.sync(&remote).expect("reads");
    assert!(report.not_agreed.is_some_and(|why| why.contains("agreed to")));
    assert_eq!((report.sent, report.merged.new_runs), (0, 1), "what others published comes in");
    assert!(store.ever() == before, "nothing was stored");
    // At another place not even that: nobody agreed to ask there.
    let move_to = |url: &str| {
        let change = RemoteChange { url: Some(url.to_owned()), ..RemoteChange::default() };
        first.workspace.change_remote(ORIGIN, &change).expect("is changed");
    };
    let (asked, url) = (remote.requests().all(), first.workspace.remote(ORIGIN).expect("is known").url);
    move_to("elsewhere");
    let Err(Failure::Store(error)) = first.sync(&remote) else { panic!("it went on") };
    assert_eq!((error.kind(), remote.requests().all()), (ErrorKind::Consent, asked));
    move_to(&url);
    let hash = first.workspace.consent_request(ORIGIN).expect("asks").hash;
    first.workspace.enable_remote(ORIGIN, &hash).expect("is enabled");
    let report = first.sync(&remote).expect("syncs");
    assert_eq!((report.sent_runs, report.not_agreed), (1, None));
}

#[test]
fn a_remote_that_goes_back_in_time_is_caught_by_every_device() {
    let (store, remote, first) = published();
    let second = Device::another(&first, &remote);
    second.sync(&remote).expect("syncs");
    let moment = store.moment();
    first.record("two", 10);
    first.sync(&remote).expect("syncs");
    second.sync(&remote).expect("syncs");
    store.roll_back(moment);
    let before = second.state();
    let said = damaged(first.sync(&remote));
    assert!(said.contains("rolled back"), "{said}");
    let said = damaged(second.sync(&remote));
    assert!(said.contains("went back from segment"), "{said}");
    assert_eq!(second.state(), before, "nothing is lost here");
}

#[test]
fn a_remote_that_is_emptied_is_caught_by_every_device() {
    let (store, remote, first) = published();
    let second = Device::another(&first, &remote);
    second.sync(&remote).expect("syncs");
    second.record("two", 10);
    second.sync(&remote).expect("syncs");
    store.clear();
    assert!(damaged(first.sync(&remote)).contains("is not there"));
    assert!(damaged(second.sync(&remote)).contains("is not there"));
}

/// A device that only the heads of others tell of: what it published is missed by who never saw it.
#[test]
fn a_device_that_is_dropped_from_the_remote_is_missed() {
    let (store, remote, first) = published();
    let second = Device::another(&first, &remote);
    second.record("two", 10);
    second.sync(&remote).expect("syncs");
    first.record("three", 10);
    first.sync(&remote).expect("syncs, and cites the second");
    let third = Device::another(&first, &remote);
    let own = second.workspace.exchange("origin").expect("begins").prefix();
    for name in store.names().into_iter().filter(|name| name.as_str().contains(&own)) {
        assert!(store.remove(&name), "{name}");
    }
    let said = damaged(third.sync(&remote));
    assert!(said.contains(&own), "{said}");
}

#[test]
fn an_object_that_is_changed_moved_or_missing_is_named() {
    let (store, remote, first) = published();
    first.record("two", 10);
    first.sync(&remote).expect("syncs");
    let prefix = first.workspace.exchange("origin").expect("begins").prefix();
    let name = |last: &str| ObjectName::new(format!("{prefix}/{last}")).expect("a name");
    let (one, two, head) = (name("0000000001"), name("0000000002"), name("head"));
    let bytes = |name: &ObjectName| store.bytes(name).expect("is there");
    let flipped = |name: &ObjectName, at: usize| {
        let mut flipped = bytes(name).to_vec();
        flipped[at] ^= 1;
        flipped
    };
    let wrong: Vec<(&ObjectName, Option<Vec<u8>>)> = vec![
        (&one, Some(flipped(&one, 100))),
        (&one, Some(bytes(&two).to_vec())),
        (&two, Some(bytes(&one).to_vec())),
        (&two, Some(bytes(&two)[..4096].to_vec())),
        (&one, None),
        (&head, Some(flipped(&head, 4000))),
        (&head, Some(bytes(&one).to_vec())),
    ];
    for (object, content) in wrong {
        let good = bytes(object);
        match content {
            Some(content) if content == *good => continue,
            Some(content) => store.replace(object, content),
            None => assert!(store.remove(object)),
        }
        let other = Device::another(&first, &remote);
        let said = damaged(other.sync(&remote));
        assert!(said.contains(&prefix), "{said}");
        store.replace(object, good);
        other.sync(&remote).expect("syncs when it is whole again");
        assert_eq!(other.state(), first.state());
    }
}

#[test]
fn a_copy_of_a_workspace_publishes_as_a_device_of_its_own() {
    let (_store, remote, first) = published();
    let copy = first.root().join("copy");
    let copied = std::process::Command::new("cp").arg("-r").arg(first.root().join("w")).arg(&copy).status();
    assert!(copied.expect("cp runs").success());
    first.record("two", 10);
    first.sync(&remote).expect("syncs");
    let copy = first.keys().open(&copy).expect("opens");
    let report = runcellar_sync::engine::sync(&copy, "origin", &remote).expect("syncs");
    assert_eq!(report.devices, 2);
    assert_eq!(report.merged.new_runs, 1, "what the original did since comes in");
    first.sync(&remote).expect("syncs");
    assert_eq!(first.state().len(), 2);
}

/// A remote that loses answers, forgets for a while and knows no conditions costs time, and nothing else.
/// `RUNCELLAR_SCHEDULES` says how many ways to fail are tried.
#[test]
fn faults_that_pass_cost_time_alone() {
    let schedules = std::env::var("RUNCELLAR_SCHEDULES").map_or(6, |count| count.parse().expect("a number"));
    for seed in 0..schedules {
        let store = Store::new();
        let (mine, yours) = (Fake::new(&store, seed), Fake::new(&store, seed + 1000));
        let first = Device::first();
        first.record("zero", 5);
        first.sync(&mine).expect("syncs");
        let second = Device::another(&first, &yours);
        second.sync(&yours).expect("syncs");
        let faults = Faults {
            refused: 100,
            lost_answers: 100,
            truncated: 50,
            flipped: 50,
            stale_lists: 300,
            hidden: 50,
            replayed: 50,
            own_write_refused: 200,
            unconditional: seed % 2 == 0,
            locked_until_us: None,
        };
        mine.set_faults(faults.clone());
        yours.set_faults(faults);
        for round in 0..6 {
            first.record(&format!("first-{round}"), 5);
            second.record(&format!("second-{round}"), 5);
            if round == 3 {
                second.tag("zero", "tagged");
            }
            // Each failure is one that passes; what was done stays done.
            let _ = first.sync(&mine);
            let _ = second.sync(&yours);
        }
        mine.set_faults(Faults::default());
        yours.set_faults(Faults::default());
        for _ in 0..2 {
            first.sync(&mine).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            second.sync(&yours).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
        assert_alike(&[&first, &second]);
        assert_eq!(first.state().len(), 13, "seed {seed}");
    }
}

#[test]
fn nothing_that_leaves_holds_what_was_written() {
    let store = Store::new();
    let remote: &dyn Remote = &Fake::new(&store, 1);
    let first = Device::first();
    first.record("planted-marker-of-a-run", 100);
    first.tag("planted-marker-of-a-run", "planted-marker-of-a-tag");
    first.sync(remote).expect("syncs");
    for (name, bytes) in store.ever() {
        assert_eq!(bytes.len() % 4096, 0, "{name}");
        let found = bytes.windows(14).any(|window| window == b"planted-marker");
        assert!(!found, "{name}");
    }
}
