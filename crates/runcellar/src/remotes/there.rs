//! Content of other devices that stays on the remote, by the setting `sync.content`: it is fetched when it is read.

use std::collections::{HashMap, HashSet};

use runcellar_format::record::Away;
use runcellar_format::seal::Kind;
use runcellar_format::{ChunkId, ObjectId};

use super::exchange::Exchange;
use super::replica::Replica;
use crate::blob::{Class, PackData, Pool, all_away, has_file, moved, remove_rows};
use crate::db::{ObjectKey, ReadTx};
use crate::keys::Keyring;
use crate::workspace::settings::SYNC_CONTENT;
use crate::{Json, Result};

impl Exchange {
    /// Returns where the packs of a device lie, if they are to stay there.
    pub(super) fn stays_there(&self, device: [u8; 16]) -> Result<Option<Away>> {
        let stays = self.workspace.setting(SYNC_CONTENT)? == Json::Text("remote".into());
        Ok(stays.then(|| Away { remote: self.remote.id, device, ..Away::default() }))
    }

    /// Follows packs of a device that it has written anew, and those of devices that were shut out: what lay in them lies in others now.
    pub(super) fn follow_packs(&self, replica: &Replica) -> Result<()> {
        let inner = &self.workspace.inner;
        let device = replica.cursor()?.device;
        let there = Away { remote: self.remote.id, device, ..Away::default() };
        let gone = self.devices_shut_out()?;
        let is_lost = |(pack, away): &(ObjectId, Away)| -> Result<bool> {
            let is_there = replica.inner().read(|tx, _| Ok(tx.object(ObjectKey::new(Kind::Pack, *pack, 0))?.is_some()));
            let is_of_these = away.device == device || gone.contains(&away.device);
            Ok(away.remote == there.remote && is_of_these && !has_file(inner, *pack) && !is_there?)
        };
        let mut lost = HashSet::new();
        for known in inner.read(all_away)? {
            if is_lost(&known)? {
                lost.insert(known.0);
            }
        }
        if lost.is_empty() {
            return Ok(());
        }
        let pools_there: HashMap<_, Pool> = replica.inner().read(pools)?;
        for (key, pool) in inner.read(pools)? {
            let Some(pool_there) = pools_there.get(&key) else { continue };
            let packs = inner.read(|tx, _| tx.owners_sealed_under(Kind::Pack, pool.key.id()))?;
            for pack in packs.into_iter().filter(|pack| lost.contains(pack)) {
                let wanted = inner.read(|tx, keyring| {
                    let data = PackData::load(tx, keyring, &pool.key, pack)?;
                    let alive = data.iter().flat_map(|data| {
                        let slots = data.entries.iter().enumerate();
                        slots.filter(|(slot, _)| data.bucket.has(*slot)).map(|(_, entry)| entry.id)
                    });
                    Ok(alive.collect::<HashSet<ChunkId>>())
                })?;
                // What lies nowhere any more is named when it is read.
                let told = replica.inner().read(|tx, keyring| moved((tx, keyring), pool_there, wanted))?;
                if let Some(told) = told {
                    inner.write(None, |tx| {
                        told.adopt(tx, &pool, &there)?;
                        remove_rows(tx, &pool, pack)
                    })?;
                }
            }
        }
        Ok(())
    }
}

/// Returns all pools, by their keys.
fn pools(tx: &ReadTx<'_>, keyring: &Keyring) -> Result<HashMap<runcellar_format::KeyId, Pool>> {
    let mut all = HashMap::new();
    for project in tx.object_ids(Kind::Project)? {
        for class in Class::ALL {
            all.extend(Pool::find(tx, keyring, project, class)?.map(|pool| (pool.key.id(), pool)));
        }
    }
    Ok(all)
}
