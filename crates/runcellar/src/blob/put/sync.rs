//! The syncer: makes closed packs durable under their names, and now and then known to the database.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use runcellar_format::ObjectId;
use runcellar_format::blob::{Bucket, Entry};
use runcellar_format::seal::Sealed;

use super::{PACKS_BETWEEN_COMMITS, ReadyPack, Shared, commit};
use crate::blob::pack_path;
use crate::io::{self, IoFile};
use crate::{Error, Result};

/// Closed packs that wait for the disk at most; then the writer waits.
pub(super) const PACKS_WAITING_MAX: usize = 2;

/// A pack whose file is whole and not durable yet.
pub(super) struct ClosedPack {
    pub(super) id: ObjectId,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn IoFile>,
    pub(super) entries: Vec<Entry>,
    pub(super) bucket: Bucket,
    pub(super) directory: Sealed,
}

/// Takes packs until there are no more; returns those that the database does not know yet.
pub(super) fn run(shared: &Shared<'_>, take: &Receiver<ClosedPack>) -> Result<Option<Vec<ReadyPack>>> {
    let mut ready = Vec::new();
    let mut directories = HashSet::new();
    while let Ok(closed) = take.recv() {
        if shared.is_stopped() {
            // The reason is reported by who stopped; what stays in tmp/ is swept away later.
            let _ = shared.inner.io.remove(&closed.path);
            continue;
        }
        directories.extend(name(shared, &closed)?);
        let ClosedPack { id, entries, bucket, directory, .. } = closed;
        ready.push(ReadyPack { id, entries, bucket, directory });
        if ready.len() >= PACKS_BETWEEN_COMMITS {
            sync_names(shared, &mut directories)?;
            let known = std::mem::take(&mut ready);
            shared.inner.write_one(None, |tx| commit::enter(tx, shared.pool, &known))?;
            commit::entered(shared.pool, &mut shared.local(), &known);
        }
    }
    sync_names(shared, &mut directories)?;
    Ok((!shared.is_stopped()).then_some(ready))
}

/// Makes a pack durable, and gives it its name.
fn name(shared: &Shared<'_>, closed: &ClosedPack) -> Result<Option<PathBuf>> {
    let io = &*shared.inner.io;
    closed.file.sync().map_err(|cause| Error::io("sync pack", &closed.path, cause))?;
    let path = pack_path(&shared.inner.path, closed.id);
    let directory = path.parent().map(PathBuf::from);
    if let Some(directory) = &directory {
        io::create_dir_durable(io, directory).map_err(|cause| Error::io("create", directory, cause))?;
    }
    io.rename(&closed.path, &path).map_err(|cause| Error::io("name pack", &path, cause))?;
    Ok(directory)
}

fn sync_names(shared: &Shared<'_>, directories: &mut HashSet<PathBuf>) -> Result<()> {
    for directory in directories.drain() {
        shared.inner.io.sync_dir(&directory).map_err(|cause| Error::io("sync", &directory, cause))?;
    }
    Ok(())
}
