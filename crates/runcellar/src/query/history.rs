//! Many metrics of a run as one table: a row a step, the last written value of each.

use super::runs::RunInfo;
use super::series::{Points, Series, SeriesValues, scan};
use super::tail::with_run;
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
    /// Steps, rising, each once.
    pub steps: Vec<i64>,
    /// Time of the last value written at each step, microseconds UTC since 1970.
    pub times: Vec<i64>,
    /// The metrics, in order of first use.
    pub columns: Vec<HistoryColumn>,
    /// True if rows were left out on request.
    pub sampled: bool,
}

impl Workspace {
    /// Reads metrics of a run as a table. `keys` none: all; `steps` (a, b): those from a to before b; `points`: at most
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
        let series = with_run(&self.inner, run.object, |tx, keyring, view| {
            let entries = &view.data.series.entries;
            let mut numbers: Vec<u32> = match keys {
                None => (0..).zip(entries).filter(|(_, entry)| entry.points > 0).map(|(number, _)| number).collect(),
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
            let name = |number: &u32| entries.get(*number as usize).map(|entry| entry.name.clone()).unwrap_or_default();
            Ok(numbers.iter().map(name).zip(all).map(|(name, points)| (name, points.sorted())).collect::<Vec<_>>())
        })?;
        let table = join(series, steps);
        Ok(match points {
            Some(points) => thin(table, points),
            None => table,
        })
    }
}

/// Joins series by step; of several values of one step the last written stands.
fn join(series: Vec<(String, Series)>, range: Option<(i64, i64)>) -> History {
    let inside = |step: i64| range.is_none_or(|(from, to)| (from..to).contains(&step));
    let mut kept: Vec<(String, Series, Vec<usize>)> = Vec::new();
    let mut steps: Vec<i64> = Vec::new();
    for (name, series) in series {
        let last_of_step =
            |index: &usize| inside(series.steps[*index]) && series.steps.get(*index + 1) != Some(&series.steps[*index]);
        let picks: Vec<usize> = (0..series.steps.len()).filter(last_of_step).collect();
        steps.extend(picks.iter().map(|index| series.steps[*index]));
        kept.push((name, series, picks));
    }
    steps.sort_unstable();
    steps.dedup();
    let mut times = vec![i64::MIN; steps.len()];
    let mut columns = Vec::new();
    for (name, series, picks) in kept {
        let mut rows = vec![None; steps.len()];
        let mut row = 0;
        for (place, index) in picks.iter().enumerate() {
            while steps[row] < series.steps[*index] {
                row += 1;
            }
            rows[row] = Some(place);
            times[row] = times[row].max(series.times[*index]);
        }
        columns.push(HistoryColumn { name, values: series.values.pick(&picks), rows });
    }
    History { steps, times, columns, sampled: false }
}

fn thin(table: History, points: usize) -> History {
    let total = table.steps.len();
    let picks: Vec<usize> = if total <= points || points == 0 {
        (0..total).collect()
    } else {
        (1..=points).map(|place| place * total / points - 1).collect()
    };
    let take = |all: &[i64]| picks.iter().map(|row| all[*row]).collect();
    let columns = table.columns.iter().map(|column| {
        let places: Vec<Option<usize>> = picks.iter().map(|row| column.rows[*row]).collect();
        let values = column.values.pick(&places.iter().flatten().copied().collect::<Vec<_>>());
        let mut kept = 0..;
        let rows = places.iter().map(|place| place.and_then(|_| kept.next())).collect();
        HistoryColumn { name: column.name.clone(), values, rows }
    });
    History { steps: take(&table.steps), times: take(&table.times), columns: columns.collect(), sampled: true }
}
