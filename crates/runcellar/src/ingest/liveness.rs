//! Whether the writer of a journal whose record lock is free is dead.
//!
//! On a local disk it is. On a network file system locks may not reach the writer's host, so the start record says where
//! to look: at the process itself, if it can be seen from here, and else at the journal, which grows each minute at
//! least. A writer that is only presumed to be dead may go on: what it left is ingested, and kept.

use std::path::Path;
use std::sync::Arc;
use std::sync::OnceLock;

use runcellar_format::record::{ProcessField, Start};

use super::batch::Batch;
use super::journal_files;
use super::progress::Progress;
use super::reader::JournalFile;
use crate::io::IoFile;
use crate::os::ProcessFacts;
use crate::run::registry::{self, Owner};
use crate::workspace::{Inner, SILENCE_US, file_system_now_us};
use crate::{Error, Result};

/// For how long a journal without a close frame is kept after its last growth if nothing proves that its writer is dead:
/// thirty days, in microseconds.
const KEPT_US: i64 = 30 * 86_400 * 1_000_000;

/// How a writer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Seen at work, or it has the lock.
    AtWork,
    /// Not to be seen from here, and heard of within ten minutes.
    Heard,
    /// Dead for sure.
    Gone,
    /// Not heard of for ten minutes.
    Silent,
}

/// What the journals found at one time are judged by.
pub(super) struct Watch<'a> {
    inner: &'a Inner,
    here: ProcessFacts,
    /// Now, by the clock of the file system; asked for once.
    now_us: OnceLock<i64>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(inner: &'a Inner) -> Self {
        Watch { inner, here: ProcessFacts::of_this(), now_us: OnceLock::new() }
    }

    /// Returns how the writer of a journal stands whose lock is free; `file` is none if it has no header.
    pub(super) fn standing(&self, path: &Path, file: Option<&Arc<dyn IoFile>>) -> Result<Standing> {
        if !self.inner.is_network() {
            return Ok(Standing::Gone);
        }
        // One that cannot be opened tells nothing of its writer; ingest says what is wrong with it.
        let start = file.and_then(|file| start_of(self.inner, file.clone()).ok().flatten());
        match start.map(|start| writer_of(&start)) {
            // What this process itself writes is in the registry of its journals: it gave this one up.
            Some(writer) if writer == self.here => return Ok(Standing::Gone),
            Some(writer) => match writer.is_at_work(&self.here) {
                Some(true) => return Ok(Standing::AtWork),
                Some(false) => return Ok(Standing::Gone),
                None => {}
            },
            None => {}
        }
        Ok(if self.silent_us(path)? < SILENCE_US { Standing::Heard } else { Standing::Silent })
    }

    /// Returns whether a journal did not grow for so long that it need not be kept for a writer that may come back.
    pub(super) fn is_long_silent(&self, path: &Path) -> Result<bool> {
        Ok(self.silent_us(path)? >= KEPT_US)
    }

    fn silent_us(&self, path: &Path) -> Result<i64> {
        let inner = self.inner;
        let now = match self.now_us.get() {
            Some(now) => *now,
            None => *self.now_us.get_or_init({
                let now = file_system_now_us(&*inner.io, &inner.path)?;
                move || now
            }),
        };
        let written = inner.io.modified_us(path).map_err(|cause| Error::io("look at journal", path, cause))?;
        Ok(now.saturating_sub(written))
    }
}

fn writer_of(start: &Start) -> ProcessFacts {
    let ProcessField { started, namespace } = ProcessField::of(start);
    ProcessFacts { host: start.host.clone(), boot_id: start.boot_id.clone(), namespace, pid: start.pid, started }
}

/// Returns those start records that are wanted among the journals. One that cannot be read is passed over.
pub(crate) fn starts(inner: &Inner, wanted: impl Fn(&Start) -> bool) -> Result<Vec<Start>> {
    let mut found = Vec::new();
    for (id, path) in journal_files(inner)? {
        let file = match registry::owner(&*inner.io, id, &path) {
            Owner::Own(file) => file,
            Owner::Making => continue,
            Owner::Other => match inner.io.open(&path) {
                Ok(file) => file,
                Err(_) => continue,
            },
        };
        if let Ok(Some(start)) = start_of(inner, file) {
            found.extend(wanted(&start).then_some(*start));
        }
    }
    Ok(found)
}

/// Reads the start record of a journal.
pub(super) fn start_of(inner: &Inner, file: Arc<dyn IoFile>) -> Result<Option<Box<Start>>> {
    let Some(journal) = JournalFile::open(file)? else { return Ok(None) };
    let mut batch = Batch::after(journal.header.writer, Progress::default());
    let mut reader = inner.read(|tx, keyring| journal.unlock(tx, keyring))?;
    reader.read(|sequence, plain| batch.take(sequence, plain).map(|()| false))?;
    Ok(batch.start)
}
