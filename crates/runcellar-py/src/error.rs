//! From errors of the store to the exceptions of the package, one class a kind.

use pyo3::prelude::*;
use pyo3::types::PyString;
use runcellar::ErrorKind;

/// The module that defines the exception and warning classes: in Python, as several have two bases.
const MODULE: &str = "runcellar._errors";

/// An error on its way to Python: of the store, or one that is an exception already.
pub(crate) enum Failure {
    Store(runcellar::Error),
    Python(PyErr),
}

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl From<runcellar::Error> for Failure {
    fn from(error: runcellar::Error) -> Self {
        Failure::Store(error)
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Failure::Python(error)
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => Python::attach(|py| of_store(py, &error)),
            Failure::Python(error) => error,
        }
    }
}

fn class_of(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidArgument => "InvalidArgumentError",
        ErrorKind::NotFound => "NotFoundError",
        ErrorKind::Ambiguous => "AmbiguousError",
        ErrorKind::Exists => "ExistsError",
        ErrorKind::Locked => "LockedError",
        ErrorKind::Damaged => "DamagedError",
        ErrorKind::NewerFormat => "NewerFormatError",
        ErrorKind::Query => "QueryError",
        ErrorKind::Busy => "BusyError",
        ErrorKind::ReadOnly | ErrorKind::Io => "StorageError",
        ErrorKind::State => "StateError",
        ErrorKind::Consent => "ConsentError",
        ErrorKind::Evicted => "EvictedError",
        // A kind that this version of the package does not know yet.
        _ => "Error",
    }
}

fn of_store(py: Python<'_>, error: &runcellar::Error) -> PyErr {
    match error.column() {
        Some(column) => named(py, class_of(error.kind()), (error.to_string(), column)),
        None => named(py, class_of(error.kind()), (error.to_string(),)),
    }
}

fn named(py: Python<'_>, class: &str, arguments: impl pyo3::PyErrArguments + 'static) -> PyErr {
    match py.import(MODULE).and_then(|module| module.getattr(class)) {
        Ok(class) => match class.cast_into() {
            Ok(class) => PyErr::from_type(class, arguments),
            Err(error) => error.into(),
        },
        Err(error) => error,
    }
}

/// Makes the exception of a kind of the store's errors.
pub(crate) fn of_kind(py: Python<'_>, kind: ErrorKind, message: impl Into<String>) -> PyErr {
    named(py, class_of(kind), (message.into(),))
}

/// Makes the exception for an argument of the wrong type.
pub(crate) fn unsupported(py: Python<'_>, message: impl Into<String>) -> PyErr {
    named(py, "UnsupportedTypeError", (message.into(),))
}

/// Makes the exception for an argument of the right type and a value that cannot be used.
pub(crate) fn invalid(py: Python<'_>, message: impl Into<String>) -> PyErr {
    named(py, "InvalidArgumentError", (message.into(),))
}

/// Makes the exception for a thing that is not there.
pub(crate) fn not_found(py: Python<'_>, message: impl Into<String>) -> PyErr {
    named(py, "NotFoundError", (message.into(),))
}

/// Warns through Python's `warnings`, as at the line that called into the package.
pub(crate) fn warn(py: Python<'_>, text: &str) -> PyResult<()> {
    py.import(MODULE)?.call_method1("warn", (text,)).map(drop)
}

/// Returns the name of a value's type, as messages show it.
pub(crate) fn type_name(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().as_ref().map_or_else(|_| "object".to_owned(), |name: &Bound<'_, PyString>| name.to_string())
}
