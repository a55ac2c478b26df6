//! `backup`: a copy of the workspace in another folder.

use std::path::PathBuf;

use runcellar::{BackupOptions, BackupReport, Severity};

use crate::failure::{Code, Failure};
use crate::render::number::bytes;
use crate::render::{Style, visible};
use crate::session::Session;

/// Copy the workspace to another folder, also while runs are recorded
#[derive(Debug, clap::Args)]
#[command(after_help = "\
DEST is a folder to be, an empty one, or an earlier backup of this workspace: then only what is new is copied. If it is \
cut off, the earlier backup stands. A backup can be looked at as a workspace is, and is only read; restore-from makes a \
workspace of it. The key file is not copied: keep it elsewhere, or a recovery code.

Examples:
  runcellar backup /mnt/disk/runs
  runcellar backup /mnt/disk/runs --verify        read the copy back and check all of it
  runcellar ls --workspace /mnt/disk/runs")]
pub(crate) struct Args {
    /// The folder of the backup
    dest: PathBuf,
    /// Read the copy back and check all that is in it
    #[arg(long)]
    verify: bool,
}

/// Files and their bytes.
#[derive(serde::Serialize)]
pub(super) struct FilesShape {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

#[derive(serde::Serialize)]
struct Shape<'a> {
    backup: String,
    copied: FilesShape,
    unchanged: FilesShape,
    removed: u64,
    missing: &'a [String],
    evicted: FilesShape,
    verified: Option<bool>,
    key_file: Option<String>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let workspace = session.open_with(false)?;
    let report = {
        let _work = session.work("copying");
        workspace.backup(&args.dest, BackupOptions { verify: args.verify })?
    };
    session.answer(&shape_of(args, &report), || text_of(session, args, &report))?;
    // `ok` of no use is no backup.
    match report.key_file.as_deref() {
        Some(file) => session.note(&format!(
            "the key file is not in the backup, which cannot be read without it: keep a copy of {} elsewhere, or a \
             recovery code (runcellar key add recovery)",
            visible(&file.display().to_string())
        )),
        None => session.note("no key is in the backup: it is read with what opens the workspace"),
    }
    if report.evicted_files > 0 {
        let size = bytes(report.evicted_bytes);
        session.note(&format!(
            "{size} of content lie on remotes alone, and not in the backup: runcellar fetch brings them here"
        ));
    }
    for file in &report.missing {
        session.warn(&format!("{}: the workspace has lost it; runcellar check says what lay in it", visible(file)));
    }
    let problems = report.verified.iter().flat_map(|check| &check.problems);
    let errors: Vec<_> = problems.filter(|problem| problem.severity == Severity::Error).collect();
    for problem in &errors {
        session.warn(&visible(&problem.message));
    }
    match (errors.is_empty(), report.missing.is_empty()) {
        (true, true) => Ok(()),
        (false, _) => Err(Failure::new(Code::Damage, format!("the copy is damaged: {} problems", errors.len()))),
        (true, false) => {
            Err(Failure::new(Code::Damage, "the workspace is damaged, and the backup lacks what it lacks"))
        }
    }
}

fn shape_of<'a>(args: &Args, report: &'a BackupReport) -> Shape<'a> {
    Shape {
        backup: args.dest.display().to_string(),
        copied: FilesShape { files: report.copied_files, bytes: report.copied_bytes },
        unchanged: FilesShape { files: report.kept_files, bytes: report.kept_bytes },
        removed: report.removed_files,
        missing: &report.missing,
        evicted: FilesShape { files: report.evicted_files, bytes: report.evicted_bytes },
        verified: report.verified.as_ref().map(runcellar::CheckReport::is_ok),
        key_file: report.key_file.as_ref().map(|file| file.display().to_string()),
    }
}

fn text_of(session: &Session, args: &Args, report: &BackupReport) -> String {
    let color = session.display.color;
    let dim = |text: &str| Style::Dim.paint(text, color);
    let count = |files: u64, size: u64| match files {
        1 => format!("1 file, {}", bytes(size)),
        _ => format!("{files} files, {}", bytes(size)),
    };
    let mut text = format!("{}     {}\n", dim("backup"), visible(&args.dest.display().to_string()));
    text.push_str(&format!("{}     {}\n", dim("copied"), count(report.copied_files, report.copied_bytes)));
    if report.kept_files > 0 {
        text.push_str(&format!("{}  {}\n", dim("unchanged"), count(report.kept_files, report.kept_bytes)));
    }
    if report.removed_files > 0 {
        text.push_str(&format!("{}    {}\n", dim("removed"), report.removed_files));
    }
    if let Some(check) = &report.verified {
        let verdict = if check.is_ok() { Style::Green.paint("ok", color) } else { Style::Red.paint("damaged", color) };
        text.push_str(&format!("{}   {verdict}\n", dim("verified")));
    }
    text
}
