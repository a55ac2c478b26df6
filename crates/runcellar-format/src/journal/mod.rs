//! The journal: sealed frames of one writer of one run, one frame for each `log()`.
//!
//! A file stands alone: its header names the key, its first frame is the whole start record, and a metric's name
//! is framed before its first use. [`Header`] and [`FrameKey`] seal and open, [`scan`] finds frames in a file that
//! may be torn or damaged, and [`Record`] is what a frame says. docs/FORMAT.md, "Journal".

mod frame;
mod header;
mod row;
mod shape;

pub use frame::{FRAME_OVERHEAD_BYTES, FRAME_PLAIN_BYTES_MAX, Found, FrameKey, scan};
pub use header::{Header, KeySource};
pub use row::{
    METRIC_INDEX_MAX, METRIC_NAME_BYTES_MAX, Record, Records, RowValue, RowWriter, TEXT_BYTES_MAX, push_metric,
    push_record, push_shape,
};
pub use shape::{SHAPE_HEADS_MAX, SHAPES_MAX, Shapes};
