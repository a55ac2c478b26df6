//! Two runs side by side as Python objects, in the shape that `runcellar diff --json` prints.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use runcellar::query::{CodePair, Pair, RunDiff};
use runcellar::{Json, RunInfo};

use crate::convert;

/// Makes a dict.
pub(crate) fn to_python<'py>(
    py: Python<'py>,
    runs: [&RunInfo; 2],
    diff: &RunDiff,
    code: &[CodePair],
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let sides = PyList::empty(py);
    for run in runs {
        let side = PyDict::new(py);
        side.set_item("id", &run.id)?;
        side.set_item("name", &run.name)?;
        side.set_item("project", &run.project)?;
        sides.append(side)?;
    }
    dict.set_item("runs", sides)?;
    for (title, pairs) in diff.sections() {
        dict.set_item(title, pairs_to_python(py, pairs)?)?;
    }
    let files = PyList::empty(py);
    for pair in code {
        let file = PyDict::new(py);
        file.set_item("path", pair.name())?;
        file.set_item("change", pair.change())?;
        file.set_item("diff", py.detach(|| pair.unified()))?;
        files.append(file)?;
    }
    dict.set_item("code", files)?;
    Ok(dict)
}

fn pairs_to_python<'py>(py: Python<'py>, pairs: &[Pair]) -> PyResult<Bound<'py, PyList>> {
    let side = |value: &Option<Json>| value.as_ref().map(|value| convert::json_to_python(py, value)).transpose();
    let list = PyList::empty(py);
    for Pair { name, left, right } in pairs {
        let dict = PyDict::new(py);
        dict.set_item("name", name)?;
        dict.set_item("left", side(left)?)?;
        dict.set_item("right", side(right)?)?;
        list.append(dict)?;
    }
    Ok(list)
}
