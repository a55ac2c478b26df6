//! runcellar in another program, on one page: open, record, look, export, check.
//!
//! `cargo run --example embed`. The store is blocking and has no globals: a workspace is a directory and a key file
//! that the program names, and nothing is read from the environment.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to a person")]

use std::path::Path;
use std::sync::Arc;

use runcellar::query::Selection;
use runcellar::{CheckOptions, ErrorKind, Json, Keys, Monitor, OpenOptions, Value, Window, Workspace, json};

/// The library prints nothing; it tells a monitor.
struct Stderr;

impl Monitor for Stderr {
    fn note(&self, text: &str) {
        eprintln!("note: {text}");
    }

    fn warn(&self, text: &str) {
        eprintln!("warning: {text}");
    }
}

fn open(directory: &Path) -> runcellar::Result<Workspace> {
    // The key lies outside the workspace. Whoever has both files reads everything; whoever lacks the key, nothing.
    let keys = Keys { file: Some(directory.join("embed.key")), ..Keys::default() };
    OpenOptions { keys, create: true, monitor: Arc::new(Stderr), ..OpenOptions::default() }
        .open(&directory.join("runs"))
}

fn record(workspace: &Workspace, lr: f64) -> runcellar::Result<String> {
    let run = workspace
        .run("embedded")
        .config(json!({"optimizer": {"name": "sgd", "lr": lr}, "layers": [64, 32]}))
        .tags(["example"])
        .start()?;
    let mut weight = 3.0_f64;
    for _ in 0..200 {
        let gradient = 2.0 * weight;
        weight -= lr * gradient;
        // One row: it survives SIGKILL when log() has returned, and a power cut one second later.
        run.log([("loss", weight * weight), ("gradient", gradient.abs())])?;
    }
    run.summary("converged", weight.abs() < 1e-3)?;
    run.finish()?;
    Ok(run.id().to_owned())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let workspace = open(directory.path())?;
    for lr in [0.001, 0.1, 0.6] {
        record(&workspace, lr)?;
    }

    // The filter language is the one of `runcellar ls --where`.
    let converged = Selection::default().filter("config.optimizer.lr >= 0.1 and summary.converged = true")?;
    for run in workspace.runs(&converged.order_by("summary.loss")?)? {
        let lr = run.config.at("optimizer.lr").cloned().unwrap_or(Json::Null);
        println!("{}  lr {lr:?}  loss {:?}", run.name, run.summary("loss"));

        // One metric, exact: every step, value and time.
        let series = workspace.series(&run, "loss", None)?;
        println!("  {} points, from {:?} on", series.steps.len(), series.values.get(0));

        // Many metrics as a table.
        let table = workspace.history(&run, None, Window::default().steps(0..3), None)?;
        let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        println!("  steps {:?} of {names:?}", table.steps);
        assert_eq!(series.values.get(0).map(|value| matches!(value, Value::Float(_))), Some(true));
    }

    // Errors have a kind for programs and a message for people.
    let missing = workspace.find_run("no-such-run").expect_err("not recorded");
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    println!("{missing}");

    let report = workspace.check(CheckOptions { read_data: true })?;
    println!("check: {} runs, {} blocks, ok: {}", report.checked.runs, report.checked.blocks, report.is_ok());
    Ok(())
}
