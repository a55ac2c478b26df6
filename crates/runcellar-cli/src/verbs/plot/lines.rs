//! Which lines a plot has: runs, metrics, and what they are called.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use runcellar::{ErrorKind, MetricInfo, RunInfo, Selection, Series, Window, Workspace};

use crate::failure::{Code, Failure, listed};
use crate::render::svg::SERIES_MAX;
use crate::render::visible;
use crate::session::Session;
use crate::verbs::plot::numbers;

/// One metric of one run.
pub(super) struct Line {
    /// Its place among the runs.
    pub(super) run: usize,
    pub(super) metric: String,
    /// All its points, or as many as are enough to draw it.
    pub(super) series: Series,
    /// Some points were left out.
    pub(super) sampled: bool,
    /// The metric that it is to be drawn over, if `define_metric` says so and the run has it.
    step_metric: Option<String>,
    /// What its points are drawn over, if that is a metric: its value there; NaN before it has one.
    pub(super) over: Option<Vec<f64>>,
}

/// A line that is not read yet.
pub(super) struct Wanted {
    pub(super) run: usize,
    pub(super) metric: String,
    points: u64,
    step_metric: Option<String>,
}

impl Wanted {
    /// Reads the line: all points of it, or about `points`.
    pub(super) fn read(
        self,
        workspace: &Workspace,
        runs: &[RunInfo],
        window: Window,
        points: Option<usize>,
    ) -> Result<Line, Failure> {
        let series = workspace.series_in(&runs[self.run], &self.metric, window, points)?;
        let sampled = series.sampled && (series.steps.len() as u64) < self.points;
        let Wanted { run, metric, step_metric, .. } = self;
        Ok(Line { run, metric, series, sampled, step_metric, over: None })
    }
}

/// Lines that share a plot.
pub(super) struct Group {
    /// What they have in common; empty if that is the run alone.
    pub(super) title: String,
    /// Their places among the lines, and what tells them apart.
    pub(super) lines: Vec<(usize, String)>,
    /// The metric that they are drawn over, if it is one.
    pub(super) over: Option<String>,
}

/// Returns the runs and the metrics that were asked for; no metric means all.
pub(super) fn choose(
    workspace: &Workspace,
    filter: Option<&Selection>,
    names: &[String],
    metrics: &[String],
) -> Result<(Vec<RunInfo>, Vec<String>), Failure> {
    let mut runs = filter.map(|selection| workspace.runs(selection)).transpose()?.unwrap_or_default();
    let mut metrics = metrics.to_vec();
    let are_runs = !metrics.is_empty();
    for name in names {
        let first = match runs.first() {
            Some(first) if !are_runs => first,
            _ => {
                runs.push(workspace.find_run(name)?);
                continue;
            }
        };
        let known = workspace.metrics(first)?;
        if known.iter().any(|metric| metric.name == *name) {
            metrics.push(name.clone());
            continue;
        }
        match workspace.find_run(name) {
            Ok(run) => runs.push(run),
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(no_metric(first, name, &known)),
            Err(error) => return Err(error.into()),
        }
    }
    let mut seen = HashSet::new();
    runs.retain(|run| seen.insert(run.id.clone()));
    if runs.is_empty() {
        return Err(Failure::new(Code::NotFound, "no run matches"));
    }
    Ok((runs, metrics))
}

/// True for metrics of numbers, truth values, or of several kinds.
pub(crate) fn can_be_drawn(metric: &MetricInfo) -> bool {
    !matches!(metric.kind, "text" | "histogram" | "media")
}

fn no_metric(run: &RunInfo, name: &str, known: &[MetricInfo]) -> Failure {
    let numeric = known.iter().filter(|metric| can_be_drawn(metric)).map(|metric| metric.name.as_str());
    let missing = Failure::new(Code::NotFound, format!("run {}: no metric {name:?}", run.id));
    let there: Vec<&str> = numeric.take(20).collect();
    if there.is_empty() { missing } else { missing.advise(visible(&format!("  there are {}", listed(there)))) }
}

/// Returns the lines to draw, and says which runs lack what.
pub(super) fn wanted(
    session: &Session,
    workspace: &Workspace,
    runs: &[RunInfo],
    metrics: &[String],
) -> Result<Vec<Wanted>, Failure> {
    let mut lines: Vec<Wanted> = Vec::new();
    let mut lacking: Vec<Failure> = Vec::new();
    // Every metric has as many lines, so that a plot of many runs is cut where it is full.
    let runs_max = if metrics.is_empty() { SERIES_MAX } else { (SERIES_MAX / metrics.len()).max(1) };
    let mut drawn = 0;
    for (place, run) in runs.iter().enumerate() {
        if drawn == runs_max {
            session.note(&format!("the first {drawn} runs of {} are drawn", runs.len()));
            break;
        }
        let before = lines.len();
        let known = workspace.metrics(run)?;
        let line = |metric: &MetricInfo| {
            let is_there = |name: &&String| known.iter().any(|metric| metric.name == **name && can_be_drawn(metric));
            let step_metric = metric.step_metric.as_ref().filter(is_there).cloned();
            Wanted { run: place, metric: metric.name.clone(), points: metric.points, step_metric }
        };
        if metrics.is_empty() {
            let numeric = known.iter().filter(|metric| can_be_drawn(metric));
            lines.extend(numeric.map(line));
            if lines.len() == before {
                lacking.push(Failure::new(Code::NotFound, format!("run {}: no metric to plot", run.id)));
            }
        }
        for name in metrics {
            match known.iter().find(|metric| metric.name == *name) {
                Some(metric) if !can_be_drawn(metric) => {
                    let what = match metric.kind {
                        "text" => "text",
                        "media" => "of media",
                        _ => "of histograms",
                    };
                    let message = format!("run {}: metric {name:?} is {what} and cannot be plotted", run.id);
                    lacking.push(Failure::usage(message));
                }
                Some(metric) => lines.push(line(metric)),
                None => lacking.push(no_metric(run, name, &known)),
            }
        }
        drawn += usize::from(lines.len() > before);
    }
    // What is named for one run must be there; of several runs some may lack it.
    if lines.is_empty() || runs.len() == 1 {
        if let Some(first) = lacking.into_iter().next() {
            return Err(first);
        }
    } else if !lacking.is_empty() {
        session.note(&format!("{} of the lines are not there: the run has no such metric of numbers", lacking.len()));
    }
    Ok(lines)
}

/// Groups lines into plots: one for all if metrics were named, else one for each metric of several runs, or for the
/// metrics of one run whose names end alike.
pub(super) fn groups(runs: &[RunInfo], lines: &[Line], named: bool) -> Vec<Group> {
    let several = runs.len() > 1;
    let mut names = HashSet::new();
    let twice: HashSet<&str> = runs.iter().map(|run| run.name.as_str()).filter(|name| !names.insert(*name)).collect();
    let run_name = |line: &Line| {
        let run = &runs[line.run];
        if twice.contains(run.name.as_str()) { format!("{} ({})", run.name, run.id) } else { run.name.clone() }
    };
    let one_metric = lines.windows(2).all(|pair| pair[0].metric == pair[1].metric);
    let title = |line: &Line| match (named, several) {
        (true, true) if one_metric => line.metric.clone(),
        (true, _) => String::new(),
        (false, true) => line.metric.clone(),
        (false, false) => line.metric.rsplit('/').next().unwrap_or_default().to_owned(),
    };
    let mut groups: Vec<Group> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let name = match several {
            false => line.metric.clone(),
            true if named && !one_metric => format!("{}: {}", run_name(line), line.metric),
            true => run_name(line),
        };
        let title = title(line);
        match groups.iter_mut().find(|group| group.title == title) {
            Some(group) => group.lines.push((index, name)),
            None => groups.push(Group { title, lines: vec![(index, name)], over: None }),
        }
    }
    for group in groups.iter_mut().filter(|group| !group.title.is_empty()) {
        // The title says it all of a line of one run that is alone.
        if let ([(_, name)], false) = (&mut group.lines[..], several) {
            group.title = std::mem::take(name);
        }
    }
    groups
}

/// Lays lines over a metric: the one that was asked for or, for each plot, the one that all of its lines are defined
/// to have their steps from.
pub(super) fn lay_over(
    workspace: &Workspace,
    runs: &[RunInfo],
    lines: &mut [Line],
    groups: &mut [Group],
    asked: Option<&str>,
) -> Result<(), Failure> {
    let mut read: HashMap<(usize, String), Series> = HashMap::new();
    for group in groups {
        let mut defined = group.lines.iter().map(|(line, _)| lines[*line].step_metric.as_deref());
        let first = defined.next().flatten().filter(|first| defined.all(|other| other == Some(first)));
        group.over = asked.or(first).map(str::to_owned);
        let Some(over) = &group.over else { continue };
        for (line, _) in &group.lines {
            let line = &mut lines[*line];
            let steps = match read.entry((line.run, over.clone())) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => place.insert(workspace.series(&runs[line.run], over, None)?),
            };
            line.over = Some(values_at(steps, &line.series.steps));
        }
    }
    Ok(())
}

/// Returns the value of a metric at each of these steps or, where it has none, its last one before; NaN before its
/// first. Both rise.
fn values_at(metric: &Series, steps: &[i64]) -> Vec<f64> {
    let values = numbers(&metric.values);
    let mut next = 0;
    let value = |step: &i64| {
        while metric.steps.get(next).is_some_and(|at| at <= step) {
            next += 1;
        }
        next.checked_sub(1).and_then(|last| values.get(last)).copied().unwrap_or(f64::NAN)
    };
    steps.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use runcellar::SeriesValues;

    #[test]
    fn a_metric_counts_from_where_it_was_logged() {
        let values = SeriesValues::Int(vec![7, 8, 9]);
        let epochs = Series { steps: vec![2, 5, 5], times: vec![0; 3], values, ranks: None, sampled: false };
        let found = values_at(&epochs, &[0, 2, 3, 5, 9]);
        assert!(found[0].is_nan());
        assert_eq!(found[1..], [7.0, 7.0, 9.0, 9.0]);
    }
}
