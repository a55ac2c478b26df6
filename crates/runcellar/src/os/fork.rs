//! Noticing a fork.
//!
//! A forked child has none of the parent's threads, so a lock that one of them held stays locked for ever, and it
//! shares SQLite handles and record locks that are not its own. Everything with such state sits in a [`Forkable`],
//! which gives the child a new value and leaks the old one without touching it.

use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Once, OnceLock};

static GENERATION: AtomicU64 = AtomicU64::new(1);

/// Returns a number that differs in a forked child. A counter that the child's fork handler raises: `getpid` would
/// be a system call for each `log()`.
pub(crate) fn fork_generation() -> u64 {
    static REGISTERED: Once = Once::new();
    if !REGISTERED.is_completed() {
        REGISTERED.call_once(|| {
            // SAFETY: the handlers have the C calling convention and live as long as the process.
            unsafe { libc::pthread_atfork(Some(before), Some(after_in_parent), Some(after_in_child)) };
        });
    }
    GENERATION.load(Ordering::Relaxed)
}

/// What is done around a fork, all in the thread that forks.
pub(crate) struct ForkHooks {
    /// Before: the place to bring into order what cannot be shared.
    pub(crate) before: fn(),
    /// After, in parent and child (`true`).
    pub(crate) after: fn(bool),
}

static HOOKS: OnceLock<ForkHooks> = OnceLock::new();

/// Registers what is done around each fork of this process. The first registration stands.
pub(crate) fn around_fork(hooks: ForkHooks) {
    fork_generation();
    HOOKS.get_or_init(|| hooks);
}

extern "C" fn before() {
    if let Some(hooks) = HOOKS.get() {
        (hooks.before)();
    }
}

extern "C" fn after_in_parent() {
    if let Some(hooks) = HOOKS.get() {
        (hooks.after)(false);
    }
}

extern "C" fn after_in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    if let Some(hooks) = HOOKS.get() {
        (hooks.after)(true);
    }
}

/// A value that a forked child makes anew on first use.
///
/// In the process that made it, `get` costs two atomic loads. The old value is never dropped in the child: its
/// locks may be held by threads that do not exist there, and closing its files would drop nothing of the parent's
/// but could run SQLite's shutdown on shared state.
pub(crate) struct Forkable<T> {
    generation: AtomicU64,
    building: AtomicU64,
    value: AtomicPtr<T>,
}

// SAFETY: the pointer owns a T; sharing and sending it is sharing and sending T.
unsafe impl<T: Send + Sync> Send for Forkable<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Forkable<T> {}

impl<T> Forkable<T> {
    pub(crate) fn new(value: T) -> Self {
        Forkable {
            generation: AtomicU64::new(fork_generation()),
            building: AtomicU64::new(0),
            value: AtomicPtr::new(Box::into_raw(Box::new(value))),
        }
    }

    /// Returns the value of this process; `rebuild` makes it from the parent's in a forked child, and must not
    /// touch the parent's locks.
    pub(crate) fn get<E>(&self, rebuild: impl Fn(&T) -> Result<T, E>) -> Result<&T, E> {
        let now = fork_generation();
        while self.generation.load(Ordering::Acquire) != now {
            // One thread of the child builds, found by a lock-free claim: a mutex could have been held at the fork.
            let claimed = self.building.load(Ordering::Acquire);
            if claimed == now
                || self.building.compare_exchange(claimed, now, Ordering::AcqRel, Ordering::Acquire).is_err()
            {
                std::thread::yield_now();
                continue;
            }
            // SAFETY: the pointer came from Box::into_raw and is never freed while `self` is borrowed.
            let old = unsafe { &*self.value.load(Ordering::Acquire) };
            match rebuild(old) {
                Ok(value) => {
                    self.value.store(Box::into_raw(Box::new(value)), Ordering::Release);
                    self.generation.store(now, Ordering::Release);
                }
                Err(error) => {
                    self.building.store(0, Ordering::Release);
                    return Err(error);
                }
            }
        }
        // SAFETY: as above; a replaced value is leaked, never freed, so the reference stays valid.
        Ok(unsafe { &*self.value.load(Ordering::Acquire) })
    }

    /// Returns the value if it belongs to this process, without making a new one.
    pub(crate) fn own(&self) -> Option<&T> {
        let own = self.generation.load(Ordering::Acquire) == fork_generation();
        // SAFETY: as in `get`.
        own.then(|| unsafe { &*self.value.load(Ordering::Acquire) })
    }
}

impl<T> Drop for Forkable<T> {
    fn drop(&mut self) {
        if *self.generation.get_mut() == fork_generation() {
            // SAFETY: made by Box::into_raw in this process, and nobody borrows it any more.
            drop(unsafe { Box::from_raw(*self.value.get_mut()) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn a_child_gets_a_new_value_even_if_the_old_one_is_locked() {
        let shared = Forkable::new(Mutex::new(1));
        let guard = shared.get(|_| Ok::<_, ()>(Mutex::new(0))).expect("own").lock().expect("free");
        // SAFETY: the child calls only what is allowed after fork in a threaded process, and ends with _exit.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let value = shared.get(|_| Ok::<_, ()>(Mutex::new(2))).map(|lock| *lock.lock().expect("new"));
            let code = if value == Ok(2) { 0 } else { 1 };
            // SAFETY: ends the child without running the parent's handlers.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: waits for the child made above.
        unsafe { libc::waitpid(pid, &raw mut status, 0) };
        assert_eq!(status, 0, "the child saw its own value");
        assert_eq!(*guard, 1);
    }
}
