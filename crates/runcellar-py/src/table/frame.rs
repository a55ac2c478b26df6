//! Columns of one table, in the narrowest kind that holds them all.

use std::sync::Arc;

use arrow_buffer::{NullBuffer, ScalarBuffer};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyFloat, PyList, PyString, PyTuple};
use runcellar::{Json, RunMedia, Value};

use crate::convert::{self, Datetimes, json_to_python};
use crate::{json, media};

/// Columns of equal length.
pub(super) struct Frame {
    pub(super) rows: usize,
    pub(super) columns: Vec<Column>,
    /// True if rows were left out on request.
    pub(super) sampled: bool,
}

/// One column. Where a value is absent, `cells` has a placeholder.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) cells: Cells,
    /// Which rows have a value; none if all have.
    pub(super) present: Option<NullBuffer>,
}

/// The values of a column, one a row. Numbers lie in the buffers that Arrow takes as they are.
pub(super) enum Cells {
    Int(ScalarBuffer<i64>),
    Float(ScalarBuffer<f64>),
    Bool(Vec<bool>),
    Text(Vec<String>),
    /// Microseconds UTC since 1970.
    Time(ScalarBuffer<i64>),
    Texts(Vec<Vec<String>>),
    /// Values of several kinds, or nested ones; JSON text in Arrow and pandas.
    Json(Vec<Json>),
    /// The same as exact text, which takes a tenth of the memory.
    Exact(Vec<String>),
    /// References to media, and in a mixed column other values beside them.
    Media(MediaCells),
}

/// A column with references to media. In Python they are handles; in Arrow a column of media alone has ids, and a mixed one
/// JSON text.
pub(super) struct MediaCells {
    pub(super) values: Vec<Value>,
    pub(super) run: Arc<RunMedia>,
    pub(super) mixed: bool,
}

impl MediaCells {
    fn object<'py>(&self, py: Python<'py>, row: usize) -> PyResult<Bound<'py, PyAny>> {
        match &self.values[row] {
            Value::Media(id) => media::to_python(py, &self.run, *id),
            other => convert::value_to_python(py, other),
        }
    }

    pub(super) fn text(&self, row: usize) -> String {
        match &self.values[row] {
            Value::Media(id) if !self.mixed => id.to_string(),
            other => json::to_text(&Json::from(other.clone())),
        }
    }
}

impl Frame {
    /// Returns the rows `picks` in their order.
    pub(super) fn pick(&self, picks: &[usize]) -> Frame {
        fn take<T: Clone>(all: &[T], picks: &[usize]) -> Vec<T> {
            picks.iter().filter_map(|row| all.get(*row).cloned()).collect()
        }
        let columns = self.columns.iter().map(|column| Column {
            name: column.name.clone(),
            present: column.present.as_ref().map(|_| picks.iter().map(|row| column.is_present(*row)).collect()),
            cells: match &column.cells {
                Cells::Int(all) => Cells::Int(take(all, picks).into()),
                Cells::Float(all) => Cells::Float(take(all, picks).into()),
                Cells::Bool(all) => Cells::Bool(take(all, picks)),
                Cells::Text(all) => Cells::Text(take(all, picks)),
                Cells::Time(all) => Cells::Time(take(all, picks).into()),
                Cells::Texts(all) => Cells::Texts(take(all, picks)),
                Cells::Json(all) => Cells::Json(take(all, picks)),
                Cells::Exact(all) => Cells::Exact(take(all, picks)),
                Cells::Media(MediaCells { values, run, mixed }) => {
                    Cells::Media(MediaCells { values: take(values, picks), run: run.clone(), mixed: *mixed })
                }
            },
        });
        Frame { rows: picks.len(), columns: columns.collect(), sampled: self.sampled }
    }
}

impl Cells {
    pub(super) fn ints(all: Vec<i64>) -> Cells {
        Cells::Int(all.into())
    }

    pub(super) fn floats(all: Vec<f64>) -> Cells {
        Cells::Float(all.into())
    }

    pub(super) fn times(all: Vec<i64>) -> Cells {
        Cells::Time(all.into())
    }
}

/// Returns the value of an exact text that this process made.
pub(super) fn value_of(exact: &str) -> Json {
    runcellar::from_exact(exact).unwrap_or_default()
}

impl Column {
    pub(super) fn new(name: impl Into<String>, cells: Cells) -> Column {
        Column { name: name.into(), cells, present: None }
    }

    /// Makes a column of values some of which may be absent.
    pub(super) fn optional<T: Default>(
        name: impl Into<String>,
        values: Vec<Option<T>>,
        cells: impl FnOnce(Vec<T>) -> Cells,
    ) -> Column {
        let present = values.iter().any(Option::is_none).then(|| values.iter().map(Option::is_some).collect());
        Column { name: name.into(), cells: cells(values.into_iter().map(Option::unwrap_or_default).collect()), present }
    }

    /// Makes a column of nested values: bool, int, float or text if all that are there agree, else JSON.
    pub(super) fn of_json(name: impl Into<String>, values: Vec<Option<Json>>) -> Column {
        let mut kinds = values.iter().flatten().map(std::mem::discriminant);
        let first = kinds.next();
        let agree = first.is_some() && kinds.all(|kind| Some(kind) == first);
        let sample = values.iter().flatten().next();
        macro_rules! column {
            ($variant:ident, $cells:expr) => {{
                let take = |value| if let Some(Json::$variant(value)) = value { Some(value) } else { None };
                Column::optional(name, values.into_iter().map(take).collect(), $cells)
            }};
        }
        match sample {
            Some(Json::Bool(_)) if agree => column!(Bool, Cells::Bool),
            Some(Json::Int(_)) if agree => column!(Int, |all: Vec<i64>| Cells::Int(all.into())),
            Some(Json::Float(_)) if agree => column!(Float, |all: Vec<f64>| Cells::Float(all.into())),
            Some(Json::Text(_)) if agree => column!(Text, Cells::Text),
            _ => Column::optional(name, values, Cells::Json),
        }
    }

    pub(super) fn is_present(&self, row: usize) -> bool {
        self.present.as_ref().is_none_or(|present| row < present.len() && present.is_valid(row))
    }

    /// Makes the Python object of a cell; `None` where it is absent.
    pub(super) fn object<'py>(
        &self,
        py: Python<'py>,
        row: usize,
        times: &Datetimes<'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if !self.is_present(row) {
            return Ok(py.None().into_bound(py));
        }
        Ok(match &self.cells {
            Cells::Int(all) => all[row].into_pyobject(py)?.into_any(),
            Cells::Float(all) => PyFloat::new(py, all[row]).into_any(),
            Cells::Bool(all) => PyBool::new(py, all[row]).to_owned().into_any(),
            Cells::Text(all) => PyString::new(py, &all[row]).into_any(),
            Cells::Time(all) => times.at(all[row])?,
            Cells::Texts(all) => PyList::new(py, &all[row])?.into_any(),
            Cells::Json(all) => json_to_python(py, &all[row])?,
            Cells::Exact(all) => json_to_python(py, &value_of(&all[row]))?,
            Cells::Media(all) => all.object(py, row)?,
        })
    }

    /// Returns (name, kind, values, mask): numbers as bytes in native order, all else as a list; the mask has a
    /// byte a row, 1 where the value is absent.
    pub(super) fn parts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let mask = self.present.as_ref().map(|present| bytes(py, present.len(), |row| u8::from(present.is_null(row))));
        let mask = mask.transpose()?;
        let numbers = |buffer: &arrow_buffer::Buffer| PyByteArray::new(py, buffer.as_slice()).into_any();
        let (kind, values) = match &self.cells {
            Cells::Int(all) => ("int64", numbers(all.inner())),
            Cells::Time(all) => ("time", numbers(all.inner())),
            Cells::Float(all) => ("float64", numbers(all.inner())),
            Cells::Bool(all) => ("bool", bytes(py, all.len(), |row| u8::from(all[row]))?.into_any()),
            Cells::Text(all) => ("text", self.list(py, |row| Ok(PyString::new(py, &all[row]).into_any()))?),
            Cells::Media(all) => ("object", self.list(py, |row| all.object(py, row))?),
            Cells::Texts(all) => ("list", self.list(py, |row| Ok(PyList::new(py, &all[row])?.into_any()))?),
            Cells::Exact(all) => {
                let text = |row: usize| Ok(PyString::new(py, &json::to_text(&value_of(&all[row]))).into_any());
                ("text", self.list(py, text)?)
            }
            Cells::Json(all) => {
                ("text", self.list(py, |row| Ok(PyString::new(py, &json::to_text(&all[row])).into_any()))?)
            }
        };
        (self.name.as_str(), kind, values, mask).into_pyobject(py)
    }

    fn len(&self) -> usize {
        match &self.cells {
            Cells::Int(all) | Cells::Time(all) => all.len(),
            Cells::Float(all) => all.len(),
            Cells::Bool(all) => all.len(),
            Cells::Text(all) => all.len(),
            Cells::Texts(all) => all.len(),
            Cells::Json(all) => all.len(),
            Cells::Exact(all) => all.len(),
            Cells::Media(all) => all.values.len(),
        }
    }

    fn list<'py>(
        &self,
        py: Python<'py>,
        object: impl Fn(usize) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let list = PyList::empty(py);
        for row in 0..self.len() {
            if self.is_present(row) {
                list.append(object(row)?)?;
            } else {
                list.append(py.None())?;
            }
        }
        Ok(list.into_any())
    }
}

/// Makes `len` bytes.
fn bytes<'py>(py: Python<'py>, len: usize, byte: impl Fn(usize) -> u8) -> PyResult<Bound<'py, PyByteArray>> {
    PyByteArray::new_with(py, len, |out| {
        out.iter_mut().enumerate().for_each(|(index, place)| *place = byte(index));
        Ok(())
    })
}
