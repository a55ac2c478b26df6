//! Speed of logging and reading through the public interface, each beside the least that the same work could take.
//!
//! `cargo bench -p runcellar --bench store`; a word behind `--` picks benchmarks. `figures` prints what README quotes;
//! these watch single operations for change.

use std::io::Write as _;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use runcellar::{Keys, RowValue, Selection, Workspace, json};

const SCALARS: usize = 20;
/// What the frame of a row takes: 9 bytes a value, 21 for the row, 44 for the frame.
const FRAME_BYTES: usize = SCALARS * 9 + 21 + 44;
const POINTS: usize = 1_000_000;
const RUNS: usize = 1_000;

fn open(directory: &Path) -> Workspace {
    let keys = Keys { directory: Some(directory.join("keys")), ..Keys::default() };
    Workspace::open_or_create(directory.join("w"), keys).expect("opens")
}

fn log(c: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut group = c.benchmark_group("log() of 20 scalars");
    group.throughput(Throughput::Elements(SCALARS as u64));
    let names: Vec<String> = (0..SCALARS).map(|index| format!("train/metric_{index:02}")).collect();
    let run = open(directory.path()).run("bench").start().expect("starts");
    let mut value = 0.0;
    group.bench_function("log", |b| {
        b.iter(|| {
            value += 1.0;
            run.log_row(None, None, |row| names.iter().for_each(|name| row.push(name, RowValue::Float(value))))
                .expect("logs");
        });
    });
    run.finish().expect("finishes");
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &[7; 32]).expect("32 bytes"));
    let mut file = std::fs::File::create(directory.path().join("reference")).expect("creates");
    let (mut counter, mut bytes) = (0_u64, vec![0; FRAME_BYTES]);
    group.bench_function("reference: ring seals, write(2)", |b| {
        b.iter(|| {
            counter += 1;
            let mut nonce = [0; NONCE_LEN];
            nonce[..8].copy_from_slice(&counter.to_le_bytes());
            let nonce = Nonce::assume_unique_for_key(nonce);
            let (text, end) = bytes.split_at_mut(FRAME_BYTES - 16);
            let tag = key.seal_in_place_separate_tag(nonce, Aad::from([0; 48]), text).expect("short enough");
            end.copy_from_slice(tag.as_ref());
            file.write_all(&bytes).expect("writes");
        });
    });
    group.finish();
}

fn read(c: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let workspace = open(directory.path());
    let run = workspace.run("bench").id("long").start().expect("starts");
    for step in 0..POINTS {
        run.log([("loss", 1.0 / (step as f64 + 1.0))]).expect("logs");
    }
    run.finish().expect("finishes");
    let info = workspace.find_run("long").expect("finds");
    let mut group = c.benchmark_group("series of 1,000,000 points");
    group.throughput(Throughput::Elements(POINTS as u64)).sample_size(10);
    group.bench_function("all", |b| b.iter(|| workspace.series(&info, "loss", None).expect("reads")));
    group.bench_function("chart of 1,000 points", |b| {
        b.iter(|| workspace.series(&info, "loss", Some(1_000)).expect("reads"));
    });
    let plain = directory.path().join("reference");
    std::fs::write(&plain, vec![0; 3 * 8 * POINTS]).expect("writes");
    group.bench_function("reference: 24 bytes a point from a file", |b| {
        b.iter(|| std::fs::read(&plain).expect("reads"));
    });
    group.finish();
}

fn list(c: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let workspace = open(directory.path());
    for index in 0..RUNS {
        let config = json!({"lr": (index as f64), "optimizer": {"name": "adam"}});
        let run = workspace.run("bench").config(config).start().expect("starts");
        run.log([("loss", index as f64), ("accuracy", 0.5)]).expect("logs");
        run.finish().expect("finishes");
    }
    let mut group = c.benchmark_group("list 1,000 runs");
    group.throughput(Throughput::Elements(RUNS as u64)).sample_size(20);
    let all = Selection::default();
    let best = || Selection::default().filter("config.lr < 500 and summary.loss > 10").expect("a filter");
    let best = best().order_by("-summary.loss").expect("a key");
    group.bench_function("all, warm", |b| b.iter(|| workspace.runs(&all).expect("lists")));
    group.bench_function("filtered and sorted, warm", |b| b.iter(|| workspace.runs(&best).expect("lists")));
    group.bench_function("all, opened anew", |b| b.iter(|| open(directory.path()).runs(&all).expect("lists")));
    group.finish();
}

criterion_group!(benches, log, read, list);
criterion_main!(benches);
