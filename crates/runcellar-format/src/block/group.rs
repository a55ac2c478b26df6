//! Writing a row group.

use std::collections::BTreeMap;

use crate::block::column::{EncodedColumn, EncodedRows};
use crate::block::value::check_rows;
use crate::block::{
    COLUMNS_MAX, GROUP_VERSION, INLINE_BYTES_MAX, Level, PART_BYTES_MAX, ROWS_MAX, check_limit, integer,
};
use crate::codec::Writer;
use crate::error::{FormatError, Result};
use crate::id::WriterId;

/// The rows of a group.
#[derive(Debug, Clone, Copy)]
pub struct GroupRows<'a> {
    /// Who logged them.
    pub writer: WriterId,
    /// The writer's sequence number of the first row.
    pub first_sequence: u64,
    /// The writer's sequence number of the last row; not below the first.
    pub last_sequence: u64,
    /// The step of each row, in the order of logging.
    pub steps: &'a [i64],
    /// The time of each row in microseconds UTC since 1970, as many as steps.
    pub times: &'a [i64],
}

/// An encoded group. Each part is sealed as an object of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedGroup {
    /// The parts by number; the first is the main part, and the others hold the values of one column each.
    pub parts: Vec<Vec<u8>>,
}

/// The rows of a group, encoded by themselves: the work is done before anybody has to wait for the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedSpine {
    rows: u32,
    /// The main part up to its presences.
    bytes: Vec<u8>,
}

/// Encodes the rows of a group.
///
/// # Errors
/// [`FormatError::Malformed`] if there are no rows, steps and times differ in number, or the sequence numbers fall;
/// [`FormatError::Limit`] if there are too many rows.
pub fn encode_spine(rows: &GroupRows<'_>, level: Level) -> Result<EncodedSpine> {
    let malformed = |reason| FormatError::Malformed { what: "row group", reason };
    let row_count = check_rows(rows.steps.len())?;
    if rows.times.len() != rows.steps.len() {
        return Err(malformed("not as many times as steps"));
    }
    if rows.last_sequence < rows.first_sequence {
        return Err(malformed("sequence numbers fall"));
    }
    let mut main = Writer::with_capacity(4096);
    main.u8(GROUP_VERSION).u8(0).raw(rows.writer.as_bytes());
    main.u32(row_count).u64(rows.first_sequence).u64(rows.last_sequence);
    for numbers in [rows.steps, rows.times] {
        let (tag, bytes) = integer::encode(numbers, level);
        main.u8(tag as u8).bytes("encoded rows", &bytes, ROWS_MAX * 8)?;
    }
    Ok(EncodedSpine { rows: row_count, bytes: main.into_vec() })
}

/// Encodes a group of rows and the columns over them, which may come in any order.
///
/// `level` is for steps and times, as columns are encoded already.
///
/// # Errors
/// As [`encode_spine`] and [`assemble_group`].
pub fn encode_group(rows: &GroupRows<'_>, columns: Vec<EncodedColumn>, level: Level) -> Result<EncodedGroup> {
    assemble_group(&encode_spine(rows, level)?, columns)
}

/// Puts a group together from what is encoded; the columns may come in any order. Costs little more than a copy.
///
/// # Errors
/// [`FormatError::Malformed`] if a column was encoded for another number of rows, or two are of one series and kind;
/// [`FormatError::Limit`] if there are too many columns or bytes.
pub fn assemble_group(spine: &EncodedSpine, mut columns: Vec<EncodedColumn>) -> Result<EncodedGroup> {
    let malformed = |reason| FormatError::Malformed { what: "row group", reason };
    if columns.iter().any(|column| column.rows != spine.rows) {
        return Err(malformed("a column was encoded for another number of rows"));
    }
    columns.sort_by_key(|column| (column.series, column.kind));
    if columns.windows(2).any(|pair| (pair[0].series, pair[0].kind) == (pair[1].series, pair[1].kind)) {
        return Err(malformed("two columns of one series and kind"));
    }

    let mut main = Writer::with_capacity(spine.bytes.len() + 4096);
    main.raw(&spine.bytes);
    let presences = write_presences(&mut main, &columns)?;
    let parts = write_columns(&mut main, columns, &presences)?;
    Ok(EncodedGroup { parts: std::iter::once(main.into_vec()).chain(parts).collect() })
}

/// Writes the presences of sparse columns, each once and in the order of first use, and returns the number of each.
/// Metrics that are logged together, say at each evaluation, share one.
fn write_presences(main: &mut Writer, columns: &[EncodedColumn]) -> Result<BTreeMap<EncodedRows, u32>> {
    let mut numbers = BTreeMap::new();
    let mut table = Writer::default();
    for presence in columns.iter().filter_map(|column| column.presence.as_ref()) {
        if numbers.contains_key(presence) {
            continue;
        }
        table.u32(presence.count).u8(presence.tag).bytes("encoded rows", &presence.bytes, ROWS_MAX * 8)?;
        check_limit("part of a group", table.as_slice().len(), PART_BYTES_MAX)?;
        let number = u32::try_from(numbers.len() + 1)
            .map_err(|_| FormatError::Malformed { what: "row group", reason: "too many presences" })?;
        numbers.insert(presence.clone(), number);
    }
    main.count("presences of a group", numbers.len(), COLUMNS_MAX)?.raw(table.as_slice());
    Ok(numbers)
}

fn write_columns(
    main: &mut Writer,
    columns: Vec<EncodedColumn>,
    presences: &BTreeMap<EncodedRows, u32>,
) -> Result<Vec<Vec<u8>>> {
    let mut parts = Vec::new();
    main.count("columns of a group", columns.len(), COLUMNS_MAX)?;
    for column in columns {
        let presence = column.presence.as_ref().and_then(|presence| presences.get(presence));
        main.u32(column.series).u8(column.kind as u8).u8(column.tag as u8).u32(presence.copied().unwrap_or(0));
        main.count("encoded column bytes", column.bytes.len(), PART_BYTES_MAX)?;
        if is_inline(column.bytes.len()) {
            main.raw(&column.bytes);
        } else {
            column.stats.write(main);
            parts.push(column.bytes);
        }
        check_limit("part of a group", main.as_slice().len(), PART_BYTES_MAX)?;
    }
    Ok(parts)
}

/// Tells whether encoded values of so many bytes stand in the main part.
pub(super) fn is_inline(len: usize) -> bool {
    u32::try_from(len).is_ok_and(|len| len <= INLINE_BYTES_MAX)
}
