//! `artifact put`: puts files and folders as a version.

use std::path::{Path, PathBuf};

use clap_complete::engine::ArgValueCompleter;
use runcellar::artifacts::{ArtifactDraft, Links, PutReport, PutSettings};
use runcellar::{ArtifactVersion, Json, OpenOptions, Workspace};

use super::shapes::VersionShape;
use crate::complete;
use crate::failure::Failure;
use crate::interrupt::gracefully;
use crate::render::number::bytes;
use crate::render::{Style, visible};
use crate::session::Session;

/// Put files and folders as the next version of an artifact
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A file is put under its own name, a folder by the paths below it. Content that is there already is neither stored \
nor, if its files have not changed, read again; content that the latest version has makes no new one. Interrupted, it \
goes on where it ended when it is called again. Makes the workspace if there is none.

Examples:
  runcellar artifact put weights out/model.pt --type model --alias best --meta acc=0.93
  runcellar artifact put digits/data train/ --run brave-otter-12")]
pub(crate) struct Args {
    /// The artifact: NAME or PROJECT/NAME
    #[arg(add = ArgValueCompleter::new(complete::artifacts))]
    name: String,
    /// Files and folders
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// What sort of thing it is, such as dataset or model
    #[arg(long = "type", value_name = "TYPE", default_value = "")]
    kind: String,
    /// The project [default: RUNCELLAR_PROJECT, else project.default of the workspace, else default]
    #[arg(long)]
    project: Option<String>,
    /// Let this alias name the version; may be repeated
    #[arg(long = "alias", value_name = "ALIAS")]
    aliases: Vec<String>,
    /// Metadata: a key and a JSON value, else text; may be repeated
    #[arg(long = "meta", value_name = "KEY=VALUE")]
    metadata: Vec<String>,
    /// Description of the version
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    /// The run that made it
    #[arg(long, value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    run: Option<String>,
    /// Spend more time on making it smaller
    #[arg(long)]
    compress: bool,
    /// Put what symbolic links lead to in their place
    #[arg(long)]
    follow_links: bool,
}

#[derive(serde::Serialize)]
struct Shape<'a> {
    #[serde(flatten)]
    version: VersionShape<'a>,
    new: bool,
    new_bytes: u64,
    read_bytes: u64,
    skipped: Vec<String>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let (in_name, name) = match args.name.split_once('/') {
        Some((project, name)) => (Some(project), name),
        None => (None, args.name.as_str()),
    };
    if let (Some(in_name), Some(project)) = (in_name, &args.project)
        && in_name != project
    {
        return Err(Failure::usage(format!("{} is not in project {project}: name one of the two", args.name)));
    }
    let mut draft = ArtifactDraft::new(name, &args.kind)?;
    draft.description.clone_from(&args.description);
    draft.metadata = metadata(&args.metadata)?;
    for alias in &args.aliases {
        draft.alias(alias)?;
    }
    {
        let _work = session.work("looking through the files");
        add(&mut draft, args)?;
    }
    let workspace = open(session)?;
    let project = match in_name.or(args.project.as_deref()) {
        Some(project) => project.to_owned(),
        None => default_project(&workspace)?,
    };
    let settings = PutSettings { project, run: args.run.clone(), compress: args.compress, ..PutSettings::default() };
    let report = {
        let _work = session.work("putting");
        gracefully(|| workspace.put_artifact(&draft, &settings))?
    };
    let skipped: Vec<String> = draft.skipped().iter().map(|path| path.display().to_string()).collect();
    for path in &skipped {
        let what = if Path::new(path).is_dir() { "a workspace" } else { "a socket, FIFO or device" };
        session.note(&format!("{path}: {what}, and left out"));
    }
    let PutReport { version, is_new, new_bytes, read_bytes } = &report;
    let version_shape = VersionShape::of(version);
    let shape = Shape { version: version_shape, new: *is_new, new_bytes: *new_bytes, read_bytes: *read_bytes, skipped };
    session.answer(&shape, || format!("{}\n", visible(&version.full_name())))?;
    say(session, version, *is_new, *new_bytes);
    Ok(())
}

fn say(session: &Session, version: &ArtifactVersion, is_new: bool, new_bytes: u64) {
    if session.json {
        return;
    }
    if is_new {
        let files = if version.files == 1 { "file" } else { "files" };
        let (all, new) = (bytes(version.bytes), bytes(new_bytes));
        session.note(&format!("{} {files}, {all}, of which {new} were not there before", version.files));
    } else {
        session.note("the latest version has this content already");
    }
}

fn add(draft: &mut ArtifactDraft, args: &Args) -> Result<(), Failure> {
    let links = if args.follow_links { Links::Follow } else { Links::Keep };
    for path in &args.paths {
        // A folder that is named is meant, also through a link.
        if path.is_dir() {
            draft.add_dir(path, None, links)?;
        } else {
            draft.add_file(path, None, links)?;
        }
    }
    Ok(())
}

/// Opens the workspace, or makes it.
fn open(session: &Session) -> Result<Workspace, Failure> {
    let path = session.find()?;
    let _work = session.work("opening the workspace");
    let workspace = OpenOptions { create: true, ..session.options() }.open(&path).map_err(Failure::opening)?;
    if let Some(creation) = workspace.creation() {
        session.note(&format!("created workspace {}, key file {}", path.display(), creation.key_file.display()));
        if let Some(warning) = &creation.warning {
            session.warn(warning);
        }
    }
    Ok(workspace)
}

fn default_project(workspace: &Workspace) -> Result<String, Failure> {
    if let Some(project) = std::env::var("RUNCELLAR_PROJECT").ok().filter(|project| !project.is_empty()) {
        return Ok(project);
    }
    Ok(match workspace.setting("project.default")? {
        Json::Text(project) => project,
        _ => "default".to_owned(),
    })
}

/// Reads `KEY=VALUE` where the value is a number, `true`, `false`, `null`, or text.
fn metadata(pairs: &[String]) -> Result<Json, Failure> {
    let mut members: Vec<(String, Json)> = Vec::new();
    for pair in pairs {
        let Some((key, value)) = pair.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(Failure::usage(format!("--meta {pair}: KEY=VALUE is expected")));
        };
        if members.iter().any(|(known, _)| known == key) {
            return Err(Failure::usage(format!("--meta {pair}: {key} is given twice")));
        }
        let parsed = serde_json::from_str(value).ok().and_then(json);
        members.push((key.to_owned(), parsed.unwrap_or_else(|| Json::Text(value.to_owned()))));
    }
    Ok(Json::Map(members))
}

/// Returns a JSON value as the store keeps it; none for an integer that it cannot.
fn json(value: serde_json::Value) -> Option<Json> {
    use serde_json::Value;
    Some(match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(value),
        Value::Number(number) if number.is_f64() => Json::Float(number.as_f64()?),
        Value::Number(number) => Json::Int(number.as_i64()?),
        Value::String(text) => Json::Text(text),
        Value::Array(items) => Json::List(items.into_iter().map(json).collect::<Option<_>>()?),
        Value::Object(members) => {
            let member = |(name, value)| Some((name, json(value)?));
            Json::Map(members.into_iter().map(member).collect::<Option<_>>()?)
        }
    })
}

/// Returns a size, painted.
pub(super) fn size(session: &Session, count: u64) -> String {
    Style::Dim.paint(&bytes(count), session.display.color)
}

#[cfg(test)]
mod tests {
    use super::*;
    use runcellar::json as value;

    #[test]
    fn metadata_are_numbers_truths_and_texts() {
        let given = ["acc=0.5", "n=3", "ok=true", "name=a=b", "list=[1,2]", "quoted=\"7\"", "big=99999999999999999999"];
        let read = metadata(&given.map(str::to_owned)).expect("pairs");
        let expected = value!({
            "acc": 0.5, "n": 3, "ok": true, "name": "a=b", "list": [1, 2], "quoted": "7", "big": (1e20)
        });
        assert_eq!(read, expected);
        for wrong in ["acc", "=1", "a=1 a=2"] {
            let pairs: Vec<String> = wrong.split(' ').map(str::to_owned).collect();
            assert!(metadata(&pairs).is_err(), "{wrong}");
        }
    }
}
