//! Purging: what goes is gone for whoever has every byte of before, what stays is whole, and a crash at any point leaves
//! one or the other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use runcellar::artifacts::{ArtifactDraft, PutSettings};
use runcellar::{
    CheckOptions, ErrorKind, Keys, NewMedia, PurgeOptions, Purged, Receipt, Resume, Selection, Target, Workspace, json,
};

use crate::support::io::{Call, Fate, Faults, Hooked};
use crate::support::{Heard, Place, Rng, child, copy_dir, is_network};

fn record(workspace: &Workspace, project: &str, id: &str) {
    let run = workspace.run(project).id(id).config(json!({"lr": 0.1})).start().expect("starts");
    (0..20).for_each(|step| run.log([("loss", f64::from(step))]).expect("logs"));
    run.finish().expect("finishes");
}

fn put(workspace: &Workspace, name: &str, seeds: &[u64]) -> String {
    let mut draft = ArtifactDraft::new(name, "dataset").expect("a name");
    for seed in seeds {
        let mut rng = Rng(*seed);
        let noise: Vec<u8> = std::iter::repeat_with(|| rng.next().to_le_bytes()).flatten().take(100_000).collect();
        draft.add_bytes(&format!("part-{seed}"), noise).expect("adds");
    }
    let settings = PutSettings { project: "p".into(), ..PutSettings::default() };
    workspace.put_artifact(&draft, &settings).expect("puts").version.full_name()
}

fn targets(all: &[&str]) -> Vec<Target> {
    all.iter().map(|text| text.parse().expect("a target")).collect()
}

#[track_caller]
fn purge(workspace: &Workspace, all: &[&str]) -> Purged {
    let purged = workspace.purge(&targets(all), PurgeOptions::default()).expect("purges");
    purged.receipt.verify().expect("is signed");
    assert!(purged.receipt.is_complete(), "{}", purged.receipt.to_json());
    purged
}

/// Purges a run that is being recorded. On a network file system its journal is sealed to the ingest pair of before, which
/// stays until the writer has ended: then the next opener completes the receipt.
#[track_caller]
fn purge_at_work(workspace: &Workspace, run: &str) {
    let purged = workspace.purge(&targets(&[run]), PurgeOptions::default()).expect("purges");
    purged.receipt.verify().expect("is signed");
    assert_eq!(purged.receipt.is_complete(), !is_network(), "{}", purged.receipt.to_json());
    let has_ingest_key = purged.receipt.residual_openers().iter().any(|opener| opener["kind"] == "ingest_key");
    assert_eq!(has_ingest_key, is_network());
}

#[track_caller]
fn assert_receipt_is_complete(workspace: &Workspace) {
    let receipts = workspace.receipts().expect("lists");
    assert_eq!(receipts.len(), 1);
    receipts[0].verify().expect("is signed");
    assert!(receipts[0].is_complete(), "{}", receipts[0].to_json());
    assert!(receipts[0].residual_openers().iter().all(|opener| opener["kind"] != "ingest_key"));
}

#[track_caller]
fn assert_whole(workspace: &Workspace) {
    let report = workspace.check(CheckOptions { read_data: true }).expect("checks");
    assert!(report.is_ok(), "{:#?}", report.problems);
}

#[track_caller]
fn assert_run(workspace: &Workspace, id: &str) {
    let run = workspace.find_run(id).expect("is there");
    assert_eq!(workspace.series(&run, "loss", None).expect("reads").steps.len(), 20, "{id}");
}

fn ids(workspace: &Workspace) -> BTreeSet<String> {
    workspace.runs(&Selection::default()).expect("lists").into_iter().map(|run| run.id).collect()
}

#[track_caller]
fn assert_gone<T: std::fmt::Debug>(found: runcellar::Result<T>) {
    assert_eq!(found.expect_err("it is gone").kind(), ErrorKind::NotFound);
}

#[test]
fn what_is_purged_is_gone_and_everything_else_is_whole() {
    let place = Place::new();
    let workspace = place.open();
    for id in ["keep-one", "goes-one", "keep-two"] {
        record(&workspace, "p", id);
    }
    record(&workspace, "q", "goes-too");
    put(&workspace, "both", &[1, 2]);
    put(&workspace, "goes", &[2, 3]);
    let other = place.open();
    assert_eq!(ids(&other).len(), 4);
    let plan = workspace.plan_purge(&targets(&["goes-one", "artifact:goes:v0", "goes-one"])).expect("plans");
    let named: Vec<_> = plan.items.iter().map(|item| (item.kind.as_str(), item.name.rsplit('/').next())).collect();
    assert_eq!(named.len(), 2, "{named:?}");
    assert!(plan.items.iter().all(|item| item.objects > 0 && item.bytes > 0), "{plan:#?}");
    assert!(plan.items[1].bytes > 100_000 && plan.items[1].bytes < 110_000, "part-3 alone: {plan:#?}");
    assert!(plan.shared.bytes > 100_000 && plan.shared.bytes < 110_000, "part-2 stays: {plan:#?}");
    assert_eq!(plan.bytes, plan.items.iter().map(|item| item.bytes).sum::<u64>());
    assert_eq!(ids(&workspace).len(), 4, "a plan changes nothing");

    let purged = purge(&workspace, &["goes-one", "artifact:goes:v0"]);
    assert_eq!(purged.receipt.targets().len(), 2);
    let left = crate::blob_damage::packs(&place);
    assert_eq!(left.len(), 1, "the pack of part-3 went with its last chunk: {left:?}");
    assert_eq!(purge(&workspace, &["project:q"]).receipt.targets()[0]["kind"], "project");
    for workspace in [&workspace, &other, &place.open()] {
        assert_eq!(ids(workspace), ["keep-one", "keep-two"].map(str::to_owned).into());
        assert_gone(workspace.find_run("goes-one"));
        assert_gone(workspace.artifact("goes:v0"));
        ["keep-one", "keep-two"].into_iter().for_each(|id| assert_run(workspace, id));
        let verified = workspace.artifact("both").expect("finds").verify().expect("verifies");
        assert!(verified.hurt.is_empty() && verified.bytes == 200_000, "{:?}", verified.hurt);
        assert_whole(workspace);
        assert_eq!(workspace.receipts().expect("lists").len(), 2);
    }
    // The names are free again.
    record(&workspace, "q", "goes-one");
    put(&workspace, "goes", &[3]);
    assert_run(&other, "goes-one");
    assert_whole(&workspace);
}

#[test]
fn media_and_code_of_a_run_go_alone() {
    let place = Place::new();
    let workspace = place.open();
    let run = workspace.run("p").id("with-media").start().expect("starts");
    (0..20).for_each(|step| run.log([("loss", f64::from(step))]).expect("logs"));
    let note = NewMedia {
        kind: "text".into(),
        format: "txt".into(),
        metadata: json!({"caption": "a caption"}),
        content: Arc::new(b"a secret note".to_vec()),
        companions: Vec::new(),
        parts: Vec::new(),
    };
    run.log_media(None, None, vec![("note".into(), note)], |_| {}).expect("logs");
    run.finish().expect("finishes");
    let info = workspace.find_run("with-media").expect("is there");
    assert_eq!(workspace.media(&info).expect("lists").list().len(), 1);
    purge(&workspace, &["class:media@with-media"]);
    assert_run(&workspace, "with-media");
    assert_eq!(workspace.media(&info).expect("lists").list().len(), 0);
    assert_whole(&workspace);
    purge(&workspace, &["with-media"]);
    assert_gone(workspace.find_run("with-media"));
    assert_whole(&workspace);
}

#[test]
fn what_derives_from_a_version_goes_with_it_if_that_is_asked_for() {
    let place = Place::new();
    let workspace = place.open();
    put(&workspace, "source", &[1]);
    for (id, uses) in [("derived", "source:v0"), ("further", "made:v0")] {
        let run = workspace.run("p").id(id).start().expect("starts");
        let info = workspace.find_run(id).expect("listed");
        workspace.use_version(&workspace.artifact(uses).expect("finds"), &info).expect("uses");
        let mut draft = ArtifactDraft::new(if id == "derived" { "made" } else { "last" }, "model").expect("a name");
        draft.add_bytes("model", id.as_bytes().to_vec()).expect("adds");
        let settings = PutSettings { project: "p".into(), run: Some(id.into()), ..PutSettings::default() };
        workspace.put_artifact(&draft, &settings).expect("puts");
        run.finish().expect("finishes");
    }
    record(&workspace, "p", "other");
    let purged = purge(&workspace, &["from:artifact:source:v0"]);
    assert_eq!(purged.receipt.targets().len(), 4, "{}", purged.receipt.to_json());
    assert_eq!(ids(&workspace), ["other".to_owned()].into());
    workspace.artifact("source:v0").expect("the version itself stays");
    ["made", "last"].into_iter().for_each(|name| assert_gone(workspace.artifact(name)));
    assert_whole(&workspace);
    let nothing = workspace.purge(&targets(&["older:1d"]), PurgeOptions::default()).expect_err("nothing is that old");
    assert_eq!(nothing.kind(), ErrorKind::NotFound);
}

#[test]
fn a_receipt_names_what_could_still_open_older_copies() {
    let place = Place::new();
    let workspace = place.open();
    record(&workspace, "p", "goes");
    record(&workspace, "p", "stays");
    workspace.add_passphrase(&"a passphrase".to_owned().into(), "mine").expect("adds");
    let (_, code) = workspace.add_recovery_code("safe").expect("adds");
    let capsules = ["goes", "stays"].map(|id| {
        let run = workspace.find_run(id).expect("listed");
        workspace.note_capsule(&[run], &[]).expect("is noted")
    });
    let strict = PurgeOptions { strict: true, ..PurgeOptions::default() };
    let refused = workspace.purge(&targets(&["goes"]), strict).expect_err("the passphrase opens without a key file");
    assert!(refused.to_string().contains("opens the workspace without a key file"), "{refused}");
    assert_run(&workspace, "goes");
    let options = PurgeOptions { new_recovery_code: true, ..PurgeOptions::default() };
    let purged = workspace.purge(&targets(&["goes"]), options).expect("purges");
    let kinds: BTreeSet<&str> =
        purged.receipt.residual_openers().iter().filter_map(|opener| opener["kind"].as_str()).collect();
    assert_eq!(kinds, ["export", "host_backup", "key_file", "passphrase", "recovery_code"].into());
    let exports = purged.receipt.residual_openers().iter().filter(|opener| opener["kind"] == "export");
    assert!(exports.map(|opener| &opener["id"]).eq([&capsules[0]]), "the capsule of what stays is none of its affair");
    let text = purged.receipt.to_json();
    for name in ["goes", "stays", "safe", "mine", "\"p\""] {
        assert!(!text.contains(name), "{name} in {text}");
    }
    let new_code = purged.recovery_code.expect("there was one");
    drop(workspace);
    let typed = |text: &str| Keys {
        directory: Some(place.root().join("none")),
        passphrase: Some(text.to_owned().into()),
        ..Keys::default()
    };
    let old = Workspace::open(place.workspace(), typed(&code)).expect_err("the old code");
    assert_eq!(old.kind(), ErrorKind::Locked);
    let workspace = Workspace::open(place.workspace(), typed(&new_code)).expect("the new code opens");
    assert_run(&workspace, "stays");
    assert_eq!(workspace.receipts().expect("lists"), [Receipt::parse(&text).expect("a receipt")]);
}

/// What a copy of before holds does not open with the key files of after, and what stays opens nowhere else.
#[test]
fn an_older_copy_opens_with_the_older_key_file_only() {
    let place = Place::new();
    let workspace = place.open();
    record(&workspace, "p", "goes");
    record(&workspace, "p", "stays");
    drop(workspace);
    let (copy, old_keys) = (place.root().join("copy"), place.root().join("old-keys"));
    copy_dir(&place.workspace(), &copy);
    copy_dir(&place.keys_dir(), &old_keys);
    purge(&place.open_silently(), &["goes"]);
    let locked = Workspace::open(&copy, place.keys()).expect_err("the new key file");
    assert_eq!(locked.kind(), ErrorKind::Locked, "{locked}");
    // The receipt lists the old key file: with it the copy opens.
    let keys = Keys { directory: Some(old_keys), ..Keys::default() };
    assert_run(&Workspace::open(&copy, keys).expect("opens"), "goes");
    assert_run(&place.open_silently(), "stays");
}

/// Logs into a run until its parent says that it was purged.
pub(crate) fn logs_while_it_is_purged(place: &Place, _: &str) {
    let workspace = place.open_silently();
    let run = workspace.run("p").id("at-work").start().expect("starts");
    let mut step = 0;
    while !place.root().join("purged").exists() {
        run.log([("loss", f64::from(step))]).expect("logs");
        step += 1;
        if step == 50 {
            std::fs::write(place.root().join("logging"), b"").expect("says so");
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    (0..100).for_each(|step| run.log([("late", f64::from(step))]).expect("logs"));
    run.finish().expect("finishes");
}

#[test]
fn a_run_at_work_is_purged_and_what_it_logs_later_is_dropped() {
    let place = Place::new();
    let workspace = place.open();
    record(&workspace, "p", "stays");
    let mut child = child::start("logs_while_it_is_purged", &place, "");
    while !place.root().join("logging").exists() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert_eq!(workspace.plan_purge(&targets(&["at-work"])).expect("plans").at_work, ["at-work"]);
    purge_at_work(&workspace, "at-work");
    assert_gone(workspace.find_run("at-work"));
    std::fs::write(place.root().join("purged"), b"").expect("says so");
    assert!(child.wait().expect("ends").success());
    let workspace = place.open();
    assert_eq!(ids(&workspace), ["stays".to_owned()].into());
    assert_eq!(place.journal_files(), Vec::<PathBuf>::new());
    assert_receipt_is_complete(&workspace);
    assert_whole(&workspace);
}

#[test]
fn a_tombstone_that_somebody_else_wrote_costs_no_journal() {
    let place = Place::new();
    drop(place.open());
    let mut child = child::start("logs_while_it_is_purged", &place, "");
    while !place.root().join("logging").exists() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    child.kill().expect("kills");
    child.wait().expect("ends");
    let journals = place.journal_files();
    let writer = std::fs::read(&journals[0]).expect("reads")[26..42].to_vec();
    let forged = "INSERT INTO object (kind, id, position, device, seq, body) \
                  VALUES (18, ?1, 0, zeroblob(16), 0, randomblob(120))";
    let connection = rusqlite::Connection::open(place.database()).expect("opens");
    connection.execute(forged, [&writer]).expect("inserts");
    let heard = Arc::new(Heard::default());
    let workspace = place.open_with(Hooked::new(|_: Call, _: &Path| Fate::Done), heard.clone()).expect("opens");
    assert!(heard.all().iter().any(|said| said.contains("tombstone")), "{:?}", heard.all());
    assert_eq!(place.journal_files(), journals);
    assert!(!workspace.check(CheckOptions::default()).expect("checks").is_ok());
    drop(workspace);
    connection.execute("DELETE FROM object WHERE kind = 18 AND id = ?1", [&writer]).expect("deletes");
    let workspace = place.open();
    let run = workspace.find_run("at-work").expect("is there");
    assert!(workspace.series(&run, "loss", None).expect("reads").steps.len() >= 50);
    assert_eq!(place.journal_files(), Vec::<PathBuf>::new());
}

#[test]
fn a_receipt_that_does_not_open_keeps_nobody_from_the_rest() {
    let place = Place::new();
    let workspace = place.open();
    ["goes", "stays"].into_iter().for_each(|id| record(&workspace, "p", id));
    purge(&workspace, &["goes"]);
    drop(workspace);
    let connection = rusqlite::Connection::open(place.database()).expect("opens");
    let broken = "UPDATE object SET body = CAST(substr(body, 1, 90) || randomblob(40) AS BLOB) WHERE kind = 25";
    assert_eq!(connection.execute(broken, []).expect("updates"), 1);
    drop(connection);
    let heard = Arc::new(Heard::default());
    let workspace = place.open_with(Hooked::new(|_: Call, _: &Path| Fate::Done), heard.clone()).expect("opens");
    assert!(heard.all().iter().any(|said| said.contains("a purge is not complete yet")), "{:?}", heard.all());
    assert_run(&workspace, "stays");
    let report = workspace.check(CheckOptions::default()).expect("checks");
    assert!(report.problems.iter().any(|problem| problem.message.contains("receipt")), "{:#?}", report.problems);
}

#[test]
fn a_run_of_this_process_may_be_purged_while_it_is_recorded() {
    let place = Place::new();
    let workspace = place.open();
    let run = workspace.run("p").id("at-work").start().expect("starts");
    (0..20).for_each(|step| run.log([("loss", f64::from(step))]).expect("logs"));
    purge_at_work(&workspace, "at-work");
    (0..20).for_each(|step| run.log([("late", f64::from(step))]).expect("logs"));
    run.finish().expect("finishes");
    assert_gone(workspace.find_run("at-work"));
    assert_eq!(place.journal_files(), Vec::<PathBuf>::new());
    let again = workspace.run("p").id("at-work").resume(Resume::Never).start().expect("its id is free");
    again.finish().expect("finishes");
    let workspace = place.open();
    assert_receipt_is_complete(&workspace);
    assert_whole(&workspace);
}

fn changes(call: Call) -> bool {
    use Call::{Append, Create, Link, Remove, Rename, Sync, SyncDir};
    matches!(call, Append | Create | Link | Remove | Rename | Sync | SyncDir)
}

/// Purges and kills itself at the n-th change of a file.
pub(crate) fn dies_purging(place: &Place, argument: &str) {
    let at: u64 = argument.parse().expect("a number");
    let armed = Arc::new(AtomicU64::new(u64::MAX));
    let left = armed.clone();
    let io = Hooked::new(move |call: Call, _: &Path| {
        if changes(call) && left.load(Ordering::SeqCst) != u64::MAX && left.fetch_sub(1, Ordering::SeqCst) == 1 {
            // SAFETY: has no preconditions.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        }
        Fate::Done
    });
    let workspace = place.open_with(io, Arc::new(Heard::default())).expect("opens");
    armed.store(at, Ordering::SeqCst);
    purge(&workspace, &["goes", "artifact:goes"]);
    // What follows is no part of it.
    armed.store(u64::MAX, Ordering::SeqCst);
}

#[test]
fn killed_at_any_write_a_purge_has_not_happened_or_is_completed_by_the_next_opener() {
    let (mut olds, mut news) = (0, 0);
    for at in 1.. {
        let place = Place::new();
        let workspace = place.open();
        record(&workspace, "p", "goes");
        record(&workspace, "p", "stays");
        put(&workspace, "goes", &[1]);
        drop(workspace);
        if child::start("dies_purging", &place, at.to_string()).wait().expect("ends").success() {
            assert!(at > 12, "it writes {at} times");
            break;
        }
        let workspace = place.open_silently();
        assert_run(&workspace, "stays");
        match workspace.find_run("goes") {
            Ok(_) => {
                assert_run(&workspace, "goes");
                let verified = workspace.artifact("goes").expect("finds").verify().expect("verifies");
                assert!(verified.hurt.is_empty(), "kill {at}: {:?}", verified.hurt);
                assert_eq!(workspace.receipts().expect("lists"), [], "kill {at}");
                olds += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NotFound, "kill {at}: {error}");
                assert_gone(workspace.artifact("goes"));
                let receipts = workspace.receipts().expect("lists");
                assert_eq!(receipts.len(), 1, "kill {at}");
                receipts[0].verify().expect("is signed");
                assert!(receipts[0].is_complete(), "kill {at}: {}", receipts[0].to_json());
                news += 1;
            }
        }
        assert_whole(&workspace);
    }
    assert!(olds > 5 && news > 3, "{olds} {news}");
}

#[test]
fn a_failure_at_any_write_of_a_purge_changes_nothing_or_is_finished_by_the_next_opener() {
    let (mut olds, mut news) = (0, 0);
    for at in 1.. {
        let place = Place::new();
        let faults = Faults::new(changes, at, at + 1, Fate::Fails(libc::ENOSPC));
        let io = Hooked::shared(faults.clone());
        let workspace = place.open_with(io, Arc::new(Heard::default())).expect("opens");
        ["goes", "stays"].into_iter().for_each(|id| record(&workspace, "p", id));
        put(&workspace, "goes", &[1]);
        faults.arm(true);
        let purged = workspace.purge(&targets(&["goes", "artifact:goes"]), PurgeOptions::default());
        faults.arm(false);
        let was_hit = faults.seen() >= at;
        drop(workspace);
        let workspace = place.open();
        assert_run(&workspace, "stays");
        match workspace.find_run("goes") {
            Ok(_) => {
                assert_run(&workspace, "goes");
                let error = purged.expect_err("it says so");
                assert_eq!(error.kind(), ErrorKind::ReadOnly, "failure {at}: {error}");
                assert_eq!(workspace.receipts().expect("lists"), [], "failure {at}");
                olds += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NotFound, "failure {at}: {error}");
                assert_receipt_is_complete(&workspace);
                news += 1;
            }
        }
        assert_whole(&workspace);
        if !was_hit {
            break;
        }
    }
    assert!(olds > 3 && news > 3, "{olds} {news}");
}

/// Reads the database until its parent ends it.
pub(crate) fn reads_on(place: &Place, _: &str) {
    let connection = rusqlite::Connection::open(place.database()).expect("opens");
    connection.execute_batch("BEGIN; SELECT count(*) FROM key").expect("reads");
    std::fs::write(place.root().join("reading"), b"").expect("says so");
    loop {
        std::thread::park();
    }
}

#[test]
fn a_purge_beside_a_reader_says_who_reads_and_is_complete_once_that_ends() {
    if is_network() {
        // Readers have a copy of their own there.
        return;
    }
    let place = Place::new();
    let heard = Arc::new(Heard::default());
    let workspace = place.open_with(Hooked::new(|_: Call, _: &Path| Fate::Done), heard.clone()).expect("opens");
    ["goes", "stays"].into_iter().for_each(|id| record(&workspace, "p", id));
    let reader = child::start("reads_on", &place, "");
    while !place.root().join("reading").exists() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let purged = workspace.purge(&targets(&["goes"]), PurgeOptions::default()).expect("purges");
    assert!(!purged.receipt.is_complete(), "{}", purged.receipt.to_json());
    purged.receipt.verify().expect("is signed, and says what is left");
    let said = heard.warnings().join("; ");
    assert!(said.contains(&format!("process {} ", reader.id())) && said.contains("reads the database"), "{said}");
    assert_gone(workspace.find_run("goes"));
    drop(workspace);
    child::kill(reader);
    let workspace = place.open();
    assert_receipt_is_complete(&workspace);
    assert_whole(&workspace);
}

#[test]
fn runs_that_rm_hid_are_erased_after_thirty_days_and_retention_hides_what_ended_long_ago() {
    const DAY_US: i64 = 24 * 3600 * 1_000_000;
    let place = Place::new();
    let io = Hooked::new(|_: Call, _: &Path| Fate::Done);
    let workspace = place.open_with(io.clone(), Arc::new(Heard::default())).expect("opens");
    ["hidden", "old", "other"].into_iter().for_each(|id| record(&workspace, if id == "other" { "q" } else { "p" }, id));
    workspace.remove_runs(&[workspace.find_run("hidden").expect("listed")]).expect("hides");
    workspace.set_setting("retention.days", Some("20")).expect("sets");
    workspace.set_setting("retention.days:q", Some("0")).expect("sets");
    let names = |runs: &[runcellar::RunInfo]| runs.iter().map(|run| run.id.clone()).collect::<Vec<_>>();
    let after = |days: i64| {
        io.move_wall_clock(days * DAY_US);
        let expiring = workspace.expiring().expect("looks");
        let collected = workspace.collect_garbage(runcellar::CollectOptions::default()).expect("collects");
        assert_eq!((collected.erased, collected.hidden), (expiring.erased.len() as u64, expiring.hidden.len() as u64));
        (names(&expiring.erased), names(&expiring.hidden))
    };
    assert_eq!(after(19), (vec![], vec![]));
    assert_eq!(after(2), (vec![], vec!["old".to_owned()]));
    assert_eq!(ids(&workspace), ["other".to_owned()].into());
    assert_eq!(after(10), (vec!["hidden".to_owned()], vec![]));
    assert_gone(workspace.find_run("hidden"));
    assert_run(&workspace, "old");
    workspace.restore_runs(&[workspace.find_run("old").expect("listed")]).expect("shows it again");
    workspace.set_setting("retention.days", None).expect("sets");
    assert_eq!(after(49), (vec![], vec![]));
    ["old", "other"].into_iter().for_each(|id| assert_run(&workspace, id));
    assert_whole(&workspace);
}

/// SQLite's locks end with any descriptor of the database that the process closes. Whoever else closes the workspace then
/// takes itself for the last, and removes the log that this process goes on to write.
#[test]
fn looking_through_the_files_after_a_purge_drops_no_lock_of_the_database() {
    use std::os::unix::fs::MetadataExt as _;
    let place = Place::new();
    let workspace = place.open();
    ["goes", "stays"].into_iter().for_each(|id| record(&workspace, "p", id));
    let file = std::fs::metadata(place.database()).expect("is there");
    let named = format!(" {:02x}:{:02x}:{} ", libc::major(file.dev()), libc::minor(file.dev()), file.ino());
    let own = |line: &&str| line.contains(&format!(" {} ", std::process::id())) && line.contains(&named);
    let locks =
        || std::fs::read_to_string("/proc/locks").map(|all| all.lines().filter(own).count()).unwrap_or_default();
    // What goes on in the background ends first.
    let keeps_one = || {
        (0..600).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(50));
            locks() == 1
        })
    };
    assert!(is_network() || keeps_one(), "SQLite keeps one on the file: {}", locks());
    purge(&workspace, &["goes"]);
    assert!(is_network() || keeps_one(), "it is gone: {}", locks());
}

/// Somebody records into a project, and puts a version, after the plan was made and before the lock is taken.
#[test]
fn what_is_added_between_plan_and_purge_goes_with_the_rest() {
    let place = Place::new();
    let workspace = place.open();
    record(&workspace, "p", "planned");
    record(&workspace, "q", "stays");
    let name = put(&workspace, "data", &[1]);
    drop(workspace);
    for target in ["artifact:data", "project:p"] {
        let (keyslots, reads) = (place.workspace().join("keyslots"), AtomicU64::new(0));
        let (root, is_project) = (place.root().to_owned(), target == "project:p");
        let armed = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (is_armed, version) = (armed.clone(), name.clone());
        let io = Hooked::new(move |call: Call, path: &Path| {
            // The keys are looked at when all has been planned.
            let is_it = call == Call::Read && path == keyslots && is_armed.load(Ordering::SeqCst);
            if is_it && reads.fetch_add(1, Ordering::SeqCst) == 0 {
                let other = Place::at(&root).open();
                match is_project {
                    true => record(&other, "p", "added"),
                    false => assert_ne!(put(&other, "data", &[2]), version),
                }
            }
            Fate::Done
        });
        let workspace = place.open_with(io, Arc::new(Heard::default())).expect("opens");
        armed.store(true, Ordering::SeqCst);
        let purged = purge(&workspace, &[target]);
        let kinds: Vec<&str> = purged.receipt.targets().iter().filter_map(|target| target["kind"].as_str()).collect();
        assert_eq!(kinds.len(), 1, "{kinds:?}");
        assert_gone(workspace.find_run("added"));
        assert_whole(&workspace);
    }
    let workspace = place.open();
    assert_eq!(ids(&workspace), ["stays".to_owned()].into());
    assert_gone(workspace.artifact("data"));
}
