//! Many metrics of a run as one table: a row a step, the last written value of each.

use super::runs::RunInfo;
use super::series::{Points, Series, SeriesValues, scan};
use super::tail::with_run;
use crate::lineage::ranks::Ranks;
use crate::own::is_own;
use crate::{Error, ErrorKind, Result, Workspace};

/// One metric of a [`History`].
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryColumn {
    /// The metric's name.
    pub name: String,
    /// The values there are, in order of row.
    pub values: SeriesValues,
    /// For each row of the table the place of its value in `values`; none where the metric has no value.
    pub rows: Vec<Option<usize>>,
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
    /// True if rows were left out on request.
    pub sampled: bool,
}

impl Workspace {
    /// Reads metrics of a run as a table: a row a step, or of several ranks a row for each step and rank. `keys` none: all; `steps` (a, b): those from a to before b; `points`: at most
    /// so many rows, evenly spread, the last among them.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a metric that the run does not have, or if the run cannot be read.
    pub fn history(
        &self,
        run: &RunInfo,
        keys: Option<&[String]>,
        steps: Option<(i64, i64)>,
        points: Option<usize>,
    ) -> Result<History> {
        Ok(thin(self.whole_history(run, keys, steps)?, points))
    }

    /// Reads what one rank logged, as [`Workspace::history`] does.
    ///
    /// # Errors
    /// As [`Workspace::history`].
    pub fn history_of_rank(
        &self,
        run: &RunInfo,
        rank: u32,
        keys: Option<&[String]>,
        steps: Option<(i64, i64)>,
        points: Option<usize>,
    ) -> Result<History> {
        let table = self.whole_history(run, keys, steps)?;
        let is_its = |row: &usize| table.ranks.as_ref().map_or(0, |ranks| ranks[*row]) == rank;
        let picks: Vec<usize> = (0..table.steps.len()).filter(is_its).collect();
        Ok(thin(table.pick(&picks), points))
    }

    fn whole_history(&self, run: &RunInfo, keys: Option<&[String]>, steps: Option<(i64, i64)>) -> Result<History> {
        if let Some(system) = keys.map(|keys| self.system_history(run, keys)).transpose()?.flatten() {
            return Ok(system);
        }
        let series = with_run(&self.inner, run.object, |tx, keyring, view| {
            let entries = &view.data.series.entries;
            let mut numbers: Vec<u32> = match keys {
                None => (0..)
                    .zip(entries)
                    .filter(|(_, entry)| entry.points > 0 && !is_own(&entry.name))
                    .map(|(number, _)| number)
                    .collect(),
                Some(keys) => {
                    let number = |key: &String| {
                        view.data.series.number(key).ok_or_else(|| {
                            Error::new(ErrorKind::NotFound, format!("run {}: no metric {key:?}", run.id))
                        })
                    };
                    keys.iter().map(number).collect::<Result<_>>()?
                }
            };
            numbers.sort_unstable();
            numbers.dedup();
            let mut all: Vec<Points> = numbers.iter().map(|_| Points::new()).collect();
            let place = |series: u32| numbers.binary_search(&series).ok();
            scan(
                tx,
                keyring,
                view,
                steps,
                |series| place(series).is_some(),
                |series, found| {
                    if let Some(points) = place(series).and_then(|at| all.get_mut(at)) {
                        points.add(found);
                    }
                },
            )?;
            let ranks = Ranks::of(&view.data.record)?;
            let name = |number: &u32| entries.get(*number as usize).map(|entry| entry.name.clone()).unwrap_or_default();
            Ok(numbers
                .iter()
                .map(name)
                .zip(all)
                .map(|(name, points)| (name, points.sorted(&ranks)))
                .collect::<Vec<_>>())
        })?;
        Ok(join(series, steps))
    }
}

/// Joins series by step and rank; of several values of one rank at one step the last written stands.
pub(super) fn join(series: Vec<(String, Series)>, range: Option<(i64, i64)>) -> History {
    let inside = |step: i64| range.is_none_or(|(from, to)| (from..to).contains(&step));
    let several = series.iter().any(|(_, series)| series.ranks.is_some());
    let mut kept: Vec<(String, Series, Vec<usize>)> = Vec::new();
    let mut places: Vec<(i64, u32)> = Vec::new();
    for (name, series) in series {
        let place = |index: usize| place_of(&series, index);
        let mut picks: Vec<usize> = (0..series.steps.len()).filter(|index| inside(series.steps[*index])).collect();
        if several {
            // The points of one step are by time; a stable sort by rank keeps that.
            picks.sort_by_key(|index| place(*index));
        }
        let last_of_place = |at: &usize| picks.get(*at + 1).is_none_or(|next| place(*next) != place(picks[*at]));
        let picks: Vec<usize> = (0..picks.len()).filter(last_of_place).map(|at| picks[at]).collect();
        places.extend(picks.iter().map(|index| place(*index)));
        kept.push((name, series, picks));
    }
    places.sort_unstable();
    places.dedup();
    let mut times = vec![i64::MIN; places.len()];
    let mut columns = Vec::new();
    for (name, series, picks) in kept {
        let mut rows = vec![None; places.len()];
        let mut row = 0;
        for (at, index) in picks.iter().enumerate() {
            while places[row] < place_of(&series, *index) {
                row += 1;
            }
            rows[row] = Some(at);
            times[row] = times[row].max(series.times[*index]);
        }
        columns.push(HistoryColumn { name, values: series.values.pick(&picks), rows });
    }
    let ranks = several.then(|| places.iter().map(|(_, rank)| *rank).collect());
    History { steps: places.into_iter().map(|(step, _)| step).collect(), ranks, times, columns, sampled: false }
}

fn place_of(series: &Series, index: usize) -> (i64, u32) {
    (series.steps[index], series.ranks.as_ref().map_or(0, |ranks| ranks[index]))
}

fn thin(table: History, points: Option<usize>) -> History {
    let total = table.steps.len();
    let Some(points) = points else { return table };
    let picks: Vec<usize> = if total <= points || points == 0 {
        (0..total).collect()
    } else {
        (1..=points).map(|place| place * total / points - 1).collect()
    };
    History { sampled: true, ..table.pick(&picks) }
}

impl History {
    /// Returns the rows `picks`, which rise.
    fn pick(&self, picks: &[usize]) -> History {
        let take = |all: &[i64]| picks.iter().map(|row| all[*row]).collect();
        let columns = self.columns.iter().map(|column| {
            let places: Vec<Option<usize>> = picks.iter().map(|row| column.rows[*row]).collect();
            let values = column.values.pick(&places.iter().flatten().copied().collect::<Vec<_>>());
            let mut kept = 0..;
            let rows = places.iter().map(|place| place.and_then(|_| kept.next())).collect();
            HistoryColumn { name: column.name.clone(), values, rows }
        });
        History {
            steps: take(&self.steps),
            ranks: self.ranks.as_ref().map(|ranks| picks.iter().map(|row| ranks[*row]).collect()),
            times: take(&self.times),
            columns: columns.collect(),
            sampled: self.sampled,
        }
    }
}
