//! Artifacts: `Draft`, a version that is being put together, and `StoredArtifact`, one that is stored.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyDict, PyList};
use runcellar::artifacts::{ArtifactDraft, Download, DownloadOptions, EntryKind, Links, PutSettings, VersionText};
use runcellar::{ArtifactVersion, ErrorKind, Json, RunInfo, Workspace};

use crate::convert::{self, Datetimes};
use crate::error::{self, Failure, Result};
use crate::messages::Messages;

/// A version of an artifact that is being put together. The package's `Artifact` adds what is convenience.
#[pyclass(subclass, frozen, weakref, module = "runcellar._runcellar")]
pub(crate) struct Draft {
    draft: Mutex<ArtifactDraft>,
}

impl Draft {
    fn draft(&self) -> MutexGuard<'_, ArtifactDraft> {
        self.draft.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut ArtifactDraft) -> runcellar::Result<()> + Send,
    ) -> Result<()> {
        // The lock is only ever waited for without the interpreter.
        Ok(py.detach(|| work(&mut self.draft()))?)
    }

    /// Puts the version, and says what the store had to say.
    pub(crate) fn put(
        &self,
        py: Python<'_>,
        workspace: &Workspace,
        messages: &Arc<Messages>,
        settings: &PutSettings,
    ) -> Result<StoredArtifact> {
        let outcome = py.detach(|| workspace.put_artifact(&self.draft(), settings));
        messages.drain(py)?;
        Ok(StoredArtifact::new(workspace.clone(), messages.clone(), outcome?.version))
    }

    /// Returns what stands for the version where nothing is recorded.
    pub(crate) fn nowhere(&self, py: Python<'_>, project: &str) -> StoredArtifact {
        let name = py.detach(|| self.draft().name().to_owned());
        StoredArtifact { place: Place::Nowhere { name, project: project.to_owned() } }
    }
}

fn links(follow: bool) -> Links {
    if follow { Links::Follow } else { Links::Keep }
}

#[pymethods]
impl Draft {
    #[new]
    #[pyo3(signature = (name, r#type=None, description=None, metadata=None))]
    fn new(
        py: Python<'_>,
        name: &str,
        r#type: Option<&str>,
        description: Option<String>,
        metadata: Option<&Bound<'_, PyAny>>,
    ) -> Result<Self> {
        let mut draft = ArtifactDraft::new(name, r#type.unwrap_or_default())?;
        draft.description = description.unwrap_or_default();
        if let Some(metadata) = metadata {
            draft.metadata = checked_metadata(py, metadata)?;
        }
        Ok(Draft { draft: Mutex::new(draft) })
    }

    /// The name.
    #[getter]
    fn name(&self, py: Python<'_>) -> String {
        py.detach(|| self.draft().name().to_owned())
    }

    /// What sort of thing it is; None if nobody said.
    #[getter]
    fn r#type(&self, py: Python<'_>) -> Option<String> {
        py.detach(|| Some(self.draft().kind.clone()).filter(|kind| !kind.is_empty()))
    }

    /// Description; None if there is none.
    #[getter]
    fn description(&self, py: Python<'_>) -> Option<String> {
        py.detach(|| Some(self.draft().description.clone()).filter(|text| !text.is_empty()))
    }

    #[setter]
    fn set_description(&self, py: Python<'_>, description: Option<String>) {
        py.detach(|| self.draft().description = description.unwrap_or_default());
    }

    /// The metadata; a copy.
    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let metadata = py.detach(|| self.draft().metadata.clone());
        convert::json_to_python(py, &metadata)
    }

    #[setter]
    fn set_metadata(&self, py: Python<'_>, metadata: &Bound<'_, PyAny>) -> Result<()> {
        let metadata = checked_metadata(py, metadata)?;
        py.detach(|| self.draft().metadata = metadata);
        Ok(())
    }

    /// Sockets, FIFOs and devices that were passed over.
    #[getter]
    fn skipped(&self, py: Python<'_>) -> Vec<std::ffi::OsString> {
        py.detach(|| self.draft().skipped().iter().map(|path| path.clone().into_os_string()).collect())
    }

    fn _add_file(&self, py: Python<'_>, path: PathBuf, name: Option<&str>, follow_links: bool) -> Result<()> {
        self.change(py, |draft| draft.add_file(&path, name, links(follow_links)))
    }

    fn _add_dir(&self, py: Python<'_>, path: PathBuf, name: Option<&str>, follow_links: bool) -> Result<()> {
        self.change(py, |draft| draft.add_dir(&path, name, links(follow_links)))
    }

    fn _add_bytes(&self, py: Python<'_>, name: &str, content: PyBackedBytes) -> Result<()> {
        self.change(py, |draft| draft.add_bytes(name, content.to_vec()))
    }

    fn _add_reference(
        &self,
        py: Python<'_>,
        uri: &str,
        name: &str,
        size: Option<u64>,
        digest: Option<&str>,
    ) -> Result<()> {
        self.change(py, |draft| draft.add_reference(uri, name, size, digest))
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("<runcellar.Artifact {}>", self.name(py))
    }
}

fn checked_metadata(py: Python<'_>, metadata: &Bound<'_, PyAny>) -> Result<Json> {
    match convert::json("metadata", metadata, 0)?.map_err(|refusal| refusal.into_error(py))? {
        metadata @ Json::Map(_) => Ok(metadata),
        _ => Err(error::unsupported(py, "metadata: a dict is expected").into()),
    }
}

/// A version of an artifact.
#[pyclass(frozen, weakref, module = "runcellar")]
pub(crate) struct StoredArtifact {
    place: Place,
}

enum Place {
    Store {
        workspace: Workspace,
        messages: Arc<Messages>,
        version: Box<ArtifactVersion>,
    },
    /// Logged to a run that records nothing.
    Nowhere {
        name: String,
        project: String,
    },
}

impl StoredArtifact {
    pub(crate) fn new(workspace: Workspace, messages: Arc<Messages>, version: ArtifactVersion) -> Self {
        StoredArtifact { place: Place::Store { workspace, messages, version: Box::new(version) } }
    }

    fn version_or_none(&self) -> Option<&ArtifactVersion> {
        match &self.place {
            Place::Store { version, .. } => Some(version),
            Place::Nowhere { .. } => None,
        }
    }

    /// Runs `work` without the interpreter, then says what the store had to say.
    pub(crate) fn detached<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Workspace, &ArtifactVersion) -> runcellar::Result<T> + Send,
    ) -> Result<T> {
        let Place::Store { workspace, messages, version } = &self.place else {
            let message = "the artifact was logged to a run that records nothing: there is no content";
            return Err(error::of_kind(py, ErrorKind::State, message).into());
        };
        let outcome = py.detach(|| work(workspace, version));
        messages.drain(py)?;
        Ok(outcome?)
    }

    fn changed(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Workspace, &ArtifactVersion) -> runcellar::Result<ArtifactVersion> + Send,
    ) -> Result<StoredArtifact> {
        let version = self.detached(py, work)?;
        match &self.place {
            Place::Store { workspace, messages, .. } => {
                Ok(StoredArtifact::new(workspace.clone(), messages.clone(), version))
            }
            Place::Nowhere { name, project } => {
                Ok(StoredArtifact { place: Place::Nowhere { name: name.clone(), project: project.clone() } })
            }
        }
    }
}

/// Raises for files that did not come out.
fn refuse_hurt(py: Python<'_>, got: &Download, name: &str) -> Result<()> {
    const NAMED_MAX: usize = 5;
    if got.hurt.is_empty() {
        return Ok(());
    }
    let mut named: Vec<String> =
        got.hurt.iter().take(NAMED_MAX).map(|hurt| format!("{}: {}", hurt.path, hurt.error)).collect();
    if let Some(more) = got.hurt.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        named.push(format!("and {more} more"));
    }
    let message = format!("artifact {name}: these did not come out: {}", named.join("; "));
    let in_the_way = got.hurt.iter().all(|hurt| hurt.error.kind() == ErrorKind::InvalidArgument);
    let kind = if in_the_way { ErrorKind::InvalidArgument } else { ErrorKind::Damaged };
    Err(error::of_kind(py, kind, message).into())
}

/// One text, or several.
#[derive(FromPyObject)]
pub(crate) enum Texts {
    One(String),
    Several(Vec<String>),
}

impl Texts {
    pub(crate) fn list(texts: Option<Texts>) -> Vec<String> {
        match texts {
            None => Vec::new(),
            Some(Texts::One(text)) => vec![text],
            Some(Texts::Several(texts)) => texts,
        }
    }
}

/// Returns ids of runs.
fn ids(runs: Vec<RunInfo>) -> Vec<String> {
    runs.into_iter().map(|run| run.id).collect()
}

#[pymethods]
impl StoredArtifact {
    /// The name.
    #[getter]
    fn name(&self) -> &str {
        match &self.place {
            Place::Store { version, .. } => &version.name,
            Place::Nowhere { name, .. } => name,
        }
    }

    /// Name of the project.
    #[getter]
    fn project(&self) -> &str {
        match &self.place {
            Place::Store { version, .. } => &version.project,
            Place::Nowhere { project, .. } => project,
        }
    }

    /// The version: `v3`.
    #[getter]
    fn version(&self) -> String {
        self.version_or_none().map_or_else(|| "v0".to_owned(), ArtifactVersion::version)
    }

    /// All of it: `project/name:v3`.
    #[getter]
    pub(crate) fn full_name(&self) -> String {
        format!("{}/{}:{}", self.project(), self.name(), self.version())
    }

    /// What sort of thing it is; None if nobody said.
    #[getter]
    fn r#type(&self) -> Option<&str> {
        self.version_or_none().map(|version| version.kind.as_str()).filter(|kind| !kind.is_empty())
    }

    /// What it holds: equal for equal paths and contents within a project.
    #[getter]
    fn digest(&self) -> &str {
        self.version_or_none().map_or("", |version| &version.digest)
    }

    /// Bytes of the files.
    #[getter]
    fn size(&self) -> u64 {
        self.version_or_none().map_or(0, |version| version.bytes)
    }

    /// How many files.
    #[getter]
    fn file_count(&self) -> u64 {
        self.version_or_none().map_or(0, |version| version.files)
    }

    /// When it was made, in UTC; None if it was not.
    #[getter]
    fn created<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.version_or_none().map(|version| Datetimes::new(py)?.at(version.created)).transpose()
    }

    /// Aliases that name it.
    #[getter]
    fn aliases(&self) -> Vec<String> {
        self.version_or_none().map(|version| version.aliases.clone()).unwrap_or_default()
    }

    /// Of a link, the version that it links to.
    #[getter]
    fn links_to(&self) -> Option<&str> {
        self.version_or_none()?.links_to.as_deref()
    }

    /// Description; None if there is none.
    #[getter]
    fn description(&self) -> Option<&str> {
        self.version_or_none().map(|version| version.description.as_str()).filter(|text| !text.is_empty())
    }

    /// The metadata; a copy.
    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.version_or_none() {
            Some(version) => convert::json_to_python(py, &version.metadata),
            None => Ok(PyDict::new(py).into_any()),
        }
    }

    /// Return at once: what is logged is stored already.
    fn wait<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
        slf.clone()
    }

    /// List what it holds, of all or of what matches a pattern.
    #[pyo3(signature = (glob=None))]
    fn files<'py>(&self, py: Python<'py>, glob: Option<&str>) -> Result<Bound<'py, PyList>> {
        let entries = self.detached(py, |_, version| version.entries(glob))?;
        let list = PyList::empty(py);
        for entry in entries {
            let dict = PyDict::new(py);
            dict.set_item("path", entry.path.into_os_string())?;
            dict.set_item("kind", entry.kind.as_str())?;
            dict.set_item("size", entry.kind.size())?;
            let (mut executable, mut target, mut uri, mut known) = (false, None, None, None);
            match entry.kind {
                EntryKind::File { executable: flag, .. } => executable = flag,
                EntryKind::Link { target: named } => target = Some(named.into_os_string()),
                EntryKind::Reference { uri: given, digest, .. } => {
                    uri = Some(given);
                    known = Some(digest).filter(|digest| !digest.is_empty());
                }
                EntryKind::Directory => {}
            }
            dict.set_item("executable", executable)?;
            dict.set_item("target", target)?;
            dict.set_item("uri", uri)?;
            dict.set_item("digest", known)?;
            list.append(dict)?;
        }
        Ok(list)
    }

    /// Write the files below a folder; return its path.
    #[pyo3(signature = (path=None, *, glob=None))]
    fn download(&self, py: Python<'_>, path: Option<PathBuf>, glob: Option<String>) -> Result<std::ffi::OsString> {
        let to = path.unwrap_or_else(|| PathBuf::from(self.name()));
        let options = DownloadOptions { glob, ..DownloadOptions::default() };
        let got = self.detached(py, |_, version| version.download(&to, &options))?;
        refuse_hurt(py, &got, &self.full_name())?;
        Ok(to.into_os_string())
    }

    /// Open all content and compare it.
    fn verify(&self, py: Python<'_>) -> Result<()> {
        let got = self.detached(py, |_, version| version.verify())?;
        refuse_hurt(py, &got, &self.full_name())
    }

    /// Compare with another version of the project: what that one added, removed and changed.
    fn diff<'py>(&self, py: Python<'py>, other: &Bound<'py, StoredArtifact>) -> Result<Bound<'py, PyDict>> {
        let Some(other) = other.get().version_or_none().cloned() else {
            return Err(Failure::from(error::invalid(py, "the other artifact has no content")));
        };
        let diff = self.detached(py, |workspace, version| workspace.diff_versions(version, &other))?;
        let paths = |entries: Vec<runcellar::artifacts::Entry>| -> Vec<std::ffi::OsString> {
            entries.into_iter().map(|entry| entry.path.into_os_string()).collect()
        };
        let dict = PyDict::new(py);
        dict.set_item("added", paths(diff.added))?;
        dict.set_item("removed", paths(diff.removed))?;
        dict.set_item("changed", paths(diff.changed.into_iter().map(|changed| changed.after).collect()))?;
        dict.set_item("unchanged", diff.unchanged)?;
        Ok(dict)
    }

    /// Let aliases name it, or take them away; return it as it is then.
    #[pyo3(signature = (*aliases, remove=None))]
    fn tag(&self, py: Python<'_>, aliases: Vec<String>, remove: Option<Texts>) -> Result<StoredArtifact> {
        let (add, remove) = (aliases, Texts::list(remove));
        self.changed(py, |workspace, version| workspace.tag_version(version, &add, &remove))
    }

    /// Link it into a collection; return the link.
    #[pyo3(signature = (target, aliases=None))]
    fn link(&self, py: Python<'_>, target: &str, aliases: Option<Texts>) -> Result<StoredArtifact> {
        let aliases = Texts::list(aliases);
        self.changed(py, |workspace, version| workspace.link_version(version, target, &aliases))
    }

    /// Change description or metadata; return it as it is then.
    #[pyo3(signature = (description=None, metadata=None))]
    fn describe(
        &self,
        py: Python<'_>,
        description: Option<String>,
        metadata: Option<&Bound<'_, PyAny>>,
    ) -> Result<StoredArtifact> {
        let metadata = metadata.map(|metadata| checked_metadata(py, metadata)).transpose()?;
        let text = VersionText { description, metadata };
        self.changed(py, |workspace, version| workspace.describe_version(version, &text))
    }

    /// Return the ids of the runs that made it, the first one first.
    fn made_by(&self, py: Python<'_>) -> Result<Vec<String>> {
        Ok(ids(self.detached(py, |workspace, version| workspace.runs_of_version(version))?.made))
    }

    /// Return the ids of the runs that used it, the first one first.
    fn used_by(&self, py: Python<'_>) -> Result<Vec<String>> {
        Ok(ids(self.detached(py, |workspace, version| workspace.runs_of_version(version))?.used))
    }

    fn __repr__(&self) -> String {
        format!("<runcellar.StoredArtifact {}>", self.full_name())
    }
}
