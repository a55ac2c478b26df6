//! What takes how much room in the database.

use runcellar_format::seal::{Envelope, Kind, OVERHEAD_BYTES};
use runcellar_format::{KeyId, ObjectId};
use rusqlite::params;

use super::ReadTx;
use super::read::array;
use crate::Result;

/// Rows of one table that belong together, and the bytes of their values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// The row groups of a run.
    Blocks { run: ObjectId, bytes: u64 },
    /// The records of a kind under one id.
    Objects { kind: u16, id: ObjectId, bytes: u64 },
    /// One record of a kind whose id says nothing of its owner, and the key that it is sealed under.
    Sealed { kind: u16, key: KeyId, bytes: u64 },
    /// The keys of an owner.
    Keys { owner: ObjectId, bytes: u64 },
}

/// Size of the database as this transaction sees it, whether its pages lie in the file or in the `-wal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pages {
    /// Bytes of all pages.
    pub(crate) bytes: u64,
    /// Bytes of those that hold nothing and will be used again.
    pub(crate) free: u64,
}

/// Kinds of records whose id is a device or a writer.
const SEALED_KINDS: [Kind; 2] = [Kind::Change, Kind::Writer];

impl ReadTx<'_> {
    /// Calls `each` for what the tables hold.
    pub(crate) fn stored(&self, mut each: impl FnMut(Stored)) -> Result<()> {
        let size = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
        let [change, writer] = SEALED_KINDS.map(|kind| kind as u16);
        // length() of a blob reads no more than the head of its row.
        let sql = "SELECT run, sum(length(run) + length(writer) + length(body)) FROM block GROUP BY run";
        let mut statement = self.transaction().prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            each(Stored::Blocks { run: ObjectId(array(row, 0)?), bytes: size(row.get(1)?) });
        }
        let row_bytes = "length(id) + length(device) + 8 + ifnull(length(tag), 0) + length(body)";
        let sql = format!("SELECT kind, id, sum({row_bytes}) FROM object WHERE kind NOT IN (?1, ?2) GROUP BY kind, id");
        let mut statement = self.transaction().prepare(&sql)?;
        let mut rows = statement.query([change, writer])?;
        while let Some(row) = rows.next()? {
            let (kind, id) = (row.get(0)?, ObjectId(array(row, 1)?));
            each(Stored::Objects { kind, id, bytes: size(row.get(2)?) });
        }
        let sql = format!("SELECT kind, substr(body, 1, ?3), {row_bytes} FROM object WHERE kind IN (?1, ?2)");
        let mut statement = self.transaction().prepare(&sql)?;
        let mut rows = statement.query(params![change, writer, OVERHEAD_BYTES as i64])?;
        while let Some(row) = rows.next()? {
            let head: Vec<u8> = row.get(1)?;
            let key = Envelope::parse("record", &head).map_or(KeyId([0; 16]), |head| head.key);
            each(Stored::Sealed { kind: row.get(0)?, key, bytes: size(row.get(2)?) });
        }
        let sql =
            "SELECT owner, sum(length(id) + length(owner) + length(epoch) + length(wrap)) FROM key GROUP BY owner";
        let mut statement = self.transaction().prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            each(Stored::Keys { owner: ObjectId(array(row, 0)?), bytes: size(row.get(1)?) });
        }
        Ok(())
    }

    /// Measures the database.
    pub(crate) fn pages(&self) -> Result<Pages> {
        let pragma = |name: &str| -> Result<u64> {
            let value: i64 = self.transaction().pragma_query_value(None, name, |row| row.get(0))?;
            Ok(u64::try_from(value).unwrap_or(0))
        };
        let page_bytes = pragma("page_size")?;
        Ok(Pages { bytes: pragma("page_count")? * page_bytes, free: pragma("freelist_count")? * page_bytes })
    }
}
