//! Reading what the store recorded of itself: system metrics and the console.
//!
//! Each writer counts the steps of these rows for itself, so a resumed run and the ranks of one run have the same steps
//! again and again. What orders them all is time; readers number them anew.

use std::collections::BTreeMap;

use runcellar_format::WriterId;
use runcellar_format::value::Value;

use super::history::{History, Table};
use super::runs::{MetricInfo, RunInfo, metric_info};
use super::scan::Scan;
use super::series::{Series, cells};
use super::tail::{View, with_rows, with_run};
use super::window::Window;
use crate::capture::Stream;
use crate::own::{CONSOLE, stored_system_name, system_name};
use crate::{Error, ErrorKind, Result, Workspace};

/// A line of the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleLine {
    /// When it was first seen, microseconds UTC since 1970.
    pub time: i64,
    /// Where it was written to.
    pub stream: Stream,
    /// The line, without its end.
    pub text: String,
}

impl Workspace {
    /// Lists the system metrics of a run, as [`Workspace::metrics`] lists the user's; their steps number the samples.
    ///
    /// # Errors
    /// If the run cannot be read.
    pub fn system_metrics(&self, run: &RunInfo) -> Result<Vec<MetricInfo>> {
        with_run(&self.inner, run, |_, _, view| {
            let info = |(name, number): (&str, usize)| {
                let entry = view.data.series.entries.get(number)?;
                let steps = (0, i64::try_from(entry.points).unwrap_or(i64::MAX) - 1);
                let (first_step, last_step) = steps;
                Some(MetricInfo { name: name.to_owned(), first_step, last_step, ..metric_info(entry) })
            };
            Ok(system_series(view).into_iter().filter_map(info).collect())
        })
    }

    /// Reads system metrics of a run as a table, a row a sample in order of time; `keys` none: all.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for one that the run does not have, or if the run cannot be read.
    pub fn system(&self, run: &RunInfo, keys: Option<&[String]>) -> Result<History> {
        let cache = self.inner.read_cache()?;
        let (table, ranks) = with_rows(self, run, |tx, keyring, view| {
            let all = system_series(view);
            let mut wanted = Vec::new();
            for (name, number) in &all {
                if keys.is_none_or(|keys| keys.iter().any(|key| key == name)) {
                    wanted.push((u32::try_from(*number).unwrap_or(u32::MAX), *name));
                }
            }
            let missing = keys.into_iter().flatten().find(|key| !all.iter().any(|(name, _)| name == key));
            if let Some(key) = missing {
                let message = format!("run {}: no system metric {key:?}", run.id);
                return Err(Error::new(ErrorKind::NotFound, message));
            }
            let mut table = Table::new(wanted.iter().map(|(number, name)| {
                let kinds = view.data.series.entries.get(*number as usize).map_or(0, |entry| entry.kinds);
                (*number, (*name).to_owned(), kinds)
            }));
            let is_wanted = |series: u32| wanted.binary_search_by_key(&series, |(number, _)| *number).is_ok();
            let scan = Scan::new(tx, keyring, view, Window::default(), cache)?;
            scan.read(is_wanted, |mut rows| {
                rows.steps.clone_from(&rows.times);
                table.add(rows);
            })?;
            Ok((table, scan.ranks))
        })?;
        let mut table = table.finish(&ranks);
        table.steps = (0..).take(table.times.len()).collect();
        Ok(table)
    }

    /// Reads the console of a run, in order of time.
    ///
    /// # Errors
    /// If the run cannot be read.
    pub fn console(&self, run: &RunInfo) -> Result<Vec<ConsoleLine>> {
        // Of a line that was drawn again the last text stands, at the time of the first.
        let mut lines: BTreeMap<(WriterId, i64), (i64, i64, String)> = BTreeMap::new();
        let cache = self.inner.read_cache()?;
        with_rows(self, run, |tx, keyring, view| {
            let Some(number) = view.data.series.number(CONSOLE) else { return Ok(()) };
            let scan = Scan::new(tx, keyring, view, Window::default(), cache)?;
            scan.read(
                |series| series == number,
                |found| {
                    for (row, value) in found.columns.iter().flat_map(cells) {
                        let (Some(step), Some(time)) = (found.steps.get(row), found.times.get(row)) else { break };
                        let Value::Text(text) = value else { continue };
                        let line = lines.entry((found.writer, *step)).or_insert((*time, *time, String::new()));
                        line.0 = line.0.min(*time);
                        if *time >= line.1 {
                            (line.1, line.2) = (*time, text);
                        }
                    }
                },
            )
        })?;
        let mut lines: Vec<_> = lines.into_iter().map(|(place, (first, _, text))| (first, place, text)).collect();
        lines.sort_by_key(|(first, place, _)| (*first, *place));
        Ok(lines.into_iter().map(|(time, _, text)| line_of(time, text)).collect())
    }

    /// Reads a system metric by the name that users know, if no metric of the user's has that name.
    pub(super) fn system_series(&self, run: &RunInfo, metric: &str) -> Result<Option<Series>> {
        let Some(stored) = stored_system_name(metric) else { return Ok(None) };
        let has = with_run(&self.inner, run, |_, _, view| {
            let number = |name| view.data.series.number(name);
            Ok(number(metric).is_none() && number(&stored).is_some())
        })?;
        if !has {
            return Ok(None);
        }
        let History { steps, ranks, times, columns, .. } = self.system(run, Some(&[metric.to_owned()]))?;
        Ok(columns.into_iter().next().map(|column| Series {
            steps,
            ranks,
            times,
            values: column.values,
            sampled: false,
        }))
    }

    /// Reads system metrics by the names that users know, if no metric of the user's has one of these.
    pub(super) fn system_history(&self, run: &RunInfo, keys: &[String]) -> Result<Option<History>> {
        if !keys.iter().any(|key| stored_system_name(key).is_some()) {
            return Ok(None);
        }
        let of_users = with_run(&self.inner, run, |_, _, view| {
            Ok(keys.iter().filter(|key| view.data.series.number(key).is_some()).count())
        })?;
        match of_users {
            0 => self.system(run, Some(keys)).map(Some),
            all if all == keys.len() => Ok(None),
            _ => Err(Error::invalid("system metrics have no step of the run's: read them apart from other metrics")),
        }
    }
}

/// Returns the system metrics of a run: public name and number.
fn system_series(view: &View) -> Vec<(&str, usize)> {
    let entries = view.data.series.entries.iter().enumerate().filter(|(_, entry)| entry.points > 0);
    entries.filter_map(|(number, entry)| Some((system_name(&entry.name)?, number))).collect()
}

/// Takes a stored line apart: the mark of its stream, and the text.
fn line_of(time: i64, mut text: String) -> ConsoleLine {
    let stream = text.chars().next().and_then(Stream::of_mark);
    if stream.is_some() {
        text.remove(0);
    }
    ConsoleLine { time, stream: stream.unwrap_or(Stream::Both), text }
}
