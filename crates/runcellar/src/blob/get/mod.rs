//! Getting files out of a pool: list, read packs, open, compare ids, write.
//!
//! ```text
//! calling thread                         workers (one a processor)
//! manifest -> files and spans    --->    pack -> open -> id as listed? -> place in a temporary file
//!                                        the last span of a file: rename
//! ```
//!
//! A file appears under its name when it is whole. What is there already with the same content is left as it is. A file whose
//! chunks are damaged or missing is named, and the others come out all the same.

mod plan;
mod read;
mod write;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};

use super::manifest::ReadEntry;
use super::pool::Pool;
use crate::workspace::Inner;
use crate::{Error, ErrorKind, Result};
use plan::Plan;
pub(crate) use plan::check_path;
pub(crate) use read::{PackReader, Placed, open_content};

/// Workers at most.
const WORKERS_MAX: usize = 8;
/// Lots of spans that wait for a worker at most.
const LOTS_WAITING: usize = 16;

/// Says that something cannot be made below the target. A name that is too long for the file system there hurts what bears it
/// alone: files may come from elsewhere, or from memory.
fn refused(what: &'static str, place: &Path, cause: std::io::Error) -> Error {
    match cause.kind() {
        std::io::ErrorKind::InvalidFilename => {
            Error::invalid(format!("{}: the name is too long there", place.display())).with_cause(cause)
        }
        _ => Error::io(what, place, cause),
    }
}

/// A file that did not come out, and why.
#[derive(Debug)]
pub struct Hurt {
    /// Its path in the manifest, with what is no UTF-8 replaced.
    pub path: String,
    /// What is wrong.
    pub error: Error,
}

/// What became of a get.
#[derive(Debug, Default)]
pub(crate) struct Got {
    /// Files, links and directories that are there now as listed.
    pub(crate) files: u64,
    /// Bytes of these files.
    pub(crate) bytes: u64,
    /// Bytes of files that had to be written.
    pub(crate) written_bytes: u64,
    /// Files that did not come out.
    pub(crate) hurt: Vec<Hurt>,
    /// Entries that lie elsewhere: (path, URI).
    pub(crate) references: Vec<(String, String)>,
}

/// What all threads of a get share.
struct Shared<'a> {
    inner: &'a Inner,
    pool: &'a Pool,
    bytes_total: u64,
    done: AtomicU64,
    written: AtomicU64,
    files: AtomicU64,
    hurt: Mutex<Vec<Hurt>>,
    stop: AtomicBool,
}

impl Shared<'_> {
    fn hurt(&self, path: &[u8], error: Error) {
        let path = String::from_utf8_lossy(path).into_owned();
        self.hurt.lock().unwrap_or_else(PoisonError::into_inner).push(Hurt { path, error });
    }

    /// Names what something in the target keeps from coming out; other errors are returned.
    fn passed_over(&self, path: &[u8], error: Error) -> Result<()> {
        if error.kind() != ErrorKind::InvalidArgument {
            return Err(error);
        }
        self.hurt(path, error);
        Ok(())
    }

    /// Counts bytes that are as listed now.
    fn advance(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.inner.monitor.progress("bytes", done, self.bytes_total);
    }
}

/// Writes what `entries` lists below the first path of `to`, by way of the second, which is made; without `to` it only opens
/// and compares.
///
/// # Errors
/// If nothing can be written there, or the manifest cannot be read. Files that are hurt are in the result.
pub(crate) fn get(
    inner: &Inner,
    pool: &Pool,
    entries: &mut dyn Iterator<Item = Result<ReadEntry>>,
    to: Option<(&Path, Option<&Path>)>,
    bytes_total: u64,
) -> Result<Got> {
    let shared = Shared {
        inner,
        pool,
        bytes_total,
        done: AtomicU64::new(0),
        written: AtomicU64::new(0),
        files: AtomicU64::new(0),
        hurt: Mutex::default(),
        stop: AtomicBool::new(false),
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX);
    let (give, take) = sync_channel(LOTS_WAITING);
    let take: Mutex<Receiver<plan::Lot>> = Mutex::new(take);
    let plan = std::thread::scope(|scope| {
        let (shared, take) = (&shared, &take);
        for _ in 0..workers {
            let work = move || write::run(shared, take);
            std::thread::Builder::new().name("runcellar-get".into()).spawn_scoped(scope, work).map_err(|cause| {
                Error::new(ErrorKind::Io, format!("no thread to get files: {cause}")).with_cause(cause)
            })?;
        }
        let mut plan = Plan::new(shared, to)?;
        let planned = plan.run(entries, &give);
        if planned.is_err() {
            shared.stop.store(true, Ordering::Relaxed);
        }
        drop(give);
        planned.map(|()| plan)
    })?;
    let references = plan.finish()?;
    let mut hurt = shared.hurt.into_inner().unwrap_or_else(PoisonError::into_inner);
    hurt.sort_by(|left, right| left.path.cmp(&right.path));
    let is_fatal = |hurt: &Hurt| !matches!(hurt.error.kind(), ErrorKind::Damaged | ErrorKind::InvalidArgument);
    if let Some(at) = hurt.iter().position(is_fatal) {
        return Err(hurt.swap_remove(at).error);
    }
    Ok(Got {
        files: shared.files.into_inner(),
        bytes: shared.done.into_inner(),
        written_bytes: shared.written.into_inner(),
        hurt,
        references,
    })
}
