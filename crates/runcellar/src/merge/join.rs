//! A run that went on in the other workspace, and perhaps here as well: of each writer the rows are taken from the side
//! that has more of them, as a writer only appends.
//!
//! What is here keeps its numbers. Row groups that come in take new ones, since handles that are open remember what they
//! read by number; and their series are those of this side. A rewind hides rows by writer and step, so that what it hides
//! does not depend on how rows are grouped, nor on which side is merged into which.

use runcellar_format::WriterId;
use runcellar_format::block::Level;
use runcellar_format::record::{GroupEntry, Rewind, RunRecord, WriterRow};

use super::rewinds::Rewinds;
use super::run::Bring;
use crate::db::WriteTx;
use crate::ingest::data::{RunData, SeriesTable};
use crate::ingest::groups::{self, Group};
use crate::ingest::series::{self, SeriesNumbers};
use crate::ingest::{fold, prepare, statistics, store};
use crate::lineage::cut::{Cut, Share};
use crate::lineage::recount::Recount;
use crate::lineage::rewind::Cutting;
use crate::own::is_own;
use crate::{Error, Result};

/// Brings in what `writers` have there beyond what they have here. `record` is what is said of the run on either side.
pub(super) fn join(
    bring: &Bring<'_, '_>,
    to: &mut WriteTx<'_>,
    record: RunRecord,
    rewinds: Rewinds,
    writers: &[WriterId],
) -> Result<()> {
    let mut data = store::load(to, to.keyring, bring.theirs.object)?;
    data.record = record;
    let Rewinds { all, new, agree } = rewinds;
    let mut join = Join { bring, numbers: series_of_both(to, &mut data, bring.theirs)?, data, rewinds: all };
    for writer in writers {
        join.writer(to, *writer)?;
    }
    join.data.set_rewinds(join.rewinds.clone())?;
    join.hide(to, &new)?;
    let Join { mut data, .. } = join;
    recount(to, &mut data, agree)?;
    store::say_described(to, &data)?;
    data.store(to)
}

/// Makes the series known that only the other side has; returns the number here of each of theirs.
fn series_of_both(to: &mut WriteTx<'_>, data: &mut RunData, theirs: &RunData) -> Result<Vec<u32>> {
    data.load_series(to, to.keyring)?;
    let fresh = theirs.series.entries.iter().filter(|entry| data.series.number(&entry.name).is_none());
    let fresh: Vec<_> = fresh.map(|entry| statistics::empty(&entry.name)).collect();
    if !fresh.is_empty() {
        let mut known = SeriesNumbers::default();
        known.refresh(to, to.keyring, data)?;
        series::store(to, data, &known, fresh)?;
        data.series = SeriesTable::default();
        data.load_series(to, to.keyring)?;
    }
    let number = |name: &str| {
        let missing = || Error::damaged(format!("run {}: its series {name:?} has no number", data.record.id));
        data.series.number(name).ok_or_else(missing)
    };
    theirs.series.entries.iter().map(|entry| number(&entry.name)).collect()
}

/// A run under way.
struct Join<'a, 'tx> {
    bring: &'a Bring<'a, 'tx>,
    /// The number here of each series there.
    numbers: Vec<u32>,
    data: RunData,
    rewinds: Vec<Rewind>,
}

impl Join<'_, '_> {
    /// Puts the row groups of a writer in the place of those that are here.
    fn writer(&mut self, to: &mut WriteTx<'_>, writer: WriterId) -> Result<()> {
        let Bring { from, from_keys, theirs, .. } = self.bring;
        let Some(there) = store::writer_row(from, from_keys, writer)?.filter(|row| row.run == theirs.object.0) else {
            return Ok(());
        };
        let of_writer = |all: Vec<GroupEntry>| all.into_iter().filter(|entry| entry.writer == writer.0);
        let here: Vec<GroupEntry> = of_writer(self.data.all_groups(to, to.keyring)?).collect();
        let known = store::writer_row(to, to.keyring, writer)?.map_or(0, |row| row.next_group);
        let mut row = WriterRow { next_group: known, ..there };
        let mut instead_of = &here[..];
        for entry in of_writer(theirs.all_groups(from, from_keys)?) {
            let group = groups::read_group(from, from_keys, theirs, groups::group_key(theirs, &entry))?;
            let level = if entry.best { Level::Best } else { Level::Fast };
            let parts = match are_own(theirs, &group) {
                true => vec![(group, None)],
                false => self.parts(writer, group),
            };
            for (part, hidden_by) in parts {
                let part = self.renumbered(part)?;
                let number = self.append(to, &mut row, (writer, &part, level), instead_of)?;
                if !std::mem::take(&mut instead_of).is_empty() {
                    self.rewinds.iter_mut().for_each(|rewind| rewind.hidden.retain(|range| range.writer != writer.0));
                }
                if let Some(rewind) = hidden_by.and_then(|at| self.rewinds.get_mut(at)) {
                    rewind.hide(writer.0, number);
                }
            }
        }
        store::put_writer(to, &*self.data.key()?, writer, &row)
    }

    /// Gives the columns of a group the numbers that their series have here.
    fn renumbered(&self, mut group: Group) -> Result<Group> {
        for column in &mut group.columns {
            let number = self.numbers.get(column.series as usize).copied();
            column.series = number.ok_or_else(|| {
                Error::damaged(format!("run {}: series {} is not listed", self.bring.theirs.record.id, column.series))
            })?;
        }
        Ok(group)
    }

    /// Parts the rows of a group by the rewind that hides them, if one does.
    fn parts(&self, writer: WriterId, group: Group) -> Vec<(Group, Option<usize>)> {
        let (mut parts, mut rest) = (Vec::new(), Some(group));
        for (at, rewind) in self.rewinds.iter().enumerate() {
            let Some(group) = rest.take_if(|_| hides(rewind, &self.data.record, writer)) else { continue };
            let (kept, beyond) = Cut::at_step(rewind.step).split(&group);
            parts.extend(beyond.map(|beyond| (beyond, Some(at))));
            rest = kept;
        }
        parts.extend(rest.map(|rest| (rest, None)));
        parts
    }

    fn append(
        &mut self,
        to: &mut WriteTx<'_>,
        row: &mut WriterRow,
        (writer, group, level): (WriterId, &Group, Level),
        instead_of: &[GroupEntry],
    ) -> Result<u32> {
        let named = |cause| Error::format(format_args!("run {}", self.data.record.id), cause);
        let (entry, spine, columns) = prepare::encode(writer, group, level).map_err(named)?;
        groups::store_group(to, &mut self.data, row, entry, (&spine, columns), instead_of)
    }

    /// Hides what rewinds of the other side hide of the rows that are here.
    fn hide(&mut self, to: &mut WriteTx<'_>, new: &[usize]) -> Result<()> {
        let mut series = Recount::new(&self.data.series);
        for at in new {
            let Some(mut rewind) = self.rewinds.get(*at).cloned() else { continue };
            let (cut, mut cutting) = (Cut::at_step(rewind.step), Cutting::default());
            for entry in self.data.groups(to, to.keyring)? {
                let group = groups::group_key(&self.data, &entry);
                let share = cut.share_of(&entry);
                if share == Share::All
                    || !hides(&rewind, &self.data.record, group.writer)
                    || series.is_own_group(to, to.keyring, &self.data, group)?
                {
                    continue;
                }
                if share == Share::None {
                    rewind.hide(entry.writer, entry.number);
                    continue;
                }
                let (kept, beyond) = cut.split(&groups::read_group(to, to.keyring, &self.data, group)?);
                if let Some(number) = cutting.cut(to, &mut self.data, &entry, (kept.as_ref(), beyond.as_ref()))? {
                    rewind.hide(entry.writer, number);
                }
            }
            cutting.store(to, &self.data)?;
            if let Some(place) = self.rewinds.get_mut(*at) {
                *place = rewind;
            }
            self.data.set_rewinds(self.rewinds.clone())?;
        }
        Ok(())
    }
}

/// Returns true for rows of what the store records of itself, which no rewind hides.
fn are_own(data: &RunData, group: &Group) -> bool {
    let is_own = |series: u32| data.series.entries.get(series as usize).is_some_and(|entry| is_own(&entry.name));
    !group.columns.is_empty() && group.columns.iter().all(|column| is_own(column.series))
}

/// Returns true if a rewind speaks of the rows of a writer: the run had it, or took its rows over from another run.
fn hides(rewind: &Rewind, record: &RunRecord, writer: WriterId) -> bool {
    rewind.writers.contains(&writer.0) || record.sessions.iter().all(|session| session.writer != writer.0)
}

/// Counts again what shows of the run.
fn recount(to: &mut WriteTx<'_>, data: &mut RunData, agree: bool) -> Result<()> {
    let mut recount = Recount::new(&data.series).without_own();
    let mut last_step = None;
    for entry in data.groups(to, to.keyring)? {
        recount.add_group(to, to.keyring, data, &entry)?;
        let group = groups::group_key(data, &entry);
        if !recount.is_own_group(to, to.keyring, data, group)? {
            last_step = last_step.max(Some(entry.last_step));
        }
    }
    let all = data.all_groups(to, to.keyring)?;
    data.head.rows = all.iter().map(|entry| u64::from(entry.rows)).sum();
    data.head.points = all.iter().map(|entry| entry.points).sum();
    if agree {
        fold::apply_definitions(&mut data.record, &recount.entries);
    } else {
        // What either side has in its summary may be of a row that is hidden.
        recount.summarise(&mut data.record, i64::MAX);
        data.record.next_step = last_step.map_or(0, |step: i64| step.saturating_add(1)).max(0);
    }
    recount.store(to, data)
}
