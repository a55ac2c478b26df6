//! From rows and records to frames: the path of `log()` behind the encoding.

use runcellar_format::journal::{Record, push_record};

use super::files::is_half_full;
use super::standby::NAMES_BEHIND_MAX;
use super::trouble::later;
use super::{PREAMBLE_BYTES, State, Writer};
use crate::ingest::batch::ROWS_MAX;
use crate::{ErrorKind, Result};

impl Writer {
    /// Appends the frame of `rows` rows that stand in `state.plain`.
    pub(super) fn append_rows(
        &self,
        state: &mut State,
        rows: usize,
        values: u64,
        refused: Option<(u64, &'static str)>,
    ) -> Result<()> {
        let outcome = match state.journal.is_some() && state.names.has_news() {
            true => self.emit_with_news(state, values),
            false => self.emit_plain(state, values),
        };
        let many = state.names.len() / NAMES_BEHIND_MAX;
        if many > state.names_told {
            state.names_told = many;
            self.wake.notify_one();
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

    /// Puts the names and shapes that the file lacks before the row that brings them. So many that they would crowd its
    /// frame stand in frames of their own before it.
    #[cold]
    fn emit_with_news(&self, state: &mut State, values: u64) -> Result<()> {
        let mut outcome = Ok(());
        let mut news = std::mem::take(&mut state.news);
        // Where a file fails there is nothing to do: the next one begins with all names.
        while state.journal.is_some() && state.names.has_news() {
            let said = state.names.said();
            news.clear();
            let whole = state.names.frame_news(PREAMBLE_BYTES, &mut news);
            let (before, values) = (state.sequence, if whole { values } else { 0 });
            if whole {
                state.plain.splice(0..0, news.drain(..));
                std::mem::swap(&mut news, &mut state.plain);
            }
            let emitted = self.emit(state, &news, values);
            if state.sequence == before {
                state.names.unsay(said);
            }
            if whole {
                state.news = news;
                return outcome.and(emitted);
            }
            outcome = outcome.and(emitted);
        }
        state.news = news;
        outcome.and(self.emit_plain(state, values))
    }

    /// Appends the frame that stands in `state.plain`.
    fn emit_plain(&self, state: &mut State, values: u64) -> Result<()> {
        let plain = std::mem::take(&mut state.plain);
        let outcome = self.emit(state, &plain, values);
        state.plain = plain;
        outcome
    }

    pub(super) fn emit_record(&self, values: u64, record: impl FnOnce(i64) -> Record) -> Result<()> {
        let mut state = self.lock();
        state.refuse_closed()?;
        let outcome = self.emit_now(&mut state, values, record);
        self.settle(state, outcome)
    }

    pub(super) fn emit_now(&self, state: &mut State, values: u64, record: impl FnOnce(i64) -> Record) -> Result<()> {
        let time = state.clock.offset_us + self.inner.io.monotonic_us();
        state.plain.clear();
        match push_record(&mut state.plain, &record(time)) {
            Ok(()) => self.emit_plain(state, values),
            Err(too_long) => Err(state.drop_values(values, ErrorKind::InvalidArgument, &too_long.to_string())),
        }
    }

    /// Seals a plaintext and appends it. What cannot be written is kept in the ring, and what has no room there is
    /// dropped and counted as `values`; either is an error here, and one of the call only if the run is strict.
    fn emit(&self, state: &mut State, plain: &[u8], values: u64) -> Result<()> {
        let sequence = state.sequence + 1;
        let mut failure = None;
        if let Some(journal) = &mut state.journal {
            state.sealed.clear();
            if let Err(too_long) = journal.key.seal_into(sequence, plain, &mut state.sealed) {
                return Err(state.drop_values(values, ErrorKind::InvalidArgument, &too_long.to_string()));
            }
            match journal.file.append(&state.sealed) {
                Ok(written) if written == state.sealed.len() => {
                    journal.bytes += written as u64;
                    let due = is_half_full(journal, &self.options);
                    state.sequence = sequence;
                    state.taken += values;
                    state.unsynced = true;
                    // What the ring has no room for relies on the file until the next sync.
                    state.ring.push(sequence, plain);
                    state.written = state.ring.end();
                    if due {
                        self.roll_over(state, written as u64);
                    }
                    return Ok(());
                }
                Ok(_) => failure = Some("the disk took a part of a frame".to_owned()),
                Err(error) => failure = Some(error.to_string()),
            }
            state.retire();
        }
        if !state.ring.push(sequence, plain) {
            let reason = "the disk cannot be written and the buffer is full";
            return Err(state.drop_values(values, ErrorKind::ReadOnly, reason));
        }
        state.sequence = sequence;
        state.taken += values;
        self.try_reopen(state).map_err(|error| later(&failure.unwrap_or_else(|| error.to_string())))
    }
}
