//! `artifact rm`: removes versions, after it has said which.

use clap_complete::engine::ArgValueCompleter;
use runcellar::artifacts::{ArtifactName, RemoveOptions};
use runcellar::{ArtifactVersion, Workspace};

use super::shapes::VersionName;
use crate::complete;
use crate::failure::{Code, Failure, listed};
use crate::prompt;
use crate::render::number::{bytes, count};
use crate::render::visible;
use crate::session::Session;

/// Remove versions for good
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What is to go is shown first. It asks on a terminal; off one it needs --yes, else nothing happens and the exit code \
is 6. Content that another version has stays; the keys of all else go at once, and gc gives the space back. Versions \
that aliases name or links lead to are kept, unless --aliases is given. Of a link only the link goes.

Examples:
  runcellar artifact rm weights:v0 weights:v1
  runcellar artifact rm old-data --all --yes")]
pub(crate) struct Args {
    /// The versions: [PROJECT/]NAME:vN or :ALIAS
    #[arg(required = true, value_name = "NAME", add = ArgValueCompleter::new(complete::artifacts))]
    names: Vec<String>,
    /// All versions of the artifacts that are named without a version
    #[arg(long)]
    all: bool,
    /// Also versions that aliases name and links lead to; these go, too
    #[arg(long)]
    aliases: bool,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
}

#[derive(serde::Serialize)]
struct Shape<'a> {
    removed: Vec<VersionName<'a>>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let workspace = session.open()?;
    let versions = chosen(&workspace, args)?;
    for version in &versions {
        let aliases: Vec<&String> = version.aliases.iter().filter(|alias| *alias != "latest").collect();
        let named = if aliases.is_empty() { String::new() } else { format!(", named {}", listed(&aliases)) };
        let what = match &version.links_to {
            Some(origin) => format!("the link to {origin}"),
            None => format!("{}, {}", bytes(version.bytes), count(version.files, "file")),
        };
        session.note(&format!("to remove: {}  {what}{named}", version.full_name()));
    }
    if !args.yes && !prompt::confirms("remove them for good? [y/N] ") {
        return Err(Failure::new(Code::Consent, "nothing was removed: --yes confirms it"));
    }
    let options = RemoveOptions { aliases_too: args.aliases };
    let mut removed = Vec::new();
    for version in &versions {
        if let Err(error) = workspace.remove_version(version, options) {
            // What went before is gone all the same.
            answer(session, &removed)?;
            return Err(error.into());
        }
        removed.push(version);
    }
    answer(session, &removed)?;
    session.note("runcellar gc gives their space back");
    Ok(())
}

fn answer(session: &Session, removed: &[&ArtifactVersion]) -> Result<(), Failure> {
    let shape = Shape { removed: removed.iter().map(|version| VersionName::of(version)).collect() };
    session.answer(&shape, || {
        removed.iter().map(|version| format!("removed {}\n", visible(&version.full_name()))).collect()
    })
}

fn chosen(workspace: &Workspace, args: &Args) -> Result<Vec<ArtifactVersion>, Failure> {
    let mut versions: Vec<ArtifactVersion> = Vec::new();
    for name in &args.names {
        let found = match (name.contains(':'), args.all) {
            (true, _) => vec![workspace.artifact(name)?],
            (false, true) => workspace.artifact_versions(name)?,
            (false, false) => {
                // A wrong name is said first.
                ArtifactName::parse(name)?;
                let message = format!("artifact {name}: say which version ({name}:v0), or --all of them");
                return Err(Failure::usage(message));
            }
        };
        for version in found {
            if versions.iter().all(|known| known.full_name() != version.full_name()) {
                versions.push(version);
            }
        }
    }
    // Links before what they lead to, so that nothing is kept by what goes as well.
    versions.sort_by_key(|version| version.links_to.is_none());
    Ok(versions)
}
