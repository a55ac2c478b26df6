//! `watch`: prints the rows of a run as they are logged, until it ends.

use std::io::Write as _;
use std::time::Duration;

use runcellar::query::FollowedRow;
use runcellar::{RunState, Value};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::failure::Failure;
use crate::output;
use crate::render::time::rfc3339_us;
use crate::render::visible;
use crate::session::Session;
use crate::shapes::{Scalar, Time};
use crate::verbs::ls::value_text;

/// Pause between looks for new rows, which cost some microseconds when there are none.
const POLL_EVERY: Duration = Duration::from_millis(20);
/// Rows that are shown of what was logged before.
const EARLIER_ROWS: usize = 10;

/// Print the rows of a run as they are logged, until it ends
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The last rows that are there already come first. With --json each row is one line, {step, time, values}, and the last \
line is {state}. Ctrl-C ends it.

Examples:
  runcellar watch brave-otter-12
  runcellar watch brave-otter-12 --metric train/loss --json")]
pub(crate) struct Args {
    /// The run
    #[arg(value_name = "RUN")]
    run: String,
    /// Only this metric; may be repeated [default: all]
    #[arg(short, long = "metric", value_name = "METRIC")]
    metrics: Vec<String>,
    /// So many of the rows that are there already
    #[arg(short = 'n', long, value_name = "N", default_value_t = EARLIER_ROWS)]
    rows: usize,
}

#[derive(serde::Serialize)]
struct Row<'a> {
    step: i64,
    time: Time,
    values: Values<'a>,
}

struct Values<'a>(&'a [(String, Value)]);

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            out.serialize_entry(name, &Scalar(value))?;
        }
        out.end()
    }
}

#[derive(serde::Serialize)]
struct End<'a> {
    state: &'a str,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let workspace = session.open()?;
    let run = workspace.find_run(&args.run)?;
    let keys = (!args.metrics.is_empty()).then(|| args.metrics.clone());
    let mut follower = workspace.follow(&run, keys);
    let earlier = follower.poll()?;
    print(session, &earlier[earlier.len().saturating_sub(args.rows)..])?;
    while follower.state() == RunState::Running {
        std::thread::sleep(POLL_EVERY);
        print(session, &follower.poll()?)?;
    }
    let state = follower.state().as_str();
    if session.json {
        let mut out = output::stdout();
        output::write_json(&mut out, &End { state })?;
        out.write_all(b"\n")?;
        out.flush()?;
    } else {
        session.note(&format!("{}: {state}", run.name));
    }
    Ok(())
}

fn print(session: &Session, rows: &[FollowedRow]) -> Result<(), Failure> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut out = output::stdout();
    for FollowedRow { step, time, values } in rows {
        if session.json {
            output::write_json(&mut out, &Row { step: *step, time: Time(*time), values: Values(values) })?;
        } else {
            write!(out, "{}  step {step}", rfc3339_us(*time))?;
            for (name, value) in values {
                write!(out, "  {}={}", visible(name), visible(&value_text(value)))?;
            }
        }
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}
