//! Purge: erasing under a new root key, so that whoever kept every byte of before cannot read what went.

use runcellar_format::keyslots::Keyslots;
use runcellar_format::record::PurgeRecord;
use runcellar_format::{ObjectId, SlotId};
use serde_json::json;

use super::conclude::{self, put_record};
use super::plan::Found;
use super::receipt::Receipt;
use super::rows::{Erased, erase, is_all};
use super::target::Target;
use crate::blob::{Collected, remove_files};
use crate::db::WriteTx;
use crate::keys::Purpose;
use crate::workspace::{device_signs, new_ingest_pair, replace_root_key};
use crate::{Error, ErrorKind, KeySlot, Result, Workspace, io, rfc3339};

/// How often a purge is planned anew because something was added to a project or artifact that goes.
const PLANS_MAX: usize = 5;

/// How to purge.
#[derive(Debug, Clone, Copy, Default)]
pub struct PurgeOptions {
    /// Refuse while a slot opens without a key file: whoever knows its passphrase and has an older copy could still read
    /// it. Recovery codes go in any case.
    pub strict: bool,
    /// Make a new recovery code if there was one.
    pub new_recovery_code: bool,
}

/// What a purge did.
#[derive(Debug, Clone)]
pub struct Purged {
    /// The receipt.
    pub receipt: Receipt,
    /// The new recovery code, if there is one: it is kept nowhere.
    pub recovery_code: Option<String>,
}

impl Workspace {
    /// Erases what targets name, and replaces the root key, so that older copies of the workspace do not give it back
    /// without an older copy of the key file or what else the receipt lists.
    ///
    /// Everything else stays readable; recovery codes are of no use any more. A crash at any point leaves everything or
    /// nothing of it done, once the workspace is opened again.
    ///
    /// # Errors
    /// As [`Workspace::plan_purge`]; [`ErrorKind::NotFound`] if there is nothing to erase; [`ErrorKind::State`] if
    /// `strict` refuses, or the key file cannot be replaced; [`ErrorKind::Busy`], [`ErrorKind::ReadOnly`]. Nothing has
    /// happened then.
    pub fn purge(&self, targets: &[Target], options: PurgeOptions) -> Result<Purged> {
        let inner = &*self.inner;
        if !inner.may_write {
            return Err(Error::new(ErrorKind::ReadOnly, "purge: this handle must not write"));
        }
        // What dead writers left is erased with their runs, and is of the old ingest pair otherwise.
        crate::ingest::recover(inner)?;
        for _ in 0..PLANS_MAX {
            if let Some(purged) = self.purge_planned(targets, options)? {
                return Ok(purged);
            }
        }
        let message =
            "purge: runs or versions are being added to what goes, all the time: try again when that has ended";
        Err(Error::new(ErrorKind::Busy, message))
    }

    /// Plans and purges; none if what was planned is not all of it any more.
    fn purge_planned(&self, targets: &[Target], options: PurgeOptions) -> Result<Option<Purged>> {
        let inner = &*self.inner;
        let found = self.find_targets(targets)?;
        if found.scope.is_empty() {
            return Err(Error::new(
                ErrorKind::NotFound,
                "nothing to purge: no run or version is that old, or derives from it",
            ));
        }
        // What lies on remotes is published under the root key that goes.
        self.bring_all_rows(|run| !found.scope.runs.contains(&run))?;
        let slots = self.slots()?;
        if options.strict
            && let Some(slot) = slots.iter().find(|slot| slot.opens_without_key_file && slot.kind != "recovery")
        {
            let message = format!(
                "key {} ({}) opens the workspace without a key file, and older copies of it, too: runcellar key rm {}",
                slot.id, slot.kind, slot.id
            );
            return Err(Error::new(ErrorKind::State, message));
        }
        let recovery: Vec<SlotId> = slots.iter().filter(|slot| slot.kind == "recovery").filter_map(slot_id).collect();
        let mut has_grown = false;
        let erased = replace_root_key(inner, &recovery, |tx, keyslots| {
            has_grown = !is_all(tx, tx.keyring, &found.scope)?;
            if has_grown {
                return Err(Error::new(ErrorKind::Busy, "purge: something was added to what goes"));
            }
            let erased = erase(tx, &found.scope)?;
            let id = self.put_purge_record(tx, keyslots, &found, tx.epoch().number + 1)?;
            device_signs(inner, tx, keyslots)?;
            Ok((erased, id))
        });
        if has_grown {
            return Ok(None);
        }
        let (Erased { packs }, id) = erased?;
        remove_files(inner, &packs, &mut Collected::default());
        let recovery_code = match options.new_recovery_code && !recovery.is_empty() {
            true => Some(self.add_recovery_code("recovery code")?.1),
            false => None,
        };
        let receipt = conclude::conclude(inner, id, conclude::READERS_WAIT).map_err(|cause| {
            let message = format!("it was purged, and its receipt could not be made: the next opener does it: {cause}");
            Error::new(cause.kind(), message).with_cause(cause)
        })?;
        Ok(Some(Purged { receipt, recovery_code }))
    }

    /// Draws a new ingest pair, and notes what a purge needs to be concluded by anybody.
    pub(super) fn put_purge_record(
        &self,
        tx: &mut WriteTx<'_>,
        keyslots: &mut Keyslots,
        found: &Found,
        after: u64,
    ) -> Result<ObjectId> {
        let id = ObjectId(io::random(tx.io)?);
        let record = PurgeRecord {
            receipt: self.begin_receipt(tx, id, found, after)?.to_json(),
            wrapping: wrapping_keys(tx)?,
            ingest_generation: new_ingest_pair(tx, keyslots)?,
            extra: Vec::new(),
        };
        put_record(tx, id, &record)?;
        Ok(id)
    }

    /// Makes the receipt of a purge, before anything was looked at.
    fn begin_receipt(&self, tx: &WriteTx<'_>, id: ObjectId, found: &Found, after: u64) -> Result<Receipt> {
        let before = tx.epoch().number;
        let target = |item: &super::PlannedItem| json!({"kind": item.kind.as_str(), "id": item.object, "objects": item.objects, "bytes": item.bytes});
        let openers: Vec<_> = found.plan.openers.iter().map(super::Opener::to_json).collect();
        Ok(Receipt::new(json!({
            "id": id.to_string(),
            "workspace": self.inner.id.to_string(),
            "time": rfc3339(tx.io.wall_us()),
            "epoch": {"before": before, "after": after},
            "targets": found.plan.items.iter().map(target).collect::<Vec<_>>(),
            "checks": [],
            "residual_openers": openers,
            "complete": false,
        })))
    }
}

fn slot_id(slot: &KeySlot) -> Option<SlotId> {
    SlotId::from_hex(&slot.id)
}

/// Returns the ids of the keys under which wraps stand before a purge: the root key's and those of projects.
fn wrapping_keys(tx: &WriteTx<'_>) -> Result<Vec<[u8; 16]>> {
    let projects = tx.keys_for(Purpose::ProjectEpoch)?.into_iter().map(|row| row.id.0);
    Ok(std::iter::once(tx.epoch().id.0).chain(projects).collect())
}
