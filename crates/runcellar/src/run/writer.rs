//! The writer: one process's place in one run. It seals rows into a journal, and keeps going when the disk does not.
//!
//! After a short or failed write or a failed sync a file is closed for ever; the frames since its last good sync,
//! kept in a bounded ring, go to a new file. While none can be made, rows fill the ring, and what does not fit is
//! dropped and counted: the training loop neither waits nor fails. docs/RELIABILITY.md, "P8".

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use runcellar_format::WriterId;
use runcellar_format::journal::{Record, Records, RowWriter, push_record};
use runcellar_format::record::{Close, Event, FieldChange, Start};

use super::journal_file::{EmptyJournal, JournalKey, OpenJournal};
use super::metric_names::Names;
use super::own_series::OwnRow;
use super::ring::Ring;
use super::row::Row;
use crate::ingest::batch::ROWS_MAX;
use crate::ingest::fold::clock_of;
use crate::workspace::Inner;
use crate::{Error, ErrorKind, Result};

/// Size at which a journal is followed by another.
pub(super) const JOURNAL_BYTES_MAX: u64 = 16 << 20;
/// Age at which a journal is followed by another, in microseconds: ten minutes.
const JOURNAL_AGE_MAX_US: i64 = 600 * 1_000_000;
/// Pause between attempts to make a file after one failed, in microseconds.
const RETRY_AFTER_US: i64 = 1_000_000;
/// A jump of the wall clock against the monotonic one from which it is an event, in microseconds.
const CLOCK_JUMP_US: i64 = 1_000_000;
/// Preamble frames hold names up to this many bytes each, and so does the frame of a row.
const PREAMBLE_BYTES: usize = 1 << 20;

/// Where the next row goes. Plain atomics: a forked child goes on from here without a lock.
#[derive(Default)]
pub(super) struct Place {
    step: AtomicI64,
}

impl Place {
    pub(super) fn new(step: i64) -> Self {
        Place { step: AtomicI64::new(step) }
    }

    pub(super) fn step(&self) -> i64 {
        self.step.load(Ordering::Relaxed)
    }

    /// Returns the step of a row and moves on if it is closed. An explicit lower step moves nothing.
    pub(super) fn take(&self, step: Option<i64>, commit: bool) -> i64 {
        let mut row = 0;
        let moved = self.step.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |current| {
            row = step.unwrap_or(current);
            let after = if commit { row.saturating_add(1) } else { row };
            (row >= current && after != current).then_some(after)
        });
        // Err says that nothing moved, which is one of the two outcomes.
        let (Ok(_) | Err(_)) = moved;
        row
    }
}

/// A file that is not written any more, and is to be synced and ingested.
pub(super) struct Retired {
    pub(super) journal: OpenJournal,
    /// True once a sync succeeded, or failed: then there is nothing more to learn from one.
    synced: bool,
}

pub(super) struct State {
    pub(super) journal: Option<OpenJournal>,
    pub(super) standby: Option<EmptyJournal>,
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
    plain: Vec<u8>,
    /// Heads of the row being filled.
    heads: Vec<u32>,
    definitions: Vec<u8>,
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
            standby,
            retired: Vec::new(),
            sequence: 0,
            ring: Ring::default(),
            written: 0,
            unsynced: false,
            distrusted: false,
            rows_waiting: 0,
            names: Names::new(options.own),
            plain: Vec::with_capacity(1024),
            heads: Vec::new(),
            definitions: Vec::new(),
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
        let mut guard = self.lock();
        let state = &mut *guard;
        state.refuse_closed()?;
        let time = state.clock.offset_us + self.inner.io.monotonic_us();
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

    /// Appends the frame of `rows` rows that stand in `state.plain`.
    fn append_rows(
        &self,
        state: &mut State,
        rows: usize,
        values: u64,
        refused: Option<(u64, &'static str)>,
    ) -> Result<()> {
        self.put_names_first(state);
        let before = state.sequence;
        let outcome = self.emit(state, values);
        if state.sequence != before {
            state.names.news_framed();
        }
        let groups = state.rows_waiting / ROWS_MAX;
        state.rows_waiting += rows;
        if state.rows_waiting / ROWS_MAX > groups {
            self.wake.notify_one();
        }
        match refused {
            Some((count, reason)) => outcome.and(Err(state.drop_values(count, ErrorKind::InvalidArgument, reason))),
            None => outcome,
        }
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

    /// Puts the names that the file lacks before the row that brings them. So many that they would crowd the frame
    /// begin a new file instead, whose preamble takes them in pieces.
    fn put_names_first(&self, state: &mut State) {
        // Without a file there is nothing to do: the next one begins with all names.
        if state.journal.is_none() || !state.names.has_news() {
            return;
        }
        state.definitions.clear();
        state.names.frame_news(&mut state.definitions);
        if state.definitions.len() > PREAMBLE_BYTES {
            state.retire();
            self.follow(state);
        } else {
            state.plain.splice(0..0, state.definitions.drain(..));
        }
    }

    /// Sets fields of the run.
    pub(super) fn set_fields(&self, fields: Vec<FieldChange>) -> Result<()> {
        let count = fields.len() as u64;
        self.emit_record(count, |time| Record::Fields { clock: clock_of(time), fields })
    }

    pub(super) fn heartbeat(&self) -> Result<()> {
        self.emit_record(0, |time| Record::Heartbeat { time })
    }

    fn emit_record(&self, values: u64, record: impl FnOnce(i64) -> Record) -> Result<()> {
        let mut state = self.lock();
        state.refuse_closed()?;
        let outcome = self.emit_now(&mut state, values, record);
        self.settle(state, outcome)
    }

    fn emit_now(&self, state: &mut State, values: u64, record: impl FnOnce(i64) -> Record) -> Result<()> {
        let time = state.clock.offset_us + self.inner.io.monotonic_us();
        state.plain.clear();
        match push_record(&mut state.plain, &record(time)) {
            Ok(()) => self.emit(state, values),
            Err(too_long) => Err(state.drop_values(values, ErrorKind::InvalidArgument, &too_long.to_string())),
        }
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

    /// Seals `state.plain` and appends it. What cannot be written is kept in the ring, and what has no room there is
    /// dropped and counted as `values`; either is an error here, and one of the call only if the run is strict.
    fn emit(&self, state: &mut State, values: u64) -> Result<()> {
        let sequence = state.sequence + 1;
        let mut failure = None;
        if let Some(journal) = &mut state.journal {
            state.sealed.clear();
            if let Err(too_long) = journal.key.seal_into(sequence, &state.plain, &mut state.sealed) {
                return Err(state.drop_values(values, ErrorKind::InvalidArgument, &too_long.to_string()));
            }
            match journal.file.append(&state.sealed) {
                Ok(written) if written == state.sealed.len() => {
                    journal.bytes += written as u64;
                    let full = journal.bytes >= self.options.journal_bytes;
                    state.sequence = sequence;
                    state.taken += values;
                    state.unsynced = true;
                    // What the ring has no room for relies on the file until the next sync.
                    state.ring.push(sequence, &state.plain);
                    state.written = state.ring.end();
                    if full {
                        self.roll_over(state, written as u64);
                    }
                    return Ok(());
                }
                Ok(_) => failure = Some("the disk took a part of a frame".to_owned()),
                Err(error) => failure = Some(error.to_string()),
            }
            state.retire();
        }
        if !state.ring.push(sequence, &state.plain) {
            let reason = "the disk cannot be written and the buffer is full";
            return Err(state.drop_values(values, ErrorKind::ReadOnly, reason));
        }
        state.sequence = sequence;
        state.taken += values;
        self.try_reopen(state).map_err(|error| later(&failure.unwrap_or_else(|| error.to_string())))
    }

    /// Makes a new file for the frames in the ring, at most once a second.
    fn try_reopen(&self, state: &mut State) -> Result<()> {
        if state.journal.is_some() {
            return Ok(());
        }
        let now = self.inner.io.monotonic_us();
        if state.failed_us.is_some_and(|failed| now - failed < RETRY_AFTER_US) {
            return Err(Error::new(ErrorKind::ReadOnly, "the disk cannot be written"));
        }
        let outcome = self.open_file(state, true);
        state.failed_us = outcome.is_err().then_some(now);
        outcome
    }

    /// Opens a file with the preamble and, after a file that failed, all that the ring holds (`again`).
    fn open_file(&self, state: &mut State, again: bool) -> Result<()> {
        let empty = match state.standby.take() {
            Some(standby) => standby,
            None => EmptyJournal::create(&self.inner)?,
        };
        let first = state.ring.frames().next().filter(|_| again);
        let first_sequence = first.map_or(state.sequence + 1, |(sequence, _)| sequence);
        let preamble = self.preamble(state)?;
        let mut journal = empty.begin(&self.inner, self.id, first_sequence, &self.key, &preamble)?;
        state.names.all_framed();
        state.unsynced = true;
        if again {
            journal = journal.append_all(&self.inner, state.ring.frames())?;
            state.written = state.ring.end();
            state.distrusted = false;
        }
        state.journal = Some(journal);
        Ok(())
    }

    /// Makes the frames that begin every file: the start record, and the names known so far.
    fn preamble(&self, state: &State) -> Result<Vec<Vec<u8>>> {
        let mut start = Vec::new();
        push_record(&mut start, &Record::Start(Box::new(self.start.clone())))
            .map_err(|cause| Error::format("start record", cause))?;
        let mut frames = vec![start];
        state.names.frame_all(PREAMBLE_BYTES, &mut frames);
        Ok(frames)
    }

    /// Follows a full file by another. Without one made ahead, a file may grow to twice its size first. `written` is what
    /// the last frame took: the one that fills the file wakes the background, as each further call would cost.
    fn roll_over(&self, state: &mut State, written: u64) {
        let bytes = state.journal.as_ref().map_or(0, |journal| journal.bytes);
        if state.standby.is_none() && bytes < 2 * self.options.journal_bytes {
            if bytes - written < self.options.journal_bytes {
                self.wake.notify_one();
            }
            return;
        }
        state.retire();
        self.follow(state);
    }

    /// Opens a file after one that is whole: its frames are synced with it, and not written again.
    fn follow(&self, state: &mut State) {
        if let Err(error) = self.open_file(state, false) {
            state.failed_us = Some(self.inner.io.monotonic_us());
            state.warn_once(later(&error.to_string()).to_string());
        }
    }

    /// Returns true if the background should make the next file ahead of need.
    pub(super) fn wants_standby(&self, state: &State) -> bool {
        let half_full = state.journal.as_ref().is_some_and(|journal| journal.bytes > self.options.journal_bytes / 2);
        half_full && state.standby.is_none() && !state.standby_failed && !state.closed
    }

    /// Makes the next file ahead of need.
    pub(super) fn prepare_standby(&self) {
        if !self.wants_standby(&self.lock()) {
            return;
        }
        let made = EmptyJournal::create(&self.inner);
        let mut state = self.lock();
        state.standby_failed = made.is_err();
        state.standby = made.ok();
    }

    /// Rolls an old file over, moves to a new one if this one's name is gone, and tells of a jump of the clock.
    pub(super) fn tend(&self) {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.closed {
            return;
        }
        state.standby_failed = false;
        let now = self.inner.io.monotonic_us();
        let gone = state.journal.as_ref().filter(|journal| journal.is_gone(&self.inner));
        if let Some(journal) = gone {
            let text = format!("journal {} was removed or replaced; it is written anew", journal.path.display());
            state.warn_once(text);
            // What was synced in it is no longer in the ring, but its descriptor still reads: ingest takes it.
            state.retire();
            state.failed_us = None;
        } else if state.journal.as_ref().is_some_and(|journal| now - journal.begun_us > JOURNAL_AGE_MAX_US) {
            state.retire();
            self.follow(state);
        }
        let mut outcome = self.try_reopen(state);
        let skew = self.inner.io.wall_us() - (state.clock.offset_us + now);
        let jump = skew - state.clock.skew_us;
        if jump.abs() > CLOCK_JUMP_US {
            let text = format!("the wall clock jumped by {jump} us");
            let event = |time| Record::Event(Event { time, kind: 1, text });
            outcome = outcome.and(self.emit_now(state, 0, event));
            // Times follow a jump forwards (a laptop that slept), and never one backwards.
            state.clock.offset_us += skew.max(0);
            state.clock.skew_us = skew.min(0);
        }
        // The background has nobody to return an error to.
        if let Err(error) = outcome {
            state.warn_once(error.to_string());
        }
        // The outcome is told by now.
        let _ = self.settle(guard, Ok(()));
    }

    /// Makes all that was logged so far survive a power cut.
    pub(super) fn sync(&self) -> Result<()> {
        // One at a time: a call that finds nothing new must not return before the sync under way has succeeded.
        let _turn = self.sync_turn.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = self.sync_once();
        // What the failed file held may stand in a new one by now.
        if outcome.is_err() && self.lock().journal.is_some() { self.sync_once() } else { outcome }
    }

    fn sync_once(&self) -> Result<()> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let reopened = self.try_reopen(state);
        if (state.journal.is_some() && !state.unsynced) || state.distrusted {
            return reopened;
        }
        state.unsynced = false;
        let upto = state.written;
        let retired: Vec<_> =
            state.retired.iter().filter(|retired| !retired.synced).map(|r| r.journal.share()).collect();
        let current: Vec<_> = state.journal.iter().map(OpenJournal::share).collect();
        drop(guard);
        let outcome = retired
            .iter()
            .chain(&current)
            .try_for_each(|shared| shared.file.sync().map_err(|cause| Error::io("sync journal", &shared.path, cause)));
        let mut guard = self.lock();
        let state = &mut *guard;
        match outcome {
            Ok(()) => {
                // The current file may have been retired meanwhile, with frames that came after this sync.
                for known in &mut state.retired {
                    known.synced |= retired.iter().any(|synced| synced.id == known.journal.id);
                }
                state.ring.forget_to(upto);
                match reopened {
                    Err(error) if state.ring.frames().next().is_some() => Err(error),
                    _ => Ok(()),
                }
            }
            Err(error) => {
                // Nothing is known of these files any more: what the ring has of them goes to another.
                state.retire();
                state.retired.iter_mut().for_each(|retired| retired.synced = true);
                state.distrusted = true;
                state.unsynced = true;
                state.failed_us = None;
                if self.try_reopen(state).is_err() {
                    state.warn_once(later(&error.to_string()).to_string());
                }
                self.settle(guard, Ok(()))?;
                Err(error)
            }
        }
    }

    /// Returns the frames that stand in no file, after those that begin every file; empty if there are none.
    pub(super) fn unwritten(&self) -> Result<Vec<(u64, Vec<u8>)>> {
        let state = self.lock();
        let mut frames: Vec<_> =
            state.ring.frames_from(state.written).map(|(sequence, plain)| (sequence, plain.to_vec())).collect();
        if !frames.is_empty() {
            frames.splice(0..0, self.preamble(&state)?.into_iter().map(|plain| (0, plain)));
        }
        Ok(frames)
    }

    /// Counts everything as dropped: the workspace is gone.
    pub(super) fn give_up_all(&self) {
        let mut state = self.lock();
        state.dropped += std::mem::take(&mut state.taken);
    }

    /// Gives up what is in no file, and counts it as dropped unless it `is_kept` elsewhere; returns whether there was
    /// anything. A failed write may have written all the same.
    pub(super) fn give_up(&self, is_kept: impl Fn(u64) -> bool) -> bool {
        let mut state = self.lock();
        let (mut any, mut values, mut shapes) = (false, 0, state.names.all_shapes());
        for (_, plain) in state.ring.frames_from(state.written).filter(|(sequence, _)| !is_kept(*sequence)) {
            any = true;
            values +=
                Records::new(plain, &mut shapes).map_while(Result::ok).map(|record| values_in(&record)).sum::<u64>();
        }
        state.written = state.ring.end();
        state.dropped += values;
        state.taken = state.taken.saturating_sub(values);
        any
    }

    /// Counts a value that cannot be stored, and is an error for a strict run.
    pub(super) fn refuse(&self, reason: &str) -> Result<()> {
        let mut state = self.lock();
        state.refuse_closed()?;
        let refused = state.drop_values(1, ErrorKind::InvalidArgument, reason);
        self.settle(state, Err(refused))
    }

    /// Counts values that could not be kept.
    pub(super) fn drop_values(&self, values: u64, reason: &str) {
        let mut state = self.lock();
        let dropped = state.drop_values(values, ErrorKind::InvalidArgument, reason);
        state.warn_of(&dropped);
        // Nothing is left to fail.
        let _ = self.settle(state, Ok(()));
    }

    /// Ends a call: trouble with a row is the caller's error if the run is strict, and else told once.
    fn settle(&self, mut state: MutexGuard<'_, State>, outcome: Result<()>) -> Result<()> {
        let outcome = match outcome {
            Err(error) if !self.options.strict => {
                state.warn_of(&error);
                Ok(())
            }
            outcome => outcome,
        };
        let warning = state.warning.take();
        drop(state);
        if let Some(text) = warning {
            self.warn(&text);
        }
        outcome
    }

    /// Tells the user, unless trouble was told before.
    pub(super) fn warn_once(&self, text: String) {
        let mut state = self.lock();
        state.warn_once(text);
        // Nothing is left to fail.
        let _ = self.settle(state, Ok(()));
    }

    pub(super) fn warn(&self, text: &str) {
        self.inner.monitor.warn(&format!("run {}: {text}", self.start.run_id));
    }
}

/// The error of a row that is not in a file yet.
fn later(cause: &str) -> Error {
    Error::new(ErrorKind::ReadOnly, format!("{cause}; rows are kept in memory and tried again"))
}

fn values_in(record: &Record) -> u64 {
    match record {
        Record::Row { values, .. } => values.len() as u64,
        Record::Fields { fields, .. } => fields.len() as u64,
        _ => 0,
    }
}

impl State {
    fn refuse_closed(&self) -> Result<()> {
        if self.closed { Err(Error::new(ErrorKind::State, "the run is finished")) } else { Ok(()) }
    }

    /// Closes the journal for ever; it stays to be ingested.
    fn retire(&mut self) {
        if let Some(journal) = self.journal.take() {
            self.retired.push(Retired { journal, synced: false });
        }
    }

    /// Counts values that could not be kept; returns the error that says so.
    fn drop_values(&mut self, values: u64, kind: ErrorKind, reason: &str) -> Error {
        self.dropped += values;
        Error::new(kind, format!("values are dropped: {reason}; finish() says how many"))
    }

    /// Takes a warning to be told, unless there was one before.
    fn warn_once(&mut self, text: String) {
        if !std::mem::replace(&mut self.warned, true) {
            self.warning = Some(text);
        }
    }

    /// Takes the warning of an error to be told. Values that the caller cannot have stored and trouble with the disk
    /// are told once each: a bad value at the first step must not keep a full disk from being told later.
    fn warn_of(&mut self, error: &Error) {
        if error.kind() != ErrorKind::InvalidArgument {
            self.warn_once(error.to_string());
        } else if !std::mem::replace(&mut self.warned_of_values, true) {
            self.warning = Some(error.to_string());
        }
    }
}
