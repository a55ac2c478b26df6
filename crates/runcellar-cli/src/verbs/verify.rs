//! `verify`: reads back what this device published, and compares it.

use runcellar_sync::engine::{self, Verified};

use crate::failure::{Code, Failure};
use crate::render::number::{bytes, count};
use crate::render::visible;
use crate::session::Session;
use crate::verbs::sync::{place, refuse_if_offline};

/// Read back from a remote what this device published, and compare it with what is here
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Everything is read: records by the hashes that chain them, packs byte by byte. What is missing or altered is named, and the exit \
code is 5. What was not sent yet is said, and is no failure.

Examples:
  runcellar verify origin
  runcellar verify origin --json")]
pub(crate) struct Args {
    /// The remote
    remote: String,
}

#[derive(serde::Serialize)]
struct Shape<'a> {
    remote: &'a str,
    ok: bool,
    objects: u64,
    bytes: u64,
    wrong: Vec<WrongShape<'a>>,
    /// Runs that are not there yet, or not all of them.
    unsent: usize,
}

#[derive(serde::Serialize)]
struct WrongShape<'a> {
    object: &'a str,
    what: &'a str,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    refuse_if_offline()?;
    let workspace = session.open()?;
    let remote = workspace.may_send(&args.remote)?;
    let Verified { objects, bytes: read, wrong } = {
        let _work = session.work("reading back");
        engine::verify(&workspace, &args.remote, &*place::open(session, &place::options_of(&workspace)?, &remote.url)?)?
    };
    let shape = Shape {
        remote: &args.remote,
        ok: wrong.is_empty(),
        objects,
        bytes: read,
        wrong: wrong.iter().map(|wrong| WrongShape { object: &wrong.object, what: &wrong.what }).collect(),
        unsent: workspace.unsent(&args.remote)?.runs.len(),
    };
    session.answer(&shape, || {
        let mut text: String =
            wrong.iter().map(|wrong| format!("{}: {}\n", visible(&wrong.object), visible(&wrong.what))).collect();
        text.push_str(&format!("{}: {} whole, {}\n", args.remote, count(objects, "object"), bytes(read)));
        text
    })?;
    if shape.unsent > 0 {
        session.note(&format!("not all sent yet: {}", count(shape.unsent as u64, "run")));
    }
    match wrong.len() as u64 {
        0 => Ok(()),
        bad => Err(Failure::new(Code::Damage, format!("{}: {} missing or altered", args.remote, count(bad, "object")))),
    }
}
