//! `export`: writes the points of runs in open formats, exactly.
//!
//! Runs are read one after the other, and of each one metric (or, for `--wide`, one stretch of steps) at a time, so
//! that memory does not grow with the number of runs.

mod capsule;
mod csv;
mod long;
mod media;
mod wide;

use std::io::Write;
use std::path::PathBuf;

use clap_complete::engine::ArgValueCompleter;
use runcellar::{RunInfo, Window, Workspace};

use crate::capsule::seal::Lock;
use crate::complete;
use crate::failure::Failure;
use crate::files::NewFile;
use crate::output;
use crate::render::number::count;
use crate::session::{AsOf, Session};
use crate::verbs::ls;
use crate::verbs::window::WindowArgs;

/// Write the points of runs as CSV or JSON lines
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Rows are run,project,metric,step,time,value, or with --wide one row a step with a column a metric. Floats are the \
shortest text that reads back equal; times are RFC 3339 in UTC.

Examples:
  runcellar export -o runs.csv                    all runs
  runcellar export --format jsonl brave-otter-12 calm-fox-3
  runcellar export --where 'state = \"finished\"' --wide -o digits.csv
  runcellar export --media pictures calm-fox-3   images, tables and the like as files
  runcellar export --format capsule calm-fox-3 -o calm.capsule   all of it in one encrypted file; import reads it")]
pub(crate) struct Args {
    /// The runs [default: all that show]
    #[arg(value_name = "RUN", conflicts_with_all = ["filter", "project"], add = ArgValueCompleter::new(complete::runs))]
    runs: Vec<String>,
    /// Only runs that match this filter
    #[arg(long = "where", value_name = "FILTER")]
    filter: Option<String>,
    /// Only runs of this project
    #[arg(long)]
    project: Option<String>,
    /// The format [default: as the file's name ends, else csv]
    #[arg(long)]
    format: Option<Format>,
    /// Write into this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Who can open a capsule: age1...; may be repeated [default: who knows the passphrase that is asked for]
    #[arg(long = "recipient", value_name = "RECIPIENT", help_heading = "Capsules")]
    recipients: Vec<String>,
    /// Files that name recipients, one a line
    #[arg(long = "recipients-file", value_name = "FILE", help_heading = "Capsules")]
    recipients_files: Vec<PathBuf>,
    /// Put the artifacts that the runs used into a capsule, too; those that they made always are
    #[arg(long, help_heading = "Capsules")]
    used: bool,
    /// Write media as files below this directory: RUN/METRIC/STEP_NUMBER.png
    #[arg(long, value_name = "DIR", conflicts_with_all = ["output", "format", "wide", "system", "console", "rank_column"])]
    media: Option<PathBuf>,
    /// One row a step, one column a metric
    #[arg(long)]
    wide: bool,
    #[command(flatten)]
    as_of: AsOf,
    /// Add a column of ranks: which process of a distributed run logged it
    #[arg(long)]
    rank_column: bool,
    /// Write system metrics, too
    #[arg(long, conflicts_with = "wide")]
    system: bool,
    /// Write the lines of the console, too
    #[arg(long, conflicts_with = "wide")]
    console: bool,
    #[command(flatten)]
    window: WindowArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Comma-separated values with a header
    Csv,
    /// One JSON object a line
    Jsonl,
    /// Everything about the runs in one encrypted file, which import reads back and any age tool opens
    Capsule,
}

impl Args {
    fn format(&self) -> Format {
        let ending = self.output.as_ref().and_then(|path| path.extension()).map(|ending| ending.to_ascii_lowercase());
        let by_name = match ending.as_deref().and_then(|ending| ending.to_str()) {
            Some("jsonl" | "ndjson") => Format::Jsonl,
            Some("capsule") => Format::Capsule,
            _ => Format::Csv,
        };
        self.format.unwrap_or(by_name)
    }

    /// Refuses options that do not go together.
    fn check(&self, is_capsule: bool) -> Result<(), Failure> {
        let of_capsules = self.used || !self.recipients.is_empty() || !self.recipients_files.is_empty();
        if !is_capsule {
            return match of_capsules {
                true => Err(Failure::usage("--recipient, --recipients-file and --used are for --format capsule")),
                false => Ok(()),
            };
        }
        if self.wide
            || self.system
            || self.console
            || self.rank_column
            || self.window.is_given()
            || self.as_of.is_given()
        {
            return Err(Failure::usage("a capsule holds all of a run: no points are chosen"));
        }
        match &self.output {
            Some(path) if path.as_os_str() != "-" => Ok(()),
            _ => Err(Failure::usage("a capsule is written into a file: -o FILE")),
        }
    }
}

/// What the writers of rows need.
struct Job<'a> {
    session: &'a Session,
    workspace: &'a Workspace,
    runs: &'a [RunInfo],
    window: Window,
    format: Format,
    rank_column: bool,
    system: bool,
    console: bool,
    /// Text goes to a terminal and must not drive it.
    tame: bool,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let is_capsule = args.format() == Format::Capsule && args.media.is_none();
    args.check(is_capsule)?;
    let mut selection = ls::selection(args.filter.as_deref(), args.project.as_deref())?;
    selection = selection.order_by("created")?;
    // Asked for first, not after minutes of work.
    let lock = is_capsule.then(|| Lock::choose(&args.recipients, &args.recipients_files)).transpose()?;
    let (workspace, _) = session.open_as_of(&args.as_of)?;
    let runs = {
        let _work = session.work("reading runs");
        if args.runs.is_empty() { workspace.runs(&selection)? } else { named(&workspace, &args.runs)? }
    };
    let of_runs = count(runs.len() as u64, "run");
    if let (Some(lock), Some(path)) = (&lock, &args.output) {
        return capsule::write(session, &workspace, &runs, lock, (path, args.used));
    }
    if let Some(directory) = &args.media {
        let (files, missing) = media::write(session, &workspace, &runs, args.window.read()?, directory)?;
        let files = count(files, "media file");
        session.note(&format!("wrote {files} of {of_runs} to {}", directory.display()));
        if missing > 0 {
            session.note(&format!("not there any more: {}", count(missing, "media file")));
        }
        return Ok(());
    }
    let output = args.output.as_deref().filter(|path| *path != "-");
    let job = Job {
        session,
        workspace: &workspace,
        runs: &runs,
        window: args.window.read()?,
        format: args.format(),
        rank_column: args.rank_column,
        system: args.system,
        console: args.console,
        tame: output.is_none() && session.display.terminal,
    };
    let rows = match output {
        None => {
            let mut out = output::stdout();
            let rows = job.write(&mut out, args.wide)?;
            out.flush()?;
            rows
        }
        Some(path) => {
            let mut file = NewFile::create(path)?;
            let rows = job.write(&mut file, args.wide).map_err(|failure| in_file(failure, path))?;
            file.finish()?;
            session.note(&format!("wrote {} of {} to {}", count(rows, "row"), of_runs, path.display()));
            rows
        }
    };
    if rows == 0 && output.is_none() {
        session.note("nothing to export");
    }
    Ok(())
}

/// Finds the named runs, each once.
fn named(workspace: &Workspace, names: &[String]) -> Result<Vec<RunInfo>, Failure> {
    let mut runs: Vec<RunInfo> = Vec::new();
    for run in workspace.find_runs(names, false)? {
        if runs.iter().all(|known| known.id != run.id) {
            runs.push(run);
        }
    }
    Ok(runs)
}

/// Names the file where a failed write would name standard output.
fn in_file(failure: Failure, path: &std::path::Path) -> Failure {
    match failure {
        Failure::Error { code, message, advice } => {
            let message = message.replacen("standard output", &format!("write {}", path.display()), 1);
            Failure::Error { code, message, advice }
        }
        other => other,
    }
}

impl Job<'_> {
    /// Writes all rows; returns how many.
    fn write(&self, out: &mut impl Write, wide: bool) -> Result<u64, Failure> {
        if wide { wide::write(self, out) } else { long::write(self, out) }
    }
}
