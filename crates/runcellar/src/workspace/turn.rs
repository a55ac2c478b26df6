//! The turn to write cellar.db on a network file system: one process at a time, on whatever host.
//!
//! A record lock on `ingester.lock` keeps others of this host out, and those of other hosts where locks reach them.
//! That is not relied on: the file `ingester` says who has the turn, and counts until that process is seen to be gone,
//! or was silent for ten minutes by the clock of the file system. Before anything is published it is looked at again.
//! docs/FORMAT.md, "Ingester".

use std::collections::HashSet;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use runcellar_format::WorkspaceId;
use runcellar_format::ingester::Ingester;

use super::TMP;
use crate::db;
use crate::io::{self, Io, IoFile};
use crate::os::{self, Forkable, ProcessFacts};
use crate::{Error, ErrorKind, Result};

/// How long a process that cannot be seen from here may be silent before it counts as gone, in microseconds.
pub(crate) const SILENCE_US: i64 = 600 * 1_000_000;
/// How often the one whose turn it is says so, in microseconds.
const BEAT_EVERY_US: i64 = 60 * 1_000_000;
/// Pause between attempts to get the turn.
const PAUSE: Duration = Duration::from_millis(20);
const LOCK: &str = "ingester.lock";
const INGESTER: &str = "ingester";
/// More than that file has in any version.
const INGESTER_BYTES_MAX: u64 = 4096;

/// The turn to write, given back when it is dropped.
pub(super) struct Turn {
    io: Arc<dyn Io>,
    workspace: PathBuf,
    ingester: Ingester,
    beat_us: Mutex<i64>,
    // In this order: who asks next must find neither file nor lock.
    _lock: Arc<dyn IoFile>,
    _held: Held,
}

/// The place of a workspace among those whose turn this process has: record locks do not keep its own threads apart.
struct Held(WorkspaceId);

fn held() -> MutexGuard<'static, HashSet<WorkspaceId>> {
    static HELD: OnceLock<Forkable<Mutex<HashSet<WorkspaceId>>>> = OnceLock::new();
    // A forked child has none of its parent's turns.
    match HELD.get_or_init(|| Forkable::new(Mutex::default())).get(|_| Ok::<_, Infallible>(Mutex::default())) {
        Ok(set) => set.lock().unwrap_or_else(PoisonError::into_inner),
        Err(never) => match never {},
    }
}

impl Held {
    fn take(workspace: WorkspaceId) -> Option<Held> {
        held().insert(workspace).then(|| Held(workspace))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        held().remove(&self.0);
    }
}

impl Turn {
    /// Waits for the turn, at most `wait`.
    pub(super) fn take(io: &Arc<dyn Io>, workspace: &Path, id: WorkspaceId, wait: Duration) -> Result<Turn> {
        let deadline = Instant::now() + wait;
        loop {
            if let Some(turn) = Turn::try_take(io, workspace, id)? {
                return Ok(turn);
            }
            if Instant::now() >= deadline {
                let message = format!("workspace {}: another process is writing the database", workspace.display());
                return Err(Error::new(ErrorKind::Busy, message));
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn try_take(io: &Arc<dyn Io>, workspace: &Path, id: WorkspaceId) -> Result<Option<Turn>> {
        let Some(held) = Held::take(id) else { return Ok(None) };
        let here = ProcessFacts::of_this();
        let place = Ingester::place(id, &here.host, &here.boot_id, here.namespace);
        if let Seen::Taken = look(&**io, workspace, place)? {
            return Ok(None);
        }
        let path = workspace.join(LOCK);
        let lock = match io.create_new(&path) {
            Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => io.open(&path),
            made => made,
        };
        let lock = lock.map_err(|cause| Error::io("open", &path, cause))?;
        match lock.try_lock() {
            Ok(true) => {}
            // Where there are no locks, the file alone decides.
            Err(cause) if cause.kind() == std::io::ErrorKind::Unsupported => {}
            Ok(false) => return Ok(None),
            Err(cause) => return Err(Error::io("lock", &path, cause)),
        }
        let left = match look(&**io, workspace, place)? {
            Seen::Taken => return Ok(None),
            Seen::Left(bytes) => Some(bytes),
            Seen::Nobody => None,
        };
        let ingester = Ingester { token: io::random(&**io)?, place, pid: here.pid, started: here.started };
        let beat_us = Mutex::new(io.monotonic_us());
        let turn =
            Turn { io: io.clone(), workspace: workspace.to_owned(), ingester, beat_us, _lock: lock, _held: held };
        let failed = |cause| Error::io("write", &workspace.join(INGESTER), cause);
        if let Some(left) = left
            && !turn.set_aside(&left).map_err(failed)?
        {
            return Ok(None);
        }
        turn.announce().map_err(failed)?;
        // Another host may have found the place free in the same moment.
        Ok(turn.is_ours().then_some(turn))
    }

    /// Takes what one that is gone left out of the way; false if another has taken the turn since it was looked at.
    fn set_aside(&self, left: &[u8]) -> std::io::Result<bool> {
        let (path, aside) = (self.workspace.join(INGESTER), self.another()?);
        match self.io.rename(&path, &aside) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(true),
            renamed => renamed?,
        }
        let is_left = self.io.read(&aside, INGESTER_BYTES_MAX)? == left;
        if !is_left {
            // Where it cannot be put back, that process notices it before it publishes.
            let _ = self.io.link(&aside, &path);
        }
        // The next turn removes one that stays.
        let _ = self.io.remove(&aside);
        Ok(is_left)
    }

    /// Says whose turn it is, unless somebody did: of several hosts that try it at once one alone makes the link.
    fn announce(&self) -> std::io::Result<()> {
        let (path, temporary) = (self.workspace.join(INGESTER), self.another()?);
        io::write_new(&*self.io, &temporary, &self.ingester.encode())?;
        match self.io.link(&temporary, &path) {
            // The second: whoever has the turn tidied up.
            Err(cause) if matches!(cause.kind(), std::io::ErrorKind::AlreadyExists | std::io::ErrorKind::NotFound) => {}
            // Without links the last to say so has it.
            Err(_) => return self.io.rename(&temporary, &path),
            Ok(()) => {}
        }
        let _ = self.io.remove(&temporary);
        Ok(())
    }

    /// Returns a name for a file on its way to or from `ingester`.
    fn another(&self) -> std::io::Result<PathBuf> {
        let mut random = [0; 8];
        self.io.random(&mut random)?;
        Ok(self.workspace.join(TMP).join(format!("{:016x}.{INGESTER}", u64::from_le_bytes(random))))
    }

    fn say(&self) -> Result<()> {
        let path = self.workspace.join(INGESTER);
        self.another()
            .and_then(|temporary| io::replace(&*self.io, &path, &temporary, &self.ingester.encode()))
            .map_err(|cause| Error::io("write", &path, cause))
    }

    /// Says that this process is still at it, if it was silent for a minute.
    pub(super) fn beat(&self) -> Result<()> {
        let mut beat = self.beat_us.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.io.monotonic_us();
        if now - *beat < BEAT_EVERY_US {
            return Ok(());
        }
        // One that was silent for too long may have been taken for gone.
        self.require()?;
        *beat = now;
        self.say()
    }

    fn is_ours(&self) -> bool {
        read(&*self.io, &self.workspace).is_ok_and(|found| found.is_some_and(|found| found == self.ingester.encode()))
    }

    /// Fails if another process took this one for gone.
    pub(super) fn require(&self) -> Result<()> {
        if self.is_ours() {
            return Ok(());
        }
        let message = format!(
            "workspace {}: another process took the turn to write from this one, which was silent for too long",
            self.workspace.display()
        );
        Err(Error::new(ErrorKind::Busy, message))
    }

    /// Returns a name for a file that only the one whose turn it is makes.
    pub(super) fn temporary(&self) -> PathBuf {
        let token: String = self.ingester.token.iter().map(|byte| format!("{byte:02x}")).collect();
        self.workspace.join(TMP).join(format!("{token}.{COPY}"))
    }

    /// Removes what those left that died in their turn. Not without cellar.db: one of them may have died while its copy took
    /// that place, and is then what there is.
    pub(super) fn tidy(&self) {
        let database = self.workspace.join(db::FILE_NAME);
        if db::patiently(&database, || self.io.identity(&database)).is_err() {
            return;
        }
        let directory = self.workspace.join(TMP);
        for name in self.io.list(&directory).unwrap_or_default() {
            if name.extension().is_some_and(|end| end == COPY || end == INGESTER) {
                // One that stays costs room, and `check` notes it.
                let _ = self.io.remove(&directory.join(name));
            }
        }
    }
}

/// Ending of the copy of cellar.db that is written in a turn.
const COPY: &str = "copy";

impl Drop for Turn {
    fn drop(&mut self) {
        if self.is_ours() {
            // One that stays is seen to be of a process that does not have the turn.
            let _ = self.io.remove(&self.workspace.join(INGESTER));
        }
    }
}

/// Reads the file that says who has the turn.
fn read(io: &dyn Io, workspace: &Path) -> Result<Option<Vec<u8>>> {
    let path = workspace.join(INGESTER);
    match io.read(&path, INGESTER_BYTES_MAX) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(Error::io("read", &path, cause)),
    }
}

/// Who has the turn, as far as can be told from here.
enum Seen {
    Nobody,
    /// One that is gone: what it left.
    Left(Vec<u8>),
    Taken,
}

fn look(io: &dyn Io, workspace: &Path, place: [u8; 16]) -> Result<Seen> {
    let Some(bytes) = read(io, workspace)? else { return Ok(Seen::Nobody) };
    let path = workspace.join(INGESTER);
    let is_at_work = match Ingester::decode(&bytes) {
        Ok(ingester) if ingester.place == place && place != [0; 16] && ingester.started != 0 => {
            // What this process itself has is in `HELD`: this is left of a turn whose file could not be removed.
            ingester.pid != std::process::id() && os::process_is_at_work(ingester.pid, ingester.started)
        }
        // Of another place, or of a version that is not known here.
        _ => match io.modified_us(&path) {
            Ok(written) => file_system_now_us(io, workspace)?.saturating_sub(written) < SILENCE_US,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Seen::Nobody),
            Err(cause) => return Err(Error::io("look at", &path, cause)),
        },
    };
    Ok(if is_at_work { Seen::Taken } else { Seen::Left(bytes) })
}

/// Returns now by the clock of the file system: those of two hosts may differ.
pub(crate) fn file_system_now_us(io: &dyn Io, workspace: &Path) -> Result<i64> {
    let directory = workspace.join(TMP);
    let failed = |cause| Error::io("write in", &directory, cause);
    let mut random = [0; 8];
    io.random(&mut random).map_err(failed)?;
    let probe = directory.join(format!("{:016x}.now", u64::from_le_bytes(random)));
    let now = io::write_new(io, &probe, &[]).and_then(|()| io.modified_us(&probe));
    // It is empty, and `check` notes one that stays.
    let _ = io.remove(&probe);
    now.map_err(failed)
}
