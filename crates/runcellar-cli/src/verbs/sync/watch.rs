//! `sync --watch`: the agent of a workspace.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use runcellar::{ErrorKind, Workspace};
use runcellar_sync::agent::{Agent, End, Event};
use runcellar_sync::engine::{Outcome, Report};
use runcellar_sync::remote::{self, Remote};
use signal_hook::consts::SIGINT;

use super::{Args, named_or_enabled, place, refuse_if_offline};
use crate::failure::{Code, Failure};
use crate::interrupt;
use crate::render::number::{bytes, count, duration};
use crate::render::visible;
use crate::session::Session;

pub(super) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    refuse_if_offline()?;
    let workspace = session.open()?;
    named_or_enabled(&workspace, None)?;
    if args.detach {
        return detach(session, &workspace, args.idle);
    }
    if args.detached {
        // Fails if it leads a session already, which is what is wanted.
        let _ = rustix::process::setsid();
    }
    let lock = workspace.become_agent().map_err(|error| match error.kind() {
        ErrorKind::Busy => Failure::new(Code::Busy, error.to_string()),
        _ => Failure::from(error),
    })?;
    session.note(&format!("following {}; Ctrl-C ends it", workspace.path().display()));
    let agent = Agent {
        workspace: &workspace,
        lock: &lock,
        open: &open,
        tell: &|event| tell(session, event),
        is_told_to_end: &interrupt::is_cancelled,
        idle: (args.idle > 0).then(|| Duration::from_secs(args.idle)),
    };
    let end = interrupt::gracefully(|| agent.run())?;
    match (end, interrupt::cancelled_by()) {
        (End::Told, SIGINT) => Err(Failure::Interrupted),
        (End::Told, _) => Ok(()),
        (End::Idle, _) => {
            session.note(&format!("nothing to do for {}: ended", duration(args.idle as f64)));
            Ok(())
        }
    }
}

fn open(workspace: &Workspace, url: &str) -> Outcome<Box<dyn Remote>> {
    Ok(remote::open(&url.parse()?, &place::options_of(workspace)?)?)
}

fn tell(session: &Session, event: &Event<'_>) {
    match event {
        Event::Polls => session.note("no file events come here: looking every few seconds"),
        Event::Synced(name, Report { not_agreed: Some(why), .. }) => {
            session.warn(&format!("{name}: nothing is sent: {}", visible(why)));
        }
        Event::Synced(name, report) => session.note(&format!("{name}: {}", what_moved(report))),
        Event::Held(name, held) => {
            for held in *held {
                session.warn(&format!("{name}: run {}: {}", visible(&held.id), visible(&held.why())));
            }
        }
        Event::Failed(name, failure, wait) => {
            let wait = duration(wait.as_secs_f64());
            session.warn(&format!("{name}: {}; the next attempt is in {wait}", visible(&failure.to_string())));
        }
    }
}

fn what_moved(report: &Report) -> String {
    let mut parts = Vec::new();
    if report.sent > 0 {
        parts.push(format!("sent {}, {}", count(report.sent_runs, "run"), bytes(report.sent_bytes)));
    }
    if report.fetched > 0 {
        let merged = &report.merged;
        parts.push(format!("fetched {} new, {} updated", count(merged.new_runs, "run"), merged.updated_runs));
    }
    parts.join("; ")
}

/// Starts the agent as a process that outlives this one and its terminal.
fn detach(session: &Session, workspace: &Workspace, idle: u64) -> Result<(), Failure> {
    if let Some(pid) = workspace.agent()? {
        return Err(Failure::new(Code::Busy, format!("process {pid} follows this workspace already")));
    }
    let program =
        std::env::current_exe().map_err(|cause| Failure::new(Code::Other, format!("this program: {cause}")))?;
    let mut command = Command::new(&program);
    let absolute = |path: &Path| std::path::absolute(path).map_err(|cause| Failure::file("find", path, &cause));
    command.args(["sync", "--watch", "--detached", "--idle", &idle.to_string()]);
    command.arg("--workspace").arg(absolute(workspace.path())?);
    if let Some(file) = workspace.key_file() {
        command.arg("--key-file").arg(absolute(file)?);
    }
    // Not in the way of somebody who wants to remove or unmount the current directory.
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().map_err(|cause| Failure::file("start", &program, &cause))?;
    session.note(&format!("process {} follows the workspace; runcellar sync status says how it stands", child.id()));
    Ok(())
}
