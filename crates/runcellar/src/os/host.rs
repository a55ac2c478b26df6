//! Facts about the host and its file systems.

use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// What kind of file system a path lies on, as far as the store cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileSystem {
    /// A disk of this machine, or one that looks like it.
    Local,
    /// A layer that a container throws away.
    Overlay,
    /// Memory.
    Memory,
    /// Another machine's disk.
    Network,
}

const OVERLAYFS: i64 = 0x794c_7630;
const TMPFS: i64 = 0x0102_1994;
const RAMFS: i64 = 0x8584_58f6;
/// NFS, SMB, SMB2, CIFS, AFS, Ceph, Lustre, BeeGFS, 9P, FUSE: there SQLite's shared memory cannot be trusted. FUSE
/// counts, as sshfs and most cluster clients come through it.
const NETWORK: [i64; 10] = [
    0x6969,
    0x517b,
    0xfe53_4d42,
    0xff53_4d42,
    0x5346_414f,
    0x00c3_6400,
    0x0bd0_0bd0,
    0x1983_0326,
    0x0102_1997,
    0x6573_5546,
];

/// Returns the kind of file system on which `path` lies.
pub(crate) fn file_system(path: &Path) -> std::io::Result<FileSystem> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: an all-zero statfs is a valid value of this plain C struct.
    let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the name is NUL-terminated and `stat` is writable for the length of the call.
    if unsafe { libc::statfs(name.as_ptr(), &raw mut stat) } == -1 {
        return Err(std::io::Error::last_os_error());
    }
    #[allow(clippy::unnecessary_cast, reason = "the field's type differs between platforms")]
    Ok(match stat.f_type as i64 & 0xffff_ffff {
        OVERLAYFS => FileSystem::Overlay,
        TMPFS | RAMFS => FileSystem::Memory,
        magic if NETWORK.contains(&magic) => FileSystem::Network,
        _ => FileSystem::Local,
    })
}

/// Returns how many bytes this user can still write on the file system of `path`.
pub(crate) fn free_bytes(path: &Path) -> std::io::Result<u64> {
    let stat = stat_space(path)?;
    #[allow(clippy::unnecessary_cast, reason = "the fields' types differ between platforms")]
    Ok((stat.f_bavail as u64).saturating_mul(stat.f_frsize as u64))
}

fn stat_space(path: &Path) -> std::io::Result<libc::statvfs> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: an all-zero statvfs is a valid value of this plain C struct.
    let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the name is NUL-terminated and `stat` is writable for the length of the call.
    if unsafe { libc::statvfs(name.as_ptr(), &raw mut stat) } == -1 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(stat)
}

/// How much a file system holds.
pub(crate) struct DiskSpace {
    pub(crate) used: u64,
    pub(crate) all: u64,
}

/// Returns how much the file system of `path` holds, in bytes.
pub(crate) fn disk_space(path: &Path) -> std::io::Result<DiskSpace> {
    let stat = stat_space(path)?;
    #[allow(clippy::unnecessary_cast, reason = "the fields' types differ between platforms")]
    let (unit, all, free) = (stat.f_frsize as u64, stat.f_blocks as u64, stat.f_bfree as u64);
    Ok(DiskSpace { used: all.saturating_sub(free).saturating_mul(unit), all: all.saturating_mul(unit) })
}

/// Returns how many clock ticks of /proc are a second.
pub(crate) fn clock_ticks_per_second() -> u64 {
    system_constant(libc::_SC_CLK_TCK, 100)
}

/// Returns the size of a page of memory.
pub(crate) fn page_bytes() -> u64 {
    system_constant(libc::_SC_PAGESIZE, 4096)
}

fn system_constant(name: libc::c_int, usual: u64) -> u64 {
    // SAFETY: sysconf has no preconditions.
    u64::try_from(unsafe { libc::sysconf(name) }).ok().filter(|value| *value > 0).unwrap_or(usual)
}

/// Returns whether this process may write at `path`, as far as permissions and mounts say.
pub(crate) fn can_write(path: &Path) -> bool {
    let Ok(name) = CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: the name is NUL-terminated for the length of the call.
    unsafe { libc::access(name.as_ptr(), libc::W_OK) == 0 }
}

/// Returns the user id of this process.
pub(crate) fn current_uid() -> u32 {
    // SAFETY: geteuid has no preconditions.
    unsafe { libc::geteuid() }
}

/// Returns the home directory that the user database names, for a process whose environment has none.
pub(crate) fn home_of_user() -> Option<PathBuf> {
    let mut buffer = vec![0; 16 << 10];
    // SAFETY: an all-zero passwd is a valid value of this plain C struct.
    let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
    let mut found = std::ptr::null_mut();
    // SAFETY: all pointers are valid for the call, and the buffer's length is given.
    let outcome =
        unsafe { libc::getpwuid_r(current_uid(), &raw mut entry, buffer.as_mut_ptr(), buffer.len(), &raw mut found) };
    if outcome != 0 || found.is_null() || entry.pw_dir.is_null() {
        return None;
    }
    // SAFETY: the call succeeded, so pw_dir is a NUL-terminated string inside `buffer`.
    let home = unsafe { CStr::from_ptr(entry.pw_dir) };
    Some(PathBuf::from(OsStr::from_bytes(home.to_bytes()))).filter(|home| home.is_dir())
}

/// Returns the host's name, or an empty text.
pub(crate) fn host_name() -> String {
    let mut buffer = [0_u8; 256];
    // SAFETY: the buffer is writable for its length, less one byte that stays NUL.
    let outcome = unsafe { libc::gethostname(buffer.as_mut_ptr().cast(), buffer.len() - 1) };
    let name = buffer.split(|byte| *byte == 0).next().unwrap_or_default();
    if outcome == 0 { String::from_utf8_lossy(name).into_owned() } else { String::new() }
}

/// Returns the boot id of the host, or an empty text where the system has none.
pub(crate) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// Returns what tells the process that started this one from all others: boot id, process id, and when it started.
pub(crate) fn parent_process() -> String {
    let parent = std::os::unix::process::parent_id();
    // The name of the program, in parentheses, may hold spaces; the start time is the 20th field after it.
    let stat = std::fs::read_to_string(format!("/proc/{parent}/stat")).unwrap_or_default();
    let started = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19)).unwrap_or_default();
    format!("{} {parent} {started}", boot_id())
}
