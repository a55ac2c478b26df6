//! Ctrl-C: what must be put right before the process ends, and the exit code 130.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::session::now_us;
use crate::{progress, prompt};

/// The process was told to end.
static TOLD: AtomicBool = AtomicBool::new(false);

/// Work that ends well by itself when it is cancelled is under way.
static GRACEFUL: AtomicBool = AtomicBool::new(false);
/// The signal that cancelled it; 0 if none did.
static CANCELLED: AtomicI32 = AtomicI32::new(0);

/// Files and folders under temporary names, removed if the process is told to end.
static TEMPORARY: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn temporary() -> MutexGuard<'static, Vec<PathBuf>> {
    TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the process on SIGINT, SIGHUP and SIGTERM with 128 plus the signal's number, after putting the terminal right
/// and removing temporary files. The store needs no such care: it survives SIGKILL.
pub(crate) fn install() {
    let Ok(mut signals) = Signals::new([SIGINT, SIGHUP, SIGTERM]) else { return };
    let watch = move || {
        for signal in signals.forever() {
            // Whoever asks twice is not kept waiting.
            let waits = GRACEFUL.load(Ordering::SeqCst) && CANCELLED.swap(signal, Ordering::SeqCst) == 0;
            if !waits {
                end(signal);
            }
        }
    };
    // Without the thread the signals' default is lost, which a process that cannot start one will not miss.
    let _ = std::thread::Builder::new().name("signals".into()).spawn(watch);
}

fn end(signal: i32) -> ! {
    TOLD.store(true, Ordering::SeqCst);
    prompt::restore_terminal();
    for path in temporary().drain(..) {
        remove(&path);
    }
    progress::clear_line();
    // Without the handlers of exit(3): another thread may still be at work.
    signal_hook::low_level::exit(128 + signal);
}

/// Does work that ends well by itself when [`is_cancelled`] says so; if it fails after that, the process ends as the signal
/// says.
pub(crate) fn gracefully<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    GRACEFUL.store(true, Ordering::SeqCst);
    let outcome = work();
    GRACEFUL.store(false, Ordering::SeqCst);
    match CANCELLED.load(Ordering::SeqCst) {
        signal if signal != 0 && outcome.is_err() => end(signal),
        _ => outcome,
    }
}

/// Returns true if work that ends well by itself is to end.
pub(crate) fn is_cancelled() -> bool {
    CANCELLED.load(Ordering::SeqCst) != 0
}

/// Returns the signal that cancelled the work that ends well by itself; 0 if none did.
pub(crate) fn cancelled_by() -> i32 {
    CANCELLED.load(Ordering::SeqCst)
}

/// Waits for the end, if the process was told to end: what fails now fails since its files were removed.
pub(crate) fn wait_if_told() {
    while TOLD.load(Ordering::SeqCst) {
        std::thread::park();
    }
}

/// Removes a file or a folder. What is left of it has a name that says what it is.
fn remove(path: &Path) {
    if !path.is_dir() {
        let _ = std::fs::remove_file(path);
        return;
    }
    // Under another name first: whoever is at work in it adds nothing any more.
    let mut gone = path.as_os_str().to_owned();
    gone.push("-gone");
    let _ = std::fs::rename(path, &gone).and_then(|()| std::fs::remove_dir_all(&gone));
}

/// The name of a folder for files on their way, which is removed if the process is told to end.
pub(crate) struct Guard {
    path: PathBuf,
}

impl Guard {
    /// Chooses a name below `root`; whoever uses the folder makes it.
    pub(crate) fn directory(root: &Path) -> Guard {
        let path = root.join(format!(".runcellar-{}-{}", std::process::id(), now_us()));
        guard(&path);
        Guard { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        unguard(&self.path);
    }
}

/// Has a file removed if the process is told to end.
pub(crate) fn guard(path: &Path) {
    temporary().push(path.to_owned());
}

/// Leaves a file alone again.
pub(crate) fn unguard(path: &Path) {
    temporary().retain(|guarded| guarded != path);
}
