//! Sending what is new.

use runcellar::remotes::Exchange;

use super::names::{head_of, pack_of, segment_of, welcome_of};
use super::{Outcome, Report};
use crate::remote::Remote;
use crate::{Error, ErrorKind};

/// Sends the welcome if it changed, the packs of which waiting segments tell, these segments, and then the head that tells of
/// them.
pub(super) fn push(exchange: &Exchange, remote: &dyn Remote, report: &mut Report) -> Outcome<()> {
    let prepared = exchange.prepare()?;
    report.sent_runs += prepared.runs;
    report.sent_versions += prepared.versions;
    report.not_sent.extend(prepared.left_out);
    let prefix = exchange.prefix();
    if let Some(welcome) = exchange.welcome()? {
        remote.put(&welcome_of(&prefix)?, &welcome)?;
        exchange.welcomed(&welcome)?;
    }
    for pack in exchange.packs()? {
        // One that was written anew since is told of no more, once all segments are read.
        let Some(object) = exchange.pack(&pack)? else { continue };
        let name = pack_of(&pack)?;
        // It is there if a sync was cut off, or if it was told of before, from under another prefix.
        if remote.head(&name)? != Some(object.len()) {
            remote.put(&name, &object)?;
            report.sent_packs += 1;
            report.sent_bytes += object.len();
        }
    }
    for number in exchange.outbox()? {
        let (name, segment) = (segment_of(&prefix, number)?, exchange.segment(number)?);
        if !remote.put_new(&name, &segment)? {
            // Sent before, and the answer did not arrive; or a copy of this workspace publishes under the same name.
            let mine = segment.read().map_err(|cause| local(&cause))?;
            if remote.get(&name, None)?.as_deref() != Some(&mine) {
                let message = "another copy of this workspace has published in its place";
                return Err(Error::new(ErrorKind::Damaged, message).of(&name).into());
            }
        }
        report.sent += 1;
        report.sent_bytes += segment.len();
    }
    if let Some(head) = exchange.head()? {
        remote.put(&head_of(&prefix)?, &head.object)?;
        exchange.sent(&head)?;
    }
    report.devices += 1;
    Ok(())
}

fn local(cause: &std::io::Error) -> Error {
    Error::new(ErrorKind::Local, cause.to_string())
}
