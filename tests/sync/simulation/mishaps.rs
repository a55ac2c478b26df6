//! What happens to devices, and to the remote.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use runcellar::ErrorKind;
use runcellar_sync::remote::ObjectName;
use runcellar_sync::remote::fake::{Fake, Faults, Last, Store};

use super::clockwork::Dice;
use super::facts::Deed;
use super::{DEVICES_MAX, Member, World};
use crate::devices::{Device, ORIGIN};

const DAY_US: i64 = 24 * 3600 * 1_000_000;
const YEAR_US: i64 = 365 * DAY_US;

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

/// Returns the segments that stand there, all of them or those of one device.
fn segments(store: &Store, prefix: &str) -> BTreeSet<ObjectName> {
    let is_segment = |name: &str| name.starts_with(prefix) && !name.starts_with("packs/") && name.contains("/00000");
    store.names().into_iter().filter(|name| is_segment(name.as_str())).collect()
}

impl World {
    /// Has something happen where all know each other: before and afterwards everybody meets. Whoever is not known to the
    /// others gets no new keys from them.
    pub(super) fn meet_and(&mut self, happens: fn(&mut World)) {
        self.meet();
        happens(self);
        self.meet();
    }

    /// Another device begins.
    pub(super) fn join(&mut self) {
        let fake = Fake::new(&self.store, self.dice.roll());
        let device = Device::another_on(Arc::new(self.system(0)), &self.members[0].device, &fake);
        let leaves = self.dice.one_in(3);
        if leaves {
            device.workspace.set_setting("sync.content", Some("remote")).expect("is set");
        }
        self.members.push(Member { device, fake, fresh: Vec::new(), at_home: BTreeSet::new() });
        let at = self.members.len() - 1;
        self.note(at, &format!("joins, leaves content there: {leaves}"));
        self.record(at);
        // A device that nobody met yet cannot replace keys for them.
        for at in (0..self.members.len()).rev() {
            self.sync(at).expect("syncs");
        }
    }

    /// Syncs with a remote that fails and lies, or dies at a request.
    pub(super) fn sync_badly(&mut self, at: usize) {
        let dies = self.dice.one_in(2);
        let last = if self.dice.one_in(2) { Last::Unsent } else { Last::Unanswered };
        let (requests, faults) = (self.dice.below(24) as u64, faults(&mut self.dice));
        self.note(at, &if dies { format!("dies after {requests} requests, {last:?}") } else { format!("{faults:?}") });
        match dies {
            true => self.members[at].fake.stop_after(requests, last),
            false => self.members[at].fake.set_faults(faults),
        }
        let _ = self.sync(at);
        self.members[at].fake.revive();
        self.members[at].fake.set_faults(Faults::default());
        if dies {
            self.reopen(at);
        }
    }

    /// A device is opened by another process, with a clock of another year.
    pub(super) fn reopen(&mut self, at: usize) {
        let years = [0, 0, 0, -3, 2, 40][self.dice.below(6)];
        self.note(at, &format!("is opened again, {years} years off"));
        let io = Arc::new(self.system(years * YEAR_US));
        let member = self.members.remove(at);
        self.members.insert(at, Member { device: member.device.opened_with(io), ..member });
    }

    /// Nobody does anything for a while.
    pub(super) fn days_pass(&mut self) {
        let days = [1, 8, 40][self.dice.below(3)];
        self.done.push(format!("{days} days pass"));
        self.time.fetch_add(days * DAY_US, Ordering::Relaxed);
    }

    /// Syncs until nothing is left to do; false if that cannot be now.
    fn is_up_to_date(&mut self, at: usize) -> bool {
        self.sync(at).is_ok() && self.sync(at) == Ok(String::new())
    }

    /// The remote falls back to what it was at some time: whoever saw more says so, and loses nothing by it.
    pub(super) fn fall_back(&mut self, at: usize) {
        if !self.is_up_to_date(at) {
            return;
        }
        let (now, present) = (self.store.moment(), self.told(at));
        let then = self.moments[self.dice.below(self.moments.len())];
        self.store.roll_back(then);
        let is_behind = !present.is_subset(&segments(&self.store, ""));
        self.meets_what_fell_back(at, now, is_behind);
    }

    /// What one device published falls back.
    pub(super) fn fall_back_in_part(&mut self, at: usize) {
        let whose = self.dice.below(self.members.len());
        if !self.is_up_to_date(at) {
            return;
        }
        let prefix = self.prefix(whose);
        let mut present = self.told(at);
        present.retain(|name| name.as_str().starts_with(&prefix));
        let now = self.store.moment();
        let then = self.moments[self.dice.below(self.moments.len())];
        self.store.roll_back_below(&prefix, then);
        let is_behind = !present.is_subset(&segments(&self.store, &prefix));
        self.note(whose, "has what it published fall back");
        self.meets_what_fell_back(at, now, is_behind);
    }

    /// Returns the segments of which the heads tell that a device has seen, its own among them. What a device sent before it died
    /// is told of by nothing yet.
    fn told(&self, at: usize) -> BTreeSet<ObjectName> {
        let exchange = self.members[at].device.workspace.exchange(ORIGIN).expect("begins");
        let known = exchange.known().expect("reads").into_iter();
        let mut told: BTreeMap<String, u64> = known.map(|known| (known.prefix, known.number)).collect();
        told.insert(exchange.prefix(), exchange.published().expect("reads").to);
        let is_told = |name: &ObjectName| {
            let Some((prefix, number)) = name.as_str().split_once('/') else { return false };
            let number: Option<u64> = number.parse().ok();
            told.get(prefix).zip(number).is_some_and(|(most, number)| number <= *most)
        };
        segments(&self.store, "").into_iter().filter(is_told).collect()
    }

    fn prefix(&self, at: usize) -> String {
        self.members[at].device.workspace.exchange(ORIGIN).expect("begins").prefix()
    }

    fn meets_what_fell_back(&mut self, at: usize, now: runcellar_sync::remote::fake::Moment, is_behind: bool) {
        self.note(at, &format!("meets a remote that fell back, {is_behind}"));
        let outcome = self.sync(at);
        assert!(outcome.is_err() || !is_behind, "a remote that fell back was not noticed");
        self.store.roll_back(now);
        // Server and device are as they were: nothing is held against it.
        if outcome.is_err() {
            self.sync(at).expect("syncs once it is back");
        }
    }

    /// A machine is set back to an earlier image together with what it published, so that nothing tells it: whoever has seen
    /// what it published then sees that it forked.
    pub(super) fn fork(&mut self, at: usize) {
        let witness = (at + 1) % self.members.len();
        if !self.is_up_to_date(at) {
            return;
        }
        let (image, moment, prefix) = (self.members[at].device.image(), self.store.moment(), self.prefix(at));
        self.record(at);
        if !self.is_up_to_date(at) || !self.is_up_to_date(witness) {
            return;
        }
        // A witness whose keys are newer than those of the device did not look at what that published.
        let mut present = self.told(witness);
        present.retain(|name| name.as_str().starts_with(&prefix));
        // Nobody but these two is shown that: whoever followed another past would be apart from the others for ever.
        let store = self.store.apart();
        store.roll_back_below(&prefix, moment);
        let gone = present.difference(&segments(&store, &prefix)).count();
        // A run that stays at home is not published.
        if gone > 0 {
            self.note(at, "is set back to an earlier image, with what it published");
            let (file, other) = (image.path().join("w/cellar.db"), self.members[at].device.root().join("w/cellar.db"));
            let io = Arc::new(self.system(0).pose(&file, &other));
            let fake = Fake::new(&store, self.dice.roll());
            let twin = Device::of_image(image, io).expect("opens");
            (0..gone).for_each(|run| twin.record(&format!("twin-{}-{run}", self.recorded), 2));
            let outcome = twin.sync(&fake).map_err(|failure| failure.to_string());
            self.note(at, &format!("publishes another past: {outcome:?}"));
            if outcome.is_ok() {
                let outcome = self.members[witness].device.sync(&fake).map_err(|failure| failure.to_string());
                self.note(witness, &format!("sees both: {outcome:?}"));
                assert!(outcome.is_err(), "a fork was not noticed");
            }
        }
        for at in [at, witness] {
            let _ = self.sync(at);
        }
    }

    /// The folder of a device is copied: the copy goes on as a device of its own.
    pub(super) fn copy(&mut self, at: usize) {
        if self.members.len() >= DEVICES_MAX {
            return;
        }
        self.meet();
        // What was not sent is in both.
        self.record(at);
        self.note(at, "is copied");
        let image = self.members[at].device.image();
        let io = Arc::new(self.system(0));
        let device = Device::of_image(image, io).expect("opens");
        let fake = Fake::new(&self.store, self.dice.roll());
        let (fresh, at_home) = (self.members[at].fresh.clone(), self.members[at].at_home.clone());
        self.members.push(Member { device, fake, fresh, at_home });
        let copy = self.members.len() - 1;
        self.record(copy);
        self.meet();
        // One that had nothing to send was not told of, and who had synced before it has not met it yet.
        self.meet();
        assert_ne!(self.prefix(at), self.prefix(copy), "each publishes in a place of its own");
    }

    /// A device is lost for good; another shuts it out.
    pub(super) fn lose(&mut self, at: usize) {
        if self.members.len() < 3 {
            return;
        }
        if self.dice.one_in(2) {
            self.meet();
        }
        self.note(at, "is lost for good");
        let Member { device, fresh, at_home, .. } = self.members.remove(at);
        let own = device.workspace.slots().expect("lists").into_iter().find(|slot| slot.in_use).expect("opened it");
        drop(device);
        let is_known = |fact: &_| self.members.iter().any(|member| member.fresh.contains(fact));
        let doubts: Vec<_> = fresh.into_iter().filter(|fact| !is_known(fact)).collect();
        for fact in &doubts {
            self.facts.doubt(fact);
            // Whom it shut out, and nobody has heard of that, another has to.
            if let Deed::ShutOut(slot) = &fact.1 {
                self.shut_out.retain(|known| known != slot);
                self.lost.push(slot.clone());
            }
        }
        drop(at_home);
        self.lost.push(own.id);
        self.lost_count += 1;
        let by = self.dice.below(self.members.len());
        // Whoever does it may not have heard yet of what that one published last.
        if self.dice.one_in(3) || self.sync(by).is_ok() {
            self.shut_out_by(by);
        }
    }

    /// Somebody removes the keys of devices that were lost.
    pub(super) fn shut_out(&mut self) {
        for by in 0..self.members.len() {
            self.shut_out_by(by);
        }
    }

    fn shut_out_by(&mut self, by: usize) {
        for id in std::mem::take(&mut self.lost) {
            let workspace = self.members[by].device.workspace.clone();
            let is_there = workspace.slots().expect("lists").iter().any(|slot| slot.id == id);
            if !is_there {
                self.lost.push(id);
                continue;
            }
            self.note(by, &format!("shuts out {id}"));
            match workspace.remove_slots(std::slice::from_ref(&id)) {
                Err(error) if error.kind() == ErrorKind::Evicted => {
                    self.note(by, &format!("has to sync first: {error}"));
                    self.lost.push(id);
                    continue;
                }
                removed => drop(removed.expect("removes")),
            }
            self.did(by, Deed::ShutOut(id.clone()));
            self.shut_out.push(id);
            self.replaced += 1;
        }
    }
}
