//! From a series of the store to numpy arrays. numpy is imported here, on first use, and nowhere else.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyList;
use runcellar::{RunMedia, Series, SeriesValues, Value};

use crate::convert;
use crate::histogram::Histogram;
use crate::media;
use crate::memory::Memory;

/// Makes a `runcellar.Series` with its three arrays.
pub(crate) fn to_python<'py>(
    py: Python<'py>,
    series: Series,
    media: Option<&Arc<RunMedia>>,
) -> PyResult<Bound<'py, PyAny>> {
    let steps = Memory::array(py, series.steps)?;
    let times = Memory::array(py, series.times)?;
    let values = match series.values {
        SeriesValues::Float(all) => Memory::array(py, all)?,
        SeriesValues::Int(all) => Memory::array(py, all)?,
        SeriesValues::Bool(all) => Memory::array(py, all)?,
        SeriesValues::Text(all) => {
            objects(py, all.len(), |index| Ok(all[index].as_str().into_pyobject(py)?.into_any()))?
        }
        SeriesValues::Histogram(all) => {
            objects(py, all.len(), |index| Ok(Bound::new(py, Histogram(all[index].clone()))?.into_any()))?
        }
        SeriesValues::Media(all) => {
            objects(py, all.len(), |index| value_to_python(py, &Value::Media(all[index]), media))?
        }
        SeriesValues::Mixed(all) => objects(py, all.len(), |index| value_to_python(py, &all[index], media))?,
    };
    let ranks =
        series.ranks.map(|all| Memory::array(py, all.into_iter().map(u32::cast_signed).collect())).transpose()?;
    let class = py.import("runcellar._series")?.getattr("Series")?;
    class.call1((steps, values, times, series.sampled, ranks))
}

/// Returns true if there are references to media among values.
pub(crate) fn has_media(values: &SeriesValues) -> bool {
    match values {
        SeriesValues::Media(_) => true,
        SeriesValues::Mixed(all) => all.iter().any(|value| matches!(value, Value::Media(_))),
        _ => false,
    }
}

fn value_to_python<'py>(py: Python<'py>, value: &Value, run: Option<&Arc<RunMedia>>) -> PyResult<Bound<'py, PyAny>> {
    match (value, run) {
        (Value::Media(id), Some(run)) => media::to_python(py, run, *id),
        _ => convert::value_to_python(py, value),
    }
}

fn objects<'py>(
    py: Python<'py>,
    len: usize,
    element: impl Fn(usize) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let list = PyList::empty(py);
    for index in 0..len {
        list.append(element(index)?)?;
    }
    // numpy.array() would look into texts and lists for a shape; filling an empty one does not.
    let array = py.import("numpy")?.call_method1("empty", (len, "object"))?;
    array.set_item(pyo3::types::PySlice::full(py), list)?;
    Ok(array)
}
