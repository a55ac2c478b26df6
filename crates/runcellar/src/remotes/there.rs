//! Content of other devices that stays on the remote, by the setting `sync.content`: it is fetched when it is read.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use runcellar_format::record::Away;
use runcellar_format::seal::Kind;
use runcellar_format::{ChunkId, KeyId, ObjectId};

use super::exchange::Exchange;
use super::fetch::{is_it, store};
use super::packs::{Fetched, PackName, drop_fetched};
use super::replica::Replica;
use super::shut_out::remains;
use crate::blob::{
    Class, PackData, Pool, all_away, chunks_of, has_file, keep_only, moved, not_away, owners_in, put_away,
};
use crate::db::ReadTx;
use crate::keys::Keyring;
use crate::merge::{is_theirs, put_again};
use crate::workspace::settings::SYNC_CONTENT;
use crate::{Error, Json, Result};

impl Exchange {
    /// Returns where the packs of a device lie, if they are to stay there.
    pub(super) fn stays_there(&self, device: [u8; 16]) -> Result<Option<Away>> {
        let stays = self.workspace.setting(SYNC_CONTENT)? == Json::Text("remote".into());
        Ok(stays.then(|| Away { remote: self.remote.id, device, ..Away::default() }))
    }

    /// Follows content whose device does not publish it any more, as it was written anew, or as another device has all of it: it lies
    /// in other packs now, of whichever device. Where all who publish it name content in another way, `fetch` brings it here, once
    /// somebody has published something.
    pub(super) fn follow_packs<E: From<Error>>(
        &self,
        is_news: bool,
        fetch: &mut dyn FnMut(&PackName) -> std::result::Result<Fetched, E>,
    ) -> std::result::Result<(), E> {
        let inner = &self.workspace.inner;
        let lost = self.lost_packs()?;
        if lost.is_empty() {
            return Ok(());
        }
        let others = self.others()?;
        let pools_there = others.iter().map(|other| Ok((other, other.inner().read(pools)?)));
        let pools_there = pools_there.collect::<Result<Vec<_>>>()?;
        for pool in inner.read(pools)?.into_values() {
            let mut packs = inner.read(|tx, _| tx.owners_sealed_under(Kind::Pack, pool.key.id()))?;
            packs.retain(|pack| lost.contains(pack));
            if packs.is_empty() {
                continue;
            }
            for (other, pools_there) in &pools_there {
                let Some(pool_there) = pools_there.get(&pool.key.id()) else { continue };
                let wanted = self.lacking(&pool, &packs, &lost)?.into_values().flatten().collect();
                let told = other.inner().read(|tx, keyring| moved((tx, keyring), pool_there, &wanted))?;
                if let Some(told) = told {
                    let there = Away { remote: self.remote.id, device: other.cursor()?.device, ..Away::default() };
                    inner.write(None, |tx| told.adopt(tx, &pool, &there))?;
                }
            }
            for (other, pools_there) in pools_there.iter().filter(|_| is_news) {
                let is_other = |there: &&Arc<Pool>| there.class == pool.class && !there.is_twin_of(&pool);
                for there in pools_there.values().filter(is_other) {
                    let lacking = self.lacking(&pool, &packs, &lost)?.into_values().flatten().collect();
                    self.put_again_from((other, there), &pool, &lacking, fetch)?;
                }
            }
            for (pack, lacking) in self.lacking(&pool, &packs, &lost)? {
                // What lies nowhere any more is named when it is read.
                inner.write(None, |tx| keep_only(tx, &pool, pack, &lacking))?;
            }
        }
        self.take_in(&lost, fetch)
    }

    /// Reads files of which chunks are lacking from a pool that names content in another way, and puts them here.
    fn put_again_from<E: From<Error>>(
        &self,
        (other, there): (&Replica, &Arc<Pool>),
        pool: &Arc<Pool>,
        lacking: &HashSet<ChunkId>,
        fetch: &mut dyn FnMut(&PackName) -> std::result::Result<Fetched, E>,
    ) -> std::result::Result<(), E> {
        if lacking.is_empty() {
            return Ok(());
        }
        let inner = &self.workspace.inner;
        for owner in other.inner().read(|tx, keyring| owners_in(tx, keyring, there))? {
            let named = inner.read(|tx, keyring| chunks_of(tx, keyring, pool, &[owner].into()))?;
            if named.is_disjoint(lacking) {
                continue;
            }
            let put = || match put_again((&self.workspace, pool), (&other.workspace, there), owner, lacking) {
                // It is looked for elsewhere, or named when it is read.
                Err(error) if is_theirs(&error) => Ok(()),
                put => put,
            };
            self.with_packs_of(other, fetch, put)?;
        }
        Ok(drop_fetched(other.inner())?)
    }

    /// Fetches packs, as they lie there, that a device published which was shut out, and which nobody else has: this one publishes
    /// them from now on, and what the other published can go.
    fn take_in<E: From<Error>>(
        &self,
        lost: &HashSet<ObjectId>,
        fetch: &mut dyn FnMut(&PackName) -> std::result::Result<Fetched, E>,
    ) -> std::result::Result<(), E> {
        let inner = &self.workspace.inner;
        let gone = remains(inner, ObjectId(self.remote.id), self.own.prefix)?;
        let gone = gone.iter().map(|replica| Ok(replica.cursor()?.device)).collect::<Result<HashSet<_>>>()?;
        if gone.is_empty() || !self.have_all_published()? {
            return Ok(());
        }
        let mut left = inner.read(all_away)?;
        left.retain(|(pack, away)| lost.contains(pack) && gone.contains(&away.device));
        for (pack, away) in left {
            // What is not there, or not what it was, is named when it is read.
            if let Ok(bytes) = fetch(&PackName::new(away.device, pack))?
                && is_it(inner, pack, &away, &bytes)?
            {
                store(inner, pack, &bytes)?;
                inner.write(None, |tx| not_away(tx, pack))?;
            }
        }
        Ok(())
    }

    /// Returns whether each other device that has keys here, and is known to publish, has done so under the present ones.
    fn have_all_published(&self) -> Result<bool> {
        let live = self.workspace.inner.read(|tx, _| Ok(tx.epoch().id))?;
        let mut published = HashMap::new();
        for other in self.others()? {
            let at = other.cursor()?;
            *published.entry(at.device).or_insert(false) |= at.epoch().is_some_and(|(_, id)| id == live.0);
        }
        let members = self.workspace.inner.device_slots()?;
        Ok(members.iter().all(|(device, _)| published.get(&device.0).copied().unwrap_or(true)))
    }

    /// Returns the packs that are not here, and which the device does not tell of that published them. One of which another tells
    /// lies there from now on.
    fn lost_packs(&self) -> Result<HashSet<ObjectId>> {
        let inner = &self.workspace.inner;
        let own = self.own.cursor()?.device;
        let is_left = |(pack, away): &(ObjectId, Away)| {
            away.remote == self.remote.id && away.device != own && !has_file(inner, *pack)
        };
        let left: Vec<(ObjectId, Away)> = inner.read(all_away)?.into_iter().filter(is_left).collect();
        if left.is_empty() {
            return Ok(HashSet::new());
        }
        let mut told: HashMap<ObjectId, Vec<[u8; 16]>> = HashMap::new();
        for other in self.others()? {
            let device = other.cursor()?.device;
            for pack in other.inner().read(|tx, _| tx.object_ids(Kind::Pack))? {
                told.entry(pack).or_default().push(device);
            }
        }
        let mut lost = HashSet::new();
        for (pack, away) in left {
            match told.get(&pack).and_then(|devices| devices.first().map(|first| (devices, *first))) {
                None => drop(lost.insert(pack)),
                Some((devices, _)) if devices.contains(&away.device) => {}
                Some((_, device)) => inner.write(None, |tx| put_away(tx, pack, &Away { device, ..away }))?,
            }
        }
        Ok(lost)
    }

    /// Returns the chunks of packs that lie in no other here but such as are lost.
    fn lacking(
        &self,
        pool: &Pool,
        packs: &[ObjectId],
        lost: &HashSet<ObjectId>,
    ) -> Result<HashMap<ObjectId, HashSet<ChunkId>>> {
        self.workspace.inner.read(|tx, keyring| {
            pool.refresh(tx, keyring)?;
            let mut all = HashMap::new();
            for pack in packs {
                let Some(data) = PackData::load(tx, keyring, &pool.key, *pack)? else { continue };
                let mut lacking = HashSet::new();
                for (_, entry) in data.entries.iter().enumerate().filter(|(slot, _)| data.bucket.has(*slot)) {
                    if !pool.is_in_another(tx, keyring, entry.id, lost)? {
                        lacking.insert(entry.id);
                    }
                }
                all.insert(*pack, lacking);
            }
            Ok(all)
        })
    }
}

/// Returns all pools, by their keys.
fn pools(tx: &ReadTx<'_>, keyring: &Keyring) -> Result<HashMap<KeyId, Arc<Pool>>> {
    let mut all = HashMap::new();
    for project in tx.object_ids(Kind::Project)? {
        for class in Class::ALL {
            all.extend(Pool::find(tx, keyring, project, class)?.map(|pool| (pool.key.id(), Arc::new(pool))));
        }
    }
    Ok(all)
}
