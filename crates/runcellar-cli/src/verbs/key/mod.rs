//! `key`: the ways to unlock the workspace.

mod add;
pub(crate) mod recovery;
mod rm;

use std::path::PathBuf;

use clap::Subcommand;
use runcellar::{KeySlot, KeysReplaced};

use crate::failure::Failure;
use crate::render::table::{Cell, Column, Table};
use crate::render::{Style, time, visible};
use crate::session::{Session, now_us};
use crate::shapes::SlotShape;
use crate::verbs::sync::around;

/// List, add, remove and replace the keys of the workspace
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  runcellar key ls
  runcellar key add passphrase --name laptop
  runcellar key add recovery --recovery-out code.txt
  runcellar key add key-file -o /media/stick/run.key
  runcellar key rm laptop
  runcellar key rotate")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the ways to unlock the workspace
    Ls,
    Add(add::Args),
    Rm(rm::Args),
    /// Replace the root key and the secrets of key files
    #[command(after_help = "\
Every key of the workspace is wrapped anew; data is not encrypted anew. The key files at hand get new secrets: copies \
of them that lie elsewhere open nothing any more. Passphrases and recovery codes stay as they are, and so do key files \
of other devices. Runs that are being recorded go on. Remotes that are enabled are synced before and afterwards: what was \
published under the old keys is deleted there, and other devices take over the new ones at their next sync.")]
    Rotate {
        #[command(flatten)]
        remotes: around::Remotes,
    },
    Recovery(recovery::Args),
    /// Write a copy of the key file into a new file
    #[command(after_help = "\
The copy is of mode 0600 and holds the key of this workspace alone. --printable writes it as text, which opens as well. \
Both open everything: keep them like the key file itself. runcellar key rotate makes them useless.")]
    Export {
        /// The new file
        file: PathBuf,
        /// Write text that can be printed and typed
        #[arg(long)]
        printable: bool,
    },
}

#[derive(serde::Serialize)]
struct ReplacedShape<'a> {
    removed: Vec<&'a str>,
    epoch: u64,
    slots: Vec<SlotShape<'a>>,
}

#[derive(serde::Serialize)]
struct ExportShape<'a> {
    file: &'a str,
    printable: bool,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    match &args.action {
        Action::Ls => list(session),
        Action::Add(args) => add::run(session, args),
        Action::Rm(args) => rm::run(session, args),
        Action::Rotate { remotes } => rotate(session, remotes),
        Action::Recovery(args) => recovery::run(session, args),
        Action::Export { file, printable } => export(session, file, *printable),
    }
}

fn list(session: &Session) -> Result<(), Failure> {
    let slots = session.open()?.slots()?;
    let shape: Vec<SlotShape<'_>> = slots.iter().map(SlotShape::of).collect();
    session.answer(&shape, || {
        let now = now_us();
        let mut table = Table::new(vec![
            Column::left("id").shrink_to(8),
            Column::left("kind"),
            Column::left("name").shrink_to(8).priority(2),
            Column::left("created").priority(3),
            Column::left("opens").priority(1),
        ]);
        for slot in &slots {
            table.push(vec![
                Cell::new(slot.id.as_str(), Style::Cyan),
                slot.kind.into(),
                Cell::new(slot.name.as_str(), Style::Plain),
                Cell::new(slot.created.map(|created| time::ago(now, created)).unwrap_or_default(), Style::Dim),
                Cell::new(opens(slot), Style::Dim),
            ]);
        }
        table.render(session.display.width, session.display.color)
    })
}

fn opens(slot: &KeySlot) -> &'static str {
    match (slot.opens_without_key_file, slot.kind) {
        (true, _) => "without a key file",
        (false, "two-factor") => "with a passphrase and its key file",
        (false, _) => "with its key file",
    }
}

fn rotate(session: &Session, remotes: &around::Remotes) -> Result<(), Failure> {
    let workspace = session.open()?;
    let remotes = around::before(session, &workspace, remotes)?;
    let replaced = {
        let _work = session.work("replacing the keys");
        workspace.rotate_keys()?
    };
    around::after(session, &workspace, &remotes);
    answer_replaced(session, &[], &replaced, "replaced the root key")
}

fn answer_replaced(session: &Session, removed: &[KeySlot], replaced: &KeysReplaced, what: &str) -> Result<(), Failure> {
    let shape = ReplacedShape {
        removed: removed.iter().map(|slot| slot.id.as_str()).collect(),
        epoch: replaced.epoch,
        slots: replaced.slots.iter().map(SlotShape::of).collect(),
    };
    session.answer(&shape, || {
        let count = replaced.slots.len();
        let left = if count == 1 { "one key opens".to_owned() } else { format!("{count} keys open") };
        format!("{what} (epoch {}); {left} the workspace\n", replaced.epoch)
    })
}

fn export(session: &Session, file: &std::path::Path, printable: bool) -> Result<(), Failure> {
    session.open()?.export_key(file, printable)?;
    let path = file.display().to_string();
    session.answer(&ExportShape { file: &path, printable }, || format!("a copy of the key is in {}\n", visible(&path)))
}
