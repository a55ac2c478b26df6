//! What putting, getting and verifying artifacts costs, as ratios to `cp` and `sync` of the same files in the same run.
//!
//! `cargo blobs`; `RUNCELLAR_BENCH_MB` sets the size of the large file (256). CPU is user and system time of all threads.
//! Other programs that keep versions (restic, borg) are measured by `tests/python/bench_blobs.py`.
#![allow(clippy::print_stdout, missing_docs, unsafe_code, reason = "a benchmark")]

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use runcellar::artifacts::{ArtifactDraft, DownloadOptions, Links, PutReport, PutSettings};
use runcellar::{Keys, OpenOptions, Workspace};

/// Times that a reference is taken; its median counts.
const REFERENCES: usize = 5;

/// Wall and CPU seconds.
#[derive(Clone, Copy)]
struct Cost {
    wall: f64,
    cpu: f64,
}

fn cpu(of: libc::c_int) -> f64 {
    // SAFETY: a plain struct of numbers, filled by the call.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(of, &raw mut usage), 0);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Cost) {
    let all = || cpu(libc::RUSAGE_SELF) + cpu(libc::RUSAGE_CHILDREN);
    let (start, before) = (Instant::now(), all());
    let done = work();
    (done, Cost { wall: start.elapsed().as_secs_f64(), cpu: all() - before })
}

/// The median of several copies of a tree or file, synced.
fn reference(from: &Path, to: &Path) -> Cost {
    let copy = || {
        let _ = fs::remove_dir_all(to).or_else(|_| fs::remove_file(to));
        let line = "cp -r \"$0\" \"$1\" && sync -f \"$1\"";
        timed(|| Command::new("sh").args(["-c", line]).arg(from).arg(to).status().expect("copies")).1
    };
    let costs: Vec<Cost> = (0..REFERENCES).map(|_| copy()).collect();
    let _ = fs::remove_dir_all(to).or_else(|_| fs::remove_file(to));
    let median = |of: fn(&Cost) -> f64| {
        let mut all: Vec<f64> = costs.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    Cost { wall: median(|cost| cost.wall), cpu: median(|cost| cost.cpu) }
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state ^ state >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    };
    std::iter::repeat_with(|| next().to_le_bytes()).flatten().take(len).collect()
}

/// Float32 weights: of a normal distribution of deviation 0.02, two of two uniform numbers (Box and Muller, 1958).
fn weights(len: usize) -> Vec<u8> {
    let uniform = |bytes: &[u8; 8]| (u64::from_le_bytes(*bytes) as f64 + 1.0) / (u64::MAX as f64 + 1.0);
    let pair = |bytes: &[u8; 16]| {
        let (radius, angle) = (uniform(bytes.first_chunk().expect("16")), uniform(bytes.last_chunk().expect("16")));
        let (sine, cosine) = (angle * std::f64::consts::TAU).sin_cos();
        [sine, cosine].map(|share| ((-2.0 * radius.ln()).sqrt() * share * 0.02) as f32)
    };
    noise(2 * len).as_chunks().0.iter().flat_map(pair).flat_map(f32::to_le_bytes).collect()
}

fn stored(workspace: &Path) -> u64 {
    let output = Command::new("du").args(["-s", "-B1", "--apparent-size"]).arg(workspace).output().expect("du runs");
    String::from_utf8_lossy(&output.stdout).split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

struct Bench {
    root: tempfile::TempDir,
    workspace: Workspace,
}

impl Bench {
    fn new() -> Bench {
        let root = tempfile::tempdir().expect("a temporary directory");
        let keys = Keys { directory: Some(root.path().join("keys")), ..Keys::default() };
        let options = OpenOptions { keys, create: true, ..OpenOptions::default() };
        let workspace = options.open(&root.path().join("w")).expect("opens");
        Bench { root, workspace }
    }

    fn put(&self, from: &Path, compress: bool) -> (PutReport, Cost, u64) {
        let mut draft = ArtifactDraft::new("data", "").expect("a name");
        draft.add_dir(from, None, Links::Keep).expect("adds");
        let settings = PutSettings { project: "p".into(), compress, ..PutSettings::default() };
        let before = stored(&self.root.path().join("w"));
        let (report, cost) = timed(|| self.workspace.put_artifact(&draft, &settings).expect("puts"));
        (report, cost, stored(&self.root.path().join("w")) - before)
    }
}

fn row(what: &str, cost: Cost, reference: Cost, more: &str) {
    let (wall, cpu) = (cost.wall / reference.wall, cost.cpu / reference.cpu);
    println!("{what:28} wall {:7.2} s ({wall:5.2}x)  cpu {:7.2} s ({cpu:5.2}x)  {more}", cost.wall, cost.cpu);
}

fn large(name: &str, content: &[u8]) {
    let bench = Bench::new();
    let (from, to) = (bench.root.path().join("from"), bench.root.path().join("to"));
    fs::create_dir(&from).expect("creates");
    fs::write(from.join("file"), content).expect("writes");
    let copied = reference(&from, &to);
    let share = |bytes: u64| format!("store grows {:.2}% of the content", 100.0 * bytes as f64 / content.len() as f64);
    row(&format!("{name}: cp + sync"), copied, copied, "");
    let (_, cost, grown) = bench.put(&from, false);
    row(&format!("{name}: put"), cost, copied, &share(grown));
    let (report, cost, grown) = bench.put(&from, false);
    row(
        &format!("{name}: put unchanged"),
        cost,
        copied,
        &format!("{}, {} bytes read", share(grown), report.read_bytes),
    );
    let mut changed = content.to_vec();
    let runs = content.len() / 100 / (64 << 10);
    for run in 0..runs {
        let at = (run * content.len() / runs) & !4095;
        let fresh: Vec<u8> = changed[at..at + (64 << 10)].iter().map(|byte| byte ^ 0x5a).collect();
        changed[at..at + (64 << 10)].copy_from_slice(&fresh);
    }
    changed.splice(10_000..10_000, noise(64 << 10));
    fs::write(from.join("file"), &changed).expect("writes");
    drop(changed);
    let (_, cost, grown) = bench.put(&from, false);
    row(&format!("{name}: put with 1% changed"), cost, copied, &share(grown));
    let version = bench.workspace.artifact("data").expect("finds");
    let (_, cost) = timed(|| version.download(&to, &DownloadOptions::default()).expect("downloads"));
    row(&format!("{name}: get"), cost, copied, "");
    let key = ring::aead::LessSafeKey::new(
        ring::aead::UnboundKey::new(&ring::aead::CHACHA20_POLY1305, &[7; 32]).expect("a key"),
    );
    let (_, floor) = timed(|| {
        for chunk in content.chunks(100 << 10) {
            let mut sealed = chunk.to_vec();
            let nonce = ring::aead::Nonce::assume_unique_for_key([1; 12]);
            // Opening and sealing take the same time.
            let tag = key.seal_in_place_separate_tag(nonce, ring::aead::Aad::empty(), &mut sealed).expect("seals");
            let _ = black_box((tag, blake3::keyed_hash(&[3; 32], chunk)));
        }
    });
    let (_, cost) = timed(|| version.verify().expect("verifies"));
    row(&format!("{name}: verify"), cost, floor, "(reference: cipher and keyed BLAKE3 alone)");
    let bench = Bench::new();
    let (_, cost, grown) = bench.put(&from, true);
    row(&format!("{name}: put --compress"), cost, copied, &share(grown));
}

fn small(count: usize) {
    let bench = Bench::new();
    let (from, to) = (bench.root.path().join("from"), bench.root.path().join("to"));
    for (number, content) in noise(count * 4096).chunks(4096).enumerate() {
        let directory = from.join(format!("{}", number / 1000));
        fs::create_dir_all(&directory).expect("creates");
        fs::write(directory.join(number.to_string()), content).expect("writes");
    }
    let copied = reference(&from, &to);
    row(&format!("{count} files: cp + sync"), copied, copied, "");
    let (report, cost, grown) = bench.put(&from, false);
    let share = format!("store is {:.3}x the content", grown as f64 / report.version.bytes as f64);
    row(&format!("{count} files: put"), cost, copied, &share);
    let (_, cost) = timed(|| report.version.download(&to, &DownloadOptions::default()).expect("downloads"));
    row(&format!("{count} files: get"), cost, copied, "");
}

fn main() {
    let megabytes = std::env::var("RUNCELLAR_BENCH_MB").ok().and_then(|text| text.parse().ok()).unwrap_or(256);
    let bytes: usize = megabytes << 20;
    large("random", &noise(bytes));
    large("weights", &weights(bytes));
    small((megabytes * 100).min(100_000));
    // SAFETY: a plain struct of numbers, filled by the call.
    let peak = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage.ru_maxrss >> 10
    };
    println!("peak memory {peak} MiB, the files of this benchmark among it");
}
