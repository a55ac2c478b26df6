//! The mirror of the root row beside the key file: outside the workspace, so that an older copy put back is noticed.
//!
//! `<workspace id>.<device id>.root`: lineage, counter and sum. Written after the commit, only upwards, at most once a
//! second and at close. An unwritable mirror is a note of `doctor`, never an error. docs/FORMAT.md, "Mirror".

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use runcellar_format::mirror::Mirror as Mirrored;
use runcellar_format::record::RootRow;
use runcellar_format::{LineageId, WorkspaceId};

use crate::io::{self, Io};

const EVERY_US: i64 = 1_000_000;

pub(super) struct Mirror {
    /// The directory of key files; none if the key came from elsewhere.
    directory: Option<PathBuf>,
    workspace: WorkspaceId,
    pending: Mutex<Pending>,
}

#[derive(Default)]
struct Pending {
    root: Option<RootRow>,
    written_us: Option<i64>,
}

impl Mirror {
    pub(super) fn new(directory: Option<PathBuf>, workspace: WorkspaceId) -> Self {
        Mirror { directory, workspace, pending: Mutex::default() }
    }

    pub(super) fn for_child(&self) -> Self {
        Mirror::new(self.directory.clone(), self.workspace)
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a committed root row, and writes it if the last writing was long enough ago.
    pub(super) fn committed(&self, io: &dyn Io, root: RootRow) {
        let mut pending = self.pending();
        let now = io.monotonic_us();
        let due = pending.written_us.is_none_or(|written| now - written >= EVERY_US);
        pending.root = Some(root);
        // The first write of a handle waits for the next: `init` has its own syncs to do.
        if pending.written_us.is_none() {
            pending.written_us = Some(now);
        } else if due {
            self.write(io, &mut pending, now);
        }
    }

    /// Writes what is pending.
    pub(super) fn flush(&self, io: &dyn Io) {
        let mut pending = self.pending();
        let now = io.monotonic_us();
        self.write(io, &mut pending, now);
    }

    fn write(&self, io: &dyn Io, pending: &mut Pending, now: i64) {
        let Some(root) = pending.root.take() else { return };
        let Some(path) = self.path(&root) else { return };
        pending.written_us = Some(now);
        let ahead = read(io, &path).is_some_and(|old| old.lineage.0 == root.lineage && old.counter >= root.counter);
        if !ahead {
            // `doctor` says if the mirror cannot be written; the commit itself stands.
            let _ = write(io, &path, &root);
        }
    }

    pub(super) fn path(&self, root: &RootRow) -> Option<PathBuf> {
        let device = runcellar_format::DeviceId(root.device);
        Some(self.directory.as_ref()?.join(format!("{}.{device}.root", self.workspace)))
    }

    /// Reads what the mirror says of the history that `root` belongs to.
    pub(super) fn seen(&self, io: &dyn Io, root: &RootRow) -> Option<Mirrored> {
        read(io, &self.path(root)?).filter(|mirrored| mirrored.lineage.0 == root.lineage)
    }
}

/// Compares a root row with what a mirror said before the row was read; returns what does not fit, in words.
pub(super) fn problem(mirrored: &Mirrored, root: &RootRow) -> Option<String> {
    if mirrored.counter > root.counter {
        let (seen, found) = (mirrored.counter, root.counter);
        return Some(format!("rolled back: it stands at write {found}, but had reached write {seen} on this machine"));
    }
    (mirrored.counter == root.counter && mirrored.sum != root.sum)
        .then(|| format!("replaced: at write {} it differs from what this machine wrote", root.counter))
}

fn read(io: &dyn Io, path: &Path) -> Option<Mirrored> {
    Mirrored::decode(&io.read(path, Mirrored::BYTES as u64).ok()?).ok()
}

fn write(io: &dyn Io, path: &Path, root: &RootRow) -> std::io::Result<()> {
    let mirrored = Mirrored { lineage: LineageId(root.lineage), counter: root.counter, sum: root.sum };
    let mut random = [0; 8];
    io.random(&mut random)?;
    let temporary = path.with_extension(format!("root.{:016x}.tmp", u64::from_le_bytes(random)));
    io::replace(io, path, &temporary, &mirrored.encode())
}
