//! Python values to the store's and back.
//!
//! Scalars of numpy, torch and jax are read through their `item()` method, so that none of these packages is ever
//! imported here.

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyDelta, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PyMapping, PySet, PyString, PyTuple, PyType, PyTzInfo,
};
use runcellar::{Json, NewMedia, RowValue, Value};

use crate::error::{self, type_name};
use crate::histogram::Histogram;
use crate::media;

/// Deepest nesting of a dict or list that is taken apart, as the store refuses deeper ones.
const NESTING_MAX: usize = 64;

/// Why a value or key cannot be stored.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) message: String,
    /// True if its type is at fault, false if its value is.
    pub(crate) by_type: bool,
}

/// Outcome of reading a Python value: the value, a refusal, or an exception that must go on (Ctrl-C).
pub(crate) type Read<T> = PyResult<Result<T, Refusal>>;

impl Refusal {
    pub(crate) fn of_type(message: impl Into<String>) -> Self {
        Refusal { message: message.into(), by_type: true }
    }

    pub(crate) fn of_value(message: impl Into<String>) -> Self {
        Refusal { message: message.into(), by_type: false }
    }

    pub(crate) fn into_error(self, py: Python<'_>) -> PyErr {
        if self.by_type { error::unsupported(py, self.message) } else { error::invalid(py, self.message) }
    }
}

/// Borrows a value for a row.
pub(crate) fn row_value(value: &Value) -> RowValue<'_> {
    RowValue::from(value)
}

/// Returns an integer as the store keeps it: past 64 bits as the float that equals it, if one does.
pub(crate) fn integer(value: &Bound<'_, PyInt>) -> Option<Value> {
    if let Ok(int) = value.extract::<i64>() {
        return Some(Value::Int(int));
    }
    let float = value.extract::<f64>().ok()?;
    // Python compares an integer with a float exactly.
    let exact = PyAnyMethods::eq(value.as_any(), float).unwrap_or(false);
    exact.then_some(Value::Float(float))
}

fn text_of(text: &Bound<'_, PyString>) -> Option<String> {
    text.to_cow().ok().map(std::borrow::Cow::into_owned)
}

/// Reads a Python scalar proper; `None` if it is none.
fn plain(value: &Bound<'_, PyAny>) -> Option<Result<Value, Refusal>> {
    if let Ok(float) = value.cast::<PyFloat>() {
        return Some(Ok(Value::Float(float.value())));
    }
    if let Ok(bool) = value.cast::<PyBool>() {
        return Some(Ok(Value::Bool(bool.is_true())));
    }
    if let Ok(int) = value.cast::<PyInt>() {
        let refused = || Refusal::of_value("an integer past 64 bits that no float equals");
        return Some(integer(int).ok_or_else(refused));
    }
    if let Ok(text) = value.cast::<PyString>() {
        let refused = || Refusal::of_value("a text that is not Unicode (it has lone surrogates)");
        return Some(text_of(text).map(Value::Text).ok_or_else(refused));
    }
    None
}

/// Reads a scalar: a float, integer, truth value or text, or an array or tensor of one such element.
pub(crate) fn scalar(value: &Bound<'_, PyAny>) -> Read<Value> {
    if let Some(plain) = plain(value) {
        return Ok(plain);
    }
    if let Ok(histogram) = value.cast::<Histogram>() {
        return Ok(Ok(Value::from(histogram.get().0.clone())));
    }
    let refused = || Refusal::of_type(format!("a value of type {} cannot be stored", type_name(value)));
    let py = value.py();
    if let Some(item) = value.getattr_opt(intern!(py, "item"))? {
        return match item.call0() {
            Ok(element) => Ok(plain(&element).unwrap_or_else(|| Err(refused()))),
            Err(error) if error.is_instance_of::<PyException>(py) => {
                Ok(Err(Refusal::of_value(format!("a {} that is not one number ({error})", type_name(value)))))
            }
            Err(error) => Err(error),
        };
    }
    if value.get_type().hasattr("__index__")?
        && let Ok(index) = py.import("operator")?.call_method1("index", (value,))
    {
        return Ok(plain(&index).unwrap_or_else(|| Err(refused())));
    }
    Ok(Err(refused()))
}

/// Reads the key of a logged value.
pub(crate) fn key(key: &Bound<'_, PyAny>) -> Result<String, Refusal> {
    match key.cast::<PyString>() {
        Ok(text) => {
            text_of(text).ok_or_else(|| Refusal::of_value("a key that is not Unicode (it has lone surrogates)"))
        }
        Err(_) => Err(Refusal::of_type(format!("key {} is of type {}, not str", shown(key), type_name(key)))),
    }
}

/// Returns a short text of a value for a message.
fn shown(value: &Bound<'_, PyAny>) -> String {
    let text = value.repr().map_or_else(|_| "?".to_owned(), |text| text.to_string_lossy().into_owned());
    if text.chars().count() > 40 { text.chars().take(37).chain("...".chars()).collect() } else { text }
}

/// Keys and values of a mapping.
type Pairs<'py> = Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>;

/// Returns the pairs of a dict or another mapping; `None` if it is none.
pub(crate) fn pairs<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Pairs<'py>>> {
    if let Ok(dict) = value.cast_exact::<PyDict>() {
        return Ok(Some(dict.iter().collect()));
    }
    let Ok(mapping) = value.cast::<PyMapping>() else { return Ok(None) };
    mapping.items()?.iter().map(|pair| pair.extract()).collect::<PyResult<_>>().map(Some)
}

/// Turns an exception of somebody's Python code into a refusal, save those that must go on (Ctrl-C).
pub(crate) fn caught<T>(py: Python<'_>, outcome: PyResult<T>) -> Read<T> {
    match outcome {
        Ok(value) => Ok(Ok(value)),
        Err(error) if error.is_instance_of::<PyException>(py) => Ok(Err(Refusal::of_value(error.to_string()))),
        Err(error) => Err(error),
    }
}

/// A nested mapping, made flat: its scalars under dotted keys, and why others cannot be stored.
#[derive(Default)]
pub(crate) struct Flat<'py> {
    pub(crate) values: Vec<(String, Value)>,
    pub(crate) media: Vec<(String, NewMedia)>,
    pub(crate) refused: Vec<Refusal>,
    /// The type of the last value that is neither a mapping nor media. To ask Python's `Mapping` about each scalar of numpy would take
    /// longer than to read it, and most values of a row are of one type.
    no_mapping: Option<Bound<'py, PyType>>,
}

impl<'py> Flat<'py> {
    /// Adds the members of a mapping under `prefix`; `None` values are left out.
    pub(crate) fn add(
        &mut self,
        prefix: &str,
        pairs: &[(Bound<'py, PyAny>, Bound<'py, PyAny>)],
        depth: usize,
    ) -> PyResult<()> {
        for (name, value) in pairs.iter().filter(|(_, value)| !value.is_none()) {
            let name = match key(name) {
                Ok(name) if prefix.is_empty() => name,
                Ok(name) => format!("{prefix}.{name}"),
                Err(refusal) => {
                    self.refused.push(refusal);
                    continue;
                }
            };
            if let Some(plain) = plain(value) {
                self.keep(name, plain);
                continue;
            }
            if !self.is_no_mapping(value) {
                match media::media_of(value)? {
                    Ok(None) => {}
                    Ok(Some(media)) => {
                        self.media.push((name, media));
                        continue;
                    }
                    Err(refusal) => {
                        self.refused.push(named(&name, refusal));
                        continue;
                    }
                }
            }
            match caught(value.py(), self.members(value))? {
                Err(refusal) => self.keep(name, Err(refusal)),
                Ok(Some(_)) if depth >= NESTING_MAX => {
                    let refusal = format!("{name:?}: nested deeper than {NESTING_MAX} levels");
                    self.refused.push(Refusal::of_value(refusal));
                }
                Ok(Some(members)) => self.add(&name, &members, depth + 1)?,
                Ok(None) => {
                    let value = caught(value.py(), scalar(value))?.flatten();
                    self.keep(name, value);
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, name: String, value: Result<Value, Refusal>) {
        match value {
            Ok(value) => self.values.push((name, value)),
            Err(refusal) => self.refused.push(named(&name, refusal)),
        }
    }

    /// Returns the pairs of a mapping; `None` if it is none.
    fn members(&mut self, value: &Bound<'py, PyAny>) -> PyResult<Option<Pairs<'py>>> {
        if self.is_no_mapping(value) {
            return Ok(None);
        }
        let members = pairs(value)?;
        if members.is_none() && !value.is_instance_of::<PyList>() && !value.is_instance_of::<PyTuple>() {
            self.no_mapping = Some(value.get_type());
        }
        Ok(members)
    }

    fn is_no_mapping(&self, value: &Bound<'py, PyAny>) -> bool {
        self.no_mapping.as_ref().is_some_and(|known| known.is(value.get_type()))
    }
}

/// Says which key a refusal is about, and what would do.
pub(crate) fn named(name: &str, refusal: Refusal) -> Refusal {
    let hint = if refusal.by_type { "; numbers, truth values, texts, histograms and media can be" } else { "" };
    Refusal { message: format!("{name:?}: {}{hint}", refusal.message), ..refusal }
}

/// Reads a nested value for a config. `path` names it in messages.
pub(crate) fn json(path: &str, value: &Bound<'_, PyAny>, depth: usize) -> Read<Json> {
    if value.is_none() {
        return Ok(Ok(Json::Null));
    }
    if let Some(plain) = plain(value) {
        return Ok(plain.map(Json::from).map_err(|refusal| at(path, refusal)));
    }
    if depth >= NESTING_MAX {
        return Ok(Err(Refusal::of_value(format!("{path}: nested deeper than {NESTING_MAX} levels"))));
    }
    if let Some(members) = pairs(value)? {
        return json_map(path, &members, depth);
    }
    let is_list = value.is_instance_of::<PyList>()
        || value.is_instance_of::<PyTuple>()
        || value.is_instance_of::<PySet>()
        || value.is_instance_of::<PyFrozenSet>();
    if is_list {
        return json_list(path, value, depth);
    }
    if let Ok(text) = value.call_method0("__fspath__")
        && let Some(Ok(text)) = plain(&text)
    {
        return Ok(Ok(text.into()));
    }
    // Arrays and tensors: nested lists of Python numbers, or one number.
    if let Some(tolist) = value.getattr_opt("tolist")? {
        return match tolist.call0() {
            Ok(list) if list.is_instance_of::<PyList>() => json_list(path, &list, depth),
            Ok(one) => Ok(scalar(&one)?.map(Json::from).map_err(|refusal| at(path, refusal))),
            Err(error) if error.is_instance_of::<PyException>(value.py()) => {
                Ok(Err(Refusal::of_value(format!("{path}: {error}"))))
            }
            Err(error) => Err(error),
        };
    }
    Ok(scalar(value)?.map(Json::from).map_err(|refusal| at(path, refusal)))
}

fn at(path: &str, refusal: Refusal) -> Refusal {
    let hint = if refusal.by_type { "; numbers, texts, lists and dicts can be, or take str() of it" } else { "" };
    Refusal { message: format!("{path}: {}{hint}", refusal.message), ..refusal }
}

fn json_map(path: &str, members: &[(Bound<'_, PyAny>, Bound<'_, PyAny>)], depth: usize) -> Read<Json> {
    let mut out: Vec<(String, Json)> = Vec::with_capacity(members.len());
    let has_numbers = members.iter().any(|(name, _)| name.is_instance_of::<PyInt>());
    for (name, member) in members {
        // Integer keys come with configs from YAML; their text is what JSON would have.
        let name = match name.cast::<PyInt>() {
            Ok(int) if !name.is_instance_of::<PyBool>() => Ok(int.str()?.to_string_lossy().into_owned()),
            _ => key(name),
        };
        let name = match name {
            Ok(name) => name,
            Err(refusal) => {
                return Ok(Err(Refusal { message: format!("{path}: {}", refusal.message), ..refusal }));
            }
        };
        match json(&format!("{path}.{name}"), member, depth + 1)? {
            Ok(value) => match out.iter_mut().find(|(known, _)| *known == name) {
                // 1 and "1" are one key here; as in a dict the later value stands.
                Some((_, earlier)) if has_numbers => *earlier = value,
                _ => out.push((name, value)),
            },
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
    Ok(Ok(Json::Map(out)))
}

fn json_list(path: &str, list: &Bound<'_, PyAny>, depth: usize) -> Read<Json> {
    let mut out = Vec::new();
    for (index, item) in list.try_iter()?.enumerate() {
        match json(&format!("{path}[{index}]"), &item?, depth + 1)? {
            Ok(value) => out.push(value),
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
    Ok(Ok(Json::List(out)))
}

/// Makes the Python object of a scalar.
pub(crate) fn value_to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Float(value) => PyFloat::new(py, *value).into_any(),
        Value::Int(value) => value.into_pyobject(py)?.into_any(),
        Value::Bool(value) => PyBool::new(py, *value).to_owned().into_any(),
        Value::Text(text) => PyString::new(py, text).into_any(),
        Value::Histogram(histogram) => Bound::new(py, Histogram((**histogram).clone()))?.into_any(),
        // Where no run is at hand whose media could be read.
        Value::Media(id) => PyString::new(py, &id.to_string()).into_any(),
    })
}

/// Makes the Python object of a nested value.
pub(crate) fn json_to_python<'py>(py: Python<'py>, value: &Json) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Json::Null => py.None().into_bound(py),
        Json::Bool(value) => PyBool::new(py, *value).to_owned().into_any(),
        Json::Int(value) => value.into_pyobject(py)?.into_any(),
        Json::Float(value) => PyFloat::new(py, *value).into_any(),
        Json::Text(text) => PyString::new(py, text).into_any(),
        Json::List(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(json_to_python(py, item)?)?;
            }
            list.into_any()
        }
        Json::Map(members) => {
            let dict = PyDict::new(py);
            for (name, member) in members {
                dict.set_item(name, json_to_python(py, member)?)?;
            }
            dict.into_any()
        }
    })
}

/// Makes `datetime` objects in UTC of microseconds since 1970, exactly.
pub(crate) struct Datetimes<'py> {
    epoch: Bound<'py, PyAny>,
}

/// A time given as microseconds UTC since 1970, as a `datetime` (a naive one is local time, as everywhere in Python),
/// or as text of RFC 3339.
pub(crate) struct Time(pub(crate) i64);

impl FromPyObject<'_, '_> for Time {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, '_, PyAny>) -> PyResult<Time> {
        let (value, py) = (value.to_owned(), value.py());
        if value.is_instance_of::<PyInt>() && !value.is_instance_of::<PyBool>() {
            return Ok(Time(value.extract()?));
        }
        if let Ok(text) = value.cast::<PyString>() {
            let time = runcellar::query::parse_time(&text.to_cow()?);
            return time.map(Time).map_err(|error| error::Failure::from(error).into());
        }
        if value.hasattr("astimezone")? {
            let since = value.call_method1("astimezone", (PyTzInfo::utc(py)?,))?.sub(Datetimes::new(py)?.epoch)?;
            let of = |name: &str| since.getattr(name)?.extract::<i64>();
            return Ok(Time((of("days")? * 86_400 + of("seconds")?) * 1_000_000 + of("microseconds")?));
        }
        let message = format!("a time is an int of microseconds, a datetime or text, not {}", type_name(&value));
        Err(error::unsupported(py, message))
    }
}

impl<'py> Datetimes<'py> {
    pub(crate) fn new(py: Python<'py>) -> PyResult<Self> {
        let utc = PyTzInfo::utc(py)?;
        let epoch = py.import("datetime")?.getattr("datetime")?.call1((1970, 1, 1, 0, 0, 0, 0, utc))?;
        Ok(Datetimes { epoch })
    }

    pub(crate) fn at(&self, time_us: i64) -> PyResult<Bound<'py, PyAny>> {
        const DAY_US: i64 = 86_400_000_000;
        let (days, rest) = (time_us.div_euclid(DAY_US), time_us.rem_euclid(DAY_US));
        let delta = PyDelta::new(
            self.epoch.py(),
            i32::try_from(days)?,
            i32::try_from(rest / 1_000_000)?,
            i32::try_from(rest % 1_000_000)?,
            false,
        )?;
        self.epoch.add(delta)
    }
}
