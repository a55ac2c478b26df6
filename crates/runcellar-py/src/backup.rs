//! Backups and merges: their reports, and workspaces made of backups.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use runcellar::{BackupReport, CheckReport, MergeReport, Monitor as _, Severity};

use crate::error::Result;
use crate::messages::Messages;
use crate::open;
use crate::workspace::Workspace;

/// Makes a dict in the shape that `runcellar backup --json` prints.
pub(crate) fn to_python<'py>(py: Python<'py>, dest: &Path, report: &BackupReport) -> PyResult<Bound<'py, PyDict>> {
    let files = |files: u64, bytes: u64| {
        let dict = PyDict::new(py);
        dict.set_item("files", files)?;
        dict.set_item("bytes", bytes)?;
        PyResult::Ok(dict)
    };
    let dict = PyDict::new(py);
    dict.set_item("backup", dest.display().to_string())?;
    dict.set_item("copied", files(report.copied_files, report.copied_bytes)?)?;
    dict.set_item("unchanged", files(report.kept_files, report.kept_bytes)?)?;
    dict.set_item("removed", report.removed_files)?;
    dict.set_item("missing", &report.missing)?;
    dict.set_item("verified", report.verified.as_ref().map(CheckReport::is_ok))?;
    dict.set_item("key_file", report.key_file.as_ref().map(|file| file.display().to_string()))?;
    Ok(dict)
}

/// Makes a dict in the shape that `runcellar merge --json` prints.
pub(crate) fn merged<'py>(py: Python<'py>, report: &MergeReport) -> PyResult<Bound<'py, PyDict>> {
    let runs = PyDict::new(py);
    runs.set_item("new", report.new_runs)?;
    runs.set_item("updated", report.updated_runs)?;
    runs.set_item("unchanged", report.unchanged_runs)?;
    let (renamed, left_out) = (PyList::empty(py), PyList::empty(py));
    for (there, here) in &report.renamed {
        let pair = PyDict::new(py);
        pair.set_item("there", there)?;
        pair.set_item("here", here)?;
        renamed.append(pair)?;
    }
    for left in &report.left_out {
        let item = PyDict::new(py);
        item.set_item("what", &left.what)?;
        item.set_item("why", &left.why)?;
        item.set_item("damaged", left.damaged)?;
        left_out.append(item)?;
    }
    let dict = PyDict::new(py);
    dict.set_item("runs", runs)?;
    dict.set_item("versions", report.new_versions)?;
    dict.set_item("artifacts_updated", report.updated_artifacts)?;
    dict.set_item("files", report.new_files)?;
    dict.set_item("renamed", renamed)?;
    dict.set_item("left_out", left_out)?;
    Ok(dict)
}

/// Make a workspace of a backup.
#[pyfunction]
#[pyo3(signature = (backup, dir=None, *, key_file=None))]
pub(crate) fn restore_from(
    py: Python<'_>,
    backup: PathBuf,
    dir: Option<PathBuf>,
    key_file: Option<PathBuf>,
) -> Result<Workspace> {
    let messages = Arc::new(Messages::default());
    let (environment, options) = open::surroundings(py, key_file, &messages)?;
    let path = environment.place_for_init(dir.as_deref());
    let restored = py.detach(|| runcellar::restore_from(&backup, &path, options))?;
    let problems = restored.check.problems.iter().filter(|problem| problem.severity == Severity::Error);
    for text in problems.map(|problem| &problem.message).chain(&restored.copied.missing) {
        messages.warn(&format!("restore_from: {text}"));
    }
    messages.drain(py)?;
    Ok(Workspace::of(restored.workspace, messages))
}
