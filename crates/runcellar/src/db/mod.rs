//! cellar.db: the only module that speaks SQL.
//!
//! Everything in it is random ids, counters and sealed bytes. [`Db`] opens the file and runs transactions;
//! [`ReadTx`] and [`WriteTx`] read and write rows, and `WriteTx` keeps the keyed sum of the root row in step, so no
//! row can change without it. docs/FORMAT.md, "cellar.db".

mod backup;
mod copy;
mod epoch;
mod fork;
mod packing;
mod published;
mod read;
mod replica;
mod rows;
mod schema;
mod usage;
mod write;

pub(crate) use copy::{WorkingCopy, fold_in, has_companions};
pub(crate) use published::patiently;
pub(crate) use read::{ReadTx, damaged_in_place};
pub(crate) use replica::OF_RUN;
pub(crate) use rows::{BlockRow, EpochRow, GroupKey, ObjectKey, ObjectRow, Summed};
pub(crate) use schema::create;
pub(crate) use usage::{Pages, Stored};
pub(crate) use write::{Cover, WORKSPACE_OWNER, WriteTx};
use write::{insert_epoch, insert_key};

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use runcellar_format::record::RootRow;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::keys::Keyring;
use crate::{Error, ErrorKind, Result};
use fork::Slot;
use published::Stamp;

/// Name of the database in a workspace.
pub(crate) const FILE_NAME: &str = "cellar.db";
/// How long a call waits for another process's write transaction before it reports `Busy`. Writers hold the lock
/// for milliseconds; only a stopped process holds it this long.
const BUSY_WAIT: Duration = Duration::from_secs(20);

/// How a process uses cellar.db.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// On a local disk: a WAL database that many processes read and write at once.
    Shared,
    /// On a network file system: a file that nobody changes, and that another takes the place of. Only read, and whole.
    Published,
    /// A copy that is no one else's, written in a turn and then published.
    Private,
    /// In a backup: a file that nobody changes, read without locks.
    Kept,
}

/// An open database.
pub(crate) struct Db {
    path: PathBuf,
    slot: &'static Slot,
    access: Access,
    read_only: bool,
    /// Which file the connection to a published database was read from.
    published: Mutex<Option<Stamp>>,
}

impl Db {
    /// Opens the database of a workspace and compares its schema with the known one before any query.
    pub(crate) fn open(path: &Path, access: Access) -> Result<Db> {
        refuse_unsafe_sqlite(rusqlite::version_number())?;
        let (path, slot) = (path.to_owned(), fork::take_slot()?);
        let mut db = Db { path, slot, access, read_only: false, published: Mutex::default() };
        let read_only = db.lock()?.is_readonly("main")?;
        db.read_only = match access {
            Access::Published => !crate::os::can_write(db.path.parent().unwrap_or(Path::new("."))),
            Access::Kept => true,
            Access::Shared | Access::Private => read_only,
        };
        Ok(db)
    }

    /// Returns true if nothing can be written here.
    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn lock(&self) -> Result<Guard<'_>> {
        // A panic inside a transaction rolled it back, so the connection is as good as new.
        let mut guard = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        if self.access == Access::Published {
            let mut known = self.published.lock().unwrap_or_else(PoisonError::into_inner);
            if guard.is_none() || *known != Some(published::stamp(&self.path)?) {
                // The first use, or a fork closed it, or another file was published.
                *guard = None;
                let (connection, stamp) = published::open(&self.path)?;
                (*guard, *known) = (Some(connection), Some(stamp));
            }
        }
        if guard.is_none() {
            // The first use, or a fork closed it.
            *guard = Some(match self.access {
                Access::Private => copy::open_private(&self.path)?,
                Access::Kept => open_immutable(&self.path)?,
                _ => open_connection(&self.path)?,
            });
        }
        Ok(Guard(guard))
    }

    /// Returns whether a shared database is in WAL mode. It is not after it was written on a network file system.
    pub(crate) fn is_wal(&self) -> Result<bool> {
        let mode: String = self.lock()?.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
        Ok(mode == "wal")
    }

    /// Makes a shared database one of WAL mode.
    pub(crate) fn make_wal(&self) -> Result<()> {
        schema::to_wal(&*self.lock()?, &self.path)
    }

    /// Runs `reading` in one read transaction: it sees one state of the database throughout.
    pub(crate) fn read<T>(&self, reading: impl FnOnce(&ReadTx<'_>) -> Result<T>) -> Result<T> {
        let mut connection = self.lock()?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
        reading(&ReadTx::begin(&transaction)?)
    }

    /// Runs `writing` in one write transaction, waiting for other writers at most `wait`.
    ///
    /// All it wrote becomes visible and durable together, or nothing does. Returns the root row as committed too.
    pub(crate) fn write<T>(
        &self,
        keyring: &Keyring,
        io: &dyn crate::io::Io,
        wait: Option<Duration>,
        writing: impl FnOnce(&mut WriteTx<'_>) -> Result<T>,
    ) -> Result<(T, RootRow)> {
        if self.read_only || self.access == Access::Published {
            return Err(Error::new(ErrorKind::ReadOnly, "the workspace cannot be written"));
        }
        let mut connection = self.lock()?;
        connection.busy_timeout(wait.unwrap_or(BUSY_WAIT))?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let outcome = transaction.map_err(Error::from).and_then(|transaction| {
            schema::migrate(&transaction)?;
            let mut tx = WriteTx::begin(&transaction, keyring, io)?;
            if self.access == Access::Private {
                // Each published file has another inode, by which nothing can be told.
                tx.root_mut().inode = 0;
            }
            let value = writing(&mut tx)?;
            let root = tx.finish()?;
            transaction.commit()?;
            Ok((value, root))
        });
        connection.busy_timeout(BUSY_WAIT)?;
        outcome
    }

    /// Asks SQLite whether the file's structure is whole, and each index what its table says; returns what it says is not.
    pub(crate) fn structure_problems(&self) -> Result<Vec<String>> {
        let connection = self.lock()?;
        let mut statement = connection.prepare("PRAGMA integrity_check(20)")?;
        let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
        let all: Vec<String> = rows.collect::<rusqlite::Result<_>>()?;
        Ok(all.into_iter().filter(|line| line != "ok").collect())
    }

    /// Makes all indexes anew, from the tables.
    pub(crate) fn rebuild_indexes(&self) -> Result<()> {
        Ok(self.lock()?.execute_batch("REINDEX")?)
    }
}

/// Returns true if a line of SQLite's says that an index is not what its table says, and nothing else.
pub(crate) fn is_of_index(line: &str) -> bool {
    ["missing from index ", "wrong # of entries in index ", "non-unique entry in index "]
        .iter()
        .any(|said| line.contains(said))
}

impl Drop for Db {
    fn drop(&mut self) {
        fork::give_back(self.slot);
    }
}

/// A locked connection that is open.
struct Guard<'a>(MutexGuard<'a, Option<Connection>>);

impl Deref for Guard<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.0.as_ref().expect("lock() opened it")
    }
}

impl DerefMut for Guard<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.0.as_mut().expect("lock() opened it")
    }
}

fn open_connection(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let writable = Connection::open_with_flags(path, flags).map_err(Error::from).and_then(|connection| {
        prepare(&connection)?;
        Ok(connection)
    });
    match writable {
        Ok(connection) => {
            schema::verify(&connection)?;
            Ok(connection)
        }
        Err(error) if matches!(error.kind(), ErrorKind::ReadOnly | ErrorKind::Io) => {
            // A medium that cannot be written has no place for SQLite's shared memory. The file is taken as unchanging,
            // which is right if no `-wal` waits beside it.
            match copy::has_wal(path) || !path.is_file() {
                true => Err(error),
                false => open_immutable(path),
            }
        }
        Err(error) => Err(error),
    }
}

fn prepare(connection: &Connection) -> Result<()> {
    connection.busy_timeout(BUSY_WAIT)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.execute_batch(
        "PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON;
         PRAGMA mmap_size = 0;
         PRAGMA temp_store = MEMORY;
         PRAGMA secure_delete = ON;
         PRAGMA synchronous = FULL;",
    )?;
    // Reads the file's header: the first statement that touches the disk.
    connection.query_row("PRAGMA schema_version", [], |_| Ok(()))?;
    Ok(())
}

/// Opens a database that nobody changes.
fn open_immutable(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let escaped: String = path
        .to_string_lossy()
        .chars()
        .map(|letter| match letter {
            '%' => "%25".to_owned(),
            '?' => "%3f".to_owned(),
            '#' => "%23".to_owned(),
            other => other.to_string(),
        })
        .collect();
    let connection = Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags)?;
    prepare(&connection)?;
    schema::verify(&connection)?;
    Ok(connection)
}

/// Returns the version of SQLite.
pub(crate) fn sqlite_version() -> &'static str {
    rusqlite::version()
}

/// Versions 3.7.0 to 3.51.2 can corrupt a WAL database when two connections checkpoint at once
/// (<https://sqlite.org/wal.html#walresetbug>).
fn refuse_unsafe_sqlite(version: i32) -> Result<()> {
    if (3_007_000..=3_051_002).contains(&version) {
        let message =
            format!("SQLite {version} can corrupt a workspace under concurrent checkpoints: 3.51.3 is needed");
        return Err(Error::new(ErrorKind::State, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unsafe_sqlite_is_refused_and_the_bundled_one_is_not() {
        for unsafe_version in [3_007_000, 3_045_001, 3_051_002] {
            assert!(refuse_unsafe_sqlite(unsafe_version).is_err());
        }
        assert!(refuse_unsafe_sqlite(3_051_003).is_ok());
        refuse_unsafe_sqlite(rusqlite::version_number()).expect("the bundled SQLite is safe");
    }
}
