//! Packs that are not here: those that another device published lie on a remote, and are fetched when they are read.

use std::sync::{Arc, Mutex, PoisonError};

use runcellar_format::ObjectId;

use crate::Result;
use crate::io::IoFile;
use crate::workspace::Inner;

/// Brings the file of a pack here, and opens it.
pub(crate) type Fetch = dyn Fn(&Inner, ObjectId) -> Result<Arc<dyn IoFile>> + Send + Sync;

/// Where the packs of a handle are.
#[derive(Default)]
pub(crate) struct PackSource {
    is_replica: bool,
    fetch: Mutex<Option<Arc<Fetch>>>,
}

impl PackSource {
    /// That of what another device published: its packs are not here.
    pub(crate) fn of_replica() -> PackSource {
        PackSource { is_replica: true, fetch: Mutex::default() }
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

    /// Fetches a pack that has no file here; none if nobody does that.
    pub(crate) fn fetch_pack(&self, pack: ObjectId) -> Result<Option<Arc<dyn IoFile>>> {
        self.pack_source.fetch().map(|fetch| fetch(self, pack)).transpose()
    }
}
