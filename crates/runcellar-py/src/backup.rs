//! Backups: the report of one, and workspaces made of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use runcellar::{BackupReport, CheckReport, Monitor as _, Severity};

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
