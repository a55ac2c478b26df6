//! Copying files: read and written here, synced and named by a second thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use super::stage::{Stage, remove};
use crate::io::{self, Io, IoFile};
use crate::{Error, Result};

/// Bytes that are read and written at once.
const BUFFER_BYTES: usize = 1 << 20;
/// Files that wait for the disk while others are read.
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

/// Copies files that never change, each under a temporary name until it is durable.
pub(super) fn copy_all(io: &dyn Io, stage: &Stage<'_>, jobs: Vec<Job>, told: &mut dyn FnMut(u64)) -> Result<Done> {
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel::<(Arc<dyn IoFile>, PathBuf, PathBuf)>(UNSYNCED_MAX);
        let syncer = scope.spawn(move || {
            receiver.iter().try_for_each(|(file, part, to)| {
                let named = file.sync().and_then(|()| io.rename(&part, &to));
                named.map_err(|cause| Error::io("write", &to, cause))
            })
        });
        let mut done = Done::default();
        let outcome = jobs.into_iter().enumerate().try_for_each(|(number, Job { from, to })| {
            let file = match io.open(&from) {
                Ok(file) => file,
                Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
                    done.gone.push(from);
                    return Ok(());
                }
                Err(cause) => return Err(Error::io("open", &from, cause)),
            };
            let part = stage.part(number);
            let (file, bytes) = copy(io, (&*file, &from), &part, told).inspect_err(|_| {
                // The next backup removes one that stays.
                let _ = remove(io, &part);
            })?;
            (done.files, done.bytes) = (done.files + 1, done.bytes + bytes);
            // It ends early only when it has failed, and then says why.
            let _ = sender.send((file, part, to));
            Ok(())
        });
        drop(sender);
        // A panic there is a bug, and goes on here.
        let synced = syncer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        synced.and(outcome).map(|()| done)
    })
}
