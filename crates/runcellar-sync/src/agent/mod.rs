//! The agent: follows a workspace and keeps its remotes current.
//!
//! ```text
//! file events ─ hint ─> change number ─ moved ─> what is unsent ─> schedule ─ due ─> engine::sync, a thread for each remote
//! ```
//!
//! File events only say when to look; whether there is something to send is decided by the workspace. [`schedule`] says when,
//! and knows neither files nor threads.

mod schedule;
mod watcher;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant, SystemTime};

use runcellar::remotes::{AgentLock, HeldRun};
use runcellar::{ErrorKind, RunState, Workspace};

use crate::engine::{self, Failure, Outcome, Report};
use crate::remote::Remote;
use schedule::{Ended, News, Schedule};
use watcher::Watcher;

/// After so much time without anything to do an agent ends, unless a run is being recorded: the next run starts another.
pub const IDLE: Duration = Duration::from_secs(600);
/// How long it takes at most to learn that the agent is to end.
const TICK: Duration = Duration::from_millis(500);
/// Looks are at least so far apart.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Looks take at most this share of the time: one over it.
const LOOK_SHARE: u32 = 20;
/// How often the workspace is looked at where no file events come.
const POLL_EVERY: Duration = Duration::from_secs(2);
/// How often it is looked at where they come: one may be lost.
const RESCAN_EVERY: Duration = Duration::from_secs(30);
/// How often it is looked for what died writers left.
const RECOVER_EVERY: Duration = Duration::from_secs(5);
/// How long requests under way may take when the agent is to end; after that they are left as they are, which costs nothing but
/// doing them again.
const LAST_REQUESTS: Duration = Duration::from_secs(5);
/// The clocks of the wall and of work differ by so much more than before: the machine was asleep.
const ASLEEP: Duration = Duration::from_secs(5);

/// Why an agent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was told to.
    Told,
    /// There was nothing to do for a while.
    Idle,
}

/// What an agent tells while it works.
pub enum Event<'a> {
    /// It looks at the workspace every few seconds, as no file events come.
    Polls,
    /// Something was sent or fetched.
    Synced(&'a str, &'a Report),
    /// Other runs than before are held back, as secrets were found in them.
    Held(&'a str, &'a [HeldRun]),
    /// An exchange failed; it is tried again after a while.
    Failed(&'a str, &'a Failure, Duration),
}

impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Polls => f.write_str("Polls"),
            Event::Synced(name, report) => f.debug_tuple("Synced").field(name).field(report).finish(),
            Event::Held(name, held) => f.debug_tuple("Held").field(name).field(held).finish(),
            Event::Failed(name, failure, wait) => {
                f.debug_tuple("Failed").field(name).field(failure).field(wait).finish()
            }
        }
    }
}

/// What an agent works with.
pub struct Agent<'a> {
    /// The workspace.
    pub workspace: &'a Workspace,
    /// The right to follow it.
    pub lock: &'a AgentLock,
    /// Opens the remote of a workspace that a URL names.
    pub open: &'static Open,
    /// Is told what happens.
    pub tell: &'a dyn Fn(&Event<'_>),
    /// Says whether to end.
    pub is_told_to_end: &'a dyn Fn() -> bool,
    /// After so much time without anything to do it ends; none for never.
    pub idle: Option<Duration>,
}

/// Opens the remote of a workspace that a URL names.
pub type Open = dyn Fn(&Workspace, &str) -> Outcome<Box<dyn Remote>> + Sync;

/// What a thread came to.
type Done = (String, Outcome<Report>);

impl Agent<'_> {
    /// Follows the workspace until it is told to end, or was idle for long enough.
    ///
    /// # Errors
    /// If the workspace cannot be read any more. Failures of remotes are told, and tried again.
    pub fn run(&self) -> runcellar::Result<End> {
        let watcher = Watcher::start(self.workspace.path(), || self.lock.touch().is_ok());
        if !watcher.works() {
            (self.tell)(&Event::Polls);
        }
        let (done_here, done) = mpsc::channel();
        let clock = Clock::start();
        let mut following = Following {
            agent: self,
            schedule: Schedule::new(),
            seen: None,
            next_look: Duration::ZERO,
            next_recovery: clock.now() + RECOVER_EVERY,
            look_until: if watcher.works() { RESCAN_EVERY } else { POLL_EVERY },
            lanes: BTreeSet::new(),
            held: BTreeMap::new(),
            done: done_here,
        };
        following.follow(&watcher, &clock, &done)
    }
}

/// The clock of work, and how far that of the wall is from it.
struct Clock {
    started: Instant,
    wall: SystemTime,
}

impl Clock {
    fn start() -> Clock {
        Clock { started: Instant::now(), wall: SystemTime::now() }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Returns how much longer the wall's clock went than that of work, which stands still while the machine sleeps.
    fn slept(&self) -> Duration {
        let wall = self.wall.elapsed().unwrap_or_default();
        wall.saturating_sub(self.now())
    }
}

struct Following<'a> {
    agent: &'a Agent<'a>,
    schedule: Schedule,
    /// The change number that was looked at last.
    seen: Option<u64>,
    next_look: Duration,
    next_recovery: Duration,
    /// A look is due after so much time without one.
    look_until: Duration,
    /// Remotes from which something may be fetched; sent, to nearly all of them.
    lanes: BTreeSet<String>,
    /// Runs that are held back from each, as was told last.
    held: BTreeMap<String, Vec<HeldRun>>,
    done: Sender<Done>,
}

impl Following<'_> {
    fn follow(&mut self, watcher: &Watcher, clock: &Clock, done: &Receiver<Done>) -> runcellar::Result<End> {
        let mut last_look = Duration::ZERO;
        let mut slept = clock.slept();
        let mut is_hinted = true;
        loop {
            if (self.agent.is_told_to_end)() {
                self.wait_for_last_requests(done);
                return Ok(End::Told);
            }
            let now = clock.now();
            if clock.slept() > slept + ASLEEP {
                self.schedule.hurry(now);
                is_hinted = true;
            }
            slept = clock.slept();
            while let Ok((name, outcome)) = done.try_recv() {
                self.finish(&name, outcome, now);
            }
            if now >= self.next_recovery {
                self.next_recovery = now + RECOVER_EVERY;
                later_if_busy(self.agent.workspace.take_in_what_was_left())?;
            }
            if (is_hinted && now >= self.next_look) || now >= last_look + self.look_until {
                self.look(now)?;
                (last_look, is_hinted) = (now, false);
                self.next_look = now + LOOK_EVERY.max((clock.now() - now) * LOOK_SHARE);
            }
            for name in self.schedule.due(now) {
                self.start(&name, now);
            }
            if self.agent.idle.is_some_and(|idle| self.schedule.is_idle(now, idle)) {
                if !self.agent.workspace.is_recording()? {
                    return Ok(End::Idle);
                }
                self.schedule.touch(now);
            }
            is_hinted |= watcher.wait(TICK);
        }
    }

    /// Finds out which remotes lack something, if the workspace changed.
    fn look(&mut self, now: Duration) -> runcellar::Result<()> {
        let workspace = self.agent.workspace;
        let Some(number) = later_if_busy(workspace.change_number())? else { return Ok(()) };
        let Some(remotes) = later_if_busy(workspace.remotes())? else { return Ok(()) };
        let lanes: BTreeSet<String> =
            remotes.into_iter().map(|remote| remote.name).filter(|name| workspace.may_fetch(name).is_ok()).collect();
        if self.seen == Some(number) && self.lanes == lanes {
            return Ok(());
        }
        self.schedule.keep(&lanes);
        self.lanes = lanes;
        for name in self.lanes.iter().filter(|name| workspace.may_send(name).is_ok()) {
            let Some(unsent) = later_if_busy(workspace.unsent(name))? else { return Ok(()) };
            let told = self.held.entry(name.clone()).or_default();
            if *told != unsent.held {
                told.clone_from(&unsent.held);
                if !told.is_empty() {
                    (self.agent.tell)(&Event::Held(name, told));
                }
            }
            let is_prompt = |run: &runcellar::remotes::UnsentRun| run.is_new || run.state != RunState::Running;
            let news = match unsent.is_empty() {
                true => News::None,
                false if unsent.runs.is_empty() || unsent.runs.iter().any(is_prompt) => News::Prompt,
                false => News::OfLiveRuns,
            };
            self.schedule.found(name, news, now);
        }
        self.seen = Some(number);
        Ok(())
    }

    /// Begins an exchange in a thread of its own: a remote that does not answer keeps no other waiting.
    fn start(&mut self, name: &str, now: Duration) {
        let (workspace, open, done) = (self.agent.workspace.clone(), self.agent.open, self.done.clone());
        let of_thread = name.to_owned();
        let work = move || {
            let outcome = exchange(&workspace, &of_thread, open);
            // Nobody listens if the agent has ended meanwhile.
            let _ = done.send((of_thread, outcome));
        };
        if let Err(cause) = std::thread::Builder::new().name("sync".into()).spawn(work) {
            let error = crate::Error::new(crate::ErrorKind::Local, format!("no thread to sync {name}: {cause}"));
            self.finish(name, Err(error.into()), now);
        }
    }

    fn finish(&mut self, name: &str, outcome: Outcome<Report>, now: Duration) {
        match outcome {
            Ok(report) => {
                let did = report.sent > 0 || report.fetched > 0;
                self.schedule.ended(name, if did { Ended::Busy } else { Ended::Quiet }, now);
                // What came while it was under way was not looked at.
                self.seen = None;
                self.next_look = now;
                if did {
                    (self.agent.tell)(&Event::Synced(name, &report));
                }
            }
            Err(Failure::Store(error)) if error.kind() == ErrorKind::Busy => {
                self.schedule.ended(name, Ended::Later, now);
            }
            Err(failure) => {
                let holds = matches!(&failure, Failure::Remote(error) if error.is_retryable());
                let wait = self.schedule.ended(name, Ended::Failed { holds }, now);
                (self.agent.tell)(&Event::Failed(name, &failure, wait));
            }
        }
    }

    fn wait_for_last_requests(&self, done: &Receiver<Done>) {
        let deadline = Instant::now() + LAST_REQUESTS;
        for _ in 0..self.schedule.at_work() {
            if done.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_err() {
                return;
            }
        }
    }
}

fn exchange(workspace: &Workspace, name: &str, open: &Open) -> Outcome<Report> {
    let remote = workspace.may_fetch(name)?;
    match open(workspace, &remote.url) {
        Ok(place) => engine::sync(workspace, name, &*place),
        Err(failure) => {
            workspace.remember_exchange(name, Some(&failure.to_string()))?;
            Err(failure)
        }
    }
}

/// None if another is at work; it is looked at again soon.
fn later_if_busy<T>(outcome: runcellar::Result<T>) -> runcellar::Result<Option<T>> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::Busy => Ok(None),
        outcome => outcome.map(Some),
    }
}
