//! Reading parts of a run: windows, fewer points, and what is touched for it.

use runcellar::{CheckOptions, MetricInfo, Resume, Run, RunInfo, Series, Value, Window, Workspace};

use crate::support::Place;
use crate::support::rows::same;

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
    for window in all.windows(stretch.min(all.len())) {
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
