//! `tag`: adds tags to a run and takes tags away.

use clap_complete::engine::ArgValueCompleter;

use crate::complete;
use crate::failure::{Failure, listed};
use crate::render::visible;
use crate::session::Session;

/// Add tags to a run, or take tags away
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  runcellar tag brave-otter-12 best baseline
  runcellar tag brave-otter-12 --remove best")]
pub(crate) struct Args {
    /// The run
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    run: String,
    /// Tags to add
    #[arg(value_name = "TAG", required_unless_present = "remove")]
    tags: Vec<String>,
    /// Take this tag away; may be repeated
    #[arg(long, value_name = "TAG")]
    remove: Vec<String>,
}

#[derive(serde::Serialize)]
struct Shape<'a> {
    id: &'a str,
    tags: &'a [String],
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let workspace = session.open()?;
    let before = workspace.find_run(&args.run)?;
    let new: Vec<String> = args.tags.iter().filter(|tag| !before.tags.contains(tag)).cloned().collect();
    workspace.tag_run(&before, &new, &args.remove)?;
    let run = workspace.find_run(&before.id)?;
    session.answer(&Shape { id: &run.id, tags: &run.tags }, || format!("{}  {}\n", run.id, visible(&listed(&run.tags))))
}
