//! The one way to the points of a run: its row groups in order of ingest, then the tails of its journals.
//!
//! What a reader may see is decided here and nowhere else: [`Scan::seen_of`] for a group, [`Rows::keep`] for a row.
//! SQLite is asked by one thread; a second one decodes, if there is enough to read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{TrySendError, channel, sync_channel};

use runcellar_format::block::{Column, GroupMain, Presence, Values};
use runcellar_format::histogram::Histogram;
use runcellar_format::overview::Overview;
use runcellar_format::record::GroupEntry;
use runcellar_format::seal::{Kind, OwnerKey};
use runcellar_format::{FormatError, MediaId, WorkspaceId, WriterId};

use super::cache::ReadCache;
use super::tail::{Tail, View};
use super::window::{Coverage, Window};
use crate::db::{BlockRow, GroupKey, ObjectRow, ReadTx};
use crate::ingest::{groups, overviews, rows_away};
use crate::keys::Keyring;
use crate::lineage::ranks::Ranks;
use crate::{Error, Result};

/// Row groups from which a second thread is worth its start, some 50 us.
const GROUPS_IN_PARALLEL_MIN: usize = 8;
/// Overviews from which it is.
const OVERVIEWS_IN_PARALLEL_MIN: usize = 16;
/// Row groups that wait for the second thread, which bounds the memory of what is read ahead.
const QUEUE_GROUPS: usize = 4;
/// Row groups that may be decoded before one that is still waited for.
const AHEAD_GROUPS: usize = 16;

/// What is read: a run, and which of its points.
pub(super) struct Scan<'a> {
    pub(super) tx: &'a ReadTx<'a>,
    pub(super) keyring: &'a Keyring,
    pub(super) view: &'a View,
    pub(super) window: Window,
    pub(super) ranks: Ranks,
    pub(super) cache: &'a ReadCache,
}

/// A row group of which something is to be seen.
pub(super) struct Seen {
    pub(super) entry: GroupEntry,
    /// All of its rows are.
    pub(super) whole: bool,
}

/// Rows of one row group or tail, and the wanted columns over them.
#[derive(Clone)]
pub(crate) struct Rows {
    pub(super) writer: WriterId,
    pub(super) steps: Vec<i64>,
    pub(super) times: Vec<i64>,
    /// By series; a series of several kinds has a column for each.
    pub(super) columns: Vec<Column>,
}

impl Rows {
    /// Returns about how much memory they take.
    pub(super) fn bytes(&self) -> usize {
        let of_column = |column: &Column| match &column.values {
            Values::Float(_) | Values::Int(_) => 8 * column.values.len(),
            Values::Bool(all) => all.len(),
            Values::Media(all) => size_of::<MediaId>() * all.len(),
            Values::Text(all) => all.iter().map(|text| text.len() + size_of::<String>()).sum(),
            Values::Histogram(all) => 8 * all.iter().map(Histogram::numbers).sum::<usize>(),
        };
        16 * self.steps.len() + self.columns.iter().map(of_column).sum::<usize>()
    }

    /// Drops the rows outside a window.
    fn keep(&mut self, window: &Window) {
        let rows = self.steps.iter().zip(&self.times);
        let kept: Vec<bool> = rows.map(|(step, time)| window.contains(*step, *time)).collect();
        self.retain(&kept);
    }

    /// Drops the rows in which no column has a value.
    pub(super) fn drop_empty(&mut self) {
        let rows: Option<Vec<&[u32]>> = self.columns.iter().map(|column| column.presence.rows()).collect();
        // None: one column has a value in every row.
        let Some(rows) = rows else { return };
        let mut kept = vec![false; self.steps.len()];
        for row in rows.into_iter().flatten() {
            if let Some(kept) = kept.get_mut(*row as usize) {
                *kept = true;
            }
        }
        self.retain(&kept);
    }

    fn retain(&mut self, kept: &[bool]) {
        if kept.iter().all(|kept| *kept) {
            return;
        }
        // The place of each row among those that are left.
        let mut left = 0;
        let places = kept.iter().map(|kept| {
            left += u32::from(*kept);
            kept.then(|| left - 1)
        });
        let places: Vec<Option<u32>> = places.collect();
        for column in &mut self.columns {
            let row = |index: usize| match &column.presence {
                Presence::Dense => index,
                Presence::Rows(rows) => rows.get(index).map_or(usize::MAX, |row| *row as usize),
            };
            let place = |index: usize| places.get(row(index)).copied().flatten();
            let rows: Vec<Option<u32>> = (0..column.values.len()).map(place).collect();
            retain(&mut column.values, &rows);
            let rows: Vec<u32> = rows.into_iter().flatten().collect();
            column.presence = if rows.len() == left as usize { Presence::Dense } else { Presence::Rows(rows) };
        }
        self.columns.retain(|column| !column.values.is_empty());
        for numbers in [&mut self.steps, &mut self.times] {
            let mut kept = kept.iter();
            numbers.retain(|_| kept.next().copied().unwrap_or(false));
        }
    }
}

fn retain(values: &mut Values, kept: &[Option<u32>]) {
    fn of<T>(all: &mut Vec<T>, kept: &[Option<u32>]) {
        let mut kept = kept.iter();
        all.retain(|_| kept.next().is_some_and(Option::is_some));
    }
    match values {
        Values::Float(all) => of(all, kept),
        Values::Int(all) => of(all, kept),
        Values::Bool(all) => of(all, kept),
        Values::Text(all) => of(all, kept),
        Values::Histogram(all) => of(all, kept),
        Values::Media(all) => of(all, kept),
    }
}

/// A row group on its way: the main part opened, the parts of the wanted columns still sealed.
struct Fetched {
    group: GroupKey,
    whole: bool,
    main: Vec<u8>,
    parts: Vec<BlockRow>,
}

impl<'a> Scan<'a> {
    pub(super) fn new(
        tx: &'a ReadTx<'a>,
        keyring: &'a Keyring,
        view: &'a View,
        window: Window,
        cache: &'a ReadCache,
    ) -> Result<Self> {
        rows_away::refuse(tx, keyring, view.data.object)?;
        let window = view.data.until.map_or(window, |time| window.times(..=time));
        Ok(Scan { tx, keyring, view, window, ranks: Ranks::of(&view.data.record)?, cache })
    }

    /// Returns how much of a row group may be seen.
    fn seen_of(&self, entry: &GroupEntry) -> Coverage {
        if !self.window.has_rank(self.ranks.of_writer(WriterId(entry.writer))) {
            return Coverage::Nothing;
        }
        self.window.coverage((entry.first_step, entry.last_step), (entry.first_time, entry.last_time))
    }

    /// Lists the row groups of which something may be seen, in order of ingest.
    pub(super) fn groups(&self) -> Result<Vec<Seen>> {
        let data = &self.view.data;
        if data.key.is_none() {
            return Ok(Vec::new());
        }
        let mut all = Vec::new();
        for row in self.tx.objects(Kind::GroupPage, Some(data.object))? {
            let page = self.cache.page(&row, || data.group_page(self.tx, self.keyring, &row))?;
            all.extend_from_slice(&page.entries);
        }
        data.leave_shown(&mut all)?;
        let seen =
            all.into_iter().map(|entry| (self.seen_of(&entry), entry)).filter(|(seen, _)| *seen != Coverage::Nothing);
        Ok(seen.map(|(seen, entry)| Seen { entry, whole: seen == Coverage::Whole }).collect())
    }

    /// Reads the overviews of a series.
    pub(super) fn overviews(&self, series: u32) -> Result<Vec<Arc<Overview>>> {
        let Some(key) = &self.view.data.key else { return Ok(Vec::new()) };
        let (workspace, cache, run) = (self.keyring.workspace(), self.cache, self.view.data.record.id.as_str());
        let rows = overviews::rows_of_series(self.tx, self.view.data.object, series)?;
        let decode = |row: ObjectRow| cache.overview(&row, || overviews::open(key, workspace, run, &row));
        let mut all = Vec::with_capacity(rows.len());
        let parallel = rows.len() >= OVERVIEWS_IN_PARALLEL_MIN;
        in_order(rows.into_iter().map(Ok), decode, parallel, |_, overview| all.push(overview))?;
        Ok(all)
    }

    /// Calls `take` for every row group and then every tail that has something of the wanted series.
    pub(super) fn read(&self, wanted: impl Fn(u32) -> bool + Sync, mut take: impl FnMut(Rows)) -> Result<()> {
        self.read_groups(self.groups()?.iter(), &wanted, |_, rows| take(rows))?;
        self.read_tails(wanted, take);
        Ok(())
    }

    /// Calls `take` for each tail that has something of the wanted series.
    pub(super) fn read_tails(&self, wanted: impl Fn(u32) -> bool, mut take: impl FnMut(Rows)) {
        let tails = self.view.tails.iter();
        for tail in tails.filter(|tail| self.window.has_rank(self.ranks.of_writer(tail.writer))) {
            let Tail { writer, steps, times, columns } = tail;
            let columns: Vec<Column> = columns.iter().filter(|column| wanted(column.series)).cloned().collect();
            let mut rows = Rows { writer: *writer, steps: steps.clone(), times: times.clone(), columns };
            rows.keep(&self.window);
            if !rows.columns.is_empty() {
                take(rows);
            }
        }
    }

    /// Calls `take` for each of `groups` that has something of one series, in order, with its place in the list.
    pub(super) fn read_series(&self, groups: &[&Seen], series: u32, mut take: impl FnMut(usize, &Rows)) -> Result<()> {
        let key = |seen: &Seen| groups::group_key(&self.view.data, &seen.entry);
        let known = groups.iter().map(|seen| seen.whole.then(|| self.cache.rows(key(seen), series)).flatten());
        let mut known: Vec<Option<Arc<Rows>>> = known.collect();
        let missing: Vec<usize> = (0..groups.len()).filter(|at| known[*at].is_none()).collect();
        let mut next = 0;
        let mut take_known = |to: usize, take: &mut dyn FnMut(usize, &Rows)| {
            for (at, rows) in known.iter_mut().enumerate().take(to).skip(next) {
                rows.take().iter().for_each(|rows| take(at, rows));
            }
            next = to;
        };
        self.read_groups(missing.iter().map(|at| groups[*at]), &|number| number == series, |index, rows| {
            let at = missing[index];
            take_known(at, &mut take);
            take(at, &rows);
            if groups[at].whole {
                self.cache.keep_rows(key(groups[at]), series, rows);
            }
        })?;
        take_known(groups.len(), &mut take);
        Ok(())
    }

    /// Calls `take` for each of `groups` that has something of the wanted series, in order, with its place in the list.
    pub(super) fn read_groups<'b>(
        &self,
        groups: impl ExactSizeIterator<Item = &'b Seen>,
        wanted: &(impl Fn(u32) -> bool + Sync),
        mut take: impl FnMut(usize, Rows),
    ) -> Result<()> {
        let Some(key) = &self.view.data.key else { return Ok(()) };
        let (workspace, window, run) = (self.keyring.workspace(), self.window, self.view.data.record.id.as_str());
        let decode = move |fetched: Option<Fetched>| match fetched {
            Some(fetched) => fetched.decode(key, workspace, run, &window, wanted),
            None => Ok(None),
        };
        let parallel = groups.len() >= GROUPS_IN_PARALLEL_MIN;
        let fetch = groups.map(|seen| self.fetch(seen, wanted));
        in_order(fetch, decode, parallel, |at, rows| rows.into_iter().for_each(|rows| take(at, rows)))
    }

    /// Reads what is needed of a row group; none if it has nothing of the wanted series.
    fn fetch(&self, seen: &Seen, wanted: &impl Fn(u32) -> bool) -> Result<Option<Fetched>> {
        let data = &self.view.data;
        let group = groups::group_key(data, &seen.entry);
        let sealed = groups::open_part(self.tx, self.keyring, data, group, 0)?;
        let main = GroupMain::decode(&sealed).map_err(|cause| damaged(group, &data.record.id, cause))?;
        let columns = main.columns.iter().filter(|column| wanted(column.series));
        let parts: Vec<u32> = columns.map(|column| column.part).collect();
        if parts.is_empty() {
            return Ok(None);
        }
        let apart = parts.into_iter().filter(|part| *part != 0);
        let parts = apart.map(|part| groups::sealed_part(self.tx, data, group, part)).collect::<Result<_>>()?;
        Ok(Some(Fetched { group, whole: seen.whole, main: sealed, parts }))
    }
}

impl Fetched {
    fn decode(
        self,
        key: &OwnerKey,
        workspace: WorkspaceId,
        run: &str,
        window: &Window,
        wanted: &impl Fn(u32) -> bool,
    ) -> Result<Option<Rows>> {
        let named = |cause| damaged(self.group, run, cause);
        let main = GroupMain::decode(&self.main).map_err(named)?;
        let mut columns = Vec::new();
        for column in main.columns.iter().filter(|column| wanted(column.series)) {
            let part = self.parts.iter().find(|part| part.part == column.part);
            let part = part.map(|part| groups::open_sealed(key, workspace, run, part)).transpose()?;
            let values = column.decode(part.as_deref()).map_err(named)?;
            columns.push(Column { series: column.series, presence: column.presence().map_err(named)?, values });
        }
        let (steps, times) = (main.steps().map_err(named)?, main.times().map_err(named)?);
        let mut rows = Rows { writer: self.group.writer, steps, times, columns };
        if !self.whole {
            rows.keep(window);
        }
        Ok(Some(rows).filter(|rows| !rows.columns.is_empty()))
    }
}

fn damaged(group: GroupKey, run: &str, cause: FormatError) -> Error {
    Error::format(format_args!("block {} of run {run}", group.number), cause)
}

/// Calls `work` for each item and `take` for what comes of it, in order of the items.
///
/// Items are made and taken in this thread, as SQLite's connection is; the work is shared with a second one, which
/// helps whenever this one would wait for nothing.
fn in_order<I: Send, O: Send>(
    items: impl Iterator<Item = Result<I>>,
    work: impl Fn(I) -> Result<O> + Sync,
    parallel: bool,
    mut take: impl FnMut(usize, O),
) -> Result<()> {
    let mut items = items.enumerate();
    if !parallel {
        return items.try_for_each(|(at, item)| {
            take(at, work(item?)?);
            Ok(())
        });
    }
    std::thread::scope(|scope| {
        let (give, jobs) = sync_channel::<(usize, I)>(QUEUE_GROUPS);
        let (done, results) = channel();
        let work = &work;
        let helper = move || jobs.into_iter().try_for_each(|(at, item)| done.send((at, work(item))));
        // Without the thread (a machine at its limit) every item comes back at once, and is worked on here.
        let _ = std::thread::Builder::new().name("runcellar-read".into()).spawn_scoped(scope, helper);
        let (mut ahead, mut next) = (BTreeMap::new(), 0);
        for (at, item) in items.by_ref() {
            match give.try_send((at, item?)) {
                Ok(()) => {}
                Err(TrySendError::Full((at, item)) | TrySendError::Disconnected((at, item))) => {
                    ahead.insert(at, work(item));
                }
            }
            loop {
                while let Some(outcome) = ahead.remove(&next) {
                    take(next, outcome?);
                    next += 1;
                }
                let found =
                    if at - next.min(at) < AHEAD_GROUPS { results.try_recv().ok() } else { results.recv().ok() };
                let Some((at, outcome)) = found else { break };
                ahead.insert(at, outcome);
            }
        }
        drop(give);
        ahead.extend(results);
        ahead.into_iter().try_for_each(|(at, outcome)| {
            take(at, outcome?);
            Ok(())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_on_two_threads_comes_out_in_order_and_stops_at_the_first_error() {
        for parallel in [false, true] {
            let mut taken = Vec::new();
            let square = |item: usize| Ok(item * item);
            in_order((0..1_000).map(Ok), square, parallel, |at, square| taken.push((at, square))).expect("no error");
            assert_eq!(taken, (0..1_000).map(|item| (item, item * item)).collect::<Vec<_>>());

            let mut count = 0;
            let fails = |item: usize| if item == 700 { Err(Error::damaged("item 700")) } else { Ok(item) };
            let outcome = in_order((0..1_000).map(Ok), fails, parallel, |_, _| count += 1);
            assert_eq!((outcome.map_err(|error| error.to_string()), count), (Err("item 700".into()), 700));

            let items = (0..1_000).map(|item| if item == 300 { Err(Error::damaged("no item")) } else { Ok(item) });
            let mut count = 0;
            assert!(in_order(items, square, parallel, |_, _| count += 1).is_err());
            assert!(count <= 300);
        }
    }

    #[test]
    fn rows_outside_a_window_go_with_their_values() {
        let column = |presence, values| Column { series: 0, presence, values };
        let columns = vec![
            column(Presence::Dense, Values::Int(vec![0, 1, 2, 3])),
            column(Presence::Rows(vec![0, 2, 3]), Values::Text(vec!["a".into(), "c".into(), "d".into()])),
            column(Presence::Rows(vec![0]), Values::Bool(vec![true])),
        ];
        let mut rows = Rows { writer: WriterId::NIL, steps: vec![5, 6, 7, 8], times: vec![50, 60, 70, 80], columns };
        rows.keep(&Window::default().steps(6..).times(..80));
        assert_eq!((rows.steps, rows.times), (vec![6, 7], vec![60, 70]));
        let left = vec![
            column(Presence::Dense, Values::Int(vec![1, 2])),
            column(Presence::Rows(vec![1]), Values::Text(vec!["c".into()])),
        ];
        assert_eq!(rows.columns, left);
    }
}
