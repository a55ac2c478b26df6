//! `artifact get` and `artifact verify`: takes content out, and proves that it is there.

use std::path::PathBuf;

use clap_complete::engine::ArgValueCompleter;
use runcellar::ArtifactVersion;
use runcellar::artifacts::{ArtifactName, Download, DownloadOptions};

use super::shapes::{HurtShape, VersionName};
use crate::complete;
use crate::failure::{Code, Failure};
use crate::interrupt::Guard;
use crate::render::number::{bytes, count};
use crate::render::visible;
use crate::session::Session;

/// Write a version's files into a folder
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each file appears when it is whole. What stands in the folder with the same content is left as it is; other files \
there are not touched. Damaged files are named, all others come out, and the exit code is 5.

Examples:
  runcellar artifact get weights
  runcellar artifact get digits/data:v2 -o data --path 'train/**'")]
pub(crate) struct GetArgs {
    /// The version: [PROJECT/]NAME[:vN|:ALIAS]
    #[arg(add = ArgValueCompleter::new(complete::artifacts))]
    name: String,
    /// The folder to write to [default: ./NAME]
    #[arg(short, long = "output", value_name = "DIR")]
    output: Option<PathBuf>,
    /// Only paths that match, and what is below folders that do: *, ?, **, [...], {a,b}
    #[arg(long, value_name = "GLOB")]
    path: Option<String>,
}

/// Open all content of a version and compare it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The exit code is 5 if anything is damaged or missing.

Examples:
  runcellar artifact verify weights:v3")]
pub(crate) struct VerifyArgs {
    /// The version: [PROJECT/]NAME[:vN|:ALIAS]
    #[arg(add = ArgValueCompleter::new(complete::artifacts))]
    name: String,
}

#[derive(serde::Serialize)]
struct GetShape<'a> {
    #[serde(flatten)]
    name: VersionName<'a>,
    directory: String,
    files: u64,
    size: u64,
    written: u64,
    hurt: Vec<HurtShape<'a>>,
    references: Vec<ReferenceShape<'a>>,
}

#[derive(serde::Serialize)]
struct ReferenceShape<'a> {
    path: &'a str,
    uri: &'a str,
}

#[derive(serde::Serialize)]
struct VerifyShape<'a> {
    #[serde(flatten)]
    name: VersionName<'a>,
    ok: bool,
    files: u64,
    size: u64,
    hurt: Vec<HurtShape<'a>>,
}

pub(crate) fn run(session: &Session, args: &GetArgs) -> Result<(), Failure> {
    let workspace = session.open()?;
    let version = workspace.artifact(&args.name)?;
    let to = match &args.output {
        Some(to) => to.clone(),
        None => PathBuf::from(ArtifactName::parse(&args.name)?.name),
    };
    let got = {
        let _work = session.work("getting");
        let temporary = Guard::directory(&to);
        let options = DownloadOptions { glob: args.path.clone(), temporary: Some(temporary.path().to_owned()) };
        version.download(&to, &options)?
    };
    let directory = to.display().to_string();
    let shape = GetShape {
        name: VersionName::of(&version),
        directory: directory.clone(),
        files: got.files,
        size: got.bytes,
        written: got.written_bytes,
        hurt: got.hurt.iter().map(HurtShape::of).collect(),
        references: got.references.iter().map(|(path, uri)| ReferenceShape { path, uri }).collect(),
    };
    session.answer(&shape, || format!("{}\n", visible(&directory)))?;
    if !session.json {
        let (files, all) = (count(got.files, "file"), bytes(got.bytes));
        session.note(&format!(
            "{}: {files}, {all}, of which {} written",
            version.full_name(),
            bytes(got.written_bytes)
        ));
        for (path, uri) in &got.references {
            session.note(&format!("{path}: lies elsewhere and is not fetched: {uri}"));
        }
    }
    refuse_hurt(session, &version, &got)
}

pub(crate) fn verify(session: &Session, args: &VerifyArgs) -> Result<(), Failure> {
    let workspace = session.open()?;
    let version = workspace.artifact(&args.name)?;
    // What is verified is what is here: a remote's part is `verify REMOTE`.
    workspace.set_content_source(None);
    let got = {
        let _work = session.work("verifying");
        version.verify()?
    };
    let shape = VerifyShape {
        name: VersionName::of(&version),
        ok: got.hurt.is_empty(),
        files: got.files,
        size: got.bytes,
        hurt: got.hurt.iter().map(HurtShape::of).collect(),
    };
    session.answer(&shape, || match got.hurt.is_empty() {
        true => {
            format!("{}  whole: {}, {}\n", visible(&version.full_name()), count(got.files, "file"), bytes(got.bytes))
        }
        false => got.hurt.iter().map(|hurt| format!("hurt  {}\n", visible(&hurt.path))).collect(),
    })?;
    refuse_hurt(session, &version, &got)
}

/// Names the files that did not come out, and fails if there are any.
fn refuse_hurt(session: &Session, version: &ArtifactVersion, got: &Download) -> Result<(), Failure> {
    for hurt in &got.hurt {
        session.warn(&format!("{}: {}", hurt.path, hurt.error));
    }
    if got.hurt.is_empty() {
        return Ok(());
    }
    let refused = got.hurt.iter().filter(|hurt| hurt.error.kind() == runcellar::ErrorKind::InvalidArgument).count();
    let message =
        format!("artifact {}: {} did not come out", version.full_name(), count(got.hurt.len() as u64, "file"));
    // What stands in the way in the folder is no damage.
    let code = if refused == got.hurt.len() { Code::Other } else { Code::Damage };
    Err(Failure::new(code, message))
}
