//! Which points are asked for: ranges of steps and of times, and a rank.

use std::ops::{Bound, RangeBounds};

/// Ranges of steps and of times that a point must lie in, and the rank that logged it; all of them by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First and last step; nothing if they fall.
    steps: (i64, i64),
    /// Earliest and latest time, microseconds UTC since 1970; nothing if they fall.
    times: (i64, i64),
    rank: Option<u32>,
}

/// How much of a stretch of points lies in a window, as far as its extents tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coverage {
    Nothing,
    Part,
    Whole,
}

impl Default for Window {
    fn default() -> Self {
        Window { steps: (i64::MIN, i64::MAX), times: (i64::MIN, i64::MAX), rank: None }
    }
}

impl Window {
    /// Leaves only points at these steps, as `a..b`, `a..=b`, `a..` or `..b`.
    #[must_use]
    pub fn steps(self, range: impl RangeBounds<i64>) -> Self {
        Window { steps: common(self.steps, ends(&range)), ..self }
    }

    /// Leaves only points of these times, microseconds UTC since 1970.
    #[must_use]
    pub fn times(self, range: impl RangeBounds<i64>) -> Self {
        Window { times: common(self.times, ends(&range)), ..self }
    }

    /// Leaves only what this rank of a distributed run logged.
    #[must_use]
    pub fn rank(self, rank: u32) -> Self {
        Window { rank: Some(rank), ..self }
    }

    pub(crate) fn has_rank(&self, rank: u32) -> bool {
        self.rank.is_none_or(|wanted| wanted == rank)
    }

    pub(crate) fn contains(&self, step: i64, time: i64) -> bool {
        (self.steps.0..=self.steps.1).contains(&step) && (self.times.0..=self.times.1).contains(&time)
    }

    /// Returns how much of a stretch with these first and last steps and times lies inside.
    pub(crate) fn coverage(&self, steps: (i64, i64), times: (i64, i64)) -> Coverage {
        let apart = |mine: (i64, i64), other: (i64, i64)| other.1 < mine.0 || other.0 > mine.1 || mine.0 > mine.1;
        let within = |mine: (i64, i64), other: (i64, i64)| mine.0 <= other.0 && other.1 <= mine.1;
        if apart(self.steps, steps) || apart(self.times, times) {
            Coverage::Nothing
        } else if within(self.steps, steps) && within(self.times, times) {
            Coverage::Whole
        } else {
            Coverage::Part
        }
    }
}

const NOTHING: (i64, i64) = (i64::MAX, i64::MIN);

fn ends(range: &impl RangeBounds<i64>) -> (i64, i64) {
    let first = match range.start_bound() {
        Bound::Included(first) => Some(*first),
        Bound::Excluded(before) => before.checked_add(1),
        Bound::Unbounded => Some(i64::MIN),
    };
    let last = match range.end_bound() {
        Bound::Included(last) => Some(*last),
        Bound::Excluded(after) => after.checked_sub(1),
        Bound::Unbounded => Some(i64::MAX),
    };
    first.zip(last).unwrap_or(NOTHING)
}

fn common(left: (i64, i64), right: (i64, i64)) -> (i64, i64) {
    (left.0.max(right.0), left.1.min(right.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_holds_what_its_ranges_hold_at_both_ends_of_the_integers() {
        let all = Window::default();
        assert!(all.contains(i64::MIN, i64::MAX) && all.contains(i64::MAX, i64::MIN));
        assert!(!all.steps(..i64::MAX).contains(i64::MAX, 0) && all.steps(..=i64::MAX).contains(i64::MAX, 0));
        let some = all.steps(3..5).times(10..);
        let held: Vec<i64> = (0..8).filter(|step| some.contains(*step, 10)).collect();
        assert_eq!(held, [3, 4]);
        assert!(!some.contains(3, 9));
        for empty in [all.steps(5..5), all.steps(..i64::MIN), all.steps((Bound::Excluded(i64::MAX), Bound::Unbounded))]
        {
            assert_eq!(empty.coverage((i64::MIN, i64::MAX), (0, 0)), Coverage::Nothing);
        }
    }

    #[test]
    fn coverage_is_told_by_extents() {
        let window = Window::default().steps(10..20).times(100..200);
        assert_eq!(window.coverage((10, 19), (100, 199)), Coverage::Whole);
        assert_eq!(window.coverage((10, 20), (100, 199)), Coverage::Part);
        assert_eq!(window.coverage((0, 50), (0, 500)), Coverage::Part);
        assert_eq!(window.coverage((0, 9), (100, 199)), Coverage::Nothing);
        assert_eq!(window.coverage((10, 19), (200, 300)), Coverage::Nothing);
    }
}
