//! Row groups: what one writer logged in up to a few thousand calls, as columns.
//!
//! A row is one `log()` call: a step, a time in microseconds UTC since 1970, and the values of some metrics. Columns
//! come in as [`Column`]s and go out as an [`EncodedGroup`]: a main part that tells what is there and holds the small
//! columns, and a part for each large one, so that reading one metric of 500 touches its own bytes only. The caller
//! seals each part as an object of its own. [`GroupMain`] reads them again.
//!
//! Which form a column takes is the writer's choice, and [`encode_column`] takes the smallest; within a form there is
//! one way to write given values, save for what pco and zstd choose themselves. What this module must not know:
//! metric names, runs, keys, and where parts are kept. docs/FORMAT.md, "Row groups".

mod bits;
mod column;
mod decimal;
mod entry;
mod float;
mod group;
mod header;
mod histogram;
mod integer;
mod media;
mod packed;
mod stats;
mod tag;
mod text;
mod value;

#[cfg(test)]
mod tests;

use crate::error::{FormatError, Result};

pub use column::{EncodedColumn, encode_column};
pub(crate) use column::{decode_column, decode_rows};
pub use entry::ColumnEntry;
pub(crate) use float::write_floats;
pub use group::{EncodedGroup, EncodedSpine, GroupRows, assemble_group, encode_group, encode_spine};
pub use header::GroupMain;
pub(crate) use integer::{integers_of, write_integers};
pub use stats::{ColumnStats, Extent, Extents};
pub use tag::Tag;
pub use value::{Column, Presence, ValueKind, Values};

/// The version of the layout of row groups that this build writes, and the newest that it reads.
pub const GROUP_VERSION: u8 = 1;

/// The most rows in a group. Groups of about 4,096 rows are meant (larger ones pack no better: measured); the room
/// above lets small groups be merged without counting first.
pub const ROWS_MAX: u32 = 65_536;

/// The most columns in a group.
pub const COLUMNS_MAX: u32 = 65_536;

/// The most bytes of an encoded column that stands in the main part. One metric of many is then read by opening a
/// main part of a few kilobytes and one part, and small metrics need no object of their own.
pub const INLINE_BYTES_MAX: u32 = 512;

/// The most bytes of one text value: a long text belongs into a file.
pub const TEXT_VALUE_BYTES_MAX: u32 = 4 << 20;

/// The most bytes of all text values of one column together.
pub const TEXT_BYTES_MAX: u32 = 64 << 20;

/// The most edges and counts of all histograms of one column together.
pub const HISTOGRAM_NUMBERS_MAX: u32 = 1 << 22;

/// The most bytes of one part: the largest text column with its lengths, and more than any other column takes.
pub const PART_BYTES_MAX: u32 = TEXT_BYTES_MAX + (1 << 20);

/// Refuses a length or count over its limit.
pub(crate) fn check_limit(what: &'static str, found: usize, limit: u32) -> Result<()> {
    let (found, limit) = (found as u64, limit.into());
    if found > limit { Err(FormatError::Limit { what, found, limit }) } else { Ok(()) }
}

/// How much work to put into size. Readers need not know which was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// While a run is being written.
    Fast,
    /// At the end of a run, and when small groups are merged.
    Best,
}
