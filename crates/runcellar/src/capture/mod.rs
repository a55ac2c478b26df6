//! What is recorded of a run's surroundings: the git commit, system metrics, the console.
//!
//! Nothing here may fail a run or hold it up: what cannot be captured is said once, and left out. Nothing of it is on
//! unless the caller asks.

mod console;
mod git;
mod system;

pub use console::Stream;
pub(crate) use git::git_head;
pub use system::SYSTEM_EVERY;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::run::OwnSeries;
use console::Console;
use system::Sampler;

/// What is recorded of a run's surroundings.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CaptureOptions {
    /// System metrics.
    pub(crate) system: bool,
}

/// What records a run's surroundings, in the process that started it.
pub(crate) struct Capture {
    own: Arc<OwnSeries>,
    sampler: Mutex<Option<Sampler>>,
    console: Console,
}

impl Capture {
    /// Starts what `options` ask for. What cannot be started is warned about.
    pub(crate) fn start(own: OwnSeries, path: PathBuf, options: CaptureOptions) -> Capture {
        let own = Arc::new(own);
        let sampler = options
            .system
            .then(|| Sampler::start(own.clone(), path))
            .and_then(|started| started.inspect_err(|error| own.warn(&format!("no system metrics: {error}"))).ok());
        Capture { own, sampler: Mutex::new(sampler), console: Console::default() }
    }

    /// Takes in what the run wrote to a stream of its console.
    pub(crate) fn console(&self, stream: Stream, bytes: &[u8], now_us: i64) {
        self.console.write(&self.own, stream, bytes, now_us);
    }

    /// Ends it all; what was captured is durable, or in the database, when this returns.
    pub(crate) fn finish(&self) {
        if let Some(sampler) = self.sampler.lock().unwrap_or_else(PoisonError::into_inner).take() {
            sampler.stop();
        }
        self.console.finish(&self.own);
        self.own.finish();
    }
}
