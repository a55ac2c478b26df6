//! Indexes of cellar.db that do not say what their tables say: rows that are there are not found by name.

use super::{LeftWhy, RepairAction, RepairDone, RepairLeft, RepairReport};
use crate::Result;
use crate::db::{FILE_NAME, is_of_index};
use crate::workspace::Inner;

/// Makes the indexes anew if they are all that is wrong with the database's structure.
pub(super) fn repair(inner: &Inner, report: &mut RepairReport) -> Result<()> {
    let lines = inner.structure_problems()?;
    if lines.is_empty() || inner.is_network() {
        return Ok(());
    }
    if lines.iter().all(|line| is_of_index(line)) {
        inner.rebuild_indexes()?;
        if inner.structure_problems()?.is_empty() {
            let (action, file) = (RepairAction::Rebuilt, FILE_NAME.to_owned());
            report.done.push(RepairDone { action, file, run: None, host: None });
            return Ok(());
        }
    }
    let (why, file) = (LeftWhy::Damaged, FILE_NAME.to_owned());
    report.left.push(RepairLeft { why, file, run: None, host: None, claimed: false });
    Ok(())
}
