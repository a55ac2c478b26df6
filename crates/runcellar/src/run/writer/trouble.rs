//! What cannot be kept, and who is told.

use std::sync::MutexGuard;

use runcellar_format::journal::{Record, Records};

use super::{State, Writer};
use crate::{Error, ErrorKind, Result};

impl Writer {
    /// Returns the frames that stand in no file, after those that begin every file; empty if there are none.
    pub(in crate::run) fn unwritten(&self) -> Result<Vec<(u64, Vec<u8>)>> {
        let state = self.lock();
        let mut frames: Vec<_> =
            state.ring.frames_from(state.written).map(|(sequence, plain)| (sequence, plain.to_vec())).collect();
        if !frames.is_empty() {
            frames.splice(0..0, self.preamble(&state)?.into_iter().map(|plain| (0, plain)));
        }
        Ok(frames)
    }

    /// Counts everything as dropped: the workspace is gone.
    pub(in crate::run) fn give_up_all(&self) {
        let mut state = self.lock();
        state.dropped += std::mem::take(&mut state.taken);
    }

    /// Gives up what is in no file, and counts it as dropped unless it `is_kept` elsewhere; returns whether there was
    /// anything. A failed write may have written all the same.
    pub(in crate::run) fn give_up(&self, is_kept: impl Fn(u64) -> bool) -> bool {
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
    pub(in crate::run) fn refuse(&self, reason: &str) -> Result<()> {
        let mut state = self.lock();
        state.refuse_closed()?;
        let refused = state.drop_values(1, ErrorKind::InvalidArgument, reason);
        self.settle(state, Err(refused))
    }

    /// Counts values that could not be kept.
    pub(in crate::run) fn drop_values(&self, values: u64, reason: &str) {
        let mut state = self.lock();
        let dropped = state.drop_values(values, ErrorKind::InvalidArgument, reason);
        state.warn_of(&dropped);
        // Nothing is left to fail.
        let _ = self.settle(state, Ok(()));
    }

    /// Ends a call: trouble with a row is the caller's error if the run is strict, and else told once.
    pub(super) fn settle(&self, mut state: MutexGuard<'_, State>, outcome: Result<()>) -> Result<()> {
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
    pub(in crate::run) fn warn_once(&self, text: String) {
        let mut state = self.lock();
        state.warn_once(text);
        // Nothing is left to fail.
        let _ = self.settle(state, Ok(()));
    }

    pub(in crate::run) fn warn(&self, text: &str) {
        self.inner.monitor.warn(&format!("run {}: {text}", self.start.run_id));
    }
}

/// The error of a row that is not in a file yet.
pub(super) fn later(cause: &str) -> Error {
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
    pub(super) fn refuse_closed(&self) -> Result<()> {
        if self.closed { Err(Error::new(ErrorKind::State, "the run is finished")) } else { Ok(()) }
    }

    /// Counts values that could not be kept; returns the error that says so.
    pub(super) fn drop_values(&mut self, values: u64, kind: ErrorKind, reason: &str) -> Error {
        self.dropped += values;
        Error::new(kind, format!("values are dropped: {reason}; finish() says how many"))
    }

    /// Takes a warning to be told, unless there was one before.
    pub(super) fn warn_once(&mut self, text: String) {
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
