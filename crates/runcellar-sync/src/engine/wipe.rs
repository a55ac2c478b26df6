//! Deleting what was published under keys that were replaced.

use runcellar::remotes::Exchange;

use super::names::segment_of;
use super::{Outcome, Report};
use crate::remote::Remote;
use crate::{Error, ErrorKind};

/// Deletes the segments of earlier generations, with all versions, and looks whether they are gone. It is gone on with until
/// that is so; a lock is told of, and waited for.
pub(super) fn wipe(exchange: &Exchange, remote: &dyn Remote, report: &mut Report) -> Outcome<()> {
    let Some(leftovers) = exchange.leftovers()? else { return Ok(()) };
    let prefix = exchange.prefix();
    let mut locked: Option<i64> = None;
    for number in leftovers.from..=leftovers.to {
        let name = segment_of(&prefix, number)?;
        match remote.delete(&name) {
            Err(error) if error.kind() == ErrorKind::ObjectLocked => {
                let until = error.locked_until_us().unwrap_or(i64::MAX);
                locked = Some(locked.map_or(until, |known| known.max(until)));
                continue;
            }
            deleted => deleted?,
        }
        if remote.head(&name)?.is_some() {
            let message = "it was deleted, and is still there: the remote does not delete";
            return Err(Error::new(ErrorKind::Other, message).of(&name).into());
        }
        report.deleted += 1;
    }
    report.locked_until_us = locked;
    Ok(exchange.wiped(leftovers, locked)?)
}
