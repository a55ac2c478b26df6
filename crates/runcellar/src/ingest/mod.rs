//! Ingest: from journals to blocks.
//!
//! In come the frames of a journal, out goes one transaction a batch. The writer's own background thread ingests its
//! journals; whoever opens the workspace ingests those that dead writers left. Data flows one way: [`reader`] finds
//! frames, [`batch`] turns rows into columns, [`prepare`] encodes them before anybody has to wait for it, [`fold`] decides
//! what they mean for the run, [`series`] and [`groups`] keep its pages, and [`store`] writes it all at once. [`intake`]
//! drives all that for one writer.

pub(crate) mod batch;
mod bulk;
mod compact;
pub(crate) mod data;
pub(crate) mod fold;
pub(crate) mod groups;
mod intake;
mod liveness;
pub(crate) mod overviews;
mod parallel;
pub(crate) mod prepare;
pub(crate) mod progress;
pub(crate) mod reader;
mod recover;
mod redact;
pub(crate) mod rows_away;
pub(crate) mod series;
pub(crate) mod statistics;
pub(crate) mod store;

#[doc(hidden)]
pub use bulk::WholeRun;
pub(crate) use compact::{compact, compact_all, compact_owed};
pub(crate) use intake::{Extent, Intake, Pace};
pub(crate) use liveness::{Standing, starts};
pub(crate) use recover::{Claims, look, recover, recover_claiming};
pub(crate) use redact::redact;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use runcellar_format::journal::KeySource;
use runcellar_format::{JournalId, WriterId};

use crate::run::registry::{self, Owner};
use crate::workspace::Inner;
use crate::{Error, Result};
use reader::JournalFile;

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

/// Returns to which generation of the ingest pair a journal is sealed, and the highest number for one that is not; none if
/// that cannot be told, since its writer is making it.
pub(crate) fn ingest_generation(inner: &Inner, id: JournalId, path: &Path) -> Result<Option<u32>> {
    let file = match registry::owner(&*inner.io, id, path) {
        Owner::Own(file) => file,
        Owner::Making => return Ok(None),
        Owner::Other => match inner.io.open(path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Some(u32::MAX)),
            Err(cause) => return Err(Error::io("open journal", path, cause)),
        },
    };
    Ok(JournalFile::open(file)?.map(|journal| match journal.header.source {
        KeySource::Ingest { generation, .. } => generation,
        KeySource::Run(_) => u32::MAX,
    }))
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
