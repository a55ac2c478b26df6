//! `doctor`: looks at the workspace and its surroundings.

use runcellar::Diagnosis;
use runcellar::workspace::FileFacts;

use unicode_width::UnicodeWidthStr as _;

use crate::failure::{Code, Failure};
use crate::render::number::bytes;
use crate::render::{Style, visible};
use crate::session::Session;

/// Free space below which a note, and below which a warning is given.
const FREE_BYTES_LOW: (u64, u64) = (2 << 30, 200 << 20);

/// Columns before the message of a finding.
const INDENT: usize = 22;

/// Look at the workspace, its key file and where both lie
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Nothing is changed. The exit code is 0 unless something is wrong. For the data itself see runcellar check.

Examples:
  runcellar doctor
  runcellar doctor --json")]
pub(crate) struct Args {}

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

pub(crate) fn run(session: &Session, _args: &Args) -> Result<(), Failure> {
    let workspace = session.open_with(false)?;
    let facts = workspace.diagnose()?;
    let findings = findings(&facts);
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

/// Cuts a text into lines of at most `width` columns at its spaces; a longer word has a line of its own.
fn wrapped(text: &str, width: Option<usize>) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if width.is_none_or(|width| line.width() + 1 + word.width() <= width) {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

fn findings(facts: &Diagnosis) -> Vec<Finding> {
    let one = |name, (status, message)| Finding { name, status, message };
    vec![
        one("version", (Status::Ok, format!("runcellar {}, format {}", env!("CARGO_PKG_VERSION"), facts.format))),
        one("opened by", opened_by(facts)),
        one("key file", key_file(facts)),
        one("slots", slots(facts)),
        one("place", place(&facts.directory, "the workspace")),
        one("key place", key_place(facts)),
        one("mirror", mirror(facts)),
        one("writing", writing(facts)),
        one("journals", journals(facts)),
        one("sqlite", (Status::Ok, format!("{}, built in", facts.sqlite))),
        one("size", size(facts)),
        one("free space", free_space(facts)),
    ]
}

fn opened_by(facts: &Diagnosis) -> (Status, String) {
    match facts.slots.iter().find(|slot| slot.in_use) {
        Some(slot) => {
            (Status::Ok, format!("{} {:?} (slot {})", slot.kind, slot.name, &slot.id[..8.min(slot.id.len())]))
        }
        None => (Status::Note, "a slot that keyslots no longer has".to_owned()),
    }
}

fn key_file(facts: &Diagnosis) -> (Status, String) {
    match &facts.key_file {
        Some(file) if file.mode & 0o077 == 0 => {
            (Status::Ok, format!("{} (mode {:03o})", file.path.display(), file.mode))
        }
        Some(file) => (
            Status::Warning,
            format!("{}: others can read it (mode {:03o}): chmod 600 it", file.path.display(), file.mode),
        ),
        None => (Status::Note, "none in use: the workspace was opened without one".to_owned()),
    }
}

fn slots(facts: &Diagnosis) -> (Status, String) {
    match facts.slots.len() {
        1 => (Status::Warning, "one way in; if it is lost, so is everything: runcellar key add recovery".to_owned()),
        count => (
            Status::Ok,
            format!("{count} ways in: {}", crate::failure::listed(facts.slots.iter().map(|slot| slot.kind))),
        ),
    }
}

fn place(file: &FileFacts, what: &str) -> (Status, String) {
    match file.file_system {
        "overlay" => (Status::Warning, format!("{what} lies on a container's overlay and goes with the container")),
        "memory" => (Status::Warning, format!("{what} lies in memory (tmpfs) and goes with a reboot")),
        "network" => (
            Status::Warning,
            format!("{what} lies on a network file system, where several hosts must not write at once"),
        ),
        "local" => (Status::Ok, format!("{what} lies on a local file system")),
        _ => (Status::Note, format!("{what} lies on a file system that cannot be told")),
    }
}

fn key_place(facts: &Diagnosis) -> (Status, String) {
    let Some(file) = &facts.key_file else { return (Status::Ok, "no key file in use".to_owned()) };
    let (status, mut message) = place(file, "the key file");
    let apart = file.device != facts.directory.device;
    if apart {
        message.push_str(", another than the workspace's: each can be lost alone");
    }
    (if apart && status == Status::Ok { Status::Note } else { status }, message)
}

fn mirror(facts: &Diagnosis) -> (Status, String) {
    let Some(mirror) = &facts.mirror else {
        return (Status::Note, "no directory of key files, so an older copy put back would not be noticed".to_owned());
    };
    match (&mirror.problem, mirror.written, mirror.writable) {
        (Some(problem), ..) => (Status::Error, format!("the workspace was {problem}")),
        (None, _, false) => (
            Status::Note,
            format!("{} cannot be written, so an older copy put back would not be noticed", mirror.path.display()),
        ),
        (None, true, true) => (Status::Ok, "an older copy put back would be noticed".to_owned()),
        (None, false, true) => (Status::Note, "not written yet; the next write makes it".to_owned()),
    }
}

fn writing(facts: &Diagnosis) -> (Status, String) {
    if facts.read_only {
        return (Status::Note, "the workspace can only be read here".to_owned());
    }
    if facts.directory.mode & 0o077 != 0 {
        let message =
            format!("others can look into the workspace's directory (mode {:03o}): chmod 700 it", facts.directory.mode);
        return (Status::Note, message);
    }
    (Status::Ok, "the workspace can be written, by this user alone".to_owned())
}

fn journals(facts: &Diagnosis) -> (Status, String) {
    match (facts.journals_live, facts.journals_left) {
        (0, 0) => (Status::Ok, "no run is being recorded".to_owned()),
        (live, 0) => (Status::Ok, format!("{live} of writers at work")),
        (live, left) => {
            (Status::Note, format!("{live} of writers at work, {left} left by dead ones; any other verb takes them in"))
        }
    }
}

fn size(facts: &Diagnosis) -> (Status, String) {
    let sizes = format!("cellar.db {}, journals {}", bytes(facts.database_bytes), bytes(facts.journal_bytes));
    match facts.temporary_bytes {
        0 => (Status::Ok, sizes),
        left => (Status::Note, format!("{sizes}, left in tmp/ {}", bytes(left))),
    }
}

fn free_space(facts: &Diagnosis) -> (Status, String) {
    let status = match facts.free_bytes {
        free if free < FREE_BYTES_LOW.1 => Status::Warning,
        free if free < FREE_BYTES_LOW.0 => Status::Note,
        _ => Status::Ok,
    };
    (status, bytes(facts.free_bytes))
}
