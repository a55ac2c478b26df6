//! Reading runs: what the database has, and what live journals have beyond it.

pub mod filter;
mod history;
mod runs;
mod series;
mod tail;

pub use filter::Filter;
pub use history::{History, HistoryColumn};
pub use runs::{MetricInfo, RunInfo, Selection};
pub use series::{Series, SeriesValues};

use runcellar_format::ObjectId;

use crate::Result;
use crate::workspace::Inner;

/// Returns the step after the highest of a run, with what its journals hold.
pub(crate) fn next_step(inner: &Inner, run: ObjectId) -> Result<i64> {
    tail::with_run(inner, run, |_, _, view| Ok(view.data.record.next_step))
}
