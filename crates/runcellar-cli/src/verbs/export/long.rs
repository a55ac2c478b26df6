//! Long rows: one a point.

use std::io::Write;

use runcellar::{History, RunInfo, Series, SeriesValues, Workspace};

use super::{Format, Job, csv};
use crate::failure::Failure;
use crate::output;
use crate::render::time::rfc3339_us;
use crate::shapes::{Scalar, Time};

/// The metric under which lines of the console are written.
const CONSOLE: &str = "console";

#[derive(serde::Serialize)]
struct Row<'a> {
    run: &'a str,
    project: &'a str,
    metric: &'a str,
    step: i64,
    time: Time,
    value: Scalar<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rank: Option<u32>,
}

pub(super) fn write(job: &Job<'_>, out: &mut impl Write) -> Result<u64, Failure> {
    if job.format == Format::Csv {
        out.write_all(b"run,project,metric,step,time,value")?;
        out.write_all(if job.rank_column { b",rank\n" } else { b"\n" })?;
    }
    let work = job.session.work("exporting");
    let mut rows = 0;
    for (index, run) in job.runs.iter().enumerate() {
        work.reached("exporting runs", index, job.runs.len());
        for metric in job.workspace.metrics(run)? {
            let series = job.workspace.series_in(run, &metric.name, job.window, None)?;
            rows += write_series(job, out, run, &metric.name, &series)?;
        }
        if job.system {
            for metric in job.workspace.system_metrics(run)? {
                let series = system_series(job.workspace, run, &metric.name)?;
                rows += write_series(job, out, run, &metric.name, &series)?;
            }
        }
        if job.console {
            rows += write_series(job, out, run, CONSOLE, &console_series(job.workspace, run)?)?;
        }
    }
    Ok(rows)
}

/// Reads a system metric, even if a metric of the user's has its name.
pub(super) fn system_series(workspace: &Workspace, run: &RunInfo, name: &str) -> Result<Series, Failure> {
    let History { steps, ranks, times, columns, .. } = workspace.system(run, Some(&[name.to_owned()]))?;
    let values = columns.into_iter().next().map_or(SeriesValues::Float(Vec::new()), |column| column.values);
    Ok(Series { steps, ranks, values, times, sampled: false })
}

/// Reads the console as a series of texts, numbered by line.
pub(super) fn console_series(workspace: &Workspace, run: &RunInfo) -> Result<Series, Failure> {
    let lines = workspace.console(run)?;
    let times: Vec<i64> = lines.iter().map(|line| line.time).collect();
    let values = SeriesValues::Text(lines.into_iter().map(|line| line.text).collect());
    Ok(Series { steps: (0..).take(times.len()).collect(), ranks: None, values, times, sampled: false })
}

fn write_series(
    job: &Job<'_>,
    out: &mut impl Write,
    run: &RunInfo,
    metric: &str,
    series: &Series,
) -> Result<u64, Failure> {
    match job.format {
        Format::Csv => csv_rows((job.tame, job.rank_column), out, run, metric, series)?,
        Format::Jsonl | Format::Capsule => json_rows(out, run, metric, series)?,
    }
    Ok(series.steps.len() as u64)
}

/// Writes a series; `tame` is for terminals.
pub(super) fn csv_rows(
    (tame, rank_column): (bool, bool),
    out: &mut impl Write,
    run: &RunInfo,
    metric: &str,
    series: &Series,
) -> Result<(), Failure> {
    // What is the same in every row is quoted once.
    let mut head = Vec::new();
    for text in [&run.id, &run.project, metric] {
        csv::text(&mut head, text, tame)?;
        head.push(b',');
    }
    for (index, (step, time)) in series.steps.iter().zip(&series.times).enumerate() {
        let Some(value) = series.values.get(index) else { break };
        out.write_all(&head)?;
        write!(out, "{step},{},", rfc3339_us(*time))?;
        csv::value(out, &value, tame)?;
        if rank_column {
            write!(out, ",{}", rank_at(series, index).unwrap_or(0))?;
        }
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn json_rows(out: &mut impl Write, run: &RunInfo, metric: &str, series: &Series) -> Result<(), Failure> {
    for (index, (step, time)) in series.steps.iter().zip(&series.times).enumerate() {
        let Some(value) = series.values.get(index) else { break };
        let rank = rank_at(series, index);
        let (step, time, value) = (*step, Time(*time), Scalar(&value));
        let row = Row { run: &run.id, project: &run.project, metric, step, time, value, rank };
        output::write_json(out, &row)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// Returns the rank that logged a point, if the run has several.
fn rank_at(series: &Series, index: usize) -> Option<u32> {
    series.ranks.as_ref()?.get(index).copied()
}
