//! Runs that come in.

use std::collections::HashSet;

use runcellar_format::record::{
    CarriedNames, CarriedRecord, CarriedRun, FINDINGS_FIELD, Findings, GroupPage, LAUNCH_FIELD, Launches, ORIGIN_FIELD,
    Origin, PAGE_ENTRIES, REWINDS_FIELD, Rewind, Rewinds, RunRecord, RunState, WriterRow, extra_body,
};
use runcellar_format::seal::Kind;
use runcellar_format::{ObjectId, WriterId};

use super::arrive::{Outcome, Taken, Worker};
use super::examine::pass;
use super::group::{self, GroupIn};
use super::pieces::{FilesIn, Queue, malformed, opened, refused};
use super::{FileClass, version};
use crate::artifacts::note_use;
use crate::blob::{self, Class, Entered, Pool, Put, PutOptions, key_of, put_manifest};
use crate::db::{GroupKey, ObjectKey, WriteTx};
use crate::ingest::data::{RunData, SeriesTable};
use crate::ingest::store::{self, ensure_project};
use crate::ingest::{fold, groups, statistics};
use crate::lineage::recount::Recount;
use crate::workspace::Inner;
use crate::{Error, ErrorKind, Result, io};

/// Times further than this from 1970, in microseconds, are nobody's: 1,140 years.
const TIME_MAX: i64 = 1 << 55;

/// What is here of a run that comes in.
pub(super) enum Here {
    Run { points: u64, is_running: bool },
    Erased,
}

/// Finds a run that comes in.
///
/// # Errors
/// [`ErrorKind::Exists`] if another run has its id.
pub(super) fn find(inner: &Inner, carried: &CarriedRun) -> Result<Option<Here>> {
    inner.read(|tx, keyring| {
        let object = ObjectId(carried.run);
        if let Some(row) = tx.object(ObjectKey::new(Kind::Run, object, 0))? {
            let data = RunData::without_series(tx, keyring, &row)?;
            let is_running = data.record.state == RunState::Running;
            return Ok(Some(Here::Run { points: data.head.points, is_running }));
        }
        if tx.is_buried(keyring, object)? {
            return Ok(Some(Here::Erased));
        }
        let tag = store::tag_of(tx, keyring, Kind::Run, &carried.id)?;
        match tx.object_by_tag(Kind::Run, &tag)? {
            Some(_) => Err(Error::new(ErrorKind::Exists, format!("run {}: another run has this id here", carried.id))),
            None => Ok(None),
        }
    })
}

pub(super) fn taken(carried: &CarriedRun, here: Option<Here>, points: u64) -> Taken {
    let outcome = match here {
        None => Outcome::New,
        Some(Here::Run { points: here, is_running }) if here == points || is_running => Outcome::Here,
        Some(Here::Run { .. }) => Outcome::Differs,
        Some(Here::Erased) => Outcome::Erased,
    };
    Taken { name: carried.id.clone(), project: carried.project.clone(), is_run: true, amount: points, outcome }
}

/// Takes the record of a run, made one that can stand here.
pub(super) fn record(queue: &mut Queue<'_>, carried: &CarriedRun) -> Result<RunRecord> {
    let wrong = |what: &str| refused(format_args!("run {}: {what}", carried.id));
    let body = queue.record()?.ok_or_else(|| wrong("its record is missing"))?;
    let CarriedRecord { mut record, .. } = opened(&body)?;
    if record.id != carried.id {
        return Err(wrong("its record is of another run"));
    }
    let sessions = record.sessions.iter().flat_map(|session| [session.started, session.ended]);
    let mut times = [record.created, record.start.started].into_iter().chain(record.finished).chain(sessions);
    if times.any(|time| !(-TIME_MAX..=TIME_MAX).contains(&time)) {
        return Err(wrong("a time that is none"));
    }
    for (_, value) in &record.config {
        value.value.json().map_err(|cause| malformed("config", cause))?;
    }
    let named = |cause| malformed(format_args!("run {}", carried.id), cause);
    extra_body::<Origin>(&record.extra, ORIGIN_FIELD).map_err(named)?;
    extra_body::<Rewinds>(&record.extra, REWINDS_FIELD).map_err(named)?;
    extra_body::<Launches>(&record.extra, LAUNCH_FIELD).map_err(named)?;
    extra_body::<Findings>(&record.extra, FINDINGS_FIELD).map_err(named)?;
    // Whoever records it is not at work here.
    let at_work = record.sessions.iter().filter(|session| session.state == RunState::Running);
    for writer in at_work.map(|session| WriterId(session.writer)).collect::<Vec<_>>() {
        fold::mark_dead(&mut record, writer);
    }
    if record.state == RunState::Running {
        record.state = RunState::Crashed;
    }
    record.removed = Default::default();
    (record.start.run, record.start.run_id) = (carried.run, carried.id.clone());
    record.start.project_name.clone_from(&carried.project);
    Ok(record)
}

/// Takes the names of a run's series.
pub(super) fn names(queue: &mut Queue<'_>) -> Result<Vec<String>> {
    let (mut all, mut known) = (Vec::new(), HashSet::new());
    while let Some(body) = queue.names()? {
        let CarriedNames { names } = opened(&body)?;
        if names.is_empty() || names.len() > PAGE_ENTRIES || u32::try_from(all.len() + names.len()).is_err() {
            return Err(refused("a page of names that no workspace gives"));
        }
        for name in names {
            if !known.insert(name.clone()) {
                return Err(refused(format_args!("metric {name:?}: stands twice")));
            }
            all.push(name);
        }
    }
    Ok(all)
}

/// Row groups of a run, counted.
pub(super) struct Counted {
    recount: Recount,
    rewinds: Vec<Rewind>,
    series: usize,
    seen: HashSet<([u8; 16], u32)>,
    pub(super) rows: u64,
    pub(super) points: u64,
}

impl Counted {
    pub(super) fn new(names: Vec<String>, record: &RunRecord) -> Result<Counted> {
        let series = SeriesTable::of(names.iter().map(|name| statistics::empty(name)).collect());
        let rewinds: Option<Rewinds> = extra_body(&record.extra, REWINDS_FIELD)
            .map_err(|cause| Error::format(format_args!("rewinds of run {}", record.id), cause))?;
        Ok(Counted {
            recount: Recount::new(&series),
            rewinds: rewinds.unwrap_or_default().all,
            series: names.len(),
            seen: HashSet::new(),
            rows: 0,
            points: 0,
        })
    }

    /// Decodes a row group, and counts what shows of it.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<GroupIn> {
        let group = group::decoded(bytes, self.series)?;
        let entry = &group.entry;
        if !self.seen.insert((entry.writer, entry.number)) {
            return Err(refused(format_args!("row group {} of writer {}: stands twice", entry.number, group.writer())));
        }
        self.rows += u64::from(entry.rows);
        self.points += entry.points;
        if !self.rewinds.iter().any(|rewind| rewind.hides(entry.writer, entry.number)) {
            self.recount.add_rows(&group.rows.steps, &group.rows.times, &group.rows.columns);
        }
        Ok(group)
    }
}

pub(super) struct Storer<'a> {
    pub(super) inner: &'a std::sync::Arc<Inner>,
}

impl Worker for Storer<'_> {
    fn version(
        &mut self,
        carried: &runcellar_format::record::CarriedVersion,
        files: &mut FilesIn<'_, '_>,
    ) -> Result<Taken> {
        version::store(self.inner, carried, files)
    }

    fn run(&mut self, carried: &CarriedRun, queue: &mut Queue<'_>) -> Result<Taken> {
        let inner = &**self.inner;
        if let Some(here) = find(inner, carried)? {
            pass(&mut queue.files(FileClass::Code))?;
            pass(&mut queue.files(FileClass::Media))?;
            let record = record(queue, carried)?;
            let mut counted = Counted::new(names(queue)?, &record)?;
            while let Some(group) = queue.group()? {
                counted.add(&group)?;
            }
            return Ok(taken(carried, Some(here), counted.points));
        }
        let mut files = Vec::new();
        for (class, of) in [(FileClass::Code, Class::Code), (FileClass::Media, Class::Media)] {
            files.extend(put_files(inner, carried, of, &mut queue.files(class))?);
        }
        let mut record = record(queue, carried)?;
        let mut counted = Counted::new(names(queue)?, &record)?;
        let clock_max = fold::clock_of(inner.io.wall_us());
        limit_clocks(&mut record, clock_max);
        let stored = inner.write(None, |tx| {
            for (pool, put) in &files {
                if put.commit(tx, pool)? == Entered::Stale {
                    return Ok(false);
                }
            }
            store_run(tx, carried, record, &mut counted, queue, &files)?;
            Ok(true)
        })?;
        for (pool, put) in &files {
            put.committed(pool);
        }
        if stored { Ok(taken(carried, None, counted.points)) } else { Err(moved(&carried.id)) }
    }
}

/// The error of content that went while something that shares it came in.
pub(super) fn moved(what: &str) -> Error {
    Error::new(ErrorKind::Busy, format!("{what}: what it shares with others was removed meanwhile"))
}

/// Lets nothing that came in win over what is changed here later.
fn limit_clocks(record: &mut RunRecord, max: u64) {
    let clocks = [&mut record.name.clock, &mut record.notes.clock, &mut record.group.clock, &mut record.job_type.clock];
    let config = record.config.iter_mut().map(|(_, value)| &mut value.clock);
    let summary = record.summary.iter_mut().map(|(_, value)| &mut value.clock);
    clocks.into_iter().chain(config).chain(summary).for_each(|clock| *clock = (*clock).min(max));
}

/// Puts the files of a run that come next into the pool of their project; none if there are none.
fn put_files(
    inner: &Inner,
    carried: &CarriedRun,
    class: Class,
    files: &mut FilesIn<'_, '_>,
) -> Result<Option<(Pool, Put)>> {
    if !files.are_there()? {
        return Ok(None);
    }
    let pool = version::pool_of(inner, &carried.project, class)?;
    let put = blob::put(inner, &pool, files, None, PutOptions::default())?;
    Ok(Some((pool, put)))
}

/// Makes the run with everything that it has.
fn store_run(
    tx: &mut WriteTx<'_>,
    carried: &CarriedRun,
    record: RunRecord,
    counted: &mut Counted,
    queue: &mut Queue<'_>,
    files: &[(Pool, Put)],
) -> Result<()> {
    let object = ObjectId(carried.run);
    if tx.object(ObjectKey::new(Kind::Run, object, 0))?.is_some() || tx.is_buried(tx.keyring, object)? {
        let message = format!("run {}: came in from elsewhere meanwhile, or was erased", carried.id);
        return Err(Error::new(ErrorKind::Exists, message));
    }
    let project = ObjectId(io::random(tx.io)?);
    ensure_project(tx, &carried.project, project, record.created)?;
    let start = record.start.clone();
    let mut data = store::create_run(tx, &start, record, Vec::new())?;
    let key = data.key()?;
    let mut entries = Vec::new();
    while let Some(bytes) = queue.group()? {
        let GroupIn { mut entry, parts, .. } = counted.add(&bytes)?;
        let place = GroupKey { run: object, writer: WriterId(entry.writer), number: entry.number };
        entry.sum = tx.put_group(place, &key, &parts)?.0;
        entry.place = data.head.next_group;
        data.head.next_group += 1;
        entries.push(entry);
    }
    (data.head.rows, data.head.points) = (counted.rows, counted.points);
    let empty = Recount::new(&SeriesTable::default());
    std::mem::replace(&mut counted.recount, empty).store(tx, &mut data)?;
    for (number, entries) in (0..).zip(entries.chunks(PAGE_ENTRIES)) {
        groups::put_page(tx, &mut data, number, &GroupPage { entries: entries.to_vec() })?;
    }
    data.store(tx)?;
    for session in &data.record.sessions {
        let writer = WriterId(session.writer);
        if store::writer_row(tx, tx.keyring, writer)?.is_none() {
            let own = || entries.iter().filter(|entry| entry.writer == session.writer);
            let row = WriterRow {
                run: object.0,
                sequence: own().map(|entry| entry.last_sequence).max().unwrap_or(0),
                closed: true,
                next_group: own().map(|entry| entry.number.saturating_add(1)).max().unwrap_or(0),
                ..WriterRow::default()
            };
            store::put_writer(tx, &key, writer, &row)?;
        }
    }
    for (pool, put) in files {
        let key = key_of(tx, object, pool.class)?;
        put_manifest(tx, &key, object, pool.class.positions().start, &put.manifest.parts)?;
    }
    for (version, time) in &carried.used {
        note_use(tx, ObjectId(*version), object, *time)?;
    }
    Ok(())
}
