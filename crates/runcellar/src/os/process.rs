//! Processes that this one starts: in a group of their own, read within a time, and ended with all that they started.

use std::os::fd::AsRawFd;
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
