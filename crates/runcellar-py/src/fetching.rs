//! What lies on a remote alone is brought by a process of the command when it is read: nothing in this package opens a connection.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use pyo3::prelude::*;
use runcellar::Workspace;
use runcellar::remotes::{ContentBringer, FetchError};

/// Runs `python -m runcellar fetch`, which is the command of this installation.
struct ByCommand {
    interpreter: PathBuf,
    workspace: PathBuf,
    key_file: Option<PathBuf>,
}

impl ContentBringer for ByCommand {
    fn bring(&self, object: &str) -> Result<(), FetchError> {
        let mut call = Command::new(&self.interpreter);
        call.args(["-m", "runcellar", "fetch", "--object", object, "--workspace"]).arg(&self.workspace);
        if let Some(key_file) = &self.key_file {
            call.arg("--key-file").arg(key_file);
        }
        let done = call.stdin(Stdio::null()).stdout(Stdio::null()).output()?;
        if done.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&done.stderr);
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        Err(last.trim_start_matches("runcellar: ").to_owned().into())
    }
}

/// Has the command bring what is read and lies on a remote alone; without an interpreter of its own that is an error where it is read.
pub(crate) fn by_command(py: Python<'_>, workspace: &Workspace) -> PyResult<()> {
    let interpreter: Option<PathBuf> = py.import("sys")?.getattr("executable")?.extract()?;
    if let Some(interpreter) = interpreter.filter(|path| !path.as_os_str().is_empty()) {
        let key_file = workspace.key_file().map(std::path::Path::to_owned);
        let by_command = ByCommand { interpreter, workspace: workspace.path().to_owned(), key_file };
        workspace.set_content_bringer(Arc::new(by_command));
    }
    Ok(())
}
