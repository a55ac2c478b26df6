//! Rows that stand in journals of the other workspace still: they are ingested here, and stay there.

use std::collections::{HashMap, HashSet};

use runcellar_format::record::{RunState, Start, WriterRow};
use runcellar_format::seal::Kind;
use runcellar_format::{ObjectId, WriterId};

use super::{LeftOut, Merge, Touched, ids, is_theirs};
use crate::db::{ObjectKey, ReadTx};
use crate::ingest::batch::Batch;
use crate::ingest::data::RunData;
use crate::ingest::progress::Progress;
use crate::ingest::reader::{JournalFile, JournalReader};
use crate::ingest::{Extent, Intake, Pace, store};
use crate::keys::Keyring;
use crate::query::tail::{OpenJournals, run_of};
use crate::{Error, Result, Workspace};

/// Returns the projects of the runs that journals speak of. A journal that does not open is told when it is to come in.
pub(super) fn projects(other: &Workspace) -> Result<HashSet<String>> {
    let mut names = HashSet::new();
    for files in OpenJournals::open(&other.inner)?.by_writer() {
        let writer = files[0].header.writer;
        let opened = other.inner.read(|tx, keyring| {
            Ok(files.into_iter().filter_map(|file| file.unlock(tx, keyring).ok()).collect::<Vec<_>>())
        });
        match start_of(writer, &mut opened?) {
            Ok(start) => names.extend(start.map(|start| start.project_name)),
            Err(error) if is_theirs(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(names)
}

/// Brings in what the journals have beyond the database; `runs` are those of its runs that are here.
pub(super) fn bring(
    merge: &mut Merge<'_>,
    journals: OpenJournals,
    runs: &mut HashMap<ObjectId, Touched>,
) -> Result<()> {
    for files in journals.by_writer() {
        let (journal, writer) = (files[0].header.journal, files[0].header.writer);
        match bring_writer(merge, writer, files, runs) {
            Ok(()) => {}
            Err(error) if is_theirs(&error) => merge.report.leave_out(format!("journal {journal}"), &error),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Counts what [`bring`] would bring in.
pub(super) fn plan(merge: &mut Merge<'_>, journals: OpenJournals, runs: &mut HashMap<ObjectId, Touched>) -> Result<()> {
    let (into, other) = (merge.into, merge.other);
    let tails = other.inner.read(|tx, keyring| {
        let mut tails = Vec::new();
        for (run, batch) in journals.tails(&other.inner, tx, keyring, None)? {
            tails.push((run, tx.object(ObjectKey::new(Kind::Run, run, 0))?.is_some(), batch));
        }
        Ok(tails)
    })?;
    for (run, is_known, batch) in tails {
        let (is_here, is_erased, reached) = into.inner.read(|tx, keyring| {
            let is_here = tx.object(ObjectKey::new(Kind::Run, run, 0))?.is_some();
            let is_erased =
                tx.is_buried(keyring, ObjectId(batch.writer.0))? || (!is_here && tx.is_buried(keyring, run)?);
            Ok((is_here, is_erased, store::writer_row(tx, keyring, batch.writer)?.map_or(0, |row| row.sequence)))
        })?;
        let goes_on = batch.progress.sequence > reached;
        let named = |start: &Start| merge.options.projects.contains(&start.project_name);
        let is_wanted = merge.options.projects.is_empty() || batch.start.as_deref().is_some_and(named);
        let report = &mut merge.report;
        match runs.get(&run) {
            _ if is_erased => {}
            Some(false) if goes_on => {
                runs.insert(run, true);
                (report.updated_runs, report.unchanged_runs) = (report.updated_runs + 1, report.unchanged_runs - 1);
            }
            None if !is_known && is_wanted && goes_on => {
                runs.insert(run, true);
                *(if is_here { &mut report.updated_runs } else { &mut report.new_runs }) += 1;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Brings in what the journals of one writer have.
fn bring_writer(
    merge: &mut Merge<'_>,
    writer: WriterId,
    files: Vec<JournalFile>,
    runs: &mut HashMap<ObjectId, Touched>,
) -> Result<()> {
    let (into, other) = (merge.into, merge.other);
    let opened = other.inner.read(|tx, keyring| {
        let known = store::writer_row(tx, keyring, writer)?.map(|row| ObjectId(row.run));
        let readers = files.into_iter().map(|file| file.unlock(tx, keyring)).collect::<Result<Vec<_>>>()?;
        Ok((known, readers))
    });
    let (known, mut readers) = opened?;
    let Some(start) = start_of(writer, &mut readers)? else { return Ok(()) };
    let (object, is_known) = match known {
        Some(object) => (object, true),
        None => other.inner.read(|tx, keyring| {
            let object = run_of(tx, keyring, &start)?;
            Ok((object, tx.object(ObjectKey::new(Kind::Run, object, 0))?.is_some()))
        })?,
    };
    // One that the database has is here, is not wanted, or was left out.
    let wanted = match is_known {
        true => runs.contains_key(&object),
        false => merge.options.projects.is_empty() || merge.options.projects.contains(&start.project_name),
    };
    if !wanted {
        return Ok(());
    }
    // A writer that could not ask the database drew an id for the project, which is not the one it has.
    let project = merge.projects.iter().find(|(_, name)| **name == start.project_name).map(|(object, _)| *object);
    let project = project.unwrap_or(ObjectId(start.project));
    let writing = into.inner.writing(None)?;
    let erased = writing.read(|tx, keyring| {
        let is_gone = tx.object(ObjectKey::new(Kind::Run, object, 0))?.is_none();
        let buried = |id| tx.is_buried(keyring, id);
        Ok(buried(ObjectId(writer.0))? || (is_gone && (buried(object)? || buried(project)?)))
    });
    if erased? {
        if !is_known {
            merge.report.stays_erased(format!("run {}", start.run_id));
        }
        return Ok(());
    }
    let known_here = writing.read(|tx, keyring| store::writer_row(tx, keyring, writer))?;
    let mut made = false;
    let mut intake = Intake::after(writer, known_here.as_ref().map_or_else(Progress::default, Progress::of));
    if known_here.is_none() {
        // The run goes by its id here, and is made with the first rows that are stored.
        let there = writing.read(|tx, keyring| {
            tx.object(ObjectKey::new(Kind::Run, object, 0))?
                .map_or(Ok(None), |row| RunData::without_series(tx, keyring, &row).map(|data| Some(data.record.id)))
        })?;
        made = there.is_none();
        let run_id = match there {
            Some(id) => id,
            None => writing.read(|tx, keyring| ids::free(tx, keyring, &start.run_id, object))?,
        };
        intake.begin_as(Start { run: object.0, run_id, ..(*start).clone() });
    }
    let reached = intake.base().sequence;
    let mut ingest_all = |readers: &mut [JournalReader]| {
        readers.iter_mut().try_for_each(|reader| {
            intake.next_file();
            intake.ingest(&writing, reader, Extent::All, Pace::Recovering).map(drop)
        })?;
        Ok::<_, Error>(intake.base().has_gap_after(reached))
    };
    // The writer may have gone on with its next file in between: what seems to be missing is then at the end of the former.
    if ingest_all(&mut readers)? && readers.len() > 1 {
        readers.iter_mut().for_each(JournalReader::rewind);
        ingest_all(&mut readers)?;
    }
    for reader in &readers {
        if !reader.damage.is_empty() {
            let what = format!("journal {}", reader.header.journal);
            let why = "damaged in the middle; the rest of it came in".to_owned();
            merge.report.left_out.push(LeftOut { what, why, damaged: true });
        }
    }
    if !intake.is_empty()
        || known_here.is_none()
        || writing.read(|tx, keyring| seems_at_work(tx, keyring, object, writer))?
    {
        intake.store(&writing, None, true)?;
    }
    let reached = |row: Option<WriterRow>| row.map(|row| (row.sequence, row.closed));
    let advanced = reached(writing.read(|tx, keyring| store::writer_row(tx, keyring, writer))?) != reached(known_here);
    writing.publish()?;
    let report = &mut merge.report;
    match (made, runs.insert(object, advanced || made)) {
        (true, _) => report.new_runs += 1,
        (false, Some(false)) if advanced => {
            (report.updated_runs, report.unchanged_runs) = (report.updated_runs + 1, report.unchanged_runs - 1);
        }
        (false, Some(true)) => drop(runs.insert(object, true)),
        (false, None) if advanced => report.updated_runs += 1,
        (false, _) => {}
    }
    Ok(())
}

/// Reads the first record of a writer's journals; their readers begin anew afterwards.
fn start_of(writer: WriterId, readers: &mut [JournalReader]) -> Result<Option<Box<Start>>> {
    for reader in readers {
        let mut batch = Batch::after(writer, Progress::default());
        reader.read(|sequence, plain| {
            batch.take(sequence, plain)?;
            Ok(batch.start.is_none())
        })?;
        reader.rewind();
        if batch.start.is_some() {
            return Ok(batch.start);
        }
    }
    Ok(None)
}

fn seems_at_work(tx: &ReadTx<'_>, keyring: &Keyring, run: ObjectId, writer: WriterId) -> Result<bool> {
    let Some(row) = tx.object(ObjectKey::new(Kind::Run, run, 0))? else {
        return Err(Error::damaged(format!("run {run}: its record is missing")));
    };
    let data = RunData::without_series(tx, keyring, &row)?;
    let mut sessions = data.record.sessions.iter();
    Ok(sessions.any(|session| session.writer == writer.0 && session.state == RunState::Running))
}
