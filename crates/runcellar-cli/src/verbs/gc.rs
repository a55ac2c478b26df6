//! `gc`: gives back the space of what nobody refers to.

use runcellar::{CollectOptions, Collected};

use crate::failure::Failure;
use crate::render::number::bytes;
use crate::session::Session;

/// Give back the space of content that was removed
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Packs of which less than half is in use are written anew without the rest. What is younger than a day is left alone, as \
somebody may be about to refer to it.

Examples:
  runcellar gc
  runcellar gc --now                              nothing else writes to this workspace")]
pub(crate) struct Args {
    /// Do not wait a day with what is new: nothing else writes to this workspace now
    #[arg(long)]
    now: bool,
}

#[derive(serde::Serialize)]
struct Shape {
    chunks: u64,
    packs: u64,
    files: u64,
    bytes: u64,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let workspace = session.open()?;
    let collected = {
        let _work = session.work("collecting");
        workspace.collect_garbage(CollectOptions { now: args.now })?
    };
    let Collected { chunks, packs, files, bytes: freed } = collected;
    session.answer(&Shape { chunks, packs, files, bytes: freed }, || match freed {
        0 => "nothing to give back\n".to_owned(),
        _ => format!("{} given back: {packs} packs, {files} files without an owner\n", bytes(freed)),
    })
}
