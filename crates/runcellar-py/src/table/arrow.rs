//! Tables through the Arrow C stream interface, for pyarrow, polars, DuckDB and whatever else speaks it.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, RecordBatchIterator, RecordBatchOptions,
    StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use super::frame::{Cells, Column, Frame, value_of};
use crate::json;

/// Rows a batch where texts are copied: their offsets stay within 32 bits. Numbers are handed on in one piece.
const BATCH_ROWS: usize = 64 << 10;

/// Makes the capsule that `__arrow_c_stream__` returns.
pub(super) fn stream<'py>(py: Python<'py>, frame: &Arc<Frame>) -> PyResult<Bound<'py, PyCapsule>> {
    let schema = Arc::new(Schema::new(frame.columns.iter().map(field).collect::<Vec<_>>()));
    let batches = {
        let (frame, schema) = (frame.clone(), schema.clone());
        let is_numeric = |column: &Column| matches!(column.cells, Cells::Int(_) | Cells::Float(_) | Cells::Time(_));
        let rows = if frame.columns.iter().all(is_numeric) { frame.rows.max(1) } else { BATCH_ROWS };
        (0..frame.rows).step_by(rows).map(move |from| batch(&frame, &schema, from, frame.rows.min(from + rows)))
    };
    let reader = RecordBatchIterator::new(batches, schema);
    let stream = FFI_ArrowArrayStream::new(Box::new(reader));
    PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
        .map_err(|error| PyValueError::new_err(format!("arrow stream: {error}")))
}

fn field(column: &Column) -> Field {
    let kind = match &column.cells {
        Cells::Int(_) => DataType::Int64,
        Cells::Float(_) => DataType::Float64,
        Cells::Bool(_) => DataType::Boolean,
        Cells::Text(_) | Cells::Json(_) | Cells::Exact(_) | Cells::Media(_) => DataType::Utf8,
        Cells::Time(_) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Cells::Texts(_) => DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))),
    };
    Field::new(&column.name, kind, true)
}

fn batch(frame: &Frame, schema: &Arc<Schema>, from: usize, to: usize) -> Result<RecordBatch, ArrowError> {
    let arrays = frame.columns.iter().map(|column| array(column, from, to)).collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(to - from));
    RecordBatch::try_new_with_options(schema.clone(), arrays, &options)
}

/// Makes the array of some rows of a column; those of numbers share the column's memory.
fn array(column: &Column, from: usize, to: usize) -> Result<ArrayRef, ArrowError> {
    let rows = || (from..to).map(|row| column.is_present(row).then_some(row));
    let nulls = || column.present.as_ref().map(|present| present.slice(from, to - from));
    Ok(match &column.cells {
        Cells::Int(all) => Arc::new(Int64Array::try_new(all.slice(from, to - from), nulls())?),
        Cells::Float(all) => Arc::new(Float64Array::try_new(all.slice(from, to - from), nulls())?),
        Cells::Bool(all) => Arc::new(rows().map(|row| row.map(|row| all[row])).collect::<BooleanArray>()),
        Cells::Text(all) => Arc::new(rows().map(|row| row.map(|row| all[row].as_str())).collect::<StringArray>()),
        Cells::Exact(all) => {
            Arc::new(rows().map(|row| row.map(|row| json::to_text(&value_of(&all[row])))).collect::<StringArray>())
        }
        Cells::Json(all) => {
            Arc::new(rows().map(|row| row.map(|row| json::to_text(&all[row]))).collect::<StringArray>())
        }
        Cells::Media(all) => Arc::new(rows().map(|row| row.map(|row| all.text(row))).collect::<StringArray>()),
        Cells::Time(all) => {
            let times = TimestampMicrosecondArray::try_new(all.slice(from, to - from), nulls())?;
            Arc::new(times.with_timezone("UTC"))
        }
        Cells::Texts(all) => {
            let mut lists = ListBuilder::new(StringBuilder::new());
            for row in rows() {
                row.into_iter().flat_map(|row| &all[row]).for_each(|text| lists.values().append_value(text));
                lists.append(row.is_some());
            }
            Arc::new(lists.finish())
        }
    })
}
