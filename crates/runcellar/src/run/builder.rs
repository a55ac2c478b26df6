//! Starting a run.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use runcellar_format::WriterId;
use runcellar_format::record::{
    ARGUMENTS_FIELD, Arguments, DIRECTORY_FIELD, LAUNCH_FIELD, Launched, ProcessField, Start, Tokens, set_extra_body,
};

use super::background::{Background, Role};
use super::journal_file::EmptyJournal;
use super::meet::{self, Given, Met};
use super::quota::QuotaWatch;
use super::writer::{JOURNAL_BYTES_MAX, Place, Writer, WriterOptions};
use super::{OwnSeries, Redaction, Run, Shared};
use crate::capture::{Capture, CaptureOptions, CodeOptions, SaveCode, SourceOptions};
use crate::environment::Launch;
use crate::ingest::Intake;
use crate::ingest::progress::Progress;
use crate::os::Forkable;
use crate::secrets::{Finding, Language, Scanner};
use crate::{Error, HistoryPoint, Json, Result, Workspace, capture, io, os};

/// How long `start` waits for the database before it records without it (journal of key source 2).
pub(super) const INIT_WAIT: Duration = Duration::from_millis(250);
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
    /// With an id as `Allow`. Without one, go on with the last run of the same project, host, program and directory if
    /// it crashed, was killed or failed, or with that of the same job if a launcher starts it again; else start a new
    /// one.
    Auto,
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
    resume: Option<Resume>,
    launch: Option<Launch>,
    fork_from: Option<HistoryPoint>,
    resume_from: Option<HistoryPoint>,
    rank: u32,
    program: String,
    runtime: String,
    directory: Option<PathBuf>,
    options: WriterOptions,
    system: bool,
    source: bool,
    packages: Vec<(String, String)>,
    package_paths: Vec<PathBuf>,
    save_code: SaveCode,
    redact: Option<bool>,
    arguments: Vec<String>,
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
            resume: None,
            launch: None,
            fork_from: None,
            resume_from: None,
            rank: 0,
            program: String::new(),
            runtime: String::new(),
            directory: None,
            options: WriterOptions { strict: false, journal_bytes: JOURNAL_BYTES_MAX, own: false },
            system: false,
            source: false,
            packages: Vec::new(),
            package_paths: Vec::new(),
            save_code: SaveCode::Nothing,
            redact: None,
            arguments: Vec::new(),
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

    /// Says what to do when a run of the given id is there. By default `Never`; ranks join each other.
    #[must_use]
    pub fn resume(mut self, resume: Resume) -> Self {
        self.resume = Some(resume);
        self
    }

    /// Makes a new run that begins with the history of another up to a step, and goes on after it.
    ///
    /// The new run has what the other had of config and metric definitions, and keeps it whatever becomes of the other.
    #[must_use]
    pub fn fork_from(mut self, point: HistoryPoint) -> Self {
        self.fork_from = Some(point);
        self
    }

    /// Goes on with a run after a step. What it logged beyond the step is hidden, and stays readable:
    /// [`Workspace::hidden_series`], [`Workspace::as_of`].
    #[must_use]
    pub fn resume_from(mut self, point: HistoryPoint) -> Self {
        self.resume_from = Some(point);
        self
    }

    /// Says what started this process as one of several. Without an id all its ranks record one run.
    #[must_use]
    pub fn launch(mut self, launch: Launch) -> Self {
        self.rank = launch.rank;
        self.launch = Some(launch);
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

    /// Records system metrics: processor, memory, disk and network of the machine and of the run's processes, each
    /// [`SYSTEM_EVERY`](crate::SYSTEM_EVERY). By default they are not.
    #[must_use]
    pub fn system(mut self, system: bool) -> Self {
        self.system = system;
        self
    }

    /// Records where the code comes from, found in the background within two seconds: of the work tree at or above
    /// [`RunBuilder::directory`] the remote (without credentials) and whether tracked files differ from the commit, for
    /// which `git` is started; and the packages. By default it is not. Of the ranks of a run the first records it.
    #[must_use]
    pub fn source(mut self, source: bool) -> Self {
        self.source = source;
        self
    }

    /// Sets what of the code is kept, in the background; the main file is [`RunBuilder::program`]. By default nothing is.
    /// Of the ranks of a run the first keeps it.
    #[must_use]
    pub fn save_code(mut self, save: SaveCode) -> Self {
        self.save_code = save;
        self
    }

    /// Sets packages that the program is made of, by name and version, for [`RunBuilder::source`] to record.
    #[must_use]
    pub fn packages(mut self, packages: impl IntoIterator<Item = (String, String)>) -> Self {
        self.packages.extend(packages);
        self
    }

    /// Sets directories from which Python imports: [`RunBuilder::source`] records the packages that are installed there.
    #[must_use]
    pub fn package_paths(mut self, paths: impl IntoIterator<Item = PathBuf>) -> Self {
        self.package_paths.extend(paths);
        self
    }

    /// Says whether config, arguments, program and console are searched for secrets, which are then redacted. By default the
    /// workspace's setting `redact` says, which is on.
    #[must_use]
    pub fn redact(mut self, redact: bool) -> Self {
        self.redact = Some(redact);
        self
    }

    /// Sets the arguments of the program. By default none are recorded.
    #[must_use]
    pub fn arguments<T: Into<String>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments = arguments.into_iter().map(Into::into).collect();
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
    /// [`ErrorKind::NotFound`] as [`Resume`] says, [`ErrorKind::Busy`] to rewind a run that is being recorded,
    /// [`ErrorKind::ReadOnly`] if nothing can be written.
    pub fn start(self) -> Result<Run> {
        let workspace = self.workspace.clone();
        let inner = &workspace.inner;
        inner.refuse_if_only_read()?;
        let writer_id = WriterId(io::random(&*inner.io)?);
        let (options, capture) = (self.options, self.capture()?);
        let redaction = Arc::new(Redaction::new(workspace.scanner(self.redact)?));
        let (mut start, mut given, findings) = self.into_start(redaction.scanner())?;
        meet::identify(&workspace, &mut start, &mut given)?;
        // The file comes before the run is known, so that a run whose writer dies in between can be told by an empty
        // journal and needs no search for it; see `ingest::recover`.
        let empty = EmptyJournal::create(inner)?;
        let Met { key, next_step, resumed, is_new } = match meet::register(inner, writer_id, &mut start, &given) {
            Ok(met) => met,
            Err(error) => {
                empty.discard(inner);
                return Err(error);
            }
        };
        let writer = Writer::new(inner.clone(), writer_id, key.clone(), start.clone(), options, Some(empty));
        if let Err(error) = writer.begin() {
            // The run is there and has no journal. If the disk takes that its writer is gone, it does not seem at work.
            let _ = inner.writing(Some(INIT_WAIT)).and_then(|writing| {
                Intake::after(writer_id, Progress::default()).store(&writing, Some(INIT_WAIT), true)?;
                writing.publish()
            });
            return Err(error);
        }
        let background = Background::start(Arc::new(writer), Role::Original);
        let own = OwnSeries::new(inner.clone(), key.clone(), &start, writer_id, options);
        let capture = Capture::start(own, workspace.path().to_owned(), capture, redaction.clone());
        let quota = QuotaWatch::start(&workspace, &start.project_name);
        let shared = Shared {
            workspace: workspace.clone(),
            key,
            start,
            options,
            redaction,
            place: Place::new(next_step),
            resumed,
            is_new,
            writer: Forkable::new(background),
            capture: Forkable::new(capture),
            quota: Forkable::new(quota),
        };
        let run = Run { shared: Arc::new(shared), finished: AtomicBool::new(false) };
        run.tell(findings)?;
        if let Some(text) = run.redacted_message() {
            workspace.inner.monitor.note(&format!("run {}: {text}", run.id()));
        }
        Ok(run)
    }

    fn capture(&self) -> Result<CaptureOptions> {
        let first = self.rank == 0;
        let source = || SourceOptions {
            directory: self.directory.clone(),
            package_paths: self.package_paths.clone(),
            packages: self.packages.clone(),
        };
        let code = || -> Result<CodeOptions> {
            Ok(CodeOptions {
                save: self.save_code.clone(),
                directory: self.directory.clone(),
                main: PathBuf::from(&self.program),
            })
        };
        let code = (self.save_code != SaveCode::Nothing && first).then(code).transpose()?;
        Ok(CaptureOptions { system: self.system, source: (self.source && first).then(source), code })
    }

    /// Makes the start record, without the secrets that `scanner` finds.
    fn into_start(self, scanner: &Scanner) -> Result<(Start, Given, Vec<Finding>)> {
        let io = self.workspace.inner.io.clone();
        let given = Given {
            id: self.id.is_some(),
            name: self.name.clone(),
            resume: self.resume,
            launch: self.launch.clone(),
            fork_from: self.fork_from,
            resume_from: self.resume_from,
            ..Given::default()
        };
        let id = match self.id {
            Some(id) => checked_name("run id", id, &['/', ':', '#', '?'])?,
            None => id_of(&io::random::<12>(&*io)?),
        };
        let mut extra = Vec::new();
        if let Some(Launch { job, restart, .. }) = self.launch {
            set_extra_body(&mut extra, LAUNCH_FIELD, &Launched { job, restart })
                .map_err(|cause| Error::format("launch", cause))?;
        }
        if let Some(directory) = &self.directory {
            extra.push((DIRECTORY_FIELD, directory.to_string_lossy().into_owned().into_bytes()));
        }
        if !matches!(self.config, Json::Map(_)) {
            return Err(Error::invalid("config: a map is expected"));
        }
        let (config, mut findings) = scanner.config("config", self.config);
        let (program, found) = scanner.text(&self.program, Language::Text, |_| "program".to_owned());
        findings.extend(found);
        let (notes, found) = scanner.notes(&self.notes);
        findings.extend(found);
        if !self.arguments.is_empty() {
            let (all, found) = scanner.arguments(&self.arguments);
            findings.extend(found);
            set_extra_body(&mut extra, ARGUMENTS_FIELD, &Arguments { all })
                .map_err(|cause| Error::format("arguments", cause))?;
        }
        let git = self.directory.as_deref().map(capture::git_head).unwrap_or_default();
        let tags = self.tags.into_iter().map(|tag| checked_name("tag", tag, &[])).collect::<Result<Vec<_>>>()?;
        let mut start = Start {
            run: io::random(&*io)?,
            project: io::random(&*io)?,
            run_id: id,
            project_name: checked_name("project", self.project, &[':', '#', '?'])?,
            name: self.name.unwrap_or_default(),
            notes: notes.into_owned(),
            group: self.group,
            job_type: self.job_type,
            tags,
            config: Tokens::new(&config).map_err(|cause| Error::format("config", cause))?,
            started: io.wall_us(),
            resumed: false,
            forked_from: [0; 16],
            rank: self.rank,
            host: String::new(),
            boot_id: String::new(),
            pid: 0,
            device: [0; 16],
            program: program.into_owned(),
            git_commit: git.commit,
            git_branch: git.branch,
            runtime: self.runtime,
            extra,
        };
        put_process(&mut start);
        Ok((start, given, findings))
    }
}

/// Says in a start record which process writes.
pub(super) fn put_process(start: &mut Start) {
    let os::ProcessFacts { host, boot_id, namespace, pid, started } = os::ProcessFacts::of_this();
    (start.host, start.boot_id, start.pid) = (host, boot_id, pid);
    ProcessField { started, namespace }.put(start);
}

/// Makes an id of random bytes.
pub(super) fn id_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(ID_DIGITS[usize::from(*byte) % 36])).collect()
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
