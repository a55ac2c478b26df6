//! What a workspace handle keeps decoded of what it has read last, so that reading it again is a copy.
//!
//! Nothing here can be out of date: a row group never changes under its number, a sealed record never under its
//! header, and what may be seen of either is decided after it comes from here.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use runcellar_format::overview::Overview;
use runcellar_format::record::GroupPage;
use runcellar_format::seal::HEADER_BYTES;

use super::scan::Rows;
use crate::Result;
use crate::db::{GroupKey, ObjectKey, ObjectRow};

/// Most bytes of decoded rows: two series of a million points, with steps and times.
const ROWS_BYTES_MAX: usize = 64 << 20;
/// Most bytes of decoded overviews: those of 50 series of ten million points.
const OVERVIEWS_BYTES_MAX: usize = 16 << 20;
/// Most bytes of decoded lists of row groups: those of a run of 400 million rows.
const PAGES_BYTES_MAX: usize = 16 << 20;

/// The cache of one process's workspace handle.
pub(crate) struct ReadCache {
    rows: Kept<(GroupKey, u32), Rows>,
    overviews: Kept<Header, Overview>,
    pages: Kept<Header, GroupPage>,
}

/// Which version of a sealed record: its place, and its header, whose salt is drawn anew each time.
type Header = (ObjectKey, [u8; HEADER_BYTES]);

impl Default for ReadCache {
    fn default() -> Self {
        ReadCache {
            rows: Kept::of(ROWS_BYTES_MAX),
            overviews: Kept::of(OVERVIEWS_BYTES_MAX),
            pages: Kept::of(PAGES_BYTES_MAX),
        }
    }
}

impl ReadCache {
    /// Returns the rows of a series in a row group, if they are here.
    pub(super) fn rows(&self, group: GroupKey, series: u32) -> Option<Arc<Rows>> {
        self.rows.get(&(group, series))
    }

    /// Keeps the rows of a series in a row group.
    pub(super) fn keep_rows(&self, group: GroupKey, series: u32, rows: Rows) {
        let bytes = rows.bytes();
        self.rows.keep((group, series), bytes, Arc::new(rows));
    }

    /// Returns what an overview's row says, by `read` if it is not here.
    pub(super) fn overview(&self, row: &ObjectRow, read: impl FnOnce() -> Result<Overview>) -> Result<Arc<Overview>> {
        self.overviews.get_or(row, read, |overview| size_of_val(&*overview.groups))
    }

    /// Returns what a group page's row says, by `read` if it is not here.
    pub(super) fn page(&self, row: &ObjectRow, read: impl FnOnce() -> Result<GroupPage>) -> Result<Arc<GroupPage>> {
        self.pages.get_or(row, read, |page| size_of_val(&*page.entries))
    }
}

/// Values by key, up to a number of bytes; those that were not used for longest go first.
struct Kept<K, V> {
    bytes_max: usize,
    held: Mutex<Held<K, V>>,
}

struct Held<K, V> {
    values: HashMap<K, Used<V>>,
    /// Keys by when they were used last.
    uses: BTreeMap<u64, K>,
    clock: u64,
    bytes: usize,
}

struct Used<V> {
    at: u64,
    bytes: usize,
    value: Arc<V>,
}

impl<K: Hash + Eq + Copy, V> Kept<K, V> {
    fn of(bytes_max: usize) -> Self {
        let held = Held { values: HashMap::new(), uses: BTreeMap::new(), clock: 0, bytes: 0 };
        Kept { bytes_max, held: Mutex::new(held) }
    }

    fn get(&self, key: &K) -> Option<Arc<V>> {
        // A panic elsewhere leaves at worst a use that names nothing.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let Held { values, uses, clock, .. } = &mut *held;
        let used = values.get_mut(key)?;
        *clock += 1;
        uses.remove(&used.at);
        uses.insert(*clock, *key);
        used.at = *clock;
        Some(used.value.clone())
    }

    fn keep(&self, key: K, bytes: usize, value: Arc<V>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.values.contains_key(&key) || bytes > self.bytes_max {
            return;
        }
        held.clock += 1;
        let at = held.clock;
        held.bytes += bytes;
        held.uses.insert(at, key);
        held.values.insert(key, Used { at, bytes, value });
        while held.bytes > self.bytes_max {
            let Some((_, oldest)) = held.uses.pop_first() else { break };
            if let Some(gone) = held.values.remove(&oldest) {
                held.bytes -= gone.bytes;
            }
        }
    }
}

impl<V> Kept<Header, V> {
    fn get_or(&self, row: &ObjectRow, read: impl FnOnce() -> Result<V>, bytes: impl Fn(&V) -> usize) -> Result<Arc<V>> {
        // What has no header does not open, and `read` says so.
        let Some(header) = row.body.first_chunk() else { return Ok(Arc::new(read()?)) };
        let key = (row.key, *header);
        if let Some(known) = self.get(&key) {
            return Ok(known);
        }
        let value = Arc::new(read()?);
        self.keep(key, bytes(&value), value.clone());
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_stays_within_its_bytes_and_goes_by_its_last_use() {
        let kept: Kept<u32, u32> = Kept::of(100);
        for number in 0..200 {
            kept.keep(number, 7, Arc::new(number));
            assert_eq!(kept.get(&0).as_deref(), Some(&0), "it is used all the time");
            assert!(kept.held.lock().expect("no panic").bytes <= 100);
        }
        assert!(kept.get(&1).is_none() && kept.get(&199).is_some());
        kept.keep(1_000, 101, Arc::new(0));
        assert!(kept.get(&1_000).is_none(), "it would take the place of all others");
        let held = kept.held.lock().expect("no panic");
        assert_eq!((held.values.len(), held.uses.len(), held.bytes), (14, 14, 98));
    }

    #[test]
    fn a_record_that_was_written_anew_is_read_anew() {
        use runcellar_format::seal::Kind;
        use runcellar_format::{DeviceId, ObjectId};
        let row = |salt| ObjectRow {
            key: ObjectKey::new(Kind::GroupPage, ObjectId::NIL, 3),
            device: DeviceId::NIL,
            seq: 0,
            tag: None,
            body: vec![salt; 200],
        };
        let cache = ReadCache::default();
        let page = |place| {
            let entry = runcellar_format::record::GroupEntry { place, ..Default::default() };
            Ok(GroupPage { entries: vec![entry] })
        };
        let place = |page: Result<Arc<GroupPage>>| page.expect("read").entries[0].place;
        assert_eq!(place(cache.page(&row(1), || page(10))), 10);
        assert_eq!(place(cache.page(&row(2), || page(20))), 20);
        assert_eq!(place(cache.page(&row(1), || panic!("it is here"))), 10);
        let moved = ObjectRow { key: ObjectKey::new(Kind::GroupPage, ObjectId::NIL, 4), ..row(1) };
        assert_eq!(place(cache.page(&moved, || page(30))), 30, "a place of its own");
    }
}
