//! Which run a writer records: a new one, one that it goes on with, or one that other ranks record, too.

use std::time::{Duration, Instant};

use runcellar_format::record::{DIRECTORY_FIELD, ORIGIN_FIELD, Origin, RunState, Start, extra_body};
use runcellar_format::seal::{Kind, launch_hash};
use runcellar_format::{ObjectId, WriterId};

use super::builder::{INIT_WAIT, Resume, id_of};
use super::journal_file::JournalKey;
use super::names;
use crate::db::{ObjectKey, ObjectRow, ReadTx, WriteTx};
use crate::environment::Launch;
use crate::ingest::data::RunData;
use crate::ingest::{fold, store};
use crate::keys::{Keyring, Purpose};
use crate::lineage::fork::{self, Source};
use crate::lineage::rewind;
use crate::query::tail::OpenJournals;
use crate::workspace::Inner;
use crate::{Error, ErrorKind, HistoryPoint, Result, Selection, Workspace, io};

/// How long a rewind waits for writers of the run to end.
const REWIND_WAIT: Duration = Duration::from_secs(2);
const REWIND_RETRY: Duration = Duration::from_millis(20);
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
    pub(super) fork_from: Option<HistoryPoint>,
    pub(super) resume_from: Option<HistoryPoint>,
    /// The run that is forked, or rewound.
    pub(super) source: Option<Source>,
}

impl Given {
    /// Returns true if a run has this origin.
    fn is_of(&self, origin: &Origin) -> bool {
        let source = self.source.as_ref().map(|source| (source.object.0, source.step));
        source == Some((origin.run, origin.step))
    }
}

impl Given {
    fn resume(&self) -> Resume {
        self.resume.unwrap_or(if self.joins { Resume::Allow } else { Resume::Never })
    }
}

/// What a writer records.
pub(super) struct Met {
    pub(super) key: JournalKey,
    /// The step at which it goes on.
    pub(super) next_step: i64,
    /// It goes on with what was recorded before.
    pub(super) resumed: bool,
    /// What the caller gave is all there is of it.
    pub(super) is_new: bool,
}

/// A run that is there already, or is not.
#[derive(Default)]
struct Known {
    /// The run is there.
    there: bool,
    next_step: i64,
    resumed: bool,
    /// It began with the history of another run.
    forked: bool,
}

/// Gives `start` the id that the ranks of a launch share, or that of the run which is gone on with without being named.
pub(super) fn identify(workspace: &Workspace, start: &mut Start, given: &mut Given) -> Result<()> {
    match (&given.fork_from, &given.resume_from) {
        (Some(_), Some(_)) => return Err(Error::invalid("fork_from and resume_from: one of them is expected")),
        (Some(_), None) if given.resume == Some(Resume::Must) => {
            return Err(Error::invalid("fork_from with resume='must': a fork is a new run"));
        }
        (None, Some(_)) if given.resume == Some(Resume::Never) => {
            return Err(Error::invalid("resume_from with resume='never': one of them is expected"));
        }
        (Some(point), None) => given.source = Some(source_of(workspace, point)?),
        (None, Some(point)) => {
            let source = source_of(workspace, point)?;
            if given.id && start.run_id != source.run_id {
                let message = format!("id {:?} and resume_from {:?} are two runs", start.run_id, source.run_id);
                return Err(Error::invalid(message));
            }
            start.run_id = source.run_id.clone();
            given.source = Some(source);
            (given.id, given.resume) = (true, Some(Resume::Must));
        }
        (None, None) => {}
    }
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
        && given.fork_from.is_none()
        && let Some(id) = previous(workspace, start, given.launch.as_ref())?
    {
        start.run_id = id;
        given.id = true;
    }
    Ok(())
}

fn source_of(workspace: &Workspace, point: &HistoryPoint) -> Result<Source> {
    let run = workspace.find_run(&point.run)?;
    if run.removed.is_some() {
        return Err(removed(&run.id));
    }
    Ok(Source { object: run.object, run_id: run.id, step: point.step })
}

fn removed(id: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("run {id}: it was removed; restore it before it is gone on with"))
}

/// Finds the run that [`Resume::Auto`] goes on with: the last of the same project, host, program and directory, if it
/// did not end well; or the one of the same job, if that is started again.
fn previous(workspace: &Workspace, start: &Start, launch: Option<&Launch>) -> Result<Option<String>> {
    let selection = Selection { project: Some(start.project_name.clone()), ..Selection::default() };
    let restarted = launch.filter(|launch| launch.restart > 0);
    // Journals before the database: what is ingested in between is then in the database.
    let starts = crate::ingest::starts(&workspace.inner, |known| known.program == start.program)?;
    let candidates: Vec<_> = workspace
        .runs(&selection)?
        .into_iter()
        .filter(|run| run.program == start.program && (restarted.is_some() || run.host == start.host))
        .take(AUTO_RUNS_MAX)
        .collect();
    workspace.inner.read(|tx, keyring| {
        let mut last: Option<(i64, String, RunState)> = None;
        for run in candidates {
            let (began, started) = match tx.object(ObjectKey::new(Kind::Run, run.object, 0))? {
                Some(row) => {
                    let record = RunData::without_series(tx, keyring, &row)?.record;
                    let started = record.sessions.iter().map(|session| session.started).max().unwrap_or(record.created);
                    (record.start, started)
                }
                // One that only journals know yet.
                None => match starts.iter().filter(|known| known.run_id == run.id).max_by_key(|known| known.started) {
                    Some(known) => (known.clone(), known.started),
                    None => continue,
                },
            };
            let launched = fold::launched(&began)?;
            if restarted.is_some_and(|launch| launched.is_some_and(|launched| launched.job == launch.job)) {
                return Ok(Some(run.id));
            }
            let is_same = run.host == start.host && directory_of(&began) == directory_of(start);
            if is_same && last.as_ref().is_none_or(|(latest, ..)| started > *latest) {
                last = Some((started, run.id, run.state));
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
    let deadline = Instant::now() + REWIND_WAIT;
    loop {
        if given.resume_from.is_some() && inner.is_network() {
            // There a run may be known by its journals alone, and a rewind is made by the database.
            let _ = crate::ingest::recover(inner);
        }
        match register_now(inner, writer, start, given) {
            Err(error) if given.resume_from.is_some() && error.kind() == ErrorKind::NotFound => {
                let known = crate::ingest::starts(inner, |known| known.run_id == start.run_id)?;
                return Err(if known.is_empty() { error } else { rewind::is_recorded(&start.run_id) });
            }
            // Whoever takes in what a dead writer left holds that one's journal for a moment.
            Err(error) if given.resume_from.is_some() && error.is_retryable() && Instant::now() < deadline => {
                std::thread::sleep(REWIND_RETRY);
            }
            outcome => return outcome,
        }
    }
}

fn register_now(inner: &Inner, writer: WriterId, start: &mut Start, given: &Given) -> Result<Met> {
    // Journals before the database: what is ingested in between is then in the database.
    let mut journals = given.source.as_ref().map(|_| OpenJournals::open(inner)).transpose()?;
    let is_in_journals = given.id
        && given.fork_from.is_some()
        && !crate::ingest::starts(inner, |known| known.run_id == start.run_id)?.is_empty();
    // A fork and a rewind are made by the database alone, so they wait for it.
    let wait = if journals.is_some() { None } else { Some(INIT_WAIT) };
    let mut note = None;
    let wants_database = journals.is_some();
    let making = |tx: &mut WriteTx<'_>| {
        let mut known = meet(tx, tx.keyring, start, given)?;
        if is_in_journals && !known.there {
            return Err(is_not_that_fork(start));
        }
        if start.name.is_empty() {
            let ordinal = tx.count_objects(Kind::Run)? + 1;
            start.name = names::generate(io::random(tx.io)?, ordinal);
        }
        start.device = tx.root().device;
        if let (Some(source), Some(journals)) = (&given.source, journals.take()) {
            let any = match (known.there, given.resume_from.is_some()) {
                (true, true) => go_back(tx, inner, journals, source, start, given, &mut known)?,
                (false, false) => {
                    let forked = fork::fork(tx, inner, journals, source, start)?;
                    (known.forked, known.next_step) = (true, forked.next_step);
                    forked.rows > 0
                }
                _ => true,
            };
            if !any && let Some(step) = source.step {
                note = Some(format!("run {}: it has nothing up to step {step}", source.run_id));
            }
        }
        let (run, key) = store::register(tx, writer, start)?;
        start.run = run.0;
        Ok((JournalKey::Run(key), known))
    };
    let registered = match wants_database {
        true => inner.write(wait, making),
        false => inner.write_shared(wait, making),
    };
    let (key, known) = match registered {
        Err(error) if error.is_retryable() && given.source.is_none() => {
            (JournalKey::Ingest(inner.present_ingest_public()?), unregistered(inner, start, given)?)
        }
        registered => registered?,
    };
    if let Some(note) = note {
        inner.monitor.warn(&note);
    }
    let Known { next_step, resumed, there, forked } = known;
    let is_new = !there && !forked;
    if !resumed && !forked {
        return Ok(Met { key, next_step, resumed, is_new });
    }
    // Rows that an earlier writer left in a journal count for the next step, too. Each rank has steps of its own.
    let rank = given.launch.as_ref().map(|launch| launch.rank);
    let next_step = match crate::query::next_step(inner, ObjectId(start.run), rank) {
        Ok(beyond) => next_step.max(beyond),
        Err(error) if error.is_retryable() || error.kind() == ErrorKind::NotFound => next_step,
        Err(error) => return Err(error),
    };
    Ok(Met { key, next_step, resumed, is_new })
}

/// Rewinds the run; returns whether anything of it shows then.
fn go_back(
    tx: &mut WriteTx<'_>,
    inner: &Inner,
    journals: OpenJournals,
    source: &Source,
    start: &Start,
    given: &Given,
    known: &mut Known,
) -> Result<bool> {
    let Some(step) = source.step else { return Ok(true) };
    let mut launch = [0; 16];
    if let Some(Launch { job, restart, ordinal, .. }) = &given.launch {
        let text = format!("{job} {restart} {ordinal}");
        launch.copy_from_slice(&runcellar_format::seal::checksum(text.as_bytes())[..16]);
    }
    let wanted = rewind::Wanted { run: ObjectId(start.run), step, time: start.started, launch };
    let rewound = rewind::rewind(tx, inner, journals, wanted)?;
    known.next_step = rewound.next_step;
    Ok(rewound.any)
}

/// Makes `start` fit a run without writing to the database, which somebody holds, or may: the journal takes the whole
/// start, sealed to the ingest key. Reading still tells whether the run is there; if even that fails, whoever ingests
/// the journal joins the two.
fn unregistered(inner: &Inner, start: &mut Start, given: &Given) -> Result<Known> {
    let known = match meet_unregistered(inner, start, given) {
        Err(error) if error.is_retryable() => {
            start.resumed = given.id && !given.joins && given.resume.is_some_and(|resume| resume != Resume::Never);
            Known { there: start.resumed, resumed: start.resumed, ..Known::default() }
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

/// As [`meet`], also for a run that only journals know yet.
fn meet_unregistered(inner: &Inner, start: &mut Start, given: &Given) -> Result<Known> {
    // Journals first: what is ingested in between is then in the database.
    let known = if given.id { crate::ingest::starts(inner, |known| known.run_id == start.run_id)? } else { Vec::new() };
    let Some(first) = known.first() else { return inner.read(|tx, keyring| meet(tx, keyring, start, given)) };
    let met = inner.read(|tx, keyring| match row_of(tx, keyring, start)? {
        Some(_) => meet(tx, keyring, start, given).map(Some),
        None => Ok(None),
    })?;
    if let Some(met) = met {
        return Ok(met);
    }
    let resumed = !given.joins || known.iter().any(|known| known.rank == start.rank);
    if resumed && given.resume() == Resume::Never {
        return Err(exists(start, ""));
    }
    (start.resumed, start.run, start.project) = (true, first.run, first.project);
    start.name = given.name.clone().unwrap_or(first.name.clone());
    Ok(Known { there: true, resumed, ..Known::default() })
}

fn row_of(tx: &ReadTx<'_>, keyring: &Keyring, start: &Start) -> Result<Option<ObjectRow>> {
    tx.object_by_tag(Kind::Run, &store::tag_of(tx, keyring, Kind::Run, &start.run_id)?)
}

fn is_not_that_fork(start: &Start) -> Error {
    let message = format!("run {}: it is there already, and is not that fork; take another id", start.run_id);
    Error::new(ErrorKind::Exists, message)
}

fn exists(start: &Start, and: &str) -> Error {
    let rest = if and.is_empty() { " already; resume it, or take another id" } else { and };
    Error::new(ErrorKind::Exists, format!("run {}: it is there{rest}", start.run_id))
}

/// Looks whether the run is there and makes `start` fit it.
fn meet(tx: &ReadTx<'_>, keyring: &Keyring, start: &mut Start, given: &Given) -> Result<Known> {
    let row = if given.id { row_of(tx, keyring, start)? } else { None };
    let resume = given.resume();
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
    let is_removed = record.removed.value.is_some();
    if resume == Resume::Never && resumed {
        return Err(exists(start, if is_removed { ", but removed; take another id" } else { "" }));
    }
    if is_removed {
        return Err(removed(&start.run_id));
    }
    let origin: Option<Origin> = extra_body(&record.extra, ORIGIN_FIELD)
        .map_err(|cause| Error::format(format_args!("origin of run {}", record.id), cause))?;
    if given.fork_from.is_some() && !origin.as_ref().is_some_and(|origin| given.is_of(origin)) {
        return Err(is_not_that_fork(start));
    }
    // Each rank counts its own steps, from 0 on if the job itself began the run.
    let own = given.launch.is_some() && (resumed_rank || fold::is_of_job(&record, start)?);
    let next_step = match &origin {
        Some(origin) if own => origin.step.map_or(0, |step| record.next_step.min(step.saturating_add(1))).max(0),
        None if own => 0,
        _ => record.next_step,
    };
    (start.resumed, start.run, start.project) = (true, object.0, record.project);
    start.project_name = record.start.project_name;
    start.name = given.name.clone().unwrap_or(record.name.value);
    Ok(Known { there: true, next_step, resumed, forked: origin.is_some() })
}
