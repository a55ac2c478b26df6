//! Ending the runs that are still open when the process ends, with the state that its exit status says.
//!
//! Python tells its `atexit` functions nothing of `SystemExit`, so they cannot know the status. glibc's `on_exit`
//! does: its functions run after the interpreter is gone, which the store does not mind. Python's `atexit` function
//! ends the runs itself where there is no `on_exit`, and after Ctrl-C, as the interpreter then ends by the signal.

#![allow(unsafe_code, reason = "calls of libc")]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use runcellar::{Run, RunState};

use crate::console::Tap;
use crate::messages::Messages;

/// A run that has not ended. The registry holds it, as the interpreter drops its objects before the exit status
/// is known.
struct Open {
    run: Arc<Run>,
    messages: Arc<Messages>,
    tap: Option<Arc<Tap>>,
    /// The process whose end waits for remotes, and how long.
    remotes: Option<(u32, Duration)>,
}

/// Only locked by threads that hold the interpreter's lock, or after its end: never found locked after a fork.
static OPEN: Mutex<Vec<Open>> = Mutex::new(Vec::new());

fn open() -> MutexGuard<'static, Vec<Open>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sees to it that a run is ended with the process.
pub(crate) fn register(run: &Arc<Run>, messages: &Arc<Messages>) {
    watch_exit();
    open().push(Open { run: run.clone(), messages: messages.clone(), tap: None, remotes: None });
}

/// Sees to it that the console of a run is captured to the end of the process, and no longer.
pub(crate) fn hold(run: &Arc<Run>, tap: &Arc<Tap>) {
    if let Some(open) = open().iter_mut().find(|open| Arc::ptr_eq(&open.run, run)) {
        open.tap = Some(tap.clone());
    }
}

/// Has the end of a run wait for remotes, if it ends with the process.
pub(crate) fn wait_for_remotes(run: &Arc<Run>, timeout: Duration) {
    if let Some(open) = open().iter_mut().find(|open| Arc::ptr_eq(&open.run, run)) {
        open.remotes = Some((std::process::id(), timeout));
    }
}

/// Forgets a run that has ended.
pub(crate) fn forget(run: &Arc<Run>) {
    open().retain(|open| !Arc::ptr_eq(&open.run, run));
}

fn finish_open(state: RunState, exit_code: Option<i32>) {
    let all = std::mem::take(&mut *open());
    for Open { run, messages, tap, remotes } in all {
        if let Some(tap) = tap {
            tap.stop();
        }
        if let Err(error) = run.finish_as(state, exit_code) {
            runcellar::Monitor::warn(&*messages, &format!("run {}: {error}", run.id()));
        }
        if let Some(text) = run.redacted_message() {
            runcellar::Monitor::warn(&*messages, &format!("run {}: {text}", run.id()));
        }
        // Whoever ends a program by Ctrl-C does not want to wait, and a forked child has not ended the run.
        if let Some((_, timeout)) = remotes.filter(|(pid, _)| *pid == std::process::id() && state != RunState::Killed) {
            say_what_is_left(&run, &messages, timeout);
        }
        messages.print();
    }
}

fn say_what_is_left(run: &Run, messages: &Messages, timeout: Duration) {
    let pause = |pause| {
        std::thread::sleep(pause);
        true
    };
    match crate::remotes::wait(run, timeout, Duration::ZERO, pause) {
        Ok(left) => left.iter().for_each(|line| runcellar::Monitor::warn(messages, line)),
        Err(error) => runcellar::Monitor::warn(messages, &format!("run {}: {error}", run.id())),
    }
}

/// Ends all open runs at the interpreter's end.
///
/// Without `state` that is left to the exit status, where the system tells it.
#[pyfunction]
#[pyo3(signature = (state=None, exit_code=None))]
pub(crate) fn finish_all(py: Python<'_>, state: Option<&str>, exit_code: Option<i32>) {
    let state = match state {
        Some("killed") => RunState::Killed,
        Some("failed") => RunState::Failed,
        None if KNOWS_EXIT_STATUS => return,
        _ => RunState::Finished,
    };
    py.detach(|| finish_open(state, exit_code));
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) const KNOWS_EXIT_STATUS: bool = true;

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) const KNOWS_EXIT_STATUS: bool = false;

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn watch_exit() {
    use std::ffi::{c_int, c_void};
    use std::sync::Once;

    unsafe extern "C" {
        fn on_exit(function: extern "C" fn(c_int, *mut c_void), argument: *mut c_void) -> c_int;
    }

    extern "C" fn at_exit(status: c_int, _argument: *mut c_void) {
        // A panic must not unwind into exit(); the journals are whole in any case.
        let _ = std::panic::catch_unwind(|| {
            // The system keeps eight bits of it.
            let status = status & 0xff;
            let state = if status == 0 { RunState::Finished } else { RunState::Failed };
            finish_open(state, Some(status));
        });
    }

    static WATCHING: Once = Once::new();
    WATCHING.call_once(|| {
        // SAFETY: the function lives as long as the process: extension modules are never unloaded.
        unsafe { on_exit(at_exit, std::ptr::null_mut()) };
    });
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn watch_exit() {}
