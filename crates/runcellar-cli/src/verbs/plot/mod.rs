//! `plot`: draws metrics of runs on the terminal, as SVG or as PNG.

mod lines;
mod smooth;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap_complete::engine::ArgValueCompleter;
use runcellar::{RunInfo, Series, SeriesValues, Value};

use crate::complete;
use crate::failure::{Failure, listed};
use crate::files::NewFile;
use crate::output::{self, Display};
use crate::render::axis::Scale;
use crate::render::chart::{PlotSeries, Scales};
use crate::render::plot::{PlotOptions, plot};
use crate::render::png::png;
use crate::render::svg::{Panel, SvgOptions, Theme, svg};
use crate::session::{AsOf, Session};
use crate::shapes::Scalar;
use crate::verbs::window::WindowArgs;
pub(crate) use lines::can_be_drawn;
use lines::{Group, Line};

/// Plots drawn on a terminal, and charts in one picture, if no metric was named.
const PLOTS_MAX: usize = 6;
const PANELS_MAX: usize = 24;
/// Columns of a plot where nobody says how wide the terminal is.
const WIDTH_DEFAULT: usize = 80;
/// Lines of one plot; of one of several.
const HEIGHT_DEFAULT: (usize, usize) = (16, 8);
/// Pixels of a PNG for each pixel of the layout unless asked for: sharp on today's screens and in print.
const SCALE_DEFAULT: f32 = 2.0;

/// Draw metrics of one run or of several
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The first name is a run. Each further one is a metric of it or, if it has no such metric, another run; with --metric \
all are runs. Without a metric, those of one run whose names end alike, such as train/loss and val/loss, share a \
plot; of several runs each metric has its own.

Examples:
  runcellar plot brave-otter-12
  runcellar plot brave-otter-12 train/loss val/loss --log
  runcellar plot brave-otter-12 calm-heron-3 --metric val/loss --smooth 0.9
  runcellar plot --where 'config.lr < 0.1' --metric val/loss --x relative -o loss.png
  runcellar plot brave-otter-12 val/loss --x epoch")]
pub(crate) struct Args {
    /// The run, then metrics of it or further runs
    #[arg(value_name = "RUN|METRIC", required_unless_present = "filter", add = ArgValueCompleter::new(complete::runs))]
    names: Vec<String>,
    /// Draw this metric; may be repeated [default: all]
    #[arg(short, long = "metric", value_name = "METRIC")]
    metrics: Vec<String>,
    /// Draw the runs that match this filter
    #[arg(long = "where", value_name = "FILTER")]
    filter: Option<String>,
    #[command(flatten)]
    as_of: AsOf,
    /// Write a picture into this file, which must end in .png or .svg
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What the points are drawn over: steps, times of day, the time since the run's start, or the values of a metric
    /// [default: the step metric if define_metric named one, else step]
    #[arg(long, value_name = "step|time|relative|METRIC")]
    x: Option<Over>,
    /// Draw values on a logarithmic scale
    #[arg(long)]
    log: bool,
    /// Draw moving averages that keep this part of the one before, from 0 to below 1, over the faint values
    #[arg(long, value_name = "WEIGHT", value_parser = smooth::weight)]
    smooth: Option<f64>,
    /// Width in columns of the terminal, or in pixels of a picture
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(20..=10_000))]
    width: Option<u32>,
    /// Height in lines of the terminal, or in pixels of a picture
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(3..=10_000))]
    height: Option<u32>,
    #[command(flatten)]
    window: WindowArgs,
    /// Pixels of a PNG for each of --width and --height, 0.5 to 8 [default: 2]
    #[arg(long, value_name = "N", value_parser = scale)]
    scale: Option<f32>,
    /// Draw a picture for dark pages [default: SVG follows the viewer, PNG is light]
    #[arg(long)]
    dark: bool,
}

/// What x is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Over {
    Step,
    Time,
    Relative,
    Metric(String),
}

impl From<&str> for Over {
    fn from(text: &str) -> Over {
        match text {
            "step" => Over::Step,
            "time" => Over::Time,
            "relative" => Over::Relative,
            metric => Over::Metric(metric.to_owned()),
        }
    }
}

/// The form of a picture, from the ending of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Svg,
    Png,
}

impl Format {
    fn of(path: &Path) -> Result<Format, Failure> {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        match ending.as_deref() {
            Some("svg") => Ok(Format::Svg),
            Some("png") => Ok(Format::Png),
            _ => Err(Failure::usage(format!(
                "{}: a picture is PNG or SVG, into a file that ends in .png or .svg",
                path.display()
            ))),
        }
    }
}

fn scale(text: &str) -> Result<f32, String> {
    let scale = text.parse().ok().filter(|scale| (0.5..=8.0).contains(scale));
    scale.ok_or_else(|| "a number from 0.5 to 8 is expected".to_owned())
}

#[derive(serde::Serialize)]
struct Shape<'a> {
    name: &'a str,
    steps: &'a [i64],
    values: Vec<serde_json::Value>,
    run: &'a str,
    times: Vec<crate::shapes::Time>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let format = args.output.as_deref().map(Format::of).transpose()?;
    if args.output.is_none() && (args.dark || args.scale.is_some()) {
        return Err(Failure::usage("--dark and --scale are of pictures: -o FILE.png"));
    }
    let filter = args.filter.as_deref().map(|text| crate::verbs::ls::selection(Some(text), None)).transpose()?;
    let window = args.window.read()?;
    let (workspace, _) = session.open_as_of(&args.as_of)?;
    let (runs, mut lines, named) = {
        let work = session.work("reading metrics");
        let (runs, metrics) = lines::choose(&workspace, filter.as_ref(), &args.names, &args.metrics)?;
        let exact = session.json && args.output.is_none() || args.smooth.is_some();
        let points = (!exact).then(|| points(args, session.display));
        let wanted = lines::wanted(session, &workspace, &runs, &metrics)?;
        let mut lines = Vec::with_capacity(wanted.len());
        let total = wanted.len();
        for (index, line) in wanted.into_iter().enumerate() {
            work.reached("reading metrics", index, total);
            lines.push(line.read(&workspace, &runs, window, points)?);
        }
        (runs, lines, !metrics.is_empty())
    };
    if session.json && args.output.is_none() {
        return json(session, &runs, &lines);
    }
    let mut groups = lines::groups(&runs, &lines, named);
    match &args.x {
        None => lines::lay_over(&workspace, &runs, &mut lines, &mut groups, None)?,
        Some(Over::Metric(metric)) => lines::lay_over(&workspace, &runs, &mut lines, &mut groups, Some(metric))?,
        Some(_) => {}
    }
    let drawing = Drawing::of(args, &runs, &lines);
    match (&args.output, format) {
        (Some(path), Some(format)) => drawing.picture(session, args, groups, (path, format)),
        _ => drawing.on_terminal(session, args, groups),
    }
}

/// Returns how many points of a series are enough: several for each column of pixels, so that none is missed.
fn points(args: &Args, display: Display) -> usize {
    let columns = match (&args.output, args.width) {
        (_, Some(width)) => width as usize,
        (Some(_), None) => 1000,
        (None, None) => 2 * display.width.unwrap_or(WIDTH_DEFAULT),
    };
    columns.max(400) * 12
}

/// Returns values as numbers to draw: true is 1, false 0, text a gap.
pub(crate) fn numbers(values: &SeriesValues) -> Vec<f64> {
    let number = |value: &Value| match value {
        Value::Float(float) => *float,
        Value::Int(int) => *int as f64,
        Value::Bool(bool) => f64::from(u8::from(*bool)),
        Value::Text(_) | Value::Histogram(_) | Value::Media(_) => f64::NAN,
    };
    match values {
        SeriesValues::Float(all) => all.clone(),
        SeriesValues::Int(all) => all.iter().map(|int| *int as f64).collect(),
        SeriesValues::Bool(all) => all.iter().map(|bool| f64::from(u8::from(*bool))).collect(),
        SeriesValues::Text(all) => vec![f64::NAN; all.len()],
        SeriesValues::Histogram(all) => vec![f64::NAN; all.len()],
        SeriesValues::Media(all) => vec![f64::NAN; all.len()],
        SeriesValues::Mixed(all) => all.iter().map(number).collect(),
    }
}

/// What all plots of a call have in common, and their lines.
struct Drawing<'a> {
    runs: &'a [RunInfo],
    lines: Vec<PlotSeries>,
    scales: Scales,
    x_label: String,
}

impl<'a> Drawing<'a> {
    fn of(args: &Args, runs: &'a [RunInfo], lines: &[Line]) -> Drawing<'a> {
        let since_start = |line: &Line, time: &i64| time.saturating_sub(runs[line.run].created) as f64;
        let longest = lines.iter().flat_map(|line| line.series.times.iter().map(|time| since_start(line, time)));
        let (unit_us, unit) = match longest.fold(0.0, f64::max) {
            us if us >= 2.0 * 86_400e6 => (86_400e6, "days"),
            us if us >= 2.0 * 3_600e6 => (3_600e6, "hours"),
            us if us >= 2.0 * 60e6 => (60e6, "minutes"),
            _ => (1e6, "seconds"),
        };
        let x = |line: &Line| -> Vec<f64> {
            let Series { steps, times, .. } = &line.series;
            match (&line.over, &args.x) {
                (Some(over), _) => over.clone(),
                (None, Some(Over::Time)) => times.iter().map(|time| *time as f64).collect(),
                (None, Some(Over::Relative)) => times.iter().map(|time| since_start(line, time) / unit_us).collect(),
                (None, _) => steps.iter().map(|step| *step as f64).collect(),
            }
        };
        let drawn = |line: &Line| {
            let y = numbers(&line.series.values);
            let (y, behind) = match args.smooth {
                Some(weight) => (smooth::average(&y, weight), y),
                None => (y, Vec::new()),
            };
            PlotSeries { name: String::new(), x: x(line), y, behind, sampled: line.sampled }
        };
        let x_label = match args.x {
            Some(Over::Time) => "time, UTC".to_owned(),
            Some(Over::Relative) => format!("{unit} since the start"),
            _ => "step".to_owned(),
        };
        let scales = Scales {
            x: if args.x == Some(Over::Time) { Scale::Time } else { Scale::Linear },
            y: if args.log { Scale::Log } else { Scale::Linear },
        };
        Drawing { runs, lines: lines.iter().map(drawn).collect(), scales, x_label }
    }

    /// Returns the lines of a group under their names.
    fn series(&self, group: &Group) -> Vec<PlotSeries> {
        group.lines.iter().map(|(line, name)| PlotSeries { name: name.clone(), ..self.lines[*line].clone() }).collect()
    }

    /// Draws one plot for each group.
    fn on_terminal(&self, session: &Session, args: &Args, groups: Vec<Group>) -> Result<(), Failure> {
        let display = session.display;
        let height = if groups.len() == 1 { full_height(display) } else { HEIGHT_DEFAULT.1 };
        let drawn = |group: &Group| {
            let mut series = self.series(group);
            let mut title = group.title.clone();
            if let ([only], [_]) = (&mut series[..], self.runs) {
                // The title names a line that is alone; a legend would only repeat it.
                if !only.name.is_empty() {
                    title = std::mem::take(&mut only.name);
                }
            } else if title.is_empty() {
                title = self.title();
            }
            let options = PlotOptions {
                width: args.width.map(|width| width as usize).or(display.width).unwrap_or(WIDTH_DEFAULT),
                height: args.height.map_or(height, |height| height as usize),
                color: display.color,
                ascii: display.ascii,
                title,
                x_label: group.over.clone().unwrap_or_else(|| self.x_label.clone()),
                scales: self.scales,
            };
            plot(&series, &options)
        };
        let plots: Vec<String> = groups.iter().take(PLOTS_MAX).map(drawn).collect();
        output::print(&plots.join("\n"))?;
        not_drawn(session, &groups, PLOTS_MAX);
        Ok(())
    }

    /// Draws all groups into one picture.
    fn picture(
        &self,
        session: &Session,
        args: &Args,
        groups: Vec<Group>,
        (path, format): (&Path, Format),
    ) -> Result<(), Failure> {
        let panels: Vec<Panel> = groups
            .iter()
            .take(PANELS_MAX)
            .map(|group| Panel {
                title: if groups.len() > 1 { group.title.clone() } else { String::new() },
                x_label: group.over.clone(),
                series: self.series(group),
            })
            .collect();
        let title = match &groups[..] {
            [only] if self.runs.len() > 1 && !only.title.is_empty() => only.title.clone(),
            _ => self.title(),
        };
        let theme = match (args.dark, format) {
            (true, _) => Theme::Dark,
            (false, Format::Svg) => Theme::Viewer,
            (false, Format::Png) => Theme::Light,
        };
        let (width, height) = (args.width, args.height);
        let options = SvgOptions { width, height, title, x_label: self.x_label.clone(), scales: self.scales, theme };
        let svg = svg(&panels, &options);
        let bytes = match format {
            Format::Svg => svg.into_bytes(),
            Format::Png => {
                let _work = session.work("drawing");
                png(&svg, args.scale.unwrap_or(SCALE_DEFAULT))
                    .map_err(|problem| Failure::usage(format!("{}: {problem}", path.display())))?
            }
        };
        let mut file = NewFile::create(path)?;
        file.write_all(&bytes).map_err(|cause| Failure::file("write", path, &cause))?;
        file.finish()?;
        not_drawn(session, &groups, PANELS_MAX);
        session.note(&format!("wrote {}", path.display()));
        Ok(())
    }

    /// Returns what all lines have in common: the run, or the project of several.
    fn title(&self) -> String {
        match self.runs {
            [only] => only.name.clone(),
            [first, rest @ ..] if rest.iter().all(|run| run.project == first.project) => first.project.clone(),
            _ => String::new(),
        }
    }
}

fn not_drawn(session: &Session, groups: &[Group], plots_max: usize) {
    let rest: Vec<&str> = groups.iter().skip(plots_max).map(|group| group.title.as_str()).collect();
    if !rest.is_empty() {
        session.note(&format!("not drawn: {}; name the metrics to draw", listed(rest)));
    }
}

/// Returns the lines of a plot that has the terminal for itself, with room for title, axis, legend and prompt.
fn full_height(display: Display) -> usize {
    display.height.map_or(HEIGHT_DEFAULT.0, |height| height.saturating_sub(8).clamp(6, HEIGHT_DEFAULT.0))
}

fn json(session: &Session, runs: &[RunInfo], lines: &[Line]) -> Result<(), Failure> {
    let value = |value: Value| serde_json::to_value(Scalar(&value)).unwrap_or_default();
    let shape: Vec<Shape<'_>> = lines
        .iter()
        .map(|Line { run, metric, series, .. }| Shape {
            name: metric,
            steps: &series.steps,
            values: (0..series.values.len()).filter_map(|index| series.values.get(index)).map(value).collect(),
            run: &runs[*run].id,
            times: series.times.iter().map(|time| crate::shapes::Time(*time)).collect(),
        })
        .collect();
    output::print_json(&shape, session.display)
}
