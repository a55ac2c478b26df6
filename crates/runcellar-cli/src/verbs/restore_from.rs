//! `restore-from`: a workspace made of a backup.

use std::path::PathBuf;

use runcellar::{Restored, Severity, restore_from};

use super::backup::FilesShape;
use crate::failure::{Code, Failure};
use crate::render::number::{bytes, count};
use crate::render::{Style, visible};
use crate::session::Session;

/// Make a workspace of a backup
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The copy is read back and checked. It goes on under ids of its own, so that both it and the workspace that was backed up \
can be used. Runs that were being recorded have what was written by then, and count as crashed. Nothing is overwritten: \
DIR is a folder to be, or an empty one. If it is cut off, the same call goes on with it.

Examples:
  runcellar restore-from /mnt/disk/runs           make ./.runcellar
  runcellar restore-from /mnt/disk/runs ~/runs")]
pub(crate) struct Args {
    /// The folder of the backup
    backup: PathBuf,
    /// The directory to make a workspace [default: RUNCELLAR_DIR, else ./.runcellar]
    dir: Option<PathBuf>,
}

#[derive(serde::Serialize)]
struct Shape<'a> {
    workspace: String,
    id: String,
    copied: FilesShape,
    ok: bool,
    problems: Vec<&'a str>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let path = session.place_for_init(args.dir.clone());
    let restored = {
        let _work = session.work("restoring");
        restore_from(&args.backup, &path, session.options()).map_err(Failure::opening)?
    };
    let Restored { workspace, copied, check } = &restored;
    let errors = check.problems.iter().filter(|problem| problem.severity == Severity::Error);
    let shape = Shape {
        workspace: workspace.path().display().to_string(),
        id: workspace.id(),
        copied: FilesShape { files: copied.copied_files, bytes: copied.copied_bytes },
        ok: check.is_ok(),
        problems: errors.map(|problem| problem.message.as_str()).collect(),
    };
    session.answer(&shape, || {
        let color = session.display.color;
        let dim = |text: &str| Style::Dim.paint(text, color);
        let verdict = if shape.ok { Style::Green.paint("ok", color) } else { Style::Red.paint("damaged", color) };
        format!(
            "{}  {}\n{}         {}\n{}     {}, {}\n{}      {}, {verdict}\n",
            dim("workspace"),
            visible(&shape.workspace),
            dim("id"),
            shape.id,
            dim("copied"),
            count(shape.copied.files, "file"),
            bytes(shape.copied.bytes),
            dim("check"),
            count(check.checked.runs, "run"),
        )
    })?;
    for file in &copied.missing {
        session.warn(&format!("{}: the backup does not have it", visible(file)));
    }
    for message in &shape.problems {
        session.warn(&visible(message));
    }
    match shape.ok && copied.missing.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(Code::Damage, "the backup is damaged; what is whole in it is in the workspace")),
    }
}
