//! What the standard library does not offer of descriptors: which file one is, putting one in another's place, pseudo
//! terminals, and closing what a forked child must not keep.

#![allow(unsafe_code, reason = "calls of libc")]

use std::io::{Error, Result};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, IntoRawFd as _, OwnedFd, RawFd};
use std::sync::Once;
use std::sync::atomic::{AtomicI32, Ordering};

/// Descriptors of all captures of a process that a forked child closes: two streams, and some to spare.
const CLOSED_IN_CHILDREN: usize = 16;

fn outcome(result: libc::c_int) -> Result<libc::c_int> {
    if result == -1 { Err(Error::last_os_error()) } else { Ok(result) }
}

/// Which file a descriptor stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: libc::dev_t,
    inode: libc::ino_t,
    special: libc::dev_t,
    is_file: bool,
}

/// Returns which file a descriptor stands for.
pub(super) fn identity(fd: RawFd) -> Result<Identity> {
    // SAFETY: an all-zero stat is a valid value of this plain C struct.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `stat` is writable for the length of the call; a descriptor that is not open is an error.
    outcome(unsafe { libc::fstat(fd, &raw mut stat) })?;
    let is_file = stat.st_mode & libc::S_IFMT == libc::S_IFREG;
    Ok(Identity { device: stat.st_dev, inode: stat.st_ino, special: stat.st_rdev, is_file })
}

/// Returns true if what is written to either arrives in one order at one place.
pub(super) fn is_same(left: RawFd, right: RawFd) -> bool {
    let (Ok(one), Ok(other)) = (identity(left), identity(right)) else { return false };
    // Two descriptors of one file that was opened twice have a place each, and overwrite each other: that is to stay.
    // SAFETY: reads the place of a descriptor.
    let place = |fd| unsafe { libc::lseek(fd, 0, libc::SEEK_CUR) };
    one == other && (!one.is_file || (place(left) == place(right) && flags(left).ok() == flags(right).ok()))
}

fn flags(fd: RawFd) -> Result<libc::c_int> {
    // SAFETY: reads the flags of a descriptor.
    outcome(unsafe { libc::fcntl(fd, libc::F_GETFL) })
}

/// Returns true if a descriptor is open, can be written, and waits while it cannot.
pub(super) fn can_be_forwarded_to(fd: RawFd) -> bool {
    flags(fd).is_ok_and(|flags| flags & libc::O_ACCMODE != libc::O_RDONLY && flags & libc::O_NONBLOCK == 0)
}

/// Returns a descriptor more of the same open file; started programs do not get it.
pub(super) fn duplicate(fd: RawFd) -> Result<OwnedFd> {
    // SAFETY: makes a descriptor; nobody else owns the new one.
    let new = outcome(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}

/// Makes the descriptor `to` stand for the open file of `from`.
pub(super) fn put_in_place(from: BorrowedFd<'_>, to: RawFd) -> Result<()> {
    loop {
        // SAFETY: `to` is standard output or error, which no object of ours owns.
        match outcome(unsafe { libc::dup2(from.as_raw_fd(), to) }) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            other => return other.map(drop),
        }
    }
}

/// Returns how many bytes are there to be read; none where that cannot be told.
pub(super) fn readable_bytes(fd: BorrowedFd<'_>) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
    if result == -1 { 0 } else { usize::try_from(bytes).unwrap_or(0) }
}

/// Asks for a pipe that holds so many bytes; it may hold fewer.
#[cfg(target_os = "linux")]
pub(super) fn widen_pipe(fd: BorrowedFd<'_>, bytes: libc::c_int) {
    // SAFETY: changes the size of a pipe's buffer. A refusal changes nothing.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETPIPE_SZ, bytes) };
}

#[cfg(not(target_os = "linux"))]
pub(super) fn widen_pipe(_fd: BorrowedFd<'_>, _bytes: libc::c_int) {}

/// Waits until one of the descriptors has something, or the time is over; returns what `poll` says of each.
pub(super) fn poll(fds: &[(RawFd, bool)], timeout_ms: libc::c_int) -> Vec<libc::c_short> {
    let entry = |(fd, reads): &(RawFd, bool)| libc::pollfd {
        fd: *fd,
        events: if *reads { libc::POLLIN } else { 0 },
        revents: 0,
    };
    let mut entries: Vec<libc::pollfd> = fds.iter().map(entry).collect();
    let count = entries.len() as libc::nfds_t;
    // SAFETY: the array has `count` entries. An interrupted call counts as one in which nothing came.
    unsafe { libc::poll(entries.as_mut_ptr(), count, timeout_ms) };
    entries.iter().map(|entry| entry.revents).collect()
}

/// Reads what is there.
pub(super) fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize> {
    // SAFETY: the buffer is writable for its length.
    let count = unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
    usize::try_from(count).map_err(|_| Error::last_os_error())
}

/// Writes all of it.
pub(super) fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        // SAFETY: the bytes are readable for their length.
        let count = unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(count) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(_) => match Error::last_os_error() {
                error if error.kind() == std::io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    }
    Ok(())
}

pub(super) fn is_terminal(fd: RawFd) -> bool {
    // SAFETY: asks about a descriptor.
    unsafe { libc::isatty(fd) == 1 }
}

/// Makes a pseudo terminal of the size and modes of `like`: its master and its other side.
///
/// It passes bytes on as they are, as the terminal behind it does what there is to be done with them.
pub(super) fn terminal_like(like: RawFd) -> Result<(OwnedFd, OwnedFd)> {
    let (master, slave) = open_terminal()?;
    // SAFETY: an all-zero termios is a valid value of this plain C struct.
    let mut modes: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: `modes` is writable, and then readable, for the length of the calls.
    unsafe {
        outcome(libc::tcgetattr(like, &raw mut modes))?;
        modes.c_oflag &= !libc::OPOST;
        modes.c_lflag &= !(libc::ECHO | libc::ISIG);
        outcome(libc::tcsetattr(slave.as_raw_fd(), libc::TCSANOW, &raw const modes))?;
    }
    if let Some(size) = size_of(like) {
        set_size(master.as_fd(), &size);
    }
    Ok((master, slave))
}

#[cfg(target_os = "linux")]
fn open_terminal() -> Result<(OwnedFd, OwnedFd)> {
    // SAFETY: makes a descriptor that nobody else owns.
    let master = outcome(unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC) })?;
    // SAFETY: as above.
    let master = unsafe { OwnedFd::from_raw_fd(master) };
    let mut name = [0; 64];
    // SAFETY: the master is open, and the buffer is writable for the length that is given.
    let slave = unsafe {
        outcome(libc::grantpt(master.as_raw_fd()))?;
        outcome(libc::unlockpt(master.as_raw_fd()))?;
        match libc::ptsname_r(master.as_raw_fd(), name.as_mut_ptr(), name.len()) {
            0 => outcome(libc::open(name.as_ptr(), libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC))?,
            code => return Err(Error::from_raw_os_error(code)),
        }
    };
    // SAFETY: just opened.
    Ok((master, unsafe { OwnedFd::from_raw_fd(slave) }))
}

#[cfg(not(target_os = "linux"))]
fn open_terminal() -> Result<(OwnedFd, OwnedFd)> {
    let (mut master, mut slave) = (-1, -1);
    let null = std::ptr::null_mut();
    // SAFETY: both places are writable, and the rest may be null.
    outcome(unsafe { libc::openpty(&raw mut master, &raw mut slave, null.cast(), null.cast(), null.cast()) })?;
    // SAFETY: just opened; nobody else owns them.
    let pair = unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
    for fd in [master, slave] {
        // SAFETY: sets a flag of a descriptor of ours.
        outcome(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    }
    Ok(pair)
}

/// Size of a terminal, as the system has it.
pub(super) fn size_of(fd: RawFd) -> Option<libc::winsize> {
    // SAFETY: an all-zero winsize is a valid value of this plain C struct.
    let mut size: libc::winsize = unsafe { std::mem::zeroed() };
    // SAFETY: TIOCGWINSZ writes one winsize.
    (unsafe { libc::ioctl(fd, libc::TIOCGWINSZ, &raw mut size) } == 0).then_some(size)
}

/// Gives a pseudo terminal the size of another.
pub(super) fn set_size(master: BorrowedFd<'_>, size: &libc::winsize) {
    // SAFETY: TIOCSWINSZ reads one winsize. A refusal leaves the old size.
    unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ, std::ptr::from_ref(size)) };
}

static CLOSED: [AtomicI32; CLOSED_IN_CHILDREN] = [const { AtomicI32::new(-1) }; CLOSED_IN_CHILDREN];

/// A descriptor that forked children close. A program that closes all descriptors at once may give its number to
/// another file, which is then left alone.
pub(super) struct Private {
    raw: RawFd,
    identity: Identity,
}

impl Private {
    pub(super) fn new(fd: OwnedFd) -> Result<Private> {
        static REGISTERED: Once = Once::new();
        REGISTERED.call_once(|| {
            // SAFETY: the handler has the C calling convention and lives as long as the process.
            unsafe { libc::pthread_atfork(None, None, Some(close_in_child)) };
        });
        let identity = identity(fd.as_raw_fd())?;
        let raw = fd.into_raw_fd();
        let free = |place: &&AtomicI32| place.compare_exchange(-1, raw, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        // One too many stays open in children, who then hold a pipe that nobody reads: no worse than any other.
        let _ = CLOSED.iter().find(free);
        Ok(Private { raw, identity })
    }

    /// Returns the descriptor, if it still is what it was.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        let is_ours = identity(self.raw).is_ok_and(|identity| identity == self.identity);
        // SAFETY: open, and ours until `self` is dropped.
        is_ours.then(|| unsafe { BorrowedFd::borrow_raw(self.raw) })
    }

    pub(super) fn raw(&self) -> RawFd {
        self.raw
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        let is_ours = self.fd().is_some();
        for place in &CLOSED {
            // Not found if there was no place.
            let _ = place.compare_exchange(self.raw, -1, Ordering::AcqRel, Ordering::Relaxed);
        }
        if is_ours {
            // SAFETY: made of an owned descriptor, and closed once.
            unsafe { libc::close(self.raw) };
        }
    }
}

/// Runs in a forked child, where only what is safe in a signal handler may be called.
extern "C" fn close_in_child() {
    for place in &CLOSED {
        let fd = place.swap(-1, Ordering::Relaxed);
        if fd >= 0 {
            // SAFETY: the objects that own it belong to a thread that does not exist here, and are never dropped.
            unsafe { libc::close(fd) };
        }
    }
}
