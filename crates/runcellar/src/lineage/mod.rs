//! Where runs come from and how they go on: the ranks of one run, forks, rewinds, and the past.
//!
//! Everything here works on what the database has, in one transaction, and destroys nothing. docs/FORMAT.md, "Lineage".

pub(crate) mod as_of;
pub(crate) mod cut;
pub(crate) mod fork;
mod point;
pub(crate) mod ranks;
pub(crate) mod recount;
pub(crate) mod rewind;

pub use point::HistoryPoint;

use runcellar_format::record::{ORIGIN_FIELD, Origin, Rewind, extra_body};

use crate::query::tail::with_run;
use crate::{Error, Result, RunInfo, Workspace};

/// Where a run comes from, and how it went on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lineage {
    /// What it was forked from.
    pub forked_from: Option<HistoryPoint>,
    /// How often it was rewound, in order.
    pub rewinds: Vec<RewindInfo>,
    /// How many ranks have recorded it; 1 for a lone process.
    pub ranks: u32,
}

/// A run was rewound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RewindInfo {
    /// When, microseconds UTC since 1970.
    pub time: i64,
    /// The last step that shows.
    pub step: i64,
    /// How many rows it hides of those that are stored.
    pub rows: u64,
}

impl Workspace {
    /// Tells where a run comes from, and how it went on.
    ///
    /// # Errors
    /// If the run cannot be read.
    pub fn lineage(&self, run: &RunInfo) -> Result<Lineage> {
        with_run(&self.inner, run, |tx, keyring, view| {
            let data = &view.data;
            let origin: Option<Origin> = extra_body(&data.record.extra, ORIGIN_FIELD)
                .map_err(|cause| Error::format(format_args!("origin of run {}", run.id), cause))?;
            let rewinds = data.rewinds()?;
            let groups = if rewinds.is_empty() { Vec::new() } else { data.all_groups(tx, keyring)? };
            let rows = |rewind: &Rewind| {
                let hidden = groups.iter().filter(|entry| rewind.hides(entry.writer, entry.number));
                hidden.map(|entry| u64::from(entry.rows)).sum()
            };
            let told = |rewind: &Rewind| RewindInfo { time: rewind.time, step: rewind.step, rows: rows(rewind) };
            Ok(Lineage {
                forked_from: origin.map(|origin| HistoryPoint { run: origin.run_id, step: origin.step }),
                rewinds: rewinds.iter().map(told).collect(),
                ranks: ranks::Ranks::of(&data.record)?.count(),
            })
        })
    }
}
