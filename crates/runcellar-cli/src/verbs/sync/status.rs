//! `sync status`: how each remote stands.

use runcellar::remotes::{LastExchange, RemoteInfo, RemoteStatus, Unsent, WaitingPacks};

use super::{HeldShape, around, blocked};
use crate::failure::Failure;
use crate::render::number::{bytes, count};
use crate::render::time::{ago, rfc3339_us};
use crate::render::{Style, visible};
use crate::session::{Session, now_us};
use crate::shapes::Time;

#[derive(serde::Serialize)]
struct Shape<'a> {
    agent: AgentShape,
    remotes: Vec<RemoteShape<'a>>,
}

#[derive(serde::Serialize)]
struct AgentShape {
    running: bool,
    /// Null if none runs, or one that cannot be seen from here.
    pid: Option<u32>,
}

#[derive(serde::Serialize)]
struct RemoteShape<'a> {
    name: &'a str,
    url: &'a str,
    state: &'static str,
    /// Why nothing is sent now; null if what is new is sent.
    blocked: Option<&'a str>,
    /// Null for a remote that was never enabled.
    unsent: Option<UnsentShape>,
    waiting: WaitingShape,
    /// Runs that are not sent, as secrets were found in them.
    held: Vec<HeldShape<'a>>,
    /// Devices that are not known here and replaced the keys.
    strangers: u64,
    last_success: Option<Time>,
    last_error: Option<ErrorShape<'a>>,
}

#[derive(serde::Serialize)]
struct UnsentShape {
    runs: usize,
    objects: u64,
    bytes: u64,
}

/// Packs that nothing needs any more, and that are to be deleted.
#[derive(serde::Serialize)]
pub(super) struct WaitingShape {
    packs: u64,
    /// When all of them are gone at the latest; null if nothing waits, or others are to be told first.
    until: Option<Time>,
}

impl WaitingShape {
    pub(super) fn of(waiting: WaitingPacks) -> WaitingShape {
        WaitingShape { packs: waiting.packs, until: waiting.until.map(Time) }
    }
}

/// Returns what is said of packs that wait to be deleted; none if none do.
pub(super) fn text_of_waiting(waiting: WaitingPacks) -> Option<String> {
    let packs = count(waiting.packs, "pack");
    let when = match waiting.until {
        None => "the next sync tells others".to_owned(),
        Some(until) => format!("deleted when all devices have read on, or after {}", rfc3339_us(until)),
    };
    (waiting.packs > 0).then(|| format!("{packs} that nothing needs any more: {when}"))
}

#[derive(serde::Serialize)]
struct ErrorShape<'a> {
    time: Time,
    message: &'a str,
}

/// What is known of one remote.
struct Standing {
    remote: RemoteInfo,
    blocked: Option<String>,
    unsent: Option<Unsent>,
    waiting: WaitingPacks,
    last: LastExchange,
}

pub(super) fn run(session: &Session) -> Result<(), Failure> {
    let workspace = session.open()?;
    let agent = workspace.agent()?;
    let mut standings = Vec::new();
    {
        let _work = session.work("comparing");
        for remote in workspace.remotes()? {
            let was_enabled = remote.status != RemoteStatus::Added;
            standings.push(Standing {
                blocked: blocked(&workspace, &remote.name),
                unsent: was_enabled.then(|| workspace.unsent(&remote.name)).transpose()?,
                waiting: workspace.waiting_packs(&remote.name)?,
                last: workspace.last_exchange(&remote.name)?,
                remote,
            });
        }
    }
    let shape = Shape {
        agent: AgentShape { running: agent.is_some(), pid: agent.filter(|pid| *pid != 0) },
        remotes: standings.iter().map(shape_of).collect(),
    };
    session.answer(&shape, || {
        if standings.is_empty() {
            return "no remote is known: runcellar remote add NAME URL\n".to_owned();
        }
        let mut text: String = standings.iter().map(|standing| text_of(session, standing)).collect();
        let dim = |text: &str| Style::Dim.paint(text, session.display.color);
        text.push_str(&match agent {
            None => dim("no agent follows this workspace; runcellar sync --watch is one") + "\n",
            Some(0) => "an agent follows this workspace\n".to_owned(),
            Some(pid) => format!("an agent follows this workspace: process {pid}\n"),
        });
        text
    })
}

fn shape_of(standing: &Standing) -> RemoteShape<'_> {
    let Standing { remote, blocked, unsent, waiting, last } = standing;
    let measured =
        |unsent: &Unsent| UnsentShape { runs: unsent.runs.len(), objects: unsent.objects, bytes: unsent.bytes };
    RemoteShape {
        name: &remote.name,
        url: &remote.url,
        state: remote.status.as_str(),
        blocked: blocked.as_deref(),
        unsent: unsent.as_ref().map(measured),
        waiting: WaitingShape::of(*waiting),
        held: unsent.iter().flat_map(|unsent| unsent.held.iter().map(HeldShape::of)).collect(),
        strangers: last.strangers,
        last_success: last.succeeded.map(Time),
        last_error: last.failed.as_ref().map(|(time, message)| ErrorShape { time: Time(*time), message }),
    }
}

fn text_of(session: &Session, standing: &Standing) -> String {
    let Standing { remote, blocked, unsent, waiting, last } = standing;
    let dim = |text: &str| Style::Dim.paint(text, session.display.color);
    let now = now_us();
    let mut text = format!(
        "{}  {}  {}\n",
        Style::Cyan.paint(&remote.name, session.display.color),
        remote.status.as_str(),
        dim(&visible(&remote.url))
    );
    let mut line = |label: &str, what: &str| text.push_str(&format!("  {}  {what}\n", dim(&format!("{label:<7}"))));
    match unsent {
        None => {}
        Some(unsent) if unsent.is_empty() && unsent.held.is_empty() => line("unsent", "nothing: all there is was sent"),
        Some(unsent) if unsent.is_empty() => line("unsent", "nothing else"),
        Some(unsent) => line(
            "unsent",
            &format!(
                "{}, about {} in {}",
                count(unsent.runs.len() as u64, "run"),
                bytes(unsent.bytes),
                count(unsent.objects, "object")
            ),
        ),
    }
    if let Some(what) = text_of_waiting(*waiting) {
        line("to go", &what);
    }
    for held in unsent.iter().flat_map(|unsent| &unsent.held) {
        line("held", &format!("{}: {}", visible(&held.id), visible(&held.why())));
    }
    if last.strangers > 0 {
        line("unknown", &around::of_strangers(last.strangers));
    }
    if let Some(time) = last.succeeded {
        line("synced", &ago(now, time));
    }
    if let Some((time, why)) = last.failed.as_ref().filter(|(time, _)| last.succeeded.is_none_or(|then| then < *time)) {
        line("failed", &format!("{}: {}", ago(now, *time), visible(why)));
    }
    if let Some(why) = blocked {
        line("waits", &visible(why));
    }
    text
}
