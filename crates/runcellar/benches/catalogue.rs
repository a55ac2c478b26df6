//! Listing very many runs: what a new process and a long-lived one take to open, filter, sort and group, and in how much
//! memory. Each is printed beside the speed of the machine in the same run.
//!
//! `cargo bench -p runcellar --bench catalogue`. `RUNCELLAR_BENCH_RUNS` is the number of runs (10,000; the figures of
//! docs/BENCHMARKS.md are of 100,000), each of 30 config keys and 20 metrics. `RUNCELLAR_BENCH_DIR` names the disk.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

mod reference;

use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use reference::{full_commit, millis, ring_seal_64_mib};
use runcellar::query::parse_fields;
use runcellar::{Json, Keys, OpenOptions, Selection, WholeRun, Workspace};

const CONFIG_KEYS: usize = 30;
const METRICS: usize = 20;
const RUNS_DEFAULT: usize = 10_000;
/// Set in the new process that is measured: what it does.
const CHILD: &str = "RUNCELLAR_BENCH_CHILD";

/// A tenth of the runs, by two keys.
const FILTER: &str = "config.lr > 0.05 and summary.m0 < 0.2";
const ORDER: &str = "summary.m1,-created";

fn main() {
    let base = std::env::var_os("RUNCELLAR_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    if let Ok(work) = std::env::var(CHILD) {
        return child(&base, &work);
    }
    let runs = std::env::var("RUNCELLAR_BENCH_RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(RUNS_DEFAULT);
    let directory = tempfile::tempdir_in(base).expect("a temporary directory");
    let path = directory.path();
    println!("64 MiB ring seal                        {:>10.1} ms", millis(ring_seal_64_mib()));
    println!("one FULL commit                         {:>10.2} ms", millis(full_commit(path)));
    let workspace = open(path);
    let start = Instant::now();
    workspace.make_whole_runs((0..runs).map(whole_run)).expect("makes runs");
    println!("{runs} runs made in                   {:>10.0} ms", millis(start.elapsed()));
    drop(workspace);
    println!("without a catalogue, a new process:");
    measure(path, "look");
    let start = Instant::now();
    let workspace = open(path);
    while workspace.fold_catalogue().expect("folds") {}
    println!("catalogue made in                       {:>10.0} ms", millis(start.elapsed()));
    let before = database_bytes(path);
    println!("cellar.db                               {:>10.1} MB", before as f64 / 1e6);
    drop(workspace);
    println!("with it, a new process:");
    measure(path, "look");
    measure(path, "statistics");
    measure(path, "group");
    measure(path, "all");
    warm(path);
}

fn open(path: &Path) -> Workspace {
    let keys = Keys { directory: Some(path.join("keys")), ..Keys::default() };
    Workspace::open_or_create(path.join("w"), keys).expect("opens")
}

fn look_only(path: &Path) -> Workspace {
    let keys = Keys { directory: Some(path.join("keys")), ..Keys::default() };
    OpenOptions { keys, recover: false, ..OpenOptions::default() }.open(&path.join("w")).expect("opens")
}

fn selection(filter: &str, order: &str, limit: Option<usize>) -> Selection {
    let selection = Selection { limit, ..Selection::default() };
    selection.filter(filter).expect("a filter").order_by(order).expect("an order")
}

/// What a new process does; it prints what it took.
fn child(path: &Path, work: &str) {
    let start = Instant::now();
    let workspace = look_only(path);
    let opened = start.elapsed();
    let (what, total) = match work {
        "look" => {
            let listing = workspace.list(&selection(FILTER, ORDER, Some(50))).expect("lists");
            assert_eq!(listing.runs.len(), 50);
            ("open, filter, sort, show 50", listing.total)
        }
        "statistics" => {
            let listing = workspace.list(&selection("max(m2) > 0.9", "-max(m0)", Some(50))).expect("lists");
            ("open, filter and sort by max()", listing.total)
        }
        "group" => {
            let (by, of) = (parse_fields("config.k1"), parse_fields("summary.m0,summary.m1"));
            let groups = workspace.group_runs(&Selection::default(), &by.expect("fields"), &of.expect("fields"));
            ("open and group all", groups.expect("groups").groups.len())
        }
        _ => ("open and list all, whole", workspace.runs(&Selection::default()).expect("lists").len()),
    };
    println!(
        "  {what:<38}{:>10.0} ms  (open {:.0} ms, found {total}, peak {:.0} MB)",
        millis(start.elapsed()),
        millis(opened),
        peak_mb()
    );
}

fn measure(path: &Path, work: &str) {
    let this = std::env::current_exe().expect("this binary");
    let status = Command::new(this).env(CHILD, work).env("RUNCELLAR_BENCH_DIR", path).status();
    assert!(status.expect("a child starts").success());
}

/// A long-lived process: the first look, and those after it.
fn warm(path: &Path) {
    let workspace = open(path);
    workspace.list(&selection(FILTER, ORDER, Some(50))).expect("lists");
    println!("with it, a process that has looked before:");
    let median = |name: &str, work: &dyn Fn()| {
        let mut times: Vec<Duration> = (0..21)
            .map(|_| {
                let start = Instant::now();
                work();
                start.elapsed()
            })
            .collect();
        times.sort_unstable();
        println!("  {name:<38}{:>10.1} ms", millis(times[times.len() / 2]));
    };
    let (filtered, none) = (selection(FILTER, ORDER, Some(50)), selection("config.lr > 2", "-created", Some(50)));
    median("filter that none fits", &|| drop(black_box(workspace.list(&none).expect("lists"))));
    median("filter, sort, show 50", &|| drop(black_box(workspace.list(&filtered).expect("lists"))));
    let renamed = workspace.runs(&filtered).expect("lists").swap_remove(7);
    median("the same after a change", &|| {
        workspace.rename_run(&renamed, "other").expect("renames");
        black_box(workspace.list(&filtered).expect("lists"));
    });
    median("find a run by its id", &|| drop(black_box(workspace.find_run(&renamed.id).expect("found"))));
}

fn whole_run(number: usize) -> WholeRun {
    let mut state = number as u64;
    let mut random = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) as f64 / u64::MAX as f64
    };
    let mut config = vec![("lr".to_owned(), Json::Float((random() * 1e4).round() / 1e5))];
    for key in 1..CONFIG_KEYS {
        let value = match key % 4 {
            0 => Json::Text(format!("choice-{}", (random() * 8.0) as u8)),
            1 => Json::Int((random() * 16.0) as i64),
            2 => Json::Bool(random() < 0.5),
            _ => Json::Float((random() * 100.0).round() / 100.0),
        };
        config.push((format!("k{key}"), value));
    }
    let metrics = (0..METRICS).map(|metric| {
        let (one, other) = (random(), random());
        (format!("m{metric}"), f64::min(one, other), f64::max(one, other))
    });
    let created = 1_770_000_000_000_000 + number as i64 * 1_000_000;
    WholeRun {
        id: format!("{number:012}"),
        project: format!("project-{}", number % 3),
        config: Json::Map(config),
        created,
        finished: created + 60_000_000,
        metrics: metrics.collect(),
    }
}

fn database_bytes(path: &Path) -> u64 {
    let size = |name: &str| std::fs::metadata(path.join("w").join(name)).map_or(0, |file| file.len());
    size("cellar.db") + size("cellar.db-wal")
}

/// The most memory that this process has held, which Linux tells.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kb: Option<f64> = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
    kb.unwrap_or(f64::NAN) / 1e3
}
