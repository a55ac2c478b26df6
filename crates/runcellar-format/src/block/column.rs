//! One column, encoded by itself: before it is known which other columns its group will have.

use crate::block::stats::ColumnStats;
use crate::block::tag::Tag;
use crate::block::value::{Column, Presence, ValueKind, Values, check_rows};
use crate::block::{Level, bits, float, histogram, integer, media, text};
use crate::codec::Reader;
use crate::error::{FormatError, Result};

/// An encoded column, waiting for its group.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedColumn {
    /// The number of the series in its run. It may be set until the group is encoded, as columns are compressed
    /// before series get their final numbers.
    pub series: u32,
    pub(super) rows: u32,
    pub(crate) presence: Option<EncodedRows>,
    pub(super) kind: ValueKind,
    pub(crate) tag: Tag,
    pub(super) stats: ColumnStats,
    pub(crate) bytes: Vec<u8>,
}

/// Encoded row indexes of a column that has no value in some rows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EncodedRows {
    pub(super) count: u32,
    pub(crate) tag: u8,
    pub(crate) bytes: Vec<u8>,
}

impl EncodedColumn {
    /// Returns the kind of the values.
    #[must_use]
    pub fn kind(&self) -> ValueKind {
        self.kind
    }

    /// Returns the form that was chosen.
    #[must_use]
    pub fn tag(&self) -> Tag {
        self.tag
    }

    /// Returns the figures of the values.
    #[must_use]
    pub fn stats(&self) -> ColumnStats {
        self.stats
    }

    /// Returns the encoded values: the part of the column, if they are long enough for one.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Encodes a column of a group of `rows` rows in the smallest form.
///
/// # Errors
/// [`FormatError::Limit`] if rows or texts pass their limits; [`FormatError::Malformed`] if the presence is not one
/// of so many rows, or there are not as many values as it says.
pub fn encode_column(column: &Column, rows: u32, level: Level) -> Result<EncodedColumn> {
    check_rows(usize::try_from(rows).unwrap_or(usize::MAX))?;
    let count = column.presence.count(rows)?;
    if u32::try_from(column.values.len()) != Ok(count) {
        return Err(FormatError::Malformed { what: "column", reason: "not one value for each row that has one" });
    }
    let presence = match &column.presence {
        // A presence that lists every row is the dense one.
        Presence::Rows(indexes) if count < rows => Some(encode_rows(indexes, count, level)),
        _ => None,
    };
    let (tag, bytes) = match &column.values {
        Values::Float(values) => float::encode(values, level),
        Values::Int(values) => integer::encode(values, level),
        Values::Bool(values) => bits::encode(values),
        Values::Text(values) => text::encode(values, level)?,
        Values::Histogram(values) => histogram::encode(values, level)?,
        Values::Media(values) => media::encode(values),
    };
    let stats = ColumnStats::of(&column.values);
    Ok(EncodedColumn { series: column.series, rows, presence, kind: column.values.kind(), tag, stats, bytes })
}

fn encode_rows(indexes: &[u32], count: u32, level: Level) -> EncodedRows {
    let indexes: Vec<i64> = indexes.iter().copied().map(i64::from).collect();
    let (tag, bytes) = integer::encode(&indexes, level);
    EncodedRows { count, tag: tag as u8, bytes }
}

/// Decodes exactly `count` values of the kind and in the form that two bytes name.
pub(crate) fn decode_column(head: [u8; 2], bytes: &[u8], count: u32) -> Result<Values> {
    let mut reader = Reader::new("column", &head);
    let kind = ValueKind::read(&mut reader)?;
    decode_values(kind, Tag::read(&mut reader)?, bytes, count)
}

/// Decodes in which of `rows` rows a column has its `count` values.
pub(crate) fn decode_rows(tag: u8, bytes: &[u8], count: u32, rows: u32) -> Result<Presence> {
    let malformed = |reason| FormatError::Malformed { what: "column presence", reason };
    let tag = Tag::read(&mut Reader::new("column presence", &[tag]))?;
    let indexes = integer::decode(tag, bytes, usize::try_from(count).unwrap_or(usize::MAX))?;
    let indexes: Option<Vec<u32>> = indexes.into_iter().map(|index| u32::try_from(index).ok()).collect();
    let presence = Presence::Rows(indexes.ok_or_else(|| malformed("row index out of range"))?);
    match presence.count(rows)? == count {
        true => Ok(presence),
        false => Err(malformed("not as many row indexes as values")),
    }
}

/// Decodes exactly `count` values, at most as many as a group has rows.
pub(super) fn decode_values(kind: ValueKind, tag: Tag, bytes: &[u8], count: u32) -> Result<Values> {
    let malformed = |reason| FormatError::Malformed { what: "column", reason };
    let count = usize::try_from(count).map_err(|_| malformed("count does not fit this machine"))?;
    match kind {
        ValueKind::Float => float::decode(tag, bytes, count).map(Values::Float),
        ValueKind::Int => integer::decode(tag, bytes, count).map(Values::Int),
        ValueKind::Bool => bits::decode(tag, bytes, count).map(Values::Bool),
        ValueKind::Text => text::decode(tag, bytes, count).map(Values::Text),
        ValueKind::Histogram => histogram::decode(tag, bytes, count).map(Values::Histogram),
        ValueKind::Media => media::decode(tag, bytes, count).map(Values::Media),
    }
}
