//! Content that stays on a remote: what tells of packs of another device comes in, and their files do not.
//!
//! Only between devices whose pools name content alike: a directory is then the same row on both. Keys come in for chunks that
//! something here names, and for no others.

use std::collections::HashSet;

use runcellar_format::record::Away;
use runcellar_format::seal::Kind;
use runcellar_format::{ChunkId, ObjectId};

use super::away::put_away;
use super::gc::change;
use super::pack::{PackData, open_directory};
use super::pool::{Pool, project_epoch_key};
use super::share::chunks_of;
use crate::db::{Cover, ObjectKey, ObjectRow, ReadTx, WriteTx};
use crate::keys::{Keyring, Purpose};
use crate::workspace::Inner;
use crate::{Error, Result};

/// Packs of another device, and which of their chunks are wanted.
pub(crate) struct Told {
    packs: Vec<(ObjectRow, u64, PackData)>,
    wanted: HashSet<ChunkId>,
}

impl Told {
    /// Reads what tells of the packs in which the content lies that a manifest lists.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Damaged`] if some of it lies nowhere.
    pub(crate) fn of_manifest(other: &Inner, pool: &Pool, owner: ObjectId) -> Result<Told> {
        other.read(|tx, keyring| {
            let packs = pool.packs_of(tx, keyring, owner)?;
            Told::of_packs(tx, keyring, pool, &packs, chunks_of(tx, keyring, pool, &[owner].into())?)
        })
    }

    /// Reads what tells of packs.
    pub(crate) fn of_packs(
        tx: &ReadTx<'_>,
        keyring: &Keyring,
        pool: &Pool,
        packs: &HashSet<ObjectId>,
        wanted: HashSet<ChunkId>,
    ) -> Result<Told> {
        let mut told = Told { packs: Vec::new(), wanted };
        for pack in packs {
            let missing = || Error::damaged(format!("pack {pack}: what tells of it is missing"));
            let row = tx.object(ObjectKey::new(Kind::Pack, *pack, 0))?.ok_or_else(missing)?;
            let bytes = open_directory(keyring, &pool.key, &row)?.file_bytes();
            let data = PackData::load(tx, keyring, &pool.key, *pack)?.ok_or_else(missing)?;
            told.packs.push((row, bytes, data));
        }
        Ok(told)
    }

    /// Takes them in as packs that lie where `there` says.
    pub(crate) fn adopt(self, tx: &mut WriteTx<'_>, pool: &Pool, there: &Away) -> Result<()> {
        for (row, bytes, mut theirs) in self.packs {
            let id = row.key.id;
            let mine = PackData::load(tx, tx.keyring, &pool.key, id)?;
            let has = |slot: usize| mine.as_ref().is_some_and(|mine| mine.bucket.has(slot));
            let is_wanted = |slot: usize, chunk| has(slot) || self.wanted.contains(&chunk);
            let slots = || theirs.entries.iter().enumerate().map(|(slot, entry)| (slot, entry.id));
            let lacks = slots().any(|(slot, chunk)| is_wanted(slot, chunk) && !has(slot));
            if mine.is_some() && !lacks {
                continue;
            }
            let needless: Vec<usize> =
                slots().filter(|(slot, chunk)| !is_wanted(*slot, *chunk)).map(|(slot, _)| slot).collect();
            if let Some((slot, _)) = slots().find(|(slot, _)| has(*slot) && !theirs.bucket.has(*slot)) {
                let message = format!("pack {id}: the other device has dropped chunk {slot}, and this one needs it");
                return Err(Error::damaged(message));
            }
            for slot in needless {
                theirs.bucket.drop_key(slot);
            }
            let bucket = theirs.bucket.to_text().map_err(|cause| Error::format(format_args!("pack {id}"), cause))?;
            let wrapping = project_epoch_key(tx, tx.keyring, pool.project)?;
            let old = tx.keys_of(id)?;
            change(tx, pool, id)?;
            let key = tx.draw_key(id, Purpose::Bucket, &wrapping)?;
            tx.put(ObjectKey::new(Kind::Bucket, id, 0), None, &key, &bucket, Cover::Root)?;
            for key in old {
                tx.remove_key(key.id)?;
            }
            if mine.is_none() {
                tx.place_object(&row)?;
                put_away(tx, id, &Away { bytes, time: tx.io.wall_us(), ..there.clone() })?;
            }
        }
        pool.forget();
        Ok(())
    }
}

/// Finds packs of another device in which chunks lie that lie no more where they did; none if it has none of them.
pub(crate) fn moved(
    (tx, keyring): (&ReadTx<'_>, &Keyring),
    pool: &Pool,
    wanted: &HashSet<ChunkId>,
) -> Result<Option<Told>> {
    pool.refresh(tx, keyring)?;
    let (mut packs, mut found) = (HashSet::new(), HashSet::new());
    for chunk in wanted {
        for pack in pool.candidates(*chunk) {
            if PackData::load(tx, keyring, &pool.key, pack)?.is_some_and(|data| data.has(*chunk)) {
                packs.insert(pack);
                found.insert(*chunk);
                break;
            }
        }
    }
    match found.is_empty() {
        true => Ok(None),
        false => Told::of_packs(tx, keyring, pool, &packs, found).map(Some),
    }
}
