//! What one device has published on one remote: a database of its rows, as they are.
//!
//! `remotes/<remote>/<prefix>/cellar.db` has the tables of a workspace's cellar.db and is opened with its keys, so that
//! everything that reads a workspace reads a replica. Its own root row, sealed here, counts what the device published.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use runcellar_format::ObjectId;
use runcellar_format::record::{Body, ReplicaCursor, RootRow};
use runcellar_format::seal::{Kind, OwnerKey};

use super::record::load;
use super::waste;
use crate::db::{self, Access, Cover, EpochRow, FILE_NAME, ObjectKey, ObjectRow, ReadTx, WORKSPACE_OWNER, WriteTx};
use crate::io::{self, Io};
use crate::keys::{KeyRow, Keyring, Purpose};
use crate::workspace::{Inner, JOURNALS, PACKS, REMOTES, TMP};
use crate::{Error, Result, Workspace};

/// A database in the making.
const NEW: &str = "new.db";

/// Keys of the workspace as a whole, which every device has from its beginning; all but those of ingest are never replaced.
const BASE: [Purpose; 5] = [Purpose::Lookup, Purpose::Control, Purpose::Integrity, Purpose::Settings, Purpose::Ingest];

/// Epochs and keys on which every replica rests.
pub(super) struct Base {
    pub(super) epochs: Vec<EpochRow>,
    pub(super) keys: Vec<KeyRow>,
}

impl Base {
    pub(super) fn read(tx: &ReadTx<'_>) -> Result<Base> {
        let mut keys = tx.keys_of(WORKSPACE_OWNER)?;
        keys.retain(|row| BASE.iter().any(|purpose| row.purpose == *purpose as u8));
        keys.sort_by_key(|row| row.id);
        Ok(Base { epochs: tx.epochs()?, keys })
    }
}

/// A replica that is open.
pub(super) struct Replica {
    pub(super) prefix: ObjectId,
    pub(super) workspace: Workspace,
    integrity: Arc<OwnerKey>,
}

/// Returns the folder of a remote.
pub(super) fn folder(inner: &Inner, remote: ObjectId) -> PathBuf {
    inner.path.join(REMOTES).join(remote.to_string())
}

impl Replica {
    /// Opens a replica, if it is there. One whose rows hang from a root key that was replaced loses them: it knows how far
    /// its device was, and waits for what that publishes under the new one.
    ///
    /// Only who has the remote to itself may do that; for others such a replica is not there.
    pub(super) fn open(inner: &Inner, remote: ObjectId, prefix: ObjectId, is_held: bool) -> Result<Option<Replica>> {
        let path = folder(inner, remote).join(prefix.to_string());
        match inner.io.identity(&path.join(FILE_NAME)) {
            Ok(_) => {}
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(Error::io("open", &path.join(FILE_NAME), cause)),
        }
        let replica = Replica::at(inner, prefix, &path)?;
        match replica.is_of_epoch(inner)? {
            true => Ok(Some(replica)),
            false if !is_held => Ok(None),
            false => {
                let at = replica.cursor()?;
                // Where this device published before, if the remote was removed since, is as any other's.
                let remotes = inner.read(load)?;
                if remotes.all.iter().any(|known| (known.id, known.prefix) == (remote.0, prefix.0)) {
                    return replica.begin_generation(inner).map(Some);
                }
                replica.renewed(inner, &at).map(Some)
            }
        }
    }

    /// Empties one's own: all is published anew, as a generation of its own, and then what was published before is deleted.
    pub(super) fn begin_generation(self, inner: &Inner) -> Result<Replica> {
        let mut at = self.cursor()?;
        at.set_first(at.number + 1);
        let told = self.inner().read(|tx, _| tx.object_ids(Kind::Pack))?;
        let mut packs: BTreeSet<[u8; 16]> = at.old_packs().into_iter().collect();
        packs.extend(told.iter().map(|pack| pack.0));
        // Whatever was to wait, too: what was purged may lie in it.
        packs.extend(waste::take(&mut at)?.packs.iter().map(|pack| pack.id));
        at.set_old_packs(&Vec::from_iter(packs));
        at.counter = 0;
        self.renewed(inner, &at)
    }

    fn at(inner: &Inner, prefix: ObjectId, path: &Path) -> Result<Replica> {
        let integrity = inner.read(|tx, keyring| tx.integrity_key(keyring))?;
        Ok(Replica { prefix, workspace: inner.replica_at(path)?, integrity })
    }

    /// Returns whether its rows hang from the live root key.
    pub(super) fn is_of_epoch(&self, inner: &Inner) -> Result<bool> {
        let live = inner.read(|tx, _| Ok(tx.epoch().id))?;
        Ok(self.inner().read(|tx, _| Ok(tx.epoch().id))? == live)
    }

    /// Opens a replica, or makes an empty one. Whoever calls this has the remote to itself.
    pub(super) fn open_or_make(inner: &Inner, remote: ObjectId, prefix: ObjectId, device: [u8; 16]) -> Result<Replica> {
        if let Some(there) = Replica::open(inner, remote, prefix, true)? {
            return Ok(there);
        }
        let io = &*inner.io;
        let path = folder(inner, remote).join(prefix.to_string());
        let above = [inner.path.join(REMOTES), folder(inner, remote), path.clone()];
        for directory in above.into_iter().chain([JOURNALS, PACKS, TMP].map(|name| path.join(name))) {
            io::create_dir_durable(io, &directory).map_err(|cause| Error::io("create", &directory, cause))?;
        }
        make(inner, &path, prefix, &ReplicaCursor { device, ..ReplicaCursor::default() })?;
        Replica::at(inner, prefix, &path)
    }

    /// Puts one without rows in its place, that hangs from the live root key.
    pub(super) fn renewed(self, inner: &Inner, at: &ReplicaCursor) -> Result<Replica> {
        let (prefix, path) = (self.prefix, self.inner().path.clone());
        // A log that stays behind would be taken for that of the new file.
        self.inner().empty_log()?;
        drop(self);
        make(inner, &path, prefix, at)?;
        Replica::at(inner, prefix, &path)
    }

    /// Lists all replicas of a remote as they are, whichever root key they hang from: only [`Replica::cursor`] can be relied
    /// on.
    pub(super) fn all(inner: &Inner, remote: ObjectId) -> Result<Vec<Replica>> {
        let folder = folder(inner, remote);
        let is_made = |prefix: &ObjectId| inner.io.identity(&folder.join(prefix.to_string()).join(FILE_NAME)).is_ok();
        let made = prefixes(inner, remote)?.into_iter().filter(is_made);
        made.map(|prefix| Replica::at(inner, prefix, &folder.join(prefix.to_string()))).collect()
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.workspace.inner
    }

    /// Reads how far it is, whichever root key it hangs from: the integrity key is always the same.
    pub(super) fn cursor(&self) -> Result<ReplicaCursor> {
        let inner = self.inner();
        inner.read(|tx, _| {
            let row = cursor_row(tx, self.prefix)?;
            let place = row.place(inner.id);
            let body = self.integrity.open(&place, &row.body);
            read_cursor(
                self.prefix,
                &body.map_err(|cause| Error::format(format_args!("replica {}", self.prefix), cause))?,
            )
        })
    }
}

/// Makes an empty replica, in the place of one that may be there.
fn make(inner: &Inner, path: &Path, prefix: ObjectId, at: &ReplicaCursor) -> Result<()> {
    let io = &*inner.io;
    let (new, database) = (path.join(NEW), path.join(FILE_NAME));
    for name in [NEW, "new.db-wal", "new.db-shm"] {
        remove_if_there(io, &path.join(name))?;
    }
    io.create_new(&new).map_err(|cause| Error::io("create", &new, cause))?;
    inner.read(|tx, keyring| {
        let base = Base::read(tx)?;
        db::create(&new, Access::Shared, |transaction| {
            let root = RootRow { device: at.device, lineage: prefix.0, next_device_seq: 1, ..RootRow::default() };
            let mut made = WriteTx::begin_replica(transaction, keyring, io, (&base.epochs, &base.keys), root)?;
            put_cursor(&mut made, prefix, at)?;
            made.finish().map(drop)
        })
    })?;
    for name in ["-wal", "-shm"] {
        remove_if_there(io, &path.join(format!("{FILE_NAME}{name}")))?;
    }
    io.rename(&new, &database).map_err(|cause| Error::io("create", &database, cause))?;
    io.sync_dir(path).map_err(|cause| Error::io("sync", path, cause))
}

/// Lists the prefixes of the replicas of a remote.
pub(super) fn prefixes(inner: &Inner, remote: ObjectId) -> Result<Vec<ObjectId>> {
    let folder = folder(inner, remote);
    let names = match inner.io.list(&folder) {
        Ok(names) => names,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(cause) => return Err(Error::io("list", &folder, cause)),
    };
    let prefix = |name: &PathBuf| name.file_name().and_then(|name| name.to_str()).and_then(ObjectId::from_hex);
    let mut prefixes: Vec<ObjectId> = names.iter().filter_map(prefix).collect();
    prefixes.sort_unstable();
    Ok(prefixes)
}

fn remove_if_there(io: &dyn Io, path: &Path) -> Result<()> {
    match io.remove(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, cause)),
        _ => Ok(()),
    }
}

/// Reads how far a replica is.
pub(super) fn cursor(tx: &ReadTx<'_>, keyring: &Keyring, prefix: ObjectId) -> Result<ReplicaCursor> {
    read_cursor(prefix, &tx.open_object(keyring, &cursor_row(tx, prefix)?)?)
}

fn cursor_row(tx: &ReadTx<'_>, prefix: ObjectId) -> Result<ObjectRow> {
    let row = tx.object(ObjectKey::new(Kind::Remote, prefix, 0))?;
    row.ok_or_else(|| Error::damaged(format!("replica {prefix}: how far it is does not stand in it")))
}

fn read_cursor(prefix: ObjectId, body: &[u8]) -> Result<ReplicaCursor> {
    ReplicaCursor::from_body(body).map_err(|cause| Error::format(format_args!("replica {prefix}"), cause))
}

/// Writes how far a replica is. What a device published does not count this row.
pub(super) fn put_cursor(tx: &mut WriteTx<'_>, prefix: ObjectId, cursor: &ReplicaCursor) -> Result<()> {
    let key = tx.workspace_key(tx.keyring, Purpose::Integrity)?;
    let body = cursor.to_body().map_err(|cause| Error::format(format_args!("replica {prefix}"), cause))?;
    tx.put(ObjectKey::new(Kind::Remote, prefix, 0), None, &key, &body, Cover::Head)?;
    Ok(())
}
