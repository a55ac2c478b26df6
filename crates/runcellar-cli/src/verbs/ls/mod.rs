//! `ls`: lists runs.

mod columns;
mod groups;

pub(crate) use columns::{json_text, value_text};

use runcellar::query::filter::Field;
use runcellar::{Filter, Json, Listing, RunInfo, RunState, Selection};

use crate::failure::Failure;
use crate::render::table::{Cell, Table};
use crate::render::{Style, number, time};
use crate::session::{AsOf, Session};
use crate::shapes::RunShape;

/// Rows of a table unless more are asked for: what scrolls by unread helps nobody.
const ROWS_DEFAULT: usize = 50;

/// List runs
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Filters: FIELD OPERATOR VALUE, joined by and, or, not and parentheses. Fields are id name project state group \
job_type notes created finished duration tags config.NAME summary.NAME, and of a metric min(METRIC) max() first() \
last() mean() and at_best(METRIC).KEY; operators = != < <= > >= in like exists.

Examples:
  runcellar ls --project digits --sort summary.val/loss
  runcellar ls --where 'state = \"failed\" and created > -7d'
  runcellar ls --where 'config.lr in (0.1, 0.01) and \"best\" in tags' --json
  runcellar ls --sort '-max(accuracy),created' --limit 5
  runcellar ls --group-by config.lr,config.model --of 'summary.loss,max(accuracy)'")]
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
    /// Group the runs by these fields, and show figures over all members of each group
    #[arg(long, value_name = "FIELD,FIELD")]
    group_by: Option<String>,
    /// With --group-by: what figures are of [default: every number of the summary]
    #[arg(long, value_name = "FIELD,FIELD", requires = "group_by")]
    of: Option<String>,
    /// Only runs of this project
    #[arg(long)]
    project: Option<String>,
    /// The runs that rm hid, instead of those that show
    #[arg(long)]
    removed: bool,
    #[command(flatten)]
    as_of: AsOf,
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
    selection.removed = args.removed;
    if let Some(by) = &args.group_by {
        return groups::run(session, &selection, by, args);
    }
    if let Some(keys) = &args.sort {
        selection = selection.order_by(keys).map_err(|error| Failure::query(error, keys))?;
    }
    let limit = args.limit.unwrap_or(if session.json { 0 } else { ROWS_DEFAULT });
    selection.limit = Some(limit).filter(|limit| *limit > 0);
    let wanted = wanted(&selection);
    selection.also = wanted.iter().filter(|field| is_computed(field)).cloned().collect();
    let (workspace, now) = session.open_as_of(&args.as_of)?;
    let listing = {
        let _work = session.work("reading runs");
        workspace.list(&selection)?
    };
    let (runs, total) = (&listing.runs, listing.total);
    let shape: Vec<RunShape<'_>> = runs.iter().map(|run| RunShape::of(run, now)).collect();
    if session.json || !runs.is_empty() {
        session
            .answer(&shape, || table(&listing, &wanted, now).render(session.display.width, session.display.color))?;
    }
    if !session.json {
        say_what_is_left(session, total, runs.len(), args, "runs");
        session.remind_of_one_slot(&workspace);
    }
    Ok(())
}

/// Says below a table that it is empty, or that it is not all.
fn say_what_is_left(session: &Session, total: usize, shown: usize, args: &Args, what: &str) {
    match (total, args.limit) {
        (0, _) => session.note(if args.removed { "no removed runs" } else { "no runs" }),
        (total, None) if total > shown => {
            session.note(&format!("the first {shown} of {total} {what}; --limit 0 shows all"));
        }
        _ => {}
    }
}

/// Returns true for what a run does not hold, and listings give beside it.
fn is_computed(field: &Field) -> bool {
    matches!(field, Field::Statistic(..) | Field::AtBest(..))
}

/// Returns the fields that the user asked about: they stay in the table when others give way.
fn wanted(selection: &Selection) -> Vec<Field> {
    let filtered = selection.filter.iter().flat_map(Filter::fields).cloned();
    let mut all: Vec<Field> = Vec::new();
    for field in selection.order.iter().map(|(field, _)| field.clone()).chain(filtered) {
        if !all.contains(&field) {
            all.push(field);
        }
    }
    all
}

fn table(listing: &Listing, wanted: &[Field], now: i64) -> Table {
    let computed: Vec<&Field> = wanted.iter().filter(|field| is_computed(field)).collect();
    let columns = columns::choose(&listing.runs, wanted);
    let mut table = Table::new(columns.iter().map(|column| column.head.clone()).collect());
    for (run, also) in listing.runs.iter().zip(&listing.also) {
        let computed = |field: &Field| also.get(computed.iter().position(|known| *known == field)?)?.as_ref();
        table.push(columns.iter().map(|column| cell(run, &column.field, computed(&column.field), now)).collect());
    }
    table
}

fn cell(run: &RunInfo, field: &Field, computed: Option<&Json>, now: i64) -> Cell {
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
        Field::Statistic(..) | Field::AtBest(..) => computed.map(json_text).unwrap_or_default().into(),
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
