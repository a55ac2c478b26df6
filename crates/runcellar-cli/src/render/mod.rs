//! Text and pictures for people: tables, numbers, times and line charts.
//!
//! Values and names come in, a `String` goes out; nothing here prints, reads a clock or asks for the size of the
//! terminal. Names come from users and from imported files, so every renderer passes them through [`visible`] or
//! an escape of its own before they reach an output. This module holds what the renderers share: safe text, styles
//! and the geometry of charts.

pub(crate) mod number;
pub(crate) mod plot;
pub(crate) mod svg;
pub(crate) mod table;
pub(crate) mod time;

use unicode_width::UnicodeWidthStr as _;

/// Characters looked at for each column of width in [`shorten`]; the longest emoji sequence has 10 for 2 columns.
const CHARS_PER_COLUMN_MAX: usize = 8;

/// How a piece of text looks on a terminal with colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Style {
    /// As the terminal shows it.
    #[default]
    Plain,
    /// Less important than its surroundings.
    Dim,
    /// More important than its surroundings.
    Bold,
    /// Good, finished.
    Green,
    /// Bad, failed.
    Red,
    /// Wants attention.
    Yellow,
    /// Of note, such as an id.
    Cyan,
}

impl Style {
    /// Returns `text` in this style; unchanged when plain or without `color`.
    pub(crate) fn paint(self, text: &str, color: bool) -> String {
        let code = match self {
            Style::Plain => "",
            Style::Dim => "2",
            Style::Bold => "1",
            Style::Green => "32",
            Style::Red => "31",
            Style::Yellow => "33",
            Style::Cyan => "36",
        };
        if color { sgr(code, text) } else { text.to_owned() }
    }
}

/// Returns `text` between an SGR escape with `code` and its reset; unchanged when either is empty.
fn sgr(code: &str, text: &str) -> String {
    if code.is_empty() || text.is_empty() { text.to_owned() } else { format!("\x1b[{code}m{text}\x1b[0m") }
}

/// True for characters that act on a display instead of showing something: controls, line and paragraph
/// separators, and the marks that reorder or hide text. Joiners stay, as scripts and emoji need them.
pub(crate) fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}')
}

/// Returns `text` on one line with nothing in it that can drive a terminal.
///
/// A newline becomes U+21B5, another ASCII control its picture (ESC: U+241B), any other unprintable U+FFFD.
pub(crate) fn visible(text: &str) -> String {
    let show = |c: char| match c {
        '\n' => '\u{21b5}',
        '\0'..='\x1f' => char::from_u32(0x2400 + c as u32).unwrap_or(char::REPLACEMENT_CHARACTER),
        '\x7f' => '\u{2421}',
        _ if is_unprintable(c) => char::REPLACEMENT_CHARACTER,
        _ => c,
    };
    text.chars().map(show).collect()
}

/// Returns `text` cut to at most `width` columns of a terminal, ending in U+2026 if anything was cut.
pub(crate) fn shorten(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    if width == 0 {
        return String::new();
    }
    // Prefixes are measured whole, as the width of a sequence is not the sum of its characters' widths.
    let ends = text.char_indices().take(width.saturating_mul(CHARS_PER_COLUMN_MAX)).map(|(at, c)| at + c.len_utf8());
    let end = ends.take_while(|&end| text[..end].width() < width).last().unwrap_or(0);
    let kept = text[..end].trim_end_matches([' ', '\u{200d}']);
    format!("{kept}\u{2026}")
}

/// Cuts a text into lines of at most `width` columns at its spaces; a longer word has a line of its own.
pub(crate) fn wrapped(text: &str, width: Option<usize>) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if width.is_none_or(|width| line.width() + 1 + word.width() <= width) {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

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
    /// Returns axes that hold every finite point of `series`, with a logarithmic y axis if `log_y`.
    pub(crate) fn over(series: &[PlotSeries], log_y: bool) -> Chart {
        let (mut xs, mut ys) = (Vec::new(), Vec::new());
        let (mut infinite, mut nan, mut below, mut astray) = (0_u64, 0_u64, 0_u64, 0_u64);
        for (&x, &y) in series.iter().flat_map(|s| s.x.iter().zip(&s.y)) {
            if !x.is_finite() {
                astray += 1;
            } else if y.is_nan() {
                nan += 1;
            } else if log_y && y <= 0.0 {
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
        let notes = counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{what}: {count}"));
        Chart { x: Axis::over(&xs, false), y: Axis::over(&ys, log_y), drawable: !xs.is_empty(), notes: notes.collect() }
    }

    /// Returns the polylines of one series as (left to right, bottom to top) in 0..=1, split at gaps.
    ///
    /// Within each of `columns` pixel columns only the first, lowest, highest and last point are kept, so the result
    /// is bounded by the columns and still covers every pixel that the whole series would. A gap inside one column
    /// cannot be seen and is not kept.
    ///
    /// Source: M4 aggregation, Jugel et al., VLDB 2014, doi:10.14778/2732951.2732953.
    pub(crate) fn strokes(&self, series: &PlotSeries, columns: usize) -> Vec<Vec<(f64, f64)>> {
        struct Point {
            column: usize,
            at: (f64, f64),
            joined: bool,
        }
        let mut raw: Vec<(f64, f64)> = series.x.iter().copied().zip(series.y.iter().copied()).collect();
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

/// A range of values laid along one side of a chart.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    low: f64,
    high: f64,
    log: bool,
}

impl Axis {
    /// Returns the axis from the lowest to the highest finite value; a range too narrow to show is widened.
    fn over(values: &[f64], log: bool) -> Axis {
        let finite = || values.iter().copied().filter(|v| v.is_finite());
        let (mut low, mut high) = (finite().fold(f64::MAX, f64::min), finite().fold(f64::MIN, f64::max));
        if low > high {
            (low, high) = (1.0, 1.0);
        }
        // Below this, ticks would differ by less than doubles can hold.
        let size = low.abs().max(high.abs());
        if high - low <= size * 1e-13 || size < 1e-290 {
            (low, high) = match log {
                true => ((low / 10.0).max(f64::MIN_POSITIVE), (high * 10.0).min(f64::MAX)),
                false if size < 1e-290 => (-1.0, 1.0),
                false => ((low - size / 2.0).max(f64::MIN), (high + size / 2.0).min(f64::MAX)),
            };
        }
        Axis { low, high, log }
    }

    /// Returns where `value` lies, 0 at the low end and 1 at the high end; clipped, NaN if it has no place.
    fn fraction(&self, value: f64) -> f64 {
        if self.log && value <= 0.0 {
            return f64::NAN;
        }
        // Halved, as the difference of two finite doubles may be infinite.
        let place = |v: f64| if self.log { v.log10() } else { v / 2.0 };
        let (low, high) = (place(self.low), place(self.high));
        ((place(value) - low) / (high - low)).clamp(0.0, 1.0)
    }

    /// Returns about `count` round values as (fraction, label), rising.
    ///
    /// Steps are 1, 2 or 5 times a power of ten; on a log axis powers of ten, with 2 and 5 between if there is room.
    /// Labels share a unit (`20k`, `3e-4`) on a linear axis and have their own on a log axis.
    pub(crate) fn ticks(&self, count: usize) -> Vec<(f64, String)> {
        let count = count.max(2);
        let (values, step) = self.log_ticks(count).unwrap_or_else(|| self.linear_ticks(count));
        let largest = values.iter().fold(0.0_f64, |largest, v| largest.max(v.abs()));
        let label = |v: f64| match step {
            Some(step) => tick_label(v, step, largest),
            None => tick_label(v, v, v),
        };
        values.iter().map(|&v| (self.fraction(v), label(v))).collect()
    }

    /// Returns values on the 1-2-5 grid and the step between them.
    fn linear_ticks(&self, count: usize) -> (Vec<f64>, Option<f64>) {
        let raw = (self.high / 2.0 - self.low / 2.0) * (2.0 / count as f64);
        let unit = 10_f64.powi(exponent(raw));
        let step = unit * [1.0, 2.0, 5.0].into_iter().find(|m| m * unit >= raw * (1.0 - 1e-9)).unwrap_or(10.0);
        // A tick that rounding has put just outside the range still counts as on its edge.
        let first = (self.low / step - 1e-9).ceil();
        let values = (0..=count).map(|index| (first + index as f64) * step);
        (values.take_while(|v| v.is_finite() && *v <= self.high + step * 1e-9).collect(), Some(step))
    }

    /// Returns powers of ten and perhaps their multiples; none if the axis is linear or holds too few of them.
    fn log_ticks(&self, count: usize) -> Option<(Vec<f64>, Option<f64>)> {
        if !self.log {
            return None;
        }
        let within = |v: &f64| *v >= self.low * (1.0 - 1e-9) && *v <= self.high * (1.0 + 1e-9);
        let grid = |multiples: &[f64]| -> Vec<f64> {
            let powers = (exponent(self.low)..=exponent(self.high)).map(|e| 10_f64.powi(e));
            powers.flat_map(|power| multiples.iter().map(move |m| m * power)).filter(within).collect()
        };
        let (fine, powers) = (grid(&[1.0, 2.0, 5.0]), grid(&[1.0]));
        match (fine.len(), powers.len()) {
            (3.., _) if fine.len() <= count => Some((fine, None)),
            (_, 2..) => {
                let stride = powers.len().div_ceil(count);
                Some((powers.into_iter().step_by(stride).collect(), None))
            }
            _ => None,
        }
    }
}

/// Returns the power of ten of the first digit of `value`, which is finite; 0.99999999 counts as 1.
fn exponent(value: f64) -> i32 {
    let text = format!("{value:.6e}");
    text.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0)
}

/// Returns `value` in the unit that suits `largest`, with the decimals that `step` needs.
fn tick_label(value: f64, step: f64, largest: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let (power, suffix) = match exponent(largest) {
        e if !(-3..15).contains(&e) => (e, format!("e{e}")),
        ..=3 => (0, String::new()),
        4 | 5 => (3, "k".to_owned()),
        6..=8 => (6, "M".to_owned()),
        9..=11 => (9, "G".to_owned()),
        _ => (12, "T".to_owned()),
    };
    let unit = 10_f64.powi(power);
    let decimals = (-exponent(step / unit)).clamp(0, 17) as usize;
    format!("{}{suffix}", number::trim_zeros(&format!("{:.decimals$}", value / unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(x: &[f64], y: &[f64]) -> PlotSeries {
        PlotSeries { name: String::new(), x: x.to_vec(), y: y.to_vec() }
    }

    fn labels(low: f64, high: f64, log: bool, count: usize) -> String {
        let ticks = Axis::over(&[low, high], log).ticks(count);
        ticks.into_iter().map(|(_, label)| label).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn text_cannot_drive_the_terminal() {
        assert_eq!(visible("a\x1b[31mb\nc\td\x7f"), "a\u{241b}[31mb\u{21b5}c\u{2409}d\u{2421}");
        assert_eq!(visible("\u{9b}2J \u{202e}abc\u{feff}"), "\u{fffd}2J \u{fffd}abc\u{fffd}");
        assert_eq!(visible("e\u{301} \u{1f469}\u{200d}\u{1f4bb}"), "e\u{301} \u{1f469}\u{200d}\u{1f4bb}");
    }

    #[test]
    fn shortening_counts_columns_not_characters() {
        assert_eq!(shorten("abc", 3), "abc");
        assert_eq!(shorten("abcd", 3), "ab\u{2026}");
        assert_eq!(shorten("ab cd", 4), "ab\u{2026}");
        assert_eq!(shorten("\u{5b66}\u{7fd2}\u{7387}", 4), "\u{5b66}\u{2026}");
        assert_eq!(shorten("\u{1f469}\u{200d}\u{1f4bb}xyz", 3), "\u{1f469}\u{200d}\u{1f4bb}\u{2026}");
        assert_eq!(shorten("\u{1f469}\u{200d}\u{1f4bb}\u{200d}xyz", 3), "\u{1f469}\u{200d}\u{1f4bb}\u{2026}");
        assert_eq!(shorten("cafe\u{301}s!", 5), "cafe\u{301}\u{2026}");
        assert_eq!(shorten("abc", 1), "\u{2026}");
        assert_eq!(shorten("abc", 0), "");
    }

    #[test]
    fn wrapping_breaks_at_spaces_only() {
        assert_eq!(wrapped("a bc def", Some(4)), ["a bc", "def"]);
        assert_eq!(wrapped("a-long-path b", Some(4)), ["a-long-path", "b"]);
        assert_eq!(wrapped("a bc def", None), ["a bc def"]);
        assert_eq!(wrapped("", Some(4)), [""]);
    }

    #[test]
    fn linear_ticks_are_round_and_share_a_unit() {
        assert_eq!(labels(0.0, 60_000.0, false, 4), "0 20k 40k 60k");
        assert_eq!(labels(0.013, 0.82, false, 5), "0.2 0.4 0.6 0.8");
        assert_eq!(labels(0.0, 3.5e-4, false, 4), "0 1e-4 2e-4 3e-4");
        assert_eq!(labels(-1.0, 1.0, false, 4), "-1 -0.5 0 0.5 1");
        assert_eq!(labels(0.1, 0.3, false, 2), "0.1 0.2 0.3");
        assert_eq!(labels(1e6, 1e6 + 0.5, false, 2), "1M 1.0000005M");
        assert_eq!(labels(f64::MIN, f64::MAX, false, 4), "-1e308 0 1e308");
        assert_eq!(labels(5.0, 5.0, false, 4), "4 6");
        assert_eq!(labels(0.0, 0.0, false, 4), "-1 -0.5 0 0.5 1");
    }

    #[test]
    fn log_ticks_are_powers_of_ten_where_there_are_enough() {
        assert_eq!(labels(1e-4, 1.0, true, 5), "1e-4 0.001 0.01 0.1 1");
        assert_eq!(labels(1e-8, 1e6, true, 5), "1e-8 1e-5 0.01 10 10k");
        assert_eq!(labels(0.5, 30.0, true, 6), "0.5 1 2 5 10 20");
        assert_eq!(labels(2.1, 2.9, true, 4), "2.2 2.4 2.6 2.8");
        assert_eq!(labels(1.0, 1.0, true, 4), "0.1 1 10");
    }

    #[test]
    fn every_extreme_survives_the_reduction() {
        let n = 100_000;
        let mut y = vec![0.5; n];
        (y[0], y[31_337], y[77_777]) = (0.4, 9.0, -3.0);
        let lone = series(&(0..n).map(|i| i as f64).collect::<Vec<_>>(), &y);
        let strokes = Chart::over(std::slice::from_ref(&lone), false).strokes(&lone, 80);
        let heights: Vec<f64> = strokes.iter().flatten().map(|at| at.1).collect();
        assert!(heights.len() <= 4 * 80 && strokes.len() == 1);
        assert!(heights.contains(&1.0) && heights.contains(&0.0));
    }

    #[test]
    fn gaps_split_the_line_and_are_counted() {
        let s = series(&[0.0, 1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, f64::NAN, f64::INFINITY, 1.0]);
        let chart = Chart::over(std::slice::from_ref(&s), false);
        let expected = [vec![(0.0, 0.0), (0.25, 1.0)], vec![(0.75, 1.0), (1.0, 0.0)]];
        assert_eq!(chart.strokes(&s, 9), expected);
        assert_eq!(chart.notes, ["infinite values drawn at the edge: 1", "NaN values left as gaps: 1"]);
    }

    #[test]
    fn points_are_drawn_in_order_of_x() {
        let s = series(&[2.0, 0.0, f64::NAN, 1.0], &[3.0, 1.0, 7.0, 2.0]);
        let chart = Chart::over(std::slice::from_ref(&s), false);
        assert_eq!(chart.strokes(&s, 3), [[(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)]]);
        assert_eq!(chart.notes, ["points without a finite x left out: 1"]);
    }

    #[test]
    fn nothing_to_draw_is_told_apart() {
        assert!(!Chart::over(&[series(&[0.0], &[f64::NAN])], false).drawable);
        assert!(!Chart::over(&[series(&[0.0], &[-1.0])], true).drawable);
        assert!(Chart::over(&[series(&[0.0], &[f64::INFINITY])], true).drawable);
    }
}
