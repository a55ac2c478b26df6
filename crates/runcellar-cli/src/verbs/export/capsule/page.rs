//! The page that people read in a capsule: static, with nothing from elsewhere and no scripts.

use std::fmt::Write as _;

use runcellar::{Json, MetricInfo, RunInfo, Value, Window, Workspace};

use crate::failure::{Failure, listed};
use crate::render::chart::PlotSeries;
use crate::render::number::{bytes, count, duration};
use crate::render::svg::{Panel, SvgOptions, escape, svg};
use crate::render::time::rfc3339_us;
use crate::verbs::ls::{json_text, value_text};
use crate::verbs::plot::{can_be_drawn, numbers};

/// Charts on a page.
const CHARTS_MAX: usize = 24;
/// Points that are read for a chart, more than it has pixels.
const CHART_POINTS: usize = 2_000;
/// Rows of a table on a page; the files beside it have all.
const ROWS_MAX: usize = 2_000;
/// Characters of a value on a page.
const TEXT_MAX: usize = 2_000;

const STYLE: &str = "\
:root{color-scheme:light dark}
body{font:15px/1.5 Inter,system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse}td,th{text-align:left;padding:.15rem 1.2rem .15rem 0;vertical-align:top}
th{font-weight:600}td.n{text-align:right;font-variant-numeric:tabular-nums}
td.k,.dim{opacity:.7}svg{max-width:100%;height:auto}pre{white-space:pre-wrap;margin:0;font:inherit}
";

fn begin(title: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n",
        escape(title)
    )
}

/// Returns the page that lists runs.
pub(super) fn of_runs(runs: &[RunInfo], directory_of: impl Fn(&RunInfo) -> String) -> String {
    let mut page = begin("runs") + "<h1>Runs</h1>\n<table>\n<tr><th>name<th>id<th>project<th>state<th>created\n";
    for run in runs {
        let link = escape(&format!("{}/index.html", directory_of(run)).replace('%', "%25"));
        let cells = [&run.id, &run.project, run.state.as_str(), &rfc3339_us(run.created)].map(escape);
        let _ = writeln!(page, "<tr><td><a href=\"{link}\">{}</a><td>{}", escape(&run.name), cells.join("<td>"));
    }
    page + "</table>\n"
}

/// Returns the page of a run, whose files lie in `directory`.
pub(super) fn of_run(workspace: &Workspace, run: &RunInfo, now: i64, directory: &str) -> Result<String, Failure> {
    let mut page = begin(&run.name);
    let metrics = workspace.metrics(run)?;
    let _ = writeln!(page, "<h1>{} <span class=\"dim\">{}</span></h1>", escape(&run.name), run.state.as_str());
    head(&mut page, workspace, run, now)?;
    if let Json::Map(members) = &run.config {
        let mut rows = Vec::new();
        flat(members, "", &mut rows);
        pairs(&mut page, "config", &rows);
    }
    let rows: Vec<_> = run.summary.iter().map(|(key, value)| (key.clone(), value_text(value))).collect();
    pairs(&mut page, "summary", &rows);
    charts(&mut page, workspace, run, &metrics)?;
    table_of(&mut page, &metrics);
    let place = if directory.is_empty() { "this directory".to_owned() } else { escape(directory) };
    let _ = writeln!(
        page,
        "<p class=\"dim\">{place} has all of it: run.json, metrics.csv.gz, system.csv.gz, console.csv.gz, code, media. \
         runcellar import reads the capsule back."
    );
    Ok(page)
}

fn head(page: &mut String, workspace: &Workspace, run: &RunInfo, now: i64) -> Result<(), Failure> {
    let source = workspace.source(run)?;
    let (lineage, artifacts) = (workspace.lineage(run)?, workspace.artifacts_of_run(run)?);
    let names = |all: &[runcellar::ArtifactVersion]| listed(all.iter().map(runcellar::ArtifactVersion::full_name));
    let code = workspace.code(run)?;
    let forked = lineage.forked_from.map_or(String::new(), |point| {
        format!("{}{}", point.run, point.step.map_or(String::new(), |step| format!(" at step {step}")))
    });
    let rows = [
        ("id", run.id.clone()),
        ("project", run.project.clone()),
        ("created", rfc3339_us(run.created)),
        ("finished", run.finished.map_or(String::new(), rfc3339_us)),
        ("took", duration(run.duration_secs(now))),
        ("tags", listed(&run.tags)),
        ("group", run.group.clone()),
        ("job type", run.job_type.clone()),
        ("notes", run.notes.clone()),
        ("program", format!("{} {}", run.program, run.runtime)),
        ("host", run.host.clone()),
        ("git", format!("{} {} {}", source.commit, source.branch, source.remote)),
        ("forked from", forked),
        ("made", names(&artifacts.made)),
        ("used", names(&artifacts.used)),
        ("code", if code.is_empty() { String::new() } else { count(code.len() as u64, "file") }),
    ];
    let rows: Vec<_> = rows.into_iter().filter(|(_, value)| !value.trim().is_empty()).collect();
    pairs(page, "", &rows);
    Ok(())
}

/// Writes names and values.
fn pairs(page: &mut String, title: &str, rows: &[(impl AsRef<str>, String)]) {
    if rows.is_empty() {
        return;
    }
    if !title.is_empty() {
        let _ = writeln!(page, "<h2>{title}</h2>");
    }
    page.push_str("<table>\n");
    for (key, value) in rows.iter().take(ROWS_MAX) {
        let _ = writeln!(page, "<tr><td class=\"k\">{}<td><pre>{}</pre>", escape(key.as_ref()), lines(value));
    }
    page.push_str("</table>\n");
    more(page, rows.len());
}

fn more(page: &mut String, rows: usize) {
    if rows > ROWS_MAX {
        let _ = writeln!(page, "<p class=\"dim\">and {} more</p>", rows - ROWS_MAX);
    }
}

/// Escapes a text, and keeps its lines.
fn lines(text: &str) -> String {
    let short: String = text.chars().take(TEXT_MAX).collect();
    let rest = if short.len() < text.len() { format!(" ({} in all)", bytes(text.len() as u64)) } else { String::new() };
    short.lines().map(escape).collect::<Vec<_>>().join("\n") + &rest
}

fn flat(members: &[(String, Json)], before: &str, rows: &mut Vec<(String, String)>) {
    for (name, value) in members {
        let name = format!("{before}{name}");
        match value {
            Json::Map(inner) if !inner.is_empty() => flat(inner, &format!("{name}."), rows),
            value => rows.push((name, json_text(value))),
        }
    }
}

fn charts(page: &mut String, workspace: &Workspace, run: &RunInfo, metrics: &[MetricInfo]) -> Result<(), Failure> {
    let drawn: Vec<&MetricInfo> = metrics.iter().filter(|metric| can_be_drawn(metric)).collect();
    let mut panels = Vec::new();
    for metric in drawn.iter().take(CHARTS_MAX) {
        let series = workspace.series_in(run, &metric.name, Window::default(), Some(CHART_POINTS))?;
        let line = PlotSeries {
            name: metric.name.clone(),
            x: series.steps.iter().map(|step| *step as f64).collect(),
            y: numbers(&series.values),
            sampled: series.sampled,
            ..PlotSeries::default()
        };
        panels.push(Panel { title: metric.name.clone(), series: vec![line], ..Panel::default() });
    }
    if panels.is_empty() {
        return Ok(());
    }
    page.push_str("<h2>charts</h2>\n");
    page.push_str(&svg(&panels, &SvgOptions { x_label: "step".into(), ..SvgOptions::default() }));
    if drawn.len() > CHARTS_MAX {
        let _ = writeln!(page, "<p class=\"dim\">and {} more metrics</p>", drawn.len() - CHARTS_MAX);
    }
    Ok(())
}

fn table_of(page: &mut String, metrics: &[MetricInfo]) {
    if metrics.is_empty() {
        return;
    }
    page.push_str("<h2>metrics</h2>\n<table>\n<tr><th>name<th>kind<th>points<th>steps<th>min<th>max<th>last\n");
    let text = |value: &Option<Value>| value.as_ref().map(value_text).unwrap_or_default();
    for metric in metrics.iter().take(ROWS_MAX) {
        let steps = format!("{}..{}", metric.first_step, metric.last_step);
        let _ = write!(
            page,
            "<tr><td>{}<td>{}<td class=\"n\">{}<td>{steps}",
            escape(&metric.name),
            metric.kind,
            metric.points
        );
        for value in [text(&metric.min), text(&metric.max), value_text(&metric.last)] {
            let _ = write!(page, "<td>{}", lines(&value));
        }
        page.push('\n');
    }
    page.push_str("</table>\n");
    more(page, metrics.len());
}
