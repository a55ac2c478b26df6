//! `remote set`: makes a remote another one, which has to be agreed to anew.

use runcellar::remotes::RemoteChange;

use super::{RequestShape, classes, request};
use crate::failure::Failure;
use crate::session::Session;
use crate::verbs::sync::place;

/// Change where a remote is, or what may go there; nothing is sent until it is enabled again
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What was sent stays where it is. At a new URL has to be what was at the old one: somebody moved it.

Examples:
  runcellar remote set origin --classes metrics,media
  runcellar remote set origin --projects digits,faces
  runcellar remote set origin --url /mnt/other-disk/runs")]
pub(super) struct Args {
    /// The remote
    name: String,
    /// Where it is
    #[arg(long)]
    url: Option<String>,
    /// What may go there: metrics, and beside them code, media, artifacts
    #[arg(long, value_delimiter = ',', value_name = "CLASS,...")]
    classes: Option<Vec<String>>,
    /// Projects that may go there
    #[arg(long, value_delimiter = ',', value_name = "P,...")]
    projects: Option<Vec<String>>,
    /// All projects may go there
    #[arg(long, conflicts_with = "projects")]
    all_projects: bool,
}

pub(super) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let change = RemoteChange {
        url: args.url.as_deref().map(place::checked).transpose()?,
        classes: args.classes.as_deref().map(classes).transpose()?,
        projects: if args.all_projects { Some(Vec::new()) } else { args.projects.clone() },
    };
    if change == RemoteChange::default() {
        return Err(Failure::usage("name what is to change: --url, --classes, --projects or --all-projects"));
    }
    let workspace = session.open()?;
    workspace.change_remote(&args.name, &change)?;
    let (remote, request) = request(&workspace, &args.name)?;
    session.answer(&RequestShape::of(&remote, &request), || match (request.is_agreed, &request.changes) {
        (true, _) => format!("{} is what was agreed to\n", args.name),
        (false, changes) => format!(
            "{}Nothing is sent before\n  runcellar remote enable {}\n",
            changes.as_deref().unwrap_or_default(),
            args.name
        ),
    })
}
