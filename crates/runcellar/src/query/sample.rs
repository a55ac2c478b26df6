//! Fewer points of a series than there are, none of which hides a spike.
//!
//! The points are cut into buckets of about equal length, and of each bucket the smallest, the largest and the last
//! stay. Where a whole row group is smaller than a bucket, it is not read: its overview tells these three points. Groups
//! that share steps with others, that are cut by the window, or that have no overview are decoded.

use std::cmp::Ordering;
use std::collections::HashMap;

use runcellar_format::WriterId;
use runcellar_format::block::ValueKind;
use runcellar_format::overview::{GroupIdentity, GroupSummary, SummaryPoint};
use runcellar_format::value::Value;

use super::scan::{Rows, Scan, Seen};
use super::series::{self, Points, Series};
use super::values::{SeriesValues, compare};
use crate::Result;
use crate::ingest::overviews;

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

/// Points that follow each other: summed up, or as they are.
enum Stretch {
    Summed(Summed),
    Read(Vec<Point>),
}

/// What an overview says of a row group.
struct Summed {
    /// The group's place in the list of those that are seen.
    at: usize,
    count: usize,
    least: Point,
    most: Point,
    last: Point,
}

/// A stretch with what orders it among others.
struct Placed {
    first: (i64, i64),
    last: (i64, i64),
    writer: WriterId,
    stretch: Stretch,
}

impl Placed {
    fn count(&self) -> usize {
        match &self.stretch {
            Stretch::Summed(summed) => summed.count,
            Stretch::Read(points) => points.len(),
        }
    }
}

/// Reads at most `points` points of a series, [`POINTS_A_BUCKET`] at least.
pub(super) fn series(scan: &Scan<'_>, series: u32, points: usize) -> Result<Series> {
    let buckets = (points / POINTS_A_BUCKET).max(1);
    let groups = scan.groups()?;
    let kinds = scan.view.data.series.entries.get(series as usize).map_or(0, |entry| entry.kinds);
    // With fewer groups than buckets each has to be cut, and so read.
    // Of the past, parts of a group that a later rewind cut in two would be taken for each other.
    let is_now = scan.view.data.until.is_none();
    let known = if is_now && groups.len() > buckets && overviews::has_overview(kinds) {
        summaries(scan, series, &groups)?
    } else {
        HashMap::new()
    };
    if known.is_empty() {
        return Ok(of_series(series::all(scan, series)?, points));
    }
    let mut placed = Vec::with_capacity(groups.len());
    let mut unknown = Vec::new();
    for (at, seen) in groups.iter().enumerate() {
        match known.get(&overviews::identity(&seen.entry)).filter(|_| seen.whole) {
            Some((kind, summary)) => placed.push(summed(scan, at, *kind, summary)),
            None => unknown.push(at),
        }
    }
    read(scan, series, &groups, &unknown, &mut placed)?;
    scan.read_tails(|number| number == series, |rows| placed.extend(read_rows(scan, &rows)));
    let total: usize = placed.iter().map(Placed::count).sum();
    if total <= points {
        return series::all(scan, series);
    }
    // What is summed up and larger than a bucket, or shares its steps with others, is read after all.
    placed.sort_by_key(|stretch| (stretch.first, stretch.last));
    let mut cut = Vec::new();
    for cluster in clusters(&placed) {
        for stretch in cluster {
            if let Stretch::Summed(summed) = &stretch.stretch
                && (cluster.len() > 1 || summed.count * buckets > total)
            {
                cut.push(summed.at);
            }
        }
    }
    if !cut.is_empty() {
        placed.retain(|stretch| !matches!(&stretch.stretch, Stretch::Summed(summed) if cut.contains(&summed.at)));
        read(scan, series, &groups, &cut, &mut placed)?;
        placed.sort_by_key(|stretch| (stretch.first, stretch.last));
    }
    let mut all = vec![Bucket::default(); buckets];
    let mut position = 0;
    let clusters: Vec<usize> = clusters(&placed).map(<[Placed]>::len).collect();
    let mut placed = placed.into_iter();
    for len in clusters {
        let mut points: Vec<(WriterId, Point)> = Vec::new();
        for stretch in placed.by_ref().take(len) {
            match stretch.stretch {
                Stretch::Summed(summed) => {
                    let bucket = (position + summed.count / 2) * buckets / total;
                    if let Some(bucket) = all.get_mut(bucket) {
                        take_end(&mut bucket.least, &summed.least, Ordering::Less);
                        take_end(&mut bucket.most, &summed.most, Ordering::Greater);
                        bucket.last = Some(summed.last);
                    }
                    position += summed.count;
                }
                Stretch::Read(read) => points.extend(read.into_iter().map(|point| (stretch.writer, point))),
            }
        }
        if len > 1 {
            points.sort_by_key(|(writer, point)| (point.step, point.time, *writer));
        }
        for (_, point) in points {
            if let Some(bucket) = all.get_mut(position * buckets / total) {
                bucket.take(point);
            }
            position += 1;
        }
    }
    Ok(of_buckets(all, scan.ranks.are_several()))
}

/// Reads what overviews say of a series, by group.
fn summaries(
    scan: &Scan<'_>,
    series: u32,
    groups: &[Seen],
) -> Result<HashMap<GroupIdentity, (ValueKind, GroupSummary)>> {
    let mut all = HashMap::with_capacity(groups.len());
    for overview in overviews::of_series(scan.tx, scan.keyring, scan.view.data.object, series)? {
        let kind = overview.kind;
        all.extend(overview.groups.into_iter().map(|summary| (summary.group, (kind, summary))));
    }
    Ok(all)
}

fn summed(scan: &Scan<'_>, at: usize, kind: ValueKind, summary: &GroupSummary) -> Placed {
    let writer = summary.group.writer;
    let rank = scan.ranks.of_writer(writer);
    let point = |point: SummaryPoint| {
        let value = match kind {
            ValueKind::Int => Value::Int(point.value.cast_signed()),
            ValueKind::Bool => Value::Bool(point.value == 1),
            _ => Value::Float(f64::from_bits(point.value)),
        };
        Point { step: point.step, time: point.time, rank, value }
    };
    let count = usize::try_from(summary.count).unwrap_or(0);
    let (first, last) = (point(summary.first), point(summary.last));
    let (first_key, last_key) = ((first.step, first.time), (last.step, last.time));
    let (least, most) = (point(summary.least), point(summary.most));
    let stretch = Stretch::Summed(Summed { at, count, least, most, last });
    Placed { first: first_key, last: last_key, writer, stretch }
}

/// Decodes some of the groups.
fn read(scan: &Scan<'_>, series: u32, groups: &[Seen], picks: &[usize], placed: &mut Vec<Placed>) -> Result<()> {
    let picked: Vec<&Seen> = picks.iter().filter_map(|at| groups.get(*at)).collect();
    scan.read_series(&picked, series, |_, rows| placed.extend(read_rows(scan, rows)))
}

fn read_rows(scan: &Scan<'_>, rows: &Rows) -> Option<Placed> {
    let mut points = Points::default();
    points.add(rows);
    let series = points.sorted(&scan.ranks);
    let rank = scan.ranks.of_writer(rows.writer);
    let point = |index: usize| {
        let (step, time) = (*series.steps.get(index)?, *series.times.get(index)?);
        Some(Point { step, time, rank, value: series.values.get(index)? })
    };
    let points: Vec<Point> = (0..series.steps.len()).filter_map(point).collect();
    let ends = |point: &Point| (point.step, point.time);
    let (first, last) = (points.first().map(ends)?, points.last().map(ends)?);
    Some(Placed { first, last, writer: rows.writer, stretch: Stretch::Read(points) })
}

/// Cuts stretches, which are in order of their first points, where no later one begins before what went before ends.
fn clusters(placed: &[Placed]) -> impl Iterator<Item = &[Placed]> {
    let mut end: Option<((i64, i64), WriterId)> = None;
    let mut begins = vec![false; placed.len()];
    for (begins, stretch) in begins.iter_mut().zip(placed) {
        *begins = end
            .is_none_or(|(last, writer)| stretch.first > last || (stretch.first == last && stretch.writer == writer));
        let last = (stretch.last, stretch.writer);
        end = Some(match end {
            Some(end) if !*begins && end.0 > stretch.last => end,
            _ => last,
        });
    }
    let mut rest = placed;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let from = placed.len() - rest.len();
        let len = 1 + begins.iter().skip(from + 1).take_while(|begins| !**begins).count();
        let (cluster, after) = rest.split_at(len);
        rest = after;
        Some(cluster)
    })
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
