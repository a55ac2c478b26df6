//! Packs whose files were evicted: a remote has them, as was proven, and their directory and keys are here.
//!
//! The row says that a file may be missing. One that is there is read whatever the row says: a crash between the two leaves
//! both. docs/FORMAT.md, "Evicted packs".

use runcellar_format::ObjectId;
use runcellar_format::record::{Away, Body as _};
use runcellar_format::seal::Kind;

use super::pack::pack_path;
use crate::db::{Cover, ObjectKey, ObjectRow, ReadTx, WriteTx};
use crate::keys::{Keyring, Purpose};
use crate::workspace::Inner;
use crate::{Error, Result};

fn key_of(pack: ObjectId) -> ObjectKey {
    ObjectKey::new(Kind::Away, pack, 0)
}

fn read(tx: &ReadTx<'_>, keyring: &Keyring, row: &ObjectRow) -> Result<Away> {
    let body = tx.open_object(keyring, row)?;
    Away::from_body(&body).map_err(|cause| Error::format(format_args!("evicted pack {}", row.key.id), cause))
}

/// Returns where a pack lies that was evicted; none if it was not.
pub(crate) fn away_of(tx: &ReadTx<'_>, keyring: &Keyring, pack: ObjectId) -> Result<Option<Away>> {
    tx.object(key_of(pack))?.map(|row| read(tx, keyring, &row)).transpose()
}

/// Returns all packs that were evicted.
pub(crate) fn all_away(tx: &ReadTx<'_>, keyring: &Keyring) -> Result<Vec<(ObjectId, Away)>> {
    tx.objects(Kind::Away, None)?.iter().map(|row| Ok((row.key.id, read(tx, keyring, row)?))).collect()
}

/// Returns whether a pack was evicted.
pub(crate) fn is_away(tx: &ReadTx<'_>, pack: ObjectId) -> Result<bool> {
    Ok(tx.object(key_of(pack))?.is_some())
}

/// Returns whether the file of a pack is here.
pub(crate) fn has_file(inner: &Inner, pack: ObjectId) -> bool {
    inner.io.identity(&pack_path(&inner.path, pack)).is_ok()
}

/// Says where a pack lies: its file may go now.
pub(crate) fn put_away(tx: &mut WriteTx<'_>, pack: ObjectId, away: &Away) -> Result<()> {
    let body = away.to_body().map_err(|cause| Error::format(format_args!("evicted pack {pack}"), cause))?;
    let control = tx.workspace_key(tx.keyring, Purpose::Control)?;
    tx.put(key_of(pack), None, &control, &body, Cover::Root)?;
    Ok(())
}

/// Says that a pack is here again, or gone for good.
pub(crate) fn not_away(tx: &mut WriteTx<'_>, pack: ObjectId) -> Result<()> {
    tx.remove_object(key_of(pack)).map(drop)
}
