//! What sparse metrics and short runs cost.

use runcellar::RowValue;

use crate::support;

pub(crate) fn measure() {
    sparse();
    short();
}

/// 500 metrics, each with one value in 1,000 rows, beside one that is always there.
fn sparse() {
    let directory = support::directory();
    let workspace = support::open(directory.path());
    let before = support::bytes_below(&directory.path().join("workspace"));
    let run = workspace.run("bench").start().expect("starts");
    let names: Vec<String> = (0..500).map(|metric| format!("sparse/{metric:03}")).collect();
    for step in 0..20_000_usize {
        run.log_row(None, None, |row| {
            row.push("always", RowValue::Float(step as f64));
            if step % 2 == 0 {
                row.push(&names[step / 2 % 500], RowValue::Float((step as f64).sin()));
            }
        })
        .expect("logs");
    }
    run.finish().expect("finishes");
    drop((run, workspace));
    let bytes = support::bytes_below(&directory.path().join("workspace")) - before;
    println!(
        "500 sparse metrics, 30,000 points: {:.1} KiB, {:.1} bytes a point",
        bytes as f64 / 1024.0,
        bytes as f64 / 3e4
    );
}

fn short() {
    const RUNS: u32 = 500;
    let directory = support::directory();
    let workspace = support::open(directory.path());
    let before = support::bytes_below(&directory.path().join("workspace"));
    for _ in 0..RUNS {
        let run = workspace.run("bench").start().expect("starts");
        (0..10).for_each(|step| run.log([("loss", 1.0 / f64::from(step + 1))]).expect("logs"));
        run.finish().expect("finishes");
    }
    drop(workspace);
    let bytes = support::bytes_below(&directory.path().join("workspace")) - before;
    println!("runs of 10 points: {:.2} KiB each", bytes as f64 / 1024.0 / f64::from(RUNS));
}
