//! Reading the main part of a row group.

use std::collections::BTreeSet;

use crate::block::entry::ColumnEntry;
use crate::block::integer::Integers;
use crate::block::value::check_rows;
use crate::block::{COLUMNS_MAX, GROUP_VERSION, PART_BYTES_MAX, check_limit};
use crate::codec::Reader;
use crate::error::Result;
use crate::id::WriterId;

/// The fewest bytes of a column in the main part, so that a count of columns is not believed beyond what follows it.
const ENTRY_BYTES_MIN: usize = 14;

/// The main part of a row group: what is there, and the columns that are small.
///
/// [`GroupMain::decode`] checks the layout and decodes no numbers; steps, times, presences and values are decoded
/// when asked for, and only then found damaged if they are.
#[derive(Debug, Clone)]
pub struct GroupMain<'a> {
    /// Who logged the rows.
    pub writer: WriterId,
    /// The number of rows.
    pub rows: u32,
    /// The writer's sequence number of the first row.
    pub first_sequence: u64,
    /// The writer's sequence number of the last row.
    pub last_sequence: u64,
    /// The columns, rising by (series, kind).
    pub columns: Vec<ColumnEntry<'a>>,
    steps: Integers<'a>,
    times: Integers<'a>,
}

impl<'a> GroupMain<'a> {
    /// Reads the main part. O(bytes) time; memory of at most about ten times the bytes.
    ///
    /// # Errors
    /// Any of [`crate::FormatError`]'s kinds for bytes that no writer makes; [`crate::FormatError::is_newer`] tells if a later one
    /// might.
    pub fn decode(bytes: &'a [u8]) -> Result<GroupMain<'a>> {
        check_limit("part of a group", bytes.len(), PART_BYTES_MAX)?;
        let mut reader = Reader::new("row group", bytes);
        let version = reader.u8()?;
        reader.version(version.into(), GROUP_VERSION.into())?;
        if reader.u8()? != 0 {
            return Err(reader.malformed("unused flags are set"));
        }
        let writer = WriterId(reader.array()?);
        let rows = reader.u32()?;
        check_rows(usize::try_from(rows).unwrap_or(usize::MAX))?;
        let (first_sequence, last_sequence) = (reader.u64()?, reader.u64()?);
        if last_sequence < first_sequence {
            return Err(reader.malformed("sequence numbers fall"));
        }
        let steps = Integers::read(&mut reader, rows)?;
        let times = Integers::read(&mut reader, rows)?;
        let presences = read_presences(&mut reader, rows)?;
        let columns = read_columns(&mut reader, rows, &presences)?;
        reader.finish()?;
        Ok(GroupMain { writer, rows, first_sequence, last_sequence, columns, steps, times })
    }

    /// Decodes the step of each row, in the order of logging.
    ///
    /// # Errors
    /// [`crate::FormatError::Malformed`] or [`crate::FormatError::Truncated`] if they are damaged.
    pub fn steps(&self) -> Result<Vec<i64>> {
        self.steps.decode()
    }

    /// Decodes the time of each row, in microseconds UTC since 1970.
    ///
    /// # Errors
    /// As [`GroupMain::steps`].
    pub fn times(&self) -> Result<Vec<i64>> {
        self.times.decode()
    }

    /// Returns the number of parts, the main part included.
    #[must_use]
    pub fn parts(&self) -> u32 {
        self.columns.iter().map(|column| column.part).max().unwrap_or(0) + 1
    }
}

fn read_presences<'a>(reader: &mut Reader<'a>, rows: u32) -> Result<Vec<Integers<'a>>> {
    let mut presences = Vec::new();
    let mut seen = BTreeSet::new();
    for _ in 0..reader.count(COLUMNS_MAX)? {
        let count = reader.u32()?;
        if count == 0 || count >= rows {
            return Err(reader.malformed("a presence of no rows, or of all"));
        }
        let presence = Integers::read(reader, count)?;
        if !seen.insert((count, presence.tag as u8, presence.bytes)) {
            return Err(reader.malformed("a presence is written twice"));
        }
        presences.push(presence);
    }
    Ok(presences)
}

fn read_columns<'a>(reader: &mut Reader<'a>, rows: u32, presences: &[Integers<'a>]) -> Result<Vec<ColumnEntry<'a>>> {
    let count = reader.count(COLUMNS_MAX)?;
    let mut columns: Vec<ColumnEntry<'a>> = Vec::with_capacity(count.min(reader.remaining() / ENTRY_BYTES_MIN));
    let (mut presences_used, mut parts) = (0, 0);
    for _ in 0..count {
        let column = ColumnEntry::read(reader, rows, presences, &mut presences_used, &mut parts)?;
        if columns.last().is_some_and(|last| (last.series, last.kind) >= (column.series, column.kind)) {
            return Err(reader.malformed("columns do not rise by series and kind"));
        }
        columns.push(column);
    }
    if presences_used != presences.len() {
        return Err(reader.malformed("a presence that no column uses"));
    }
    Ok(columns)
}
