//! What one device has published on one remote: a database of its rows, as they are.
//!
//! `remotes/<remote>/<prefix>/cellar.db` has the tables of a workspace's cellar.db and is opened with its keys, so that
//! everything that reads a workspace reads a replica. Its own root row, sealed here, counts what the device published.

use std::path::PathBuf;

use runcellar_format::ObjectId;
use runcellar_format::record::{Body, ReplicaCursor, RootRow};
use runcellar_format::seal::Kind;

use crate::db::{self, Access, Cover, EpochRow, FILE_NAME, ObjectKey, ReadTx, WORKSPACE_OWNER, WriteTx};
use crate::io::{self, Io};
use crate::keys::{KeyRow, Keyring, Purpose};
use crate::workspace::{Inner, JOURNALS, PACKS, REMOTES, TMP};
use crate::{Error, Result, Workspace};

/// A database in the making.
const NEW: &str = "new.db";

/// Keys of the workspace as a whole, which every device has from its beginning; none of them is ever replaced.
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
}

/// Returns the folder of a remote.
pub(super) fn folder(inner: &Inner, remote: ObjectId) -> PathBuf {
    inner.path.join(REMOTES).join(remote.to_string())
}

impl Replica {
    /// Opens a replica, if it is there.
    pub(super) fn open(inner: &Inner, remote: ObjectId, prefix: ObjectId) -> Result<Option<Replica>> {
        let path = folder(inner, remote).join(prefix.to_string());
        match inner.io.identity(&path.join(FILE_NAME)) {
            Ok(_) => Ok(Some(Replica { prefix, workspace: inner.replica_at(&path)? })),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(Error::io("open", &path.join(FILE_NAME), cause)),
        }
    }

    /// Opens a replica, or makes an empty one.
    pub(super) fn open_or_make(inner: &Inner, remote: ObjectId, prefix: ObjectId, device: [u8; 16]) -> Result<Replica> {
        if let Some(there) = Replica::open(inner, remote, prefix)? {
            return Ok(there);
        }
        let io = &*inner.io;
        let path = folder(inner, remote).join(prefix.to_string());
        let above = [inner.path.join(REMOTES), folder(inner, remote), path.clone()];
        for directory in above.into_iter().chain([JOURNALS, PACKS, TMP].map(|name| path.join(name))) {
            io::create_dir_durable(io, &directory).map_err(|cause| Error::io("create", &directory, cause))?;
        }
        let (new, database) = (path.join(NEW), path.join(FILE_NAME));
        for name in [NEW, "new.db-wal", "new.db-shm"] {
            remove_if_there(io, &path.join(name))?;
        }
        io.create_new(&new).map_err(|cause| Error::io("create", &new, cause))?;
        inner.read(|tx, keyring| {
            let base = Base::read(tx)?;
            db::create(&new, Access::Shared, |transaction| {
                let root = RootRow { device, lineage: prefix.0, next_device_seq: 1, ..RootRow::default() };
                let mut made = WriteTx::begin_replica(transaction, keyring, io, (&base.epochs, &base.keys), root)?;
                put_cursor(&mut made, prefix, &ReplicaCursor { device, ..ReplicaCursor::default() })?;
                made.finish().map(drop)
            })
        })?;
        io.rename(&new, &database).map_err(|cause| Error::io("create", &database, cause))?;
        io.sync_dir(&path).map_err(|cause| Error::io("sync", &path, cause))?;
        Ok(Replica { prefix, workspace: inner.replica_at(&path)? })
    }

    /// Lists the replicas of a remote that are there, but for one.
    pub(super) fn others(inner: &Inner, remote: ObjectId, own: ObjectId) -> Result<Vec<Replica>> {
        let folder = folder(inner, remote);
        let names = match inner.io.list(&folder) {
            Ok(names) => names,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(cause) => return Err(Error::io("list", &folder, cause)),
        };
        let prefix = |name: &PathBuf| name.file_name().and_then(|name| name.to_str()).and_then(ObjectId::from_hex);
        let mut prefixes: Vec<ObjectId> = names.iter().filter_map(prefix).filter(|prefix| *prefix != own).collect();
        prefixes.sort_unstable();
        let open = |prefix| Replica::open(inner, remote, prefix).transpose();
        prefixes.into_iter().filter_map(open).collect()
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.workspace.inner
    }

    pub(super) fn cursor(&self) -> Result<ReplicaCursor> {
        self.inner().read(|tx, keyring| cursor(tx, keyring, self.prefix))
    }
}

fn remove_if_there(io: &dyn Io, path: &std::path::Path) -> Result<()> {
    match io.remove(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, cause)),
        _ => Ok(()),
    }
}

/// Reads how far a replica is.
pub(super) fn cursor(tx: &ReadTx<'_>, keyring: &Keyring, prefix: ObjectId) -> Result<ReplicaCursor> {
    let row = tx.object(ObjectKey::new(Kind::Remote, prefix, 0))?;
    let row = row.ok_or_else(|| Error::damaged(format!("replica {prefix}: how far it is does not stand in it")))?;
    let body = tx.open_object(keyring, &row)?;
    ReplicaCursor::from_body(&body).map_err(|cause| Error::format(format_args!("replica {prefix}"), cause))
}

/// Writes how far a replica is. What a device published does not count this row.
pub(super) fn put_cursor(tx: &mut WriteTx<'_>, prefix: ObjectId, cursor: &ReplicaCursor) -> Result<()> {
    let key = tx.workspace_key(tx.keyring, Purpose::Integrity)?;
    let body = cursor.to_body().map_err(|cause| Error::format(format_args!("replica {prefix}"), cause))?;
    tx.put(ObjectKey::new(Kind::Remote, prefix, 0), None, &key, &body, Cover::Head)?;
    Ok(())
}
