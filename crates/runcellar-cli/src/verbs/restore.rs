//! `restore`: shows runs again that `rm` hid.

use std::collections::HashSet;

use clap_complete::engine::ArgValueCompleter;

use crate::complete;
use crate::failure::Failure;
use crate::render::visible;
use crate::session::Session;
use crate::shapes::RunName;

/// Show runs again that rm hid
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  runcellar ls --removed
  runcellar restore brave-otter-12")]
pub(crate) struct Args {
    /// The runs to show again
    #[arg(required = true, value_name = "RUN", add = ArgValueCompleter::new(complete::removed_runs))]
    runs: Vec<String>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let workspace = session.open()?;
    let found = workspace.find_runs(&args.runs, true)?;
    let (shown, mut runs): (Vec<_>, Vec<_>) = found.into_iter().partition(|run| run.removed.is_none());
    for run in shown {
        session.note(&format!("run {} is not removed", run.id));
    }
    let mut seen = HashSet::new();
    runs.retain(|run| seen.insert(run.id.clone()));
    workspace.restore_runs(&runs)?;
    let shape: Vec<RunName<'_>> = runs.iter().map(RunName::of).collect();
    session.answer(&shape, || {
        let line = |run: &runcellar::RunInfo| {
            format!("restored {}  {}/{}\n", run.id, visible(&run.project), visible(&run.name))
        };
        runs.iter().map(line).collect()
    })
}
