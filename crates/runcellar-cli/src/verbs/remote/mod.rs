//! `remote`: places to which the user may have the workspace published.

mod add;
mod enable;
mod set;

pub(crate) use add::classes;

use clap::Subcommand;
use runcellar::Workspace;
use runcellar::remotes::{ConsentRequest, RemoteInfo};

use crate::failure::{Code, Failure, listed};
use crate::output;
use crate::prompt;
use crate::render::number::{bytes, count};
use crate::render::table::{Cell, Column, Table};
use crate::render::{Style, visible};
use crate::session::Session;

/// Add, enable, change, pause, remove and list remotes
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A remote is a place that the user chooses. Nothing is sent there before it is enabled, and then only ciphertext.

Examples:
  runcellar remote add origin /mnt/disk/runs --classes metrics
  runcellar remote enable origin
  runcellar remote ls
  runcellar remote pause origin
  runcellar remote rm origin --yes")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Add(add::Args),
    Enable(enable::Args),
    Set(set::Args),
    /// Send nothing to a remote until it is enabled again
    Pause {
        /// The remote
        name: String,
    },
    /// Forget a remote; what lies there stays there
    Rm {
        /// The remote
        name: String,
        /// Do it without asking
        #[arg(long)]
        yes: bool,
    },
    /// List the remotes
    Ls,
}

#[derive(serde::Serialize)]
struct RemoteShape<'a> {
    name: &'a str,
    url: &'a str,
    classes: Vec<&'static str>,
    projects: &'a [String],
    state: &'static str,
    consented: Option<String>,
    /// BLAKE3 of the terms document; null without one.
    terms: Option<&'a str>,
}

/// What `remote add` and `remote enable` show of what is to be agreed to.
#[derive(serde::Serialize)]
struct RequestShape<'a> {
    name: &'a str,
    url: &'a str,
    classes: Vec<&'static str>,
    projects: &'a [String],
    visible: &'a [String],
    consent_text: &'a str,
    consent_hash: &'a str,
    terms: Option<&'a str>,
    /// The difference to what was agreed to before; null if it was never, or is the same.
    changes: Option<&'a str>,
    agreed: bool,
    estimate: EstimateShape,
}

#[derive(serde::Serialize)]
struct EstimateShape {
    objects: u64,
    bytes: u64,
    requests: u64,
}

impl<'a> RemoteShape<'a> {
    fn of(remote: &'a RemoteInfo) -> RemoteShape<'a> {
        RemoteShape {
            name: &remote.name,
            url: &remote.url,
            classes: remote.classes.iter().map(|class| class.as_str()).collect(),
            projects: &remote.projects,
            state: remote.status.as_str(),
            consented: remote.consent.as_ref().map(|(_, time)| runcellar::rfc3339(*time)),
            terms: remote.terms.as_deref(),
        }
    }
}

impl<'a> RequestShape<'a> {
    fn of(remote: &'a RemoteInfo, request: &'a ConsentRequest) -> RequestShape<'a> {
        let estimate = request.estimate;
        RequestShape {
            name: &remote.name,
            url: &remote.url,
            classes: remote.classes.iter().map(|class| class.as_str()).collect(),
            projects: &remote.projects,
            visible: &request.visible,
            consent_text: &request.text,
            consent_hash: &request.hash,
            terms: request.terms.as_deref(),
            changes: request.changes.as_deref(),
            agreed: request.is_agreed,
            estimate: EstimateShape { objects: estimate.objects, bytes: estimate.bytes, requests: estimate.requests },
        }
    }
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    match &args.action {
        Action::Add(args) => add::run(session, args),
        Action::Enable(args) => enable::run(session, args),
        Action::Set(args) => set::run(session, args),
        Action::Pause { name } => {
            let remote = session.open()?.pause_remote(name)?;
            session.answer(&RemoteShape::of(&remote), || format!("{name} is paused: nothing is sent there\n"))
        }
        Action::Rm { name, yes } => remove(session, name, *yes),
        Action::Ls => list(session),
    }
}

fn remove(session: &Session, name: &str, yes: bool) -> Result<(), Failure> {
    let workspace = session.open()?;
    let remote = workspace.remote(name)?;
    let what =
        format!("{name} is at {}; what lies there stays there, and is not read any more\n", visible(&remote.url));
    output::to_stderr(&what);
    let alone = workspace.evicted_to(name)?;
    if alone > 0 {
        let size = bytes(alone);
        session.warn(&format!("{size} of content lie there alone: runcellar fetch brings them here first"));
    }
    let rows = workspace.runs_with_rows_on(name)?;
    if rows > 0 {
        let what = format!("the rows of {}", count(rows, "run"));
        session.warn(&format!("{what} lie there alone: runcellar fetch brings them here first"));
    }
    if !yes && !prompt::confirms("forget it? [y/N] ") {
        return Err(Failure::new(Code::Consent, "nothing was removed: --yes confirms it"));
    }
    let removed = workspace.remove_remote(name)?;
    session.answer(&RemoteShape::of(&removed), || format!("{name} is forgotten\n"))
}

fn list(session: &Session) -> Result<(), Failure> {
    let remotes = session.open()?.remotes()?;
    let shape: Vec<RemoteShape<'_>> = remotes.iter().map(RemoteShape::of).collect();
    session.answer(&shape, || {
        let mut table = Table::new(vec![
            Column::left("name").shrink_to(8),
            Column::left("state"),
            Column::left("url").shrink_to(12).priority(1),
            Column::left("classes").priority(2),
            Column::left("projects").shrink_to(8).priority(3),
        ]);
        for remote in &remotes {
            let classes = listed(remote.classes.iter().map(|class| class.as_str()));
            let projects = if remote.projects.is_empty() { "all".to_owned() } else { remote.projects.join(", ") };
            table.push(vec![
                Cell::new(remote.name.as_str(), Style::Cyan),
                remote.status.as_str().into(),
                Cell::new(remote.url.as_str(), Style::Plain),
                Cell::new(classes, Style::Dim),
                Cell::new(projects, Style::Dim),
            ]);
        }
        table.render(session.display.width, session.display.color)
    })
}

/// Returns a remote with what enabling it would mean.
fn request(workspace: &Workspace, name: &str) -> Result<(RemoteInfo, ConsentRequest), Failure> {
    Ok((workspace.remote(name)?, workspace.consent_request(name)?))
}
