//! The background thread of a writer: syncs each second, prepares files, ingests whole groups, and ends the run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use runcellar_format::JournalId;
use runcellar_format::record::Close;

use super::registry;
use super::writer::Writer;
use crate::ingest::batch::{Batch, ROWS_MAX};
use crate::ingest::reader::{JournalFile, JournalReader};
use crate::ingest::{self, Extent, store};
use crate::{ErrorKind, Result};

/// Pause between syncs: the most that a power cut loses.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// Seconds between signs of life in a quiet journal.
const HEARTBEAT_EVERY_SECS: u64 = 60;
/// How long the background waits for the database before it tries again a second later.
const INGEST_WAIT: Duration = Duration::from_millis(500);

/// A writer with its thread.
pub(super) struct Background {
    shared: Arc<BackgroundShared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// True for the writer of the process that started the run, false in a forked child.
    original: bool,
}

struct BackgroundShared {
    writer: Arc<Writer>,
    stop: AtomicBool,
    ingest: Mutex<IngestState>,
    ingests: bool,
}

/// How far this writer's journals are ingested.
struct IngestState {
    batch: Batch,
    current: Option<(JournalId, JournalReader)>,
}

impl Background {
    /// Starts the thread. Without one (a machine at its limit of threads) rows are still written, and synced at
    /// `flush()` and `finish()`.
    pub(super) fn start(writer: Arc<Writer>, ingests: bool) -> Background {
        let ingest = Mutex::new(IngestState { batch: Batch::after(writer.id(), 0), current: None });
        let shared = Arc::new(BackgroundShared { writer, stop: AtomicBool::new(false), ingest, ingests });
        let thread = std::thread::Builder::new().name("runcellar".into()).spawn({
            let shared = shared.clone();
            move || shared.run()
        });
        if let Err(error) = &thread {
            shared.writer.warn(&format!("no background thread: {error}"));
        }
        Background { shared, thread: Mutex::new(thread.ok()), original: ingests }
    }

    pub(super) fn writer(&self) -> &Writer {
        &self.shared.writer
    }

    pub(super) fn is_original(&self) -> bool {
        self.original
    }

    /// Ends the writer: close frame, sync, ingest.
    pub(super) fn finish(&self, close: Close) -> Result<()> {
        let writer = self.writer();
        match writer.close(close) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::State => return Ok(()),
            Err(error) => return Err(error),
        }
        self.stop();
        let synced = writer.sync();
        let dropped = writer.dropped();
        if dropped > 0 {
            writer.warn(&format!("{dropped} values were dropped"));
        }
        synced?;
        if self.shared.ingests {
            // What stays in the journal is safe there: the next opener ingests it.
            match self.shared.ingest(Extent::All, None) {
                Err(error) if !matches!(error.kind(), ErrorKind::Busy | ErrorKind::ReadOnly) => {
                    writer.warn(&format!("it stays in its journal, to be ingested by the next opener: {error}"));
                }
                _ => {}
            }
        }
        self.shared.release();
        if self.shared.ingests {
            // Forked children left theirs to us.
            let _ = ingest::recover(writer.inner());
        }
        Ok(())
    }

    fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        let handle = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Taking the lock once makes sure that the thread either waits, and is woken, or sees `stop`.
        drop(self.writer().lock());
        self.writer().wake.notify_all();
        if let Some(handle) = handle
            && handle.join().is_err()
        {
            self.writer().warn("its background thread panicked; what was logged is in the journal");
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop();
    }
}

impl BackgroundShared {
    fn run(&self) {
        let mut quiet_secs = 0;
        while !self.stop.load(Ordering::Acquire) {
            let state = self.writer.lock();
            let (state, wait) = self
                .writer
                .wake
                .wait_timeout_while(state, SYNC_EVERY, |state| {
                    !self.stop.load(Ordering::Acquire) && state.rows_waiting < ROWS_MAX && !needs_standby(state)
                })
                .unwrap_or_else(PoisonError::into_inner);
            drop(state);
            self.writer.prepare_standby();
            if wait.timed_out() {
                quiet_secs += SYNC_EVERY.as_secs();
                // Trouble is warned about once by the writer, and tried again in a second.
                let _ = self.writer.tend();
                let _ = self.writer.sync();
            }
            if quiet_secs >= HEARTBEAT_EVERY_SECS {
                quiet_secs = 0;
                let _ = self.writer.heartbeat();
            }
            if self.ingests {
                let outcome = self.ingest(Extent::WholeGroups, Some(INGEST_WAIT));
                self.writer.lock().rows_waiting = 0;
                if let Err(error) = outcome
                    && !matches!(error.kind(), ErrorKind::Busy | ErrorKind::ReadOnly)
                {
                    self.writer.warn(&format!("ingest waits: {error}"));
                }
            }
        }
    }

    fn ingest_state(&self) -> MutexGuard<'_, IngestState> {
        self.ingest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ingests retired files whole and removes them, then the current file as far as `extent` says.
    fn ingest(&self, extent: Extent, wait: Option<Duration>) -> Result<()> {
        let mut state = self.ingest_state();
        let inner = self.writer.inner();
        loop {
            let next = {
                let writer = self.writer.lock();
                let retired =
                    writer.retired.first().map(|retired| (retired.journal.id, retired.journal.file.clone(), true));
                let current = writer.journal.as_ref().map(|journal| (journal.id, journal.file.clone(), false));
                retired.or(current)
            };
            let Some((id, file, retired)) = next else { return Ok(()) };
            let IngestState { batch, current } = &mut *state;
            if current.as_ref().is_none_or(|(open, _)| *open != id) {
                let Some(journal) = JournalFile::open(file)? else { return Ok(()) };
                batch.next_file();
                *current = Some((id, inner.read(|tx, keyring| journal.unlock(tx, keyring))?));
            }
            let Some((_, reader)) = current else { return Ok(()) };
            let whole = retired || extent == Extent::All;
            let extent = if whole { Extent::All } else { Extent::WholeGroups };
            if let Err(error) = ingest::ingest(inner, reader, batch, extent, wait) {
                // The reader has passed frames that are not stored: begin anew from what the database has.
                let row = inner.read(|tx, keyring| store::writer_row(tx, keyring, self.writer.id()));
                let reached = row.ok().flatten().map_or(batch.base, |row| row.sequence);
                *batch = Batch::after(self.writer.id(), reached);
                *current = None;
                return Err(error);
            }
            if !whole {
                return Ok(());
            }
            let damaged = !reader.damage.is_empty();
            *current = None;
            self.let_go(id, damaged);
            if !retired {
                return Ok(());
            }
        }
    }

    /// Removes a journal that is ingested whole; a damaged one stays for `check`.
    fn let_go(&self, id: JournalId, damaged: bool) {
        let mut writer = self.writer.lock();
        let at = writer.retired.iter().position(|retired| retired.journal.id == id);
        let journal = match at {
            Some(at) => Some(writer.retired.remove(at).journal),
            None => writer.journal.take(),
        };
        drop(writer);
        if let Some(journal) = journal {
            if !damaged {
                // One that cannot be removed is found empty of news by the next opener.
                let _ = self.writer.inner().io.remove(&journal.path);
            }
            registry::remove(journal.id);
        }
    }

    /// Gives up what is left of the files: locks go, and the next opener sees to them.
    fn release(&self) {
        self.ingest_state().current = None;
        let mut writer = self.writer.lock();
        let left = writer.retired.drain(..).map(|retired| retired.journal.id).collect::<Vec<_>>();
        let current = writer.journal.take().map(|journal| journal.id);
        if let Some(standby) = writer.standby.take() {
            standby.discard(self.writer.inner());
        }
        drop(writer);
        left.into_iter().chain(current).for_each(registry::remove);
    }
}

fn needs_standby(state: &super::writer::State) -> bool {
    let half_full = state.journal.as_ref().is_some_and(|journal| journal.bytes > super::writer::JOURNAL_BYTES_MAX / 2);
    half_full && state.standby.is_none()
}
