//! What `gc` and `check` hold in memory of a pool of very many chunks: a process of its own does each, and says its peak.
//!
//! `cargo bench -p runcellar --bench pools`; `RUNCELLAR_BENCH_CHUNKS` sets how many chunks there are (1,000,000), each a file of
//! 24 bytes: what they hold of a chunk does not depend on its length. docs/ARCHITECTURE.md, "Blobs", has the arithmetic.
#![allow(clippy::print_stdout, missing_docs, reason = "a benchmark")]

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use runcellar::artifacts::{ArtifactDraft, PutSettings};
use runcellar::{CheckOptions, CollectOptions, Keys, OpenOptions, Workspace};

/// Files of one artifact: what a put holds of them is not measured here.
const FILES_OF_ARTIFACT: u64 = 500_000;
/// What a child process is to do, and where.
const TASK: &str = "RUNCELLAR_BENCH_TASK";
const PLACE: &str = "RUNCELLAR_BENCH_PLACE";

fn open(place: &Path) -> Workspace {
    let keys = Keys { directory: Some(place.join("keys")), ..Keys::default() };
    OpenOptions { keys, create: true, ..OpenOptions::default() }.open(&place.join("w")).expect("opens")
}

fn put(workspace: &Workspace, number: u64, files: std::ops::Range<u64>) {
    let mut draft = ArtifactDraft::new(&format!("part{number}"), "").expect("a name");
    for file in files {
        let content = [file, file ^ 0x5a5a, !file].map(u64::to_le_bytes).concat();
        draft.add_bytes(&format!("{file:010}"), content).expect("adds");
    }
    let settings = PutSettings { project: "p".into(), ..PutSettings::default() };
    workspace.put_artifact(&draft, &settings).expect("puts");
}

/// The most memory that this process had, in MB.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux says");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line of it");
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().expect("a number") * 1024.0 / 1e6
}

fn child(task: &str, place: &Path) {
    let workspace = open(place);
    match task {
        "open" => {}
        "gc" => drop(workspace.collect_garbage(CollectOptions { now: true }).expect("collects")),
        task => {
            let report = workspace.check(CheckOptions { read_data: task == "check --read-data" }).expect("checks");
            assert!(report.is_ok(), "{:?}", report.problems);
        }
    }
    println!("{}", peak());
}

fn main() {
    if let (Ok(task), Some(place)) = (std::env::var(TASK), std::env::var_os(PLACE)) {
        return child(&task, Path::new(&place));
    }
    let chunks = std::env::var("RUNCELLAR_BENCH_CHUNKS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let place = tempfile::tempdir().expect("a temporary directory");
    let workspace = open(place.path());
    for (number, first) in (0..chunks).step_by(FILES_OF_ARTIFACT as usize).enumerate() {
        put(&workspace, number as u64, first..chunks.min(first + FILES_OF_ARTIFACT));
    }
    drop(workspace);
    let mut least = 0.0;
    for task in ["open", "gc", "check", "check --read-data"] {
        let began = Instant::now();
        let program = std::env::current_exe().expect("this program");
        let output = Command::new(program).env(TASK, task).env(PLACE, place.path()).output().expect("starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let peak: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number");
        least = if task == "open" { peak } else { least };
        let each = (peak - least) * 1e6 / chunks as f64;
        println!("{task:18} {peak:7.1} MB, {each:5.1} bytes a chunk  wall {:6.2} s", began.elapsed().as_secs_f64());
    }
}
