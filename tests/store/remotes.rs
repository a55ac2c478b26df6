//! What goes to a remote and comes from it, without a transport: objects in a map.

use std::collections::BTreeMap;

use runcellar::remotes::{Exchange, Fetched, NewTerms, PackName, RemoteClass, clone_from};
use runcellar::{CheckOptions, CodeFolder, ErrorKind, MergeReport, RunInfo, Selection, Severity, Workspace, json};

use crate::support::{Place, is_network, rows};

/// A remote in memory: objects by name.
type Objects = BTreeMap<String, Vec<u8>>;

fn add(workspace: &Workspace) {
    workspace.add_remote("origin", "memory", &[RemoteClass::Metrics], &[]).expect("is added");
    let request = workspace.consent_request("origin").expect("asks");
    workspace.enable_remote("origin", &request.hash).expect("is enabled");
}

fn exchange(workspace: &Workspace) -> Exchange {
    workspace.exchange("origin").expect("begins")
}

/// Stores all that is new, as an engine does; returns how many segments.
fn push(workspace: &Workspace, remote: &mut Objects) -> u64 {
    let exchange = exchange(workspace);
    let prepared = exchange.prepare().expect("prepares");
    for number in exchange.outbox().expect("lists") {
        let sealed = exchange.segment(number).expect("waits");
        remote.insert(format!("{}/{number}", exchange.prefix()), sealed.read().expect("reads"));
    }
    if let Some(welcome) = exchange.welcome().expect("makes") {
        remote.insert(format!("{}/welcome", exchange.prefix()), welcome.read().expect("reads"));
        exchange.welcomed(&welcome).expect("notes");
    }
    if let Some(head) = exchange.head().expect("makes") {
        remote.insert(format!("{}/head", exchange.prefix()), head.object.read().expect("reads"));
        exchange.sent(&head).expect("notes");
    }
    prepared.segments
}

fn try_fetch(exchange: &Exchange, remote: &Objects) -> runcellar::Result<()> {
    let heads = remote.iter().filter_map(|(name, body)| Some((name.strip_suffix("/head")?, body)));
    for (prefix, head) in heads.filter(|(prefix, _)| *prefix != exchange.prefix()) {
        let advance = exchange.advance(prefix, head)?;
        for number in advance.from..=advance.to {
            exchange.take_segment(&advance, number, &remote[&format!("{prefix}/{number}")])?;
        }
        exchange.settle(&advance)?;
    }
    Ok(())
}

/// Takes in all that others have.
fn pull(workspace: &Workspace, remote: &Objects) -> MergeReport {
    let exchange = exchange(workspace);
    try_fetch(&exchange, remote).expect("is whole");
    let no_packs = &mut |pack: &PackName| -> runcellar::Result<Fetched> { panic!("{pack:?} is not needed") };
    exchange.merge(no_packs).expect("merges")
}

/// Another device: a workspace that was made of a welcome, with the keys of the first.
fn another(place: &Place, remote: &Objects) -> (Place, Workspace) {
    let other = Place::new();
    let (_, welcome) = remote.iter().find(|(name, _)| name.ends_with("/welcome")).expect("is there");
    let options = runcellar::OpenOptions { keys: place.keys(), create: false, ..other.options() };
    let workspace = clone_from(welcome, &other.workspace(), options).expect("is made");
    add(&workspace);
    (other, workspace)
}

fn record(workspace: &Workspace, id: &str, rows: u64) {
    let run = workspace.run("p").id(id).config(json!({"lr": 0.1})).start().expect("starts");
    (0..rows).for_each(|i| rows::log(&run, i));
    run.finish().expect("finishes");
}

#[track_caller]
fn is_whole(workspace: &Workspace) {
    let report = workspace.check(CheckOptions { read_data: true }).expect("is checked");
    let errors: Vec<_> = report.problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

/// What a listing shows of all runs.
fn listed(workspace: &Workspace) -> Vec<RunInfo> {
    let mut runs = workspace.runs(&Selection::default()).expect("lists");
    runs.sort_by(|one, two| one.id.cmp(&two.id));
    runs
}

#[track_caller]
fn assert_alike(one: &Workspace, two: &Workspace) {
    let (here, there) = (listed(one), listed(two));
    let ids = |runs: &[RunInfo]| runs.iter().map(|run| run.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&here), ids(&there));
    for (left, right) in here.iter().zip(&there) {
        assert_eq!(
            (&left.name, &left.notes, &left.tags, left.state),
            (&right.name, &right.notes, &right.tags, right.state)
        );
        assert_eq!((&left.config, &left.summary), (&right.config, &right.summary), "{}", left.id);
        assert_eq!(rows::verify(one, left), rows::verify(two, right), "{}", left.id);
    }
}

#[test]
fn what_one_device_publishes_another_has() {
    if is_network() {
        return;
    }
    let (place, mut remote) = (Place::new(), Objects::new());
    let here = place.open();
    record(&here, "first", 5_000);
    add(&here);
    assert_eq!(push(&here, &mut remote), 2, "its rows stand in a segment of their own");
    let (_other, there) = another(&place, &remote);
    assert_eq!(pull(&there, &remote).new_runs, 1);
    assert_alike(&here, &there);
    // Each goes on.
    record(&here, "second", 20);
    record(&there, "third", 10);
    let run = there.find_run("first").expect("is there");
    there.tag_run(&run, &["seen".to_owned()], &[]).expect("is tagged");
    push(&here, &mut remote);
    push(&there, &mut remote);
    assert_eq!(pull(&there, &remote).new_runs, 1);
    let report = pull(&here, &remote);
    assert_eq!((report.new_runs, report.updated_runs, report.left_out), (1, 1, vec![]));
    assert_alike(&here, &there);
    is_whole(&here);
    is_whole(&there);
    // Then there is nothing to say, on either side: what came in is not sent back.
    for _ in 0..2 {
        for workspace in [&here, &there] {
            push(workspace, &mut remote);
            assert!(pull(workspace, &remote).is_empty());
        }
    }
    let before = remote.len();
    assert_eq!((push(&here, &mut remote), push(&there, &mut remote)), (0, 0));
    assert_eq!(remote.len(), before);
    assert!(remote.values().all(|body| body.len() % 4096 == 0), "sizes are of the grid");
}

#[test]
fn one_exchange_with_a_remote_is_open_at_a_time() {
    if is_network() {
        return;
    }
    let place = Place::new();
    let here = place.open();
    add(&here);
    let first = exchange(&here);
    assert_eq!(here.exchange("origin").expect_err("another is open").kind(), ErrorKind::Busy);
    assert_eq!(here.exchange("nobody").expect_err("is not there").kind(), ErrorKind::NotFound);
    drop(first);
    exchange(&here);
}

#[test]
fn what_the_user_did_not_agree_to_is_not_sent() {
    let place = Place::new();
    let here = place.open();
    here.add_remote("origin", "memory", &[RemoteClass::Metrics], &["p".to_owned()]).expect("is added");
    let refused = |kind: ErrorKind| assert_eq!(here.may_send("origin").expect_err("is refused").kind(), kind);
    refused(ErrorKind::Consent);
    let request = here.consent_request("origin").expect("asks");
    let wrong = request.hash.replace(['0', '1', '2', '3'], "4");
    assert_eq!(here.enable_remote("origin", &wrong).expect_err("another text").kind(), ErrorKind::Consent);
    refused(ErrorKind::Consent);
    here.enable_remote("origin", &request.hash).expect("is enabled");
    here.may_send("origin").expect("may be sent");
    here.pause_remote("origin").expect("is paused");
    refused(ErrorKind::State);
    here.enable_remote("origin", &request.hash).expect("is enabled");
    here.set_setting("local_only", Some("true")).expect("is set");
    refused(ErrorKind::State);
    here.set_setting("local_only", None).expect("is unset");
    std::fs::write(place.workspace().join("OFFLINE"), "").expect("writes");
    refused(ErrorKind::State);
    let code = here.add_remote("other", "memory", &[RemoteClass::Code], &[]).expect_err("without metrics");
    assert_eq!(code.kind(), ErrorKind::InvalidArgument);
}

/// Changes a row of cellar.db behind the store's back.
fn sql(place: &Place, statement: &str) {
    let database = rusqlite::Connection::open(place.workspace().join("cellar.db")).expect("opens");
    assert_eq!(database.execute(statement, []).expect("SQL"), 1);
}

#[test]
fn terms_that_are_lost_or_damaged_are_named_and_nobody_can_agree_to_them() {
    let damages = ["DELETE FROM object WHERE kind = 26", "UPDATE object SET body = zeroblob(200) WHERE kind = 26"];
    for damage in damages {
        let place = Place::new();
        let here = place.open();
        let terms = NewTerms { name: "terms".into(), date: None, bytes: b"1. We keep it.".to_vec() };
        here.add_remote_with("origin", "memory", &[RemoteClass::Metrics], &[], Some(&terms)).expect("is added");
        let hash = here.consent_request("origin").expect("asks").hash;
        here.enable_remote("origin", &hash).expect("is enabled");
        is_whole(&here);
        drop(here);
        sql(&place, damage);
        let here = place.open();
        assert!(here.terms_document("origin", None).is_err());
        assert_eq!(here.enable_remote("origin", &hash).expect_err("is refused").kind(), ErrorKind::Damaged);
        let report = here.check(CheckOptions::default()).expect("is checked");
        assert!(report.problems.iter().any(|problem| problem.message.contains("terms document")), "{report:#?}");
    }
}

#[test]
fn terms_are_in_a_backup_and_readable_after_the_keys_were_replaced() {
    let place = Place::new();
    let here = place.open();
    let terms = NewTerms { name: "terms".into(), date: Some(7), bytes: b"1. We keep it.".to_vec() };
    here.add_remote_with("origin", "memory", &[RemoteClass::Metrics], &[], Some(&terms)).expect("is added");
    let hash = here.consent_request("origin").expect("asks").hash;
    here.enable_remote("origin", &hash).expect("is enabled");
    here.rotate_keys().expect("rotates");
    let to = place.root().join("backup");
    here.backup(&to, runcellar::BackupOptions::default()).expect("is backed up");
    let options = || runcellar::OpenOptions { keys: place.keys(), create: false, ..place.options() };
    runcellar::restore_from(&to, &place.root().join("again"), options()).expect("is restored");
    let again = options().open(&place.root().join("again")).expect("opens");
    for workspace in [&here, &again] {
        let (info, bytes) = workspace.terms_document("origin", None).expect("is there");
        assert_eq!((info.name.as_str(), info.date, bytes), ("terms", Some(7), terms.bytes.clone()));
        is_whole(workspace);
    }
}

#[test]
fn runs_of_other_projects_stay_at_home() {
    if is_network() {
        return;
    }
    let (place, mut remote) = (Place::new(), Objects::new());
    let here = place.open();
    record(&here, "wanted", 10);
    let run = here.run("private").id("unwanted").start().expect("starts");
    run.finish().expect("finishes");
    here.add_remote("origin", "memory", &[RemoteClass::Metrics], &["p".to_owned()]).expect("is added");
    push(&here, &mut remote);
    let (_other, there) = another(&place, &remote);
    pull(&there, &remote);
    assert_eq!(listed(&there).iter().map(|run| run.id.as_str()).collect::<Vec<_>>(), ["wanted"]);
}

/// Rows by kind and keys by purpose of what was prepared to be sent, as they stand in the own replica.
#[test]
fn of_a_class_that_was_not_agreed_to_no_row_and_no_key_leaves() {
    if is_network() {
        return;
    }
    let [metrics, code, media, artifacts] = RemoteClass::ALL;
    // Project, run, head, pages, writer, overview; manifest, bucket, artifact, pack, version.
    const OF_FILES: [i64; 5] = [13, 14, 20, 23, 24];
    // The kinds and purposes that come with each class.
    let cases: [(&[RemoteClass], &[i64], &[i64]); 4] = [
        (&[metrics], &[], &[1, 32, 33]),
        (&[metrics, code], &[13, 14, 23], &[1, 2, 32, 33, 36, 41]),
        (&[metrics, media], &[13, 14, 23], &[1, 3, 32, 33, 36, 42]),
        (&[metrics, artifacts], &[13, 14, 20, 23, 24], &[1, 32, 33, 34, 35, 36, 40]),
    ];
    for (classes, kinds, purposes) in cases {
        let place = Place::new();
        crate::merge::fill(&place);
        let here = place.open();
        let run = here.run("p").id("coded").start().expect("starts");
        std::fs::create_dir(place.root().join("source")).expect("makes");
        std::fs::write(place.root().join("source/train.py"), "print()").expect("writes");
        let folder = CodeFolder { root: place.root().join("source"), ..CodeFolder::default() };
        assert_eq!(run.log_code(&folder).expect("is kept").files, 1);
        run.finish().expect("finishes");
        here.add_remote("origin", "memory", classes, &[]).expect("is added");
        let exchange = exchange(&here);
        let prepared = exchange.prepare().expect("prepares");
        assert!(prepared.left_out.is_empty(), "{prepared:?}");
        assert_eq!(prepared.packs > 0, classes.len() > 1, "{prepared:?}");
        let remote = place.workspace().join("remotes").join(&here.remote("origin").expect("is known").id);
        let replica = remote.join(exchange.prefix()).join("cellar.db");
        drop(exchange);
        let database = rusqlite::Connection::open(replica).expect("opens");
        let numbers = |sql: &str| -> Vec<i64> {
            let mut statement = database.prepare(sql).expect("SQL");
            let rows = statement.query_map([], |row| row.get(0)).expect("reads");
            rows.map(|row| row.expect("a number")).collect()
        };
        let mut found = numbers("SELECT DISTINCT kind FROM object ORDER BY kind");
        found.retain(|kind| OF_FILES.contains(kind));
        assert_eq!(found, kinds, "{classes:?}");
        assert_eq!(
            numbers("SELECT DISTINCT purpose FROM key WHERE purpose < 64 ORDER BY purpose"),
            purposes,
            "{classes:?}"
        );
    }
}
