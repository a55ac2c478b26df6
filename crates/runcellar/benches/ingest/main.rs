//! What happens behind `log()`: recovery, many writers, and whether costs stay flat as runs and workspaces grow.
//!
//! `cargo bench -p runcellar --bench ingest [-- recover|curve|writers|long|sparse|names]`. Sizes come from the environment
//! and are small by default: RUNCELLAR_BENCH_RECOVER_MB (32), RUNCELLAR_BENCH_ROWS (100,000: the longest run of the curve),
//! RUNCELLAR_BENCH_RUNS (100), RUNCELLAR_BENCH_PROCESSES (8), RUNCELLAR_BENCH_POINTS (2,000,000; the long run is of a
//! hundredth of it, a tenth and all, or from RUNCELLAR_BENCH_POINTS_LEAST on), RUNCELLAR_BENCH_NAMES (100,000).
//! `RUNCELLAR_BENCH_DIR` names the disk to measure on, `RUNCELLAR_BENCH_SERIES` real series.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

#[path = "../series/mod.rs"]
mod series;

mod child;
mod curve;
mod long;
mod names;
mod recover;
mod sparse;
mod support;
mod writers;

fn main() {
    if child::play() {
        return;
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let parts: [(&str, fn()); 6] = [
        ("recover", recover::measure),
        ("curve", curve::measure),
        ("writers", writers::measure),
        ("long", long::measure),
        ("sparse", sparse::measure),
        ("names", names::measure),
    ];
    for (name, measure) in parts {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            measure();
        }
    }
}
