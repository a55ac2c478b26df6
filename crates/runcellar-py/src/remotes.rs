//! What a run being recorded asks of remotes: names, and what is left to send. Nothing here sends anything.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use runcellar::remotes::RemoteStatus;
use runcellar::{Result, Run};

/// Pause between looks whether the remotes have a run.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Returns the remotes to which something may be sent now; none where nobody agreed to one.
pub(crate) fn in_use(run: &Run) -> Result<Vec<String>> {
    let workspace = run.workspace();
    let enabled = workspace.remotes()?.into_iter().filter(|remote| remote.status == RemoteStatus::Enabled);
    Ok(enabled.map(|remote| remote.name).filter(|name| workspace.may_send(name).is_ok()).collect())
}

/// Returns whether a remote in use lacks something of the run.
pub(crate) fn is_lacking(run: &Run) -> Result<bool> {
    Ok(!lacking(run, 0)?.is_empty())
}

/// Why a remote lacks something of a run, as far as that is known.
enum Why {
    /// It was not tried yet.
    NotYet,
    /// The last attempt failed.
    Failed(String),
    /// Secrets were found in the run, so it is not sent.
    Held(String),
}

/// Returns the remotes in use that lack something of the run, and why: failures count since a time.
fn lacking(run: &Run, since_us: i64) -> Result<Vec<(String, Why)>> {
    let (workspace, info) = (run.workspace(), run.info()?);
    let mut lacking = Vec::new();
    for name in in_use(run)? {
        if workspace.lacks_run(&name, &info)? {
            let failed = workspace.last_exchange(&name)?.failed.filter(|(time, _)| *time >= since_us);
            let why = match (workspace.held_run(&name, &info)?, failed) {
                (Some(held), _) => Why::Held(held.why()),
                (None, Some((_, why))) => Why::Failed(why),
                (None, None) => Why::NotYet,
            };
            lacking.push((name, why));
        }
    }
    Ok(lacking)
}

/// Waits until the remotes in use have the run; returns a line for each that does not.
///
/// Who was tried in vain meanwhile is not waited for, as the agent tries again later; nor is anything without an agent, once
/// it had the time to begin that `starts` says. `pause` waits between looks, and says whether to go on.
pub(crate) fn wait(
    run: &Run,
    timeout: Duration,
    starts: Duration,
    mut pause: impl FnMut(Duration) -> bool,
) -> Result<Vec<String>> {
    let began = Instant::now();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let since_us = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
    let mut left = lacking(run, since_us)?;
    while !left.is_empty() && began.elapsed() < timeout && left.iter().any(|(_, why)| matches!(why, Why::NotYet)) {
        if began.elapsed() >= starts && !is_followed(run)? {
            break;
        }
        if !pause(LOOK_EVERY) {
            break;
        }
        left = lacking(run, since_us)?;
    }
    let later = if !left.is_empty() && is_followed(run)? { "it is sent later" } else { "runcellar sync sends it" };
    let line = |(remote, why): (String, Why)| match why {
        Why::NotYet => format!("run {} is not all on {remote} yet; {later}", run.id()),
        Why::Failed(why) => format!("run {} is not all on {remote} yet: {why}; {later}", run.id()),
        Why::Held(why) => format!("run {} does not go to {remote}: {why}", run.id()),
    };
    Ok(left.into_iter().map(line).collect())
}

/// Returns whether a process follows the run's workspace.
pub(crate) fn is_followed(run: &Run) -> Result<bool> {
    Ok(run.workspace().agent()?.is_some())
}

/// Returns the key file that opens the workspace for another process, too.
pub(crate) fn key_file(run: &Run) -> Result<Option<PathBuf>> {
    Ok(run.workspace().key_file().map(Into::into))
}
