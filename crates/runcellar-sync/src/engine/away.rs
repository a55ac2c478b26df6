//! Looking whether all that this device published is still there, after it was away for long, or found something wrong.

use std::collections::HashMap;
use std::ops::ControlFlow;

use runcellar::remotes::{Believed, Exchange, PackName};

use super::names::{pack_of, packs_of, segment_of, welcome_of};
use super::pull::settled;
use super::{Failure, Outcome, Report};
use crate::remote::{ObjectName, Remote};
use crate::{Error, ErrorKind};

/// Looks for what this device believes to be on the remote, if it is time to; returns the packs that are to be sent again. If
/// segments are gone, all is to be published anew, as their bytes are kept nowhere else.
///
/// The head was looked at before: a remote that went back is another thing, and ends the sync.
pub(super) fn look(exchange: Exchange, remote: &dyn Remote, report: &mut Report) -> Outcome<(Exchange, Vec<PackName>)> {
    let Some(believed) = exchange.to_look_after()? else { return Ok((exchange, Vec::new())) };
    let prefix = exchange.prefix();
    let Believed { segments, packs, is_altered, altered, hurt } = believed;
    let mut there = There::default();
    for (number, bytes) in segments {
        there.expected.insert(segment_of(&prefix, number)?, bytes);
    }
    let gone = there.missing(remote, &ObjectName::new(prefix.as_str())?)?;
    // To publish everything anew takes long: nobody does so because of one answer.
    let mut is_gone = false;
    for (name, bytes) in &gone {
        is_gone = is_gone || !settled_there(remote, name, *bytes)?;
    }
    let segments = if is_gone { gone.len() as u64 } else { 0 };
    let mut names = HashMap::new();
    for (pack, bytes) in packs {
        let name = pack_of(&pack)?;
        there.expected.insert(name.clone(), bytes);
        names.insert(name, pack);
    }
    let mut gone: Vec<PackName> = there
        .missing(remote, &packs_of(&exchange.pack_folder()?)?)?
        .into_iter()
        .filter_map(|(name, _)| names.remove(&name))
        .collect();
    gone.extend(names.into_values().filter(|pack| altered.contains(pack)));
    gone.sort_unstable();
    if !has_welcome(&exchange, remote)? {
        exchange.forget_welcome()?;
        report.gone += 1;
    }
    report.gone += segments.max(u64::from(is_altered)) + gone.len() as u64;
    // What is hurt here matters where it is gone there.
    report.not_sent.extend(hurt.into_iter().filter(|left| gone.iter().any(|pack| left.what.ends_with(&pack.pack))));
    let exchange = if segments > 0 || is_altered { exchange.publish_anew()? } else { exchange };
    Ok((exchange, gone))
}

/// Objects that should be there.
#[derive(Default)]
struct There {
    expected: HashMap<ObjectName, Option<u64>>,
}

impl There {
    /// Returns which of them are not there, or have another length, and forgets all. A listing is a hint: what it lacks is asked for.
    fn missing(&mut self, remote: &dyn Remote, below: &ObjectName) -> Outcome<Vec<(ObjectName, Option<u64>)>> {
        let mut expected = std::mem::take(&mut self.expected);
        if expected.is_empty() {
            return Ok(Vec::new());
        }
        remote.list(Some(below), &mut |entry| {
            if expected.get(&entry.name).is_some_and(|bytes| bytes.is_none_or(|bytes| bytes == entry.bytes)) {
                expected.remove(&entry.name);
            }
            ControlFlow::Continue(())
        })?;
        let mut missing = Vec::new();
        for (name, bytes) in expected {
            if !is_of(bytes, remote.head(&name)?) {
                missing.push((name, bytes));
            }
        }
        Ok(missing)
    }
}

fn is_of(bytes: Option<u64>, found: Option<u64>) -> bool {
    found.is_some_and(|found| bytes.is_none_or(|bytes| bytes == found))
}

/// Looks for an object several times.
fn settled_there(remote: &dyn Remote, name: &ObjectName, bytes: Option<u64>) -> Outcome<bool> {
    let looked = settled(|| match is_of(bytes, remote.head(name)?) {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::Damaged, "it is missing").of(name).into()),
    });
    is_whole(looked)
}

/// Returns false where what was looked at is damaged, or missing.
fn is_whole(looked: Outcome<()>) -> Outcome<bool> {
    match looked {
        Ok(()) => Ok(true),
        Err(Failure::Remote(error)) if error.kind() == ErrorKind::Damaged => Ok(false),
        Err(Failure::Store(error)) if error.kind() == runcellar::ErrorKind::Damaged => Ok(false),
        Err(failure) => Err(failure),
    }
}

fn has_welcome(exchange: &Exchange, remote: &dyn Remote) -> Outcome<bool> {
    let name = welcome_of(&exchange.prefix())?;
    is_whole(settled(|| {
        let missing = || Error::new(ErrorKind::Damaged, "it is missing").of(&name);
        Ok(exchange.verify_welcome(&remote.get(&name, None)?.ok_or_else(missing)?)?)
    }))
}
