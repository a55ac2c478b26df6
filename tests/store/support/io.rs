//! A double of [`Io`] that passes calls on to the system, after asking a hook what shall become of each.

use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use runcellar::io::{FileIdentity, Io, IoFile, SystemIo};

/// What the store asks of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Call {
    Random,
    Create,
    Open,
    Read,
    List,
    CreateDir,
    SyncDir,
    Rename,
    Link,
    Remove,
    Identity,
    Append,
    ReadAt,
    Sync,
    Len,
    Lock,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is passed on.
    Done,
    /// It fails with this error number, and nothing happens.
    Fails(i32),
    /// An append takes half of the bytes; another call fails.
    Half,
    /// It is passed on, and reported as failed with this error number.
    DoneAndFails(i32),
}

/// Decides; called before the call is passed on, with the path it is about.
pub(crate) trait Hook: Send + Sync + 'static {
    fn fate(&self, call: Call, path: &Path) -> Fate;

    /// Says which file stands at a path, whatever does.
    fn identity(&self, _path: &Path) -> Option<FileIdentity> {
        None
    }
}

impl<F: Fn(Call, &Path) -> Fate + Send + Sync + 'static> Hook for F {
    fn fate(&self, call: Call, path: &Path) -> Fate {
        self(call, path)
    }
}

/// An [`Io`] with a hook, and clocks that can be moved.
pub(crate) struct Hooked {
    hook: Arc<dyn Hook>,
    monotonic_us: AtomicI64,
    wall_us: AtomicI64,
}

impl Hooked {
    pub(crate) fn new(hook: impl Hook) -> Arc<Hooked> {
        Hooked::shared(Arc::new(hook))
    }

    pub(crate) fn shared(hook: Arc<dyn Hook>) -> Arc<Hooked> {
        Arc::new(Hooked { hook, monotonic_us: AtomicI64::new(0), wall_us: AtomicI64::new(0) })
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, us: i64) {
        self.monotonic_us.fetch_add(us, Ordering::Relaxed);
        self.wall_us.fetch_add(us, Ordering::Relaxed);
    }

    /// Moves the wall clock alone, as its owner or NTP does.
    pub(crate) fn move_wall_clock(&self, us: i64) {
        self.wall_us.fetch_add(us, Ordering::Relaxed);
    }

    fn ask<T>(&self, call: Call, path: &Path, act: impl FnOnce() -> Result<T>) -> Result<T> {
        match self.hook.fate(call, path) {
            Fate::Done => act(),
            Fate::Fails(number) => Err(Error::from_raw_os_error(number)),
            Fate::Half => Err(Error::from_raw_os_error(libc::EIO)),
            Fate::DoneAndFails(number) => act().and(Err(Error::from_raw_os_error(number))),
        }
    }

    fn file(&self, path: &Path, file: Arc<dyn IoFile>) -> Arc<dyn IoFile> {
        Arc::new(HookedFile { hook: self.hook.clone(), path: path.to_owned(), file })
    }
}

impl Io for Hooked {
    fn wall_us(&self) -> i64 {
        SystemIo.wall_us() + self.wall_us.load(Ordering::Relaxed)
    }

    fn monotonic_us(&self) -> i64 {
        SystemIo.monotonic_us() + self.monotonic_us.load(Ordering::Relaxed)
    }

    fn random(&self, out: &mut [u8]) -> Result<()> {
        self.ask(Call::Random, Path::new(""), || SystemIo.random(out))
    }

    fn create_new(&self, path: &Path) -> Result<Arc<dyn IoFile>> {
        self.ask(Call::Create, path, || Ok(self.file(path, SystemIo.create_new(path)?)))
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn IoFile>> {
        self.ask(Call::Open, path, || Ok(self.file(path, SystemIo.open(path)?)))
    }

    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>> {
        self.ask(Call::Read, path, || SystemIo.read(path, limit))
    }

    fn list(&self, path: &Path) -> Result<Vec<PathBuf>> {
        self.ask(Call::List, path, || SystemIo.list(path))
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        self.ask(Call::CreateDir, path, || SystemIo.create_dir(path))
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        self.ask(Call::SyncDir, path, || SystemIo.sync_dir(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.ask(Call::Rename, to, || SystemIo.rename(from, to))
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        self.ask(Call::Link, to, || SystemIo.link(from, to))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.ask(Call::Remove, path, || SystemIo.remove(path))
    }

    fn identity(&self, path: &Path) -> Result<FileIdentity> {
        self.ask(Call::Identity, path, || self.hook.identity(path).map_or_else(|| SystemIo.identity(path), Ok))
    }

    fn modified_us(&self, path: &Path) -> Result<i64> {
        self.ask(Call::Identity, path, || SystemIo.modified_us(path))
    }
}

struct HookedFile {
    hook: Arc<dyn Hook>,
    path: PathBuf,
    file: Arc<dyn IoFile>,
}

impl HookedFile {
    fn ask<T>(&self, call: Call, act: impl FnOnce() -> Result<T>) -> Result<T> {
        match self.hook.fate(call, &self.path) {
            Fate::Done => act(),
            Fate::Fails(number) => Err(Error::from_raw_os_error(number)),
            Fate::Half => Err(Error::from_raw_os_error(libc::EIO)),
            Fate::DoneAndFails(number) => act().and(Err(Error::from_raw_os_error(number))),
        }
    }
}

impl IoFile for HookedFile {
    fn append(&self, bytes: &[u8]) -> Result<usize> {
        match self.hook.fate(Call::Append, &self.path) {
            Fate::Done => self.file.append(bytes),
            Fate::Fails(number) => Err(Error::from_raw_os_error(number)),
            Fate::Half => self.file.append(&bytes[..bytes.len() / 2]),
            Fate::DoneAndFails(number) => self.file.append(bytes).and(Err(Error::from_raw_os_error(number))),
        }
    }

    fn read_at(&self, out: &mut [u8], offset: u64) -> Result<usize> {
        self.ask(Call::ReadAt, || self.file.read_at(out, offset))
    }

    fn sync(&self) -> Result<()> {
        self.ask(Call::Sync, || self.file.sync())
    }

    fn len(&self) -> Result<u64> {
        self.ask(Call::Len, || self.file.len())
    }

    fn try_lock(&self) -> Result<bool> {
        self.ask(Call::Lock, || self.file.try_lock())
    }

    fn lock_holder(&self) -> Result<Option<u32>> {
        self.file.lock_holder()
    }

    fn identity(&self) -> Result<FileIdentity> {
        self.ask(Call::Identity, || self.file.identity())
    }
}

/// Lets the calls from the `first` to before the `end` of those that `counts` meet a fate; counts from 1 once armed.
pub(crate) struct Faults {
    pub(crate) counts: fn(Call) -> bool,
    pub(crate) first: u64,
    pub(crate) end: u64,
    pub(crate) fate: Fate,
    armed: AtomicBool,
    seen: AtomicU64,
}

impl Faults {
    pub(crate) fn new(counts: fn(Call) -> bool, first: u64, end: u64, fate: Fate) -> Arc<Faults> {
        Arc::new(Faults { counts, first, end, fate, armed: AtomicBool::new(false), seen: AtomicU64::new(0) })
    }

    pub(crate) fn arm(&self, armed: bool) {
        self.armed.store(armed, Ordering::SeqCst);
    }

    /// Returns how many calls were counted.
    pub(crate) fn seen(&self) -> u64 {
        self.seen.load(Ordering::SeqCst)
    }
}

impl Hook for Faults {
    fn fate(&self, call: Call, _path: &Path) -> Fate {
        if !self.armed.load(Ordering::SeqCst) || !(self.counts)(call) {
            return Fate::Done;
        }
        let number = self.seen.fetch_add(1, Ordering::SeqCst) + 1;
        if (self.first..self.end).contains(&number) { self.fate } else { Fate::Done }
    }
}

/// Stops a thread at a chosen call, with whatever locks it holds; not the one that made the gate, and not in a forked
/// child.
pub(crate) struct Gate {
    at: fn(Call, &Path) -> bool,
    armed: AtomicBool,
    maker: std::thread::ThreadId,
    process: u32,
    reached: Mutex<bool>,
    open: AtomicBool,
    changed: Condvar,
}

impl Hook for Gate {
    fn fate(&self, call: Call, path: &Path) -> Fate {
        let stopped = self.armed.load(Ordering::SeqCst)
            && std::process::id() == self.process
            && std::thread::current().id() != self.maker
            && (self.at)(call, path);
        if stopped {
            let mut reached = self.reached.lock().expect("unpoisoned");
            *reached = true;
            self.changed.notify_all();
            while !self.open.load(Ordering::SeqCst) {
                reached = self.changed.wait(reached).expect("unpoisoned");
            }
        }
        Fate::Done
    }
}

impl Gate {
    pub(crate) fn new(at: fn(Call, &Path) -> bool) -> Arc<Gate> {
        Arc::new(Gate {
            at,
            armed: AtomicBool::new(false),
            maker: std::thread::current().id(),
            process: std::process::id(),
            reached: Mutex::new(false),
            open: AtomicBool::new(false),
            changed: Condvar::new(),
        })
    }

    pub(crate) fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    /// Waits until a thread is stopped.
    pub(crate) fn wait(&self) {
        let mut reached = self.reached.lock().expect("unpoisoned");
        while !*reached {
            reached = self.changed.wait(reached).expect("unpoisoned");
        }
    }

    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
        self.changed.notify_all();
    }
}

pub(crate) fn is_journal(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "jnl")
}

pub(crate) fn in_background() -> bool {
    std::thread::current().name() == Some("runcellar")
}
