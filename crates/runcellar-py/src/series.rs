//! From a series of the store to numpy arrays. numpy is imported here, on first use, and nowhere else.

use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyList};
use runcellar::{Series, SeriesValues};

use crate::convert;
use crate::histogram::Histogram;

/// Makes a `runcellar.Series` with its three arrays.
pub(crate) fn to_python<'py>(py: Python<'py>, series: Series) -> PyResult<Bound<'py, PyAny>> {
    let steps = integers(py, &series.steps)?;
    let times = integers(py, &series.times)?;
    let values = match &series.values {
        SeriesValues::Float(all) => floats(py, all)?,
        SeriesValues::Int(all) => integers(py, all)?,
        SeriesValues::Bool(all) => array(py, all.len(), "bool", |index| [u8::from(all[index])])?,
        SeriesValues::Text(all) => {
            objects(py, all.len(), |index| Ok(all[index].as_str().into_pyobject(py)?.into_any()))?
        }
        SeriesValues::Histogram(all) => {
            objects(py, all.len(), |index| Ok(Bound::new(py, Histogram(all[index].clone()))?.into_any()))?
        }
        SeriesValues::Mixed(all) => objects(py, all.len(), |index| convert::value_to_python(py, &all[index]))?,
    };
    let class = py.import("runcellar._series")?.getattr("Series")?;
    let ranks = series.ranks.map(|all| array(py, all.len(), "int32", |index| all[index].to_ne_bytes())).transpose()?;
    class.call1((steps, values, times, series.sampled, ranks))
}

fn integers<'py>(py: Python<'py>, all: &[i64]) -> PyResult<Bound<'py, PyAny>> {
    array(py, all.len(), "int64", |index| all[index].to_ne_bytes())
}

/// Makes an array of floats.
pub(crate) fn floats<'py>(py: Python<'py>, all: &[f64]) -> PyResult<Bound<'py, PyAny>> {
    array(py, all.len(), "float64", |index| all[index].to_bits().to_ne_bytes())
}

/// Makes the bytes of `len` elements.
pub(crate) fn bytes<'py, const N: usize>(
    py: Python<'py>,
    len: usize,
    element: impl Fn(usize) -> [u8; N],
) -> PyResult<Bound<'py, PyByteArray>> {
    PyByteArray::new_with(py, len * N, |out| {
        for (index, place) in out.chunks_exact_mut(N).enumerate() {
            place.copy_from_slice(&element(index));
        }
        Ok(())
    })
}

/// Makes a writable array over memory of its own.
fn array<'py, const N: usize>(
    py: Python<'py>,
    len: usize,
    dtype: &str,
    element: impl Fn(usize) -> [u8; N],
) -> PyResult<Bound<'py, PyAny>> {
    py.import("numpy")?.call_method1("frombuffer", (bytes(py, len, element)?, dtype))
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
