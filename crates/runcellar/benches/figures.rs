//! The figures of README and docs/BENCHMARKS.md that need no other program: the cost of `log()`, of starting a run, and
//! the size of what is stored. Each is printed as a ratio to a reference measured in the same run.
//!
//! `cargo bench -p runcellar --bench figures [-- log|start|sizes]`. `RUNCELLAR_BENCH_SERIES` names a `series.ndjson.zst` of
//! real series for the size mix (DESIGN section 10); without it a seeded generator stands in. `RUNCELLAR_BENCH_DIR` names
//! the disk to measure on.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

mod reference;
mod series;

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use reference::{aead, full_commit, millis, ring_seal_64_mib, seal};
use runcellar::{Keys, RowValue, Workspace};

const SCALARS: usize = 20;
/// Calls of a turn, and turns.
const CALLS: usize = 4_000;
const ROUNDS: usize = 50;
/// Longer than the background takes to ingest what a turn logged.
const REST: Duration = Duration::from_millis(50);

fn main() {
    let base = std::env::var_os("RUNCELLAR_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let directory = tempfile::tempdir_in(base).expect("temporary directory");
    let path = directory.path();
    println!("64 MiB ring seal          {:>10.1} ms", millis(ring_seal_64_mib()));
    let commit = full_commit(path);
    println!("one FULL commit           {:>10.2} ms", millis(commit));
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    if is_wanted("log") {
        log_cost(path);
    }
    if is_wanted("start") {
        start_cost(path, commit);
    }
    if is_wanted("sizes") {
        sizes(path);
    }
}

fn open(path: &Path, name: &str) -> Workspace {
    let keys = Keys { directory: Some(path.join("keys")), ..Keys::default() };
    Workspace::open_or_create(path.join(name), keys).expect("opens")
}

/// Calls `call` many times, and adds what each took to `times`, in nanoseconds.
fn time_calls(times: &mut Vec<f64>, mut call: impl FnMut(u64)) {
    for _ in 0..CALLS {
        let (start, counter) = (Instant::now(), times.len() as u64);
        call(counter);
        times.push(start.elapsed().as_nanos() as f64);
    }
}

/// Returns the value below which this share of the times lies.
fn percentile(times: &mut [f64], share: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    times[(times.len() as f64 * share) as usize]
}

/// The call and its reference take turns, so that both see the same machine. Before each turn of the reference the
/// background of the run is given time to come to rest: it makes calls of both slower where cores share what they have.
fn log_cost(path: &Path) {
    let names: Vec<String> = (0..SCALARS).map(|index| format!("train/metric_{index:02}")).collect();
    let values: Vec<f64> = (0..SCALARS).map(|index| 1.0 / (index as f64 + 1.7)).collect();
    // What a frame of this row takes: 8 bytes a value, 18 for the row, 44 for the frame.
    let frame_bytes = SCALARS * 8 + 18 + 44;
    let (key, mut bytes) = (aead(), vec![0; frame_bytes]);
    let mut file =
        std::fs::OpenOptions::new().append(true).create_new(true).open(path.join("reference.bin")).expect("creates");
    let workspace = open(path, "log");
    let run = workspace.run("bench").start().expect("starts");
    let (mut reference, mut log) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        std::thread::sleep(REST);
        time_calls(&mut reference, |counter| {
            let len = bytes.len() - 16;
            let tag = seal(&key, counter, &mut bytes[..len]);
            bytes[len..].copy_from_slice(&tag);
            file.write_all(&bytes).expect("writes");
        });
        time_calls(&mut log, |counter| {
            run.log_row(None, None, |row| {
                for (name, value) in names.iter().zip(&values) {
                    row.push(name, RowValue::Float(value + counter as f64));
                }
            })
            .expect("logs");
        });
    }
    run.finish().expect("finishes");
    let ratio = |share: f64, reference: &mut [f64], log: &mut [f64]| {
        let (theirs, ours) = (percentile(reference, share), percentile(log, share));
        (theirs, ours, ours / theirs)
    };
    println!("log() of {SCALARS} scalars beside seal + write of {frame_bytes} bytes:");
    for (name, share, limit) in [("p10", 0.1, ""), ("p50", 0.5, "(<= 1.7)"), ("p99", 0.99, "")] {
        let (theirs, ours, ratio) = ratio(share, &mut reference, &mut log);
        println!("  {name}  {ours:>7.0} ns to {theirs:>7.0} ns  {ratio:>6.2}x   {limit}");
    }
    println!("  p99 over p50            {:>10.1}x   (<= 20)", percentile(&mut log, 0.99) / percentile(&mut log, 0.5));
}

fn start_cost(path: &Path, commit: Duration) {
    drop(open(path, "start"));
    let mut times: Vec<Duration> = (0..9)
        .map(|_| {
            let start = Instant::now();
            let workspace = open(path, "start");
            let run = workspace.run("bench").start().expect("starts");
            run.log([("loss", 0.5)]).expect("logs");
            let elapsed = start.elapsed();
            run.finish().expect("finishes");
            elapsed
        })
        .collect();
    times.sort_unstable();
    let beyond = millis(times[4]) - 3.0 * millis(commit);
    println!("open, start, first log()  {:>10.2} ms   3 commits + {beyond:.2} ms (<= 15)", millis(times[4]));
}

/// Bytes of all files below a directory.
fn bytes_below(path: &Path) -> u64 {
    std::fs::read_dir(path)
        .expect("lists")
        .map(|entry| {
            let entry = entry.expect("entry");
            let metadata = entry.metadata().expect("metadata");
            if metadata.is_dir() { bytes_below(&entry.path()) } else { metadata.len() }
        })
        .sum()
}

fn sizes(path: &Path) {
    drop(open(path, "empty"));
    let empty = bytes_below(&path.join("empty"));
    println!("empty workspace           {:>10.1} KiB  (<= 192)", empty as f64 / 1024.0);
    let (mix, source) = series::mix();
    for (steps, limit) in [(50, 12.0), (1_000, 3.0), (10_000, 1.9)] {
        const RUNS: usize = 20;
        let name = format!("mix-{steps}");
        drop(open(path, &name));
        let before = bytes_below(&path.join(&name));
        for _ in 0..RUNS {
            let workspace = open(path, &name);
            let run = workspace.run("mix").start().expect("starts");
            let cadence = Duration::from_micros(200);
            let mut next = Instant::now();
            for step in 0..steps {
                run.log_row(None, None, |row| {
                    for series in &mix {
                        row.push(&series.name, RowValue::Float(series.values[step % series.values.len()]));
                    }
                })
                .expect("logs");
                next += cadence;
                while Instant::now() < next {
                    std::thread::sleep((next - Instant::now()).min(cadence));
                }
            }
            run.finish().expect("finishes");
        }
        let points = (RUNS * steps * mix.len()) as f64;
        let bytes = (bytes_below(&path.join(&name)) - before) as f64;
        println!("size mix, {steps:>6} steps    {:>10.3} bytes a point (<= {limit}) [{source}]", bytes / points);
    }
}
