//! Fewer points of a series than there are, none of which hides a spike.

use std::cmp::Ordering;

use runcellar_format::value::Value;

use super::scan::Scan;
use super::series::{self, Series};
use super::values::{SeriesValues, compare};
use crate::Result;

/// Points that stay of a bucket: the smallest, the largest, the last.
const POINTS_A_BUCKET: usize = 3;

/// One point.
#[derive(Debug, Clone, PartialEq)]
struct Point {
    step: i64,
    time: i64,
    rank: u32,
    value: Value,
}

/// What stays of a stretch of points.
#[derive(Debug, Clone, Default)]
struct Bucket {
    least: Option<Point>,
    most: Option<Point>,
    last: Option<Point>,
}

impl Bucket {
    /// Takes in a point that comes after all before it.
    fn take(&mut self, point: Point) {
        take_end(&mut self.least, &point, Ordering::Less);
        take_end(&mut self.most, &point, Ordering::Greater);
        self.last = Some(point);
    }

    /// Returns what stays, in order, each point once.
    fn points(self) -> Vec<Point> {
        let mut all: Vec<Point> = [self.least, self.most, self.last].into_iter().flatten().collect();
        all.sort_by_key(|point| (point.step, point.time));
        all.dedup();
        all
    }
}

/// Puts a point in the place of one that it is beyond; of equal ones the first stays.
fn take_end(end: &mut Option<Point>, point: &Point, beyond: Ordering) {
    let takes_it = match end {
        Some(end) => compare(&point.value, &end.value) == Some(beyond),
        None => compare(&point.value, &point.value).is_some(),
    };
    if takes_it {
        *end = Some(point.clone());
    }
}

/// Reads at most `points` points of a series, [`POINTS_A_BUCKET`] at least.
pub(super) fn series(scan: &Scan<'_>, series: u32, points: usize) -> Result<Series> {
    let all = series::all(scan, series)?;
    Ok(of_series(all, points))
}

/// Leaves at most `points` points of a series, [`POINTS_A_BUCKET`] at least.
pub(super) fn of_series(series: Series, points: usize) -> Series {
    let total = series.steps.len();
    if total <= points {
        return series;
    }
    let mut buckets = vec![Bucket::default(); (points / POINTS_A_BUCKET).max(1)];
    let count = buckets.len();
    for (index, (step, time)) in series.steps.iter().zip(&series.times).enumerate() {
        let Some(value) = series.values.get(index) else { break };
        let rank = series.ranks.as_ref().map_or(0, |ranks| ranks[index]);
        if let Some(bucket) = buckets.get_mut(index * count / total) {
            bucket.take(Point { step: *step, time: *time, rank, value });
        }
    }
    of_buckets(buckets, series.ranks.is_some())
}

fn of_buckets(buckets: Vec<Bucket>, ranked: bool) -> Series {
    let points: Vec<Point> = buckets.into_iter().flat_map(Bucket::points).collect();
    Series {
        steps: points.iter().map(|point| point.step).collect(),
        times: points.iter().map(|point| point.time).collect(),
        ranks: ranked.then(|| points.iter().map(|point| point.rank).collect()),
        values: SeriesValues::Mixed(points.into_iter().map(|point| point.value).collect()).narrowed(),
        sampled: true,
    }
}
