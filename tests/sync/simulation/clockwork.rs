//! What a simulated device has of the world: files of the system, random numbers that follow from a seed, and a clock that goes
//! on by a little whenever somebody looks at it. So a seed gives the same schedule each time, but for the threads of the store.

use std::collections::BTreeMap;
use std::io::Result;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use runcellar::io::{FileIdentity, Io, IoFile, SystemIo};

/// By how much the clock goes on when it is looked at.
const TICK_US: i64 = 1000;

/// Numbers that follow from a seed (splitmix64).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound.max(1) as u64) as usize
    }

    pub(super) fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }
}

/// The time that all devices of a schedule share, from which each is off by as much as its own clock is wrong.
pub(super) type Time = Arc<AtomicI64>;

/// The [`Io`] of one device.
pub(super) struct Clockwork {
    time: Time,
    skew_us: i64,
    dice: Mutex<Dice>,
    /// Files that pass for others, as those of a machine that was set back to an earlier image.
    posing: BTreeMap<FileIdentity, FileIdentity>,
}

impl Clockwork {
    pub(super) fn new(time: &Time, skew_us: i64, seed: u64) -> Clockwork {
        Clockwork { time: time.clone(), skew_us, dice: Mutex::new(Dice::new(seed)), posing: BTreeMap::new() }
    }

    /// Has a file pass for another.
    pub(super) fn pose(mut self, file: &Path, other: &Path) -> Clockwork {
        let identity = |path: &Path| {
            let metadata = std::fs::metadata(path).expect("is there");
            (metadata.dev(), metadata.ino())
        };
        self.posing.insert(identity(file), identity(other));
        self
    }
}

impl Io for Clockwork {
    fn wall_us(&self) -> i64 {
        self.time.fetch_add(TICK_US, Ordering::Relaxed) + self.skew_us
    }

    fn monotonic_us(&self) -> i64 {
        SystemIo.monotonic_us()
    }

    fn random(&self, out: &mut [u8]) -> Result<()> {
        let mut dice = self.dice.lock().expect("nobody panics with it");
        out.chunks_mut(8).for_each(|part| part.copy_from_slice(&dice.roll().to_le_bytes()[..part.len()]));
        Ok(())
    }

    fn create_new(&self, path: &Path) -> Result<Arc<dyn IoFile>> {
        SystemIo.create_new(path)
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn IoFile>> {
        SystemIo.open(path)
    }

    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>> {
        SystemIo.read(path, limit)
    }

    fn list(&self, path: &Path) -> Result<Vec<PathBuf>> {
        SystemIo.list(path)
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        SystemIo.create_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        SystemIo.sync_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        SystemIo.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        SystemIo.link(from, to)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        SystemIo.remove(path)
    }

    fn identity(&self, path: &Path) -> Result<FileIdentity> {
        let found = SystemIo.identity(path)?;
        Ok(self.posing.get(&found).copied().unwrap_or(found))
    }

    fn modified_us(&self, path: &Path) -> Result<i64> {
        SystemIo.modified_us(path)
    }
}
