//! Long rows: one a point.

use std::io::Write;

use runcellar::{RunInfo, Series};

use super::{Format, Job, csv};
use crate::failure::Failure;
use crate::output;
use crate::render::time::rfc3339_us;
use crate::shapes::{Scalar, Time};

#[derive(serde::Serialize)]
struct Row<'a> {
    run: &'a str,
    project: &'a str,
    metric: &'a str,
    step: i64,
    time: Time,
    value: Scalar<'a>,
}

pub(super) fn write(job: &Job<'_>, out: &mut impl Write) -> Result<u64, Failure> {
    if job.format == Format::Csv {
        out.write_all(b"run,project,metric,step,time,value\n")?;
    }
    let work = job.session.work("exporting");
    let mut rows = 0;
    for (index, run) in job.runs.iter().enumerate() {
        work.reached("exporting runs", index, job.runs.len());
        for metric in job.workspace.metrics(run)? {
            let series = job.workspace.series(run, &metric.name, None)?;
            match job.format {
                Format::Csv => csv_rows(job, out, run, &metric.name, &series)?,
                Format::Jsonl => json_rows(out, run, &metric.name, &series)?,
            }
            rows += series.steps.len() as u64;
        }
    }
    Ok(rows)
}

fn csv_rows(job: &Job<'_>, out: &mut impl Write, run: &RunInfo, metric: &str, series: &Series) -> Result<(), Failure> {
    // What is the same in every row is quoted once.
    let mut head = Vec::new();
    for text in [&run.id, &run.project, metric] {
        csv::text(&mut head, text, job.tame)?;
        head.push(b',');
    }
    for (index, (step, time)) in series.steps.iter().zip(&series.times).enumerate() {
        let Some(value) = series.values.get(index) else { break };
        out.write_all(&head)?;
        write!(out, "{step},{},", rfc3339_us(*time))?;
        csv::value(out, &value, job.tame)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn json_rows(out: &mut impl Write, run: &RunInfo, metric: &str, series: &Series) -> Result<(), Failure> {
    for (index, (step, time)) in series.steps.iter().zip(&series.times).enumerate() {
        let Some(value) = series.values.get(index) else { break };
        let row =
            Row { run: &run.id, project: &run.project, metric, step: *step, time: Time(*time), value: Scalar(&value) };
        output::write_json(out, &row)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}
