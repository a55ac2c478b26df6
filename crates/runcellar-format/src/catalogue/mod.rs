//! Catalogue blocks: what listings show of up to a few thousand runs, as columns.
//!
//! A row is one run. Each thing that listings show, filter and sort by is a column of its own: a field of the run, a
//! leaf of its config, a key of its summary, a statistic of a metric. [`BlockWriter`] takes rows and gives parts: the
//! main part says which columns there are and where, the others hold them, so that filtering by two keys opens the main
//! part and those two. The caller seals each part as an object of its own. [`BlockMain`] and [`ColumnEntry`] read them.
//!
//! What this module must not know: where parts are kept, keys, and which run a row is of. docs/FORMAT.md, "Catalogue".

mod exact;
mod read;
mod shape;
mod write;

pub use exact::{from_exact, to_exact};
pub use read::{BlockMain, Cells, ColumnEntry, RunColumn};
pub use shape::{Shape, leaf_member, leaf_name};
pub use write::BlockWriter;

use crate::codec::Reader;
use crate::error::Result;

/// The version of the layout of blocks that this build writes, and the newest that it reads.
pub const BLOCK_VERSION: u8 = 1;

/// The most rows of a block: a purge of one run rewrites one block, which must stay well below a second.
pub const BLOCK_ROWS_MAX: u32 = 4_096;

/// The most columns of a block. A column that one run alone has costs about 40 bytes.
pub const BLOCK_COLUMNS_MAX: u32 = 65_536;

/// A part takes further columns up to this size. One column of 4,096 floats that do not compress has 32 KiB; opening a
/// part of this size takes some 60 us.
pub const PART_BYTES_TARGET: usize = 64 << 10;

/// The most bytes of a part: the longest column, which is alone in its part.
pub const PART_BYTES_MAX: u32 = 66 << 20;

/// The most bytes of the main part when decompressed.
pub const MAIN_BYTES_MAX: usize = 64 << 20;

/// The most bytes of a column's name.
pub const NAME_BYTES_MAX: u32 = 1 << 20;

/// What a column is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Space {
    /// A field of the run itself; docs/FORMAT.md lists the names.
    Field = 1,
    /// A leaf of the config; the name is its path, see [`Shape::leaves`].
    Config = 2,
    /// A key of the summary.
    Summary = 3,
    /// Smallest finite value of a metric.
    Min = 16,
    /// Largest finite value of a metric.
    Max = 17,
    /// Value of a metric at its lowest step.
    First = 18,
    /// Value of a metric at its highest step.
    Last = 19,
    /// Points of a metric.
    Points = 20,
    /// Points of a metric that are NaN or infinite.
    NonFinite = 21,
    /// Sum of the finite values of a metric.
    Sum = 22,
}

impl Space {
    const ALL: [Space; 10] = [
        Space::Field,
        Space::Config,
        Space::Summary,
        Space::Min,
        Space::Max,
        Space::First,
        Space::Last,
        Space::Points,
        Space::NonFinite,
        Space::Sum,
    ];

    fn read(reader: &mut Reader<'_>) -> Result<Space> {
        let found = reader.u8()?;
        let known = Space::ALL.into_iter().find(|space| *space as u8 == found);
        known.ok_or_else(|| reader.malformed("what a column is about is unknown"))
    }
}

/// The kind of the cells of a column. What has values of several kinds has a column for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum CellKind {
    /// 64-bit floats, kept bit by bit.
    Float = 1,
    /// 64-bit integers.
    Int = 2,
    /// Truth values.
    Bool = 3,
    /// UTF-8 texts.
    Text = 4,
    /// Lists and other nested values, as exact text.
    Nested = 16,
}

impl CellKind {
    fn read(reader: &mut Reader<'_>) -> Result<CellKind> {
        Ok(match reader.u8()? {
            1 => CellKind::Float,
            2 => CellKind::Int,
            3 => CellKind::Bool,
            4 => CellKind::Text,
            16 => CellKind::Nested,
            _ => return Err(reader.malformed("kind of cells is unknown")),
        })
    }
}

#[cfg(test)]
mod tests;
