//! The end of a purge: what is looked at afterwards, written into the receipt and signed.
//!
//! A purge that was cut off after its commit, or that somebody at work kept from ending, is concluded by whoever opens the
//! workspace next.

use std::collections::HashSet;
use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use runcellar_format::record::{Body as _, PurgeRecord};
use runcellar_format::seal::Kind;
use runcellar_format::{KeyId, ObjectId};
use serde_json::{Value, json};

use super::receipt::{CheckLine, Receipt};
use super::scan::{holds_wraps, open_database};
use crate::blob::Class;
use crate::db::{Cover, FILE_NAME, ObjectKey, ReadTx, WriteTx};
use crate::keys::{Keyring, Purpose};
use crate::remotes::{self, DeviceReach, Reach};
use crate::workspace::{Inner, TMP, device_key, drop_old_ingest_pairs, is_root_key_alone, old_secrets_are_gone};
use crate::{Error, ErrorKind, Result, Workspace, os, rfc3339};

/// How long the end of a purge waits for others to read to their end: until then SQLite's log keeps old pages.
pub(super) const READERS_WAIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// Writes a purge record.
pub(super) fn put_record(tx: &mut WriteTx<'_>, id: ObjectId, record: &PurgeRecord) -> Result<()> {
    let key = tx.workspace_key(tx.keyring, Purpose::Control)?;
    let body = record.to_body().map_err(|cause| Error::format("purge record", cause))?;
    tx.put(ObjectKey::new(Kind::Receipt, id, 0), None, &key, &body, Cover::Root)?;
    Ok(())
}

fn read_record(tx: &ReadTx<'_>, keyring: &Keyring, id: ObjectId) -> Result<Option<PurgeRecord>> {
    let Some(row) = tx.object(ObjectKey::new(Kind::Receipt, id, 0))? else { return Ok(None) };
    let body = tx.open_object(keyring, &row)?;
    PurgeRecord::from_body(&body).map(Some).map_err(|cause| Error::format(format_args!("receipt {id}"), cause))
}

impl Workspace {
    /// Returns the receipts of all purges of this workspace, the oldest first.
    ///
    /// # Errors
    /// If the workspace cannot be read, or a receipt is damaged.
    pub fn receipts(&self) -> Result<Vec<Receipt>> {
        let mut receipts = self.inner.read(|tx, keyring| {
            let records = tx.object_ids(Kind::Receipt)?.into_iter().map(|id| read_record(tx, keyring, id));
            let records: Vec<Option<PurgeRecord>> = records.collect::<Result<_>>()?;
            records.into_iter().flatten().map(|record| Receipt::parse(&record.receipt)).collect::<Result<Vec<_>>>()
        })?;
        receipts.sort_by(|left, right| (left.time(), left.id()).cmp(&(right.time(), right.id())));
        Ok(receipts)
    }
}

/// Concludes purges that could not be before, without waiting for anybody. What fails is said, and left to the next opener:
/// a receipt that cannot be read keeps nobody from the rest.
pub(crate) fn conclude_pending(inner: &Inner) {
    if !inner.may_write {
        return;
    }
    let concluded = pending(inner)
        .and_then(|pending| pending.into_iter().try_for_each(|id| conclude(inner, id, Duration::ZERO).map(drop)));
    match concluded {
        Err(error) if !matches!(error.kind(), ErrorKind::Busy | ErrorKind::ReadOnly) => {
            inner.monitor.warn(&format!("a purge is not complete yet: {error}"));
        }
        _ => {}
    }
}

impl Workspace {
    /// Looks again at what purges left that could not be concluded: remotes and other devices may have come further.
    pub fn conclude_purges(&self) {
        conclude_pending(&self.inner);
    }
}

fn pending(inner: &Inner) -> Result<Vec<ObjectId>> {
    inner.read(|tx, keyring| {
        let mut pending = Vec::new();
        for id in tx.object_ids(Kind::Receipt)? {
            let Some(record) = read_record(tx, keyring, id)? else { continue };
            if !Receipt::parse(&record.receipt)?.is_complete() {
                pending.push(id);
            }
        }
        Ok(pending)
    })
}

/// Looks at what a purge left, and signs the receipt. One that is signed already is left as it is as long as somebody
/// still holds up what it lacks.
pub(super) fn conclude(inner: &Inner, id: ObjectId, wait: Duration) -> Result<Receipt> {
    let gone = || Error::new(ErrorKind::NotFound, format!("no receipt {id}"));
    let record = inner.read(|tx, keyring| read_record(tx, keyring, id))?.ok_or_else(gone)?;
    let mut receipt = Receipt::parse(&record.receipt)?;
    let ingest_replaced = drop_old_ingest_pairs(inner, record.ingest_generation)?;
    // Once they are gone from the files they do not come back, and nobody has to wait for that again.
    let were_gone = receipt.was_ok("old_wraps_gone");
    let emptied = were_gone || empty_log(inner, wait)?;
    let is_held_up = !(ingest_replaced && emptied);
    let reach = remotes::reach(inner)?;
    if is_held_up && receipt.is_signed() && !has_remotes(&receipt, &reach) {
        return Ok(receipt);
    }
    let old_keys: HashSet<KeyId> = record.wrapping.iter().copied().map(KeyId).collect();
    let old_wraps_gone = were_gone || (emptied && !any_file_holds_wraps(inner, &old_keys)?);
    let keys_dropped = inner.read(|tx, _| keys_are_dropped(tx, &receipt))?;
    let mut checks = vec![
        CheckLine { name: "keys_dropped", ok: keys_dropped },
        CheckLine { name: "root_key_replaced", ok: is_root_key_alone(inner, receipt.epoch_after())? },
        CheckLine { name: "key_file_replaced", ok: old_secrets_are_gone(inner)? },
        CheckLine { name: "ingest_key_replaced", ok: ingest_replaced },
        CheckLine { name: "old_wraps_gone", ok: old_wraps_gone },
    ];
    let mut openers: Vec<Value> = receipt.residual_openers().to_vec();
    openers.retain(|opener| opener["kind"] != "ingest_key");
    if !ingest_replaced {
        openers.push(json!({"kind": "ingest_key", "id": inner.id.to_string(), "since": receipt.time()}));
    }
    if has_remotes(&receipt, &reach) {
        outside(&receipt, &reach, &mut checks, &mut openers);
    }
    if receipt.is_signed() && receipt.says(&checks, &openers) {
        return Ok(receipt);
    }
    inner.write(None, |tx| {
        let key = device_key(tx)?;
        receipt.conclude(&checks, openers, &key);
        put_record(tx, id, &PurgeRecord { receipt: receipt.to_json(), ..record })
    })?;
    Ok(receipt)
}

/// Returns whether something of what was purged was published.
fn has_remotes(receipt: &Receipt, reach: &Reach) -> bool {
    let is_remote = |opener: &Value| opener["kind"] == "remote_version";
    receipt.residual_openers().iter().any(is_remote) || !reach.remotes.is_empty() || !reach.devices.is_empty()
}

/// Says how far remotes and other devices have come.
fn outside(receipt: &Receipt, reach: &Reach, checks: &mut Vec<CheckLine>, openers: &mut Vec<Value>) {
    let after = receipt.epoch_after();
    // What was sent to a remote that is known no longer stays there.
    openers.retain(|opener| {
        opener["kind"] != "remote_version" || reach.remotes.iter().all(|remote| opener["id"] != remote.id.to_string())
    });
    for remote in reach.remotes.iter().filter(|remote| !remote.is_wiped) {
        let mut opener = json!({"kind": "remote_version", "id": remote.id.to_string(), "since": receipt.time()});
        if let Some(until) = remote.locked_until_us {
            opener["until"] = if until == i64::MAX { Value::Null } else { rfc3339(until).into() };
        }
        openers.push(opener);
    }
    for device in &reach.devices {
        let (id, slot) = (device.id.to_string(), device.slot.map(|slot| slot.to_string()));
        let is_it = |opener: &Value| {
            let is_slot = slot.as_ref().is_some_and(|slot| opener["id"] == **slot);
            opener["kind"] == "device" && (is_slot || opener["id"] == *id)
        };
        match device.epoch >= after {
            true => openers.retain(|opener| !is_it(opener)),
            false if openers.iter().any(is_it) => {}
            false => openers.push(json!({"kind": "device", "id": slot.unwrap_or(id), "since": receipt.time()})),
        }
    }
    let remains = openers.iter().any(|opener| opener["kind"] == "remote_version");
    checks.push(CheckLine { name: "remotes_wiped", ok: !remains });
    let waits = |device: &&DeviceReach| device.slot.is_some() && device.epoch < after;
    checks.push(CheckLine { name: "devices_acknowledged", ok: !reach.devices.iter().any(|device| waits(&device)) });
}

/// Cuts SQLite's log to nothing; says who keeps that from being done, after it waited for them.
fn empty_log(inner: &Inner, wait: Duration) -> Result<bool> {
    if inner.is_network() {
        // There is none, and the file was written anew.
        return Ok(true);
    }
    let deadline = Instant::now() + wait;
    while !inner.empty_log()? {
        if wait.is_zero() {
            return Ok(false);
        }
        if Instant::now() >= deadline {
            let who = os::processes_with(&inner.path.join(FILE_NAME));
            let who = if who.is_empty() { "another process".to_owned() } else { who.join(", ") };
            inner.monitor.warn(&format!("purge: {who} reads the database, whose log keeps old pages until it ends"));
            return Ok(false);
        }
        std::thread::sleep(PAUSE);
    }
    Ok(true)
}

/// Looks for wraps under old keys in all files in which wraps may stand: the database, its log, and what is temporary.
fn any_file_holds_wraps(inner: &Inner, old_keys: &HashSet<KeyId>) -> Result<bool> {
    let database = inner.path.join(FILE_NAME);
    let mut log = database.clone().into_os_string();
    log.push("-wal");
    let directory = inner.path.join(TMP);
    let temporary = inner.io.list(&directory).map_err(|cause| Error::io("list", &directory, cause))?;
    let temporary = temporary.into_iter().map(|name| directory.join(name)).filter(|path| path.is_file());
    for path in [database.clone(), log.into()].into_iter().chain(temporary) {
        let opened = match path == database && !inner.is_network() {
            true => open_database(&path),
            false => File::open(&path).map(Arc::new),
        };
        let found = match opened {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => continue,
            opened => opened.and_then(|file| holds_wraps(&file, old_keys)),
        };
        if found.map_err(|cause| Error::io("read", &path, cause))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns true if the key table has no key of what the receipt names.
fn keys_are_dropped(tx: &ReadTx<'_>, receipt: &Receipt) -> Result<bool> {
    for target in receipt.targets() {
        let id = target["id"].as_str().and_then(ObjectId::from_hex);
        let id = id.ok_or_else(|| Error::damaged(format!("receipt {}: a target without id", receipt.id())))?;
        let class = match target["kind"].as_str() {
            Some("code") => Some(Class::Code),
            Some("media") => Some(Class::Media),
            _ => None,
        };
        let of_target = |purpose: u8| class.is_none_or(|class| class.purpose_of_run() as u8 == purpose);
        if tx.keys_of(id)?.iter().any(|row| of_target(row.purpose)) {
            return Ok(false);
        }
    }
    Ok(true)
}
