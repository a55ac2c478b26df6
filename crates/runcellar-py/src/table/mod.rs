//! Tables: what `history()` and `runs()` return. Columns in Rust, turned into Python objects or Arrow on demand.

mod arrow;
mod artifacts;
mod frame;
mod groups;
mod history;
mod runs;
mod sketch;

use std::sync::Arc;

use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict, PyInt, PyList, PySlice, PyString, PyTuple};
use runcellar::query::filter::Field;
use runcellar::query::parse_fields;
use runcellar::{ArtifactVersion, History, RunMedia, Selection, Workspace};

use crate::convert::Datetimes;
use crate::error;
use crate::messages::Messages;
use frame::{Column, Frame};
pub(crate) use runs::RunRows;

/// Rows and named columns; absent values are `None`, and NaN is NaN.
#[pyclass(subclass, frozen, weakref, module = "runcellar._runcellar")]
pub(crate) struct Table {
    frame: Arc<Frame>,
}

/// A table of runs.
#[pyclass(extends = Table, frozen, module = "runcellar")]
pub(crate) struct RunTable {
    source: Arc<Source>,
}

/// Where the runs of a table come from: groups are made of all of them, whatever rows the table has.
pub(crate) struct Source {
    pub(crate) workspace: Workspace,
    pub(crate) messages: Arc<Messages>,
    pub(crate) selection: Selection,
}

/// Yields the rows of a table as dicts.
#[pyclass(module = "runcellar._runcellar")]
pub(crate) struct TableIterator {
    frame: Arc<Frame>,
    next: usize,
}

impl Table {
    pub(crate) fn of_history(history: History, media: Option<&Arc<RunMedia>>) -> Self {
        Table { frame: Arc::new(history::frame(history, media)) }
    }

    pub(crate) fn of_artifacts(versions: &[ArtifactVersion]) -> Self {
        Table { frame: Arc::new(artifacts::frame(versions)) }
    }

    pub(crate) fn of_runs(runs: RunRows, source: Source) -> PyClassInitializer<RunTable> {
        let table = Table { frame: Arc::new(runs.frame()) };
        PyClassInitializer::from(table).add_subclass(RunTable { source: Arc::new(source) })
    }

    fn column(&self, py: Python<'_>, name: &str) -> PyResult<&Column> {
        let found = self.frame.columns.iter().find(|column| column.name == name);
        found.ok_or_else(|| error::not_found(py, format!("no column {name:?}")))
    }
}

/// Makes the dict of one row.
fn row_to_dict<'py>(py: Python<'py>, frame: &Frame, row: usize) -> PyResult<Bound<'py, PyDict>> {
    let (dict, times) = (PyDict::new(py), Datetimes::new(py)?);
    for column in &frame.columns {
        dict.set_item(&column.name, column.object(py, row, &times)?)?;
    }
    Ok(dict)
}

#[pymethods]
impl Table {
    /// Names of the columns.
    #[getter]
    fn columns(&self) -> Vec<String> {
        self.frame.columns.iter().map(|column| column.name.clone()).collect()
    }

    /// True if rows were left out because points= asked for fewer.
    #[getter]
    fn sampled(&self) -> bool {
        self.frame.sampled
    }

    fn __len__(&self) -> usize {
        self.frame.rows
    }

    fn __iter__(&self) -> TableIterator {
        TableIterator { frame: self.frame.clone(), next: 0 }
    }

    fn __contains__(&self, column: &str) -> bool {
        self.frame.columns.iter().any(|known| known.name == column)
    }

    fn __getitem__<'py>(slf: &Bound<'py, Self>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        if let Ok(name) = key.cast::<PyString>() {
            let (column, times) = (this.column(py, &name.to_cow()?)?, Datetimes::new(py)?);
            let list = PyList::empty(py);
            for row in 0..this.frame.rows {
                list.append(column.object(py, row, &times)?)?;
            }
            return Ok(list.into_any());
        }
        let rows = this.frame.rows;
        if let Ok(slice) = key.cast::<PySlice>() {
            let picked = slice.indices(isize::try_from(rows)?)?;
            let picks =
                (0..picked.slicelength).map(|index| picked.start + isize::try_from(index).unwrap_or(0) * picked.step);
            let picks: Vec<usize> = picks.filter_map(|row| usize::try_from(row).ok()).collect();
            let table = Table { frame: Arc::new(this.frame.pick(&picks)) };
            return Ok(match slf.cast::<RunTable>() {
                Ok(runs) => {
                    let runs = RunTable { source: runs.get().source.clone() };
                    Bound::new(py, PyClassInitializer::from(table).add_subclass(runs))?.into_any()
                }
                Err(_) => Bound::new(py, table)?.into_any(),
            });
        }
        let index: isize = match key.cast::<PyInt>() {
            Ok(int) => int.extract()?,
            Err(_) if key.get_type().hasattr("__index__")? => key.extract()?,
            Err(_) => {
                let message = format!("a table is indexed by row, slice or column name, not {}", error::type_name(key));
                return Err(error::unsupported(py, message));
            }
        };
        let from_start = if index < 0 { index + isize::try_from(rows)? } else { index };
        match usize::try_from(from_start).ok().filter(|row| *row < rows) {
            Some(row) => Ok(row_to_dict(py, &this.frame, row)?.into_any()),
            None => Err(PyIndexError::new_err(format!("row {index} of a table of {rows} rows"))),
        }
    }

    /// Return a pandas.DataFrame; needs pandas.
    fn to_pandas<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("runcellar._interop")?.call_method1("to_pandas", (slf,))
    }

    /// Return a pyarrow.Table; needs pyarrow.
    fn to_arrow<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("runcellar._interop")?.call_method1("to_arrow", (slf,))
    }

    /// Return a polars.DataFrame; needs polars.
    fn to_polars<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("runcellar._interop")?.call_method1("to_polars", (slf,))
    }

    /// Shows the table in a notebook.
    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("runcellar._display")?.call_method1("table", (slf,))
    }

    /// Returns at most `stretches` of (place from 0 to 1, least, greatest value) of a column; none if it has no
    /// numbers.
    fn _sketch(&self, py: Python<'_>, column: &str, stretches: usize) -> PyResult<Vec<(f64, f64, f64)>> {
        Ok(sketch::of(self.column(py, column)?, self.frame.rows, stretches))
    }

    /// Exports the table through the Arrow C stream interface.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // The protocol lets a producer that converts nothing ignore what is asked for.
        let _ = requested_schema;
        arrow::stream(py, &self.frame)
    }

    /// Returns for each column its name, kind, values and, where some are absent, a mask.
    fn _parts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for column in &self.frame.columns {
            list.append(column.parts(py)?)?;
        }
        Ok(list)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let frame = &slf.get().frame;
        let class = slf.get_type().name()?.to_string();
        Ok(format!("<runcellar.{class}: {} rows, {} columns>", frame.rows, frame.columns.len()))
    }
}

#[pymethods]
impl RunTable {
    /// Group the runs by fields, with the mean, standard deviation, least and greatest of each number in a group.
    #[pyo3(signature = (*keys, of=None))]
    fn group_by(
        &self,
        py: Python<'_>,
        keys: &Bound<'_, PyTuple>,
        of: Option<&Bound<'_, PyAny>>,
    ) -> error::Result<Table> {
        let (by, of) = (fields(keys)?, of.map(fields).transpose()?.unwrap_or_default());
        let Source { workspace, messages, selection } = &*self.source;
        let groups = py.detach(|| workspace.group_runs(selection, &by, &of));
        messages.drain(py)?;
        Ok(Table { frame: Arc::new(groups::frame(&groups?)) })
    }
}

/// Reads one field, several parted by commas, or a sequence of such.
fn fields(given: &Bound<'_, PyAny>) -> error::Result<Vec<Field>> {
    let mut all = Vec::new();
    if let Ok(text) = given.cast::<PyString>() {
        all.extend(parse_fields(&text.to_cow()?)?);
        return Ok(all);
    }
    for text in given.try_iter()? {
        all.extend(parse_fields(&text?.extract::<String>()?)?);
    }
    Ok(all)
}

#[pymethods]
impl TableIterator {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        if self.next >= self.frame.rows {
            return Ok(None);
        }
        self.next += 1;
        row_to_dict(py, &self.frame, self.next - 1).map(Some)
    }
}
