//! What the store has to say while it works: notes and warnings on stderr, and on a terminal a spinner for long work.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use runcellar::Monitor;

use crate::output::{self, say};
use crate::render::visible;

/// Work that ends sooner shows no spinner: a flicker says nothing.
const SHOWN_AFTER: Duration = Duration::from_millis(400);
const TICK: Duration = Duration::from_millis(100);

/// Tells a person what happens.
pub(crate) struct Talker {
    shared: Arc<Shared>,
}

struct Shared {
    bar: ProgressBar,
    at_work: Mutex<bool>,
    ended: Condvar,
}

impl Shared {
    fn at_work(&self) -> MutexGuard<'_, bool> {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Work in progress; dropped when it is done.
pub(crate) struct Work<'a> {
    talker: &'a Talker,
}

impl Talker {
    pub(crate) fn new() -> Arc<Talker> {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let style =
            ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
        bar.set_style(style);
        Arc::new(Talker { shared: Arc::new(Shared { bar, at_work: Mutex::new(false), ended: Condvar::new() }) })
    }

    /// Says that something begins that may take a while. One piece of work at a time.
    pub(crate) fn work(&self, what: &str) -> Work<'_> {
        self.shared.bar.reset();
        self.shared.bar.set_message(visible(what));
        *self.shared.at_work() = true;
        if output::stderr_is_terminal() {
            let shared = self.shared.clone();
            // Without a thread there is no spinner, and the work goes on.
            let _ = std::thread::Builder::new().name("spinner".into()).spawn(move || {
                let guard = shared.at_work();
                let waited = shared.ended.wait_timeout_while(guard, SHOWN_AFTER, |at_work| *at_work);
                let (at_work, _) = waited.unwrap_or_else(PoisonError::into_inner);
                if *at_work {
                    shared.bar.set_draw_target(ProgressDrawTarget::stderr());
                    shared.bar.enable_steady_tick(TICK);
                }
            });
        }
        Work { talker: self }
    }

    /// Takes the spinner away: something is asked on the terminal.
    pub(crate) fn quiet(&self) {
        *self.shared.at_work() = false;
        self.shared.ended.notify_all();
        self.shared.bar.finish_and_clear();
        self.shared.bar.set_draw_target(ProgressDrawTarget::hidden());
    }
}

impl Work<'_> {
    /// Says how far it is.
    pub(crate) fn reached(&self, what: &str, done: usize, total: usize) {
        self.talker.progress(what, done as u64, total as u64);
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.talker.quiet();
    }
}

impl Monitor for Talker {
    fn note(&self, text: &str) {
        self.shared.bar.suspend(|| say(&format!("note: {text}")));
    }

    fn warn(&self, text: &str) {
        self.shared.bar.suspend(|| say(&format!("warning: {text}")));
    }

    fn progress(&self, what: &str, done: u64, total: u64) {
        self.shared.bar.set_message(format!("{}: {done} of {total}", visible(what)));
    }
}
