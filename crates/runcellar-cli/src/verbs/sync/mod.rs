//! `sync`: what others published comes in, and what is new here goes out.

pub(crate) mod place;

use runcellar::Workspace;
use runcellar::remotes::RemoteStatus;
use runcellar_sync::engine::{self, Report};

use crate::failure::{Code, Failure};
use crate::render::number::bytes;
use crate::render::{Style, visible};
use crate::session::Session;

/// Exchange with the remotes that are enabled
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What other devices published comes in first; then what is new here goes out, encrypted. A sync that is cut off goes on with the \
next. RUNCELLAR_OFFLINE=1 or a file OFFLINE in the workspace keeps everything at home; no variable enables anything.

Examples:
  runcellar sync
  runcellar sync origin --json")]
pub(crate) struct Args {
    /// The remote [default: all that are enabled]
    remote: Option<String>,
}

#[derive(serde::Serialize)]
struct Shape<'a> {
    remote: &'a str,
    sent: MovedShape,
    fetched: MovedShape,
    runs: RunsShape,
    devices: u64,
}

#[derive(serde::Serialize)]
struct MovedShape {
    objects: u64,
    bytes: u64,
}

#[derive(serde::Serialize)]
struct RunsShape {
    sent: u64,
    new: u64,
    updated: u64,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    refuse_if_offline()?;
    let workspace = session.open()?;
    let names = match &args.remote {
        Some(name) => vec![name.clone()],
        None => enabled(&workspace)?,
    };
    let mut done = Vec::new();
    for name in names {
        done.push((one(session, &workspace, &name)?, name));
    }
    let shapes: Vec<Shape<'_>> = done.iter().map(|(report, name)| shape_of(name, report)).collect();
    session.answer(&shapes, || done.iter().map(|(report, name)| text_of(session, name, report)).collect())?;
    let left: Vec<_> = done.iter().flat_map(|(report, _)| &report.merged.left_out).collect();
    for left in &left {
        session.warn(&format!("{}: left out: {}", visible(&left.what), visible(&left.why)));
    }
    match left.iter().filter(|left| left.damaged).count() {
        0 => Ok(()),
        count => Err(Failure::new(Code::Damage, format!("{count} of what came in is damaged"))),
    }
}

/// Refuses to open a connection where the user said so.
pub(crate) fn refuse_if_offline() -> Result<(), Failure> {
    match std::env::var_os("RUNCELLAR_OFFLINE").is_some_and(|value| !value.is_empty() && value != "0") {
        true => Err(Failure::new(Code::Other, "RUNCELLAR_OFFLINE is set: nothing is sent or fetched")),
        false => Ok(()),
    }
}

fn enabled(workspace: &Workspace) -> Result<Vec<String>, Failure> {
    let remotes = workspace.remotes()?;
    let enabled = remotes.iter().filter(|remote| remote.status == RemoteStatus::Enabled);
    let names: Vec<String> = enabled.map(|remote| remote.name.clone()).collect();
    match (names.is_empty(), remotes.first()) {
        (false, _) => Ok(names),
        (true, Some(known)) => {
            let advice = format!("  agree to one: runcellar remote enable {}", known.name);
            Err(Failure::new(Code::Consent, "no remote is enabled: nothing is sent or fetched").advise(advice))
        }
        (true, None) => {
            let advice = "  name a place: runcellar remote add NAME URL";
            Err(Failure::new(Code::NotFound, "no remote is known").advise(advice))
        }
    }
}

fn one(session: &Session, workspace: &Workspace, name: &str) -> Result<Report, Failure> {
    let remote = workspace.may_send(name)?;
    let _work = session.work("syncing");
    let place = place::open(session, &remote.url)?;
    Ok(engine::sync(workspace, name, &*place)?)
}

fn shape_of<'a>(name: &'a str, report: &Report) -> Shape<'a> {
    let merged = &report.merged;
    Shape {
        remote: name,
        sent: MovedShape { objects: report.sent, bytes: report.sent_bytes },
        fetched: MovedShape { objects: report.fetched, bytes: report.fetched_bytes },
        runs: RunsShape { sent: report.sent_runs, new: merged.new_runs, updated: merged.updated_runs },
        devices: report.devices,
    }
}

fn text_of(session: &Session, name: &str, report: &Report) -> String {
    let dim = |text: &str| Style::Dim.paint(text, session.display.color);
    let runs = |count: u64| if count == 1 { "1 run".to_owned() } else { format!("{count} runs") };
    format!(
        "{}\n  {}     {}, {}\n  {}  {} new, {} updated, {}\n  {}  {}\n",
        name,
        dim("sent"),
        runs(report.sent_runs),
        bytes(report.sent_bytes),
        dim("fetched"),
        runs(report.merged.new_runs),
        report.merged.updated_runs,
        bytes(report.fetched_bytes),
        dim("devices"),
        report.devices
    )
}

impl From<engine::Failure> for Failure {
    fn from(failure: engine::Failure) -> Self {
        match failure {
            engine::Failure::Store(error) => Failure::from(error),
            engine::Failure::Remote(error) => Failure::from(error),
        }
    }
}

impl From<runcellar_sync::Error> for Failure {
    fn from(error: runcellar_sync::Error) -> Self {
        use runcellar_sync::ErrorKind;
        let code = match error.kind() {
            ErrorKind::InvalidArgument => Code::Usage,
            ErrorKind::NoSuchPlace => Code::NotFound,
            ErrorKind::Refused => Code::Locked,
            ErrorKind::Damaged => Code::Damage,
            ErrorKind::Unreachable => Code::Busy,
            ErrorKind::ReadOnly | ErrorKind::Full | ErrorKind::ObjectLocked => Code::ReadOnly,
            _ => Code::Other,
        };
        Failure::new(code, error.to_string())
    }
}
