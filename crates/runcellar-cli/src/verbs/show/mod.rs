//! `show`: everything about one run.

mod page;
mod spark;

use std::collections::HashMap;

use clap_complete::engine::ArgValueCompleter;
use runcellar::{ConsoleLine, MetricInfo, RunInfo, Value, Window, Workspace};

use crate::complete;
use crate::failure::Failure;
use crate::render::visible;
use crate::session::{AsOf, Session};
use crate::shapes::{ConflictShape, LineShape, ShowShape};
use crate::verbs::window::WindowArgs;

/// Show everything about one run
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A RUN is an id, four or more of its first letters, a name, or PROJECT/NAME.

Examples:
  runcellar show brave-otter-12
  runcellar show digits/brave-otter-12 --json
  runcellar show brave-otter-12 --steps 1000:2000
  runcellar show brave-otter-12 --console | tail")]
pub(crate) struct Args {
    /// The run
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    run: String,
    /// Show the system metrics, too
    #[arg(long)]
    system: bool,
    /// Show what the run wrote to its console, and nothing else
    #[arg(long, conflicts_with_all = ["system", "WindowArgs"])]
    console: bool,
    #[command(flatten)]
    window: WindowArgs,
    #[command(flatten)]
    as_of: AsOf,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let window = args.window.read()?;
    let (workspace, now) = session.open_as_of(&args.as_of)?;
    let run = workspace.find_run(&args.run)?;
    if args.console {
        return console(session, &workspace, &run);
    }
    let (metrics, system) = (workspace.metrics_in(&run, window)?, workspace.system_metrics(&run)?);
    let (lineage, source) = (workspace.lineage(&run)?, workspace.source(&run)?);
    let code = workspace.code(&run)?;
    let (arguments, redacted) = (workspace.arguments(&run)?, workspace.findings(&run)?.len());
    let conflicts = workspace.conflicts(&run)?;
    let artifacts = workspace.artifacts_of_run(&run)?;
    let sparks = |metrics: &[MetricInfo], window| match session.json || session.display.ascii {
        true => Ok(Vec::new()),
        false => {
            let _work = session.work("reading metrics");
            spark::of_metrics(&workspace, &run, metrics, window)
        }
    };
    let of_metrics = sparks(&metrics, window)?;
    let of_system = if args.system { sparks(&system, Window::default())? } else { Vec::new() };
    let rest = beyond_metrics(&run, &workspace.metrics(&run)?);
    let paged = || {
        let system = if args.system { system.as_slice() } else { &[] };
        let tables = [(metrics.as_slice(), of_metrics.as_slice()), (system, of_system.as_slice())];
        let told = page::Told { arguments: &arguments, redacted, conflicts: &conflicts };
        page::page((&run, &lineage, &source, &code, &told), (&rest, &artifacts), tables, now, session.display)
    };
    let mut shape = ShowShape::of(&run, &metrics, &system, (&lineage, &source, &code, &artifacts), now);
    (shape.arguments, shape.redacted) = (&arguments, redacted);
    shape.conflicts = conflicts.iter().map(ConflictShape::of).collect();
    session.answer(&shape, paged)
}

/// Returns the entries of a summary that no metric's last value is.
fn beyond_metrics<'a>(run: &'a RunInfo, metrics: &[MetricInfo]) -> Vec<&'a (String, Value)> {
    let last: HashMap<&str, &Value> = metrics.iter().map(|metric| (metric.name.as_str(), &metric.last)).collect();
    run.summary.iter().filter(|(key, value)| last.get(key.as_str()) != Some(&value)).collect()
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
