//! Many metrics of a run as one table: a row a step, the last written value of each.
//!
//! Row groups are tables already, so a history is built by laying their columns end to end: where every step has one
//! row, as it mostly has, nothing is joined, and the columns are handed on as they are.

use std::cmp::Ordering;

use runcellar_format::block::{Column, Presence, ValueKind, Values};
use runcellar_format::record::SeriesEntry;
use runcellar_format::value::Value;
use runcellar_format::{MediaId, WriterId};

use super::runs::RunInfo;
use super::scan::{Rows, Scan};
use super::series::{cells, number_of};
use super::tail::with_rows;
use super::values::{SeriesValues, compare};
use super::window::Window;
use crate::lineage::ranks::Ranks;
use crate::own::is_own;
use crate::{Result, Workspace};

/// One metric of a [`History`].
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryColumn {
    /// The metric's name.
    pub name: String,
    /// A value for each row; where there is none, one that means nothing.
    pub values: SeriesValues,
    /// Which rows have a value; none if all have.
    pub present: Option<Vec<bool>>,
}

/// Metrics of a run by step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// Steps, rising: each once, or once for each rank that logged at it.
    pub steps: Vec<i64>,
    /// The rank of each row; none if the run has no rank besides 0.
    pub ranks: Option<Vec<u32>>,
    /// Time of the last value written in each row, microseconds UTC since 1970.
    pub times: Vec<i64>,
    /// The metrics, in order of first use.
    pub columns: Vec<HistoryColumn>,
    /// True if fewer rows were asked for.
    pub sampled: bool,
}

impl HistoryColumn {
    /// Returns the value of a row.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<Value> {
        self.has(row).then(|| self.values.get(row)).flatten()
    }

    fn has(&self, row: usize) -> bool {
        self.present.as_ref().is_none_or(|present| present.get(row).copied().unwrap_or(false))
    }

    /// Makes an empty column for a series of these kinds (bits as in [`runcellar_format::record::SeriesEntry`]).
    fn new(name: String, kinds: u8) -> Self {
        let values = match kinds {
            2 => SeriesValues::Int(Vec::new()),
            4 => SeriesValues::Bool(Vec::new()),
            8 => SeriesValues::Text(Vec::new()),
            32 => SeriesValues::Media(Vec::new()),
            _ => SeriesValues::Float(Vec::new()),
        };
        HistoryColumn { name, values, present: None }
    }

    /// Adds what the columns of a series have of `rows` further rows, one column a kind of value.
    fn append(&mut self, before: usize, rows: usize, mut columns: Vec<Column>) {
        let dense = matches!(columns.as_slice(), [Column { presence: Presence::Dense, .. }]);
        if !dense || self.present.is_some() {
            let present = self.present.get_or_insert_with(|| vec![true; before]);
            present.resize(before + rows, dense);
            for index in columns.iter().filter_map(|column| column.presence.rows()).flatten() {
                if let Some(there) = present.get_mut(before + *index as usize) {
                    *there = true;
                }
            }
        }
        match columns.pop() {
            None => self.pad(before + rows),
            Some(Column { presence: Presence::Dense, values, .. }) if columns.is_empty() => self.values.append(values),
            Some(Column { presence: Presence::Rows(indexes), values, .. })
                if columns.is_empty() && values.kind() != ValueKind::Histogram =>
            {
                self.values.append(spread(values, &indexes, rows));
            }
            Some(last) => {
                let mut all = vec![Value::Bool(false); rows];
                for (row, value) in columns.iter().chain([&last]).flat_map(cells) {
                    if let Some(place) = all.get_mut(row) {
                        *place = value;
                    }
                }
                self.values.append_mixed(all.into_iter());
            }
        }
    }

    /// Fills up to `rows` values.
    fn pad(&mut self, rows: usize) {
        match &mut self.values {
            SeriesValues::Histogram(_) => {
                self.values.append_mixed(std::iter::empty());
                self.pad(rows);
            }
            SeriesValues::Float(all) => all.resize(rows, f64::NAN),
            SeriesValues::Int(all) => all.resize(rows, 0),
            SeriesValues::Bool(all) => all.resize(rows, false),
            SeriesValues::Text(all) => all.resize(rows, String::new()),
            SeriesValues::Media(all) => all.resize(rows, MediaId::NIL),
            SeriesValues::Mixed(all) => all.resize(rows, Value::Bool(false)),
        }
    }

    /// Puts for each row the value of the row that `from` names, if any.
    fn gather(&mut self, from: &[Option<usize>]) {
        let picks: Vec<usize> = from.iter().map(|row| row.unwrap_or(0)).collect();
        self.values = std::mem::take(&mut self.values).pick(&picks);
        self.present = from.iter().any(Option::is_none).then(|| from.iter().map(Option::is_some).collect());
    }

    fn settle(&mut self) {
        if self.present.as_ref().is_some_and(|present| present.iter().all(|present| *present)) {
            self.present = None;
        }
        if let (SeriesValues::Mixed(all), Some(present)) = (&mut self.values, &self.present) {
            // What stands for no value must not keep the others from being of one kind.
            let sample = present.iter().position(|present| *present).and_then(|at| all.get(at)).cloned();
            for (value, _) in all.iter_mut().zip(present).filter(|(_, present)| !**present) {
                *value = sample.clone().unwrap_or(Value::Bool(false));
            }
        }
        self.values = std::mem::take(&mut self.values).narrowed();
    }
}

/// Puts values into their rows; histograms, which have no empty one to stand between them, are left as they are.
fn spread(values: Values, indexes: &[u32], rows: usize) -> Values {
    fn of<T: Clone>(values: Vec<T>, indexes: &[u32], rows: usize, none: T) -> Vec<T> {
        let mut all = vec![none; rows];
        for (index, value) in indexes.iter().zip(values) {
            if let Some(place) = all.get_mut(*index as usize) {
                *place = value;
            }
        }
        all
    }
    match values {
        Values::Float(all) => Values::Float(of(all, indexes, rows, f64::NAN)),
        Values::Int(all) => Values::Int(of(all, indexes, rows, 0)),
        Values::Bool(all) => Values::Bool(of(all, indexes, rows, false)),
        Values::Text(all) => Values::Text(of(all, indexes, rows, String::new())),
        Values::Histogram(all) => Values::Histogram(all),
        Values::Media(all) => Values::Media(of(all, indexes, rows, MediaId::NIL)),
    }
}

/// The table while it is put together: rows in order of ingest.
pub(super) struct Table {
    steps: Vec<i64>,
    times: Vec<i64>,
    /// Where the rows of a writer begin.
    writers: Vec<(usize, WriterId)>,
    /// The metrics by number of series.
    columns: Vec<(u32, HistoryColumn)>,
}

impl Table {
    /// Makes an empty table of series by number, rising; each with its name and kinds.
    pub(super) fn new(series: impl Iterator<Item = (u32, String, u8)>) -> Table {
        let columns = series.map(|(number, name, kinds)| (number, HistoryColumn::new(name, kinds))).collect();
        Table { steps: Vec::new(), times: Vec::new(), writers: Vec::new(), columns }
    }

    /// Takes in rows that hold columns of these series alone.
    pub(super) fn add(&mut self, mut rows: Rows) {
        rows.drop_empty();
        let (before, more) = (self.steps.len(), rows.steps.len());
        if self.writers.last().is_none_or(|(_, last)| *last != rows.writer) {
            self.writers.push((before, rows.writer));
        }
        self.steps.extend(rows.steps);
        self.times.extend(rows.times);
        let mut found = rows.columns.into_iter().peekable();
        for (series, column) in &mut self.columns {
            let of_series = std::iter::from_fn(|| found.next_if(|column| column.series == *series));
            column.append(before, more, of_series.collect());
        }
    }

    /// Leaves one row a step and rank: of each metric the value written last, by time, writer and sequence. Returns the
    /// ranks of the rows, if there are several.
    fn join(&mut self, ranks: &Ranks) -> Option<Vec<u32>> {
        let writer = |row: usize| {
            let at = self.writers.partition_point(|(from, _)| *from <= row);
            self.writers.get(at.saturating_sub(1)).map(|(_, writer)| *writer).unwrap_or_default()
        };
        let several = ranks.are_several();
        let rank = |row: usize| if several { ranks.of_writer(writer(row)) } else { 0 };
        let strictly_rising = self.steps.windows(2).fold(true, |rising, pair| rising & (pair[0] < pair[1]));
        if strictly_rising {
            return several.then(|| (0..self.steps.len()).map(rank).collect());
        }
        let place = |row: usize| (self.steps[row], rank(row));
        let mut order: Vec<usize> = (0..self.steps.len()).collect();
        // A stable sort keeps the sequence of one writer.
        order.sort_by_key(|row| (place(*row), self.times[*row], writer(*row)));
        let of_step: Vec<&[usize]> = order.chunk_by(|left, right| place(*left) == place(*right)).collect();
        for (_, column) in &mut self.columns {
            let last = |rows: &&[usize]| rows.iter().rev().copied().find(|row| column.has(*row));
            let from: Vec<Option<usize>> = of_step.iter().map(last).collect();
            column.gather(&from);
        }
        // Every row has a value, so the last row of a step has one that stands.
        let ends: Vec<usize> = of_step.iter().filter_map(|rows| rows.last().copied()).collect();
        let ranks = several.then(|| ends.iter().map(|row| rank(*row)).collect());
        self.steps = ends.iter().map(|row| self.steps[*row]).collect();
        self.times = ends.iter().map(|row| self.times[*row]).collect();
        ranks
    }

    /// Joins the rows.
    pub(super) fn finish(mut self, ranks: &Ranks) -> History {
        let ranks = self.join(ranks);
        let mut columns: Vec<HistoryColumn> = self.columns.into_iter().map(|(_, column)| column).collect();
        columns.iter_mut().for_each(HistoryColumn::settle);
        History { steps: self.steps, ranks, times: self.times, columns, sampled: false }
    }
}

impl Workspace {
    /// Reads metrics of a run as a table: a row a step, or of several ranks a row for each step and rank. `keys` none:
    /// all.
    ///
    /// With `points` at most so many rows stay, or two a metric and one if that is more: the rows are cut into equal
    /// stretches, and of each those with the smallest and the largest value of each metric stay, and the last.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] for a metric that the run does not have, or if the run cannot be read.
    pub fn history(
        &self,
        run: &RunInfo,
        keys: Option<&[String]>,
        window: Window,
        points: Option<usize>,
    ) -> Result<History> {
        let mut history = match keys.map(|keys| self.system_history(run, keys)).transpose()?.flatten() {
            Some(system) => system.within(&window),
            None => self.whole_history(run, keys, window)?,
        };
        if let Some(points) = points {
            history.thin(points);
        }
        Ok(history)
    }

    fn whole_history(&self, run: &RunInfo, keys: Option<&[String]>, window: Window) -> Result<History> {
        let cache = self.inner.read_cache()?;
        let (table, ranks) = with_rows(self, run, |tx, keyring, view| {
            let entries = &view.data.series.entries;
            let shows = |entry: &SeriesEntry| entry.points > 0 && !is_own(&entry.name);
            let mut numbers: Vec<u32> = match keys {
                None => (0..).zip(entries).filter(|(_, entry)| shows(entry)).map(|(number, _)| number).collect(),
                Some(keys) => keys.iter().map(|key| number_of(view, key)).collect::<Result<_>>()?,
            };
            numbers.sort_unstable();
            numbers.dedup();
            let mut table = Table::new(numbers.iter().filter_map(|number| {
                let entry = entries.get(*number as usize)?;
                Some((*number, entry.name.clone(), entry.kinds))
            }));
            let scan = Scan::new(tx, keyring, view, window, cache)?;
            scan.read(|series| numbers.binary_search(&series).is_ok(), |rows| table.add(rows))?;
            Ok((table, scan.ranks))
        })?;
        Ok(table.finish(&ranks))
    }
}

impl History {
    /// Returns the rows that lie in a window.
    fn within(mut self, window: &Window) -> History {
        let rank = |row: usize| self.ranks.as_ref().map_or(0, |ranks| ranks[row]);
        let inside = |row: &usize| window.contains(self.steps[*row], self.times[*row]) && window.has_rank(rank(*row));
        let picks: Vec<usize> = (0..self.steps.len()).filter(inside).collect();
        if picks.len() < self.steps.len() {
            self.pick(&picks);
        }
        self
    }

    /// Leaves the rows `picks`, in their order.
    fn pick(&mut self, picks: &[usize]) {
        for column in &mut self.columns {
            column.values = std::mem::take(&mut column.values).pick(picks);
            column.present = column.present.take().map(|present| picks.iter().map(|row| present[*row]).collect());
        }
        self.steps = picks.iter().map(|row| self.steps[*row]).collect();
        self.ranks = self.ranks.take().map(|ranks| picks.iter().map(|row| ranks[*row]).collect());
        self.times = picks.iter().map(|row| self.times[*row]).collect();
    }

    fn thin(&mut self, points: usize) {
        let rows = self.steps.len();
        if rows <= points {
            return;
        }
        self.sampled = true;
        let buckets = (points / (2 * self.columns.len() + 1)).clamp(1, rows);
        let mut picks = Vec::new();
        for bucket in 0..buckets {
            let stretch = bucket * rows / buckets..(bucket + 1) * rows / buckets;
            let from = picks.len();
            for column in &self.columns {
                let mut ends: Option<[(usize, Value); 2]> = None;
                for row in stretch.clone() {
                    let Some(value) = column.get(row) else { continue };
                    match &mut ends {
                        None if compare(&value, &value).is_some() => ends = Some([(row, value.clone()), (row, value)]),
                        None => {}
                        Some([least, most]) => match (compare(&value, &least.1), compare(&value, &most.1)) {
                            (Some(Ordering::Less), _) => *least = (row, value),
                            (_, Some(Ordering::Greater)) => *most = (row, value),
                            _ => {}
                        },
                    }
                }
                picks.extend(ends.into_iter().flatten().map(|(row, _)| row));
            }
            picks.extend(stretch.last());
            picks[from..].sort_unstable();
        }
        picks.dedup();
        self.pick(&picks);
    }
}
