//! `sync --install`: a systemd user unit that follows the workspace.

use std::path::Path;

use crate::failure::{Code, Failure};
use crate::output;
use crate::session::Session;

#[derive(serde::Serialize)]
struct Shape<'a> {
    name: &'a str,
    unit: &'a str,
}

pub(super) fn run(session: &Session) -> Result<(), Failure> {
    let workspace = session.open()?;
    let program =
        std::env::current_exe().map_err(|cause| Failure::new(Code::Other, format!("this program: {cause}")))?;
    let absolute =
        std::path::absolute(workspace.path()).map_err(|cause| Failure::file("find", workspace.path(), &cause))?;
    let mut start = format!("{} sync --watch --idle 0 --workspace {}", quoted(&program)?, quoted(&absolute)?);
    if let Some(file) = workspace.key_file() {
        let file = std::path::absolute(file).map_err(|cause| Failure::file("find", file, &cause))?;
        start.push_str(&format!(" --key-file {}", quoted(&file)?));
    }
    let id = workspace.id();
    let name = format!("runcellar-{}.service", &id[..8.min(id.len())]);
    let unit = format!(
        "[Unit]\nDescription=Sync of the runcellar workspace {id}\n\n\
         [Service]\nExecStart={start}\nRestart=on-failure\nRestartSec=60\n\n\
         [Install]\nWantedBy=default.target\n"
    );
    session.answer(&Shape { name: &name, unit: &unit }, || unit.clone())?;
    if !session.json {
        output::to_stderr(&format!(
            "runcellar: to have it started with each login:\n  \
             runcellar sync --install > ~/.config/systemd/user/{name}\n  \
             systemctl --user enable --now {name}\n"
        ));
    }
    Ok(())
}

/// Quotes a path as systemd.syntax(7) and systemd.service(5) say.
fn quoted(path: &Path) -> Result<String, Failure> {
    let not_text = || Failure::usage(format!("{}: a unit cannot name this path", path.display()));
    let text = path.to_str().filter(|text| !text.chars().any(char::is_control)).ok_or_else(not_text)?;
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    Ok(format!("\"{escaped}\""))
}
