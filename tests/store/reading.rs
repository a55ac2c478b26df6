//! Reading parts of a run: windows, fewer points, and what is touched for it.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering as Memory};
use std::sync::{Arc, Mutex, OnceLock};

use runcellar::{
    CheckOptions, HistoryPoint, MetricInfo, Problem, ProblemKind, Resume, Run, RunInfo, Series, Value, Window,
    Workspace,
};

use crate::support::io::{Call, Fate, Hooked};
use crate::support::rows::same;
use crate::support::{Heard, Place, is_network, rows};

/// Draws numbers that are the same in every run of a test.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

type Point = (i64, i64, Value);

fn points(series: &Series) -> Vec<Point> {
    let values = (0..series.values.len()).map(|index| series.values.get(index).expect("a value"));
    series.steps.iter().zip(&series.times).zip(values).map(|((step, time), value)| (*step, *time, value)).collect()
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Float(float) => Some(*float).filter(|float| !float.is_nan()),
        Value::Int(int) => Some(*int as f64),
        Value::Bool(bool) => Some(f64::from(u8::from(*bool))),
        _ => None,
    }
}

fn is_same(left: &Point, right: &Point) -> bool {
    (left.0, left.1) == (right.0, right.1) && same(&left.2, &right.2)
}

/// Goes on with a run as another writer, each of which leaves a row group of its own, and logs with `log`.
fn session(workspace: &Workspace, id: &str, log: impl FnOnce(&Run)) {
    let run = workspace.run("p").id(id).resume(Resume::Allow).start().expect("starts");
    log(&run);
    run.finish().expect("finishes");
}

fn value_of(key: &str, draw: &mut Draw, step: i64) -> Value {
    let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::from_bits(0x7ff8_0000_0000_0007)];
    match (key, draw.below(20)) {
        ("float", 0) => Value::Float(odd[draw.below(5) as usize]),
        ("mixed", 0..5) => Value::Int((1 << 53) + 1),
        ("mixed", 5..8) => Value::Text(format!("text {step}")),
        ("int", _) => Value::Int(draw.below(u64::MAX) as i64),
        ("bool", _) => Value::Bool(draw.below(2) == 1),
        ("text", _) => Value::Text(format!("line {}", draw.below(1000))),
        _ => Value::Float(draw.below(1_000_000) as f64 / 7.0),
    }
}

const KEYS: [&str; 5] = ["float", "int", "bool", "text", "mixed"];

/// Logs many short groups, with late steps and steps at both ends of the integers, the last of them from a live writer.
fn many_groups(workspace: &Workspace, draw: &mut Draw, overlap: bool) -> Run {
    let mut next = 0;
    let mut log = |run: &Run, draw: &mut Draw, rows: u64| {
        for _ in 0..rows {
            next += i64::try_from(draw.below(3)).expect("small");
            let step = match draw.below(200) {
                0 if overlap => i64::MAX,
                1 if overlap => i64::MIN,
                2..20 if overlap => next - 50,
                _ => next,
            };
            let kept: Vec<&str> = KEYS.into_iter().filter(|_| draw.below(4) != 0).collect();
            let row: Vec<(&str, Value)> = kept.into_iter().map(|key| (key, value_of(key, draw, step))).collect();
            run.log_at(step, row).expect("logs");
        }
    };
    for _ in 0..12 {
        let rows = 20 + draw.below(80);
        session(workspace, "the-run", |run| log(run, draw, rows));
    }
    let live = workspace.run("p").id("the-run").resume(Resume::Allow).start().expect("starts");
    log(&live, draw, 70);
    live
}

fn info(workspace: &Workspace) -> RunInfo {
    workspace.find_run("the-run").expect("there")
}

/// What is said of a metric in a window is what its points there say.
#[track_caller]
fn assert_tells(metric: Option<&MetricInfo>, points: &[Point]) {
    let (Some(metric), Some(first), Some(last)) = (metric, points.first(), points.last()) else {
        return assert!(metric.is_none() && points.is_empty(), "{metric:?}");
    };
    assert_eq!((metric.points, metric.first_step, metric.last_step), (points.len() as u64, first.0, last.0));
    let finite = || points.iter().filter_map(|point| number(&point.2)).filter(|value| value.is_finite());
    let (min, max) = (metric.min.as_ref().and_then(number), metric.max.as_ref().and_then(number));
    assert_eq!((min, max), (finite().reduce(f64::min), finite().reduce(f64::max)), "{}", metric.name);
}

#[test]
fn a_window_is_a_plain_filter_of_all_points() {
    let place = Place::new();
    let workspace = place.open();
    let mut draw = Draw(1);
    let live = many_groups(&workspace, &mut draw, true);
    for round in 0..12 {
        let reader = if round % 2 == 0 { workspace.clone() } else { place.look() };
        let run = info(&reader);
        for key in KEYS {
            let all = points(&reader.series(&run, key, None).expect("reads"));
            assert!(all.is_sorted_by_key(|point| (point.0, point.1)), "{key}");
            let pick = |draw: &mut Draw| all[draw.below(all.len() as u64) as usize].clone();
            let (one, two) = (pick(&mut draw), pick(&mut draw));
            let (steps, times) = (one.0.min(two.0)..one.0.max(two.0), one.1.min(two.1)..one.1.max(two.1));
            let windows = [
                (Window::default().steps(steps.clone()), steps.clone(), i64::MIN..i64::MAX),
                (Window::default().times(times.clone()), i64::MIN..i64::MAX, times.clone()),
                (Window::default().steps(steps.clone()).times(times.clone()), steps, times),
            ];
            for (window, steps, times) in windows {
                let found = points(&reader.series_in(&run, key, window, None).expect("reads"));
                let inside = |point: &&Point| {
                    (steps == (i64::MIN..i64::MAX) || steps.contains(&point.0))
                        && (times == (i64::MIN..i64::MAX) || times.contains(&point.1))
                };
                let expected: Vec<&Point> = all.iter().filter(inside).collect();
                assert_eq!(found.len(), expected.len(), "{key} {window:?}");
                assert!(found.iter().zip(expected).all(|(found, expected)| is_same(found, expected)), "{key}");
                let metrics = reader.metrics_in(&run, window).expect("counts");
                assert_tells(metrics.iter().find(|metric| metric.name == key), &found);
            }
        }
        let whole = reader.history(&run, None, Window::default(), None).expect("reads");
        assert!(whole.steps.is_sorted_by(|left, right| left < right));
        assert_eq!((whole.steps.first(), whole.steps.last()), (Some(&i64::MIN), Some(&i64::MAX)));
        let part = reader.history(&run, None, Window::default().steps(10..90), None).expect("reads");
        let rows: Vec<usize> = (0..whole.steps.len()).filter(|row| (10..90).contains(&whole.steps[*row])).collect();
        assert_eq!(part.steps, rows.iter().map(|row| whole.steps[*row]).collect::<Vec<_>>());
        for (part, whole) in part.columns.iter().zip(&whole.columns) {
            let same_cell = |(at, row): (usize, &usize)| match (part.get(at), whole.get(*row)) {
                (Some(left), Some(right)) => same(&left, &right),
                (left, right) => left.is_none() && right.is_none(),
            };
            assert!(rows.iter().enumerate().all(same_cell), "{}", part.name);
        }
    }
    live.finish().expect("finishes");
}

/// Whatever the buckets are: what is left is among the points, and no stretch of two buckets and two groups is without
/// one as small as its smallest and one as large as its largest.
#[track_caller]
fn assert_no_spike_is_hidden(all: &[Point], sampled: &[Point], most: usize, stretch: usize, what: &str) {
    assert!(sampled.len() <= most.max(3), "{what}: {} of at most {most}", sampled.len());
    assert!(sampled.is_sorted_by_key(|point| (point.0, point.1)), "{what}");
    for point in sampled {
        assert!(all.iter().any(|known| is_same(known, point)), "{what}: {point:?} was never logged");
    }
    assert!(is_same(&sampled[sampled.len() - 1], &all[all.len() - 1]), "{what}: the last stays");
    // Windows of which every point lies in the middle of some.
    for window in all.windows(stretch.min(all.len())).step_by((stretch / 8).max(1)) {
        let (from, to) = ((window[0].0, window[0].1), (window[window.len() - 1].0, window[window.len() - 1].1));
        let middle = &window[window.len() / 3..(window.len() * 2).div_ceil(3)];
        let kept: Vec<f64> = sampled
            .iter()
            .filter(|point| from <= (point.0, point.1) && (point.0, point.1) <= to)
            .filter_map(|point| number(&point.2))
            .collect();
        for value in middle.iter().filter_map(|point| number(&point.2)) {
            assert!(
                kept.iter().any(|kept| *kept >= value) && kept.iter().any(|kept| *kept <= value),
                "{what}: {value}"
            );
        }
    }
}

#[test]
fn fewer_points_hide_no_spike_in_whatever_order_steps_come() {
    for overlap in [false, true] {
        let place = Place::new();
        let workspace = place.open();
        let live = many_groups(&workspace, &mut Draw(7), overlap);
        let run = info(&workspace);
        for key in ["float", "int", "bool", "mixed"] {
            let all = points(&workspace.series(&run, key, None).expect("reads"));
            for most in [1, 3, 10, 30, 36, 100, 333, 5_000] {
                let series = workspace.series(&run, key, Some(most)).expect("reads");
                assert_eq!(series.sampled, all.len() > most, "{key}");
                let found = points(&series);
                if !series.sampled {
                    assert_eq!(found.len(), all.len());
                    continue;
                }
                let bucket = all.len().div_ceil((most / 3).max(1));
                assert_no_spike_is_hidden(&all, &found, most, 3 * (bucket + 100), &format!("{key}, {most}"));
            }
        }
        live.finish().expect("finishes");
    }
}

/// 80 writers of 300 rows each leave 80 groups: 64 places have overviews, and 16 groups have none.
fn overviewed(place: &Place, spike: usize) -> (Workspace, Vec<f64>) {
    let workspace = place.open();
    let mut values: Vec<f64> = (0..80 * 300).map(|row| f64::from(row % 97)).collect();
    values[spike] = 1e9;
    values[(spike + 7_777) % 24_000] = f64::NEG_INFINITY;
    for (group, values) in values.chunks(300).enumerate() {
        session(&workspace, "the-run", |run| {
            for (row, value) in values.iter().enumerate() {
                let step = (group * 300 + row) as i64;
                run.log_at(
                    step,
                    [("x", Value::Float(*value)), ("n", Value::Int(step)), ("t", Value::Text("t".into()))],
                )
                .expect("logs");
            }
        });
    }
    (workspace, values)
}

#[test]
fn charts_of_many_groups_are_drawn_from_overviews_and_hide_no_spike() {
    let place = Place::new();
    let (workspace, values) = overviewed(&place, 9_001);
    let run = info(&workspace);
    let all = points(&workspace.series(&run, "x", None).expect("reads"));
    assert_eq!(all.len(), values.len());
    drop(workspace);
    let database = rusqlite::Connection::open(place.database()).expect("opens");
    let count: i64 =
        database.query_row("SELECT count(*) FROM object WHERE kind = 22", [], |row| row.get(0)).expect("counts");
    drop(database);
    assert_eq!(count, 2, "x and n have one each, and text has none");
    for most in [60, 120, 200, 300] {
        let found = points(&place.look().series(&run, "x", Some(most)).expect("reads"));
        assert!(found.iter().any(|point| point.2 == Value::Float(1e9)), "the spike");
        assert!(found.iter().any(|point| point.2 == Value::Float(f64::NEG_INFINITY)), "the spike down");
        assert_no_spike_is_hidden(&all, &found, most, 3 * (24_000 / (most / 3) + 600), &format!("{most}"));
        let part = Window::default().steps(1_234..20_011);
        let found = points(&place.look().series_in(&run, "x", part, Some(most)).expect("reads"));
        assert_no_spike_is_hidden(&all[1_234..20_011], &found, most, 3 * (24_000 / (most / 3) + 600), "a part");
    }
    let report = place.look().check(CheckOptions { read_data: true }).expect("checks");
    assert!(report.is_ok(), "{:?}", report.problems);
}

/// Says what a chart has to be: the smallest, the largest and the last point of each bucket, of equal ones the first.
/// `place` tells by which point's place each point is put into a bucket.
fn chart(all: &[Point], most: usize, place: impl Fn(usize) -> usize) -> Vec<Point> {
    let buckets = (most / 3).max(1);
    let mut kept: BTreeSet<usize> = BTreeSet::new();
    for bucket in 0..buckets {
        let inside: Vec<usize> = (0..all.len()).filter(|at| place(*at) * buckets / all.len() == bucket).collect();
        let beyond = |wanted: Ordering| {
            let numbers = inside.iter().filter_map(|at| Some((*at, number(&all[*at].2)?)));
            numbers.reduce(|left, right| if right.1.total_cmp(&left.1) == wanted { right } else { left })
        };
        kept.extend(beyond(Ordering::Less).map(|(at, _)| at));
        kept.extend(beyond(Ordering::Greater).map(|(at, _)| at));
        kept.extend(inside.last());
    }
    kept.into_iter().map(|at| all[at].clone()).collect()
}

/// Two points of one step and time may change places.
#[track_caller]
fn assert_chart(mut found: Vec<Point>, mut expected: Vec<Point>, what: &str) {
    for points in [&mut found, &mut expected] {
        points.sort_by_key(|(step, time, value)| (*step, *time, format!("{value:?}")));
    }
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(&expected) {
        assert!(is_same(found, expected), "{what}: {found:?} instead of {expected:?}");
    }
}

#[test]
fn a_chart_is_what_a_plain_model_says() {
    for seed in 0..6 {
        let place = Place::new();
        let workspace = place.open();
        let live = many_groups(&workspace, &mut Draw(seed), seed % 2 == 0);
        let run = info(&workspace);
        for key in KEYS {
            let all = points(&workspace.series(&run, key, None).expect("reads"));
            // Some 13 groups: with fewer buckets none is larger than one, and there is no overview yet.
            for most in [1, 3, 7, 40, 99, 300, 999] {
                let series = workspace.series(&run, key, Some(most)).expect("reads");
                let expected = if all.len() > most { chart(&all, most, |at| at) } else { all.clone() };
                assert_chart(points(&series), expected, &format!("seed {seed}, {key}, {most}"));
            }
        }
        live.finish().expect("finishes");
    }
}

#[test]
fn a_chart_from_overviews_is_what_a_plain_model_of_whole_groups_says() {
    let place = Place::new();
    let (workspace, _) = overviewed(&place, 3_210);
    let run = info(&workspace);
    for key in ["x", "n"] {
        let all = points(&workspace.series(&run, key, None).expect("reads"));
        // 64 groups of 300 points are summed up, each of which falls into one bucket.
        let of_group = |at: usize| if at < 64 * 300 { at / 300 * 300 + 150 } else { at };
        for most in [1, 60, 100, 237] {
            for reader in [workspace.clone(), place.look()] {
                let found = points(&reader.series(&run, key, Some(most)).expect("reads"));
                assert_chart(found, chart(&all, most, of_group), &format!("{key}, {most}"));
            }
        }
    }
}

/// Counts the overviews of all runs.
fn count_overviews(place: &Place) -> i64 {
    let database = rusqlite::Connection::open(place.database()).expect("opens");
    let sql = "SELECT count(*) FROM object WHERE kind = 22";
    database.query_row(sql, [], |row| row.get(0)).expect("counts")
}

#[test]
fn a_rewind_takes_what_it_hides_out_of_charts_at_once() {
    let place = Place::new();
    let (workspace, values) = overviewed(&place, 15_000);
    assert!(values.iter().position(|value| *value == f64::NEG_INFINITY).is_some_and(|at| at > 10_100));
    let point = HistoryPoint { run: "the-run".into(), step: Some(10_100) };
    let live = workspace.run("p").resume_from(point).start().expect("rewinds");
    for round in 0..3 {
        for most in [3, 30, 60] {
            for reader in [workspace.clone(), place.look()] {
                let all = points(&reader.series(&info(&reader), "x", None).expect("reads"));
                let series = reader.series(&info(&reader), "x", Some(most)).expect("reads");
                let found = points(&series);
                assert!(all.len() == 10_101 + round * 50 && series.sampled);
                assert!(found.iter().all(|point| number(&point.2).is_some_and(|value| value < 2e6)), "{found:?}");
                assert_no_spike_is_hidden(&all, &found, most, 3 * (10_300 / (most / 3) + 600), "rewound");
            }
        }
        for step in 0..50 {
            live.log([("x", 1e6 + f64::from(step))]).expect("logs");
        }
    }
    live.finish().expect("finishes");
    let report = place.look().check(CheckOptions { read_data: true }).expect("checks");
    assert!(report.is_ok(), "{:?}", report.problems);
}

#[test]
fn a_fork_is_charted_before_and_after_it_has_overviews_of_its_own() {
    let place = Place::new();
    let (workspace, _) = overviewed(&place, 9_001);
    assert_eq!(count_overviews(&place), 2);
    let point = HistoryPoint { run: "the-run".into(), step: Some(20_100) };
    let fork = workspace.run("p").id("the-fork").fork_from(point).start().expect("forks");
    let chart = |reader: &Workspace| {
        let run = reader.find_run("the-fork").expect("there");
        let all = points(&reader.series(&run, "x", None).expect("reads"));
        let found = points(&reader.series(&run, "x", Some(90)).expect("reads"));
        assert_eq!(all.len(), 20_101);
        assert_no_spike_is_hidden(&all, &found, 90, 3 * (20_101 / 30 + 600), "forked");
        assert!(found.iter().any(|point| point.2 == Value::Float(1e9)), "the spike");
    };
    chart(&workspace);
    fork.finish().expect("finishes");
    assert_eq!(count_overviews(&place), 4, "those of the fork are sealed under its own key");
    chart(&workspace);
    chart(&place.look());
}

#[test]
fn one_metric_of_many_touches_its_own_parts_only() {
    let place = Place::new();
    let workspace = place.open();
    let names: Vec<String> = (0..500).map(|metric| format!("metric/{metric:03}")).collect();
    session(&workspace, "the-run", |run| {
        let mut draw = Draw(5);
        for _ in 0..200 {
            // Noise, so that every column is long enough for a part of its own.
            run.log(names.iter().map(|name| (name, draw.below(1 << 31) as f64 / 7.0))).expect("logs");
        }
    });
    drop(workspace);
    let database = rusqlite::Connection::open(place.database()).expect("opens");
    let parts: i64 = database.query_row("SELECT count(*) FROM block", [], |row| row.get(0)).expect("counts");
    assert_eq!(parts, 501, "one a metric, and the main part");
    database.execute("DELETE FROM block WHERE part NOT IN (0, 124)", []).expect("deletes");
    drop(database);
    let reader = place.look();
    let run = info(&reader);
    let is_read = |name: &&String| match reader.series(&run, name, None) {
        Ok(series) => series.steps.len() == 200,
        Err(error) => {
            assert!(error.to_string().contains("missing"), "{error}");
            false
        }
    };
    assert_eq!(names.iter().filter(is_read).collect::<Vec<_>>(), ["metric/123"]);
    let keys = ["metric/123".to_owned()];
    let table = reader.history(&run, Some(&keys), Window::default(), None).expect("reads");
    assert_eq!(table.steps.len(), 200);
}

#[test]
fn an_overview_that_is_gone_or_changed_is_reported_by_run_and_metric() {
    let place = Place::new();
    drop(overviewed(&place, 9_001));
    let change = |sql: &str| {
        let database = rusqlite::Connection::open(place.database()).expect("opens");
        assert_eq!(database.execute(sql, []).expect("changes"), 1, "{sql}");
    };
    let problems = |read_data| {
        let report = place.look().check(CheckOptions { read_data }).expect("checks");
        let named = |problem: &Problem| (problem.kind, problem.run.clone(), problem.metric.clone());
        report.problems.iter().map(named).collect::<Vec<_>>()
    };
    let (run, n) = (Some("the-run".to_owned()), Some("n".to_owned()));
    assert_eq!(problems(true), []);
    change("UPDATE object SET body = zeroblob(length(body)) WHERE kind = 22 AND position = 1 << 32");
    let no_sum = (ProblemKind::Replayed, run.clone(), None);
    assert_eq!(problems(false), std::slice::from_ref(&no_sum));
    assert_eq!(problems(true), [(ProblemKind::Damaged, run.clone(), n.clone()), no_sum.clone()]);
    change("DELETE FROM object WHERE kind = 22 AND position = 1 << 32");
    for read_data in [false, true] {
        assert_eq!(problems(read_data), [no_sum.clone(), (ProblemKind::Missing, run.clone(), n.clone())]);
    }
    let reader = place.look();
    let series = reader.series(&info(&reader), "n", Some(60)).expect("is drawn without");
    assert!(series.sampled && series.steps.len() <= 60);
}

/// Its rows are in the file that was read before, after the end that was found there.
#[test]
fn a_reader_finds_no_gap_where_a_writer_goes_on_with_its_next_journal_meanwhile() {
    if is_network() {
        // The next journal is empty there until it is used, and is not read with the one before.
        return;
    }
    let place = Place::new();
    let (files, reads): (Arc<OnceLock<[PathBuf; 2]>>, _) = (Arc::default(), AtomicU64::new(0));
    let writer: Arc<Mutex<Option<Run>>> = Arc::default();
    let (logged, watched, writing) = (Arc::new(AtomicU64::new(0)), files.clone(), writer.clone());
    let (counted, was_logged) = (logged.clone(), AtomicBool::new(false));
    let io = Hooked::new(move |call: Call, path: &Path| {
        let Some([first, next]) = watched.get().filter(|_| call == Call::ReadAt) else { return Fate::Done };
        // Of the first the header and then its frames; then those of the next.
        reads.fetch_add(u64::from(path == first), Memory::SeqCst);
        if path == next && reads.load(Memory::SeqCst) >= 2 && !was_logged.swap(true, Memory::SeqCst) {
            let writer = writing.lock().expect("unpoisoned");
            let run = writer.as_ref().expect("a run");
            (0..300).for_each(|_| rows::log(run, counted.fetch_add(1, Memory::SeqCst)));
        }
        Fate::Done
    });
    let workspace = place.open_with(io, Arc::new(Heard::default())).expect("opens");
    let run = workspace.run("p").id("live").journal_bytes(16 << 10).start().expect("starts");
    let length = |path: &PathBuf| std::fs::metadata(path).map_or(0, |found| found.len());
    while place.journal_files().iter().all(|path| length(path) < 9 << 10) {
        rows::log(&run, logged.fetch_add(1, Memory::SeqCst));
    }
    let before = logged.load(Memory::SeqCst);
    // The background begins it: there is more than a header.
    let begun = || place.journal_files().into_iter().find(|path| (256..9 << 10).contains(&length(path)));
    let next = loop {
        match begun() {
            Some(path) => break path,
            None => std::thread::yield_now(),
        }
    };
    let first = place.journal_files().into_iter().find(|path| *path != next).expect("two files");
    let info = workspace.find_run("live").expect("listed");
    *writer.lock().expect("unpoisoned") = Some(run);
    files.set([first, next]).expect("once");
    let steps = workspace.series(&info, "n", None).expect("reads").steps;
    assert!(steps.iter().copied().eq(0..steps.len() as i64), "a gap: {steps:?}");
    assert!(steps.len() as u64 > before, "{} rows of {before}", steps.len());
    assert_eq!(logged.load(Memory::SeqCst), before + 300, "it was logged meanwhile");
    let run = writer.lock().expect("unpoisoned").take();
    run.expect("a run").finish().expect("finishes");
}
