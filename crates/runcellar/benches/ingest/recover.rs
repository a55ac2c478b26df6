//! Journals that dead writers left: what the next opener takes to have them ingested, beside opening the same frames
//! with ring and packing the same values with pco at level 4, on one core.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::series::{self, BenchSeries};
use crate::{child, support};

/// Dead processes, each with a run.
const WRITERS: usize = 4;
/// A frame of 20 values: 222 bytes.
const FRAME_BYTES: usize = 222;

/// Starts a run, and when told logs so many rows and dies.
pub(crate) fn dies(root: &Path, argument: &str) {
    let workspace = support::open(root);
    let run = workspace.run("bench").start().expect("starts");
    child::ready();
    support::log(&run, &series::mix().0, 0..argument.parse().expect("a number"));
    std::process::abort();
}

pub(crate) fn measure() {
    let directory = support::directory();
    let root = directory.path();
    let megabytes = support::size("RUNCELLAR_BENCH_RECOVER_MB", 32);
    let rows = (megabytes << 20) / FRAME_BYTES / WRITERS;
    drop(support::open(root));
    let mut writers: Vec<_> = (0..WRITERS).map(|_| child::start("dies", root, rows)).collect();
    writers.iter_mut().for_each(|writer| assert_eq!(writer.line(), "ready"));
    // While somebody holds the database nothing is ingested.
    let held = rusqlite::Connection::open(root.join("workspace/cellar.db")).expect("opens");
    held.busy_timeout(Duration::from_secs(10)).expect("is set");
    held.execute_batch("BEGIN IMMEDIATE").expect("begins");
    writers.iter_mut().for_each(child::Started::go);
    writers.into_iter().for_each(child::Started::wait);
    drop(held);
    let bytes = support::bytes_below(&root.join("workspace/journals"));
    let reference = reference(&series::mix().0, rows);
    let memory = support::Memory::from_here();
    let (began, cpu) = (Instant::now(), support::cpu());
    let workspace = support::open(root);
    let (wall, cpu) = (began.elapsed().as_secs_f64(), (support::cpu() - cpu).as_secs_f64());
    let peak = memory.peak_mib();
    for run in workspace.runs(&runcellar::Selection::default()).expect("lists") {
        let points: u64 = workspace.metrics(&run).expect("metrics").iter().map(|metric| metric.points).sum();
        assert_eq!(points as usize, rows * series::mix().0.len());
    }
    let reference = reference.as_secs_f64();
    println!("recover {:.0} MB of {WRITERS} writers: reference {reference:.2} s", bytes as f64 / 1e6);
    println!("  wall {wall:.2} s, {:.2}x   (<= 3)", wall / reference);
    println!("  CPU  {cpu:.2} s, {:.2}x   memory {peak:.0} MiB", cpu / reference);
    println!("  cellar.db {:.3} bytes a point", {
        let points = WRITERS * rows * series::mix().0.len();
        std::fs::metadata(root.join("workspace/cellar.db")).expect("is there").len() as f64 / points as f64
    });
}

/// Opens as many frames, and packs as many values.
fn reference(mix: &[BenchSeries], rows: usize) -> Duration {
    let key = ring::aead::UnboundKey::new(&ring::aead::CHACHA20_POLY1305, &[7; 32]).expect("32 bytes");
    let key = ring::aead::LessSafeKey::new(key);
    let nonce = || ring::aead::Nonce::assume_unique_for_key([0; 12]);
    let mut sealed = vec![0_u8; FRAME_BYTES - 16 - 28];
    key.seal_in_place_append_tag(nonce(), ring::aead::Aad::from([0; 48]), &mut sealed).expect("short");
    let mut frame = sealed.clone();
    // Processor time, as what it is compared with: on a busy machine the clock of the wall is everybody's.
    let began = support::cpu();
    for _ in 0..rows * WRITERS {
        frame.copy_from_slice(&sealed);
        black_box(key.open_in_place(nonce(), ring::aead::Aad::from([0; 48]), &mut frame).expect("just sealed"));
    }
    let opened = support::cpu() - began;
    let config = pco::ChunkConfig::default().with_compression_level(4);
    // Without what it takes to lay out the values.
    let laid_out = columns(mix, rows, |values| drop(black_box(values)));
    let packed = columns(mix, rows, |values| {
        black_box(pco::standalone::simple_compress(&values, &config).expect("packs"));
    });
    opened + packed.saturating_sub(laid_out)
}

/// Calls `each` for all columns of all groups of all writers; returns the processor time of that.
fn columns(mix: &[BenchSeries], rows: usize, mut each: impl FnMut(Vec<f64>)) -> Duration {
    let began = support::cpu();
    for _ in 0..WRITERS {
        for from in (0..rows).step_by(4096) {
            for series in mix {
                each((from..rows.min(from + 4096)).map(|step| series.values[step % series.values.len()]).collect());
            }
        }
    }
    support::cpu() - began
}
