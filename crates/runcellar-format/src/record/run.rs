//! Projects, runs, and what journals say of a run besides its series.

use bincode::{Decode, Encode};

use super::Body;
use crate::error::Result;
use crate::value::{Json, Token, Value, from_tokens, to_tokens};

/// A value with the hybrid clock of its last writer; the larger clock wins a merge.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct Stamped<T> {
    /// The value.
    pub value: T,
    /// Hybrid clock: milliseconds since 1970 in the upper 48 bits, a counter in the lower 16.
    pub clock: u64,
}

impl<T> Stamped<T> {
    /// Stamps a value.
    pub fn new(value: T, clock: u64) -> Self {
        Stamped { value, clock }
    }

    /// Takes over `value` if its clock is not older; returns whether it did.
    pub fn merge(&mut self, value: T, clock: u64) -> bool {
        let newer = clock >= self.clock;
        if newer {
            *self = Stamped { value, clock };
        }
        newer
    }
}

/// A named group of runs.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct Project {
    /// The name.
    pub name: String,
    /// When it was made, microseconds UTC since 1970.
    pub created: i64,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Body for Project {
    const NAME: &'static str = "project record";
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub enum RunState {
    /// A writer is at work.
    #[default]
    Running,
    /// Ended as it should.
    Finished,
    /// Ended with an error or a non-zero exit code.
    Failed,
    /// The writer died without a word.
    Crashed,
    /// Ended by a signal or by the user.
    Killed,
}

impl RunState {
    /// Returns the word that users see.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RunState::Running => "running",
            RunState::Finished => "finished",
            RunState::Failed => "failed",
            RunState::Crashed => "crashed",
            RunState::Killed => "killed",
        }
    }
}

/// A tag with the random id of its adding: removals name the ids they saw, so that adding wins.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct Tag {
    /// The tag.
    pub name: String,
    /// Id of the adding.
    pub add_id: [u8; 16],
}

/// What the user said of a metric: how it is summarised, and against what it is drawn.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct MetricDefinition {
    /// The metric's name, or a prefix that ends in `*`.
    pub name: String,
    /// Which statistics stand in the summary: any of min, max, mean, last, first, best, none. Empty: the last.
    pub summary: Vec<String>,
    /// The metric to draw against; empty for the step.
    pub step_metric: String,
    /// `minimize`, `maximize` or empty.
    pub goal: String,
    /// Not shown unless asked for.
    pub hidden: bool,
}

/// One writer's time in a run.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct Session {
    /// The writer.
    pub writer: [u8; 16],
    /// Its rank in a distributed run; 0 otherwise.
    pub rank: u32,
    /// True for a forked child, whose silent end says nothing of the run.
    pub forked: bool,
    /// True if a later session resumed the run, so that this one's end no longer counts.
    pub superseded: bool,
    /// How this writer stands.
    pub state: RunState,
    /// When it started, microseconds UTC since 1970.
    pub started: i64,
    /// When it was last heard of or ended, microseconds UTC since 1970.
    pub ended: i64,
}

/// Everything about a run but its series.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct RunRecord {
    /// The id that users see.
    pub id: String,
    /// The project's object id.
    pub project: [u8; 16],
    /// When it was made, microseconds UTC since 1970.
    pub created: i64,
    /// When its last writer ended, microseconds UTC since 1970; none while one is at work.
    pub finished: Option<i64>,
    /// How it stands.
    pub state: RunState,
    /// The exit code of its last writer that gave one.
    pub exit_code: Option<i32>,
    /// Values that were logged and could not be kept.
    pub dropped: u64,
    /// Next step of a resumed run: one above the highest.
    pub next_step: i64,
    /// The name.
    pub name: Stamped<String>,
    /// Notes.
    pub notes: Stamped<String>,
    /// The group.
    pub group: Stamped<String>,
    /// The job type.
    pub job_type: Stamped<String>,
    /// When it was hidden by `rm`; none if it shows.
    pub removed: Stamped<Option<i64>>,
    /// Tags.
    pub tags: Vec<Tag>,
    /// Config: one stamped value a top-level key, in order of first setting.
    pub config: Vec<(String, Stamped<Tokens>)>,
    /// Summary: flat, in order of first setting.
    pub summary: Vec<(String, Stamped<Value>)>,
    /// What the user said of metrics.
    pub metrics: Vec<MetricDefinition>,
    /// The start record of the first writer.
    pub start: Start,
    /// All writers, in order of being heard of.
    pub sessions: Vec<Session>,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Body for RunRecord {
    const NAME: &'static str = "run record";
}

/// A nested value as it stands in records.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct Tokens(Vec<Token>);

impl Tokens {
    /// Flattens a value.
    ///
    /// # Errors
    /// [`crate::FormatError::Limit`] if it nests deeper than [`crate::value::NESTING_MAX`].
    pub fn new(value: &Json) -> Result<Self> {
        to_tokens(value).map(Tokens)
    }

    /// Builds the value again.
    ///
    /// # Errors
    /// [`crate::FormatError`] if the tokens are of no value.
    pub fn json(&self) -> Result<Json> {
        from_tokens(self.0.clone())
    }
}

/// The first record of every journal: all that is needed to make the run if nothing else of it survives.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct Start {
    /// Object id of the run.
    pub run: [u8; 16],
    /// Object id of the project.
    pub project: [u8; 16],
    /// The run's id that users see.
    pub run_id: String,
    /// The project's name.
    pub project_name: String,
    /// The run's name.
    pub name: String,
    /// Notes.
    pub notes: String,
    /// The group.
    pub group: String,
    /// The job type.
    pub job_type: String,
    /// Tags.
    pub tags: Vec<String>,
    /// Config, a map.
    pub config: Tokens,
    /// When the writer started, microseconds UTC since 1970.
    pub started: i64,
    /// True if the run was there before and this writer goes on with it.
    pub resumed: bool,
    /// The writer from which this process was forked; zeros otherwise.
    pub forked_from: [u8; 16],
    /// Rank in a distributed run.
    pub rank: u32,
    /// Host name.
    pub host: String,
    /// Boot id of the host; tells a rebooted machine.
    pub boot_id: String,
    /// Process id.
    pub pid: u32,
    /// The device that writes.
    pub device: [u8; 16],
    /// The program: main script or executable.
    pub program: String,
    /// Commit of the git work tree around the current directory, 40 or 64 hexadecimal digits; empty if none.
    pub git_commit: String,
    /// Branch of that work tree; empty if detached or none.
    pub git_branch: String,
    /// Version of the language runtime that logs, such as `python 3.11.7`; empty from Rust.
    pub runtime: String,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Body for Start {
    const NAME: &'static str = "start record";
}

/// The last record of a writer.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct Close {
    /// How the run ended for this writer.
    pub state: RunState,
    /// Its exit code, if it gave one.
    pub exit_code: Option<i32>,
    /// When, microseconds UTC since 1970.
    pub time: i64,
    /// Values that were logged and could not be kept.
    pub dropped: u64,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Body for Close {
    const NAME: &'static str = "close record";
}

/// Something that happened to the writer: a clock jump, values dropped.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct Event {
    /// When, microseconds UTC since 1970.
    pub time: i64,
    /// What kind: 1 = the wall clock jumped.
    pub kind: u16,
    /// Details for people.
    pub text: String,
}

impl Body for Event {
    const NAME: &'static str = "event record";
}

/// Settings of a workspace: (name, value), and what the user calls each slot.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct Settings {
    /// Settings by name.
    pub values: Vec<(String, Stamped<Tokens>)>,
    /// Names of slots.
    pub slots: Vec<SlotInfo>,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Body for Settings {
    const NAME: &'static str = "settings";
}

/// What a keyslot does not say in clear.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct SlotInfo {
    /// The slot.
    pub slot: [u8; 16],
    /// The name that the user gave it, or a default.
    pub name: String,
    /// When it was made, microseconds UTC since 1970.
    pub created: i64,
}
