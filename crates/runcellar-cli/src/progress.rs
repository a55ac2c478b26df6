//! What the store has to say while it works: notes and warnings on stderr, and on a terminal a spinner for long work.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use runcellar::Monitor;

use crate::interrupt;
use crate::output::{self, say};
use crate::render::visible;

/// Work that ends sooner shows no spinner: a flicker says nothing.
const SHOWN_AFTER: Duration = Duration::from_millis(400);
/// The spinner or bar that stands on the terminal.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);
const TICK: Duration = Duration::from_millis(100);

const PLAIN: &str = "{spinner} {msg}";
const BYTES: &str = "{spinner} {msg}  {bytes}  {bytes_per_sec}";
const BYTES_OF_TOTAL: &str = "{spinner} {msg}  {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left";

fn shown() -> MutexGuard<'static, Option<ProgressBar>> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// Tells a person what happens.
pub(crate) struct Talker {
    shared: Arc<Shared>,
}

struct Shared {
    bar: ProgressBar,
    /// The bar counts bytes, with rate and estimate.
    shows_bytes: AtomicBool,
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
        bar.set_style(style(PLAIN));
        Arc::new(Talker {
            shared: Arc::new(Shared {
                bar,
                shows_bytes: AtomicBool::new(false),
                at_work: Mutex::new(false),
                ended: Condvar::new(),
            }),
        })
    }

    /// Says that something begins that may take a while. One piece of work at a time.
    pub(crate) fn work(&self, what: &str) -> Work<'_> {
        self.shared.bar.reset();
        if self.shared.shows_bytes.swap(false, Ordering::Relaxed) {
            self.shared.bar.set_style(style(PLAIN));
        }
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
                    *shown() = Some(shared.bar.clone());
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
        *shown() = None;
    }
}

/// Takes what is shown off its line, where the process ends in the middle of its work.
pub(crate) fn clear_line() {
    if let Some(bar) = shown().take() {
        // Its thread goes on until the process has ended, and draws no more from here on.
        bar.set_draw_target(ProgressDrawTarget::hidden());
        // Nobody is left to be told if it fails.
        let _ = std::io::stderr().write_all(b"\r\x1b[2K");
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
        let shared = &self.shared;
        if what != "bytes" {
            shared.bar.set_message(format!("{}: {done} of {total}", visible(what)));
            return;
        }
        if !shared.shows_bytes.swap(true, Ordering::Relaxed) {
            shared.bar.set_style(style(if total > 0 { BYTES_OF_TOTAL } else { BYTES }));
            shared.bar.set_length(total);
        }
        shared.bar.set_position(done);
    }

    fn is_cancelled(&self) -> bool {
        interrupt::is_cancelled()
    }
}
