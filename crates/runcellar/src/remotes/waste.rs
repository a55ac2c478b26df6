//! Packs that nothing which is published tells of any more: first others are told so, and later they are deleted.
//!
//! Who has read an older head may be reading them still. So a pack waits until each device that is known has said that it
//! read on, or for a time. Neither decides whether a reader gets what it should: one that finds a pack missing looks at the
//! head again, which was there before the pack went. So a clock that is wrong makes a pack wait longer, or a reader look twice.

use std::collections::HashSet;

use runcellar_format::ObjectId;
use runcellar_format::record::{ReplicaCursor, WASTE_FIELD, Waste, WastePack, extra_body, set_extra_body};

use super::exchange::Exchange;
use super::packs::PackName;
use super::record::{find, load};
use super::replica::{cursor, put_cursor};
use crate::workspace::settings;
use crate::{Error, ErrorKind, Json, Result, Workspace};

const DAY_US: i64 = 24 * 3600 * 1_000_000;
/// Exchanges between the one that told others and the one that deletes, however much time the clock says has passed: a clock
/// that jumps between two of them leaves a reader at least those.
const EXCHANGES_MIN: u64 = 2;

/// Packs that are to be deleted now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DuePacks {
    /// These.
    pub due: Vec<PackName>,
    /// How many wait.
    pub waiting: u64,
}

/// Packs that wait to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WaitingPacks {
    /// How many.
    pub packs: u64,
    /// When the last of them goes at the latest, by the clock here, microseconds UTC since 1970; none if others are not told yet, or nothing
    /// waits.
    pub until: Option<i64>,
}

fn of(at: &ReplicaCursor) -> Result<Waste> {
    let waste = extra_body(&at.extra, WASTE_FIELD).map_err(|cause| Error::format("waste", cause))?;
    Ok(waste.unwrap_or_default())
}

fn put(at: &mut ReplicaCursor, waste: &Waste) -> Result<()> {
    match waste.packs.is_empty() {
        true => at.extra.retain(|(field, _)| *field != WASTE_FIELD),
        false => set_extra_body(&mut at.extra, WASTE_FIELD, waste).map_err(|cause| Error::format("waste", cause))?,
    }
    Ok(())
}

/// Notes packs that the segments up to the present one took back.
pub(super) fn note(at: &mut ReplicaCursor, packs: &[ObjectId]) -> Result<()> {
    if packs.is_empty() {
        return Ok(());
    }
    let mut waste = of(at)?;
    waste.packs.retain(|known| packs.iter().all(|pack| pack.0 != known.id));
    waste.packs.extend(packs.iter().map(|pack| WastePack { id: pack.0, number: at.number, ..WastePack::default() }));
    put(at, &waste)
}

/// Takes out all of it.
pub(super) fn take(at: &mut ReplicaCursor) -> Result<Waste> {
    let waste = of(at)?;
    put(at, &Waste::default())?;
    Ok(waste)
}

impl Exchange {
    /// Finds out which packs are to be deleted in this exchange, after its head was stored.
    ///
    /// # Errors
    /// If a replica cannot be read or written.
    pub fn due_packs(&self) -> Result<DuePacks> {
        let at = self.own.cursor()?;
        if of(&at)?.packs.is_empty() {
            return Ok(DuePacks::default());
        }
        let others = self.others()?;
        let read = others.iter().map(|other| Ok(other.cursor()?.acknowledged())).collect::<Result<Vec<_>>>()?;
        let read = read.into_iter().min().unwrap_or_default();
        let (told, now, grace) = (self.told_packs()?, self.workspace.inner.io.wall_us(), grace(&self.workspace)?);
        self.own.inner().write(None, |tx| {
            let mut at = cursor(tx, tx.keyring, self.own.prefix)?;
            let mut waste = of(&at)?;
            // What is told of again stays.
            waste.packs.retain(|pack| !told.contains(&ObjectId(pack.id)));
            let mut due = Vec::new();
            for pack in waste.packs.iter_mut().filter(|pack| pack.number <= at.headed) {
                let is_new = pack.since.is_none();
                pack.exchanges += u64::from(!is_new);
                // A clock that went back begins anew.
                let since = pack.since.filter(|since| *since <= now).unwrap_or(now);
                pack.since = Some(since);
                let is_over = pack.exchanges >= EXCHANGES_MIN && now.saturating_sub(since) >= grace;
                if is_over || grace == 0 || read >= pack.number {
                    due.push(PackName::new(at.device, ObjectId(pack.id)));
                }
            }
            let waiting = (waste.packs.len() - due.len()) as u64;
            put(&mut at, &waste)?;
            put_cursor(tx, self.own.prefix, &at)?;
            Ok(DuePacks { due, waiting })
        })
    }

    /// Says that packs were deleted, and are not there any more.
    ///
    /// # Errors
    /// If the own replica cannot be written.
    pub fn deleted_packs(&self, gone: &[PackName]) -> Result<()> {
        let gone: HashSet<ObjectId> = gone.iter().filter_map(|name| ObjectId::from_hex(&name.pack)).collect();
        self.own.inner().write(None, |tx| {
            let mut at = cursor(tx, tx.keyring, self.own.prefix)?;
            let mut waste = of(&at)?;
            waste.packs.retain(|pack| !gone.contains(&ObjectId(pack.id)));
            put(&mut at, &waste)?;
            put_cursor(tx, self.own.prefix, &at)
        })
    }

    /// Returns the packs that wait to be deleted.
    ///
    /// # Errors
    /// If the own replica cannot be read.
    pub fn waste(&self) -> Result<HashSet<PackName>> {
        let at = self.own.cursor()?;
        Ok(of(&at)?.packs.iter().map(|pack| PackName::new(at.device, ObjectId(pack.id))).collect())
    }
}

/// Returns how long a pack waits at most, microseconds.
fn grace(workspace: &Workspace) -> Result<i64> {
    match workspace.setting(settings::SYNC_GRACE)? {
        Json::Int(days) => Ok(days.saturating_mul(DAY_US)),
        other => Err(Error::new(ErrorKind::State, format!("{}: {other:?} is no number of days", settings::SYNC_GRACE))),
    }
}

impl Workspace {
    /// Returns what waits to be deleted from a remote, as nothing needs it any more. Nothing is asked of the remote.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such remote, or if it cannot be read.
    pub fn waiting_packs(&self, name: &str) -> Result<WaitingPacks> {
        let remotes = self.inner.read(load)?;
        let Some(exchange) = self.look_at(&remotes.all[find(&remotes, name)?])? else {
            return Ok(WaitingPacks::default());
        };
        let (waste, grace) = (of(&exchange.own.cursor()?)?, grace(self)?);
        let times: Option<Vec<i64>> = waste.packs.iter().map(|pack| pack.since).collect();
        let last = times.and_then(|times| times.into_iter().max());
        Ok(WaitingPacks { packs: waste.packs.len() as u64, until: last.map(|since| since.saturating_add(grace)) })
    }
}
