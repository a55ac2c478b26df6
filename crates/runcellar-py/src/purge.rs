//! Purges: targets as Python names them, and the files that one leaves.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use runcellar::{Purged, Target};

use crate::error::Result;
use crate::workspace::run_name;

/// Reads one target, or several: texts as the command takes them, or runs.
pub(crate) fn targets(given: &Bound<'_, PyAny>) -> Result<Vec<Target>> {
    let one = |item: &Bound<'_, PyAny>| -> Result<Target> { Ok(run_name(item)?.parse()?) };
    if given.is_instance_of::<PyList>() || given.is_instance_of::<PyTuple>() {
        let mut all = Vec::new();
        for item in given.try_iter()? {
            all.push(one(&item?)?);
        }
        return Ok(all);
    }
    Ok(vec![one(given)?])
}

/// Makes Python objects of JSON.
pub(crate) fn parsed<'py>(py: Python<'py>, json: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import("json")?.call_method1("loads", (json,))
}

/// New files for receipt and recovery code, made before anything is erased.
pub(crate) struct Files {
    receipt: Option<(PathBuf, File)>,
    code: Option<(PathBuf, File)>,
}

impl Files {
    pub(crate) fn create(receipt: Option<PathBuf>, code: Option<PathBuf>) -> PyResult<Files> {
        let create = |path: Option<PathBuf>| -> PyResult<Option<(PathBuf, File)>> {
            let Some(path) = path else { return Ok(None) };
            let file = File::options().write(true).create_new(true).mode(0o600).open(&path);
            Ok(Some((path.clone(), file.map_err(|cause| failed(&path, &cause))?)))
        };
        Ok(Files { receipt: create(receipt)?, code: create(code)? })
    }

    pub(crate) fn takes_code(&self) -> bool {
        self.code.is_some()
    }

    pub(crate) fn finish(self, purged: &Purged) -> PyResult<()> {
        let write = |file: Option<(PathBuf, File)>, text: Option<String>| -> PyResult<()> {
            let Some((path, mut file)) = file else { return Ok(()) };
            let text = text.unwrap_or_default();
            file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|cause| failed(&path, &cause))
        };
        write(self.code, purged.recovery_code.as_ref().map(|code| format!("{code}\n")))?;
        write(self.receipt, Some(purged.receipt.to_json()))
    }
}

fn failed(path: &Path, cause: &std::io::Error) -> PyErr {
    pyo3::exceptions::PyOSError::new_err(format!("write {}: {cause}", path.display()))
}
