//! Media, the native part: content that is encoded behind the training loop, and stored media as Python reads them.
//!
//! The package's `media` folder makes of Python objects what is here; nothing here imports a package of pictures.

mod pixels;

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};
use runcellar::{MediaContent, MediaFile, MediaId, MediaInfo, NewMedia, RunMedia};

use crate::convert::{self, Read, Refusal, caught};
use crate::error::{self, Result, type_name};

/// The bytes of a media file, or what they are made of: a copy, which nobody changes.
#[pyclass(frozen, name = "MediaContent", module = "runcellar._runcellar")]
pub(crate) struct Content(Arc<dyn MediaContent>);

#[pymethods]
impl Content {
    /// Takes bytes as they are.
    #[staticmethod]
    fn of_bytes(data: &[u8]) -> Content {
        Content(Arc::new(data.to_vec()))
    }

    /// Opens a file, which is read later.
    #[staticmethod]
    fn of_file(path: PathBuf) -> Result<Content> {
        Ok(Content(Arc::new(MediaFile::open(&path)?)))
    }

    /// Copies the pixels of an array, C-contiguous and of shape (h, w), (h, w, c) or, if `planar`, (c, h, w); they become a
    /// PNG later.
    #[staticmethod]
    fn of_pixels(array: &Bound<'_, PyAny>, planar: bool) -> Result<Content> {
        Ok(Content(Arc::new(pixels::Pixels::copy(array, planar)?)))
    }
}

/// A media file that can be logged.
#[pyclass(frozen, name = "MediaData", module = "runcellar._runcellar")]
pub(crate) struct Data(NewMedia);

#[pymethods]
impl Data {
    #[new]
    fn new(
        py: Python<'_>,
        kind: String,
        format: String,
        metadata: &Bound<'_, PyAny>,
        content: &Bound<'_, Content>,
        companions: Vec<(String, Bound<'_, Content>)>,
        parts: Vec<Bound<'_, Data>>,
    ) -> Result<Data> {
        let metadata = convert::json("metadata", metadata, 0)?.map_err(|refusal| refusal.into_error(py))?;
        let media = NewMedia {
            kind,
            format,
            metadata,
            content: content.get().0.clone(),
            companions: companions.into_iter().map(|(name, content)| (name, content.get().0.clone())).collect(),
            parts: parts.into_iter().map(|part| part.get().0.clone()).collect(),
        };
        media.check()?;
        Ok(Data(media))
    }

    #[getter]
    fn kind(&self) -> &str {
        &self.0.kind
    }

    #[getter]
    fn format(&self) -> &str {
        &self.0.format
    }

    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::json_to_python(py, &self.0.metadata)
    }

    /// Make the bytes now, as the store does later.
    fn make<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let made = py.detach(|| self.0.content.make());
        made.map(|bytes| PyBytes::new(py, &bytes)).map_err(|reason| error::invalid(py, reason))
    }
}

/// Packages whose pictures and tables may be logged as they are.
const FOREIGN: [&str; 4] = ["matplotlib", "plotly", "PIL", "pandas"];

/// Returns a media file, or a panel of several in a list; `None` if it is neither.
pub(crate) fn media_of(value: &Bound<'_, PyAny>) -> Read<Option<NewMedia>> {
    let py = value.py();
    let is_list = value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>();
    if !is_list {
        return caught(py, one_of(value));
    }
    let mut parts = Vec::new();
    for item in value.try_iter()? {
        let item = item?;
        match caught(py, one_of(&item))? {
            Ok(Some(part)) => parts.push(part),
            Ok(None) if parts.is_empty() => return Ok(Ok(None)),
            Ok(None) => {
                let message = format!("a list of media that holds a {}", type_name(&item));
                return Ok(Err(Refusal::of_type(message)));
            }
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
    Ok(Ok((!parts.is_empty()).then(|| NewMedia::panel(parts))))
}

fn one_of(value: &Bound<'_, PyAny>) -> PyResult<Option<NewMedia>> {
    let py = value.py();
    let name = intern!(py, "_runcellar_media");
    if let Some(data) = value.get_type().getattr_opt(name)? {
        let data = data.call1((value,))?;
        return Ok(data.cast::<Data>().ok().map(|data| data.get().0.clone()));
    }
    let module = value.get_type().getattr(intern!(py, "__module__"))?;
    let module = module.extract::<String>().unwrap_or_default();
    if !FOREIGN.contains(&module.split('.').next().unwrap_or_default()) {
        return Ok(None);
    }
    let made = py.import("runcellar.media")?.call_method1("_of_foreign", (value,))?;
    Ok(made.cast::<Data>().ok().map(|data| data.get().0.clone()))
}

/// A media file of a stored run.
#[pyclass(frozen, name = "MediaEntry", module = "runcellar._runcellar")]
pub(crate) struct Entry {
    media: Arc<RunMedia>,
    id: MediaId,
}

impl Entry {
    fn info(&self) -> Result<&MediaInfo> {
        Ok(self.media.find(self.id)?)
    }
}

#[pymethods]
impl Entry {
    #[getter]
    fn id(&self) -> String {
        self.id.to_string()
    }

    #[getter]
    fn kind(&self) -> Result<&str> {
        Ok(&self.info()?.kind)
    }

    #[getter]
    fn format(&self) -> Result<&str> {
        Ok(&self.info()?.format)
    }

    #[getter]
    fn size(&self) -> Result<u64> {
        Ok(self.info()?.bytes)
    }

    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        Ok(convert::json_to_python(py, &self.info()?.metadata)?)
    }

    #[getter]
    fn companions(&self) -> Result<Vec<String>> {
        Ok(self.info()?.companions.clone())
    }

    #[getter]
    fn parts(&self) -> Result<Vec<Entry>> {
        Ok(self.info()?.parts.iter().map(|id| Entry { media: self.media.clone(), id: *id }).collect())
    }

    /// Read the bytes, or those of a companion.
    #[pyo3(signature = (companion=None))]
    fn read<'py>(&self, py: Python<'py>, companion: Option<&str>) -> Result<Bound<'py, PyBytes>> {
        let read = py.detach(|| match companion {
            Some(name) => self.media.read_companion(self.id, name),
            None => self.media.read(self.id),
        });
        Ok(PyBytes::new(py, &read?))
    }
}

/// Makes the Python object of a media file: of a panel a list.
pub(crate) fn to_python<'py>(py: Python<'py>, media: &Arc<RunMedia>, id: MediaId) -> PyResult<Bound<'py, PyAny>> {
    let entry = Entry { media: media.clone(), id };
    py.import("runcellar.media")?.call_method1("_stored", (entry,))
}
