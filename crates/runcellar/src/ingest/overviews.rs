//! Overviews: for each series and 64 places of row groups, what is known of it in each group, kept for charts.
//!
//! They are written when the places are filled, beside ingest and not within it: reading the groups takes a while, and a
//! chart does without an overview that is not there yet. One that speaks of groups which were joined since is right
//! about all others, as each group is named by what it holds.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};

use runcellar_format::block::{Column, GroupMain, Presence, ValueKind, Values};
use runcellar_format::overview::{GroupIdentity, GroupSummary, OVERVIEW_GROUPS, Overview, SummaryPoint};
use runcellar_format::record::{GroupEntry, RunState};
use runcellar_format::seal::{Kind, OwnerKey};
use runcellar_format::{ObjectId, WorkspaceId, WriterId, block};

use super::data::RunData;
use super::{groups, store};
use crate::db::{ObjectRow, ReadTx, damaged_in_place};
use crate::keys::Keyring;
use crate::workspace::Writing;
use crate::{Error, Result};

/// Groups that a series must have points in for an overview of it: with fewer, reading them is as fast.
const GROUPS_MIN: usize = 8;
/// Series of one page of places that have overviews, the first ones: it bounds memory, some 9 MiB.
const SERIES_MAX: usize = 1024;

/// Returns where the overview of a series over a page of places stands: those of one series follow each other.
fn position(series: u32, page: u32) -> u64 {
    u64::from(series) << 32 | u64::from(page)
}

/// Returns the series and the page of places of the overview at a position.
pub(crate) fn place_of(position: u64) -> (u32, u32) {
    let half = |half: u64| u32::try_from(half & 0xffff_ffff).unwrap_or(0);
    (half(position >> 32), half(position))
}

/// Returns what tells a group by what it holds.
pub(crate) fn identity(entry: &GroupEntry) -> GroupIdentity {
    GroupIdentity {
        writer: WriterId(entry.writer),
        first_sequence: entry.first_sequence,
        last_sequence: entry.last_sequence,
        rows: entry.rows,
    }
}

/// Returns the sealed overviews of a series, by page of places.
pub(crate) fn rows_of_series(tx: &ReadTx<'_>, run: ObjectId, series: u32) -> Result<Vec<ObjectRow>> {
    tx.objects_within(Kind::Overview, run, position(series, 0), position(series, u32::MAX))
}

/// Opens one overview under the key of its run.
pub(crate) fn open(key: &OwnerKey, workspace: WorkspaceId, run: &str, row: &ObjectRow) -> Result<Overview> {
    let noun = || format!("overview of run {run}");
    let body = key.open(&row.place(workspace), &row.body).map_err(|cause| damaged_in_place(noun(), cause))?;
    Overview::decode(&body).map_err(|cause| Error::format(noun(), cause))
}

/// Writes overviews that the run of a writer lacks, of so many pages of places at most. A chart does without, so nothing
/// is lost if it fails.
pub(crate) fn update_of_writer(writing: &Writing<'_>, writer: WriterId, pages_max: usize) -> Result<()> {
    match writing.read(|tx, keyring| store::writer_row(tx, keyring, writer))? {
        Some(row) => update(writing, ObjectId(row.run), pages_max),
        None => Ok(()),
    }
}

/// Writes overviews that a run lacks, one page of places a transaction.
pub(crate) fn update(writing: &Writing<'_>, run: ObjectId, pages_max: usize) -> Result<()> {
    let lacking = writing.read(|tx, keyring| {
        let data = store::load(tx, keyring, run)?;
        let known = tx.positions(Kind::Overview, run)?;
        let known: HashSet<u32> = known.into_iter().map(|at| place_of(at).1).collect();
        let filled = data.head.next_group / OVERVIEW_GROUPS;
        Ok((0..filled).filter(|page| !known.contains(page)).take(pages_max).collect::<Vec<u32>>())
    })?;
    for page in lacking {
        let overviews = writing.read(|tx, keyring| of_page(tx, keyring, run, page))?;
        if overviews.is_empty() {
            continue;
        }
        writing.write(None, |tx| {
            let mut data = store::load(tx, tx.keyring, run)?;
            for (series, body) in &overviews {
                data.put_page(tx, Kind::Overview, position(*series, page), body)?;
            }
            data.store_head(tx)
        })?;
    }
    Ok(())
}

/// Finds the overviews that a run should have and does not, as series and page of places. Which there were is written
/// nowhere, so this is for a run whose rows do not add up. It reads the main part of each group.
pub(crate) fn missing(
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    data: &RunData,
    entries: &[GroupEntry],
) -> Result<Vec<(u32, u32)>> {
    let known: HashSet<(u32, u32)> = tx.positions(Kind::Overview, data.object)?.into_iter().map(place_of).collect();
    // Those of a run that goes on may not be written yet, but those of one page are written together.
    let pages: HashSet<u32> = known.iter().map(|(_, page)| *page).collect();
    let is_written = |page: u32| match data.record.state {
        RunState::Running => pages.contains(&page),
        _ => page < data.head.next_group / OVERVIEW_GROUPS,
    };
    let mut counts: BTreeMap<u32, BTreeMap<u32, (ValueKind, usize)>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| is_written(entry.place / OVERVIEW_GROUPS)) {
        // Groups that do not open are reported for themselves.
        let Ok(main) = groups::open_part(tx, keyring, data, groups::group_key(data, entry), 0) else { continue };
        let Ok(main) = GroupMain::decode(&main) else { continue };
        let of_page = counts.entry(entry.place / OVERVIEW_GROUPS).or_default();
        for columns in main.columns.chunk_by(|left, right| left.series == right.series) {
            let [column] = columns else { continue };
            let is_one_more = of_page.len() >= SERIES_MAX && !of_page.contains_key(&column.series);
            if has_overview(1 << (column.kind as u8 - 1)) && !is_one_more {
                let (kind, count) = of_page.entry(column.series).or_insert((column.kind, 0));
                *count += usize::from(*kind == column.kind);
            }
        }
    }
    let missing = |(page, of_page): (u32, BTreeMap<u32, (ValueKind, usize)>)| {
        let series = of_page.into_iter().filter(|(_, (_, count))| *count >= GROUPS_MIN);
        series.map(move |(series, _)| (series, page)).collect::<Vec<_>>()
    };
    Ok(counts.into_iter().flat_map(missing).filter(|place| !known.contains(place)).collect())
}

/// Makes the overviews of a page of places: number of the series, and body.
fn of_page(tx: &ReadTx<'_>, keyring: &Keyring, run: ObjectId, page: u32) -> Result<Vec<(u32, Vec<u8>)>> {
    let data = store::load(tx, keyring, run)?;
    let mut all: BTreeMap<u32, Overview> = BTreeMap::new();
    for entry in data.groups(tx, keyring)?.iter().filter(|entry| entry.place / OVERVIEW_GROUPS == page) {
        let group = groups::read_group(tx, keyring, &data, groups::group_key(&data, entry))?;
        for columns in group.columns.chunk_by(|left, right| left.series == right.series) {
            let [column] = columns else { continue };
            let Some(summary) = summary_of(identity(entry), column, &group.steps, &group.times) else { continue };
            let kind = column.values.kind();
            if all.len() >= SERIES_MAX && !all.contains_key(&column.series) {
                continue;
            }
            let overview = all.entry(column.series).or_insert(Overview { kind, groups: Vec::new() });
            if overview.kind == kind {
                overview.groups.push(summary);
            }
        }
    }
    let named = |cause| Error::format(format_args!("overview of run {run}"), cause);
    let kept = all.into_iter().filter(|(_, overview)| overview.groups.len() >= GROUPS_MIN);
    kept.map(|(series, overview)| Ok((series, overview.encode().map_err(named)?))).collect()
}

/// Sums a column of numbers up; none for other kinds.
fn summary_of(group: GroupIdentity, column: &Column, steps: &[i64], times: &[i64]) -> Option<GroupSummary> {
    match &column.values {
        Values::Float(all) => {
            let order = |left: &f64, right: &f64| {
                if left.is_nan() || right.is_nan() { None } else { Some(left.total_cmp(right)) }
            };
            summary(group, &column.presence, steps, times, all, order, |value| value.to_bits())
        }
        Values::Int(all) => {
            let order = |left: &i64, right: &i64| Some(left.cmp(right));
            summary(group, &column.presence, steps, times, all, order, |value| value.cast_unsigned())
        }
        Values::Bool(all) => {
            let order = |left: &bool, right: &bool| Some(left.cmp(right));
            summary(group, &column.presence, steps, times, all, order, |value| (*value).into())
        }
        Values::Text(_) | Values::Histogram(_) | Values::Media(_) => None,
    }
}

fn summary<T>(
    group: GroupIdentity,
    presence: &Presence,
    steps: &[i64],
    times: &[i64],
    values: &[T],
    order: impl Fn(&T, &T) -> Option<Ordering>,
    bits: impl Fn(&T) -> u64,
) -> Option<GroupSummary> {
    let row = |index: usize| presence.rows().map_or(Some(index), |rows| rows.get(index).map(|row| *row as usize));
    let key = |index: usize| row(index).and_then(|row| Some((*steps.get(row)?, *times.get(row)?)));
    let mut places: Vec<((i64, i64), usize)> =
        (0..values.len()).filter_map(|index| Some((key(index)?, index))).collect();
    if !places.is_sorted() {
        places.sort_unstable();
    }
    let (mut least, mut most): (Option<usize>, Option<usize>) = (None, None);
    for (at, (_, index)) in places.iter().enumerate() {
        let value = &values[*index];
        if order(value, value).is_none() {
            continue;
        }
        let beats = |end: Option<usize>, wanted: Ordering| {
            end.is_none_or(|end| order(value, &values[places[end].1]) == Some(wanted))
        };
        if beats(least, Ordering::Less) {
            least = Some(at);
        }
        if beats(most, Ordering::Greater) {
            most = Some(at);
        }
    }
    let last = places.len().checked_sub(1)?;
    let point = |at: usize| {
        let ((step, time), index) = places[at];
        SummaryPoint { step, time, value: bits(&values[index]) }
    };
    Some(GroupSummary {
        group,
        count: u32::try_from(places.len()).unwrap_or(block::ROWS_MAX),
        first: point(0),
        least: point(least.unwrap_or(last)),
        most: point(most.unwrap_or(last)),
        last: point(last),
    })
}

/// Tells whether a kind of values has overviews.
pub(crate) fn has_overview(kinds: u8) -> bool {
    [ValueKind::Float, ValueKind::Int, ValueKind::Bool].iter().any(|kind| kinds & 1 << (*kind as u8 - 1) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_by_step_and_time_and_nan_is_no_number() {
        let group = GroupIdentity { writer: WriterId::NIL, first_sequence: 1, last_sequence: 4, rows: 4 };
        let column = |values| Column { series: 0, presence: Presence::Rows(vec![0, 1, 3]), values };
        let (steps, times) = (vec![5, 4, 0, 4], vec![1, 2, 3, 1]);
        let values = Values::Float(vec![2.0, f64::NAN, f64::INFINITY]);
        let found = summary_of(group, &column(values), &steps, &times).expect("numbers");
        let point = |step, time, value: f64| SummaryPoint { step, time, value: value.to_bits() };
        assert_eq!(found.first, point(4, 1, f64::INFINITY));
        assert_eq!((found.least, found.most), (point(5, 1, 2.0), point(4, 1, f64::INFINITY)));
        assert_eq!((found.last, found.count), (point(5, 1, 2.0), 3));
        let none = summary_of(group, &column(Values::Float(vec![f64::NAN; 3])), &steps, &times).expect("floats");
        assert_eq!((none.least, none.most), (none.last, none.last));
        assert!(summary_of(group, &column(Values::Text(vec![String::new(); 3])), &steps, &times).is_none());
    }
}
