//! Making packs known to the database.

use runcellar_format::DeviceId;
use runcellar_format::record::{Change, ChangeKind};
use runcellar_format::seal::Kind;

use super::seal::Local;
use super::{Put, ReadyPack};
use crate::blob::give_up;
use crate::blob::pool::{Pool, project_epoch_key};
use crate::db::{Cover, ObjectKey, WriteTx};
use crate::keys::Purpose;
use crate::workspace::Inner;
use crate::{Error, ErrorKind, Result};

/// What became of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entered {
    /// Its packs are known, and the chunks that it relies on are there.
    Yes,
    /// Chunks that it found have gone meanwhile: put it again. What it wrote itself is found then.
    Stale,
}

impl Put {
    /// Makes the packs of a put known, in the transaction that writes its manifest; that is to be committed in any case.
    pub(crate) fn commit(&self, tx: &mut WriteTx<'_>, pool: &Pool) -> Result<Entered> {
        let entered = enter(tx, pool, &self.ready)?;
        let mut is_stale = entered.is_none();
        for (pack, version) in &self.relied_on {
            let bucket = tx.object(ObjectKey::new(Kind::Bucket, *pack, 0))?;
            let is_there = bucket.is_some_and(|row| (row.device, row.seq) == *version);
            is_stale |= !is_there || tx.object(ObjectKey::new(Kind::Pack, *pack, 0))?.is_none();
        }
        if is_stale {
            pool.forget();
            return Ok(Entered::Stale);
        }
        // All of it lies in packs of this put now, or in others that it relies on.
        give_up(tx, pool, &self.damaged)?;
        Ok(Entered::Yes)
    }

    /// Takes the packs into the index, after the commit.
    pub(crate) fn committed(&self, pool: &Pool) {
        entered(pool, &mut Local::default(), &self.ready);
    }
}

/// Writes the rows of packs: buckets under keys of their own, and directories. Returns the version of the buckets; none if a
/// pack was swept away meanwhile, as nothing referred to it, and then nothing is written.
///
/// Who sweeps holds the lock of this transaction while it looks and removes.
pub(super) fn enter(tx: &mut WriteTx<'_>, pool: &Pool, packs: &[ReadyPack]) -> Result<Option<(DeviceId, u64)>> {
    if packs.iter().any(|pack| tx.io.identity(&pack.path).is_err()) {
        return Ok(None);
    }
    if packs.is_empty() {
        return Ok(Some(tx.version()));
    }
    let wrapping = project_epoch_key(tx, tx.keyring, pool.project)?;
    let clock = tx.next_clock();
    let list = packs.iter().flat_map(|pack| pack.id.0).collect();
    let extra = vec![(crate::blob::PACKS_FIELD, list)];
    let change = Change { clock, kind: ChangeKind::AddPacks, object: pool.project.0, fields: Vec::new(), extra };
    tx.change(&pool.key, &change)?;
    for pack in packs {
        let key = tx.draw_key(pack.id, Purpose::Bucket, &wrapping)?;
        let bucket = pack.bucket.to_text().map_err(|cause| Error::format(format_args!("pack {}", pack.id), cause))?;
        tx.put(ObjectKey::new(Kind::Bucket, pack.id, 0), None, &key, &bucket, Cover::Root)?;
        tx.put_sealed(ObjectKey::new(Kind::Pack, pack.id, 0), &pack.directory)?;
    }
    Ok(Some(tx.version()))
}

/// Takes packs that were committed into the index.
pub(super) fn entered(pool: &Pool, local: &mut Local, packs: &[ReadyPack]) {
    let mut index = pool.index();
    for pack in packs {
        index.add(pack.id, pack.entries.iter().map(|entry| entry.id));
        if let Some(chunks) = local.pending.remove(&pack.id) {
            for chunk in chunks.iter() {
                local.pending_chunks.remove(chunk);
            }
        }
    }
}

/// Makes known what a put wrote that has failed, so that the next one finds it; what cannot be made known is removed.
pub(super) fn keep(inner: &Inner, pool: &Pool, ready: Vec<ReadyPack>) {
    if ready.is_empty() {
        return;
    }
    if let Ok(Some(_)) = inner.write(None, |tx| enter(tx, pool, &ready)) {
        return;
    }
    for pack in ready {
        // A commit that is reported as failed may have happened: only who can look knows.
        let row = inner.read(|tx, _| tx.object(ObjectKey::new(Kind::Pack, pack.id, 0)));
        if matches!(row, Ok(None)) {
            // What stays is swept away later.
            let _ = inner.io.remove(&pack.path);
        }
    }
}

/// Packs were removed while their put was under way.
pub(super) fn gone() -> Error {
    Error::new(ErrorKind::Busy, "packs were swept away while they were written: collect garbage when nothing is put")
}
