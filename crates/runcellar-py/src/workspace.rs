//! `Workspace`: reading runs.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use runcellar::artifacts::PutSettings;
use runcellar::{BackupOptions, Json, PurgeOptions, Selection};

use crate::artifact::{Draft, StoredArtifact, Texts};
use crate::convert::Time;
use crate::error::Result;
use crate::messages::Messages;
use crate::open::{self, Missing};
use crate::stored::{self, StoredRun};
use crate::table::{RunRows, RunTable, Source, Table};

/// Returns what names a run: its id, or what a user says.
pub(crate) fn run_name(run: &Bound<'_, PyAny>) -> Result<String> {
    Ok(match run.cast::<StoredRun>() {
        Ok(stored) => stored.get().id(),
        Err(_) => run.extract()?,
    })
}

/// An open workspace.
#[pyclass(frozen, weakref, module = "runcellar")]
pub(crate) struct Workspace {
    workspace: runcellar::Workspace,
    messages: Arc<Messages>,
}

impl Workspace {
    pub(crate) fn of(workspace: runcellar::Workspace, messages: Arc<Messages>) -> Workspace {
        Workspace { workspace, messages }
    }

    fn detached<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&runcellar::Workspace) -> runcellar::Result<T> + Send,
    ) -> Result<T> {
        let outcome = py.detach(|| work(&self.workspace));
        self.messages.drain(py)?;
        Ok(outcome?)
    }
}

#[pymethods]
impl Workspace {
    #[new]
    #[pyo3(signature = (dir=None, key_file=None))]
    fn new(py: Python<'_>, dir: Option<PathBuf>, key_file: Option<PathBuf>) -> Result<Self> {
        let messages = Arc::new(Messages::default());
        let workspace = open::open(py, dir, key_file, Missing::Refuse, &messages)?;
        Ok(Workspace { workspace, messages })
    }

    /// The directory.
    #[getter]
    fn path(&self) -> String {
        self.workspace.path().display().to_string()
    }

    /// The random id: 32 hexadecimal digits.
    #[getter]
    fn id(&self) -> String {
        self.workspace.id()
    }

    /// List runs: of a project, that match a filter, in order of sort keys, at most so many.
    #[pyo3(
        signature = (project=None, r#where=None, order_by=Some("-created"), limit=None),
        text_signature = "($self, project=None, where=None, order_by='-created', limit=None)"
    )]
    fn runs(
        &self,
        py: Python<'_>,
        project: Option<String>,
        r#where: Option<&str>,
        order_by: Option<&str>,
        limit: Option<i64>,
    ) -> Result<Py<RunTable>> {
        let mut selection = Selection { project, ..Selection::default() };
        selection.limit = match limit {
            Some(0) => Some(0),
            Some(limit) => Some(stored::count(py, "limit", limit)?),
            None => None,
        };
        if let Some(filter) = r#where {
            selection = selection.filter(filter)?;
        }
        if let Some(order) = order_by {
            selection = selection.order_by(order)?;
        }
        let runs = self.detached(py, |workspace| workspace.gather_runs(&selection, RunRows::new, RunRows::push))?;
        let source = Source { workspace: self.workspace.clone(), messages: self.messages.clone(), selection };
        Ok(Py::new(py, Table::of_runs(runs, source))?)
    }

    /// Find one run by id, by a prefix of at least 4 characters, by name, or as project/name.
    fn run(&self, run: &str, py: Python<'_>) -> Result<StoredRun> {
        let info = self.detached(py, |workspace| workspace.find_run(run))?;
        Ok(StoredRun::new(self.workspace.clone(), self.messages.clone(), info))
    }

    /// Find a version of an artifact: `[project/]name[:vN|:alias]`, by default the latest.
    fn artifact(&self, name: &str, py: Python<'_>) -> Result<StoredArtifact> {
        let version = self.detached(py, |workspace| workspace.artifact(name))?;
        Ok(StoredArtifact::new(self.workspace.clone(), self.messages.clone(), version))
    }

    /// Put two runs side by side: what differs, or with `all` everything.
    #[pyo3(signature = (left, right, *, all=false))]
    fn diff<'py>(
        &self,
        py: Python<'py>,
        left: &Bound<'py, PyAny>,
        right: &Bound<'py, PyAny>,
        all: bool,
    ) -> Result<Bound<'py, PyDict>> {
        let (left, right) = (run_name(left)?, run_name(right)?);
        let (runs, diff, code) = self.detached(py, |workspace| {
            let (left, right) = (workspace.find_run(&left)?, workspace.find_run(&right)?);
            let (mut diff, code) = (workspace.diff(&left, &right)?, workspace.code_diff(&left, &right)?);
            if !all {
                diff.leave_out_equal();
            }
            Ok(([left, right], diff, code))
        })?;
        Ok(crate::diff::to_python(py, runs.each_ref(), &diff, &code)?)
    }

    /// Store a version of an artifact that no run makes.
    #[pyo3(signature = (artifact, project=None, aliases=None, *, compress=false))]
    fn put_artifact(
        &self,
        py: Python<'_>,
        artifact: &Bound<'_, Draft>,
        project: Option<String>,
        aliases: Option<Texts>,
        compress: bool,
    ) -> Result<StoredArtifact> {
        let of_environment = || std::env::var("RUNCELLAR_PROJECT").ok().filter(|project| !project.is_empty());
        let project = match project.or_else(of_environment) {
            Some(project) => project,
            None => match self.detached(py, |workspace| workspace.setting("project.default"))? {
                Json::Text(project) => project,
                _ => "default".to_owned(),
            },
        };
        let settings = PutSettings { project, run: None, compress, aliases: Texts::list(aliases) };
        artifact.get().put(py, &self.workspace, &self.messages, &settings)
    }

    /// List the versions of all artifacts, or of those of a project.
    #[pyo3(signature = (project=None))]
    fn artifacts(&self, py: Python<'_>, project: Option<&str>) -> Result<Table> {
        Ok(Table::of_artifacts(&self.detached(py, |workspace| workspace.artifacts(project))?))
    }

    /// Link a version into a collection; return the link.
    #[pyo3(signature = (artifact, target, aliases=None))]
    fn link_artifact(
        &self,
        py: Python<'_>,
        artifact: &Bound<'_, PyAny>,
        target: &str,
        aliases: Option<Texts>,
    ) -> Result<StoredArtifact> {
        let aliases = Texts::list(aliases);
        let name = match artifact.cast::<StoredArtifact>() {
            Ok(stored) => stored.get().full_name(),
            Err(_) => artifact.extract::<String>()?,
        };
        let link =
            self.detached(py, |workspace| workspace.link_version(&workspace.artifact(&name)?, target, &aliases))?;
        Ok(StoredArtifact::new(self.workspace.clone(), self.messages.clone(), link))
    }

    /// Return the workspace as it was at a time; it cannot be written.
    fn as_of(&self, py: Python<'_>, time: Time) -> Result<Workspace> {
        let workspace = self.detached(py, |workspace| workspace.as_of(time.0))?;
        Ok(Workspace { workspace, messages: self.messages.clone() })
    }

    /// Verify the workspace; `read_data` opens and decodes every block, too.
    #[pyo3(signature = (read_data=false))]
    fn check<'py>(&self, py: Python<'py>, read_data: bool) -> Result<Bound<'py, PyAny>> {
        let report = self.detached(py, |workspace| workspace.check(runcellar::CheckOptions { read_data }))?;
        Ok(crate::check::to_python(py, &report)?)
    }

    /// Copy the workspace to another folder, also while runs are recorded.
    #[pyo3(signature = (dest, *, verify=false))]
    fn backup<'py>(&self, py: Python<'py>, dest: PathBuf, verify: bool) -> Result<Bound<'py, PyDict>> {
        let report = self.detached(py, |workspace| workspace.backup(&dest, BackupOptions { verify }))?;
        Ok(crate::backup::to_python(py, &dest, &report)?)
    }

    /// Bring in the runs and artifacts of another workspace.
    #[pyo3(signature = (other, *, projects=None, dry_run=false, key_file=None))]
    fn merge<'py>(
        &self,
        py: Python<'py>,
        other: PathBuf,
        projects: Option<Texts>,
        dry_run: bool,
        key_file: Option<PathBuf>,
    ) -> Result<Bound<'py, PyDict>> {
        let (_, options) = open::surroundings(py, key_file, &self.messages)?;
        let merge = runcellar::MergeOptions { projects: Texts::list(projects), dry_run };
        let report = self.detached(py, |workspace| workspace.merge(&options.open_to_read(&other)?, &merge))?;
        Ok(crate::backup::merged(py, &report)?)
    }

    /// Erase runs and artifacts so that older copies cannot give them back, or say what that would do.
    #[pyo3(signature = (targets, dry_run=false, receipt=None, *, strict=false, recovery_out=None))]
    fn purge<'py>(
        &self,
        py: Python<'py>,
        targets: &Bound<'py, PyAny>,
        dry_run: bool,
        receipt: Option<PathBuf>,
        strict: bool,
        recovery_out: Option<PathBuf>,
    ) -> Result<Bound<'py, PyAny>> {
        let targets = crate::purge::targets(targets)?;
        if dry_run {
            let plan = self.detached(py, |workspace| workspace.plan_purge(&targets))?;
            return Ok(crate::purge::parsed(py, &plan.to_json())?);
        }
        let files = crate::purge::Files::create(receipt, recovery_out)?;
        let options = PurgeOptions { strict, new_recovery_code: files.takes_code() };
        let purged = self.detached(py, |workspace| workspace.purge(&targets, options))?;
        files.finish(&purged)?;
        Ok(crate::purge::parsed(py, &purged.receipt.to_json())?)
    }

    /// Say what takes how much of the disk: by project, by run and by kind.
    fn du<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyDict>> {
        let (usage, quotas, evicted) = self.detached(py, |workspace| {
            let usage = workspace.disk_usage()?;
            let quotas = workspace.quotas_in(&usage)?;
            Ok((usage, quotas, workspace.evicted_bytes()?.1))
        })?;
        Ok(crate::usage::to_python(py, &usage, &quotas, evicted)?)
    }

    /// Shows the workspace and its latest runs in a notebook.
    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("runcellar._display")?.call_method1("workspace", (slf,))
    }

    fn __repr__(&self) -> String {
        format!("<runcellar.Workspace {}>", self.workspace.path().display())
    }
}
