//! A run as the database has it: record, head, series. Ingest changes it and writes it back; readers add the tails of
//! live journals to a copy.

use std::collections::HashMap;
use std::sync::Arc;

use runcellar_format::ObjectId;
use runcellar_format::block::{Column, Values};
use runcellar_format::record::{
    Body, GroupEntry, GroupPage, PAGE_ENTRIES, RunHead, RunRecord, SeriesEntry, SeriesPage,
};
use runcellar_format::seal::{Kind, OwnerKey};
use runcellar_format::value::Value;

use super::batch::Batch;
use super::fold;
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
}

/// The series of a run by number and by name.
#[derive(Clone, Default)]
pub(crate) struct SeriesTable {
    pub(crate) entries: Vec<SeriesEntry>,
    numbers: HashMap<String, u32>,
    changed_pages: Vec<u64>,
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

    /// Returns the number of a series, making an empty entry for a new one.
    pub(crate) fn number_or_new(&mut self, name: &str) -> u32 {
        self.number(name).unwrap_or_else(|| {
            self.push(SeriesEntry {
                name: name.to_owned(),
                points: 0,
                non_finite: 0,
                kinds: 0,
                first_step: i64::MAX,
                last_step: i64::MIN,
                min: None,
                max: None,
                sum: 0.0,
                first: Value::Bool(false),
                last: Value::Bool(false),
            })
        })
    }

    /// Takes the values of one column in; `steps` are those of its rows.
    fn absorb(&mut self, column: &Column, steps: impl Iterator<Item = i64>) {
        let Some(entry) = self.entries.get_mut(column.series as usize) else { return };
        let page = u64::from(column.series) / PAGE_ENTRIES as u64;
        if !self.changed_pages.contains(&page) {
            self.changed_pages.push(page);
        }
        for (index, step) in steps.enumerate() {
            let Some(value) = value_at(&column.values, index) else { break };
            absorb_point(entry, step, &value);
        }
    }
}

/// Returns the `index`-th value of a column.
pub(crate) fn value_at(values: &Values, index: usize) -> Option<Value> {
    Some(match values {
        Values::Float(all) => Value::Float(*all.get(index)?),
        Values::Int(all) => Value::Int(*all.get(index)?),
        Values::Bool(all) => Value::Bool(*all.get(index)?),
        Values::Text(all) => Value::Text(all.get(index)?.clone()),
    })
}

fn absorb_point(entry: &mut SeriesEntry, step: i64, value: &Value) {
    let number = match value {
        Value::Float(float) => Some(*float),
        Value::Int(int) => Some(*int as f64),
        Value::Bool(bool) => Some(f64::from(u8::from(*bool))),
        Value::Text(_) => None,
    };
    entry.kinds |= match value {
        Value::Float(_) => 1,
        Value::Int(_) => 2,
        Value::Bool(_) => 4,
        Value::Text(_) => 8,
    };
    if entry.points == 0 || step < entry.first_step {
        (entry.first_step, entry.first) = (step, fold::shortened(value));
    }
    if entry.points == 0 || step >= entry.last_step {
        (entry.last_step, entry.last) = (step, fold::shortened(value));
    }
    entry.points += 1;
    match number {
        Some(number) if number.is_finite() => {
            entry.sum += number;
            let beats = |old: &Option<Value>, less: bool| match old {
                None => true,
                Some(old) => is_less(value, old) == less && (less || is_less(old, value)),
            };
            if beats(&entry.min, true) {
                entry.min = Some(value.clone());
            }
            if beats(&entry.max, false) {
                entry.max = Some(value.clone());
            }
        }
        Some(_) => entry.non_finite += 1,
        None => {}
    }
}

fn is_less(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => left < right,
        _ => as_float(left) < as_float(right),
    }
}

fn as_float(value: &Value) -> f64 {
    match value {
        Value::Float(float) => *float,
        Value::Int(int) => *int as f64,
        Value::Bool(bool) => f64::from(u8::from(*bool)),
        Value::Text(_) => f64::NAN,
    }
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
        Ok(RunData { object, key: Some(tx.key(keyring, id)?), record, head, series: SeriesTable::default() })
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

    /// Reads the list of row groups, in order of ingest.
    pub(crate) fn groups(&self, tx: &ReadTx<'_>, keyring: &Keyring) -> Result<Vec<GroupEntry>> {
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
        for (name, metric) in &mut batch.metrics {
            let Some(name) = name.as_ref().filter(|_| !metric.is_empty()) else { continue };
            let number = self.series.number_or_new(name);
            for column in std::mem::take(metric).into_columns(number, rows) {
                match &column.presence {
                    runcellar_format::block::Presence::Dense => {
                        self.series.absorb(&column, batch.steps.iter().copied())
                    }
                    runcellar_format::block::Presence::Rows(present) => {
                        let steps = present.iter().filter_map(|row| batch.steps.get(*row as usize).copied());
                        self.series.absorb(&column, steps);
                    }
                }
                columns.push(column);
            }
        }
        fold::apply_definitions(&mut self.record, &self.series.entries);
        Ok(columns)
    }

    pub(crate) fn key(&self) -> Result<Arc<OwnerKey>> {
        self.key.clone().ok_or_else(|| Error::damaged(format!("run {}: its key is missing", self.record.id)))
    }

    /// Writes record, head and the changed pages of series back.
    pub(crate) fn store(&mut self, tx: &mut WriteTx<'_>) -> Result<()> {
        let key = self.key()?;
        let noun = format!("run {}", self.record.id);
        let mut sum = runcellar_format::sum::Sum(self.head.sum);
        for number in std::mem::take(&mut self.series.changed_pages) {
            let first = number as usize * PAGE_ENTRIES;
            let entries = self.series.entries.iter().skip(first).take(PAGE_ENTRIES).cloned().collect();
            let body = SeriesPage { entries }.to_body().map_err(|cause| Error::format(&noun, cause))?;
            let place = ObjectKey::new(Kind::SeriesPage, self.object, number);
            let (old, new) = tx.put(place, None, &key, &body, Cover::Head)?;
            if let Some(old) = old {
                sum.remove(&old);
            }
            sum.add(&new);
        }
        self.head.sum = sum.0;
        self.head.series = u32::try_from(self.series.entries.len()).unwrap_or(u32::MAX);
        self.head.version += 1;
        let head = self.head.to_body().map_err(|cause| Error::format(&noun, cause))?;
        tx.put(ObjectKey::new(Kind::Head, self.object, 0), None, &key, &head, Cover::Root)?;
        let record = self.record.to_body().map_err(|cause| Error::format(&noun, cause))?;
        let tag = super::store::run_tag(tx, &self.record.id)?;
        tx.put(ObjectKey::new(Kind::Run, self.object, 0), Some(tag), &key, &record, Cover::Root)?;
        Ok(())
    }
}
