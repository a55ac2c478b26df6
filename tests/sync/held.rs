//! Runs in which secrets stand: they are held back, whole, until somebody decides.

use runcellar::remotes::{HeldRun, RemoteClass};
use runcellar::{CodeFolder, Run, json};
use runcellar_sync::engine::Report;
use runcellar_sync::remote::fake::{Fake, Store};

use crate::devices::{Device, ORIGIN};

/// A fake of a token of GitHub, put together so that no scanner takes this file for one that has it.
fn token() -> String {
    ["ghp", "_", "q8Zt3LxV0bRk7NfJ2wYdP5sHc9Ug4Ea1Mi6o"].concat()
}

/// Begins a run of which nothing is redacted when it is recorded.
fn unredacted(device: &Device, id: &str) -> Run {
    device.workspace.run("p").id(id).redact(false).start().expect("starts")
}

fn sync(device: &Device, remote: &Fake) -> Report {
    device.sync(remote).expect("syncs")
}

fn held_ids(held: &[HeldRun]) -> Vec<&str> {
    held.iter().map(|run| run.id.as_str()).collect()
}

/// Id of a run, where a secret stands in it, and what puts it there.
type Case<'a> = (&'a str, &'a str, &'a dyn Fn(&Run));

#[test]
fn a_secret_anywhere_in_a_run_holds_the_run_back_and_nothing_else() {
    let store = Store::new();
    let all = RemoteClass::ALL;
    let (first, remote) = (Device::first_with(&all), Fake::new(&store, 1));
    first.record("clean", 10);
    let cases: [Case<'_>; 6] = [
        ("config", "config.api", &|run| run.config("api", token()).expect("is set")),
        ("notes", "notes", &|run| run.notes(&format!("use {}", token())).expect("is set")),
        ("logged", "said", &|run| {
            // The summary has the last one.
            run.log([("said", format!("it is {}", token()))]).expect("logs");
            run.log([("said", "something else")]).expect("logs");
        }),
        ("summary", "summary.best", &|run| run.summary("best", token()).expect("is set")),
        ("code", "code source/train.py line 2", &|run| {
            let source = first.root().join("source");
            std::fs::create_dir_all(&source).expect("makes");
            std::fs::write(source.join("train.py"), format!("import x\nkey = '{}'\n", token())).expect("writes");
            run.log_code(&CodeFolder { root: source, ..CodeFolder::default() }).expect("is kept");
        }),
        ("media", "media ", &|run| {
            let table = runcellar::NewMedia {
                kind: "table".into(),
                format: "json".into(),
                metadata: json!({}),
                content: std::sync::Arc::new(json_table().into_bytes()),
                companions: Vec::new(),
                parts: Vec::new(),
            };
            run.log_media(None, None, vec![("t".into(), table)], |_| {}).expect("logs");
        }),
    ];
    for (id, _, put) in &cases {
        let run = unredacted(&first, id);
        put(&run);
        run.finish().expect("finishes");
    }
    let report = sync(&first, &remote);
    let mut expected: Vec<&str> = cases.iter().map(|(id, ..)| *id).collect();
    expected.sort_unstable();
    let mut held = held_ids(&report.held);
    held.sort_unstable();
    assert_eq!((held, report.sent_runs), (expected, 1));
    for held in &report.held {
        let place = cases.iter().find(|(id, ..)| *id == held.id).expect("is a case").1;
        let [finding] = &held.findings[..] else { panic!("{held:?}") };
        assert!(finding.place.starts_with(place) && !held.is_published, "{held:?}");
        assert!(!format!("{held:?} {}", held.why()).contains(&token()), "a finding never says the secret");
    }
    // Whoever has the keys finds the clean run, and nothing of the others.
    let second = Device::another(&first, &remote);
    sync(&second, &remote);
    assert_eq!(second.workspace.runs(&runcellar::Selection::default()).expect("lists").len(), 1);
    // Nothing is new: nothing is sent, and it is said again.
    let again = sync(&first, &remote);
    assert_eq!((again.sent, again.sent_packs, again.held), (0, 0, report.held.clone()));
    assert_eq!(first.workspace.unsent(ORIGIN).expect("looks").held.len(), cases.len());
    // One word for one secret, wherever it stands.
    let mut ids: Vec<String> =
        report.held.iter().flat_map(|run| run.findings.iter().map(|finding| finding.id.clone())).collect();
    ids.sort();
    ids.dedup();
    first.workspace.allow_findings(&ids).expect("are allowed");
    let released = sync(&first, &remote);
    assert_eq!((released.sent_runs, released.held), (cases.len() as u64, vec![]));
    sync(&second, &remote);
    assert_eq!(first.state(), second.state());
}

fn json_table() -> String {
    format!("{{\"columns\": [\"api_key\"], \"data\": [[\"{}\"]]}}", token())
}

#[test]
fn of_a_run_that_was_published_what_is_new_is_held_and_it_is_said_that_it_cannot_be_unsent() {
    let store = Store::new();
    let (first, remote) = (Device::first(), Fake::new(&store, 1));
    first.record("one", 10);
    sync(&first, &remote);
    let second = Device::another(&first, &remote);
    first.workspace.rename_run(&first.run("one"), &token()).expect("is renamed");
    first.tag("one", "later");
    let report = sync(&first, &remote);
    let [held] = &report.held[..] else { panic!("{report:?}") };
    assert!(held.is_published && held.why().contains("purge"), "{held:?}");
    assert_eq!(report.sent, 0);
    sync(&second, &remote);
    assert_eq!(second.run("one").tags, [""; 0]);
    // Taken out by hand, it goes.
    first.workspace.rename_run(&first.run("one"), "a name").expect("is renamed");
    assert_eq!((sync(&first, &remote).held, sync(&second, &remote).merged.updated_runs), (vec![], 1));
    assert_eq!(second.run("one").name, "a name");
}

#[test]
fn what_was_redacted_when_it_was_recorded_holds_nothing_back() {
    let store = Store::new();
    let (first, remote) = (Device::first(), Fake::new(&store, 1));
    let config = json!({"password": "sword-fish-7", "url": "https://me:hunter22@host/x"});
    let run = first.workspace.run("p").id("one").config(config).arguments(["--token", &token()]);
    let run = run.start().expect("starts");
    run.config("api_key", token()).expect("is set");
    run.notes(&format!("Authorization: Bearer {}", token())).expect("is set");
    run.finish().expect("finishes");
    assert!(first.workspace.findings(&first.run("one")).expect("reads").len() >= 4);
    let report = sync(&first, &remote);
    assert_eq!((report.held, report.sent_runs), (vec![], 1));
}

#[test]
fn a_secret_that_is_logged_later_holds_the_rest_of_a_run_back() {
    let store = Store::new();
    let (first, remote) = (Device::first(), Fake::new(&store, 1));
    let run = unredacted(&first, "one");
    for round in 0..3 {
        run.log([("said", format!("round {round}"))]).expect("logs");
        run.flush().expect("stores");
        assert_eq!(sync(&first, &remote).held, []);
    }
    run.log([("said", format!("token {}", token()))]).expect("logs");
    run.log([("said", "something else".to_owned())]).expect("logs");
    run.finish().expect("finishes");
    let report = sync(&first, &remote);
    let [held] = &report.held[..] else { panic!("{report:?}") };
    assert!(held.is_published && held.findings[0].place == "said", "{held:?}");
    let ever = store.ever().len();
    sync(&first, &remote);
    assert_eq!(store.ever().len(), ever);
    // After the keys are replaced everything is published anew, and searched anew.
    first.workspace.rotate_keys().expect("rotates");
    let report = sync(&first, &remote);
    assert_eq!((held_ids(&report.held), report.held[0].is_published), (vec!["one"], false));
}

#[test]
fn what_is_redacted_afterwards_leaves_without_its_secrets() {
    let store = Store::new();
    let (first, remote) = (Device::first(), Fake::new(&store, 1));
    let run = unredacted(&first, "one");
    run.config("api", token()).expect("is set");
    run.config("lr", 0.5).expect("is set");
    run.notes(&format!("it is {}", token())).expect("is set");
    for text in ["begin", &format!("it is {}", token()), "end"] {
        run.log([("said", text)]).expect("logs");
    }
    run.log([("loss", 0.25)]).expect("logs");
    let refused = first.workspace.redact_run(&first.run("one")).expect_err("it is being recorded");
    assert_eq!(refused.kind(), runcellar::ErrorKind::State);
    run.finish().expect("finishes");
    first.tag("one", &token());
    first.workspace.rename_run(&first.run("one"), &format!("with {}", token())).expect("is renamed");
    assert_eq!(held_ids(&sync(&first, &remote).held), ["one"]);
    let taken = first.workspace.redact_run(&first.run("one")).expect("is redacted");
    let [taken] = &taken[..] else { panic!("one secret in many places: {taken:?}") };
    let instead = format!("[redacted github-token {}]", taken.id);
    assert_eq!(first.workspace.search_run(&first.run("one")).expect("searches"), []);
    first.is_whole();
    let report = sync(&first, &remote);
    assert_eq!((report.held, report.sent_runs), (vec![], 1));
    let second = Device::another(&first, &remote);
    sync(&second, &remote);
    second.is_whole();
    for device in [&first, &second] {
        let info = device.run("one");
        assert_eq!((info.name.clone(), info.notes.clone()), (format!("with {instead}"), format!("it is {instead}")));
        assert_eq!(info.tags, std::slice::from_ref(&instead));
        let series = device.workspace.series(&info, "said", None).expect("reads");
        assert!(format!("{:?}", series.values).contains(&format!("it is {instead}")), "{series:?}");
        assert!(!format!("{info:?} {series:?}").contains(&token()));
        assert_eq!(device.workspace.series(&info, "loss", None).expect("reads").steps.len(), 1);
        let mut places: Vec<String> =
            device.workspace.findings(&info).expect("lists").into_iter().map(|finding| finding.place).collect();
        places.sort();
        assert_eq!(places, ["config.api", "name", "notes", "said", "tag"], "where it stood is told");
    }
    // A second time there is nothing to take out, and nothing to send.
    assert_eq!(first.workspace.redact_run(&first.run("one")).expect("is redacted"), []);
    assert_eq!(sync(&first, &remote).sent, 0);
}
