//! `du`: says what takes how much of the disk.

use runcellar::{ProjectUsage, QuotaUse, RunUsage, Usage, UsageKind};

use crate::failure::Failure;
use crate::render::Style;
use crate::render::number::bytes;
use crate::render::table::{Cell, Column, Table};
use crate::session::Session;

/// Rows of a table of runs: what scrolls by unread helps nobody.
const RUNS_MAX: usize = 50;
/// Columns of kinds in a table of runs; the others are in the sum.
const RUN_KINDS: [UsageKind; 4] = [UsageKind::Metrics, UsageKind::Records, UsageKind::Journals, UsageKind::Artifacts];

/// Say what takes how much of the disk
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Sizes add up to those of all files of the workspace. Runs that rm hid take space, too.

Examples:
  runcellar du
  runcellar du --by kind
  runcellar du --by run --json")]
pub(crate) struct Args {
    /// What the table has a row for
    #[arg(long, value_enum, default_value_t)]
    by: By,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum By {
    #[default]
    Project,
    Run,
    Kind,
}

#[derive(serde::Serialize)]
struct Shape<'a> {
    total: u64,
    projects: Vec<ProjectShape<'a>>,
    runs: Vec<RunShape<'a>>,
    kinds: Vec<KindShape>,
    quotas: Vec<QuotaShape<'a>>,
    /// Bytes of content that lie on remotes alone; the total does not have them.
    evicted: u64,
}

#[derive(serde::Serialize)]
struct QuotaShape<'a> {
    project: Option<&'a str>,
    quota: u64,
    used: u64,
}

#[derive(serde::Serialize)]
struct ProjectShape<'a> {
    project: Option<&'a str>,
    runs: usize,
    bytes: u64,
}

#[derive(serde::Serialize)]
struct RunShape<'a> {
    id: Option<&'a str>,
    name: Option<&'a str>,
    project: Option<&'a str>,
    removed: bool,
    bytes: u64,
    kinds: Vec<KindShape>,
}

#[derive(serde::Serialize)]
struct KindShape {
    kind: &'static str,
    bytes: u64,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    // The shared memory goes with the last process that has the workspace open, which may be this one.
    let alone = !session.find()?.join("cellar.db-shm").exists();
    let workspace = session.open_with(false)?;
    let mut usage = {
        let _work = session.work("measuring");
        workspace.disk_usage()?
    };
    if alone {
        usage.leave_out_shared_memory();
    }
    let quotas = workspace.quotas_in(&usage)?;
    let by_run = usage.by_run();
    let shape = Shape {
        total: usage.total,
        projects: usage.by_project().into_iter().map(ProjectShape::of).collect(),
        runs: by_run.iter().map(RunShape::of).collect(),
        kinds: usage.by_kind().into_iter().map(|(kind, bytes)| KindShape { kind: kind.as_str(), bytes }).collect(),
        quotas: quotas.iter().map(QuotaShape::of).collect(),
        evicted: workspace.evicted_bytes()?.1,
    };
    session.answer(&shape, || {
        let table = match args.by {
            By::Project => projects(&shape),
            By::Run => runs(&by_run),
            By::Kind => kinds(&shape),
        };
        let whole = shape.quotas.iter().find(|quota| quota.project.is_none());
        let of = whole.map(|whole| format!(" of {}", bytes(whole.quota))).unwrap_or_default();
        let away = match shape.evicted {
            0 => String::new(),
            evicted => format!("; {} more on remotes alone", bytes(evicted)),
        };
        let total = format!("{}{of} in all{away}\n", bytes(usage.total));
        table.render(session.display.width, session.display.color) + &Style::Dim.paint(&total, session.display.color)
    })?;
    for quota in quotas.iter().filter(|quota| quota.is_over() && !session.json) {
        session.warn(&quota.to_string());
    }
    let shown = by_run.iter().filter(|usage| usage.run.is_some()).count();
    if !session.json && args.by == By::Run && shown > RUNS_MAX {
        session.note(&format!("the largest {RUNS_MAX} of {shown} runs; --json gives all"));
    }
    Ok(())
}

impl<'a> QuotaShape<'a> {
    fn of(quota: &'a QuotaUse) -> QuotaShape<'a> {
        QuotaShape { project: quota.project.as_deref(), quota: quota.quota, used: quota.used }
    }
}

impl<'a> ProjectShape<'a> {
    fn of(usage: ProjectUsage<'a>) -> ProjectShape<'a> {
        ProjectShape { project: usage.project, runs: usage.runs, bytes: usage.bytes }
    }
}

impl<'a> RunShape<'a> {
    fn of(usage: &RunUsage<'a>) -> RunShape<'a> {
        let kind = |usage: &Usage| KindShape { kind: usage.kind.as_str(), bytes: usage.bytes };
        RunShape {
            id: usage.run.map(|run| run.id.as_str()),
            name: usage.run.map(|run| run.name.as_str()),
            project: usage.run.map(|run| run.project.as_str()),
            removed: usage.run.is_some_and(|run| run.removed.is_some()),
            bytes: usage.bytes,
            kinds: usage.kinds.iter().map(kind).collect(),
        }
    }
}

/// Returns a size, as a bold cell.
fn total(count: u64) -> Cell {
    Cell::new(bytes(count), Style::Bold)
}

/// Returns what stands for the workspace as a whole among projects or runs.
fn whole() -> Cell {
    Cell::new("(workspace)", Style::Dim)
}

fn projects(shape: &Shape<'_>) -> Table {
    let mut head = vec![
        Column::left("project").shrink_to(12).priority(8),
        Column::right("runs").priority(7),
        Column::right("size").priority(9),
    ];
    let has_quotas = shape.quotas.iter().any(|quota| quota.project.is_some());
    if has_quotas {
        head.push(Column::right("quota").priority(6));
    }
    let mut table = Table::new(head);
    for ProjectShape { project, runs, bytes } in &shape.projects {
        let mut row = match project {
            Some(project) => vec![(*project).into(), runs.to_string().into(), total(*bytes)],
            None => vec![whole(), Cell::default(), total(*bytes)],
        };
        if has_quotas {
            let quota = shape.quotas.iter().find(|quota| project.is_some() && quota.project == *project);
            row.push(quota.map(|quota| crate::render::number::bytes(quota.quota)).unwrap_or_default().into());
        }
        table.push(row);
    }
    table
}

fn runs(all: &[RunUsage<'_>]) -> Table {
    let used = |kind: &UsageKind| {
        let mut kinds = all.iter().filter(|usage| usage.run.is_some()).flat_map(|usage| usage.kinds);
        kinds.any(|usage| usage.kind == *kind)
    };
    let columns: Vec<UsageKind> = RUN_KINDS.into_iter().filter(used).collect();
    let mut head = vec![
        Column::left("id").shrink_to(12).priority(9),
        Column::left("name").shrink_to(16).priority(8),
        Column::left("project").shrink_to(6).priority(6),
    ];
    head.extend(columns.iter().map(|kind| Column::right(kind.as_str()).priority(5)));
    head.push(Column::right("size").priority(10));
    let mut table = Table::new(head);
    let of_runs = all.iter().filter(|usage| usage.run.is_some()).take(RUNS_MAX);
    let of_workspace = all.iter().filter(|usage| usage.run.is_none());
    for usage in of_runs.chain(of_workspace) {
        let mut row = match usage.run {
            Some(run) => {
                let name = if run.removed.is_some() { format!("{} (removed)", run.name) } else { run.name.clone() };
                vec![Cell::new(run.id.as_str(), Style::Cyan), name.into(), run.project.as_str().into()]
            }
            None => vec![whole(), Cell::default(), Cell::default()],
        };
        for column in &columns {
            let found = usage.kinds.iter().find(|usage| usage.kind == *column);
            row.push(found.map(|usage| bytes(usage.bytes)).unwrap_or_default().into());
        }
        row.push(total(usage.bytes));
        table.push(row);
    }
    table
}

fn kinds(shape: &Shape<'_>) -> Table {
    let mut table = Table::new(vec![
        Column::left("kind").priority(9),
        Column::right("size").priority(8),
        Column::left("").shrink_to(12).priority(5),
    ]);
    for KindShape { kind, bytes } in &shape.kinds {
        let about = UsageKind::ALL.into_iter().find(|known| known.as_str() == *kind).map_or("", about);
        table.push(vec![(*kind).into(), total(*bytes), Cell::new(about, Style::Dim)]);
    }
    table
}

/// Returns what a kind is, for people.
fn about(kind: UsageKind) -> &'static str {
    match kind {
        UsageKind::Metrics => "points, and summaries of them for charts",
        UsageKind::Records => "runs, projects, metrics, writers, settings",
        UsageKind::Catalogue => "columns of all runs, for listings",
        UsageKind::Changes => "what each change did, for sync",
        UsageKind::Keys => "wrapped keys, and the slots",
        UsageKind::Journals => "rows not in the database yet",
        UsageKind::Artifacts => "chunks of files, and their records",
        UsageKind::Structure => "indexes, heads of rows, room within pages",
        UsageKind::Free => "pages to be used again",
        UsageKind::Log => "SQLite's log: goes when nobody has the workspace open",
        UsageKind::Temporary => "files on their way",
        UsageKind::Other => "files that are none of runcellar's",
        _ => "",
    }
}
