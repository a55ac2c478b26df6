//! `artifact show`: everything about one version.

use std::fmt::Write as _;

use clap_complete::engine::ArgValueCompleter;
use runcellar::artifacts::{AliasChange, Entry, GraphStart, VersionRuns};
use runcellar::{ArtifactVersion, Json, RunInfo};

use super::ls::of_entries;
use super::put::size;
use super::shapes::{EntriesShape, ShowShape};
use crate::complete;
use crate::failure::{Failure, listed};
use crate::output;
use crate::render::number::count;
use crate::render::{Style, time, visible};
use crate::session::{Session, now_us};
use crate::verbs::ls::json_text;

/// Width of the labels.
const LABEL_WIDTH: usize = 13;
/// Paths that the page shows; artifact ls --files lists all.
const ENTRIES_MAX: usize = 20;

/// Show everything about one version: aliases, lineage, files
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Lineage is everything that the version came from, and everything that came from it.

Examples:
  runcellar artifact show weights:best
  runcellar artifact show weights --dot | dot -Tsvg > lineage.svg")]
pub(crate) struct Args {
    /// The version: [PROJECT/]NAME[:vN|:ALIAS]
    #[arg(add = ArgValueCompleter::new(complete::artifacts))]
    name: String,
    /// Print the lineage in the language of Graphviz
    #[arg(long, conflicts_with = "json")]
    dot: bool,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let workspace = session.open()?;
    let version = workspace.artifact(&args.name)?;
    let graph = workspace.artifact_graph(GraphStart::Version(&version))?;
    if args.dot {
        return output::print(&graph.to_dot());
    }
    // All of them are looked at before anything is shown, and none is kept: there may be a million.
    let mut entries = version.each_entry(None)?;
    let first = entries.by_ref().take(ENTRIES_MAX).collect::<Result<Vec<_>, _>>()?;
    let more = entries.try_fold(0_u64, |more, entry| entry.map(|_| more + 1))?;
    let runs = workspace.runs_of_version(&version)?;
    let aliases = workspace.alias_history(&format!("{}/{}", version.project, version.name))?;
    let shape = ShowShape::of(&version, EntriesShape::new(version.each_entry(None)?), &runs, &aliases, &graph);
    session.answer(&shape, || page(session, &version, (&first, more), &runs, &aliases))
}

fn page(
    session: &Session,
    version: &ArtifactVersion,
    (first, more): (&[Entry], u64),
    runs: &VersionRuns,
    aliases: &[AliasChange],
) -> String {
    let (color, now) = (session.display.color, now_us());
    let kind = if version.kind.is_empty() { String::new() } else { format!("  {}", visible(&version.kind)) };
    let mut text = format!("{}{kind}\n", Style::Bold.paint(&visible(&version.full_name()), color));
    let mut field = |label: &str, value: &str| {
        if !value.is_empty() {
            let label = Style::Dim.paint(&format!("{label:LABEL_WIDTH$}"), color);
            // A String takes every write.
            let _ = writeln!(text, "{label}{value}");
        }
    };
    let named = |runs: &[RunInfo]| listed(runs.iter().map(|run| format!("{}/{} ({})", run.project, run.name, run.id)));
    field("aliases", &visible(&listed(&version.aliases)));
    field("links to", &visible(version.links_to.as_deref().unwrap_or_default()));
    field("created", &format!("{}  {}", time::rfc3339_us(version.created), time::ago(now, version.created)));
    field("content", &format!("{}  {}", count(version.files, "file"), size(session, version.bytes)));
    field("digest", &version.digest);
    field("description", &visible(&version.description));
    if let Json::Map(members) = &version.metadata {
        for (key, value) in members {
            field("metadata", &visible(&format!("{key} = {}", json_text(value))));
        }
    }
    field("made by", &visible(&named(&runs.made)));
    field("used by", &visible(&named(&runs.used)));
    for change in aliases {
        let to = change.number.map_or("taken away".to_owned(), |number| format!("named v{number}"));
        field("history", &visible(&format!("{}  {} {to}", time::ago(now, change.time), change.alias)));
    }
    text.push('\n');
    if !first.is_empty() {
        text.push_str(&of_entries(first).render(session.display.width, color));
    }
    if more > 0 {
        let more = format!("{more} more: runcellar artifact ls {} --files", version.full_name());
        text.push_str(&Style::Dim.paint(&visible(&more), color));
        text.push('\n');
    }
    text
}
