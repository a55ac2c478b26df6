//! Taking in what other devices published.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Duration;

use runcellar::remotes::{Advance, Begun, Exchange, Fetched, PackName, Standing, Takeover, epoch_of_welcome};

use super::names::{devices, head_of, pack_of, prefix_of, segment_of, welcome_of};
use super::{Failure, Outcome, Report};
use crate::remote::Remote;
use crate::{Error, ErrorKind};

/// The most devices of a workspace on one remote: what a reader remembers of a listing.
const DEVICES_MAX: usize = 4096;

/// How often a head is looked at before it is called damaged.
const LOOKS: u32 = 4;
/// What is waited before the second look; twice as long before each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(30);

/// How often a sync begins anew because others went on: they may go on replacing keys, or deleting what is read just now.
const LOOKS_MAX: usize = 8;

/// Fetches what the heads of other devices tell of, and merges it. A root key that one of them drew is taken over first.
pub(super) fn pull(mut exchange: Exchange, remote: &dyn Remote, report: &mut Report) -> Outcome<Exchange> {
    'looks: for looks in 1..=LOOKS_MAX {
        let mut heads = look(&exchange, remote)?;
        for gone in shut_out(&exchange, remote, &heads)? {
            heads.remove(&gone);
        }
        let (mut ahead, mut present) = (Vec::new(), BTreeSet::from([exchange.pack_folder()?]));
        let (mut behind, mut strangers) = (BTreeSet::new(), BTreeSet::new());
        for advance in heads.values() {
            let (standing, device) = (exchange.standing(advance)?, advance.device());
            if standing == Standing::Ahead {
                ahead.push(advance);
            }
            match exchange.is_member(advance)? {
                _ if standing == Standing::Same => drop(present.insert(device)),
                true => drop(behind.insert(device)),
                // What was shut out stays behind for ever.
                false if standing == Standing::Behind => {}
                false => drop(strangers.insert(device)),
            }
        }
        let mut apart = Vec::new();
        for advance in exchange.leaders(&ahead)? {
            match begin(remote, advance, |welcome| exchange.begin_takeover(advance, welcome))? {
                Begun::Takeover(takeover) => {
                    keep_rows(&exchange, remote, advance, &heads)?;
                    exchange = take_over(exchange, remote, advance, takeover)?;
                    continue 'looks;
                }
                Begun::Apart => apart.push(advance),
                Begun::Waits => {}
            }
        }
        // What a device left where it published before counts for nothing.
        report.behind = behind.difference(&present).count() as u64;
        report.strangers = strangers.difference(&present).count() as u64;
        exchange.note_strangers(report.strangers)?;
        if let Some(advance) = exchange.to_join(&heads.values().collect::<Vec<_>>(), &apart)?
            && let Begun::Takeover(takeover) = begin(remote, advance, |welcome| exchange.begin_join(advance, welcome))?
        {
            keep_rows(&exchange, remote, advance, &heads)?;
            exchange = take_over(exchange, remote, advance, takeover)?;
            continue;
        }
        let mut has_moved = false;
        for advance in heads.values() {
            meet(&exchange, remote, advance)?;
            if exchange.standing(advance)? == Standing::Same
                && let Err(failure) = fetch(&exchange, remote, advance, report)
            {
                // Its device may be publishing anew, and deletes what was before.
                has_moved = looks < LOOKS_MAX && goes_on(&exchange, remote, advance)?;
                if !has_moved {
                    return Err(failure);
                }
                break;
            }
        }
        if has_moved {
            continue;
        }
        report.devices = heads.len() as u64;
        let mut missing = BTreeSet::new();
        let merged = exchange.merge(&mut |pack| {
            let fetched = fetch_pack(remote, pack, report)?;
            missing.extend(fetched.is_err().then(|| pack.device.clone()));
            Ok::<_, Failure>(fetched)
        })?;
        // What was left out is looked for again each time.
        report.merged.left_out.clear();
        report.merged.add(merged);
        for advance in heads.values().filter(|advance| missing.contains(&advance.device())) {
            if looks < LOOKS_MAX && goes_on(&exchange, remote, advance)? {
                continue 'looks;
            }
        }
        return Ok(exchange);
    }
    Err(Error::new(ErrorKind::Other, "others publish anew all the time: sync again").into())
}

/// Looks at the heads of all devices; heads tell of further devices.
fn look(exchange: &Exchange, remote: &dyn Remote) -> Outcome<BTreeMap<String, Advance>> {
    let mut waiting: BTreeSet<String> = listed(remote)?;
    waiting.extend(exchange.known()?.into_iter().map(|known| known.prefix));
    let own = exchange.prefix();
    let mut heads = BTreeMap::<String, Advance>::new();
    let mut cited = BTreeMap::<String, u64>::new();
    while let Some(prefix) = waiting.pop_first() {
        if prefix == own || heads.contains_key(&prefix) {
            continue;
        }
        let advance = match head(exchange, remote, &prefix) {
            Ok(Some(advance)) => advance,
            Ok(None) => continue,
            // What nobody here has seen may be somebody else's.
            Err(failure) => return Err(stranger(exchange, remote, &prefix)?.unwrap_or(failure)),
        };
        for (prefix, number) in &advance.cites {
            let most = cited.entry(prefix.clone()).or_default();
            *most = (*most).max(*number);
            waiting.insert(prefix.clone());
        }
        heads.insert(prefix, advance);
    }
    // A head may have moved between the reading of it and of one that cites it; going back is another thing.
    for (prefix, number) in cited.iter().filter(|(prefix, _)| **prefix != own) {
        if heads.get(prefix).is_none_or(|advance| advance.to < *number) {
            let again = head(exchange, remote, prefix)?;
            let reached = again.as_ref().map_or(0, |advance| advance.to);
            if reached < *number {
                let message = format!(
                    "device {prefix} had published up to segment {number}, as another has seen, and {reached} is there: the \
                     remote was rolled back, or lost what it had"
                );
                return Err(Error::new(ErrorKind::Damaged, message).into());
            }
            heads.extend(again.map(|advance| (prefix.clone(), advance)));
        }
    }
    Ok(heads)
}

/// Lists devices that were shut out where this one has not heard of it: somebody who is known replaced the keys, and a welcome is
/// gone, with which all goes that such a device published. Whoever did that has it, or gives the key to what is left.
fn shut_out(exchange: &Exchange, remote: &dyn Remote, heads: &BTreeMap<String, Advance>) -> Outcome<Vec<String>> {
    let mut elsewhere = BTreeSet::new();
    for advance in heads.values() {
        let has_other = matches!(exchange.standing(advance)?, Standing::Ahead | Standing::Apart);
        elsewhere.extend((has_other && exchange.is_member(advance)?).then(|| advance.device()));
    }
    let mut gone = Vec::new();
    for (prefix, advance) in heads {
        let by_another = elsewhere.iter().any(|device| *device != advance.device());
        if by_another && exchange.standing(advance)? != Standing::Behind && remote.head(&welcome_of(prefix)?)?.is_none()
        {
            gone.push(prefix.clone());
        }
    }
    Ok(gone)
}

/// Finds out whether a device published more since its head was looked at: it may then have deleted what that told of.
fn goes_on(exchange: &Exchange, remote: &dyn Remote, advance: &Advance) -> Outcome<bool> {
    let now = head(exchange, remote, &advance.prefix)?;
    Ok(now.is_some_and(|now| now.to > advance.to || now.first > advance.first))
}

/// Looks at the head of one device; none if it has published nothing.
fn head(exchange: &Exchange, remote: &dyn Remote, prefix: &str) -> Outcome<Option<Advance>> {
    let name = head_of(prefix)?;
    let is_known = exchange.is_known(prefix)?;
    settled(|| match remote.get(&name, None)? {
        Some(head) => Ok(Some(exchange.advance(prefix, &head)?)),
        None if is_known => {
            let message = "it was there, and is gone: the remote lost what a device published";
            Err(Error::new(ErrorKind::Damaged, message).of(&name).into())
        }
        // A device that has begun, and not sent anything yet.
        None => Ok(None),
    })
}

/// Says so if what is published under a prefix is of another workspace.
fn stranger(exchange: &Exchange, remote: &dyn Remote, prefix: &str) -> Outcome<Option<Failure>> {
    if exchange.is_known(prefix)? {
        return Ok(None);
    }
    let welcome = remote.get(&welcome_of(prefix)?, None)?;
    Ok(welcome.and_then(|welcome| exchange.refuse_stranger(&welcome).err()).map(Failure::Store))
}

/// Looks at the welcome of a device if it is another than before, and at where its head says that content was left.
fn meet(exchange: &Exchange, remote: &dyn Remote, advance: &Advance) -> Outcome<()> {
    exchange.note_left(advance)?;
    if exchange.is_welcome_new(advance)?
        && let Some(welcome) = remote.get(&welcome_of(&advance.prefix)?, None)?
    {
        exchange.meet(advance, &welcome)?;
    }
    Ok(())
}

/// Looks at the welcome of a device that has another root key.
fn begin(remote: &dyn Remote, advance: &Advance, begin: impl Fn(&[u8]) -> runcellar::Result<Begun>) -> Outcome<Begun> {
    let name = welcome_of(&advance.prefix)?;
    let missing = || Error::new(ErrorKind::Damaged, "it is missing, and a head tells of it").of(&name);
    settled(|| {
        let welcome = remote.get(&name, None)?.ok_or_else(missing)?;
        Ok(begin(&welcome)?)
    })
}

/// Brings rows here that were left where devices publish that do not have the root key yet which is about to be taken over.
fn keep_rows(
    exchange: &Exchange,
    remote: &dyn Remote,
    advance: &Advance,
    heads: &BTreeMap<String, Advance>,
) -> Outcome<()> {
    exchange.bring_before(advance, heads.values(), &mut |segment| {
        Ok::<_, Failure>(remote.get(&segment_of(&segment.prefix, segment.number)?, None)?)
    })
}

/// Takes over the root key that a device drew, or joins it with the one here; not yet, if the device publishes anew just now.
fn take_over(
    exchange: Exchange,
    remote: &dyn Remote,
    advance: &Advance,
    mut takeover: Box<Takeover>,
) -> Outcome<Exchange> {
    let mut read = || -> Outcome<()> {
        for number in advance.first..=advance.to {
            takeover.read(number, &segment(remote, &advance.prefix, number)?, &exchange)?;
        }
        Ok(())
    };
    match read() {
        Ok(()) => Ok(exchange.take_over(takeover)?),
        Err(failure) if !goes_on(&exchange, remote, advance)? => Err(failure),
        Err(_) => Ok(exchange),
    }
}

/// Brings the replica of one device up to its head.
fn fetch(exchange: &Exchange, remote: &dyn Remote, advance: &Advance, report: &mut Report) -> Outcome<()> {
    let mut number = advance.from;
    while number <= advance.to {
        let segment = segment(remote, &advance.prefix, number)?;
        number = exchange.take_segment(advance, number, &segment)?;
        report.fetched += 1;
        report.fetched_bytes += segment.len() as u64;
    }
    Ok(exchange.settle(advance)?)
}

fn segment(remote: &dyn Remote, prefix: &str, number: u64) -> Outcome<Vec<u8>> {
    let name = segment_of(prefix, number)?;
    let missing = || Error::new(ErrorKind::Damaged, "it is missing, and a head tells of it").of(&name);
    Ok(remote.get(&name, None)?.ok_or_else(missing)?)
}

/// Fetches a pack. What is wrong with one hurts what lies in it, and nothing else.
fn fetch_pack(remote: &dyn Remote, pack: &PackName, report: &mut Report) -> Outcome<Fetched> {
    let name = pack_of(pack)?;
    let bytes = match remote.get(&name, None) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(Err(format!("{name}: it is missing on the remote"))),
        Err(error) if error.kind() == ErrorKind::Damaged => return Ok(Err(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    report.fetched_packs += 1;
    report.fetched_bytes += bytes.len() as u64;
    Ok(Ok(bytes))
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

/// Returns the welcome with the newest root key: a device that was lost left one which present keys do not open.
pub(super) fn welcome(remote: &dyn Remote) -> Outcome<Option<Vec<u8>>> {
    let mut newest: Option<(u64, Vec<u8>)> = None;
    for prefix in listed(remote)? {
        let Some(welcome) = remote.get(&welcome_of(&prefix)?, None)? else { continue };
        let epoch = epoch_of_welcome(&welcome);
        if newest.as_ref().is_none_or(|(known, _)| epoch > *known) {
            newest = Some((epoch, welcome));
        }
    }
    Ok(newest.map(|(_, welcome)| welcome))
}
