//! Very many small runs: how many requests they take, and what a sync of them costs beside the recording of them.
//!
//! `cargo bench -p runcellar-sync --bench requests`; `RUNCELLAR_BENCH_RUNS` is the number of runs (10,000). The remote is in memory, so
//! that what is measured is ours alone. `TMPDIR` says on which disk the workspaces lie.
#![allow(clippy::print_stdout, reason = "a program that prints figures")]

use std::path::Path;
use std::time::{Duration, Instant};

use runcellar::remotes::{RemoteClass, clone_from};
use runcellar::{Keys, OpenOptions, Workspace, json};
use runcellar_sync::engine::{self, Report};
use runcellar_sync::remote::fake::{Fake, Store};

/// The most requests that so many runs may take, one for each hundred.
const RUNS_PER_REQUEST: u64 = 100;

fn cpu_now() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    // proc(5): after the name in parentheses come the third field and so on; the 14th and 15th are hundredths of a second.
    let fields: Vec<&str> = text.rsplit(')').next().expect("a name").split_whitespace().collect();
    let hundredths = |field: usize| fields[field - 3].parse::<u64>().expect("a number");
    Duration::from_millis((hundredths(14) + hundredths(15)) * 10)
}

fn measured<T>(act: impl FnOnce() -> T) -> (T, Duration, Duration) {
    let (start, cpu) = (Instant::now(), cpu_now());
    let value = act();
    (value, start.elapsed(), cpu_now() - cpu)
}

fn options(root: &Path) -> OpenOptions {
    let keys = Keys { directory: Some(root.join("keys")), ..Keys::default() };
    OpenOptions { keys, create: true, ..OpenOptions::default() }
}

fn enabled(workspace: Workspace) -> Workspace {
    workspace.add_remote("origin", "memory", &[RemoteClass::Metrics], &[]).expect("is added");
    let hash = workspace.consent_request("origin").expect("asks").hash;
    workspace.enable_remote("origin", &hash).expect("is enabled");
    workspace
}

/// Syncs, and prints what it took.
fn sync(what: &str, workspace: &Workspace, store: &Store, reference: Duration) -> (Report, u64) {
    let remote = Fake::new(store, 1);
    let (report, wall, cpu) = measured(|| engine::sync(workspace, "origin", &remote).expect("syncs"));
    let requests = remote.requests().all();
    println!(
        "{what:<34} {requests:>5} requests, {:>7.2} s, {:>7.2} s of CPU, {:.3} x recording them",
        wall.as_secs_f64(),
        cpu.as_secs_f64(),
        cpu.as_secs_f64() / reference.as_secs_f64().max(0.01)
    );
    (report, requests)
}

fn main() {
    let runs: u64 = std::env::var("RUNCELLAR_BENCH_RUNS").map_or(10_000, |text| text.parse().expect("a number"));
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (first_at, second_at) = (folder.path().join("first"), folder.path().join("second"));
    let first = enabled(options(&first_at).open(&first_at.join("w")).expect("is made"));
    let record = |number: u64| {
        let run = first
            .run("p")
            .id(format!("run-{number:06}"))
            .config(json!({"lr": 0.5, "seed": number}))
            .start()
            .expect("starts");
        for step in 0..10 {
            run.log([("loss", 1.0 / (step + 1) as f64), ("accuracy", step as f64)]).expect("logs");
        }
        run.finish().expect("finishes");
    };
    let ((), wall, reference) = measured(|| (0..runs).for_each(record));
    println!(
        "{:<34} {:>23.2} s, {:>7.2} s of CPU",
        format!("{runs} runs recorded"),
        wall.as_secs_f64(),
        reference.as_secs_f64()
    );

    let store = Store::new();
    let (pushed, push_requests) = sync("push of all", &first, &store, reference);
    assert_eq!(pushed.sent_runs, runs);
    let sent: usize = store.names().iter().filter_map(|name| store.bytes(name)).map(|bytes| bytes.len()).sum();
    println!("{:<34} {sent:>23} bytes in {} objects", "", store.names().len());
    let (_, unchanged) = sync("sync of what is unchanged", &first, &store, reference);
    record(runs);
    let (one, _) = sync("push of one more run", &first, &store, reference);
    assert_eq!(one.sent_runs, 1);

    std::fs::create_dir(&second_at).expect("is made");
    let status = std::process::Command::new("cp").arg("-rp").arg(first_at.join("keys")).arg(&second_at).status();
    assert!(status.expect("cp runs").success());
    let welcome = engine::welcome(&Fake::new(&store, 2)).expect("answers").expect("is there");
    let keys = OpenOptions { create: false, ..options(&second_at) };
    let second = enabled(clone_from(&welcome, &second_at.join("w"), keys).expect("is made"));
    let (pulled, pull_requests) = sync("pull of all by another device", &second, &store, reference);
    assert_eq!(pulled.merged.new_runs, runs + 1);
    sync("sync of what is unchanged, there", &second, &store, reference);
    for (what, requests) in [("push", push_requests), ("pull", pull_requests)] {
        let limit = runs.div_ceil(RUNS_PER_REQUEST);
        println!("{what}: {:.2} requests per 100 runs (limit 1)", requests as f64 * 100.0 / runs as f64);
        assert!(requests <= limit.max(10), "{what}: {requests} requests, {limit} are allowed");
    }
    println!("unchanged: {unchanged} requests");
}
