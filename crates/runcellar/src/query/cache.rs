//! Decoded rows of the series read last, so that reading them again is a copy.
//!
//! A row group never changes under its number, and what may be seen of it is decided after it comes from here.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::scan::Rows;
use crate::db::GroupKey;

/// Most bytes of decoded rows that a workspace handle keeps: two series of a million points, with steps and times.
const BYTES_MAX: usize = 64 << 20;

/// Which rows: those of one series in one row group.
type Key = (GroupKey, u32);

/// The cache of one process's workspace handle.
#[derive(Default)]
pub(crate) struct ReadCache {
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    rows: HashMap<Key, (u64, Arc<Rows>)>,
    /// Keys by when they were used last.
    uses: BTreeMap<u64, Key>,
    clock: u64,
    bytes: usize,
}

impl ReadCache {
    fn lock(&self) -> MutexGuard<'_, Held> {
        // A panic elsewhere leaves at worst a use that names nothing.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the rows of a series in a row group, if they are here.
    pub(super) fn get(&self, group: GroupKey, series: u32) -> Option<Arc<Rows>> {
        let mut held = self.lock();
        let Held { rows, uses, clock, .. } = &mut *held;
        let (used, found) = rows.get_mut(&(group, series))?;
        *clock += 1;
        uses.remove(used);
        uses.insert(*clock, (group, series));
        *used = *clock;
        Some(found.clone())
    }

    /// Keeps rows, and lets go of those that were not used for longest.
    pub(super) fn keep(&self, group: GroupKey, series: u32, rows: Arc<Rows>) {
        let mut held = self.lock();
        let bytes = rows.bytes();
        if held.rows.contains_key(&(group, series)) || bytes > BYTES_MAX {
            return;
        }
        held.clock += 1;
        let clock = held.clock;
        held.bytes += bytes;
        held.uses.insert(clock, (group, series));
        held.rows.insert((group, series), (clock, rows));
        while held.bytes > BYTES_MAX {
            let Some((_, oldest)) = held.uses.pop_first() else { break };
            if let Some((_, gone)) = held.rows.remove(&oldest) {
                held.bytes -= gone.bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use runcellar_format::{ObjectId, WriterId};

    use super::*;

    #[test]
    fn the_cache_stays_within_its_bytes_and_keeps_what_was_used_last() {
        let cache = ReadCache::default();
        let group = |number| GroupKey { run: ObjectId::NIL, writer: WriterId::NIL, number };
        let rows = || {
            let (steps, times) = (vec![0; 1 << 19], vec![0; 1 << 19]);
            Arc::new(Rows { writer: WriterId::NIL, steps, times, columns: Vec::new() })
        };
        for number in 0..20 {
            cache.keep(group(number), 7, rows());
            assert!(cache.get(group(0), 7).is_some(), "it is used all the time");
            assert!(cache.lock().bytes <= BYTES_MAX);
        }
        assert!(cache.get(group(1), 7).is_none() && cache.get(group(19), 7).is_some());
        assert!(cache.get(group(19), 8).is_none());
        let held = cache.lock();
        assert_eq!(held.rows.len(), held.uses.len());
    }
}
