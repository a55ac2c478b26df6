//! Sending what is new.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use runcellar::LeftOut;
use runcellar::remotes::{Exchange, PackName};

use super::names::{head_of, pack_of, segment_of, welcome_of};
use super::{Outcome, Report};
use crate::remote::Remote;
use crate::{Error, ErrorKind};

/// Packs that are on their way at once: beyond four a connection is seldom faster, and each takes memory.
const TRANSFERS: usize = 4;

/// Sends the welcome if it changed, the packs of which waiting segments tell, these segments, and then the head that tells of
/// them.
pub(super) fn push(exchange: &Exchange, remote: &dyn Remote, report: &mut Report) -> Outcome<()> {
    let prepared = exchange.prepare()?;
    report.sent_runs += prepared.runs;
    report.sent_versions += prepared.versions;
    report.not_sent.extend(prepared.left_out);
    report.held = prepared.held;
    let prefix = exchange.prefix();
    if let Some(welcome) = exchange.welcome()? {
        remote.put(&welcome_of(&prefix)?, &welcome)?;
        exchange.welcomed(&welcome)?;
    }
    let lost = Mutex::default();
    send_packs(&exchange.packs()?, report, &|pack| send_pack(exchange, remote, pack, &lost))?;
    let mut lost = lost.into_inner().unwrap_or_else(PoisonError::into_inner);
    lost.sort();
    let why = "it was evicted, and the remote has lost it";
    let left_out = |pack| LeftOut { what: format!("pack {pack}"), why: why.to_owned(), damaged: true };
    report.not_sent.extend(lost.into_iter().map(left_out));
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

/// Sends packs that were told of, and are not on the remote any more, or not as they were.
pub(super) fn send_again(
    exchange: &Exchange,
    remote: &dyn Remote,
    packs: &[PackName],
    report: &mut Report,
) -> Outcome<()> {
    send_packs(packs, report, &|pack| match exchange.pack(pack) {
        Ok(None) => Ok(None),
        Ok(Some(object)) => {
            remote.put(&pack_of(pack)?, &object)?;
            Ok(Some(object.len()))
        }
        // It was named already.
        Err(error) if error.kind() == runcellar::ErrorKind::Damaged => Ok(None),
        Err(error) => Err(error.into()),
    })
}

/// Sends packs, some at once; the first failure ends it. `one` sends one, and returns its bytes if it had to.
fn send_packs(
    packs: &[PackName],
    report: &mut Report,
    one: &(dyn Fn(&PackName) -> Outcome<Option<u64>> + Sync),
) -> Outcome<()> {
    let (next, sent) = (AtomicUsize::new(0), Mutex::new((0, 0)));
    let send = || -> Outcome<()> {
        while let Some(pack) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let bytes = one(pack);
            if bytes.is_err() {
                next.store(packs.len(), Ordering::Relaxed);
            }
            if let Some(bytes) = bytes? {
                let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
                *sent = (sent.0 + 1, sent.1 + bytes);
            }
        }
        Ok(())
    };
    let outcome = match packs.len() {
        0 | 1 => send(),
        count => std::thread::scope(|scope| {
            let threads: Vec<_> = (0..count.min(TRANSFERS)).map(|_| scope.spawn(send)).collect();
            let joined = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
            let outcomes: Vec<Outcome<()>> = joined.collect();
            outcomes.into_iter().collect()
        }),
    };
    let (packs, bytes) = sent.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.sent_packs += packs;
    report.sent_bytes += bytes;
    outcome
}

/// Sends a pack; returns its bytes, none if it is there or is needed no more. One that is neither here nor there is noted.
fn send_pack(
    exchange: &Exchange,
    remote: &dyn Remote,
    pack: &PackName,
    lost: &Mutex<Vec<String>>,
) -> Outcome<Option<u64>> {
    let name = pack_of(pack)?;
    if let Some(bytes) = exchange.evicted(pack)? {
        if remote.head(&name)? != Some(bytes) {
            lost.lock().unwrap_or_else(PoisonError::into_inner).push(pack.pack.clone());
        }
        return Ok(None);
    }
    // One that was written anew since is told of no more, once all segments are read.
    let Some(object) = exchange.pack(pack)? else { return Ok(None) };
    // It is there if a sync was cut off, or if an earlier generation told of it.
    if remote.head(&name)? == Some(object.len()) {
        return Ok(None);
    }
    remote.put(&name, &object)?;
    Ok(Some(object.len()))
}

fn local(cause: &std::io::Error) -> Error {
    Error::new(ErrorKind::Local, cause.to_string())
}
