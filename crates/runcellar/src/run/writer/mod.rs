//! The writer: one process's place in one run. It seals rows into a journal, and keeps going when the disk does not.
//!
//! After a short or failed write or a failed sync a file is closed for ever; the frames since its last good sync,
//! kept in a bounded ring, go to a new file. While none can be made, rows fill the ring, and what does not fit is
//! dropped and counted: the training loop neither waits nor fails. docs/RELIABILITY.md, "P8".

mod files;
mod frames;
mod place;
mod standby;
mod sync;
mod trouble;

pub(super) use place::Place;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use runcellar_format::WriterId;
use runcellar_format::journal::{Record, RowWriter};
use runcellar_format::record::{Close, FieldChange, Redacted, Start};

use super::journal_file::{EmptyJournal, JournalKey, OpenJournal};
use super::metric_names::Names;
use super::own_series::OwnRow;
use super::ring::Ring;
use super::row::Row;
use crate::ingest::fold::clock_of;
use crate::workspace::Inner;
use crate::{Error, Result};
use standby::Standby;
use trouble::later;

/// Size at which a journal is followed by another.
pub(super) const JOURNAL_BYTES_MAX: u64 = 16 << 20;
/// Age at which a journal is followed by another, in microseconds: ten minutes.
const JOURNAL_AGE_MAX_US: i64 = 600 * 1_000_000;
/// Preamble frames hold names up to this many bytes each, and so does the frame of a row.
const PREAMBLE_BYTES: usize = 1 << 20;

/// A file that is not written any more, and is to be synced and ingested.
pub(super) struct Retired {
    pub(super) journal: OpenJournal,
    /// True once a sync succeeded, or failed: then there is nothing more to learn from one.
    synced: bool,
    /// Its name is gone, so that what it has is lost with this process.
    pub(super) gone: bool,
}

pub(super) struct State {
    pub(super) journal: Option<OpenJournal>,
    pub(super) standby: Option<Standby>,
    pub(super) retired: Vec<Retired>,
    sequence: u64,
    /// The frames since the last good sync.
    ring: Ring,
    /// Position in the ring up to which its frames stand in a file.
    written: u64,
    /// True if something was written since the last sync began.
    unsynced: bool,
    /// True if a sync failed, so that the files count for nothing until the ring stands in a new one.
    distrusted: bool,
    pub(super) rows_waiting: usize,
    names: Names,
    /// How many times the background was told that there are [`standby::NAMES_BEHIND_MAX`] more names.
    names_told: u32,
    plain: Vec<u8>,
    /// Heads of the row being filled.
    heads: Vec<u32>,
    /// Names and shapes that the file lacks.
    news: Vec<u8>,
    sealed: Vec<u8>,
    clock: Clock,
    dropped: u64,
    /// Values that stand in frames, or wait to.
    taken: u64,
    /// Set by the first trouble with the disk: the user is told once, and at the end.
    warned: bool,
    /// The same for values that cannot be stored.
    warned_of_values: bool,
    /// What is to be told once the lock is let go.
    warning: Option<String>,
    failed_us: Option<i64>,
    /// True if a standby could not be made; the next second tries again.
    standby_failed: bool,
    closed: bool,
}

/// Times that never run backwards: wall clock at the start plus monotonic time.
struct Clock {
    offset_us: i64,
    /// How far the wall clock stood from these times when last looked at.
    skew_us: i64,
}

/// What a writer does its own way.
#[derive(Debug, Clone, Copy)]
pub(super) struct WriterOptions {
    /// Every value that cannot be kept is an error of the call.
    pub(super) strict: bool,
    /// Size at which a journal is followed by another.
    pub(super) journal_bytes: u64,
    /// It writes series of the store's own: what is lost of them is no value of the user's.
    pub(super) own: bool,
}

/// One process's place in one run.
pub(super) struct Writer {
    inner: Arc<Inner>,
    id: WriterId,
    key: JournalKey,
    start: Start,
    options: WriterOptions,
    state: Mutex<State>,
    /// Held for the length of a sync, outside of `state`.
    sync_turn: Mutex<()>,
    pub(super) wake: Condvar,
}

// Frames of rows and records are made in `frames`, the choice of a file in `files` and `standby`, durability in `sync`, and
// what goes wrong is counted and told in `trouble`.
impl Writer {
    /// Makes a writer that has no file yet.
    pub(super) fn new(
        inner: Arc<Inner>,
        id: WriterId,
        key: JournalKey,
        start: Start,
        options: WriterOptions,
        standby: Option<EmptyJournal>,
    ) -> Writer {
        let clock = Clock { offset_us: inner.io.wall_us() - inner.io.monotonic_us(), skew_us: 0 };
        let state = State {
            journal: None,
            standby: standby.map(Standby::Empty),
            retired: Vec::new(),
            sequence: 0,
            ring: Ring::default(),
            written: 0,
            unsynced: false,
            distrusted: false,
            rows_waiting: 0,
            names: Names::new(options.own),
            names_told: 0,
            plain: Vec::with_capacity(1024),
            heads: Vec::new(),
            news: Vec::new(),
            sealed: Vec::with_capacity(1024),
            clock,
            dropped: 0,
            taken: 0,
            warned: false,
            warned_of_values: false,
            warning: None,
            failed_us: None,
            standby_failed: false,
            closed: false,
        };
        let (state, sync_turn) = (Mutex::new(state), Mutex::default());
        Writer { inner, id, key, start, options, state, sync_turn, wake: Condvar::new() }
    }

    /// Makes the first journal; it is durable, with the start record, when this returns, and else it is not there.
    pub(super) fn begin(&self) -> Result<()> {
        let mut state = self.lock();
        self.open_file(&mut state, true)?;
        let journal = state.journal.take().expect("just opened");
        if let Err(cause) = journal.file.sync() {
            let error = Error::io("sync journal", &journal.path, cause);
            journal.discard(&self.inner);
            return Err(error);
        }
        state.journal = Some(journal);
        Ok(())
    }

    /// Makes the first journal if that is possible, and else keeps rows in memory until it is.
    pub(super) fn begin_or_wait(&self) -> Result<()> {
        match self.begin() {
            Err(error) if !self.options.strict => self.settle(self.lock(), Err(later(&error.to_string()))),
            outcome => outcome,
        }
    }

    pub(super) fn id(&self) -> WriterId {
        self.id
    }

    pub(super) fn start(&self) -> &Start {
        &self.start
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while a row was filled leaves a half-built buffer, which the next row clears.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Logs one row.
    pub(super) fn log(&self, step: i64, fill: impl FnOnce(&mut Row<'_>)) -> Result<()> {
        self.log_at(step, None, fill)
    }

    /// Returns the time of a row that is logged now, microseconds UTC since 1970.
    pub(super) fn now_us(&self) -> i64 {
        self.lock().clock.offset_us + self.inner.io.monotonic_us()
    }

    /// Logs one row with the time at which it was given, by default now.
    pub(super) fn log_at(&self, step: i64, time: Option<i64>, fill: impl FnOnce(&mut Row<'_>)) -> Result<()> {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.refuse_closed()?;
        let time = time.unwrap_or_else(|| state.clock.offset_us + self.inner.io.monotonic_us());
        state.plain.clear();
        let entries = RowWriter::begin(&mut state.plain, &mut state.heads, step, time);
        let mut row = Row { names: &mut state.names, entries, refused: None, position: 0, count: 0 };
        fill(&mut row);
        let (count, refused) = (row.count, row.refused);
        let shape = row.names.shape(row.entries.heads());
        row.entries.end(shape);
        let outcome = self.append_rows(state, 1, count, refused);
        self.settle(guard, outcome)
    }

    /// Logs rows of the store's own, all in one frame.
    pub(super) fn log_rows(&self, rows: &[OwnRow<'_>]) -> Result<()> {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.refuse_closed()?;
        let time = state.clock.offset_us + self.inner.io.monotonic_us();
        state.plain.clear();
        let (mut count, mut refused) = (0, None);
        for own in rows {
            let entries = RowWriter::begin(&mut state.plain, &mut state.heads, own.step, time);
            let mut row = Row { names: &mut state.names, entries, refused: None, position: 0, count: 0 };
            own.values.iter().for_each(|(name, value)| row.push(name, *value));
            count += row.count;
            refused = refused.or(row.refused);
            let shape = row.names.shape(row.entries.heads());
            row.entries.end(shape);
        }
        let outcome = self.append_rows(state, rows.len(), count, refused);
        self.settle(guard, outcome)
    }

    /// Sets fields of the run.
    pub(super) fn set_fields(&self, fields: Vec<FieldChange>) -> Result<()> {
        let count = fields.len() as u64;
        self.emit_record(count, |time| Record::Fields { clock: clock_of(time), fields })
    }

    pub(super) fn heartbeat(&self) -> Result<()> {
        self.emit_record(0, |time| Record::Heartbeat { time })
    }

    /// Says that a secret was redacted.
    pub(super) fn redacted(&self, finding: &Redacted) -> Result<()> {
        self.emit_record(0, |time| Record::Event(finding.to_event(time)))
    }

    /// Ends the writer: the last frame, and nothing after it.
    pub(super) fn close(&self, close: Close) -> Result<()> {
        let mut state = self.lock();
        state.refuse_closed()?;
        let dropped = if self.options.own { 0 } else { state.dropped };
        let outcome = self.emit_now(&mut state, 0, |time| Record::Close(Close { time, dropped, ..close }));
        state.closed = true;
        self.settle(state, outcome)
    }
}
