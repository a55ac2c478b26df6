//! `sync --dry-run`: what would be sent.

use runcellar::remotes::{Unsent, UnsentRun, WaitingPacks};

use super::status::{WaitingShape, text_of_waiting};
use super::{HeldShape, blocked, named_or_enabled};
use crate::failure::Failure;
use crate::render::number::{bytes, count};
use crate::render::{Style, visible};
use crate::session::Session;

/// Runs that are named on a terminal.
const RUNS_SHOWN: usize = 20;

/// What is known of one remote.
struct Look {
    name: String,
    unsent: Unsent,
    waiting: WaitingPacks,
    blocked: Option<String>,
}

#[derive(serde::Serialize)]
struct Shape<'a> {
    remote: &'a str,
    runs: Vec<RunShape<'a>>,
    objects: u64,
    bytes: u64,
    waiting: WaitingShape,
    /// Runs that would not be sent, as secrets were found in them.
    held: Vec<HeldShape<'a>>,
    /// Why nothing would be sent now; null if it would.
    blocked: Option<String>,
}

#[derive(serde::Serialize)]
struct RunShape<'a> {
    id: &'a str,
    name: &'a str,
    project: &'a str,
    state: &'static str,
}

impl<'a> RunShape<'a> {
    fn of(run: &'a UnsentRun) -> RunShape<'a> {
        RunShape { id: &run.id, name: &run.name, project: &run.project, state: run.state.as_str() }
    }
}

pub(super) fn run(session: &Session, name: Option<&str>) -> Result<(), Failure> {
    let workspace = session.open()?;
    let mut all = Vec::new();
    for name in named_or_enabled(&workspace, name)? {
        let _work = session.work("comparing");
        let unsent = workspace.unsent(&name)?;
        let blocked = blocked(&workspace, &name);
        all.push(Look { waiting: workspace.waiting_packs(&name)?, name, unsent, blocked });
    }
    let shapes: Vec<Shape<'_>> = all.iter().map(shape_of).collect();
    session.answer(&shapes, || all.iter().zip(&shapes).map(|(look, shape)| text_of(session, look, shape)).collect())
}

fn shape_of(look: &Look) -> Shape<'_> {
    let Look { name, unsent, waiting, blocked } = look;
    Shape {
        remote: name,
        runs: unsent.runs.iter().map(RunShape::of).collect(),
        objects: unsent.objects,
        bytes: unsent.bytes,
        waiting: WaitingShape::of(*waiting),
        held: unsent.held.iter().map(HeldShape::of).collect(),
        blocked: blocked.clone(),
    }
}

fn text_of(session: &Session, look: &Look, shape: &Shape<'_>) -> String {
    let dim = |text: &str| Style::Dim.paint(text, session.display.color);
    let mut text = match shape.objects {
        0 if look.unsent.held.is_empty() => format!("{}: all there is was sent\n", shape.remote),
        0 => format!("{}: nothing would be sent\n", shape.remote),
        objects => format!(
            "{}: {} would be sent, about {} in {}\n",
            shape.remote,
            count(shape.runs.len() as u64, "run"),
            bytes(shape.bytes),
            count(objects, "object")
        ),
    };
    for run in shape.runs.iter().take(RUNS_SHOWN) {
        let name = format!("{}/{}", visible(run.project), visible(run.name));
        text.push_str(&format!("  {}  {name}  {}\n", visible(run.id), dim(run.state)));
    }
    if let Some(more) = shape.runs.len().checked_sub(RUNS_SHOWN).filter(|more| *more > 0) {
        text.push_str(&format!("  {}\n", dim(&format!("and {more} more; --json names all"))));
    }
    if let Some(what) = text_of_waiting(look.waiting) {
        text.push_str(&format!("  {what}\n"));
    }
    for held in &look.unsent.held {
        text.push_str(&format!("  {}  {}\n", visible(&held.id), visible(&held.why())));
    }
    if let Some(why) = &shape.blocked {
        text.push_str(&format!("  not now: {}\n", visible(why)));
    }
    text
}
