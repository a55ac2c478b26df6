//! `Recorder`: one run being recorded. The package's `Run` adds to it what is convenience.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use runcellar::artifacts::PutSettings;
use runcellar::run::Removal;
use runcellar::{
    CodeFolder, ErrorKind, HistoryPoint, Json, MetricDefinition, Monitor as _, Resume, Run, RunState, SaveCode, Stream,
};

use crate::artifact::{Draft, StoredArtifact};
use crate::console::Tap;
use crate::convert::{self, Flat, Refusal};
use crate::error::{self, Result};
use crate::log::{self, Memory};
use crate::messages::Messages;
use crate::open::{self, Missing};
use crate::{exit, launch, remotes, stored};

/// One run being recorded.
#[pyclass(subclass, frozen, weakref, module = "runcellar._runcellar")]
pub(crate) struct Recorder {
    target: Target,
    messages: Arc<Messages>,
    strict: bool,
    memory: Memory,
    created: Option<String>,
    /// Whether the console is to be recorded.
    console: bool,
    tap: OnceLock<Arc<Tap>>,
    /// Whether the main file, or the cells of a notebook, are to be kept.
    saves_main: bool,
}

enum Target {
    Store(Arc<Run>),
    /// Records nothing.
    Nowhere {
        id: String,
        name: String,
        project: String,
        step: AtomicI64,
    },
}

impl Recorder {
    fn run(&self) -> Option<&Arc<Run>> {
        match &self.target {
            Target::Store(run) => Some(run),
            Target::Nowhere { .. } => None,
        }
    }

    /// Runs `work` on the run without the interpreter, then says what the store had to say.
    fn detached<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Run) -> runcellar::Result<T> + Send,
    ) -> Result<Option<T>> {
        let Some(run) = self.run() else { return Ok(None) };
        let outcome = py.detach(|| work(run));
        self.messages.drain(py)?;
        Ok(Some(outcome?))
    }

    /// Counts values that cannot be stored, or raises for a strict run.
    fn refuse(&self, py: Python<'_>, mut refused: Vec<Refusal>) -> Result<()> {
        if refused.is_empty() {
            return Ok(());
        }
        if self.strict {
            return Err(refused.swap_remove(0).into_error(py).into());
        }
        if let Some(run) = self.run() {
            run.count_dropped(refused.len() as u64, &refused[0].message);
        }
        Ok(self.messages.drain(py)?)
    }
}

/// Returns what was asked for, or else what the workspace is set to.
fn switch(workspace: &runcellar::Workspace, given: Option<bool>, setting: &str) -> runcellar::Result<bool> {
    match given {
        Some(given) => Ok(given),
        None => Ok(workspace.setting(setting)? == Json::Bool(true)),
    }
}

/// Returns what of the code is kept: a word, a path, or else what the workspace is set to.
fn what_to_save(workspace: &runcellar::Workspace, given: Option<PathBuf>) -> runcellar::Result<SaveCode> {
    match given {
        Some(given) => Ok(given.to_str().and_then(|word| word.parse().ok()).unwrap_or(SaveCode::Path(given))),
        None => match workspace.setting("code.save")? {
            Json::Text(word) => word.parse(),
            _ => Ok(SaveCode::Nothing),
        },
    }
}

#[pymethods]
impl Recorder {
    #[new]
    #[pyo3(signature = (*, project, name, config, tags, notes, group, job_type, id, resume, dir, key_file, disabled,
                        strict, program, runtime, directory, system, console, source, package_paths, save_code,
                        redact, arguments, fork_from, resume_from))]
    #[allow(clippy::too_many_arguments, reason = "a constructor with keywords only")]
    fn new(
        py: Python<'_>,
        project: Option<String>,
        name: Option<String>,
        config: Option<&Bound<'_, PyAny>>,
        tags: Vec<String>,
        notes: Option<String>,
        group: Option<String>,
        job_type: Option<String>,
        id: Option<String>,
        resume: Option<&str>,
        dir: Option<PathBuf>,
        key_file: Option<PathBuf>,
        disabled: bool,
        strict: bool,
        program: String,
        runtime: String,
        directory: Option<PathBuf>,
        system: Option<bool>,
        console: Option<bool>,
        source: Option<bool>,
        package_paths: Vec<PathBuf>,
        save_code: Option<PathBuf>,
        redact: Option<bool>,
        arguments: Vec<String>,
        fork_from: Option<&str>,
        resume_from: Option<&str>,
    ) -> Result<Self> {
        let config = match config {
            None => Json::Map(Vec::new()),
            Some(config) => convert::json("config", config, 0)?.map_err(|refusal| refusal.into_error(py))?,
        };
        if !matches!(config, Json::Map(_)) {
            return Err(error::unsupported(py, "config: a dict is expected").into());
        }
        let messages = Arc::new(Messages::default());
        let memory = Memory::default();
        if disabled {
            let target = Target::Nowhere {
                id: id.unwrap_or_else(|| "disabled".to_owned()),
                name: name.unwrap_or_else(|| "disabled".to_owned()),
                project: project.unwrap_or_else(|| "default".to_owned()),
                step: AtomicI64::new(0),
            };
            return Ok(Recorder {
                target,
                messages,
                strict,
                memory,
                created: None,
                console: false,
                tap: OnceLock::new(),
                saves_main: false,
            });
        }
        let resume = resume.map(|resume| match resume {
            "never" => Resume::Never,
            "allow" => Resume::Allow,
            "auto" => Resume::Auto,
            _ => Resume::Must,
        });
        let launch = launch::of_next_run()?;
        let point = |text: Option<&str>| text.map(str::parse::<HistoryPoint>).transpose();
        let (fork_from, resume_from) = (point(fork_from)?, point(resume_from)?);
        let workspace = open::open(py, dir, key_file, Missing::Create, &messages)?;
        let created = open::creation_line(&workspace);
        let (run, console, saves_main) = py.detach(|| -> runcellar::Result<(Run, bool, bool)> {
            let console = switch(&workspace, console, "console")?;
            let save_code = what_to_save(&workspace, save_code)?;
            let saves_main = save_code == SaveCode::Main;
            let project = match project {
                Some(project) => project,
                // What goes on with a run stays in its project.
                None => match (fork_from.as_ref().or(resume_from.as_ref()), workspace.setting("project.default")?) {
                    (Some(point), _) => workspace.find_run(&point.run)?.project,
                    (None, Json::Text(project)) => project,
                    (None, _) => "default".to_owned(),
                },
            };
            let mut builder = workspace
                .run(&project)
                .system(switch(&workspace, system, "system")?)
                .source(switch(&workspace, source, "source")?)
                .package_paths(package_paths)
                .save_code(save_code)
                .config(config)
                .tags(tags)
                .notes(notes.unwrap_or_default())
                .group(group.unwrap_or_default())
                .job_type(job_type.unwrap_or_default())
                .program(program)
                .runtime(runtime)
                .arguments(arguments)
                .strict(strict);
            if let Some(redact) = redact {
                builder = builder.redact(redact);
            }
            if let Some(resume) = resume {
                builder = builder.resume(resume);
            }
            if let Some(point) = fork_from {
                builder = builder.fork_from(point);
            }
            if let Some(point) = resume_from {
                builder = builder.resume_from(point);
            }
            if let Some(launch) = launch.clone() {
                builder = builder.launch(launch);
            }
            if let Some(directory) = directory {
                builder = builder.directory(directory);
            }
            if let Some(id) = id {
                builder = builder.id(id);
            }
            if let Some(name) = name {
                builder = builder.name(name);
            }
            Ok((builder.start()?, console, saves_main))
        })?;
        messages.drain(py)?;
        if let Some(launch) = &launch {
            launch::has_started(launch);
        }
        let run = Arc::new(run);
        exit::register(&run, &messages);
        let tap = OnceLock::new();
        Ok(Recorder { target: Target::Store(run), messages, strict, memory, created, console, tap, saves_main })
    }

    /// Log one row: values of several metrics at one step.
    ///
    /// `step` need not rise; without it the row is at the current step. `commit` closes the row or holds it open; by
    /// default a row without `step` is closed. Nested dicts become dotted keys, None is left out, and what cannot be
    /// stored is left out and counted.
    #[pyo3(signature = (data, step=None, *, commit=None))]
    fn log(
        &self,
        data: &Bound<'_, PyAny>,
        step: Option<&Bound<'_, PyAny>>,
        commit: Option<&Bound<'_, PyAny>>,
    ) -> Result<()> {
        match &self.target {
            Target::Store(run) => {
                let outcome = log::log(run, &self.memory, self.strict, data, step, commit);
                self.messages.drain(data.py())?;
                outcome
            }
            Target::Nowhere { step: next, .. } => {
                let given = step.map(log::step_of).transpose()?.and_then(std::result::Result::ok).flatten();
                let commit = commit.map(|commit| commit.is_truthy()).transpose()?.unwrap_or(given.is_none());
                let row = given.unwrap_or_else(|| next.load(Ordering::Relaxed));
                next.fetch_max(row.saturating_add(i64::from(commit)), Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// The id.
    #[getter]
    fn id(&self) -> &str {
        match &self.target {
            Target::Store(run) => run.id(),
            Target::Nowhere { id, .. } => id,
        }
    }

    /// Name of the project.
    #[getter]
    fn project(&self) -> &str {
        match &self.target {
            Target::Store(run) => run.project(),
            Target::Nowhere { project, .. } => project,
        }
    }

    /// True if it goes on with what was recorded before; a rank that joins others at work does not.
    #[getter]
    fn resumed(&self) -> bool {
        self.run().is_some_and(|run| run.is_resumed())
    }

    /// The rank of this process among those that record the run.
    #[getter]
    fn rank(&self) -> u32 {
        self.run().map_or(0, |run| run.rank())
    }

    /// The step that the next row without one gets.
    #[getter]
    fn step(&self) -> i64 {
        match &self.target {
            Target::Store(run) => run.step(),
            Target::Nowhere { step, .. } => step.load(Ordering::Relaxed),
        }
    }

    /// Directory of the workspace; None for a run that records nothing.
    #[getter]
    fn dir(&self) -> Option<String> {
        self.run().map(|run| run.workspace().path().display().to_string())
    }

    /// True if nothing is recorded.
    #[getter]
    fn disabled(&self) -> bool {
        self.run().is_none()
    }

    /// True once `finish` was called in the process that started the run.
    #[getter]
    fn finished(&self) -> bool {
        self.run().is_some_and(|run| run.is_finished())
    }

    /// How many values were logged in this process and could not be kept.
    #[getter]
    fn dropped(&self) -> u64 {
        self.run().map_or(0, |run| run.dropped())
    }

    /// True if what the caller gave is all there is of the run so far.
    #[getter]
    fn _is_new(&self) -> bool {
        self.run().is_none_or(|run| run.is_new())
    }

    /// True if the console is to be recorded.
    #[getter]
    fn _records_console(&self) -> bool {
        self.console
    }

    /// Records from now on what is written to the descriptors of standard output and error.
    fn _tap_console(&self, py: Python<'_>) -> Result<()> {
        let Some(run) = self.run() else { return Ok(()) };
        match py.detach(|| Tap::start(run.clone())) {
            Ok(tap) => {
                let tap = Arc::new(tap);
                exit::hold(run, &tap);
                // A second tap would only record what the first forwards.
                let _ = self.tap.set(tap);
                Ok(())
            }
            Err(failure) => Ok(error::warn(py, &format!("the console is not recorded: {failure}"))?),
        }
    }

    /// Records a text that was written to a stream. Says nothing and raises nothing.
    fn _take_console(&self, py: Python<'_>, stream: &str, text: &str) {
        let stream = if stream == "stderr" { Stream::Err } else { Stream::Out };
        if let Some(run) = self.run() {
            py.detach(|| run.console(stream, text.as_bytes()));
        }
    }

    /// Lists files of a folder among which code is chosen: those that look like it, or all that nothing holds back.
    fn _code_files(&self, py: Python<'_>, root: PathBuf, all: bool) -> Result<Vec<PathBuf>> {
        let folder = CodeFolder { root, ..CodeFolder::default() };
        Ok(py.detach(|| if all { folder.candidates() } else { folder.files() })?)
    }

    /// Keeps files of a folder, given by their paths below it; returns files, bytes, redacted secrets, and notes.
    fn _log_code(
        &self,
        py: Python<'_>,
        root: PathBuf,
        name: String,
        files: Vec<PathBuf>,
    ) -> Result<(u64, u64, u64, Vec<String>)> {
        let folder = CodeFolder { root, name, ..CodeFolder::default() };
        let saved = self.detached(py, |run| run.log_code_files(&folder, &files))?.unwrap_or_default();
        Ok((saved.files, saved.bytes, saved.redacted, saved.notes))
    }

    /// Keeps the cells that a notebook has run.
    fn _log_cells(&self, py: Python<'_>, cells: Vec<String>) -> Result<()> {
        self.detached(py, |run| run.log_cells(&cells)).map(drop)
    }

    /// True if the main file is to be kept.
    #[getter]
    fn _saves_main(&self) -> bool {
        self.saves_main
    }

    /// Says how many secrets were redacted so far, and where; `None` if there were none.
    #[getter]
    fn _redacted(&self) -> Option<String> {
        self.run().and_then(|run| run.redacted_message())
    }

    #[getter]
    fn _created(&self) -> Option<&str> {
        self.created.as_deref()
    }

    #[getter]
    fn _start_name(&self) -> &str {
        match &self.target {
            Target::Store(run) => run.name(),
            Target::Nowhere { name, .. } => name,
        }
    }

    /// Wait until all that was logged survives a power cut.
    fn flush(&self, py: Python<'_>) -> Result<()> {
        self.detached(py, Run::flush).map(drop)
    }

    /// Reads the run as it is now; `None` for one that records nothing.
    fn _info<'py>(&self, py: Python<'py>) -> Result<Option<Bound<'py, PyDict>>> {
        match self.detached(py, Run::info)? {
            Some(info) => Ok(Some(stored::info_to_dict(py, &info)?)),
            None => Ok(None),
        }
    }

    /// Returns a dict as a config keeps it; `None` if it cannot, which is counted. `path` names it in messages.
    fn _plain_config<'py>(
        &self,
        py: Python<'py>,
        path: &str,
        values: &Bound<'py, PyAny>,
    ) -> Result<Option<Bound<'py, PyAny>>> {
        match convert::json(path, values, 0)? {
            Ok(value) => Ok(Some(convert::json_to_python(py, &value)?)),
            Err(refusal) => self.refuse(py, vec![refusal]).map(|()| None),
        }
    }

    /// Sets a top-level key of the config.
    fn _set_config(&self, py: Python<'_>, key: &str, value: &Bound<'_, PyAny>) -> Result<()> {
        match convert::json(&format!("config.{key}"), value, 0)? {
            Ok(value) => self.detached(py, |run| run.config(key, value)).map(drop),
            Err(refusal) => self.refuse(py, vec![refusal]),
        }
    }

    fn _log_artifact(
        &self,
        py: Python<'_>,
        draft: &Bound<'_, Draft>,
        aliases: Vec<String>,
        compress: bool,
    ) -> Result<StoredArtifact> {
        let Some(run) = self.run() else { return Ok(draft.get().nowhere(py, self.project())) };
        let (project, id) = (run.project().to_owned(), run.id().to_owned());
        let settings = PutSettings { project, run: Some(id), compress, aliases };
        draft.get().put(py, run.workspace(), &self.messages, &settings)
    }

    fn _use_artifact(&self, py: Python<'_>, name: &str) -> Result<StoredArtifact> {
        let Some(run) = self.run() else {
            let message = format!("artifact {name}: the run records nothing, so none is looked up");
            return Err(error::of_kind(py, ErrorKind::State, message).into());
        };
        let used = self.detached(py, |run| {
            let workspace = run.workspace();
            // What the run's own project has comes first.
            let own = if name.contains('/') { None } else { Some(format!("{}/{name}", run.project())) };
            let found = match own.map(|own| workspace.artifact(&own)) {
                Some(Err(error)) if error.kind() == ErrorKind::NotFound => workspace.artifact(name),
                Some(found) => found,
                None => workspace.artifact(name),
            }?;
            workspace.use_version(&found, &run.info()?)?;
            Ok(found)
        })?;
        let gone = || error::of_kind(py, ErrorKind::State, "the run records nothing");
        Ok(StoredArtifact::new(run.workspace().clone(), self.messages.clone(), used.ok_or_else(gone)?))
    }

    fn _remove_config(&self, py: Python<'_>, key: &str) -> Result<()> {
        self.detached(py, |run| run.remove(Removal::Config(key))).map(drop)
    }

    /// Sets summary values and returns those that could be stored, under dotted keys.
    fn _set_summary<'py>(&self, py: Python<'py>, values: &Bound<'py, PyAny>) -> Result<Bound<'py, PyDict>> {
        let mut flat = Flat::default();
        match convert::pairs(values)? {
            Some(pairs) => flat.add("", &pairs, 0)?,
            None => flat.refused.push(Refusal::of_type("summary: a dict is expected")),
        }
        for (name, _) in &flat.media {
            flat.refused.push(Refusal::of_value(format!("{name:?}: media cannot stand in a summary; log them")));
        }
        let stored = PyDict::new(py);
        for (name, value) in &flat.values {
            stored.set_item(name, convert::value_to_python(py, value)?)?;
        }
        let values = flat.values;
        self.refuse(py, flat.refused)?;
        self.detached(py, |run| values.into_iter().try_for_each(|(name, value)| run.summary(&name, value)))?;
        Ok(stored)
    }

    fn _remove_summary(&self, py: Python<'_>, key: &str) -> Result<()> {
        self.detached(py, |run| run.remove(Removal::Summary(key))).map(drop)
    }

    fn _set_tags(&self, py: Python<'_>, add: Vec<String>, remove: Vec<String>) -> Result<()> {
        self.detached(py, |run| {
            add.iter().try_for_each(|tag| run.tag(tag))?;
            remove.iter().try_for_each(|tag| run.untag(tag))
        })
        .map(drop)
    }

    fn _set_name(&self, py: Python<'_>, name: &str) -> Result<()> {
        self.detached(py, |run| run.rename(name)).map(drop)
    }

    fn _set_notes(&self, py: Python<'_>, notes: &str) -> Result<()> {
        self.detached(py, |run| run.notes(notes)).map(drop)
    }

    #[pyo3(signature = (name, *, step_metric, summary, goal, hidden))]
    fn _define_metric(
        &self,
        py: Python<'_>,
        name: String,
        step_metric: Option<String>,
        summary: Vec<String>,
        goal: Option<String>,
        hidden: bool,
    ) -> Result<()> {
        let definition = MetricDefinition {
            name,
            summary,
            step_metric: step_metric.unwrap_or_default(),
            goal: goal.unwrap_or_default(),
            hidden,
        };
        self.detached(py, |run| run.define_metric(&definition)).map(drop)
    }

    /// Ends the run in a state: finished, failed or killed.
    #[pyo3(signature = (state, exit_code=None))]
    fn _finish(&self, py: Python<'_>, state: &str, exit_code: Option<i32>) -> Result<()> {
        let state = match state {
            "finished" => RunState::Finished,
            "killed" => RunState::Killed,
            _ => RunState::Failed,
        };
        if let Some(run) = self.run() {
            exit::forget(run);
        }
        self.detached(py, |run| {
            if let Some(tap) = self.tap.get() {
                tap.stop();
            }
            match run.finish_as(state, exit_code) {
                // The end of a training is no place to raise for what cannot be mended any more.
                Err(gone) if gone.kind() == ErrorKind::NotFound && !self.strict => {
                    self.messages.warn(&format!("run {}: {gone}", run.id()));
                    Ok(())
                }
                outcome => outcome,
            }
        })
        .map(drop)
    }

    /// The remotes to which something may be sent now.
    fn _remotes(&self, py: Python<'_>) -> Result<Vec<String>> {
        Ok(self.detached(py, remotes::in_use)?.unwrap_or_default())
    }

    /// True if a remote in use lacks something of the run.
    fn _is_lacking(&self, py: Python<'_>) -> Result<bool> {
        Ok(self.detached(py, remotes::is_lacking)?.unwrap_or_default())
    }

    /// Has the end of the process, too, wait for remotes if the run is open then.
    fn _wait_at_exit(&self, timeout_s: f64) {
        if let Some(run) = self.run() {
            exit::wait_for_remotes(run, Duration::from_secs_f64(timeout_s));
        }
    }

    /// Waits until the remotes in use have the run; returns a line for each that does not. An agent that was just started
    /// has `starts_s` seconds to begin.
    fn _wait_for_remotes(&self, py: Python<'_>, timeout_s: f64, starts_s: f64) -> Result<Vec<String>> {
        let (timeout, starts) = (Duration::from_secs_f64(timeout_s), Duration::from_secs_f64(starts_s));
        let mut interrupted = Ok(());
        let pause = |pause| {
            std::thread::sleep(pause);
            interrupted = Python::attach(|py| py.check_signals());
            interrupted.is_ok()
        };
        let left = self.detached(py, |run| remotes::wait(run, timeout, starts, pause))?;
        interrupted?;
        Ok(left.unwrap_or_default())
    }

    /// True if a process follows the workspace, and sends what is new.
    fn _is_followed(&self, py: Python<'_>) -> Result<bool> {
        Ok(self.detached(py, remotes::is_followed)?.unwrap_or_default())
    }

    /// The key file that opened the workspace, if one did.
    fn _key_file(&self, py: Python<'_>) -> Result<Option<PathBuf>> {
        Ok(self.detached(py, remotes::key_file)?.flatten())
    }

    /// Forgets, in a forked child, what the parent has to say itself.
    fn _after_fork(&self) {
        self.messages.clear();
    }
}
