//! `artifact diff`: what differs between two versions.

use clap_complete::engine::ArgValueCompleter;
use runcellar::artifacts::{Entry, VersionDiff};

use super::shapes::DiffShape;
use crate::complete;
use crate::failure::Failure;
use crate::render::number::bytes;
use crate::render::{Style, visible};
use crate::session::Session;

/// Show which paths differ between two versions
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  runcellar artifact diff weights:v0 weights:v1
  runcellar artifact diff data:best data --json")]
pub(crate) struct Args {
    /// The older version: [PROJECT/]NAME[:vN|:ALIAS]
    #[arg(value_name = "OLD", add = ArgValueCompleter::new(complete::artifacts))]
    old: String,
    /// The newer version
    #[arg(value_name = "NEW", add = ArgValueCompleter::new(complete::artifacts))]
    new: String,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let workspace = session.open()?;
    let (old, new) = (workspace.artifact(&args.old)?, workspace.artifact(&args.new)?);
    let diff = workspace.diff_versions(&old, &new)?;
    session.answer(&DiffShape::of(&old, &new, &diff), || text(session, &diff))
}

fn text(session: &Session, diff: &VersionDiff) -> String {
    let color = session.display.color;
    let size = |entry: &Entry| entry.kind.size().map(bytes).unwrap_or_default();
    let path = |entry: &Entry| visible(&entry.path.to_string_lossy());
    let mut text = String::new();
    let mut line = |mark: &str, style: Style, entry: &Entry, sizes: &str| {
        let sizes = Style::Dim.paint(sizes, color);
        text.push_str(format!("{}  {}  {sizes}", style.paint(mark, color), path(entry)).trim_end());
        text.push('\n');
    };
    for entry in &diff.added {
        line("+", Style::Green, entry, &size(entry));
    }
    for entry in &diff.removed {
        line("-", Style::Red, entry, &size(entry));
    }
    for changed in &diff.changed {
        let sizes = format!("{} -> {}", size(&changed.before), size(&changed.after));
        line("~", Style::Yellow, &changed.after, sizes.trim_matches([' ', '-', '>']));
    }
    let counts = format!(
        "{} added, {} removed, {} changed, {} alike\n",
        diff.added.len(),
        diff.removed.len(),
        diff.changed.len(),
        diff.unchanged
    );
    text + &Style::Dim.paint(&counts, color)
}
