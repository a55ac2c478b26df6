//! SQLite and fork(2).
//!
//! SQLite keeps per-process state of each open file (its record locks, its shared memory), which a forked child
//! inherits without the locks: a child that opens the database while its parent's connection is open would believe in
//! locks that it does not hold. So all connections are closed before a fork and opened again on the next use, on both
//! sides. If one is busy for too long to wait for, the fork goes on, and the child may not use SQLite: it can still
//! log, as journals do not need it.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::os::{ForkHooks, around_fork};
use crate::{Error, ErrorKind, Result};

/// A connection, or the place of one that a fork closed. Slots live as long as the process and are used again, so
/// that the forking thread can hold them from before the fork until after it.
pub(super) type Slot = Mutex<Option<Connection>>;

/// How long a fork waits for transactions to end. Ours take some ten milliseconds.
const FORK_WAIT: Duration = Duration::from_millis(100);

static SLOTS: Mutex<Slots> = Mutex::new(Slots { all: Vec::new(), free: Vec::new() });
/// Set in a child whose parent had a connection that could not be closed.
static UNUSABLE: AtomicBool = AtomicBool::new(false);
/// Set from before such a fork until after it.
static BUSY: AtomicBool = AtomicBool::new(false);

struct Slots {
    all: Vec<&'static Slot>,
    free: Vec<&'static Slot>,
}

/// What the forking thread holds: the slots, each empty, and the list of them.
struct Held {
    _slots: Vec<MutexGuard<'static, Option<Connection>>>,
    _list: MutexGuard<'static, Slots>,
}

thread_local! {
    static HELD: RefCell<Option<Held>> = const { RefCell::new(None) };
}

fn list() -> MutexGuard<'static, Slots> {
    SLOTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns an empty slot that is looked after at forks.
pub(super) fn take_slot() -> Result<&'static Slot> {
    around_fork(ForkHooks { before, after });
    if UNUSABLE.load(Ordering::Acquire) {
        let message = "this process was forked while its parent was using the workspace: \
                       start it by spawn or exec to read from it (logging works)";
        return Err(Error::new(ErrorKind::State, message));
    }
    let mut slots = list();
    Ok(slots.free.pop().unwrap_or_else(|| {
        let slot: &'static Slot = Box::leak(Box::default());
        slots.all.push(slot);
        slot
    }))
}

/// Closes a slot's connection and gives the slot back.
pub(super) fn give_back(slot: &'static Slot) {
    drop(slot.lock().unwrap_or_else(PoisonError::into_inner).take());
    list().free.push(slot);
}

fn before() {
    let list = list();
    let deadline = Instant::now() + FORK_WAIT;
    let mut slots = Vec::with_capacity(list.all.len());
    for slot in &list.all {
        let guard = loop {
            match slot.try_lock() {
                Ok(guard) => break Some(guard),
                Err(std::sync::TryLockError::Poisoned(poisoned)) => break Some(poisoned.into_inner()),
                Err(std::sync::TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_micros(200));
                }
                Err(std::sync::TryLockError::WouldBlock) => break None,
            }
        };
        match guard {
            Some(mut guard) => {
                if let Some(connection) = guard.take() {
                    // A checkpoint would cost each fork some syncs. If the setting fails, the close is only slower.
                    let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
                    drop(connection);
                }
                slots.push(guard);
            }
            None => BUSY.store(true, Ordering::Release),
        }
    }
    HELD.with_borrow_mut(|held| *held = Some(Held { _slots: slots, _list: list }));
}

fn after(in_child: bool) {
    if BUSY.swap(false, Ordering::AcqRel) && in_child {
        UNUSABLE.store(true, Ordering::Release);
    }
    drop(HELD.take());
}
