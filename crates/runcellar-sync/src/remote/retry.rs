//! Patience: what failed because of the network is done again, a bounded number of times.

use std::hash::{BuildHasher as _, RandomState};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use runcellar_format::object::SealedObject;

use super::{Clock, Entry, ObjectName, Remote};
use crate::Result;

/// How often and how soon something is done again.
#[derive(Debug, Clone)]
pub struct Retries {
    /// Attempts in all.
    pub attempts: u32,
    /// The longest wait before the second attempt.
    pub first: Duration,
    /// The longest wait before any.
    pub longest: Duration,
}

impl Default for Retries {
    /// Five attempts within 7.5 seconds of waiting at most: a Wi-Fi change or the restart of a server is outlived, and
    /// somebody in front of a terminal still learns soon that there is no network. An agent tries again later anyway.
    fn default() -> Self {
        Retries { attempts: 5, first: Duration::from_millis(500), longest: Duration::from_secs(8) }
    }
}

impl Retries {
    /// Returns the wait after so many failures, the first being 1; `dice` is any number.
    ///
    /// Anything between nothing and the limit, which doubles: then clients that failed together do not come back together.
    /// Source: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 ("full jitter").
    fn wait(&self, failures: u32, dice: u64) -> Duration {
        let limit = self.first.saturating_mul(2_u32.saturating_pow(failures - 1)).min(self.longest);
        limit.mul_f64(dice as f64 / u64::MAX as f64)
    }
}

/// The longest wait that a server may ask for: for one that wants more, nobody at a terminal waits, and an agent comes back later.
const ASKED_MAX: Duration = Duration::from_secs(60);

/// A remote that does again what can succeed the second time.
///
/// [`Remote::put_new`] may then return false for one's own object, if the answer to the first attempt was lost. A listing begins
/// from the start again, so it may tell an object twice.
pub struct Retry<R> {
    inner: R,
    retries: Retries,
    clock: Arc<dyn Clock>,
    seed: u64,
    rolls: AtomicU64,
}

impl<R: Remote> Retry<R> {
    /// Wraps a remote.
    pub fn new(inner: R, retries: Retries, clock: Arc<dyn Clock>) -> Self {
        Retry::seeded(inner, retries, clock, RandomState::new().hash_one(0))
    }

    /// Wraps a remote; the waits follow from `seed`.
    pub fn seeded(inner: R, retries: Retries, clock: Arc<dyn Clock>, seed: u64) -> Self {
        Retry { inner, retries, clock, seed, rolls: AtomicU64::new(0) }
    }

    fn again<T>(&self, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
        let mut failures = 0;
        loop {
            match attempt() {
                Err(error) if error.is_retryable() => {
                    failures += 1;
                    let roll = self.rolls.fetch_add(1, Ordering::Relaxed);
                    let asked = error.asks_to_wait().unwrap_or_default();
                    // What is asked for, and then not all at once.
                    let wait = asked.saturating_add(self.retries.wait(failures, mix(self.seed, roll)));
                    if failures >= self.retries.attempts || asked > ASKED_MAX || !self.clock.sleep(wait) {
                        return Err(error);
                    }
                }
                other => return other,
            }
        }
    }
}

impl<R: Remote> Remote for Retry<R> {
    fn put_new(&self, name: &ObjectName, object: &SealedObject) -> Result<bool> {
        self.again(|| self.inner.put_new(name, object))
    }

    fn put(&self, name: &ObjectName, object: &SealedObject) -> Result<()> {
        self.again(|| self.inner.put(name, object))
    }

    fn get(&self, name: &ObjectName, range: Option<Range<u64>>) -> Result<Option<Vec<u8>>> {
        self.again(|| self.inner.get(name, range.clone()))
    }

    fn list(&self, below: Option<&ObjectName>, each: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<()> {
        self.again(|| self.inner.list(below, each))
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        self.again(|| self.inner.delete(name))
    }

    fn delete_older(&self, name: &ObjectName) -> Result<()> {
        self.again(|| self.inner.delete_older(name))
    }

    fn head(&self, name: &ObjectName) -> Result<Option<u64>> {
        self.again(|| self.inner.head(name))
    }

    fn make_place(&self) -> Result<()> {
        self.again(|| self.inner.make_place())
    }
}

/// Returns the `n`-th number of a seeded sequence. Source: SplitMix64, Steele, Lea and Flood, OOPSLA 2014.
pub(super) fn mix(seed: u64, n: u64) -> u64 {
    let mut z = seed.wrapping_add(n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
