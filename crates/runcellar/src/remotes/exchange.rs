//! A workspace and one of its remotes.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use runcellar_format::record::{Cited, RemoteRecord};
use runcellar_format::sync::Welcome;
use runcellar_format::{ObjectId, WorkspaceId};

use super::record::{RemoteInfo, find, load, update};
use super::replica::{Replica, folder, prefixes};
use crate::db::ReadTx;
use crate::io::{self, IoFile};
use crate::keys::Keyring;
use crate::workspace::{finish_replacing, settings};
use crate::{Error, ErrorKind, Result, Workspace};

/// File in the folder of a remote whose lock is held by who exchanges with it.
const LOCK: &str = "lock";

/// How long a look may keep others from a remote: it makes a replica at most.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is tried meanwhile.
const PAUSE: Duration = Duration::from_millis(20);

/// Folders of remotes that this process exchanges with: a record lock does not keep its own threads apart.
static OPEN: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);

/// What this workspace publishes on a remote, and what it knows of the devices that publish there.
///
/// One process at a time has one for a remote.
pub struct Exchange {
    pub(super) workspace: Workspace,
    pub(super) remote: RemoteRecord,
    pub(super) own: Replica,
    /// Replicas of other devices that are open: opening one costs more than all that is asked of it.
    open: Mutex<BTreeMap<ObjectId, Arc<Replica>>>,
    /// Projects of which nothing leaves, whatever was agreed to.
    at_home: HashSet<String>,
    /// Held as long as this lives; none if it only looks.
    held: Option<(Arc<dyn IoFile>, Only)>,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("remote", &self.remote.name).finish_non_exhaustive()
    }
}

/// A device that is known to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Where it publishes: the first part of the names of its objects.
    pub prefix: String,
    /// The last segment that was taken in and found whole.
    pub number: u64,
}

/// Keeps other threads of this process out.
pub(super) struct Only(PathBuf);

impl Only {
    /// Returns whether a thread of this process has it.
    pub(super) fn is_taken(path: &Path) -> bool {
        let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.as_ref().is_some_and(|open| open.contains(path))
    }

    pub(super) fn take(path: PathBuf) -> Option<Only> {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        // Not `then_some`: what is made and not given would be dropped, and let the other go.
        match open.get_or_insert_default().insert(path.clone()) {
            true => Some(Only(path)),
            false => None,
        }
    }
}

impl Drop for Only {
    fn drop(&mut self) {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.get_or_insert_default().remove(&self.0);
    }
}

impl Workspace {
    /// Begins an exchange with a remote, whatever its status: who sends looks at that. Who only looks has it for a moment, for
    /// which this waits.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such remote, [`ErrorKind::Busy`] while another process exchanges with it,
    /// [`ErrorKind::State`] on a network file system.
    pub fn exchange(&self, name: &str) -> Result<Exchange> {
        self.exchange_within(name, LOOK)
    }

    /// Begins an exchange with a remote once nobody else has one, and waits so long for that.
    pub(super) fn exchange_within(&self, name: &str, patience: Duration) -> Result<Exchange> {
        let end = Instant::now() + patience;
        loop {
            match self.exchange_now(name) {
                Err(error) if error.kind() == ErrorKind::Busy && Instant::now() < end => std::thread::sleep(PAUSE),
                begun => return begun,
            }
        }
    }

    pub(super) fn exchange_now(&self, name: &str) -> Result<Exchange> {
        let inner = &*self.inner;
        inner.refuse_if_only_read()?;
        if inner.is_network() {
            let message = format!("remote {name}: a workspace on a network file system is not synced yet");
            return Err(Error::new(ErrorKind::State, message));
        }
        finish_replacing(inner)?;
        let remotes = inner.read(load)?;
        let remote = remotes.all[find(&remotes, name)?].clone();
        let id = ObjectId(remote.id);
        let directory = folder(inner, id);
        let busy = || Error::new(ErrorKind::Busy, format!("remote {name}: another process is at work with it"));
        let only = Only::take(directory.clone()).ok_or_else(busy)?;
        for directory in directory.parent().into_iter().chain([directory.as_path()]) {
            io::create_dir_durable(&*inner.io, directory).map_err(|cause| Error::io("create", directory, cause))?;
        }
        let path = directory.join(LOCK);
        let lock = match inner.io.create_new(&path) {
            Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => inner.io.open(&path),
            made => made,
        };
        let lock = lock.map_err(|cause| Error::io("open", &path, cause))?;
        if !lock.try_lock().map_err(|cause| Error::io("lock", &path, cause))? {
            return Err(busy());
        }
        // A copy of a workspace is another device, and publishes elsewhere.
        let device = inner.read(|tx, keyring| Ok(tx.root(keyring)?.device))?;
        let remote = if remote.device == device { remote } else { self.publish_elsewhere(name)? };
        let own = Replica::open_or_make(inner, id, ObjectId(remote.prefix), device)?;
        let at_home = inner.read(at_home)?;
        let (open, held) = (Mutex::default(), Some((lock, only)));
        Ok(Exchange { workspace: self.clone(), remote, own, open, at_home, held })
    }

    /// Returns what is known of a remote, to look at beside whoever exchanges with it; none before the first exchange.
    pub(super) fn look_at(&self, remote: &RemoteRecord) -> Result<Option<Exchange>> {
        let own = Replica::open(&self.inner, ObjectId(remote.id), ObjectId(remote.prefix), false)?;
        let at_home = self.inner.read(at_home)?;
        let (workspace, remote, open) = (self.clone(), remote.clone(), Mutex::default());
        Ok(own.map(|own| Exchange { workspace, remote, own, open, at_home, held: None }))
    }

    /// Draws a new place on a remote for what this device publishes.
    pub(super) fn publish_elsewhere(&self, name: &str) -> Result<RemoteRecord> {
        self.inner.write(None, |tx| {
            update(tx, |tx, remotes, _| {
                let at = find(remotes, name)?;
                let remote = &mut remotes.all[at];
                (remote.device, remote.prefix) = (tx.root().device, io::random(tx.io)?);
                Ok(remote.clone())
            })
        })
    }
}

fn at_home(tx: &ReadTx<'_>, keyring: &Keyring) -> Result<HashSet<String>> {
    settings::projects_at_home(&settings::load(tx, keyring)?)
}

impl Exchange {
    /// Returns whether something of a project may leave: the user agreed to it, and did not say that it stays at home.
    pub(super) fn takes(&self, project: &str) -> bool {
        let wanted = &self.remote.projects;
        !self.at_home.contains(project) && (wanted.is_empty() || wanted.iter().any(|wanted| wanted == project))
    }

    /// Publishes everything anew, under the same keys: others begin with it, and what was published before is deleted.
    ///
    /// # Errors
    /// If the own replica cannot be written.
    pub fn publish_anew(self) -> Result<Exchange> {
        let Exchange { own, workspace, .. } = self;
        let own = own.begin_generation(&workspace.inner)?;
        Ok(Exchange { own, workspace, ..self })
    }

    /// Returns the remote.
    #[must_use]
    pub fn remote(&self) -> RemoteInfo {
        RemoteInfo::of(&self.remote)
    }

    /// Returns where this device publishes: the first part of the names of its objects.
    #[must_use]
    pub fn prefix(&self) -> String {
        self.own.prefix.to_string()
    }

    /// Returns whether nothing was ever published there from here, and nobody is known who did.
    ///
    /// # Errors
    /// If the own replica cannot be read.
    pub fn is_first(&self) -> Result<bool> {
        let all = prefixes(&self.workspace.inner, ObjectId(self.remote.id))?;
        Ok(all == [self.own.prefix] && self.own.cursor()?.headed == 0)
    }

    /// Lists the other devices that are known to publish there.
    ///
    /// # Errors
    /// If a replica cannot be read.
    pub fn known(&self) -> Result<Vec<Known>> {
        let known =
            |other: Arc<Replica>| Ok(Known { prefix: other.prefix.to_string(), number: other.cursor()?.headed });
        self.others()?.into_iter().map(known).collect()
    }

    /// Returns whether something that a device published was taken in.
    ///
    /// # Errors
    /// If its replica cannot be read.
    pub fn is_known(&self, prefix: &str) -> Result<bool> {
        let other = ObjectId::from_hex(prefix).map(|prefix| self.other(prefix)).transpose()?.flatten();
        other.map_or(Ok(false), |other| Ok(other.cursor()?.headed > 0))
    }

    /// Returns the replicas of all other devices.
    pub(super) fn others(&self) -> Result<Vec<Arc<Replica>>> {
        let prefixes = prefixes(&self.workspace.inner, ObjectId(self.remote.id))?;
        let others = prefixes.into_iter().filter(|prefix| *prefix != self.own.prefix);
        others.filter_map(|prefix| self.other(prefix).transpose()).collect()
    }

    /// Returns the replica of another device, if it is there.
    pub(super) fn other(&self, prefix: ObjectId) -> Result<Option<Arc<Replica>>> {
        let inner = &self.workspace.inner;
        let known = self.open().get(&prefix).cloned();
        if let Some(known) = known {
            if known.is_of_epoch(inner)? {
                return Ok(Some(known));
            }
            drop(self.close(known)?);
        }
        let replica = Replica::open(inner, ObjectId(self.remote.id), prefix, self.held.is_some())?;
        Ok(replica.map(|replica| self.keep_open(replica)))
    }

    /// Keeps a replica open. Who only looks does not: whoever has the remote may put another in its place.
    pub(super) fn keep_open(&self, replica: Replica) -> Arc<Replica> {
        let replica = Arc::new(replica);
        if self.held.is_some() {
            self.open().insert(replica.prefix, replica.clone());
        }
        replica
    }

    /// Gives a replica back that another is to take the place of: nobody else may have it open then.
    pub(super) fn close(&self, replica: Arc<Replica>) -> Result<Replica> {
        drop(self.open().remove(&replica.prefix));
        let prefix = replica.prefix;
        let in_use = || Error::new(ErrorKind::Busy, format!("replica {prefix}: it is in use, and cannot be replaced"));
        Arc::into_inner(replica).ok_or_else(in_use)
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<ObjectId, Arc<Replica>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses a welcome of another workspace.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] with both ids. What is no welcome is none of another workspace.
    pub fn refuse_stranger(&self, welcome: &[u8]) -> Result<()> {
        match Welcome::decode(welcome) {
            Ok(found) if found.workspace != self.workspace_id() => Err(Error::invalid(format!(
                "remote {}: another workspace publishes there, {}, and this is {}: give each a place of its own",
                self.remote.name,
                found.workspace,
                self.workspace_id()
            ))),
            _ => Ok(()),
        }
    }

    pub(super) fn workspace_id(&self) -> WorkspaceId {
        self.workspace.inner.id
    }
}

/// Returns how a replica is cited.
pub(super) fn cited(replica: &Replica) -> Result<Cited> {
    let at = replica.cursor()?;
    Ok(Cited { prefix: replica.prefix.0, number: at.number, segment: at.segment })
}
