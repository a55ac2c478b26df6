//! Ingest: from journals to blocks.
//!
//! In come the frames of a journal, out goes one transaction a batch. The writer's own background thread ingests its
//! journals; whoever opens the workspace ingests those that dead writers left. Data flows one way: [`reader`] finds
//! frames, [`batch`] turns rows into columns, [`prepare`] encodes them before anybody has to wait for it, [`fold`] decides
//! what they mean for the run, [`series`] and [`groups`] keep its pages, and [`store`] writes it all at once.

pub(crate) mod batch;
pub(crate) mod data;
pub(crate) mod fold;
pub(crate) mod groups;
pub(crate) mod prepare;
pub(crate) mod progress;
pub(crate) mod reader;
mod recover;
pub(crate) mod series;
pub(crate) mod statistics;
pub(crate) mod store;

pub(crate) use recover::recover;
pub(crate) use series::SeriesNumbers;

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use runcellar_format::block::Level;
use runcellar_format::{JournalId, WriterId};

use crate::lineage::rewind;
use crate::run::registry::{self, Owner};
use crate::workspace::Inner;
use crate::{Error, ErrorKind, Result};
use batch::Batch;
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
    let names = match inner.io.list(&directory) {
        // Some tools that copy and restore leave empty directories out.
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        names => names.map_err(|cause| Error::io("list", &directory, cause))?,
    };
    let id = |name: &PathBuf| JournalId::from_hex(name.to_str()?.strip_suffix(".jnl")?);
    Ok(names.iter().filter_map(|name| Some((id(name)?, directory.join(name)))).collect())
}

/// Ingests what `reader` has from where it stands; what `extent` leaves stays in `batch`.
pub(crate) fn ingest(
    inner: &Inner,
    reader: &mut JournalReader,
    batch: &mut Batch,
    known: &mut SeriesNumbers,
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
        store_batch(inner, batch, known, wait)?;
        if !full {
            return Ok(());
        }
    }
}

/// Stores a batch; [`ErrorKind::State`] if another process ingested the same frames meanwhile.
pub(crate) fn store_batch(
    inner: &Inner,
    batch: &mut Batch,
    known: &mut SeriesNumbers,
    wait: Option<Duration>,
) -> Result<()> {
    store_as(inner, batch, known, wait, false)
}

/// Stores the last batch of a writer that ended without a word, which may be empty.
pub(crate) fn store_dead(inner: &Inner, batch: &mut Batch, wait: Option<Duration>) -> Result<()> {
    store_as(inner, batch, &mut SeriesNumbers::default(), wait, true)
}

fn store_as(
    inner: &Inner,
    batch: &mut Batch,
    known: &mut SeriesNumbers,
    wait: Option<Duration>,
    dead: bool,
) -> Result<()> {
    let hidden = rewind::take_hidden(inner, batch)?;
    let prepared = prepare::prepare(inner, batch, known, Level::Best)?;
    let stored = inner.write(wait, |tx| {
        let stored = store::store(tx, batch, prepared, known, dead)?;
        if matches!(stored, Stored::Yes(_)) {
            rewind::store_hidden(tx, batch.writer, hidden)?;
        }
        Ok(stored)
    });
    match stored? {
        Stored::Yes(fresh) => {
            known.add(fresh);
            batch.next();
            Ok(())
        }
        Stored::Stale(reached) => {
            Err(Error::new(ErrorKind::State, format!("writer {}: ingested elsewhere up to {reached}", batch.writer)))
        }
    }
}

/// Returns the writers that have a journal of which somebody holds the lock.
pub(crate) fn live_writers(inner: &Inner) -> Result<HashSet<WriterId>> {
    let mut live = HashSet::new();
    for (id, path) in journal_files(inner)? {
        let gone = |cause: &std::io::Error| cause.kind() == std::io::ErrorKind::NotFound;
        match recover::is_live(inner, id, &path) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(cause) if gone(&cause) => continue,
            Err(cause) => return Err(Error::io("look at journal", &path, cause)),
        }
        let file = match registry::owner(&*inner.io, id, &path) {
            Owner::Own(file) => file,
            // It has no header yet, or its writer has just ended.
            Owner::Making => continue,
            Owner::Other => match inner.io.open(&path) {
                Ok(file) => file,
                Err(cause) if gone(&cause) => continue,
                Err(cause) => return Err(Error::io("open journal", &path, cause)),
            },
        };
        live.extend(JournalFile::open(file)?.map(|journal| journal.header.writer));
    }
    Ok(live)
}

/// Counts the journals of writers at work and those that dead writers left.
pub(crate) fn count_journals(inner: &Inner) -> Result<(u64, u64)> {
    let (mut live, mut left) = (0, 0);
    for (id, path) in journal_files(inner)? {
        match recover::is_live(inner, id, &path) {
            Ok(true) => live += 1,
            // One that cannot be opened for writing is nobody's work as far as this user can tell.
            Ok(false) => left += 1,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {}
            Err(_) => left += 1,
        }
    }
    Ok((live, left))
}
