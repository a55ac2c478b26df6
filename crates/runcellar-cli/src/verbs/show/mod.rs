//! `show`: everything about one run.

mod page;
mod spark;

use crate::failure::Failure;
use crate::session::{Session, now_us};
use crate::shapes::ShowShape;

/// Show everything about one run
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A RUN is an id, four or more of its first letters, a name, or PROJECT/NAME.

Examples:
  runcellar show brave-otter-12
  runcellar show digits/brave-otter-12 --json")]
pub(crate) struct Args {
    /// The run
    #[arg(value_name = "RUN")]
    run: String,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let workspace = session.open()?;
    let run = workspace.find_run(&args.run)?;
    let metrics = workspace.metrics(&run)?;
    let now = now_us();
    let sparks = if session.json || session.display.ascii {
        Vec::new()
    } else {
        let _work = session.work("reading metrics");
        spark::of_metrics(&workspace, &run, &metrics)?
    };
    session.answer(&ShowShape::of(&run, &metrics, now), || page::page(&run, &metrics, &sparks, now, session.display))
}
