//! The cost of logging as a run grows, and as the workspace does.

use std::time::{Duration, Instant};

use crate::series;
use crate::support;

/// Rows of which the cost is measured.
const WINDOW: usize = 50_000;
/// Longer than the background sleeps.
const QUIET: Duration = Duration::from_millis(1500);

/// Waits until the background has ingested what it may, and written anew what it owes.
fn settle() {
    loop {
        let cpu = support::cpu();
        std::thread::sleep(QUIET);
        if support::cpu() - cpu <= Duration::from_millis(10) {
            return;
        }
    }
}

pub(crate) fn measure() {
    let (mix, source) = series::mix();
    let directory = support::directory();
    let workspace = support::open(directory.path());
    println!("CPU per 1,000 rows of {} values, logged and ingested [{source}]:", mix.len());
    let run = workspace.run("bench").start().expect("starts");
    let longest = support::size("RUNCELLAR_BENCH_ROWS", 100_000).max(WINDOW);
    let (mut length, mut logged, mut first) = (WINDOW, 0, None);
    while length <= longest {
        support::log(&run, &mix, logged..length - WINDOW);
        settle();
        let cpu = support::cpu();
        support::log(&run, &mix, length - WINDOW..length);
        settle();
        let each = (support::cpu() - cpu).as_secs_f64() * 1e6 / WINDOW as f64;
        let first = *first.get_or_insert(each);
        println!("  at {length:>9} rows    {each:>6.2} ms   {:.2}x", each / first);
        logged = length;
        length *= if length == WINDOW { 2 } else { 10 };
    }
    run.finish().expect("finishes");
    by_runs();
}

/// Starting, logging 1,000 rows and finishing, with ever more runs in the workspace.
fn by_runs() {
    const RUNS: u32 = 10;
    let (mix, _) = series::mix();
    let directory = support::directory();
    let workspace = support::open(directory.path());
    let most = support::size("RUNCELLAR_BENCH_RUNS", 100);
    let (mut runs, mut there, mut first) = (10, 0, None);
    println!("start, 1,000 rows, finish:");
    while runs <= most {
        for _ in there..runs {
            let run = workspace.run("bench").start().expect("starts");
            run.log([("loss", 0.5)]).expect("logs");
            run.finish().expect("finishes");
        }
        let (began, cpu) = (Instant::now(), support::cpu());
        for _ in 0..RUNS {
            let run = workspace.run("bench").start().expect("starts");
            support::log(&run, &mix, 0..1000);
            run.finish().expect("finishes");
        }
        there = runs + RUNS as usize;
        let wall = began.elapsed().as_secs_f64() * 1e3 / f64::from(RUNS);
        let each = (support::cpu() - cpu).as_secs_f64() * 1e3 / f64::from(RUNS);
        let first = *first.get_or_insert(each);
        println!("  at {runs:>6} runs  CPU {each:>6.1} ms   {:.2}x   wall {wall:.1} ms", each / first);
        runs *= 10;
    }
}
