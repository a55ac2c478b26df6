//! `terms`: the documents of those who store what is sent, as they were given.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use runcellar::remotes::{NewTerms, RemoteStatus, TERMS_BYTES_MAX, TermsInfo};

use crate::failure::{Code, Failure};
use crate::files::NewFile;
use crate::output;
use crate::render::number::bytes;
use crate::render::table::{Cell, Column, Table};
use crate::render::{Style, visible};
use crate::session::Session;
use crate::shapes::Time;

/// Digits of a hash that a terminal shows.
const HASH_DIGITS: usize = 12;

/// Show and replace the terms under which somebody stores what is sent
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A document is kept as it was given, and what is agreed to has its hash. Another document stops what is sent until the remote is \
enabled again; one that was agreed to is kept for good.

Examples:
  runcellar terms show
  runcellar terms show origin
  runcellar terms update origin provider-terms-2027.pdf --date 2027-01-01
  runcellar terms update origin --none")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the documents, or print that of a remote
    Show {
        /// The remote
        remote: Option<String>,
        /// An earlier one: the beginning of its hash
        #[arg(long, value_name = "HASH", requires = "remote")]
        hash: Option<String>,
        /// Write the document to a file
        #[arg(short, long, value_name = "FILE", requires = "remote")]
        output: Option<PathBuf>,
    },
    /// Give a remote another document
    Update {
        /// The remote
        remote: String,
        /// The document: a file of any kind
        #[arg(required_unless_present = "none")]
        file: Option<PathBuf>,
        /// Its date, such as 2026-01-31
        #[arg(long, value_name = "DATE", requires = "file")]
        date: Option<String>,
        /// From now on it has none
        #[arg(long, conflicts_with = "file")]
        none: bool,
    },
}

#[derive(serde::Serialize)]
struct Shape<'a> {
    remote: &'a str,
    name: &'a str,
    hash: &'a str,
    bytes: u64,
    /// As the user said; null if nobody did.
    date: Option<Time>,
    added: Time,
    /// When it was first agreed to; null if it was not.
    agreed: Option<Time>,
    present: bool,
}

#[derive(serde::Serialize)]
struct ChangeShape<'a> {
    remote: &'a str,
    changed: bool,
    before: Option<Shape<'a>>,
    now: Option<Shape<'a>>,
    /// Null if one side is no text.
    diff: Option<&'a str>,
}

impl<'a> Shape<'a> {
    fn of(info: &'a TermsInfo) -> Shape<'a> {
        Shape {
            remote: &info.remote,
            name: &info.name,
            hash: &info.hash,
            bytes: info.bytes,
            date: info.date.map(Time),
            added: Time(info.added),
            agreed: info.agreed.map(Time),
            present: info.is_present,
        }
    }
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    match &args.action {
        Action::Show { remote: None, .. } => list(session),
        Action::Show { remote: Some(remote), hash, output } => {
            show(session, remote, hash.as_deref(), output.as_deref())
        }
        Action::Update { remote, file, date, .. } => {
            let new = file.as_deref().map(|file| document(file, date.as_deref())).transpose()?;
            update(session, remote, new.as_ref())
        }
    }
}

fn list(session: &Session) -> Result<(), Failure> {
    let all = session.open()?.terms()?;
    let shapes: Vec<Shape<'_>> = all.iter().map(Shape::of).collect();
    session.answer(&shapes, || {
        if all.is_empty() {
            return "no remote has terms: runcellar terms update REMOTE FILE\n".to_owned();
        }
        let mut table = Table::new(vec![
            Column::left("remote").shrink_to(8),
            Column::left("state"),
            Column::left("document").shrink_to(12),
            Column::right("size").priority(2),
            Column::left("date").priority(1),
            Column::left("hash").priority(1),
        ]);
        for info in &all {
            let state = match (info.is_present, info.agreed) {
                (true, Some(_)) => "present",
                (true, None) => "present, not agreed to",
                (false, _) => "earlier",
            };
            table.push(vec![
                Cell::new(info.remote.as_str(), Style::Cyan),
                state.into(),
                visible(&info.name).as_str().into(),
                bytes(info.bytes).as_str().into(),
                day(info.date).as_str().into(),
                Cell::new(&info.hash[..HASH_DIGITS], Style::Dim),
            ]);
        }
        table.render(session.display.width, session.display.color)
    })
}

fn day(time: Option<i64>) -> String {
    time.map(|time| runcellar::rfc3339(time)[..10].to_owned()).unwrap_or_default()
}

/// Prints a document as it is: to a file, or to standard output; what is no text not onto a terminal.
fn show(session: &Session, remote: &str, hash: Option<&str>, to: Option<&Path>) -> Result<(), Failure> {
    let (info, document) = session.open()?.terms_document(remote, hash)?;
    if let Some(path) = to {
        let mut file = NewFile::create(path)?;
        file.write_all(&document).map_err(|cause| Failure::file("write", path, &cause))?;
        file.finish()?;
    }
    if session.json {
        return output::print_json(&Shape::of(&info), session.display);
    }
    let of_date = info.date.map(|_| format!(", of {}", day(info.date))).unwrap_or_default();
    session.note(&format!("{}{of_date}: {}, BLAKE3 {}", visible(&info.name), bytes(info.bytes), info.hash));
    match (to, std::str::from_utf8(&document)) {
        (Some(_), _) => Ok(()),
        (None, Ok(text)) if session.display.terminal => {
            output::print(&(text.lines().map(visible).collect::<Vec<_>>().join("\n") + "\n"))
        }
        (None, Err(_)) if session.display.terminal => {
            Err(Failure::usage(format!("{} is no text: -o FILE writes it to a file", info.name)))
        }
        (None, _) => {
            let mut out = output::stdout();
            out.write_all(&document)?;
            Ok(out.flush()?)
        }
    }
}

fn update(session: &Session, remote: &str, new: Option<&NewTerms>) -> Result<(), Failure> {
    let workspace = session.open()?;
    let change = workspace.set_terms(remote, new)?;
    let diff = change.unified().filter(|_| change.is_change());
    let side = |side: &'_ Option<(TermsInfo, Vec<u8>)>| side.as_ref().map(|(info, _)| info.clone());
    let (before, now) = (side(&change.before), side(&change.now));
    let shape = ChangeShape {
        remote,
        changed: change.is_change(),
        before: before.as_ref().map(Shape::of),
        now: now.as_ref().map(Shape::of),
        diff: diff.as_deref(),
    };
    session.answer(&shape, || {
        if !change.is_change() {
            return match &now {
                Some(now) => format!("unchanged: {remote} has these terms since {}\n", day(Some(now.added))),
                None => format!("unchanged: {remote} has no terms\n"),
            };
        }
        if let Some(diff) = &diff {
            return diff.lines().map(|line| visible(line) + "\n").collect();
        }
        let side = |side: &Option<TermsInfo>| match side {
            Some(info) => format!("{}, {}, BLAKE3 {}", visible(&info.name), bytes(info.bytes), info.hash),
            None => "none".to_owned(),
        };
        format!("before: {}\nnow:    {}\n", side(&before), side(&now))
    })?;
    let status = workspace.remote(remote)?.status;
    if change.is_change() && status != RemoteStatus::Added {
        match workspace.consent_request(remote)?.is_agreed {
            true => session.note(&format!("{remote} is again what was agreed to")),
            false => session.note(&format!("nothing is sent to {remote} before runcellar remote enable {remote}")),
        }
    }
    Ok(())
}

/// Reads a document whole, or not at all: only files have an end, and one that changes meanwhile is none that anybody read.
pub(crate) fn document(path: &Path, date: Option<&str>) -> Result<NewTerms, Failure> {
    let date = date.map(runcellar::query::parse_time).transpose().map_err(|error| Failure::usage(error.to_string()))?;
    let failed = |cause: std::io::Error| Failure::file("read", path, &cause);
    let wrong = |why: &str| Failure::new(Code::Usage, format!("terms {}: {why}", path.display()));
    // Does not wait for whoever may write into a pipe.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut file = File::options().read(true).custom_flags(nonblocking).open(path).map_err(failed)?;
    let before = file.metadata().map_err(failed)?;
    if !before.is_file() {
        return Err(wrong("it is no file"));
    }
    let mut bytes = Vec::new();
    (&mut file).take(TERMS_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    let after = file.metadata().map_err(failed)?;
    let state = |file: &std::fs::Metadata| (file.len(), file.mtime(), file.mtime_nsec());
    let is_cut = bytes.len() <= TERMS_BYTES_MAX && bytes.len() as u64 != after.len();
    if state(&before) != state(&after) || is_cut {
        return Err(wrong("it changed while it was read"));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let terms = NewTerms { name, date, bytes };
    terms.check()?;
    Ok(terms)
}
