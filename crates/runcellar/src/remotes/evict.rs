//! Giving back the room of content that a remote has: its packs leave this disk once they were read back from there.
//!
//! ```text
//! targets -> packs that nothing else needs -> each read back whole and compared -> a row says where it lies -> its file goes
//! ```
//!
//! Row before file: whatever a crash leaves, the content is here, or it is known where it is. Directory and keys stay, so what
//! is published of it stays published, and a purge reaches it as any other content.

use std::collections::{BTreeSet, HashMap, HashSet};

use runcellar_format::record::{Away, RemoteRecord};
use runcellar_format::seal::{Kind, checksum};
use runcellar_format::{DeviceId, ObjectId};

use super::content::class_of;
use super::exchange::Exchange;
use super::packs::PackName;
use super::record::{find, load};
use super::replica::Replica;
use crate::artifacts::project_names;
use crate::blob::{Pool, all_away, away_of, has_file, is_away, owners_in, pack_path, put_away};
use crate::db::{ObjectKey, ReadTx};
use crate::erase::{PlannedItem, Scope, Target, chosen, pools_in_scope};
use crate::ingest::rows_away;
use crate::keys::Keyring;
use crate::workspace::settings::LOCAL_ONLY;
use crate::{Error, ErrorKind, Result, Workspace};

/// What an eviction would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EvictionPlan {
    /// What the targets name, each thing once.
    pub items: Vec<PlannedItem>,
    /// Packs that the remote is asked for, and that go from here if it has them.
    pub packs: Vec<PackName>,
    /// Bytes of their files.
    pub bytes: u64,
    /// Bytes of packs that stay, as something that was not named needs them, too.
    pub shared_bytes: u64,
    /// Bytes that are not here any more.
    pub evicted_bytes: u64,
    /// What stays as this device did not publish it there, and why.
    pub stays: Vec<Stays>,
}

/// Content that stays here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stays {
    /// What it is.
    pub what: String,
    /// Why it stays.
    pub why: String,
    /// Bytes of its packs.
    pub bytes: u64,
}

/// The packs of what was named, in one pool.
struct Named {
    pool: Pool,
    /// Packs that only what was named needs.
    alone: BTreeSet<ObjectId>,
    /// Packs that something else needs, too.
    shared: BTreeSet<ObjectId>,
}

/// Finds the packs in which the content lies of what is in scope.
fn packs_in_scope(tx: &ReadTx<'_>, keyring: &Keyring, scope: &Scope) -> Result<Vec<Named>> {
    let mut all = Vec::new();
    for (pool, owners) in pools_in_scope(tx, keyring, scope)? {
        let of = |owners: &mut dyn Iterator<Item = ObjectId>| -> Result<HashSet<ObjectId>> {
            let mut packs = HashSet::new();
            for owner in owners {
                packs.extend(pool.packs_of(tx, keyring, owner)?);
            }
            Ok(packs)
        };
        let named = of(&mut owners.iter().copied())?;
        let others = owners_in(tx, keyring, &pool)?.into_iter().filter(|owner| !owners.contains(owner));
        let needed = of(&mut { others })?;
        let (shared, alone) = named.into_iter().partition(|pack| needed.contains(pack));
        all.push(Named { pool, alone, shared });
    }
    Ok(all)
}

impl Workspace {
    /// Says what would leave this disk for a remote that has it. Asks nothing of the remote, and changes nothing.
    ///
    /// A pack goes only if nothing needs it but what was named.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Ambiguous`] for a target that names nothing or several things, or if there is no
    /// such remote.
    pub fn plan_eviction(&self, targets: &[Target], name: &str) -> Result<EvictionPlan> {
        let (items, scope) = chosen(self, targets)?;
        let mut plan = EvictionPlan { items, ..EvictionPlan::default() };
        let inner = &self.inner;
        let remotes = inner.read(load)?;
        let remote = &remotes.all[find(&remotes, name)?];
        let exchange = self.look_at(remote)?;
        let published = exchange.as_ref().map(Exchange::all_published).transpose()?.unwrap_or_default();
        inner.read(|tx, keyring| {
            let projects = project_names(tx, keyring)?;
            let bytes_of =
                |pack: &ObjectId| std::fs::metadata(pack_path(&inner.path, *pack)).map_or(0, |file| file.len());
            for Named { pool, alone, shared } in packs_in_scope(tx, keyring, &scope)? {
                let project = projects.get(&pool.project).map(String::as_str).unwrap_or_default();
                plan.shared_bytes += shared.iter().map(bytes_of).sum::<u64>();
                let mut kept = 0;
                for pack in alone {
                    if !has_file(inner, pack) {
                        plan.evicted_bytes += away_of(tx, keyring, pack)?.map_or(0, |away| away.bytes);
                        continue;
                    }
                    match published.get(&pack) {
                        Some(name) => {
                            plan.bytes += bytes_of(&pack);
                            plan.packs.push(name.clone());
                        }
                        None => kept += bytes_of(&pack),
                    }
                }
                if kept > 0 {
                    let what = format!("{} of {project}", pool.class.name());
                    let why = why_it_stays(remote, exchange.as_ref(), &pool, project);
                    plan.stays.push(Stays { what, why, bytes: kept });
                }
            }
            Ok(())
        })?;
        Ok(plan)
    }

    /// Returns what was evicted: packs, and their bytes.
    ///
    /// # Errors
    /// If the workspace cannot be read.
    pub fn evicted_bytes(&self) -> Result<(u64, u64)> {
        let inner = &self.inner;
        let all = inner.read(all_away)?;
        let away = all.into_iter().filter(|(pack, _)| !has_file(inner, *pack));
        Ok(away.fold((0, 0), |(packs, bytes), (_, away)| (packs + 1, bytes + away.bytes)))
    }

    /// Returns how many bytes of content lie on a remote alone.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such remote.
    pub fn evicted_to(&self, name: &str) -> Result<u64> {
        let inner = &self.inner;
        let (remotes, all) = inner.read(|tx, keyring| Ok((load(tx, keyring)?, all_away(tx, keyring)?)))?;
        let id = remotes.all[find(&remotes, name)?].id;
        let there = all.iter().filter(|(pack, away)| away.remote == id && !has_file(inner, *pack));
        Ok(there.map(|(_, away)| away.bytes).sum())
    }

    /// Returns the packs of what targets name that were evicted; of all there is without a target.
    pub(super) fn evicted_packs(&self, targets: &[Target]) -> Result<Vec<(ObjectId, Away)>> {
        let inner = &self.inner;
        let mut all = inner.read(all_away)?;
        if !targets.is_empty() {
            let (_, scope) = chosen(self, targets)?;
            let named = inner.read(|tx, keyring| packs_in_scope(tx, keyring, &scope))?;
            let is_named = |pack: &ObjectId| named.iter().any(|of| of.alone.contains(pack) || of.shared.contains(pack));
            all.retain(|(pack, _)| is_named(pack));
        }
        Ok(all)
    }
}

impl Workspace {
    /// Returns the runs whose rows lie on remotes alone: those that targets name, all without a target.
    pub(super) fn runs_without_rows(&self, targets: &[Target]) -> Result<Vec<ObjectId>> {
        let mut all = self.inner.read(|tx, _| tx.object_ids(Kind::RowsAway))?;
        if !targets.is_empty() {
            let (_, scope) = chosen(self, targets)?;
            all.retain(|run| scope.runs.contains(run));
        }
        Ok(all)
    }

    /// Returns how many runs have rows that lie on remotes alone.
    ///
    /// # Errors
    /// If the workspace cannot be read.
    pub fn runs_with_rows_away(&self) -> Result<u64> {
        Ok(self.runs_without_rows(&[])?.len() as u64)
    }

    /// Returns how many runs have rows that lie on a remote alone.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such remote.
    pub fn runs_with_rows_on(&self, name: &str) -> Result<u64> {
        self.inner.read(|tx, keyring| {
            let remotes = load(tx, keyring)?;
            let id = remotes.all[find(&remotes, name)?].id;
            let mut runs = 0;
            for run in tx.object_ids(Kind::RowsAway)? {
                let away = rows_away::of(tx, keyring, run)?;
                runs += u64::from(away.is_some_and(|away| away.places.iter().any(|place| place.remote == id)));
            }
            Ok(runs)
        })
    }
}

fn why_it_stays(remote: &RemoteRecord, exchange: Option<&Exchange>, pool: &Pool, project: &str) -> String {
    let class = class_of(pool.class);
    let name = &remote.name;
    if !remote.classes.contains(&(class as u8)) {
        return format!("{name} does not take {}", class.as_str());
    }
    match exchange {
        Some(exchange) if !exchange.takes(project) => {
            format!("{project} does not go to {name}, or is {LOCAL_ONLY}")
        }
        Some(_) => format!("it was not sent to {name} from here: it is new, or came from another device"),
        None => format!("nothing was sent to {name} from here yet"),
    }
}

impl Exchange {
    /// Takes a pack off this disk, as `bytes`, which were read back from the remote just now, are the same. Returns how many
    /// bytes that gave back; none if it is not here any more.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] if the remote has something else, or its device does not tell of the pack there.
    pub fn evict(&self, pack: &PackName, bytes: &[u8]) -> Result<Option<u64>> {
        let inner = &self.workspace.inner;
        let id = pack.id()?;
        let device = DeviceId::from_hex(&pack.device);
        let device = device.ok_or_else(|| Error::invalid(format!("{}: no device", pack.device)))?;
        if !self.tells_of(device, id)? {
            return Err(Error::damaged(format!("pack {id}: nothing that its device published there tells of it")));
        }
        match self.verify_pack(pack, bytes) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            verified => verified?,
        }
        let away = Away {
            remote: self.remote.id,
            device: device.0,
            bytes: bytes.len() as u64,
            hash: checksum(bytes),
            time: inner.io.wall_us(),
            extra: Vec::new(),
        };
        let is_known = inner.write(None, |tx| {
            // It may have been collected, or written anew, meanwhile.
            let is_known = tx.object(ObjectKey::new(Kind::Pack, id, 0))?.is_some();
            if is_known {
                put_away(tx, id, &away)?;
            }
            Ok(is_known)
        })?;
        if !is_known {
            return Ok(None);
        }
        let path = pack_path(&inner.path, id);
        match inner.io.remove(&path) {
            Ok(()) => Ok(Some(away.bytes)),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(Error::io("remove", &path, cause)),
        }
    }

    /// Returns the packs that this device has published, and those of others, by their ids.
    fn all_published(&self) -> Result<HashMap<ObjectId, PackName>> {
        let mut all = HashMap::new();
        for other in self.others()? {
            let device = other.cursor()?.device;
            let packs = other.inner().read(|tx, _| tx.object_ids(Kind::Pack))?;
            all.extend(packs.into_iter().map(|pack| (pack, PackName::new(device, pack))));
        }
        for name in self.published()?.packs {
            all.insert(name.id()?, name);
        }
        Ok(all)
    }

    /// Returns whether a device tells of a pack.
    fn tells_of(&self, device: DeviceId, pack: ObjectId) -> Result<bool> {
        let has = |replica: &Replica| replica.inner().read(|tx, _| tx.object(ObjectKey::new(Kind::Pack, pack, 0)));
        if self.own.cursor()?.device == device.0 {
            return Ok(has(&self.own)?.is_some());
        }
        for other in self.others()? {
            if other.cursor()?.device == device.0 && has(&other)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the length of a pack of this device that was evicted to any remote; none if its file is here.
    ///
    /// # Errors
    /// If the workspace cannot be read.
    pub fn evicted(&self, pack: &PackName) -> Result<Option<u64>> {
        let (inner, id) = (&self.workspace.inner, pack.id()?);
        if has_file(inner, id) {
            return Ok(None);
        }
        Ok(inner.read(|tx, keyring| away_of(tx, keyring, id))?.map(|away| away.bytes))
    }

    /// Returns the packs that must stay on remotes, whatever is published: they were evicted, and lie there alone.
    pub(super) fn evicted_from_here(&self) -> Result<HashSet<ObjectId>> {
        let device = self.own.cursor()?.device;
        let all = self.workspace.inner.read(all_away)?;
        Ok(all.into_iter().filter(|(_, away)| away.device == device).map(|(pack, _)| pack).collect())
    }
}

/// Refuses to read a pack that was evicted.
///
/// # Errors
/// [`ErrorKind::Evicted`] if it was.
pub(crate) fn refuse_if_evicted(inner: &crate::workspace::Inner, pack: ObjectId) -> Result<()> {
    inner.read(|tx, keyring| {
        if !is_away(tx, pack)? {
            return Ok(());
        }
        let away = away_of(tx, keyring, pack)?.unwrap_or_default();
        let remotes = load(tx, keyring)?;
        let known = remotes.all.iter().find(|remote| remote.id == away.remote);
        let place = known.map_or("a remote that was removed", |remote| remote.name.as_str());
        let message = format!("its content lies on {place} alone (pack {pack}); `runcellar fetch` brings it here");
        Err(Error::new(ErrorKind::Evicted, message))
    })
}
