//! Statistics and summary of the rows that are kept, put together row group by row group.
//!
//! Mostly from the figures in the main parts, without opening a column; what these do not tell (texts, steps that do
//! not rise within a group) is decoded.

use std::collections::HashMap;

use runcellar_format::WriterId;
use runcellar_format::block::{Column, ColumnEntry, ColumnStats, Extents, GroupMain, Presence, ValueKind};
use runcellar_format::record::{GroupEntry, PAGE_ENTRIES, RunRecord, SeriesEntry, SeriesPage};
use runcellar_format::value::Value;

use crate::db::{GroupKey, ReadTx, WriteTx};
use crate::ingest::data::{RunData, SeriesTable, value_at};
use crate::ingest::statistics::{self, empty};
use crate::ingest::{fold, groups, series};
use crate::keys::Keyring;
use crate::own::is_own;
use crate::{Error, Result};

/// Statistics that may stand in a summary behind the name of their metric and a dot.
const STATISTICS: [&str; 6] = ["min", "max", "mean", "last", "first", "best"];

/// Returns the name of the metric whose statistic may stand in a summary under a key.
pub(crate) fn statistic_of(key: &str) -> Option<&str> {
    key.rsplit_once('.').and_then(|(name, part)| STATISTICS.contains(&part).then_some(name))
}

/// Statistics of the rows that were added.
pub(crate) struct Recount {
    pub(crate) entries: Vec<SeriesEntry>,
    /// The last written value of each series, with its time.
    last: Vec<Option<(i64, Value)>>,
    /// The latest time of any row.
    pub(crate) latest: Option<i64>,
    /// The highest step of any row.
    pub(crate) last_step: Option<i64>,
    /// Whether a writer records the store's own series.
    own: HashMap<WriterId, bool>,
}

impl Recount {
    /// Begins with series of these names, none of which has a point; the store's own keep theirs.
    pub(crate) fn new(series: &SeriesTable) -> Recount {
        let kept = |entry: &SeriesEntry| if is_own(&entry.name) { entry.clone() } else { empty(&entry.name) };
        Recount {
            entries: series.entries.iter().map(kept).collect(),
            last: vec![None; series.entries.len()],
            latest: None,
            last_step: None,
            own: HashMap::new(),
        }
    }

    /// Empties the store's own series, too.
    pub(crate) fn without_own(mut self) -> Recount {
        for entry in self.entries.iter_mut().filter(|entry| is_own(&entry.name)) {
            *entry = empty(&entry.name);
        }
        self
    }

    /// Returns true if columns of these series hold what the store records of itself: such rows have steps of their own.
    pub(crate) fn are_own(&self, series: impl IntoIterator<Item = u32>) -> bool {
        let mut names = series.into_iter().filter_map(|series| self.entries.get(series as usize)).peekable();
        names.peek().is_some() && names.all(|entry| is_own(&entry.name))
    }

    /// Returns true if a row group holds what the store records of itself, which a writer does always or never.
    pub(crate) fn is_own_group(
        &mut self,
        tx: &ReadTx<'_>,
        keyring: &Keyring,
        data: &RunData,
        group: GroupKey,
    ) -> Result<bool> {
        if let Some(own) = self.own.get(&group.writer) {
            return Ok(*own);
        }
        let main = groups::open_part(tx, keyring, data, group, 0)?;
        let main = GroupMain::decode(&main).map_err(|cause| named(data, group, cause))?;
        let own = self.are_own(main.columns.iter().map(|column| column.series));
        self.own.insert(group.writer, own);
        Ok(own)
    }

    /// Adds all rows of a group of a run.
    pub(crate) fn add_group(
        &mut self,
        tx: &ReadTx<'_>,
        keyring: &Keyring,
        data: &RunData,
        entry: &GroupEntry,
    ) -> Result<()> {
        let group = groups::group_key(data, entry);
        let main = groups::open_part(tx, keyring, data, group, 0)?;
        let main = GroupMain::decode(&main).map_err(|cause| named(data, group, cause))?;
        let steps = main.steps().map_err(|cause| named(data, group, cause))?;
        let times = main.times().map_err(|cause| named(data, group, cause))?;
        let rising = steps.is_sorted();
        self.note_rows(&steps, &times);
        for column in &main.columns {
            let presence = column.presence().map_err(|cause| named(data, group, cause))?;
            if rising && matches!(column.kind, ValueKind::Float | ValueKind::Int | ValueKind::Bool) {
                let stats = column.stats().map_err(|cause| named(data, group, cause))?;
                self.add_figures(column, &presence, &stats, &steps, &times);
            } else {
                let values = groups::read_column(tx, keyring, data, group, column)?;
                self.add_column(&Column { series: column.series, presence, values }, &steps, &times);
            }
        }
        Ok(())
    }

    /// Adds decoded rows.
    pub(crate) fn add_rows(&mut self, steps: &[i64], times: &[i64], columns: &[Column]) {
        self.note_rows(steps, times);
        for column in columns {
            self.add_column(column, steps, times);
        }
    }

    fn note_rows(&mut self, steps: &[i64], times: &[i64]) {
        self.last_step = self.last_step.max(steps.iter().max().copied());
        self.latest = self.latest.max(times.iter().max().copied());
    }

    fn add_column(&mut self, column: &Column, steps: &[i64], times: &[i64]) {
        let Some(entry) = self.entries.get_mut(column.series as usize) else { return };
        statistics::merge(entry, statistics::of_columns("", std::slice::from_ref(column), steps));
        let index = column.values.len().saturating_sub(1);
        let row = match &column.presence {
            Presence::Dense => index,
            Presence::Rows(rows) => rows.last().map_or(0, |row| *row as usize),
        };
        let last = value_at(&column.values, index);
        self.note_last(column.series, last.map(|last| (times.get(row).copied().unwrap_or_default(), last)));
    }

    /// Adds the figures of a column whose steps rise.
    fn add_figures(
        &mut self,
        column: &ColumnEntry<'_>,
        presence: &Presence,
        stats: &ColumnStats,
        steps: &[i64],
        times: &[i64],
    ) {
        let (first_row, last_row) = match presence {
            Presence::Dense => (0, steps.len().saturating_sub(1)),
            Presence::Rows(rows) => {
                let row = |row: Option<&u32>| row.map_or(0, |row| *row as usize);
                (row(rows.first()), row(rows.last()))
            }
        };
        let at = |all: &[i64], row: usize| all.get(row).copied().unwrap_or_default();
        let value = |int: i64| if column.kind == ValueKind::Bool { Value::Bool(int != 0) } else { Value::Int(int) };
        let (ends, extremes, sum) = match stats.extents {
            Extents::Float(extent) => {
                let extremes = (Value::Float(extent.min), Value::Float(extent.max));
                let ends = (Value::Float(extent.first), Value::Float(extent.last));
                (ends, Some(extremes).filter(|_| stats.count > stats.non_finite), extent.sum)
            }
            Extents::Int(extent) => {
                let ends = (value(extent.first), value(extent.last));
                (ends, Some((value(extent.min), value(extent.max))), extent.sum)
            }
            _ => return,
        };
        let ((first, last), (min, max)) = (ends, extremes.unzip());
        let kinds = match column.kind {
            ValueKind::Float => 1,
            ValueKind::Int => 2,
            ValueKind::Bool => 4,
            _ => 0,
        };
        self.note_last(column.series, Some((at(times, last_row), last.clone())));
        let Some(entry) = self.entries.get_mut(column.series as usize) else { return };
        let more = SeriesEntry {
            points: stats.count.into(),
            non_finite: stats.non_finite.into(),
            kinds,
            first_step: at(steps, first_row),
            last_step: at(steps, last_row),
            min,
            max,
            sum,
            first,
            last,
            ..empty("")
        };
        statistics::merge(entry, more);
    }

    fn note_last(&mut self, series: u32, last: Option<(i64, Value)>) {
        if let (Some(known), Some(last)) = (self.last.get_mut(series as usize), last)
            && known.as_ref().is_none_or(|(time, _)| *time <= last.0)
        {
            *known = Some(last);
        }
    }

    /// Writes the statistics back in the place of those of the run, whose series these are.
    pub(crate) fn store(self, tx: &mut WriteTx<'_>, data: &mut RunData) -> Result<()> {
        for (number, entries) in (0..).zip(self.entries.chunks(PAGE_ENTRIES)) {
            series::put_page(tx, data, number, &SeriesPage { entries: entries.to_vec() })?;
        }
        data.head.series = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        Ok(())
    }

    /// Makes the summary of a record that of the rows that were added: of metrics the last written value; of what was
    /// set besides, what was there by the time of the last row.
    pub(crate) fn summarise(&self, record: &mut RunRecord, by: i64) {
        let numbers: HashMap<&str, usize> = self.entries.iter().map(|entry| entry.name.as_str()).zip(0..).collect();
        let is_statistic = |key: &str| statistic_of(key).is_some_and(|name| numbers.contains_key(name));
        let logged = |number: usize| {
            let (time, value) = self.last.get(number)?.as_ref()?;
            Some((fold::shortened(value), fold::clock_of(*time)))
        };
        let by = fold::clock_of(by);
        record.summary.retain_mut(|(key, entry)| match numbers.get(key.as_str()) {
            Some(number) => logged(*number).map(|(value, clock)| (entry.value, entry.clock) = (value, clock)).is_some(),
            None => entry.clock <= by && !is_statistic(key),
        });
        fold::apply_definitions(record, &self.entries);
    }
}

fn named(data: &RunData, group: GroupKey, cause: runcellar_format::FormatError) -> Error {
    Error::format(format_args!("block {} of run {}", group.number, data.record.id), cause)
}
