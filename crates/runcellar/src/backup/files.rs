//! Copying files: copied here, synced and named by other threads.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ScopedJoinHandle;

use super::stage::{Stage, remove};
use crate::io::{self, Io, IoFile};
use crate::{Error, Result};

/// Bytes of a journal that are read and written at once.
const BUFFER_BYTES: usize = 1 << 20;
/// Threads that wait for the disk. A file system writes one commit for several files that are synced at once, so that copying
/// packs of 16 MiB takes what `cp -r` and `sync` take (benches/backup.rs).
const SYNCERS: usize = 4;
/// Files that wait for one of these while others are read.
const UNSYNCED_MAX: usize = 4;

/// A file to copy.
pub(super) struct Job {
    pub(super) from: PathBuf,
    pub(super) to: PathBuf,
}

/// What became of jobs.
#[derive(Default)]
pub(super) struct Done {
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// Files that were not there.
    pub(super) gone: Vec<PathBuf>,
}

/// Returns the length of a file; none if it is not there.
pub(super) fn length(io: &dyn Io, path: &Path) -> Result<Option<u64>> {
    match io.open(path).and_then(|file| file.len()) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(Error::io("look at", path, cause)),
    }
}

/// Copies what a file holds now to a new one, which is not synced; returns that and its length.
pub(super) fn copy(
    io: &dyn Io,
    from: (&dyn IoFile, &Path),
    to: &Path,
    told: &mut dyn FnMut(u64),
) -> Result<(Arc<dyn IoFile>, u64)> {
    let file = io.create_new(to).map_err(|cause| Error::io("create", to, cause))?;
    let (mut buffer, mut bytes) = (vec![0; BUFFER_BYTES], 0);
    loop {
        let read = io::read_into(from.0, bytes, &mut buffer).map_err(|cause| Error::io("read", from.1, cause))?;
        let filled = buffer.get(..read).unwrap_or_default();
        io::write_all(&*file, filled).map_err(|cause| Error::io("write", to, cause))?;
        bytes += read as u64;
        told(read as u64);
        if read < BUFFER_BYTES {
            return Ok((file, bytes));
        }
    }
}

/// A file that is written, and is to be synced and named.
type Written = (Arc<dyn IoFile>, PathBuf, PathBuf);

/// Syncs and names files until there are no more.
fn sync_all(io: &dyn Io, written: &Mutex<Receiver<Written>>) -> Result<()> {
    loop {
        let next = written.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((file, part, to)) = next else { return Ok(()) };
        let named = file.sync().and_then(|()| io.rename(&part, &to));
        named.map_err(|cause| Error::io("write", &to, cause))?;
    }
}

/// Copies files that never change, each under a temporary name until it is durable.
pub(super) fn copy_all(io: &dyn Io, stage: &Stage<'_>, jobs: Vec<Job>, told: &mut dyn FnMut(u64)) -> Result<Done> {
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel::<Written>(UNSYNCED_MAX);
        let receiver = Arc::new(Mutex::new(receiver));
        let syncers: Vec<_> = (0..SYNCERS)
            .map(|_| {
                let receiver = receiver.clone();
                scope.spawn(move || sync_all(io, &receiver))
            })
            .collect();
        // Once all of them have failed nobody takes what is sent.
        drop(receiver);
        let mut done = Done::default();
        let outcome = jobs.into_iter().enumerate().try_for_each(|(number, Job { from, to })| {
            let part = stage.part(number);
            let (file, bytes) = match io.copy_new(&from, &part, told) {
                Ok(copied) => copied,
                Err(cause) => {
                    // The next backup removes one that stays.
                    let _ = remove(io, &part);
                    if length(io, &from)?.is_none() {
                        done.gone.push(from);
                        return Ok(());
                    }
                    return Err(Error::io("copy", &from, cause));
                }
            };
            (done.files, done.bytes) = (done.files + 1, done.bytes + bytes);
            // They end early only when they have failed, and then say why.
            let _ = sender.send((file, part, to));
            Ok(())
        });
        drop(sender);
        // A panic there is a bug, and goes on here.
        let join = |one: ScopedJoinHandle<'_, Result<()>>| one.join().unwrap_or_else(|panic| resume_unwind(panic));
        // All of them, also if one failed.
        let joined: Vec<Result<()>> = syncers.into_iter().map(join).collect();
        joined.into_iter().collect::<Result<()>>().and(outcome).map(|()| done)
    })
}
