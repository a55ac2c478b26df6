//! `repair`: finishes what was left half done.

use runcellar::{Claim, LeftWhy, Repair, RepairAction, RepairDone, RepairLeft, RepairReport};

use crate::failure::{Code, Failure};
use crate::render::{Style, visible};
use crate::session::Session;

/// Finish what was left half done, and mend what can be
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Nothing that was recorded is lost: a journal is removed when its rows stand in the database. A writer on another host \
cannot be seen; if it was silent for ten minutes, its journal is ingested and kept, in case it comes back, until it is \
claimed. What the database lost of packs is read from them again, and what was changed around their chunks is written \
again; a damaged chunk that lies whole in another pack is read from there; packs that nothing can open are moved to \
quarantine/.

Examples:
  runcellar repair
  runcellar repair --claim
  runcellar repair --claim 0f6c2a61b7d94e3f8d21c05b9a7e4413")]
pub(crate) struct Args {
    /// Take over journals of other hosts that are presumed dead, or these, even if they still grow
    #[arg(long, value_name = "JOURNAL", num_args = 0..)]
    claim: Option<Vec<String>>,
}

#[derive(serde::Serialize)]
struct Shape<'a> {
    done: Vec<DoneShape<'a>>,
    left: Vec<LeftShape<'a>>,
}

#[derive(serde::Serialize)]
struct DoneShape<'a> {
    action: &'static str,
    file: &'a str,
    run: Option<&'a str>,
    host: Option<&'a str>,
}

#[derive(serde::Serialize)]
struct LeftShape<'a> {
    reason: &'static str,
    file: &'a str,
    run: Option<&'a str>,
    host: Option<&'a str>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let claim = match &args.claim {
        None => Claim::None,
        Some(names) if names.is_empty() => Claim::Silent,
        Some(names) => Claim::Named(names.clone()),
    };
    // Without recovery, so that what is ingested is said.
    let workspace = session.open_with(false)?;
    let report = {
        let _work = session.work("repairing");
        workspace.repair(&Repair { claim })?
    };
    session.answer(&shape_of(&report), || text_of(session, &report))?;
    match report.left.iter().find(|left| left.claimed) {
        None => Ok(()),
        Some(left) if left.why == LeftWhy::AtWork => {
            Err(Failure::new(Code::Busy, format!("{}: its writer is at work on this host", left.file)))
        }
        Some(left) => Err(Failure::new(Code::Damage, format!("{}: it could not be taken in whole", left.file))
            .advise("  runcellar check says more")),
    }
}

fn shape_of(report: &RepairReport) -> Shape<'_> {
    Shape {
        done: report
            .done
            .iter()
            .map(|RepairDone { action, file, run, host }| DoneShape {
                action: action.as_str(),
                file,
                run: run.as_deref(),
                host: host.as_deref(),
            })
            .collect(),
        left: report
            .left
            .iter()
            .map(|RepairLeft { why, file, run, host, .. }| LeftShape {
                reason: why.as_str(),
                file,
                run: run.as_deref(),
                host: host.as_deref(),
            })
            .collect(),
    }
}

fn text_of(session: &Session, report: &RepairReport) -> String {
    let color = session.display.color;
    let mut text = String::new();
    for RepairDone { action, file, run, host } in &report.done {
        let word = Style::Green.paint(&format!("{:9}", action.as_str()), color);
        let of = match action {
            RepairAction::Removed => String::new(),
            RepairAction::Replaced => ": its damaged chunks are read from other packs now".to_owned(),
            RepairAction::SetAside => ": nothing here can open it; moved to quarantine/".to_owned(),
            _ => of_run(run.as_deref(), host.as_deref()),
        };
        text.push_str(&format!("{word}  {}{of}\n", visible(file)));
    }
    for RepairLeft { why, file, run, host, .. } in &report.left {
        let word = Style::Dim.paint(&format!("{:9}", "left"), color);
        let of = of_run(run.as_deref(), host.as_deref());
        text.push_str(&format!("{word}  {}{of}: {}\n", visible(file), reason_of(*why)));
    }
    if report.done.is_empty() {
        text.push_str("nothing was left to do\n");
    }
    text
}

fn of_run(run: Option<&str>, host: Option<&str>) -> String {
    let host = host.map_or_else(String::new, |host| format!(" on {}", visible(host)));
    run.map_or_else(String::new, |run| format!("  run {}{host}", visible(run)))
}

fn reason_of(why: LeftWhy) -> &'static str {
    match why {
        LeftWhy::AtWork => "its writer is at work",
        LeftWhy::Heard => "its writer was heard of within ten minutes",
        LeftWhy::Silent => "its writer may come back; runcellar repair --claim removes it",
        LeftWhy::Damaged => "runcellar check says what is wrong with it",
        LeftWhy::Recent => "it was written to within ten minutes",
        _ => "left as it is",
    }
}
