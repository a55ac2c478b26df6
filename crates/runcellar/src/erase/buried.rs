//! What another device erased is erased here: tombstones lead to what they name.

use std::collections::BTreeMap;

use runcellar_format::record::Tombstone;
use runcellar_format::seal::Kind;
use runcellar_format::{ObjectId, SlotId};

use super::conclude;
use super::plan::Found;
use super::resolve::items_of;
use super::rows::erase;
use super::scope::Scope;
use crate::artifacts::listed;
use crate::blob::{Class, Collected, remove_files};
use crate::db::{ReadTx, WriteTx};
use crate::keys::{Keyring, Purpose};
use crate::workspace::{Elsewhere, device_signs, replace_by};
use crate::{Error, ErrorKind, Result, Workspace};

/// Tombstones of another device, by whose they are.
pub(crate) type Buried = BTreeMap<ObjectId, Tombstone>;

/// How often a takeover is planned anew because something came in meanwhile that goes, too.
const PLANS_MAX: usize = 5;

/// Returns what is here of what tombstones name.
fn scope_of(tx: &ReadTx<'_>, keyring: &Keyring, buried: &Buried) -> Result<Scope> {
    let mut scope = Scope::default();
    for (owner, tombstone) in buried {
        if !tx.positions(Kind::Run, *owner)?.is_empty() {
            if is_whole_run(tombstone) {
                scope.runs.insert(*owner);
                continue;
            }
            for class in [Class::Code, Class::Media] {
                let is_here = tx.positions(Kind::Manifest, *owner)?.iter().any(|at| class.positions().contains(at));
                if is_here && tombstone.names_purpose(class.purpose_of_run() as u8) {
                    scope.classes.insert((*owner, class));
                }
            }
        }
    }
    for known in listed(tx, keyring)? {
        let is_buried = |object: &ObjectId| buried.contains_key(object);
        let gone = known.versions.iter().filter(|version| is_buried(version));
        scope.versions.extend(gone.map(|version| (*version, known.artifact)));
        // Versions that were not known there stay, and with them their artifact.
        if is_buried(&known.artifact) && known.versions.iter().all(is_buried) {
            scope.artifacts.insert(known.artifact);
        }
    }
    Ok(scope)
}

/// Returns whether a tombstone is of a whole run, and not of its code or media alone.
fn is_whole_run(tombstone: &Tombstone) -> bool {
    tombstone.names_purpose(Purpose::Metrics as u8)
}

/// Erases what tombstones name, and keeps those of runs, versions and slots: who has these still must not bring them back.
fn bury(tx: &mut WriteTx<'_>, scope: &Scope, buried: &Buried) -> Result<Vec<ObjectId>> {
    let erased = erase(tx, scope)?;
    for (owner, tombstone) in buried {
        if is_whole_run(tombstone) || tombstone.names_purpose(Purpose::Version as u8) || tombstone.is_of_slot() {
            tx.keep_tombstone(*owner, tombstone)?;
        }
    }
    Ok(erased.packs)
}

impl Workspace {
    /// Erases here what another copy of the workspace has erased.
    ///
    /// # Errors
    /// If either cannot be read, or this one not be written.
    pub(crate) fn erase_with(&self, other: &Workspace) -> Result<()> {
        let buried: Buried = other.inner.read(|tx, keyring| tx.tombstones(keyring))?.into_iter().collect();
        let here = |tx: &ReadTx<'_>, keyring: &Keyring| {
            let known: Buried = tx.tombstones(keyring)?.into_iter().collect();
            let is_new = |(owner, _): &(&ObjectId, &Tombstone)| !known.contains_key(owner);
            Ok((scope_of(tx, keyring, &buried)?, buried.iter().any(|found| is_new(&found))))
        };
        let (scope, has_new) = self.inner.read(here)?;
        if scope.is_empty() && !has_new {
            return Ok(());
        }
        let packs = self.inner.write(None, |tx| {
            let scope = scope_of(tx, tx.keyring, &buried)?;
            bury(tx, &scope, &buried)
        })?;
        remove_files(&self.inner, &packs, &mut Collected::default());
        Ok(())
    }

    /// Takes over a root key that another device drew, or draws one after both replaced the same, and erases what it erased before that: as a purge does, with a receipt
    /// if something goes. Slots of `removed` do not open the new one.
    ///
    /// # Errors
    /// As [`Workspace::purge`].
    pub(crate) fn take_over_root_key(&self, elsewhere: &Elsewhere, removed: &[SlotId], buried: &Buried) -> Result<()> {
        let inner = &*self.inner;
        crate::ingest::recover(inner)?;
        for _ in 0..PLANS_MAX {
            let scope = inner.read(|tx, keyring| scope_of(tx, keyring, buried))?;
            let found = self.weigh(items_of(self, &scope)?)?;
            let own = inner.source.opened().slot;
            let mut without = Vec::new();
            for slot in self.slots()? {
                let Some(id) = SlotId::from_hex(&slot.id).filter(|id| *id != own) else { continue };
                // As a purge does there: older copies open with such a code.
                let is_stale = slot.kind == "recovery" && !scope.is_empty();
                let drawn = elsewhere.drawn.as_ref();
                let is_known_there = drawn.is_some_and(|drawn| drawn.slots.iter().any(|known| known.id == id));
                let is_buried = buried.get(&ObjectId(id.0)).is_some_and(Tombstone::is_of_slot);
                if removed.contains(&id) || is_buried || (is_stale && !is_known_there) {
                    without.push(id);
                }
            }
            let found = Found { scope, ..found };
            let mut has_grown = false;
            let replaced = replace_by(inner, elsewhere.duplicate(), &without, |tx, keyslots| {
                has_grown = scope_of(tx, tx.keyring, buried)? != found.scope;
                if has_grown {
                    return Err(Error::new(ErrorKind::Busy, "something came in that goes with the old keys"));
                }
                let receipt = match found.scope.is_empty() {
                    true => None,
                    false => {
                        let next = (tx.epoch().number + 1).max(elsewhere.number_min);
                        let after = elsewhere.drawn.as_ref().map_or(next, |drawn| drawn.epoch.number);
                        Some(self.put_purge_record(tx, keyslots, &found, after)?)
                    }
                };
                device_signs(inner, tx, keyslots)?;
                Ok((bury(tx, &found.scope, buried)?, receipt))
            });
            if has_grown {
                continue;
            }
            let (packs, receipt) = replaced?;
            remove_files(inner, &packs, &mut Collected::default());
            inner.monitor.note(match elsewhere.drawn {
                Some(_) => "the keys were replaced on another device, and are taken over",
                None => "another device replaced the keys as well: they are replaced by new ones for both",
            });
            if let Some(id) = receipt {
                let count = found.plan.items.len();
                inner
                    .monitor
                    .note(&format!("{count} of what was purged there is purged here: see runcellar receipt show"));
                conclude::conclude(inner, id, conclude::READERS_WAIT)?;
            }
            return Ok(());
        }
        Err(Error::new(ErrorKind::Busy, "what goes with the old keys is being written to, all the time: sync again"))
    }
}
