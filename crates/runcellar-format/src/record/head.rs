//! Heads: the counters and keyed sums by which a deleted, replayed or rolled-back row is noticed.
//!
//! The root row covers every row but pages and blocks; a run's head covers its pages; a group page covers its
//! blocks. docs/FORMAT.md, "Keyed sums".

use bincode::{Decode, Encode};

use super::Body;
use crate::value::Value;

/// Entries of a page: a page is rewritten as a whole, so its size bounds the cost of an ingest, whatever the length
/// of the run.
pub const PAGE_ENTRIES: usize = 256;

/// The head of a run.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct RunHead {
    /// Rises with every change.
    pub version: u64,
    /// Points stored in blocks.
    pub points: u64,
    /// Rows stored in blocks.
    pub rows: u64,
    /// Series known.
    pub series: u32,
    /// Place of the next row group: places count over all writers, in order of ingest.
    pub next_group: u32,
    /// Keyed sum over the run's pages.
    pub sum: [u8; 32],
}

impl Body for RunHead {
    const NAME: &'static str = "run head";
}

/// Statistics of one series of a run.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct SeriesEntry {
    /// The metric's name.
    pub name: String,
    /// Points stored in blocks.
    pub points: u64,
    /// Points that are NaN or infinite.
    pub non_finite: u64,
    /// Kinds of value seen, a bit each: 1 float, 2 integer, 4 bool, 8 text, 16 histogram, 32 media.
    pub kinds: u8,
    /// Lowest step.
    pub first_step: i64,
    /// Highest step.
    pub last_step: i64,
    /// Smallest finite value; none for text.
    pub min: Option<Value>,
    /// Largest finite value; none for text.
    pub max: Option<Value>,
    /// Sum of the finite values as floats.
    pub sum: f64,
    /// Value at the lowest step.
    pub first: Value,
    /// Value at the highest step, the last written of several.
    pub last: Value,
}

/// Up to [`PAGE_ENTRIES`] series of a run; the series' number is its place counted over all pages.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct SeriesPage {
    /// The entries.
    pub entries: Vec<SeriesEntry>,
}

impl Body for SeriesPage {
    const NAME: &'static str = "series page";
}

/// One row group of a run.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct GroupEntry {
    /// Its place among the run's groups; a merged group takes a new one.
    pub place: u32,
    /// The writer whose rows it holds.
    pub writer: [u8; 16],
    /// Its number among the writer's groups, never reused.
    pub number: u32,
    /// Sequence of its first frame.
    pub first_sequence: u64,
    /// Sequence of its last frame.
    pub last_sequence: u64,
    /// Rows.
    pub rows: u32,
    /// Points.
    pub points: u64,
    /// Lowest step.
    pub first_step: i64,
    /// Highest step.
    pub last_step: i64,
    /// Earliest time, microseconds UTC since 1970.
    pub first_time: i64,
    /// Latest time, microseconds UTC since 1970.
    pub last_time: i64,
    /// Parts: 1 and one for each large column.
    pub parts: u32,
    /// Encoded at the best level.
    pub best: bool,
    /// Keyed sum over its parts.
    pub sum: [u8; 32],
}

/// Up to [`PAGE_ENTRIES`] row groups of a run, in order of place; a group stands on the page that its place says.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct GroupPage {
    /// The entries.
    pub entries: Vec<GroupEntry>,
}

impl Body for GroupPage {
    const NAME: &'static str = "group page";
}

/// How far a writer's frames have been ingested.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct WriterRow {
    /// The run's object id.
    pub run: [u8; 16],
    /// The last sequence ingested; 0 before the first.
    pub sequence: u64,
    /// True once its close frame was ingested.
    pub closed: bool,
    /// Number of the writer's next row group.
    pub next_group: u32,
    /// Sequences that were never found although later ones were: (first, last).
    pub missing: Vec<(u64, u64)>,
}

impl Body for WriterRow {
    const NAME: &'static str = "writer row";
}

/// The one root row of a copy of a workspace. It never leaves this copy.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct RootRow {
    /// The history of this copy.
    pub lineage: [u8; 16],
    /// The device that writes here.
    pub device: [u8; 16],
    /// Sequence of the device's next change record.
    pub next_device_seq: u64,
    /// Rises with every write transaction.
    pub counter: u64,
    /// Keyed sum over every row that no run head covers.
    pub sum: [u8; 32],
    /// Version of the `keyslots` file that belongs to this state.
    pub keyslots_version: u64,
    /// BLAKE3 of that file.
    pub keyslots_hash: [u8; 32],
    /// Inode of cellar.db in this copy; another one means that it was copied. 0 until first opened.
    pub inode: u64,
    /// The last hybrid clock given out.
    pub clock: u64,
}

impl Body for RootRow {
    const NAME: &'static str = "root row";
}
