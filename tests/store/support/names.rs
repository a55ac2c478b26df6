//! A double of [`Io`] that knows which names and bytes a power cut would leave of files that are replaced by renaming:
//! names as of the last sync of their directory, and bytes as of the last sync of their file.

use std::collections::BTreeMap;
use std::io::Result;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use runcellar::io::{FileIdentity, Io, IoFile, SystemIo};

#[derive(Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    synced: usize,
}

type Names = BTreeMap<PathBuf, usize>;

#[derive(Default)]
struct Known {
    contents: Vec<Content>,
    current: Names,
    durable: Names,
}

/// What is asked before each change of a file.
type OnChange = Box<dyn Fn(&NamesIo) + Send + Sync>;

/// Passes calls on, and keeps account of names.
pub(crate) struct NamesIo {
    known: Arc<Mutex<Known>>,
    on_change: Mutex<Option<OnChange>>,
}

impl NamesIo {
    /// Begins with files that are there and durable.
    pub(crate) fn new(files: &[PathBuf]) -> Arc<NamesIo> {
        let mut known = Known::default();
        for (number, path) in files.iter().enumerate() {
            let bytes = std::fs::read(path).expect("reads");
            known.contents.push(Content { synced: bytes.len(), bytes });
            known.current.insert(path.clone(), number);
        }
        known.durable.clone_from(&known.current);
        Arc::new(NamesIo { known: Arc::new(Mutex::new(known)), on_change: Mutex::default() })
    }

    pub(crate) fn before_each_change(&self, ask: Option<OnChange>) {
        *self.on_change.lock().expect("unpoisoned") = ask;
    }

    /// Returns the files of a directory as a power cut leaves them: what was synced alone, or all.
    pub(crate) fn left(&self, directory: &Path, all: bool) -> Vec<(PathBuf, Vec<u8>)> {
        let known = self.known();
        let names = if all { &known.current } else { &known.durable };
        let of_directory = names.iter().filter(|(path, _)| path.parent() == Some(directory));
        let bytes =
            |content: &Content| if all { content.bytes.clone() } else { content.bytes[..content.synced].to_vec() };
        of_directory.map(|(path, number)| (path.clone(), bytes(&known.contents[*number]))).collect()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("unpoisoned")
    }

    fn changes(&self) {
        let ask = self.on_change.lock().expect("unpoisoned");
        if let Some(ask) = &*ask {
            ask(self);
        }
    }
}

impl Io for NamesIo {
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
        self.changes();
        let file = SystemIo.create_new(path)?;
        let mut known = self.known();
        let number = known.contents.len();
        known.contents.push(Content::default());
        known.current.insert(path.to_owned(), number);
        Ok(Arc::new(NamedFile { file, number, known: self.known.clone() }))
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
        self.changes();
        SystemIo.sync_dir(path)?;
        let mut known = self.known();
        known.durable.retain(|name, _| name.parent() != Some(path));
        let now: Names = known.current.clone().into_iter().filter(|(name, _)| name.parent() == Some(path)).collect();
        known.durable.extend(now);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.changes();
        SystemIo.rename(from, to)?;
        let mut known = self.known();
        if let Some(number) = known.current.remove(from) {
            known.current.insert(to.to_owned(), number);
        }
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        SystemIo.link(from, to)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.changes();
        SystemIo.remove(path)?;
        self.known().current.remove(path);
        Ok(())
    }

    fn identity(&self, path: &Path) -> Result<FileIdentity> {
        SystemIo.identity(path)
    }

    fn modified_us(&self, path: &Path) -> Result<i64> {
        SystemIo.modified_us(path)
    }
}

struct NamedFile {
    file: Arc<dyn IoFile>,
    number: usize,
    known: Arc<Mutex<Known>>,
}

impl NamedFile {
    fn content<T>(&self, look: impl FnOnce(&mut Content) -> T) -> T {
        look(&mut self.known.lock().expect("unpoisoned").contents[self.number])
    }
}

impl IoFile for NamedFile {
    fn append(&self, bytes: &[u8]) -> Result<usize> {
        let taken = self.file.append(bytes)?;
        self.content(|content| content.bytes.extend_from_slice(&bytes[..taken]));
        Ok(taken)
    }

    fn read_at(&self, out: &mut [u8], offset: u64) -> Result<usize> {
        self.file.read_at(out, offset)
    }

    fn sync(&self) -> Result<()> {
        self.file.sync()?;
        self.content(|content| content.synced = content.bytes.len());
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
