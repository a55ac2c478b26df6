//! The catalogue: what listings show of all runs, in sealed columns, kept current by change number.
//!
//! The truth is in the run records. [`fold`](self::fold()) copies what they say into blocks of a few thousand runs, with a
//! directory that says for each device up to which change the blocks speak. A reader ([`Known`]) takes the blocks, asks
//! the change records which runs were changed since, without opening any, and reads the records of those few. It keeps
//! what it decoded, so that the next look costs only what has changed. A catalogue that is damaged is not used: the
//! records are read instead. docs/FORMAT.md, "Catalogue".
//!
//! What this module must not know: filters, journals, and what is shown how.

mod block;
mod directory;
mod fold;
mod forget;
mod known;
mod rows;

pub(crate) use block::{Block, Column};
pub(crate) use directory::{DIRECTORY, changed_since, open_directory};
pub(crate) use fold::{fold, fold_if_due, fold_some_if_due};
pub(crate) use forget::forget_runs;
pub(crate) use known::{Fresh, Known, project_names};
pub(crate) use rows::{CONFIG, info_at, put as row_of};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a handle knows of the catalogue; empty at first.
#[derive(Default)]
pub(crate) struct Cache(Mutex<Known>);

impl Cache {
    /// Locks it. The database is locked first, always.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Known> {
        // What a panic left half done is begun anew.
        self.0.lock().unwrap_or_else(|poisoned: PoisonError<_>| {
            let mut known = poisoned.into_inner();
            *known = Known::default();
            known
        })
    }
}
