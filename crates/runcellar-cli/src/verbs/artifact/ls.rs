//! `artifact ls`: lists versions, or what one holds.

use clap_complete::engine::ArgValueCompleter;
use runcellar::ArtifactVersion;
use runcellar::artifacts::{Entry, EntryKind};

use super::shapes::{EntriesShape, VersionShape};
use crate::complete;
use crate::failure::{Failure, listed};
use crate::output;
use crate::render::Style;
use crate::render::number::bytes;
use crate::render::table::{Cell, Column, Table};
use crate::render::time;
use crate::session::{Session, now_us};

/// Rows of a table: what scrolls by unread helps nobody.
const ROWS_MAX: usize = 50;
/// Files of one table: more come as several, each as wide as it must be, so that a million need no more memory.
const FILES_AT_ONCE: usize = 10_000;

/// List versions of artifacts, or the files of one
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Tables show the latest 50 versions; --json gives all.

Examples:
  runcellar artifact ls
  runcellar artifact ls digits/data
  runcellar artifact ls digits/data:v2 --files --path 'train/**'")]
pub(crate) struct Args {
    /// Only versions of this artifact: [PROJECT/]NAME, with --files also [PROJECT/]NAME:vN
    #[arg(add = ArgValueCompleter::new(complete::artifacts))]
    name: Option<String>,
    /// Only this project
    #[arg(long, conflicts_with = "name")]
    project: Option<String>,
    /// List what the version holds, path by path
    #[arg(long, requires = "name")]
    files: bool,
    /// Only paths that match, and what is below folders that do
    #[arg(long, value_name = "GLOB", requires = "files")]
    path: Option<String>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let workspace = session.open()?;
    match &args.name {
        Some(name) if args.files => files(session, &workspace.artifact(name)?, args.path.as_deref()),
        Some(name) => versions(session, &workspace.artifact_versions(name)?),
        None => versions(session, &workspace.artifacts(args.project.as_deref())?),
    }
}

fn versions(session: &Session, versions: &[ArtifactVersion]) -> Result<(), Failure> {
    let shapes: Vec<VersionShape<'_>> = versions.iter().map(VersionShape::of).collect();
    session.answer(&shapes, || table(versions).render(session.display.width, session.display.color))?;
    if !session.json && versions.len() > ROWS_MAX {
        session.note(&format!("the latest {ROWS_MAX} of {} versions; --json gives all", versions.len()));
    }
    Ok(())
}

fn table(versions: &[ArtifactVersion]) -> Table {
    let mut latest: Vec<&ArtifactVersion> = versions.iter().collect();
    latest.sort_by_key(|version| std::cmp::Reverse(version.created));
    latest.truncate(ROWS_MAX);
    latest.sort_by(|a, b| (&a.project, &a.name, a.number).cmp(&(&b.project, &b.name, b.number)));
    let mut table = Table::new(vec![
        Column::left("name").shrink_to(16).priority(10),
        Column::left("type").shrink_to(6).priority(5),
        Column::right("files").priority(4),
        Column::right("size").priority(8),
        Column::left("created").priority(6),
        Column::left("aliases").shrink_to(6).priority(7),
        Column::left("links to").shrink_to(8).priority(3),
    ]);
    let now = now_us();
    for version in latest {
        table.push(vec![
            Cell::new(version.full_name(), Style::Cyan),
            version.kind.as_str().into(),
            Cell::new(version.files.to_string(), Style::Dim),
            bytes(version.bytes).into(),
            Cell::new(time::ago(now, version.created), Style::Dim),
            listed(&version.aliases).into(),
            Cell::new(version.links_to.clone().unwrap_or_default(), Style::Dim),
        ]);
    }
    table
}

fn files(session: &Session, version: &ArtifactVersion, glob: Option<&str>) -> Result<(), Failure> {
    let mut entries = version.each_entry(glob)?.peekable();
    if session.json {
        return output::print_json(&EntriesShape::new(entries), session.display);
    }
    loop {
        let some = entries.by_ref().take(FILES_AT_ONCE).collect::<Result<Vec<_>, _>>()?;
        output::print(&of_entries(&some).render(session.display.width, session.display.color))?;
        if entries.peek().is_none() {
            return Ok(());
        }
    }
}

/// Returns the table of what a version holds.
pub(super) fn of_entries(entries: &[Entry]) -> Table {
    let mut table = Table::new(vec![
        Column::right("size").priority(8),
        Column::left("path").shrink_to(20).priority(10),
        Column::left("").shrink_to(12).priority(5),
    ]);
    for entry in entries {
        let size = entry.kind.size().map(bytes).unwrap_or_default();
        let about = match &entry.kind {
            EntryKind::File { executable, .. } => if *executable { "executable" } else { "" }.to_owned(),
            EntryKind::Link { target } => format!("-> {}", target.to_string_lossy()),
            EntryKind::Directory => "empty folder".to_owned(),
            EntryKind::Reference { uri, .. } => format!("elsewhere: {uri}"),
        };
        table.push(vec![size.into(), entry.path.to_string_lossy().into_owned().into(), Cell::new(about, Style::Dim)]);
    }
    table
}
