//! Fewer points of a series than there are, none of which hides a spike.
//!
//! The points are cut into buckets of about equal length, and of each bucket the smallest, the largest and the last
//! stay. Where a whole row group is smaller than a bucket, it is not read: its overview tells these three points. Groups
//! that share steps with others, that are cut by the window, or that have no overview are decoded.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

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
    /// Takes in a stretch of a series that comes after all before it.
    fn take(&mut self, series: &Series, stretch: Range<usize>) {
        let point = |index: usize| {
            let rank = series.ranks.as_ref().map_or(0, |ranks| ranks[index]);
            let (step, time) = (series.steps[index], series.times[index]);
            series.values.get(index).map(|value| Point { step, time, rank, value })
        };
        if let Some(last) = stretch.clone().last().and_then(point) {
            self.last = Some(last);
        }
        if let Some((least, most)) = series.values.extremes(stretch) {
            point(least).iter().for_each(|least| take_end(&mut self.least, least, Ordering::Less));
            point(most).iter().for_each(|most| take_end(&mut self.most, most, Ordering::Greater));
        }
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
enum Stretch<'a> {
    Summed(Summed<'a>),
    Read(Points),
}

/// What an overview says of a row group.
struct Summed<'a> {
    /// The group's place in the list of those that are seen.
    at: usize,
    count: usize,
    kind: ValueKind,
    summary: &'a GroupSummary,
}

/// A stretch with what orders it among others.
struct Placed<'a> {
    first: (i64, i64),
    last: (i64, i64),
    writer: WriterId,
    stretch: Stretch<'a>,
}

impl Placed<'_> {
    fn count(&self) -> usize {
        match &self.stretch {
            Stretch::Summed(summed) => summed.count,
            Stretch::Read(points) => points.steps.len(),
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
    let drawn = is_now && groups.len() > buckets && overviews::has_overview(kinds);
    let overviews = if drawn { scan.overviews(series)? } else { Vec::new() };
    if overviews.is_empty() {
        return Ok(of_series(series::all(scan, series)?, points));
    }
    let mut known: HashMap<GroupIdentity, (ValueKind, &GroupSummary)> = HashMap::with_capacity(groups.len());
    for overview in &overviews {
        known.extend(overview.groups.iter().map(|summary| (summary.group, (overview.kind, summary))));
    }
    let mut placed = Vec::with_capacity(groups.len());
    let mut unknown = Vec::new();
    for (at, seen) in groups.iter().enumerate() {
        match known.get(&overviews::identity(&seen.entry)).filter(|_| seen.whole) {
            Some((kind, summary)) => placed.push(summed(at, *kind, summary)),
            None => unknown.push(at),
        }
    }
    read(scan, series, &groups, &unknown, &mut placed)?;
    scan.read_tails(|number| number == series, |rows| placed.extend(read_rows(&rows)));
    let total: usize = placed.iter().map(Placed::count).sum();
    if total <= points {
        return series::all(scan, series);
    }
    // What is summed up and larger than a bucket, or shares its steps with others, is read after all.
    placed.sort_by_key(|stretch| (stretch.first, stretch.last));
    let mut cut = BTreeSet::new();
    for cluster in clusters(&placed) {
        for stretch in cluster {
            if let Stretch::Summed(summed) = &stretch.stretch
                && (cluster.len() > 1 || summed.count * buckets > total)
            {
                cut.insert(summed.at);
            }
        }
    }
    if !cut.is_empty() {
        placed.retain(|stretch| !matches!(&stretch.stretch, Stretch::Summed(summed) if cut.contains(&summed.at)));
        read(scan, series, &groups, &cut.into_iter().collect::<Vec<_>>(), &mut placed)?;
        placed.sort_by_key(|stretch| (stretch.first, stretch.last));
    }
    let mut all = vec![Bucket::default(); buckets];
    let mut position = 0;
    let clusters: Vec<usize> = clusters(&placed).map(<[Placed]>::len).collect();
    let mut placed = placed.into_iter();
    for len in clusters {
        let mut read = Points::default();
        for stretch in placed.by_ref().take(len) {
            match stretch.stretch {
                Stretch::Summed(summed) => {
                    let bucket = (position + summed.count / 2) * buckets / total;
                    if let Some(bucket) = all.get_mut(bucket) {
                        let GroupSummary { least, most, last, .. } = summed.summary;
                        let rank = scan.ranks.of_writer(stretch.writer);
                        take_end(&mut bucket.least, &point(summed.kind, rank, least), Ordering::Less);
                        take_end(&mut bucket.most, &point(summed.kind, rank, most), Ordering::Greater);
                        bucket.last = Some(point(summed.kind, rank, last));
                    }
                    position += summed.count;
                }
                Stretch::Read(points) => read.append(points),
            }
        }
        let read = read.sorted(&scan.ranks);
        fill(&mut all, &read, position, total);
        position += read.steps.len();
    }
    Ok(of_buckets(all, scan.ranks.are_several()))
}

fn summed(at: usize, kind: ValueKind, summary: &GroupSummary) -> Placed<'_> {
    let (first, last) = ((summary.first.step, summary.first.time), (summary.last.step, summary.last.time));
    let count = usize::try_from(summary.count).unwrap_or(0);
    let stretch = Stretch::Summed(Summed { at, count, kind, summary });
    Placed { first, last, writer: summary.group.writer, stretch }
}

fn point(kind: ValueKind, rank: u32, point: &SummaryPoint) -> Point {
    let value = match kind {
        ValueKind::Int => Value::Int(point.value.cast_signed()),
        ValueKind::Bool => Value::Bool(point.value == 1),
        _ => Value::Float(f64::from_bits(point.value)),
    };
    Point { step: point.step, time: point.time, rank, value }
}

/// Decodes some of the groups.
fn read(scan: &Scan<'_>, series: u32, groups: &[Seen], picks: &[usize], placed: &mut Vec<Placed<'_>>) -> Result<()> {
    let picked: Vec<&Seen> = picks.iter().filter_map(|at| groups.get(*at)).collect();
    scan.read_series(&picked, series, |_, rows| placed.extend(read_rows(rows)))
}

fn read_rows(rows: &Rows) -> Option<Placed<'static>> {
    let mut points = Points::default();
    points.add(rows);
    let keys = || points.steps.iter().copied().zip(points.times.iter().copied());
    let (first, last) = (keys().min()?, keys().max()?);
    Some(Placed { first, last, writer: rows.writer, stretch: Stretch::Read(points) })
}

/// Cuts stretches, which are in order of their first points, where no later one begins before what went before ends.
fn clusters<'a, 'b>(placed: &'a [Placed<'b>]) -> impl Iterator<Item = &'a [Placed<'b>]> {
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
    fill(&mut buckets, &series, 0, total);
    of_buckets(buckets, series.ranks.is_some())
}

/// Puts points, the first of which is the `from`-th of `total`, into the buckets that they belong to.
fn fill(buckets: &mut [Bucket], series: &Series, from: usize, total: usize) {
    let count = buckets.len();
    let to = from + series.steps.len();
    // The `n`-th point belongs to bucket n * count / total, so this is where the ones after it begin.
    let begin = |bucket: usize| (bucket * total).div_ceil(count).clamp(from, to) - from;
    let first = (from * count).checked_div(total).unwrap_or(0);
    for (at, bucket) in buckets.iter_mut().enumerate().skip(first) {
        let stretch = begin(at)..begin(at + 1);
        if stretch.is_empty() {
            break;
        }
        bucket.take(series, stretch);
    }
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
