//! `runcellar.Histogram`: how often values fell between edges, as something to log and to read back.

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use runcellar::histogram::{Histogram as Stored, binned};

use crate::error;
use crate::memory::Memory;

/// How often values fell between edges.
#[pyclass(frozen, eq, module = "runcellar")]
#[derive(PartialEq)]
pub(crate) struct Histogram(pub(crate) Stored);

#[pymethods]
impl Histogram {
    /// How often values fell between edges.
    ///
    /// Parameters
    /// ----------
    /// sequence : array_like of float, optional
    ///     Values of any shape, to be counted between `num_bins` equal steps from the least to the
    ///     greatest; those that are NaN or infinite are left out. Tensors are read through `numpy`.
    /// np_histogram : tuple of array_like, optional
    ///     Counts (n) and edges (n + 1), as `numpy.histogram` returns them, in place of `sequence`.
    /// num_bins : int, optional
    ///     Bins for `sequence`, 1 to 4096.
    ///
    /// Raises
    /// ------
    /// InvalidArgumentError
    ///     If both or neither are given, there is no finite value, edges fall, or a count is negative.
    #[new]
    #[pyo3(signature = (sequence = None, np_histogram = None, num_bins = 64))]
    fn new(
        py: Python<'_>,
        sequence: Option<&Bound<'_, PyAny>>,
        np_histogram: Option<&Bound<'_, PyAny>>,
        num_bins: usize,
    ) -> PyResult<Histogram> {
        let made = match (sequence, np_histogram) {
            (Some(values), None) => binned(&floats(values)?, num_bins).map_err(|refused| refused.to_string()),
            (None, Some(pair)) => {
                let (counts, edges): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair.extract()?;
                Stored::new(floats(&edges)?, floats(&counts)?).map_err(|refused| refused.to_string())
            }
            _ => Err("either values or np_histogram=(counts, edges) is expected".to_owned()),
        };
        made.map(Histogram).map_err(|message| error::invalid(py, message))
    }

    /// Edges, one more than counts.
    #[getter]
    fn edges<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Memory::array(py, self.0.edges().to_vec())
    }

    /// How often values fell between each two edges.
    #[getter]
    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Memory::array(py, self.0.counts().to_vec())
    }

    /// Return the number of bins.
    fn __len__(&self) -> usize {
        self.0.counts().len()
    }

    fn __repr__(&self) -> String {
        let (edges, counts) = (self.0.edges(), self.0.counts());
        let (first, last) = (edges.first().copied().unwrap_or_default(), edges.last().copied().unwrap_or_default());
        let total: f64 = counts.iter().sum();
        format!("<runcellar.Histogram: {} bins from {first} to {last}, {total} in all>", counts.len())
    }

    /// Return what pickling needs to make it again.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let class = py.get_type::<Histogram>();
        let pair = (self.0.counts().to_vec(), self.0.edges().to_vec());
        (class, (py.None(), pair)).into_pyobject(py)
    }
}

/// Reads numbers of any shape in order: through numpy where it is there, else from an iterable of floats.
fn floats(values: &Bound<'_, PyAny>) -> PyResult<Vec<f64>> {
    let py = values.py();
    let values = match values.getattr_opt("detach")? {
        Some(detach) => detach.call0()?.call_method0("cpu")?,
        None => values.clone(),
    };
    match py.import("numpy") {
        Ok(numpy) => {
            let flat = numpy.call_method1("asarray", (&values, "float64"))?.call_method0("ravel")?;
            let bytes: Vec<u8> = flat.call_method0("tobytes")?.extract()?;
            Ok(bytes.as_chunks::<8>().0.iter().map(|bytes| f64::from_ne_bytes(*bytes)).collect())
        }
        Err(missing) if missing.is_instance_of::<PyImportError>(py) => {
            values.try_iter()?.map(|value| value?.extract()).collect()
        }
        Err(failed) => Err(failed),
    }
}
