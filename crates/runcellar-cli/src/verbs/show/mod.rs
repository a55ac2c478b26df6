//! `show`: everything about one run.

mod page;
mod spark;

use clap_complete::engine::ArgValueCompleter;
use runcellar::{ConsoleLine, MetricInfo, RunInfo, Workspace};

use crate::complete;
use crate::failure::Failure;
use crate::render::visible;
use crate::session::{AsOf, Session};
use crate::shapes::{LineShape, ShowShape};

/// Show everything about one run
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A RUN is an id, four or more of its first letters, a name, or PROJECT/NAME.

Examples:
  runcellar show brave-otter-12
  runcellar show digits/brave-otter-12 --json
  runcellar show brave-otter-12 --console | tail")]
pub(crate) struct Args {
    /// The run
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    run: String,
    /// Show the system metrics, too
    #[arg(long)]
    system: bool,
    /// Show what the run wrote to its console, and nothing else
    #[arg(long, conflicts_with = "system")]
    console: bool,
    #[command(flatten)]
    as_of: AsOf,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let (workspace, now) = session.open_as_of(&args.as_of)?;
    let run = workspace.find_run(&args.run)?;
    if args.console {
        return console(session, &workspace, &run);
    }
    let (metrics, system) = (workspace.metrics(&run)?, workspace.system_metrics(&run)?);
    let lineage = workspace.lineage(&run)?;
    let sparks = |metrics: &[MetricInfo]| match session.json || session.display.ascii {
        true => Ok(Vec::new()),
        false => {
            let _work = session.work("reading metrics");
            spark::of_metrics(&workspace, &run, metrics)
        }
    };
    let of_metrics = sparks(&metrics)?;
    let of_system = if args.system { sparks(&system)? } else { Vec::new() };
    let paged = || {
        let system = if args.system { system.as_slice() } else { &[] };
        page::page((&run, &lineage), (&metrics, &of_metrics), (system, &of_system), now, session.display)
    };
    session.answer(&ShowShape::of(&run, &metrics, &system, &lineage, now), paged)
}

/// Writes the lines of the console as they were, or as JSON with what is known of each.
fn console(session: &Session, workspace: &Workspace, run: &RunInfo) -> Result<(), Failure> {
    let lines = workspace.console(run)?;
    if lines.is_empty() {
        session.note("no console was recorded");
    }
    let shapes: Vec<LineShape<'_>> = lines.iter().map(LineShape::of).collect();
    // A line drives no terminal, and through a pipe it is what the run wrote.
    let text = |line: &ConsoleLine| if session.display.terminal { visible(&line.text) } else { line.text.clone() };
    session.answer(&shapes, || lines.iter().map(|line| text(line) + "\n").collect())
}
