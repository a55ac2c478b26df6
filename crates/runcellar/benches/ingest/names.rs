//! Very many names of metrics: the longest `log()`, and memory.

use std::time::Instant;

use runcellar::{RowValue, Run};

use crate::support;

/// Names that one call brings.
const AT_ONCE: usize = 10_000;
/// Rows of few values that follow: more than a journal takes, several times.
const ROWS: usize = 300_000;
const SCALARS: usize = 20;

pub(crate) fn measure() {
    let most = support::size("RUNCELLAR_BENCH_NAMES", 100_000);
    let directory = support::directory();
    let workspace = support::open(directory.path());
    let run = workspace.run("bench").start().expect("starts");
    let memory = support::Memory::from_here();
    let (began, cpu) = (Instant::now(), support::cpu());
    println!("{most} names:");
    let mut bring = Longest::default();
    for call in 0..most / AT_ONCE {
        let names: Vec<String> = (0..AT_ONCE).map(|name| format!("key/{:07}", call * AT_ONCE + name)).collect();
        bring.log(&run, &names);
    }
    println!("  {AT_ONCE} new ones a call      {bring}   memory {:.0} MiB", memory.peak_mib());
    // Only the calls tell what a rollover costs: there is one for each 16 MiB.
    let mut all = Longest::default();
    let names: Vec<String> = (0..SCALARS).map(|name| format!("key/{name:07}")).collect();
    (0..ROWS).for_each(|_| all.log(&run, &names));
    println!("  then {ROWS} rows of {SCALARS}  {all}   memory {:.0} MiB", memory.peak_mib());
    let logged = began.elapsed().as_secs_f64();
    run.finish().expect("finishes");
    let finished = began.elapsed().as_secs_f64() - logged;
    println!(
        "  finish {finished:.2} s, CPU of all {:.2} s, memory {:.0} MiB",
        (support::cpu() - cpu).as_secs_f64(),
        memory.peak_mib()
    );
}

/// The longest calls.
#[derive(Default)]
struct Longest {
    millis: Vec<f64>,
}

impl Longest {
    fn log(&mut self, run: &Run, names: &[String]) {
        let began = Instant::now();
        run.log_row(None, None, |row| names.iter().for_each(|name| row.push(name, RowValue::Float(0.5))))
            .expect("logs");
        self.millis.push(began.elapsed().as_secs_f64() * 1e3);
    }
}

impl std::fmt::Display for Longest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut millis = self.millis.clone();
        millis.sort_by(|left, right| right.total_cmp(left));
        let longest: Vec<String> = millis.iter().take(4).map(|millis| format!("{millis:.1}")).collect();
        let median = millis.get(millis.len() / 2).copied().unwrap_or_default();
        write!(f, "longest log() {} ms, median {median:.4} ms", longest.join(", "))
    }
}
