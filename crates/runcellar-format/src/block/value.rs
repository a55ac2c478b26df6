//! What a column holds, before it is encoded.

use crate::block::{ROWS_MAX, check_limit};
use crate::codec::Reader;
use crate::error::{FormatError, Result};
use crate::histogram::Histogram;
use crate::id::MediaId;

/// The kind of the values of a column. A metric whose values mix kinds has one column for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ValueKind {
    /// 64-bit floats, kept bit by bit.
    Float = 1,
    /// 64-bit integers.
    Int = 2,
    /// Truth values.
    Bool = 3,
    /// UTF-8 texts.
    Text = 4,
    /// Histograms as edges and counts.
    Histogram = 5,
    /// References to media files of the run.
    Media = 6,
}

impl ValueKind {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<ValueKind> {
        match reader.u8()? {
            1 => Ok(ValueKind::Float),
            2 => Ok(ValueKind::Int),
            3 => Ok(ValueKind::Bool),
            4 => Ok(ValueKind::Text),
            5 => Ok(ValueKind::Histogram),
            6 => Ok(ValueKind::Media),
            _ => Err(reader.malformed("kind of values is unknown")),
        }
    }
}

/// The values of a column, one for each row in which it has one, in row order.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// See [`ValueKind::Float`].
    Float(Vec<f64>),
    /// See [`ValueKind::Int`].
    Int(Vec<i64>),
    /// See [`ValueKind::Bool`].
    Bool(Vec<bool>),
    /// See [`ValueKind::Text`].
    Text(Vec<String>),
    /// See [`ValueKind::Histogram`].
    Histogram(Vec<Histogram>),
    /// See [`ValueKind::Media`].
    Media(Vec<MediaId>),
}

impl Values {
    /// Returns the kind of the values.
    #[must_use]
    pub fn kind(&self) -> ValueKind {
        match self {
            Values::Float(_) => ValueKind::Float,
            Values::Int(_) => ValueKind::Int,
            Values::Bool(_) => ValueKind::Bool,
            Values::Text(_) => ValueKind::Text,
            Values::Histogram(_) => ValueKind::Histogram,
            Values::Media(_) => ValueKind::Media,
        }
    }

    /// Returns the number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Values::Float(values) => values.len(),
            Values::Int(values) => values.len(),
            Values::Bool(values) => values.len(),
            Values::Text(values) => values.len(),
            Values::Histogram(values) => values.len(),
            Values::Media(values) => values.len(),
        }
    }

    /// Returns true if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The rows of a group in which a column has a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// Every row.
    Dense,
    /// These rows, rising, each below the number of rows of the group.
    Rows(Vec<u32>),
}

impl Presence {
    /// Returns the rows that have a value; none if all have.
    #[must_use]
    pub fn rows(&self) -> Option<&[u32]> {
        match self {
            Presence::Dense => None,
            Presence::Rows(rows) => Some(rows),
        }
    }

    /// Checks against the number of rows of the group and returns the number of values.
    pub(super) fn count(&self, rows: u32) -> Result<u32> {
        let malformed = |reason| FormatError::Malformed { what: "column presence", reason };
        let Presence::Rows(indexes) = self else { return Ok(rows) };
        let rising = indexes.windows(2).all(|pair| pair[0] < pair[1]);
        if !rising || indexes.last().is_none_or(|last| *last >= rows) {
            return Err(malformed("row indexes must be some, rising, and below the number of rows"));
        }
        u32::try_from(indexes.len()).map_err(|_| malformed("more row indexes than rows"))
    }
}

/// One column of a row group: a series of a run, where it has values, and which.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The number of the series in its run.
    pub series: u32,
    /// Where it has values.
    pub presence: Presence,
    /// Its values, as many as [`Column::presence`] says.
    pub values: Values,
}

/// Refuses a number of rows that no group has.
pub(super) fn check_rows(rows: usize) -> Result<u32> {
    check_limit("rows of a group", rows, ROWS_MAX)?;
    match u32::try_from(rows) {
        Ok(rows) if rows > 0 => Ok(rows),
        _ => Err(FormatError::Malformed { what: "row group", reason: "it has no rows" }),
    }
}
