//! Rows that stand in journals of the other workspace still: they are ingested here, and stay there.

use std::collections::HashSet;

use runcellar_format::record::{RunState, Start, WriterRow};
use runcellar_format::seal::Kind;
use runcellar_format::{ObjectId, WriterId};

use super::{LeftOut, Merge, is_theirs, run};
use crate::db::{ObjectKey, ReadTx};
use crate::ingest::batch::Batch;
use crate::ingest::data::RunData;
use crate::ingest::progress::Progress;
use crate::ingest::reader::{JournalFile, JournalReader};
use crate::ingest::{Extent, Intake, Pace, fold, store};
use crate::keys::Keyring;
use crate::query::tail::{OpenJournals, run_of};
use crate::{Error, Result};

/// Brings in what the journals have beyond the database; `runs` are those of its runs that are here.
pub(super) fn bring(merge: &mut Merge<'_>, journals: OpenJournals, runs: &HashSet<ObjectId>) -> Result<()> {
    let mut writers: Vec<Vec<JournalFile>> = Vec::new();
    for file in journals.into_files() {
        match writers.last_mut() {
            Some(files) if files[0].header.writer == file.header.writer => files.push(file),
            _ => writers.push(vec![file]),
        }
    }
    for files in writers {
        let (journal, writer) = (files[0].header.journal, files[0].header.writer);
        match bring_writer(merge, writer, files, runs) {
            Ok(Some(made)) => merge.report.new_runs += u64::from(made),
            Ok(None) => {}
            Err(error) if is_theirs(&error) => merge.report.leave_out(format!("journal {journal}"), &error),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Brings in what the journals of one writer have; returns whether that made a run, or none if they are not to come in.
fn bring_writer(
    merge: &mut Merge<'_>,
    writer: WriterId,
    files: Vec<JournalFile>,
    runs: &HashSet<ObjectId>,
) -> Result<Option<bool>> {
    let (into, other) = (merge.into, merge.other);
    let opened = other.inner.read(|tx, keyring| {
        let known = store::writer_row(tx, keyring, writer)?.map(|row| ObjectId(row.run));
        let readers = files.into_iter().map(|file| file.unlock(tx, keyring)).collect::<Result<Vec<_>>>()?;
        Ok((known, readers))
    });
    let (known, mut readers) = opened?;
    let Some(start) = start_of(writer, &mut readers)? else { return Ok(None) };
    let (object, is_known) = match known {
        Some(object) => (object, true),
        None => other.inner.read(|tx, keyring| {
            let object = run_of(tx, keyring, &start)?;
            Ok((object, tx.object(ObjectKey::new(Kind::Run, object, 0))?.is_some()))
        })?,
    };
    // One that the database has is here, is not wanted, or was left out.
    let wanted = match is_known {
        true => runs.contains(&object),
        false => merge.projects.values().any(|name| *name == start.project_name),
    };
    if !wanted {
        return Ok(None);
    }
    let progress = into.inner.read(|tx, keyring| store::progress_of(tx, keyring, writer))?;
    let made = match progress == Progress::default() {
        true => register(merge, writer, object, &start)?,
        false => false,
    };
    let progress = into.inner.read(|tx, keyring| store::progress_of(tx, keyring, writer))?;
    let writing = into.inner.writing(None)?;
    let mut intake = Intake::after(writer, progress);
    for reader in &mut readers {
        intake.next_file();
        intake.ingest(&writing, reader, Extent::All, Pace::Recovering)?;
        if !reader.damage.is_empty() {
            let what = format!("journal {}", reader.header.journal);
            let why = "damaged in the middle; the rest of it came in".to_owned();
            merge.report.left_out.push(LeftOut { what, why, damaged: true });
        }
    }
    if !intake.is_empty() || writing.read(|tx, keyring| seems_at_work(tx, keyring, object, writer))? {
        intake.store(&writing, None, true)?;
    }
    writing.publish()?;
    Ok(Some(made))
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

/// Makes a writer known here, and its run if it is not; returns whether it made that.
fn register(merge: &Merge<'_>, writer: WriterId, object: ObjectId, start: &Start) -> Result<bool> {
    merge.into.inner.write(None, |tx| {
        if store::writer_row(tx, tx.keyring, writer)?.is_some() {
            return Ok(false);
        }
        let (mut data, made) = match tx.object(ObjectKey::new(Kind::Run, object, 0))? {
            Some(row) => (RunData::without_series(tx, tx.keyring, &row)?, false),
            None => {
                let start = Start { run: object.0, run_id: run::free_id(tx, &start.run_id, object)?, ..start.clone() };
                let record = fold::record_of(&start)?;
                (store::create_run(tx, &start, record, Vec::new())?, true)
            }
        };
        fold::apply_found_start(&mut data.record, writer, start)?;
        data.store(tx)?;
        let row = WriterRow { run: object.0, ..WriterRow::default() };
        store::put_writer(tx, &*data.key()?, writer, &row)?;
        Ok(made)
    })
}

fn seems_at_work(tx: &ReadTx<'_>, keyring: &Keyring, run: ObjectId, writer: WriterId) -> Result<bool> {
    let Some(row) = tx.object(ObjectKey::new(Kind::Run, run, 0))? else {
        return Err(Error::damaged(format!("run {run}: its record is missing")));
    };
    let data = RunData::without_series(tx, keyring, &row)?;
    let mut sessions = data.record.sessions.iter();
    Ok(sessions.any(|session| session.writer == writer.0 && session.state == RunState::Running))
}
