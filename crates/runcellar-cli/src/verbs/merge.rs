//! `merge`: another workspace's runs and artifacts come in.

use std::path::PathBuf;

use runcellar::{Keys, MergeOptions, MergeReport};

use crate::failure::{Code, Failure};
use crate::render::{Style, visible};
use crate::session::Session;

/// Bring in the runs and artifacts of another workspace
#[derive(Debug, clap::Args)]
#[command(after_help = "\
OTHER is only read: a workspace, a backup, or a copy that went its own way. What came in before is known again, so the same \
call later brings what is new, and a second one changes nothing. If it is cut off, the same call goes on. What is damaged in \
OTHER is named and left out; the exit code is 5 then.

Examples:
  runcellar merge ~/laptop-runs
  runcellar merge /mnt/disk/runs --project digits --dry-run
  runcellar merge ~/laptop-runs --other-key-file laptop.key")]
pub(crate) struct Args {
    /// The directory of the other workspace
    other: PathBuf,
    /// Only what belongs to this project
    #[arg(long, value_name = "P")]
    project: Vec<String>,
    /// Say what would come in, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// The key file that opens the other workspace
    #[arg(long, value_name = "FILE")]
    other_key_file: Option<PathBuf>,
}

#[derive(serde::Serialize)]
struct Shape<'a> {
    runs: RunsShape,
    versions: u64,
    artifacts_updated: u64,
    files: u64,
    renamed: Vec<RenamedShape<'a>>,
    left_out: Vec<LeftShape<'a>>,
    dry_run: bool,
}

#[derive(serde::Serialize)]
struct RunsShape {
    new: u64,
    updated: u64,
    unchanged: u64,
}

#[derive(serde::Serialize)]
struct RenamedShape<'a> {
    there: &'a str,
    here: &'a str,
}

#[derive(serde::Serialize)]
struct LeftShape<'a> {
    what: &'a str,
    why: &'a str,
    damaged: bool,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let workspace = session.open()?;
    let mut options = session.options();
    if let Some(file) = &args.other_key_file {
        options.keys = Keys { file: Some(file.clone()), directory: options.keys.directory, ..Keys::default() };
    }
    let report = {
        let _work = session.work("merging");
        let other = options.open_to_read(&args.other).map_err(Failure::opening)?;
        let options = MergeOptions { projects: args.project.clone(), dry_run: args.dry_run };
        workspace.merge(&other, &options)?
    };
    session.answer(&shape_of(&report, args.dry_run), || text_of(session, &report, args.dry_run))?;
    for (there, here) in &report.renamed {
        session.note(&format!("run {}: that id is taken here; it came in as {}", visible(there), visible(here)));
    }
    for left in &report.left_out {
        session.warn(&format!("{}: left out: {}", visible(&left.what), visible(&left.why)));
    }
    match report.left_out.iter().filter(|left| left.damaged).count() {
        0 => Ok(()),
        count => Err(Failure::new(Code::Damage, format!("{count} of what is in the other workspace is damaged"))),
    }
}

fn shape_of(report: &MergeReport, dry_run: bool) -> Shape<'_> {
    Shape {
        runs: RunsShape { new: report.new_runs, updated: report.updated_runs, unchanged: report.unchanged_runs },
        versions: report.new_versions,
        artifacts_updated: report.updated_artifacts,
        files: report.new_files,
        renamed: report.renamed.iter().map(|(there, here)| RenamedShape { there, here }).collect(),
        left_out: report
            .left_out
            .iter()
            .map(|left| LeftShape { what: &left.what, why: &left.why, damaged: left.damaged })
            .collect(),
        dry_run,
    }
}

fn text_of(session: &Session, report: &MergeReport, dry_run: bool) -> String {
    let dim = |text: &str| Style::Dim.paint(text, session.display.color);
    let mut text = String::new();
    if dry_run {
        text.push_str("nothing was changed; a merge would bring\n");
    }
    text.push_str(&format!(
        "{}       {} new, {} updated, {} unchanged\n",
        dim("runs"),
        report.new_runs,
        report.updated_runs,
        report.unchanged_runs
    ));
    text.push_str(&format!("{}  {} new versions and links", dim("artifacts"), report.new_versions));
    match report.updated_artifacts {
        0 => text.push('\n'),
        count => text.push_str(&format!(", {count} updated\n")),
    }
    if report.new_files > 0 {
        text.push_str(&format!("{}      {} of code and media\n", dim("files"), report.new_files));
    }
    text
}
