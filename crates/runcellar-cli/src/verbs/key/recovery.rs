//! Recovery codes: shown once, typed back, or written into a new file.

use std::path::{Path, PathBuf};

use runcellar::{KeySlot, RecoveryCode, Workspace};

use crate::failure::{Code, Failure};
use crate::files::SecretFile;
use crate::output;
use crate::prompt;
use crate::render::{Style, visible, wrapped};
use crate::session::Session;
use crate::shapes::SlotShape;
use crate::verbs::init::RECOVERY_ADVICE;

/// How often a code may be typed back wrongly.
const ATTEMPTS: usize = 3;

/// Make a new recovery code in the place of the old ones
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Old recovery codes are removed, if there are any, and the root key is replaced as by key rm. key add recovery adds a code \
and leaves the others.")]
pub(super) struct Args {
    /// What key ls calls it
    #[arg(long, default_value = "recovery code")]
    name: String,
    /// Write the recovery code into this new file
    #[arg(long, value_name = "FILE")]
    recovery_out: Option<PathBuf>,
}

#[derive(serde::Serialize)]
struct Shape<'a> {
    #[serde(flatten)]
    slot: SlotShape<'a>,
    key_file: Option<&'a str>,
    recovery_code: Option<&'a str>,
    removed: Vec<&'a str>,
}

pub(super) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let slots = session.open()?.slots()?;
    let old: Vec<KeySlot> = slots.into_iter().filter(|slot| slot.kind == "recovery").collect();
    add(session, &args.name, args.recovery_out.as_deref(), &old)
}

/// Adds a code and then removes those of `old`.
pub(super) fn add(session: &Session, name: &str, out: Option<&Path>, old: &[KeySlot]) -> Result<(), Failure> {
    let mut file = out.map(SecretFile::create).transpose()?;
    if file.is_none() && !output::is_interactive() {
        return Err(Failure::usage("no terminal to show a recovery code on: name a new file by --recovery-out FILE"));
    }
    let workspace = session.open()?;
    let code = workspace.draw_recovery_code()?;
    let text = code.text();
    let shown = match (&mut file, out) {
        (Some(file), Some(path)) => {
            // Durable before it opens anything.
            file.write(&text)?;
            format!("the recovery code is in {}\n", visible(&path.display().to_string()))
        }
        _ => {
            show(session, &text);
            confirm(&code)?;
            String::new()
        }
    };
    let slot = workspace.add_recovery(&code, name)?;
    file.into_iter().for_each(SecretFile::keep);
    remove_old(session, &workspace, old)?;
    let removed = old.iter().map(|slot| slot.id.as_str()).collect();
    let shape = Shape { slot: SlotShape::of(&slot), key_file: None, recovery_code: Some(&text), removed };
    session.answer(&shape, || {
        let removed: String = old.iter().map(|slot| format!("removed {}\n", slot.id)).collect();
        format!("added {}  {}  {}\n{removed}{shown}", slot.id, slot.kind, visible(&slot.name))
    })
}

fn remove_old(session: &Session, workspace: &Workspace, old: &[KeySlot]) -> Result<(), Failure> {
    if !old.is_empty() {
        let _work = session.work("replacing the keys");
        workspace.remove_slots(&old.iter().map(|slot| &slot.id).collect::<Vec<_>>())?;
    }
    Ok(())
}

fn show(session: &Session, text: &str) {
    let advice = wrapped(RECOVERY_ADVICE, session.display.width).join("\n");
    output::to_stderr(&format!("\n  {}\n\n{advice}\n", Style::Bold.paint(text, session.display.color)));
}

/// Has the code typed back, so that one that was written down wrongly is found out while it can be.
pub(crate) fn confirm(code: &RecoveryCode) -> Result<(), Failure> {
    for left in (0..ATTEMPTS).rev() {
        match prompt::visible_line("type it back: ") {
            Some(typed) if code.is(&typed) => return Ok(()),
            Some(_) if left > 0 => output::say("that is not the code; look again"),
            _ => break,
        }
    }
    Err(Failure::new(Code::Consent, "the recovery code was not typed back: it opens nothing, and no key was added"))
}
