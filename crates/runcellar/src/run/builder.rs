//! Starting a run.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use runcellar_format::record::{Start, Tokens};
use runcellar_format::seal::Kind;
use runcellar_format::{ObjectId, WriterId};

use super::background::Background;
use super::journal_file::{EmptyJournal, JournalKey};
use super::writer::{JOURNAL_BYTES_MAX, Place, Writer, WriterOptions};
use super::{Run, Shared, names};
use crate::db::ReadTx;
use crate::ingest::batch::Batch;
use crate::ingest::data::RunData;
use crate::ingest::progress::Progress;
use crate::ingest::store;
use crate::keys::Keyring;
use crate::os::Forkable;
use crate::workspace::Inner;
use crate::{Error, ErrorKind, Json, Result, Workspace, capture, io, os};

/// How long `start` waits for the database before it records without it (journal of key source 2).
const INIT_WAIT: Duration = Duration::from_millis(250);
/// The longest run id, project name or tag, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 128;
const ID_DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// What to do when a run of the given id is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resume {
    /// Refuse.
    #[default]
    Never,
    /// Go on with it, or start it if it is not there.
    Allow,
    /// Go on with it; refuse if it is not there.
    Must,
}

/// A run about to be started.
#[derive(Debug, Clone)]
pub struct RunBuilder {
    workspace: Workspace,
    project: String,
    id: Option<String>,
    name: Option<String>,
    config: Json,
    tags: Vec<String>,
    notes: String,
    group: String,
    job_type: String,
    resume: Resume,
    rank: u32,
    program: String,
    runtime: String,
    directory: Option<PathBuf>,
    options: WriterOptions,
}

impl Workspace {
    /// Describes a run of a project, to be started by [`RunBuilder::start`].
    #[must_use]
    pub fn run(&self, project: &str) -> RunBuilder {
        RunBuilder {
            workspace: self.clone(),
            project: project.to_owned(),
            id: None,
            name: None,
            config: Json::Map(Vec::new()),
            tags: Vec::new(),
            notes: String::new(),
            group: String::new(),
            job_type: String::new(),
            resume: Resume::Never,
            rank: 0,
            program: String::new(),
            runtime: String::new(),
            directory: None,
            options: WriterOptions { strict: false, journal_bytes: JOURNAL_BYTES_MAX },
        }
    }
}

impl RunBuilder {
    /// Sets the id: 1 to 128 bytes without control characters and without `/ : # ?`. By default 12 random characters.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets the name. By default an adjective, a noun and a number.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the config: a map.
    #[must_use]
    pub fn config(mut self, config: impl Into<Json>) -> Self {
        self.config = config.into();
        self
    }

    /// Sets the tags.
    #[must_use]
    pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags = tags.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the notes.
    #[must_use]
    pub fn notes(mut self, notes: impl Into<String>) -> Self {
        self.notes = notes.into();
        self
    }

    /// Sets the group.
    #[must_use]
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = group.into();
        self
    }

    /// Sets the job type.
    #[must_use]
    pub fn job_type(mut self, job_type: impl Into<String>) -> Self {
        self.job_type = job_type.into();
        self
    }

    /// Says what to do when a run of the given id is there.
    #[must_use]
    pub fn resume(mut self, resume: Resume) -> Self {
        self.resume = resume;
        self
    }

    /// Sets the rank in a distributed run.
    #[must_use]
    pub fn rank(mut self, rank: u32) -> Self {
        self.rank = rank;
        self
    }

    /// Sets the program that `show` names.
    #[must_use]
    pub fn program(mut self, program: impl Into<String>) -> Self {
        self.program = program.into();
        self
    }

    /// Sets the language runtime that `show` names, such as `python 3.11.7`.
    #[must_use]
    pub fn runtime(mut self, runtime: impl Into<String>) -> Self {
        self.runtime = runtime.into();
        self
    }

    /// Sets the directory whose git commit is recorded. By default none is.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Makes every value that cannot be kept an error of `log()`, instead of a warning and a count.
    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        self.options.strict = strict;
        self
    }

    /// Sets the size at which a journal is followed by another, so that tests need not write much to see it.
    #[doc(hidden)]
    #[must_use]
    pub fn journal_bytes(mut self, bytes: u64) -> Self {
        self.options.journal_bytes = bytes;
        self
    }

    /// Starts the run. When this returns, the run shows in every listing, and its journal is durable.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a name that cannot be used, [`ErrorKind::Exists`] and
    /// [`ErrorKind::NotFound`] as [`Resume`] says, [`ErrorKind::ReadOnly`] if nothing can be written.
    pub fn start(self) -> Result<Run> {
        let workspace = self.workspace.clone();
        let inner = &workspace.inner;
        let writer_id = WriterId(io::random(&*inner.io)?);
        let (resume, options, given_id) = (self.resume, self.options, self.id.is_some());
        let (mut start, given_name) = self.into_start()?;
        let given = Given { id: given_id, name: given_name, resume };
        // The file comes before the run is known, so that a run whose writer dies in between can be told by an empty
        // journal and needs no search for it; see `ingest::recover`.
        let empty = EmptyJournal::create(inner)?;
        let (key, next_step) = match register(inner, writer_id, &mut start, &given) {
            Ok(registered) => registered,
            Err(error) => {
                empty.discard(inner);
                return Err(error);
            }
        };
        let writer = Writer::new(inner.clone(), writer_id, key.clone(), start.clone(), options, Some(empty));
        if let Err(error) = writer.begin() {
            // The run is there and has no journal. If the disk takes that its writer is gone, it does not seem at work.
            let _ = inner
                .write(Some(INIT_WAIT), |tx| store::store(tx, &mut Batch::after(writer_id, Progress::default()), true));
            return Err(error);
        }
        let background = Background::start(Arc::new(writer), true);
        let shared = Shared {
            workspace: workspace.clone(),
            key,
            start,
            options,
            place: Place::new(next_step),
            writer: Forkable::new(background),
        };
        Ok(Run { shared: Arc::new(shared), finished: AtomicBool::new(false) })
    }

    fn into_start(self) -> Result<(Start, Option<String>)> {
        let io = self.workspace.inner.io.clone();
        let id = match self.id {
            Some(id) => checked_name("run id", id, &['/', ':', '#', '?'])?,
            None => io::random::<12>(&*io)?.map(|byte| char::from(ID_DIGITS[usize::from(byte) % 36])).iter().collect(),
        };
        if !matches!(self.config, Json::Map(_)) {
            return Err(Error::invalid("config: a map is expected"));
        }
        let git = self.directory.as_deref().map(capture::git_head).unwrap_or_default();
        let tags = self.tags.into_iter().map(|tag| checked_name("tag", tag, &[])).collect::<Result<Vec<_>>>()?;
        let start = Start {
            run: io::random(&*io)?,
            project: io::random(&*io)?,
            run_id: id,
            project_name: checked_name("project", self.project, &[':', '#', '?'])?,
            name: self.name.clone().unwrap_or_default(),
            notes: self.notes,
            group: self.group,
            job_type: self.job_type,
            tags,
            config: Tokens::new(&self.config).map_err(|cause| Error::format("config", cause))?,
            started: io.wall_us(),
            resumed: false,
            forked_from: [0; 16],
            rank: self.rank,
            host: os::host_name(),
            boot_id: os::boot_id(),
            pid: std::process::id(),
            device: [0; 16],
            program: self.program,
            git_commit: git.commit,
            git_branch: git.branch,
            runtime: self.runtime,
            extra: Vec::new(),
        };
        Ok((start, self.name))
    }
}

/// What the caller gave of a run that may be there already.
struct Given {
    id: bool,
    name: Option<String>,
    resume: Resume,
}

/// Makes run and writer known, and `start` fit what is known of the run; returns the journal's key and the step at
/// which to go on.
fn register(inner: &Inner, writer: WriterId, start: &mut Start, given: &Given) -> Result<(JournalKey, i64)> {
    let registered = inner.write(Some(INIT_WAIT), |tx| {
        let next_step = meet(tx, tx.keyring, start, given)?;
        if start.name.is_empty() {
            let ordinal = tx.count_objects(Kind::Run)? + 1;
            start.name = names::generate(io::random(tx.io)?, ordinal);
        }
        start.device = tx.root().device;
        let (run, key) = store::register(tx, writer, start)?;
        start.run = run.0;
        Ok((JournalKey::Run(key), next_step))
    });
    let (key, next_step) = match registered {
        Err(error) if error.is_retryable() => {
            // Somebody holds the database: the journal takes the whole start, sealed to the ingest key. Reading still
            // tells whether the run is there; if even that fails, whoever ingests the journal joins the two.
            let next_step = match inner.read(|tx, keyring| meet(tx, keyring, start, given)) {
                Err(error) if error.is_retryable() => {
                    start.resumed = given.id && given.resume != Resume::Never;
                    0
                }
                met => met?,
            };
            if start.name.is_empty() && !start.resumed {
                start.name = names::generate(io::random(&*inner.io)?, 0);
            }
            (JournalKey::Ingest(inner.keyslots().ingest), next_step)
        }
        registered => registered?,
    };
    if !start.resumed {
        return Ok((key, next_step));
    }
    // Rows that an earlier writer left in a journal count for the next step, too.
    match crate::query::next_step(inner, ObjectId(start.run)) {
        Ok(beyond) => Ok((key, next_step.max(beyond))),
        Err(error) if error.is_retryable() || error.kind() == ErrorKind::NotFound => Ok((key, next_step)),
        Err(error) => Err(error),
    }
}

/// Looks whether the run is there and makes `start` fit it; returns the step at which to go on.
fn meet(tx: &ReadTx<'_>, keyring: &Keyring, start: &mut Start, given: &Given) -> Result<i64> {
    let known = match given.id {
        true => tx.object_by_tag(Kind::Run, &store::tag_of(tx, keyring, Kind::Run, &start.run_id)?)?,
        false => None,
    };
    match (known, given.resume) {
        (Some(_), Resume::Never) => {
            let message = format!("run {}: it is there already; resume it, or take another id", start.run_id);
            Err(Error::new(ErrorKind::Exists, message))
        }
        (None, Resume::Must) => {
            Err(Error::new(ErrorKind::NotFound, format!("run {}: not there to be resumed", start.run_id)))
        }
        (Some(row), _) => {
            let data = RunData::without_series(tx, keyring, &row)?;
            (start.resumed, start.run, start.project) = (true, data.object.0, data.record.project);
            start.name = given.name.clone().unwrap_or(data.record.name.value);
            Ok(data.record.next_step)
        }
        (None, _) => Ok(0),
    }
}

/// Refuses a name that listings and filters could not show.
pub(crate) fn checked_name(what: &str, name: String, forbidden: &[char]) -> Result<String> {
    let refused = |reason: &str| Err(Error::invalid(format!("{what} {name:?}: {reason}")));
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return refused("1 to 128 bytes are expected");
    }
    if name.chars().any(char::is_control) {
        return refused("control characters are not allowed");
    }
    match name.chars().find(|letter| forbidden.contains(letter)) {
        Some(letter) => refused(&format!("{letter:?} is not allowed")),
        None => Ok(name),
    }
}
