//! Sparklines: the shape of a metric in a few characters.

use runcellar::{MetricInfo, Result, RunInfo, Series, Window, Workspace};

use crate::verbs::plot::{can_be_drawn, numbers};

/// Characters of a sparkline.
const WIDTH: usize = 20;
const BARS: [char; 8] =
    ['\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}', '\u{2588}'];
/// Points that are read for the sparklines of one page: about a second's work.
const POINTS_MAX: u64 = 4_000_000;

/// Returns a sparkline for each metric; empty for text and histograms, and for runs of too many points.
pub(super) fn of_metrics(
    workspace: &Workspace,
    run: &RunInfo,
    metrics: &[MetricInfo],
    window: Window,
) -> Result<Vec<String>> {
    if metrics.iter().map(|metric| metric.points).sum::<u64>() > POINTS_MAX {
        return Ok(Vec::new());
    }
    let one = |metric: &MetricInfo| match can_be_drawn(metric) {
        true => Ok(line(&workspace.series_in(run, &metric.name, window, None)?)),
        false => Ok(String::new()),
    };
    metrics.iter().map(one).collect()
}

/// Draws the mean of each stretch of steps; a stretch without a finite value is blank.
fn line(series: &Series) -> String {
    let (Some(first), Some(last)) = (series.steps.first(), series.steps.last()) else { return String::new() };
    let span = (last.abs_diff(*first) as f64).max(1.0);
    let mut sums = [(0.0_f64, 0_u32); WIDTH];
    for (step, value) in series.steps.iter().zip(numbers(&series.values)).filter(|(_, value)| value.is_finite()) {
        let at = (step.abs_diff(*first) as f64 / span * WIDTH as f64) as usize;
        let (sum, count) = &mut sums[at.min(WIDTH - 1)];
        *sum += value;
        *count += 1;
    }
    let means: Vec<Option<f64>> =
        sums.iter().map(|(sum, count)| (*count > 0).then(|| sum / f64::from(*count))).collect();
    let low = means.iter().flatten().copied().fold(f64::INFINITY, f64::min);
    let high = means.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
    let bar = |mean: f64| {
        let place = if high > low { (mean - low) / (high - low) } else { 0.5 };
        BARS[((place * BARS.len() as f64) as usize).min(BARS.len() - 1)]
    };
    let line: String = means.iter().map(|mean| mean.map_or(' ', bar)).collect();
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use runcellar::SeriesValues;

    fn series(values: &[f64]) -> Series {
        let steps: Vec<i64> = (0..).take(values.len()).collect();
        Series {
            times: steps.clone(),
            steps,
            values: SeriesValues::Float(values.to_vec()),
            ranks: None,
            sampled: false,
        }
    }

    #[test]
    fn the_line_follows_the_values_and_leaves_gaps_blank() {
        let rising: Vec<f64> = (0..200).map(f64::from).collect();
        let drawn = line(&series(&rising));
        assert_eq!(drawn.chars().count(), WIDTH);
        assert!(drawn.starts_with(BARS[0]) && drawn.ends_with(BARS[7]));
        assert!(drawn.chars().zip(drawn.chars().skip(1)).all(|(left, right)| left <= right), "{drawn}");
        let flat = line(&series(&[2.0; 40]));
        assert!(flat.chars().all(|bar| bar == BARS[4]), "{flat}");
        let mut gap = rising.clone();
        gap[50..150].fill(f64::NAN);
        assert!(line(&series(&gap)).contains("        "));
        assert_eq!(line(&series(&[])), "");
        assert_eq!(line(&series(&[f64::NAN, f64::INFINITY])), "");
    }
}
