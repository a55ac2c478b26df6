//! Recording a run.
//!
//! A call to `log()` is encoded, sealed and appended to the writer's journal with one `write(2)`; a background thread
//! syncs it each second and ingests it in whole groups. Data flows forward: [`Run`], writer, journal, ingest.

mod background;
mod builder;
mod journal_file;
mod media;
mod meet;
mod metric_names;
mod names;
mod own_series;
mod quota;
mod redaction;
pub(crate) mod registry;
mod ring;
mod row;
mod writer;

pub(crate) use builder::checked_name;
pub use builder::{Resume, RunBuilder};
pub use media::MEDIA_WAITING_BYTES_MAX;
pub(crate) use own_series::{OwnRow, OwnSeries};
pub(crate) use redaction::{Redaction, told as redaction_told};
pub(crate) use row::ROW_VALUES_MAX;
pub use row::{IntoRow, MetricId, Row};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use runcellar_format::record::{Close, FieldChange, FieldId, RunState, Start};
use runcellar_format::{ObjectId, WriterId};

use crate::capture::{Capture, CodeFolder, SavedCode, Stream};
use crate::io;
use crate::media::NewMedia;
use crate::os::Forkable;
use crate::own::is_own;
use crate::secrets::Finding;
use crate::workspace::Inner;
use crate::{Error, ErrorKind, Json, Result, Value, Workspace};
use background::{Background, Role};
use journal_file::JournalKey;
use quota::QuotaWatch;
use writer::{Place, Writer, WriterOptions};

/// A run that is being recorded. Usable from many threads at once, and from forked children, each of which becomes
/// a writer of its own.
///
/// Dropping it finishes it: as failed during a panic, else as finished.
pub struct Run {
    shared: Arc<Shared>,
    finished: AtomicBool,
}

/// What all writers of a run in this process tree have in common; never changes.
struct Shared {
    workspace: Workspace,
    key: JournalKey,
    start: Start,
    options: WriterOptions,
    /// Takes secrets out of what is recorded of the surroundings.
    redaction: Arc<Redaction>,
    /// Where the next row goes; survives a fork without a lock.
    place: Place,
    /// It goes on with what was recorded before.
    resumed: bool,
    /// What the caller gave is all there is of it.
    is_new: bool,
    writer: Forkable<Background>,
    /// What records the surroundings; a forked child is a part of them and has none.
    capture: Forkable<Capture>,
    quota: Forkable<QuotaWatch>,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("id", &self.shared.start.run_id).finish_non_exhaustive()
    }
}

impl Shared {
    fn inner(&self) -> &Arc<Inner> {
        &self.workspace.inner
    }

    /// Returns the writer of this process: in a forked child a new one, with a journal of its own.
    fn writer(&self) -> Result<&Writer> {
        Ok(self.background()?.writer())
    }

    fn background(&self) -> Result<&Background> {
        self.writer.get(|parent| {
            let inner = self.inner();
            let mut start = Start {
                forked_from: parent.writer().id().0,
                resumed: true,
                started: inner.io.wall_us(),
                ..self.start.clone()
            };
            builder::put_process(&mut start);
            let id = WriterId(io::random(&*inner.io)?);
            let writer = Writer::new(inner.clone(), id, self.key.clone(), start, self.options, None);
            writer.begin_or_wait()?;
            Ok::<_, Error>(Background::start(Arc::new(writer), Role::Child))
        })
    }
}

impl Run {
    /// Returns the run's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.shared.start.run_id
    }

    /// Returns the run's name as it was at the start.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.start.name
    }

    /// Returns the project's name.
    #[must_use]
    pub fn project(&self) -> &str {
        &self.shared.start.project_name
    }

    /// Returns the workspace that the run is recorded in.
    #[must_use]
    pub fn workspace(&self) -> &Workspace {
        &self.shared.workspace
    }

    /// Returns true if it goes on with what was recorded before. A rank that joins others at work does not.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.shared.resumed
    }

    /// Returns true if it was made by this start: what the caller gave is all there is of it.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.shared.is_new
    }

    /// Returns the rank of this process among those that record the run.
    #[must_use]
    pub fn rank(&self) -> u32 {
        self.shared.start.rank
    }

    /// Returns the step that the next row without one gets.
    #[must_use]
    pub fn step(&self) -> i64 {
        self.shared.place.step()
    }

    /// Logs one row at the current step and closes it: the next row gets the next step.
    ///
    /// When this returns, SIGKILL loses nothing of it. Disk trouble is warned about once and counted, and is an error
    /// only for a strict run.
    ///
    /// # Errors
    /// [`ErrorKind::State`] after `finish()`; for a strict run whatever kept a value from being stored.
    pub fn log(&self, row: impl IntoRow) -> Result<()> {
        self.log_row(None, None, |out| row.fill(out))
    }

    /// Logs one row at `step`, and leaves it open: a following [`Run::log`] joins it and closes it.
    ///
    /// A step below the current one is stored there and moves nothing.
    ///
    /// # Errors
    /// As [`Run::log`].
    pub fn log_at(&self, step: i64, row: impl IntoRow) -> Result<()> {
        self.log_row(Some(step), None, |out| row.fill(out))
    }

    /// Logs one row as `fill` gives it. `commit` closes the row or holds it open; by default a row without `step` is
    /// closed.
    ///
    /// # Errors
    /// As [`Run::log`].
    pub fn log_row(&self, step: Option<i64>, commit: Option<bool>, fill: impl FnOnce(&mut Row<'_>)) -> Result<()> {
        let shared = &*self.shared;
        let writer = shared.writer()?;
        let row = shared.place.take(step, commit.unwrap_or(step.is_none()));
        if step.is_none() && row == i64::MAX {
            writer.warn_once(format!("step {row} is the last there is: all that follows is logged at it, too"));
        }
        writer.log(row, fill)
    }

    /// Logs media beside the values of a row, as [`Run::log_row`] does them.
    ///
    /// The values are safe from SIGKILL when this returns. Media are made, sealed and stored behind: they are safe after
    /// [`Run::flush`] or [`Run::finish`], and after a few seconds in any case. If more than
    /// [`MEDIA_WAITING_BYTES_MAX`] wait, they are dropped and counted.
    ///
    /// # Errors
    /// As [`Run::log`].
    pub fn log_media(
        &self,
        step: Option<i64>,
        commit: Option<bool>,
        media: Vec<(String, NewMedia)>,
        fill: impl FnOnce(&mut Row<'_>),
    ) -> Result<()> {
        let shared = &*self.shared;
        let background = shared.background()?;
        let writer = background.writer();
        let row = shared.place.take(step, commit.unwrap_or(step.is_none()));
        let time = writer.now_us();
        writer.log_at(row, Some(time), fill)?;
        let media_queue = background.media(&shared.redaction);
        media.into_iter().try_for_each(|(name, media)| media_queue.push(row, time, name, media))
    }

    /// Sets a summary value. A later `log()` of a metric of that name overrides it.
    ///
    /// # Errors
    /// As [`Run::log`].
    pub fn summary(&self, key: &str, value: impl Into<Value>) -> Result<()> {
        self.set_field(FieldId::Summary, key, &Json::from(value.into()))
    }

    /// Sets a top-level key of the config. What looks like a secret in it is redacted, if the run does that.
    ///
    /// # Errors
    /// As [`Run::log`], and [`ErrorKind::InvalidArgument`] for a value that nests too deep.
    pub fn config(&self, key: &str, value: impl Into<Json>) -> Result<()> {
        let (value, findings) = self.shared.redaction.scanner().config_key(key, value.into());
        self.set_field(FieldId::Config, key, &value)?;
        self.tell(findings)
    }

    /// Lists the secrets that were redacted, in what this process recorded of its surroundings: each once.
    #[must_use]
    pub fn redacted(&self) -> Vec<Finding> {
        self.shared.redaction.all()
    }

    /// Says in one line how many secrets were redacted and where; `None` if there were none.
    #[must_use]
    pub fn redacted_message(&self) -> Option<String> {
        redaction::told(&self.redacted(), self.id())
    }

    /// Records what was redacted, as far as it is new.
    fn tell(&self, findings: Vec<Finding>) -> Result<()> {
        let new = self.shared.redaction.take(findings);
        new.iter().try_for_each(|finding| self.shared.writer()?.redacted(&finding.to_record()))
    }

    /// Adds a tag.
    ///
    /// # Errors
    /// As [`Run::log`].
    pub fn tag(&self, tag: &str) -> Result<()> {
        let id = ObjectId(io::random(&*self.shared.inner().io)?);
        self.set_field(FieldId::AddTag, tag, &Json::Text(id.to_string()))
    }

    /// Takes a tag away.
    ///
    /// # Errors
    /// As [`Run::log`], and if the run cannot be read.
    pub fn untag(&self, tag: &str) -> Result<()> {
        let seen = crate::query::tag_ids(self.shared.inner(), &self.shared.start, tag)?;
        let seen: Vec<String> = seen.iter().map(ObjectId::to_string).collect();
        self.set_field(FieldId::RemoveTag, tag, &Json::Text(seen.join(" ")))
    }

    /// Reads the run as listings show it, with all that was logged so far.
    ///
    /// # Errors
    /// If the run cannot be read.
    pub fn info(&self) -> Result<crate::RunInfo> {
        crate::query::info_of_start(self.shared.inner(), &self.shared.start)
    }

    /// Replaces the notes, redacted as the config is.
    ///
    /// # Errors
    /// As [`Run::log`].
    pub fn notes(&self, notes: &str) -> Result<()> {
        let (notes, findings) = self.shared.redaction.scanner().notes(notes);
        self.set_field(FieldId::Notes, "", &Json::Text(notes.into_owned()))?;
        self.tell(findings)
    }

    /// Says how a metric is summarised and drawn. `name` may end in `*` and then stands for all that begin so.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a statistic or goal that is not known; as [`Run::log`].
    pub fn define_metric(&self, definition: &crate::MetricDefinition) -> Result<()> {
        const KNOWN: [&str; 7] = ["min", "max", "mean", "last", "first", "best", "none"];
        if let Some(unknown) = definition.summary.iter().find(|part| !KNOWN.contains(&part.as_str())) {
            return Err(Error::invalid(format!(
                "metric {}: summary {unknown:?} is not one of {}",
                definition.name,
                KNOWN.join(", ")
            )));
        }
        if !["", "minimize", "maximize"].contains(&definition.goal.as_str()) {
            return Err(Error::invalid(format!("metric {}: goal is minimize or maximize", definition.name)));
        }
        let text = |text: &str| Json::Text(text.to_owned());
        let value = Json::Map(vec![
            ("summary".into(), text(&definition.summary.join(","))),
            ("step_metric".into(), text(&definition.step_metric)),
            ("goal".into(), text(&definition.goal)),
            ("hidden".into(), Json::Bool(definition.hidden)),
        ]);
        self.set_field(FieldId::Metric, &definition.name, &value)
    }

    /// Sets a field of the run through its journal.
    fn set_field(&self, field: FieldId, key: &str, value: &Json) -> Result<()> {
        if key.len() + bytes_of(value) > FIELD_BYTES_MAX {
            return self.shared.writer()?.refuse("a field is over 4 MiB");
        }
        if field == FieldId::Summary && is_own(key) {
            return self.shared.writer()?.refuse("a summary key begins with U+0000");
        }
        let change =
            FieldChange::new(field, key, value).map_err(|cause| Error::format(format_args!("field {key}"), cause))?;
        self.shared.writer()?.set_fields(vec![change])
    }

    /// Removes a key of the config or of the summary, or a tag.
    ///
    /// # Errors
    /// As [`Run::log`].
    pub fn remove(&self, what: Removal<'_>) -> Result<()> {
        match what {
            Removal::Config(key) => self.set_field(FieldId::RemoveConfig, key, &Json::Null),
            Removal::Summary(key) => self.set_field(FieldId::RemoveSummary, key, &Json::Null),
        }
    }

    /// Sets the name.
    ///
    /// # Errors
    /// As [`Run::log`].
    pub fn rename(&self, name: &str) -> Result<()> {
        self.set_field(FieldId::Name, "", &Json::Text(name.to_owned()))
    }

    /// Records what the run wrote to a stream of its console: any bytes, cut anywhere. They become lines as a terminal
    /// shows them; a line that is drawn over is recorded now and then, for which a call without bytes is enough.
    ///
    /// A flood is cut short, and the console says by how much. In a forked child nothing is recorded.
    pub fn console(&self, stream: Stream, bytes: &[u8]) {
        if let Some(capture) = self.shared.capture.own()
            && !self.is_finished()
        {
            capture.console(stream, bytes, self.shared.inner().io.monotonic_us());
        }
    }

    /// Keeps the code of a folder with the run, redacted; files that ignore files name are held back.
    ///
    /// # Errors
    /// As [`CodeFolder::files`], and if the workspace cannot be written.
    pub fn log_code(&self, folder: &CodeFolder) -> Result<SavedCode> {
        self.log_code_files(folder, &folder.files()?)
    }

    /// Keeps these files of a folder, given by their paths below it, as [`Run::log_code`] does.
    ///
    /// # Errors
    /// As [`Run::log_code`].
    pub fn log_code_files(&self, folder: &CodeFolder, files: &[std::path::PathBuf]) -> Result<SavedCode> {
        if folder.name.contains('/')
            || (!folder.name.is_empty() && crate::blob::check_path(folder.name.as_bytes()).is_err())
        {
            return Err(Error::invalid(format!("code folder {:?}: a name without / is expected", folder.name)));
        }
        self.capturing()?.log_code(folder, files)
    }

    /// Keeps the cells that a notebook has run, as a script, redacted.
    ///
    /// # Errors
    /// If the workspace cannot be written.
    pub fn log_cells(&self, cells: &[String]) -> Result<()> {
        self.capturing()?.log_cells(cells)
    }

    fn capturing(&self) -> Result<&Capture> {
        let capture = self.shared.capture.own().filter(|_| !self.is_finished());
        capture.ok_or_else(|| {
            Error::new(ErrorKind::State, "code is kept by the process that started the run, until finish()")
        })
    }

    /// Waits until all that was logged survives a power cut.
    ///
    /// # Errors
    /// If the disk refuses; what was logged stays in memory and is tried again.
    pub fn flush(&self) -> Result<()> {
        self.shared.background()?.flush()
    }

    /// Counts a value that the caller could not turn into one of ours, and warns once.
    pub fn count_dropped(&self, values: u64, reason: &str) {
        if let Ok(writer) = self.shared.writer() {
            writer.drop_values(values, reason);
        }
    }

    /// Ends the run as finished, waits until it is durable, and brings it into the database.
    ///
    /// # Errors
    /// As [`Run::finish_as`].
    pub fn finish(&self) -> Result<()> {
        self.finish_as(RunState::Finished, None)
    }

    /// Ends the run in a given state. A second call does nothing.
    ///
    /// In a forked child this ends the child's own writer only.
    ///
    /// # Errors
    /// If what was logged could not be made durable. What could not be ingested now is ingested by the next opener,
    /// and is no error.
    pub fn finish_as(&self, state: RunState, exit_code: Option<i32>) -> Result<()> {
        let shared = &*self.shared;
        // A child that never logged has no writer, and nothing to end.
        let Some(background) = shared.writer.own() else { return Ok(()) };
        if background.is_original() && self.finished.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        // First, so that it is all in the database when the run's end shows.
        if let Some(capture) = shared.capture.own() {
            capture.finish();
        }
        let close = Close { state, exit_code, time: 0, dropped: 0, extra: Vec::new() };
        let outcome = background.finish(close);
        if let Some(capture) = shared.capture.own() {
            capture.finish_code();
        }
        if let Some(text) = self.redacted_message().filter(|_| background.is_original()) {
            shared.inner().monitor.note(&format!("run {}: {text}", self.id()));
        }
        if let Some(quota) = shared.quota.own() {
            quota.finish(&shared.workspace, self.project());
        }
        shared.inner().flush_mirror();
        outcome
    }

    /// Returns true once `finish()` was called in this process.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// Returns how many values were logged and could not be kept.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.writer.own().map_or(0, |background| background.writer().dropped())
    }
}

/// The longest field of a run: key and value, in bytes. All fields of a run stand in one record.
const FIELD_BYTES_MAX: usize = 4 << 20;

fn bytes_of(value: &Json) -> usize {
    match value {
        Json::Text(text) => text.len(),
        Json::List(items) => items.iter().map(bytes_of).sum::<usize>() + items.len(),
        Json::Map(members) => members.iter().map(|(name, member)| name.len() + bytes_of(member)).sum(),
        _ => size_of::<i64>(),
    }
}

/// What [`Run::remove`] removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal<'a> {
    /// A top-level key of the config.
    Config(&'a str),
    /// A key of the summary.
    Summary(&'a str),
}

impl Drop for Run {
    fn drop(&mut self) {
        let state = if std::thread::panicking() { RunState::Failed } else { RunState::Finished };
        if let Err(error) = self.finish_as(state, None)
            && error.kind() != ErrorKind::State
        {
            self.shared.inner().monitor.warn(&format!("run {}: {error}", self.id()));
        }
    }
}
