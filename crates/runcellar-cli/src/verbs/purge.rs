//! `purge`: erases for good, under a new root key, after it has said what.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use runcellar::{PurgeOptions, PurgePlan, Purged, Receipt, Target};

use crate::failure::{Code, Failure, listed};
use crate::files::{NewFile, SecretFile};
use crate::output;
use crate::prompt;
use crate::render::number::{bytes, count};
use crate::render::{Style, visible, wrapped};
use crate::session::Session;
use crate::verbs::init::RECOVERY_ADVICE;
use crate::verbs::sync::around;

/// Erase runs and artifacts so that older copies cannot give them back
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Rows and keys go at once, and the key of the workspace is replaced: whoever kept every byte of before cannot read \
what went without an old copy of the key file or what else the plan lists. What is to go is shown first. It asks on a \
terminal; off one it needs --yes, else nothing happens and the exit code is 6. Recovery codes are of no use \
afterwards; a new one is shown on a terminal, or written by --recovery-out. Older backups do not open with the new \
key: make a new one. Remotes that are enabled are synced before and afterwards: what was published is deleted there, and \
other devices erase it at their next sync.

Targets:
  RUN                              a run: id, name, or PROJECT/NAME
  project:NAME                     a project with all its runs and artifacts
  artifact:[PROJECT/]NAME[:vN]     an artifact, or one version of it
  class:media@RUN, class:code@RUN  the media or code of a run, which stays otherwise
  older:90d                        runs that ended, and versions that were made, longer ago
  from:artifact:NAME:vN            runs that used a version, what they made, and so on

Examples:
  runcellar purge brave-otter-12 --dry-run
  runcellar purge artifact:faces from:artifact:faces:v0 --receipt receipt.json
  runcellar purge older:365d --strict --yes")]
pub(crate) struct Args {
    /// What to erase
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<Target>,
    /// Show the plan, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
    /// Refuse while a passphrase alone opens the workspace, and older copies of it
    #[arg(long)]
    strict: bool,
    /// Write the signed receipt into this file
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// Write the new recovery code into this new file
    #[arg(long, value_name = "FILE")]
    recovery_out: Option<PathBuf>,
    #[command(flatten)]
    remotes: around::Remotes,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let workspace = session.open()?;
    let remotes = match args.dry_run {
        true => Vec::new(),
        false => around::before(session, &workspace, &args.remotes)?,
    };
    let plan = {
        let _work = session.work("planning");
        workspace.plan_purge(&args.targets)?
    };
    let new_code = args.recovery_out.is_some() || output::is_interactive();
    let lines = plan_text(&plan, new_code);
    if args.dry_run {
        return session.answer(&super::receipt::parsed(&plan.to_json())?, || lines);
    }
    output::to_stderr(&lines);
    if !args.yes && !prompt::confirms("erase this for good? [y/N] ") {
        return Err(Failure::new(Code::Consent, "nothing was erased: --yes confirms it"));
    }
    let receipt_file = args.receipt.as_deref().map(NewFile::create).transpose()?;
    let code_file = args.recovery_out.as_deref().map(SecretFile::create).transpose()?;
    let purged = {
        let _work = session.work("purging");
        workspace.purge(&args.targets, PurgeOptions { strict: args.strict, new_recovery_code: new_code })?
    };
    let Purged { mut receipt, recovery_code } = purged;
    around::after(session, &workspace, &remotes);
    if !remotes.is_empty() {
        // It says now what was deleted there.
        receipt = workspace.receipts()?.into_iter().find(|known| known.id() == receipt.id()).unwrap_or(receipt);
    }
    if let Some(mut file) = receipt_file {
        let path = args.receipt.as_deref().unwrap_or(Path::new(""));
        file.write_all(receipt.to_json().as_bytes()).map_err(|cause| Failure::file("write", path, &cause))?;
        file.finish()?;
    }
    match (recovery_code, code_file) {
        (Some(code), Some(file)) => file.finish(&code)?,
        (Some(code), None) => {
            let advice = wrapped(RECOVERY_ADVICE, session.display.width).join("\n");
            output::to_stderr(&format!("\n  {}\n\n{advice}\n\n", Style::Bold.paint(&code, session.display.color)));
        }
        // There was no code to be replaced.
        (None, _) => {}
    }
    answer(session, &receipt)
}

fn answer(session: &Session, receipt: &Receipt) -> Result<(), Failure> {
    session.answer(&super::receipt::parsed(&receipt.to_json())?, || {
        let count = receipt.targets().len();
        let state = if receipt.is_complete() { "complete" } else { "not complete yet" };
        format!("erased {count}; receipt {}: {state}\n", receipt.id())
    })?;
    if !receipt.is_complete() {
        let waits =
            receipt.checks().iter().any(|check| check["name"] == "devices_acknowledged" && check["ok"] == false);
        session.note(match waits {
            true => "other devices erase it at their next sync: runcellar receipt show says who has not",
            false => "what is left is done by whoever opens the workspace next: runcellar receipt show says what",
        });
    }
    Ok(())
}

fn plan_text(plan: &PurgePlan, new_code: bool) -> String {
    let mut text = String::new();
    for item in &plan.items {
        let (name, size) = (visible(&item.name), bytes(item.bytes));
        text += &format!("to erase: {} {name}  {}, {size}\n", item.kind.as_str(), count(item.objects, "object"));
    }
    if plan.items.len() > 1 {
        text += &format!("all in all {}, {}\n", count(plan.objects, "object"), bytes(plan.bytes));
    }
    if plan.shared.chunks > 0 {
        text += &format!("stays, as others have it too: {}\n", bytes(plan.shared.bytes));
    }
    if !plan.at_work.is_empty() {
        text += &format!("still recorded, what comes later is dropped: {}\n", listed(&plan.at_work));
    }
    if !plan.aliases.is_empty() {
        text += &format!("aliases and links that go too: {}\n", listed(&plan.aliases));
    }
    text += "older copies of this workspace stay readable to whoever has one and\n";
    for opener in &plan.openers {
        text += match opener.kind {
            "recovery_code" => "  the recovery code of now\n",
            "key_file" => "  a copy of the key file of now\n",
            "passphrase" => "  the passphrase, which stays as it is\n",
            "device" => "  the key file of another device, until it has synced\n",
            "host_backup" => "  a backup of this file system, on which the key file lies as well\n",
            "remote_version" => "  what lies on a remote, until it is deleted there by the next sync\n",
            "export" => "",
            _ => "  another key\n",
        };
    }
    let capsules = plan.openers.iter().filter(|opener| opener.kind == "export").count();
    if capsules > 0 {
        text += &format!("capsules that have some of it, and are not reached: {capsules}\n");
    }
    if plan.openers.iter().any(|opener| opener.kind == "recovery_code") {
        text += match new_code {
            true => "the recovery code is replaced by a new one\n",
            false => "no recovery code will be left: --recovery-out FILE makes a new one\n",
        };
    }
    text
}
