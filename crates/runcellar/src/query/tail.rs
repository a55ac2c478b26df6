//! The tails of journals: rows that are kept but not ingested yet.
//!
//! A reader opens the journals first and the database second: what a writer ingests in between is then in the
//! database, and what it writes later is not promised to this reader. So no acknowledged row is missed, whoever
//! ingests meanwhile.

use std::collections::HashMap;

use runcellar_format::block::Column;
use runcellar_format::record::Start;
use runcellar_format::seal::Kind;
use runcellar_format::{JournalId, ObjectId, WriterId};

use super::runs::RunInfo;
use crate::db::{ObjectKey, ReadTx};
use crate::ingest::batch::Batch;
use crate::ingest::data::{RunData, SeriesTable};
use crate::ingest::progress::Progress;
use crate::ingest::reader::{JournalFile, JournalReader};
use crate::ingest::{fold, journal_files, statistics, store};
use crate::keys::Keyring;
use crate::lineage::{as_of, rewind};
use crate::run::registry::{self, Owner};
use crate::workspace::Inner;
use crate::{Error, ErrorKind, Result, Workspace};

/// A run with the tails of its journals taken in.
pub(crate) struct View {
    pub(crate) data: RunData,
    /// Rows that no block has, in columns under the run's series numbers.
    pub(crate) tails: Vec<Tail>,
}

/// Rows of one writer that no block has.
pub(crate) struct Tail {
    pub(crate) writer: WriterId,
    pub(crate) steps: Vec<i64>,
    pub(crate) times: Vec<i64>,
    pub(crate) columns: Vec<Column>,
}

/// Journals opened before the database is read.
pub(crate) struct OpenJournals {
    files: Vec<JournalFile>,
}

impl OpenJournals {
    /// Opens every journal there is. One that cannot be read is told to the monitor.
    pub(crate) fn open(inner: &Inner) -> Result<OpenJournals> {
        let mut files = Vec::new();
        for (id, path) in journal_files(inner)? {
            let opened = match registry::owner(&*inner.io, id, &path) {
                Owner::Own(file) => Ok(file),
                Owner::Making => continue,
                Owner::Other => inner.io.open(&path),
            };
            let file = match opened {
                Ok(file) => file,
                Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => continue,
                Err(cause) => {
                    inner.monitor.warn(&Error::io("open journal", &path, cause).to_string());
                    continue;
                }
            };
            match JournalFile::open(file) {
                Ok(Some(journal)) => files.push(journal),
                Ok(None) => {}
                Err(error) => inner.monitor.warn(&format!("journal {id}: {error}")),
            }
        }
        files.sort_by_key(|file| (file.header.writer, file.header.first_sequence));
        Ok(OpenJournals { files })
    }

    /// Returns the files of each writer, in the order in which they were begun.
    pub(crate) fn by_writer(self) -> Vec<Vec<JournalFile>> {
        let mut writers: Vec<Vec<JournalFile>> = Vec::new();
        for file in self.files {
            match writers.last_mut() {
                Some(files) if files[0].header.writer == file.header.writer => files.push(file),
                _ => writers.push(vec![file]),
            }
        }
        writers
    }

    /// Returns the run of each journal whose run can be told, by the journal's id.
    pub(crate) fn owners(self, tx: &ReadTx<'_>, keyring: &Keyring) -> Result<HashMap<JournalId, ObjectId>> {
        let mut owners = HashMap::new();
        for file in self.files {
            let (journal, writer) = (file.header.journal, file.header.writer);
            // A tombstone that does not open is told by `check`.
            if tx.is_buried(keyring, ObjectId(writer.0)).unwrap_or(false) {
                continue;
            }
            let owner = match store::writer_row(tx, keyring, writer)? {
                Some(row) => Some(ObjectId(row.run)),
                None => {
                    let mut batch = Batch::after(writer, Progress::default());
                    // One that does not open, or has no start record, is nobody's; `check` says what is wrong with it.
                    let read = file.unlock(tx, keyring).and_then(|mut reader| {
                        reader.read(|sequence, plain| {
                            batch.take(sequence, plain)?;
                            Ok(batch.start.is_none())
                        })
                    });
                    match read.ok().and(batch.start) {
                        Some(start) if !store::is_of_erased_run(tx, keyring, &start)? => {
                            Some(run_of(tx, keyring, &start)?)
                        }
                        _ => None,
                    }
                }
            };
            owners.extend(owner.map(|owner| (journal, owner)));
        }
        Ok(owners)
    }

    /// Reads what the database does not have, one batch after the other, in order of writer and sequence.
    ///
    /// `only` leaves out what is known to belong to other runs. A journal that cannot be read to its end is told to the monitor; what it gave before that counts.
    pub(crate) fn tails(
        self,
        inner: &Inner,
        tx: &ReadTx<'_>,
        keyring: &Keyring,
        only: Option<ObjectId>,
    ) -> Result<Vec<(ObjectId, Batch)>> {
        let mut out: Vec<(ObjectId, Batch)> = Vec::new();
        // Writers that began one run at once, each under an object id of its own: one of these becomes the run's.
        let mut begun: HashMap<String, ObjectId> = HashMap::new();
        for files in self.by_writer() {
            let writer = files[0].header.writer;
            match tx.is_buried(keyring, ObjectId(writer.0)) {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => inner.monitor.warn(&format!("journals of writer {writer}: {error}")),
            }
            let row = store::writer_row(tx, keyring, writer)?;
            if only.is_some_and(|only| row.as_ref().is_some_and(|row| row.run != only.0)) {
                continue;
            }
            let base = row.as_ref().map_or_else(Progress::default, Progress::of);
            for batch in read_writer(inner, tx, keyring, writer, files, base) {
                let run = match (&row, &batch.start) {
                    (Some(row), _) => ObjectId(row.run),
                    (None, Some(start)) if store::is_of_erased_run(tx, keyring, start)? => continue,
                    (None, Some(start)) => match stored_as(tx, keyring, &start.run_id)? {
                        Some(stored) => stored,
                        None => *begun.entry(start.run_id.clone()).or_insert(ObjectId(start.run)),
                    },
                    (None, None) => continue,
                };
                out.push((run, batch));
            }
        }
        Ok(out)
    }
}

/// Reads what the files of one writer have beyond `base`, a batch each.
///
/// The writer may go on with its next file between the reading of the one before and of that one: frames that seem to be
/// missing are then at the end of the former, so all are read once more.
fn read_writer(
    inner: &Inner,
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    writer: WriterId,
    files: Vec<JournalFile>,
    base: Progress,
) -> Vec<Batch> {
    let mut readers = Vec::new();
    for file in files {
        let journal = file.header.journal;
        match file.unlock(tx, keyring) {
            Ok(reader) => readers.push(reader),
            Err(error) => inner.monitor.warn(&format!("journal {journal}: {error}")),
        }
    }
    let read = |readers: &mut [JournalReader], told: bool| {
        let (mut progress, mut batches) = (base.clone(), Vec::new());
        for reader in readers {
            let mut batch = Batch::after(writer, progress);
            let outcome = reader.read(|sequence, plain| batch.take(sequence, plain).map(|()| true));
            if let Some(error) = outcome.err().filter(|_| told) {
                inner.monitor.warn(&format!("journal {}: {error}", reader.header.journal));
            }
            progress = batch.progress.clone();
            batches.push(batch);
        }
        (batches, progress.has_gap_after(base.sequence))
    };
    let (batches, has_gap) = read(&mut readers, true);
    if !has_gap || readers.len() < 2 {
        return batches;
    }
    readers.iter_mut().for_each(JournalReader::rewind);
    read(&mut readers, false).0
}

/// Returns the run that a start record speaks of: the one of that id, if there is one already.
pub(crate) fn run_of(tx: &ReadTx<'_>, keyring: &Keyring, start: &Start) -> Result<ObjectId> {
    Ok(stored_as(tx, keyring, &start.run_id)?.unwrap_or(ObjectId(start.run)))
}

/// Returns the object id of the run that the database has under an id.
fn stored_as(tx: &ReadTx<'_>, keyring: &Keyring, id: &str) -> Result<Option<ObjectId>> {
    let tag = store::tag_of(tx, keyring, Kind::Run, id)?;
    Ok(tx.object_by_tag(Kind::Run, &tag)?.map(|row| row.key.id))
}

/// A run that is to be read. Whoever saw it in the journals alone may know it under the object id of one of several
/// writers that began it at once, which was not the one that was stored first: then its id tells.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    object: ObjectId,
    id: Option<&'a str>,
}

impl From<ObjectId> for Wanted<'_> {
    fn from(object: ObjectId) -> Self {
        Wanted { object, id: None }
    }
}

impl<'a> From<&'a RunInfo> for Wanted<'a> {
    fn from(run: &'a RunInfo) -> Self {
        Wanted { object: run.object, id: Some(&run.id) }
    }
}

impl<'a> Wanted<'a> {
    pub(crate) fn new(object: ObjectId, id: &'a str) -> Self {
        Wanted { object, id: Some(id) }
    }

    /// Returns the object id under which the database has the run; what was asked for if it has none.
    fn stored(self, tx: &ReadTx<'_>, keyring: &Keyring) -> Result<ObjectId> {
        let Some(id) = self.id else { return Ok(self.object) };
        // One that was erased is gone, whatever has its id since.
        if tx.object(ObjectKey::new(Kind::Run, self.object, 0))?.is_some() || tx.is_buried(keyring, self.object)? {
            return Ok(self.object);
        }
        Ok(stored_as(tx, keyring, id)?.unwrap_or(self.object))
    }
}

impl View {
    /// Takes a batch of a journal in.
    pub(crate) fn absorb(&mut self, mut batch: Batch) -> Result<()> {
        for (_, mut gone) in rewind::split(&self.data.rewinds()?, &mut batch) {
            if self.data.hidden {
                let (rows, mut columns) = (gone.rows(), Vec::new());
                for metric in &mut gone.metrics {
                    let number = self.data.series.absorb(statistics::empty(&metric.name));
                    columns.extend(metric.columns.take_columns(number, rows));
                }
                self.tails.push(Tail { writer: gone.writer, steps: gone.steps, times: gone.times, columns });
            }
        }
        let columns = self.data.absorb(&mut batch)?;
        if self.data.hidden {
            return Ok(());
        }
        if !batch.steps.is_empty() {
            let Batch { writer, steps, times, .. } = batch;
            self.tails.push(Tail { writer, steps, times, columns });
        }
        Ok(())
    }

    /// Makes the view of a run that only journals know.
    pub(crate) fn of_start(object: ObjectId, start: &Start) -> Result<View> {
        let record = fold::record_of(start)?;
        let data = RunData {
            object,
            key: None,
            record,
            head: Default::default(),
            series: SeriesTable::default(),
            hidden: false,
            until: None,
        };
        Ok(View { data, tails: Vec::new() })
    }
}

/// Runs `reading` on one run with its tails, in one read transaction.
pub(crate) fn with_run<'a, T>(
    inner: &Inner,
    run: impl Into<Wanted<'a>>,
    reading: impl FnOnce(&ReadTx<'_>, &Keyring, &View) -> Result<T>,
) -> Result<T> {
    let journals = OpenJournals::open(inner)?;
    inner.read(|tx, keyring| reading(tx, keyring, &view_of(inner, journals, tx, keyring, run, false)?))
}

/// Does so with the rows of a run, which are brought here if they are not: then it reads twice.
pub(crate) fn with_rows<T>(
    workspace: &Workspace,
    run: &RunInfo,
    mut reading: impl FnMut(&ReadTx<'_>, &Keyring, &View) -> Result<T>,
) -> Result<T> {
    match with_run(&workspace.inner, run, &mut reading) {
        Err(error) if error.kind() == ErrorKind::Evicted => {
            workspace.bring_rows(run.object)?;
            with_run(&workspace.inner, run, reading)
        }
        read => read,
    }
}

/// Reads one run with its tails: what shows of it, or what rewinds hide.
pub(crate) fn view_of<'a>(
    inner: &Inner,
    journals: OpenJournals,
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    run: impl Into<Wanted<'a>>,
    hidden: bool,
) -> Result<View> {
    let stored = run.into().stored(tx, keyring)?;
    let tails = journals.tails(inner, tx, keyring, Some(stored))?;
    let began = |batch: &Batch| batch.start.as_ref().is_some_and(|start| start.run == stored.0);
    let run = tails.iter().find(|(_, batch)| began(batch)).map_or(stored, |(owner, _)| *owner);
    let tails: Vec<Batch> = tails.into_iter().filter(|(owner, _)| *owner == run).map(|(_, batch)| batch).collect();
    let mut view = match RunData::load(tx, keyring, run)? {
        Some(data) => View { data, tails: Vec::new() },
        None => match tails.iter().find_map(|batch| batch.start.as_deref()) {
            Some(start) => View::of_start(run, start)?,
            None => return Err(Error::new(ErrorKind::NotFound, format!("run {run}: not in this workspace"))),
        },
    };
    view.data.hidden = hidden;
    if let Some(time) = inner.as_of {
        let changes = match view.data.key {
            Some(_) => as_of::changes(tx, keyring, Some(&view.data))?,
            None => as_of::Changes::new(),
        };
        let changes = changes.get(&run).map_or(&[][..], Vec::as_slice);
        let id = view.data.record.id.clone();
        let past = as_of::view_at(tx, keyring, view.data, changes, tails, time)?;
        return past.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("run {id}: it was not there at that time")));
    }
    for batch in tails {
        view.absorb(batch)?;
    }
    Ok(view)
}
