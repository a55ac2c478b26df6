//! `remote add`: remembers a place, and says what enabling it would mean.

use std::path::PathBuf;

use runcellar::remotes::RemoteClass;

use super::{RequestShape, request};
use crate::failure::{Failure, listed};
use crate::render::number::bytes;
use crate::session::Session;
use crate::verbs::sync::place;
use crate::verbs::terms::document;

/// Remember a place; nothing is sent, and nothing looked at
#[derive(Debug, clap::Args)]
#[command(after_help = "\
URL is a folder, or s3://bucket/prefix?endpoint=https://host&region=r, or webdavs://user@host/path. Secrets are never part of \
it: they are taken from where the provider's own tools look for them.

Examples:
  runcellar remote add origin /mnt/disk/runs
  runcellar remote add team s3://bucket/runs --projects digits,faces
  runcellar remote add all /mnt/disk/runs --classes metrics,code,media,artifacts
  runcellar remote add team s3://bucket/runs --terms provider-terms.pdf --terms-date 2026-01-31")]
pub(super) struct Args {
    /// What to call it
    name: String,
    /// Where it is
    url: String,
    /// What may go there: metrics, and beside them code, media, artifacts
    #[arg(long, value_delimiter = ',', default_value = "metrics", value_name = "CLASS,...")]
    classes: Vec<String>,
    /// Projects that may go there [default: all]
    #[arg(long, value_delimiter = ',', value_name = "P,...")]
    projects: Vec<String>,
    #[command(flatten)]
    terms: Given,
}

/// A document of terms, as it is named.
#[derive(Debug, clap::Args)]
pub(super) struct Given {
    /// The terms of whoever runs the storage: a file of any kind, which is kept; what is agreed to has its hash
    #[arg(long, value_name = "FILE")]
    terms: Option<PathBuf>,
    /// The date of the terms, such as 2026-01-31
    #[arg(long, value_name = "DATE", requires = "terms")]
    terms_date: Option<String>,
}

/// Reads classes as users type them.
pub(crate) fn classes(words: &[String]) -> Result<Vec<RemoteClass>, Failure> {
    let class = |word: &String| {
        let known = listed(RemoteClass::ALL.map(RemoteClass::as_str));
        RemoteClass::parse(word).ok_or_else(|| Failure::usage(format!("class {word:?}: there are {known}")))
    };
    let classes: Vec<RemoteClass> = words.iter().map(class).collect::<Result<_, _>>()?;
    match classes.contains(&RemoteClass::Metrics) {
        true => Ok(classes),
        false => Err(Failure::usage("the class metrics goes with all others")),
    }
}

pub(super) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let classes = classes(&args.classes)?;
    let url = place::checked(&args.url)?;
    let terms = args.terms.terms.as_deref().map(|file| document(file, args.terms.terms_date.as_deref())).transpose()?;
    let workspace = session.open()?;
    workspace.add_remote_with(&args.name, &url, &classes, &args.projects, terms.as_ref())?;
    let (remote, request) = request(&workspace, &args.name)?;
    session.answer(&RequestShape::of(&remote, &request), || {
        format!(
            "{}\nA first sync would send about {} in {} objects. Nothing is sent before\n  runcellar remote enable {}\n",
            request.text,
            bytes(request.estimate.bytes),
            request.estimate.objects,
            args.name
        )
    })
}
