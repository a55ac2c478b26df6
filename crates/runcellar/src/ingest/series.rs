//! The series of a run as ingest needs them: numbers by name, which are remembered, and the pages that a batch touches.
//! What ingest costs so depends on the batch, and not on how many series the run has.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use runcellar_format::ObjectId;
use runcellar_format::record::{Body, PAGE_ENTRIES, SeriesEntry, SeriesPage};
use runcellar_format::seal::Kind;

use super::data::RunData;
use super::statistics;
use crate::db::{ObjectKey, ReadTx, WriteTx};
use crate::interned::Interned;
use crate::keys::Keyring;
use crate::{Error, Result};

/// The numbers of a run's series. Series are only ever added, so that what is known stays right and only what other
/// writers added has to be read.
#[derive(Default)]
pub(crate) struct SeriesNumbers {
    run: ObjectId,
    numbers: Interned,
}

impl SeriesNumbers {
    /// Reads what is new since the last time.
    pub(crate) fn refresh(&mut self, tx: &ReadTx<'_>, keyring: &Keyring, data: &RunData) -> Result<()> {
        if self.run != data.object || self.len() > data.head.series {
            *self = SeriesNumbers { run: data.object, numbers: Interned::default() };
        }
        while self.len() < data.head.series {
            let known = self.len();
            let page = page_at(tx, keyring, data, page_of(known))?;
            let names = page.entries.into_iter().skip(known as usize % PAGE_ENTRIES).map(|entry| entry.name);
            self.add(names);
            if self.len() == known {
                return Err(Error::damaged(format!(
                    "run {}: page {} of its series ends early",
                    data.record.id,
                    page_of(known)
                )));
            }
        }
        Ok(())
    }

    pub(super) fn get(&self, name: &str) -> Option<u32> {
        self.numbers.find(name)
    }

    /// Takes note of series that were added after the known ones.
    pub(super) fn add(&mut self, names: impl IntoIterator<Item = impl AsRef<str>>) {
        for name in names {
            self.numbers.add(name.as_ref());
        }
    }

    fn len(&self) -> u32 {
        self.numbers.len()
    }
}

/// What became of a batch's series.
pub(crate) struct StoredSeries {
    /// The number of each.
    pub(crate) numbers: Vec<u32>,
    /// The names of those that are new to the run, in order of number: to be remembered once the transaction has
    /// been committed.
    pub(super) fresh: Vec<Arc<str>>,
    /// Their entries as they are now, in order of number.
    pub(super) entries: Vec<SeriesEntry>,
}

/// Adds statistics of a batch to those of the run; `known` is up to date.
pub(crate) fn store(
    tx: &mut WriteTx<'_>,
    data: &mut RunData,
    known: &SeriesNumbers,
    more: Vec<SeriesEntry>,
) -> Result<StoredSeries> {
    let (mut numbers, mut fresh, mut fresh_numbers) = (Vec::with_capacity(more.len()), Vec::new(), HashMap::new());
    for entry in &more {
        let number = known.get(&entry.name).or_else(|| fresh_numbers.get(&*entry.name).copied());
        numbers.push(number.unwrap_or_else(|| {
            let (number, name) = (data.head.series, Arc::<str>::from(entry.name.as_str()));
            data.head.series += 1;
            fresh_numbers.insert(name.clone(), number);
            fresh.push(name);
            number
        }));
    }
    let mut pages: BTreeMap<u64, Vec<(u32, SeriesEntry)>> = BTreeMap::new();
    for (number, entry) in numbers.iter().zip(more) {
        pages.entry(page_of(*number)).or_default().push((*number, entry));
    }
    let mut entries = Vec::with_capacity(numbers.len());
    for (position, mut more) in pages {
        more.sort_by_key(|(number, _)| *number);
        let mut page = page_at(tx, tx.keyring, data, position)?;
        for (number, more) in more {
            let place = number as usize % PAGE_ENTRIES;
            if place == page.entries.len() {
                page.entries.push(statistics::empty(&more.name));
            }
            let entry = page.entries.get_mut(place).filter(|entry| entry.name == more.name).ok_or_else(|| {
                Error::damaged(format!("run {}: series {number} is not {:?}", data.record.id, more.name))
            })?;
            statistics::merge(entry, more);
            entries.push(entry.clone());
        }
        put_page(tx, data, position, &page)?;
    }
    Ok(StoredSeries { numbers, fresh, entries })
}

fn page_of(number: u32) -> u64 {
    u64::from(number) / PAGE_ENTRIES as u64
}

fn page_at(tx: &ReadTx<'_>, keyring: &Keyring, data: &RunData, position: u64) -> Result<SeriesPage> {
    match tx.object(ObjectKey::new(Kind::SeriesPage, data.object, position))? {
        Some(row) => SeriesPage::from_body(&tx.open_object(keyring, &row)?)
            .map_err(|cause| Error::format(format_args!("series of run {}", data.record.id), cause)),
        None => Ok(SeriesPage::default()),
    }
}

/// Writes a page of the run's series.
pub(crate) fn put_page(tx: &mut WriteTx<'_>, data: &mut RunData, position: u64, page: &SeriesPage) -> Result<()> {
    let body = page.to_body().map_err(|cause| Error::format(format_args!("run {}", data.record.id), cause))?;
    data.put_page(tx, Kind::SeriesPage, position, &body)
}
