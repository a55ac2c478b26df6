//! Many processes with many threads in one workspace, beside one writer alone.

use std::path::Path;
use std::time::Instant;

use crate::series;
use crate::{child, support};

const THREADS: usize = 8;

/// Argument: threads and rows of each. Prints when all were logged, and when the run was finished, in seconds.
pub(crate) fn writes(root: &Path, argument: &str) {
    let numbers: Vec<usize> = argument.split(' ').filter_map(|word| word.parse().ok()).collect();
    let (threads, rows) = (numbers[0], numbers[1]);
    let workspace = support::open(root);
    let run = workspace.run("bench").start().expect("starts");
    let (mix, _) = series::mix();
    child::ready();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| support::log(&run, &mix, 0..rows));
        }
    });
    let logged = began.elapsed().as_secs_f64();
    run.finish().expect("finishes");
    println!("{logged} {} {}", began.elapsed().as_secs_f64(), run.dropped());
}

pub(crate) fn measure() {
    let processes = support::size("RUNCELLAR_BENCH_PROCESSES", 8);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let rows = support::size("RUNCELLAR_BENCH_WRITER_ROWS", 50_000);
    let (one_logged, one_finished) = at_once(1, 1, rows);
    let (all_logged, all_finished) = at_once(processes, THREADS, rows / THREADS);
    println!("{processes} processes x {THREADS} threads, {cores} cores, rows a second:");
    for (what, one, all) in [("logged", one_logged, all_logged), ("and finished", one_finished, all_finished)] {
        let share = all / (one * cores as f64) * 100.0;
        println!("  {what:<13} one {one:>9.0}   all {all:>9.0}   {share:.0}% of one x cores   (>= 70)");
    }
}

/// Returns rows a second until the last was logged, and until the last run was finished.
fn at_once(processes: usize, threads: usize, rows: usize) -> (f64, f64) {
    let directory = support::directory();
    let root = directory.path();
    drop(support::open(root));
    let mut all: Vec<_> = (0..processes).map(|_| child::start("writes", root, format!("{threads} {rows}"))).collect();
    all.iter_mut().for_each(|writer| assert_eq!(writer.line(), "ready"));
    all.iter_mut().for_each(child::Started::go);
    let (mut logged, mut finished) = (0.0_f64, 0.0_f64);
    for writer in &mut all {
        let times: Vec<f64> = writer.line().split(' ').filter_map(|word| word.parse().ok()).collect();
        (logged, finished) = (logged.max(times[0]), finished.max(times[1]));
        assert!(times[2] == 0.0, "{} values were dropped", times[2]);
    }
    all.into_iter().for_each(child::Started::wait);
    let workspace = support::look(root);
    let points: u64 = workspace
        .runs(&runcellar::Selection::default())
        .expect("lists")
        .iter()
        .flat_map(|run| workspace.metrics(run).expect("metrics"))
        .map(|metric| metric.points)
        .sum();
    let expected = processes * threads * rows;
    assert_eq!(points as usize, expected * series::mix().0.len(), "every point arrives");
    (expected as f64 / logged, expected as f64 / finished)
}
