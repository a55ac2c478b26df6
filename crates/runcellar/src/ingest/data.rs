//! A run as the database has it: record, head, series. Ingest changes it and writes it back; readers add the tails of
//! live journals to a copy.

use std::collections::HashMap;
use std::sync::Arc;

use runcellar_format::ObjectId;
use runcellar_format::block::{Column, Values};
use runcellar_format::record::{
    Body, GroupEntry, GroupPage, REWINDS_FIELD, Rewind, Rewinds, RunHead, RunRecord, SeriesEntry, SeriesPage,
    extra_body, set_extra_body,
};
use runcellar_format::seal::{Kind, OwnerKey};
use runcellar_format::sum::Sum;
use runcellar_format::value::Value;

use super::batch::Batch;
use super::{fold, statistics};
use crate::db::{Cover, ObjectKey, ObjectRow, ReadTx, WriteTx};
use crate::keys::Keyring;
use crate::{Error, Result};

/// A run's metadata and series statistics.
#[derive(Clone)]
pub(crate) struct RunData {
    pub(crate) object: ObjectId,
    /// The metrics key; none for a run that only a journal knows yet.
    pub(crate) key: Option<Arc<OwnerKey>>,
    pub(crate) record: RunRecord,
    pub(crate) head: RunHead,
    pub(crate) series: SeriesTable,
    /// The row groups to read are those that rewinds hide, instead of those that show.
    pub(crate) hidden: bool,
    /// Rows of later times are left out, microseconds UTC since 1970.
    pub(crate) until: Option<i64>,
}

/// The series of a run by number and by name.
#[derive(Clone, Default)]
pub(crate) struct SeriesTable {
    pub(crate) entries: Vec<SeriesEntry>,
    numbers: HashMap<String, u32>,
}

impl SeriesTable {
    fn push(&mut self, entry: SeriesEntry) -> u32 {
        let number = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        self.numbers.insert(entry.name.clone(), number);
        self.entries.push(entry);
        number
    }

    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// Makes the table of these series, numbered in their order.
    pub(crate) fn of(entries: Vec<SeriesEntry>) -> SeriesTable {
        let numbers = (0..).zip(&entries).map(|(number, entry)| (entry.name.clone(), number)).collect();
        SeriesTable { entries, numbers }
    }

    /// Adds statistics of later points; returns the number of their series.
    pub(crate) fn absorb(&mut self, more: SeriesEntry) -> u32 {
        let number = match self.number(&more.name) {
            Some(number) => number,
            None => self.push(statistics::empty(&more.name)),
        };
        if let Some(entry) = self.entries.get_mut(number as usize) {
            statistics::merge(entry, more);
        }
        number
    }
}

/// Returns the `index`-th value of a column.
pub(crate) fn value_at(values: &Values, index: usize) -> Option<Value> {
    Some(match values {
        Values::Float(all) => Value::Float(*all.get(index)?),
        Values::Int(all) => Value::Int(*all.get(index)?),
        Values::Bool(all) => Value::Bool(*all.get(index)?),
        Values::Text(all) => Value::Text(all.get(index)?.clone()),
        Values::Histogram(all) => Value::from(all.get(index)?.clone()),
        Values::Media(all) => Value::Media(*all.get(index)?),
    })
}

impl RunData {
    /// Reads a run with its series.
    pub(crate) fn load(tx: &ReadTx<'_>, keyring: &Keyring, object: ObjectId) -> Result<Option<RunData>> {
        let Some(row) = tx.object(ObjectKey::new(Kind::Run, object, 0))? else { return Ok(None) };
        let mut data = RunData::without_series(tx, keyring, &row)?;
        data.load_series(tx, keyring)?;
        Ok(Some(data))
    }

    /// Reads a run's record and head from its row.
    pub(crate) fn without_series(tx: &ReadTx<'_>, keyring: &Keyring, row: &ObjectRow) -> Result<RunData> {
        let object = row.key.id;
        let noun = |what: &str| format!("{what} of run {object}");
        let body = tx.open_object(keyring, row)?;
        let record = RunRecord::from_body(&body).map_err(|cause| Error::format(noun("record"), cause))?;
        let head = tx.object(ObjectKey::new(Kind::Head, object, 0))?;
        let head = head.ok_or_else(|| Error::damaged(format!("run {}: its head is missing", record.id)))?;
        let head =
            RunHead::from_body(&tx.open_object(keyring, &head)?).map_err(|cause| Error::format(noun("head"), cause))?;
        let id = runcellar_format::seal::Envelope::parse("run record", &row.body)
            .map_err(|cause| Error::format(noun("record"), cause))?
            .key;
        Ok(RunData {
            object,
            key: Some(tx.key(keyring, id)?),
            record,
            head,
            series: SeriesTable::default(),
            hidden: false,
            until: None,
        })
    }

    pub(crate) fn load_series(&mut self, tx: &ReadTx<'_>, keyring: &Keyring) -> Result<()> {
        for row in tx.objects(Kind::SeriesPage, Some(self.object))? {
            let body = tx.open_object(keyring, &row)?;
            let page = SeriesPage::from_body(&body)
                .map_err(|cause| Error::format(format_args!("series of run {}", self.record.id), cause))?;
            for entry in page.entries {
                self.series.push(entry);
            }
        }
        Ok(())
    }

    /// Reads the list of row groups that show, in order of ingest.
    pub(crate) fn groups(&self, tx: &ReadTx<'_>, keyring: &Keyring) -> Result<Vec<GroupEntry>> {
        let mut groups = self.all_groups(tx, keyring)?;
        self.leave_shown(&mut groups)?;
        Ok(groups)
    }

    /// Takes those out of a list of row groups that do not show.
    pub(crate) fn leave_shown(&self, groups: &mut Vec<GroupEntry>) -> Result<()> {
        let rewinds = self.rewinds()?;
        if self.hidden || !rewinds.is_empty() {
            let is_hidden = |entry: &GroupEntry| rewinds.iter().any(|rewind| rewind.hides(entry.writer, entry.number));
            groups.retain(|entry| is_hidden(entry) == self.hidden);
        }
        Ok(())
    }

    /// Returns the rewinds of the run, in order.
    pub(crate) fn rewinds(&self) -> Result<Vec<Rewind>> {
        let rewinds: Option<Rewinds> = extra_body(&self.record.extra, REWINDS_FIELD)
            .map_err(|cause| Error::format(format_args!("rewinds of run {}", self.record.id), cause))?;
        Ok(rewinds.unwrap_or_default().all)
    }

    /// Replaces the rewinds of the run.
    pub(crate) fn set_rewinds(&mut self, all: Vec<Rewind>) -> Result<()> {
        set_extra_body(&mut self.record.extra, REWINDS_FIELD, &Rewinds { all })
            .map_err(|cause| Error::format(format_args!("rewinds of run {}", self.record.id), cause))
    }

    /// Reads the list of all row groups, in order of ingest.
    pub(crate) fn all_groups(&self, tx: &ReadTx<'_>, keyring: &Keyring) -> Result<Vec<GroupEntry>> {
        let mut groups = Vec::new();
        for row in tx.objects(Kind::GroupPage, Some(self.object))? {
            groups.extend(self.group_page(tx, keyring, &row)?.entries);
        }
        Ok(groups)
    }

    pub(crate) fn group_page(&self, tx: &ReadTx<'_>, keyring: &Keyring, row: &ObjectRow) -> Result<GroupPage> {
        let body = tx.open_object(keyring, row)?;
        GroupPage::from_body(&body)
            .map_err(|cause| Error::format(format_args!("groups of run {}", self.record.id), cause))
    }

    /// Takes a batch in: record, summary, and series statistics. Returns its columns under the run's numbers.
    pub(crate) fn absorb(&mut self, batch: &mut Batch) -> Result<Vec<Column>> {
        fold::apply_batch(&mut self.record, batch)?;
        let rows = batch.rows();
        let mut columns = Vec::new();
        for metric in &mut batch.metrics {
            let mut of_metric = metric.columns.take_columns(0, rows);
            let number = self.series.absorb(statistics::of_columns(&metric.name, &of_metric, &batch.steps));
            of_metric.iter_mut().for_each(|column| column.series = number);
            columns.append(&mut of_metric);
        }
        fold::apply_definitions(&mut self.record, &self.series.entries);
        Ok(columns)
    }

    pub(crate) fn key(&self) -> Result<Arc<OwnerKey>> {
        self.key.clone().ok_or_else(|| Error::damaged(format!("run {}: its key is missing", self.record.id)))
    }

    /// Writes record and head back.
    pub(crate) fn store(&mut self, tx: &mut WriteTx<'_>) -> Result<()> {
        self.store_head(tx)?;
        let record = self.record.to_body().map_err(|cause| Error::format(format!("run {}", self.record.id), cause))?;
        let tag = super::store::run_tag(tx, &self.record.id)?;
        tx.put(ObjectKey::new(Kind::Run, self.object, 0), Some(tag), &*self.key()?, &record, Cover::Root)?;
        Ok(())
    }

    /// Writes a page that the head covers, and counts it there in the place of the one that it replaces.
    pub(crate) fn put_page(&mut self, tx: &mut WriteTx<'_>, kind: Kind, position: u64, body: &[u8]) -> Result<()> {
        let place = ObjectKey::new(kind, self.object, position);
        let (old, new) = tx.put(place, None, &*self.key()?, body, Cover::Head)?;
        let mut sum = Sum(self.head.sum);
        if let Some(old) = old {
            sum.remove(&old);
        }
        sum.add(&new);
        self.head.sum = sum.0;
        Ok(())
    }

    /// Writes the head back: what covers the run's pages.
    pub(crate) fn store_head(&mut self, tx: &mut WriteTx<'_>) -> Result<()> {
        self.head.version += 1;
        let head = self.head.to_body().map_err(|cause| Error::format(format!("run {}", self.record.id), cause))?;
        tx.put(ObjectKey::new(Kind::Head, self.object, 0), None, &*self.key()?, &head, Cover::Root)?;
        Ok(())
    }
}
