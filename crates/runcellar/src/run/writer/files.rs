//! Which file the frames go to: the first, the one after a full or old one, and the one after one that failed.

use runcellar_format::journal::{Record, push_record};
use runcellar_format::record::Event;

use super::standby::Standby;
use super::trouble::later;
use super::{JOURNAL_AGE_MAX_US, PREAMBLE_BYTES, Retired, State, Writer, WriterOptions};
use crate::run::journal_file::{EmptyJournal, OpenJournal};
use crate::run::metric_names::Framed;
use crate::{Error, ErrorKind, Result};

/// Pause between attempts to make a file after one failed, in microseconds.
const RETRY_AFTER_US: i64 = 1_000_000;
/// A jump of the wall clock against the monotonic one from which it is an event, in microseconds.
const CLOCK_JUMP_US: i64 = 1_000_000;
/// How many times its size a file may have while the next one is not ready. Making one within a call would hold the
/// caller: its name is to be synced, and it begins with all names.
const OVERSIZE_MAX: u64 = 16;

impl Writer {
    /// Makes a new file for the frames in the ring, at most once a second.
    pub(super) fn try_reopen(&self, state: &mut State) -> Result<()> {
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
    pub(super) fn open_file(&self, state: &mut State, again: bool) -> Result<()> {
        let first = state.ring.frames().next().filter(|_| again);
        let first_sequence = first.map_or(state.sequence + 1, |(sequence, _)| sequence);
        let (journal, framed) = match state.standby.take() {
            Some(Standby::Begun { journal, framed, first_sequence: claimed }) if claimed <= first_sequence => {
                (*journal, framed)
            }
            Some(Standby::Empty(empty)) => (self.begin_file(empty, first_sequence)?, Framed::default()),
            unfit => {
                unfit.into_iter().for_each(|unfit| unfit.discard(&self.inner));
                (self.begin_file(EmptyJournal::create(&self.inner)?, first_sequence)?, Framed::default())
            }
        };
        let names = &state.names;
        let (mut journal, framed) =
            self.write_names(journal, framed, |framed, frame| names.frame_more(framed, PREAMBLE_BYTES, frame))?;
        journal.bytes = 0;
        journal.begun_us = self.inner.io.monotonic_us();
        state.names.begin_file(framed);
        state.unsynced = true;
        if again {
            journal = journal.append_all(&self.inner, state.ring.frames())?;
            state.written = state.ring.end();
            state.distrusted = false;
        }
        state.journal = Some(journal);
        Ok(())
    }

    /// Writes header and start record into an empty file.
    pub(super) fn begin_file(&self, empty: EmptyJournal, first_sequence: u64) -> Result<OpenJournal> {
        empty.begin(&self.inner, self.id, first_sequence, &self.key, &[self.start_frame()?])
    }

    fn start_frame(&self) -> Result<Vec<u8>> {
        let mut frame = Vec::new();
        push_record(&mut frame, &Record::Start(Box::new(self.start.clone())))
            .map_err(|cause| Error::format("start record", cause))?;
        Ok(frame)
    }

    /// Makes the frames that begin every file: the start record, and the names known so far.
    pub(super) fn preamble(&self, state: &State) -> Result<Vec<Vec<u8>>> {
        let mut frames = vec![self.start_frame()?];
        let mut framed = Framed::default();
        loop {
            let mut frame = Vec::new();
            framed = state.names.frame_more(framed, PREAMBLE_BYTES, &mut frame);
            if frame.is_empty() {
                return Ok(frames);
            }
            frames.push(frame);
        }
    }

    /// Follows a full file by another, once that is ready. `written` is what the last frame took: the one that fills half
    /// of the file wakes the background, as each further call would cost.
    pub(super) fn roll_over(&self, state: &mut State, written: u64) {
        let Some(journal) = &state.journal else { return };
        let (bytes, size) = (journal.bytes, self.options.journal_bytes);
        if bytes - written < size / 2 {
            self.wake.notify_one();
        }
        let ready = state.standby.as_ref().is_some_and(|standby| !standby.is_behind(&state.names));
        if bytes >= size && (ready || bytes >= size.saturating_mul(OVERSIZE_MAX)) {
            state.retire();
            self.follow(state);
        }
    }

    /// Opens a file after one that is whole: its frames are synced with it, and not written again.
    fn follow(&self, state: &mut State) {
        if let Err(error) = self.open_file(state, false) {
            state.failed_us = Some(self.inner.io.monotonic_us());
            state.warn_once(later(&error.to_string()).to_string());
        }
    }

    /// Rolls an old file over, moves to a new one if this one's name is gone, and tells of a jump of the clock.
    pub(in crate::run) fn tend(&self) {
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
            if let Some(last) = state.retired.last_mut() {
                last.gone = true;
            }
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
}

/// Returns true if it is time to think of the next file.
pub(super) fn is_half_full(journal: &OpenJournal, options: &WriterOptions) -> bool {
    journal.bytes >= options.journal_bytes / 2
}

impl State {
    /// Closes the journal for ever; it stays to be ingested.
    pub(super) fn retire(&mut self) {
        if let Some(journal) = self.journal.take() {
            self.retired.push(Retired { journal, synced: false, gone: false });
        }
    }
}
