//! The console at the level of descriptors: what this process and the programs that it starts write to standard output
//! and error is recorded, and arrives where it did before, byte by byte.
//!
//! ```text
//! descriptors 1 and 2 -> pipe or pseudo terminal -> tee -> where they led before
//!                                                    \---> pipe -> a thread of ours -> the run's console
//! ```
//!
//! `tee` is a process of its own, so that the last words of a program arrive even if it is killed in the same moment,
//! and so that programs it has left behind can go on writing: it ends when the last writer has. It forwards before it
//! passes on, so what has reached our thread has been forwarded. If `tee` itself is killed, the thread forwards in its
//! place; only what `tee` was holding in that moment is lost.

mod descriptors;

use std::io::{Error, PipeReader, PipeWriter, Result, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use runcellar::{Run, Stream};

use descriptors::{Identity, Private};

/// What `sh` runs: input, output and error are the source, where it led, and the record. The shell says by its exit
/// code that there is a `tee`, which goes on without it: nobody who waits for children of this process meets it. Signals
/// that end the program are not for it.
const SCRIPT: &str = "\
command -v tee >/dev/null 2>/dev/null || exit 3
trap '' HUP INT QUIT PIPE TERM
cd /
exec 3<&0 5>&2 2>/dev/null
test -e /dev/fd/5 || exit 4
tee /dev/fd/5 <&3 3<&- &";
/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;
/// What the pipe to our thread holds, if the system grants it: what may come between two looks.
const RECORD_BYTES: i32 = 256 << 10;
/// Pause after a look that found little: lines that come one by one are recorded together. What waits stands in
/// the pipe.
const COALESCE: Duration = Duration::from_millis(50);
/// What counts as little, in one look and within [`COALESCE`]; more means a flood, which is not held up: a pause whenever
/// the pipe had just run empty made the program wait for us nearly all the time.
const LITTLE_BYTES: usize = 32 << 10;
/// Pause between looks when nothing comes: at the terminal's size, and whether anybody is left to forward to.
const IDLE_MS: i32 = 1000;
/// Silence after which what was under way counts as done, if the end cannot be told.
const QUIET_MS: i32 = 20;
/// How long the end waits for a terminal that does not take what is written to it.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// The console of one run, captured.
pub(crate) struct Tap {
    process: u32,
    running: Mutex<Option<Running>>,
}

struct Running {
    thread: JoinHandle<()>,
    /// Closed to stop the thread.
    wake: PipeWriter,
}

impl Tap {
    /// Captures standard output and error, as far as they are open, into the console of `run`.
    ///
    /// If anything fails, nothing is changed. When this returns, what is written is recorded.
    pub(crate) fn start(run: Arc<Run>) -> Result<Tap> {
        let wanted: &[(Stream, &[RawFd])] = match descriptors::is_same(1, 2) {
            true => &[(Stream::Both, &[1, 2])],
            false => &[(Stream::Out, &[1]), (Stream::Err, &[2])],
        };
        let mut made = Vec::new();
        for (stream, fds) in wanted.iter().filter(|(_, fds)| descriptors::can_be_forwarded_to(fds[0])) {
            made.push(Source::make(*stream, fds)?);
        }
        // Started side by side, and waited for together.
        let mut sources = Vec::new();
        for (source, mut shell) in made {
            // A program that ignores its children's ends, or waits for all of them, has taken the answer.
            if shell.wait().is_ok_and(|status| !status.success()) {
                return Err(Error::other("no tee that could forward the output"));
            }
            sources.push(source);
        }
        let (stopped, wake) = std::io::pipe()?;
        let stopped = Private::new(stopped.into())?;
        for source in &mut sources {
            source.take_over()?;
        }
        let thread = std::thread::Builder::new().name("runcellar-cons".into()).spawn(move || {
            let mut pump = Pump { run, sources, buffer: vec![0; READ_BYTES] };
            pump.run(&stopped);
        })?;
        Ok(Tap { process: std::process::id(), running: Mutex::new(Some(Running { thread, wake })) })
    }

    /// Gives the descriptors back, and returns when all that was written has been forwarded and recorded. Does
    /// nothing in a forked child, and nothing the second time.
    pub(crate) fn stop(&self) {
        if std::process::id() != self.process {
            return;
        }
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Running { thread, mut wake }) = running {
            // It also stops if this end closes.
            let _ = wake.write_all(b"x");
            drop(wake);
            // A thread that panicked has dropped what it held: tee goes on without a record.
            let _ = thread.join();
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        if std::process::id() == self.process {
            return self.stop();
        }
        // Thread and descriptor are the parent's; nobody can hold the lock, as this is the last owner.
        if let Ok(mut running) = self.running.try_lock() {
            std::mem::forget(running.take());
        }
    }
}

/// One stream: what is written to it, where it led before, and the record of it.
struct Source {
    stream: Stream,
    fds: Vec<RawFd>,
    /// Where it led before.
    before: Private,
    /// Reading side of what the descriptors stand for now. Kept so that nobody who writes meets a broken pipe, even if
    /// tee is killed.
    reading: Private,
    /// Writing side, until the descriptors stand for it.
    writing: Option<OwnedFd>,
    now: Identity,
    record: Private,
    terminal: Option<libc::winsize>,
    taken: bool,
    /// Tee was killed: what it would have done is ours to do.
    orphaned: bool,
}

impl Source {
    /// Makes everything but the last step, and the shell that starts `tee`.
    fn make(stream: Stream, fds: &[RawFd]) -> Result<(Source, Child)> {
        let before = descriptors::duplicate(fds[0])?;
        let terminal = descriptors::is_terminal(fds[0]);
        let (reading, writing): (OwnedFd, OwnedFd) = match terminal {
            true => descriptors::terminal_like(fds[0])?,
            false => std::io::pipe().map(|(reading, writing)| (reading.into(), writing.into()))?,
        };
        let (record, to_record): (PipeReader, PipeWriter) = std::io::pipe()?;
        descriptors::widen_pipe(record.as_fd(), RECORD_BYTES);
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
        let shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT])
            .env_clear()
            .env("PATH", path)
            .stdin(reading.try_clone()?)
            .stdout(before.try_clone()?)
            .stderr(to_record)
            .spawn()?;
        let source = Source {
            stream,
            fds: fds.to_vec(),
            before: Private::new(before)?,
            terminal: descriptors::size_of(reading.as_raw_fd()).filter(|_| terminal),
            reading: Private::new(reading)?,
            now: descriptors::identity(writing.as_raw_fd())?,
            writing: Some(writing),
            record: Private::new(record.into())?,
            taken: false,
            orphaned: false,
        };
        Ok((source, shell))
    }

    /// Makes the descriptors stand for the new file.
    fn take_over(&mut self) -> Result<()> {
        let Some(writing) = self.writing.take() else { return Ok(()) };
        self.taken = true;
        self.fds.iter().try_for_each(|fd| descriptors::put_in_place(writing.as_fd(), *fd))
    }

    /// Makes the descriptors stand again for what they stood for before, unless somebody else has changed them.
    fn give_back(&mut self) {
        if std::mem::take(&mut self.taken) {
            for fd in &self.fds {
                if descriptors::identity(*fd).is_ok_and(|identity| identity == self.now)
                    && let Some(before) = self.before.fd()
                {
                    // It cannot fail for lack of descriptors, and there is nobody to be told.
                    let _ = descriptors::put_in_place(before, *fd);
                }
            }
        }
    }

    /// Returns where the next bytes to be recorded come from.
    fn looked_at(&self) -> &Private {
        if self.orphaned { &self.reading } else { &self.record }
    }

    /// Does what tee would do; false if nobody is left to forward to.
    fn forward(&self, bytes: &[u8]) -> bool {
        self.before.fd().is_some_and(|before| descriptors::write_all(before, bytes).is_ok())
    }

    /// Returns how much has been written and not been taken up by tee.
    fn waiting(&self) -> usize {
        self.reading.fd().map_or(0, descriptors::readable_bytes)
    }

    /// Looks after what can change at any time.
    fn tend(&mut self) {
        if let Some(size) = &mut self.terminal
            && let Some(real) = descriptors::size_of(self.before.raw())
        {
            let shape = |size: &libc::winsize| (size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel);
            if shape(size) != shape(&real) {
                *size = real;
                if let Some(reading) = self.reading.fd() {
                    descriptors::set_size(reading, size);
                }
            }
        }
        // Nobody is left to forward to (`| head`): the program is to learn that from its next write.
        if descriptors::poll(&[(self.before.raw(), false)], 0)[0] & (libc::POLLERR | libc::POLLNVAL) != 0 {
            self.give_back();
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// What the thread does.
struct Pump {
    run: Arc<Run>,
    sources: Vec<Source>,
    buffer: Vec<u8>,
}

impl Pump {
    fn run(&mut self, stopped: &Private) {
        let (mut since, mut taken, mut flooded) = (Instant::now(), 0, false);
        while !self.sources.is_empty() {
            let found = self.look(stopped.raw(), IDLE_MS);
            taken += found.bytes;
            if since.elapsed() >= COALESCE {
                flooded = taken >= LITTLE_BYTES;
                (since, taken) = (Instant::now(), 0);
            }
            if found.stop {
                return self.drain();
            }
            self.sources.iter_mut().for_each(Source::tend);
            if found.bytes == 0 {
                self.run.console(Stream::Note, b"");
            } else if !flooded && found.bytes < LITTLE_BYTES && !self.sources.iter().any(|source| source.orphaned) {
                let pause = i32::try_from(COALESCE.as_millis()).unwrap_or(i32::MAX);
                if descriptors::poll(&[(stopped.raw(), true)], pause)[0] != 0 {
                    return self.drain();
                }
            }
        }
    }

    /// Ends it: waits until tee has taken up what was written, gives the descriptors back, and takes in the rest.
    fn drain(&mut self) {
        let begin = Instant::now();
        while self.sources.iter().any(|source| source.waiting() > 0) && begin.elapsed() < DRAIN_MAX / 5 {
            self.look(-1, 1);
        }
        self.sources.iter_mut().for_each(Source::give_back);
        // Tee ends with its last writer, which usually we are; else it is the silence that tells.
        while !self.sources.is_empty() && begin.elapsed() < DRAIN_MAX {
            let found = self.look(-1, QUIET_MS);
            if found.bytes == 0 && self.sources.iter().all(|source| source.waiting() == 0) {
                return;
            }
        }
    }

    /// Waits for something to come, and takes in what is there.
    fn look(&mut self, stopped: RawFd, timeout_ms: i32) -> Found {
        let mut fds = vec![(stopped, true)];
        fds.extend(self.sources.iter().map(|source| (source.looked_at().raw(), true)));
        let events = descriptors::poll(&fds, timeout_ms);
        let mut found = Found { bytes: 0, stop: stopped >= 0 && events[0] != 0 };
        let mut ended = Vec::new();
        for (index, source) in self.sources.iter_mut().enumerate().filter(|(index, _)| events[index + 1] != 0) {
            // A program that closes all descriptors may have given the number to another file.
            let looked_at = source.looked_at().fd();
            match looked_at.and_then(|fd| descriptors::read(fd, &mut self.buffer).ok()) {
                Some(count @ 1..) => {
                    found.bytes += count;
                    let bytes = &self.buffer[..count];
                    if source.orphaned && !source.forward(bytes) {
                        ended.push(index);
                    }
                    self.run.console(source.stream, bytes);
                }
                _ if !source.orphaned && (source.taken || source.waiting() > 0) => source.orphaned = true,
                _ => ended.push(index),
            }
        }
        for index in ended.into_iter().rev() {
            self.sources.remove(index);
        }
        found
    }
}

/// What one look found.
struct Found {
    bytes: usize,
    stop: bool,
}
