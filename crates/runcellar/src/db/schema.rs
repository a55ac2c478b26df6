//! The schema, and making, recognising and migrating it.

use std::path::Path;

use rusqlite::Connection;

use super::{Access, copy};
use crate::{Error, ErrorKind, Result};

/// "RCEL": tells `file(1)` and us that a SQLite file is a workspace's.
const APPLICATION_ID: i32 = 0x5243_454c;
/// The version of new databases. Numbered migrations lead from each version to the next: [`migrate`].
pub(super) const USER_VERSION: i32 = 3;
/// The oldest version that is read.
const USER_VERSION_OLDEST: i32 = 1;

/// Each statement as it stands in `sqlite_schema`.
const STATEMENTS: [&str; 6] = [
    "CREATE TABLE epoch (number INTEGER PRIMARY KEY, id BLOB NOT NULL, parent BLOB NOT NULL) STRICT",
    "CREATE TABLE key (id BLOB PRIMARY KEY, owner BLOB NOT NULL, purpose INTEGER NOT NULL, epoch BLOB NOT NULL, \
     wrap BLOB NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE INDEX key_by_owner ON key (owner, purpose)",
    "CREATE TABLE object (kind INTEGER NOT NULL, id BLOB NOT NULL, position INTEGER NOT NULL, device BLOB NOT NULL, \
     seq INTEGER NOT NULL, tag BLOB, body BLOB NOT NULL, PRIMARY KEY (kind, id, position)) STRICT, WITHOUT ROWID",
    "CREATE UNIQUE INDEX object_by_tag ON object (tag) WHERE tag IS NOT NULL",
    "CREATE TABLE block (run BLOB NOT NULL, writer BLOB NOT NULL, number INTEGER NOT NULL, part INTEGER NOT NULL, \
     body BLOB NOT NULL, UNIQUE (run, writer, number, part)) STRICT",
];

/// Makes the database of a new workspace in an empty file, and runs `fill` in the transaction that makes
/// the tables. When this returns, the file is whole and closed; a shared one is durable, too.
pub(crate) fn create(
    path: &Path,
    access: Access,
    fill: impl FnOnce(&rusqlite::Transaction<'_>) -> Result<()>,
) -> Result<()> {
    let mut connection = match access {
        Access::Shared => Connection::open(path)?,
        Access::Published | Access::Private | Access::Kept => copy::connect_privately(path)?,
    };
    connection.execute_batch("PRAGMA page_size = 4096; PRAGMA temp_store = MEMORY; PRAGMA synchronous = FULL;")?;
    let transaction = connection.transaction()?;
    for statement in STATEMENTS {
        transaction.execute_batch(statement)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", USER_VERSION)?;
    fill(&transaction)?;
    transaction.commit()?;
    if access == Access::Shared {
        to_wal(&connection, path)?;
    }
    connection.close().map_err(|(_, error)| error)?;
    Ok(())
}

/// Makes a database one of WAL mode, which it keeps.
pub(super) fn to_wal(connection: &Connection, path: &Path) -> Result<()> {
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(Error::new(ErrorKind::Io, format!("{}: SQLite's WAL mode is not to be had here", path.display())));
    }
    Ok(())
}

/// Compares the schema with the known one: a workspace from a stranger runs no trigger or view of theirs.
pub(super) fn verify(connection: &Connection) -> Result<()> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    if pragma("application_id")? != APPLICATION_ID {
        return Err(Error::damaged("cellar.db: not a runcellar database"));
    }
    let version = pragma("user_version")?;
    if version > USER_VERSION {
        let message =
            format!("cellar.db: format {version} is newer than this build reads ({USER_VERSION}): upgrade runcellar");
        return Err(Error::new(ErrorKind::NewerFormat, message));
    }
    let mut statement = connection.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")?;
    let mut found: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut known: Vec<String> = STATEMENTS.iter().map(|statement| (*statement).to_owned()).collect();
    found.sort_unstable();
    known.sort_unstable();
    if version < USER_VERSION_OLDEST || found != known {
        return Err(Error::damaged("cellar.db: its schema is not that of a runcellar workspace"));
    }
    Ok(())
}

/// Brings a database to the present version, inside the first transaction that writes to it: reading changes nothing.
///
/// - 1 to 2: the tables are the same; objects of the kinds `Catalogue` and `Overview` may stand in them.
/// - 2 to 3: the tables are the same; objects of the kinds `Manifest`, `Bucket`, `Artifact`, `Pack` and `Version` may stand
///   in them, and change records of the kinds that go with these.
pub(super) fn migrate(transaction: &rusqlite::Transaction<'_>) -> Result<()> {
    let version: i32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version < USER_VERSION {
        transaction.pragma_update(None, "user_version", USER_VERSION)?;
    }
    Ok(())
}
