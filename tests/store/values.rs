//! P6: what was logged is what is read, whatever it was: from the journal of a live writer, after `finish()`, and by
//! the next opener.

use std::collections::BTreeMap;

use runcellar::run::Run;
use runcellar::{Histogram, Resume, RowValue, RunInfo, RunState, SeriesValues, Value, Window, Workspace};

use crate::support::rows::{assert_points, same};
use crate::support::{Place, child};

/// Logs by `log`, then looks with `look` while the run is live, after its end, and in a new handle.
fn logged(log: impl FnOnce(&Run), look: impl Fn(&Workspace, &RunInfo)) {
    let place = Place::new();
    let workspace = place.open();
    let run = workspace.run("p").start().expect("starts");
    log(&run);
    let find = |workspace: &Workspace| workspace.find_run(run.id()).expect("the run is listed");
    look(&workspace, &find(&workspace));
    look(&place.look(), &find(&place.look()));
    run.finish().expect("finishes");
    look(&workspace, &find(&workspace));
    drop(workspace);
    let workspace = place.open_silently();
    let info = find(&workspace);
    assert_eq!(info.state, RunState::Finished);
    look(&workspace, &info);
}

#[track_caller]
fn expect(workspace: &Workspace, run: &RunInfo, metric: &str, points: &[(i64, Value)]) {
    let series = workspace.series(run, metric, None).expect("a series is read");
    assert_points(&series, points, metric);
}

fn by_step(points: &[(i64, i64)]) -> Vec<(i64, Value)> {
    let mut points: Vec<(i64, Value)> = points.iter().map(|(step, value)| (*step, Value::Int(*value))).collect();
    points.sort_by_key(|(step, _)| *step);
    points
}

#[test]
fn steps_come_in_any_order_and_size() {
    let points: Vec<(i64, i64)> =
        [5, -3, i64::MAX, 0, i64::MIN, 5, 4, -3, i64::MAX, 1 << 40, -(1 << 62)].into_iter().zip(0..).collect();
    logged(
        |run| points.iter().for_each(|(step, value)| run.log_at(*step, [("x", *value)]).expect("logs")),
        |workspace, run| {
            expect(workspace, run, "x", &by_step(&points));
            let history = workspace.history(run, None, Window::default(), None).expect("a table is read");
            assert!(history.steps.is_sorted_by(|left, right| left < right));
            let at = |step: i64| {
                let row = history.steps.iter().position(|known| *known == step).expect("a row");
                history.columns[0].get(row).expect("a value")
            };
            assert_eq!(
                (at(5), at(-3), at(i64::MAX)),
                (Value::Int(5), Value::Int(7), Value::Int(8)),
                "the last written"
            );
        },
    );
}

#[test]
fn steps_of_rows_follow_the_rules_of_commit() {
    let rows = [(Some(3), None), (None, None), (None, None), (Some(9), Some(true)), (None, Some(false)), (None, None)];
    let expected = [(3, 0), (3, 1), (4, 2), (9, 3), (10, 4), (10, 5), (2, 6), (11, 7)];
    logged(
        |run| {
            for (value, (step, commit)) in (0_i64..).zip(rows) {
                run.log_row(step, commit, |row| row.push("x", RowValue::Int(value))).expect("logs");
            }
            run.log_at(2, [("x", 6_i64)]).expect("a lower step is stored there");
            assert_eq!(run.step(), 11, "and moves nothing");
            run.log([("x", 7_i64)]).expect("logs");
        },
        |workspace, run| expect(workspace, run, "x", &by_step(&expected)),
    );
}

#[test]
fn every_bit_of_a_float_is_kept() {
    let mut bits: Vec<u64> =
        [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, 5e-324, f64::MAX, 0.1, 1e22]
            .map(f64::to_bits)
            .to_vec();
    // NaNs: quiet, signalling, negative, every bit of the payload.
    bits.extend([0x7ff8_0000_0000_0000, 0x7ff0_0000_0000_0001, 0xfff8_dead_beef_0001, 0xffff_ffff_ffff_ffff]);
    bits.extend((0..52).map(|bit| 0x7ff0_0000_0000_0000 | 1_u64 << bit));
    let narrow = [f32::from_bits(0x7fa0_0001), f32::from_bits(0xff80_0001), -0.0, 1e-45, 0.1];
    logged(
        |run| {
            for bits in &bits {
                run.log([("wide", f64::from_bits(*bits))]).expect("logs");
            }
            for value in narrow {
                run.log_row(None, None, |row| row.push("narrow", RowValue::Float32(value))).expect("logs");
            }
        },
        |workspace, run| {
            let wide: Vec<_> = (0..).zip(bits.iter().map(|bits| Value::Float(f64::from_bits(*bits)))).collect();
            expect(workspace, run, "wide", &wide);
            let narrow: Vec<_> = (bits.len() as i64..).zip(narrow.map(Value::from)).collect();
            expect(workspace, run, "narrow", &narrow);
        },
    );
}

#[test]
fn names_are_any_text() {
    let long = "n".repeat(4096);
    let names = [
        "",
        " ",
        ".",
        "/",
        "..",
        "a.b",
        "a/b",
        "a b",
        "nul\u{0}",
        "\n",
        "\t\"'\\",
        "summary",
        "step",
        "time",
        "caf\u{e9}",
        "cafe\u{301}",
        "\u{1f600}",
        "\u{202e}rtl",
        "\u{fffd}",
        "\u{10ffff}",
        "*",
        "loss*",
        &long,
    ];
    logged(
        |run| {
            for round in 0..3_i64 {
                run.log(names.iter().zip(0_i64..).map(|(name, at)| (*name, at * 10 + round))).expect("logs");
            }
        },
        |workspace, run| {
            for (name, at) in names.iter().zip(0_i64..) {
                let points: Vec<_> = (0..3).map(|round| (round, Value::Int(at * 10 + round))).collect();
                expect(workspace, run, name, &points);
                assert_eq!(run.summary(name), Some(&Value::Int(at * 10 + 2)));
            }
            let found: Vec<String> =
                workspace.metrics(run).expect("metrics").into_iter().map(|metric| metric.name).collect();
            assert_eq!(found, names, "in order of first use");
        },
    );
}

#[test]
fn a_row_of_ten_thousand_metrics_is_one_row() {
    let names: Vec<String> = (0..10_000).map(|index| format!("layer/{index}/norm")).collect();
    logged(
        |run| {
            for round in 0..3_i64 {
                run.log(names.iter().zip(0_i64..).map(|(name, at)| (name, at + round))).expect("logs");
            }
        },
        |workspace, run| {
            let history = workspace.history(run, None, Window::default(), None).expect("a table is read");
            assert_eq!((history.steps.len(), history.columns.len()), (3, names.len()));
            for (column, at) in history.columns.iter().zip(0_i64..) {
                assert_eq!(column.name, names[at as usize]);
                assert!((0..3).all(|round| column.values.get(round) == Some(Value::Int(at + round as i64))));
            }
        },
    );
}

/// A row group holds a bounded number of columns; a run whose every row brings new metrics must not stop at it.
#[test]
fn a_run_may_have_more_metrics_than_a_row_group_has_columns() {
    let (rows, each) = (90_u64, 800_u64);
    logged(
        |run| {
            for row in 0..rows {
                run.log((0..each).map(|at| (format!("m{}", row * each + at), (row + at) as i64))).expect("logs");
            }
        },
        |workspace, run| {
            assert_eq!(workspace.metrics(run).expect("metrics").len() as u64, rows * each);
            for row in [0, 41, rows - 1] {
                let name = format!("m{}", row * each + 7);
                expect(workspace, run, &name, &[(row as i64, Value::Int(row as i64 + 7))]);
            }
        },
    );
}

/// Short groups of a writer are joined; long texts must not make one group of all of them.
#[test]
fn rows_of_ever_other_metrics_are_kept() {
    // More forms of rows than a writer numbers (256), with more heads than it keeps (65,536), that come back again after
    // others, across files, and in a journal whose writer died.
    let row = |i: i64| {
        let width = if i % 100 == 99 { 9_000 + i % 3 } else { 1 + i % 7 };
        (0..width).map(move |metric| (format!("m{}", metric * (1 + i % 50)), Value::Int(i * 1_000_003 + metric)))
    };
    let look = |workspace: &Workspace, run: &RunInfo| {
        let mut expected: BTreeMap<String, Vec<(i64, Value)>> = BTreeMap::new();
        for i in 0..1_200 {
            for (name, value) in row(i) {
                expected.entry(name).or_default().push((i, value));
            }
        }
        let metrics = workspace.metrics(run).expect("metrics are read");
        assert_eq!(metrics.len(), expected.len());
        for (name, points) in expected.iter().step_by(997).chain(expected.get_key_value("m0")) {
            expect(workspace, run, name, points);
        }
    };
    let place = Place::new();
    let workspace = place.open();
    let run = workspace.run("p").journal_bytes(1 << 20).start().expect("starts");
    (0..1_200).for_each(|i| run.log(row(i)).expect("logs"));
    let find = |workspace: &Workspace| workspace.find_run(run.id()).expect("the run is listed");
    look(&place.look(), &find(&place.look()));
    run.finish().expect("finishes");
    drop(workspace);
    let workspace = place.open_silently();
    look(&workspace, &find(&workspace));
}

#[test]
fn long_texts_are_kept_whole() {
    let text = |i: i64| {
        let letter = char::from(b'a' + (i % 26) as u8);
        Value::Text(std::iter::repeat_n(letter, (1 << 20) + i as usize).collect())
    };
    let longest = Value::Text("\u{e9}".repeat(2 << 20));
    logged(
        |run| {
            (0..80).for_each(|i| run.log([("text", text(i))]).expect("logs"));
            run.log([("longest", longest.clone())]).expect("4 MiB are allowed");
            assert_eq!(run.dropped(), 0);
        },
        |workspace, run| {
            let points: Vec<_> = (0..80).map(|i| (i, text(i))).collect();
            expect(workspace, run, "text", &points);
            expect(workspace, run, "longest", &[(80, longest.clone())]);
        },
    );
}

/// What cannot be stored is counted, and takes nothing else with it: not the other values of its row, and not the
/// names that it brought, which later rows use.
#[test]
fn values_that_are_too_large_are_counted_and_hurt_no_other() {
    let too_long = "x".repeat((4 << 20) + 1);
    let nearly = "y".repeat(4 << 20);
    logged(
        |run| {
            let refused = [("a", Value::from(too_long.as_str())), ("b", Value::Int(1)), ("c", Value::Bool(true))];
            run.log(refused).expect("a warning is enough");
            assert_eq!(run.dropped(), 1);
            run.log([("n".repeat(4097), 1_i64), ("d".to_owned(), 2)]).expect("a warning is enough");
            assert_eq!(run.dropped(), 2);
            // Each is allowed, but together they are longer than a frame.
            run.log((0..5).map(|at| (format!("t{at}"), Value::from(nearly.as_str())))).expect("a warning is enough");
            assert_eq!(run.dropped(), 7);
            run.log((0..40_000).map(|at| (format!("w{at}"), 1_i64))).expect("a warning is enough");
            assert_eq!(run.dropped(), 7 + 40_000 - 32_768);
            run.log([("a", Value::Int(5)), ("t4", Value::Int(6)), ("w39999", Value::Int(7))]).expect("logs");
            run.summary("too", too_long.repeat(5)).expect("a warning is enough");
            assert_eq!(run.dropped(), 7 + 40_000 - 32_768 + 1);
        },
        |workspace, run| {
            expect(workspace, run, "a", &[(4, Value::Int(5))]);
            expect(workspace, run, "b", &[(0, Value::Int(1))]);
            expect(workspace, run, "c", &[(0, Value::Bool(true))]);
            expect(workspace, run, "d", &[(1, Value::Int(2))]);
            expect(workspace, run, "t4", &[(4, Value::Int(6))]);
            expect(workspace, run, "w32767", &[(3, Value::Int(1))]);
            expect(workspace, run, "w39999", &[(4, Value::Int(7))]);
            assert!(run.state == RunState::Running || run.dropped == 7 + 40_000 - 32_768 + 1);
        },
    );
}

/// The names of a row can be longer than a frame. They go into a file of their own, in pieces.
#[test]
fn names_that_are_longer_than_a_frame_together_are_kept() {
    let name = |at: usize| format!("{at:04}{}", "n".repeat(4092));
    logged(
        |run| {
            run.log([("before", 1_i64)]).expect("logs");
            for round in 0..2_i64 {
                run.log((0..5000).map(|at| (name(at), round))).expect("logs");
            }
            assert_eq!(run.dropped(), 0);
        },
        |workspace, run| {
            expect(workspace, run, "before", &[(0, Value::Int(1))]);
            for at in [0, 2500, 4999] {
                expect(workspace, run, &name(at), &[(1, Value::Int(0)), (2, Value::Int(1))]);
            }
        },
    );
}

#[test]
fn histograms_are_read_as_they_were_logged() {
    let one = |i: i64| {
        let bins = if i < 500 { 16 } else { 17 };
        let edges = (0..=bins).map(|edge| edge as f64 / 3.0).collect();
        Histogram::new(edges, (0..bins).map(|bin| ((bin * 7 + i) % 11) as f64).collect()).expect("a histogram")
    };
    let widest = Histogram::new(vec![f64::NEG_INFINITY, -0.0, f64::INFINITY], vec![0.5, 0.0]).expect("a histogram");
    logged(
        |run| {
            for i in 0..1_000 {
                run.log([("weights", Value::from(one(i))), ("x", Value::Int(i))]).expect("logs");
            }
            run.log([("odd", Value::from(widest.clone()))]).expect("logs");
            run.log([("odd", 0.5)]).expect("logs");
            let falling = RowValue::Histogram { edges: &[1.0, 0.0], counts: &[3.0] };
            run.log_row(None, None, |row| row.push("odd", falling)).expect("logs");
            assert_eq!(run.dropped(), 1, "what is no histogram is counted");
        },
        |workspace, run| {
            let all: Vec<(i64, Value)> = (0..1_000).map(|i| (i, one(i).into())).collect();
            expect(workspace, run, "weights", &all);
            expect(workspace, run, "odd", &[(1_000, widest.clone().into()), (1_001, Value::Float(0.5))]);
            let metrics = workspace.metrics(run).expect("metrics");
            let weights = metrics.iter().find(|metric| metric.name == "weights").expect("is there");
            assert_eq!((weights.kind, weights.points, weights.min.as_ref()), ("histogram", 1_000, None));
            assert_eq!(weights.last, Value::from("histogram of 17 bins"));
            assert_eq!(run.summary("weights"), None, "a summary is a line of a listing");
            assert_eq!(run.summary("odd"), Some(&Value::Float(0.5)));
        },
    );
}

#[test]
fn strict_makes_every_value_that_is_not_kept_an_error() {
    let place = Place::new();
    let run = place.open().run("p").strict(true).start().expect("starts");
    for attempt in 1..=3 {
        let error = run.log([("x", "x".repeat((4 << 20) + 1))]).expect_err("too long");
        assert_eq!(error.kind(), runcellar::ErrorKind::InvalidArgument);
        assert_eq!(run.dropped(), attempt);
    }
    run.log([("x", 1_i64)]).expect("what fits is kept");
    run.finish().expect("finishes");
}

#[test]
fn a_key_given_twice_in_a_row_keeps_the_later_value() {
    logged(
        |run| {
            run.log([("x", Value::Int(1)), ("y", Value::Int(0)), ("x", Value::Int(2))]).expect("logs");
            run.log([("x", Value::Int(3)), ("x", Value::Float(0.5)), ("x", Value::from("four"))]).expect("logs");
            run.log([("x", Value::from("five")), ("x", Value::Int(6))]).expect("logs");
        },
        |workspace, run| {
            expect(workspace, run, "x", &[(0, Value::Int(2)), (1, Value::from("four")), (2, Value::Int(6))]);
            assert_eq!(run.summary("x"), Some(&Value::Int(6)));
        },
    );
}

/// Kinds stand in columns of their own; the order within a step is that of writing all the same.
#[test]
fn values_of_several_kinds_at_one_step_keep_their_order() {
    let values = [
        Value::Int(1 << 60),
        Value::Float(0.25),
        Value::from("t"),
        Value::Bool(true),
        Value::Int(3),
        Value::Float(-0.0),
    ];
    logged(
        |run| values.iter().for_each(|value| run.log_at(7, [("x", value.clone())]).expect("logs")),
        |workspace, run| {
            let points: Vec<_> = values.iter().map(|value| (7, value.clone())).collect();
            expect(workspace, run, "x", &points);
            let history = workspace.history(run, None, Window::default(), None).expect("a table is read");
            let last = history.columns[0].values.get(0).expect("one row");
            assert!(same(&last, &Value::Float(-0.0)), "{last:?}");
        },
    );
}

#[test]
fn two_writers_of_one_step_are_both_kept() {
    let place = Place::new();
    let (left, right) = (place.open(), place.open());
    let first = left.run("p").id("shared-run").start().expect("starts");
    let second = right.run("p").id("shared-run").resume(Resume::Allow).rank(1).start().expect("joins");
    for step in 0..50 {
        first.log_at(step, [("x", step * 2), ("left", step)]).expect("logs");
        second.log_at(step, [("x", step * 2 + 1), ("right", step)]).expect("logs");
    }
    let look = |workspace: &Workspace| {
        let run = workspace.find_run("shared-run").expect("listed");
        // Of one step the earlier comes first, as far as two clocks tell.
        let series = workspace.series(&run, "x", None).expect("reads");
        let SeriesValues::Int(values) = &series.values else { panic!("of integers") };
        let mut both: Vec<(i64, i64)> = series.steps.iter().copied().zip(values.iter().copied()).collect();
        assert!(both.is_sorted_by_key(|(step, _)| *step));
        both.sort_unstable();
        assert_eq!(both, (0..100).map(|at| (at / 2, at)).collect::<Vec<_>>());
        expect(workspace, &run, "left", &(0..50).map(|step| (step, Value::Int(step))).collect::<Vec<_>>());
        run.state
    };
    assert_eq!(look(&left), RunState::Running);
    second.finish().expect("finishes");
    assert_eq!(look(&right), RunState::Running, "the other rank is at work");
    first.finish().expect("finishes");
    assert_eq!(look(&left), RunState::Finished);
    assert_eq!(look(&place.open_silently()), RunState::Finished);
}

#[test]
fn a_resumed_run_goes_on_after_the_last_step() {
    let place = Place::new();
    let workspace = place.open();
    let start = |resume| workspace.run("p").id("resumed").resume(resume).start();
    assert_eq!(start(Resume::Must).expect_err("not there").kind(), runcellar::ErrorKind::NotFound);
    let run = start(Resume::Allow).expect("starts");
    run.log_at(41, [("x", 1_i64)]).expect("logs");
    run.log_at(7, [("x", 2_i64)]).expect("logs");
    run.finish().expect("finishes");
    assert_eq!(start(Resume::Never).expect_err("there").kind(), runcellar::ErrorKind::Exists);
    let run = start(Resume::Must).expect("resumes");
    assert_eq!(run.step(), 42);
    run.log([("x", 3_i64)]).expect("logs");
    drop(run);
    // One that ends without a word, its rows still in the journal.
    child::play("dies_after_rows", &place, "resumed");
    let run = start(Resume::Allow).expect("resumes");
    assert_eq!(run.step(), 43 + 10);
    run.finish().expect("finishes");
    let info = workspace.find_run("resumed").expect("listed");
    assert_eq!(info.state, RunState::Finished, "a crash before a resume does not count");
    let mut points = vec![(7, Value::Int(2)), (41, Value::Int(1)), (42, Value::Int(3))];
    points.extend((0..10).map(|n| (43 + n, Value::Int(n))));
    expect(&workspace, &info, "x", &points);
}

/// A busy database must not make a run begin at step 0 again: reading tells where it stood.
#[test]
fn a_run_resumed_while_the_database_is_busy_goes_on_after_the_last_step() {
    let place = Place::new();
    let workspace = place.open();
    let run = workspace.run("p").id("resumed").name("first name").start().expect("starts");
    run.log_at(9, [("x", 1_i64)]).expect("logs");
    run.finish().expect("finishes");
    let mut other = rusqlite::Connection::open(place.database()).expect("opens");
    let lock = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).expect("locks");
    let error = workspace.run("p").id("resumed").start().expect_err("it is there");
    assert_eq!(error.kind(), runcellar::ErrorKind::Exists);
    let run = workspace.run("p").id("resumed").resume(Resume::Must).start().expect("starts without the database");
    assert_eq!(run.step(), 10);
    run.log([("x", 2_i64)]).expect("logs");
    let look = || {
        let info = workspace.find_run("resumed").expect("listed");
        assert_eq!(info.name, "first name");
        expect(&workspace, &info, "x", &[(9, Value::Int(1)), (10, Value::Int(2))]);
        info.state
    };
    assert_eq!(look(), RunState::Running);
    drop(lock);
    drop(other);
    run.finish().expect("finishes");
    assert_eq!(look(), RunState::Finished);
    assert_eq!(workspace.runs(&runcellar::Selection::default()).expect("lists").len(), 1);
}

pub(crate) fn dies_after_rows(place: &Place, id: &str) {
    let workspace = place.open();
    let run = workspace.run("p").id(id).resume(Resume::Allow).start().expect("starts");
    (0..10_i64).for_each(|n| run.log([("x", n)]).expect("logs"));
    std::mem::forget((run, workspace));
    // SAFETY: ends the process without running anything of ours.
    unsafe { libc::_exit(0) };
}

#[test]
fn metrics_tell_extremes_and_kinds() {
    logged(
        |run| {
            for (step, value) in [(3, 2.5), (1, -1.0), (2, f64::NAN), (9, f64::INFINITY)] {
                run.log_at(step, [("x", Value::Float(value))]).expect("logs");
            }
            run.log([("t", "text")]).expect("logs");
        },
        |workspace, run| {
            let metrics: BTreeMap<String, _> = workspace
                .metrics(run)
                .expect("metrics")
                .into_iter()
                .map(|metric| (metric.name.clone(), metric))
                .collect();
            let x = &metrics["x"];
            assert_eq!((x.kind, x.points, x.first_step, x.last_step), ("float", 4, 1, 9));
            assert_eq!((x.min.clone(), x.max.clone()), (Some(Value::Float(-1.0)), Some(Value::Float(2.5))));
            assert_eq!((metrics["t"].kind, metrics["t"].min.clone()), ("text", None));
        },
    );
}

/// A summary holds the last value of every metric, in one record; long texts must not make it one that cannot be
/// stored.
#[test]
fn many_metrics_of_long_texts_are_kept() {
    let text = |at: i64| Value::Text(format!("{at}{}", "\u{e9}".repeat(1 << 19)));
    logged(
        |run| {
            for at in 0..40 {
                run.log([(format!("text{at}"), text(at))]).expect("logs");
            }
        },
        |workspace, run| {
            for at in [0, 7, 39] {
                expect(workspace, run, &format!("text{at}"), &[(at, text(at))]);
            }
            let Some(Value::Text(summary)) = run.summary("text7") else { panic!("a text") };
            assert!(summary.starts_with("7\u{e9}") && summary.ends_with("\u{e9}...") && summary.len() < 5000);
        },
    );
}
