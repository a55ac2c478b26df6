//! Making a workspace, in an order that leaves nothing half made and lets racing creators end in one.
//!
//! Key file, then the whole database under a temporary name, then `keyslots` by link(2), which decides: the loser of
//! a race removes what it made and opens the winner's. Last the database takes its name; whoever finds `keyslots`
//! without cellar.db and the temporary database of that workspace finishes this. docs/ARCHITECTURE.md, "Creation".

use std::path::{Path, PathBuf};

use runcellar_format::keyslots::{
    Device, Epoch, FILE_BYTES_MAX, IngestPublic, Keyslots, Slot, SlotKind, SlotSecret, format_recovery_code,
};
use runcellar_format::pair::Pair;
use runcellar_format::record::{Body, RootRow, Settings, SlotInfo};
use runcellar_format::seal::{Kind, checksum};
use runcellar_format::{DeviceId, EpochId, Secret, SlotId, WorkspaceId};
use zeroize::Zeroizing;

use super::network::Place;
use super::{JOURNALS, KEYSLOTS, OpenOptions, PACKS, TMP};
use crate::db::{self, Access, Cover, EpochRow, ObjectKey, WORKSPACE_OWNER, WriteTx};
use crate::io::{self, Io};
use crate::keys::{self, EpochKeys, Keyring, Keys, NewEntry, Opened, Purpose, Search};
use crate::os::{self, FileSystem};
use crate::{Error, ErrorKind, Result};

/// What was made with a new workspace.
#[derive(Debug, Clone)]
pub struct Creation {
    /// The key file.
    pub key_file: PathBuf,
    /// The recovery code, if one was asked for: shown once, kept nowhere.
    pub recovery_code: Option<String>,
    /// Why the key file may not last as long as the data, and how to mend it.
    pub warning: Option<String>,
}

/// Makes a workspace at `path`; `None` if another process made one there first.
pub(super) fn create(
    io: &dyn Io,
    path: &Path,
    keys: &Keys,
    homeless: bool,
    recovery: bool,
    access: Access,
) -> Result<Option<Creation>> {
    if !is_free(io, path)? {
        return Ok(None);
    }
    let failed = |doing: &'static str| move |cause| Error::io(doing, path, cause);
    for directory in [path.to_owned()].into_iter().chain(directories(path)) {
        io::create_dir_durable(io, &directory).map_err(|cause| Error::io("create workspace", &directory, cause))?;
    }
    let mut new = NewWorkspace::draw(io)?;
    let recovery_code = recovery.then(|| new.add_recovery_slot(io)).transpose()?;
    let key_file = new.write_key_file(io, keys)?;
    let temporary = path.join(TMP).join(format!("{}.{KEYSLOTS}", new.keyslots.workspace));
    let discard = |error| {
        // The creation failed or lost a race; what it made is removed as far as it goes, and the cause reported.
        let _ = match &keys.file {
            Some(shared) => keys::remove_entry(io, shared, new.slot).is_ok(),
            None => io.remove(&key_file).is_ok(),
        };
        let _ = io.remove(&temporary);
        let _ = io.remove(&new.temporary_db(path));
        error
    };
    let bytes = new.keyslots.encode(&[&new.epoch_key]).map_err(|cause| Error::format("keyslots", cause))?;
    let database = new.temporary_db(path);
    // SQLite gives a file that it makes to whom the umask says, and the files beside it the mode of this one.
    io.create_new(&database).map(drop).map_err(|cause| discard(Error::io("create", &database, cause)))?;
    db::create(&database, access, |transaction| new.fill(io, transaction, &bytes)).map_err(discard)?;
    if access == Access::Published {
        let synced = io.open(&database).and_then(|file| file.sync());
        synced.map_err(failed("write the database in")).map_err(discard)?;
    }
    io::write_new(io, &temporary, &bytes).map_err(failed("write keyslots in")).map_err(discard)?;
    // If this fails, nobody knows whether the workspace is there: the key stays, as it may be the only one.
    if !link_or_rename(io, &temporary, &path.join(KEYSLOTS), &bytes).map_err(failed("write keyslots in"))? {
        let _ = discard(Error::invalid(String::new()));
        return Ok(None);
    }
    io.sync_dir(path).map_err(failed("sync"))?;
    finish(io, path, new.keyslots.workspace, access)?;
    let warning = placement_warning(path, &key_file, homeless);
    Ok(Some(Creation { key_file, recovery_code, warning }))
}

fn directories(path: &Path) -> [PathBuf; 3] {
    [JOURNALS, PACKS, TMP].map(|name| path.join(name))
}

/// What another device gives to a new one: the ways to unlock the workspace.
pub(crate) struct Foundation<'a> {
    /// The file `keyslots`.
    pub(crate) keyslots: &'a Keyslots,
    /// Its bytes.
    pub(crate) bytes: &'a [u8],
}

impl Foundation<'_> {
    /// Makes a workspace at `path` whose database `fill` makes. It is there when this returns, and not before; returns what
    /// opened it.
    pub(crate) fn lay(
        &self,
        path: &Path,
        options: &OpenOptions,
        fill: impl FnOnce(&Keyring, &rusqlite::Transaction<'_>) -> Result<()>,
    ) -> Result<(Opened, EpochKeys)> {
        let (io, workspace) = (&*options.io, self.keyslots.workspace);
        let access = Place::find(path, options.file_system).access();
        let (opened, epochs) = Search::new(io, &options.keys).unlock(self.keyslots, self.bytes)?;
        for directory in [path.to_owned()].into_iter().chain(directories(path)) {
            io::create_dir_durable(io, &directory).map_err(|cause| Error::io("create workspace", &directory, cause))?;
        }
        let (database, temporary) =
            (temporary_db(path, workspace), path.join(TMP).join(format!("{workspace}.{KEYSLOTS}")));
        for left in [&database, &temporary] {
            // Of one that was cut off.
            let _ = io.remove(left);
        }
        io.create_new(&database).map_err(|cause| Error::io("create", &database, cause))?;
        let again = epochs.iter().map(|(id, key)| (*id, key.duplicate())).collect();
        let keyring = Keyring::new(workspace, epochs, None);
        db::create(&database, access, |transaction| fill(&keyring, transaction))?;
        let failed = |cause| Error::io("write keyslots in", path, cause);
        io::write_new(io, &temporary, self.bytes).map_err(failed)?;
        if !link_or_rename(io, &temporary, &path.join(KEYSLOTS), self.bytes).map_err(failed)? {
            return Err(Error::new(ErrorKind::Exists, format!("{}: something is there already", path.display())));
        }
        io.sync_dir(path).map_err(|cause| Error::io("sync", path, cause))?;
        finish(io, path, workspace, access)?;
        Ok((opened, again))
    }
}

/// Makes directories that are missing: some tools that copy and restore leave empty ones out.
pub(super) fn restore_directories(io: &dyn Io, path: &Path) {
    for directory in directories(path) {
        if io.identity(&directory).is_err_and(|cause| cause.kind() == std::io::ErrorKind::NotFound) {
            // Where nothing can be written nothing needs them; else the first use says what is wrong.
            let _ = io::create_dir_durable(io, &directory);
        }
    }
}

/// Gives the database of a workspace its name, if that is still to be done.
pub(super) fn finish(io: &dyn Io, path: &Path, workspace: WorkspaceId, access: Access) -> Result<()> {
    let (temporary, database) = (temporary_db(path, workspace), path.join(db::FILE_NAME));
    if io.identity(&database).is_ok() {
        return Ok(());
    }
    match io.rename(&temporary, &database) {
        Ok(()) => io.sync_dir(path).map_err(|cause| Error::io("sync", path, cause)),
        // Another process renamed it in between.
        Err(_) if io.identity(&database).is_ok() => Ok(()),
        Err(_) if access == Access::Published && db::patiently(&database, || io.identity(&database)).is_ok() => Ok(()),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            let message = format!(
                "workspace {}: cellar.db is missing; restore it from a backup (the journals and packs are kept)",
                path.display()
            );
            Err(Error::damaged(message))
        }
        Err(cause) => Err(Error::io("create", &database, cause)),
    }
}

fn temporary_db(path: &Path, workspace: WorkspaceId) -> PathBuf {
    path.join(TMP).join(format!("{workspace}.db"))
}

/// Puts `from`, which holds `bytes`, at `to` unless something is there. Where links fail, a lock makes looking and
/// renaming one step. A call that fails may have done its work (NFS repeats requests), so the content decides.
fn link_or_rename(io: &dyn Io, from: &Path, to: &Path, bytes: &[u8]) -> std::io::Result<bool> {
    let ours = || match io.read(to, FILE_BYTES_MAX as u64) {
        Ok(found) => Ok(Some(found == bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    let won = match io.link(from, to) {
        Ok(()) => true,
        Err(_) => match ours()? {
            Some(ours) => ours,
            None => {
                let lock_path = to.with_extension("lock");
                let lock = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(lock_path)?;
                match os::lock_wait(&lock) {
                    // Without locks either, two creators of the same moment are told apart by what stays.
                    Err(error) if error.kind() == std::io::ErrorKind::Unsupported => {}
                    locked => locked?,
                }
                match ours()? {
                    Some(ours) => ours,
                    None => match io.rename(from, to) {
                        Err(error) if ours()? != Some(true) => return Err(error),
                        _ => true,
                    },
                }
            }
        },
    };
    // A second name in tmp/ is noted by `check` and harms nobody.
    let _ = io.remove(from);
    Ok(won)
}

/// Refuses a file in the workspace's place, and a workspace that lost its keyslots; false if another process has made
/// one here meanwhile.
fn is_free(io: &dyn Io, path: &Path) -> Result<bool> {
    if path.exists() && !path.is_dir() {
        return Err(Error::new(ErrorKind::Exists, format!("{}: a file is in the workspace's place", path.display())));
    }
    if path.is_dir() {
        super::open::owned(path)?;
        if path.join(db::FILE_NAME).exists() {
            // keyslots comes before cellar.db, so looking in this order tells a race from a loss.
            if io.identity(&path.join(KEYSLOTS)).is_ok() {
                return Ok(false);
            }
            let message = format!(
                "workspace {}: cellar.db is there but keyslots is missing; restore it from a backup",
                path.display()
            );
            return Err(Error::damaged(message));
        }
    }
    Ok(true)
}

/// Everything drawn for a new workspace, before any of it is written.
struct NewWorkspace {
    keyslots: Keyslots,
    slot: SlotId,
    epoch_key: Secret,
    /// Wiped once it is in the key file.
    secret: Secret,
    slots: Vec<SlotInfo>,
    ingest: (keys::KeyRow, Keyring),
}

impl NewWorkspace {
    fn draw(io: &dyn Io) -> Result<Self> {
        let workspace = WorkspaceId(io::random(io)?);
        let epoch = Epoch { number: 1, id: EpochId(io::random(io)?), parent: EpochId::NIL };
        let epoch_key = Secret::new(io::random(io)?);
        let slot = SlotId(io::random(io)?);
        let secret = Secret::new(io::random(io)?);
        let slot_secret = SlotSecret::key_file(secret.duplicate());
        let sealed =
            Slot::new(workspace, slot, SlotKind::KeyFile, &slot_secret, (epoch.id, &epoch_key), io::random(io)?)
                .map_err(|cause| Error::format("slot", cause))?;
        let keyring = Keyring::new(workspace, vec![(epoch.id, epoch_key.duplicate())], None);
        let wrapping = keyring.epoch_key(epoch.id)?;
        let (row, key) = keyring.draw(io, WORKSPACE_OWNER, Purpose::Ingest, epoch.id, &wrapping)?;
        let ingest = IngestPublic { generation: 1, public: Pair::derive(key.secret(), &key.id().0).public() };
        let devices = vec![Device { id: DeviceId(io::random(io)?), slot, signing: [0; 32] }];
        let keyslots = Keyslots { workspace, version: 1, epochs: vec![epoch], ingest, devices, slots: vec![sealed] };
        let slots = vec![SlotInfo { slot: slot.0, name: os::host_name(), created: io.wall_us() }];
        Ok(NewWorkspace { keyslots, slot, epoch_key, secret, slots, ingest: (row, keyring) })
    }

    fn temporary_db(&self, path: &Path) -> PathBuf {
        temporary_db(path, self.keyslots.workspace)
    }

    fn add_recovery_slot(&mut self, io: &dyn Io) -> Result<String> {
        let code = Zeroizing::new(io::random::<20>(io)?);
        let (workspace, epoch) = (self.keyslots.workspace, self.keyslots.epochs[0].id);
        let (secret, id) = (SlotSecret::recovery(&code), SlotId(io::random(io)?));
        let slot = Slot::new(workspace, id, SlotKind::Recovery, &secret, (epoch, &self.epoch_key), io::random(io)?)
            .map_err(|cause| Error::format("slot", cause))?;
        self.keyslots.slots.push(slot);
        self.slots.push(SlotInfo { slot: id.0, name: "recovery code".into(), created: io.wall_us() });
        Ok(format_recovery_code(&code))
    }

    fn write_key_file(&self, io: &dyn Io, keys: &Keys) -> Result<PathBuf> {
        let (workspace, slot) = (self.keyslots.workspace, self.slot);
        let epoch = self.keyslots.epochs[0].id;
        let entry = NewEntry { workspace, slot, epoch, secret: self.secret.duplicate() };
        entry.write(io, keys.file.as_deref(), keys.directory.as_deref())
    }

    fn fill(&self, io: &dyn Io, transaction: &rusqlite::Transaction<'_>, keyslots: &[u8]) -> Result<()> {
        let epoch = self.keyslots.epochs[0];
        let row = EpochRow { number: epoch.number, id: epoch.id, parent: epoch.parent };
        let root = RootRow {
            lineage: io::random(io)?,
            device: self.keyslots.devices[0].id.0,
            next_device_seq: 1,
            keyslots_version: self.keyslots.version,
            keyslots_hash: checksum(keyslots),
            ..RootRow::default()
        };
        let mut tx = WriteTx::begin_new(transaction, &self.ingest.1, io, row, root, self.ingest.0.clone())?;
        let key = tx.workspace_key(&self.ingest.1, Purpose::Settings)?;
        let settings = Settings { slots: self.slots.clone(), ..Settings::default() };
        let body = settings.to_body().map_err(|cause| Error::format("settings", cause))?;
        tx.put(ObjectKey::new(Kind::Settings, WORKSPACE_OWNER, 0), None, &key, &body, Cover::Root)?;
        tx.finish().map(|_| ())
    }
}

/// Says why the key may die before the data, or with it.
fn placement_warning(path: &Path, key_file: &Path, homeless: bool) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let device = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.dev()).ok();
    let directory = key_file.parent().unwrap_or(Path::new("."));
    let reason = match os::mount_of(directory).map(|mount| mount.kind) {
        _ if homeless => "HOME is not set",
        Ok(FileSystem::Overlay) => "the key file lies on a container's overlay",
        Ok(FileSystem::Memory) => "the key file lies in memory (tmpfs)",
        _ if device(path) != device(directory) => "the key file lies on another file system than the workspace",
        _ => return None,
    };
    Some(format!(
        "{reason}: if that home goes, the data can never be read again. Copy {} to a safe place, point \
         RUNCELLAR_KEY_FILE to a lasting one, or add a recovery code: runcellar key add recovery --recovery-out FILE",
        key_file.display()
    ))
}
