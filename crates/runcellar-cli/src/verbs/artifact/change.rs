//! `artifact tag` and `artifact link`: names of a version that come after it was put.

use clap_complete::engine::ArgValueCompleter;
use runcellar::ArtifactVersion;

use super::shapes::VersionShape;
use crate::complete;
use crate::failure::{Failure, listed};
use crate::render::visible;
use crate::session::Session;

/// Let aliases name a version, or take them away
#[derive(Debug, clap::Args)]
#[command(after_help = "\
An alias that named another version moves; artifact show tells when.

Examples:
  runcellar artifact tag weights:v3 best
  runcellar artifact tag weights:v3 --remove best")]
pub(crate) struct TagArgs {
    /// The version: [PROJECT/]NAME[:vN|:ALIAS]
    #[arg(add = ArgValueCompleter::new(complete::artifacts))]
    name: String,
    /// Aliases to add
    #[arg(value_name = "ALIAS", required_unless_present = "remove")]
    aliases: Vec<String>,
    /// Take this alias away; may be repeated
    #[arg(long, value_name = "ALIAS")]
    remove: Vec<String>,
}

/// Link a version into a collection, under another name
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Links take no space: a collection shows which versions of which artifacts were chosen, each as a version of its own.

Examples:
  runcellar artifact link weights:v3 registry/weights --alias production
  runcellar artifact get registry/weights:production")]
pub(crate) struct LinkArgs {
    /// The version: [PROJECT/]NAME[:vN|:ALIAS]
    #[arg(add = ArgValueCompleter::new(complete::artifacts))]
    name: String,
    /// The collection: [PROJECT/]NAME; without PROJECT it is registry
    #[arg(add = ArgValueCompleter::new(complete::artifacts))]
    collection: String,
    /// Let this alias name the link; may be repeated
    #[arg(long = "alias", value_name = "ALIAS")]
    aliases: Vec<String>,
}

pub(crate) fn tag(session: &Session, args: &TagArgs) -> Result<(), Failure> {
    let workspace = session.open()?;
    let version = workspace.artifact(&args.name)?;
    let version = workspace.tag_version(&version, &args.aliases, &args.remove)?;
    answer(session, &version)
}

pub(crate) fn link(session: &Session, args: &LinkArgs) -> Result<(), Failure> {
    let workspace = session.open()?;
    let version = workspace.artifact(&args.name)?;
    let link = workspace.link_version(&version, &args.collection, &args.aliases)?;
    answer(session, &link)
}

fn answer(session: &Session, version: &ArtifactVersion) -> Result<(), Failure> {
    session.answer(&VersionShape::of(version), || {
        let origin = version.links_to.as_deref().map(|origin| format!("  -> {origin}")).unwrap_or_default();
        format!("{}\n", visible(format!("{}  {}{origin}", version.full_name(), listed(&version.aliases)).trim_end()))
    })
}
