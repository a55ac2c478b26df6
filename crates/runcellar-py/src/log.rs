//! The logging path: one Python dict to one row of the store.
//!
//! A row of plain floats, integers and truth values under text keys is read without running any Python code and
//! without an allocation, and keys are known by the identity of their objects: a training loop passes the same
//! ones each time. Everything else goes the slow way, which turns all values into ours *before* the store's writer
//! is locked: an `item()` method may release the interpreter, and whoever takes it then may wait for the writer.

#![allow(unsafe_code, reason = "the hot path walks dicts through the C interface")]

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyInt, PyString};
use runcellar::run::{MetricId, Row};
use runcellar::{RowValue, Run, Value};

use crate::convert::{self, Flat, Read, Refusal};
use crate::error::{Result, type_name};

/// Positions of a row whose keys are remembered; later ones are looked up by their text.
const KEYS_MAX: usize = 4096;

/// What one run remembers between two rows. Its lock is never waited for: only who holds the interpreter's lock
/// takes it, and nobody gives that up meanwhile.
#[derive(Default)]
pub(crate) struct Memory(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    /// The keys of the last row by position. Holding the objects keeps their addresses from being used again.
    keys: Vec<(Py<PyString>, MetricId)>,
    /// The row being logged, as addresses of its keys and values.
    row: Vec<(usize, RowValue<'static>)>,
}

/// Takes in a dict of plain numbers under text keys; false if it is more than that.
fn take_plain(dict: &Bound<'_, PyDict>, row: &mut Vec<(usize, RowValue<'static>)>) -> bool {
    row.clear();
    let (mut place, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: `dict` is a dict, and nothing below runs Python code, so it is not changed while it is walked and the
    // borrowed references stay good.
    while unsafe { ffi::PyDict_Next(dict.as_ptr(), &raw mut place, &raw mut key, &raw mut value) } != 0 {
        // SAFETY: `key` and `value` are borrowed references to live objects. The checks look at types only, and the
        // conversions of exact ints and of floats read a field: neither can run Python code or fail, save that an
        // int may be too large, which is looked at.
        let number = unsafe {
            if ffi::PyUnicode_CheckExact(key) == 0 {
                return false;
            } else if ffi::PyFloat_Check(value) != 0 {
                RowValue::Float(ffi::PyFloat_AsDouble(value))
            } else if ffi::PyLong_CheckExact(value) != 0 {
                let mut overflow = 0;
                let int = ffi::PyLong_AsLongLongAndOverflow(value, &raw mut overflow);
                if overflow != 0 {
                    return false;
                }
                RowValue::Int(int)
            } else if value == ffi::Py_True() {
                RowValue::Bool(true)
            } else if value == ffi::Py_False() {
                RowValue::Bool(false)
            } else if value == ffi::Py_None() {
                continue;
            } else {
                return false;
            }
        };
        row.push((key as usize, number));
    }
    true
}

impl Remembered {
    fn fill(&mut self, py: Python<'_>, row: &mut Row<'_>) {
        let Remembered { keys, row: values } = self;
        for (index, (key, value)) in values.iter().enumerate() {
            let known = keys
                .get(index)
                .is_some_and(|(known, metric)| known.as_ptr() as usize == *key && row.push_metric(*metric, *value));
            if known {
                continue;
            }
            // SAFETY: the address is that of a key of the dict that the caller holds.
            let key = unsafe { Bound::from_borrowed_ptr(py, *key as *mut ffi::PyObject) };
            let text = key.cast::<PyString>().ok().and_then(|text| Some((text, text.to_cow().ok()?)));
            let Some((key, text)) = text else {
                row.refuse("a key that is not Unicode (it has lone surrogates)");
                continue;
            };
            let Some(metric) = row.metric(&text) else { continue };
            row.push_metric(metric, *value);
            if index == keys.len() && index < KEYS_MAX {
                keys.push((key.clone().unbind(), metric));
            } else if let Some(place) = keys.get_mut(index) {
                *place = (key.clone().unbind(), metric);
            }
        }
    }
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Logs one row.
pub(crate) fn log(
    run: &Run,
    memory: &Memory,
    strict: bool,
    data: &Bound<'_, PyAny>,
    step: Option<&Bound<'_, PyAny>>,
    commit: Option<&Bound<'_, PyAny>>,
) -> Result<()> {
    let py = data.py();
    // What is wrong with step or commit costs them only: the row is kept at the step that is next.
    let mut refused = Vec::new();
    let step = match step {
        Some(step) => kept(convert::caught(py, step_of(step))?.flatten(), &mut refused).flatten(),
        None => None,
    };
    let commit = match commit {
        Some(commit) => kept(convert::caught(py, commit.is_truthy())?, &mut refused),
        None => None,
    };
    if !refused.is_empty() {
        if strict {
            return Err(refused.swap_remove(0).into_error(py).into());
        }
        run.count_dropped(refused.len() as u64, &refused[0].message);
    }
    if let Ok(dict) = data.cast_exact::<PyDict>() {
        let mut remembered = memory.lock();
        if take_plain(dict, &mut remembered.row) {
            return Ok(run.log_row(step, commit, |row| remembered.fill(py, row))?);
        }
    }
    log_slowly(run, strict, data, step, commit)
}

fn kept<T>(read: std::result::Result<T, Refusal>, refused: &mut Vec<Refusal>) -> Option<T> {
    read.map_err(|refusal| refused.push(refusal)).ok()
}

#[cold]
fn log_slowly(run: &Run, strict: bool, data: &Bound<'_, PyAny>, step: Option<i64>, commit: Option<bool>) -> Result<()> {
    let mut flat = Flat::default();
    match convert::caught(data.py(), convert::pairs(data))? {
        Err(refusal) => flat.refused.push(refusal),
        Ok(Some(pairs)) => flat.add("", &pairs, 0)?,
        Ok(None) => flat.refused.push(Refusal::of_type(format!("log() takes a dict, not {}", type_name(data)))),
    }
    if strict && !flat.refused.is_empty() {
        return Err(flat.refused.swap_remove(0).into_error(data.py()).into());
    }
    let fill = |row: &mut Row<'_>| {
        for (name, value) in &flat.values {
            row.push(name, convert::row_value(value));
        }
    };
    match flat.media.is_empty() {
        true => run.log_row(step, commit, fill)?,
        false => run.log_media(step, commit, std::mem::take(&mut flat.media), fill)?,
    }
    if let Some(first) = flat.refused.first() {
        run.count_dropped(flat.refused.len() as u64, &first.message);
    }
    Ok(())
}

/// Reads a step: an integer, or what is equal to one.
pub(crate) fn step_of(step: &Bound<'_, PyAny>) -> Read<Option<i64>> {
    if step.is_none() {
        return Ok(Ok(None));
    }
    if step.is_exact_instance_of::<PyInt>()
        && let Ok(int) = step.extract::<i64>()
    {
        return Ok(Ok(Some(int)));
    }
    let outside = || Refusal::of_value(format!("step {step}: an integer of 64 bits is expected"));
    Ok(match convert::scalar(step)? {
        Ok(Value::Int(int)) => Ok(Some(int)),
        Ok(Value::Bool(bool)) => Ok(Some(bool.into())),
        Ok(Value::Float(float)) => integral(float).map(Some).ok_or_else(outside),
        Ok(Value::Text(_) | Value::Histogram(_) | Value::Media(_)) | Err(_) => {
            let name = if step.is_instance_of::<PyFloat>() { "float".to_owned() } else { type_name(step) };
            Err(Refusal::of_type(format!("step of type {name}: an integer is expected")))
        }
    })
}

/// Returns the integer that a float is, if it is one of 64 bits.
fn integral(float: f64) -> Option<i64> {
    const END: f64 = 9_223_372_036_854_775_808.0;
    (float.fract() == 0.0 && (-END..END).contains(&float)).then_some(float as i64)
}
