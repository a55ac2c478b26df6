//! What happens to processes and folders: stopped, copied, taken away; and clocks that stand still.

use std::sync::Arc;

use runcellar::{CheckOptions, ErrorKind, RowValue, RunState, Value};

use crate::support::child::Counter;
use crate::support::io::{Call, Fate, Hooked};
use crate::support::rows::assert_points;
use crate::support::{Heard, Place, child, copy_dir, rows};

/// A stopped process holds its lock: it is at work, however long it does nothing.
#[test]
fn a_stopped_process_is_not_taken_for_dead_and_goes_on() {
    let place = Place::new();
    let counter = Counter::open(&place.root().join("counter"));
    let mut writer = child::start("logs", &place, format!("stopped-run {} 50", 64 << 10));
    counter.wait_for(100, &mut writer);
    child::stop(&writer);
    let stopped_at = counter.get();
    // Others record, recover and read, a minute and an hour later by their clocks.
    let io = Hooked::new(|_: Call, _: &std::path::Path| Fate::Done);
    for (round, pause) in [60_000_000, 3_600_000_000].into_iter().enumerate() {
        io.pass(pause);
        let workspace = place.open_with(io.clone(), Arc::new(Heard::default())).expect("opens");
        let run = workspace.find_run("stopped-run").expect("listed");
        assert_eq!(run.state, RunState::Running);
        assert!(rows::verify(&workspace, &run) >= stopped_at);
        let other = workspace.run("p").id(format!("other-{round}")).start().expect("starts");
        other.log([("n", 1_i64)]).expect("logs");
        other.finish().expect("finishes");
    }
    child::go_on(&writer);
    counter.wait_for(stopped_at + 100, &mut writer);
    child::kill(writer);
    let workspace = place.open_silently();
    let run = workspace.find_run("stopped-run").expect("listed");
    assert_eq!(run.state, RunState::Crashed);
    assert!(rows::verify(&workspace, &run) >= counter.get().max(stopped_at + 100));
}

#[test]
fn a_workspace_removed_under_a_run_is_an_error_of_finish_with_a_count() {
    let place = Place::new();
    let heard = Arc::new(Heard::default());
    let workspace = place.open_with(Arc::new(runcellar::io::SystemIo), heard.clone()).expect("opens");
    let run = workspace.run("p").start().expect("starts");
    (0..10_i64).for_each(|n| run.log([("n", n), ("m", n)]).expect("log() never fails for it"));
    std::fs::remove_dir_all(place.workspace()).expect("removes");
    (10..15_i64).for_each(|n| run.log([("n", n), ("m", n)]).expect("log() never fails for it"));
    let error = run.finish().expect_err("all of it is gone");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().ends_with("was removed while a run was recorded"), "{error}");
    assert_eq!(run.dropped(), 30);
    assert!(heard.warnings().iter().any(|text| text.ends_with("30 values were dropped")), "{:?}", heard.warnings());
    assert!(!place.workspace().exists(), "and it is not made anew");
}

/// Each copy is made at another moment of a run at work, and the database written in the middle of it. It opens as a copy
/// that has a first part of each series, or says what is wrong with which file; it is never wrong.
#[test]
fn a_copy_made_while_a_run_writes_has_a_first_part_of_it_or_says_what_is_wrong() {
    let place = Place::new();
    let counter = Counter::open(&place.root().join("counter"));
    let mut writer = child::start("logs", &place, format!("copied-run {} 1000", 32 << 10));
    let mut opened = 0;
    for round in 0..8 {
        child::go_on(&writer);
        counter.wait_for(counter.get() + 400, &mut writer);
        let copy = Place::new();
        copy_while_written(&place, &copy);
        // It would have written far more by the time that the copy is looked at.
        child::stop(&writer);
        copy_dir(&place.keys_dir(), &copy.keys_dir());
        let heard = Arc::new(Heard::default());
        let options = runcellar::OpenOptions { monitor: heard.clone(), create: false, ..copy.options() };
        match options.open(&copy.workspace()) {
            Ok(workspace) => {
                opened += 1;
                let run = workspace.find_run("copied-run").expect("listed");
                let read = workspace.series(&run, "n", None).map(|series| series.steps).unwrap_or_default();
                let report = workspace.check(CheckOptions { read_data: true }).expect("is checked");
                let told = !report.is_ok() || !heard.warnings().is_empty();
                assert!(told || read.iter().copied().eq(0..read.len() as i64), "round {round}: a gap, and not a word");
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
                assert!(error.to_string().contains("cellar.db") || error.to_string().contains("keyslots"), "{error}");
            }
        }
    }
    child::kill(writer);
    assert!(opened > 0, "most open");
    let workspace = place.open_silently();
    assert!(rows::verify(&workspace, &workspace.find_run("copied-run").expect("listed")) >= counter.get());
}

/// `cp -r`, to which files may vanish.
fn copy_while_written(from: &Place, to: &Place) {
    let mut command = std::process::Command::new("cp");
    command.arg("-r").arg(from.workspace()).arg(to.workspace()).stderr(std::process::Stdio::null());
    command.status().expect("cp runs");
}

/// A clock that stands still or is set back neither keeps a run from being recorded nor disorders it.
#[test]
fn a_wall_clock_that_stands_still_or_runs_back_disorders_nothing() {
    for moves in [0, -3_600_000_000] {
        let place = Place::new();
        let io = Hooked::new(|_: Call, _: &std::path::Path| Fate::Done);
        let workspace = place.open_with(io.clone(), Arc::new(Heard::default())).expect("opens");
        for number in 0..3 {
            let run = workspace.run("p").id(format!("run-{number}")).journal_bytes(1000).start().expect("starts");
            for n in 0..200_i64 {
                io.move_wall_clock(moves);
                run.log([("n", n)]).expect("logs");
            }
            run.finish().expect("finishes");
        }
        for number in 0..3 {
            let run = workspace.find_run(&format!("run-{number}")).expect("listed");
            let series = workspace.series(&run, "n", None).expect("reads");
            let points: Vec<_> = (0..200).map(|n| (n, Value::Int(n))).collect();
            assert_points(&series, &points, &run.id);
            assert!(series.times.is_sorted(), "times of {}", run.id);
            assert!(run.finished.is_some_and(|finished| finished >= run.created));
        }
        assert!(workspace.check(CheckOptions { read_data: true }).expect("is checked").is_ok());
    }
}

/// Precomposed and decomposed letters are two keys everywhere: nothing is folded together.
#[test]
fn keys_that_differ_in_normal_form_alone_are_two() {
    const COMPOSED: &str = "caf\u{e9}";
    const DECOMPOSED: &str = "cafe\u{301}";
    let place = Place::new();
    let workspace = place.open();
    let config = runcellar::Json::Map(vec![
        (COMPOSED.into(), runcellar::Json::Int(1)),
        (DECOMPOSED.into(), runcellar::Json::Int(2)),
    ]);
    let run = workspace.run("p").id("two-keys").config(config).start().expect("starts");
    run.log([(COMPOSED, 10_i64), (DECOMPOSED, 20_i64)]).expect("logs");
    run.summary(&format!("best {COMPOSED}"), 1_i64).expect("sets");
    run.finish().expect("finishes");
    let found = |filter: &str| {
        let selection = runcellar::Selection::default().filter(filter).expect("understood");
        workspace.runs(&selection).expect("lists").len()
    };
    for (key, config, summary) in [(COMPOSED, 1, 10), (DECOMPOSED, 2, 20)] {
        let info = workspace.find_run("two-keys").expect("listed");
        assert_points(&workspace.series(&info, key, None).expect("reads"), &[(0, Value::Int(summary))], key);
        assert_eq!(found(&format!("config.\"{key}\" == {config}")), 1);
        assert_eq!(found(&format!("summary.\"{key}\" == {summary}")), 1);
        assert_eq!(found(&format!("config.\"{key}\" == {}", 3 - config)), 0);
    }
}

/// Steps end at 2^63-1: rows that follow stay there, and that is said once.
#[test]
fn the_last_step_there_is_is_said_and_wraps_nothing() {
    let place = Place::new();
    let heard = Arc::new(Heard::default());
    let workspace = place.open_with(Arc::new(runcellar::io::SystemIo), heard.clone()).expect("opens");
    let run = workspace.run("p").id("last-step").start().expect("starts");
    run.log_row(Some(i64::MAX - 1), Some(true), |row| row.push("n", RowValue::Int(0))).expect("logs");
    for n in 1..4_i64 {
        run.log([("n", n)]).expect("logs");
    }
    run.finish().expect("finishes");
    let info = workspace.find_run("last-step").expect("listed");
    let points =
        [(i64::MAX - 1, 0), (i64::MAX, 1), (i64::MAX, 2), (i64::MAX, 3)].map(|(step, n)| (step, Value::Int(n)));
    assert_points(&workspace.series(&info, "n", None).expect("reads"), &points, "the last steps");
    let warnings = heard.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("is the last there is"), "{warnings:?}");
    let again = workspace.run("p").id("last-step").resume(runcellar::Resume::Must).start().expect("resumes");
    assert_eq!(again.step(), i64::MAX);
    again.finish().expect("finishes");
}
