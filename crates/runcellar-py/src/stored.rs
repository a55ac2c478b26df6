//! `StoredRun`: a run read from a workspace.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use runcellar::{RunInfo, Window, Workspace};

use crate::artifact::StoredArtifact;
use crate::convert::{self, Datetimes, Time};
use crate::error::{self, Result};
use crate::follow::RowFollower;
use crate::messages::Messages;
use crate::series;
use crate::table::Table;

/// A run of a workspace, as it was when it was looked up or last changed through this object.
#[pyclass(frozen, weakref, module = "runcellar")]
pub(crate) struct StoredRun {
    workspace: Workspace,
    messages: Arc<Messages>,
    info: Mutex<RunInfo>,
}

/// Returns what is known of a run as a dict of Python objects.
pub(crate) fn info_to_dict<'py>(py: Python<'py>, info: &RunInfo) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    dict.set_item("id", &info.id)?;
    dict.set_item("name", &info.name)?;
    dict.set_item("project", &info.project)?;
    dict.set_item("state", info.state.as_str())?;
    dict.set_item("tags", &info.tags)?;
    dict.set_item("notes", text(&info.notes))?;
    dict.set_item("group", text(&info.group))?;
    dict.set_item("job_type", text(&info.job_type))?;
    dict.set_item("config", convert::json_to_python(py, &info.config)?)?;
    dict.set_item("summary", summary_to_dict(py, info)?)?;
    Ok(dict)
}

fn summary_to_dict<'py>(py: Python<'py>, info: &RunInfo) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (key, value) in &info.summary {
        dict.set_item(key, convert::value_to_python(py, value)?)?;
    }
    Ok(dict)
}

fn text_or_none(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

impl StoredRun {
    pub(crate) fn new(workspace: Workspace, messages: Arc<Messages>, info: RunInfo) -> Self {
        StoredRun { workspace, messages, info: Mutex::new(info) }
    }

    fn info(&self) -> MutexGuard<'_, RunInfo> {
        self.info.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` without the interpreter, then says what the store had to say.
    fn detached<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Workspace, &RunInfo) -> runcellar::Result<T> + Send,
    ) -> Result<T> {
        let info = self.info().clone();
        let outcome = py.detach(|| work(&self.workspace, &info));
        self.messages.drain(py)?;
        Ok(outcome?)
    }

    fn change(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Workspace, &RunInfo) -> runcellar::Result<()> + Send,
    ) -> Result<()> {
        let changed = self.detached(py, |workspace, info| {
            work(workspace, info)?;
            workspace.refresh_run(info)
        })?;
        *self.info() = changed;
        Ok(())
    }
}

#[pymethods]
impl StoredRun {
    /// Return the versions of artifacts that the run made and used.
    fn artifacts<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyDict>> {
        let found = self.detached(py, |workspace, info| workspace.artifacts_of_run(info))?;
        let stored = |versions: Vec<runcellar::ArtifactVersion>| -> PyResult<Bound<'py, PyList>> {
            let list = PyList::empty(py);
            for version in versions {
                let stored = StoredArtifact::new(self.workspace.clone(), self.messages.clone(), version);
                list.append(Py::new(py, stored)?)?;
            }
            Ok(list)
        };
        let dict = PyDict::new(py);
        dict.set_item("made", stored(found.made)?)?;
        dict.set_item("used", stored(found.used)?)?;
        Ok(dict)
    }

    /// The id.
    #[getter]
    pub(crate) fn id(&self) -> String {
        self.info().id.clone()
    }

    /// The name; setting it renames the run.
    #[getter]
    fn name(&self) -> String {
        self.info().name.clone()
    }

    #[setter]
    fn set_name(&self, py: Python<'_>, name: &str) -> Result<()> {
        self.change(py, |workspace, info| workspace.rename_run(info, name))
    }

    /// Name of the project.
    #[getter]
    fn project(&self) -> String {
        self.info().project.clone()
    }

    /// How it stands: running, finished, failed, crashed or killed.
    #[getter]
    fn state(&self) -> &'static str {
        self.info().state.as_str()
    }

    /// When it was started, in UTC.
    #[getter]
    fn created<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let created = self.info().created;
        Datetimes::new(py)?.at(created)
    }

    /// When it ended, in UTC; None while it runs.
    #[getter]
    fn finished<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let finished = self.info().finished;
        finished.map(|time| Datetimes::new(py)?.at(time)).transpose()
    }

    /// The parameters, nested; a copy.
    #[getter]
    fn config<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let config = self.info().config.clone();
        convert::json_to_python(py, &config)
    }

    /// The last or best value of each metric, and what was set; a copy.
    #[getter]
    fn summary<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let info = self.info().clone();
        summary_to_dict(py, &info)
    }

    /// Notes; None if there are none.
    #[getter]
    fn notes(&self) -> Option<String> {
        text_or_none(&self.info().notes)
    }

    #[setter]
    fn set_notes(&self, py: Python<'_>, notes: Option<&str>) -> Result<()> {
        self.change(py, |workspace, info| workspace.annotate_run(info, notes.unwrap_or_default()))
    }

    /// The group; None if there is none.
    #[getter]
    fn group(&self) -> Option<String> {
        text_or_none(&self.info().group)
    }

    /// The job type; None if there is none.
    #[getter]
    fn job_type(&self) -> Option<String> {
        text_or_none(&self.info().job_type)
    }

    /// Exit code of the program; None if it gave none.
    #[getter]
    fn exit_code(&self) -> Option<i32> {
        self.info().exit_code
    }

    /// How many values were logged and could not be kept.
    #[getter]
    fn dropped(&self) -> u64 {
        self.info().dropped
    }

    /// Read where the code comes from, as of the last session.
    fn source<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyDict>> {
        let source = self.detached(py, Workspace::source)?;
        let dict = PyDict::new(py);
        dict.set_item("commit", text_or_none(&source.commit))?;
        dict.set_item("branch", text_or_none(&source.branch))?;
        dict.set_item("remote", text_or_none(&source.remote))?;
        dict.set_item("dirty", source.dirty)?;
        let packages = PyDict::new(py);
        for (name, version) in &source.packages {
            packages.set_item(name, version)?;
        }
        dict.set_item("packages", packages)?;
        Ok(dict)
    }

    /// List the files of code that are kept with the run: their lengths in bytes by path.
    fn code<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for entry in self.detached(py, Workspace::code)? {
            dict.set_item(String::from_utf8_lossy(&entry.path), entry.size)?;
        }
        Ok(dict)
    }

    /// Write the code that is kept with the run below a directory.
    #[pyo3(signature = (path, *, force=false))]
    fn checkout_code(&self, py: Python<'_>, path: std::path::PathBuf, force: bool) -> Result<Vec<String>> {
        let done = self.detached(py, |workspace, info| workspace.checkout_code(info, &path, force))?;
        if let Some(hurt) = done.hurt.into_iter().next() {
            return Err(hurt.error.into());
        }
        let code = self.detached(py, Workspace::code)?;
        Ok(code.iter().map(|entry| String::from_utf8_lossy(&entry.path).into_owned()).collect())
    }

    /// Commit of the git work tree that it was started in; None if there was none.
    #[getter]
    fn git_commit(&self) -> Option<String> {
        text_or_none(&self.info().git_commit)
    }

    /// Branch of that work tree; None if there was none.
    #[getter]
    fn git_branch(&self) -> Option<String> {
        text_or_none(&self.info().git_branch)
    }

    /// The program.
    #[getter]
    fn program(&self) -> Option<String> {
        text_or_none(&self.info().program)
    }

    /// The language runtime.
    #[getter]
    fn runtime(&self) -> Option<String> {
        text_or_none(&self.info().runtime)
    }

    /// Name of the host it was started on.
    #[getter]
    fn host(&self) -> Option<String> {
        text_or_none(&self.info().host)
    }

    /// What it was forked from, as `init` takes it; None if it was not.
    #[getter]
    fn forked_from(&self, py: Python<'_>) -> Result<Option<String>> {
        let lineage = self.detached(py, |workspace, info| workspace.lineage(info))?;
        Ok(lineage.forked_from.map(|point| point.to_string()))
    }

    /// How often it was rewound, in order, as dicts.
    #[getter]
    fn rewinds<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyList>> {
        let lineage = self.detached(py, |workspace, info| workspace.lineage(info))?;
        let (list, times) = (PyList::empty(py), Datetimes::new(py)?);
        for rewind in lineage.rewinds {
            let dict = PyDict::new(py);
            dict.set_item("time", times.at(rewind.time)?)?;
            dict.set_item("step", rewind.step)?;
            dict.set_item("rows", rewind.rows)?;
            list.append(dict)?;
        }
        Ok(list)
    }

    /// The tags, as a set that writes through.
    #[getter]
    fn tags<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("runcellar._fields")?.getattr("Tags")?.call1((slf,))
    }

    #[setter]
    fn set_tags(slf: &Bound<'_, Self>, tags: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::tags(slf)?.call_method1("_replace", (tags,)).map(drop)
    }

    fn _tags(&self) -> Vec<String> {
        self.info().tags.clone()
    }

    fn _set_tags(&self, py: Python<'_>, add: Vec<String>, remove: Vec<String>) -> Result<()> {
        self.change(py, |workspace, info| workspace.tag_run(info, &add, &remove))
    }

    /// List the metrics as dicts, in order of first use.
    #[pyo3(signature = (steps=None, *, times=None, rank=None))]
    fn metrics<'py>(
        &self,
        py: Python<'py>,
        steps: Option<Ends<i64>>,
        times: Option<Ends<Time>>,
        rank: Option<u32>,
    ) -> Result<Bound<'py, PyList>> {
        let window = window(steps, times, rank);
        let metrics = self.detached(py, |workspace, info| workspace.metrics_in(info, window))?;
        let list = PyList::empty(py);
        for metric in &metrics {
            let dict = PyDict::new(py);
            let number = |value: &Option<runcellar::Value>| {
                value.as_ref().map(|value| convert::value_to_python(py, value)).transpose()
            };
            dict.set_item("name", &metric.name)?;
            dict.set_item("kind", metric.kind)?;
            dict.set_item("points", metric.points)?;
            dict.set_item("first_step", metric.first_step)?;
            dict.set_item("last_step", metric.last_step)?;
            dict.set_item("min", number(&metric.min)?)?;
            dict.set_item("max", number(&metric.max)?)?;
            dict.set_item("last", convert::value_to_python(py, &metric.last)?)?;
            list.append(dict)?;
        }
        Ok(list)
    }

    /// Read metrics as a table: a row a step, with the last value written there.
    ///
    /// `steps` (a, b) takes those from a to before b, `times` what was logged from then to before then, `rank` only the
    /// rows of that rank of a distributed run; `points` at most so many rows, of which none hides a smallest or largest
    /// value.
    #[pyo3(signature = (keys=None, steps=None, points=None, *, times=None, rank=None))]
    fn history(
        &self,
        py: Python<'_>,
        keys: Option<&Bound<'_, PyAny>>,
        steps: Option<Ends<i64>>,
        points: Option<i64>,
        times: Option<Ends<Time>>,
        rank: Option<u32>,
    ) -> Result<Table> {
        let keys = keys.map(names).transpose()?;
        let window = window(steps, times, rank);
        let points = points.map(|points| count(py, "points", points)).transpose()?;
        let (history, media) = self.detached(py, |workspace, info| {
            let history = workspace.history(info, keys.as_deref(), window, points)?;
            let has_media = history.columns.iter().any(|column| series::has_media(&column.values));
            let media = has_media.then(|| workspace.media(info).map(Arc::new)).transpose()?;
            Ok((history, media))
        })?;
        Ok(Table::of_history(history, media.as_ref()))
    }

    /// Read one metric, every point of it, or at most `points` of them; unpacks into steps, values and times.
    ///
    /// `steps`, `times` and `rank` are as for `history`; `hidden` takes only what rewinds hide.
    #[pyo3(signature = (key, points=None, *, steps=None, times=None, rank=None, hidden=false))]
    #[allow(clippy::too_many_arguments, reason = "keywords of one call")]
    fn series<'py>(
        &self,
        py: Python<'py>,
        key: &str,
        points: Option<i64>,
        steps: Option<Ends<i64>>,
        times: Option<Ends<Time>>,
        rank: Option<u32>,
        hidden: bool,
    ) -> Result<Bound<'py, PyAny>> {
        if hidden && (points.is_some() || steps.is_some() || times.is_some() || rank.is_some()) {
            let message = "hidden: all hidden points are read; nothing else is to be given";
            return Err(error::invalid(py, message).into());
        }
        let window = window(steps, times, rank);
        let points = points.map(|points| count(py, "points", points)).transpose()?;
        let (series, media) = self.detached(py, |workspace, info| {
            let series = match hidden {
                true => workspace.hidden_series(info, key),
                false => workspace.series_in(info, key, window, points),
            }?;
            let media = series::has_media(&series.values).then(|| workspace.media(info).map(Arc::new)).transpose()?;
            Ok((series, media))
        })?;
        Ok(series::to_python(py, series, media.as_ref())?)
    }

    /// List the media of the run in order of logging; those in panels and tables stand by themselves, too.
    fn media<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyList>> {
        let media = Arc::new(self.detached(py, Workspace::media)?);
        let list = PyList::empty(py);
        for info in media.list().iter().filter(|info| !info.is_panel()) {
            list.append(crate::media::to_python(py, &media, info.id)?)?;
        }
        Ok(list)
    }

    /// Shows the run in a notebook.
    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("runcellar._display")?.call_method1("stored", (slf,))
    }

    /// Read system metrics as a table: a row a sample, in order of time. `keys` takes some of them.
    #[pyo3(signature = (keys=None))]
    fn system(&self, py: Python<'_>, keys: Option<&Bound<'_, PyAny>>) -> Result<Table> {
        let keys = keys.map(names).transpose()?;
        let table = self.detached(py, |workspace, info| workspace.system(info, keys.as_deref()))?;
        Ok(Table::of_history(table, None))
    }

    /// Yield the rows of the run, those that are there and those that come, until it ends.
    #[pyo3(signature = (keys=None, *, poll=0.02, timeout=None))]
    fn follow(
        &self,
        py: Python<'_>,
        keys: Option<&Bound<'_, PyAny>>,
        poll: f64,
        timeout: Option<f64>,
    ) -> Result<RowFollower> {
        let keys = keys.map(names).transpose()?;
        let follower = self.workspace.follow(&self.info(), keys);
        Ok(RowFollower::new(py, follower, self.messages.clone(), poll, timeout)?)
    }

    /// Read what the run wrote to its console: a list of lines, with `times` and `streams`.
    fn console<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        let lines = self.detached(py, |workspace, info| workspace.console(info))?;
        let times: Vec<i64> = lines.iter().map(|line| line.time).collect();
        let streams: Vec<&str> = lines.iter().map(|line| line.stream.as_str()).collect();
        let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        Ok(py.import("runcellar._console")?.getattr("Console")?.call1((texts, times, streams))?)
    }

    fn __repr__(&self) -> String {
        let info = self.info();
        format!("<runcellar.StoredRun {} ({}/{}, {})>", info.id, info.project, info.name, info.state.as_str())
    }
}

/// A range from its first end to before its second; None leaves one open.
type Ends<T> = (Option<T>, Option<T>);

fn window(steps: Option<Ends<i64>>, times: Option<Ends<Time>>, rank: Option<u32>) -> Window {
    let (steps, times) = (steps.unwrap_or_default(), times.unwrap_or((None, None)));
    let mut window = Window::default();
    if let Some(from) = steps.0 {
        window = window.steps(from..);
    }
    if let Some(before) = steps.1 {
        window = window.steps(..before);
    }
    if let Some(Time(from)) = times.0 {
        window = window.times(from..);
    }
    if let Some(Time(before)) = times.1 {
        window = window.times(..before);
    }
    rank.map_or(window, |rank| window.rank(rank))
}

/// Reads one name, or several.
fn names(keys: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    match keys.extract::<String>() {
        Ok(one) => Ok(vec![one]),
        Err(_) => keys.try_iter()?.map(|key| key?.extract()).collect(),
    }
}

/// Reads a count of at least one.
pub(crate) fn count(py: Python<'_>, name: &str, value: i64) -> PyResult<usize> {
    usize::try_from(value)
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| error::invalid(py, format!("{name}: a positive number is expected, found {value}")))
}
