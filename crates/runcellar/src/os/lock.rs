//! fcntl record locks. flock(2) and open-file-description locks are inherited by forked children and outlive a
//! killed trainer; record locks belong to one process and die with it.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::AsRawFd as _;

/// Tries to take the exclusive record lock over the whole file; false if another process has it, or if the file is
/// open for reading alone.
pub(crate) fn try_lock(file: &File) -> Result<bool> {
    match set_lock(file, libc::F_SETLK) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EACCES | libc::EAGAIN | libc::EBADF)) => Ok(false),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOLCK | libc::EOPNOTSUPP)) => {
            Err(ErrorKind::Unsupported.into())
        }
        // The lock needs a descriptor that is open for writing.
        Err(error) if error.raw_os_error() == Some(libc::EBADF) => Err(ErrorKind::PermissionDenied.into()),
        Err(error) => Err(error),
    }
}

/// Waits for the exclusive record lock over the whole file.
pub(crate) fn lock_wait(file: &File) -> Result<()> {
    loop {
        match set_lock(file, libc::F_SETLKW) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOLCK | libc::EOPNOTSUPP)) => {
                return Err(ErrorKind::Unsupported.into());
            }
            other => return other,
        }
    }
}

/// Returns which process has the exclusive record lock over the file; none if no other process has it. A process of another
/// pid namespace is 0.
pub(crate) fn lock_holder(file: &File) -> Result<Option<u32>> {
    // SAFETY: an all-zero flock is a valid value of this plain C struct.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    // SAFETY: the descriptor is open for the length of the call, and `lock` outlives it.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &raw mut lock) } {
        -1 if matches!(Error::last_os_error().raw_os_error(), Some(libc::ENOLCK | libc::EOPNOTSUPP)) => {
            Err(ErrorKind::Unsupported.into())
        }
        -1 => Err(Error::last_os_error()),
        _ if lock.l_type == libc::F_UNLCK as libc::c_short => Ok(None),
        _ => Ok(Some(u32::try_from(lock.l_pid).unwrap_or(0))),
    }
}

/// Returns whether a record lock of a process, this one among them, is in the way of a lock that belongs to the open
/// file itself.
pub(super) fn in_the_way(file: &File) -> Result<bool> {
    // SAFETY: an all-zero flock is a valid value of this plain C struct.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    // SAFETY: the descriptor is open for the length of the call, and `lock` outlives it.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) } {
        -1 => Err(Error::last_os_error()),
        _ => Ok(lock.l_type != libc::F_UNLCK as libc::c_short),
    }
}

fn set_lock(file: &File, command: libc::c_int) -> Result<()> {
    // SAFETY: an all-zero flock is a valid value of this plain C struct.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    // SAFETY: the descriptor is open for the length of the call, and `lock` outlives it.
    let outcome = unsafe { libc::fcntl(file.as_raw_fd(), command, &raw const lock) };
    if outcome == -1 { Err(Error::last_os_error()) } else { Ok(()) }
}
