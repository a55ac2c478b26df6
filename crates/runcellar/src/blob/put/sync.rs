//! The syncer: makes closed packs durable under their names, and now and then known to the database.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use runcellar_format::ObjectId;
use runcellar_format::blob::{Bucket, Entry};
use runcellar_format::seal::Sealed;

use super::{PACKS_BETWEEN_COMMITS, PACKS_BETWEEN_COMMITS_ON_NETWORK, ReadyPack, Shared, commit};
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

/// Takes packs until there are no more, and leaves those that the database does not know yet in `shared.ready`.
pub(super) fn run(shared: &Shared<'_>, take: &Receiver<ClosedPack>) -> Result<()> {
    let between = if shared.inner.is_network() { PACKS_BETWEEN_COMMITS_ON_NETWORK } else { PACKS_BETWEEN_COMMITS };
    // Packs whose names are not durable yet, and where these stand.
    let (mut named, mut directories) = (Vec::new(), HashSet::new());
    while let Ok(closed) = take.recv() {
        if shared.is_stopped() {
            // The reason is reported by who stopped; what stays in tmp/ is swept away later.
            let _ = shared.inner.io.remove(&closed.path);
            continue;
        }
        named.push(name(shared, closed, &mut directories).inspect_err(|_| forget(shared, &named))?);
        if named.len() >= between {
            sync_names(shared, &mut directories, &mut named)?;
            enter(shared)?;
        }
    }
    sync_names(shared, &mut directories, &mut named)
}

/// Makes a pack durable, and gives it its name.
fn name(shared: &Shared<'_>, closed: ClosedPack, directories: &mut HashSet<PathBuf>) -> Result<ReadyPack> {
    let io = &*shared.inner.io;
    let path = pack_path(&shared.inner.path, closed.id);
    let named = closed.file.sync().map_err(|cause| Error::io("sync pack", &closed.path, cause)).and_then(|()| {
        if let Some(directory) = path.parent()
            && directories.insert(directory.to_owned())
        {
            io::create_dir_durable(io, directory).map_err(|cause| Error::io("create", directory, cause))?;
        }
        io.rename(&closed.path, &path).map_err(|cause| Error::io("name pack", &path, cause))
    });
    if let Err(error) = named {
        // It may have its name all the same; then it is swept away later.
        let _ = io.remove(&closed.path);
        return Err(error);
    }
    let ClosedPack { id, entries, bucket, directory, .. } = closed;
    Ok(ReadyPack { id, path, entries, bucket, directory })
}

/// Makes the names of packs durable.
fn sync_names(shared: &Shared<'_>, directories: &mut HashSet<PathBuf>, named: &mut Vec<ReadyPack>) -> Result<()> {
    for directory in directories.drain() {
        let synced = shared.inner.io.sync_dir(&directory);
        synced.map_err(|cause| Error::io("sync", &directory, cause)).inspect_err(|_| forget(shared, named))?;
    }
    shared.ready().append(named);
    Ok(())
}

/// Removes packs that will not be entered.
fn forget(shared: &Shared<'_>, packs: &[ReadyPack]) {
    for pack in packs {
        // What stays is swept away later.
        let _ = shared.inner.io.remove(&pack.path);
    }
}

/// Makes the packs that are ready known to the database.
fn enter(shared: &Shared<'_>) -> Result<()> {
    let ready = std::mem::take(&mut *shared.ready());
    let entered = shared.inner.write(None, |tx| commit::enter(tx, shared.pool, &ready));
    match entered {
        Ok(Some(version)) => {
            let mut local = shared.local();
            local.rely_on_own(ready.iter().map(|pack| pack.id), version);
            commit::entered(shared.pool, &mut local, &ready);
            Ok(())
        }
        Ok(None) => Err(commit::gone()),
        Err(error) => {
            *shared.ready() = ready;
            Err(error)
        }
    }
}
