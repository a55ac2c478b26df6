//! Ctrl-C: what must be put right before the process ends, and the exit code 130.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::prompt;

/// Files under temporary names, removed if the process is told to end.
static TEMPORARY: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn temporary() -> MutexGuard<'static, Vec<PathBuf>> {
    TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the process on SIGINT, SIGHUP and SIGTERM with 128 plus the signal's number, after putting the terminal right
/// and removing temporary files. The store needs no such care: it survives SIGKILL.
pub(crate) fn install() {
    let Ok(mut signals) = Signals::new([SIGINT, SIGHUP, SIGTERM]) else { return };
    let watch = move || {
        if let Some(signal) = signals.forever().next() {
            prompt::restore_terminal();
            for path in temporary().drain(..) {
                // What is left is a file under a name that says so.
                let _ = std::fs::remove_file(path);
            }
            // Without the handlers of exit(3): the main thread is still at work.
            signal_hook::low_level::exit(128 + signal);
        }
    };
    // Without the thread the signals' default is lost, which a process that cannot start one will not miss.
    let _ = std::thread::Builder::new().name("signals".into()).spawn(watch);
}

/// Has a file removed if the process is told to end.
pub(crate) fn guard(path: &Path) {
    temporary().push(path.to_owned());
}

/// Leaves a file alone again.
pub(crate) fn unguard(path: &Path) {
    temporary().retain(|guarded| guarded != path);
}
