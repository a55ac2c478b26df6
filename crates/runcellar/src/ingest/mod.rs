//! Ingest: from journals to blocks.
//!
//! In come the frames of a journal, out goes one transaction a batch. The writer's own background thread ingests its
//! journals; whoever opens the workspace ingests those that dead writers left. Data flows one way: [`reader`] finds
//! frames, [`batch`] turns rows into columns, [`fold`] decides what they mean for the run, [`groups`] packs them, and
//! [`store`] writes it all at once.

pub(crate) mod batch;
pub(crate) mod data;
pub(crate) mod fold;
pub(crate) mod groups;
pub(crate) mod reader;
pub(crate) mod store;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use runcellar_format::record::RunState;
use runcellar_format::{JournalId, ObjectId, WriterId};

use crate::db::ReadTx;
use crate::io::IoFile;
use crate::keys::Keyring;
use crate::run::registry::{self, Owner};
use crate::workspace::Inner;
use crate::{Error, ErrorKind, Result};
use batch::Batch;
use data::RunData;
use reader::{JournalFile, JournalReader};
use store::Stored;

/// How far a journal is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Only whole groups: the file is still being written, and its tail is read from the journal.
    WholeGroups,
    /// Everything that is there.
    All,
}

/// Lists the journal files of a workspace.
pub(crate) fn journal_files(inner: &Inner) -> Result<Vec<(JournalId, PathBuf)>> {
    let directory = inner.journals();
    let names = inner.io.list(&directory).map_err(|cause| Error::io("list", &directory, cause))?;
    let id = |name: &PathBuf| JournalId::from_hex(name.to_str()?.strip_suffix(".jnl")?);
    Ok(names.iter().filter_map(|name| Some((id(name)?, directory.join(name)))).collect())
}

/// Ingests what `reader` has from where it stands; what `extent` leaves stays in `batch`.
pub(crate) fn ingest(
    inner: &Inner,
    reader: &mut JournalReader,
    batch: &mut Batch,
    extent: Extent,
    wait: Option<Duration>,
) -> Result<()> {
    loop {
        let mut full = batch.is_full();
        if !full {
            reader.read(|sequence, plain| {
                batch.take(sequence, plain)?;
                full = batch.is_full();
                Ok(!full)
            })?;
        }
        if batch.is_empty() || (!full && extent == Extent::WholeGroups) {
            return Ok(());
        }
        store_batch(inner, batch, wait)?;
        if !full {
            return Ok(());
        }
    }
}

fn store_batch(inner: &Inner, batch: &mut Batch, wait: Option<Duration>) -> Result<()> {
    match inner.write(wait, |tx| store::store(tx, batch, false))? {
        Stored::Yes => {
            batch.next();
            Ok(())
        }
        Stored::Stale(reached) => {
            Err(Error::new(ErrorKind::State, format!("writer {}: ingested elsewhere up to {reached}", batch.writer)))
        }
    }
}

/// Counts the journals of writers at work and those that dead writers left.
pub(crate) fn count_journals(inner: &Inner) -> Result<(u64, u64)> {
    let (mut live, mut left) = (0, 0);
    for (id, path) in journal_files(inner)? {
        if !matches!(registry::owner(id), Owner::Other) {
            live += 1;
            continue;
        }
        match inner.io.open(&path).and_then(|file| file.try_lock()) {
            Ok(false) => live += 1,
            // One that cannot be opened for writing is nobody's work as far as this user can tell.
            Ok(true) => left += 1,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {}
            Err(_) => left += 1,
        }
    }
    Ok((live, left))
}

/// A journal that a dead writer left, with its lock held by us.
struct Abandoned {
    path: PathBuf,
    journal: JournalFile,
}

/// Ingests the journals that dead writers left, and marks their runs. Damage in one is told to the monitor and leaves
/// the file where it is.
pub(crate) fn recover(inner: &Inner) -> Result<()> {
    let mut abandoned: Vec<Abandoned> = Vec::new();
    for (id, path) in journal_files(inner)? {
        match claim(inner, id, &path) {
            Ok(Some(journal)) => abandoned.push(Abandoned { path, journal }),
            Ok(None) => {}
            Err(error) => inner.monitor.warn(&format!("journal {id} is left as it is: {error}")),
        }
    }
    abandoned.sort_by_key(|left| (left.journal.header.writer, left.journal.header.first_sequence));
    let mut rest = abandoned.into_iter().peekable();
    while let Some(first) = rest.next() {
        let writer = first.journal.header.writer;
        let mut files = vec![first];
        while let Some(next) = rest.next_if(|next| next.journal.header.writer == writer) {
            files.push(next);
        }
        let noun = format!("journal {}", files[0].journal.header.journal);
        match recover_writer(inner, writer, files) {
            Ok(()) => {}
            // Nothing is lost: readers take the rows from the journal, and the next opener tries again.
            Err(error) if matches!(error.kind(), ErrorKind::ReadOnly | ErrorKind::Busy) => return Ok(()),
            Err(error) => inner.monitor.warn(&format!("{noun} is left as it is: {error}")),
        }
    }
    Ok(())
}

/// Takes the lock of a journal whose writer is gone; removes a file that its writer died making.
fn claim(inner: &Inner, id: JournalId, path: &std::path::Path) -> Result<Option<JournalFile>> {
    if !matches!(registry::owner(id), Owner::Other) {
        return Ok(None);
    }
    let file: Arc<dyn IoFile> = match inner.io.open(path) {
        Ok(file) => file,
        // Ingested by somebody else in between, or not ours to write: readers still see it.
        Err(cause) if matches!(cause.kind(), std::io::ErrorKind::NotFound) => return Ok(None),
        Err(cause) => {
            let error = Error::io("open journal", path, cause);
            return if error.kind() == ErrorKind::ReadOnly { Ok(None) } else { Err(error) };
        }
    };
    let failed = |cause| Error::io("lock journal", path, cause);
    if !file.try_lock().map_err(failed)? {
        return Ok(None);
    }
    // It may have been ingested and removed between opening and locking.
    if inner.io.identity(path).ok() != Some(file.identity().map_err(failed)?) {
        return Ok(None);
    }
    match JournalFile::open(file)? {
        Some(journal) => Ok(Some(journal)),
        None => {
            inner.io.remove(path).map_err(|cause| Error::io("remove empty journal", path, cause))?;
            Ok(None)
        }
    }
}

fn recover_writer(inner: &Inner, writer: WriterId, files: Vec<Abandoned>) -> Result<()> {
    let reached = inner.read(|tx, keyring| store::writer_row(tx, keyring, writer))?;
    let mut batch = Batch::after(writer, reached.map_or(0, |row| row.sequence));
    let mut paths = Vec::new();
    let mut damaged = false;
    for Abandoned { path, journal } in files {
        let mut reader = inner.read(|tx, keyring| journal.unlock(tx, keyring))?;
        batch.next_file();
        ingest(inner, &mut reader, &mut batch, Extent::All, None)?;
        // A stretch that is no frame is damage: the file is kept for `check`, and for whoever can mend it.
        damaged |= !reader.damage.is_empty();
        paths.push((path, reader));
    }
    let news = !batch.is_empty() || !inner.read(|tx, keyring| is_settled(tx, keyring, writer))?;
    if news {
        inner.write(None, |tx| store::store(tx, &mut batch, true))?;
    }
    if damaged {
        inner.monitor.warn(&format!("a journal of writer {writer} is damaged and kept: runcellar check says more"));
        return Ok(());
    }
    for (path, _locked) in &paths {
        inner.io.remove(path).map_err(|cause| Error::io("remove ingested journal", path, cause))?;
    }
    Ok(())
}

/// Returns true if the database knows how this writer ended.
fn is_settled(tx: &ReadTx<'_>, keyring: &Keyring, writer: WriterId) -> Result<bool> {
    let Some(row) = store::writer_row(tx, keyring, writer)? else { return Ok(false) };
    let Some(data) = RunData::load(tx, keyring, ObjectId(row.run))? else { return Ok(false) };
    let session = data.record.sessions.iter().find(|session| session.writer == writer.0);
    Ok(session.is_some_and(|session| session.state != RunState::Running))
}
