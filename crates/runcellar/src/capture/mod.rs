//! What is recorded of a run's surroundings: where its code comes from, system metrics, the console.
//!
//! Nothing here may fail a run or hold it up: what cannot be captured is said once, and left out. Nothing of it is on
//! unless the caller asks.

mod console;
mod git;
mod packages;
mod source;
mod system;

pub use console::Stream;
pub(crate) use git::git_head;
pub(crate) use source::SourceOptions;
pub use system::SYSTEM_EVERY;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::run::OwnSeries;
use console::Console;
use source::SourceThread;
use system::Sampler;

/// What is recorded of a run's surroundings.
#[derive(Debug, Clone, Default)]
pub(crate) struct CaptureOptions {
    /// System metrics.
    pub(crate) system: bool,
    /// Where the code comes from.
    pub(crate) source: Option<SourceOptions>,
}

/// What records a run's surroundings, in the process that started it.
pub(crate) struct Capture {
    own: Arc<OwnSeries>,
    sampler: Mutex<Option<Sampler>>,
    source: Mutex<Option<SourceThread>>,
    console: Console,
}

impl Capture {
    /// Starts what `options` ask for. What cannot be started is warned about.
    pub(crate) fn start(own: OwnSeries, path: PathBuf, options: CaptureOptions) -> Capture {
        let own = Arc::new(own);
        let warned = |what: &str, error: std::io::Error| own.warn(&format!("{what}: {error}"));
        let source = options.source.map(|options| SourceThread::start(own.clone(), options));
        let source = source.and_then(|started| started.map_err(|error| warned("where the code is from", error)).ok());
        let sampler = options.system.then(|| Sampler::start(own.clone(), path));
        let sampler = sampler.and_then(|started| started.map_err(|error| warned("no system metrics", error)).ok());
        Capture { own, sampler: Mutex::new(sampler), source: Mutex::new(source), console: Console::default() }
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
        if let Some(source) = self.source.lock().unwrap_or_else(PoisonError::into_inner).take() {
            source.finish();
        }
        self.console.finish(&self.own);
        self.own.finish();
    }
}
