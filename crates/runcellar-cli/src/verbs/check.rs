//! `check`: verifies the workspace.

use runcellar::{CheckOptions, CheckReport, Problem, ProblemKind, Severity};

use crate::failure::{Code, Failure};
use crate::render::number::{bytes, count};
use crate::render::{Style, visible};
use crate::session::Session;

/// Verify the workspace: every row, sealed object, pack and journal
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Nothing is changed. The exit code is 5 if anything is hurt; notes do not count.

Examples:
  runcellar check
  runcellar check --read-data --json")]
pub(crate) struct Args {
    /// Open and decode all data too, instead of comparing sums alone
    #[arg(long)]
    read_data: bool,
}

#[derive(serde::Serialize)]
struct Shape<'a> {
    ok: bool,
    checked: CheckedShape,
    problems: Vec<ProblemShape<'a>>,
}

#[derive(serde::Serialize)]
struct CheckedShape {
    runs: u64,
    blocks: u64,
    journals: u64,
    chunks: u64,
    bytes: u64,
}

#[derive(serde::Serialize)]
struct ProblemShape<'a> {
    kind: &'static str,
    severity: &'static str,
    run: Option<&'a str>,
    metric: Option<&'a str>,
    steps: Option<[i64; 2]>,
    artifact: Option<&'a str>,
    path: Option<&'a str>,
    file: Option<&'a str>,
    repairable: bool,
    message: &'a str,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let report = match look(session, args) {
        // Damage that keeps the workspace from being opened at all is a finding too.
        Err(Failure::Error { code: Code::Damage, message, .. }) => unreadable(message),
        other => other?,
    };
    session.answer(&Shape::of(&report), || text_of(session, &report))?;
    let errors = report.problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    match errors {
        0 => Ok(()),
        1 => Err(Failure::new(Code::Damage, "the workspace is damaged in one place")),
        _ => Err(Failure::new(Code::Damage, format!("the workspace is damaged in {errors} places"))),
    }
}

fn look(session: &Session, args: &Args) -> Result<CheckReport, Failure> {
    let workspace = session.open_with(false)?;
    let _work = session.work("checking");
    Ok(workspace.check(CheckOptions { read_data: args.read_data })?)
}

fn unreadable(message: String) -> CheckReport {
    let file = ["cellar.db", "keyslots"].into_iter().find(|name| message.contains(name)).map(str::to_owned);
    let problem = Problem {
        kind: ProblemKind::Damaged,
        severity: Severity::Error,
        run: None,
        metric: None,
        steps: None,
        artifact: None,
        path: None,
        file,
        repairable: false,
        message,
    };
    CheckReport { problems: vec![problem], ..CheckReport::default() }
}

impl<'a> Shape<'a> {
    fn of(report: &'a CheckReport) -> Shape<'a> {
        let checked = &report.checked;
        Shape {
            ok: report.is_ok(),
            checked: CheckedShape {
                runs: checked.runs,
                blocks: checked.blocks,
                journals: checked.journals,
                chunks: checked.chunks,
                bytes: checked.bytes,
            },
            problems: report.problems.iter().map(ProblemShape::of).collect(),
        }
    }
}

impl<'a> ProblemShape<'a> {
    fn of(problem: &'a Problem) -> ProblemShape<'a> {
        ProblemShape {
            kind: problem.kind.as_str(),
            severity: severity_word(problem),
            run: problem.run.as_deref(),
            metric: problem.metric.as_deref(),
            steps: problem.steps.map(|(first, last)| [first, last]),
            artifact: problem.artifact.as_deref(),
            path: problem.path.as_deref(),
            file: problem.file.as_deref(),
            repairable: problem.repairable,
            message: &problem.message,
        }
    }
}

fn severity_word(problem: &Problem) -> &'static str {
    match problem.severity {
        Severity::Error => "error",
        Severity::Note => "note",
    }
}

fn text_of(session: &Session, report: &CheckReport) -> String {
    let color = session.display.color;
    let mut text = String::new();
    for problem in &report.problems {
        let style = if problem.severity == Severity::Error { Style::Red } else { Style::Dim };
        let word = format!("{:5}", severity_word(problem));
        let kind = format!("{:12}", problem.kind.as_str());
        let mend = if problem.repairable { "; runcellar repair can mend it" } else { "" };
        text.push_str(&format!("{}  {kind}  {}{mend}\n", style.paint(&word, color), visible(&problem.message)));
    }
    let checked = &report.checked;
    let counts = format!(
        "{}, {}, {}, {}, {}",
        count(checked.runs, "run"),
        count(checked.blocks, "block"),
        count(checked.journals, "journal"),
        count(checked.chunks, "chunk"),
        bytes(checked.bytes)
    );
    let verdict = if report.is_ok() { Style::Green.paint("ok", color) } else { Style::Red.paint("damaged", color) };
    text + &format!("{verdict}  {}\n", Style::Dim.paint(&counts, color))
}
