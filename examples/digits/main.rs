//! Trains a small digit classifier over a grid of seeds and learning rates, each training recorded as a run.
//!
//! `cargo run --release --example digits -- --workspace /tmp/digits` takes seconds; then
//! `runcellar ls --workspace /tmp/digits` shows which rate did best. The calls to runcellar are all in `record.rs`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that talks to a person")]

mod data;
mod net;
mod record;
mod rng;
mod train;

use std::{error::Error, ffi::OsString, path::PathBuf, process::ExitCode};

use crate::train::Settings;

const USAGE: &str = "\
usage: digits [--workspace DIR] [--quick] [--epochs N]

  --workspace DIR  record into DIR (default: the workspace that runcellar finds)
  --quick          1 seed and 2 learning rates in place of 3 and 3
  --epochs N       passes over the training images, 45 steps each (default 20)";

/// Too low to get there in the default epochs, good, and so high that units die.
const LEARNING_RATES: [f64; 3] = [0.003, 0.1, 0.5];
const SEEDS: [u64; 3] = [0, 1, 2];
const EPOCHS_DEFAULT: usize = 20;
/// Far beyond use, and far below where the number of steps would overflow.
const EPOCHS_MAX: usize = 10_000;

struct Options {
    workspace: Option<PathBuf>,
    quick: bool,
    epochs: usize,
}

/// Reads the arguments; `None` asks for the usage.
fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Option<Options>, String> {
    let mut options = Options { workspace: None, quick: false, epochs: EPOCHS_DEFAULT };
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--workspace") => {
                options.workspace = Some(arguments.next().ok_or("--workspace: no directory given")?.into());
            }
            Some("--quick") => options.quick = true,
            Some("--epochs") => {
                let epochs = arguments.next().and_then(|text| text.to_str()?.parse().ok());
                options.epochs = epochs
                    .filter(|epochs| (1..=EPOCHS_MAX).contains(epochs))
                    .ok_or_else(|| format!("--epochs: expected a number from 1 to {EPOCHS_MAX}"))?;
            }
            Some("--help" | "-h") => return Ok(None),
            _ => return Err(format!("unknown argument {argument:?}\n{USAGE}")),
        }
    }
    Ok(Some(options))
}

fn train_grid(options: &Options) -> Result<(), Box<dyn Error>> {
    let split = data::load()?;
    let workspace = record::open(options.workspace.as_deref())?;
    let (seeds, rates) =
        if options.quick { (&SEEDS[..1], &LEARNING_RATES[..2]) } else { (&SEEDS[..], &LEARNING_RATES[..]) };

    println!("{:<18} {:>13} {:>13}", "run", "best val acc", "last val loss");
    for &lr in rates {
        for &seed in seeds {
            let outcome = record::record(&workspace, &split, Settings { lr, epochs: options.epochs, seed })?;
            let percent = 100.0 * outcome.best_val_accuracy;
            println!("{:<18} {percent:>12.2}% {:>13.4}", outcome.name, outcome.last_val_loss);
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let outcome = match parse(std::env::args_os().skip(1)) {
        Ok(Some(options)) => train_grid(&options).map_err(|error| error.to_string()),
        Ok(None) => {
            println!("{USAGE}");
            Ok(())
        }
        Err(message) => Err(message),
    };
    if let Err(message) = outcome {
        eprintln!("digits: {message}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
