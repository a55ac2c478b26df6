//! `key`: the ways to unlock the workspace.

use std::path::PathBuf;

use clap::Subcommand;
use runcellar::{KeySlot, Workspace};

use crate::failure::Failure;
use crate::files::SecretFile;
use crate::output;
use crate::prompt;
use crate::render::table::{Cell, Column, Table};
use crate::render::{Style, time, visible, wrapped};
use crate::session::{Session, now_us};
use crate::shapes::SlotShape;
use crate::verbs::init::RECOVERY_ADVICE;

/// List and add ways to unlock the workspace
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  runcellar key ls
  runcellar key add passphrase --name laptop
  runcellar key add recovery --recovery-out code.txt")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the ways to unlock the workspace
    Ls,
    /// Add a way to unlock the workspace
    #[command(after_help = "\
A new passphrase is asked for twice on the terminal. A recovery code is printed on a terminal, once, or written \
into a new file.")]
    Add {
        /// What to add
        kind: Kind,
        /// What key ls calls it
        #[arg(long)]
        name: Option<String>,
        /// Write the recovery code into this new file
        #[arg(long, value_name = "FILE")]
        recovery_out: Option<PathBuf>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// A passphrase that people remember
    Passphrase,
    /// A recovery code to be kept on paper
    Recovery,
}

#[derive(serde::Serialize)]
struct AddedShape<'a> {
    #[serde(flatten)]
    slot: SlotShape<'a>,
    recovery_code: Option<&'a str>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    match &args.action {
        Action::Ls => list(session, &session.open()?),
        Action::Add { kind: Kind::Passphrase, recovery_out: Some(_), .. } => {
            Err(Failure::usage("--recovery-out goes with a recovery code, not with a passphrase"))
        }
        Action::Add { kind: Kind::Passphrase, name, recovery_out: None } => {
            add_passphrase(session, name.as_deref().unwrap_or("passphrase"))
        }
        Action::Add { kind: Kind::Recovery, name, recovery_out } => {
            add_recovery(session, name.as_deref().unwrap_or("recovery code"), recovery_out.clone())
        }
    }
}

fn list(session: &Session, workspace: &Workspace) -> Result<(), Failure> {
    let slots = workspace.slots()?;
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
            let opens = if slot.opens_without_key_file { "without a key file" } else { "with the key file" };
            table.push(vec![
                Cell::new(slot.id.as_str(), Style::Cyan),
                slot.kind.into(),
                Cell::new(slot.name.as_str(), Style::Plain),
                Cell::new(slot.created.map(|created| time::ago(now, created)).unwrap_or_default(), Style::Dim),
                Cell::new(opens, Style::Dim),
            ]);
        }
        table.render(session.display.width, session.display.color)
    })
}

fn add_passphrase(session: &Session, name: &str) -> Result<(), Failure> {
    let workspace = session.open()?;
    let passphrase = prompt::for_new()?;
    let slot = {
        let _work = session.work("stretching the passphrase");
        workspace.add_passphrase(&passphrase, name)?
    };
    answer(session, &slot, None, "")
}

fn add_recovery(session: &Session, name: &str, out: Option<PathBuf>) -> Result<(), Failure> {
    let file = out.as_deref().map(SecretFile::create).transpose()?;
    if file.is_none() && !output::is_interactive() {
        return Err(Failure::usage("no terminal to show a recovery code on: name a new file by --recovery-out FILE"));
    }
    let (slot, code) = session.open()?.add_recovery_code(name)?;
    let shown = match (file, out) {
        (Some(file), Some(path)) => {
            file.finish(&code)?;
            format!("the recovery code is in {}\n", visible(&path.display().to_string()))
        }
        _ => {
            let advice = wrapped(RECOVERY_ADVICE, session.display.width).join("\n");
            format!("\n  {}\n\n{advice}\n", Style::Bold.paint(&code, session.display.color))
        }
    };
    answer(session, &slot, Some(&code), &shown)
}

fn answer(session: &Session, slot: &KeySlot, recovery_code: Option<&str>, text: &str) -> Result<(), Failure> {
    let shape = AddedShape { slot: SlotShape::of(slot), recovery_code };
    session.answer(&shape, || format!("added {}  {}  {}\n{text}", slot.id, slot.kind, visible(&slot.name)))
}
