//! `sync`: what others published comes in, and what is new here goes out.

pub(crate) mod around;
mod dry_run;
pub(crate) mod place;
mod status;
mod unit;
mod watch;

use clap::Subcommand;
use runcellar::remotes::{HeldRun, RemoteStatus};
use runcellar::secrets::Finding;
use runcellar::{LeftOut, Workspace};
use runcellar_sync::agent;
use runcellar_sync::engine::{self, Report};

use crate::failure::{Advice, Code, Failure};
use crate::render::number::{bytes, count};
use crate::render::{Style, visible};
use crate::session::Session;

/// Exchange with the remotes that are enabled
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
What other devices published comes in first; then what is new here goes out, encrypted. A sync that is cut off goes on with the \
next. RUNCELLAR_OFFLINE=1 or a file OFFLINE in the workspace keeps everything at home; no variable enables anything.

Examples:
  runcellar sync
  runcellar sync origin --json
  runcellar sync --dry-run
  runcellar sync --watch
  runcellar sync status")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// The remote [default: all that are enabled]
    remote: Option<String>,
    /// Say what would be sent, and make no request
    #[arg(long)]
    dry_run: bool,
    /// Follow the workspace, and send what is new within seconds
    #[arg(long, conflicts_with_all = ["remote", "dry_run"])]
    watch: bool,
    /// With --watch: end after so many seconds without anything to do; 0 for never
    #[arg(long, value_name = "SECONDS", requires = "watch", default_value_t = agent::IDLE.as_secs())]
    idle: u64,
    /// With --watch: go on in the background
    #[arg(long, requires = "watch")]
    detach: bool,
    /// Set by --detach for the process that goes on.
    #[arg(long, hide = true, requires = "watch", conflicts_with = "detach")]
    detached: bool,
    /// Print a systemd user unit that follows the workspace
    #[arg(long, conflicts_with_all = ["remote", "dry_run", "watch"])]
    install: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say how each remote stands: what it lacks, and how the last sync ended
    Status,
}

/// What is said where a variable keeps everything at home.
pub(crate) const OFFLINE: &str = "RUNCELLAR_OFFLINE is set: nothing is sent or fetched";

#[derive(serde::Serialize)]
struct Shape<'a> {
    remote: &'a str,
    sent: MovedShape,
    fetched: MovedShape,
    runs: RunsShape,
    versions: VersionsShape,
    /// Files of runs that came in: code and media.
    files: u64,
    devices: u64,
    behind: u64,
    /// Devices that are not known here and replaced the keys.
    strangers: u64,
    deleted: u64,
    /// Runs that were not sent, as secrets were found in them.
    held: Vec<HeldShape<'a>>,
    /// Why nothing was sent; null if it is what was agreed to.
    not_agreed: Option<String>,
    /// Packs that nothing needs any more, and that wait to be deleted.
    waiting: u64,
    /// Objects of this device that were gone, and were sent again.
    gone: u64,
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

#[derive(serde::Serialize)]
struct VersionsShape {
    sent: u64,
    new: u64,
}

/// A run that is held back; what was found says where, and never what.
#[derive(serde::Serialize)]
struct HeldShape<'a> {
    id: &'a str,
    name: &'a str,
    project: &'a str,
    /// True if an earlier state of it is there.
    published: bool,
    findings: Vec<FindingShape<'a>>,
}

#[derive(serde::Serialize)]
struct FindingShape<'a> {
    id: &'a str,
    rule: &'a str,
    place: &'a str,
    length: u64,
}

impl<'a> HeldShape<'a> {
    fn of(held: &'a HeldRun) -> HeldShape<'a> {
        let finding = |finding: &'a Finding| FindingShape {
            id: &finding.id,
            rule: &finding.rule,
            place: &finding.place,
            length: finding.length,
        };
        HeldShape {
            id: &held.id,
            name: &held.name,
            project: &held.project,
            published: held.is_published,
            findings: held.findings.iter().map(finding).collect(),
        }
    }
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    match &args.action {
        Some(Action::Status) => return status::run(session),
        None if args.dry_run => return dry_run::run(session, args.remote.as_deref()),
        None if args.install => return unit::run(session),
        None if args.watch => return watch::run(session, args),
        None => refuse_if_offline()?,
    }
    let workspace = session.open()?;
    let names = named_or_enabled(&workspace, args.remote.as_deref())?;
    let mut done = Vec::new();
    for name in names {
        done.push((one(session, &workspace, &name)?, name));
    }
    let shapes: Vec<Shape<'_>> = done.iter().map(|(report, name)| shape_of(name, report)).collect();
    session.answer(&shapes, || done.iter().map(|(report, name)| text_of(session, name, report)).collect())?;
    done.iter().for_each(|(report, name)| around::tell(session, name, report));
    for left in done.iter().flat_map(|(report, _)| &report.not_sent) {
        session.warn(&format!("{}: not sent: {}", visible(&left.what), visible(&left.why)));
    }
    for held in done.iter().flat_map(|(report, _)| &report.held) {
        session.warn(&format!("run {}: {}", visible(&held.id), visible(&held.why())));
    }
    for why in done.iter().filter_map(|(report, _)| report.not_agreed.as_ref()) {
        session.warn(&format!("nothing was sent: {}", visible(why)));
    }
    let all_came_in = all_came_in(session, done.iter().flat_map(|(report, _)| &report.merged.left_out));
    match done.iter().map(|(report, _)| report.not_sent.len()).sum::<usize>() {
        0 if done.iter().any(|(report, _)| report.not_agreed.is_some()) => {
            all_came_in?;
            Err(Failure::new(Code::Consent, "nothing was sent where it is not agreed to any more"))
        }
        0 if done.iter().any(|(report, _)| !report.held.is_empty()) => {
            all_came_in?;
            let held: std::collections::BTreeSet<&str> =
                done.iter().flat_map(|(report, _)| report.held.iter().map(|run| run.id.as_str())).collect();
            let runs = count(held.len() as u64, "run");
            Err(Failure::new(Code::Consent, format!("{runs} held back, as secrets were found; the rest was sent")))
        }
        0 => all_came_in,
        count => Err(Failure::new(Code::Damage, format!("{count} of what is here is damaged, and was not sent"))),
    }
}

/// Names what was left out, and fails if some of it is damaged.
pub(crate) fn all_came_in<'a>(session: &Session, left: impl Iterator<Item = &'a LeftOut>) -> Result<(), Failure> {
    let mut damaged = 0;
    for left in left {
        session.warn(&format!("{}: left out: {}", visible(&left.what), visible(&left.why)));
        damaged += usize::from(left.damaged);
    }
    match damaged {
        0 => Ok(()),
        count => Err(Failure::new(Code::Damage, format!("{count} of what came in is damaged"))),
    }
}

/// Returns whether the user said that nothing may leave this process.
pub(crate) fn is_offline() -> bool {
    std::env::var_os("RUNCELLAR_OFFLINE").is_some_and(|value| !value.is_empty() && value != "0")
}

/// Returns why nothing is sent to a remote now; none if it is.
fn blocked(workspace: &Workspace, name: &str) -> Option<String> {
    match workspace.may_send(name) {
        Err(error) => Some(error.to_string()),
        Ok(_) => is_offline().then(|| OFFLINE.to_owned()),
    }
}

/// Refuses to open a connection where the user said so.
pub(crate) fn refuse_if_offline() -> Result<(), Failure> {
    match is_offline() {
        true => Err(Failure::new(Code::Other, OFFLINE)),
        false => Ok(()),
    }
}

/// Returns the remote that was named, or all that are enabled.
fn named_or_enabled(workspace: &Workspace, name: Option<&str>) -> Result<Vec<String>, Failure> {
    if let Some(name) = name {
        return Ok(vec![workspace.remote(name)?.name]);
    }
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
    let remote = workspace.may_fetch(name)?;
    let _work = session.work("syncing");
    let place = place::open(session, &place::options_of(workspace)?, &remote.url)?;
    Ok(engine::sync(workspace, name, &*place)?)
}

fn shape_of<'a>(name: &'a str, report: &'a Report) -> Shape<'a> {
    let merged = &report.merged;
    Shape {
        remote: name,
        sent: MovedShape { objects: report.sent + report.sent_packs, bytes: report.sent_bytes },
        fetched: MovedShape { objects: report.fetched + report.fetched_packs, bytes: report.fetched_bytes },
        runs: RunsShape { sent: report.sent_runs, new: merged.new_runs, updated: merged.updated_runs },
        versions: VersionsShape { sent: report.sent_versions, new: merged.new_versions },
        files: merged.new_files,
        devices: report.devices,
        behind: report.behind,
        strangers: report.strangers,
        deleted: report.deleted,
        held: report.held.iter().map(HeldShape::of).collect(),
        not_agreed: report.not_agreed.clone(),
        waiting: report.waiting,
        gone: report.gone,
    }
}

fn text_of(session: &Session, name: &str, report: &Report) -> String {
    let dim = |text: &str| Style::Dim.paint(text, session.display.color);
    let also = |number: u64, what: &str| if number == 0 { String::new() } else { format!(", {}", count(number, what)) };
    let merged = &report.merged;
    format!(
        "{}\n  {}     {}{}, {}\n  {}  {} new, {} updated{}{}, {}\n  {}  {}\n",
        name,
        dim("sent"),
        count(report.sent_runs, "run"),
        also(report.sent_versions, "version"),
        bytes(report.sent_bytes),
        dim("fetched"),
        count(merged.new_runs, "run"),
        merged.updated_runs,
        also(merged.new_versions, "new version"),
        also(merged.new_files, "file"),
        bytes(report.fetched_bytes),
        dim("devices"),
        report.devices
    )
}

impl From<engine::Failure> for Failure {
    fn from(failure: engine::Failure) -> Self {
        match failure {
            // What is hurt is rather there than here.
            engine::Failure::Store(error) if error.kind() == runcellar::ErrorKind::Damaged => {
                let advice = "  see what is hurt: runcellar verify REMOTE, and for what is here: runcellar check";
                Failure::Error { code: Code::Damage, message: error.to_string(), advice: Advice::Below(advice.into()) }
            }
            engine::Failure::Store(error) => Failure::from(error),
            engine::Failure::Remote(error) => Failure::from(error),
        }
    }
}

impl From<runcellar_sync::Error> for Failure {
    fn from(error: runcellar_sync::Error) -> Self {
        Failure::new(code_of(&error), error.to_string())
    }
}

/// Returns the exit code of an error of a remote.
pub(crate) fn code_of(error: &runcellar_sync::Error) -> Code {
    use runcellar_sync::ErrorKind;
    match error.kind() {
        ErrorKind::InvalidArgument => Code::Usage,
        ErrorKind::NoSuchPlace => Code::NotFound,
        ErrorKind::Refused => Code::Locked,
        ErrorKind::Damaged => Code::Damage,
        ErrorKind::Unreachable => Code::Busy,
        ErrorKind::ReadOnly | ErrorKind::Full | ErrorKind::ObjectLocked => Code::ReadOnly,
        _ => Code::Other,
    }
}
