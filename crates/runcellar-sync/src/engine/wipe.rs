//! Deleting: at once what was published under keys that were replaced, later what is not needed any more.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use runcellar::remotes::{Exchange, Leftovers, PackName};

use super::names::{head_of, pack_named, pack_of, packs_of, segment_of, welcome_of};
use super::{Outcome, Report};
use crate::remote::{ObjectName, Remote};
use crate::{Error, ErrorKind};

/// Packs that only a listing tells of, and that one sync deletes: there are some after a crash, and more on a remote that invents
/// them.
const UNTOLD_MAX: usize = 1000;

/// Deletes what earlier generations have, with all versions, and looks whether it is gone: segments, packs that are told of no
/// more, and what head and welcome were before. It is gone on with until that is so; a lock is told of, and waited for.
pub(super) fn wipe(exchange: &Exchange, remote: &dyn Remote, report: &mut Report) -> Outcome<()> {
    let Some(leftovers) = exchange.leftovers()? else { return Ok(()) };
    let mut locked: Option<i64> = None;
    let (names, is_all) = names(exchange, remote, &leftovers)?;
    for name in names {
        report.deleted += u64::from(delete(remote, &name, &mut locked)?);
    }
    for name in [head_of(&exchange.prefix())?, welcome_of(&exchange.prefix())?] {
        is_locked(remote.delete_older(&name), &mut locked)?;
    }
    report.locked_until_us = locked;
    match is_all {
        true => Ok(exchange.wiped(&leftovers, locked)?),
        false => Ok(()),
    }
}

/// Deletes packs that others were told of to be needless, once they have read that, or had the time to.
pub(super) fn sweep(exchange: &Exchange, remote: &dyn Remote, report: &mut Report) -> Outcome<()> {
    let packs = exchange.due_packs()?;
    let (mut gone, mut locked) = (Vec::new(), report.locked_until_us);
    for pack in &packs.due {
        if delete(remote, &pack_of(pack)?, &mut locked)? {
            gone.push(pack.clone());
        }
    }
    report.deleted += gone.len() as u64;
    report.waiting = packs.waiting + (packs.due.len() - gone.len()) as u64;
    report.locked_until_us = locked;
    match gone.is_empty() {
        true => Ok(()),
        false => Ok(exchange.deleted_packs(&gone)?),
    }
}

/// Deletes what devices published that were shut out: what was taken in of it others publish, the rest nobody opens any more but
/// they, and their keys are not in good hands. The head stays, as heads of others speak of it.
pub(super) fn forget(exchange: &Exchange, remote: &dyn Remote, report: &mut Report) -> Outcome<()> {
    for gone in exchange.shut_out()? {
        // First the welcome: whoever has not heard of it yet knows by that why the rest is missing, and does not wait for its device.
        let (welcome, mut locked) = (welcome_of(&gone.prefix)?, None);
        let is_gone = gone.is_read && remote.head(&welcome)?.is_none();
        let is_told = is_gone || delete(remote, &welcome, &mut locked)?;
        report.deleted += u64::from(is_told && !is_gone);
        if gone.is_read {
            note_lock(report, locked);
            continue;
        }
        let head = remote.get(&head_of(&gone.prefix)?, None)?;
        let head = head.map(|head| exchange.advance(&gone.prefix, &head)).transpose()?;
        let last = head.map_or(gone.known, |head| head.to.max(gone.known));
        let mut names = BTreeSet::new();
        for number in 1..=last {
            names.insert(segment_of(&gone.prefix, number)?);
        }
        remote.list(Some(&packs_of(&gone.device)?), &mut |entry| {
            names.extend(pack_named(&entry.name).is_some().then_some(entry.name));
            ControlFlow::Continue(())
        })?;
        for name in names.iter().filter(|_| is_told) {
            report.deleted += u64::from(delete(remote, name, &mut locked)?);
        }
        note_lock(report, locked);
        if locked.is_none() {
            exchange.forgotten(&gone, last)?;
        }
    }
    Ok(())
}

fn note_lock(report: &mut Report, locked: Option<i64>) {
    report.locked_until_us = report.locked_until_us.max(locked);
}

/// Deletes an object with all versions, and looks whether it is gone; false if a lock keeps it.
fn delete(remote: &dyn Remote, name: &ObjectName, locked: &mut Option<i64>) -> Outcome<bool> {
    if is_locked(remote.delete(name), locked)? {
        return Ok(false);
    }
    match remote.head(name)? {
        None => Ok(true),
        Some(_) => {
            let message = "it was deleted, and is still there: the remote does not delete";
            Err(Error::new(ErrorKind::Other, message).of(name).into())
        }
    }
}

/// Returns what is to go: what is known to have been stored, and packs that a listing tells besides; and whether that is all.
fn names(exchange: &Exchange, remote: &dyn Remote, leftovers: &Leftovers) -> Outcome<(BTreeSet<ObjectName>, bool)> {
    let prefix = exchange.prefix();
    let mut names = BTreeSet::new();
    for number in leftovers.from..=leftovers.to {
        names.insert(segment_of(&prefix, number)?);
    }
    for pack in &leftovers.packs {
        names.insert(pack_of(pack)?);
    }
    let (told, waste) = (exchange.told()?, exchange.waste()?);
    let is_kept = |pack: &PackName| told.contains(pack) || waste.contains(pack);
    let names_max = names.len() + UNTOLD_MAX;
    remote.list(Some(&packs_of(&exchange.pack_folder()?)?), &mut |entry| {
        if pack_named(&entry.name).is_some_and(|pack| !is_kept(&pack)) {
            names.insert(entry.name);
        }
        if names.len() < names_max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let is_all = names.len() < names_max;
    Ok((names, is_all))
}

/// Notes until when a lock keeps an object, if one does.
fn is_locked(deleted: crate::Result<()>, locked: &mut Option<i64>) -> Outcome<bool> {
    match deleted {
        Err(error) if error.kind() == ErrorKind::ObjectLocked => {
            let until = error.locked_until_us().unwrap_or(i64::MAX);
            *locked = Some(locked.map_or(until, |known| known.max(until)));
            Ok(true)
        }
        deleted => Ok(deleted.map(|()| false)?),
    }
}
