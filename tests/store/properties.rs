//! Random recordings compared with a plain model: sessions of one run that log, set, flush, end, fail or die, each in a
//! process of its own, looked at in between by others. `RUNCELLAR_CASES` says how many (16).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use runcellar::{Resume, RowValue, RunState, Value, Window, Workspace};

use crate::support::rows::{assert_points, same};
use crate::support::{Place, child, count_from};

const RUN: &str = "model-run";
const METRICS: [&str; 6] = ["loss", "acc", "a.b/c", "", "t\u{e9}xt", "x"];

#[derive(Debug, Clone)]
enum Op {
    Log { step: Option<i64>, commit: Option<bool>, values: Vec<(usize, Value)> },
    Summary(usize, Value),
    Config(usize, Value),
    Tag(usize),
    Flush,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Finish,
    Fail,
    Die,
}

#[derive(Debug, Clone)]
struct Session {
    ops: Vec<Op>,
    end: End,
    journal_bytes: u64,
    /// Whether an opener recovers it before the next session begins, or the next session does.
    looked_at: bool,
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (-1000..1000_i32).prop_map(|value| Value::Float(f64::from(value) / 8.0)),
        2 => any::<u64>().prop_map(|bits| Value::Float(f64::from_bits(bits))),
        3 => (-5..5_i64).prop_map(Value::Int),
        1 => any::<i64>().prop_map(Value::Int),
        1 => any::<bool>().prop_map(Value::Bool),
        2 => "\\PC{0,12}".prop_map(Value::Text),
    ]
}

fn ops() -> impl Strategy<Value = Op> {
    let metric = || 0..METRICS.len();
    let step = prop_oneof![
        6 => Just(None),
        3 => (-3..30_i64).prop_map(Some),
        1 => prop_oneof![Just(i64::MIN), Just(i64::MAX - 3), any::<i64>()].prop_map(Some),
    ];
    let commit = prop_oneof![4 => Just(None), 1 => any::<bool>().prop_map(Some)];
    let row = prop::collection::vec((metric(), values()), 0..5);
    prop_oneof![
        12 => (step, commit, row).prop_map(|(step, commit, values)| Op::Log { step, commit, values }),
        1 => (metric(), values()).prop_map(|(key, value)| Op::Summary(key, value)),
        1 => (metric(), values()).prop_map(|(key, value)| Op::Config(key, value)),
        1 => (0..4_usize).prop_map(Op::Tag),
        1 => Just(Op::Flush),
    ]
}

fn sessions() -> impl Strategy<Value = Vec<Session>> {
    let end = prop_oneof![Just(End::Finish), Just(End::Fail), Just(End::Die)];
    let session = (prop::collection::vec(ops(), 0..60), end, prop_oneof![Just(1 << 20), Just(700_u64)], any::<bool>());
    let session =
        session.prop_map(|(ops, end, journal_bytes, looked_at)| Session { ops, end, journal_bytes, looked_at });
    prop::collection::vec(session, 1..4)
}

/// What a run should be.
#[derive(Default)]
struct Model {
    /// By metric: (step, value) in the order written.
    points: BTreeMap<usize, Vec<(i64, Value)>>,
    summary: BTreeMap<usize, Value>,
    config: BTreeMap<usize, Value>,
    tags: Vec<usize>,
    step: i64,
    /// One above the highest step of a row.
    next_step: i64,
    state: Option<RunState>,
}

impl Model {
    fn play(&mut self, session: &Session) {
        self.step = self.next_step;
        for op in &session.ops {
            match op {
                Op::Log { step, commit, values } => self.log(*step, commit.unwrap_or(step.is_none()), values),
                Op::Summary(key, value) => drop(self.summary.insert(*key, value.clone())),
                Op::Config(key, value) => drop(self.config.insert(*key, value.clone())),
                Op::Tag(tag) if self.tags.contains(tag) => {}
                Op::Tag(tag) => self.tags.push(*tag),
                Op::Flush => {}
            }
        }
        self.state = Some(match session.end {
            End::Finish => RunState::Finished,
            End::Fail => RunState::Failed,
            End::Die => RunState::Crashed,
        });
    }

    fn log(&mut self, step: Option<i64>, commit: bool, values: &[(usize, Value)]) {
        let row = step.unwrap_or(self.step);
        if row >= self.step {
            self.step = if commit { row.saturating_add(1) } else { row };
        }
        self.next_step = self.next_step.max(row.saturating_add(1));
        let mut last: BTreeMap<usize, Value> = BTreeMap::new();
        last.extend(values.iter().cloned());
        for (metric, value) in last {
            self.points.entry(metric).or_default().push((row, value.clone()));
            self.summary.insert(metric, value);
        }
    }

    fn compare(&self, workspace: &Workspace) {
        let run = workspace.find_run(RUN).expect("listed");
        assert_eq!(run.state, self.state.expect("a session was played"));
        let metrics: Vec<String> =
            workspace.metrics(&run).expect("metrics").into_iter().map(|metric| metric.name).collect();
        assert_eq!(metrics.len(), self.points.len());
        let mut last_of_step: BTreeMap<i64, BTreeMap<&str, Value>> = BTreeMap::new();
        for (metric, points) in &self.points {
            let name = METRICS[*metric];
            let mut expected = points.clone();
            expected.sort_by_key(|(step, _)| *step);
            assert_points(&workspace.series(&run, name, None).expect("reads"), &expected, name);
            for (step, value) in expected {
                last_of_step.entry(step).or_default().insert(name, value);
            }
        }
        let history = workspace.history(&run, None, Window::default(), None).expect("a table is read");
        assert!(history.steps.iter().eq(last_of_step.keys()), "steps of the table");
        for column in &history.columns {
            for (row, step) in history.steps.iter().enumerate() {
                let found = column.get(row);
                let expected = last_of_step[step].get(column.name.as_str());
                let fits = match (&found, expected) {
                    (Some(found), Some(expected)) => same(found, expected),
                    (found, expected) => found.is_none() && expected.is_none(),
                };
                assert!(fits, "{:?} at {step}: {found:?}, expected {expected:?}", column.name);
            }
        }
        assert_eq!(run.summary.len(), self.summary.len());
        for (key, value) in &self.summary {
            assert!(run.summary(METRICS[*key]).is_some_and(|found| same(found, value)), "summary {:?}", METRICS[*key]);
        }
        for (key, value) in &self.config {
            let found = run.config.get(METRICS[*key]).map(|found| format!("{found:?}"));
            assert_eq!(found, Some(format!("{:?}", runcellar::Json::from(value.clone()))));
        }
        assert_eq!(run.tags, self.tags.iter().map(usize::to_string).collect::<Vec<_>>());
    }
}

/// Writes a value so that every bit of it reads back.
fn write_value(value: &Value) -> String {
    match value {
        Value::Float(value) => format!("f{:x}", value.to_bits()),
        Value::Int(value) => format!("i{value}"),
        Value::Bool(value) => format!("b{}", u8::from(*value)),
        Value::Text(text) => text.bytes().fold("t".to_owned(), |mut out, byte| {
            write!(out, "{byte:02x}").expect("a string takes it");
            out
        }),
        Value::Histogram(_) | Value::Media(_) => unreachable!("the values of the model are plain"),
    }
}

fn read_value(text: &str) -> Value {
    let (kind, rest) = text.split_at(1);
    match kind {
        "f" => Value::Float(f64::from_bits(u64::from_str_radix(rest, 16).expect("hex"))),
        "i" => Value::Int(rest.parse().expect("a number")),
        "b" => Value::Bool(rest == "1"),
        _ => {
            let byte = |at: usize| u8::from_str_radix(&rest[at..at + 2], 16).expect("hex");
            Value::Text(String::from_utf8((0..rest.len()).step_by(2).map(byte).collect()).expect("UTF-8"))
        }
    }
}

fn write_session(session: &Session) -> String {
    let option = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let mut out = format!("{} {:?}\n", session.journal_bytes, session.end);
    for op in &session.ops {
        match op {
            Op::Log { step, commit, values } => {
                let (step, commit) = (option(step.map(|step| step.to_string())), option(commit.map(|c| c.to_string())));
                write!(out, "log {step} {commit}").expect("a string takes it");
                for (metric, value) in values {
                    write!(out, " {metric} {}", write_value(value)).expect("a string takes it");
                }
            }
            Op::Summary(key, value) => write!(out, "summary {key} {}", write_value(value)).expect("a string takes it"),
            Op::Config(key, value) => write!(out, "config {key} {}", write_value(value)).expect("a string takes it"),
            Op::Tag(tag) => write!(out, "tag {tag}").expect("a string takes it"),
            Op::Flush => out.push_str("flush"),
        }
        out.push('\n');
    }
    out
}

/// Plays a session; the argument is the file that holds it.
pub(crate) fn plays_session(place: &Place, file: &str) {
    let script = std::fs::read_to_string(file).expect("reads");
    let mut lines = script.lines();
    let (journal_bytes, end) = lines.next().and_then(|line| line.split_once(' ')).expect("a first line");
    let workspace = place.open_silently();
    let builder = workspace.run("p").id(RUN).resume(Resume::Allow);
    let run = builder.journal_bytes(journal_bytes.parse().expect("a number")).start().expect("starts");
    let metric = |text: &str| METRICS[text.parse::<usize>().expect("a number")];
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        match words[0] {
            "log" => run
                .log_row(words[1].parse().ok(), words[2].parse().ok(), |row| {
                    for pair in words[3..].chunks(2) {
                        row.push(metric(pair[0]), RowValue::from(&read_value(pair[1])));
                    }
                })
                .expect("logs"),
            "summary" => run.summary(metric(words[1]), read_value(words[2])).expect("sets"),
            "config" => run.config(metric(words[1]), read_value(words[2])).expect("sets"),
            "tag" => run.tag(words[1]).expect("tags"),
            _ => run.flush().expect("flushes"),
        }
    }
    match end {
        "Finish" => run.finish().expect("finishes"),
        "Fail" => run.finish_as(RunState::Failed, Some(1)).expect("ends"),
        _ => {
            std::mem::forget((run, workspace));
            // SAFETY: ends the process without running anything of ours.
            unsafe { libc::_exit(0) };
        }
    }
}

fn check(sessions: &[Session]) {
    let (place, mut model) = (Place::new(), Model::default());
    let script = place.root().join("session");
    for session in sessions {
        std::fs::write(&script, write_session(session)).expect("writes");
        child::play("plays_session", &place, script.display());
        model.play(session);
        if session.looked_at {
            model.compare(&place.open_silently());
        }
    }
    model.compare(&place.open_silently());
    let report = place.open().check(runcellar::CheckOptions { read_data: true }).expect("is checked");
    assert!(report.is_ok(), "{:#?}", report.problems);
}

#[test]
fn a_recording_is_what_a_plain_model_says() {
    let cases = u32::try_from(count_from("RUNCELLAR_CASES", 16)).expect("few cases");
    let config = Config { cases, max_shrink_iters: 300, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&sessions(), |sessions| {
        check(&sessions);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
