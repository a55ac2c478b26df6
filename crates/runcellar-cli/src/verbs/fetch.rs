//! `fetch`: brings evicted content back.

use runcellar::Target;

use crate::failure::Failure;
use crate::render::number::{bytes, count};
use crate::session::Session;

/// Bring here what lies on a remote alone
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What is read is fetched by itself; this fetches beforehand, for a journey or for a program that cannot: content that was evicted, \
and with sync.content remote files and rows of runs of other devices. Targets are those of evict; without one everything comes.

Examples:
  runcellar fetch artifact:faces:v0
  runcellar fetch --dry-run")]
pub(crate) struct Args {
    /// What to bring here [default: all that is not here]
    #[arg(value_name = "TARGET")]
    targets: Vec<Target>,
    /// Bring one object, as a program asks for it: run:ID (its rows) or pack:ID
    #[arg(long, hide = true, conflicts_with = "targets")]
    object: Option<String>,
    /// Say how much it is, and make no request
    #[arg(long)]
    dry_run: bool,
}

#[derive(serde::Serialize)]
struct Shape {
    packs: u64,
    bytes: u64,
    runs: u64,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let workspace = session.open()?;
    let found = match (&args.object, args.dry_run) {
        (Some(object), _) => workspace.fetch_object(object)?,
        (None, true) => workspace.plan_fetch(&args.targets)?,
        (None, false) => {
            let _work = session.work("fetching");
            workspace.fetch_evicted(&args.targets)?
        }
    };
    let shape = Shape { packs: found.packs, bytes: found.bytes, runs: found.runs };
    session.answer(&shape, || {
        let rows = (shape.runs > 0).then(|| format!("the rows of {}", count(shape.runs, "run")));
        let packs = (shape.packs > 0).then(|| format!("{} in {}", bytes(shape.bytes), count(shape.packs, "pack")));
        let what: Vec<String> = [rows, packs].into_iter().flatten().collect();
        match (args.dry_run, what.is_empty()) {
            (_, true) => "all of it is here\n".to_owned(),
            (true, false) => format!("to fetch: {}\n", what.join(", ")),
            (false, false) => format!("fetched {}\n", what.join(", ")),
        }
    })
}
