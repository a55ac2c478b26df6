//! Driving ingest for one writer: read frames into a batch, make it ready, store it, and on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use runcellar_format::WriterId;
use runcellar_format::block::Level;
use runcellar_format::record::Start;

use super::batch::Batch;
use super::prepare;
use super::progress::Progress;
use super::reader::JournalReader;
use super::series::SeriesNumbers;
use super::store::{self, Stored};
use crate::lineage::rewind;
use crate::workspace::Writing;
use crate::{Error, ErrorKind, Result};

/// How long the background of a run waits for the database before it tries again a second later.
pub(super) const RUNNING_WAIT: Duration = Duration::from_millis(500);
/// Unread bytes of a journal from which ingest has fallen behind its writer, and stores at the cheap level: some groups of
/// 20 values a row.
const BEHIND_BYTES: u64 = 4 << 20;
/// Unread bytes from which a second thread pays: some groups.
const AHEAD_BYTES: u64 = 2 << 20;

/// How far a journal is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Only whole groups: the file is still being written, and its tail is read from the journal.
    WholeGroups,
    /// Everything that is there.
    All,
}

/// Who waits for ingest.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace<'a> {
    /// Nobody, until this is set: the run goes on, and the processor is its own.
    Running(&'a AtomicBool),
    /// `finish()`.
    Ending,
    /// Whoever opens a workspace in which writers died: what is much is stored cheaply, and written anew later.
    Recovering,
}

/// What ingest of one writer keeps from one call to the next.
pub(crate) struct Intake {
    batch: Batch,
    known: SeriesNumbers,
    /// True if groups were stored at the cheap level and not written anew since.
    pub(crate) owes_best: bool,
}

impl Intake {
    /// Goes on where the database stands.
    pub(crate) fn after(writer: WriterId, progress: Progress) -> Intake {
        Intake { batch: Batch::after(writer, progress), known: SeriesNumbers::default(), owes_best: false }
    }

    /// Goes on after an error, from what the database has.
    pub(crate) fn restart(&mut self, progress: Progress) {
        *self = Intake { owes_best: self.owes_best, ..Intake::after(self.batch.writer, progress) };
    }

    /// Takes this for the start record of the writer, whatever its files say: it comes from another workspace, where the run
    /// may have another id.
    pub(crate) fn begin_as(&mut self, start: Start) {
        self.batch.start = Some(Box::new(start));
    }

    /// Returns what the database had before the batch at hand.
    pub(crate) fn base(&self) -> &Progress {
        &self.batch.base
    }

    /// Forgets the names of a file before the next file of the writer is read.
    pub(crate) fn next_file(&mut self) {
        self.batch.next_file();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Ingests what `reader` has from where it stands; what `extent` leaves is kept for the next call. Returns false if it
    /// was stopped before it had all of that.
    ///
    /// After an error, the reader has passed frames that are not stored.
    ///
    /// # Errors
    /// [`ErrorKind::State`] if another process ingested the same frames meanwhile.
    pub(crate) fn ingest(
        &mut self,
        writing: &Writing<'_>,
        reader: &mut JournalReader,
        extent: Extent,
        pace: Pace<'_>,
    ) -> Result<bool> {
        let (wait, stop) = match pace {
            Pace::Running(stop) => (Some(RUNNING_WAIT), Some(stop)),
            Pace::Ending | Pace::Recovering => (None, None),
        };
        if stop.is_none() && reader.bytes_left() > AHEAD_BYTES {
            let cheap = matches!(pace, Pace::Recovering) && reader.bytes_left() > BEHIND_BYTES;
            self.owes_best |= cheap;
            self.read_ahead(writing, reader, if cheap { Level::Fast } else { Level::Best })?;
        }
        loop {
            if stop.is_some_and(|stop| stop.load(Ordering::Acquire)) {
                return Ok(false);
            }
            let full = self.fill(reader)?;
            if self.batch.is_empty() || (!full && extent == Extent::WholeGroups) {
                return Ok(true);
            }
            let behind = stop.is_some() && reader.bytes_left() > BEHIND_BYTES;
            let level = if behind { Level::Fast } else { Level::Best };
            self.owes_best |= behind;
            store_batch(writing, self.batch.detach(), &mut self.known, level, wait, false)?;
            if !full {
                return Ok(true);
            }
        }
    }

    /// Takes in a frame that stands in no file, and stores the batch when it is full.
    pub(crate) fn take(&mut self, writing: &Writing<'_>, sequence: u64, plain: &[u8]) -> Result<()> {
        self.batch.take(sequence, plain)?;
        if self.batch.is_full() { self.store(writing, None, false) } else { Ok(()) }
    }

    /// Stores what is at hand and, if the writer is `dead`, that it ended without a word.
    pub(crate) fn store(&mut self, writing: &Writing<'_>, wait: Option<Duration>, dead: bool) -> Result<()> {
        store_batch(writing, self.batch.detach(), &mut self.known, Level::Best, wait, dead)
    }

    /// Reads frames until the batch is full; returns whether it is.
    fn fill(&mut self, reader: &mut JournalReader) -> Result<bool> {
        let batch = &mut self.batch;
        let mut full = batch.is_full();
        if !full {
            reader.read(|sequence, plain| {
                batch.take(sequence, plain)?;
                full = batch.is_full();
                Ok(!full)
            })?;
        }
        Ok(full)
    }

    /// Stores whole batches in another thread while the next one is read, so that two cores are used. Two batches are in
    /// memory at once. Without another thread it does nothing.
    fn read_ahead(&mut self, writing: &Writing<'_>, reader: &mut JournalReader, level: Level) -> Result<()> {
        let mut known = std::mem::take(&mut self.known);
        let outcome = std::thread::scope(|scope| {
            let (sender, receiver) = mpsc::sync_channel::<Batch>(0);
            let known = &mut known;
            let storing = std::thread::Builder::new().name("runcellar".into()).spawn_scoped(scope, move || {
                receiver.into_iter().try_for_each(|batch| store_batch(writing, batch, known, level, None, false))
            });
            let Ok(storing) = storing else { return Ok(()) };
            let mut read = Ok(());
            loop {
                match self.fill(reader) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        read = Err(error);
                        break;
                    }
                }
                // Nobody takes it: storing has failed, and says why.
                if sender.send(self.batch.detach()).is_err() {
                    break;
                }
            }
            drop(sender);
            let stored =
                storing.join().unwrap_or_else(|_| Err(Error::new(ErrorKind::State, "a thread of ingest panicked")));
            stored.and(read)
        });
        self.known = known;
        outcome
    }
}

fn store_batch(
    writing: &Writing<'_>,
    mut batch: Batch,
    known: &mut SeriesNumbers,
    level: Level,
    wait: Option<Duration>,
    dead: bool,
) -> Result<()> {
    let hidden = rewind::take_hidden(writing, &mut batch)?;
    let prepared = prepare::prepare(writing, &mut batch, known, level)?;
    let stored = writing.write(wait, |tx| {
        let stored = store::store(tx, &batch, prepared, known, dead)?;
        if matches!(stored, Stored::Yes(_)) {
            rewind::store_hidden(tx, batch.writer, hidden)?;
        }
        Ok(stored)
    });
    match stored? {
        Stored::Yes(fresh) => {
            known.add(fresh);
            Ok(())
        }
        Stored::Stale(reached) => {
            Err(Error::new(ErrorKind::State, format!("writer {}: ingested elsewhere up to {reached}", batch.writer)))
        }
    }
}
