//! `artifact`: named content in versions.

mod change;
mod diff;
mod get;
mod ls;
mod put;
mod rm;
mod shapes;
mod show;

use clap::Subcommand;

use crate::failure::Failure;
use crate::session::Session;

pub(crate) use shapes::{RunArtifactsShape, VersionShape};

/// Keep datasets and models in versions: each content once, encrypted
#[derive(Debug, clap::Args)]
#[command(after_help = "\
An artifact is named [PROJECT/]NAME, one version of it [PROJECT/]NAME:v3 or [PROJECT/]NAME:ALIAS; without either it \
is the latest.

Examples:
  runcellar artifact put weights out/model.pt --type model --alias best
  runcellar artifact get weights:best -o restored
  runcellar artifact diff weights:v0 weights:v1
  runcellar artifact link weights:best registry/weights --alias production")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Put(put::Args),
    Get(get::GetArgs),
    Ls(ls::Args),
    Show(show::Args),
    Diff(diff::Args),
    Verify(get::VerifyArgs),
    Tag(change::TagArgs),
    Link(change::LinkArgs),
    Rm(rm::Args),
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    match &args.action {
        Action::Put(args) => put::run(session, args),
        Action::Get(args) => get::run(session, args),
        Action::Ls(args) => ls::run(session, args),
        Action::Show(args) => show::run(session, args),
        Action::Diff(args) => diff::run(session, args),
        Action::Verify(args) => get::verify(session, args),
        Action::Tag(args) => change::tag(session, args),
        Action::Link(args) => change::link(session, args),
        Action::Rm(args) => rm::run(session, args),
    }
}
