//! Media: what is logged comes out equal, once, and a reference whose file is missing is never written, whatever dies.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use runcellar::media::MediaContent;
use runcellar::run::{MEDIA_WAITING_BYTES_MAX, Run};
use runcellar::{
    CheckOptions, CollectOptions, ErrorKind, HistoryPoint, Json, MediaFile, MediaId, NewMedia, RowValue, RunMedia,
    SeriesValues, Window, Workspace, json,
};

use crate::support::child::Counter;
use crate::support::io::{Call, Fate, Faults, Hooked};
use crate::support::{Heard, Place, child, list};

fn image(bytes: &[u8]) -> NewMedia {
    NewMedia {
        kind: "image".into(),
        format: "png".into(),
        metadata: json!({"caption": "a caption", "width": 3}),
        content: Arc::new(bytes.to_vec()),
        companions: Vec::new(),
        parts: Vec::new(),
    }
}

fn log(run: &Run, name: &str, media: NewMedia) {
    run.log_media(None, None, vec![(name.into(), media)], |row| row.push("n", RowValue::Int(1))).expect("logs");
}

fn ids(workspace: &Workspace, id: &str, metric: &str) -> Vec<MediaId> {
    let run = workspace.find_run(id).expect("listed");
    match workspace.series(&run, metric, None) {
        Ok(series) => match series.values {
            SeriesValues::Media(all) => all,
            other => panic!("{other:?}"),
        },
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
            Vec::new()
        }
    }
}

fn media(workspace: &Workspace, id: &str) -> RunMedia {
    workspace.media(&workspace.find_run(id).expect("listed")).expect("reads")
}

#[track_caller]
fn assert_sound(workspace: &Workspace) {
    let report = workspace.check(CheckOptions { read_data: true }).expect("is checked");
    assert!(report.is_ok(), "{:#?}", report.problems);
}

#[test]
fn media_are_read_back_as_they_were_logged() {
    let place = Place::new();
    let workspace = place.open();
    let run = workspace.run("p").id("the-run").start().expect("starts");
    let figure = NewMedia {
        kind: "plotly".into(),
        format: "json".into(),
        companions: vec![("static.png".into(), Arc::new(b"picture".to_vec())), ("a.b".into(), Arc::new(vec![]))],
        ..image(b"{}")
    };
    log(&run, "image", image(&[7; 100_000]));
    run.log_media(Some(10), None, vec![("image".into(), image(b"second"))], |_| {}).expect("logs");
    run.log_media(Some(4), None, vec![("image".into(), image(b"third"))], |_| {}).expect("logs");
    log(&run, "figure", figure);
    run.flush().expect("flushes");
    let look = |workspace: &Workspace| {
        let run = workspace.find_run("the-run").expect("listed");
        assert_eq!(run.summary("image"), None, "a summary is a line of a listing");
        let series = workspace.series(&run, "image", None).expect("reads");
        assert_eq!(series.steps, [0, 4, 10]);
        let all = media(workspace, "the-run");
        let ids = ids(workspace, "the-run", "image");
        let contents: Vec<Vec<u8>> = ids.iter().map(|id| all.read(*id).expect("reads")).collect();
        assert_eq!(contents, [vec![7; 100_000], b"third".to_vec(), b"second".to_vec()]);
        let info = all.get(ids[0]).expect("known");
        assert_eq!((info.kind.as_str(), info.format.as_str(), info.bytes), ("image", "png", 100_000));
        assert_eq!(info.metadata, json!({"caption": "a caption", "width": 3}));
        let figure = self::ids(workspace, "the-run", "figure")[0];
        assert_eq!(all.get(figure).expect("known").companions, ["a.b", "static.png"]);
        assert_eq!(all.read_companion(figure, "static.png").expect("reads"), b"picture");
        let missing = all.read_companion(figure, "static.svg").map_err(|error| error.kind());
        assert_eq!(missing, Err(ErrorKind::NotFound));
        assert_eq!(all.list().len(), 4);
        let kind = workspace.metrics(&run).expect("lists").into_iter().find(|metric| metric.name == "image");
        assert_eq!(kind.map(|metric| (metric.kind, metric.points)), Some(("media", 3)));
        let history = workspace.history(&run, None, Window::default(), None).expect("reads");
        assert_eq!(history.steps, [0, 4, 10], "a reference joins the row that it was logged with");
    };
    look(&workspace);
    look(&place.look());
    run.finish().expect("finishes");
    look(&workspace);
    drop(workspace);
    let workspace = place.open_silently();
    look(&workspace);
    assert_sound(&workspace);
    workspace.collect_garbage(CollectOptions { now: true }).expect("collects");
    look(&workspace);
}

#[test]
fn equal_media_are_stored_once_and_parts_are_media_themselves() {
    let place = Place::new();
    let workspace = place.open();
    let run = workspace.run("p").id("first").start().expect("starts");
    let captioned = |caption: &str| NewMedia { metadata: json!({"caption": caption}), ..image(b"same") };
    for _ in 0..3 {
        log(&run, "x", captioned("a"));
        run.flush().expect("flushes");
    }
    log(&run, "x", captioned("b"));
    log(&run, "panel", NewMedia::panel(vec![captioned("b"), captioned("c"), captioned("b")]));
    run.finish().expect("finishes");
    let x = ids(&workspace, "first", "x");
    assert_eq!((x[0], x[1]), (x[2], x[2]));
    assert_ne!(x[2], x[3], "what is said of it is a part of it");
    let all = media(&workspace, "first");
    assert_eq!(all.list().len(), 4, "three captions and a panel");
    let panel = all.get(ids(&workspace, "first", "panel")[0]).expect("known");
    assert!(panel.is_panel());
    let captions: Vec<&Json> = panel
        .parts
        .iter()
        .map(|id| all.get(*id).and_then(|info| info.metadata.get("caption")).expect("said"))
        .collect();
    assert_eq!(captions, [&Json::from("b"), &Json::from("c"), &Json::from("b")]);

    // A run that goes on, and another of the project, know what is there.
    let run = workspace.run("p").id("first").resume(runcellar::Resume::Must).start().expect("resumes");
    log(&run, "x", captioned("a"));
    run.finish().expect("finishes");
    assert_eq!(media(&workspace, "first").list().len(), 4);
    let packs = || list(&place.workspace().join("packs")).iter().map(|folder| list(folder).len()).sum::<usize>();
    let before = packs();
    let run = workspace.run("p").id("second").start().expect("starts");
    log(&run, "x", captioned("a"));
    run.finish().expect("finishes");
    assert_eq!(ids(&workspace, "second", "x"), x[..1]);
    assert_eq!(packs(), before, "the content was there");
    assert_sound(&workspace);
}

#[test]
fn a_fork_shows_the_media_of_its_origin() {
    let place = Place::new();
    let workspace = place.open();
    let run = workspace.run("p").id("parent").start().expect("starts");
    log(&run, "x", image(b"of the parent"));
    run.finish().expect("finishes");
    let point = HistoryPoint { run: "parent".into(), step: None };
    let run = workspace.run("p").id("child").fork_from(point).start().expect("forks");
    log(&run, "x", image(b"of the child"));
    run.finish().expect("finishes");
    let all = media(&workspace, "child");
    let contents: Vec<_> = ids(&workspace, "child", "x").iter().map(|id| all.read(*id).expect("reads")).collect();
    assert_eq!(contents, [&b"of the parent"[..], b"of the child"]);
}

/// Content that is made when its gate opens, and fails if that says so.
struct Gated {
    gate: Mutex<Receiver<bool>>,
    cost: u64,
}

impl MediaContent for Gated {
    fn cost(&self) -> u64 {
        self.cost
    }

    fn make(&self) -> Result<Vec<u8>, String> {
        match self.gate.lock().expect("unpoisoned").recv() {
            Ok(true) => Ok(b"made".to_vec()),
            _ => Err("cannot be made".into()),
        }
    }
}

#[test]
fn what_has_no_room_or_cannot_be_made_is_dropped_counted_and_said_once() {
    let place = Place::new();
    let heard = Arc::new(Heard::default());
    let workspace = place.open_with(Arc::new(runcellar::io::SystemIo), heard.clone()).expect("opens");
    let run = workspace.run("p").id("the-run").start().expect("starts");
    let (open, gate) = channel();
    let first = Gated { gate: Mutex::new(gate), cost: MEDIA_WAITING_BYTES_MAX - 10 };
    log(&run, "x", NewMedia { content: Arc::new(first), ..image(b"") });
    log(&run, "x", image(&[0; 10]));
    for _ in 0..3 {
        log(&run, "x", image(&[0; 1]));
    }
    assert_eq!(run.dropped(), 3, "each is told exactly");
    open.send(true).expect("waits");
    run.flush().expect("flushes");
    log(&run, "x", image(b"there is room again"));
    let (open, gate) = channel();
    open.send(false).expect("is kept");
    log(&run, "x", NewMedia { content: Arc::new(Gated { gate: Mutex::new(gate), cost: 1 }), ..image(b"") });
    let long: String = (0..50_000_u64).map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    for bad in [
        NewMedia { kind: "Image".into(), ..image(b"") },
        NewMedia { format: "../png".into(), ..image(b"") },
        NewMedia { companions: vec![("a/b".into(), Arc::new(vec![]))], ..image(b"") },
        (0..20).fold(image(b""), |inner, _| NewMedia::panel(vec![inner])),
        NewMedia { metadata: json!({"caption": long}), ..image(b"") },
    ] {
        log(&run, "x", bad);
    }
    run.finish().expect("finishes");
    assert_eq!(run.dropped(), 3 + 1 + 5);
    assert_eq!(ids(&workspace, "the-run", "x").len(), 3);
    let info = workspace.find_run("the-run").expect("listed");
    assert_eq!(info.dropped, 9);
    assert_eq!(workspace.series(&info, "n", None).expect("reads").steps.len(), 12, "values are kept in any case");
    let warnings = heard.warnings();
    assert_eq!(warnings.len(), 2, "one when it begins, one at the end: {warnings:#?}");
}

#[test]
fn a_strict_run_fails_the_call() {
    let place = Place::new();
    let workspace = place.open();
    let run = workspace.run("p").strict(true).start().expect("starts");
    let bad = vec![("x".into(), NewMedia { kind: String::new(), ..image(b"") })];
    let error = run.log_media(None, None, bad, |_| {}).expect_err("is refused");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_full_disk_keeps_media_waiting_and_counts_what_is_given_up() {
    for recovers in [true, false] {
        let place = Place::new();
        let heard = Arc::new(Heard::default());
        let faults = Faults::new(|call| call == Call::Append, 1, u64::MAX, Fate::Fails(libc::ENOSPC));
        let workspace = place.open_with(Hooked::shared(faults.clone()), heard.clone()).expect("opens");
        let run = workspace.run("p").id("the-run").start().expect("starts");
        log(&run, "x", image(b"before"));
        run.flush().expect("flushes");
        faults.arm(true);
        for number in 0..5 {
            run.log_media(None, None, vec![("x".into(), image(&[number; 1000]))], |_| {}).expect("logs");
        }
        assert!(run.flush().is_err());
        assert_eq!(run.dropped(), 0, "nothing is given up while the run goes on");
        faults.arm(!recovers);
        let finished = run.finish();
        faults.arm(false);
        assert_eq!(run.dropped(), if recovers { 0 } else { 5 }, "{finished:?}");
        let ids = ids(&workspace, "the-run", "x");
        assert_eq!(ids.len(), if recovers { 6 } else { 1 });
        let all = media(&workspace, "the-run");
        assert!(ids.iter().all(|id| all.read(*id).is_ok()));
        drop(workspace);
        let workspace = place.open();
        assert_eq!(self::ids(&workspace, "the-run", "x").len(), ids.len());
        assert_sound(&workspace);
    }
}

#[test]
fn a_file_is_read_though_its_name_is_gone_and_not_if_it_was_changed() {
    let place = Place::new();
    let workspace = place.open();
    let run = workspace.run("p").id("the-run").start().expect("starts");
    let path = place.root().join("clip.mp4");
    let file = |path: &Path| MediaFile::open(path).map(|file| NewMedia { content: Arc::new(file), ..image(b"") });
    std::fs::write(&path, b"a clip").expect("writes");
    let (gone, changed) = (file(&path).expect("opens"), file(&path).expect("opens"));
    std::fs::remove_file(&path).expect("removes");
    log(&run, "x", gone);
    run.flush().expect("flushes");
    std::fs::write(&path, b"another").expect("writes");
    let shorter = file(&path).expect("opens");
    std::fs::write(&path, b"").expect("writes");
    log(&run, "x", shorter);
    drop(changed);
    run.finish().expect("finishes");
    let all = media(&workspace, "the-run");
    let contents: Vec<_> = ids(&workspace, "the-run", "x").iter().map(|id| all.read(*id).expect("reads")).collect();
    assert_eq!((contents, run.dropped()), (vec![b"a clip".to_vec()], 1));
    for bad in [place.root(), Path::new("/dev/null"), Path::new("/nowhere")] {
        assert!(file(bad).is_err(), "{}", bad.display());
    }
}

/// Logs images until it is killed; says how many were flushed.
pub(crate) fn logs_media(place: &Place, _: &str) {
    let flushed = Counter::open(&place.root().join("flushed"));
    let workspace = place.open();
    let run = workspace.run("p").id("killed").start().expect("starts");
    for number in 0..u64::MAX {
        run.log_media(None, None, vec![("x".into(), image(&number.to_le_bytes().repeat(2000)))], |row| {
            row.push("n", RowValue::Int(number as i64));
        })
        .expect("logs");
        if number % 5 == 4 {
            run.flush().expect("flushes");
            flushed.set(number + 1);
        }
    }
}

#[test]
fn a_killed_process_leaves_no_reference_without_its_file_and_loses_nothing_that_was_flushed() {
    for wanted in [5, 10, 15] {
        let place = Place::new();
        drop(place.open());
        let flushed = Counter::open(&place.root().join("flushed"));
        let mut killed = child::start("logs_media", &place, "");
        flushed.wait_for(wanted, &mut killed);
        killed.kill().expect("kills");
        let status = killed.wait().expect("waits");
        assert_eq!(status.signal(), Some(libc::SIGKILL));
        let workspace = place.open();
        let all = media(&workspace, "killed");
        let ids = ids(&workspace, "killed", "x");
        assert!(ids.len() as u64 >= flushed.get(), "{} of {}", ids.len(), flushed.get());
        for (number, id) in (0_u64..).zip(&ids) {
            assert_eq!(all.read(*id).expect("is there"), number.to_le_bytes().repeat(2000));
        }
        assert_sound(&workspace);
    }
}

/// Forks while media wait: the parent's are the parent's, and the child's its own.
pub(crate) fn forks_with_media(place: &Place, _: &str) {
    let workspace = place.open();
    let run = workspace.run("p").id("forked").start().expect("starts");
    let (open, gate) = channel();
    log(&run, "parent", NewMedia { content: Arc::new(Gated { gate: Mutex::new(gate), cost: 4 }), ..image(b"") });
    // SAFETY: the child of this process with threads uses the store and the allocator, which glibc keeps usable.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            log(&run, "child", image(b"of the child"));
            run.finish().expect("ends the child's writer");
        }));
        // SAFETY: ends the child without what the parent would run.
        unsafe { libc::_exit(i32::from(done.is_err())) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above.
    unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(status, 0, "the child logs media");
    open.send(true).expect("waits");
    run.finish().expect("finishes");
}

#[test]
fn a_forked_child_logs_media_of_its_own_and_none_of_its_parents() {
    let place = Place::new();
    drop(place.open());
    child::play("forks_with_media", &place, "");
    let workspace = place.open();
    let all = media(&workspace, "forked");
    let read = |metric: &str| {
        let ids = ids(&workspace, "forked", metric);
        ids.iter().map(|id| all.read(*id).expect("reads")).collect::<Vec<_>>()
    };
    assert_eq!(read("parent"), [b"made"]);
    assert_eq!(read("child"), [b"of the child"]);
    assert_eq!(all.list().len(), 2);
}

#[test]
fn a_run_that_only_its_journal_knows_keeps_its_media_too() {
    let place = Place::new();
    let workspace = place.open();
    let held = rusqlite::Connection::open(place.database()).expect("opens");
    held.execute_batch("BEGIN IMMEDIATE").expect("is held");
    let run = workspace.run("p").id("late").start().expect("starts without the database");
    log(&run, "x", image(b"late"));
    held.execute_batch("ROLLBACK").expect("lets go");
    run.finish().expect("finishes");
    let all = media(&workspace, "late");
    let contents: Vec<_> = ids(&workspace, "late", "x").iter().map(|id| all.read(*id).expect("reads")).collect();
    assert_eq!((contents, run.dropped()), (vec![b"late".to_vec()], 0));
    assert_sound(&workspace);
}
