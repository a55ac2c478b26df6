//! When to exchange with which remote. Time comes in as durations since some start.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// What live runs log is sent at most so often; the end of one goes at once. Each push is two requests or more, which cost
/// money on some remotes.
const LIVE_EVERY: Duration = Duration::from_secs(60);
/// How often it is looked for what other devices published.
const FETCH_EVERY: Duration = Duration::from_secs(120);
/// The longest wait after the first failure; twice as long after each further one.
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// The longest wait after any.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// When it is tried again if somebody else was at it.
const LATER: Duration = Duration::from_secs(1);

/// What a remote lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    None,
    /// Rows of runs that it knows and that go on.
    OfLiveRuns,
    /// Whatever else: it is sent at once.
    Prompt,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Something was sent or fetched.
    Busy,
    /// There was nothing to do.
    Quiet,
    /// Somebody else is at it.
    Later,
    /// It failed. One that passes by itself holds the agent until it has.
    Failed { holds: bool },
}

#[derive(Debug, Default)]
struct Lane {
    is_at_work: bool,
    /// When the next exchange is due.
    due: Duration,
    last_start: Option<Duration>,
    failures: u32,
    holds: bool,
}

/// The remotes, and when each is due.
#[derive(Debug)]
pub(super) struct Schedule {
    lanes: BTreeMap<String, Lane>,
    /// When something was to be done last.
    active: Duration,
    dice: RandomState,
}

impl Schedule {
    pub(super) fn new() -> Schedule {
        Schedule { lanes: BTreeMap::new(), active: Duration::ZERO, dice: RandomState::new() }
    }

    /// Forgets all other remotes; new ones are due at once, as others may have published there.
    pub(super) fn keep(&mut self, names: &BTreeSet<String>) {
        self.lanes.retain(|name, lane| names.contains(name) || lane.is_at_work);
        for name in names {
            self.lanes.entry(name.clone()).or_default();
        }
    }

    /// Takes note of what a remote lacks.
    pub(super) fn found(&mut self, name: &str, news: News, now: Duration) {
        let Some(lane) = self.lanes.get_mut(name) else { return };
        if news == News::None {
            return;
        }
        self.active = now;
        let soonest = match (news, lane.last_start) {
            (News::OfLiveRuns, Some(last)) => last + LIVE_EVERY,
            _ => now,
        };
        // After a failure the wait is sat out, whatever comes meanwhile.
        if lane.failures == 0 {
            lane.due = lane.due.min(soonest);
        }
    }

    /// Returns the remotes that are due, which are at work from now on.
    pub(super) fn due(&mut self, now: Duration) -> Vec<String> {
        let mut due = Vec::new();
        for (name, lane) in &mut self.lanes {
            if !lane.is_at_work && lane.due <= now {
                (lane.is_at_work, lane.last_start) = (true, Some(now));
                due.push(name.clone());
            }
        }
        due
    }

    /// Takes note of how an exchange ended; returns when the next is due, from now on.
    pub(super) fn ended(&mut self, name: &str, how: Ended, now: Duration) -> Duration {
        let Some(lane) = self.lanes.get_mut(name) else { return Duration::ZERO };
        lane.is_at_work = false;
        lane.holds = false;
        let wait = match how {
            Ended::Busy | Ended::Quiet => {
                lane.failures = 0;
                FETCH_EVERY
            }
            Ended::Later => LATER,
            Ended::Failed { holds } => {
                lane.failures = lane.failures.saturating_add(1);
                lane.holds = holds;
                let dice = self.dice.hash_one((name, lane.failures, now));
                backoff(lane.failures, dice)
            }
        };
        if how == Ended::Busy {
            self.active = now;
        }
        lane.due = now + wait;
        wait
    }

    /// Has all that waits done now: the machine was asleep, and much may be different.
    pub(super) fn hurry(&mut self, now: Duration) {
        self.active = now;
        for lane in self.lanes.values_mut() {
            lane.failures = 0;
            lane.due = now;
        }
    }

    /// Begins the time of idleness anew.
    pub(super) fn touch(&mut self, now: Duration) {
        self.active = now;
    }

    /// Returns how many exchanges are under way.
    pub(super) fn at_work(&self) -> usize {
        self.lanes.values().filter(|lane| lane.is_at_work).count()
    }

    /// Returns whether there was nothing to do for so long.
    pub(super) fn is_idle(&self, now: Duration, idle: Duration) -> bool {
        let is_quiet = |lane: &Lane| !lane.is_at_work && !lane.holds;
        now.saturating_sub(self.active) >= idle && self.lanes.values().all(is_quiet)
    }
}

/// Returns the wait after so many failures, the first being 1; `dice` is any number.
///
/// Between half a limit that doubles and all of it: so nobody hammers at a server that just came back, and those that failed
/// together do not come back together.
fn backoff(failures: u32, dice: u64) -> Duration {
    let limit = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(LONGEST_WAIT);
    limit.mul_f64(0.5 + dice as f64 / u64::MAX as f64 / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// A schedule of one remote whose first exchange is done.
    fn begun() -> Schedule {
        let mut schedule = Schedule::new();
        schedule.keep(&BTreeSet::from(["origin".to_owned()]));
        assert_eq!(schedule.due(secs(0)), ["origin"], "others may have published");
        assert!(schedule.due(secs(0)).is_empty(), "one exchange at a time");
        schedule.ended("origin", Ended::Quiet, secs(0));
        schedule
    }

    #[test]
    fn the_end_of_a_run_goes_at_once_and_its_rows_once_a_minute() {
        let mut schedule = begun();
        schedule.found("origin", News::OfLiveRuns, secs(10));
        assert!(schedule.due(secs(59)).is_empty());
        assert_eq!(schedule.due(secs(60)), ["origin"]);
        schedule.ended("origin", Ended::Busy, secs(61));
        schedule.found("origin", News::Prompt, secs(62));
        assert_eq!(schedule.due(secs(62)), ["origin"]);
        // What is found while one is under way waits for its end, and is found again then.
        schedule.found("origin", News::Prompt, secs(63));
        assert!(schedule.due(secs(63)).is_empty());
        schedule.ended("origin", Ended::Busy, secs(64));
        schedule.found("origin", News::Prompt, secs(64));
        assert_eq!(schedule.due(secs(64)), ["origin"]);
    }

    #[test]
    fn a_remote_that_fails_is_tried_more_and_more_seldom_and_anew_after_sleep() {
        let (mut schedule, mut now) = (begun(), secs(10));
        let mut waits = Vec::new();
        schedule.found("origin", News::Prompt, now);
        for _ in 0..12 {
            assert_eq!(schedule.due(now), ["origin"]);
            let wait = schedule.ended("origin", Ended::Failed { holds: true }, now);
            schedule.found("origin", News::Prompt, now);
            assert!(schedule.due(now + wait / 2).is_empty(), "news do not shorten the wait");
            waits.push(wait);
            now += wait;
        }
        assert!(waits[0] >= secs(2) && waits[0] <= secs(5), "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= LONGEST_WAIT) && waits[11] >= LONGEST_WAIT / 2, "{waits:?}");
        assert_eq!(schedule.due(now), ["origin"]);
        schedule.ended("origin", Ended::Failed { holds: true }, now);
        schedule.hurry(now + secs(1));
        assert_eq!(schedule.due(now + secs(1)), ["origin"]);
    }

    #[test]
    fn it_is_idle_when_nothing_is_to_be_done_and_nothing_waits_for_the_network() {
        let idle = secs(600);
        let mut schedule = begun();
        assert!(!schedule.is_idle(secs(599), idle) && schedule.is_idle(secs(600), idle));
        schedule.found("origin", News::None, secs(500));
        assert!(schedule.is_idle(secs(600), idle));
        schedule.found("origin", News::Prompt, secs(500));
        assert!(!schedule.is_idle(secs(600), idle));
        schedule.due(secs(600));
        assert!(!schedule.is_idle(secs(9_999), idle), "an exchange is under way");
        schedule.ended("origin", Ended::Failed { holds: true }, secs(9_999));
        assert!(!schedule.is_idle(secs(99_999), idle), "the network will come back");
        schedule.ended("origin", Ended::Failed { holds: false }, secs(9_999));
        assert!(schedule.is_idle(secs(99_999), idle), "nobody mends a wrong password while it waits");
        schedule.keep(&BTreeSet::new());
        assert!(schedule.is_idle(secs(99_999), idle) && schedule.due(secs(99_999)).is_empty());
    }
}
