//! Merging: another workspace's runs, media, code and artifacts come in, equal, once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use runcellar::artifacts::{ArtifactDraft, DownloadOptions, Links, PutSettings, RemoveOptions};
use runcellar::{
    BackupOptions, CheckOptions, ErrorKind, FileSystemMode, HistoryPoint, Json, MergeOptions, MergeReport,
    MetricDefinition, NewMedia, OpenOptions, Resume, Run, RunInfo, RunState, Selection, Severity, Value, Workspace,
    json, restore_from,
};

use crate::support::child::command;
use crate::support::io::{Call, Fate, Hooked};
use crate::support::{Place, Rng, list, rows};
use runcellar::run::Removal;

pub(crate) fn open_other(other: &Place) -> Workspace {
    other.options().open_to_read(&other.workspace()).expect("the other opens")
}

pub(crate) fn merge(place: &Place, other: &Place) -> MergeReport {
    place.open().merge(&open_other(other), &MergeOptions::default()).expect("merges")
}

/// Merges, and checks that it was said before what would come in.
#[track_caller]
fn merge_as_planned(place: &Place, other: &Place) -> MergeReport {
    let options = MergeOptions { dry_run: true, ..MergeOptions::default() };
    let planned = place.open().merge(&open_other(other), &options).expect("plans");
    let done = merge(place, other);
    let runs = |report: &MergeReport| (report.new_runs, report.updated_runs, report.unchanged_runs);
    assert_eq!(runs(&planned), runs(&done));
    done
}

#[track_caller]
pub(crate) fn is_whole(workspace: &Workspace) {
    let report = workspace.check(CheckOptions { read_data: true }).expect("is checked");
    let errors: Vec<_> = report.problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

fn log_rows(run: &Run, rows: std::ops::Range<u64>) {
    rows.for_each(|i| rows::log(run, i));
}

fn put(workspace: &Workspace, root: &Path, name: &str, seed: u64, run: Option<&str>) -> String {
    let folder = root.join(format!("files-{name}-{seed}"));
    std::fs::create_dir_all(folder.join("below")).expect("makes");
    let mut rng = Rng(seed);
    for file in ["a.bin", "below/b.bin"] {
        let bytes: Vec<u8> = std::iter::repeat_with(|| rng.next().to_le_bytes()).take(40_000).flatten().collect();
        std::fs::write(folder.join(file), bytes).expect("writes");
    }
    std::os::unix::fs::symlink("a.bin", folder.join("link")).expect("links");
    let mut draft = ArtifactDraft::new(name, "data").expect("a name");
    draft.add_dir(&folder, None, Links::Keep).expect("is there");
    draft.metadata = json!({"seed": (seed as i64)});
    let settings = PutSettings {
        project: "p".into(),
        run: run.map(str::to_owned),
        aliases: vec!["best".into()],
        ..PutSettings::default()
    };
    workspace.put_artifact(&draft, &settings).expect("is put").version.full_name()
}

/// Compares all that a run shows in two workspaces.
#[track_caller]
fn assert_same(here: &Workspace, there: &Workspace, id: &str) {
    let (one, two) = (here.find_run(id).expect("is here"), there.find_run(id).expect("is there"));
    let facts = |run: &RunInfo| {
        let record = (run.name.clone(), run.notes.clone(), run.tags.clone(), run.config.clone(), run.summary.clone());
        (record, run.project.clone(), run.created, run.state)
    };
    assert_eq!(facts(&one), facts(&two), "{id}");
    let (mine, theirs) = (here.metrics(&one).expect("reads"), there.metrics(&two).expect("reads"));
    assert_eq!(mine, theirs, "{id}");
    for metric in &mine {
        let series = |workspace: &Workspace, run| workspace.series(run, &metric.name, None).expect("reads");
        assert_eq!(format!("{:?}", series(here, &one)), format!("{:?}", series(there, &two)), "{id} {}", metric.name);
    }
}

pub(crate) fn ids(workspace: &Workspace) -> Vec<String> {
    let runs = workspace.runs(&Selection::default()).expect("lists");
    let mut ids: Vec<String> = runs.into_iter().map(|run| run.id.clone()).collect();
    ids.sort();
    ids
}

/// A workspace with all that can come in: runs with points, texts and a console, media, a fork and a rewind, artifacts with
/// aliases, uses and links.
pub(crate) fn fill(other: &Place) {
    let workspace = other.open();
    let run = workspace.run("p").id("one").name("first").config(json!({"lr": 0.1, "deep": {"er": [1, 2]}}));
    let run = run.tags(["blue"]).start().expect("starts");
    log_rows(&run, 0..5000);
    let picture = NewMedia {
        kind: "image".into(),
        format: "png".into(),
        metadata: json!({"caption": "a caption"}),
        content: Arc::new(b"not really a picture".to_vec()),
        companions: vec![("beside".into(), Arc::new(b"more".to_vec()))],
        parts: Vec::new(),
    };
    run.log_media(None, None, vec![("sample".into(), picture)], |_| {}).expect("logs");
    run.summary("best", 0.5).expect("sets");
    run.finish().expect("finishes");
    let point = |text: &str| text.parse::<HistoryPoint>().expect("a point");
    let fork = workspace.run("p").id("fork").fork_from(point("one?_step=100")).start().expect("forks");
    log_rows(&fork, 101..200);
    fork.finish().expect("finishes");
    let again = workspace.run("p").resume_from(point("fork?_step=150")).start().expect("rewinds");
    log_rows(&again, 151..160);
    again.finish().expect("finishes");
    let version = put(&workspace, other.root(), "weights", 1, Some("one"));
    put(&workspace, other.root(), "weights", 2, None);
    let version = workspace.artifact(&version).expect("is there");
    workspace.use_version(&version, &workspace.find_run("fork").expect("listed")).expect("uses");
    workspace.link_version(&version, "registry/model", &["prod".into()]).expect("links");
    let run = workspace.find_run("one").expect("listed");
    workspace.annotate_run(&run, "said later").expect("sets");
}

fn download(workspace: &Workspace, name: &str, to: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let _ = std::fs::remove_dir_all(to);
    let got = workspace.artifact(name).expect("is there").download(to, &DownloadOptions::default()).expect("downloads");
    assert!(got.hurt.is_empty(), "{:?}", got.hurt);
    let files = list(to).into_iter().chain(list(&to.join("below"))).filter(|path| path.is_file());
    files.map(|path| (path.strip_prefix(to).expect("below").to_owned(), std::fs::read(&path).expect("reads"))).collect()
}

#[test]
fn everything_comes_in_equal_and_a_second_merge_changes_nothing() {
    let (place, other) = (Place::new(), Place::new());
    fill(&other);
    let mine = place.open();
    mine.run("q").id("mine").start().expect("starts").finish().expect("finishes");
    let dry = mine.merge(&open_other(&other), &MergeOptions { dry_run: true, ..MergeOptions::default() });
    let dry = dry.expect("looks");
    assert_eq!((dry.new_runs, dry.new_versions), (2, 2), "{dry:?}");
    assert_eq!(ids(&mine), ["mine"], "nothing was changed");

    let report = merge(&place, &other);
    assert_eq!((report.new_runs, report.new_versions, report.new_files), (2, 3, 2), "{report:?}");
    assert_eq!((&report.left_out, &report.renamed), (&vec![], &vec![]));
    is_whole(&mine);
    assert_eq!(ids(&mine), ["fork", "mine", "one"]);
    let there = other.open();
    for id in ["one", "fork"] {
        assert_same(&mine, &there, id);
    }
    let hidden = |workspace: &Workspace| {
        let run = workspace.find_run("fork").expect("listed");
        format!("{:?}", workspace.hidden_series(&run, "n").expect("reads"))
    };
    assert_eq!(hidden(&mine), hidden(&there), "what the rewind hides");
    let media = |workspace: &Workspace| {
        let media = workspace.media(&workspace.find_run("one").expect("listed")).expect("reads");
        media.list().iter().map(|info| (info.id, media.read(info.id).expect("reads"))).collect::<Vec<_>>()
    };
    assert_eq!((media(&mine), media(&mine).len()), (media(&there), 1));
    for name in ["weights:v0", "weights:best", "registry/model:prod"] {
        let (here, there) = (place.root().join("here"), place.root().join("there"));
        assert!(download(&mine, name, &here) == download(&other.open(), name, &there), "{name}");
    }
    let version = mine.artifact("weights:v0").expect("is here");
    let runs = mine.runs_of_version(&version).expect("reads");
    let names = |runs: &[RunInfo]| runs.iter().map(|run| run.id.clone()).collect::<Vec<_>>();
    assert_eq!((names(&runs.made), names(&runs.used)), (vec!["one".to_owned()], vec!["fork".to_owned()]));

    drop(mine);
    let before = std::fs::read(place.database()).expect("reads");
    let again = merge(&place, &other);
    assert!(again.is_empty() && again.unchanged_runs == 2 && again.left_out.is_empty(), "{again:?}");
    assert!(std::fs::read(place.database()).expect("reads") == before, "nothing was written");
}

#[test]
fn a_later_merge_brings_what_is_new_and_keeps_what_was_said_here() {
    let (place, other) = (Place::new(), Place::new());
    fill(&other);
    merge(&place, &other);
    let mine = place.open();
    mine.rename_run(&mine.find_run("one").expect("listed"), "named here").expect("sets");
    drop(mine);
    let there = other.open();
    let run = there.run("p").id("fork").resume(Resume::Must).start().expect("goes on");
    log_rows(&run, 160..170);
    run.finish().expect("finishes");
    there.run("p").id("two").start().expect("starts").finish().expect("finishes");
    put(&there, other.root(), "weights", 3, None);
    drop(there);
    let report = merge(&place, &other);
    assert_eq!((report.new_runs, report.updated_runs, report.new_versions), (1, 1, 1), "{report:?}");
    let mine = place.open();
    is_whole(&mine);
    assert_eq!(mine.find_run("one").expect("listed").name, "named here");
    assert_same(&mine, &other.open(), "fork");
    assert_eq!(mine.artifact("weights:best").expect("is here").number, 2);
    drop(mine);
    assert!(merge(&place, &other).is_empty());
}

#[test]
fn rows_that_stand_in_journals_come_in_and_the_rest_with_a_later_merge() {
    let (place, other) = (Place::new(), Place::new());
    let writer = other.open();
    let run = writer.run("p").id("live").start().expect("starts");
    log_rows(&run, 0..50);
    let first = merge_as_planned(&place, &other);
    assert_eq!(first.new_runs, 1, "{first:?}");
    let read = || {
        let mine = place.open();
        let info = mine.find_run("live").expect("listed");
        (rows::verify(&mine, &info), info.state)
    };
    assert_eq!(read(), (50, RunState::Crashed));
    assert!(merge_as_planned(&place, &other).is_empty());
    log_rows(&run, 50..80);
    merge_as_planned(&place, &other);
    assert_eq!(read(), (80, RunState::Crashed));
    log_rows(&run, 80..90);
    run.finish().expect("finishes");
    merge_as_planned(&place, &other);
    assert_eq!(read(), (90, RunState::Finished));
    is_whole(&place.open());
    assert_eq!(rows::verify(&writer, &writer.find_run("live").expect("listed")), 90);
    assert!(merge_as_planned(&place, &other).is_empty());
}

#[test]
fn a_run_whose_id_is_taken_and_an_artifact_whose_name_is_come_in_beside() {
    let (place, other) = (Place::new(), Place::new());
    for (place, seed, rows) in [(&place, 1, 3), (&other, 2, 7)] {
        let workspace = place.open();
        let run = workspace.run("p").id("baseline").start().expect("starts");
        log_rows(&run, 0..rows);
        run.finish().expect("finishes");
        put(&workspace, place.root(), "weights", seed, None);
    }
    let report = merge(&place, &other);
    let [(there, here)] = report.renamed.as_slice() else { panic!("{report:?}") };
    assert!(there == "baseline" && here.starts_with("baseline.") && here.len() == 15, "{report:?}");
    let mine = place.open();
    assert_eq!(rows::verify(&mine, &mine.find_run(here).expect("is here")), 7);
    assert_eq!(rows::verify(&mine, &mine.find_run("baseline").expect("is here")), 3);
    let to = place.root().join("to");
    assert!(download(&mine, "weights:v1", &to) == download(&other.open(), "weights:v0", &place.root().join("there")));
    is_whole(&mine);
    drop(mine);
    assert!(merge(&place, &other).is_empty());
}

/// A backup that was restored and went on is merged back: it shares object ids, and has a key table of its own.
#[test]
fn a_restored_copy_that_went_on_is_merged_back() {
    let place = Place::new();
    fill(&place);
    let (kept, copied) = (place.root().join("backup"), place.root().join("copy"));
    place.open().backup(&kept, BackupOptions::default()).expect("is backed up");
    let copy = restore_from(&kept, &copied, place.options()).expect("is restored").workspace;
    let run = copy.run("p").id("there").start().expect("starts");
    log_rows(&run, 0..5);
    run.finish().expect("finishes");
    drop(copy);
    let mine = place.open();
    let from = || place.options().open_to_read(&copied).expect("opens");
    let report = mine.merge(&from(), &MergeOptions::default()).expect("merges");
    assert_eq!((report.new_runs, report.updated_runs, report.unchanged_runs), (1, 0, 2), "{report:?}");
    // And a backup itself.
    assert!(mine.merge(&place.options().open_to_read(&kept).expect("opens"), &MergeOptions::default()).is_ok());
    is_whole(&mine);
}

/// Two copies of one workspace.
pub(crate) fn copy_of(place: &Place, name: &str) -> PathBuf {
    let (kept, copied) = (place.root().join(format!("{name}-backup")), place.root().join(name));
    place.open().backup(&kept, BackupOptions::default()).expect("is backed up");
    drop(restore_from(&kept, &copied, place.options()).expect("is restored"));
    copied
}

/// Copies a workspace that nobody has open.
fn copy_of_folder(of: &Path, number: usize) -> PathBuf {
    let copied = of.with_extension(number.to_string());
    let status = std::process::Command::new("cp").arg("-rp").arg(of).arg(&copied).status();
    assert!(status.expect("cp runs").success());
    copied
}

fn go_on(workspace: &Workspace, id: &str, rows: std::ops::Range<u64>) {
    let run = workspace.run("p").id(id).resume(Resume::Must).start().expect("goes on");
    for i in rows {
        run.log_at(i as i64, rows::row(i)).expect("logs");
    }
    run.log([("only", 1_i64)]).expect("logs");
    run.finish().expect("finishes");
}

/// All that a workspace shows of its runs, in an order that does not depend on how it came there.
fn shown(workspace: &Workspace) -> Vec<String> {
    let mut all = Vec::new();
    for id in ids(workspace) {
        let run = workspace.find_run(&id).expect("listed");
        let mut tags = run.tags.clone();
        tags.sort();
        let sorted = |value: &Json| match value {
            Json::Map(members) => {
                let mut members: Vec<String> = members.iter().map(|member| format!("{member:?}")).collect();
                members.sort();
                members
            }
            other => vec![format!("{other:?}")],
        };
        let said = (&run.name, &run.notes, tags, sorted(&run.config), run.state, run.finished, run.exit_code);
        all.push(format!("{id}: {said:?}"));
        let mut summary: Vec<String> = run.summary.iter().map(|entry| format!("{entry:?}")).collect();
        summary.sort();
        all.extend(summary);
        let mut metrics = workspace.metrics(&run).expect("reads");
        metrics.sort_by(|one, other| one.name.cmp(&other.name));
        for metric in metrics {
            let series = workspace.series(&run, &metric.name, None).expect("reads");
            let hidden = workspace.hidden_series(&run, &metric.name).expect("reads");
            all.push(format!("{id} {metric:?} {series:?} {hidden:?}"));
        }
    }
    all
}

#[test]
fn what_was_taken_away_on_either_side_stays_away_unless_it_was_added_again() {
    let place = Place::new();
    let mine = place.open();
    let run = mine.run("p").id("one").tags(["of-start", "again", "kept"]).config(json!({"lr": 0.1, "old": 1})).start();
    let run = run.expect("starts");
    run.summary("wrong", 1_i64).expect("sets");
    run.finish().expect("finishes");
    mine.tag_run(&mine.find_run("one").expect("listed"), &["later".into()], &[]).expect("tags");
    let copy = copy_of(&place, "copy");
    let open = |path: &Path| place.options().open(path).expect("opens");
    let left = open(&copy);
    let resumed = left.run("p").id("one").resume(Resume::Must).start().expect("resumes");
    resumed.remove(Removal::Config("old")).expect("removes");
    resumed.remove(Removal::Summary("wrong")).expect("removes");
    resumed.finish().expect("finishes");
    let info = left.find_run("one").expect("listed");
    left.tag_run(&info, &[], &["of-start".into(), "later".into(), "again".into()]).expect("untags");
    left.tag_run(&info, &["again".into()], &[]).expect("tags");
    drop(left);
    mine.tag_run(&mine.find_run("one").expect("listed"), &[], &["kept".into()]).expect("untags");
    let other = copy_of(&place, "other");
    drop(mine);
    // Either way round.
    for (into, from) in [(&place.workspace(), &copy), (&copy, &other)] {
        let (into, from) = (open(into), place.options().open_to_read(from).expect("opens"));
        into.merge(&from, &MergeOptions::default()).expect("merges");
        let run = into.find_run("one").expect("listed");
        assert_eq!(run.tags, ["again"]);
        assert_eq!((&run.config, run.summary("wrong")), (&json!({"lr": 0.1}), None));
        let again = into.merge(&from, &MergeOptions::default()).expect("merges");
        assert!(again.is_empty(), "{again:?}");
    }
    // What is set again after it was taken away is there again.
    let mine = place.open();
    let again = mine.run("p").id("one").resume(Resume::Must).config(json!({"old": 2})).start().expect("resumes");
    again.finish().expect("finishes");
    let from = place.options().open_to_read(&copy).expect("opens");
    mine.merge(&from, &MergeOptions::default()).expect("merges");
    assert_eq!(mine.find_run("one").expect("listed").config, json!({"lr": 0.1, "old": 2}));
    is_whole(&mine);
}

/// A link is taken away in one copy, another is made in a second one, and a third still has what was there: in whatever order they
/// are merged, what was taken away stays away until it is linked again.
#[test]
fn a_link_that_was_taken_away_stays_away_in_any_order_unless_it_was_made_again() {
    let place = Place::new();
    let mine = place.open();
    for (name, aliases) in [("first", vec!["prod".to_owned()]), ("second", vec![])] {
        let version = put(&mine, place.root(), name, 1, None);
        mine.link_version(&mine.artifact(&version).expect("is there"), "good", &aliases).expect("links");
    }
    let version = put(&mine, place.root(), "third", 1, None);
    let open = |path: &Path| place.options().open(path).expect("opens");
    let copies = ["left", "right", "behind"].map(|name| copy_of(&place, name));
    let link = |workspace: &Workspace, name: &str| workspace.artifact(name).expect("is there");
    let left = open(&copies[0]);
    left.remove_version(&link(&left, "good:prod"), RemoveOptions { aliases_too: true }).expect("removes");
    drop(left);
    let right = open(&copies[1]);
    right.link_version(&link(&right, &version), "good", &[]).expect("links");
    drop((right, mine));
    let linked = |workspace: &Workspace| -> Vec<String> {
        let links = workspace.artifact_versions("registry/good").expect("lists");
        links.iter().filter_map(|link| link.links_to.clone()).collect()
    };
    for (number, order) in [[0, 1, 2], [2, 0, 1], [1, 2, 0]].into_iter().enumerate() {
        let into = open(&copy_of(&place, &format!("into-{number}")));
        for again in [false, true] {
            for at in order {
                let from = place.options().open_to_read(&copies[at]).expect("opens");
                let planned = into.merge(&from, &MergeOptions { dry_run: true, ..MergeOptions::default() });
                let report = into.merge(&from, &MergeOptions::default()).expect("merges");
                assert_eq!(planned.expect("plans"), report);
                assert!(!again || report.is_empty(), "{order:?} {at}: {report:?}");
            }
        }
        assert_eq!(linked(&into), ["p/second:v0", "p/third:v0"], "{order:?}");
        assert_eq!(into.artifact("good:prod").expect_err("went with its link").kind(), ErrorKind::NotFound);
        // Numbers of links that are gone are not given again.
        assert_eq!(into.artifact("good:v0").expect_err("is gone").kind(), ErrorKind::NotFound);
        let again = into.link_version(&link(&into, "first"), "good", &["prod".into()]).expect("links");
        assert_eq!(again.number, 3);
        is_whole(&into);
        // Whoever still has it, or took it away before, has it again.
        for copy in [&copies[0], &copies[2]] {
            let copy = open(&copy_of_folder(copy, number));
            let from = place.options().open_to_read(into.path()).expect("opens");
            copy.merge(&from, &MergeOptions::default()).expect("merges");
            let mut links = linked(&copy);
            links.sort();
            assert_eq!(links, ["p/first:v0", "p/second:v0", "p/third:v0"]);
            assert_eq!(link(&copy, "good:prod").links_to.as_deref(), Some("p/first:v0"));
        }
    }
}

/// A workspace that never had the link learns that it was taken away, before it meets one that still has it.
#[test]
fn a_link_that_was_taken_away_does_not_come_in_later_from_a_workspace_that_still_has_it() {
    let (place, other) = (Place::new(), Place::new());
    let workspace = other.open();
    let version = workspace.artifact(&put(&workspace, other.root(), "weights", 1, None)).expect("is there");
    let link = workspace.link_version(&version, "good", &[]).expect("links");
    let behind = copy_of(&other, "behind");
    workspace.remove_version(&link, RemoveOptions::default()).expect("removes");
    drop(workspace);
    merge(&place, &other);
    let mine = place.open();
    let from = other.options().open_to_read(&behind).expect("opens");
    assert!(mine.merge(&from, &MergeOptions::default()).expect("merges").is_empty());
    assert!(mine.artifact_versions("registry/good").expect("is there").is_empty());
    assert_eq!(mine.link_version(&mine.artifact("weights").expect("came"), "good", &[]).expect("links").number, 1);
}

/// An alias that was given to a link while another device took the link away names nothing, and goes with the version.
#[test]
fn an_alias_of_a_link_that_was_taken_away_elsewhere_names_nothing() {
    let place = Place::new();
    let mine = place.open();
    let version = mine.artifact(&put(&mine, place.root(), "first", 1, None)).expect("is there");
    let kept = mine.artifact(&put(&mine, place.root(), "second", 2, None)).expect("is there");
    mine.link_version(&kept, "good", &["prod".into()]).expect("links");
    let link = mine.link_version(&version, "good", &[]).expect("links");
    let copy = copy_of(&place, "copy");
    mine.remove_version(&link, RemoveOptions::default()).expect("removes");
    let copied = place.options().open(&copy).expect("opens");
    copied.tag_version(&copied.artifact("good:v1").expect("is there"), &["prod".into()], &[]).expect("names");
    mine.merge(&copied, &MergeOptions::default()).expect("merges");
    copied.merge(&mine, &MergeOptions::default()).expect("merges");
    for workspace in [&mine, &copied] {
        assert_eq!(workspace.artifact_versions("registry/good").expect("lists").len(), 1);
        assert_eq!(workspace.artifact("good:prod").expect_err("names nothing").kind(), ErrorKind::NotFound);
    }
    // The version goes in one of them, and with it the setting that names it.
    mine.remove_version(&mine.artifact("first").expect("is there"), RemoveOptions { aliases_too: true })
        .expect("removes");
    let history = mine.alias_history("registry/good").expect("reads");
    assert_eq!(history.iter().map(|change| change.number).collect::<Vec<_>>(), [Some(0), None, None]);
}

/// One run goes on in three copies: as it stands, with other metrics, and rewound. Whoever merges which into which in what
/// order comes to the same, and the same once more changes nothing.
#[test]
fn a_run_that_went_on_in_several_copies_is_brought_together_in_any_order() {
    let place = Place::new();
    let mine = place.open();
    let run = mine.run("p").id("one").config(json!({"lr": 0.1})).start().expect("starts");
    let (name, summary) = ("train/loss".into(), vec!["min".into(), "last".into()]);
    run.define_metric(&MetricDefinition { name, summary, ..MetricDefinition::default() }).expect("defines");
    log_rows(&run, 0..5000);
    run.finish().expect("finishes");
    let copies: Vec<PathBuf> = ["left", "right", "third"].iter().map(|name| copy_of(&place, name)).collect();
    let open = |path: &Path| place.options().open(path).expect("opens");
    go_on(&mine, "one", 5000..5010);
    let left = open(&copies[0]);
    go_on(&left, "one", 6000..6100);
    let info = left.find_run("one").expect("listed");
    left.rename_run(&info, "named on the left").expect("renames");
    left.tag_run(&info, &["left".into()], &[]).expect("tags");
    drop(left);
    let right = open(&copies[1]);
    let again = right.run("p").resume_from("one?_step=4500".parse().expect("a point")).start().expect("rewinds");
    again.log_at(4501, [("other", 2_i64)]).expect("logs");
    again.finish().expect("finishes");
    drop(right);
    let third = open(&copies[2]);
    go_on(&third, "one", 7000..7001);
    third.remove_runs(&[third.find_run("one").expect("listed")]).expect("removes");
    drop(third);
    drop(mine);
    let orders = [[0, 1, 2], [2, 1, 0], [1, 0, 2]];
    let mut outcomes = Vec::new();
    for (number, order) in orders.into_iter().enumerate() {
        let into = open(&copy_of(&place, &format!("into-{number}")));
        let other = |at: usize| place.options().open_to_read(&copies[at]).expect("opens");
        for at in order {
            let report = into.merge(&other(at), &MergeOptions::default()).expect("merges");
            assert_eq!((report.updated_runs, &report.left_out), (1, &vec![]), "{order:?} {at}: {report:?}");
        }
        is_whole(&into);
        for at in order {
            let report = into.merge(&other(at), &MergeOptions::default()).expect("merges");
            assert!(report.is_empty() && report.left_out.is_empty(), "{order:?} {at}: {report:?}");
        }
        assert!(ids(&into).is_empty(), "it was removed last");
        let removed = into.runs(&Selection { removed: true, ..Selection::default() }).expect("lists");
        into.restore_runs(&removed).expect("restores");
        outcomes.push(shown(&into));
        let info = into.find_run("one").expect("listed");
        assert_eq!((info.name.as_str(), &info.tags), ("named on the left", &vec!["left".to_owned()]));
        let steps = into.series(&info, "n", None).expect("reads").steps;
        let expected: Vec<i64> = (0..=4500).chain(5000..5010).chain(6000..6100).chain(7000..7001).collect();
        assert!(steps == expected, "{order:?}: {} of {}", steps.len(), expected.len());
        assert_eq!(into.hidden_series(&info, "n").expect("reads").steps, (4501..5000).collect::<Vec<i64>>());
        assert_eq!(into.series(&info, "other", None).expect("reads").steps, [4501]);
        let loss = into.metrics(&info).expect("reads").into_iter().find(|metric| metric.name == "train/loss");
        assert_eq!(loss.expect("is there").points, expected.len() as u64);
        // It goes on here, too.
        go_on(&into, "one", 8000..8003);
        is_whole(&into);
    }
    for (number, outcome) in outcomes.iter().enumerate() {
        for (one, other) in outcome.iter().zip(&outcomes[0]) {
            assert_eq!(one, other, "order {number}");
        }
        assert_eq!(outcome.len(), outcomes[0].len());
    }
}

#[test]
fn only_the_projects_that_are_named_come_in() {
    let (place, other) = (Place::new(), Place::new());
    let there = other.open();
    for project in ["p", "q"] {
        there.run(project).id(project.repeat(3)).start().expect("starts").finish().expect("finishes");
    }
    put(&there, other.root(), "weights", 1, None);
    let only = |name: &str| MergeOptions { projects: vec![name.into()], ..MergeOptions::default() };
    let report = place.open().merge(&open_other(&other), &only("q")).expect("merges");
    assert_eq!((report.new_runs, report.new_versions), (1, 0));
    assert_eq!(ids(&place.open()), ["qqq"]);
    let error = place.open().merge(&open_other(&other), &only("nothing")).expect_err("not there");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

/// On a network file system a run has no record before its first rows are taken in.
#[test]
fn a_project_that_only_journals_know_can_be_named() {
    let (place, other) = (Place::new(), Place::new());
    let options = OpenOptions { file_system: FileSystemMode::Network, ..other.options() };
    let there = options.open(&other.workspace()).expect("opens");
    let run = there.run("young").id("live").start().expect("starts");
    log_rows(&run, 0..5);
    let beside = there.run("other").id("beside").start().expect("starts");
    let only = MergeOptions { projects: vec!["young".into()], ..MergeOptions::default() };
    let report = place.open().merge(&open_other(&other), &only).expect("merges");
    assert_eq!((report.new_runs, ids(&place.open())), (1, vec!["live".to_owned()]));
    assert!(place.open().merge(&open_other(&other), &only).expect("merges").is_empty());
    for run in [run, beside] {
        run.finish().expect("finishes");
    }
}

/// Hiding a run and showing it again: the later of the two stands, wherever it was said.
#[test]
fn a_run_that_was_hidden_later_stays_hidden_and_one_that_was_shown_later_shows() {
    let (place, other) = (Place::new(), Place::new());
    fill(&other);
    merge(&place, &other);
    let (mine, there) = (place.open(), other.open());
    mine.remove_runs(&[mine.find_run("one").expect("listed")]).expect("removes");
    there.remove_runs(&[there.find_run("fork").expect("listed")]).expect("removes");
    let report = mine.merge(&open_other(&other), &MergeOptions::default()).expect("merges");
    assert_eq!((report.updated_runs, ids(&mine)), (1, vec![]));
    there.restore_runs(&[there.find_run("fork").expect("is there")]).expect("restores");
    mine.merge(&open_other(&other), &MergeOptions::default()).expect("merges");
    assert_eq!(ids(&mine), ["fork"], "what was hidden here stays hidden");
    let back = there.merge(&open_other(&place), &MergeOptions::default()).expect("merges back");
    assert_eq!((back.updated_runs, ids(&there)), (1, vec!["fork".to_owned()]));
    assert!(there.merge(&open_other(&place), &MergeOptions::default()).expect("merges").is_empty());
}

#[test]
fn a_workspace_is_not_merged_with_itself_nor_written_through_a_handle_that_reads() {
    let place = Place::new();
    place.open().run("p").id("one").start().expect("starts").finish().expect("finishes");
    let error = place.open().merge(&open_other(&place), &MergeOptions::default()).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let reading = open_other(&place);
    assert_eq!(reading.set_setting("console", None).expect_err("refused").kind(), ErrorKind::ReadOnly);
    let other = Place::new();
    drop(other.open());
    let error = reading.merge(&open_other(&other), &MergeOptions::default());
    assert_eq!(error.expect_err("refused").kind(), ErrorKind::ReadOnly);
}

#[test]
fn damage_in_the_other_is_named_and_the_rest_comes_in() {
    let (place, other) = (Place::new(), Place::new());
    fill(&other);
    let packs = list(&other.workspace().join("packs")).into_iter().flat_map(|folder| list(&folder));
    for pack in packs {
        let mut bytes = std::fs::read(&pack).expect("reads");
        let middle = bytes.len() / 3;
        bytes[middle] ^= 1;
        std::fs::write(&pack, bytes).expect("writes");
    }
    let report = merge(&place, &other);
    assert!(report.left_out.iter().any(|left| left.damaged), "{report:?}");
    let mine = place.open();
    assert_eq!(ids(&mine), ["fork", "one"], "runs are whole");
    for id in ["one", "fork"] {
        assert_same(&mine, &other.open(), id);
    }
}

/// Ends this process at the n-th call about the workspace. Argument: n, then the root of the other.
pub(crate) fn dies_merging(place: &Place, argument: &str) {
    let (n, other) = argument.split_once(' ').expect("two words");
    let (n, seen, folder) = (n.parse::<u64>().expect("a number"), AtomicU64::new(0), place.workspace());
    let io = Hooked::new(move |_: Call, path: &Path| {
        if path.starts_with(&folder) && seen.fetch_add(1, Ordering::SeqCst) + 1 == n {
            // SAFETY: ends the process without running anything of ours.
            unsafe { libc::_exit(77) }
        }
        Fate::Done
    });
    let workspace = OpenOptions { io, ..place.options() }.open(&place.workspace()).expect("opens");
    workspace.merge(&open_other(&Place::at(other)), &MergeOptions::default()).expect("merges");
}

#[test]
fn killed_at_any_call_a_merge_leaves_what_is_whole_and_goes_on() {
    let other = Place::new();
    let there = other.open();
    let run = there.run("p").id("one").start().expect("starts");
    log_rows(&run, 0..20);
    run.finish().expect("finishes");
    put(&there, other.root(), "weights", 1, Some("one"));
    let live = there.run("p").id("live").start().expect("starts");
    log_rows(&live, 0..5);
    let place = Place::new();
    for n in (1..).step_by(5) {
        let _ = std::fs::remove_dir_all(place.workspace());
        place.open().run("q").id("mine").start().expect("starts").finish().expect("finishes");
        let argument = format!("{n} {}", other.root().display());
        let status = command("dies_merging", &place, argument).status().expect("runs");
        is_whole(&place.open());
        let report = merge(&place, &other);
        assert!(report.left_out.is_empty(), "call {n}: {report:?}");
        let mine = place.open();
        is_whole(&mine);
        assert_eq!(ids(&mine), ["live", "mine", "one"], "call {n}");
        assert_same(&mine, &there, "one");
        assert_eq!(rows::verify(&mine, &mine.find_run("live").expect("listed")), 5);
        drop(mine);
        if status.code() != Some(77) {
            assert!(status.success(), "call {n}: {status}");
            assert!(report.is_empty(), "it was all there: {report:?}");
            break;
        }
    }
    live.finish().expect("finishes");
}

#[test]
fn a_value_of_every_kind_is_equal_after_a_merge() {
    let (place, other) = (Place::new(), Place::new());
    let run = other.open().run("p").id("kinds").start().expect("starts");
    let values: [(&str, Value); 4] =
        [("f", f64::NAN.into()), ("i", i64::MIN.into()), ("b", true.into()), ("t", Value::Text("\u{1f600}".into()))];
    run.log_at(-5, values).expect("logs");
    run.finish().expect("finishes");
    merge(&place, &other);
    let (mine, there) = (place.open(), other.open());
    let run = |workspace: &Workspace| workspace.find_run("kinds").expect("listed");
    for name in ["f", "i", "b", "t"] {
        let series = |workspace: &Workspace| format!("{:?}", workspace.series(&run(workspace), name, None));
        assert_eq!(series(&mine), series(&there));
    }
    assert_eq!(format!("{:?}", run(&mine).summary), format!("{:?}", run(&there).summary));
    drop((mine, there));
    assert!(merge(&place, &other).is_empty(), "also with a NaN in the summary");
}
