//! The order in which objects go to a remote and come from it.
//!
//! ```text
//! devices/<prefix>      what a new device needs, beside a secret; where a device publishes is found by listing these
//! packs/<device>/<pack> packs: written once, before the segments that tell of them
//! <prefix>/<number>     segments: written once, in order
//! <prefix>/head         how far the device has published: replaced by itself alone
//! ```
//!
//! Push: packs, segments, then the head. Pull: heads, then the segments that they tell of, then the packs that merging them
//! asks for. Each device writes below its own prefix and folder of packs alone, and every call can be made again, so a process that dies at any request loses nothing and shows nothing half
//! done. A listing is only a hint: devices are also told by the heads of others.
//!
//! What must never be here: keys, plaintext, SQL. What an object means is known to [`runcellar::remotes`] alone.

mod away;
mod evict;
mod names;
mod pull;
mod push;
mod recorded;
mod verify;
mod wipe;

use std::fmt;

use runcellar::remotes::{Exchange, HeldRun, OwnHead};
use runcellar::{LeftOut, MergeReport, Workspace};

use crate::remote::Remote;
pub use evict::{Evicted, RemoteContent, evict};
use names::head_of;
use recorded::Recorded;
pub use verify::{Verified, Wrong, verify};

/// Why a sync did not come to its end.
#[derive(Debug)]
pub enum Failure {
    /// The remote.
    Remote(crate::Error),
    /// The workspace, or what came from the remote.
    Store(runcellar::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Remote(error) => error.fmt(f),
            Failure::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Failure::Remote(error) => error.source(),
            Failure::Store(error) => error.source(),
        }
    }
}

impl From<crate::Error> for Failure {
    fn from(error: crate::Error) -> Self {
        Failure::Remote(error)
    }
}

impl From<runcellar::Error> for Failure {
    fn from(error: runcellar::Error) -> Self {
        Failure::Store(error)
    }
}

/// A result of the engine.
pub type Outcome<T> = Result<T, Failure>;

/// What a sync did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Segments that were sent.
    pub sent: u64,
    /// Packs that were sent.
    pub sent_packs: u64,
    /// Bytes of segments and packs that were sent.
    pub sent_bytes: u64,
    /// Objects of this device that were gone from the remote, or altered, and were sent again.
    pub gone: u64,
    /// Runs of which they tell.
    pub sent_runs: u64,
    /// Versions of artifacts of which they tell.
    pub sent_versions: u64,
    /// What is damaged here, and so was not sent.
    pub not_sent: Vec<LeftOut>,
    /// Runs in which secrets were found, and so were not sent.
    pub held: Vec<HeldRun>,
    /// Why nothing was sent at all: the remote is not what was agreed to any more.
    pub not_agreed: Option<String>,
    /// Segments that were fetched.
    pub fetched: u64,
    /// Packs that were fetched.
    pub fetched_packs: u64,
    /// Bytes of segments and packs that were fetched.
    pub fetched_bytes: u64,
    /// Devices that publish there, this one among them.
    pub devices: u64,
    /// Devices among them that have not taken over the present keys yet.
    pub behind: u64,
    /// Devices that are not known here and replaced the keys: nothing of them comes in.
    pub strangers: u64,
    /// Objects that were deleted, as the keys were replaced, or nothing needs them any more.
    pub deleted: u64,
    /// Packs that nothing needs any more, and that wait to be deleted: another device may be reading them.
    pub waiting: u64,
    /// Until when a lock keeps some that should be deleted, microseconds UTC since 1970; `i64::MAX` if nobody knows.
    pub locked_until_us: Option<i64>,
    /// What came in.
    pub merged: MergeReport,
}

/// Brings a workspace and one of its remotes to one state: what others published comes in, then what is new here goes out.
///
/// If the remote is not what was agreed to any more, and still at the same place, it is read alone ([`Report::not_agreed`]). How
/// it ended is remembered ([`Workspace::last_exchange`]).
///
/// # Errors
/// [`Failure::Store`] before the first request if the user did not agree to it ([`Workspace::may_send`]), or another process
/// is at it. [`Failure::Remote`] if the remote fails; what was done stays done. [`Failure::Store`] if what came is damaged,
/// was rolled back or forked, and if the workspace fails.
pub fn sync(workspace: &Workspace, name: &str, remote: &dyn Remote) -> Outcome<Report> {
    workspace.may_fetch(name)?;
    let not_agreed = workspace.may_send(name).err().map(|error| error.to_string());
    let exchange = workspace.exchange(name)?;
    let outcome = match &not_agreed {
        None => both_ways(exchange, remote),
        Some(_) => in_alone(exchange, remote).map(|report| Report { not_agreed: not_agreed.clone(), ..report }),
    };
    let why = outcome.as_ref().err().map(ToString::to_string).or(not_agreed);
    let remembered = workspace.remember_exchange(name, why.as_deref());
    let report = outcome?;
    remembered?;
    workspace.conclude_purges();
    Ok(report)
}

fn both_ways(exchange: Exchange, remote: &dyn Remote) -> Outcome<Report> {
    let exchange = as_itself(exchange, remote)?;
    let mut report = Report::default();
    let exchange = pull::pull(exchange, remote, &mut report)?;
    let (exchange, gone) = away::look(exchange, remote, &mut report)?;
    Recorded::new(&exchange, remote)?.during(|remote| {
        push::send_again(&exchange, remote, &gone, &mut report)?;
        push::push(&exchange, remote, &mut report)?;
        exchange.looked_after()?;
        wipe::wipe(&exchange, remote, &mut report)?;
        wipe::forget(&exchange, remote, &mut report)?;
        wipe::sweep(&exchange, remote, &mut report)
    })?;
    Ok(report)
}

fn in_alone(exchange: Exchange, remote: &dyn Remote) -> Outcome<Report> {
    let mut report = Report::default();
    pull::pull(exchange, remote, &mut report)?;
    Ok(report)
}

/// Takes in what others published, and sends nothing; no consent is asked for, but that of whoever calls this.
///
/// # Errors
/// As [`sync`].
pub fn pull(workspace: &Workspace, name: &str, remote: &dyn Remote) -> Outcome<Report> {
    in_alone(workspace.exchange(name)?, remote)
}

/// Returns the welcome of a device that publishes on a remote; none if nobody does.
///
/// # Errors
/// [`Failure::Remote`] if the remote fails.
pub fn welcome(remote: &dyn Remote) -> Outcome<Option<Vec<u8>>> {
    pull::welcome(remote)
}

/// Goes on as another device if the remote has more than this copy of the workspace ever published.
fn as_itself(exchange: Exchange, remote: &dyn Remote) -> Outcome<Exchange> {
    let name = head_of(&exchange.prefix())?;
    let own = || match remote.get(&name, None) {
        Err(error) if error.kind() == crate::ErrorKind::NoSuchPlace && exchange.is_first()? => {
            remote.make_place()?;
            Ok(remote.get(&name, None)?)
        }
        got => Ok::<_, Failure>(got?),
    };
    match pull::settled(|| Ok(exchange.own_head(own()?.as_deref())?))? {
        OwnHead::Fits => Ok(exchange),
        OwnHead::Ahead => Ok(exchange.go_on_apart()?),
    }
}
