//! The report of a check as Python objects, in the shape that `runcellar check --json` prints.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use runcellar::{CheckReport, Problem, Severity};

/// Makes a `runcellar.CheckReport`.
pub(crate) fn to_python<'py>(py: Python<'py>, report: &CheckReport) -> PyResult<Bound<'py, PyAny>> {
    let counts = &report.checked;
    let checked = PyDict::new(py);
    for (name, count) in [
        ("runs", counts.runs),
        ("blocks", counts.blocks),
        ("journals", counts.journals),
        ("chunks", counts.chunks),
        ("bytes", counts.bytes),
    ] {
        checked.set_item(name, count)?;
    }
    let problems = PyList::empty(py);
    for problem in &report.problems {
        problems.append(problem_to_dict(py, problem)?)?;
    }
    let class = py.import("runcellar._report")?.getattr("CheckReport")?;
    class.call1((report.is_ok(), checked, problems))
}

fn problem_to_dict<'py>(py: Python<'py>, problem: &Problem) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let severity = match problem.severity {
        Severity::Error => "error",
        Severity::Note => "note",
    };
    dict.set_item("kind", problem.kind.as_str())?;
    dict.set_item("severity", severity)?;
    dict.set_item("run", &problem.run)?;
    dict.set_item("metric", &problem.metric)?;
    dict.set_item("steps", problem.steps.map(|(first, last)| [first, last]))?;
    dict.set_item("artifact", &problem.artifact)?;
    dict.set_item("path", &problem.path)?;
    dict.set_item("file", &problem.file)?;
    dict.set_item("repairable", problem.repairable)?;
    dict.set_item("message", &problem.message)?;
    Ok(dict)
}
