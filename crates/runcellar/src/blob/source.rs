//! Packs that are not here: those that another device published, and those that were evicted, lie on a remote and are fetched
//! when they are read.

use std::sync::{Arc, Mutex, PoisonError};

use runcellar_format::ObjectId;
use runcellar_format::record::Away;

use crate::Result;
use crate::io::IoFile;
use crate::workspace::Inner;

/// Brings the file of a pack here, and opens it; none if nobody knows where it lies.
pub(crate) type Fetch = dyn Fn(&Inner, ObjectId) -> Result<Option<Arc<dyn IoFile>>> + Send + Sync;

/// Where the packs of a handle are.
#[derive(Default)]
pub(crate) struct PackSource {
    is_replica: bool,
    fetch: Mutex<Option<Arc<Fetch>>>,
    /// Where the packs lie, if they are to stay there.
    there: Mutex<Option<Away>>,
}

impl PackSource {
    /// That of what another device published: its packs are not here.
    pub(crate) fn of_replica() -> PackSource {
        PackSource { is_replica: true, ..PackSource::default() }
    }

    fn fetch(&self) -> Option<Arc<Fetch>> {
        self.fetch.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Inner {
    /// Returns whether this has what one device published and no more: what it lists may be told by another.
    pub(crate) fn is_replica(&self) -> bool {
        self.pack_source.is_replica
    }

    /// Has packs fetched, or not any longer.
    pub(crate) fn set_fetch(&self, fetch: Option<Arc<Fetch>>) {
        *self.pack_source.fetch.lock().unwrap_or_else(PoisonError::into_inner) = fetch;
    }

    /// Says whether the packs stay where they lie, when what lists their content comes in.
    pub(crate) fn set_there(&self, there: Option<Away>) {
        *self.pack_source.there.lock().unwrap_or_else(PoisonError::into_inner) = there;
    }

    /// Returns where the packs lie, if they are to stay there.
    pub(crate) fn stays_there(&self) -> Option<Away> {
        self.pack_source.there.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fetches a pack that has no file here; none if it lies nowhere.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Evicted`] if it lies on a remote, and nobody fetches it.
    pub(crate) fn fetch_pack(&self, pack: ObjectId) -> Result<Option<Arc<dyn IoFile>>> {
        match self.pack_source.fetch() {
            Some(fetch) => fetch(self, pack),
            None if self.is_replica() => Ok(None),
            None => crate::remotes::refuse_if_evicted(self, pack).map(|()| None),
        }
    }
}
