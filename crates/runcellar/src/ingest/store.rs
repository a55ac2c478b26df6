//! Storing a batch: one transaction makes blocks, summary, change records and the writer's place visible together.

use std::sync::Arc;

use runcellar_format::block::{EncodedColumn, EncodedSpine};
use runcellar_format::record::{
    Body, Change, ChangeKind, FieldChange, FieldId, GroupEntry, Project, Redacted, RunHead, RunRecord, Start, WriterRow,
};
use runcellar_format::seal::{Kind, OwnerKey, lookup_tag};
use runcellar_format::{ObjectId, WriterId};

use super::batch::{Batch, Deed};
use super::data::{RunData, SeriesTable};
use super::prepare::Prepared;
use super::progress::Progress;
use super::series::SeriesNumbers;
use super::{fold, groups, series};
use crate::db::{Cover, ObjectKey, ReadTx, WriteTx};
use crate::keys::{Keyring, Purpose};
use crate::{Error, Json, Result};

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stored {
    /// It is in the database; these series are new to the run, in order of number.
    Yes(Vec<Arc<str>>),
    /// Another process had ingested up to this sequence meanwhile, or rewritten the group that was to be joined; the
    /// batch must be built anew.
    Stale(u64),
}

/// Returns the lookup tag of a run's id.
pub(crate) fn run_tag(tx: &WriteTx<'_>, id: &str) -> Result<[u8; 32]> {
    tag_of(tx, tx.keyring, Kind::Run, id)
}

/// Returns the lookup tag of a name.
pub(crate) fn tag_of(tx: &ReadTx<'_>, keyring: &Keyring, kind: Kind, name: &str) -> Result<[u8; 32]> {
    let key = tx.workspace_key(keyring, Purpose::Lookup)?;
    Ok(lookup_tag(key.secret(), kind, ObjectId::NIL, name))
}

/// Makes a run without rows from the start of its first writer; what it holds is the caller's to store.
pub(crate) fn create_run(
    tx: &mut WriteTx<'_>,
    start: &Start,
    mut record: RunRecord,
    extra: Vec<(u16, Vec<u8>)>,
) -> Result<RunData> {
    let project = ensure_project(tx, &start.project_name, ObjectId(start.project), start.started)?;
    let wrapping = tx
        .owner_key(tx.keyring, project, Purpose::ProjectEpoch)?
        .ok_or_else(|| Error::damaged(format!("project {}: its epoch key is missing", start.project_name)))?;
    let object = ObjectId(start.run);
    let key = tx.draw_key(object, Purpose::Metrics, &wrapping)?;
    (record.project, record.start.project) = (project.0, project.0);
    let clock = tx.next_clock();
    let fields = creation_fields(&record, &start.project_name)?;
    tx.change(&key, &Change { clock, kind: ChangeKind::CreateRun, object: object.0, fields, extra })?;
    let (head, series) = (RunHead::default(), SeriesTable::default());
    Ok(RunData { object, key: Some(key), record, head, series, hidden: false, until: None })
}

/// Finds a project by name, or makes it with this object id and time.
pub(crate) fn ensure_project(tx: &mut WriteTx<'_>, name: &str, object: ObjectId, created: i64) -> Result<ObjectId> {
    let tag = tag_of(tx, tx.keyring, Kind::Project, name)?;
    if let Some(row) = tx.object_by_tag(Kind::Project, &tag)? {
        return Ok(row.key.id);
    }
    let epoch_key = tx.keyring.epoch_key(tx.epoch().id)?;
    let project_epoch = tx.draw_key(object, Purpose::ProjectEpoch, &epoch_key)?;
    let key = tx.draw_key(object, Purpose::ProjectRecord, &project_epoch)?;
    let clock = tx.next_clock();
    let fields = vec![field(FieldId::Name, "", &Json::Text(name.to_owned()))?];
    tx.change(&key, &Change { clock, kind: ChangeKind::CreateProject, object: object.0, fields, extra: Vec::new() })?;
    let body = Project { name: name.to_owned(), created, extra: Vec::new() }
        .to_body()
        .map_err(|cause| Error::format("project", cause))?;
    tx.put(ObjectKey::new(Kind::Project, object, 0), Some(tag), &key, &body, Cover::Root)?;
    Ok(object)
}

fn field(id: FieldId, key: &str, value: &Json) -> Result<FieldChange> {
    FieldChange::new(id, key, value).map_err(|cause| Error::format(format_args!("field {key}"), cause))
}

/// Everything that another device needs to make the same record.
fn creation_fields(record: &RunRecord, project: &str) -> Result<Vec<FieldChange>> {
    let text = |text: &str| Json::Text(text.to_owned());
    let mut fields = vec![
        field(FieldId::RunId, "", &text(&record.id))?,
        field(FieldId::Project, project, &text(&ObjectId(record.project).to_string()))?,
        field(FieldId::Created, "", &Json::Int(record.created))?,
    ];
    fields.extend(set_fields_of(record)?);
    if !record.sessions.is_empty() {
        fields.push(state_field(record)?);
    }
    Ok(fields)
}

/// The fields of a record that a user sets.
fn set_fields_of(record: &RunRecord) -> Result<Vec<FieldChange>> {
    let text = |text: &str| Json::Text(text.to_owned());
    let mut fields = Vec::new();
    let stamped = [
        (FieldId::Name, &record.name.value),
        (FieldId::Notes, &record.notes.value),
        (FieldId::Group, &record.group.value),
        (FieldId::JobType, &record.job_type.value),
    ];
    for (id, value) in stamped {
        if !value.is_empty() {
            fields.push(field(id, "", &text(value))?);
        }
    }
    for (key, value) in &record.config {
        let value = value.value.json().map_err(|cause| Error::format("config", cause))?;
        fields.push(field(FieldId::Config, key, &value)?);
    }
    for tag in &record.tags {
        fields.push(field(FieldId::AddTag, &tag.name, &text(&ObjectId(tag.add_id).to_string()))?);
    }
    Ok(fields)
}

/// Says in a change how a run is described and stands now: what was merged into it.
pub(crate) fn say_described(tx: &mut WriteTx<'_>, data: &RunData) -> Result<()> {
    let mut fields = set_fields_of(&data.record)?;
    fields.push(state_field(&data.record)?);
    let clock = tx.next_clock();
    change_run(tx, data, clock, ChangeKind::SetFields, fields)
}

/// Says in a change what was set of a run.
pub(crate) fn say_fields(tx: &mut WriteTx<'_>, data: &RunData, fields: Vec<FieldChange>) -> Result<()> {
    let clock = tx.next_clock();
    change_run(tx, data, clock, ChangeKind::SetFields, fields)
}

/// Returns a writer's row, or a fresh one for a writer that is not known yet.
pub(crate) fn writer_row(tx: &ReadTx<'_>, keyring: &Keyring, writer: WriterId) -> Result<Option<WriterRow>> {
    let Some(row) = tx.object(ObjectKey::new(Kind::Writer, ObjectId(writer.0), 0))? else { return Ok(None) };
    let body = tx.open_object(keyring, &row)?;
    WriterRow::from_body(&body).map(Some).map_err(|cause| Error::format(format_args!("writer {writer}"), cause))
}

/// Returns what the database has of a writer's frames.
pub(crate) fn progress_of(tx: &ReadTx<'_>, keyring: &Keyring, writer: WriterId) -> Result<Progress> {
    Ok(writer_row(tx, keyring, writer)?.map_or_else(Progress::default, |row| Progress::of(&row)))
}

pub(crate) fn put_writer(tx: &mut WriteTx<'_>, key: &OwnerKey, writer: WriterId, row: &WriterRow) -> Result<()> {
    let body = row.to_body().map_err(|cause| Error::format(format_args!("writer {writer}"), cause))?;
    tx.put(ObjectKey::new(Kind::Writer, ObjectId(writer.0), 0), None, key, &body, Cover::Root)?;
    Ok(())
}

/// Makes run and writer known before the first frame: `init` does this, so that the run shows at once. A new run takes
/// one change.
pub(crate) fn register(tx: &mut WriteTx<'_>, writer: WriterId, start: &Start) -> Result<(ObjectId, Arc<OwnerKey>)> {
    register_by(tx, writer, start, fold::apply_start)
}

fn register_by(
    tx: &mut WriteTx<'_>,
    writer: WriterId,
    start: &Start,
    apply_start: fn(&mut RunRecord, WriterId, &Start) -> Result<()>,
) -> Result<(ObjectId, Arc<OwnerKey>)> {
    let tag = run_tag(tx, &start.run_id)?;
    let mut data = match tx.object_by_tag(Kind::Run, &tag)? {
        Some(row) => {
            let mut data = RunData::without_series(tx, tx.keyring, &row)?;
            apply_start(&mut data.record, writer, start)?;
            let mut fields = vec![state_field(&data.record)?];
            if start.resumed && start.forked_from == [0; 16] {
                // Everything that the start sets of a run that is there already.
                fields.extend(set_fields_of(&fold::record_of(start)?)?);
            }
            let clock = tx.next_clock();
            change_run(tx, &data, clock, ChangeKind::SetFields, fields)?;
            data
        }
        None => {
            let mut record = fold::record_of(start)?;
            apply_start(&mut record, writer, start)?;
            create_run(tx, start, record, Vec::new())?
        }
    };
    data.store(tx)?;
    let key = data.key()?;
    put_writer(tx, &key, writer, &WriterRow { run: data.object.0, ..WriterRow::default() })?;
    Ok((data.object, key))
}

/// Reads a run without its series.
pub(crate) fn load(tx: &ReadTx<'_>, keyring: &Keyring, run: ObjectId) -> Result<RunData> {
    match tx.object(ObjectKey::new(Kind::Run, run, 0))? {
        Some(row) => RunData::without_series(tx, keyring, &row),
        None => Err(Error::damaged(format!("run {run}: its record is missing"))),
    }
}

/// Returns true if the run of a batch was erased: what its writers bring later is dropped.
fn is_erased(tx: &ReadTx<'_>, keyring: &Keyring, batch: &Batch) -> Result<bool> {
    if tx.is_buried(keyring, ObjectId(batch.writer.0))? {
        return Ok(true);
    }
    batch.start.as_ref().map_or(Ok(false), |start| is_of_erased_run(tx, keyring, start))
}

/// Returns true if the run that a start record speaks of was erased.
pub(crate) fn is_of_erased_run(tx: &ReadTx<'_>, keyring: &Keyring, start: &Start) -> Result<bool> {
    // Tombstones of a run that is there are of its code or media.
    let run = ObjectId(start.run);
    Ok(tx.is_buried(keyring, run)? && tx.object(ObjectKey::new(Kind::Run, run, 0))?.is_none())
}

/// Stores a batch that was made ready and, if the writer is `dead`, that it ended without a word.
pub(super) fn store(
    tx: &mut WriteTx<'_>,
    batch: &Batch,
    prepared: Prepared,
    known: &mut SeriesNumbers,
    dead: bool,
) -> Result<Stored> {
    let writer = writer_row(tx, tx.keyring, batch.writer)?;
    if writer.is_none() && is_erased(tx, tx.keyring, batch)? {
        return Ok(Stored::Yes(Vec::new()));
    }
    let mut row = match (writer, &batch.start) {
        (Some(row), _) => row,
        (None, Some(start)) => {
            let (run, _) = register_by(tx, batch.writer, start, fold::apply_found_start)?;
            WriterRow { run: run.0, ..WriterRow::default() }
        }
        (None, None) => return Err(Error::damaged(format!("writer {}: its start record is missing", batch.writer))),
    };
    let mut data = load(tx, tx.keyring, ObjectId(row.run))?;
    let joins = prepared.group.as_ref().and_then(|group| group.joins.as_ref());
    let is_stale = Progress::of(&row) != batch.base
        || joins.map_or(Ok(false), |entry| groups::is_there(tx, tx.keyring, &data, entry).map(|there| !there))?;
    if is_stale {
        return Ok(Stored::Stale(row.sequence));
    }
    fold::apply_batch(&mut data.record, batch)?;
    if dead && !row.closed {
        fold::mark_dead(&mut data.record, batch.writer);
    }
    let key = data.key()?;
    for deed in &batch.deeds {
        match deed {
            Deed::Fields { clock, fields } => {
                tx.witness_clock(*clock);
                change_run(tx, &data, *clock, ChangeKind::SetFields, fields.clone())?;
            }
            Deed::Close(_) => row.closed = true,
            Deed::Event(_) => {}
        }
    }
    known.refresh(tx, tx.keyring, &data)?;
    data.head.rows += batch.rows() as u64;
    data.head.points += prepared.points;
    let series = series::store(tx, &mut data, known, prepared.series)?;
    if batch.deeds.iter().any(Deed::defines_metrics) {
        // What was logged before counts too.
        data.load_series(tx, tx.keyring)?;
        fold::apply_definitions(&mut data.record, &std::mem::take(&mut data.series).entries);
    } else {
        fold::apply_definitions(&mut data.record, &series.entries);
    }
    let mut fields = vec![state_field(&data.record)?];
    if let Some(group) = prepared.group {
        let numbers: Vec<u32> = series.numbers.iter().chain(&group.others).copied().collect();
        let mut columns = group.columns;
        for column in &mut columns {
            column.series = numbers.get(column.series as usize).copied().unwrap_or(u32::MAX);
        }
        let made =
            groups::store_group(tx, &mut data, &mut row, group.entry, (&group.spine, columns), group.joins.as_slice())?;
        let gone: Vec<u32> = group.joins.iter().map(|entry| entry.number).collect();
        fields.push(groups_field(batch.writer, made, &gone)?);
    }
    let clock = tx.next_clock();
    change_run(tx, &data, clock, ChangeKind::AddGroups, fields)?;
    (row.sequence, row.missing) = (batch.progress.sequence, batch.progress.missing.clone());
    data.store(tx)?;
    put_writer(tx, &key, batch.writer, &row)?;
    Ok(Stored::Yes(series.fresh))
}

/// Puts one group in the place of several of its writer, unless one of them is gone.
pub(super) fn replace_groups(
    tx: &mut WriteTx<'_>,
    writer: WriterId,
    old: &[GroupEntry],
    entry: GroupEntry,
    encoded: (&EncodedSpine, Vec<EncodedColumn>),
) -> Result<()> {
    let Some(mut row) = writer_row(tx, tx.keyring, writer)? else { return Ok(()) };
    let mut data = load(tx, tx.keyring, ObjectId(row.run))?;
    for entry in old {
        if !groups::is_there(tx, tx.keyring, &data, entry)? {
            return Ok(());
        }
    }
    let gone: Vec<u32> = old.iter().map(|entry| entry.number).collect();
    let made = groups::store_group(tx, &mut data, &mut row, entry, encoded, old)?;
    let clock = tx.next_clock();
    change_run(tx, &data, clock, ChangeKind::AddGroups, vec![groups_field(writer, made, &gone)?])?;
    data.store(tx)?;
    put_writer(tx, &*data.key()?, writer, &row)
}

fn change_run(
    tx: &mut WriteTx<'_>,
    data: &RunData,
    clock: u64,
    kind: ChangeKind,
    fields: Vec<FieldChange>,
) -> Result<()> {
    tx.change(&*data.key()?, &Change { clock, kind, object: data.object.0, fields, extra: Vec::new() })
}

/// Says which group of a writer was added, and which it took up.
fn groups_field(writer: WriterId, made: u32, gone: &[u32]) -> Result<FieldChange> {
    let numbers = |numbers: &[u32]| Json::List(numbers.iter().map(|number| Json::Int((*number).into())).collect());
    let value = Json::Map(vec![("added".into(), numbers(&[made])), ("removed".into(), numbers(gone))]);
    field(FieldId::Groups, &writer.to_string(), &value)
}

fn state_field(record: &RunRecord) -> Result<FieldChange> {
    let sessions = record.sessions.iter().map(|session| {
        Json::Map(vec![
            ("writer".into(), Json::Text(WriterId(session.writer).to_string())),
            ("state".into(), Json::Text(session.state.as_str().into())),
            ("started".into(), Json::Int(session.started)),
            ("ended".into(), Json::Int(session.ended)),
        ])
    });
    field(FieldId::State, "", &Json::List(sessions.collect()))
}

/// Changes fields of a run from outside its writers: `rm`, `restore`, a new name.
pub(crate) fn set_fields(
    tx: &mut WriteTx<'_>,
    run: ObjectId,
    fields: Vec<FieldChange>,
    redacted: Vec<Redacted>,
) -> Result<()> {
    let mut data = load(tx, tx.keyring, run)?;
    let (key, clock) = (data.key()?, tx.next_clock());
    for field in &fields {
        fold::apply_field(&mut data.record, field, clock)?;
    }
    for finding in redacted {
        fold::add_finding(&mut data.record, finding)?;
    }
    tx.change(&key, &Change { clock, kind: ChangeKind::SetFields, object: run.0, fields, extra: Vec::new() })?;
    data.store(tx)
}
