//! A double of [`Io`] that knows what a power cut would leave: of each journal the bytes that were synced, and of the
//! rest whatever the disk happened to have written.

use std::collections::BTreeMap;
use std::io::Result;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use runcellar::io::{FileIdentity, Io, IoFile, SystemIo};

use super::{Place, Rng, copy_dir};

/// What is known of a file.
#[derive(Debug, Clone, Default)]
struct Known {
    bytes: Vec<u8>,
    synced: usize,
    /// The directory was synced after the file was made.
    named: bool,
    removed: bool,
    /// The directory was synced after the file was removed.
    gone: bool,
}

/// Passes calls on, and keeps account of the journals.
#[derive(Default)]
pub(crate) struct PowerIo {
    files: Arc<Mutex<BTreeMap<PathBuf, Known>>>,
}

/// What of the unsynced bytes the disk has when the power goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut {
    /// Nothing of them.
    Drops,
    /// Some first part.
    Tears,
    /// Some pages, others zeros.
    Reorders,
    /// All of them.
    Keeps,
}

impl PowerIo {
    fn files(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Known>> {
        self.files.lock().expect("unpoisoned")
    }

    /// Returns how many bytes of journals a power cut could take.
    pub(crate) fn unsynced(&self) -> usize {
        self.files().values().filter(|known| !known.removed).map(|known| known.bytes.len() - known.synced).sum()
    }

    /// Makes, in a new place, the workspace as a power cut leaves it.
    ///
    /// cellar.db is copied as it is: SQLite syncs each commit, and the caller sees to it that none is under way.
    pub(crate) fn cut(&self, place: &Place, cut: Cut, rng: &mut Rng) -> Place {
        const PAGE: usize = 4096;
        let files = self.files();
        let after = Place::new();
        copy_dir(&place.workspace(), &after.workspace());
        copy_dir(&place.keys_dir(), &after.keys_dir());
        for left in after.journal_files() {
            std::fs::remove_file(left).expect("removes");
        }
        for (path, known) in files.iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "jnl")) {
            let kept = matches!(cut, Cut::Keeps);
            let there = if known.removed { !known.gone && !kept } else { known.named || kept };
            if !there {
                continue;
            }
            let unsynced = known.bytes.len() - known.synced;
            let mut bytes = known.bytes.clone();
            match cut {
                Cut::Keeps => {}
                Cut::Drops => bytes.truncate(known.synced),
                Cut::Tears => bytes.truncate(known.synced + rng.below(unsynced as u64 + 1) as usize),
                Cut::Reorders => {
                    for page in known.synced / PAGE..bytes.len().div_ceil(PAGE) {
                        if rng.below(2) == 0 {
                            let (start, end) = ((page * PAGE).max(known.synced), ((page + 1) * PAGE).min(bytes.len()));
                            bytes[start..end].fill(0);
                        }
                    }
                }
            }
            let name = path.file_name().expect("a journal has a name");
            std::fs::write(after.journals().join(name), bytes).expect("writes");
        }
        after
    }
}

impl Io for PowerIo {
    fn wall_us(&self) -> i64 {
        SystemIo.wall_us()
    }

    fn monotonic_us(&self) -> i64 {
        SystemIo.monotonic_us()
    }

    fn random(&self, out: &mut [u8]) -> Result<()> {
        SystemIo.random(out)
    }

    fn create_new(&self, path: &Path) -> Result<Arc<dyn IoFile>> {
        let file = SystemIo.create_new(path)?;
        self.files().insert(path.to_owned(), Known::default());
        Ok(Arc::new(PowerFile { file, path: path.to_owned(), files: self.files.clone() }))
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
        SystemIo.sync_dir(path)?;
        for (_, known) in self.files().iter_mut().filter(|(file, _)| file.parent() == Some(path)) {
            known.named = true;
            known.gone = known.removed;
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        SystemIo.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        SystemIo.link(from, to)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        SystemIo.remove(path)?;
        if let Some(known) = self.files().get_mut(path) {
            known.removed = true;
        }
        Ok(())
    }

    fn identity(&self, path: &Path) -> Result<FileIdentity> {
        SystemIo.identity(path)
    }

    fn modified_us(&self, path: &Path) -> Result<i64> {
        SystemIo.modified_us(path)
    }
}

struct PowerFile {
    file: Arc<dyn IoFile>,
    path: PathBuf,
    files: Arc<Mutex<BTreeMap<PathBuf, Known>>>,
}

impl PowerFile {
    fn known<T>(&self, look: impl FnOnce(&mut Known) -> T) -> T {
        look(self.files.lock().expect("unpoisoned").get_mut(&self.path).expect("made here"))
    }
}

impl IoFile for PowerFile {
    fn append(&self, bytes: &[u8]) -> Result<usize> {
        let taken = self.file.append(bytes)?;
        self.known(|known| known.bytes.extend_from_slice(&bytes[..taken]));
        Ok(taken)
    }

    fn read_at(&self, out: &mut [u8], offset: u64) -> Result<usize> {
        self.file.read_at(out, offset)
    }

    fn sync(&self) -> Result<()> {
        // What is appended while the sync runs is not promised.
        let before = self.known(|known| known.bytes.len());
        self.file.sync()?;
        self.known(|known| known.synced = known.synced.max(before));
        Ok(())
    }

    fn len(&self) -> Result<u64> {
        self.file.len()
    }

    fn try_lock(&self) -> Result<bool> {
        self.file.try_lock()
    }

    fn lock_holder(&self) -> Result<Option<u32>> {
        self.file.lock_holder()
    }

    fn identity(&self) -> Result<FileIdentity> {
        self.file.identity()
    }
}
