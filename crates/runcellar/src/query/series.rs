//! Reading one series of a run.

use runcellar_format::WriterId;
use runcellar_format::block::{GroupMain, Presence, Values};
use runcellar_format::histogram::Histogram;
use runcellar_format::value::Value;

use super::runs::RunInfo;
use super::tail::{OpenJournals, Tail, View, view_of, with_run};
use crate::db::ReadTx;
use crate::ingest::data::value_at;
use crate::ingest::groups;
use crate::keys::Keyring;
use crate::lineage::ranks::Ranks;
use crate::{Error, ErrorKind, Result, Workspace};

/// Values of a series, in the narrowest form that holds them all exactly.
#[derive(Debug, Clone, PartialEq)]
pub enum SeriesValues {
    /// Floats; integers among them are exact.
    Float(Vec<f64>),
    /// Integers.
    Int(Vec<i64>),
    /// Truth values.
    Bool(Vec<bool>),
    /// Texts.
    Text(Vec<String>),
    /// Histograms.
    Histogram(Vec<Histogram>),
    /// Values of several kinds.
    Mixed(Vec<Value>),
}

/// One metric of one run, by (step, order written). All vectors have one entry a point.
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
    /// True if points were left out on request.
    pub sampled: bool,
}

impl SeriesValues {
    /// Returns the number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            SeriesValues::Float(all) => all.len(),
            SeriesValues::Int(all) => all.len(),
            SeriesValues::Bool(all) => all.len(),
            SeriesValues::Text(all) => all.len(),
            SeriesValues::Histogram(all) => all.len(),
            SeriesValues::Mixed(all) => all.len(),
        }
    }

    /// Returns true if there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the `index`-th value.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Value> {
        Some(match self {
            SeriesValues::Float(all) => Value::Float(*all.get(index)?),
            SeriesValues::Int(all) => Value::Int(*all.get(index)?),
            SeriesValues::Bool(all) => Value::Bool(*all.get(index)?),
            SeriesValues::Text(all) => Value::Text(all.get(index)?.clone()),
            SeriesValues::Histogram(all) => Value::from(all.get(index)?.clone()),
            SeriesValues::Mixed(all) => all.get(index)?.clone(),
        })
    }

    /// Returns the values at `picks` in their order.
    #[must_use]
    pub(crate) fn pick(&self, picks: &[usize]) -> SeriesValues {
        fn take<T: Clone>(all: &[T], picks: &[usize]) -> Vec<T> {
            picks.iter().filter_map(|pick| all.get(*pick).cloned()).collect()
        }
        match self {
            SeriesValues::Float(all) => SeriesValues::Float(take(all, picks)),
            SeriesValues::Int(all) => SeriesValues::Int(take(all, picks)),
            SeriesValues::Bool(all) => SeriesValues::Bool(take(all, picks)),
            SeriesValues::Text(all) => SeriesValues::Text(take(all, picks)),
            SeriesValues::Histogram(all) => SeriesValues::Histogram(take(all, picks)),
            SeriesValues::Mixed(all) => SeriesValues::Mixed(take(all, picks)),
        }
    }

    fn append(&mut self, values: Values) {
        match (&mut *self, values) {
            (SeriesValues::Float(all), Values::Float(more)) => all.extend(more),
            (SeriesValues::Int(all), Values::Int(more)) => all.extend(more),
            (SeriesValues::Bool(all), Values::Bool(more)) => all.extend(more),
            (SeriesValues::Text(all), Values::Text(more)) => all.extend(more),
            (SeriesValues::Histogram(all), Values::Histogram(more)) => all.extend(more),
            (this, values) if this.is_empty() => {
                *this = match values {
                    Values::Float(all) => SeriesValues::Float(all),
                    Values::Int(all) => SeriesValues::Int(all),
                    Values::Bool(all) => SeriesValues::Bool(all),
                    Values::Text(all) => SeriesValues::Text(all),
                    Values::Histogram(all) => SeriesValues::Histogram(all),
                };
            }
            (this, values) => this.append_mixed((0..values.len()).filter_map(|index| value_at(&values, index))),
        }
    }

    fn append_mixed(&mut self, values: impl Iterator<Item = Value>) {
        if !matches!(self, SeriesValues::Mixed(_)) {
            *self = SeriesValues::Mixed((0..self.len()).filter_map(|index| self.get(index)).collect());
        }
        if let SeriesValues::Mixed(all) = self {
            all.extend(values);
        }
    }

    /// Makes floats of integers and floats if that loses nothing.
    fn narrowed(self) -> SeriesValues {
        let SeriesValues::Mixed(all) = &self else { return self };
        let float = |value: &Value| match value {
            Value::Float(float) => Some(*float),
            Value::Int(int) if int.unsigned_abs() <= 1 << 53 => Some(*int as f64),
            _ => None,
        };
        match all.iter().map(float).collect() {
            Some(floats) => SeriesValues::Float(floats),
            None => self,
        }
    }
}

/// Points of one series as they are found: in order of group, not of step.
pub(super) struct Points {
    pub(super) steps: Vec<i64>,
    pub(super) times: Vec<i64>,
    pub(super) values: SeriesValues,
    writers: Vec<(usize, WriterId)>,
}

/// One series in one row group or tail: a column for each kind of value.
pub(super) struct Found<'a> {
    pub(super) writer: WriterId,
    pub(super) steps: &'a [i64],
    pub(super) times: &'a [i64],
    pub(super) columns: Vec<(Presence, Values)>,
}

impl Points {
    pub(super) fn new() -> Self {
        Points { steps: Vec::new(), times: Vec::new(), values: SeriesValues::Float(Vec::new()), writers: Vec::new() }
    }

    pub(super) fn add(&mut self, found: Found<'_>) {
        let Found { writer, steps, times, columns } = found;
        if self.writers.last().is_none_or(|(_, last)| *last != writer) {
            self.writers.push((self.steps.len(), writer));
        }
        let mut columns = columns;
        if columns.len() > 1 {
            // Values of several kinds were split into columns; the order in which they were written is that of rows.
            let mut points = Vec::new();
            for (presence, values) in &columns {
                let row = |index| match presence {
                    Presence::Dense => Some(index),
                    Presence::Rows(rows) => rows.get(index).map(|row| *row as usize),
                };
                points.extend((0..values.len()).filter_map(|index| Some((row(index)?, value_at(values, index)?))));
            }
            points.sort_by_key(|(row, _)| *row);
            self.steps.extend(points.iter().filter_map(|(row, _)| steps.get(*row)));
            self.times.extend(points.iter().filter_map(|(row, _)| times.get(*row)));
            return self.values.append_mixed(points.into_iter().map(|(_, value)| value));
        }
        let Some((presence, values)) = columns.pop() else { return };
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
        self.values.append(values);
    }

    fn writer_at(&self, index: usize) -> WriterId {
        let at = self.writers.partition_point(|(from, _)| *from <= index);
        self.writers.get(at.saturating_sub(1)).map(|(_, writer)| *writer).unwrap_or_default()
    }

    /// Orders the points by step, and those of one step by time, writer and sequence.
    pub(super) fn sorted(self, ranks: &Ranks) -> Series {
        let in_order =
            self.steps.is_sorted() && (self.writers.len() <= 1 || self.steps.windows(2).all(|pair| pair[0] < pair[1]));
        let rank = |index: usize| ranks.of_writer(self.writer_at(index));
        if in_order {
            let ranks = ranks.are_several().then(|| (0..self.steps.len()).map(rank).collect());
            return Series {
                steps: self.steps,
                values: self.values.narrowed(),
                times: self.times,
                ranks,
                sampled: false,
            };
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

impl Series {
    /// Returns the points at `picks` in their order.
    fn pick(&self, picks: &[usize]) -> Series {
        let take = |all: &[i64]| picks.iter().filter_map(|index| all.get(*index).copied()).collect();
        let of_rank = |ranks: &Vec<u32>| picks.iter().filter_map(|index| ranks.get(*index).copied()).collect();
        Series {
            steps: take(&self.steps),
            times: take(&self.times),
            values: self.values.pick(picks).narrowed(),
            ranks: self.ranks.as_ref().map(of_rank),
            sampled: self.sampled,
        }
    }
}

/// Calls `each` with the number of every wanted series and what each row group has of it, in order of ingest, and then
/// each tail.
pub(super) fn scan(
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    view: &View,
    steps: Option<(i64, i64)>,
    mut wanted: impl FnMut(u32) -> bool,
    mut each: impl FnMut(u32, Found<'_>),
) -> Result<()> {
    let data = &view.data;
    let outside = |first: i64, last: i64| steps.is_some_and(|(from, to)| last < from || first >= to);
    if data.key.is_some() {
        for entry in data.groups(tx, keyring)? {
            if outside(entry.first_step, entry.last_step) {
                continue;
            }
            let group = groups::group_key(data, &entry);
            let named = |cause| Error::format(format_args!("block {} of run {}", entry.number, data.record.id), cause);
            let main = groups::open_part(tx, keyring, data, group, 0)?;
            let main = GroupMain::decode(&main).map_err(named)?;
            let columns: Vec<_> = main.columns.iter().filter(|column| wanted(column.series)).collect();
            if columns.is_empty() {
                continue;
            }
            let (steps, times) = (&main.steps().map_err(named)?, &main.times().map_err(named)?);
            for of_series in columns.chunk_by(|left, right| left.series == right.series) {
                let mut columns = Vec::with_capacity(of_series.len());
                for column in of_series {
                    let values = groups::read_column(tx, keyring, data, group, column)?;
                    columns.push((column.presence().map_err(named)?, values));
                }
                each(of_series[0].series, Found { writer: group.writer, steps, times, columns });
            }
        }
    }
    for Tail { writer, steps, times, columns } in &view.tails {
        for of_series in columns.chunk_by(|left, right| left.series == right.series) {
            if wanted(of_series[0].series) {
                let columns = of_series.iter().map(|column| (column.presence.clone(), column.values.clone())).collect();
                each(of_series[0].series, Found { writer: *writer, steps, times, columns });
            }
        }
    }
    Ok(())
}

impl Workspace {
    /// Reads one metric of a run, every point of it; `points` asks for about so many instead, of which none hides a
    /// minimum or maximum.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a metric that the run does not have, or if the run cannot be read.
    pub fn series(&self, run: &RunInfo, metric: &str, points: Option<usize>) -> Result<Series> {
        let series = self.whole_series(run, metric)?;
        Ok(match points {
            Some(points) => sample(series, points),
            None => series,
        })
    }

    /// Reads what one rank logged of a metric, as [`Workspace::series`] does.
    ///
    /// # Errors
    /// As [`Workspace::series`].
    pub fn series_of_rank(&self, run: &RunInfo, metric: &str, rank: u32, points: Option<usize>) -> Result<Series> {
        let all = self.whole_series(run, metric)?;
        let is_its = |index: &usize| all.ranks.as_ref().map_or(0, |ranks| ranks[*index]) == rank;
        let series = all.pick(&(0..all.steps.len()).filter(is_its).collect::<Vec<_>>());
        Ok(match points {
            Some(points) => sample(series, points),
            None => series,
        })
    }

    /// Reads the points of a metric that rewinds hide, and only these.
    ///
    /// # Errors
    /// As [`Workspace::series`].
    pub fn hidden_series(&self, run: &RunInfo, metric: &str) -> Result<Series> {
        let journals = OpenJournals::open(&self.inner)?;
        self.inner.read(|tx, keyring| {
            let view = view_of(&self.inner, journals, tx, keyring, run.object, true)?;
            whole(tx, keyring, &view, metric)
        })
    }

    fn whole_series(&self, run: &RunInfo, metric: &str) -> Result<Series> {
        if let Some(system) = self.system_series(run, metric)? {
            return Ok(system);
        }
        with_run(&self.inner, run.object, |tx, keyring, view| whole(tx, keyring, view, metric))
    }
}

/// Reads every point of a metric.
pub(super) fn whole(tx: &ReadTx<'_>, keyring: &Keyring, view: &View, metric: &str) -> Result<Series> {
    let number =
        view.data.series.number(metric).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("run {}: no metric {metric:?}", view.data.record.id))
        })?;
    let mut found = Points::new();
    scan(tx, keyring, view, None, |series| series == number, |_, points| found.add(points))?;
    Ok(found.sorted(&Ranks::of(&view.data.record)?))
}

/// Keeps of each bucket the smallest, the largest and the last value. What is left is at most `points`, three at
/// least.
fn sample(series: Series, points: usize) -> Series {
    let total = series.steps.len();
    let mut picks = Vec::new();
    if total <= points {
        picks.extend(0..total);
    } else {
        let buckets = (points / 3).max(1);
        let number = |index: usize| match series.values.get(index) {
            Some(Value::Float(float)) => Some(float).filter(|float| !float.is_nan()),
            Some(Value::Int(int)) => Some(int as f64),
            Some(Value::Bool(bool)) => Some(f64::from(u8::from(bool))),
            _ => None,
        };
        for bucket in 0..buckets {
            let range = bucket * total / buckets..(bucket + 1) * total / buckets;
            let numbers = || range.clone().filter_map(|index| Some((index, number(index)?)));
            let least = numbers().min_by(|left, right| left.1.total_cmp(&right.1)).map(|(index, _)| index);
            let most = numbers().max_by(|left, right| left.1.total_cmp(&right.1)).map(|(index, _)| index);
            let mut kept: Vec<usize> = [least, most, range.clone().last()].into_iter().flatten().collect();
            kept.sort_unstable();
            kept.dedup();
            picks.extend(kept);
        }
    }
    Series { sampled: true, ..series.pick(&picks) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_never_hides_a_spike_and_says_that_it_is_one() {
        let mut values: Vec<f64> = (0..10_000).map(|index| f64::from(index % 7)).collect();
        values[6_666] = 1e9;
        values[3_333] = f64::NAN;
        let steps: Vec<i64> = (0..10_000).collect();
        let series = Series {
            steps: steps.clone(),
            times: steps,
            values: SeriesValues::Float(values),
            ranks: None,
            sampled: false,
        };
        let sampled = sample(series.clone(), 300);
        assert!(sampled.sampled && sampled.steps.len() <= 300 && sampled.steps.is_sorted());
        let at = sampled.steps.iter().position(|step| *step == 6_666).expect("the spike stays");
        assert_eq!(sampled.values.get(at), Some(Value::Float(1e9)));
        assert_eq!(sampled.steps.last(), Some(&9_999));
        assert_eq!(sample(series, 20_000).steps.len(), 10_000);
    }

    #[test]
    fn mixed_numbers_become_floats_only_if_that_loses_nothing() {
        let mut values = SeriesValues::Float(Vec::new());
        values.append(Values::Int(vec![1, 2]));
        values.append(Values::Float(vec![0.5]));
        assert_eq!(values.narrowed(), SeriesValues::Float(vec![1.0, 2.0, 0.5]));
        let mut exact = SeriesValues::Int(vec![(1 << 53) + 1]);
        exact.append(Values::Float(vec![0.5]));
        assert!(matches!(exact.narrowed(), SeriesValues::Mixed(_)));
    }
}
