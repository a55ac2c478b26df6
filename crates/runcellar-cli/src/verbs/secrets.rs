//! `secrets`: what was redacted in runs, what stands in them, and what is no secret.

use clap_complete::engine::ArgValueCompleter;
use runcellar::secrets::Finding;
use runcellar::{RunInfo, Selection};

use crate::complete;
use crate::failure::Failure;
use crate::render::number::count;
use crate::render::table::{Cell, Column, Table};
use crate::render::{Style, visible};
use crate::session::Session;

/// The state of a secret that stands in a run.
const OPEN: &str = "open";
/// Runs that are looked at if none is named: the latest.
const RUNS_MAX: usize = 50;

/// List the secrets that were redacted in what runs recorded, and those that stand in them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without RUN the latest 50 runs are looked at. A run in which a secret stands (state open) is held back from remotes until the \
finding is allowed, or taken out. What was redacted cannot be brought back; --allow keeps it in what is recorded from now \
on, and runcellar config get secrets.allow lists what is kept.

Examples:
  runcellar secrets
  runcellar secrets brave-otter-12
  runcellar secrets brave-otter-12 --redact
  runcellar secrets --allow 0123456789ab")]
pub(crate) struct Args {
    /// The runs
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    runs: Vec<String>,
    /// What this finding names is no secret: it is kept from now on, and holds no run back
    #[arg(long, value_name = "ID", conflicts_with = "runs")]
    allow: Vec<String>,
    /// Take what is open out of these runs: out of their records, and out of what they logged
    #[arg(long, requires = "runs", conflicts_with = "allow")]
    redact: bool,
}

#[derive(serde::Serialize)]
struct Shape<'a> {
    run: &'a str,
    name: &'a str,
    project: &'a str,
    id: &'a str,
    /// `redacted`, or `open` if it stands in the run.
    state: &'static str,
    rule: &'a str,
    place: &'a str,
    length: u64,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let workspace = session.open()?;
    if !args.allow.is_empty() {
        workspace.allow_findings(&args.allow)?;
        return session.answer(&args.allow, || format!("allowed {}\n", visible(&args.allow.join(", "))));
    }
    let runs = match args.runs.is_empty() {
        true => workspace.runs(&Selection { limit: Some(RUNS_MAX), ..Selection::default() })?,
        false => workspace.find_runs(&args.runs, false)?,
    };
    if args.redact {
        for run in &runs {
            let taken = workspace.redact_run(run)?.len() as u64;
            session.note(&format!("run {}: {} taken out", visible(&run.id), count(taken, "secret")));
        }
    }
    let mut found: Vec<(&RunInfo, &'static str, Finding)> = Vec::new();
    {
        let _work = session.work("looking for secrets");
        for run in &runs {
            found.extend(workspace.search_run(run)?.into_iter().map(|finding| (run, OPEN, finding)));
            found.extend(workspace.findings(run)?.into_iter().map(|finding| (run, "redacted", finding)));
        }
    }
    let shape: Vec<Shape<'_>> = found
        .iter()
        .map(|(run, state, finding)| Shape {
            run: &run.id,
            name: &run.name,
            project: &run.project,
            id: &finding.id,
            state,
            rule: &finding.rule,
            place: &finding.place,
            length: finding.length,
        })
        .collect();
    session.answer(&shape, || {
        let place = Column::left("place").shrink_to(12);
        let mut table = Table::new(vec![
            Column::left("run"),
            Column::left("id"),
            Column::left("state"),
            Column::left("rule"),
            place,
            Column::right("length"),
        ]);
        for (run, state, finding) in &found {
            table.push(vec![
                Cell::new(visible(&run.id), Style::Cyan),
                visible(&finding.id).into(),
                (*state).into(),
                visible(&finding.rule).into(),
                visible(&finding.place).into(),
                finding.length.to_string().into(),
            ]);
        }
        table.render(session.display.width, session.display.color)
    })?;
    if found.is_empty() && !session.json {
        session.note("nothing was redacted, and no secret found");
    }
    let open: Vec<&RunInfo> = found.iter().filter(|(_, state, _)| *state == OPEN).map(|(run, ..)| *run).collect();
    if let Some(run) = open.first() {
        let run = visible(&run.id);
        session.note("what is open is held back from remotes: runcellar secrets --allow ID if it is no secret,");
        session.note(&format!("else runcellar secrets {run} --redact; what stands in code or media goes by"));
        session.note(&format!("runcellar purge class:code@{run}, class:media@{run}"));
    }
    Ok(())
}
