//! Runs and artifacts from one workspace into another: equal, once, and nothing of what no workspace gives.

use std::collections::VecDeque;
use std::io::{Cursor, Read};
use std::sync::{Arc, Mutex};

use runcellar::artifacts::{ArtifactDraft, DownloadOptions, PutSettings};
use runcellar::transfer::{Arriving, CarryOptions, Departing, FileClass, Outcome, Pieces, Taken};
use runcellar::{
    ArtifactVersion, CheckOptions, ErrorKind, HistoryPoint, MetricDefinition, NewMedia, Result, RowValue, Run, RunInfo,
    RunState, SaveCode, Selection, Series, SeriesValues, Stream, Value, Window, Workspace, json,
};
use runcellar_format::record::{Body as _, CarriedGroup, CarriedNames, CarriedRecord, CarriedRun, ManifestEntry};

use crate::source::Repository;
use crate::support::{Place, list};

/// A piece on its way.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Piece {
    Version(Vec<u8>),
    Run(Vec<u8>),
    Record(Vec<u8>),
    Names(Vec<u8>),
    Group(Vec<u8>),
    Files(FileClass, Vec<u8>),
    Entry(ManifestEntry, Vec<u8>),
}

/// Takes runs out, with what they made, into memory.
pub(crate) fn carried(workspace: &Workspace, runs: &[&str]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut take = |piece: Departing<'_>| {
        match piece {
            Departing::Version(body) => pieces.push(Piece::Version(body)),
            Departing::Run(body) => pieces.push(Piece::Run(body)),
            Departing::Record(body) => pieces.push(Piece::Record(body)),
            Departing::Names(body) => pieces.push(Piece::Names(body)),
            Departing::Group(bytes) => pieces.push(Piece::Group(bytes)),
            Departing::Files(class, body) => pieces.push(Piece::Files(class, body)),
            Departing::Entry(_, entry) => pieces.push(Piece::Entry(entry.clone(), Vec::new())),
            Departing::Content(bytes) => match pieces.last_mut() {
                Some(Piece::Entry(_, content)) => content.extend_from_slice(bytes),
                other => panic!("content of {other:?}"),
            },
        }
        Ok(())
    };
    for run in runs {
        let run = info(workspace, run);
        for version in workspace.artifacts_of_run(&run).expect("reads").made {
            workspace.carry_version_out(&version, &mut take).expect("goes out");
        }
        workspace.carry_run_out(&run, &mut take).expect("goes out");
    }
    pieces.retain(|piece| !matches!(piece, Piece::Entry(entry, _) if entry.content == reference()));
    pieces
}

/// Lies elsewhere, so it has no piece of its own.
fn reference() -> runcellar_format::record::Content {
    let uri = "s3://bucket/big".to_owned();
    runcellar_format::record::Content::Reference(runcellar_format::record::Reference {
        uri,
        size: Some(9),
        digest: "md5:1".into(),
    })
}

struct Memory(VecDeque<Piece>);

impl Pieces for Memory {
    fn next(&mut self, _: Option<&ManifestEntry>) -> std::io::Result<Option<Arriving>> {
        Ok(self.0.pop_front().map(|piece| match piece {
            Piece::Version(body) => Arriving::Version(body),
            Piece::Run(body) => Arriving::Run(body),
            Piece::Record(body) => Arriving::Record(body),
            Piece::Names(body) => Arriving::Names(body),
            Piece::Group(bytes) => Arriving::Group(bytes),
            Piece::Files(class, body) => Arriving::Files(class, body),
            Piece::Entry(entry, content) => {
                let content: Arc<Mutex<dyn Read + Send>> = Arc::new(Mutex::new(Cursor::new(content)));
                Arriving::Entry { entry: Box::new(entry), content }
            }
        }))
    }
}

pub(crate) fn take_in(workspace: &Workspace, pieces: &[Piece]) -> Result<Vec<Taken>> {
    let options = CarryOptions::default();
    workspace.examine(&mut Memory(pieces.to_vec().into()), &options)?;
    workspace.carry_in(&mut Memory(pieces.to_vec().into()), &options)
}

pub(crate) fn outcomes(taken: &[Taken]) -> Vec<Outcome> {
    taken.iter().map(|one| one.outcome).collect()
}

fn info(workspace: &Workspace, run: &str) -> RunInfo {
    workspace.find_run(run).expect("the run is there")
}

/// Everything that can be read of a run, with floats as bits.
fn told(workspace: &Workspace, run: &str) -> Vec<String> {
    let info = info(workspace, run);
    let mut all = vec![format!("{:?}", shown(&info)), format!("{:?}", workspace.lineage(&info).expect("reads"))];
    all.push(format!("{:?}", workspace.source(&info).expect("reads")));
    all.push(format!("{:?}", workspace.arguments(&info).expect("reads")));
    for metric in workspace.metrics(&info).expect("reads") {
        all.push(format!("{metric:?}"));
        all.push(points(&workspace.series(&info, &metric.name, None).expect("reads")));
        if let Ok(hidden) = workspace.hidden_series(&info, &metric.name) {
            all.push(format!("hidden {}", points(&hidden)));
        }
    }
    for line in workspace.console(&info).expect("reads") {
        all.push(format!("{line:?}"));
    }
    for entry in workspace.code(&info).expect("reads") {
        all.push(format!("{entry:?} {:?}", workspace.code_file(&info, &entry.path).expect("reads")));
    }
    let media = workspace.media(&info).expect("reads");
    for one in media.list() {
        all.push(format!("{one:?} {:?}", media.read(one.id).expect("reads")));
        for name in &one.companions {
            all.push(format!("{name} {:?}", media.read_companion(one.id, name).expect("reads")));
        }
    }
    all
}

fn shown(info: &RunInfo) -> RunInfo {
    info.clone()
}

fn points(series: &Series) -> String {
    let values = match &series.values {
        SeriesValues::Float(all) => format!("{:?}", all.iter().map(|value| value.to_bits()).collect::<Vec<_>>()),
        SeriesValues::Mixed(all) => {
            let bits = |value: &Value| match value {
                Value::Float(float) => format!("float {:x}", float.to_bits()),
                other => format!("{other:?}"),
            };
            format!("{:?}", all.iter().map(bits).collect::<Vec<_>>())
        }
        other => format!("{other:?}"),
    };
    format!("{:?} {:?} {:?} {values}", series.steps, series.times, series.ranks)
}

/// Leaves out what is of the workspace: object ids of projects.
fn without_project(told: Vec<String>) -> Vec<String> {
    let cut = |line: String| match (line.find("project_object: "), line.starts_with("RunInfo")) {
        (Some(at), true) => line[..at].to_owned() + &line[at + 60..],
        _ => line,
    };
    told.into_iter().map(cut).collect()
}

#[track_caller]
fn assert_sound(workspace: &Workspace) {
    let report = workspace.check(CheckOptions { read_data: true }).expect("is checked");
    assert!(report.is_ok(), "{:#?}", report.problems);
}

fn image(bytes: &[u8]) -> NewMedia {
    NewMedia {
        kind: "image".into(),
        format: "png".into(),
        metadata: json!({"caption": "a caption"}),
        content: Arc::new(bytes.to_vec()),
        companions: vec![("static.json".into(), Arc::new(b"{}".to_vec()))],
        parts: Vec::new(),
    }
}

/// Records a run with a value of every kind.
fn record_all(workspace: &Workspace, repository: &Repository, id: &str) -> Run {
    let run = workspace
        .run("digits")
        .id(id)
        .name("brave-otter")
        .config(json!({"lr": 0.1, "deep": {"n": 3, "big": (i64::MIN), "nan": (f64::NAN)}}))
        .tags(["one", "two"])
        .notes("two\nlines")
        .group("a group")
        .job_type("train")
        .arguments(["--x", "1"])
        .directory(repository.path("."))
        .program(repository.path("train.py").display().to_string())
        .save_code(SaveCode::Diff)
        .start()
        .expect("starts");
    run.define_metric(&MetricDefinition { name: "loss".into(), summary: vec!["min".into()], ..Default::default() })
        .expect("defines");
    let floats = [1.5, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, f64::from_bits(0x7ff8_dead_beef_0001), 5e-324];
    for (step, float) in (0..).zip(floats) {
        run.log_at(step, [("loss", float)]).expect("logs");
        run.log_at(step, [("int", [i64::MIN, i64::MAX][usize::from(step % 2 == 1)])]).expect("logs");
        run.log_at(step, [("bool", step % 2 == 0)]).expect("logs");
        run.log_at(step, [("text", format!("line {step}\n\u{1f980}"))]).expect("logs");
    }
    run.log_at(3, [("mixed", "a")]).expect("logs");
    run.log_at(2, [("mixed", 2.0)]).expect("logs");
    let (edges, counts) = ([0.0, 1.0, 4.0], [2.0, 0.5]);
    let histogram = RowValue::Histogram { edges: &edges, counts: &counts };
    run.log_row(Some(3), None, |row| row.push("histogram", histogram)).expect("logs");
    run.log_media(Some(4), None, vec![("image".into(), image(&[7; 100_000]))], |_| {}).expect("logs");
    run.log_media(Some(5), None, vec![("panel".into(), NewMedia::panel(vec![image(b"a"), image(b"b")]))], |_| {})
        .expect("logs");
    run.console(Stream::Out, b"hello\nworld\n");
    run.summary("best", 0.25).expect("sets");
    run
}

#[test]
fn a_run_with_every_kind_of_value_comes_in_as_it_went_out() {
    let (from, to, repository) = (Place::new(), Place::new(), Repository::new());
    repository.write("train.py", "print(2)\n");
    let (here, there) = (from.open(), to.open());
    record_all(&here, &repository, "the-run").finish().expect("finishes");
    let pieces = carried(&here, &["the-run"]);
    let taken = take_in(&there, &pieces).expect("comes in");
    assert_eq!(outcomes(&taken), [Outcome::New]);
    assert_eq!(without_project(told(&there, "the-run")), without_project(told(&here, "the-run")));
    assert_eq!(carried(&there, &["the-run"]), pieces, "and would go out again as it came in");
    assert_sound(&there);
    // Filters, listings and changes do not tell it from others.
    let filter = "config.deep.n = 3 and 'two' in tags and min(loss) < 0.5";
    let found = there.runs(&Selection::default().filter(filter).expect("a filter")).expect("lists");
    assert_eq!(found.len(), 1);
    there.rename_run(&found[0], "renamed").expect("renames");
    assert_eq!(info(&there, "the-run").name, "renamed", "what is set here wins over what came in");
}

#[test]
fn what_came_in_before_comes_in_again_without_a_change() {
    let (from, to, repository) = (Place::new(), Place::new(), Repository::new());
    let (here, there) = (from.open(), to.open());
    let run = record_all(&here, &repository, "the-run");
    put(&here, &run, 1);
    run.finish().expect("finishes");
    let pieces = carried(&here, &["the-run"]);
    let first = take_in(&there, &pieces).expect("comes in");
    assert_eq!(outcomes(&first), [Outcome::New, Outcome::New]);
    let before = (carried(&there, &["the-run"]), list(&to.workspace().join("packs")).len());
    let second = take_in(&there, &pieces).expect("comes in");
    assert_eq!(outcomes(&second), [Outcome::Here, Outcome::Here]);
    assert_eq!((carried(&there, &["the-run"]), list(&to.workspace().join("packs")).len()), before);
    let own = take_in(&here, &pieces).expect("comes in where it came from");
    assert_eq!(outcomes(&own), [Outcome::Here, Outcome::Here]);
    assert_sound(&there);
}

fn put(workspace: &Workspace, run: &Run, number: u8) {
    let mut draft = ArtifactDraft::new("weights", "model").expect("a name");
    draft.add_bytes("model.bin", vec![number; 300_000]).expect("adds");
    draft.add_bytes("deep/notes.txt", format!("version {number}").into_bytes()).expect("adds");
    draft.add_reference("s3://bucket/big", "big", Some(9), Some("md5:1")).expect("adds");
    draft.alias("best").expect("an alias");
    (draft.description, draft.metadata) = ("the weights".into(), json!({"accuracy": 0.5, "nan": (f64::NAN)}));
    let settings = PutSettings { project: "digits".into(), run: Some(run.id().to_owned()), ..PutSettings::default() };
    workspace.put_artifact(&draft, &settings).expect("puts");
}

#[test]
fn artifacts_keep_content_metadata_numbers_and_aliases_where_these_are_free() {
    let (from, to) = (Place::new(), Place::new());
    let (here, there) = (from.open(), to.open());
    for (id, number) in [("first", 1), ("second", 2)] {
        let run = here.run("digits").id(id).start().expect("starts");
        put(&here, &run, number);
        run.finish().expect("finishes");
    }
    let taken = take_in(&there, &carried(&here, &["second"])).expect("comes in");
    assert_eq!(taken[0].name, "weights:v1", "its number is free");
    let run = there.run("digits").id("other").start().expect("starts");
    put(&there, &run, 3);
    run.finish().expect("finishes");
    let taken = take_in(&there, &carried(&here, &["first", "second"])).expect("comes in");
    assert_eq!(outcomes(&taken), [Outcome::New, Outcome::New, Outcome::Here, Outcome::Here]);
    let versions = there.artifact_versions("digits/weights").expect("lists");
    let numbers: Vec<(u32, Vec<String>)> =
        versions.iter().map(|version| (version.number, version.aliases.clone())).collect();
    let best = |aliases: &[&str]| aliases.iter().map(|alias| (*alias).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        numbers,
        [(0, best(&[])), (1, best(&[])), (2, best(&["latest", "best"]))],
        "best stays where it is here"
    );
    let (mine, theirs) = (here.artifact("weights:v0").expect("there"), there.artifact("weights:v0").expect("there"));
    let said = |version: &ArtifactVersion| {
        let ArtifactVersion { description, metadata, created, files, bytes, kind, made_by, .. } = version;
        format!("{description} {metadata:?} {created} {files} {bytes} {kind} {made_by:?}")
    };
    assert_eq!(said(&theirs), said(&mine));
    assert_eq!(mine.entries(None).expect("lists"), theirs.entries(None).expect("lists"));
    let out = to.root().join("out");
    theirs.download(&out, &DownloadOptions::default()).expect("comes out");
    assert_eq!(std::fs::read(out.join("model.bin")).expect("reads"), vec![1; 300_000]);
    assert_eq!(std::fs::read(out.join("deep/notes.txt")).expect("reads"), b"version 1");
    let made = there.artifacts_of_run(&info(&there, "first")).expect("reads").made;
    assert_eq!(made.len(), 1, "the run is still what made it");
    assert_sound(&there);
}

#[test]
fn forks_and_rewinds_come_in_with_what_they_hide() {
    let (from, to) = (Place::new(), Place::new());
    let (here, there) = (from.open(), to.open());
    let run = here.run("digits").id("base").start().expect("starts");
    for step in 0..5_000 {
        run.log_at(step, [("loss", f64::from(i32::try_from(step).expect("small")) / 7.0)]).expect("logs");
    }
    run.log_media(Some(10), None, vec![("image".into(), image(b"of the base"))], |_| {}).expect("logs");
    run.finish().expect("finishes");
    let at = |run: &str, step| HistoryPoint { run: run.into(), step: Some(step) };
    let fork = here.run("digits").id("fork").fork_from(at("base", 4_500)).start().expect("forks");
    fork.log_at(4_501, [("loss", 0.5)]).expect("logs");
    fork.finish().expect("finishes");
    let again = here.run("digits").resume_from(at("base", 3_000)).start().expect("rewinds");
    again.log_at(3_001, [("loss", -1.0)]).expect("logs");
    again.finish().expect("finishes");
    // The fork alone: its media are those of a run that does not come along.
    take_in(&there, &carried(&here, &["fork"])).expect("comes in");
    take_in(&there, &carried(&here, &["base"])).expect("comes in");
    for run in ["base", "fork"] {
        assert_eq!(without_project(told(&there, run)), without_project(told(&here, run)), "{run}");
    }
    let hidden = there.hidden_series(&info(&there, "base"), "loss").expect("reads");
    assert_eq!(hidden.steps.len(), 1_999);
    // Whoever resumes it here goes on where it stood.
    let resumed = there.run("digits").resume_from(at("base", 100)).start().expect("rewinds here, too");
    resumed.log_at(101, [("loss", 9.0)]).expect("logs");
    resumed.finish().expect("finishes");
    let series = there.series_in(&info(&there, "base"), "loss", Window::default(), None).expect("reads");
    assert_eq!(series.steps.len(), 102);
    assert_sound(&there);
}

#[test]
fn a_run_that_is_being_recorded_goes_out_with_its_last_row_and_has_crashed_where_it_comes_in() {
    let (from, to) = (Place::new(), Place::new());
    let (here, there) = (from.open(), to.open());
    let run = here.run("digits").id("live").start().expect("starts");
    for step in 0..100 {
        run.log_at(step, [("loss", 1.0), ("other", 2.0)]).expect("logs");
    }
    take_in(&there, &carried(&here, &["live"])).expect("comes in");
    run.finish().expect("finishes");
    let came = info(&there, "live");
    assert_eq!(came.state, RunState::Crashed);
    assert!(came.finished.is_some());
    let series = there.series(&came, "loss", None).expect("reads");
    assert_eq!(series, here.series(&info(&here, "live"), "loss", None).expect("reads"));
    assert_sound(&there);
}

#[test]
fn another_run_of_the_same_id_is_refused_and_a_project_can_be_chosen() {
    let (from, to) = (Place::new(), Place::new());
    let (here, there) = (from.open(), to.open());
    for workspace in [&here, &there] {
        workspace.run("digits").id("same").start().expect("starts").finish().expect("finishes");
    }
    here.run("digits").id("mine").start().expect("starts").finish().expect("finishes");
    let error = take_in(&there, &carried(&here, &["mine", "same"])).expect_err("there is another");
    assert_eq!(error.kind(), ErrorKind::Exists);
    assert!(error.to_string().contains("run same"), "{error}");
    assert!(there.find_run("mine").is_err(), "what came before it did not come in either");
    let options = CarryOptions { project: Some("inbox".into()) };
    let pieces = carried(&here, &["mine"]);
    there.carry_in(&mut Memory(pieces.into()), &options).expect("comes in");
    assert_eq!(info(&there, "mine").project, "inbox");
    assert_sound(&there);
}

/// Changes every piece in turn, and says which of them would still be taken.
#[test]
fn pieces_that_no_workspace_gives_are_refused_by_name_and_leave_nothing() {
    let (from, to, repository) = (Place::new(), Place::new(), Repository::new());
    repository.write("train.py", "print(2)\n");
    let (here, there) = (from.open(), to.open());
    let run = record_all(&here, &repository, "the-run");
    put(&here, &run, 1);
    run.finish().expect("finishes");
    let whole = carried(&here, &["the-run"]);
    let refuse = |what: &str, pieces: Vec<Piece>| {
        let error = take_in(&there, &pieces).expect_err(what);
        assert!(matches!(error.kind(), ErrorKind::Damaged | ErrorKind::NewerFormat), "{what}: {error}");
        assert!(there.runs(&Selection::default()).expect("lists").is_empty(), "{what}");
        assert!(there.artifacts(None).expect("lists").is_empty(), "{what}");
    };
    for index in 0..whole.len() {
        let mut cut = whole.clone();
        let (body, is_content) = match &mut cut[index] {
            Piece::Version(body) | Piece::Run(body) | Piece::Record(body) | Piece::Names(body) | Piece::Group(body) => {
                (body, false)
            }
            Piece::Files(_, body) => (body, false),
            Piece::Entry(_, content) => (content, true),
        };
        if body.pop().is_some() || !is_content {
            refuse(&format!("piece {index} without its last byte: {:?}", whole[index]), cut);
        }
        let mut gone = whole.clone();
        let lost = gone.remove(index);
        if !matches!(lost, Piece::Group(_)) {
            refuse(&format!("without piece {index}"), gone);
        }
    }
    let mut twice = whole.clone();
    refuse("a run twice", [whole.clone(), whole.clone()].concat());
    let group = whole.iter().position(|piece| matches!(piece, Piece::Group(_))).expect("has rows");
    twice.insert(group, whole[group].clone());
    refuse("a row group twice", twice);
    type Change = fn(&mut CarriedRecord);
    let changes: [(&str, Change); 4] = [
        ("another id", |record| record.record.id = "other".into()),
        ("a time that is none", |record| record.record.created = i64::MIN),
        ("rewinds that are none", |record| record.record.extra = vec![(2, vec![9])]),
        ("an origin that is none", |record| record.record.extra = vec![(1, Vec::new())]),
    ];
    for (what, change) in changes {
        refuse(what, changed(&whole, change));
    }
    for id in ["a/b", "", "a\u{7}"] {
        let mut named = whole.clone();
        for piece in &mut named {
            if let Piece::Run(body) = piece {
                let mut run = CarriedRun::from_body(body).expect("reads");
                run.id = id.into();
                *body = run.to_body().expect("writes");
            }
        }
        refuse("an id that is none", named);
    }
    let mut few = whole.clone();
    for piece in &mut few {
        if let Piece::Names(body) = piece {
            *body = CarriedNames { names: vec!["one".into()] }.to_body().expect("writes");
        }
    }
    refuse("more series than names", few);
    assert_eq!(outcomes(&take_in(&there, &whole).expect("comes in")), [Outcome::New, Outcome::New]);
    assert_sound(&there);
}

fn changed(whole: &[Piece], change: fn(&mut CarriedRecord)) -> Vec<Piece> {
    let mut pieces = whole.to_vec();
    for piece in &mut pieces {
        if let Piece::Record(body) = piece {
            let mut record = CarriedRecord::from_body(body).expect("reads");
            change(&mut record);
            *body = record.to_body().expect("writes");
        }
    }
    pieces
}

/// A few bytes can stand for very many values: constant columns, which a group has thousands of.
#[test]
fn a_row_group_that_would_take_gigabytes_is_refused_before_it_does() {
    use runcellar_format::WriterId;
    use runcellar_format::block::{Column, GroupRows, Level, Presence, Values, encode_column, encode_group};
    let (from, to) = (Place::new(), Place::new());
    let (here, there) = (from.open(), to.open());
    here.run("digits").id("the-run").start().expect("starts").finish().expect("finishes");
    let mut pieces = carried(&here, &["the-run"]);
    let (steps, names): (Vec<i64>, Vec<String>) =
        ((0..65_536).collect(), (0..2_000).map(|n| format!("m{n}")).collect());
    let header =
        GroupRows { writer: WriterId([1; 16]), first_sequence: 1, last_sequence: 1, steps: &steps, times: &steps };
    let column = |series| Column { series, presence: Presence::Dense, values: Values::Float(vec![0.0; 65_536]) };
    let columns = (0..2_000).map(|series| encode_column(&column(series), 65_536, Level::Fast).expect("encodes"));
    let parts = encode_group(&header, columns.collect(), Level::Fast).expect("encodes").parts;
    let bytes = CarriedGroup { number: 0, best: true, parts }.encode().expect("small");
    assert!(bytes.len() < 1 << 20, "{} bytes stand for 1 GB", bytes.len());
    let pages = names.chunks(256).map(|names| CarriedNames { names: names.to_vec() });
    pieces.extend(pages.map(|page| Piece::Names(page.to_body().expect("writes"))));
    pieces.push(Piece::Group(bytes));
    let error = take_in(&there, &pieces).expect_err("too many values");
    assert!(error.to_string().contains("more values than a row group holds"), "{error}");
}

#[test]
fn the_workspace_remembers_which_runs_went_into_a_capsule() {
    let place = Place::new();
    let workspace = place.open();
    for id in ["in", "out"] {
        workspace.run("digits").id(id).start().expect("starts").finish().expect("finishes");
    }
    let run = info(&workspace, "in");
    let id = workspace.note_capsule(std::slice::from_ref(&run), &[]).expect("is noted");
    drop(workspace);
    let workspace = place.open();
    let notes = workspace.capsules().expect("lists");
    assert_eq!(notes.len(), 1);
    assert_eq!(notes[0].id, id);
    assert!(notes[0].has_run(&run) && !notes[0].has_run(&info(&workspace, "out")) && notes[0].time > 0);
    assert_sound(&workspace);
}
