//! The journals that this process writes.
//!
//! Closing any descriptor of a file drops the process's record locks on it, so nobody in this process may open its
//! own journals a second time: readers and ingest take the descriptor from here.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use runcellar_format::JournalId;

use crate::io::{Io, IoFile};
use crate::os::Forkable;

/// Without a file while it is being created: its name is taken before it can be seen in the directory.
type Map = HashMap<JournalId, Option<Arc<dyn IoFile>>>;

/// Whose a journal is.
pub(crate) enum Owner {
    /// Of another process, or of a dead one.
    Other,
    /// Of this process, and just being made.
    Making,
    /// Of this process.
    Own(Arc<dyn IoFile>),
}

fn own() -> MutexGuard<'static, Map> {
    static OWN: OnceLock<Forkable<Mutex<Map>>> = OnceLock::new();
    // A forked child owns none of its parent's journals.
    let map = OWN.get_or_init(|| Forkable::new(Mutex::default())).get(|_| Ok::<_, Infallible>(Mutex::default()));
    match map {
        Ok(map) => map.lock().unwrap_or_else(PoisonError::into_inner),
        Err(never) => match never {},
    }
}

/// Says that this process is about to create a journal.
pub(crate) fn reserve(journal: JournalId) {
    own().insert(journal, None);
}

/// Remembers the descriptor of a journal of this process.
pub(crate) fn insert(journal: JournalId, file: Arc<dyn IoFile>) {
    own().insert(journal, Some(file));
}

/// Remembers the descriptor of a journal that this process takes over; false if it has an entry already.
pub(crate) fn insert_if_free(journal: JournalId, file: Arc<dyn IoFile>) -> bool {
    match own().entry(journal) {
        Entry::Occupied(_) => false,
        Entry::Vacant(place) => {
            place.insert(Some(file));
            true
        }
    }
}

/// Returns whose the journal at `path` is. Ids do not decide alone: a copied workspace has journals of the same ids.
pub(crate) fn owner(io: &dyn Io, journal: JournalId, path: &Path) -> Owner {
    let found = own().get(&journal).cloned();
    match found {
        None => Owner::Other,
        Some(None) => Owner::Making,
        Some(Some(file)) => match (io.identity(path), file.identity()) {
            (Ok(there), Ok(here)) if there != here => Owner::Other,
            _ => Owner::Own(file),
        },
    }
}

/// Forgets a journal, which closes it once nobody reads it any more.
pub(crate) fn remove(journal: JournalId) {
    own().remove(&journal);
}
