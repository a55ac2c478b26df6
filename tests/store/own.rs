//! Series that the store records of itself: system metrics. They are apart from the user's in every view, and a user
//! cannot make one.

use std::time::{Duration, Instant};

use runcellar::run::Run;
use runcellar::{CheckOptions, ErrorKind, Resume, RunInfo, SYSTEM_EVERY, Stream, Value, Window, Workspace};

use crate::support::{Heard, Place};

/// Waits for the first sample, which is due a second after the start.
fn sampled(workspace: &Workspace, run: &Run) -> RunInfo {
    let begin = Instant::now();
    loop {
        let info = workspace.find_run(run.id()).expect("the run is listed");
        if !workspace.system_metrics(&info).expect("metrics are read").is_empty() {
            return info;
        }
        assert!(begin.elapsed() < 4 * SYSTEM_EVERY, "no sample comes");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn names(workspace: &Workspace, run: &RunInfo) -> Vec<String> {
    workspace.metrics(run).expect("metrics are read").into_iter().map(|metric| metric.name).collect()
}

#[test]
fn system_metrics_are_read_by_name_and_are_in_no_other_view() {
    let place = Place::new();
    let workspace = place.open();
    let run = workspace.run("p").id("watched").system(true).start().expect("starts");
    run.log([("loss", 1.0)]).expect("logs");
    let look = |workspace: &Workspace, info: &RunInfo| {
        assert_eq!(names(workspace, info), ["loss"]);
        assert_eq!(info.summary, [("loss".to_owned(), Value::Float(1.0))]);
        let history = workspace.history(info, None, Window::default(), None).expect("a table is read");
        assert_eq!((history.steps, history.columns.len()), (vec![0], 1));
        let cpu = workspace.series(info, "system/cpu", None).expect("read by its public name");
        assert!(!cpu.steps.is_empty() && cpu.steps[0] == 0);
        let table = workspace.system(info, None).expect("a table is read");
        assert_eq!(table.times, cpu.times);
        assert!(table.columns.iter().all(|column| column.name.starts_with("system/")));
        let of_one =
            workspace.history(info, Some(&["system/cpu".to_owned()]), Window::default(), None).expect("read by keys");
        assert_eq!(of_one.columns.len(), 1);
        let mixed = ["loss".to_owned(), "system/cpu".to_owned()];
        let mixed = workspace.history(info, Some(&mixed), Window::default(), None).expect_err("they share no steps");
        assert_eq!(mixed.kind(), ErrorKind::InvalidArgument);
        let missing = workspace.system(info, Some(&["system/none".to_owned()])).expect_err("not there");
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert_eq!(workspace.series(info, "system/none", None).expect_err("not there").kind(), ErrorKind::NotFound);
    };
    let info = sampled(&workspace, &run);
    look(&workspace, &info);
    assert_eq!(run.step(), 1);
    run.finish().expect("finishes");
    assert_eq!(place.journal_files().len(), 0, "all is in the database");
    let workspace = place.open_silently();
    let info = workspace.find_run("watched").expect("the run is listed");
    look(&workspace, &info);
    let report = workspace.check(CheckOptions { read_data: true }).expect("checks");
    assert!(report.problems.is_empty(), "{:?}", report.problems);

    // A session more begins its samples at 0 again; time orders them all.
    let again = workspace.run("p").id("watched").resume(Resume::Must).system(true).start().expect("resumes");
    assert_eq!(again.step(), 1, "samples move no step");
    let before = workspace.series(&info, "system/cpu", None).expect("reads").steps.len();
    let begin = Instant::now();
    let both = loop {
        let cpu = workspace.series(&info, "system/cpu", None).expect("reads");
        if cpu.steps.len() > before || begin.elapsed() > 4 * SYSTEM_EVERY {
            break cpu;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(both.steps.len() > before && both.times.is_sorted());
    assert!(both.steps.iter().copied().eq(0..both.steps.len() as i64));
    again.finish().expect("finishes");
}

#[test]
fn a_run_that_is_shorter_than_a_second_pays_nothing_for_system_metrics() {
    let place = Place::new();
    let workspace = place.open();
    let run = workspace.run("p").system(true).start().expect("starts");
    assert_eq!(place.journal_files().len(), 1);
    run.log([("loss", 1.0)]).expect("logs");
    let begin = Instant::now();
    run.finish().expect("finishes");
    let info = workspace.find_run(run.id()).expect("listed");
    // On a machine so busy that the second passed meanwhile nothing can be said.
    if begin.elapsed() < Duration::from_millis(500) {
        assert_eq!(workspace.system_metrics(&info).expect("reads"), []);
    }
}

#[test]
fn a_metric_of_the_users_that_is_called_like_one_of_the_systems_is_the_users() {
    let place = Place::new();
    let workspace = place.open();
    let run = workspace.run("p").system(true).start().expect("starts");
    run.log([("system/cpu", -7.0)]).expect("logs");
    let info = sampled(&workspace, &run);
    let cpu = workspace.series(&info, "system/cpu", None).expect("reads");
    assert_eq!((cpu.steps, cpu.values.get(0)), (vec![0], Some(Value::Float(-7.0))));
    assert_eq!(names(&workspace, &info), ["system/cpu"]);
    let history = workspace.history(&info, Some(&["system/cpu".to_owned()]), Window::default(), None).expect("reads");
    assert_eq!(history.columns[0].values.get(0), Some(Value::Float(-7.0)));
    assert_ne!(
        workspace.system(&info, Some(&["system/cpu".to_owned()])).expect("reads").columns[0].values.get(0),
        Some(Value::Float(-7.0))
    );
}

#[test]
fn users_cannot_make_a_series_of_the_stores_own() {
    let place = Place::new();
    let heard = std::sync::Arc::new(Heard::default());
    let workspace = place.open_with(std::sync::Arc::new(runcellar::io::SystemIo), heard.clone());
    let workspace = workspace.expect("opens");
    let run = workspace.run("p").start().expect("starts");
    for step in 0..3 {
        run.log_at(step, [("\0console", 1.0), ("loss", 2.0), ("a\0b", 3.0)]).expect("logs");
    }
    run.summary("\0system/cpu", 5.0).expect("is refused without an error");
    assert_eq!(run.dropped(), 4);
    run.finish().expect("finishes");
    let info = workspace.find_run(run.id()).expect("listed");
    assert_eq!(names(&workspace, &info), ["loss", "a\0b"]);
    assert_eq!(info.summary.len(), 2);
    assert!(workspace.console(&info).expect("reads").is_empty());
    let warnings = heard.warnings();
    assert!(warnings.iter().any(|text| text.contains("begins with U+0000")), "{warnings:?}");

    let strict = workspace.run("p").strict(true).start().expect("starts");
    let refused = strict.log([("\0system/cpu", 1.0)]).expect_err("a strict run says it");
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
}

fn console(workspace: &Workspace, run: &RunInfo) -> Vec<(Stream, String)> {
    let lines = workspace.console(run).expect("the console is read");
    assert!(lines.is_sorted_by_key(|line| line.time));
    lines.into_iter().map(|line| (line.stream, line.text)).collect()
}

#[test]
fn the_console_is_read_as_lines_and_is_in_no_other_view() {
    let place = Place::new();
    let workspace = place.open();
    let run = workspace.run("p").id("said").start().expect("starts");
    run.log([("loss", 1.0)]).expect("logs");
    run.console(Stream::Out, b"epoch 1\nepo");
    let info = workspace.find_run("said").expect("listed");
    assert_eq!(console(&place.look(), &info), [(Stream::Out, "epoch 1".to_owned())], "a line shows when it ends");
    run.console(Stream::Err, b"careful\n");
    run.console(Stream::Out, b"ch 2\r\n\xff");
    run.finish().expect("finishes");
    run.console(Stream::Out, b"after the end\n");
    let expected =
        [(Stream::Out, "epoch 1"), (Stream::Err, "careful"), (Stream::Out, "epoch 2"), (Stream::Out, "\u{fffd}")];
    let expected: Vec<_> = expected.into_iter().map(|(stream, text)| (stream, text.to_owned())).collect();
    let workspace = place.open_silently();
    let info = workspace.find_run("said").expect("listed");
    assert_eq!(console(&workspace, &info), expected);
    assert_eq!(names(&workspace, &info), ["loss"]);
    assert_eq!(info.summary.len(), 1);
    assert_eq!(workspace.history(&info, None, Window::default(), None).expect("reads").steps, [0]);
    assert_eq!(workspace.series(&info, "console", None).expect_err("no metric").kind(), ErrorKind::NotFound);
    let report = workspace.check(CheckOptions { read_data: true }).expect("checks");
    assert!(report.problems.is_empty(), "{:?}", report.problems);

    let again = workspace.run("p").id("said").resume(Resume::Must).start().expect("resumes");
    assert_eq!(again.step(), 1, "lines move no step");
    again.console(Stream::Both, b"resumed\n");
    again.finish().expect("finishes");
    let all = console(&workspace, &info);
    assert_eq!(all.last(), Some(&(Stream::Both, "resumed".to_owned())));
    assert_eq!(all.len(), expected.len() + 1);
}

#[test]
fn many_lines_read_back_in_order_from_journal_and_blocks() {
    let place = Place::new();
    let workspace = place.open();
    let run = workspace.run("p").start().expect("starts");
    let lines: Vec<String> = (0..9_000).map(|line| format!("{line}: {}", "x".repeat(line % 97))).collect();
    for line in &lines {
        run.console(Stream::Out, line.as_bytes());
        run.console(Stream::Out, b"\n");
    }
    let look = |workspace: &Workspace| {
        let info = workspace.find_run(run.id()).expect("listed");
        let read: Vec<String> = console(workspace, &info).into_iter().map(|(_, text)| text).collect();
        assert!(read == lines, "{} of {} lines", read.len(), lines.len());
    };
    look(&place.look());
    run.finish().expect("finishes");
    look(&place.open_silently());
}
