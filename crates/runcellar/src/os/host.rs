//! Facts about the host, its user and its processes.

use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

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
    format!("{} {parent} {}", boot_id(), process_started(parent).unwrap_or(0))
}

/// What tells one running process from all others: two machines, two boots, two containers and two processes with one
/// number, one after the other, differ in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProcessFacts {
    /// Host name.
    pub(crate) host: String,
    /// Boot id of the host; empty where the system has none.
    pub(crate) boot_id: String,
    /// Number of the namespace that process ids count in; 0 where the system has none.
    pub(crate) namespace: u64,
    /// Process id.
    pub(crate) pid: u32,
    /// When the process started, in clock ticks since the boot; 0 where that cannot be told.
    pub(crate) started: u64,
}

impl ProcessFacts {
    /// Returns those of this process.
    pub(crate) fn of_this() -> ProcessFacts {
        use std::os::unix::fs::MetadataExt as _;
        let pid = std::process::id();
        ProcessFacts {
            host: host_name(),
            boot_id: boot_id(),
            namespace: std::fs::metadata("/proc/self/ns/pid").map_or(0, |metadata| metadata.ino()),
            pid,
            started: process_started(pid).unwrap_or(0),
        }
    }

    /// Returns whether a process is at work; `None` if it cannot be seen from here, so that this says nothing.
    pub(crate) fn is_at_work(&self, here: &ProcessFacts) -> Option<bool> {
        let place = |facts: &ProcessFacts| (facts.host.clone(), facts.boot_id.clone(), facts.namespace);
        if self.boot_id.is_empty() || self.started == 0 || place(self) != place(here) {
            return None;
        }
        Some(process_is_at_work(self.pid, self.started))
    }
}

/// Returns whether the process of this number is the one that started then.
pub(crate) fn process_is_at_work(pid: u32, started: u64) -> bool {
    process_started(pid) == Some(started)
}

/// Returns when a process started, in clock ticks since the boot; `None` if there is none, or one that only waits to
/// be reaped.
fn process_started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program, in parentheses, may hold spaces; state and start time are the 1st and 20th after it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    (!matches!(state, "Z" | "X")).then_some(fields.nth(18)?.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_at_work_until_it_ends_and_one_elsewhere_cannot_be_told() {
        let here = ProcessFacts::of_this();
        assert!(here.started > 0 && here.namespace > 0 && !here.boot_id.is_empty());
        assert_eq!(here.is_at_work(&here), Some(true));
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().expect("starts");
        let started = process_started(child.id()).expect("runs");
        let facts = ProcessFacts { pid: child.id(), started, ..here.clone() };
        assert_eq!(facts.is_at_work(&here), Some(true));
        child.kill().expect("kills");
        child.wait().expect("waits");
        assert_eq!(facts.is_at_work(&here), Some(false));
        let earlier = ProcessFacts { started: here.started - 1, ..here.clone() };
        assert_eq!(earlier.is_at_work(&here), Some(false), "another process had the number before");
        for elsewhere in [
            ProcessFacts { host: "other".into(), ..here.clone() },
            ProcessFacts { boot_id: "other".into(), ..here.clone() },
            ProcessFacts { namespace: 1, ..here.clone() },
            ProcessFacts { started: 0, ..here.clone() },
        ] {
            assert_eq!(elsewhere.is_at_work(&here), None);
        }
    }
}
