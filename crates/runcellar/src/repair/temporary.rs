//! Files on their way that never got there, as who wrote them died.

use std::path::Path;

use super::{LeftWhy, RepairAction, RepairDone, RepairLeft, RepairReport};
use crate::workspace::{Inner, SILENCE_US, TMP, file_system_now_us};
use crate::{Error, Result, blob};

/// Removes files in `tmp/` that nobody wrote to for ten minutes: whoever is at one writes it in seconds, but for packs, which
/// wait for the files that are put.
pub(super) fn repair(inner: &Inner, report: &mut RepairReport) -> Result<()> {
    let directory = inner.path.join(TMP);
    let now = file_system_now_us(&*inner.io, &inner.path)?;
    let mut names = inner.io.list(&directory).map_err(|cause| Error::io("list", &directory, cause))?;
    names.sort();
    let is_put_under_way = blob::is_put_under_way(inner)?;
    let is_of_put = |path: &Path| blob::is_hold(path) || path.extension().is_some_and(|end| end == "pack");
    for name in names {
        let (path, file) = (directory.join(&name), format!("{TMP}/{}", name.display()));
        if is_put_under_way && is_of_put(&path) {
            report.left.push(RepairLeft { why: LeftWhy::AtWork, file, run: None, host: None, claimed: false });
            continue;
        }
        let gone = |cause: &std::io::Error| cause.kind() == std::io::ErrorKind::NotFound;
        match inner.io.modified_us(&path) {
            Err(cause) if gone(&cause) => continue,
            Err(cause) => return Err(Error::io("look at", &path, cause)),
            Ok(written) if now.saturating_sub(written) < SILENCE_US => {
                report.left.push(RepairLeft { why: LeftWhy::Recent, file, run: None, host: None, claimed: false });
                continue;
            }
            Ok(_) => {}
        }
        match inner.io.remove(&path) {
            Err(cause) if !gone(&cause) => return Err(Error::io("remove", &path, cause)),
            _ => report.done.push(RepairDone { action: RepairAction::Removed, file, run: None, host: None }),
        }
    }
    Ok(())
}
