//! Line charts before they are drawn: the axes that hold all points, and which points are enough to show them all.

use crate::render::axis::{Axis, Scale};

/// One line of a chart: `y` over `x`, equal in length; what one has in excess is not looked at.
///
/// NaN in `y` is a gap. Points need not rise by `x`; equal `x` keep their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlotSeries {
    /// Shown in the legend; nothing is shown if empty.
    pub(crate) name: String,
    /// Steps or times.
    pub(crate) x: Vec<f64>,
    /// Values.
    pub(crate) y: Vec<f64>,
    /// Values as they were logged, drawn faintly behind smoothed ones, one for each of `y`; empty if `y` is as logged.
    pub(crate) behind: Vec<f64>,
    /// Points were left out, so that counts of what is special among them are too low.
    pub(crate) sampled: bool,
}

impl PlotSeries {
    /// Returns the values as they were logged.
    fn logged(&self) -> &[f64] {
        if self.behind.is_empty() { &self.y } else { &self.behind }
    }
}

/// How both axes of a chart are laid out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scales {
    /// Of steps or times.
    pub(crate) x: Scale,
    /// Of values.
    pub(crate) y: Scale,
}

/// The axes of a chart and what could not be drawn on them.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    /// Left to right.
    pub(crate) x: Axis,
    /// Bottom to top.
    pub(crate) y: Axis,
    /// False if there is nothing to draw; the axes then mean nothing.
    pub(crate) drawable: bool,
    /// What was clipped or left out, with counts, one statement each.
    pub(crate) notes: Vec<String>,
}

impl Chart {
    /// Returns axes that hold every finite point of `series`.
    pub(crate) fn over(series: &[PlotSeries], scales: Scales) -> Chart {
        let (mut xs, mut ys) = (Vec::new(), Vec::new());
        let (mut infinite, mut nan, mut below, mut astray) = (0_u64, 0_u64, 0_u64, 0_u64);
        for (&x, &y) in series.iter().flat_map(|s| s.x.iter().zip(s.logged())) {
            if !x.is_finite() {
                astray += 1;
            } else if y.is_nan() {
                nan += 1;
            } else if scales.y == Scale::Log && y <= 0.0 {
                below += 1;
            } else {
                infinite += u64::from(y.is_infinite());
                xs.push(x);
                ys.push(y);
            }
        }
        let counts = [
            (infinite, "infinite values drawn at the edge"),
            (nan, "NaN values left as gaps"),
            (below, "values at or below zero not on the log scale"),
            (astray, "points without a finite x left out"),
        ];
        let least = if series.iter().any(|one| one.sampled) { "at least " } else { "" };
        let notes =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{what}: {least}{count}"));
        let (x, y) = (Axis::over(&xs, scales.x), Axis::over(&ys, scales.y));
        Chart { x, y, drawable: !xs.is_empty(), notes: notes.collect() }
    }

    /// Returns the polylines of one series as (left to right, bottom to top) in 0..=1, split at gaps: see [`Chart::reduced`].
    pub(crate) fn strokes(&self, series: &PlotSeries, columns: usize) -> Vec<Vec<(f64, f64)>> {
        self.reduced(&series.x, &series.y, columns)
    }

    /// Returns the polylines of what is drawn behind a series; none if nothing is.
    pub(crate) fn strokes_behind(&self, series: &PlotSeries, columns: usize) -> Vec<Vec<(f64, f64)>> {
        self.reduced(&series.x, &series.behind, columns)
    }

    ///
    /// Within each of `columns` pixel columns only the first, lowest, highest and last point are kept, so the result
    /// is bounded by the columns and still covers every pixel that the whole series would. A gap inside one column
    /// cannot be seen and is not kept.
    ///
    /// Source: M4 aggregation, Jugel et al., VLDB 2014, doi:10.14778/2732951.2732953.
    fn reduced(&self, x: &[f64], y: &[f64], columns: usize) -> Vec<Vec<(f64, f64)>> {
        struct Point {
            column: usize,
            at: (f64, f64),
            joined: bool,
        }
        let mut raw: Vec<(f64, f64)> = x.iter().copied().zip(y.iter().copied()).collect();
        raw.retain(|(x, _)| x.is_finite());
        raw.sort_by(|a, b| a.0.total_cmp(&b.0));

        let mut points: Vec<Point> = Vec::with_capacity(raw.len());
        let mut joined = false;
        for (x, y) in raw {
            let at = (self.x.fraction(x), self.y.fraction(y));
            if at.1.is_nan() {
                joined = false;
                continue;
            }
            let column = (at.0 * columns.saturating_sub(1) as f64).round() as usize;
            points.push(Point { column, at, joined });
            joined = true;
        }

        let mut strokes: Vec<Vec<(f64, f64)>> = Vec::new();
        for bucket in points.chunk_by(|a, b| a.column == b.column) {
            let by_height = |a: &usize, b: &usize| bucket[*a].at.1.total_cmp(&bucket[*b].at.1);
            let low = (0..bucket.len()).min_by(by_height).unwrap_or(0);
            let high = (0..bucket.len()).max_by(by_height).unwrap_or(0);
            let mut picks = vec![0, low, high, bucket.len() - 1];
            picks.sort_unstable();
            picks.dedup();
            let picks = picks.into_iter().map(|pick| bucket[pick].at);
            match strokes.last_mut() {
                Some(stroke) if bucket[0].joined => stroke.extend(picks),
                _ => strokes.push(picks.collect()),
            }
        }
        strokes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINEAR: Scales = Scales { x: Scale::Linear, y: Scale::Linear };
    const LOG: Scales = Scales { x: Scale::Linear, y: Scale::Log };

    fn series(x: &[f64], y: &[f64]) -> PlotSeries {
        PlotSeries { x: x.to_vec(), y: y.to_vec(), ..PlotSeries::default() }
    }

    #[test]
    fn every_extreme_survives_the_reduction() {
        let n = 100_000;
        let mut y = vec![0.5; n];
        (y[0], y[31_337], y[77_777]) = (0.4, 9.0, -3.0);
        let lone = series(&(0..n).map(|i| i as f64).collect::<Vec<_>>(), &y);
        let strokes = Chart::over(std::slice::from_ref(&lone), LINEAR).strokes(&lone, 80);
        let heights: Vec<f64> = strokes.iter().flatten().map(|at| at.1).collect();
        assert!(heights.len() <= 4 * 80 && strokes.len() == 1);
        assert!(heights.contains(&1.0) && heights.contains(&0.0));
    }

    #[test]
    fn gaps_split_the_line_and_are_counted() {
        let s = series(&[0.0, 1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, f64::NAN, f64::INFINITY, 1.0]);
        let chart = Chart::over(std::slice::from_ref(&s), LINEAR);
        let expected = [vec![(0.0, 0.0), (0.25, 1.0)], vec![(0.75, 1.0), (1.0, 0.0)]];
        assert_eq!(chart.strokes(&s, 9), expected);
        assert_eq!(chart.notes, ["infinite values drawn at the edge: 1", "NaN values left as gaps: 1"]);
    }

    #[test]
    fn points_are_drawn_in_order_of_x() {
        let s = series(&[2.0, 0.0, f64::NAN, 1.0], &[3.0, 1.0, 7.0, 2.0]);
        let chart = Chart::over(std::slice::from_ref(&s), LINEAR);
        assert_eq!(chart.strokes(&s, 3), [[(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)]]);
        assert_eq!(chart.notes, ["points without a finite x left out: 1"]);
    }

    #[test]
    fn nothing_to_draw_is_told_apart() {
        assert!(!Chart::over(&[series(&[0.0], &[f64::NAN])], LINEAR).drawable);
        assert!(!Chart::over(&[series(&[0.0], &[-1.0])], LOG).drawable);
        assert!(Chart::over(&[series(&[0.0], &[f64::INFINITY])], LOG).drawable);
    }
}
