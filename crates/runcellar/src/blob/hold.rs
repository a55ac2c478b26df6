//! What says that a put is under way: packs without rows may be its own, so nobody sweeps them away.
//!
//! A small file in `tmp/`, made before the first pack, names the process; it counts until that process is gone. Record locks
//! would not do: closing a descriptor of the file anywhere in the process would end them. docs/FORMAT.md, "Puts".

use std::collections::HashSet;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use runcellar_format::ingester::Ingester;

use super::gc::GRACE_US;
use crate::io::{self, Io};
use crate::os::{self, Forkable, ProcessFacts};
use crate::workspace::{Inner, TMP, file_system_now_us};
use crate::{Error, Result};

/// Ending of the file.
const ENDING: &str = "put";
/// More than it has in any version.
const BYTES_MAX: u64 = 4096;

/// The file of one put; removed when it is dropped.
pub(super) struct Hold {
    io: Arc<dyn Io>,
    path: PathBuf,
    token: [u8; 16],
}

/// The puts of this process: a file that could not be removed outlives its own.
fn own() -> MutexGuard<'static, HashSet<[u8; 16]>> {
    static OWN: OnceLock<Forkable<Mutex<HashSet<[u8; 16]>>>> = OnceLock::new();
    // In a forked child none of its parent's puts goes on.
    match OWN.get_or_init(|| Forkable::new(Mutex::default())).get(|_| Ok::<_, Infallible>(Mutex::default())) {
        Ok(set) => set.lock().unwrap_or_else(PoisonError::into_inner),
        Err(never) => match never {},
    }
}

impl Hold {
    pub(super) fn take(inner: &Inner) -> Result<Hold> {
        let (token, here) = (io::random::<16>(&*inner.io)?, ProcessFacts::of_this());
        let place = Ingester::place(inner.id, &here.host, &here.boot_id, here.namespace);
        let process = Ingester { token, place, pid: here.pid, started: here.started };
        let path = inner.path.join(TMP).join(format!("{:032x}.{ENDING}", u128::from_be_bytes(token)));
        // Not synced: after a crash of the machine no put is under way.
        let file = inner.io.create_new(&path).map_err(|cause| Error::io("create", &path, cause))?;
        own().insert(token);
        let hold = Hold { io: inner.io.clone(), path, token };
        io::write_all(&*file, &process.encode()).map_err(|cause| Error::io("write", &hold.path, cause))?;
        Ok(hold)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // One that stays is found to be of nobody.
        let _ = self.io.remove(&self.path);
        own().remove(&self.token);
    }
}

/// Returns whether a file in `tmp/` says that a put is under way.
pub(crate) fn is_hold(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == ENDING)
}

/// Returns whether a put may be under way. Ask after the packs were listed: those that are listed had their file before.
///
/// Removes what puts left whose processes are gone.
pub(crate) fn is_put_under_way(inner: &Inner) -> Result<bool> {
    let directory = inner.path.join(TMP);
    let mut found = false;
    for name in inner.io.list(&directory).map_err(|cause| Error::io("list", &directory, cause))? {
        let path = directory.join(name);
        if !is_hold(&path) {
            continue;
        }
        if is_alive(inner, &path)? {
            found = true;
        } else {
            // One that stays is found to be of nobody again.
            let _ = inner.io.remove(&path);
        }
    }
    Ok(found)
}

fn is_alive(inner: &Inner, path: &Path) -> Result<bool> {
    let gone = |cause: &std::io::Error| cause.kind() == std::io::ErrorKind::NotFound;
    let bytes = match inner.io.read(path, BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(cause) if gone(&cause) => return Ok(false),
        Err(cause) => return Err(Error::io("read", path, cause)),
    };
    let here = ProcessFacts::of_this();
    let place = Ingester::place(inner.id, &here.host, &here.boot_id, here.namespace);
    match Ingester::decode(&bytes) {
        Ok(process) if process.place == place && place != [0; 16] && process.started != 0 => {
            let is_own = process.pid == here.pid;
            Ok(if is_own {
                own().contains(&process.token)
            } else {
                os::process_is_at_work(process.pid, process.started)
            })
        }
        // Of another host, before the last boot, or not written yet.
        _ => match inner.io.modified_us(path) {
            Ok(written) => Ok(file_system_now_us(&*inner.io, &inner.path)?.saturating_sub(written) < GRACE_US),
            Err(cause) if gone(&cause) => Ok(false),
            Err(cause) => Err(Error::io("look at", path, cause)),
        },
    }
}
