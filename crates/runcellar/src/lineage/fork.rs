//! Forks: a new run that begins with what another one logged up to a step.
//!
//! The rows are copied under the new run's own key (rule K1), so that either run can be purged without the other. Row
//! groups that are taken over whole are opened and sealed again part by part, and never decoded; only the groups that
//! the step cuts are. One transaction makes the whole run, so it is there with its history or not at all.

use std::collections::HashMap;

use runcellar_format::block::Level;
use runcellar_format::record::{
    GroupEntry, GroupPage, ORIGIN_FIELD, Origin, PAGE_ENTRIES, RunRecord, Start, set_extra_body,
};
use runcellar_format::{ObjectId, WriterId};

use super::cut::{Cut, Share, pick};
use super::ranks::Ranks;
use super::recount::Recount;
use crate::db::{GroupKey, WriteTx};
use crate::ingest::data::RunData;
use crate::ingest::groups::{self, Group};
use crate::ingest::{fold, prepare, rows_away, store};
use crate::query::tail::{OpenJournals, View, Wanted, view_of};
use crate::workspace::Inner;
use crate::{Error, Result};

/// Set in the sequence of groups whose rows stood in journals only.
pub(crate) const TAIL_SEQUENCE: u64 = 1 << 63;

/// Where a run takes its history from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) object: ObjectId,
    pub(crate) run_id: String,
    /// The last step; none for all.
    pub(crate) step: Option<i64>,
}

/// What became of a fork.
pub(crate) struct Forked {
    /// The step at which it goes on.
    pub(crate) next_step: i64,
    /// Rows that were taken over.
    pub(crate) rows: u64,
}

/// Makes the run of `start` with the history of `source`. The journals were opened before the transaction began.
pub(crate) fn fork(
    tx: &mut WriteTx<'_>,
    inner: &Inner,
    journals: OpenJournals,
    source: &Source,
    start: &Start,
) -> Result<Forked> {
    let parent = view_of(inner, journals, tx, tx.keyring, Wanted::new(source.object, &source.run_id), false)?;
    rows_away::refuse(tx, tx.keyring, parent.data.object)?;
    let record = inherited(&parent.data.record, start)?;
    let mut origin =
        Origin { run: source.object.0, run_id: source.run_id.clone(), step: source.step, ranks: Vec::new() };
    let bytes = runcellar_format::record::Body::to_body(&origin).map_err(|cause| Error::format("origin", cause))?;
    let child = store::create_run(tx, start, record, vec![(ORIGIN_FIELD, bytes)])?;
    let cut = Cut::at_step(source.step.unwrap_or(i64::MAX));
    let mut copy = Copy { tx, child, recount: Recount::new(&parent.data.series).without_own(), entries: Vec::new() };
    copy.groups(&parent.data, &cut)?;
    copy.tails(&parent, &cut)?;
    let Copy { tx, mut child, recount, entries } = copy;

    let ranks = Ranks::of(&parent.data.record)?;
    let mut writers: Vec<[u8; 16]> = entries.iter().map(|entry| entry.writer).collect();
    writers.sort_unstable();
    writers.dedup();
    origin.ranks = writers.into_iter().map(|writer| (writer, ranks.of_writer(WriterId(writer)))).collect();
    origin.ranks.retain(|(_, rank)| *rank != 0);
    set_extra_body(&mut child.record.extra, ORIGIN_FIELD, &origin).map_err(|cause| Error::format("origin", cause))?;
    if source.step.is_some() {
        recount.summarise(&mut child.record, recount.latest.unwrap_or(i64::MIN));
    }
    let parent_next = parent.data.record.next_step;
    child.record.next_step = source.step.map_or(parent_next, |step| parent_next.min(step.saturating_add(1))).max(0);
    child.head.rows = entries.iter().map(|entry| u64::from(entry.rows)).sum();
    child.head.points = entries.iter().map(|entry| entry.points).sum();
    recount.store(tx, &mut child)?;
    for (number, entries) in (0..).zip(entries.chunks(PAGE_ENTRIES)) {
        groups::put_page(tx, &mut child, number, &GroupPage { entries: entries.to_vec() })?;
    }
    child.store(tx)?;
    Ok(Forked { next_step: child.record.next_step, rows: child.head.rows })
}

/// Makes the record of the new run: what it was started with, over what describes the history that it takes over.
fn inherited(parent: &RunRecord, start: &Start) -> Result<RunRecord> {
    let mut record = fold::record_of(start)?;
    let given = std::mem::replace(&mut record.config, parent.config.clone());
    for (key, value) in given {
        match record.config.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = value,
            None => record.config.push((key, value)),
        }
    }
    record.metrics = parent.metrics.clone();
    record.summary = parent.summary.clone();
    Ok(record)
}

/// A copy under way.
struct Copy<'a, 'tx> {
    tx: &'a mut WriteTx<'tx>,
    child: RunData,
    recount: Recount,
    entries: Vec<GroupEntry>,
}

impl Copy<'_, '_> {
    /// Copies the row groups that show.
    fn groups(&mut self, parent: &RunData, cut: &Cut) -> Result<()> {
        for entry in parent.groups(self.tx, self.tx.keyring)? {
            let share = cut.share_of(&entry);
            let from = groups::group_key(parent, &entry);
            if share == Share::None || self.recount.is_own_group(self.tx, self.tx.keyring, parent, from)? {
                continue;
            }
            if share == Share::All {
                self.recount.add_group(self.tx, self.tx.keyring, parent, &entry)?;
                self.whole(parent, entry)?;
            } else if let (Some(kept), _) = cut.split(&groups::read_group(self.tx, self.tx.keyring, parent, from)?) {
                self.rows(from.writer, entry.number, &kept)?;
            }
        }
        Ok(())
    }

    /// Seals the parts of a group again, as they are.
    fn whole(&mut self, parent: &RunData, entry: GroupEntry) -> Result<()> {
        let from = groups::group_key(parent, &entry);
        let (to, key) = (GroupKey { run: self.child.object, ..from }, self.child.key()?);
        let open = |part| groups::open_part(self.tx, self.tx.keyring, parent, from, part);
        let parts = (0..entry.parts).map(open).collect::<Result<Vec<_>>>()?;
        let sum = self.tx.put_group(to, &key, &parts)?;
        let place = self.child.head.next_group;
        self.child.head.next_group += 1;
        self.entries.push(GroupEntry { place, sum: sum.0, ..entry });
        Ok(())
    }

    fn rows(&mut self, writer: WriterId, number: u32, group: &Group) -> Result<()> {
        self.recount.add_rows(&group.steps, &group.times, &group.columns);
        let named = |cause| Error::format(format_args!("run {}", self.child.record.id), cause);
        let (mut entry, spine, columns) = prepare::encode(writer, group, Level::Best).map_err(named)?;
        (entry.number, entry.place) = (number, self.child.head.next_group);
        groups::put_blocks(self.tx, &self.child, &mut entry, &spine, columns)?;
        self.child.head.next_group += 1;
        self.entries.push(entry);
        Ok(())
    }

    /// Copies the rows that stand in journals still.
    fn tails(&mut self, parent: &View, cut: &Cut) -> Result<()> {
        // Numbers that the writer itself has not given yet.
        let mut next: HashMap<WriterId, u32> = HashMap::new();
        for entry in &self.entries {
            let next = next.entry(WriterId(entry.writer)).or_default();
            *next = (*next).max(entry.number + 1);
        }
        for tail in &parent.tails {
            if self.recount.are_own(tail.columns.iter().map(|column| column.series)) {
                continue;
            }
            // Which frames the rows stand in is not known here, and of use to ingest alone.
            let whole = Group {
                sequences: (0, 0),
                steps: tail.steps.clone(),
                times: tail.times.clone(),
                columns: tail.columns.clone(),
            };
            let Some(kept) = cut.split(&whole).0 else { continue };
            let known = store::writer_row(self.tx, self.tx.keyring, tail.writer)?.map_or(0, |row| row.next_group);
            let number = next.entry(tail.writer).or_default();
            *number = (*number).max(known);
            for mut group in pieces(kept) {
                // No frame has such a sequence, and no other group: charts tell groups by their sequences.
                group.sequences = (TAIL_SEQUENCE | u64::from(*number), TAIL_SEQUENCE | u64::from(*number));
                self.rows(tail.writer, *number, &group)?;
                *number += 1;
            }
        }
        Ok(())
    }
}

/// Cuts rows into groups of the usual size.
pub(crate) fn pieces(group: Group) -> Vec<Group> {
    let rows = u32::try_from(group.steps.len()).unwrap_or(u32::MAX);
    if rows <= 1 || prepare::is_within_limits(&group) {
        return vec![group];
    }
    let half = |range: std::ops::Range<u32>| pieces(pick(&group, &range.collect::<Vec<_>>()));
    [half(0..rows / 2), half(rows / 2..rows)].concat()
}
