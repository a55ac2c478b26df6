//! The workspace as it was at a time.
//!
//! Points and writers carry times, and every change of a run's fields is kept with its clock, so the past follows from
//! what is stored: points up to the time, fields as the changes up to then leave them, statistics and summary of these
//! points, without the rewinds that came later. docs/CLI.md, "--as-of", says what cannot be told.

use std::collections::{HashMap, HashSet};

use runcellar_format::ObjectId;
use runcellar_format::record::{
    Change, ChangeKind, FieldId, REWINDS_FIELD, Rewind, RunRecord, RunState, SeriesEntry, Stamped,
};
use runcellar_format::seal::{Envelope, Kind};
use runcellar_format::value::Value;

use super::cut::{Cut, Share};
use super::recount::Recount;
use crate::db::ReadTx;
use crate::ingest::batch::{Batch, Deed};
use crate::ingest::data::{RunData, SeriesTable};
use crate::ingest::{fold, groups, rows_away};
use crate::keys::Keyring;
use crate::own::is_own;
use crate::query::tail::View;
use crate::{Error, Result};

/// What was changed of runs, by run: its making, and then in order of clock.
pub(crate) type Changes = HashMap<ObjectId, Vec<Change>>;

/// Reads the changes of all runs, or of one.
pub(crate) fn changes(tx: &ReadTx<'_>, keyring: &Keyring, only: Option<&RunData>) -> Result<Changes> {
    let wanted = only.map(RunData::key).transpose()?.map(|key| key.id());
    let mut all = Changes::new();
    for row in tx.objects(Kind::Change, None)? {
        let noun = || format!("change {}", row.key.position);
        let key = Envelope::parse("change record", &row.body).map_err(|cause| Error::format(noun(), cause))?.key;
        if wanted.is_some_and(|wanted| wanted != key) {
            continue;
        }
        let body = tx.open_object(keyring, &row)?;
        let change = Change::from_padded_body(&body).map_err(|cause| Error::format(noun(), cause))?;
        if matches!(change.kind, ChangeKind::CreateRun | ChangeKind::SetFields) {
            all.entry(ObjectId(change.object)).or_default().push(change);
        }
    }
    // A run may be entered in the database after it began, and after fields were set that its journal brought.
    let order = |change: &Change| (change.kind != ChangeKind::CreateRun, change.clock);
    all.values_mut().for_each(|changes| changes.sort_by_key(order));
    Ok(all)
}

/// Makes the view of a run as it was at a time out of what is stored now; none if it was not there yet.
pub(crate) fn view_at(
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    mut data: RunData,
    changes: &[Change],
    tails: Vec<Batch>,
    time: i64,
) -> Result<Option<View>> {
    if data.record.created > time {
        return Ok(None);
    }
    let rewinds: Vec<Rewind> = data.rewinds()?.into_iter().filter(|rewind| rewind.time <= time).collect();
    data.record.extra.retain(|(field, _)| *field != REWINDS_FIELD);
    if !rewinds.is_empty() {
        data.set_rewinds(rewinds)?;
    }
    data.until = Some(time);
    let cut = Cut { step: i64::MAX, time };
    rows_away::refuse(tx, keyring, data.object)?;
    let mut recount = Recount::new(&data.series).without_own();
    let groups = if data.key.is_some() { data.groups(tx, keyring)? } else { Vec::new() };
    for entry in &groups {
        match cut.share_of(entry) {
            Share::All => recount.add_group(tx, keyring, &data, entry)?,
            Share::None => {}
            Share::Some => {
                let group = groups::read_group(tx, keyring, &data, groups::group_key(&data, entry))?;
                if let (Some(kept), _) = cut.split(&group) {
                    recount.add_rows(&kept.steps, &kept.times, &kept.columns);
                }
            }
        }
    }
    // What a run began with stands in its first change, and before there is one in the record that is made of its start.
    let first_tags = if data.key.is_none() { std::mem::take(&mut data.record.tags) } else { Vec::new() };
    data.record = record_at(&data.record, changes, &recount.entries, time)?;
    data.record.tags.extend(first_tags);
    recount.summarise(&mut data.record, time);
    data.record.next_step = recount.last_step.map_or(0, |step| step.saturating_add(1)).max(0);
    data.series = SeriesTable::of(recount.entries);
    let mut view = View { data, tails: Vec::new() };
    for mut batch in tails {
        if batch.start.as_ref().is_some_and(|start| start.started > time) {
            continue;
        }
        // What was logged later is left out.
        drop(batch.split_off(|_, at| at > time));
        batch.deeds.retain(|deed| match deed {
            Deed::Fields { clock, .. } => is_by(*clock, time),
            Deed::Close(close) => close.time <= time,
            Deed::Event(event) => event.time <= time,
        });
        view.absorb(batch)?;
    }
    Ok(Some(view))
}

/// Returns true if something was set by a time.
fn is_by(clock: u64, time: i64) -> bool {
    clock <= fold::clock_of(time) || i64::try_from(clock >> 16).is_ok_and(|ms| ms < time.div_euclid(1000))
}

/// Makes the record of a run at a time, but for what its points say.
fn record_at(now: &RunRecord, changes: &[Change], series: &[SeriesEntry], time: i64) -> Result<RunRecord> {
    let mut past = RunRecord {
        id: now.id.clone(),
        project: now.project,
        created: now.created,
        start: now.start.clone(),
        extra: now.extra.clone(),
        ..RunRecord::default()
    };
    let mut taken_out: HashSet<&str> = HashSet::new();
    for change in changes {
        // A run may be entered in the database after it began.
        let clock = match change.kind {
            ChangeKind::CreateRun => change.clock.min(fold::clock_of(now.created)),
            _ => change.clock,
        };
        if !is_by(clock, time) {
            continue;
        }
        for field in &change.fields {
            fold::apply_field(&mut past, field, clock)?;
            match field.field {
                FieldId::RemoveSummary => drop(taken_out.insert(&field.key)),
                FieldId::Summary => drop(taken_out.remove(field.key.as_str())),
                _ => {}
            }
        }
    }
    // What was set last by then stands in the record itself, whichever way it came there.
    for (past, now) in [
        (&mut past.name, &now.name),
        (&mut past.notes, &now.notes),
        (&mut past.group, &now.group),
        (&mut past.job_type, &now.job_type),
    ] {
        if is_by(now.clock, time) {
            past.merge(now.value.clone(), now.clock);
        }
    }
    if is_by(now.removed.clock, time) {
        past.removed.merge(now.removed.value, now.removed.clock);
    }
    for (key, value) in now.config.iter().filter(|(_, value)| is_by(value.clock, time)) {
        match past.config.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) => drop(known.merge(value.value.clone(), value.clock)),
            None => past.config.push((key.clone(), value.clone())),
        }
    }
    // Metrics stand in the order of now; the recount puts their values in.
    let metric = |name: &str| (name.to_owned(), Stamped::new(Value::Bool(false), 0));
    let logged: HashSet<&str> =
        series.iter().filter(|entry| !is_own(&entry.name)).map(|entry| entry.name.as_str()).collect();
    let in_order = now.summary.iter().map(|(key, _)| key.as_str()).filter(|key| logged.contains(key));
    let mut summary: Vec<_> = in_order.clone().map(metric).collect();
    let known: HashSet<&str> = in_order.collect();
    let others = series.iter().map(|entry| entry.name.as_str());
    let others = others.filter(|name| logged.contains(name) && !known.contains(name) && !taken_out.contains(name));
    summary.extend(others.map(metric));
    summary.extend(std::mem::take(&mut past.summary).into_iter().filter(|(key, _)| !logged.contains(key.as_str())));
    past.summary = summary;

    let heard = |later: usize| now.sessions.iter().skip(later).any(|other| !other.forked && other.started <= time);
    for (at, session) in now.sessions.iter().enumerate().filter(|(_, session)| session.started <= time) {
        let mut session = session.clone();
        session.superseded &= heard(at + 1);
        if session.ended > time || session.state == RunState::Running {
            (session.state, session.ended) = (RunState::Running, session.ended.min(time));
        }
        past.sessions.push(session);
    }
    fold::derive_state(&mut past);
    if past.state == now.state && past.finished == now.finished {
        (past.exit_code, past.dropped) = (now.exit_code, now.dropped);
    }
    Ok(past)
}
