//! Rows up to a step or a time.

use runcellar_format::block::{Column, Presence, Values};
use runcellar_format::record::GroupEntry;

use crate::ingest::groups::Group;

/// Which rows are kept: those at most at a step and at most at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) step: i64,
    /// Microseconds UTC since 1970.
    pub(crate) time: i64,
}

/// How much of a row group is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    All,
    Some,
    None,
}

impl Cut {
    /// Keeps rows up to a step.
    pub(crate) fn at_step(step: i64) -> Cut {
        Cut { step, time: i64::MAX }
    }

    pub(crate) fn keeps(&self, step: i64, time: i64) -> bool {
        step <= self.step && time <= self.time
    }

    /// Tells by its entry how much of a group is kept.
    pub(crate) fn share_of(&self, entry: &GroupEntry) -> Share {
        if self.keeps(entry.last_step, entry.last_time) {
            Share::All
        } else if self.keeps(entry.first_step, entry.first_time) {
            Share::Some
        } else {
            Share::None
        }
    }

    /// Parts the rows of a group: those that are kept, and the others.
    pub(crate) fn split(&self, group: &Group) -> (Option<Group>, Option<Group>) {
        let rows = group.steps.iter().zip(&group.times).zip(0..);
        let (kept, others): (Vec<_>, Vec<_>) = rows.partition(|((step, time), _)| self.keeps(**step, **time));
        let picked = |rows: Vec<((&i64, &i64), u32)>| {
            let rows: Vec<u32> = rows.into_iter().map(|(_, row)| row).collect();
            (!rows.is_empty()).then(|| pick(group, &rows))
        };
        (picked(kept), picked(others))
    }
}

/// Returns the rows of a group that `rows` names, which rise.
pub(crate) fn pick(group: &Group, rows: &[u32]) -> Group {
    let take = |all: &[i64]| rows.iter().filter_map(|row| all.get(*row as usize).copied()).collect();
    Group {
        sequences: group.sequences,
        steps: take(&group.steps),
        times: take(&group.times),
        columns: group.columns.iter().filter_map(|column| pick_column(column, rows)).collect(),
    }
}

fn pick_column(column: &Column, rows: &[u32]) -> Option<Column> {
    // Where each value of the new column stands in the old one, and its new row.
    let (indexes, new_rows): (Vec<usize>, Vec<u32>) = match &column.presence {
        Presence::Dense => rows.iter().zip(0..).map(|(row, new)| (*row as usize, new)).unzip(),
        Presence::Rows(present) => {
            let found = |(row, new): (&u32, u32)| Some((present.binary_search(row).ok()?, new));
            rows.iter().zip(0..).filter_map(found).unzip()
        }
    };
    if indexes.is_empty() {
        return None;
    }
    fn take<T: Clone>(all: &[T], indexes: &[usize]) -> Vec<T> {
        indexes.iter().filter_map(|index| all.get(*index).cloned()).collect()
    }
    let values = match &column.values {
        Values::Float(all) => Values::Float(take(all, &indexes)),
        Values::Int(all) => Values::Int(take(all, &indexes)),
        Values::Bool(all) => Values::Bool(take(all, &indexes)),
        Values::Text(all) => Values::Text(take(all, &indexes)),
        Values::Histogram(all) => Values::Histogram(take(all, &indexes)),
        Values::Media(all) => Values::Media(take(all, &indexes)),
    };
    let presence = if new_rows.len() == rows.len() { Presence::Dense } else { Presence::Rows(new_rows) };
    Some(Column { series: column.series, presence, values })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_parted_by_row_whatever_its_columns_hold() {
        let column = |series, presence, values| Column { series, presence, values };
        let group = Group {
            sequences: (4, 9),
            steps: vec![3, 1, 7, 2],
            times: vec![10, 20, 30, 40],
            columns: vec![
                column(0, Presence::Dense, Values::Int(vec![30, 10, 70, 20])),
                column(1, Presence::Rows(vec![1, 2]), Values::Text(vec!["b".into(), "c".into()])),
                column(2, Presence::Rows(vec![2]), Values::Bool(vec![true])),
            ],
        };
        let (kept, others) = Cut::at_step(3).split(&group);
        let (kept, others) = (kept.expect("some"), others.expect("some"));
        assert_eq!((kept.steps, kept.times), (vec![3, 1, 2], vec![10, 20, 40]));
        assert_eq!(
            kept.columns,
            [
                column(0, Presence::Dense, Values::Int(vec![30, 10, 20])),
                column(1, Presence::Rows(vec![1]), Values::Text(vec!["b".into()])),
            ]
        );
        assert_eq!((others.steps, others.times, others.sequences), (vec![7], vec![30], (4, 9)));
        assert_eq!(others.columns.len(), 3);
        assert!(others.columns.iter().all(|column| column.presence == Presence::Dense));
        let (all, none) = Cut { step: i64::MAX, time: 40 }.split(&group);
        assert!(all.is_some_and(|all| all.columns == group.columns) && none.is_none());
        assert!(Cut { step: 0, time: 100 }.split(&group).0.is_none());
    }
}
