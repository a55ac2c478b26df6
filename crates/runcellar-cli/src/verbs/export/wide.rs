//! Wide rows: one a step of a run, with a column a metric. Of several values of one step the last written stands.

use std::collections::HashSet;
use std::io::Write;

use runcellar::{History, MetricInfo, RunInfo};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::{Format, Job, csv};
use crate::failure::Failure;
use crate::output;
use crate::render::time::rfc3339_us;
use crate::shapes::{Scalar, Time};

/// The columns before the metrics.
const FIXED: [&str; 4] = ["run", "project", "step", "time"];
/// The column after these, if it is asked for.
const RANK: &str = "rank";
/// Points that are held at once: some tens of MiB.
const POINTS_AT_ONCE: u64 = 2_000_000;

/// Writes all rows; returns how many.
pub(super) fn write(job: &Job<'_>, out: &mut impl Write) -> Result<u64, Failure> {
    let work = job.session.work("exporting");
    let columns = if job.format == Format::Csv { columns(job)? } else { Vec::new() };
    if job.format == Format::Csv {
        out.write_all(FIXED.join(",").as_bytes())?;
        if job.rank_column {
            write!(out, ",{RANK}")?;
        }
        for column in &columns {
            out.write_all(b",")?;
            csv::text(out, &title(column, job.rank_column), job.tame)?;
        }
        out.write_all(b"\n")?;
    }
    let mut rows = 0;
    for (index, run) in job.runs.iter().enumerate() {
        work.reached("exporting runs", index, job.runs.len());
        let metrics = job.workspace.metrics(run)?;
        for range in stretches(&metrics) {
            let window = range.map_or(job.window, |(from, before)| job.window.steps(from..before));
            let table = job.workspace.history(run, None, window, None)?;
            match job.format {
                Format::Csv => csv_rows(job, out, run, &table, &columns)?,
                Format::Jsonl | Format::Capsule => json_rows(out, run, &table)?,
            }
            rows += table.steps.len() as u64;
        }
    }
    Ok(rows)
}

/// Returns the metrics of all runs, in order of first use.
fn columns(job: &Job<'_>) -> Result<Vec<String>, Failure> {
    let (mut all, mut known) = (Vec::new(), HashSet::new());
    for run in job.runs {
        for metric in job.workspace.metrics(run)? {
            if known.insert(metric.name.clone()) {
                all.push(metric.name);
            }
        }
    }
    Ok(all)
}

/// Returns the rank of a row, if the run has several.
fn rank_at(table: &History, row: usize) -> Option<u32> {
    table.ranks.as_ref()?.get(row).copied()
}

/// Returns the name of a metric's column: its own, unless a fixed column has it.
fn title(metric: &str, with_rank: bool) -> String {
    if FIXED.contains(&metric) || (with_rank && metric == RANK) {
        format!("metric.{metric}")
    } else {
        metric.to_owned()
    }
}

/// Cuts the steps of a run into ranges (from, before) of about as many points as are held at once; `None` is all of
/// them.
fn stretches(metrics: &[MetricInfo]) -> Vec<Option<(i64, i64)>> {
    let points: u64 = metrics.iter().map(|metric| metric.points).sum();
    let first = metrics.iter().map(|metric| metric.first_step).min();
    let last = metrics.iter().map(|metric| metric.last_step).max();
    let (Some(first), Some(last)) = (first, last) else { return Vec::new() };
    // No range ends after the highest of all steps.
    let end = last.checked_add(1).filter(|_| points > POINTS_AT_ONCE);
    let Some(end) = end else { return vec![None] };
    let width = (first.abs_diff(end) / points.div_ceil(POINTS_AT_ONCE)).max(1);
    let mut ranges = Vec::new();
    let mut from = first;
    while from < end {
        let before = from.checked_add_unsigned(width).map_or(end, |before| before.min(end));
        ranges.push(Some((from, before)));
        from = before;
    }
    ranges
}

fn csv_rows(
    job: &Job<'_>,
    out: &mut impl Write,
    run: &RunInfo,
    table: &History,
    columns: &[String],
) -> Result<(), Failure> {
    let mut head = Vec::new();
    for text in [&run.id, &run.project] {
        csv::text(&mut head, text, job.tame)?;
        head.push(b',');
    }
    let places: Vec<_> = columns.iter().map(|name| table.columns.iter().find(|column| column.name == *name)).collect();
    for (row, (step, time)) in table.steps.iter().zip(&table.times).enumerate() {
        out.write_all(&head)?;
        write!(out, "{step},{}", rfc3339_us(*time))?;
        if job.rank_column {
            write!(out, ",{}", rank_at(table, row).unwrap_or(0))?;
        }
        for column in &places {
            out.write_all(b",")?;
            if let Some(value) = column.and_then(|column| column.get(row)) {
                csv::value(out, &value, job.tame)?;
            }
        }
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// One row as an object: metrics without a value at its step are left out.
struct Row<'a> {
    run: &'a RunInfo,
    table: &'a History,
    row: usize,
    step: i64,
    time: i64,
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(None)?;
        out.serialize_entry("run", &self.run.id)?;
        out.serialize_entry("project", &self.run.project)?;
        out.serialize_entry("step", &self.step)?;
        out.serialize_entry("time", &Time(self.time))?;
        if let Some(rank) = rank_at(self.table, self.row) {
            out.serialize_entry(RANK, &rank)?;
        }
        for column in &self.table.columns {
            if let Some(value) = column.get(self.row) {
                out.serialize_entry(&title(&column.name, self.table.ranks.is_some()), &Scalar(&value))?;
            }
        }
        out.end()
    }
}

fn json_rows(out: &mut impl Write, run: &RunInfo, table: &History) -> Result<(), Failure> {
    for (row, (step, time)) in table.steps.iter().zip(&table.times).enumerate() {
        output::write_json(out, &Row { run, table, row, step: *step, time: *time })?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use runcellar::Value;

    fn metric(points: u64, first_step: i64, last_step: i64) -> MetricInfo {
        let last = Value::Int(0);
        MetricInfo {
            name: "m".into(),
            kind: "int",
            points,
            first_step,
            last_step,
            min: None,
            max: None,
            last,
            step_metric: None,
        }
    }

    #[test]
    fn stretches_cover_every_step_once() {
        let many = POINTS_AT_ONCE;
        assert_eq!(stretches(&[]), []);
        assert_eq!(stretches(&[metric(1, 7, 7)]), [None]);
        assert_eq!(stretches(&[metric(many * 4, i64::MIN, i64::MAX)]), [None]);
        assert_eq!(stretches(&[metric(many * 4, 0, 1)]), [Some((0, 1)), Some((1, 2))]);
        for metrics in [vec![metric(many * 3, 0, 999), metric(5, -10, 2_000)], vec![metric(many * 4, i64::MIN, -1)]] {
            let ranges: Vec<_> = stretches(&metrics).into_iter().flatten().collect();
            assert!((2..=6).contains(&ranges.len()), "{ranges:?}");
            assert_eq!(ranges[0].0, metrics.iter().map(|metric| metric.first_step).min().expect("some"));
            assert_eq!(ranges.last().map(|range| range.1), metrics.iter().map(|metric| metric.last_step + 1).max());
            assert!(ranges.windows(2).all(|pair| pair[0].1 == pair[1].0));
        }
    }
}
