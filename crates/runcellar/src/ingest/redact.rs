//! Taking secrets out of a run that was recorded: out of its record, and out of the texts that it logged.
//!
//! A row group with one is written anew in the place of the old, as a compaction does; the record changes as by any other
//! change of its fields. Files stay as they are: their content is named by its hash.

use runcellar_format::WriterId;
use runcellar_format::block::{GroupMain, Level, ValueKind, Values};
use runcellar_format::record::{
    Body as _, Change, ChangeKind, FieldChange, FieldId, GroupEntry, RunRecord, RunState, SeriesPage,
};
use runcellar_format::seal::Kind;
use runcellar_format::value::{Json, Value};

use super::data::RunData;
use super::{fold, groups, prepare, rows_away, series, store};
use crate::db::{ReadTx, WriteTx};
use crate::keys::Keyring;
use crate::secrets::{Finding, Scanner};
use crate::workspace::Inner;
use crate::{Error, ErrorKind, Result, RunInfo};

/// Takes what a scanner finds out of a run; returns it.
///
/// # Errors
/// [`ErrorKind::State`] while the run is being recorded, as its journals would bring it back.
pub(crate) fn redact(inner: &Inner, run: &RunInfo, scanner: &Scanner) -> Result<Vec<Finding>> {
    if run.state == RunState::Running {
        let message =
            format!("run {}: it is being recorded; what stands in it can be taken out when it has ended", run.id);
        return Err(Error::new(ErrorKind::State, message));
    }
    let mut found = Vec::new();
    let all = inner.read(|tx, keyring| {
        rows_away::refuse(tx, keyring, run.object)?;
        let data = store::load(tx, keyring, run.object)?;
        data.groups(tx, keyring)
    })?;
    for entry in all {
        found.extend(redact_group(inner, run, &entry, scanner)?);
    }
    inner.write(None, |tx| redact_record(tx, run, scanner, found.clone()))
}

/// Writes a row group anew if a text of it has a secret.
fn redact_group(inner: &Inner, run: &RunInfo, entry: &GroupEntry, scanner: &Scanner) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    let group = inner.read(|tx, keyring| {
        let mut data = store::load(tx, keyring, run.object)?;
        data.load_series(tx, keyring)?;
        if !has_texts(tx, keyring, &data, entry)? {
            return Ok(None);
        }
        let mut group = groups::read_group(tx, keyring, &data, groups::group_key(&data, entry))?;
        for column in &mut group.columns {
            let name = data.series.entries.get(column.series as usize).map(|series| series.name.as_str());
            if let Values::Text(texts) = &mut column.values {
                found.extend(scanner.logged_in_place(name.unwrap_or_default(), texts));
            }
        }
        Ok((!found.is_empty()).then_some(group))
    })?;
    let Some(group) = group else { return Ok(found) };
    let writer = WriterId(entry.writer);
    let named = |cause| Error::format(format_args!("block {} of run {}", entry.number, run.id), cause);
    let (made, spine, columns) = prepare::encode(writer, &group, Level::Best).map_err(named)?;
    inner.write(None, |tx| store::replace_groups(tx, writer, std::slice::from_ref(entry), made, (&spine, columns)))?;
    Ok(found)
}

fn has_texts(tx: &ReadTx<'_>, keyring: &Keyring, data: &RunData, entry: &GroupEntry) -> Result<bool> {
    let group = groups::group_key(data, entry);
    let named = |cause| Error::format(format_args!("block {} of run {}", entry.number, data.record.id), cause);
    let main = groups::open_part(tx, keyring, data, group, 0)?;
    Ok(GroupMain::decode(&main).map_err(named)?.columns.iter().any(|column| column.kind == ValueKind::Text))
}

/// Takes secrets out of the record, and out of the first and last texts of series, which stand beside their names. What was
/// found before is noted in the record, too.
fn redact_record(
    tx: &mut WriteTx<'_>,
    run: &RunInfo,
    scanner: &Scanner,
    mut found: Vec<Finding>,
) -> Result<Vec<Finding>> {
    let mut data = store::load(tx, tx.keyring, run.object)?;
    for row in tx.objects(Kind::SeriesPage, Some(run.object))? {
        let named = |cause| Error::format(format_args!("series of run {}", run.id), cause);
        let mut page = SeriesPage::from_body(&tx.open_object(tx.keyring, &row)?).map_err(named)?;
        let before = found.len();
        for entry in &mut page.entries {
            for value in [&mut entry.first, &mut entry.last] {
                if let Value::Text(text) = value {
                    found.extend(scanner.logged_in_place(&entry.name, std::slice::from_mut(text)));
                }
            }
        }
        if found.len() > before {
            series::put_page(tx, &mut data, row.key.position, &page)?;
        }
    }
    let mut clean = data.record.clone();
    found.extend(scanner.record(&mut clean)?);
    if found.is_empty() {
        return Ok(found);
    }
    let clock = tx.next_clock();
    let fields = changed(tx, &data.record, &clean)?;
    for field in &fields {
        fold::apply_field(&mut data.record, field, clock)?;
    }
    data.record.start = clean.start;
    found.iter().try_for_each(|finding| fold::add_finding(&mut data.record, finding.to_record()))?;
    let change = Change { clock, kind: ChangeKind::SetFields, object: run.object.0, fields, extra: Vec::new() };
    tx.change(&*data.key()?, &change)?;
    data.store(tx)?;
    Ok(found)
}

/// Returns the changes that make one record another, as far as texts of them differ.
fn changed(tx: &WriteTx<'_>, old: &RunRecord, new: &RunRecord) -> Result<Vec<FieldChange>> {
    let mut all = Vec::new();
    let text = |text: &str| Json::Text(text.to_owned());
    for (field, old, new) in [
        (FieldId::Name, &old.name, &new.name),
        (FieldId::Notes, &old.notes, &new.notes),
        (FieldId::Group, &old.group, &new.group),
        (FieldId::JobType, &old.job_type, &new.job_type),
    ] {
        if old.value != new.value {
            all.push((field, String::new(), text(&new.value)));
        }
    }
    for (old, new) in old.tags.iter().zip(&new.tags).filter(|(old, new)| old.name != new.name) {
        let id = |bytes: [u8; 16]| Json::Text(runcellar_format::ObjectId(bytes).to_string());
        all.push((FieldId::RemoveTag, old.name.clone(), id(old.add_id)));
        all.push((FieldId::AddTag, new.name.clone(), id(crate::io::random(tx.io)?)));
    }
    for ((key, old), (_, new)) in old.config.iter().zip(&new.config) {
        if old.value != new.value {
            let value = new.value.json().map_err(|cause| Error::format("config", cause))?;
            all.push((FieldId::Config, key.clone(), value));
        }
    }
    for ((key, old), (_, new)) in old.summary.iter().zip(&new.summary) {
        if let (true, Value::Text(new)) = (old.value != new.value, &new.value) {
            all.push((FieldId::Summary, key.clone(), text(new)));
        }
    }
    let change = |(field, key, value): (FieldId, String, Json)| FieldChange::new(field, key, &value);
    all.into_iter().map(change).collect::<std::result::Result<_, _>>().map_err(|cause| Error::format("field", cause))
}
