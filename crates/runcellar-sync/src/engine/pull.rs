//! Taking in what other devices published.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Duration;

use runcellar::remotes::{Advance, Exchange};

use super::names::{devices, head_of, prefix_of, segment_of, welcome_of};
use super::{Failure, Outcome, Report};
use crate::remote::Remote;
use crate::{Error, ErrorKind};

/// The most devices of a workspace on one remote: what a reader remembers of a listing.
const DEVICES_MAX: usize = 4096;

/// How often a head is looked at before it is called damaged.
const LOOKS: u32 = 4;
/// What is waited before the second look; twice as long before each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(30);

/// Fetches what the heads of other devices tell of, and merges it.
pub(super) fn pull(exchange: &Exchange, remote: &dyn Remote, report: &mut Report) -> Outcome<()> {
    let mut waiting: BTreeSet<String> = listed(remote)?;
    waiting.extend(exchange.known()?.into_iter().map(|known| known.prefix));
    let own = exchange.prefix();
    let mut reached = BTreeMap::<String, u64>::new();
    let mut cited = BTreeMap::<String, u64>::new();
    // Heads tell of further devices.
    while let Some(prefix) = waiting.pop_first() {
        if prefix == own || reached.contains_key(&prefix) {
            continue;
        }
        let Some(advance) = fetch(exchange, remote, &prefix, report)? else { continue };
        reached.insert(prefix, advance.to);
        for (prefix, number) in advance.cites {
            let most = cited.entry(prefix.clone()).or_default();
            *most = (*most).max(number);
            waiting.insert(prefix);
        }
    }
    // A head may have moved between the reading of it and of one that cites it; going back is another thing.
    for (prefix, number) in cited.iter().filter(|(prefix, _)| **prefix != own) {
        if reached.get(prefix).is_none_or(|reached| reached < number) {
            let again = fetch(exchange, remote, prefix, report)?.map_or(0, |advance| advance.to);
            if again < *number {
                let message = format!(
                    "device {prefix} had published up to segment {number}, as another has seen, and {again} is there: the \
                     remote was rolled back, or lost what it had"
                );
                return Err(Error::new(ErrorKind::Damaged, message).into());
            }
            reached.insert(prefix.clone(), again);
        }
    }
    report.devices += reached.len() as u64;
    report.merged = exchange.merge()?;
    Ok(())
}

/// Brings the replica of one device up to its head; none if it has published nothing.
fn fetch(exchange: &Exchange, remote: &dyn Remote, prefix: &str, report: &mut Report) -> Outcome<Option<Advance>> {
    let name = head_of(prefix)?;
    let is_known = exchange.known()?.into_iter().any(|known| known.prefix == prefix && known.number > 0);
    let advance = settled(|| match remote.get(&name, None)? {
        Some(head) => Ok(Some(exchange.advance(prefix, &head)?)),
        None if is_known => {
            let message = "it was there, and is gone: the remote lost what a device published";
            Err(Error::new(ErrorKind::Damaged, message).of(&name).into())
        }
        // A device that has begun, and not sent anything yet.
        None => Ok(None),
    })?;
    let Some(advance) = advance else { return Ok(None) };
    for number in advance.from..=advance.to {
        let name = segment_of(prefix, number)?;
        let missing = || Error::new(ErrorKind::Damaged, "it is missing, and a head tells of it").of(&name);
        let segment = remote.get(&name, None)?.ok_or_else(missing)?;
        exchange.take_segment(&advance, number, &segment)?;
        report.fetched += 1;
        report.fetched_bytes += segment.len() as u64;
    }
    exchange.settle(&advance)?;
    Ok(Some(advance))
}

/// Looks again before a head is called damaged: where objects are replaced in two steps, it may be missing for a moment, or
/// be a mixture of two.
pub(super) fn settled<T>(mut look: impl FnMut() -> Outcome<T>) -> Outcome<T> {
    let is_damaged = |failure: &Failure| match failure {
        Failure::Remote(error) => error.kind() == ErrorKind::Damaged,
        Failure::Store(error) => error.kind() == runcellar::ErrorKind::Damaged,
    };
    let mut pause = FIRST_PAUSE;
    for _ in 1..LOOKS {
        match look() {
            Err(failure) if is_damaged(&failure) => std::thread::sleep(pause),
            outcome => return outcome,
        }
        pause *= 2;
    }
    look()
}

/// Lists the devices that have left a welcome.
fn listed(remote: &dyn Remote) -> Outcome<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut too_many = false;
    remote.list(Some(&devices()?), &mut |entry| {
        found.extend(prefix_of(&entry.name).map(str::to_owned));
        too_many = found.len() > DEVICES_MAX;
        if too_many { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    match too_many {
        false => Ok(found),
        true => Err(Error::new(ErrorKind::Other, format!("more than {DEVICES_MAX} devices publish there")).into()),
    }
}

/// Returns a welcome.
pub(super) fn welcome(remote: &dyn Remote) -> Outcome<Option<Vec<u8>>> {
    for prefix in listed(remote)? {
        if let Some(welcome) = remote.get(&welcome_of(&prefix)?, None)? {
            return Ok(Some(welcome));
        }
    }
    Ok(None)
}
