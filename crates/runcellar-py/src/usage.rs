//! What takes how much of the disk as Python objects, in the shape that `runcellar du --json` prints.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use runcellar::{DiskUsage, QuotaUse};

/// Makes a dict; `evicted` are bytes that lie on remotes alone.
pub(crate) fn to_python<'py>(
    py: Python<'py>,
    usage: &DiskUsage,
    quotas: &[QuotaUse],
    evicted: u64,
) -> PyResult<Bound<'py, PyDict>> {
    let projects = PyList::empty(py);
    for project in usage.by_project() {
        let dict = PyDict::new(py);
        dict.set_item("project", project.project)?;
        dict.set_item("runs", project.runs)?;
        dict.set_item("bytes", project.bytes)?;
        projects.append(dict)?;
    }
    let runs = PyList::empty(py);
    for of_run in usage.by_run() {
        let (run, dict) = (of_run.run, PyDict::new(py));
        dict.set_item("id", run.map(|run| &run.id))?;
        dict.set_item("name", run.map(|run| &run.name))?;
        dict.set_item("project", run.map(|run| &run.project))?;
        dict.set_item("removed", run.is_some_and(|run| run.removed.is_some()))?;
        dict.set_item("bytes", of_run.bytes)?;
        dict.set_item("kinds", kinds(py, of_run.kinds.iter().map(|usage| (usage.kind.as_str(), usage.bytes)))?)?;
        runs.append(dict)?;
    }
    let limits = PyList::empty(py);
    for quota in quotas {
        let dict = PyDict::new(py);
        dict.set_item("project", quota.project.as_ref())?;
        dict.set_item("quota", quota.quota)?;
        dict.set_item("used", quota.used)?;
        limits.append(dict)?;
    }
    let dict = PyDict::new(py);
    dict.set_item("total", usage.total)?;
    dict.set_item("projects", projects)?;
    dict.set_item("runs", runs)?;
    dict.set_item("kinds", kinds(py, usage.by_kind().into_iter().map(|(kind, bytes)| (kind.as_str(), bytes)))?)?;
    dict.set_item("quotas", limits)?;
    dict.set_item("evicted", evicted)?;
    Ok(dict)
}

fn kinds<'py>(py: Python<'py>, all: impl Iterator<Item = (&'static str, u64)>) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for (kind, bytes) in all {
        let dict = PyDict::new(py);
        dict.set_item("kind", kind)?;
        dict.set_item("bytes", bytes)?;
        list.append(dict)?;
    }
    Ok(list)
}
