//! Purging one run among ten thousand, beside commits of the same disk.
//!
//! `cargo bench -p runcellar --bench purge`. The limit is 150 ms and the fsyncs, so the calls that wait for the disk are
//! counted and timed apart.
#![allow(clippy::print_stdout, reason = "a program that prints figures")]

use std::time::Instant;

use runcellar::{Keys, PurgeOptions, WholeRun, Workspace, json};

const RUNS: usize = 10_000;
const PURGES: usize = 5;

fn whole(number: usize) -> WholeRun {
    WholeRun {
        id: format!("run-{number}"),
        project: "bench".into(),
        config: json!({"lr": 0.1, "layers": [64, 32], "optimizer": "adam"}),
        created: 1_700_000_000_000_000 + number as i64,
        finished: 1_700_000_100_000_000 + number as i64,
        metrics: (0..10).map(|metric| (format!("metric/{metric}"), 0.0, number as f64)).collect(),
    }
}

/// CPU seconds of this process.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("reads");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    let ticks: f64 = [fields[11], fields[12]].iter().map(|ticks| ticks.parse::<f64>().expect("a number")).sum();
    ticks / 100.0
}

/// One durable commit of a small row.
fn commit_ms(directory: &std::path::Path) -> f64 {
    let connection = rusqlite::Connection::open(directory.join("reference.db")).expect("opens");
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (v BLOB)")
        .expect("SQL");
    let mut times: Vec<f64> = (0..21)
        .map(|_| {
            let begun = Instant::now();
            connection.execute("INSERT INTO t VALUES (zeroblob(100))", []).expect("inserts");
            begun.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[10]
}

fn main() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let keys = Keys { directory: Some(directory.path().join("keys")), ..Keys::default() };
    let workspace = Workspace::open_or_create(directory.path().join("w"), keys).expect("opens");
    workspace.make_whole_runs((0..RUNS).map(whole)).expect("makes runs");
    assert_eq!(workspace.runs(&Default::default()).expect("lists").len(), RUNS);
    let commit = commit_ms(directory.path());
    println!("purge of one run among {RUNS}; one FULL commit here takes {commit:.2} ms");
    for number in 0..PURGES {
        let target = format!("run-{}", number * 1999).parse().expect("a target");
        let (begun, used) = (Instant::now(), cpu());
        let purged = workspace.purge(&[target], PurgeOptions::default()).expect("purges");
        let (wall, used) = (begun.elapsed().as_secs_f64() * 1e3, (cpu() - used) * 1e3);
        assert!(purged.receipt.is_complete(), "{}", purged.receipt.to_json());
        println!("wall {wall:.0} ms, {used:.0} ms of CPU (at most 150 ms and the fsyncs)");
    }
}
