//! What is recorded of a run's surroundings: where its code comes from, system metrics, the console.
//!
//! Nothing here may fail a run or hold it up: what cannot be captured is said once, and left out. Nothing of it is on
//! unless the caller asks.

mod code;
mod console;
mod git;
mod packages;
mod source;
mod system;

pub(crate) use code::CodeOptions;
pub use code::{CodeFolder, SaveCode, SavedCode};
pub use console::Stream;
pub(crate) use git::git_head;
pub(crate) use source::SourceOptions;
pub use system::SYSTEM_EVERY;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::Result;
use crate::run::{OwnSeries, Redaction};
use code::{CodeKeeper, Gathered};
use console::Console;
use source::SourceThread;
use system::Sampler;

/// What is recorded of a run's surroundings.
#[derive(Default)]
pub(crate) struct CaptureOptions {
    /// System metrics.
    pub(crate) system: bool,
    /// Where the code comes from.
    pub(crate) source: Option<SourceOptions>,
    /// The code itself.
    pub(crate) code: Option<CodeOptions>,
}

/// What records a run's surroundings, in the process that started it.
pub(crate) struct Capture {
    own: Arc<OwnSeries>,
    sampler: Mutex<Option<Sampler>>,
    source: Mutex<Option<SourceThread>>,
    code: Arc<CodeKeeper>,
    console: Console,
}

impl Capture {
    /// Starts what `options` ask for. What cannot be started is warned about.
    pub(crate) fn start(own: OwnSeries, path: PathBuf, options: CaptureOptions, redaction: Arc<Redaction>) -> Capture {
        let own = Arc::new(own);
        let warned = |what: &str, error: std::io::Error| own.warn(&format!("{what}: {error}"));
        let source = options.source.map(|options| SourceThread::start(own.clone(), options));
        let source = source.and_then(|started| started.map_err(|error| warned("where the code is from", error)).ok());
        let sampler = options.system.then(|| Sampler::start(own.clone(), path));
        let sampler = sampler.and_then(|started| started.map_err(|error| warned("no system metrics", error)).ok());
        let code = CodeKeeper::new(own.clone(), redaction.clone());
        if let Some(Err(error)) = options.code.map(|options| code.start(options)) {
            warned("its code is not kept", error);
        }
        let console = Console::new(redaction);
        Capture { own, sampler: Mutex::new(sampler), source: Mutex::new(source), code, console }
    }

    /// Takes in what the run wrote to a stream of its console.
    pub(crate) fn console(&self, stream: Stream, bytes: &[u8], now_us: i64) {
        self.console.write(&self.own, stream, bytes, now_us);
    }

    /// Keeps files of a folder with the run.
    pub(crate) fn log_code(&self, folder: &CodeFolder, files: &[PathBuf]) -> Result<SavedCode> {
        let mut gathered = Gathered::default();
        gathered.add_folder(self.code.scanner(), folder, files);
        let saved = SavedCode {
            files: gathered.files.len() as u64,
            bytes: gathered.bytes as u64,
            redacted: gathered.findings.len() as u64,
            notes: gathered.notes(),
        };
        self.code.keep(gathered).map(|()| saved)
    }

    /// Keeps the cells that a notebook has run, as a script.
    pub(crate) fn log_cells(&self, cells: &[String]) -> Result<()> {
        let mut gathered = Gathered::default();
        gathered.add_cells(self.code.scanner(), cells);
        self.code.keep(gathered)
    }

    /// Keeps the code that waits, when the run has ended and the database knows it.
    pub(crate) fn finish_code(&self) {
        self.code.finish();
    }

    /// Ends it all but code that waits for the database to know the run; what was captured is durable, or in the database, when this returns.
    pub(crate) fn finish(&self) {
        if let Some(sampler) = self.sampler.lock().unwrap_or_else(PoisonError::into_inner).take() {
            sampler.stop();
        }
        if let Some(source) = self.source.lock().unwrap_or_else(PoisonError::into_inner).take() {
            source.finish();
        }
        self.code.wait();
        self.console.finish(&self.own);
        self.own.finish();
    }
}
