//! Processes that this one starts: in a group of their own, read within a time, and ended with all that they started.

use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Makes a command lead a process group of its own.
pub(crate) fn lead_a_group(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;
    command.process_group(0);
}

/// Ends all processes of a group. There must be one: the number of a group that has ended may be another's.
pub(crate) fn kill_group(group: u32) {
    if let Ok(group) = libc::pid_t::try_from(group)
        && group > 1
    {
        // SAFETY: has no preconditions.
        unsafe { libc::killpg(group, libc::SIGKILL) };
    }
}

/// Waits until there is something to read, or the end; false when it is later than `deadline` before.
pub(crate) fn wait_until_readable(from: &impl AsRawFd, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut entry = libc::pollfd { fd: from.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // Rounded up, so that the rest of a millisecond is not spent in turns.
        let wait = libc::c_int::try_from(left.as_micros().div_ceil(1000)).unwrap_or(libc::c_int::MAX);
        // SAFETY: the array has one entry, which is writable for the length of the call.
        match unsafe { libc::poll(&raw mut entry, 1, wait) } {
            // Interrupted by a signal.
            -1 if !left.is_zero() => {}
            count => return count > 0,
        }
    }
}

/// Names the other processes of this user that have a file open, as far as this system says.
pub(crate) fn processes_with(path: &Path) -> Vec<String> {
    let Ok(path) = path.canonicalize() else { return Vec::new() };
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let has_it_open = |pid: &u32| {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd"));
        files.is_ok_and(|mut files| {
            files.any(|file| file.is_ok_and(|file| std::fs::read_link(file.path()).is_ok_and(|target| target == path)))
        })
    };
    let name = |pid: u32| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        format!("process {pid} ({})", name.trim_end())
    };
    pids.filter(|pid| *pid != std::process::id()).filter(has_it_open).map(name).collect()
}
