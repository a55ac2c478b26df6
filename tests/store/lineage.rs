//! Forks and rewinds against a plain model, killed in the middle, and refused.

use std::collections::BTreeMap;

use runcellar::{
    CheckOptions, ErrorKind, HistoryPoint, Lineage, Resume, RowValue, Run, RunInfo, RunState, Selection, Series, Value,
    Window, Workspace, json,
};

use crate::support::child::Counter;
use crate::support::rows::{assert_points, row};
use crate::support::{Place, Rng, child, count_from};

/// What was logged, in order of writing: metric, step, value.
type Log = Vec<(&'static str, i64, Value)>;

fn at(run: &str, step: i64) -> HistoryPoint {
    HistoryPoint { run: run.to_owned(), step: Some(step) }
}

fn fork(workspace: &Workspace, id: &str, point: HistoryPoint) -> Run {
    workspace.run("digits").id(id).fork_from(point).start().expect("forks")
}

fn rewind(workspace: &Workspace, point: HistoryPoint) -> Run {
    workspace.run("digits").resume_from(point).start().expect("rewinds")
}

fn info(workspace: &Workspace, run: &str) -> RunInfo {
    workspace.find_run(run).expect("the run is there")
}

fn lineage(workspace: &Workspace, run: &str) -> Lineage {
    workspace.lineage(&info(workspace, run)).expect("it reads")
}

fn assert_whole(place: &Place) {
    let report = place.look().check(CheckOptions { read_data: true }).expect("checks");
    assert!(report.is_ok(), "{report:?}");
}

/// Compares what shows of a run with what its log says.
#[track_caller]
fn assert_shows(workspace: &Workspace, run: &str, log: &Log) {
    let run = info(workspace, run);
    let mut expected: BTreeMap<&str, Vec<(i64, Value)>> = BTreeMap::new();
    for (name, step, value) in log {
        expected.entry(name).or_default().push((*step, value.clone()));
    }
    let metrics = workspace.metrics(&run).expect("metrics are read");
    let mut names: Vec<&str> = metrics.iter().map(|metric| metric.name.as_str()).collect();
    names.sort_unstable();
    assert!(names.iter().eq(expected.keys()), "metrics of {}: {names:?}, expected {:?}", run.id, expected.keys());
    for metric in &metrics {
        let written = &expected[metric.name.as_str()];
        let mut points = written.clone();
        points.sort_by_key(|(step, _)| *step);
        let series = workspace.series(&run, &metric.name, None).expect("a series is read");
        assert_points(&series, &points, &format!("{} of {}", metric.name, run.id));
        assert_eq!(
            (metric.points, metric.first_step, metric.last_step),
            (points.len() as u64, points[0].0, points[points.len() - 1].0),
            "{}",
            metric.name
        );
        assert_eq!(metric.last, points[points.len() - 1].1, "{} of {}", metric.name, run.id);
        let numbers = || {
            points.iter().filter_map(|(_, value)| match value {
                Value::Int(int) => Some(*int as f64),
                Value::Float(float) => Some(*float).filter(|float| float.is_finite()),
                _ => None,
            })
        };
        let number = |value: &Option<Value>| match value {
            Some(Value::Int(int)) => Some(*int as f64),
            Some(Value::Float(float)) => Some(*float),
            _ => None,
        };
        assert_eq!(number(&metric.min), numbers().reduce(f64::min), "least {}", metric.name);
        assert_eq!(number(&metric.max), numbers().reduce(f64::max), "largest {}", metric.name);
        assert_eq!(run.summary(&metric.name), written.last().map(|(_, value)| value), "summary {}", metric.name);
    }
}

/// Logs rows of several metrics, some at steps that were there before.
fn record(run: &Run, log: &mut Log, rng: &mut Rng, rows: u64) {
    for _ in 0..rows {
        let step = match rng.below(8) {
            0 => i64::try_from(rng.below(40)).expect("small") - 5,
            _ => run.step(),
        };
        let mut values: Vec<(&'static str, Value)> = Vec::new();
        if rng.below(8) > 0 {
            values.push(("loss", Value::Float(f64::from_bits(rng.next() >> 2))));
        }
        if rng.below(3) == 0 {
            values.push(("n", Value::Int(rng.next() as i64)));
        }
        if rng.below(9) == 0 {
            values.push(("note", Value::Text(format!("text {}", rng.below(1000)))));
        }
        run.log_row(Some(step), Some(true), |row| {
            for (name, value) in &values {
                row.push(name, RowValue::from(value));
            }
        })
        .expect("logs");
        log.extend(values.into_iter().map(|(name, value)| (name, step, value)));
    }
}

fn up_to(log: &Log, step: i64) -> Log {
    log.iter().filter(|(_, at, _)| *at <= step).cloned().collect()
}

#[test]
fn a_fork_begins_with_the_history_up_to_its_step() {
    let place = Place::new();
    let workspace = place.open();
    let parent = workspace.run("digits").id("parent").config(json!({"lr": 0.1, "layers": 3})).start().expect("starts");
    let mut log: Log = Vec::new();
    for step in 0..10_000 {
        let value = Value::Float(1.0 / (step as f64 + 1.0));
        parent.log([("loss", value.clone())]).expect("logs");
        log.push(("loss", step, value));
    }
    parent.summary("best", 0.5).expect("sets");
    for (id, step) in [("early", 17), ("middle", 5_000), ("late", 9_998)] {
        let child = workspace.run("other").id(id).fork_from(at("parent", step)).config(json!({"lr": 0.2}));
        let child = child.start().expect("forks");
        assert_eq!((child.step(), child.is_resumed(), child.is_new()), (step + 1, false, false));
        assert_shows(&workspace, id, &up_to(&log, step));
        child.log([("loss", -1.0)]).expect("logs");
        child.finish().expect("finishes");
        let mut expected = up_to(&log, step);
        expected.push(("loss", step + 1, Value::Float(-1.0)));
        assert_shows(&workspace, id, &expected);
        let read = info(&workspace, id);
        assert_eq!((read.project.as_str(), read.state), ("other", RunState::Finished));
        assert_eq!(read.config, json!({"lr": 0.2, "layers": 3}));
        assert_eq!(read.summary("best"), None, "it was set after that step");
        assert_eq!(lineage(&workspace, id).forked_from, Some(at("parent", step)));
    }
    assert_shows(&workspace, "parent", &log);
    assert_eq!(lineage(&workspace, "parent"), Lineage { ranks: 1, ..Lineage::default() });

    // The whole of it, with what was set besides; and a fork of a fork.
    let whole = workspace.run("digits").fork_from(HistoryPoint { run: "parent".into(), step: None });
    let whole = whole.start().expect("forks");
    assert_eq!(whole.step(), 10_000);
    assert_shows(&workspace, whole.id(), &log);
    assert_eq!(info(&workspace, whole.id()).summary("best"), Some(&Value::Float(0.5)));
    let grandchild = fork(&workspace, "grandchild", at(whole.id(), 20));
    assert_eq!(grandchild.step(), 21);
    assert_shows(&workspace, "grandchild", &up_to(&log, 20));
    assert_eq!(fork(&workspace, "beyond", at("parent", 1 << 40)).step(), 10_000, "there is no more");
    assert_whole(&place);

    // What the fork has is its own.
    let parent_run = info(&workspace, "parent");
    drop(parent);
    workspace.remove_runs(&[parent_run]).expect("removes");
    assert_shows(&workspace, "grandchild", &up_to(&log, 20));
}

#[test]
fn a_fork_of_nothing_says_so_and_is_empty() {
    let place = Place::new();
    let heard = std::sync::Arc::new(crate::support::Heard::default());
    let workspace = place.open_with(std::sync::Arc::new(runcellar::io::SystemIo), heard.clone()).expect("opens");
    let parent = workspace.run("digits").id("parent").start().expect("starts");
    parent.log_at(5, [("loss", 1_i64)]).expect("logs");
    let child = fork(&workspace, "child", at("parent", 3));
    assert_eq!(child.step(), 4);
    assert!(workspace.metrics(&info(&workspace, "child")).expect("reads").is_empty());
    assert_eq!(heard.warnings(), ["run parent: it has nothing up to step 3"]);
    assert_eq!(fork(&workspace, "before", at("parent", -7)).step(), 0);
    drop((parent, child));
    assert_whole(&place);
}

#[test]
fn a_rewind_hides_what_came_after_its_step_and_destroys_nothing() {
    let place = Place::new();
    let workspace = place.open();
    let first = workspace.run("digits").id("run").start().expect("starts");
    let mut log: Log = Vec::new();
    for step in 0..9_000 {
        first.log([("loss", step)]).expect("logs");
        log.push(("loss", step, Value::Int(step)));
    }
    first.log([("late", true)]).expect("logs");
    first.finish_as(RunState::Crashed, None).expect("finishes");

    let again = rewind(&workspace, at("run", 100));
    assert_eq!((again.id(), again.step(), again.is_resumed()), ("run", 101, true));
    log.truncate(101);
    assert_shows(&workspace, "run", &log);
    again.log([("loss", -1_i64)]).expect("logs");
    again.finish().expect("finishes");
    log.push(("loss", 101, Value::Int(-1)));
    assert_shows(&workspace, "run", &log);
    let run = info(&workspace, "run");
    assert_eq!(run.state, RunState::Finished);
    let hidden = workspace.hidden_series(&run, "loss").expect("reads");
    assert_points(&hidden, &(101..9_000).map(|step| (step, Value::Int(step))).collect::<Vec<_>>(), "hidden loss");
    assert_eq!(workspace.hidden_series(&run, "late").expect("reads").steps, [9_000]);
    assert!(
        workspace
            .history(&run, None, Window::default(), None)
            .expect("reads")
            .columns
            .iter()
            .all(|column| column.name == "loss")
    );
    let known = lineage(&workspace, "run");
    assert_eq!(known.rewinds.iter().map(|rewind| (rewind.step, rewind.rows)).collect::<Vec<_>>(), [(100, 8_900)]);

    // Rewinding behind a rewind, and a fork of what is left.
    drop(rewind(&workspace, at("run", 50)));
    log.truncate(51);
    assert_shows(&workspace, "run", &log);
    assert_eq!(workspace.hidden_series(&run, "loss").expect("reads").steps.len(), 9_000 - 51 + 1);
    drop(fork(&workspace, "child", at("run", 200)));
    assert_shows(&workspace, "child", &log);
    assert!(workspace.hidden_series(&info(&workspace, "child"), "loss").expect("reads").steps.is_empty());
    drop(rewind(&workspace, at("child", 10)));
    assert_shows(&workspace, "child", &up_to(&log, 10));
    assert_shows(&workspace, "run", &log);
    assert_eq!(lineage(&workspace, "run").rewinds.len(), 2);
    // One that hides nothing is a resume.
    let resumed = rewind(&workspace, at("run", 700));
    assert_eq!(resumed.step(), 51);
    drop(resumed);
    assert_eq!(lineage(&workspace, "run").rewinds.len(), 2);
    assert_whole(&place);
}

/// What a crashed writer left in its journal does not come back, whoever takes it in, and when.
#[test]
fn a_journal_that_is_found_after_a_rewind_stays_hidden() {
    for ingested_first in [true, false] {
        let place = Place::new();
        child::play("leaves_a_journal", &place, "700");
        let workspace = if ingested_first { place.open() } else { place.look() };
        assert_eq!(place.journal_files().is_empty(), ingested_first);
        let again = rewind(&workspace, at("run", 300));
        assert_eq!(again.step(), 301);
        let mut log: Log = (0..=300).map(|step| ("n", step, Value::Int(step))).collect();
        assert_shows(&workspace, "run", &log);
        assert_eq!(workspace.hidden_series(&info(&workspace, "run"), "n").expect("reads").steps.len(), 399);
        again.log([("n", -5_i64)]).expect("logs");
        again.finish().expect("finishes, and takes in what is left");
        log.push(("n", 301, Value::Int(-5)));
        let workspace = place.open();
        assert!(place.journal_files().is_empty());
        assert_shows(&workspace, "run", &log);
        let hidden = workspace.hidden_series(&info(&workspace, "run"), "n").expect("reads");
        assert_points(&hidden, &(301..700).map(|step| (step, Value::Int(step))).collect::<Vec<_>>(), "hidden");
        assert_whole(&place);
    }
}

pub(crate) fn leaves_a_journal(place: &Place, rows: &str) {
    let run = place.open().run("digits").id("run").start().expect("starts");
    for step in 0..rows.parse().expect("a number") {
        run.log([("n", step)]).expect("logs");
    }
    // SAFETY: ends this process at once, as SIGKILL would; nothing runs after it.
    unsafe { libc::_exit(0) };
}

#[test]
fn random_lineages_read_as_their_logs_say() {
    let mut rng = Rng::seeded();
    for _ in 0..count_from("RUNCELLAR_LINEAGES", 6) {
        let place = Place::new();
        let workspace = place.open();
        let mut logs: Vec<(String, Log)> = Vec::new();
        let mut run = workspace.run("digits").id("run0").start().expect("starts");
        logs.push(("run0".into(), Vec::new()));
        for turn in 1..8 {
            let current = logs.len() - 1;
            let rows = [0, 3, 40, 5_000][rng.below(4) as usize];
            record(&run, &mut logs[current].1, &mut rng, rows);
            if rng.below(3) > 0 {
                run.finish().expect("finishes");
            }
            let from = rng.below(logs.len() as u64) as usize;
            let highest = logs[from].1.iter().map(|(_, step, _)| *step).max().unwrap_or(0);
            let step = i64::try_from(rng.below(highest.unsigned_abs() + 4)).expect("small") - 2;
            match rng.below(3) {
                0 => {
                    let id = format!("run{turn}");
                    run = fork(&workspace, &id, at(&logs[from].0, step));
                    let log = up_to(&logs[from].1, step);
                    logs.push((id, log));
                }
                1 => {
                    run.finish().expect("finishes");
                    run = rewind(&workspace, at(&logs[from].0, step));
                    let (id, log) = logs.remove(from);
                    logs.push((id, up_to(&log, step)));
                }
                _ => {
                    run = workspace.run("digits").id(&logs[from].0).resume(Resume::Must).start().expect("resumes");
                    let moved = logs.remove(from);
                    logs.push(moved);
                }
            }
            for (id, log) in &logs {
                assert_shows(&workspace, id, log);
            }
        }
        drop(run);
        let workspace = place.open();
        for (id, log) in &logs {
            assert_shows(&workspace, id, log);
        }
        assert_whole(&place);
    }
}

#[test]
fn ranks_fork_and_rewind_together() {
    let place = Place::new();
    let workspace = place.open();
    let launch = |job: &str, rank| runcellar::Launch { job: job.into(), joins: true, rank, ..Default::default() };
    let ranks: Vec<Run> =
        (0..2).map(|rank| workspace.run("p").launch(launch("a", rank)).start().expect("starts")).collect();
    for step in 0..20 {
        for run in &ranks {
            run.log([("loss", step)]).expect("logs");
        }
    }
    let parent = ranks[0].id().to_owned();
    drop(ranks);
    let forks: Vec<Run> = (0..2)
        .map(|rank| workspace.run("p").launch(launch("b", rank)).fork_from(at(&parent, 9)).start().expect("forks"))
        .collect();
    assert_eq!((forks[0].id(), forks[0].step(), forks[1].step()), (forks[1].id(), 10, 10));
    let child = info(&workspace, forks[0].id());
    assert_eq!(
        workspace.series_in(&child, "loss", Window::default().rank(1), None).expect("reads").steps,
        (0..10).collect::<Vec<_>>()
    );
    drop(forks);
    let back =
        |rank| workspace.run("p").launch(launch("c", rank)).resume_from(at(&parent, 4)).start().expect("rewinds");
    let again: Vec<Run> = (0..2).map(back).collect();
    for run in &again {
        assert_eq!((run.id(), run.step()), (parent.as_str(), 5));
        run.log([("loss", -1_i64)]).expect("logs");
    }
    let read = info(&workspace, &parent);
    for rank in 0..2 {
        let series = workspace.series_in(&read, "loss", Window::default().rank(rank), None).expect("reads");
        assert_eq!(series.steps, (0..6).collect::<Vec<_>>());
        assert_eq!(series.values.get(5), Some(Value::Int(-1)));
    }
    assert_eq!(lineage(&workspace, &parent).rewinds.len(), 1);
    drop(again);
    assert_whole(&place);
}

#[test]
fn what_cannot_be_forked_or_rewound_is_refused() {
    let place = Place::new();
    let workspace = place.open();
    let run = workspace.run("digits").id("run").start().expect("starts");
    for step in 0..5 {
        run.log([("loss", step)]).expect("logs");
    }
    let builder = || workspace.run("digits");
    let refusal = |builder: runcellar::RunBuilder| {
        let error = builder.start().expect_err("refused");
        (error.kind(), error.to_string())
    };
    assert_eq!(refusal(builder().fork_from(at("nowhere", 3))).0, ErrorKind::NotFound);
    assert_eq!(refusal(builder().resume_from(at("nowhere", 3))).0, ErrorKind::NotFound);
    let (kind, message) = refusal(builder().resume_from(at("run", 3)));
    assert_eq!(kind, ErrorKind::Busy, "its writer is at work");
    assert!(message.contains("being recorded"), "{message}");
    assert_eq!(refusal(builder().id("run").fork_from(at("run", 3))).0, ErrorKind::Exists);
    assert_eq!(refusal(builder().id("other").resume_from(at("run", 3))).0, ErrorKind::InvalidArgument);
    assert_eq!(refusal(builder().fork_from(at("run", 3)).resume_from(at("run", 3))).0, ErrorKind::InvalidArgument);
    assert_eq!(refusal(builder().fork_from(at("run", 3)).resume(Resume::Must)).0, ErrorKind::InvalidArgument);
    assert_eq!(refusal(builder().resume_from(at("run", 3)).resume(Resume::Never)).0, ErrorKind::InvalidArgument);
    run.finish().expect("finishes");
    workspace.remove_runs(&[info(&workspace, "run")]).expect("removes");
    assert_eq!(refusal(builder().fork_from(at("run", 3))).0, ErrorKind::NotFound);
    assert_eq!(refusal(builder().resume_from(at("run", 3))).0, ErrorKind::NotFound);
    assert_eq!(workspace.runs(&Selection::default()).expect("lists").len(), 0, "nothing was made");
    assert!(place.journal_files().is_empty());
}

/// A program that is started again asks for the same fork again, and goes on with it.
#[test]
fn the_same_fork_is_gone_on_with_if_resuming_is_allowed() {
    let place = Place::new();
    let workspace = place.open();
    let parent = workspace.run("digits").id("parent").start().expect("starts");
    (0..9).for_each(|step| parent.log([("loss", step)]).expect("logs"));
    let start = || workspace.run("digits").id("child").fork_from(at("parent", 4)).resume(Resume::Allow).start();
    let child = start().expect("forks");
    child.log([("loss", 50_i64)]).expect("logs");
    drop(child);
    let again = start().expect("goes on");
    assert_eq!((again.step(), again.is_resumed()), (6, true));
    let other = workspace.run("digits").id("child").fork_from(at("parent", 5)).resume(Resume::Allow).start();
    assert_eq!(other.expect_err("another fork").kind(), ErrorKind::Exists);
}

/// Kills a process that forks and rewinds, again and again: each is there as a whole, or not at all.
#[test]
fn a_killed_fork_or_rewind_is_whole_or_not_there() {
    const ROWS: i64 = 30_000;
    let place = Place::new();
    {
        let workspace = place.open();
        for id in ["parent", "back"] {
            let run = workspace.run("digits").id(id).start().expect("starts");
            for step in 0..ROWS {
                run.log(row(step as u64)).expect("logs");
            }
        }
    }
    let counter = Counter::open(&place.root().join("counter"));
    let mut rng = Rng::seeded();
    let rows_of = |workspace: &Workspace, id: &str| {
        let run = info(workspace, id);
        let n: Series = workspace.series(&run, "n", None).expect("reads");
        let expected: Vec<_> = (0..n.steps.len() as i64).map(|step| (step, Value::Int(step))).collect();
        assert_points(&n, &expected, id);
        n.steps.len() as i64
    };
    let mut left = ROWS;
    for turn in 0..count_from("RUNCELLAR_KILLS", 60) / 6 {
        counter.set(0);
        let step = left - 100 - rng.below(1_000) as i64;
        let mut process = child::start("forks_and_rewinds", &place, format!("{turn} {step}"));
        counter.wait_for(1, &mut process);
        std::thread::sleep(std::time::Duration::from_micros(rng.below(60_000)));
        let _ = process.kill();
        process.wait().expect("waits");
        let workspace = place.open();
        for run in workspace.runs(&Selection::default()).expect("lists") {
            let rows = rows_of(&workspace, &run.id);
            match run.id.as_str() {
                "parent" => assert_eq!(rows, ROWS),
                "back" => {
                    assert!(rows == left || rows == step + 1, "{rows} rows, {left} or {} expected", step + 1);
                    let hidden = workspace.hidden_series(&run, "n").expect("reads").steps.len() as i64;
                    assert_eq!(rows + hidden, ROWS);
                }
                _ => assert_eq!(rows, ROWS - 1_234, "fork {}", run.id),
            }
        }
        left = rows_of(&workspace, "back");
        let report = workspace.check(CheckOptions::default()).expect("checks");
        assert!(report.is_ok(), "{report:?}");
    }
}

pub(crate) fn forks_and_rewinds(place: &Place, argument: &str) {
    let (turn, step) = argument.split_once(' ').expect("two numbers");
    let workspace = place.open();
    Counter::open(&place.root().join("counter")).set(1);
    let child = fork(&workspace, &format!("fork{turn}"), at("parent", 30_000 - 1_235));
    let back = rewind(&workspace, at("back", step.parse().expect("a number")));
    drop((child, back));
}
