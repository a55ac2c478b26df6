//! P7: processes, threads and ranks write at once without waiting for each other, while others list and read, and no
//! error and no warning reaches anybody.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use runcellar::{CheckOptions, Resume, RunState, Selection, Value};

use crate::support::child::Counter;
use crate::support::{Heard, Place, child, rows};

#[test]
fn threads_share_a_run() {
    const THREADS: u64 = 8;
    const ROWS: u64 = 2000;
    let place = Place::new();
    let workspace = place.open();
    let run = workspace.run("p").id("shared-run").journal_bytes(40_000).start().expect("starts");
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (run, next) = (&run, &next);
            scope.spawn(move || {
                for row in 0..ROWS {
                    let value = next.fetch_add(1, Ordering::Relaxed) as i64;
                    run.log([("x", value), (&format!("of/{thread}"), row as i64)]).expect("logs");
                }
            });
        }
    });
    run.finish().expect("finishes");
    let workspace = place.open_silently();
    let run = workspace.find_run("shared-run").expect("listed");
    let series = workspace.series(&run, "x", None).expect("reads");
    assert!(series.steps.iter().zip(0..).all(|(step, expected)| *step == expected), "each row has a step of its own");
    let all: BTreeSet<_> = (0..series.steps.len()).map(|at| format!("{:?}", series.values.get(at))).collect();
    assert_eq!(all.len() as u64, THREADS * ROWS);
    for thread in 0..THREADS {
        let series = workspace.series(&run, &format!("of/{thread}"), None).expect("reads");
        let in_order = (0..ROWS as usize).all(|at| series.values.get(at) == Some(Value::Int(at as i64)));
        assert!(in_order && series.steps.len() as u64 == ROWS, "thread {thread}");
    }
}

/// Argument: run id, rows, and whether it joins a run that may be there, as which rank.
pub(crate) fn logs_and_ends(place: &Place, argument: &str) {
    let words: Vec<&str> = argument.split(' ').collect();
    let (heard, count) = (Arc::new(Heard::default()), words[1].parse().expect("a number"));
    let workspace = place.open_with(Arc::new(runcellar::io::SystemIo), heard.clone()).expect("opens");
    let builder = workspace.run("p").id(words[0]).journal_bytes(16 << 10);
    let run = match words[2].parse::<u32>() {
        Ok(rank) => builder.resume(Resume::Allow).rank(rank).start().expect("joins"),
        Err(_) => builder.start().expect("starts"),
    };
    match words[2].parse::<i64>() {
        Ok(rank) => (0..count as i64).for_each(|n| run.log_at(n, [(format!("rank/{rank}"), n)]).expect("logs")),
        Err(_) => (0..count).for_each(|i| rows::log(&run, i)),
    }
    run.finish().expect("finishes");
    assert_eq!(heard.all(), Vec::<String>::new());
}

/// Lists and reads until it is told to stop.
pub(crate) fn lists_and_reads(place: &Place, _: &str) {
    let (heard, stop) = (Arc::new(Heard::default()), Counter::open(&place.root().join("stop")));
    let mut rounds = 0;
    while stop.get() == 0 || rounds == 0 {
        let workspace = place.open_with(Arc::new(runcellar::io::SystemIo), heard.clone()).expect("opens");
        for run in workspace.runs(&Selection::default()).expect("lists") {
            let metrics = workspace.metrics(&run).expect("metrics");
            for metric in metrics.iter().take(2) {
                let series = workspace.series(&run, &metric.name, None).expect("reads");
                assert!(series.steps.len() as u64 >= metric.points, "{}: {}", run.id, metric.name);
            }
            assert_ne!(run.state, RunState::Crashed, "{} is at work or has ended", run.id);
        }
        rounds += 1;
    }
    assert_eq!(heard.all(), Vec::<String>::new());
}

const THREADS: i64 = 4;

/// Threads share a run. Argument: run id, and rows of each thread.
pub(crate) fn logs_in_threads(place: &Place, argument: &str) {
    let (id, rows) = argument.split_once(' ').expect("two words");
    let (heard, rows) = (Arc::new(Heard::default()), rows.parse::<i64>().expect("a number"));
    let workspace = place.open_with(Arc::new(runcellar::io::SystemIo), heard.clone()).expect("opens");
    let run = workspace.run("p").id(id).journal_bytes(32 << 10).start().expect("starts");
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let run = &run;
            scope.spawn(move || (0..rows).for_each(|n| run.log_at(n, [(format!("of/{thread}"), n)]).expect("logs")));
        }
    });
    run.finish().expect("finishes");
    assert_eq!(heard.all(), Vec::<String>::new());
}

#[test]
fn every_point_of_processes_with_threads_arrives() {
    const ROWS: i64 = 2500;
    let place = Place::new();
    drop(place.open());
    let start = |number: i32| child::start("logs_in_threads", &place, format!("threads-{number} {ROWS}"));
    let writers: Vec<_> = (0..8).map(start).collect();
    for mut writer in writers {
        assert!(writer.wait().expect("waits").success(), "a writer says why");
    }
    let workspace = place.open_silently();
    for number in 0..8 {
        let run = workspace.find_run(&format!("threads-{number}")).expect("listed");
        for thread in 0..THREADS {
            let series = workspace.series(&run, &format!("of/{thread}"), None).expect("reads");
            assert_eq!(series.steps, (0..ROWS).collect::<Vec<_>>(), "{}, thread {thread}", run.id);
            assert!((0..ROWS).all(|at| series.values.get(at as usize) == Some(Value::Int(at))));
        }
    }
    let report = workspace.check(CheckOptions { read_data: true }).expect("is checked");
    assert!(report.is_ok(), "{:#?}", report.problems);
}

fn at_once(place: &Place, writers: &[String]) {
    drop(place.open());
    let readers: Vec<_> = (0..2).map(|_| child::start("lists_and_reads", place, "")).collect();
    let writers: Vec<_> = writers.iter().map(|argument| child::start("logs_and_ends", place, argument)).collect();
    for mut writer in writers {
        assert!(writer.wait().expect("waits").success(), "a writer says why");
    }
    Counter::open(&place.root().join("stop")).set(1);
    for mut reader in readers {
        assert!(reader.wait().expect("waits").success(), "a reader says why");
    }
    let workspace = place.open_silently();
    let report = workspace.check(CheckOptions { read_data: true }).expect("is checked");
    assert!(report.is_ok(), "{:#?}", report.problems);
}

#[test]
fn sixty_four_processes_record_at_once_while_others_list_and_read() {
    let place = Place::new();
    let writers: Vec<String> = (0..64).map(|number| format!("process-{number} 300 alone")).collect();
    at_once(&place, &writers);
    let workspace = place.open_silently();
    for number in 0..64 {
        let run = workspace.find_run(&format!("process-{number}")).expect("listed");
        assert_eq!((rows::verify(&workspace, &run), run.state, run.dropped), (300, RunState::Finished, 0));
    }
}

#[test]
fn ranks_that_join_one_run_are_all_kept() {
    let place = Place::new();
    let writers: Vec<String> = (0..8).map(|rank| format!("joined-run 1000 {rank}")).collect();
    at_once(&place, &writers);
    let workspace = place.open_silently();
    assert_eq!(workspace.runs(&Selection::default()).expect("lists").len(), 1);
    let run = workspace.find_run("joined-run").expect("listed");
    assert_eq!(run.state, RunState::Finished);
    for rank in 0..8 {
        let series = workspace.series(&run, &format!("rank/{rank}"), None).expect("reads");
        assert!(series.steps.len() == 1000 && series.steps.is_sorted_by(|left, right| left < right), "rank {rank}");
    }
}
