//! `ls`: lists runs.

mod columns;

pub(crate) use columns::{json_text, value_text};

use runcellar::query::filter::Field;
use runcellar::{Filter, RunInfo, RunState, Selection};

use crate::failure::Failure;
use crate::render::table::{Cell, Table};
use crate::render::{Style, number, time};
use crate::session::{Session, now_us};
use crate::shapes::RunShape;

/// Rows of a table unless more are asked for: what scrolls by unread helps nobody.
const ROWS_DEFAULT: usize = 50;

/// List runs
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Filters: FIELD OPERATOR VALUE, joined by and, or, not and parentheses. Fields are id name project state group \
job_type notes created finished duration tags config.NAME summary.NAME; operators = != < <= > >= in like exists.

Examples:
  runcellar ls --project digits --sort summary.val/loss
  runcellar ls --where 'state = \"failed\" and created > -7d'
  runcellar ls --where 'config.lr in (0.1, 0.01) and \"best\" in tags' --json
  runcellar ls --sort -summary.accuracy --limit 5")]
pub(crate) struct Args {
    /// Only runs that match this filter
    #[arg(long = "where", value_name = "FILTER")]
    filter: Option<String>,
    /// Sort by these keys, the first strongest; a minus sorts downwards [default: -created]
    #[arg(long, value_name = "KEY,-KEY", allow_hyphen_values = true)]
    sort: Option<String>,
    /// At most so many runs; 0 for all [default: 50 in a table, all in JSON]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Only runs of this project
    #[arg(long)]
    project: Option<String>,
    /// The runs that rm hid, instead of those that show
    #[arg(long)]
    removed: bool,
}

/// Which runs a verb is about, from `--where` and `--project`.
pub(crate) fn selection(filter: Option<&str>, project: Option<&str>) -> Result<Selection, Failure> {
    let all = Selection { project: project.map(str::to_owned), ..Selection::default() };
    match filter {
        Some(text) => all.filter(text).map_err(|error| Failure::query(error, text)),
        None => Ok(all),
    }
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let mut selection = selection(args.filter.as_deref(), args.project.as_deref())?;
    if let Some(keys) = &args.sort {
        selection = selection.order_by(keys).map_err(|error| Failure::query(error, keys))?;
    }
    selection.removed = args.removed;
    let workspace = session.open()?;
    let mut runs = {
        let _work = session.work("reading runs");
        workspace.runs(&selection)?
    };
    let total = runs.len();
    let limit = args.limit.unwrap_or(if session.json { 0 } else { ROWS_DEFAULT });
    if limit > 0 {
        runs.truncate(limit);
    }
    let now = now_us();
    let shape: Vec<RunShape<'_>> = runs.iter().map(|run| RunShape::of(run, now)).collect();
    if session.json || !runs.is_empty() {
        session.answer(&shape, || {
            table(&runs, &wanted(&selection), now).render(session.display.width, session.display.color)
        })?;
    }
    if !session.json {
        match (total, args.limit) {
            (0, _) => session.note(if args.removed { "no removed runs" } else { "no runs" }),
            (total, None) if total > runs.len() => {
                session.note(&format!("the first {} of {total} runs; --limit 0 shows all", runs.len()));
            }
            _ => {}
        }
        session.remind_of_one_slot(&workspace);
    }
    Ok(())
}

/// Returns the fields that the user asked about: they stay in the table when others give way.
fn wanted(selection: &Selection) -> Vec<Field> {
    let filtered = selection.filter.iter().flat_map(Filter::fields).cloned();
    selection.order.iter().map(|(field, _)| field.clone()).chain(filtered).collect()
}

fn table(runs: &[RunInfo], wanted: &[Field], now: i64) -> Table {
    let columns = columns::choose(runs, wanted);
    let mut table = Table::new(columns.iter().map(|column| column.head.clone()).collect());
    for run in runs {
        table.push(columns.iter().map(|column| cell(run, &column.field, now)).collect());
    }
    table
}

fn cell(run: &RunInfo, field: &Field, now: i64) -> Cell {
    let dim = |text: String| Cell::new(text, Style::Dim);
    match field {
        Field::Id => Cell::new(run.id.as_str(), Style::Cyan),
        Field::Name => run.name.as_str().into(),
        Field::Project => run.project.as_str().into(),
        Field::State => Cell::new(run.state.as_str(), state_style(run.state)),
        Field::Group => run.group.as_str().into(),
        Field::JobType => run.job_type.as_str().into(),
        Field::Notes => dim(run.notes.clone()),
        Field::Created => dim(time::ago(now, run.created)),
        Field::Finished => dim(run.finished.map(|finished| time::ago(now, finished)).unwrap_or_default()),
        Field::Duration => dim(number::duration(run.duration_secs(now))),
        Field::Tags => dim(run.tags.join(" ")),
        Field::Labels => Cell::default(),
        Field::Config(path) => run.config.at(path).map(json_text).unwrap_or_default().into(),
        Field::Summary(key) => run.summary(key).map(value_text).unwrap_or_default().into(),
    }
}

/// Returns how a state looks in colour.
pub(crate) fn state_style(state: RunState) -> Style {
    match state {
        RunState::Finished => Style::Green,
        RunState::Failed | RunState::Crashed => Style::Red,
        RunState::Killed => Style::Yellow,
        _ => Style::Bold,
    }
}
