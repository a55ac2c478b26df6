//! Rewinds: a run goes on from an earlier step, and what it logged beyond it is hidden, not destroyed.
//!
//! The run's record lists for each rewind the row groups that it hides and the writers that the run had: what is
//! ingested of them later, from journals that they left, is hidden beyond the step, too.

use runcellar_format::block::Level;
use runcellar_format::record::{
    Body, Change, ChangeKind, FieldChange, FieldId, GroupEntry, REWINDS_FIELD, Rewind, Rewinds, WriterRow,
};
use runcellar_format::{ObjectId, WriterId};

use super::cut::{Cut, Share};
use super::recount::Recount;
use crate::db::WriteTx;
use crate::ingest::batch::Batch;
use crate::ingest::data::RunData;
use crate::ingest::groups::{self, Group};
use crate::ingest::series::{self, SeriesNumbers};
use crate::ingest::{live_writers, prepare, rows_away, statistics, store};
use crate::own::is_own;
use crate::query::tail::OpenJournals;
use crate::workspace::{Inner, Writing};
use crate::{Error, ErrorKind, Json, Result};

/// A rewind that is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) run: ObjectId,
    /// The last step that is to show.
    pub(crate) step: i64,
    /// Microseconds UTC since 1970.
    pub(crate) time: i64,
    /// What started the ranks that rewind together; zeros for a lone process.
    pub(crate) launch: [u8; 16],
}

/// What became of a rewind.
pub(crate) struct Rewound {
    /// The step at which the run goes on.
    pub(crate) next_step: i64,
    /// Something shows that was logged before.
    pub(crate) any: bool,
}

/// Hides what a run logged beyond a step. The journals were opened before the transaction began.
///
/// # Errors
/// [`ErrorKind::Busy`] if a writer of the run is at work.
pub(crate) fn rewind(tx: &mut WriteTx<'_>, inner: &Inner, journals: OpenJournals, wanted: Wanted) -> Result<Rewound> {
    let mut data = RunData::load(tx, tx.keyring, wanted.run)?
        .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("run {}: not in this workspace", wanted.run)))?;
    rows_away::refuse(tx, tx.keyring, data.object)?;
    let mut rewinds = data.rewinds()?;
    let after = |next: i64| next.min(wanted.step.saturating_add(1)).max(0);
    if wanted.launch != [0; 16]
        && rewinds.last().is_some_and(|last| (last.launch, last.step) == (wanted.launch, wanted.step))
    {
        // Another rank was here before.
        let any = data.series.entries.iter().any(|entry| entry.points > 0);
        return Ok(Rewound { next_step: after(data.record.next_step), any });
    }
    let mut left: Vec<Batch> = Vec::new();
    for (run, batch) in journals.tails(inner, tx, tx.keyring, Some(wanted.run))? {
        if run == wanted.run {
            left.push(batch);
        }
    }
    let mut writers: Vec<[u8; 16]> = data.record.sessions.iter().map(|session| session.writer).collect();
    writers.extend(left.iter().map(|batch| batch.writer.0));
    writers.sort_unstable();
    writers.dedup();
    let live = live_writers(inner)?;
    if writers.iter().any(|writer| live.contains(&WriterId(*writer))) {
        return Err(is_recorded(&data.record.id));
    }

    let cut = Cut::at_step(wanted.step);
    let mut rewind =
        Rewind { time: wanted.time, step: wanted.step, launch: wanted.launch, writers, hidden: Vec::new() };
    let mut recount = Recount::new(&data.series);
    let mut cutting = Cutting::default();
    for entry in data.groups(tx, tx.keyring)? {
        let group = groups::group_key(&data, &entry);
        if recount.is_own_group(tx, tx.keyring, &data, group)? {
            continue;
        }
        match cut.share_of(&entry) {
            Share::All => recount.add_group(tx, tx.keyring, &data, &entry)?,
            Share::None => rewind.hide(entry.writer, entry.number),
            Share::Some => {
                let (kept, beyond) = cut.split(&groups::read_group(tx, tx.keyring, &data, group)?);
                if let Some(kept) = &kept {
                    recount.add_rows(&kept.steps, &kept.times, &kept.columns);
                }
                if let Some(number) = cutting.cut(tx, &mut data, &entry, (kept.as_ref(), beyond.as_ref()))? {
                    rewind.hide(entry.writer, number);
                }
            }
        }
    }
    let beyond = |batch: &Batch| !is_own_batch(batch) && batch.steps.iter().any(|step| *step > wanted.step);
    let next_left = left.iter().filter(|batch| !is_own_batch(batch)).flat_map(|batch| &batch.steps).max();
    let next = data.record.next_step.max(next_left.map_or(0, |step| step.saturating_add(1)));
    let any = recount.last_step.is_some()
        || left.iter().any(|batch| !is_own_batch(batch) && batch.steps.iter().any(|step| *step <= wanted.step));
    if rewind.hidden.is_empty() && !left.iter().any(beyond) {
        return Ok(Rewound { next_step: after(next), any });
    }
    let latest = recount.latest.unwrap_or(i64::MIN);
    recount.summarise(&mut data.record, latest);
    recount.store(tx, &mut data)?;
    data.record.next_step = after(next);
    rewinds.push(rewind);
    store_change(tx, &data, &rewinds, cutting.fields()?)?;
    data.set_rewinds(rewinds)?;
    cutting.store(tx, &data)?;
    data.store(tx)?;
    Ok(Rewound { next_step: data.record.next_step, any })
}

/// The writers whose row groups a rewind cuts in two.
#[derive(Default)]
pub(crate) struct Cutting {
    writers: Vec<Cutter>,
}

struct Cutter {
    id: WriterId,
    row: WriterRow,
    /// It is a writer of this run, and not of one that this was forked from.
    own: bool,
    added: Vec<u32>,
    removed: Vec<u32>,
}

impl Cutting {
    /// Puts what is kept of a group in its place, and the rest after all; returns the number of the rest.
    pub(crate) fn cut(
        &mut self,
        tx: &mut WriteTx<'_>,
        data: &mut RunData,
        entry: &GroupEntry,
        (kept, beyond): (Option<&Group>, Option<&Group>),
    ) -> Result<Option<u32>> {
        let id = WriterId(entry.writer);
        let at = match self.writers.iter().position(|cutter| cutter.id == id) {
            Some(at) => at,
            None => {
                let row = store::writer_row(tx, tx.keyring, id)?.filter(|row| row.run == data.object.0);
                let own = row.is_some();
                let row = row.map_or_else(|| counted_on(tx, data, id), Ok)?;
                self.writers.push(Cutter { id, row, own, added: Vec::new(), removed: Vec::new() });
                self.writers.len() - 1
            }
        };
        let Some(cutter) = self.writers.get_mut(at) else { return Ok(None) };
        let mut replaced = std::slice::from_ref(entry);
        let mut last = None;
        for (part, is_beyond) in [(kept, false), (beyond, true)] {
            if let Some(part) = part {
                let number = append(tx, data, &mut cutter.row, id, part, replaced)?;
                cutter.added.push(number);
                replaced = &[];
                last = Some(number).filter(|_| is_beyond);
            }
        }
        cutter.removed.push(entry.number);
        Ok(last)
    }

    fn fields(&self) -> Result<Vec<FieldChange>> {
        self.writers.iter().map(|cutter| groups_field(cutter.id, &cutter.added, &cutter.removed)).collect()
    }

    /// Writes the rows of the writers back.
    pub(crate) fn store(&self, tx: &mut WriteTx<'_>, data: &RunData) -> Result<()> {
        let key = data.key()?;
        let own = self.writers.iter().filter(|cutter| cutter.own);
        own.into_iter().try_for_each(|cutter| store::put_writer(tx, &key, cutter.id, &cutter.row))
    }
}

/// A run that has a writer at work cannot be rewound.
pub(crate) fn is_recorded(run: &str) -> Error {
    Error::new(ErrorKind::Busy, format!("run {run}: it is being recorded; rewind it when that has ended"))
}

/// Counts on from the highest number that a writer of the run which this one was forked from has here.
fn counted_on(tx: &WriteTx<'_>, data: &RunData, id: WriterId) -> Result<WriterRow> {
    let all = data.all_groups(tx, tx.keyring)?;
    let highest = all.iter().filter(|entry| entry.writer == id.0).map(|entry| entry.number).max();
    Ok(WriterRow { next_group: highest.map_or(0, |number| number + 1), ..WriterRow::default() })
}

/// Takes the rows out of a batch that rewinds of its run hide, each part with the index of its rewind.
pub(crate) fn split(rewinds: &[Rewind], batch: &mut Batch) -> Vec<(usize, Batch)> {
    let mut all = Vec::new();
    if batch.steps.is_empty() || is_own_batch(batch) {
        return all;
    }
    let writer = batch.writer.0;
    for (index, rewind) in rewinds.iter().enumerate().filter(|(_, rewind)| rewind.writers.contains(&writer)) {
        all.extend(batch.split_off(|step, _| step > rewind.step).map(|gone| (index, gone)));
    }
    all
}

/// Does the same for a batch that is about to be stored.
pub(crate) fn take_hidden(writing: &Writing<'_>, batch: &mut Batch) -> Result<Vec<(usize, Batch)>> {
    if batch.steps.is_empty() {
        return Ok(Vec::new());
    }
    let rewinds = writing.read(|tx, keyring| match store::writer_row(tx, keyring, batch.writer)? {
        Some(row) => store::load(tx, keyring, ObjectId(row.run))?.rewinds(),
        None => Ok(Vec::new()),
    })?;
    Ok(split(&rewinds, batch))
}

/// Stores what [`take_hidden`] took out, after the rest of the batch.
pub(crate) fn store_hidden(tx: &mut WriteTx<'_>, writer: WriterId, hidden: Vec<(usize, Batch)>) -> Result<()> {
    let Some(mut row) = store::writer_row(tx, tx.keyring, writer)?.filter(|_| !hidden.is_empty()) else {
        return Ok(());
    };
    let mut data = store::load(tx, tx.keyring, ObjectId(row.run))?;
    let mut rewinds = data.rewinds()?;
    let mut fields = Vec::new();
    for (index, mut batch) in hidden {
        let rows = batch.rows();
        let mut known = SeriesNumbers::default();
        known.refresh(tx, tx.keyring, &data)?;
        // Its points are in no statistics.
        let entries = batch.metrics.iter().map(|metric| statistics::empty(&metric.name)).collect();
        let numbers = series::store(tx, &mut data, &known, entries)?.numbers;
        let metrics = batch.metrics.iter_mut().zip(numbers);
        let columns = metrics.flat_map(|(metric, number)| metric.columns.take_columns(number, rows)).collect();
        let sequences = batch.row_sequences.unwrap_or_default();
        let group = Group { sequences, steps: batch.steps, times: batch.times, columns };
        data.head.rows += rows as u64;
        data.head.points += group.columns.iter().map(|column| column.values.len() as u64).sum::<u64>();
        let number = append(tx, &mut data, &mut row, writer, &group, &[])?;
        if let Some(rewind) = rewinds.get_mut(index) {
            rewind.hide(writer.0, number);
        }
        fields.push(groups_field(writer, &[number], &[])?);
    }
    store_change(tx, &data, &rewinds, fields)?;
    data.set_rewinds(rewinds)?;
    let key = data.key()?;
    store::put_writer(tx, &key, writer, &row)?;
    data.store(tx)
}

/// Encodes and stores a group of a writer, in the place of others or after all; returns its number.
fn append(
    tx: &mut WriteTx<'_>,
    data: &mut RunData,
    row: &mut WriterRow,
    writer: WriterId,
    group: &Group,
    instead_of: &[GroupEntry],
) -> Result<u32> {
    let named = |cause| Error::format(format_args!("run {}", data.record.id), cause);
    let (entry, spine, columns) = prepare::encode(writer, group, Level::Best).map_err(named)?;
    groups::store_group(tx, data, row, entry, (&spine, columns), instead_of)
}

fn groups_field(writer: WriterId, added: &[u32], removed: &[u32]) -> Result<FieldChange> {
    let numbers = |all: &[u32]| Json::List(all.iter().map(|number| Json::Int((*number).into())).collect());
    let value = Json::Map(vec![("added".into(), numbers(added)), ("removed".into(), numbers(removed))]);
    FieldChange::new(FieldId::Groups, writer.to_string(), &value).map_err(|cause| Error::format("row groups", cause))
}

fn store_change(tx: &mut WriteTx<'_>, data: &RunData, rewinds: &[Rewind], fields: Vec<FieldChange>) -> Result<()> {
    let all = Rewinds { all: rewinds.to_vec() };
    let extra = vec![(REWINDS_FIELD, all.to_body().map_err(|cause| Error::format("rewinds", cause))?)];
    let (key, clock) = (data.key()?, tx.next_clock());
    tx.change(&key, &Change { clock, kind: ChangeKind::AddGroups, object: data.object.0, fields, extra })
}

/// Returns true for a batch of what the store records of itself, which has steps of its own and is never hidden.
fn is_own_batch(batch: &Batch) -> bool {
    !batch.metrics.is_empty() && batch.metrics.iter().all(|metric| is_own(&metric.name))
}
