//! Reading runs: what the database has, and what live journals have beyond it.

mod at_best;
mod bind;
mod cache;
mod code;
mod conflicts;
mod diff;
pub mod filter;
mod find;
mod follow;
mod groups;
mod history;
mod list;
mod look;
mod own;
mod runs;
mod sample;
mod scan;
mod series;
mod source;
pub(crate) mod tail;
mod values;
mod window;

pub(crate) use cache::ReadCache;
pub use code::{CodeCheckout, CodeEntry, CodePair};
pub use conflicts::Conflict;
pub use diff::{Pair, RunDiff};
pub use filter::Filter;
pub use follow::{FollowedRow, Follower};
pub use groups::{Group, GroupStatistics, Groups};
pub use history::{History, HistoryColumn};
pub use list::Listing;
pub use own::ConsoleLine;
pub use runs::{MetricInfo, RunInfo, Selection, parse_fields};
pub use series::Series;
pub use source::Source;
pub use values::SeriesValues;
pub use window::Window;

use runcellar_format::ObjectId;
use runcellar_format::record::Start;

use crate::workspace::Inner;
use crate::{Error, ErrorKind, Result};

/// Reads a date (its start in UTC) or a date-time of RFC 3339, as filters take it: microseconds UTC since 1970. The
/// seconds may be left out.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] with what is wrong.
pub fn parse_time(text: &str) -> Result<i64> {
    let invalid = |wrong| Error::new(ErrorKind::InvalidArgument, format!("time {text:?}: {wrong}"));
    let to_the_minute = text.len() == "2026-01-01T00:00".len();
    match to_the_minute {
        true => filter::time::parse(&format!("{text}:00")).map_err(invalid),
        false => filter::time::parse(text).map_err(invalid),
    }
}

/// Finds the run that a start record speaks of, which may be known under another object id by now.
pub(crate) fn run_of_start(inner: &Inner, start: &Start) -> Result<ObjectId> {
    inner.read(|tx, keyring| tail::run_of(tx, keyring, start))
}

/// Reads the run of a start record as listings show it.
pub(crate) fn info_of_start(inner: &Inner, start: &Start) -> Result<RunInfo> {
    runs::info_of(inner, run_of_start(inner, start)?)
}

/// Returns the ids under which a tag of a run was added, with what its journals hold.
pub(crate) fn tag_ids(inner: &Inner, start: &Start, name: &str) -> Result<Vec<ObjectId>> {
    tail::with_run(inner, run_of_start(inner, start)?, |_, _, view| {
        let tags = view.data.record.tags.iter().filter(|tag| tag.name == name);
        Ok(tags.map(|tag| ObjectId(tag.add_id)).collect())
    })
}

/// Returns the step after the highest of a run, or of one of its ranks, with what its journals hold.
pub(crate) fn next_step(inner: &Inner, run: ObjectId, rank: Option<u32>) -> Result<i64> {
    tail::with_run(inner, run, |tx, keyring, view| match rank {
        None => Ok(view.data.record.next_step),
        Some(rank) => crate::lineage::ranks::next_step(tx, keyring, view, rank),
    })
}
