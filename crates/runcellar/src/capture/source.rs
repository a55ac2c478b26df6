//! Where the code of a run comes from, as far as it can be told without its text: commit, remote, whether the work tree
//! differs from the commit, and the versions of packages.
//!
//! All of it is found behind the run's back, in one thread that has [`SOURCE_WITHIN`]; what is not found by then stays
//! unknown. Only git itself can tell whether a tree differs, so it is asked, and killed if it takes longer.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use runcellar_format::journal::RowValue;

use super::git::{self, GitHead, GitProcess};
use super::packages;
use crate::own::{SOURCE_BRANCH, SOURCE_COMMIT, SOURCE_DIRTY, SOURCE_PACKAGES, SOURCE_REMOTE};
use crate::run::{OwnRow, OwnSeries};

/// How long it may take, counted from the start of the run. `finish()` of a shorter run waits for the rest of it.
pub(crate) const SOURCE_WITHIN: Duration = Duration::from_secs(2);
/// How much longer `finish()` waits, so that what was found by then is recorded.
const RECORDED_WITHIN: Duration = Duration::from_secs(1);
/// What is asked of git: what is changed or staged of the files that it knows. Submodules are compared by their commit
/// alone, as nothing is to run in them.
const STATUS: [&str; 5] =
    ["status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty", "--no-renames"];
/// More of git's answer than this is not read: one changed file is enough.
const STATUS_BYTES_MAX: usize = 64 << 10;
/// The same, and the head, where only git can tell it. Such a git knows this form of the answer.
const STATUS_AND_HEAD: [&str; 7] = [
    "status",
    "--porcelain=v2",
    "--branch",
    "--no-ahead-behind",
    "--untracked-files=no",
    "--ignore-submodules=dirty",
    "--no-renames",
];
/// The most of that answer that is read: the head would be lost with what is too long.
const STATUS_AND_HEAD_BYTES_MAX: usize = 16 << 20;

/// What is looked at.
#[derive(Debug, Clone, Default)]
pub(crate) struct SourceOptions {
    /// The directory in whose work tree the run was started.
    pub(crate) directory: Option<PathBuf>,
    /// The directories from which Python imports.
    pub(crate) package_paths: Vec<PathBuf>,
    /// Packages by name and version, where the caller knows them.
    pub(crate) packages: Vec<(String, String)>,
}

/// The thread that finds it out.
pub(super) struct SourceThread {
    done: Receiver<()>,
    deadline: Instant,
    /// Set when nobody waits any longer: what is found later is not recorded.
    abandoned: Arc<Mutex<bool>>,
}

/// What was found.
#[derive(Debug, Default)]
struct Found {
    head: GitHead,
    remote: Option<String>,
    dirty: Option<bool>,
    packages: Vec<(String, String)>,
}

impl SourceThread {
    /// Begins to find out. Starts git in the calling thread, as [`GitProcess::start`] says why.
    pub(super) fn start(own: Arc<OwnSeries>, options: SourceOptions) -> std::io::Result<SourceThread> {
        let deadline = Instant::now() + SOURCE_WITHIN;
        let work_tree = options.directory.as_deref().and_then(git::work_tree).map(PathBuf::from);
        let asks_head = work_tree.as_deref().is_some_and(git::only_git_knows_head);
        let words: &[&str] = if asks_head { &STATUS_AND_HEAD } else { &STATUS };
        let status = work_tree.as_deref().and_then(|top| GitProcess::start(top, words));
        let (tell, done) = channel();
        let abandoned = Arc::new(Mutex::new(false));
        let is_abandoned = abandoned.clone();
        std::thread::Builder::new().name("runcellar-source".into()).spawn(move || {
            let mut found = Found { packages: options.packages, ..Found::default() };
            if let Some(top) = work_tree.as_deref().filter(|_| !asks_head) {
                found.head = git::git_head(top);
                found.remote = git::remote_of(top, &found.head);
            }
            found.packages.extend(packages::installed(&options.package_paths, deadline).unwrap_or_default());
            match (work_tree, status) {
                (Some(top), Some(status)) if asks_head => found.ask_head(status, &top, deadline, &own),
                (_, status) => found.dirty = status.and_then(|status| is_dirty(status, deadline)),
            }
            let abandoned = is_abandoned.lock().unwrap_or_else(PoisonError::into_inner);
            if !*abandoned {
                record(&own, &found);
            }
            drop(abandoned);
            // Nobody may be waiting.
            let _ = tell.send(());
        })?;
        Ok(SourceThread { done, deadline, abandoned })
    }

    /// Waits until all is recorded, or the time is over: a directory on a dead mount cannot be given up.
    pub(super) fn finish(self) {
        let left = (self.deadline + RECORDED_WITHIN).saturating_duration_since(Instant::now());
        if self.done.recv_timeout(left).is_err() {
            *self.abandoned.lock().unwrap_or_else(PoisonError::into_inner) = true;
        }
    }
}

impl Found {
    /// Takes the head from git's answer. Without one it says so: nothing else knows the commit.
    fn ask_head(&mut self, status: GitProcess, top: &Path, deadline: Instant, own: &OwnSeries) {
        match status.answer(deadline, STATUS_AND_HEAD_BYTES_MAX) {
            Ok(answer) if answer.code == 0 => {
                let (head, dirty) = git::head_and_dirt(&answer.output);
                (self.head, self.dirty) = (head, Some(dirty));
            }
            _ => own.warn("its commit is not recorded: only git can tell it (reftable), and git did not"),
        }
        self.remote = git::remote_of(top, &self.head);
    }
}

/// Returns whether a tracked file differs from the commit; none if git does not say.
fn is_dirty(status: GitProcess, deadline: Instant) -> Option<bool> {
    match status.answer(deadline, STATUS_BYTES_MAX) {
        Ok(answer) if answer.code == 0 => Some(!answer.output.is_empty()),
        Err(git::Silence::TooLong) => Some(true),
        Ok(_) | Err(_) => None,
    }
}

/// Records what was found, a package a row.
fn record(own: &OwnSeries, found: &Found) {
    let packages: Vec<String> = found.packages.iter().map(|(name, version)| format!("{name}=={version}")).collect();
    let mut first = Vec::new();
    for (name, text) in [
        (SOURCE_COMMIT, found.head.commit.as_str()),
        (SOURCE_BRANCH, &found.head.branch),
        (SOURCE_REMOTE, found.remote.as_deref().unwrap_or_default()),
    ] {
        if !text.is_empty() {
            first.push((name, RowValue::Text(text)));
        }
    }
    first.extend(found.dirty.map(|dirty| (SOURCE_DIRTY, RowValue::Bool(dirty))));
    let mut rows = vec![OwnRow { step: 0, values: first }];
    for (package, step) in packages.iter().zip(0..) {
        let value = (SOURCE_PACKAGES, RowValue::Text(package.as_str()));
        match rows.get_mut(usize::try_from(step).unwrap_or(usize::MAX)) {
            Some(row) => row.values.push(value),
            None => rows.push(OwnRow { step, values: vec![value] }),
        }
    }
    rows.retain(|row| !row.values.is_empty());
    if !rows.is_empty() {
        own.record(&rows);
    }
}
