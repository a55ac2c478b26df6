//! File events: a hint that something may have changed.

use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use runcellar::remotes::{AGENT_FILE, OFFLINE_FILE};

/// The beginning of the names of the database's files.
const DATABASE: &str = "cellar.db";
/// How long an event may take to come, when it is tried out whether any do.
const PROBE_WAIT: Duration = Duration::from_secs(1);
/// After an event so much is waited for those that come with it.
const QUIET: Duration = Duration::from_millis(200);

/// Follows the files of a workspace, where the system tells of changes.
pub(super) struct Watcher {
    /// None where no events come.
    watching: Option<(RecommendedWatcher, Receiver<Hint>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hint {
    Probe,
    Change,
}

fn hint_of(event: &Event) -> Option<Hint> {
    // Reading is none.
    if matches!(event.kind, EventKind::Access(_)) {
        return None;
    }
    let of = |path: &std::path::PathBuf| {
        let name = path.file_name()?.to_str()?;
        match name {
            AGENT_FILE => Some(Hint::Probe),
            OFFLINE_FILE => Some(Hint::Change),
            name if name.starts_with(DATABASE) => Some(Hint::Change),
            _ => None,
        }
    };
    event.paths.iter().find_map(of)
}

impl Watcher {
    /// Begins to follow a folder; `probe` changes the agent's file in it, and finds out whether that is told.
    pub(super) fn start(folder: &Path, probe: impl FnOnce() -> bool) -> Watcher {
        let (hinted, hints) = mpsc::channel();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // An error says that events were lost.
            let hint = event.map_or(Some(Hint::Change), |event| hint_of(&event));
            if let Some(hint) = hint {
                // Nobody listens if no event came in time.
                let _ = hinted.send(hint);
            }
        });
        let Ok(mut watcher) = watcher else { return Watcher { watching: None } };
        let is_told = watcher.watch(folder, RecursiveMode::NonRecursive).is_ok() && probe() && comes(&hints);
        Watcher { watching: is_told.then_some((watcher, hints)) }
    }

    /// Returns whether the system tells of changes here.
    pub(super) fn works(&self) -> bool {
        self.watching.is_some()
    }

    /// Waits for a change, and for those that come with it; false if none came in time.
    pub(super) fn wait(&self, longest: Duration) -> bool {
        let Some((_, hints)) = &self.watching else {
            std::thread::sleep(longest);
            return false;
        };
        match hints.recv_timeout(longest) {
            Ok(first) => {
                std::thread::sleep(QUIET);
                first == Hint::Change || hints.try_iter().any(|hint| hint == Hint::Change)
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => {
                std::thread::sleep(longest);
                false
            }
        }
    }
}

fn comes(hints: &Receiver<Hint>) -> bool {
    std::iter::repeat_with(|| hints.recv_timeout(PROBE_WAIT))
        .take_while(Result::is_ok)
        .flatten()
        .any(|hint| hint == Hint::Probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_and_what_is_none_of_them_is_not() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let write = |name: &str| std::fs::write(folder.path().join(name), name).is_ok();
        let watcher = Watcher::start(folder.path(), || write(AGENT_FILE));
        if !watcher.works() {
            return; // A file system without events: the next test is about that.
        }
        while watcher.wait(Duration::from_millis(300)) {}
        assert!(write("elsewhere"));
        assert!(!watcher.wait(Duration::from_millis(300)));
        for name in ["cellar.db-wal", OFFLINE_FILE] {
            assert!(write(name));
            assert!((0..10).any(|_| watcher.wait(Duration::from_secs(3))), "{name}");
            while watcher.wait(Duration::from_millis(300)) {}
        }
    }

    #[test]
    fn where_the_probe_is_not_told_of_nothing_is_relied_upon() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        assert!(!Watcher::start(folder.path(), || true).works(), "nothing was written");
        assert!(!Watcher::start(folder.path(), || false).works(), "nothing can be written");
        assert!(!Watcher::start(&folder.path().join("gone"), || true).works());
    }
}
