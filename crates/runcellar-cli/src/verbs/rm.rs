//! `rm`: hides runs.

use std::collections::HashSet;

use clap_complete::engine::ArgValueCompleter;

use crate::complete;
use crate::failure::Failure;
use crate::render::visible;
use crate::session::Session;
use crate::shapes::RunName;

/// Hide runs; restore shows them again
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The runs no longer show in ls and export; nothing of them is lost. A RUN is an id, four or more of its first \
letters, a name, or PROJECT/NAME.

Examples:
  runcellar rm brave-otter-12
  runcellar ls --removed")]
pub(crate) struct Args {
    /// The runs to hide
    #[arg(required = true, value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    runs: Vec<String>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let workspace = session.open()?;
    let found = workspace.find_runs(&args.runs, false)?;
    let (gone, mut runs): (Vec<_>, Vec<_>) = found.into_iter().partition(|run| run.removed.is_some());
    for run in gone {
        session.note(&format!("run {} is removed already", run.id));
    }
    let mut seen = HashSet::new();
    runs.retain(|run| seen.insert(run.id.clone()));
    workspace.remove_runs(&runs)?;
    let shape: Vec<RunName<'_>> = runs.iter().map(RunName::of).collect();
    session.answer(&shape, || {
        let line = |run: &runcellar::RunInfo| {
            format!("removed {}  {}/{}\n", run.id, visible(&run.project), visible(&run.name))
        };
        runs.iter().map(line).collect()
    })?;
    if let Some(first) = runs.first() {
        session.note(&format!("nothing is lost: runcellar restore {} brings it back", first.id));
    }
    Ok(())
}
