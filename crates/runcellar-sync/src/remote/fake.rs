//! A remote in memory that lies, loses answers and dies on demand: what the tests of sync run against.
//!
//! A [`Store`] is the bucket; each simulated device has a [`Fake`] of its own on it, with faults of its own. Everything
//! follows from seeds and from the order of calls: no clock, no threads, no randomness. What a call does to the store is done
//! before its answer is lost, falsified, or given.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runcellar_format::object::{OBJECT_BYTES_MAX, SealedObject};

use super::retry::mix;
use super::{Entry, ObjectName, Remote};
use crate::{Error, ErrorKind, Result};

/// Chances out of [`Faults::OF`] that a call goes wrong in some way; all 0 by default.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// The call is not carried out, and fails.
    pub refused: u32,
    /// The call is carried out, and fails.
    pub lost_answers: u32,
    /// A body comes back shorter than it is, without a word.
    pub truncated: u32,
    /// A body comes back with a bit flipped.
    pub flipped: u32,
    /// A name that was overwritten is answered with what it had before, sometime.
    pub replayed: u32,
    /// An object that is there is said not to be.
    pub hidden: u32,
    /// A listing shows a state of the past.
    pub stale_lists: u32,
    /// `put_new` stores the object, and says that there was one.
    pub own_write_refused: u32,
    /// `put_new` overwrites and says that there was none, as servers do that do not know conditional writes.
    pub unconditional: bool,
    /// Nothing is deleted: a lock forbids it until then, microseconds UTC since 1970.
    pub locked_until_us: Option<i64>,
}

impl Faults {
    /// What chances are out of.
    pub const OF: u32 = 1000;
}

/// When a device stops: see [`Fake::stop_after`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// The last request does not reach the remote.
    Unsent,
    /// The last request is carried out, and its answer not seen.
    Unanswered,
}

/// Requests that reached the remote, or were lost before it, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requests {
    /// Calls of `put_new` and `put`.
    pub puts: u64,
    /// Calls of `get`.
    pub gets: u64,
    /// Calls of `head`.
    pub heads: u64,
    /// Calls of `list`.
    pub lists: u64,
    /// Calls of `delete`.
    pub deletes: u64,
}

impl Requests {
    /// Returns how many there were in all.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.puts + self.gets + self.heads + self.lists + self.deletes
    }
}

/// A point in the history of a store: everything before it had happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(usize);

type Bytes = Arc<[u8]>;

/// What the fakes of a test share: the objects, and all that they ever were.
#[derive(Clone, Default)]
pub struct Store(Arc<Mutex<State>>);

#[derive(Default, Clone)]
struct State {
    now: BTreeMap<ObjectName, Bytes>,
    /// Each change in order: what a name got, or that it lost it.
    past: Vec<(ObjectName, Option<Bytes>)>,
}

impl State {
    fn set(&mut self, name: &ObjectName, bytes: Option<Bytes>) {
        match &bytes {
            Some(bytes) => self.now.insert(name.clone(), bytes.clone()),
            None => self.now.remove(name),
        };
        self.past.push((name.clone(), bytes));
    }

    fn at(&self, moment: Moment) -> BTreeMap<ObjectName, Bytes> {
        let mut then = BTreeMap::new();
        for (name, bytes) in self.past.iter().take(moment.0) {
            match bytes {
                Some(bytes) => then.insert(name.clone(), bytes.clone()),
                None => then.remove(name),
            };
        }
        then
    }
}

impl Store {
    /// Makes an empty store.
    #[must_use]
    pub fn new() -> Self {
        Store::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a store with the same past, which goes on by itself: what a server shows to some devices and not to others.
    #[must_use]
    pub fn apart(&self) -> Self {
        let state = self.state().clone();
        Store(Arc::new(Mutex::new(state)))
    }

    /// Returns now, for [`Store::roll_back`].
    #[must_use]
    pub fn moment(&self) -> Moment {
        Moment(self.state().past.len())
    }

    /// Puts back what there was at a moment, as the restored backup of a server does.
    pub fn roll_back(&self, moment: Moment) {
        let mut state = self.state();
        let then = state.at(moment);
        let gone: Vec<ObjectName> = state.now.keys().filter(|name| !then.contains_key(*name)).cloned().collect();
        for name in gone {
            state.set(&name, None);
        }
        for (name, bytes) in then {
            if state.now.get(&name) != Some(&bytes) {
                state.set(&name, Some(bytes));
            }
        }
    }

    /// Puts back what there was at a moment below one folder alone.
    pub fn roll_back_below(&self, folder: &str, moment: Moment) {
        let mut state = self.state();
        let then = state.at(moment);
        let names: BTreeSet<ObjectName> = state.now.keys().chain(then.keys()).cloned().collect();
        let is_below = |name: &ObjectName| name.as_str().strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        for name in names.into_iter().filter(is_below) {
            let bytes = then.get(&name).cloned();
            if state.now.get(&name) != bytes.as_ref() {
                state.set(&name, bytes);
            }
        }
    }

    /// Removes everything.
    pub fn clear(&self) {
        self.roll_back(Moment(0));
    }

    /// Removes an object behind everybody's back; false if there is none.
    pub fn remove(&self, name: &ObjectName) -> bool {
        let mut state = self.state();
        let there = state.now.contains_key(name);
        if there {
            state.set(name, None);
        }
        there
    }

    /// Puts any bytes under a name, as a hostile server can.
    pub fn replace(&self, name: &ObjectName, bytes: impl Into<Arc<[u8]>>) {
        self.state().set(name, Some(bytes.into()));
    }

    /// Returns the bytes of an object as they are.
    #[must_use]
    pub fn bytes(&self, name: &ObjectName) -> Option<Arc<[u8]>> {
        self.state().now.get(name).cloned()
    }

    /// Returns all names, in order.
    #[must_use]
    pub fn names(&self) -> Vec<ObjectName> {
        self.state().now.keys().cloned().collect()
    }

    /// Returns everything that ever stood under any name, in order: what whoever holds the remote may have kept.
    #[must_use]
    pub fn ever(&self) -> Vec<(ObjectName, Arc<[u8]>)> {
        self.state().past.iter().filter_map(|(name, bytes)| Some((name.clone(), bytes.clone()?))).collect()
    }
}

/// One device's way to a [`Store`].
pub struct Fake {
    store: Store,
    device: Mutex<Device>,
}

struct Device {
    faults: Faults,
    seed: u64,
    rolls: u64,
    connected: bool,
    stop: Option<(u64, Last)>,
    requests: Requests,
}

impl Device {
    fn roll(&mut self) -> u64 {
        self.rolls += 1;
        mix(self.seed, self.rolls)
    }

    /// Rolls once whatever the chance, so that a change of one fault does not move all others.
    fn happens(&mut self, chance: u32) -> bool {
        let roll = self.roll();
        roll % u64::from(Faults::OF) < chance.into()
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound.max(1) as u64) as usize
    }
}

/// What becomes of a call before it is carried out.
enum Fate {
    Answered,
    Unanswered,
}

impl Fake {
    /// Makes a way to a store; which calls go wrong follows from the seed.
    #[must_use]
    pub fn new(store: &Store, seed: u64) -> Self {
        let requests = Requests::default();
        let device = Device { faults: Faults::default(), seed, rolls: 0, connected: true, stop: None, requests };
        Fake { store: store.clone(), device: Mutex::new(device) }
    }

    /// Sets what goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.device().faults = faults;
    }

    /// Cuts this device off, or joins it again.
    pub fn set_connected(&self, connected: bool) {
        self.device().connected = connected;
    }

    /// Lets so many requests through from now on, and then none any more, the last one as is said: a process that is killed.
    /// [`Fake::revive`] undoes it.
    pub fn stop_after(&self, requests: u64, last: Last) {
        self.device().stop = Some((requests, last));
    }

    /// Undoes [`Fake::stop_after`].
    pub fn revive(&self) {
        self.device().stop = None;
    }

    /// Returns the requests that were made so far, those that failed among them.
    #[must_use]
    pub fn requests(&self) -> Requests {
        self.device().requests
    }

    fn device(&self) -> MutexGuard<'_, Device> {
        self.device.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request and decides whether it reaches the store.
    fn begin(&self, count: fn(&mut Requests) -> &mut u64) -> Result<Fate> {
        let mut device = self.device();
        *count(&mut device.requests) += 1;
        let faults = device.faults.clone();
        let (refused, lost) = (device.happens(faults.refused), device.happens(faults.lost_answers));
        let stopped = match &mut device.stop {
            Some((0, _)) => Some(Last::Unsent),
            Some((left, last)) => {
                *left -= 1;
                (*left == 0).then_some(*last)
            }
            None => None,
        };
        if !device.connected || refused || stopped == Some(Last::Unsent) {
            return Err(unreachable("no connection"));
        }
        if lost || stopped == Some(Last::Unanswered) { Ok(Fate::Unanswered) } else { Ok(Fate::Answered) }
    }
}

fn unreachable(message: &str) -> Error {
    Error::new(ErrorKind::Unreachable, message).at("fake")
}

impl Fate {
    fn answer<T>(self, value: T) -> Result<T> {
        match self {
            Fate::Answered => Ok(value),
            Fate::Unanswered => Err(unreachable("the answer was lost")),
        }
    }
}

fn bytes_of(object: &SealedObject) -> Result<Bytes> {
    let bytes = object.read();
    Ok(bytes.map_err(|error| Error::new(ErrorKind::Local, error.to_string()).with_cause(error).at("fake"))?.into())
}

impl Remote for Fake {
    fn put_new(&self, name: &ObjectName, object: &SealedObject) -> Result<bool> {
        let bytes = bytes_of(object)?;
        let fate = self.begin(|requests| &mut requests.puts)?;
        let mut device = self.device();
        let own_write_refused = device.faults.own_write_refused;
        let (refused, unconditional) = (device.happens(own_write_refused), device.faults.unconditional);
        let mut state = self.store.state();
        let new = unconditional || !state.now.contains_key(name);
        if new {
            state.set(name, Some(bytes));
        }
        fate.answer(new && !refused)
    }

    fn put(&self, name: &ObjectName, object: &SealedObject) -> Result<()> {
        let bytes = bytes_of(object)?;
        let fate = self.begin(|requests| &mut requests.puts)?;
        self.store.state().set(name, Some(bytes));
        fate.answer(())
    }

    fn get(&self, name: &ObjectName, range: Option<Range<u64>>) -> Result<Option<Vec<u8>>> {
        let fate = self.begin(|requests| &mut requests.gets)?;
        let mut device = self.device();
        let faults = device.faults.clone();
        let (hidden, replayed) = (device.happens(faults.hidden), device.happens(faults.replayed));
        let (truncated, flipped) = (device.happens(faults.truncated), device.happens(faults.flipped));
        let state = self.store.state();
        let mut body = state.now.get(name).filter(|_| !hidden).cloned();
        if replayed {
            let earlier: Vec<&Bytes> =
                state.past.iter().filter(|(of, _)| of == name).filter_map(|(_, bytes)| bytes.as_ref()).collect();
            body = earlier.get(device.below(earlier.len())).map(|bytes| Bytes::clone(bytes)).or(body);
        }
        let Some(body) = body else { return fate.answer(None) };
        let len = body.len() as u64;
        let range = range.unwrap_or(0..len);
        let (start, end) = (range.start.min(len), range.end.min(len).max(range.start.min(len)));
        let mut bytes = body.get(start as usize..end as usize).unwrap_or_default().to_vec();
        if bytes.len() as u64 > OBJECT_BYTES_MAX {
            return Err(Error::new(ErrorKind::Damaged, "longer than any object").at("fake").of(name));
        }
        if truncated {
            bytes.truncate(device.below(bytes.len()));
        }
        let bit = device.below(bytes.len() * 8);
        if flipped && let Some(byte) = bytes.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
        }
        fate.answer(Some(bytes))
    }

    fn list(&self, below: Option<&ObjectName>, each: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<()> {
        let fate = self.begin(|requests| &mut requests.lists)?;
        let listed = {
            let mut device = self.device();
            let stale_lists = device.faults.stale_lists;
            let stale = device.happens(stale_lists);
            let state = self.store.state();
            if stale { state.at(Moment(device.below(state.past.len()))) } else { state.now.clone() }
        };
        // A listing whose answer is lost was seen as far as it came.
        let seen = match fate {
            Fate::Answered => listed.len(),
            Fate::Unanswered => self.device().below(listed.len()),
        };
        for (name, bytes) in listed.into_iter().filter(|(name, _)| name.is_below(below)).take(seen) {
            if each(Entry { name, bytes: bytes.len() as u64 }).is_break() {
                return Ok(());
            }
        }
        fate.answer(())
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        let fate = self.begin(|requests| &mut requests.deletes)?;
        if let Some(until) = self.device().faults.locked_until_us {
            return Err(Error::object_locked(Some(until)).at("fake").of(name));
        }
        self.store.remove(name);
        fate.answer(())
    }

    fn delete_older(&self, _name: &ObjectName) -> Result<()> {
        self.begin(|requests| &mut requests.deletes)?.answer(())
    }

    fn head(&self, name: &ObjectName) -> Result<Option<u64>> {
        let fate = self.begin(|requests| &mut requests.heads)?;
        let mut device = self.device();
        let hidden = device.faults.hidden;
        let hidden = device.happens(hidden);
        let len = self.store.state().now.get(name).filter(|_| !hidden).map(|bytes| bytes.len() as u64);
        fate.answer(len)
    }
}
