//! Reading one series of a run.

use runcellar_format::WriterId;
use runcellar_format::block::{Column, Presence};
use runcellar_format::value::Value;

use super::cache::ReadCache;
use super::runs::RunInfo;
use super::sample;
use super::scan::{Rows, Scan};
use super::tail::{OpenJournals, View, view_of, with_rows};
use super::values::{SeriesValues, with_capacity};
use super::window::Window;
use crate::db::ReadTx;
use crate::ingest::data::value_at;
use crate::keys::Keyring;
use crate::lineage::ranks::Ranks;
use crate::{Error, ErrorKind, Result, Workspace};

/// One metric of one run, by (step, time, order written). All vectors have one entry a point.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Steps.
    pub steps: Vec<i64>,
    /// Values.
    pub values: SeriesValues,
    /// Times, microseconds UTC since 1970.
    pub times: Vec<i64>,
    /// The rank that logged each; none if the run has no rank besides 0.
    pub ranks: Option<Vec<u32>>,
    /// True if fewer points were asked for.
    pub sampled: bool,
}

/// Points of one series as they are found: in order of group, not of step.
#[derive(Default)]
pub(super) struct Points {
    pub(super) steps: Vec<i64>,
    pub(super) times: Vec<i64>,
    pub(super) values: SeriesValues,
    /// Where the points of a writer begin.
    writers: Vec<(usize, WriterId)>,
}

impl Points {
    /// Makes room for so many points, of which none is here yet, of a series that has values of these kinds.
    pub(super) fn with_capacity(kinds: u8, count: usize) -> Self {
        let values = SeriesValues::with_capacity(kinds, count);
        Points { steps: with_capacity(count), times: with_capacity(count), values, writers: Vec::new() }
    }

    /// Takes in rows that hold columns of this series alone.
    pub(super) fn add(&mut self, rows: &Rows) {
        let Rows { writer, steps, times, columns } = rows;
        if self.writers.last().is_none_or(|(_, last)| last != writer) {
            self.writers.push((self.steps.len(), *writer));
        }
        if columns.len() > 1 {
            // Values of several kinds were split into columns; the order in which they were written is that of rows.
            let mut points: Vec<(usize, Value)> = columns.iter().flat_map(cells).collect();
            points.sort_by_key(|(row, _)| *row);
            self.steps.extend(points.iter().filter_map(|(row, _)| steps.get(*row)));
            self.times.extend(points.iter().filter_map(|(row, _)| times.get(*row)));
            return self.values.append_mixed(points.into_iter().map(|(_, value)| value));
        }
        let Some(Column { presence, values, .. }) = columns.first() else { return };
        match presence {
            Presence::Dense => {
                self.steps.extend_from_slice(steps);
                self.times.extend_from_slice(times);
            }
            Presence::Rows(rows) => {
                self.steps.extend(rows.iter().filter_map(|row| steps.get(*row as usize)));
                self.times.extend(rows.iter().filter_map(|row| times.get(*row as usize)));
            }
        }
        self.values.append_copy(values);
    }

    /// Takes in what was found elsewhere.
    pub(super) fn append(&mut self, more: Points) {
        if self.steps.is_empty() {
            *self = more;
            return;
        }
        let before = self.steps.len();
        self.writers.extend(more.writers.into_iter().map(|(from, writer)| (before + from, writer)));
        self.steps.extend(more.steps);
        self.times.extend(more.times);
        self.values.append_all(more.values);
    }

    fn writer_at(&self, index: usize) -> WriterId {
        let at = self.writers.partition_point(|(from, _)| *from <= index);
        self.writers.get(at.saturating_sub(1)).map(|(_, writer)| *writer).unwrap_or_default()
    }

    fn is_in_order(&self) -> bool {
        // The usual case, steps that rise, in one pass without a branch.
        let rising = self.steps.windows(2).fold(true, |rising, pair| rising & (pair[0] < pair[1]));
        let keys = || self.steps.iter().zip(&self.times);
        rising || (self.writers.len() <= 1 && keys().is_sorted())
    }

    /// Orders the points by step, and those of one step by time, writer and sequence.
    pub(super) fn sorted(self, ranks: &Ranks) -> Series {
        let rank = |index: usize| ranks.of_writer(self.writer_at(index));
        if self.is_in_order() {
            let ranks = ranks.are_several().then(|| (0..self.steps.len()).map(rank).collect());
            let values = self.values.narrowed();
            return Series { steps: self.steps, values, times: self.times, ranks, sampled: false };
        }
        let mut order: Vec<usize> = (0..self.steps.len()).collect();
        // A stable sort keeps the sequence of one writer.
        order.sort_by_key(|index| (self.steps[*index], self.times[*index], self.writer_at(*index)));
        let take = |all: &[i64]| order.iter().map(|index| all[*index]).collect();
        let (steps, times) = (take(&self.steps), take(&self.times));
        let ranks = ranks.are_several().then(|| order.iter().map(|index| rank(*index)).collect());
        Series { steps, values: self.values.pick(&order).narrowed(), times, ranks, sampled: false }
    }
}

/// Returns the row and value of each cell of a column.
pub(super) fn cells(column: &Column) -> impl Iterator<Item = (usize, Value)> {
    let row = |index: usize| match &column.presence {
        Presence::Dense => Some(index),
        Presence::Rows(rows) => rows.get(index).map(|row| *row as usize),
    };
    (0..column.values.len()).filter_map(move |index| Some((row(index)?, value_at(&column.values, index)?)))
}

/// Finds the number of a metric.
pub(super) fn number_of(view: &View, metric: &str) -> Result<u32> {
    let run = &view.data.record.id;
    let missing = || Error::new(ErrorKind::NotFound, format!("run {run}: no metric {metric:?}"));
    view.data.series.number(metric).ok_or_else(missing)
}

impl Workspace {
    /// Reads one metric of a run, as [`Workspace::series_in`] does, over all steps and times.
    ///
    /// # Errors
    /// As [`Workspace::series_in`].
    pub fn series(&self, run: &RunInfo, metric: &str, points: Option<usize>) -> Result<Series> {
        self.series_in(run, metric, Window::default(), points)
    }

    /// Reads one metric of a run in a window of steps and times.
    ///
    /// Without `points` every point is there, exactly. With it at most so many are (three at least): the window is cut
    /// into stretches of about equal length, and of each the smallest, the largest and the last value stay, so that no
    /// spike is hidden. NaN is neither small nor large, infinities are; of texts the last stay.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a metric that the run does not have, or if the run cannot be read.
    pub fn series_in(&self, run: &RunInfo, metric: &str, window: Window, points: Option<usize>) -> Result<Series> {
        if let Some(system) = self.system_series(run, metric)? {
            let system = system.within(&window);
            return Ok(match points {
                Some(points) => sample::of_series(system, points),
                None => system,
            });
        }
        let cache = self.inner.read_cache()?;
        with_rows(self, run, |tx, keyring, view| {
            let series = number_of(view, metric)?;
            let scan = Scan::new(tx, keyring, view, window, cache)?;
            match points {
                Some(points) => sample::series(&scan, series, points),
                None => all(&scan, series),
            }
        })
    }
}

impl Workspace {
    /// Reads the points of a metric that rewinds hide, and only these.
    ///
    /// # Errors
    /// As [`Workspace::series`].
    pub fn hidden_series(&self, run: &RunInfo, metric: &str) -> Result<Series> {
        self.bring_rows(run.object)?;
        let journals = OpenJournals::open(&self.inner)?;
        self.inner.read(|tx, keyring| {
            let view = view_of(&self.inner, journals, tx, keyring, run, true)?;
            whole(tx, keyring, &view, metric)
        })
    }
}

impl Series {
    /// Returns the points that lie in a window.
    fn within(self, window: &Window) -> Series {
        let rank = |index: usize| self.ranks.as_ref().map_or(0, |ranks| ranks[index]);
        let inside =
            |index: &usize| window.contains(self.steps[*index], self.times[*index]) && window.has_rank(rank(*index));
        let picks: Vec<usize> = (0..self.steps.len()).filter(inside).collect();
        let take = |all: &[i64]| picks.iter().map(|index| all[*index]).collect();
        Series {
            steps: take(&self.steps),
            times: take(&self.times),
            values: self.values.pick(&picks),
            ranks: self.ranks.as_ref().map(|ranks| picks.iter().map(|index| ranks[*index]).collect()),
            sampled: self.sampled,
        }
    }
}

/// Reads every point of a metric, without keeping anything.
pub(super) fn whole(tx: &ReadTx<'_>, keyring: &Keyring, view: &View, metric: &str) -> Result<Series> {
    let cache = ReadCache::default();
    all(&Scan::new(tx, keyring, view, Window::default(), &cache)?, number_of(view, metric)?)
}

/// Reads every point of a series.
pub(super) fn all(scan: &Scan<'_>, series: u32) -> Result<Series> {
    let groups = scan.groups()?;
    // As many as the groups have rows, or as the series has points: whatever is less.
    let rows: u64 = groups.iter().map(|seen| u64::from(seen.entry.rows)).sum();
    let entry = scan.view.data.series.entries.get(series as usize);
    let (kinds, known) = entry.map_or((0, 0), |entry| (entry.kinds, entry.points));
    let mut points = Points::with_capacity(kinds, usize::try_from(known.min(rows)).unwrap_or(0));
    scan.read_series(&groups.iter().collect::<Vec<_>>(), series, |_, rows| points.add(rows))?;
    scan.read_tails(|number| number == series, |rows| points.add(&rows));
    Ok(points.sorted(&scan.ranks))
}
