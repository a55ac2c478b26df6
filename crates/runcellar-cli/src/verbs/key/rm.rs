//! `key rm`: removes ways to unlock, after it has said what that means.

use runcellar::KeySlot;

use super::answer_replaced;
use crate::failure::{Code, Failure, listed};
use crate::prompt;
use crate::render::visible;
use crate::session::Session;
use crate::verbs::sync::around;

/// Remove ways to unlock the workspace, and replace the root key
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What is to go is shown first. It asks on a terminal; off one it needs --yes, else nothing happens and the exit code is 6. \
The root key is always replaced, as by key rotate: what was removed does not open what is written from then on. Copies of \
the workspace that were made before open with it as they did. The last key is never removed.

Examples:
  runcellar key ls
  runcellar key rm 3fa9
  runcellar key rm laptop --yes")]
pub(super) struct Args {
    /// The keys: an id of key ls, the beginning of one, or a name
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    remotes: around::Remotes,
}

pub(super) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let workspace = session.open()?;
    let mut slots: Vec<KeySlot> = Vec::new();
    for id in &args.ids {
        let slot = workspace.slot(id)?;
        if slots.iter().all(|known| known.id != slot.id) {
            slots.push(slot);
        }
    }
    let left: Vec<KeySlot> = workspace.slots()?.into_iter().filter(|slot| !slots.contains(slot)).collect();
    let named = |slot: &KeySlot| format!("{} ({})", visible(&slot.name), slot.kind);
    for slot in &slots {
        let own = if slot.in_use { "; it opened the workspace just now, and its key file goes" } else { "" };
        session.note(&format!("to remove: {}  {}{own}", slot.id, named(slot)));
    }
    if left.is_empty() {
        let message = "this is the last key: without it nothing opens the workspace; add another one first";
        return Err(Failure::new(Code::Other, message).advise("  runcellar key add recovery"));
    }
    session.note(&format!("what is left opens it: {}", listed(left.iter().map(named))));
    session.note("the root key is replaced; copies of the workspace that were made before open as they did");
    if !args.yes && !prompt::confirms("remove them? [y/N] ") {
        return Err(Failure::new(Code::Consent, "no key was removed: --yes confirms it"));
    }
    let remotes = around::before(session, &workspace, &args.remotes)?;
    let replaced = {
        let _work = session.work("replacing the keys");
        workspace.remove_slots(&slots.iter().map(|slot| &slot.id).collect::<Vec<_>>())?
    };
    around::after(session, &workspace, &remotes);
    let what = format!("removed {}", listed(slots.iter().map(|slot| &slot.id)));
    answer_replaced(session, &slots, &replaced, &what)
}
