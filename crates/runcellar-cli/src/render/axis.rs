//! The axes of charts: where values lie on them, and which round ones are labelled.

use crate::render::number::trim_zeros;
use crate::render::time::rfc3339_us;

/// Microseconds of a second, a minute, an hour and a day.
const SECOND_US: i64 = 1_000_000;
const MINUTE_US: i64 = 60 * SECOND_US;
const HOUR_US: i64 = 60 * MINUTE_US;
const DAY_US: i64 = 24 * HOUR_US;
/// Steps between ticks on an axis of times from a second on; below it they are 1, 2 or 5 times a power of ten.
const TIME_STEPS_US: [i64; 24] = [
    SECOND_US,
    2 * SECOND_US,
    5 * SECOND_US,
    10 * SECOND_US,
    15 * SECOND_US,
    30 * SECOND_US,
    MINUTE_US,
    2 * MINUTE_US,
    5 * MINUTE_US,
    10 * MINUTE_US,
    15 * MINUTE_US,
    30 * MINUTE_US,
    HOUR_US,
    2 * HOUR_US,
    3 * HOUR_US,
    6 * HOUR_US,
    12 * HOUR_US,
    DAY_US,
    2 * DAY_US,
    7 * DAY_US,
    14 * DAY_US,
    30 * DAY_US,
    90 * DAY_US,
    365 * DAY_US,
];

/// How values are laid along an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Evenly.
    #[default]
    Linear,
    /// By their logarithm; what is not above zero has no place.
    Log,
    /// Evenly, as times: microseconds UTC since 1970.
    Time,
}

/// A range of values laid along one side of a chart.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    low: f64,
    high: f64,
    scale: Scale,
}

impl Axis {
    /// Returns the axis from the lowest to the highest finite value; a range too narrow to show is widened.
    pub(super) fn over(values: &[f64], scale: Scale) -> Axis {
        let finite = || values.iter().copied().filter(|v| v.is_finite());
        let (mut low, mut high) = (finite().fold(f64::MAX, f64::min), finite().fold(f64::MIN, f64::max));
        if low > high {
            (low, high) = (1.0, 1.0);
        }
        // Below this, ticks would differ by less than doubles can hold.
        let size = low.abs().max(high.abs());
        if high - low <= size * 1e-13 || size < 1e-290 {
            (low, high) = match scale {
                Scale::Log => ((low / 10.0).max(f64::MIN_POSITIVE), (high * 10.0).min(f64::MAX)),
                Scale::Time => (low - SECOND_US as f64, high + SECOND_US as f64),
                Scale::Linear if size < 1e-290 => (-1.0, 1.0),
                Scale::Linear => ((low - size / 2.0).max(f64::MIN), (high + size / 2.0).min(f64::MAX)),
            };
        }
        Axis { low, high, scale }
    }

    /// Returns where `value` lies, 0 at the low end and 1 at the high end; clipped, NaN if it has no place.
    pub(super) fn fraction(&self, value: f64) -> f64 {
        let log = self.scale == Scale::Log;
        if log && value <= 0.0 {
            return f64::NAN;
        }
        // Halved, as the difference of two finite doubles may be infinite.
        let place = |v: f64| if log { v.log10() } else { v / 2.0 };
        let (low, high) = (place(self.low), place(self.high));
        ((place(value) - low) / (high - low)).clamp(0.0, 1.0)
    }

    /// Returns about `count` round values as (fraction, label), rising, and at least two where doubles allow it.
    ///
    /// Steps are 1, 2 or 5 times a power of ten; on a log axis powers of ten, with 2 and 5 between if there is room; on
    /// an axis of times those of a clock and a calendar. Labels share a unit (`20k`, `3e-4`) on a linear axis and have
    /// their own on a log axis.
    pub(crate) fn ticks(&self, count: usize) -> Vec<(f64, String)> {
        let count = count.max(2);
        let enough = (count..count + 4).map(|count| self.ticks_about(count)).find(|ticks| ticks.len() >= 2);
        enough.unwrap_or_else(|| self.ticks_about(count))
    }

    fn ticks_about(&self, count: usize) -> Vec<(f64, String)> {
        if self.scale == Scale::Time {
            return self.time_ticks(count);
        }
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

    /// Returns round times of day or dates, with as much of each as tells it from its neighbours.
    fn time_ticks(&self, count: usize) -> Vec<(f64, String)> {
        let raw = (self.high - self.low) / count as f64;
        let fits = |step: &i64| *step as f64 >= raw * (1.0 - 1e-9);
        let decimals = (0..6).map(|power| 10_i64.pow(power)).flat_map(|unit| [unit, 2 * unit, 5 * unit]);
        let years = (1..).map(|power| 365 * DAY_US * 2_i64.pow(power)).take(16);
        let step = decimals.chain(TIME_STEPS_US).chain(years).find(fits).unwrap_or(i64::MAX);
        let (low, high) = (self.low as i64, self.high as i64);
        let first = low.div_euclid(step).saturating_mul(step);
        let times = (0..=count as i64 + 1).map(|index| first.saturating_add(index.saturating_mul(step)));
        let times: Vec<i64> = times.filter(|time| (low..=high).contains(time)).collect();
        let days = |time: i64| time.div_euclid(DAY_US);
        let one_day = days(low) == days(high);
        let label = |time: i64| {
            let text = rfc3339_us(time);
            match step {
                DAY_US.. => text[..10].to_owned(),
                MINUTE_US.. if one_day => text[11..16].to_owned(),
                MINUTE_US.. => format!("{} {}", &text[5..10], &text[11..16]),
                SECOND_US.. => text[11..19].to_owned(),
                _ => trim_zeros(&text[11..26]).to_owned(),
            }
        };
        times.into_iter().map(|time| (self.fraction(time as f64), label(time))).collect()
    }

    /// Returns the day, if an axis of times lies within one.
    pub(crate) fn day(&self) -> Option<String> {
        let (low, high) = (rfc3339_us(self.low as i64), rfc3339_us(self.high as i64));
        (self.scale == Scale::Time && low[..10] == high[..10]).then(|| low[..10].to_owned())
    }

    /// Returns powers of ten and perhaps their multiples; none if the axis is linear or holds too few of them.
    fn log_ticks(&self, count: usize) -> Option<(Vec<f64>, Option<f64>)> {
        if self.scale != Scale::Log {
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
    format!("{}{suffix}", trim_zeros(&format!("{:.decimals$}", value / unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(low: f64, high: f64, scale: Scale, count: usize) -> String {
        let ticks = Axis::over(&[low, high], scale).ticks(count);
        ticks.into_iter().map(|(_, label)| label).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn linear_ticks_are_round_and_share_a_unit() {
        assert_eq!(labels(0.0, 60_000.0, Scale::Linear, 4), "0 20k 40k 60k");
        assert_eq!(labels(0.013, 0.82, Scale::Linear, 5), "0.2 0.4 0.6 0.8");
        assert_eq!(labels(0.0, 3.5e-4, Scale::Linear, 4), "0 1e-4 2e-4 3e-4");
        assert_eq!(labels(-1.0, 1.0, Scale::Linear, 4), "-1 -0.5 0 0.5 1");
        assert_eq!(labels(0.1, 0.3, Scale::Linear, 2), "0.1 0.2 0.3");
        assert_eq!(labels(1e6, 1e6 + 0.5, Scale::Linear, 2), "1M 1.0000005M");
        assert_eq!(labels(f64::MIN, f64::MAX, Scale::Linear, 4), "-1e308 0 1e308");
        assert_eq!(labels(5.0, 5.0, Scale::Linear, 4), "4 6");
        assert_eq!(labels(0.0, 0.0, Scale::Linear, 4), "-1 -0.5 0 0.5 1");
    }

    #[test]
    fn log_ticks_are_powers_of_ten_where_there_are_enough() {
        assert_eq!(labels(1e-4, 1.0, Scale::Log, 5), "1e-4 0.001 0.01 0.1 1");
        assert_eq!(labels(1e-8, 1e6, Scale::Log, 5), "1e-8 1e-5 0.01 10 10k");
        assert_eq!(labels(0.5, 30.0, Scale::Log, 6), "0.5 1 2 5 10 20");
        assert_eq!(labels(2.1, 2.9, Scale::Log, 4), "2.2 2.4 2.6 2.8");
        assert_eq!(labels(1.0, 1.0, Scale::Log, 4), "0.1 1 10");
    }

    #[test]
    fn times_are_labelled_as_finely_as_their_ticks_lie() {
        let from = 1_769_853_600_000_000_i64;
        let within = |us: i64| labels(from as f64, (from + us) as f64, Scale::Time, 4);
        assert_eq!(within(2 * HOUR_US), "10:00 10:30 11:00 11:30 12:00");
        assert_eq!(within(90 * SECOND_US), "10:00:00 10:00:30 10:01:00 10:01:30");
        assert_eq!(within(1_000), "10:00:00 10:00:00.0005 10:00:00.001");
        assert_eq!(within(20 * HOUR_US), "01-31 12:00 01-31 18:00 02-01 00:00 02-01 06:00");
        assert_eq!(within(20 * DAY_US), "2026-02-05 2026-02-12 2026-02-19");
        assert_eq!(within(0), "09:59:59 09:59:59.5 10:00:00 10:00:00.5 10:00:01");
        for (low, high) in [(i64::MIN, i64::MAX), (i64::MIN, i64::MIN), (0, i64::MAX)] {
            assert!(Axis::over(&[low as f64, high as f64], Scale::Time).ticks(5).len() <= 7);
        }
        assert_eq!(Axis::over(&[from as f64], Scale::Time).day().as_deref(), Some("2026-01-31"));
        assert_eq!(Axis::over(&[from as f64], Scale::Linear).day(), None);
    }
}
