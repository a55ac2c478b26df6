//! The ranks of one run.

use std::collections::HashMap;

use runcellar_format::WriterId;
use runcellar_format::record::{ORIGIN_FIELD, Origin, RunRecord, extra_body};

use super::recount::Recount;
use crate::db::ReadTx;
use crate::ingest::groups::group_key;
use crate::ingest::rows_away;
use crate::keys::Keyring;
use crate::query::tail::View;
use crate::{Error, Result};

/// Which rank each writer of a run is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ranks(HashMap<WriterId, u32>);

impl Ranks {
    /// Returns the ranks of a run's writers, and of those whose rows came with a fork.
    pub(crate) fn of(record: &RunRecord) -> Result<Ranks> {
        let origin: Option<Origin> = extra_body(&record.extra, ORIGIN_FIELD)
            .map_err(|cause| Error::format(format_args!("origin of run {}", record.id), cause))?;
        let inherited = origin.into_iter().flat_map(|origin| origin.ranks);
        let own = record.sessions.iter().map(|session| (session.writer, session.rank));
        Ok(Ranks(inherited.chain(own).map(|(writer, rank)| (WriterId(writer), rank)).collect()))
    }

    /// Returns the rank of a writer.
    pub(crate) fn of_writer(&self, writer: WriterId) -> u32 {
        self.0.get(&writer).copied().unwrap_or(0)
    }

    /// Returns how many ranks there are.
    pub(crate) fn count(&self) -> u32 {
        let ranks: std::collections::HashSet<u32> = self.0.values().copied().collect();
        u32::try_from(ranks.len()).unwrap_or(u32::MAX)
    }

    /// Returns true if there is a rank besides 0.
    pub(crate) fn are_several(&self) -> bool {
        self.0.values().any(|rank| *rank != 0)
    }
}

/// Returns the step after the highest that a rank logged.
pub(crate) fn next_step(tx: &ReadTx<'_>, keyring: &Keyring, view: &View, rank: u32) -> Result<i64> {
    let (data, ranks) = (&view.data, Ranks::of(&view.data.record)?);
    if rows_away::are(tx, data.object)? {
        return Ok(data.record.next_step);
    }
    // What the store records of itself has steps of its own.
    let mut series = Recount::new(&data.series);
    let mut last: Option<i64> = None;
    let groups = if data.key.is_some() { data.groups(tx, keyring)? } else { Vec::new() };
    for entry in groups.iter().filter(|entry| ranks.of_writer(WriterId(entry.writer)) == rank) {
        if !series.is_own_group(tx, keyring, data, group_key(data, entry))? {
            last = last.max(Some(entry.last_step));
        }
    }
    for tail in view.tails.iter().filter(|tail| ranks.of_writer(tail.writer) == rank) {
        if !series.are_own(tail.columns.iter().map(|column| column.series)) {
            last = last.max(tail.steps.iter().max().copied());
        }
    }
    Ok(last.map_or(0, |last| last.saturating_add(1)).max(0))
}
