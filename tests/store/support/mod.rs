//! What the tests share: places, monitors, rows that can be recognised, file doubles, and other processes.

pub(crate) mod child;
pub(crate) mod everything;
pub(crate) mod io;
pub(crate) mod names;
pub(crate) mod outsider;
pub(crate) mod power;
pub(crate) mod rows;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use runcellar::io::Io;
use runcellar::{FileSystemMode, Keys, Monitor, OpenOptions, Result, Workspace};

/// A temporary directory with a workspace and a directory of keys in it.
pub(crate) struct Place {
    root: PathBuf,
    _owned: Option<tempfile::TempDir>,
}

impl Place {
    pub(crate) fn new() -> Place {
        let owned = tempfile::tempdir().expect("a temporary directory");
        Place { root: owned.path().to_owned(), _owned: Some(owned) }
    }

    /// The place of another process; not removed at the end.
    pub(crate) fn at(root: impl Into<PathBuf>) -> Place {
        Place { root: root.into(), _owned: None }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn workspace(&self) -> PathBuf {
        self.root.join("w")
    }

    pub(crate) fn keys_dir(&self) -> PathBuf {
        self.root.join("keys")
    }

    pub(crate) fn journals(&self) -> PathBuf {
        self.workspace().join("journals")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.workspace().join("cellar.db")
    }

    pub(crate) fn keys(&self) -> Keys {
        Keys { directory: Some(self.keys_dir()), ..Keys::default() }
    }

    pub(crate) fn options(&self) -> OpenOptions {
        OpenOptions { keys: self.keys(), create: true, file_system: file_system(), ..OpenOptions::default() }
    }

    pub(crate) fn try_open(&self) -> Result<Workspace> {
        self.options().open(&self.workspace())
    }

    /// Opens the workspace, making it on first use.
    pub(crate) fn open(&self) -> Workspace {
        self.try_open().expect("the workspace opens")
    }

    pub(crate) fn open_with(&self, io: Arc<dyn Io>, monitor: Arc<dyn Monitor>) -> Result<Workspace> {
        OpenOptions { io, monitor, ..self.options() }.open(&self.workspace())
    }

    /// Opens the workspace and fails if anything was said.
    pub(crate) fn open_silently(&self) -> Workspace {
        let heard = Arc::new(Heard::default());
        let workspace = OpenOptions { monitor: heard.clone(), ..self.options() }.open(&self.workspace());
        let workspace = workspace.expect("the workspace opens");
        assert_eq!(heard.all(), Vec::<String>::new(), "nothing to say");
        workspace
    }

    /// Opens the workspace to look only: journals of dead writers stay.
    pub(crate) fn look(&self) -> Workspace {
        OpenOptions { recover: false, ..self.options() }.open(&self.workspace()).expect("the workspace opens")
    }

    pub(crate) fn journal_files(&self) -> Vec<PathBuf> {
        list(&self.journals())
    }

    /// On a network file system: makes journals that nothing was written to look ten minutes older.
    ///
    /// Such a file does not say whose it is, so it stays there for as long as a writer may be silent. On a disk its lock
    /// tells at once that nobody has it.
    pub(crate) fn ten_minutes_pass(&self) {
        let is_empty = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|found| found.len() == 0);
        if is_network() {
            self.journal_files().iter().filter(|path| is_empty(path)).for_each(|path| age(path, "-11 minutes"));
        }
    }
}

/// Returns what `RUNCELLAR_TEST_FILE_SYSTEM` says that workspaces lie on: all of these tests hold for `network`, too.
pub(crate) fn file_system() -> FileSystemMode {
    match std::env::var("RUNCELLAR_TEST_FILE_SYSTEM").as_deref() {
        Ok("network") => FileSystemMode::Network,
        Ok("local") => FileSystemMode::Local,
        _ => FileSystemMode::Auto,
    }
}

pub(crate) fn is_network() -> bool {
    file_system() == FileSystemMode::Network
}

/// Lists the files in a directory by name.
pub(crate) fn list(directory: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(directory).expect("lists").map(|entry| entry.expect("reads").path()).collect();
    all.sort();
    all
}

/// Copies a directory by another process: to open cellar.db or a journal here and close it again would drop the locks
/// that this process holds on them.
pub(crate) fn copy_dir(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-r").arg(from).arg(to).status().expect("cp runs");
    assert!(status.success(), "cp -r {} {}", from.display(), to.display());
}

/// Makes a file look as if it was last written some time ago; another process does it, as a journal may be open here.
pub(crate) fn age(path: &Path, ago: &str) {
    // One that has gone meanwhile is not to come back empty.
    let touched = std::process::Command::new("touch").args(["-c", "-d", ago]).arg(path).status();
    let status = touched.expect("touch runs");
    assert!(status.success(), "touch {}", path.display());
}

/// A monitor that remembers what it was told.
#[derive(Default)]
pub(crate) struct Heard {
    notes: Mutex<Vec<String>>,
    warnings: Mutex<Vec<String>>,
}

impl Heard {
    pub(crate) fn notes(&self) -> Vec<String> {
        self.notes.lock().expect("unpoisoned").clone()
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        self.warnings.lock().expect("unpoisoned").clone()
    }

    pub(crate) fn all(&self) -> Vec<String> {
        [self.notes(), self.warnings()].concat()
    }
}

impl Monitor for Heard {
    fn note(&self, text: &str) {
        self.notes.lock().expect("unpoisoned").push(text.to_owned());
    }

    fn warn(&self, text: &str) {
        self.warnings.lock().expect("unpoisoned").push(text.to_owned());
    }
}

/// Small reproducible randomness (SplitMix64, Steele et al., OOPSLA 2014, doi:10.1145/2660193.2660195).
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    /// Takes the seed of `RUNCELLAR_SEED`, or one of the clock, and prints it for a failed test to show.
    #[allow(clippy::print_stderr, reason = "shown only if the test fails")]
    pub(crate) fn seeded() -> Rng {
        let given = std::env::var("RUNCELLAR_SEED").ok().and_then(|text| text.parse().ok());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let seed = given.unwrap_or(now.as_nanos() as u64);
        eprintln!("RUNCELLAR_SEED={seed}");
        Rng(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Returns the count that an environment variable asks for, or `default`.
pub(crate) fn count_from(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// Says that something could not be tested here. Written past the capture of a test's output, to be seen.
pub(crate) fn not_tested(what: &str) {
    use std::io::Write as _;
    writeln!(std::io::stderr(), "\n!! NOT TESTED: {what}").expect("standard error takes it");
}
