//! Finding and opening a workspace as the environment of the process says.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pyo3::prelude::*;
use runcellar::{Environment, OpenOptions, Workspace};

use crate::error::{self, Result};
use crate::fetching;
use crate::messages::Messages;

/// Whether a workspace that is missing is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    Create,
    Refuse,
}

/// Opens the workspace at `dir`, or the one that the environment names.
pub(crate) fn open(
    py: Python<'_>,
    dir: Option<PathBuf>,
    key_file: Option<PathBuf>,
    missing: Missing,
    messages: &Arc<Messages>,
) -> Result<Workspace> {
    let (environment, options) = surroundings(py, key_file, messages)?;
    let options = OpenOptions { create: missing == Missing::Create, ..options };
    let workspace = py.detach(|| {
        let path = environment.find(dir.as_deref())?;
        options.open(&path)
    })?;
    messages.drain(py)?;
    if !workspace.remotes().map(|remotes| remotes.is_empty())? {
        fetching::by_command(py, &workspace)?;
    }
    Ok(workspace)
}

/// Reads the environment of the process; returns how a workspace is opened in it.
pub(crate) fn surroundings(
    py: Python<'_>,
    key_file: Option<PathBuf>,
    messages: &Arc<Messages>,
) -> Result<(Environment, OpenOptions)> {
    let current = std::env::current_dir().map_err(PyErr::from)?;
    let mut environment = Environment::from_vars(|name| std::env::var_os(name), current)?;
    if let Some(key_file) = key_file {
        environment.keys.file = Some(environment.current.join(key_file));
    }
    if environment.keys.passphrase.is_some() {
        warn_of_passphrase(py)?;
    }
    let options = OpenOptions { monitor: messages.clone(), ..environment.options() };
    Ok((environment, options))
}

/// Says once a process that a passphrase in the environment is seen by others.
fn warn_of_passphrase(py: Python<'_>) -> PyResult<()> {
    static SAID: std::sync::Once = std::sync::Once::new();
    if SAID.is_completed() {
        return Ok(());
    }
    SAID.call_once(|| {});
    let text = "RUNCELLAR_PASSPHRASE opens the workspace, but every process of this user can read it; \
                a key file or RUNCELLAR_KEY_FD keeps the secret to this one";
    error::warn(py, text)
}

/// Returns the line that says what was made, if opening `workspace` made it.
pub(crate) fn creation_line(workspace: &Workspace) -> Option<String> {
    let creation = workspace.creation()?;
    let shown = |path: &Path| path.display().to_string();
    let line = format!("created workspace {}, key file {}", shown(workspace.path()), shown(&creation.key_file));
    Some(match &creation.warning {
        Some(warning) => format!("{line}; {warning}"),
        None => line,
    })
}
