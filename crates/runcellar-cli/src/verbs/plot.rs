//! `plot`: draws metrics of a run on the terminal or as SVG.

use std::io::Write as _;
use std::path::PathBuf;

use runcellar::{MetricInfo, RunInfo, Series, SeriesValues, Value, Workspace};

use crate::failure::{Code, Failure, listed};
use crate::files::NewFile;
use crate::output::{self, Display};
use crate::render::plot::{PlotOptions, plot};
use crate::render::svg::{SvgOptions, svg};
use crate::render::{PlotSeries, visible};
use crate::session::Session;
use crate::shapes::Scalar;

/// Plots drawn on a terminal if no metric was named.
const PLOTS_MAX: usize = 6;
/// Columns of a plot where nobody says how wide the terminal is.
const WIDTH_DEFAULT: usize = 80;
/// Lines of one plot; of one of several.
const HEIGHT_DEFAULT: (usize, usize) = (16, 8);

/// Draw metrics of a run
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without METRIC, metrics whose names end alike, such as train/loss and val/loss, share a plot. With -o all are \
drawn into one picture; SVG is written, which browsers and editors show.

Examples:
  runcellar plot brave-otter-12
  runcellar plot brave-otter-12 train/loss val/loss --log
  runcellar plot brave-otter-12 train/loss -o loss.svg")]
pub(crate) struct Args {
    /// The run
    #[arg(value_name = "RUN")]
    run: String,
    /// The metrics, drawn into one plot [default: all]
    #[arg(value_name = "METRIC")]
    metrics: Vec<String>,
    /// Write a picture into this file, which must end in .svg
    #[arg(short, long, value_name = "FILE.svg")]
    output: Option<PathBuf>,
    /// Draw values on a logarithmic scale
    #[arg(long)]
    log: bool,
    /// Width in columns of the terminal, or in pixels of a picture
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(20..=10_000))]
    width: Option<u32>,
    /// Height in lines of the terminal, or in pixels of a picture
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(3..=10_000))]
    height: Option<u32>,
}

#[derive(serde::Serialize)]
struct Shape<'a> {
    name: &'a str,
    steps: &'a [i64],
    values: Vec<serde_json::Value>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    if let Some(path) = &args.output
        && path.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("svg"))
    {
        return Err(Failure::usage(format!(
            "{}: plots are written as SVG, into a file that ends in .svg",
            path.display()
        )));
    }
    let workspace = session.open()?;
    let run = workspace.find_run(&args.run)?;
    let metrics = chosen(&workspace.metrics(&run)?, &run, &args.metrics)?;
    let series = {
        let _work = session.work("reading metrics");
        read(&workspace, &run, &metrics)?
    };
    if session.json && args.output.is_none() {
        return json(session, &metrics, &series);
    }
    let named = |(name, series): (&String, &Series)| PlotSeries {
        name: name.clone(),
        x: series.steps.iter().map(|step| *step as f64).collect(),
        y: numbers(&series.values),
    };
    let lines: Vec<PlotSeries> = metrics.iter().zip(&series).map(named).collect();
    match &args.output {
        Some(path) => picture(session, args, &run, &lines, path),
        None if args.metrics.is_empty() => several(session, args, &run, lines),
        None => output::print(&drawn(&lines, args, &run, session.display, full_height(session.display))),
    }
}

/// Returns the names to draw: the given ones, or all that are numbers.
fn chosen(known: &[MetricInfo], run: &RunInfo, given: &[String]) -> Result<Vec<String>, Failure> {
    let numeric = known.iter().filter(|metric| metric.kind != "text");
    let names = || numeric.clone().map(|metric| metric.name.as_str());
    if given.is_empty() {
        if names().next().is_none() {
            return Err(Failure::new(Code::NotFound, format!("run {}: no metric to plot", run.id)));
        }
        return Ok(names().map(str::to_owned).collect());
    }
    for wanted in given {
        match known.iter().find(|metric| metric.name == *wanted) {
            Some(metric) if metric.kind == "text" => {
                return Err(Failure::usage(format!("run {}: metric {wanted:?} is text and cannot be plotted", run.id)));
            }
            Some(_) => {}
            None => {
                let missing = Failure::new(Code::NotFound, format!("run {}: no metric {wanted:?}", run.id));
                return Err(missing.advise(visible(&format!("  there are {}", listed(names().take(20))))));
            }
        }
    }
    Ok(given.to_vec())
}

fn read(workspace: &Workspace, run: &RunInfo, metrics: &[String]) -> Result<Vec<Series>, Failure> {
    metrics.iter().map(|name| Ok(workspace.series(run, name, None)?)).collect()
}

/// Returns values as numbers to draw: true is 1, false 0, text a gap.
pub(crate) fn numbers(values: &SeriesValues) -> Vec<f64> {
    let number = |value: &Value| match value {
        Value::Float(float) => *float,
        Value::Int(int) => *int as f64,
        Value::Bool(bool) => f64::from(u8::from(*bool)),
        Value::Text(_) => f64::NAN,
    };
    match values {
        SeriesValues::Float(all) => all.clone(),
        SeriesValues::Int(all) => all.iter().map(|int| *int as f64).collect(),
        SeriesValues::Bool(all) => all.iter().map(|bool| f64::from(u8::from(*bool))).collect(),
        SeriesValues::Text(all) => vec![f64::NAN; all.len()],
        SeriesValues::Mixed(all) => all.iter().map(number).collect(),
    }
}

fn drawn(lines: &[PlotSeries], args: &Args, run: &RunInfo, display: Display, height: usize) -> String {
    let alone = if let [only] = lines { only.name.as_str() } else { run.name.as_str() };
    let unnamed: Vec<PlotSeries>;
    // The title names a line that is alone; a legend would only repeat it.
    let lines = if let [only] = lines {
        unnamed = vec![PlotSeries { name: String::new(), ..only.clone() }];
        &unnamed
    } else {
        lines
    };
    let options = PlotOptions {
        width: args.width.map(|width| width as usize).or(display.width).unwrap_or(WIDTH_DEFAULT),
        height: args.height.map_or(height, |height| height as usize),
        color: display.color,
        ascii: display.ascii,
        title: alone.to_owned(),
        x_label: "step".to_owned(),
        log_y: args.log,
    };
    plot(lines, &options)
}

/// Returns the lines of a plot that has the terminal for itself, with room for title, axis, legend and prompt.
fn full_height(display: Display) -> usize {
    display.height.map_or(HEIGHT_DEFAULT.0, |height| height.saturating_sub(8).clamp(6, HEIGHT_DEFAULT.0))
}

/// Draws one plot for each group of metrics whose names end alike.
fn several(session: &Session, args: &Args, run: &RunInfo, lines: Vec<PlotSeries>) -> Result<(), Failure> {
    let end = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let mut groups: Vec<(String, Vec<PlotSeries>)> = Vec::new();
    for line in lines {
        let end = end(&line.name);
        match groups.iter_mut().find(|(known, _)| *known == end) {
            Some((_, group)) => group.push(line),
            None => groups.push((end, vec![line])),
        }
    }
    let height = if groups.len() == 1 { full_height(session.display) } else { HEIGHT_DEFAULT.1 };
    let plots: Vec<String> =
        groups.iter().take(PLOTS_MAX).map(|(_, group)| drawn(group, args, run, session.display, height)).collect();
    output::print(&plots.join("\n"))?;
    let rest: Vec<&str> =
        groups.iter().skip(PLOTS_MAX).flat_map(|(_, group)| group).map(|line| line.name.as_str()).collect();
    if !rest.is_empty() {
        session.note(&format!("not drawn: {}; name the metrics to draw", listed(rest)));
    }
    Ok(())
}

fn picture(
    session: &Session,
    args: &Args,
    run: &RunInfo,
    lines: &[PlotSeries],
    path: &std::path::Path,
) -> Result<(), Failure> {
    let mut options =
        SvgOptions { title: run.name.clone(), x_label: "step".to_owned(), log_y: args.log, ..SvgOptions::default() };
    options.width = args.width.unwrap_or(options.width);
    options.height = args.height.unwrap_or(options.height);
    let mut file = NewFile::create(path)?;
    file.write_all(svg(lines, &options).as_bytes()).map_err(|cause| Failure::file("write", path, &cause))?;
    file.finish()?;
    session.note(&format!("wrote {}", path.display()));
    Ok(())
}

fn json(session: &Session, metrics: &[String], series: &[Series]) -> Result<(), Failure> {
    let value = |value: Value| serde_json::to_value(Scalar(&value)).unwrap_or_default();
    let shape: Vec<Shape<'_>> = metrics
        .iter()
        .zip(series)
        .map(|(name, series)| Shape {
            name,
            steps: &series.steps,
            values: (0..series.values.len()).filter_map(|index| series.values.get(index)).map(value).collect(),
        })
        .collect();
    output::print_json(&shape, session.display)
}
