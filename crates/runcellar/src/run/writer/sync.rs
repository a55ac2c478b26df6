//! Making durable what stands in files.

use std::sync::PoisonError;

use super::trouble::later;
use super::{OpenJournal, Writer};
use crate::{Error, Result};

impl Writer {
    /// Makes all that was logged so far survive a power cut.
    pub(in crate::run) fn sync(&self) -> Result<()> {
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
}
