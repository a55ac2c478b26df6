//! A look at all runs, as they are at one moment: blocks of the catalogue, runs changed since, and on top the tails of
//! live journals.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use runcellar_format::ObjectId;
use runcellar_format::catalogue::{CellKind, Space, leaf_member};
use runcellar_format::seal::Kind;

use super::at_best::at_best;
use super::bind::{AtBest, Bound, scalar_of};
use super::filter::{Field, Scalar};
use super::runs::RunInfo;
use super::tail::{OpenJournals, View};
use crate::catalogue::{Block, Column, Fresh, Known, fold_if_due, info_at, project_names};
use crate::db::{ObjectKey, ReadTx};
use crate::ingest::batch::Batch;
use crate::ingest::data::RunData;
use crate::keys::Keyring;
use crate::lineage::as_of;
use crate::monitor::Monitor;
use crate::workspace::Inner;
use crate::{Error, ErrorKind, Result, Value};

/// Runs of one block up to which each is read from its record, some 40 us a run; for more, all its columns are decoded.
const FROM_RECORDS_MAX: usize = 64;

/// All runs.
pub(super) struct Look<'a> {
    tx: &'a ReadTx<'a>,
    keyring: &'a Keyring,
    known: &'a Known,
    /// Runs read from their records: those changed since the catalogue, and those of live journals.
    runs: Vec<Arc<Fresh>>,
    /// Runs of live journals with their tails.
    views: HashMap<ObjectId, View>,
    /// Rows of blocks that count.
    current: Vec<Cow<'a, [bool]>>,
    pub(super) now_us: i64,
    monitor: &'a dyn Monitor,
}

/// Where a run is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// A row of a block.
    Row(u32, u32),
    /// A run that was read from its record.
    Run(u32),
}

/// Looks at all runs. A catalogue that turns out to be damaged is told to the monitor, and the records are read instead.
pub(super) fn look<T>(inner: &Inner, reading: impl Fn(&Look<'_>) -> Result<T>) -> Result<T> {
    if let Some(time) = inner.as_of {
        return look_back(inner, time, reading);
    }
    if inner.may_write {
        fold_if_due(inner);
    }
    loop {
        let journals = OpenJournals::open(inner)?;
        let seen = inner.read_catalogue(|tx, keyring, known| {
            known.refresh(tx, keyring, &*inner.monitor)?;
            let tails = journals.tails(inner, tx, keyring, None)?;
            match Look::new(inner, tx, keyring, known, tails).and_then(|look| reading(&look)) {
                // At most once: there is nothing left to give up then.
                Err(error) if is_damage(&error) && known.give_up(&error, &*inner.monitor) => Ok(None),
                outcome => outcome.map(Some),
            }
        })?;
        if let Some(value) = seen {
            return Ok(value);
        }
    }
}

/// Looks at all runs as they were at a time, each put together from what is stored of it.
fn look_back<T>(inner: &Inner, time: i64, reading: impl Fn(&Look<'_>) -> Result<T>) -> Result<T> {
    let journals = OpenJournals::open(inner)?;
    inner.read(|tx, keyring| {
        let changes = as_of::changes(tx, keyring, None)?;
        let mut tails: HashMap<ObjectId, Vec<Batch>> = HashMap::new();
        for (run, batch) in journals.tails(inner, tx, keyring, None)? {
            tails.entry(run).or_default().push(batch);
        }
        let mut stored = Vec::new();
        for row in tx.objects(Kind::Run, None)? {
            let data = RunData::without_series(tx, keyring, &row).and_then(|mut data| {
                // What was not there yet is not read further.
                if data.record.created <= time {
                    data.load_series(tx, keyring)?;
                }
                Ok(data)
            });
            match data {
                Ok(data) if data.record.created > time => drop(tails.remove(&data.object)),
                Ok(data) => stored.push((tails.remove(&data.object).unwrap_or_default(), data)),
                Err(error) => inner.monitor.warn(&format!("{error}; runcellar check says more")),
            }
        }
        for (run, tails) in tails {
            if let Some(start) = tails.iter().find_map(|batch| batch.start.as_deref()) {
                let data = View::of_start(run, start)?.data;
                stored.push((tails, data));
            }
        }
        let projects = project_names(tx, keyring);
        let (mut views, mut runs) = (HashMap::new(), Vec::new());
        for (tails, data) in stored {
            let changes = changes.get(&data.object).map_or(&[][..], Vec::as_slice);
            let Some(view) = as_of::view_at(tx, keyring, data, changes, tails, time)? else { continue };
            let record = &view.data.record;
            let project = projects.get(&ObjectId(record.project)).unwrap_or(&record.start.project_name).clone();
            let info = RunInfo::of(&view.data, project)?;
            runs.push(Arc::new(Fresh::with_series(info, view.data.series.entries.clone())));
            views.insert(view.data.object, view);
        }
        let known = Known::default();
        let monitor = &*inner.monitor;
        reading(&Look { tx, keyring, known: &known, runs, views, current: Vec::new(), now_us: time, monitor })
    })
}

fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Damaged | ErrorKind::NewerFormat | ErrorKind::InvalidArgument)
}

impl<'a> Look<'a> {
    fn new(
        inner: &'a Inner,
        tx: &'a ReadTx<'a>,
        keyring: &'a Keyring,
        known: &'a Known,
        tails: Vec<(ObjectId, Batch)>,
    ) -> Result<Look<'a>> {
        let mut views: HashMap<ObjectId, View> = HashMap::new();
        for (run, batch) in tails {
            let view = match views.entry(run) {
                std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::hash_map::Entry::Vacant(entry) => {
                    let view = match RunData::load(tx, keyring, run) {
                        Ok(Some(data)) => View { data, tails: Vec::new() },
                        Ok(None) => match batch.start.as_deref() {
                            Some(start) => View::of_start(run, start)?,
                            None => continue,
                        },
                        // Its record is damaged, which was told.
                        Err(_) => continue,
                    };
                    entry.insert(view)
                }
            };
            view.absorb(batch)?;
        }
        let mut current: Vec<Cow<'a, [bool]>> = known.current.iter().map(|rows| Cow::Borrowed(&**rows)).collect();
        let mut runs = known.fresh.clone();
        for (run, view) in &views {
            let info = RunInfo::of(&view.data, known.project_of(&view.data))?;
            let fresh = Arc::new(Fresh::with_series(info, view.data.series.entries.clone()));
            match known.fresh_place(*run).and_then(|place| runs.get_mut(place)) {
                Some(slot) => *slot = fresh,
                None => runs.push(fresh),
            }
            if let Some((block, row)) = known.place(*run)
                && let Some(rows) = current.get_mut(block as usize)
                && let Some(row) = rows.to_mut().get_mut(row as usize)
            {
                *row = false;
            }
        }
        let now_us = inner.io.wall_us();
        Ok(Look { tx, keyring, known, runs, views, current, now_us, monitor: &*inner.monitor })
    }

    /// Returns where every run is.
    pub(super) fn all(&self) -> impl Iterator<Item = At> + '_ {
        let rows = (0..).zip(&self.current).flat_map(|(block, rows)| {
            (0..).zip(rows.iter()).filter(|(_, current)| **current).map(move |(row, _)| At::Row(block, row))
        });
        rows.chain((0..).zip(&self.runs).map(|(run, _)| At::Run(run)))
    }

    /// Gets fields ready to be read of every run.
    pub(super) fn fields<'f>(&'f self, fields: &'f [Field]) -> Result<Fields<'f>> {
        let bind = |block: &'f Arc<Block>| {
            let bind = |field| Bound::new(self.tx, self.keyring, self.known, block, field, self.now_us);
            fields.iter().map(bind).collect::<Result<Vec<_>>>()
        };
        let bound = self.known.blocks.iter().map(bind).collect::<Result<_>>()?;
        if fields.iter().any(|field| matches!(field, Field::Statistic(..))) {
            self.runs.iter().try_for_each(|run| run.load_series(self.tx, self.keyring))?;
        }
        Ok(Fields { look: self, fields, bound })
    }

    /// Returns the summary keys of which one of these runs has a number, in order of name.
    pub(super) fn numeric_summaries(&self, among: &[At]) -> Result<Vec<String>> {
        let mut keys = BTreeSet::new();
        let mut rows: Vec<Vec<u32>> = vec![Vec::new(); self.known.blocks.len()];
        for at in among {
            match *at {
                At::Row(block, row) => rows.get_mut(block as usize).into_iter().for_each(|rows| rows.push(row)),
                At::Run(run) => {
                    let summary = self.runs.get(run as usize).into_iter().flat_map(|run| &run.info.summary);
                    let numbers = summary.filter(|(_, value)| matches!(value, Value::Float(_) | Value::Int(_)));
                    keys.extend(numbers.map(|(key, _)| key.clone()));
                }
            }
        }
        for (block, rows) in self.known.blocks.iter().zip(&rows).filter(|(_, rows)| !rows.is_empty()) {
            for (index, column) in block.main.columns.iter().enumerate() {
                let numeric = matches!(column.kind, CellKind::Float | CellKind::Int);
                let Some(key) = leaf_member(&column.name).filter(|key| !keys.contains(key)) else { continue };
                if column.space == Space::Summary && numeric {
                    block.load(self.tx, self.keyring, [index])?;
                    let column = block.column(index);
                    if column.is_some_and(|column| rows.iter().any(|row| column.place(*row).is_some())) {
                        keys.insert(key);
                    }
                }
            }
        }
        Ok(keys.into_iter().collect())
    }

    /// Gets ready to tell which runs `rm` hid.
    pub(super) fn removed(&self) -> Result<Removed<'_>> {
        let column = |block: &'a Arc<Block>| {
            let Some(index) = block.main.find(Space::Field, "removed", CellKind::Int) else { return Ok(None) };
            block.load(self.tx, self.keyring, [index])?;
            Ok(block.column(index))
        };
        Ok(Removed { look: self, columns: self.known.blocks.iter().map(column).collect::<Result<_>>()? })
    }

    /// Returns what listings show of these runs, in their order.
    pub(super) fn infos(&self, wanted: &[At]) -> impl Iterator<Item = Result<RunInfo>> {
        let mut counts = vec![0_usize; self.known.blocks.len()];
        for at in wanted {
            if let At::Row(block, _) = at
                && let Some(count) = counts.get_mut(*block as usize)
            {
                *count += 1;
            }
        }
        wanted.iter().filter_map(move |at| self.info(*at, &counts).transpose())
    }

    fn info(&self, at: At, counts: &[usize]) -> Result<Option<RunInfo>> {
        let (number, row) = match at {
            At::Run(run) => return Ok(self.runs.get(run as usize).map(|run| run.info.clone())),
            At::Row(block, row) => (block as usize, row),
        };
        let Some(block) = self.known.blocks.get(number) else { return Ok(None) };
        let Some(run) = block.runs.get(row as usize) else { return Ok(None) };
        if counts.get(number).is_some_and(|count| *count <= FROM_RECORDS_MAX)
            && let Some(record) = self.tx.object(ObjectKey::new(Kind::Run, *run, 0))?
            && let Ok(info) = self.known.info(self.tx, self.keyring, &record)
        {
            return Ok(Some(info));
        }
        block.load_spaces(self.tx, self.keyring, &[Space::Field, Space::Config, Space::Summary])?;
        let info = info_at(block, row);
        let mut info = info.ok_or_else(|| {
            Error::new(ErrorKind::Damaged, format!("catalogue block {}: row {row} makes no run", block.id))
        })?;
        if let Some(name) = self.known.projects.get(&info.project_object) {
            info.project.clone_from(name);
        }
        Ok(Some(info))
    }

    fn read_at_best(&self, run: ObjectId, metric: &str, key: &str) -> Result<Option<Value>> {
        if let Some(view) = self.views.get(&run) {
            return at_best(self.tx, self.keyring, view, metric, key);
        }
        match RunData::load(self.tx, self.keyring, run)? {
            Some(data) => at_best(self.tx, self.keyring, &View { data, tails: Vec::new() }, metric, key),
            None => Ok(None),
        }
    }

    /// Takes what was read of a run; a run that cannot be read is told, and has no value.
    fn or_absent<T>(&self, outcome: Result<Option<T>>) -> Option<T> {
        outcome.unwrap_or_else(|error| {
            self.monitor.warn(&format!("{error}; runcellar check says more"));
            None
        })
    }
}

impl AtBest for Look<'_> {
    fn of_row(&self, block: &Block, row: u32, metric: &str, key: &str) -> Option<Value> {
        let run = *block.runs.get(row as usize)?;
        self.or_absent(block.at_best(row, metric, key, || self.read_at_best(run, metric, key)))
    }

    fn of_run(&self, run: ObjectId, metric: &str, key: &str) -> Option<Value> {
        self.or_absent(self.read_at_best(run, metric, key))
    }
}

/// Which runs `rm` hid.
pub(super) struct Removed<'f> {
    look: &'f Look<'f>,
    columns: Vec<Option<&'f Column>>,
}

impl Removed<'_> {
    pub(super) fn is(&self, at: At) -> bool {
        match at {
            At::Row(block, row) => {
                self.columns.get(block as usize).is_some_and(|column| column.is_some_and(|all| all.int(row).is_some()))
            }
            At::Run(run) => self.look.runs.get(run as usize).is_some_and(|run| run.info.removed.is_some()),
        }
    }
}

/// Fields of all runs.
pub(super) struct Fields<'f> {
    look: &'f Look<'f>,
    fields: &'f [Field],
    bound: Vec<Vec<Bound<'f>>>,
}

impl<'f> Fields<'f> {
    /// Returns the value of the field of a number.
    pub(super) fn get(&self, at: At, field: usize) -> Option<Scalar<'f>> {
        match at {
            At::Row(block, row) => self.bound.get(block as usize)?.get(field)?.scalar(row, self.look),
            At::Run(run) => {
                let fresh = self.look.runs.get(run as usize)?;
                scalar_of(fresh, self.fields.get(field)?, self.look.now_us, self.look)
            }
        }
    }
}
