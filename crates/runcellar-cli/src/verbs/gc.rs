//! `gc`: gives back the space of what nobody refers to.

use runcellar::{CollectOptions, Collected, Expiring, RunInfo};

use crate::failure::Failure;
use crate::render::number::{bytes, count};
use crate::render::visible;
use crate::session::Session;
use crate::shapes::RunName;

/// Give back the space of content that was removed
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Packs of which less than half is in use are written anew without the rest. What is younger than a day is left alone, as \
somebody may be about to refer to it. Runs that rm hid more than 30 days ago are erased, and what the settings \
retention.days, retention.code.days and retention.media.days set an end to goes: --dry-run shows which.

Examples:
  runcellar gc
  runcellar gc --now                              nothing else writes to this workspace")]
pub(crate) struct Args {
    /// Do not wait a day with what is new: nothing else writes to this workspace now
    #[arg(long)]
    now: bool,
    /// Show which runs would be erased or hidden, and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(serde::Serialize)]
struct Shape {
    chunks: u64,
    packs: u64,
    files: u64,
    bytes: u64,
    erased: u64,
    hidden: u64,
}

#[derive(serde::Serialize)]
struct ExpiringShape<'a> {
    erase: Vec<RunName<'a>>,
    hide: Vec<RunName<'a>>,
    erase_code: Vec<RunName<'a>>,
    erase_media: Vec<RunName<'a>>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let workspace = session.open()?;
    if args.dry_run {
        return show_expiring(session, &workspace.expiring()?);
    }
    let collected = {
        let _work = session.work("collecting");
        workspace.collect_garbage(CollectOptions { now: args.now })?
    };
    let Collected { chunks, packs, files, bytes: freed, erased, hidden } = collected;
    session.answer(&Shape { chunks, packs, files, bytes: freed, erased, hidden }, || match freed {
        0 => "nothing to give back\n".to_owned(),
        _ => format!(
            "{} given back: {}, {} without an owner\n",
            bytes(freed),
            count(packs, "pack"),
            count(files, "file")
        ),
    })?;
    if erased > 0 {
        session.note(&format!("erased, as rm hid them more than 30 days ago: {}", count(erased, "run")));
    }
    if hidden > 0 {
        session.note(&format!("hidden, as retention says: {}; restore shows one for 30 days", count(hidden, "run")));
    }
    Ok(())
}

fn show_expiring(session: &Session, expiring: &Expiring) -> Result<(), Failure> {
    let Expiring { erased, hidden, code, media } = expiring;
    let shape = ExpiringShape {
        erase: erased.iter().map(RunName::of).collect(),
        hide: hidden.iter().map(RunName::of).collect(),
        erase_code: code.iter().map(RunName::of).collect(),
        erase_media: media.iter().map(RunName::of).collect(),
    };
    session.answer(&shape, || {
        let lines = [("to erase", erased), ("to hide", hidden), ("code to erase", code), ("media to erase", media)];
        let line = |(what, runs): (&str, &Vec<RunInfo>)| -> String {
            let line =
                |run: &RunInfo| format!("{what}: {}  {}/{}\n", run.id, visible(&run.project), visible(&run.name));
            runs.iter().map(line).collect()
        };
        let text: String = lines.into_iter().map(line).collect();
        if text.is_empty() { "no run has expired\n".to_owned() } else { text }
    })
}
