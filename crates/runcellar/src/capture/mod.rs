//! What is recorded of a run's surroundings: the git commit, system metrics, the console.
//!
//! Nothing here may fail a run or hold it up: what cannot be captured is said once, and left out. Nothing of it is on
//! unless the caller asks.

mod git;
mod system;

pub(crate) use git::git_head;
pub use system::SYSTEM_EVERY;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::run::OwnSeries;
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
}

impl Capture {
    /// Starts what `options` ask for. What cannot be started is warned about.
    pub(crate) fn start(own: OwnSeries, path: PathBuf, options: CaptureOptions) -> Capture {
        let own = Arc::new(own);
        let sampler = options
            .system
            .then(|| Sampler::start(own.clone(), path))
            .and_then(|started| started.inspect_err(|error| own.warn(&format!("no system metrics: {error}"))).ok());
        Capture { own, sampler: Mutex::new(sampler) }
    }

    /// Ends it all; what was captured is durable, or in the database, when this returns.
    pub(crate) fn finish(&self) {
        if let Some(sampler) = self.sampler.lock().unwrap_or_else(PoisonError::into_inner).take() {
            sampler.stop();
        }
        self.own.finish();
    }
}

/// Where a line of the console was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
    /// Standard output or standard error, which were one and the same file.
    Both,
    /// Nowhere: the store says what it left out.
    Note,
}

impl Stream {
    /// The character that stands before each line in the bytes.
    const MARKS: [(Stream, char); 4] =
        [(Stream::Out, '1'), (Stream::Err, '2'), (Stream::Both, '&'), (Stream::Note, '!')];

    pub(crate) fn of_mark(mark: char) -> Option<Stream> {
        Stream::MARKS.iter().find(|(_, known)| *known == mark).map(|(stream, _)| *stream)
    }

    /// Returns the stream as JSON and Python name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Stream::Out => "stdout",
            Stream::Err => "stderr",
            Stream::Both => "both",
            Stream::Note => "note",
        }
    }
}
