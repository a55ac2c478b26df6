//! Which run a writer records: a new one, one that it goes on with, or one that other ranks record, too.

use runcellar_format::record::{DIRECTORY_FIELD, RunState, Start};
use runcellar_format::seal::{Kind, launch_hash};
use runcellar_format::{ObjectId, WriterId};

use super::builder::{INIT_WAIT, Resume, id_of};
use super::journal_file::JournalKey;
use super::names;
use crate::db::{ObjectKey, ReadTx};
use crate::environment::Launch;
use crate::ingest::data::RunData;
use crate::ingest::{fold, store};
use crate::keys::{Keyring, Purpose};
use crate::workspace::Inner;
use crate::{Error, ErrorKind, Result, Selection, Workspace, io};

/// How many of the latest runs of a program [`Resume::Auto`] looks at.
const AUTO_RUNS_MAX: usize = 64;

/// What the caller gave of a run that may be there already.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// The run's id is known: it was given, or follows from what started the process.
    pub(super) id: bool,
    pub(super) name: Option<String>,
    pub(super) resume: Option<Resume>,
    pub(super) launch: Option<Launch>,
    /// Ranks that were started together make the run's id.
    pub(super) joins: bool,
}

/// What a writer records.
pub(super) struct Met {
    pub(super) key: JournalKey,
    /// The step at which it goes on.
    pub(super) next_step: i64,
    /// It goes on with what was recorded before.
    pub(super) resumed: bool,
}

/// A run that is there already, or is not.
#[derive(Default)]
struct Known {
    next_step: i64,
    resumed: bool,
}

/// Gives `start` the id that the ranks of a launch share, or that of the run which [`Resume::Auto`] goes on with.
pub(super) fn identify(workspace: &Workspace, start: &mut Start, given: &mut Given) -> Result<()> {
    if given.id {
        return Ok(());
    }
    if given.resume == Some(Resume::Must) && !given.launch.as_ref().is_some_and(|launch| launch.joins) {
        return Err(Error::invalid("resume='must': the id of the run is needed, too"));
    }
    if let Some(launch) = given.launch.as_ref().filter(|launch| launch.joins) {
        let hash = workspace.inner.read(|tx, keyring| {
            let key = tx.workspace_key(keyring, Purpose::Lookup)?;
            Ok(launch_hash(key.secret(), &start.project_name, &launch.job, launch.ordinal))
        })?;
        let (object, rest) = hash.split_at(16);
        start.run.copy_from_slice(object);
        start.run_id = id_of(&rest[..12]);
        (given.id, given.joins) = (true, true);
    } else if given.resume == Some(Resume::Auto)
        && let Some(id) = previous(workspace, start, given.launch.as_ref())?
    {
        start.run_id = id;
        given.id = true;
    }
    Ok(())
}

/// Finds the run that [`Resume::Auto`] goes on with: the last of the same project, host, program and directory, if it
/// did not end well; or the one of the same job, if that is started again.
fn previous(workspace: &Workspace, start: &Start, launch: Option<&Launch>) -> Result<Option<String>> {
    let selection = Selection { project: Some(start.project_name.clone()), ..Selection::default() };
    let restarted = launch.filter(|launch| launch.restart > 0);
    let candidates: Vec<_> = workspace
        .runs(&selection)?
        .into_iter()
        .filter(|run| run.program == start.program && (restarted.is_some() || run.host == start.host))
        .take(AUTO_RUNS_MAX)
        .collect();
    workspace.inner.read(|tx, keyring| {
        let mut last: Option<(i64, String, RunState)> = None;
        for run in candidates {
            let Some(row) = tx.object(ObjectKey::new(Kind::Run, run.object, 0))? else { continue };
            let record = RunData::without_series(tx, keyring, &row)?.record;
            let launched = fold::launched(&record.start)?;
            if restarted.is_some_and(|launch| launched.is_some_and(|launched| launched.job == launch.job)) {
                return Ok(Some(run.id));
            }
            if run.host == start.host && directory_of(&record.start) == directory_of(start) {
                let started = record.sessions.iter().map(|session| session.started).max().unwrap_or(record.created);
                if last.as_ref().is_none_or(|(latest, ..)| started > *latest) {
                    last = Some((started, run.id, run.state));
                }
            }
        }
        let ended_badly = |state| matches!(state, RunState::Crashed | RunState::Killed | RunState::Failed);
        Ok(last.filter(|(.., state)| ended_badly(*state)).map(|(_, id, _)| id))
    })
}

fn directory_of(start: &Start) -> Option<&[u8]> {
    start.extra.iter().find(|(field, _)| *field == DIRECTORY_FIELD).map(|(_, bytes)| bytes.as_slice())
}

/// Makes run and writer known, and `start` fit what is known of the run.
pub(super) fn register(inner: &Inner, writer: WriterId, start: &mut Start, given: &Given) -> Result<Met> {
    let registered = inner.write(Some(INIT_WAIT), |tx| {
        let known = meet(tx, tx.keyring, start, given)?;
        if start.name.is_empty() {
            let ordinal = tx.count_objects(Kind::Run)? + 1;
            start.name = names::generate(io::random(tx.io)?, ordinal);
        }
        start.device = tx.root().device;
        let (run, key) = store::register(tx, writer, start)?;
        start.run = run.0;
        Ok((JournalKey::Run(key), known))
    });
    let (key, known) = match registered {
        Err(error) if error.is_retryable() => {
            (JournalKey::Ingest(inner.keyslots().ingest), unregistered(inner, start, given)?)
        }
        registered => registered?,
    };
    let Known { next_step, resumed } = known;
    if !resumed {
        return Ok(Met { key, next_step, resumed });
    }
    // Rows that an earlier writer left in a journal count for the next step, too. Each rank has steps of its own.
    let rank = given.launch.as_ref().map(|launch| launch.rank);
    let next_step = match crate::query::next_step(inner, ObjectId(start.run), rank) {
        Ok(beyond) => next_step.max(beyond),
        Err(error) if error.is_retryable() || error.kind() == ErrorKind::NotFound => next_step,
        Err(error) => return Err(error),
    };
    Ok(Met { key, next_step, resumed })
}

/// Makes `start` fit a run without writing to the database, which somebody holds: the journal takes the whole start,
/// sealed to the ingest key. Reading still tells whether the run is there; if even that fails, whoever ingests the
/// journal joins the two.
fn unregistered(inner: &Inner, start: &mut Start, given: &Given) -> Result<Known> {
    let known = match inner.read(|tx, keyring| meet(tx, keyring, start, given)) {
        Err(error) if error.is_retryable() => {
            start.resumed = given.id && !given.joins && given.resume.is_some_and(|resume| resume != Resume::Never);
            Known { next_step: 0, resumed: start.resumed }
        }
        known => known?,
    };
    if start.name.is_empty() && !start.resumed {
        // Ranks that all come here agree on the name, too.
        let random = if given.joins { [start.run[0], start.run[1]] } else { io::random(&*inner.io)? };
        start.name = names::generate(random, 0);
    }
    // Whichever rank is ingested first makes the run, and the others join it.
    start.resumed |= given.joins;
    Ok(known)
}

/// Looks whether the run is there and makes `start` fit it.
fn meet(tx: &ReadTx<'_>, keyring: &Keyring, start: &mut Start, given: &Given) -> Result<Known> {
    let row = match given.id {
        true => tx.object_by_tag(Kind::Run, &store::tag_of(tx, keyring, Kind::Run, &start.run_id)?)?,
        false => None,
    };
    let resume = given.resume.unwrap_or(if given.joins { Resume::Allow } else { Resume::Never });
    let Some(row) = row else {
        return match resume {
            Resume::Must => {
                Err(Error::new(ErrorKind::NotFound, format!("run {}: not there to be resumed", start.run_id)))
            }
            _ => Ok(Known::default()),
        };
    };
    let RunData { record, object, .. } = RunData::without_series(tx, keyring, &row)?;
    // To join the other ranks is not to go on with what this one recorded.
    let resumed_rank = record.sessions.iter().any(|session| session.rank == start.rank && !session.forked);
    let resumed = resumed_rank || !given.joins;
    let removed = record.removed.value.is_some();
    if resume == Resume::Never && resumed {
        let rest = if removed { ", but removed; take another id" } else { " already; resume it, or take another id" };
        return Err(Error::new(ErrorKind::Exists, format!("run {}: it is there{rest}", start.run_id)));
    }
    if removed {
        let message = format!("run {}: it was removed; restore it before it is gone on with", start.run_id);
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    // Each rank counts its own steps, from 0 on if the job itself began the run.
    let own = given.launch.is_some() && (resumed_rank || fold::is_of_job(&record, start)?);
    let next_step = if own { 0 } else { record.next_step };
    (start.resumed, start.run, start.project) = (true, object.0, record.project);
    start.name = given.name.clone().unwrap_or(record.name.value);
    Ok(Known { next_step, resumed })
}
