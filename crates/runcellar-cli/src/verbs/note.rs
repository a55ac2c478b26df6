//! `note`: replaces the notes of a run.

use clap_complete::engine::ArgValueCompleter;

use crate::complete;
use crate::failure::Failure;
use crate::render::visible;
use crate::session::Session;
use crate::shapes::some;

/// Replace the notes of a run
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  runcellar note brave-otter-12 'diverged after the learning rate was raised'
  runcellar note brave-otter-12 ''                takes the notes away")]
pub(crate) struct Args {
    /// The run
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    run: String,
    /// The notes
    #[arg(value_name = "TEXT", allow_hyphen_values = true)]
    text: String,
}

#[derive(serde::Serialize)]
struct Shape<'a> {
    id: &'a str,
    notes: Option<&'a str>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let workspace = session.open()?;
    let run = workspace.find_run(&args.run)?;
    workspace.annotate_run(&run, &args.text)?;
    // What looked like a secret was redacted.
    let run = workspace.find_run(&run.id)?;
    session.answer(&Shape { id: &run.id, notes: some(&run.notes) }, || format!("{}  {}\n", run.id, visible(&run.notes)))
}
