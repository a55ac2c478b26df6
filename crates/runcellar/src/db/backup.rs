//! A copy of cellar.db as it is at one moment, while others go on writing it.

use std::path::Path;

use rusqlite::TransactionBehavior;
use rusqlite::backup::{Backup, StepResult};

use super::{Access, Db, ReadTx, copy, published};
use crate::{Error, ErrorKind, Result};

/// Pages that are copied at once: 16 MiB, so that progress is told several times a second.
const STEP_PAGES: std::ffi::c_int = 4096;
/// Bytes of a page.
const PAGE_BYTES: u64 = 4096;

impl Db {
    /// Copies the database into the empty file at `to`, through SQLite. `progress` is told bytes done and their total.
    ///
    /// A transaction that reads holds the state for as long as it takes: writers go on beside it, into the `-wal` file,
    /// and the copy is never begun anew because of them. The copy has no log beside it, and is not synced.
    pub(crate) fn copy_to(&self, to: &Path, mut progress: impl FnMut(u64, u64)) -> Result<()> {
        if self.access == Access::Published {
            // Nobody changes a published file.
            published::copy_to(&self.path, to)?;
            return Ok(());
        }
        // A connection of its own: others of this process go on with theirs.
        let source = Db::open(&self.path, self.access)?;
        let mut connection = source.lock()?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
        ReadTx::begin(&transaction)?;
        let mut copied = copy::connect_privately(to)?;
        copied.execute_batch("PRAGMA synchronous = OFF")?;
        let backup = Backup::new(&transaction, &mut copied)?;
        loop {
            let step = backup.step(STEP_PAGES)?;
            let pages = backup.progress();
            let bytes = |pages: std::ffi::c_int| u64::try_from(pages).unwrap_or(0) * PAGE_BYTES;
            progress(bytes(pages.pagecount - pages.remaining), bytes(pages.pagecount));
            match step {
                StepResult::Done => break,
                StepResult::More => {}
                _ => return Err(Error::new(ErrorKind::Busy, "cellar.db: another process holds the write lock")),
            }
        }
        drop(backup);
        copied.close().map_err(|(_, error)| error)?;
        // The header was copied with the rest, and says that the file is in WAL mode.
        copy::connect_privately(to)?.close().map_err(|(_, error)| error)?;
        Ok(())
    }

    /// Returns the length of the database as others see it now, in bytes.
    pub(crate) fn bytes(&self) -> Result<u64> {
        let connection = self.lock()?;
        let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        Ok(pages.cast_unsigned() * PAGE_BYTES)
    }
}
