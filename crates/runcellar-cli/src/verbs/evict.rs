//! `evict`: takes content off this disk that a remote has.

use runcellar::Target;
use runcellar::remotes::{EvictionPlan, RemoteStatus};
use runcellar_sync::engine::{self, Evicted};

use crate::failure::{Code, Failure, listed};
use crate::output;
use crate::prompt;
use crate::render::number::{bytes, count};
use crate::render::visible;
use crate::session::Session;
use crate::verbs::sync::{around, place, refuse_if_offline};

/// Take content off this disk that a remote has; it is fetched again when it is read
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Files of artifacts, code and media go; runs with their points, and what is said of files, stay. Each pack is read back from the \
remote whole and compared with the one here, now, before it goes. What something else needs, too, stays. What the remote \
lacks or has altered is named and stays, and the exit code is 5. It asks on a terminal; off one it needs --yes, else nothing \
happens and the exit code is 6.

Targets:
  RUN                              the code and media of a run: id, name, or PROJECT/NAME
  project:NAME                     all content of a project
  artifact:[PROJECT/]NAME[:vN]     an artifact, or one version of it
  class:media@RUN, class:code@RUN  the media or code of a run
  older:90d                        that of runs that ended, and versions that were made, longer ago

Examples:
  runcellar evict older:90d --dry-run
  runcellar evict artifact:faces:v0 --remote origin --yes
  runcellar fetch artifact:faces:v0")]
pub(crate) struct Args {
    /// What to take off this disk
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<Target>,
    /// The remote that has it [default: the one that is enabled]
    #[arg(long, value_name = "NAME")]
    remote: Option<String>,
    /// Show the plan, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
}

#[derive(serde::Serialize)]
struct Shape<'a> {
    remote: &'a str,
    plan: PlanShape<'a>,
    /// What was done; null if nothing was to be.
    evicted: Option<DoneShape>,
    wrong: Vec<WrongShape<'a>>,
}

#[derive(serde::Serialize)]
struct PlanShape<'a> {
    items: Vec<String>,
    packs: usize,
    bytes: u64,
    shared_bytes: u64,
    evicted_bytes: u64,
    stays: Vec<StaysShape<'a>>,
}

#[derive(serde::Serialize)]
struct StaysShape<'a> {
    what: &'a str,
    why: &'a str,
    bytes: u64,
}

#[derive(serde::Serialize)]
struct DoneShape {
    packs: u64,
    bytes: u64,
}

#[derive(serde::Serialize)]
struct WrongShape<'a> {
    object: &'a str,
    what: &'a str,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let workspace = session.open()?;
    let name = match &args.remote {
        Some(name) => workspace.remote(name)?.name,
        None => only_enabled(&workspace)?,
    };
    let plan = {
        let _work = session.work("planning");
        workspace.plan_eviction(&args.targets, &name)?
    };
    let lines = plan_text(&plan, &name);
    if args.dry_run {
        return session.answer(&shape_of(&name, &plan, None), || lines);
    }
    output::to_stderr(&lines);
    match (plan.packs.is_empty(), plan.stays.first()) {
        (false, _) => {}
        (true, Some(stays)) => return Err(Failure::new(Code::Other, format!("{}: {}", stays.what, stays.why))),
        (true, None) => return session.answer(&shape_of(&name, &plan, None), || "nothing to evict\n".to_owned()),
    }
    refuse_if_offline()?;
    let remote = workspace.may_send(&name)?;
    if !args.yes && !prompt::confirms(&format!("take it off this disk, once {name} has proven to have it? [y/N] ")) {
        return Err(Failure::new(Code::Consent, "nothing was evicted: --yes confirms it"));
    }
    let done = {
        let _work = session.work("reading back");
        let place = place::open(session, &place::options_of(&workspace)?, &remote.url)?;
        around::while_busy(|| engine::evict(&workspace, &name, &*place, &plan))?
    };
    session.answer(&shape_of(&name, &plan, Some(&done)), || {
        format!("evicted {} in {}; {name} has them\n", bytes(done.bytes), count(done.packs, "pack"))
    })?;
    for wrong in &done.wrong {
        session.warn(&format!("{}: {}: it stays here", visible(&wrong.object), visible(&wrong.what)));
    }
    match done.wrong.len() as u64 {
        0 => Ok(()),
        bad => Err(Failure::new(Code::Damage, format!("{name}: {} missing or altered", count(bad, "pack")))),
    }
}

/// Returns the remote that is enabled, if it is one.
fn only_enabled(workspace: &runcellar::Workspace) -> Result<String, Failure> {
    let enabled: Vec<String> = workspace
        .remotes()?
        .into_iter()
        .filter(|remote| remote.status == RemoteStatus::Enabled)
        .map(|remote| remote.name)
        .collect();
    match enabled.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Failure::new(Code::Consent, "no remote is enabled: content that is nowhere else stays here")),
        several => Err(Failure::usage(format!("which remote has it? --remote {}", listed(several)))),
    }
}

fn shape_of<'a>(remote: &'a str, plan: &'a EvictionPlan, done: Option<&'a Evicted>) -> Shape<'a> {
    let stays = plan.stays.iter().map(|stays| StaysShape { what: &stays.what, why: &stays.why, bytes: stays.bytes });
    let wrong = done.iter().flat_map(|done| &done.wrong);
    Shape {
        remote,
        plan: PlanShape {
            items: plan.items.iter().map(|item| item.id.clone()).collect(),
            packs: plan.packs.len(),
            bytes: plan.bytes,
            shared_bytes: plan.shared_bytes,
            evicted_bytes: plan.evicted_bytes,
            stays: stays.collect(),
        },
        evicted: done.map(|done| DoneShape { packs: done.packs, bytes: done.bytes }),
        wrong: wrong.map(|wrong| WrongShape { object: &wrong.object, what: &wrong.what }).collect(),
    }
}

fn plan_text(plan: &EvictionPlan, remote: &str) -> String {
    let mut text = String::new();
    for item in &plan.items {
        text += &format!("content of {} {}\n", item.kind.as_str(), visible(&item.name));
    }
    text += &format!("to evict, once {remote} has proven to have it: {}\n", bytes(plan.bytes));
    if plan.shared_bytes > 0 {
        text += &format!("stays, as others need it too: {}\n", bytes(plan.shared_bytes));
    }
    if plan.evicted_bytes > 0 {
        text += &format!("evicted before: {}\n", bytes(plan.evicted_bytes));
    }
    for stays in &plan.stays {
        text += &format!("stays: {}, {}: {}\n", visible(&stays.what), bytes(stays.bytes), visible(&stays.why));
    }
    text
}
