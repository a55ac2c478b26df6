//! What a backup takes, and the next one of an unchanged workspace, beside `cp -r` and `sync` of the same folder.
//!
//! `cargo bench -p runcellar --bench backup`; `RUNCELLAR_BENCH_MB` sets the size of the workspace (2048), of which twice as
//! much must be free. Copies and backups alternate, and medians are compared: at most 1.2 times `cp -r`, and 2% of it.
#![allow(clippy::print_stdout, missing_docs, unsafe_code, reason = "a benchmark")]

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use runcellar::artifacts::{ArtifactDraft, Links, PutSettings};
use runcellar::{BackupOptions, Keys, WholeRun, Workspace, json};

/// Times that each is done.
const ROUNDS: usize = 5;
/// Megabytes of a file that is put at once.
const FILE_MB: usize = 256;
/// Runs in the database, some 60 MB.
const RUNS: usize = 20_000;

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

/// Bytes that no compression makes shorter, and no two calls give alike.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state ^ state >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    };
    std::iter::repeat_with(|| next().to_le_bytes()).flatten().take(bytes).collect()
}

fn fill(workspace: &Workspace, root: &Path, megabytes: usize) {
    workspace.make_whole_runs((0..RUNS).map(whole)).expect("makes runs");
    let file = root.join("file");
    for number in 0..megabytes.div_ceil(FILE_MB) {
        std::fs::write(&file, noise(number as u64 + 1, FILE_MB << 20)).expect("writes");
        let mut draft = ArtifactDraft::new("data", "").expect("a name");
        draft.add_file(&file, None, Links::Keep).expect("adds");
        let settings = PutSettings { project: "bench".into(), ..PutSettings::default() };
        workspace.put_artifact(&draft, &settings).expect("puts");
    }
    std::fs::remove_file(&file).expect("removes");
}

/// Wall and CPU seconds.
#[derive(Clone, Copy)]
struct Cost {
    wall: f64,
    cpu: f64,
}

fn cpu() -> f64 {
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    let of = |who| {
        // SAFETY: a plain struct of numbers, filled by the call.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            assert_eq!(libc::getrusage(who, &raw mut usage), 0);
            usage
        };
        seconds(usage.ru_utime) + seconds(usage.ru_stime)
    };
    of(libc::RUSAGE_SELF) + of(libc::RUSAGE_CHILDREN)
}

fn timed(work: impl FnOnce()) -> Cost {
    let (begun, before) = (Instant::now(), cpu());
    work();
    Cost { wall: begun.elapsed().as_secs_f64(), cpu: cpu() - before }
}

/// Runs a line of shell on two paths.
fn shell(line: &str, paths: [&Path; 2]) {
    assert!(Command::new("sh").args(["-c", line]).args(paths).status().expect("runs").success(), "{line}");
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn main() {
    let megabytes = std::env::var("RUNCELLAR_BENCH_MB").ok().and_then(|text| text.parse().ok()).unwrap_or(2048);
    let root = tempfile::tempdir().expect("a temporary directory");
    let keys = Keys { directory: Some(root.path().join("keys")), ..Keys::default() };
    let folder = root.path().join("w");
    let workspace = Workspace::open_or_create(&folder, keys).expect("opens");
    fill(&workspace, root.path(), megabytes);
    let (copied, backed_up) = (root.path().join("copied"), root.path().join("backup"));
    let backup = || drop(workspace.backup(&backed_up, BackupOptions::default()).expect("backs up"));
    let (mut copies, mut firsts, mut seconds) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        copies.push(timed(|| shell("cp -r \"$0\" \"$1\" && sync -f \"$1\"", [&folder, &copied])));
        shell("rm -r \"$1\" && sync -f \"$0\"", [&folder, &copied]);
        firsts.push(timed(backup));
        seconds.push(timed(backup));
        shell("rm -r \"$1\" && sync -f \"$0\"", [&folder, &backed_up]);
    }
    let of = |all: &[Cost], part: fn(&Cost) -> f64| median(all.iter().map(part).collect());
    let (wall, used) = (of(&copies, |cost| cost.wall), of(&copies, |cost| cost.cpu));
    println!("{megabytes} MB of artifacts and {RUNS} runs; medians of {ROUNDS}, each beside the others");
    for (what, costs) in [("cp -r and sync", &copies), ("backup", &firsts), ("backup, unchanged", &seconds)] {
        let (own_wall, own_used) = (of(costs, |cost| cost.wall), of(costs, |cost| cost.cpu));
        println!(
            "{what:20} wall {own_wall:7.2} s ({:6.3}x)  cpu {own_used:7.2} s ({:6.3}x)",
            own_wall / wall,
            own_used / used
        );
    }
    println!("limits: 1.2x, and 0.02x unchanged");
}
