//! Remotes around a replacement of the keys: what others did comes in before, and what was published goes out anew afterwards.

use std::time::Duration;

use runcellar::remotes::RemoteStatus;
use runcellar::{ErrorKind, Workspace};
use runcellar_sync::engine::{self, Report};

use super::{blocked, is_offline, place};
use crate::failure::Failure;
use crate::render::number::count;
use crate::render::time::rfc3339_us;
use crate::session::Session;

/// How often a remote is tried that somebody else exchanges with, and what is waited before the next time.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(250);

/// How remotes are treated.
#[derive(Debug, clap::Args)]
pub(crate) struct Remotes {
    /// Ask no remote before, and send nothing afterwards
    #[arg(long)]
    offline: bool,
}

/// Syncs with the remotes that are enabled; returns their names. A device that joined since would not get the new keys.
pub(crate) fn before(session: &Session, workspace: &Workspace, args: &Remotes) -> Result<Vec<String>, Failure> {
    let remotes = workspace.remotes()?;
    let enabled = remotes.iter().filter(|remote| remote.status == RemoteStatus::Enabled);
    let mut names: Vec<String> = enabled.map(|remote| remote.name.clone()).collect();
    if names.is_empty() {
        return Ok(names);
    }
    if args.offline || is_offline() {
        session.note("no remote is asked: what lies there stays until the next sync");
        session.note("a device that is not known here yet will not get the new keys, and has to be cloned anew");
        return Ok(Vec::new());
    }
    if let Some(why) = names.iter().find_map(|name| blocked(workspace, name)) {
        session.note(&format!("{why}: what lies there stays until the next sync"));
        names.retain(|name| blocked(workspace, name).is_none());
    }
    for name in &names {
        patiently(session, workspace, name).map_err(|failure| {
            Failure::from(failure).advise("  --offline goes on without it; the next sync does the rest")
        })?;
    }
    Ok(names)
}

/// Syncs again. What fails is said, and left to the next sync.
pub(crate) fn after(session: &Session, workspace: &Workspace, names: &[String]) {
    for name in names {
        match patiently(session, workspace, name) {
            Ok(report) => tell(session, name, &report),
            Err(failure) => session.warn(&format!("{failure}: what lies there stays until the next sync")),
        }
    }
}

/// Says what a sync deleted, and what keys that were replaced leave to do.
pub(super) fn tell(session: &Session, name: &str, report: &Report) {
    if report.deleted > 0 {
        session
            .note(&format!("remote {name}: {} deleted that nothing needs any more", count(report.deleted, "object")));
    }
    if report.gone > 0 {
        let objects = count(report.gone, "object");
        session.warn(&format!("remote {name}: {objects} of this device gone from there, or altered: sent again"));
    }
    if report.behind > 0 {
        let devices = count(report.behind, "device");
        session.note(&format!(
            "remote {name}: {devices} did not take over the present keys yet: each does at its next sync"
        ));
    }
    if report.strangers > 0 {
        session.note(&format!("remote {name}: {}", of_strangers(report.strangers)));
    }
    match report.locked_until_us {
        None => {}
        Some(i64::MAX) => session.warn(&format!("remote {name}: a lock keeps objects that are to be deleted")),
        Some(until) => {
            let until = rfc3339_us(until);
            session
                .warn(&format!("remote {name}: a lock keeps objects that are to be deleted until {until}: sync then"));
        }
    }
}

/// Says what devices are that nobody here knows.
pub(super) fn of_strangers(strangers: u64) -> String {
    let devices = count(strangers, "device");
    format!(
        "not known here, and with other keys: {devices}. Nothing comes in from there. What was not shut out has to be cloned anew; merge \
         what only it has"
    )
}

/// Syncs with a remote, also if somebody else does so just now: a sync takes seconds.
fn patiently(session: &Session, workspace: &Workspace, name: &str) -> Result<Report, engine::Failure> {
    let remote = workspace.may_send(name)?;
    let _work = session.work("syncing");
    let place = place::opened(session, &place::options_of(workspace)?, &remote.url)?;
    while_busy(|| engine::sync(workspace, name, &*place))
}

/// Does something with a remote, again if somebody else is at work with it just now.
pub(crate) fn while_busy<T>(mut work: impl FnMut() -> engine::Outcome<T>) -> engine::Outcome<T> {
    let is_busy = |failure: &engine::Failure| match failure {
        engine::Failure::Store(error) => error.kind() == ErrorKind::Busy,
        engine::Failure::Remote(_) => false,
    };
    for _ in 1..ATTEMPTS {
        match work() {
            Err(failure) if is_busy(&failure) => std::thread::sleep(PAUSE),
            outcome => return outcome,
        }
    }
    work()
}
