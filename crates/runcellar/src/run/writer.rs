//! The writer: one process's place in one run. It seals rows into a journal, and keeps going when the disk does not.
//!
//! After a short or failed write or a failed sync a file is closed for ever; the frames since its last good sync,
//! kept in a bounded ring, go to a new file. While none can be made, rows fill the ring, and what does not fit is
//! dropped and counted: the training loop neither waits nor fails. docs/RELIABILITY.md, "P8".

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use runcellar_format::WriterId;
use runcellar_format::journal::{METRIC_INDEX_MAX, Record, RowWriter, push_metric, push_record};
use runcellar_format::record::{Close, Event, FieldChange, Start};

use super::journal_file::{EmptyJournal, JournalKey, OpenJournal};
use super::registry;
use super::ring::Ring;
use super::row::{METRIC_NAME_BYTES_MAX, Row};
use crate::ingest::batch::ROWS_MAX;
use crate::ingest::fold::clock_of;
use crate::workspace::Inner;
use crate::{Error, ErrorKind, Result};

/// Size at which a journal is followed by another.
pub(super) const JOURNAL_BYTES_MAX: u64 = 16 << 20;
/// Age at which a journal is followed by another, in microseconds: ten minutes.
pub(super) const JOURNAL_AGE_MAX_US: i64 = 600 * 1_000_000;
/// Pause between attempts to make a file after one failed, in microseconds.
const RETRY_AFTER_US: i64 = 1_000_000;
/// A jump of the wall clock against the monotonic one from which it is an event, in microseconds.
const CLOCK_JUMP_US: i64 = 1_000_000;
/// Preamble frames hold names up to this many bytes each.
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

/// The names of a writer's metrics.
#[derive(Default)]
pub(super) struct Names {
    indexes: HashMap<Arc<str>, u32>,
    list: Vec<Arc<str>>,
    /// How many stand in the current file; they are framed in order.
    framed: u32,
    /// The indexes of the last row by position: rows mostly repeat.
    guess: Vec<u32>,
    serial: u64,
}

impl Names {
    fn new() -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        Names { serial: SERIAL.fetch_add(1, Ordering::Relaxed), ..Names::default() }
    }

    pub(super) fn serial(&self) -> u64 {
        self.serial
    }

    pub(super) fn index(&mut self, name: &str, position: usize) -> Option<u32> {
        if let Some(guess) = self.guess.get(position)
            && self.list.get(*guess as usize).is_some_and(|known| **known == *name)
        {
            return Some(*guess);
        }
        if let Some(index) = self.indexes.get(name) {
            return Some(*index);
        }
        let index = u32::try_from(self.list.len()).ok().filter(|index| *index < METRIC_INDEX_MAX)?;
        if name.len() > METRIC_NAME_BYTES_MAX {
            return None;
        }
        let name: Arc<str> = name.into();
        self.indexes.insert(name.clone(), index);
        self.list.push(name);
        Some(index)
    }

    pub(super) fn guess(&mut self, position: usize, index: u32) {
        if position == self.guess.len() {
            self.guess.push(index);
        } else if let Some(guess) = self.guess.get_mut(position) {
            *guess = index;
        }
    }

    /// Frames a metric's name, and those before it, if this file does not have them yet.
    pub(super) fn define(&mut self, index: u32, out: &mut Vec<u8>) {
        while self.framed <= index
            && let Some(name) = self.list.get(self.framed as usize)
        {
            push_metric(out, self.framed, name);
            self.framed += 1;
        }
    }
}

/// A file that is not written any more, and is to be synced and ingested.
pub(super) struct Retired {
    pub(super) journal: OpenJournal,
    pub(super) synced: bool,
}

pub(super) struct State {
    pub(super) journal: Option<OpenJournal>,
    pub(super) standby: Option<EmptyJournal>,
    pub(super) retired: Vec<Retired>,
    /// Counts the files that were begun.
    file: u64,
    sequence: u64,
    ring: Ring,
    syncing: Ring,
    unsynced: bool,
    pub(super) rows_waiting: usize,
    names: Names,
    plain: Vec<u8>,
    definitions: Vec<u8>,
    sealed: Vec<u8>,
    clock: Clock,
    dropped: u64,
    warned: bool,
    failed_us: Option<i64>,
    closed: bool,
}

/// Times that never run backwards: wall clock at the start plus monotonic time.
struct Clock {
    offset_us: i64,
}

/// One process's place in one run.
pub(super) struct Writer {
    inner: Arc<Inner>,
    id: WriterId,
    key: JournalKey,
    start: Start,
    strict: bool,
    state: Mutex<State>,
    pub(super) wake: Condvar,
}

impl Writer {
    /// Makes the first journal; it is durable, with the start record, when this returns.
    pub(super) fn open(inner: Arc<Inner>, id: WriterId, key: JournalKey, start: Start, strict: bool) -> Result<Writer> {
        let clock = Clock { offset_us: inner.io.wall_us() - inner.io.monotonic_us() };
        let state = State {
            journal: None,
            standby: None,
            retired: Vec::new(),
            file: 0,
            sequence: 0,
            ring: Ring::default(),
            syncing: Ring::default(),
            unsynced: false,
            rows_waiting: 0,
            names: Names::new(),
            plain: Vec::with_capacity(1024),
            definitions: Vec::new(),
            sealed: Vec::with_capacity(1024),
            clock,
            dropped: 0,
            warned: false,
            failed_us: None,
            closed: false,
        };
        let writer = Writer { inner, id, key, start, strict, state: Mutex::new(state), wake: Condvar::new() };
        let mut state = writer.lock();
        writer.open_file(&mut state)?;
        let journal = state.journal.as_ref().expect("just opened");
        journal.file.sync().map_err(|cause| Error::io("sync journal", &journal.path, cause))?;
        drop(state);
        Ok(writer)
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
        state.definitions.clear();
        let entries = RowWriter::begin(&mut state.plain, step, time);
        let framed = state.names.framed;
        let mut row = Row {
            names: &mut state.names,
            entries,
            definitions: &mut state.definitions,
            refused: None,
            position: 0,
            count: 0,
        };
        fill(&mut row);
        let (count, refused) = (row.count, row.refused);
        row.entries.end();
        if !state.definitions.is_empty() {
            // A name stands before its first use.
            state.plain.splice(0..0, state.definitions.drain(..));
        }
        let dropped = state.dropped;
        let warning = self.emit(state, count);
        if state.dropped != dropped {
            // The names went with the row.
            state.names.framed = state.names.framed.min(framed);
        }
        state.rows_waiting += 1;
        if state.rows_waiting.is_multiple_of(ROWS_MAX) {
            self.wake.notify_one();
        }
        let refusal = refused.and_then(|(count, reason)| state.drop_values(count, reason));
        drop(guard);
        self.report(warning)?;
        self.report(refusal)?;
        match refused {
            Some((_, reason)) if self.strict => Err(Error::invalid(reason)),
            _ => Ok(()),
        }
    }

    /// Sets fields of the run.
    pub(super) fn set_fields(&self, fields: Vec<FieldChange>) -> Result<()> {
        self.emit_record(|time| Record::Fields { clock: clock_of(time), fields })
    }

    pub(super) fn heartbeat(&self) -> Result<()> {
        self.emit_record(|time| Record::Heartbeat { time })
    }

    fn emit_record(&self, record: impl FnOnce(i64) -> Record) -> Result<()> {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.refuse_closed()?;
        let warning = self.emit_now(state, record)?;
        drop(guard);
        self.report(warning)
    }

    fn emit_now(&self, state: &mut State, record: impl FnOnce(i64) -> Record) -> Result<Option<String>> {
        let time = state.clock.offset_us + self.inner.io.monotonic_us();
        state.plain.clear();
        push_record(&mut state.plain, &record(time)).map_err(|cause| Error::format("journal record", cause))?;
        Ok(self.emit(state, 1))
    }

    /// Ends the writer: the last frame, and nothing after it.
    pub(super) fn close(&self, close: Close) -> Result<()> {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.refuse_closed()?;
        let dropped = state.dropped;
        let warning = self.emit_now(state, |time| Record::Close(Close { time, dropped, ..close }))?;
        state.closed = true;
        drop(guard);
        self.report(warning)
    }

    /// Seals `state.plain` and appends it; on failure keeps it in the ring, or drops its `values` and counts them.
    fn emit(&self, state: &mut State, values: u64) -> Option<String> {
        let sequence = state.sequence + 1;
        let mut cause = None;
        if let Some(journal) = &mut state.journal {
            state.sealed.clear();
            match journal.key.seal_into(sequence, &state.plain, &mut state.sealed) {
                Ok(()) => match journal.file.append(&state.sealed) {
                    Ok(written) if written == state.sealed.len() => {
                        journal.bytes += written as u64;
                        state.sequence = sequence;
                        state.unsynced = true;
                        // What the ring has no room for relies on the file until the next sync.
                        state.ring.push(sequence, &state.plain);
                        let full = state.journal.as_ref().is_some_and(|journal| journal.bytes >= JOURNAL_BYTES_MAX);
                        return if full { self.roll_over(state) } else { None };
                    }
                    Ok(_) => cause = Some("the disk took a part of a frame".to_owned()),
                    Err(error) => cause = Some(error.to_string()),
                },
                Err(too_long) => return state.drop_values(values, &too_long.to_string()),
            }
        }
        if cause.is_some() {
            state.retire();
        }
        if !state.ring.has_room(state.plain.len()) {
            return state.drop_values(values, "the disk cannot be written and the buffer is full");
        }
        let plain = std::mem::take(&mut state.plain);
        state.ring.push(sequence, &plain);
        state.plain = plain;
        state.sequence = sequence;
        match self.try_reopen(state) {
            Ok(()) => None,
            Err(error) => {
                state.warn_once(&format!("{}; rows are kept in memory and tried again", cause.unwrap_or(error)))
            }
        }
    }

    /// Makes a new file for the frames in the ring, at most once a second.
    pub(super) fn try_reopen(&self, state: &mut State) -> Result<(), String> {
        if state.journal.is_some() {
            return Ok(());
        }
        let now = self.inner.io.monotonic_us();
        if state.failed_us.is_some_and(|failed| now - failed < RETRY_AFTER_US) {
            return Err("the disk cannot be written".to_owned());
        }
        let outcome = self.open_file(state);
        state.failed_us = outcome.is_err().then_some(now);
        outcome.map_err(|error| error.to_string())
    }

    /// Opens a file, with the preamble and whatever the ring holds.
    fn open_file(&self, state: &mut State) -> Result<()> {
        let empty = match state.standby.take() {
            Some(standby) => standby,
            None => EmptyJournal::create(&self.inner)?,
        };
        let mut ring = std::mem::take(&mut state.syncing);
        ring.append(&mut state.ring);
        state.ring = ring;
        let first_sequence = state.ring.frames().next().map_or(state.sequence + 1, |(sequence, _)| sequence);
        let preamble = self.preamble(state)?;
        let journal = empty.begin(&self.inner, self.id, first_sequence, &self.key, &preamble)?;
        let mut bytes = Vec::new();
        for (sequence, plain) in state.ring.frames() {
            journal
                .key
                .seal_into(sequence, plain, &mut bytes)
                .map_err(|cause| Error::format("journal frame", cause))?;
        }
        state.unsynced = true;
        let mut journal = journal;
        match journal.file.append(&bytes) {
            Ok(written) if written == bytes.len() => {
                journal.bytes += written as u64;
                state.journal = Some(journal);
                Ok(())
            }
            outcome => {
                let cause = outcome.err().unwrap_or_else(|| std::io::ErrorKind::WriteZero.into());
                let error = Error::io("write journal", &journal.path, cause);
                // Whatever it took is in the ring too, so the file can go.
                let OpenJournal { id, path, file, identity, .. } = journal;
                EmptyJournal { id, path, file, identity }.discard(&self.inner);
                Err(error)
            }
        }
    }

    /// Makes the frames that begin every file: the start record, and the names known so far.
    fn preamble(&self, state: &mut State) -> Result<Vec<Vec<u8>>> {
        state.file += 1;
        state.names.framed = 0;
        let mut frames = vec![Vec::new()];
        push_record(&mut frames[0], &Record::Start(Box::new(self.start.clone())))
            .map_err(|cause| Error::format("start record", cause))?;
        for index in 0..u32::try_from(state.names.list.len()).unwrap_or(u32::MAX) {
            if frames.last().is_some_and(|frame| frame.len() > PREAMBLE_BYTES) {
                frames.push(Vec::new());
            }
            let last = frames.last_mut().expect("never empty");
            state.names.define(index, last);
        }
        Ok(frames)
    }

    /// Follows a full or old file by another. Without one made ahead, a file may grow to twice its size first.
    pub(super) fn roll_over(&self, state: &mut State) -> Option<String> {
        let bytes = state.journal.as_ref().map_or(0, |journal| journal.bytes);
        if state.standby.is_none() && bytes < 2 * JOURNAL_BYTES_MAX {
            self.wake.notify_one();
            return None;
        }
        state.retire();
        match self.open_file_after_rollover(state) {
            Ok(()) => None,
            Err(error) => state.warn_once(&format!("{error}; rows are kept in memory and tried again")),
        }
    }

    /// After a rollover the frames of the old file are whole and will be synced: they are not written again.
    fn open_file_after_rollover(&self, state: &mut State) -> Result<()> {
        let (ring, syncing) = (std::mem::take(&mut state.ring), std::mem::take(&mut state.syncing));
        let outcome = self.open_file(state);
        let mut kept = syncing;
        kept.append(&mut { ring });
        kept.append(&mut state.ring);
        state.ring = kept;
        outcome
    }

    /// Makes the next file ahead of need.
    pub(super) fn prepare_standby(&self) {
        let wanted = {
            let state = self.lock();
            let half_full = state.journal.as_ref().is_some_and(|journal| journal.bytes > JOURNAL_BYTES_MAX / 2);
            half_full && state.standby.is_none() && !state.closed
        };
        if wanted && let Ok(empty) = EmptyJournal::create(&self.inner) {
            self.lock().standby = Some(empty);
        }
    }

    /// Rolls an old file over, moves to a new one if this one's name is gone, and tells of a jump of the clock.
    pub(super) fn tend(&self) -> Result<()> {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.closed {
            return Ok(());
        }
        let now = self.inner.io.monotonic_us();
        let mut warning = None;
        if let Some(journal) = &state.journal {
            let old = now - journal.begun_us > JOURNAL_AGE_MAX_US;
            if !journal.is_in_place(&self.inner) {
                warning = state.warn_once(&format!("journal {} was removed or replaced", journal.path.display()));
                let lost = state.journal.take();
                registry::remove(lost.map(|journal| journal.id).unwrap_or_default());
            } else if old {
                state.retire();
                // The failure is kept in the state, and the next call tries again.
                let _ = self.open_file_after_rollover(state);
            }
        }
        if state.journal.is_none()
            && let Err(error) = self.try_reopen(state)
        {
            warning = warning.or(state.warn_once(&error));
        }
        let jump = self.inner.io.wall_us() - (state.clock.offset_us + now);
        if jump.abs() > CLOCK_JUMP_US {
            let text = format!("the wall clock jumped by {jump} us");
            let event = |time| Record::Event(Event { time, kind: 1, text });
            warning = warning.or(self.emit_now(state, event)?);
            // Times follow a jump forwards (a laptop that slept), and never one backwards.
            state.clock.offset_us += jump.max(0);
        }
        drop(guard);
        self.report(warning)
    }

    /// Makes all that was written so far survive a power cut.
    pub(super) fn sync(&self) -> Result<()> {
        let (files, serial) = {
            let mut state = self.lock();
            if !state.unsynced && state.journal.is_some() {
                return Ok(());
            }
            if state.journal.is_none() {
                self.try_reopen(&mut state).map_err(|error| Error::new(ErrorKind::ReadOnly, error))?;
            }
            let State { ring, syncing, .. } = &mut *state;
            syncing.append(ring);
            state.unsynced = false;
            let retired = state.retired.iter().filter(|retired| !retired.synced).map(|retired| &retired.journal);
            let files: Vec<_> = retired
                .chain(&state.journal)
                .map(|journal| (journal.id, journal.file.clone(), journal.path.clone()))
                .collect();
            (files, state.file)
        };
        let outcome = files
            .iter()
            .try_for_each(|(_, file, path)| file.sync().map_err(|cause| Error::io("sync journal", path, cause)));
        let mut guard = self.lock();
        let state = &mut *guard;
        match outcome {
            Ok(()) => {
                for retired in &mut state.retired {
                    retired.synced |= files.iter().any(|(id, ..)| *id == retired.journal.id);
                }
                state.syncing.clear();
                Ok(())
            }
            Err(error) => {
                let mut warning = None;
                if state.file == serial {
                    // Nothing is known of this file any more: its frames go to another.
                    state.retire();
                    state.retired.iter_mut().for_each(|retired| retired.synced = true);
                    let State { ring, syncing, .. } = state;
                    syncing.append(ring);
                    std::mem::swap(ring, syncing);
                    state.failed_us = None;
                    if self.try_reopen(state).is_err() {
                        warning = state.warn_once(&format!("{error}; rows are kept in memory and tried again"));
                    }
                }
                state.unsynced = true;
                drop(guard);
                self.report(warning)?;
                Err(error)
            }
        }
    }

    /// Counts values that could not be kept.
    pub(super) fn drop_values(&self, values: u64, reason: &str) {
        let warning = self.lock().drop_values(values, reason);
        if let Some(text) = warning {
            self.warn(&text);
        }
    }

    fn report(&self, warning: Option<String>) -> Result<()> {
        let Some(text) = warning else { return Ok(()) };
        if self.strict {
            return Err(Error::new(ErrorKind::ReadOnly, text));
        }
        self.warn(&text);
        Ok(())
    }

    pub(super) fn warn(&self, text: &str) {
        self.inner.monitor.warn(&format!("run {}: {text}", self.start.run_id));
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

    fn drop_values(&mut self, values: u64, reason: &str) -> Option<String> {
        self.dropped += values;
        self.warn_once(&format!("values are dropped: {reason}; finish() says how many"))
    }

    /// Returns the text of a warning the first time, and nothing later.
    fn warn_once(&mut self, text: &str) -> Option<String> {
        (!std::mem::replace(&mut self.warned, true)).then(|| text.to_owned())
    }
}
