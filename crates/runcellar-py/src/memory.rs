//! Memory of the store that becomes that of a numpy array, without a copy.
//!
//! numpy takes whatever has an `__array_interface__` and keeps it alive as the array's base
//! (<https://numpy.org/doc/stable/reference/arrays.interface.html>). The buffer protocol would do the same, but the
//! stable ABI has it from Python 3.11 only.

use std::any::Any;

use pyo3::prelude::*;
use pyo3::types::PyDict;

/// A vector whose elements are numpy's from now on: nothing here reads or writes them again, it is only freed.
#[pyclass(frozen, module = "runcellar._runcellar")]
pub(crate) struct Memory {
    _vector: Box<dyn Any + Send + Sync>,
    address: usize,
    len: usize,
    kind: &'static str,
}

/// What an array of numpy can be made of.
pub(crate) trait Element: Copy + Send + Sync + 'static {
    /// numpy's name of the type, in the order of bytes of this machine.
    const KIND: &'static str;
}

impl Element for i64 {
    const KIND: &'static str = if cfg!(target_endian = "big") { ">i8" } else { "<i8" };
}

impl Element for i32 {
    const KIND: &'static str = if cfg!(target_endian = "big") { ">i4" } else { "<i4" };
}

impl Element for f64 {
    const KIND: &'static str = if cfg!(target_endian = "big") { ">f8" } else { "<f8" };
}

impl Element for bool {
    const KIND: &'static str = "|b1";
}

impl Memory {
    /// Makes a writable array of a vector.
    pub(crate) fn array<T: Element>(py: Python<'_>, mut all: Vec<T>) -> PyResult<Bound<'_, PyAny>> {
        // A vector's elements stay where they are when it is moved.
        let (address, len) = (all.as_mut_ptr().expose_provenance(), all.len());
        let memory = Memory { _vector: Box::new(all), address, len, kind: T::KIND };
        py.import("numpy")?.call_method1("asarray", (memory,))
    }
}

#[pymethods]
impl Memory {
    #[getter]
    fn __array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let interface = PyDict::new(py);
        interface.set_item("version", 3)?;
        interface.set_item("typestr", self.kind)?;
        interface.set_item("shape", (self.len,))?;
        interface.set_item("data", (self.address, false))?;
        Ok(interface)
    }
}
