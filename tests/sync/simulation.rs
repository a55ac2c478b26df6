//! Devices that work offline, meet on a remote that lies and loses answers, die at requests, have clocks of other years, rename,
//! tag, hide, purge and replace keys: whatever they do, they come to one state in the end, in which nothing is lost and nothing
//! came back.
//!
//! `RUNCELLAR_SCHEDULES` says how many schedules are run (500), `RUNCELLAR_SEED` with which seed they begin. One that fails prints
//! its own: `RUNCELLAR_SCHEDULES=1 RUNCELLAR_SEED=<seed> cargo test -p runcellar-sync --test sync simulation::`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::available_parallelism;

use runcellar::{Resume, Selection};
use runcellar_sync::remote::fake::{Fake, Faults, Last, Moment, Store};

use crate::devices::Device;
use crate::io::{Call, Fate, Hooked};

const YEAR_US: i64 = 365 * 24 * 3600 * 1_000_000;
/// The most devices of a schedule.
const DEVICES_MAX: usize = 8;

/// Numbers that follow from a seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound.max(1) as u64) as usize
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }
}

/// What happened so far, besides what the devices know of it.
struct World {
    seed: u64,
    dice: Dice,
    store: Store,
    devices: Vec<(Device, Fake)>,
    /// Rows that were logged of each run, and by how many of its writers.
    rows: BTreeMap<String, i64>,
    purged: BTreeSet<String>,
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

fn faults(dice: &mut Dice) -> Faults {
    let mut chance = |most: usize| if dice.one_in(2) { dice.below(most) as u32 } else { 0 };
    Faults {
        refused: chance(150),
        lost_answers: chance(150),
        truncated: chance(80),
        flipped: chance(80),
        replayed: chance(80),
        hidden: chance(80),
        stale_lists: chance(400),
        own_write_refused: chance(300),
        unconditional: chance(2) == 1,
        ..Faults::default()
    }
}

/// Opens a device anew, with a clock that is wrong by so much.
fn skewed(device: Device, skew: i64) -> Device {
    let io = Hooked::new(|_: Call, _: &std::path::Path| Fate::Done);
    io.move_wall_clock(skew);
    device.opened_with(io)
}

impl World {
    fn new(seed: u64) -> World {
        let store = Store::new();
        let first = Device::first();
        let devices = vec![(first, Fake::new(&store, seed))];
        let (rows, purged) = (BTreeMap::new(), BTreeSet::new());
        let (dice, moments, done) = (Dice(seed), Vec::new(), Vec::new());
        let mut world = World { seed, dice, store, devices, rows, purged, moments, replaced: 0, done };
        world.record(0);
        world.sync(0).expect("the first sync");
        let count = 2 + world.dice.below(2) + if world.dice.one_in(6) { world.dice.below(DEVICES_MAX - 3) } else { 0 };
        while world.devices.len() < count {
            world.join(seed);
        }
        world
    }

    fn join(&mut self, seed: u64) {
        let fake = Fake::new(&self.store, seed.wrapping_add(self.devices.len() as u64));
        let device = Device::another(&self.devices[0].0, &fake);
        self.devices.push((device, fake));
        self.record(self.devices.len() - 1);
        // A device that nobody met yet cannot replace keys for them.
        for at in (0..self.devices.len()).rev() {
            self.sync(at).expect("syncs");
        }
    }

    fn note(&mut self, at: usize, what: &str) {
        self.done.push(format!("device {at} {what}"));
    }

    /// Syncs; returns what was still to do, which is nothing in the end.
    fn sync(&mut self, at: usize) -> Result<String, String> {
        let (device, fake) = &self.devices[at];
        let synced = device.sync(fake).map_err(|failure| failure.to_string()).map(|report| {
            let all = [report.sent, report.fetched, report.deleted, report.behind];
            let text = format!("sent {}, fetched {}, deleted {}, behind {}", all[0], all[1], all[2], all[3]);
            if all == [0; 4] { String::new() } else { text }
        });
        self.note(at, &format!("syncs: {synced:?}"));
        self.moments.extend(synced.is_ok().then(|| self.store.moment()));
        synced
    }

    fn record(&mut self, at: usize) {
        let (id, rows) = (format!("run-{:03}", self.rows.len()), 1 + self.dice.below(4) as i64);
        self.note(at, &format!("records {id}"));
        self.devices[at].0.record(&id, rows);
        self.rows.insert(id, rows);
    }

    /// A run that this device has.
    fn run_of(&mut self, at: usize) -> Option<String> {
        let runs = self.devices[at].0.workspace.runs(&Selection::default()).expect("lists");
        let mut ids: Vec<String> = runs.into_iter().map(|run| run.id).collect();
        ids.sort();
        (!ids.is_empty()).then(|| ids.swap_remove(self.dice.below(ids.len())))
    }

    /// Somebody does something.
    fn step(&mut self) {
        let at = self.dice.below(self.devices.len());
        match self.dice.below(20) {
            0..=4 => self.record(at),
            5..=9 => {
                // Where two replaced the keys at once, one may have to wait for the other.
                let _ = self.sync(at);
            }
            10..=11 => self.sync_badly(at),
            12 => self.reopen(at),
            13 => self.fall_back(at),
            // 14 to 19.
            what => {
                let Some(id) = self.run_of(at) else { return };
                // As the command does before it replaces keys: so all that are there are known.
                if what < 19 || self.sync(at).is_ok() && self.devices[at].0.workspace.find_run(&id).is_ok() {
                    self.change(at, what, &id);
                }
            }
        }
    }

    fn change(&mut self, at: usize, what: usize, id: &str) {
        let rename = format!("name-{}", self.dice.below(100));
        let tag = format!("tag-{}", self.dice.below(3));
        let (is_untag, is_purge) = (self.dice.one_in(3), self.dice.one_in(2));
        let words = ["resumes", "renames", "tags", "hides", "shows all", if is_purge { "purges" } else { "rotates" }];
        self.note(at, &format!("{} {id}", words[what - 14]));
        let (device, _) = &self.devices[at];
        let (workspace, run) = (&device.workspace, device.run(id));
        match what {
            14 => {
                let run = workspace.run("p").id(id).resume(Resume::Must).start().expect("resumes");
                run.log([("loss", 0.5), ("accuracy", 1.0)]).expect("logs");
                run.finish().expect("finishes");
                *self.rows.get_mut(id).expect("is known") += 1;
            }
            15 => workspace.rename_run(&run, &rename).expect("renames"),
            16 if is_untag => workspace.tag_run(&run, &[], &[tag]).expect("untags"),
            16 => workspace.tag_run(&run, &[tag], &[]).expect("tags"),
            17 => workspace.remove_runs(&[run]).expect("hides"),
            18 => {
                let hidden = workspace.runs(&Selection { removed: true, ..Selection::default() }).expect("lists");
                workspace.restore_runs(&hidden).expect("restores");
            }
            _ if is_purge => {
                workspace.purge(&[id.parse().expect("a run")], Default::default()).expect("purges");
                self.purged.insert(id.to_owned());
                self.replaced += 1;
            }
            _ => {
                workspace.rotate_keys().expect("rotates");
                self.replaced += 1;
            }
        }
    }

    /// Syncs with a remote that fails and lies, or dies at a request.
    fn sync_badly(&mut self, at: usize) {
        let dies = self.dice.one_in(2);
        let last = if self.dice.one_in(2) { Last::Unsent } else { Last::Unanswered };
        let (requests, faults) = (self.dice.below(24) as u64, faults(&mut self.dice));
        self.note(at, &if dies { format!("dies after {requests} requests, {last:?}") } else { format!("{faults:?}") });
        match dies {
            true => self.devices[at].1.stop_after(requests, last),
            false => self.devices[at].1.set_faults(faults),
        }
        let _ = self.sync(at);
        self.devices[at].1.revive();
        self.devices[at].1.set_faults(Faults::default());
        if dies {
            self.reopen(at);
        }
    }

    fn reopen(&mut self, at: usize) {
        let years = [0, 0, 0, -3, 2, 40][self.dice.below(6)];
        self.note(at, &format!("is opened again, {years} years off"));
        let (device, fake) = self.devices.remove(at);
        self.devices.insert(at, (skewed(device, years * YEAR_US), fake));
    }

    /// The remote falls back to what it was at some time: whoever saw more says so, and loses nothing by it.
    fn fall_back(&mut self, at: usize) {
        if self.sync(at).is_err() || self.sync(at) != Ok(String::new()) {
            return;
        }
        let segments = |store: &Store| -> BTreeSet<_> {
            let is_segment = |name: &str| !name.starts_with("packs/") && name.contains("/0");
            store.names().into_iter().filter(|name| is_segment(name.as_str())).collect()
        };
        let (now, present) = (self.store.moment(), segments(&self.store));
        let then = self.moments[self.dice.below(self.moments.len())];
        self.store.roll_back(then);
        let is_behind = !present.is_subset(&segments(&self.store));
        self.note(at, &format!("meets a remote that fell back, {is_behind}"));
        let outcome = self.sync(at);
        assert!(outcome.is_err() || !is_behind, "a remote that fell back was not noticed");
        self.store.roll_back(now);
        // Server and device are as they were: nothing is held against it.
        if outcome.is_err() {
            self.sync(at).expect("syncs once it is back");
        }
    }

    /// Everybody meets until nobody has anything to say, and then all have the same, which is all there should be.
    fn settle(&mut self) {
        let rounds = 4 + 2 * self.devices.len();
        let mut last = Vec::new();
        for _ in 0..rounds {
            last = (0..self.devices.len()).map(|at| self.sync(at)).collect();
            if last.iter().all(|outcome| *outcome == Ok(String::new())) {
                break;
            }
        }
        assert!(last.iter().all(|outcome| *outcome == Ok(String::new())), "after {rounds} rounds: {last:?}");
        for (device, _) in &self.devices {
            let hidden = device.workspace.runs(&Selection { removed: true, ..Selection::default() }).expect("lists");
            device.workspace.restore_runs(&hidden).expect("restores");
        }
        let first = self.devices[0].0.state();
        for (device, _) in &self.devices {
            assert_eq!(device.state(), first);
            for (id, rows) in &self.rows {
                match device.workspace.find_run(id) {
                    Ok(_) if self.purged.contains(id) => panic!("{id} was purged, and came back"),
                    Ok(run) => {
                        let loss = device.workspace.series(&run, "loss", None).expect("reads");
                        assert_eq!(loss.steps.len() as i64, *rows, "{id}");
                    }
                    Err(error) => assert!(self.purged.contains(id), "{error}"),
                }
            }
        }
        let whole = self.dice.below(self.devices.len());
        self.devices[whole].0.is_whole();
        for receipt in self.devices.iter().flat_map(|(device, _)| device.workspace.receipts().expect("lists")) {
            assert!(receipt.is_complete(), "{}", receipt.to_json());
        }
    }
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
