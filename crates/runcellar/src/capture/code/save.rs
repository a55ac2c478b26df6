//! Keeping code with its run: behind the run's back at its start, at once when a folder is logged.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use super::patch::{DiffProcess, UntrackedProcess};
use super::{CodeFolder, Gathered};
use crate::blob::{self, Class, What};
use crate::capture::git;
use crate::capture::source::SOURCE_WITHIN;
use crate::run::{OwnSeries, Redaction};
use crate::secrets::Scanner;
use crate::{Error, ErrorKind, Result};

/// What of its code a run keeps when it starts. Secrets in it are redacted before anything is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SaveCode {
    /// Nothing.
    #[default]
    Nothing,
    /// How the work tree differs from its commit, staged or not.
    Diff,
    /// That, and the files that git neither knows nor ignores.
    Untracked,
    /// The diff and the main file.
    Main,
    /// The diff, and a folder or file.
    Path(PathBuf),
}

impl FromStr for SaveCode {
    type Err = Error;

    /// Reads a word of the setting `code.save`.
    fn from_str(word: &str) -> Result<SaveCode> {
        match word {
            "none" => Ok(SaveCode::Nothing),
            "diff" => Ok(SaveCode::Diff),
            "untracked" => Ok(SaveCode::Untracked),
            "main" => Ok(SaveCode::Main),
            _ => Err(Error::invalid(format!("code {word:?}: none, diff, untracked or main is expected"))),
        }
    }
}

/// What was kept of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SavedCode {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Secrets that were redacted in them.
    pub redacted: u64,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

/// What is looked at when a run starts.
pub(crate) struct CodeOptions {
    pub(crate) save: SaveCode,
    /// The directory in whose work tree the run was started.
    pub(crate) directory: Option<PathBuf>,
    /// The main file, if it is one.
    pub(crate) main: PathBuf,
}

/// Keeps the code of one run.
pub(in crate::capture) struct CodeKeeper {
    own: Arc<OwnSeries>,
    redaction: Arc<Redaction>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// What waits until the database knows the run.
    waiting: Mutex<Vec<Gathered>>,
}

impl CodeKeeper {
    pub(in crate::capture) fn new(own: Arc<OwnSeries>, redaction: Arc<Redaction>) -> Arc<CodeKeeper> {
        Arc::new(CodeKeeper { own, redaction, thread: Mutex::default(), waiting: Mutex::default() })
    }

    pub(in crate::capture) fn scanner(&self) -> &Scanner {
        self.redaction.scanner()
    }

    /// Begins to gather and keep what `options` ask for. Git is started in the calling thread, see [`git::GitProcess`].
    pub(in crate::capture) fn start(self: &Arc<Self>, options: CodeOptions) -> std::io::Result<()> {
        let deadline = Instant::now() + SOURCE_WITHIN;
        let work_tree = options.directory.as_deref().and_then(git::work_tree).map(Path::to_owned);
        let has_commit = work_tree
            .as_deref()
            .is_some_and(|top| git::only_git_knows_head(top) || !git::git_head(top).commit.is_empty());
        let diff = work_tree.as_deref().map(|top| DiffProcess::start(top, has_commit));
        let wants_untracked = options.save == SaveCode::Untracked;
        let untracked = work_tree.filter(|_| wants_untracked).and_then(UntrackedProcess::start);
        let keeper = self.clone();
        let thread = std::thread::Builder::new().name("runcellar-code".into()).spawn(move || {
            let CodeOptions { save, main, .. } = options;
            let scanner = keeper.redaction.scanner();
            let mut gathered = Gathered::default();
            match diff {
                Some(Some(diff)) => diff.add(scanner, deadline, &mut gathered),
                Some(None) => gathered.leave_out("the diff", "git is not there"),
                None => {}
            }
            if let Some(untracked) = untracked {
                untracked.add(scanner, deadline, &mut gathered);
            }
            match &save {
                SaveCode::Main if main.is_file() => gathered.add_main(scanner, &main),
                SaveCode::Path(path) if path.is_file() => gathered.add_main(scanner, path),
                SaveCode::Path(path) => {
                    let folder = CodeFolder { root: path.clone(), ..CodeFolder::default() };
                    match folder.files() {
                        Ok(files) => gathered.add_folder(scanner, &folder, &files),
                        Err(error) => gathered.leave_out(&path.to_string_lossy(), &error.to_string()),
                    }
                }
                _ => {}
            }
            keeper.own.note_all("code", &gathered.notes());
            if let Err(error) = keeper.keep(gathered) {
                keeper.own.warn(&format!("its code is not kept: {error}"));
            }
        })?;
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    /// Keeps what was gathered and lists what was redacted in it, or holds it until [`CodeKeeper::finish`] if the database does not know the run yet.
    pub(in crate::capture) fn keep(&self, mut gathered: Gathered) -> Result<()> {
        gathered.sort();
        let findings = std::mem::take(&mut gathered.findings);
        self.redaction.take(findings).iter().for_each(|finding| self.own.redacted(finding));
        match self.store(&gathered) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(gathered);
                Ok(())
            }
            outcome => outcome,
        }
    }

    fn store(&self, gathered: &Gathered) -> Result<()> {
        if gathered.files.is_empty() {
            return Ok(());
        }
        let (inner, run) = self.own.run()?;
        let source = |file: &super::CodeFile| blob::Source {
            path: file.path.clone(),
            what: What::Bytes(file.bytes.clone()),
            extra: Vec::new(),
        };
        let sources: Vec<blob::Source> = gathered.files.iter().map(source).collect();
        blob::add_to_run(inner, run, Class::Code, &sources)
    }

    /// Waits for what is under way.
    pub(in crate::capture) fn wait(&self) {
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // One that panicked has kept nothing.
            let _ = thread.join();
        }
    }

    /// Keeps what waits, after the run has ended and the database knows it.
    pub(in crate::capture) fn finish(&self) {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        for gathered in waiting {
            if let Err(error) = self.store(&gathered) {
                self.own.warn(&format!("its code is not kept: {error}"));
            }
        }
    }
}
