//! Repair of packs: what rows and pack files tell of each other is made whole again, what nothing can open is set aside, and
//! `check` promises no more and no less.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use runcellar::artifacts::{ArtifactDraft, DownloadOptions, PutSettings};
use runcellar::{
    CheckOptions, CheckReport, CollectOptions, LeftWhy, Monitor, OpenOptions, ProblemKind, Repair, RepairAction,
    RepairReport, Severity, Workspace,
};
use rusqlite::Connection;

use crate::blob_damage::{content, only_pack, packs, parts};
use crate::support::{Place, Rng, age, list};

/// Kinds of objects: docs/FORMAT.md, "cellar.db".
const BUCKET: u16 = 14;
const PACK: u16 = 23;

/// As `blob_damage` puts them: each one chunk.
const FILES: [(&str, usize); 3] = [("a", 20_000), ("b/c", 25_000), ("d", 30_000)];

fn put(workspace: &Workspace, name: &str) {
    let mut draft = ArtifactDraft::new(name, "dataset").expect("a name");
    for (path, len) in FILES {
        draft.add_bytes(path, content((len + name.len()) as u64, len)).expect("adds");
    }
    let settings = PutSettings { project: "digits".into(), ..PutSettings::default() };
    workspace.put_artifact(&draft, &settings).expect("puts");
}

fn check(place: &Place, read_data: bool) -> CheckReport {
    place.open().check(CheckOptions { read_data }).expect("checks")
}

fn repair(place: &Place) -> RepairReport {
    place.open().repair(&Repair::default()).expect("repairs")
}

fn actions(report: &RepairReport) -> Vec<RepairAction> {
    report.done.iter().map(|done| done.action.clone()).collect()
}

/// The paths of an artifact that do not come out; all others must be as they were put.
fn hurt(place: &Place, name: &str) -> Vec<String> {
    let to = place.root().join("to");
    let _ = fs::remove_dir_all(&to);
    let version = place.open().artifact(name).expect("finds");
    let got = version.download(&to, &DownloadOptions::default()).expect("downloads");
    let hurt: Vec<String> = got.hurt.into_iter().map(|hurt| hurt.path).collect();
    for (path, len) in FILES {
        let wanted = (!hurt.contains(&path.to_owned())).then(|| content((len + name.len()) as u64, len));
        assert!(fs::read(to.join(path)).ok() == wanted, "{path}: comes out whole or not at all");
    }
    hurt
}

/// Problems that are errors, as texts: those that `repair` can mend, or the others.
fn errors(report: &CheckReport, repairable: bool) -> BTreeSet<String> {
    let errors = report.problems.iter().filter(|problem| problem.severity == Severity::Error);
    errors.filter(|problem| problem.repairable == repairable).map(|problem| problem.message.clone()).collect()
}

/// Compares what `check` promises with what `repair` does.
#[track_caller]
fn assert_truthful(before: &CheckReport, after: &CheckReport, noun: &str) {
    assert_eq!(errors(after, true), BTreeSet::new(), "{noun}: can be mended, and was not");
    let mended = errors(before, true);
    let still = errors(after, false).intersection(&mended).cloned().collect::<Vec<_>>();
    assert_eq!(still, Vec::<String>::new(), "{noun}: was said to be mended");
    let of_paths = |report: &CheckReport| -> BTreeSet<Option<String>> {
        let lost = report.problems.iter().filter(|problem| problem.path.is_some() && !problem.repairable);
        lost.map(|problem| problem.path.clone()).collect()
    };
    assert_eq!(of_paths(before), of_paths(after), "{noun}: what cannot be mended is still named");
}

fn sql(place: &Place, statement: &str) {
    let connection = Connection::open(place.database()).expect("opens");
    assert!(connection.execute(statement, []).expect(statement) > 0, "{statement}: changes something");
    connection.close().expect("closes");
}

#[test]
fn rows_of_packs_are_rebuilt_from_the_packs_alone() {
    let mut rng = Rng::seeded();
    let mut damages = vec![format!("DELETE FROM object WHERE kind = {PACK}")];
    // Magic, key, salt, commitment, the middle, the tag.
    for at in [1, 5 + rng.below(16), 21 + rng.below(24), 45 + rng.below(32), 77 + rng.below(400), u64::MAX] {
        let at = if at == u64::MAX { "length(body)".to_owned() } else { at.to_string() };
        damages.push(format!(
            "UPDATE object SET body = CAST(substr(body, 1, {at} - 1) \
             || CASE substr(body, {at}, 1) WHEN x'00' THEN x'01' ELSE x'00' END || substr(body, {at} + 1) AS BLOB) \
             WHERE kind = {PACK}"
        ));
    }
    damages.push(format!("UPDATE object SET body = x'' WHERE kind = {PACK}"));
    damages.push(format!("UPDATE object SET body = substr(body, 1, 100) WHERE kind = {PACK}"));
    for damage in damages {
        let place = Place::new();
        for name in ["data", "other"] {
            put(&place.open(), name);
        }
        sql(&place, &damage);
        for read_data in [false, true] {
            let report = check(&place, read_data);
            assert!(!errors(&report, true).is_empty(), "{damage}: nothing said so");
            assert_eq!(errors(&report, false), BTreeSet::new(), "{damage}: all of it can be mended");
            let named: BTreeSet<_> = report.problems.iter().filter_map(|problem| problem.path.clone()).collect();
            assert_eq!(named.len(), 3, "{damage}: {named:?}");
        }
        assert_eq!(hurt(&place, "data").len(), 3, "{damage}: the rest of the workspace still works");
        assert_eq!(actions(&repair(&place)), [RepairAction::Rebuilt, RepairAction::Rebuilt], "{damage}");
        let report = check(&place, true);
        assert_eq!(report.problems, [], "{damage}");
        assert_eq!((hurt(&place, "data"), hurt(&place, "other")), (vec![], vec![]), "{damage}");
        assert_eq!(actions(&repair(&place)), [], "{damage}: once is enough");
    }
}

#[test]
fn what_stands_around_the_chunks_is_written_again_byte_for_byte() {
    let (place, mut rng) = (Place::new(), Rng::seeded());
    put(&place.open(), "data");
    let pack = only_pack(&place);
    let whole = fs::read(&pack).expect("reads");
    let mut damaged = vec![("cut", whole[..whole.len() - 1].to_vec()), ("longer", [&whole[..], &[0; 9]].concat())];
    for (part, path, range) in parts(&whole) {
        for at in [range.start, range.end - 1, range.start + rng.below(range.len() as u64) as usize] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << rng.below(8);
            damaged.push((path.unwrap_or(part), bytes));
        }
        if part == "padding" {
            damaged.push(("cut in the padding", whole[..range.start].to_vec()));
        }
    }
    for (part, bytes) in damaged {
        fs::write(&pack, bytes).expect("writes");
        let (quick, before) = (check(&place, false), check(&place, true));
        let report = repair(&place);
        assert_truthful(&quick, &check(&place, false), part);
        assert_truthful(&before, &check(&place, true), part);
        let is_chunk = FILES.iter().any(|(path, _)| *path == part);
        let wanted = if is_chunk { vec![] } else { vec![RepairAction::Rewritten] };
        assert_eq!(actions(&report), wanted, "{part}: {report:?}");
        assert_eq!(fs::read(&pack).expect("reads") == whole, !is_chunk, "{part}");
        assert_eq!(hurt(&place, "data").len(), usize::from(is_chunk), "{part}");
    }
}

#[test]
fn a_pack_whose_keys_are_lost_is_set_aside_and_its_content_can_be_put_again() {
    for lost in [
        format!("DELETE FROM object WHERE kind = {BUCKET}"),
        format!("UPDATE object SET body = x'00' WHERE kind = {BUCKET}"),
        "DELETE FROM key WHERE purpose = 36".to_owned(),
    ] {
        let place = Place::new();
        put(&place.open(), "data");
        let pack = only_pack(&place);
        sql(&place, &lost);
        let before = check(&place, true);
        assert!(errors(&before, true).is_empty() && !before.is_ok(), "{lost}: {:#?}", before.problems);
        let report = repair(&place);
        assert_eq!(actions(&report), [RepairAction::SetAside], "{lost}");
        let aside = list(&place.workspace().join("quarantine"));
        assert_eq!(aside.len(), 1, "{lost}");
        assert_eq!(aside[0].file_name(), pack.file_name());
        assert!(packs(&place).is_empty(), "{lost}");
        let after = check(&place, true);
        assert_truthful(&before, &after, &lost);
        for (path, _) in FILES {
            let named = after.problems.iter().any(|problem| {
                problem.artifact.as_deref() == Some("digits/data:v0") && problem.path.as_deref() == Some(path)
            });
            assert!(named, "{lost}: {path} is named: {:#?}", after.problems);
        }
        let noted = after.problems.iter().any(|problem| {
            problem.severity == Severity::Note && problem.file.as_ref().is_some_and(|file| aside[0].ends_with(file))
        });
        assert!(noted, "{lost}: what is set aside is named");
        // Who has the files has it all again, and collects, and removes.
        put(&place.open(), "data");
        assert_eq!(hurt(&place, "data"), Vec::<String>::new(), "{lost}");
        place.open().collect_garbage(CollectOptions { now: true }).expect("collects");
        assert_eq!(list(&place.workspace().join("quarantine")).len(), 1, "never removed");
    }
}

#[test]
fn a_damaged_pack_stops_neither_puts_nor_collections_of_others() {
    for damage in [
        format!("UPDATE object SET body = x'00' WHERE kind = {PACK}"),
        format!("UPDATE object SET body = x'00' WHERE kind = {BUCKET}"),
        format!("DELETE FROM object WHERE kind = {BUCKET}"),
    ] {
        let place = Place::new();
        put(&place.open(), "data");
        fs::write(only_pack(&place), b"no pack").expect("writes");
        sql(&place, &damage);
        put(&place.open(), "other");
        assert_eq!(hurt(&place, "other"), Vec::<String>::new(), "{damage}");
        place.open().collect_garbage(CollectOptions { now: true }).expect("collects");
        put(&place.open(), "data");
        assert_eq!(hurt(&place, "data"), Vec::<String>::new(), "{damage}: stored anew");
    }
}

#[test]
fn files_of_nobody_are_set_aside_once_nobody_can_be_about_to_enter_them() {
    let place = Place::new();
    put(&place.open(), "data");
    let pack = only_pack(&place);
    let strangers = [pack.with_file_name(format!("{}.pack", "0".repeat(32))), pack.with_file_name("notes.txt")];
    for stranger in &strangers {
        fs::copy(&pack, stranger).expect("copies");
    }
    let report = repair(&place);
    assert_eq!(actions(&report), []);
    assert_eq!(report.left.iter().map(|left| left.why).collect::<Vec<_>>(), [LeftWhy::Recent, LeftWhy::Recent]);
    strangers.iter().for_each(|stranger| age(stranger, "-11 minutes"));
    assert_eq!(actions(&repair(&place)), [RepairAction::SetAside, RepairAction::SetAside]);
    // A second one of a name finds another place.
    fs::copy(&pack, &strangers[0]).expect("copies");
    age(&strangers[0], "-11 minutes");
    assert_eq!(actions(&repair(&place)), [RepairAction::SetAside]);
    assert_eq!(list(&place.workspace().join("quarantine")).len(), 3);
    assert_eq!(packs(&place), [pack]);
    let report = check(&place, true);
    assert!(report.is_ok() && report.problems.iter().all(|problem| problem.kind == ProblemKind::Unreferenced));
}

/// Plays a put that takes days: whenever it has read a buffer, all that it wrote is made old, and somebody repairs and collects.
struct Slow {
    place: PathBuf,
    passed: AtomicU64,
}

impl Monitor for Slow {
    fn note(&self, _: &str) {}

    fn warn(&self, _: &str) {}

    fn progress(&self, what: &str, _: u64, _: u64) {
        if what == "bytes" && self.passed.fetch_add(1, Ordering::SeqCst).is_multiple_of(8) {
            let place = Place::at(&self.place);
            let days_pass = |path: &Path| {
                if path.exists() {
                    age(path, "-3 days");
                }
            };
            list(&place.workspace().join("tmp")).iter().for_each(|path| days_pass(path));
            packs(&place).iter().for_each(|path| days_pass(path));
            let other = place.open();
            let report = other.repair(&Repair::default()).expect("repairs");
            assert!(report.done.is_empty(), "{report:?}");
            for now in [false, true] {
                let collected = other.collect_garbage(CollectOptions { now }).expect("collects");
                assert_eq!((collected.files, collected.packs), (0, 0));
            }
        }
    }
}

#[test]
fn packs_of_a_slow_put_are_nobodys_to_sweep_away() {
    let place = Place::new();
    drop(place.open());
    let slow = Arc::new(Slow { place: place.root().to_owned(), passed: AtomicU64::new(0) });
    let workspace = OpenOptions { monitor: slow.clone(), ..place.options() }.open(&place.workspace()).expect("opens");
    let mut draft = ArtifactDraft::new("data", "dataset").expect("a name");
    // Three packs, so that two have their names before anything is entered.
    for number in 0..36 {
        draft.add_bytes(&format!("{number:02}"), content(number, 1 << 20)).expect("adds");
    }
    let settings = PutSettings { project: "digits".into(), ..PutSettings::default() };
    workspace.put_artifact(&draft, &settings).expect("puts");
    assert!(slow.passed.load(Ordering::SeqCst) > 16);
    assert_eq!(packs(&place).len(), 3);
    let version = place.open().artifact("data").expect("finds");
    assert!(version.verify().expect("verifies").hurt.is_empty());
    assert_eq!(list(&place.workspace().join("tmp")), Vec::<PathBuf>::new(), "nothing says that a put is under way");
}
