//! `fetch`: brings evicted content back.

use runcellar::Target;

use crate::failure::Failure;
use crate::render::number::{bytes, count};
use crate::session::Session;

/// Bring evicted content back to this disk
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What is read is fetched by itself; this fetches beforehand, for a journey or for a program that cannot. Targets are those of evict; \
without one all that was evicted comes back.

Examples:
  runcellar fetch artifact:faces:v0
  runcellar fetch --dry-run")]
pub(crate) struct Args {
    /// What to bring back [default: all that was evicted]
    #[arg(value_name = "TARGET")]
    targets: Vec<Target>,
    /// Say how much it is, and make no request
    #[arg(long)]
    dry_run: bool,
}

#[derive(serde::Serialize)]
struct Shape {
    packs: u64,
    bytes: u64,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let workspace = session.open()?;
    let found = match args.dry_run {
        true => workspace.plan_fetch(&args.targets)?,
        false => {
            let _work = session.work("fetching");
            workspace.fetch_evicted(&args.targets)?
        }
    };
    let shape = Shape { packs: found.packs, bytes: found.bytes };
    session.answer(&shape, || match (args.dry_run, shape.packs) {
        (_, 0) => "all of it is here\n".to_owned(),
        (true, packs) => format!("to fetch: {} in {}\n", bytes(shape.bytes), count(packs, "pack")),
        (false, packs) => format!("fetched {} in {}\n", bytes(shape.bytes), count(packs, "pack")),
    })
}
