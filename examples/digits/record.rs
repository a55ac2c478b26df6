//! Everything this example asks of runcellar: a workspace, and one run for each training.

use std::path::Path;

use runcellar::{Environment, OpenOptions, Workspace, json};

use crate::data::Split;
use crate::net::HIDDEN;
use crate::train::{BATCH_SIZE, MOMENTUM, Settings, Training};

/// What a run came to.
pub(crate) struct Outcome {
    pub(crate) name: String,
    /// 0.0 to 1.0.
    pub(crate) best_val_accuracy: f64,
    pub(crate) last_val_loss: f64,
}

/// Opens the workspace in `dir`, or the one found as the command line finds it; makes it if there is none.
pub(crate) fn open(dir: Option<&Path>) -> runcellar::Result<Workspace> {
    let current = std::env::current_dir().unwrap_or_default();
    let environment = Environment::from_vars(|name| std::env::var_os(name), current)?;
    let workspace = OpenOptions { create: true, ..environment.options() }.open(&environment.find(dir)?)?;
    if let Some(creation) = workspace.creation() {
        // The library prints nothing; who makes a workspace says where the key is.
        let (path, key_file) = (workspace.path().display(), creation.key_file.display());
        eprintln!(
            "made workspace {path}, key file {key_file}{}",
            creation.warning.as_deref().map_or(String::new(), |warning| format!(": {warning}"))
        );
    }
    Ok(workspace)
}

/// Trains one network and records it as a run of the project `digits`.
pub(crate) fn record(workspace: &Workspace, split: &Split, settings: Settings) -> runcellar::Result<Outcome> {
    let Settings { lr, epochs, seed } = settings;
    let name = format!("mlp-lr{lr}-seed{seed}");
    let run = workspace
        .run("digits")
        .name(&name)
        .config(json!({
            "model": {"kind": "mlp", "hidden": HIDDEN},
            "optimizer": {"name": "sgd", "lr": lr, "momentum": MOMENTUM, "schedule": "warm-up, cosine"},
            "batch_size": BATCH_SIZE,
            "epochs": epochs,
            "seed": seed,
            "dataset": "uci-optdigits-test",
        }))
        .tags(["mlp", "example"])
        .notes("Learning rate by seed, on 8 x 8 handwritten digits.")
        .program("examples/digits")
        .directory(std::env::current_dir().unwrap_or_default())
        .start()?;

    let mut outcome = Outcome { name, best_val_accuracy: 0.0, last_val_loss: f64::NAN };
    for report in Training::new(split, settings) {
        if let Some(validation) = report.validation {
            // An explicit step leaves its row open, so the training metrics below join it.
            run.log_at(report.step, [("val/loss", validation.loss), ("val/accuracy", validation.accuracy)])?;
            outcome.best_val_accuracy = outcome.best_val_accuracy.max(validation.accuracy);
            outcome.last_val_loss = validation.loss;
        }
        run.log([
            ("train/loss", report.train.loss),
            ("train/accuracy", report.train.accuracy),
            ("lr", report.lr),
            ("grad_norm", report.grad_norm),
        ])?;
    }
    run.summary("best_val_accuracy", outcome.best_val_accuracy)?;
    run.finish()?;
    Ok(outcome)
}
