//! Devices that work offline, meet on a remote that lies and loses answers, die at requests, have clocks of other years, record
//! runs with code and media, put, link and remove artifacts, rename, tag, hide, collect, purge and replace keys, are copied, lost
//! for good, set back to earlier images and joined by others: whatever they do, they come to one state in the end, in which
//! nothing is lost and nothing came back.
//!
//! `RUNCELLAR_SCHEDULES` says how many schedules are run (500), `RUNCELLAR_SEED` with which seed they begin. One that fails prints
//! its own: `RUNCELLAR_SCHEDULES=1 RUNCELLAR_SEED=<seed> cargo test -p runcellar-sync --test sync simulation::`.

mod clockwork;
mod deeds;
mod facts;
mod mishaps;
mod shown;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread::available_parallelism;

use runcellar::Severity;
use runcellar::remotes::RemoteClass;
use runcellar_sync::remote::fake::{Fake, Moment, Store};

use crate::devices::Device;
use crate::evict::with_source;
use clockwork::{Clockwork, Dice, Time};
use facts::{Deed, Fact, Facts};

/// The most devices of a schedule.
const DEVICES_MAX: usize = 8;
/// When schedules begin, microseconds since 1970: in 2026.
const BEGIN_US: i64 = 1_790_000_000_000_000;

/// A device, and what is known of it.
struct Member {
    device: Device,
    fake: Fake,
    /// What it did since all were known to have everything.
    fresh: Vec<Fact>,
    /// Runs that stay here.
    at_home: BTreeSet<String>,
}

/// What happened so far, besides what the devices know of it.
struct World {
    seed: u64,
    dice: Dice,
    time: Time,
    store: Store,
    members: Vec<Member>,
    facts: Facts,
    recorded: usize,
    /// Ids of the slots of devices that were lost, until they are removed.
    lost: Vec<String>,
    /// Ids of the slots of those that were shut out.
    shut_out: Vec<String>,
    /// How many devices were lost.
    lost_count: u64,
    /// Points in the history of the remote to which it may fall back.
    moments: Vec<Moment>,
    /// How often keys were replaced.
    replaced: u64,
    /// What was done, for a schedule that fails.
    done: Vec<String>,
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            say(&format!("{}\nRUNCELLAR_SCHEDULES=1 RUNCELLAR_SEED={}", self.done.join("\n"), self.seed));
        }
    }
}

/// Past the capture of a test's output.
fn say(text: &str) {
    use std::io::Write as _;
    writeln!(std::io::stderr(), "{text}").expect("standard error takes it");
}

impl World {
    fn new(seed: u64) -> World {
        let time = Arc::new(AtomicI64::new(BEGIN_US));
        let mut dice = Dice::new(seed);
        // Packs are in play in two of three schedules.
        let classes = if dice.one_in(3) { &RemoteClass::ALL[..1] } else { &RemoteClass::ALL[..] };
        let io = Arc::new(Clockwork::new(&time, 0, dice.roll()));
        let store = Store::new();
        let (device, fake) = (Device::first_on(io, classes), Fake::new(&store, seed));
        let first = Member { device, fake, fresh: Vec::new(), at_home: BTreeSet::new() };
        let (facts, moments, done) = (Facts::default(), Vec::new(), Vec::new());
        let (members, lost) = (vec![first], Vec::new());
        let (recorded, lost_count, replaced, shut_out) = (0, 0, 0, Vec::new());
        let mut world = World {
            seed,
            dice,
            time,
            store,
            members,
            facts,
            recorded,
            lost,
            shut_out,
            lost_count,
            moments,
            replaced,
            done,
        };
        world.record(0);
        world.sync(0).expect("the first sync");
        let count = 2 + world.dice.below(2) + if world.dice.one_in(6) { world.dice.below(DEVICES_MAX - 3) } else { 0 };
        while world.members.len() < count {
            world.join();
        }
        world
    }

    fn has_files(&self) -> bool {
        self.members[0].device.workspace.remote(crate::devices::ORIGIN).expect("is known").classes.len() > 1
    }

    fn note(&mut self, at: usize, what: &str) {
        self.done.push(format!("device {at} {what}"));
    }

    /// Remembers what a device did.
    fn did(&mut self, at: usize, deed: Deed) {
        let fact = self.facts.add(deed);
        self.members[at].fresh.push(fact);
    }

    /// What a device has of the world when it is opened.
    fn system(&mut self, skew_us: i64) -> Clockwork {
        Clockwork::new(&self.time, skew_us, self.dice.roll())
    }

    /// Syncs; returns what was still to do, which is nothing in the end.
    fn sync(&mut self, at: usize) -> Result<String, String> {
        let Member { device, fake, .. } = &self.members[at];
        let synced = device.sync(fake).map_err(|failure| failure.to_string()).map(|report| {
            assert!(report.not_sent.is_empty(), "{:?}", report.not_sent);
            // Those that were lost do not take over anything.
            let behind = report.behind.saturating_sub(self.lost_count);
            let all = [report.sent + report.sent_packs, report.fetched + report.fetched_packs, report.deleted, behind];
            let left = report.merged.left_out.len();
            let text =
                format!("sent {}, fetched {}, deleted {}, behind {}, left out {left}", all[0], all[1], all[2], all[3]);
            if all == [0; 4] && left == 0 { String::new() } else { text }
        });
        self.note(at, &format!("syncs: {synced:?}"));
        self.moments.extend(synced.is_ok().then(|| self.store.moment()));
        synced
    }

    /// Has what lies on the remote alone fetched where a device reads it.
    fn reach_the_remote(&self) {
        self.members.iter().for_each(|member| with_source(&member.device, &self.store));
    }

    /// Somebody does something.
    fn step(&mut self) {
        let at = self.dice.below(self.members.len());
        self.reach_the_remote();
        match self.dice.below(120) {
            0..20 => self.record(at),
            20..50 => {
                // Where two replaced the keys at once, one may have to wait for the other.
                let _ = self.sync(at);
            }
            50..62 => self.sync_badly(at),
            62..66 => self.reopen(at),
            66..70 => self.fall_back(at),
            70..72 => self.fall_back_in_part(at),
            72 => self.fork(at),
            73 => self.copy(at),
            74 => self.lose(at),
            75 if self.members.len() < DEVICES_MAX => self.meet_and(World::join),
            76..80 => self.collect(at),
            80..86 => self.hide(at),
            86..91 => self.resume(at),
            91..101 => self.edit(at),
            101..112 => {
                if self.has_files() {
                    self.artifacts(at);
                }
            }
            112 => self.days_pass(),
            _ => self.replace_keys(at),
        }
    }

    /// Everybody meets until nobody has anything to say.
    fn meet(&mut self) {
        self.reach_the_remote();
        let rounds = 4 + 2 * self.members.len();
        let mut last = Vec::new();
        for _ in 0..rounds {
            self.shut_out();
            last = (0..self.members.len()).map(|at| self.sync(at)).collect();
            if last.iter().all(|outcome| *outcome == Ok(String::new())) {
                break;
            }
        }
        assert!(last.iter().all(|outcome| *outcome == Ok(String::new())), "after {rounds} rounds: {last:?}");
        self.members.iter_mut().for_each(|member| member.fresh.clear());
    }

    /// Everybody meets, and then all have the same, which is all there should be.
    fn settle(&mut self) {
        self.meet();
        for at in 0..self.members.len() {
            let hidden = self.hidden(at);
            self.members[at].device.workspace.restore_runs(&hidden).expect("restores");
        }
        self.reach_the_remote();
        let shown = |device: &Device| {
            let is_at_home = |line: &String| line.contains(" home-") || line.starts_with("home-");
            let mut all = device.state();
            all.extend(shown::files(device));
            all.retain(|line| !is_at_home(line));
            all
        };
        let first = shown(&self.members[0].device);
        for Member { device, at_home, .. } in &self.members {
            let here = shown(device);
            let lacks: Vec<&String> = first.iter().filter(|line| !here.contains(line)).collect();
            let has: Vec<&String> = here.iter().filter(|line| !first.contains(line)).collect();
            assert!(here == first, "devices differ: one has {lacks:#?}, another {has:#?}");
            let found: BTreeSet<String> = device
                .state()
                .iter()
                .filter_map(|run| run.split(' ').nth(1))
                .filter(|id| id.starts_with("home-"))
                .map(str::to_owned)
                .collect();
            assert_eq!(found, *at_home, "what stays at home");
        }
        for slot in self.members.iter().flat_map(|member| member.device.workspace.slots().expect("lists")) {
            assert!(!self.shut_out.contains(&slot.id), "the slot {} was removed, and came back", slot.id);
            assert!(!self.lost.contains(&slot.id), "the slot {} was to be removed", slot.id);
        }
        self.facts.hold_on(&self.members[0].device);
        let whole = self.dice.below(self.members.len());
        is_whole(&self.members[whole].device);
        for receipt in self.members.iter().flat_map(|member| member.device.workspace.receipts().expect("lists")) {
            assert!(receipt.is_complete(), "{}", receipt.to_json());
        }
    }
}

#[track_caller]
fn is_whole(device: &Device) {
    let report = device.workspace.check(runcellar::CheckOptions { read_data: true }).expect("is checked");
    let errors: Vec<_> = report.problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn whatever_devices_do_they_come_to_one_state_and_nothing_is_lost_or_comes_back() {
    let (count, from) = (number("RUNCELLAR_SCHEDULES").unwrap_or(500), number("RUNCELLAR_SEED").unwrap_or(1));
    let (next, replaced) = (Arc::new(AtomicU64::new(0)), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < count) {
                    let mut world = World::new(from.wrapping_add(seed));
                    (0..10 + world.dice.below(25)).for_each(|_| world.step());
                    world.settle();
                    replaced.fetch_add(world.replaced, Ordering::Relaxed);
                }
            });
        }
    });
    assert!(count < 50 || replaced.load(Ordering::Relaxed) > count / 4, "keys are replaced in these");
}
