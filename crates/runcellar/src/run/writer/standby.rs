//! The file after the current one, made ahead of need by the background: created, named durably, begun, and with the names
//! of metrics in it. What is left to do within a call of `log()` is to write down the names that came since.

use std::iter;

use super::files::is_half_full;
use super::{JOURNAL_AGE_MAX_US, State, Writer};
use crate::Result;
use crate::run::journal_file::{EmptyJournal, OpenJournal};
use crate::run::metric_names::{Framed, Names};
use crate::workspace::Inner;

/// Names that the next file may lack when it is taken into use: writing them takes about a millisecond.
pub(super) const NAMES_BEHIND_MAX: u32 = 16_384;
/// Bytes of names that are copied at once while the writer's lock is held.
const PIECE_BYTES: usize = 256 << 10;

/// A file made ahead.
pub(in crate::run) enum Standby {
    /// Without content, as a file system that hosts share wants it: there a file whose writer is not heard of for ten
    /// minutes is taken for one of the dead, and this one may wait for longer.
    Empty(EmptyJournal),
    /// Begun, for frames of this sequence or a later one.
    Begun { journal: Box<OpenJournal>, first_sequence: u64, framed: Framed },
}

impl Standby {
    /// Removes the file.
    pub(in crate::run) fn discard(self, inner: &Inner) {
        match self {
            Standby::Empty(journal) => journal.discard(inner),
            Standby::Begun { journal, .. } => journal.discard(inner),
        }
    }

    /// Returns true if it lacks so many names that writing them would hold a caller.
    pub(super) fn is_behind(&self, names: &Names) -> bool {
        match self {
            Standby::Empty(_) => false,
            Standby::Begun { framed, .. } => names.len().saturating_sub(framed.names) > NAMES_BEHIND_MAX,
        }
    }
}

impl Writer {
    /// Returns true if the background should make the next file, or write names into it.
    pub(in crate::run) fn wants_standby(&self, state: &State) -> bool {
        let Some(journal) = state.journal.as_ref().filter(|_| !state.standby_failed && !state.closed) else {
            return false;
        };
        let due = is_half_full(journal, &self.options)
            || self.inner.io.monotonic_us() - journal.begun_us > JOURNAL_AGE_MAX_US;
        due && state.standby.as_ref().is_none_or(|standby| standby.is_behind(&state.names))
    }

    /// Makes the next file ahead of need, or brings it up to date. The writer's lock is held for moments only.
    pub(in crate::run) fn prepare_standby(&self) {
        let mut state = self.lock();
        if !self.wants_standby(&state) {
            return;
        }
        let standby = state.standby.take();
        let current = state.journal.as_ref().map(|journal| journal.id);
        let first_sequence = state.sequence + 1;
        drop(state);
        let made = match standby {
            Some(standby) => self.update_standby(standby),
            None => self.make_standby(first_sequence),
        };
        let mut state = self.lock();
        match made {
            Ok(standby) if state.journal.as_ref().map(|journal| journal.id) == current => state.standby = Some(standby),
            // Another file was begun meanwhile, as the current one failed: this one would stand before it.
            Ok(standby) => {
                drop(state);
                standby.discard(&self.inner);
            }
            Err(_) => state.standby_failed = true,
        }
    }

    fn make_standby(&self, first_sequence: u64) -> Result<Standby> {
        let empty = EmptyJournal::create(&self.inner)?;
        if self.inner.is_network() {
            return Ok(Standby::Empty(empty));
        }
        let journal = self.begin_file(empty, first_sequence)?;
        self.update_standby(Standby::Begun { journal: Box::new(journal), first_sequence, framed: Framed::default() })
    }

    fn update_standby(&self, standby: Standby) -> Result<Standby> {
        let Standby::Begun { journal, first_sequence, framed } = standby else { return Ok(standby) };
        let (journal, framed) = self
            .write_names(*journal, framed, |framed, frame| self.lock().names.frame_more(framed, PIECE_BYTES, frame))?;
        Ok(Standby::Begun { journal: Box::new(journal), first_sequence, framed })
    }

    /// Appends frames of names, each as `next` makes it from what the file has, until one is empty.
    pub(super) fn write_names(
        &self,
        mut journal: OpenJournal,
        mut framed: Framed,
        next: impl Fn(Framed, &mut Vec<u8>) -> Framed,
    ) -> Result<(OpenJournal, Framed)> {
        let mut frame = Vec::new();
        loop {
            frame.clear();
            let more = next(framed, &mut frame);
            if frame.is_empty() {
                return Ok((journal, framed));
            }
            journal = journal.append_all(&self.inner, iter::once((0, frame.as_slice())))?;
            framed = more;
        }
    }
}
