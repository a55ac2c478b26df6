//! The writer of the series that the store records of itself: a journal apart from the user's rows.
//!
//! Apart, so that a flood on the console never makes `log()` wait, that row groups of the user's hold steps of one
//! kind, and that a run which has nothing of its own to record pays nothing: the writer is made by the first row.

use std::sync::{Arc, OnceLock};

use runcellar_format::journal::RowValue;
use runcellar_format::record::{Close, RunState, Start};
use runcellar_format::{ObjectId, WriterId};

use super::background::{Background, Role};
use super::journal_file::JournalKey;
use super::writer::{Writer, WriterOptions};
use crate::Result;
use crate::io;
use crate::secrets::Finding;
use crate::workspace::Inner;

/// What one row of the store's own holds: its step, which is the caller's count, and values by name.
pub(crate) struct OwnRow<'a> {
    pub(crate) step: i64,
    pub(crate) values: Vec<(&'a str, RowValue<'a>)>,
}

/// The store's own series of one run, written by one process.
pub(crate) struct OwnSeries {
    inner: Arc<Inner>,
    key: JournalKey,
    start: Start,
    options: WriterOptions,
    /// None if it cannot be made: then nothing is recorded.
    background: OnceLock<Option<Background>>,
}

impl OwnSeries {
    /// Describes the series of the run that `parent` writes; nothing is made yet.
    pub(super) fn new(
        inner: Arc<Inner>,
        key: JournalKey,
        start: &Start,
        parent: WriterId,
        options: WriterOptions,
    ) -> Self {
        // To the run it is what a forked child is: a writer whose silent end says nothing of the run.
        let start = Start { forked_from: parent.0, resumed: true, ..start.clone() };
        let options = WriterOptions { strict: false, own: true, ..options };
        OwnSeries { inner, key, start, options, background: OnceLock::new() }
    }

    /// Says what is not recorded.
    pub(crate) fn warn(&self, text: &str) {
        self.inner.monitor.warn(&format!("run {}: {text}", self.start.run_id));
    }

    /// Says what a person may want to know.
    pub(crate) fn note_all(&self, what: &str, notes: &[String]) {
        for note in notes {
            self.inner.monitor.note(&format!("run {}: {what}: {note}", self.start.run_id));
        }
    }

    /// Returns the run in the database.
    pub(crate) fn run(&self) -> Result<(&Inner, ObjectId)> {
        Ok((&self.inner, crate::query::run_of_start(&self.inner, &self.start)?))
    }

    /// Records rows, all in one frame. Trouble with the disk is warned about once by the writer, and fails nothing.
    pub(crate) fn record(&self, rows: &[OwnRow<'_>]) {
        if let Some(background) = self.background.get_or_init(|| self.begin()) {
            // Not strict, so this can only say that the run is finished.
            let _ = background.writer().log_rows(rows);
        }
    }

    /// Says that a secret was redacted.
    pub(crate) fn redacted(&self, finding: &Finding) {
        if let Some(background) = self.background.get_or_init(|| self.begin()) {
            // As above.
            let _ = background.writer().redacted(&finding.to_record());
        }
    }

    fn begin(&self) -> Option<Background> {
        let id = WriterId(io::random(&*self.inner.io).ok()?);
        let start = Start { started: self.inner.io.wall_us(), ..self.start.clone() };
        let writer = Writer::new(self.inner.clone(), id, self.key.clone(), start, self.options, None);
        writer.begin_or_wait().ok()?;
        Some(Background::start(Arc::new(writer), Role::Own))
    }

    /// Ends the writer, if there is one.
    pub(crate) fn finish(&self) {
        if let Some(Some(background)) = self.background.get() {
            let close = Close { state: RunState::Finished, exit_code: None, time: 0, dropped: 0, extra: Vec::new() };
            if let Err(error) = background.finish(close) {
                background.writer().warn_once(error.to_string());
            }
        }
    }
}
