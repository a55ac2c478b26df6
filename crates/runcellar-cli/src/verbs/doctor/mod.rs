//! `doctor`: looks at the workspace and its surroundings.

mod findings;
mod report;

use crate::failure::{Code, Failure};
use crate::output;
use crate::render::{Style, visible, wrapped};
use crate::session::Session;

/// Columns before the message of a finding.
const INDENT: usize = 22;

/// Look at the workspace, its key file and where both lie
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Nothing is changed. The exit code is 0 unless something is wrong. For the data itself see runcellar check.

Examples:
  runcellar doctor
  runcellar doctor --json
  runcellar doctor --report > report.json   to attach to a bug report: it has no names, paths or ids")]
pub(crate) struct Args {
    /// Write a report without content as JSON: versions, sizes, counts and what the checks found, by kind
    #[arg(long)]
    report: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Note,
    Warning,
    Error,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Note => "note",
            Status::Warning => "warning",
            Status::Error => "error",
        }
    }

    fn style(self) -> Style {
        match self {
            Status::Ok => Style::Green,
            Status::Note => Style::Cyan,
            Status::Warning => Style::Yellow,
            Status::Error => Style::Red,
        }
    }
}

#[derive(serde::Serialize)]
struct Finding {
    name: &'static str,
    status: Status,
    message: String,
}

#[derive(serde::Serialize)]
struct Shape<'a> {
    ok: bool,
    workspace: String,
    id: &'a str,
    format: u32,
    version: &'static str,
    device: &'a str,
    opened_by: Option<OpenedBy<'a>>,
    key_file: Option<String>,
    slots: usize,
    read_only: bool,
    file_system: FileSystem<'a>,
    journals: Journals,
    bytes: Sizes,
    sqlite: &'a str,
    checks: &'a [Finding],
}

#[derive(serde::Serialize)]
struct OpenedBy<'a> {
    id: &'a str,
    kind: &'static str,
    name: &'a str,
}

#[derive(serde::Serialize)]
struct FileSystem<'a> {
    mount: &'a str,
    mode: &'static str,
    forced: bool,
    locks: Option<bool>,
}

#[derive(serde::Serialize)]
struct Journals {
    live: u64,
    left: u64,
}

#[derive(serde::Serialize)]
struct Sizes {
    database: u64,
    journals: u64,
    temporary: u64,
    free: u64,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let workspace = session.open_with(false)?;
    let facts = workspace.diagnose()?;
    let findings = findings::of(&facts, &workspace.quotas(None)?);
    if args.report {
        let report = report::of(session, &workspace, &facts, &findings)?;
        return output::print(&format!("{}\n", serde_json::to_string_pretty(&report)?));
    }
    let id = workspace.id();
    let errors = findings.iter().filter(|finding| finding.status == Status::Error).count();
    let opened_by = facts.slots.iter().find(|slot| slot.in_use);
    let shape = Shape {
        ok: errors == 0,
        workspace: workspace.path().display().to_string(),
        id: &id,
        format: facts.format,
        version: env!("CARGO_PKG_VERSION"),
        device: &facts.device,
        opened_by: opened_by.map(|slot| OpenedBy { id: &slot.id, kind: slot.kind, name: &slot.name }),
        key_file: facts.key_file.as_ref().map(|file| file.path.display().to_string()),
        slots: facts.slots.len(),
        read_only: facts.read_only,
        file_system: FileSystem {
            mount: &facts.file_system.mount,
            mode: if facts.file_system.network { "snapshot" } else { "wal" },
            forced: facts.file_system.forced,
            locks: facts.file_system.locks,
        },
        journals: Journals { live: facts.journals_live, left: facts.journals_left },
        bytes: Sizes {
            database: facts.database_bytes,
            journals: facts.journal_bytes,
            temporary: facts.temporary_bytes,
            free: facts.free_bytes,
        },
        sqlite: &facts.sqlite,
        checks: &findings,
    };
    session.answer(&shape, || text_of(session, &shape, &findings))?;
    if !session.json {
        session.remind_of_one_slot(&workspace);
    }
    match errors {
        0 => Ok(()),
        _ => Err(Failure::new(Code::Other, format!("{errors} of the checks found an error"))),
    }
}

fn text_of(session: &Session, shape: &Shape<'_>, findings: &[Finding]) -> String {
    let color = session.display.color;
    let dim = |text: &str| Style::Dim.paint(text, color);
    let mut text = format!(
        "{} {}\n{} {}\n{} {}\n\n",
        dim("workspace"),
        visible(&shape.workspace),
        dim("id       "),
        shape.id,
        dim("device   "),
        shape.device
    );
    for finding in findings {
        let word = finding.status.style().paint(&format!("{:7}", finding.status.word()), color);
        let message =
            wrapped(&visible(&finding.message), session.display.width.map(|width| width.saturating_sub(INDENT)));
        text.push_str(&format!("{word}  {:11}  {}\n", finding.name, message.join(&format!("\n{:INDENT$}", ""))));
    }
    text
}
