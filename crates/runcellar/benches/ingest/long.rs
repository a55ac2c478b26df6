//! One long run: log, finish, check, read, chart; time a point and memory at each size.

use std::path::Path;
use std::time::Instant;

use crate::series;
use crate::{child, support};

pub(crate) fn records(root: &Path, argument: &str) {
    let (mix, _) = series::mix();
    let workspace = support::open(root);
    let memory = support::Memory::from_here();
    let (began, cpu) = (Instant::now(), support::cpu());
    let run = workspace.run("bench").id("long-run").start().expect("starts");
    support::log(&run, &mix, 0..argument.parse::<usize>().expect("a number") / mix.len());
    let logged = began.elapsed().as_secs_f64();
    let waiting = support::bytes_below(&root.join("workspace/journals"));
    run.finish().expect("finishes");
    let finished = began.elapsed().as_secs_f64() - logged;
    let cpu = (support::cpu() - cpu).as_secs_f64();
    println!("{logged} {finished} {cpu} {} {waiting}", memory.peak_mib());
}

pub(crate) fn checks(root: &Path, _: &str) {
    let workspace = support::look(root);
    let memory = support::Memory::from_here();
    let began = Instant::now();
    let report = workspace.check(runcellar::CheckOptions { read_data: true }).expect("is checked");
    assert!(report.is_ok(), "{:#?}", report.problems);
    println!("{} {}", began.elapsed().as_secs_f64(), memory.peak_mib());
}

pub(crate) fn reads(root: &Path, _: &str) {
    let workspace = support::look(root);
    let run = workspace.find_run("long-run").expect("listed");
    let metric = workspace.metrics(&run).expect("metrics")[0].name.clone();
    let memory = support::Memory::from_here();
    let began = Instant::now();
    let series = workspace.series(&run, &metric, None).expect("reads");
    println!("{} {} {}", began.elapsed().as_secs_f64(), memory.peak_mib(), series.steps.len());
}

pub(crate) fn charts(root: &Path, _: &str) {
    let workspace = support::look(root);
    let run = workspace.find_run("long-run").expect("listed");
    let metric = workspace.metrics(&run).expect("metrics")[0].name.clone();
    let memory = support::Memory::from_here();
    let millis = || {
        let began = Instant::now();
        let chart = workspace.series(&run, &metric, Some(3_000)).expect("reads");
        assert!(chart.steps.len() <= 3_000);
        began.elapsed().as_secs_f64() * 1e3
    };
    let first = millis();
    let warm = (0..10).map(|_| millis()).fold(f64::INFINITY, f64::min);
    println!("{first} {warm} {}", memory.peak_mib());
}

pub(crate) fn measure() {
    let most = support::size("RUNCELLAR_BENCH_POINTS", 2_000_000);
    println!("one run: ns a point, ms a chart of 1,000 buckets, and MiB beyond those of an opened workspace");
    println!(
        "      points    log  finish  CPU   MiB | check   MiB | read one metric   MiB | chart  again   MiB | \
         bytes a point"
    );
    let least = support::size("RUNCELLAR_BENCH_POINTS_LEAST", (most / 100).max(200_000));
    let mut points = least.min(most);
    while points <= most {
        let directory = support::directory();
        let root = directory.path();
        let each = |seconds: f64| seconds * 1e9 / points as f64;
        let written = child::play_out("records", root, points);
        let [log, finish, cpu, memory, waiting] = written[..] else { panic!("what it took: {written:?}") };
        let checked = child::play_out("checks", root, "");
        let read = child::play_out("reads", root, "");
        let chart = child::play_out("charts", root, "");
        let bytes = support::bytes_below(&root.join("workspace")) as f64 / points as f64;
        println!(
            "{points:>12} {:>6.0} {:>7.0} {:>4.0} {memory:>5.0} | {:>5.0} {:>5.0} | {:>15.1} {:>5.0} | {:>5.1} {:>6.2} {:>5.0} | {bytes:.3}   ({:.0} MB waited in journals)",
            each(log),
            each(finish),
            each(cpu),
            each(checked[0]),
            checked[1],
            read[0] * 1e9 / read[2],
            read[1],
            chart[0],
            chart[1],
            chart[2],
            waiting / 1e6,
        );
        points *= 10;
    }
}
