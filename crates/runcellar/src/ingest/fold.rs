//! Folding what journals say of a run into its record: the one place where state, summary and fields are decided,
//! for ingest and for readers of live journals alike.

use std::collections::HashMap;

use runcellar_format::record::{
    Close, Edits, Event, FINDINGS_FIELD, FINDINGS_MAX, FieldChange, FieldId, Findings, LAUNCH_FIELD, Launched,
    Launches, MetricDefinition, Redacted, RunRecord, RunState, SeriesEntry, Session, Stamped, Start, Tag, Taken,
    TakenFrom, Tokens, extra_body, set_extra_body,
};
use runcellar_format::value::{Json, Value};
use runcellar_format::{KeyId, WriterId};

use super::batch::{Batch, Deed};
use crate::own::is_own;
use crate::{Error, Result};

/// Returns the hybrid clock of a time in microseconds, which stand in its counter: a value logged and one set within a
/// millisecond keep their order.
pub(crate) fn clock_of(time_us: i64) -> u64 {
    let time_us = time_us.max(0).cast_unsigned();
    ((time_us / 1000) << 16) | (time_us % 1000)
}

/// Makes the record of a new run from the start of its first writer.
pub(crate) fn record_of(start: &Start) -> Result<RunRecord> {
    let clock = clock_of(start.started);
    let stamped = |text: &str| Stamped::new(text.to_owned(), clock);
    let config = start.config.json().map_err(|cause| Error::format("config", cause))?;
    let mut record = RunRecord {
        id: start.run_id.clone(),
        project: start.project,
        created: start.started,
        name: stamped(&start.name),
        notes: stamped(&start.notes),
        group: stamped(&start.group),
        job_type: stamped(&start.job_type),
        start: start.clone(),
        ..RunRecord::default()
    };
    // Config and tags stand in the record itself; the copy of the start need not repeat them.
    record.start.config = Tokens::default();
    record.start.tags.clear();
    add_start(&mut record, start, &config, clock)?;
    Ok(record)
}

fn add_start(record: &mut RunRecord, start: &Start, config: &Json, clock: u64) -> Result<()> {
    if let Json::Map(members) = config {
        let mut overs = Vec::new();
        for (key, value) in members {
            let tokens = Tokens::new(value).map_err(|cause| Error::format("config", cause))?;
            let over = set_stamped(&mut record.config, key, tokens, clock);
            overs.extend(over.map(|over| (FieldId::Config, key.as_str(), over)));
        }
        note_overs(record, &overs)?;
    }
    for tag in &start.tags {
        add_tag(record, tag, tag_id(tag))?;
    }
    Ok(())
}

/// Takes the start of a writer in that starts now: a session more, and on a resumed run what it gave anew.
pub(crate) fn apply_start(record: &mut RunRecord, writer: WriterId, start: &Start) -> Result<()> {
    let place = record.sessions.len();
    apply_start_at(record, writer, start, place)
}

/// As [`apply_start`], of a writer whose journal was found now.
///
/// That may be long after those of writers that went on from it: on a network file system the journal of a writer on
/// another host is taken in when it was silent for long.
pub(crate) fn apply_found_start(record: &mut RunRecord, writer: WriterId, start: &Start) -> Result<()> {
    let last = record.sessions.iter().rposition(|known| known.started <= start.started);
    apply_start_at(record, writer, start, last.map_or(0, |last| last + 1))
}

/// As [`apply_start`], of a writer whose session has this place among those of the run.
fn apply_start_at(record: &mut RunRecord, writer: WriterId, start: &Start, place: usize) -> Result<()> {
    if record.sessions.iter().any(|session| session.writer == writer.0) {
        return Ok(());
    }
    let forked = start.forked_from != [0; 16];
    let launched = launched(start)?;
    let mut launches = launches(record)?;
    let launch = launched.map(|Launched { job, restart }| (job_hash(&job), restart));
    let launch_of = |session: &Session| {
        let found = launches.writers.iter().find(|(writer, ..)| *writer == session.writer);
        found.map(|(_, job, restart)| (*job, *restart))
    };
    let mut session = Session {
        writer: writer.0,
        rank: start.rank,
        forked,
        superseded: false,
        state: RunState::Running,
        started: start.started,
        ended: start.started,
    };
    let (earlier, later) = record.sessions.split_at_mut(place);
    session.superseded =
        !forked && later.iter().any(|later| !later.forked && supersedes((later, launch_of(later)), (&session, launch)));
    if start.resumed && !forked {
        for earlier in earlier {
            earlier.superseded |= supersedes((&session, launch), (earlier, launch_of(earlier)));
        }
        let clock = clock_of(start.started);
        let config = start.config.json().map_err(|cause| Error::format("config", cause))?;
        add_start(record, start, &config, clock)?;
        let mut overs = Vec::new();
        for (id, field, value) in [
            (FieldId::Name, &mut record.name, &start.name),
            (FieldId::Notes, &mut record.notes, &start.notes),
            (FieldId::Group, &mut record.group, &start.group),
            (FieldId::JobType, &mut record.job_type, &start.job_type),
        ] {
            // What it was called already is not said anew: another copy of the workspace may have renamed it since.
            if !value.is_empty() && field.value != *value {
                overs.extend(set(field, value.clone(), clock).map(|over| (id, "", over)));
            }
        }
        note_overs(record, &overs)?;
    }
    if let Some((job, restart)) = launch {
        launches.writers.push((writer.0, job, restart));
        set_extra_body(&mut record.extra, LAUNCH_FIELD, &launches).map_err(|cause| Error::format("launches", cause))?;
    }
    record.sessions.insert(place, session);
    derive_state(record);
    Ok(())
}

/// Returns true if a session, which went on with the run, takes the place of another; each with its job and the count of
/// that one's restarts.
fn supersedes(later: (&Session, Option<(u64, u32)>), earlier: (&Session, Option<(u64, u32)>)) -> bool {
    let same_rank = earlier.0.rank == later.0.rank;
    match (later.1, earlier.1) {
        // The ranks of one job count together, whichever ends first, until the job is started again.
        (Some((job, restart)), Some((of, before))) if job == of => same_rank || before < restart,
        // Another rank at work is no earlier session: the run goes on for as long as it does.
        _ => same_rank || earlier.0.state != RunState::Running,
    }
}

/// Returns what started a writer as one of several.
pub(crate) fn launched(start: &Start) -> Result<Option<Launched>> {
    extra_body(&start.extra, LAUNCH_FIELD).map_err(|cause| Error::format("start record", cause))
}

/// Returns true if the job of `start` alone has recorded a run.
pub(crate) fn is_of_job(record: &RunRecord, start: &Start) -> Result<bool> {
    let Some(launched) = launched(start)? else { return Ok(false) };
    let launches = launches(record)?;
    let of_job = |session: &Session| {
        launches.writers.iter().any(|(writer, job, _)| *writer == session.writer && *job == job_hash(&launched.job))
    };
    Ok(record.sessions.iter().all(of_job))
}

fn launches(record: &RunRecord) -> Result<Launches> {
    let launches = extra_body(&record.extra, LAUNCH_FIELD);
    Ok(launches
        .map_err(|cause| Error::format(format_args!("launches of run {}", record.id), cause))?
        .unwrap_or_default())
}

/// Tells jobs apart in a run's record.
fn job_hash(job: &str) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&runcellar_format::seal::checksum(job.as_bytes())[..8]);
    u64::from_le_bytes(first)
}

/// Takes a batch in: fields, summary, ends. Series statistics are the caller's.
pub(crate) fn apply_batch(record: &mut RunRecord, batch: &Batch) -> Result<()> {
    if let Some(start) = &batch.start {
        apply_found_start(record, batch.writer, start)?;
    }
    if let Some(next) = batch.last_step.map(|step| step.saturating_add(1)) {
        record.next_step = record.next_step.max(next);
    }
    let mut places = Places::default();
    for metric in batch.metrics.iter().filter(|metric| !is_own(&metric.name)) {
        let Some((value, time)) = &metric.columns.last else { continue };
        if matches!(value, Value::Histogram(_) | Value::Media(_)) {
            // A summary is a line of a listing.
            continue;
        }
        let may_add = record.summary.len() < SUMMARY_LOGGED_MAX;
        places.set(&mut record.summary, &metric.name, shortened(value), clock_of(*time), may_add);
    }
    for deed in &batch.deeds {
        match deed {
            Deed::Fields { clock, fields } => {
                for field in fields {
                    apply_field_at(record, field, *clock, &mut places)?;
                }
            }
            Deed::Close(close) => apply_close(record, batch.writer, close),
            Deed::Event(event) => apply_event(record, event)?,
        }
    }
    if let Some(session) = record.sessions.iter_mut().find(|session| session.writer == batch.writer.0) {
        session.ended = session.ended.max(batch.heard);
        if session.state == RunState::Crashed && !batch.is_empty() {
            // It was only thought dead: it went on writing.
            session.state = RunState::Running;
        }
    }
    derive_state(record);
    Ok(())
}

/// Lists a secret that was redacted; other events are for people who look into journals.
fn apply_event(record: &mut RunRecord, event: &Event) -> Result<()> {
    Redacted::from_event(event).map_or(Ok(()), |finding| add_finding(record, finding))
}

/// Lists a secret that was redacted, once, while there is room.
pub(crate) fn add_finding(record: &mut RunRecord, finding: Redacted) -> Result<()> {
    let mut findings = findings(record)?;
    if findings.all.len() < FINDINGS_MAX && !findings.all.contains(&finding) {
        findings.all.push(finding);
        set_extra_body(&mut record.extra, FINDINGS_FIELD, &findings)
            .map_err(|cause| Error::format("findings", cause))?;
    }
    Ok(())
}

/// Returns the secrets that were found in what a run recorded.
pub(crate) fn findings(record: &RunRecord) -> Result<Findings> {
    let findings = extra_body(&record.extra, FINDINGS_FIELD);
    Ok(findings
        .map_err(|cause| Error::format(format_args!("findings of run {}", record.id), cause))?
        .unwrap_or_default())
}

fn apply_close(record: &mut RunRecord, writer: WriterId, close: &Close) {
    let Some(session) = record.sessions.iter_mut().find(|session| session.writer == writer.0) else { return };
    session.state = close.state;
    session.ended = session.ended.max(close.time);
    record.dropped += close.dropped;
    if !session.forked && close.exit_code.is_some() {
        record.exit_code = close.exit_code;
    }
}

/// Marks a writer that ended without a word.
pub(crate) fn mark_dead(record: &mut RunRecord, writer: WriterId) {
    if let Some(session) = record.sessions.iter_mut().find(|session| session.writer == writer.0)
        && session.state == RunState::Running
    {
        session.state = RunState::Crashed;
    }
    derive_state(record);
}

/// Decides how a run stands from its writers: forked children and sessions before a resume do not count; one that
/// is at work makes it running; else the worst end stands.
pub(crate) fn derive_state(record: &mut RunRecord) {
    let counted = || record.sessions.iter().filter(|session| !session.forked && !session.superseded);
    let severity = |state: RunState| match state {
        RunState::Finished => 0,
        RunState::Failed => 1,
        RunState::Killed => 2,
        RunState::Crashed => 3,
        RunState::Running => 4,
    };
    let worst = counted().map(|session| session.state).max_by_key(|state| severity(*state));
    let ended = counted().map(|session| session.ended).max();
    record.state = worst.unwrap_or(RunState::Running);
    record.finished = ended.filter(|_| record.state != RunState::Running);
}

/// Sets one field.
pub(crate) fn apply_field(record: &mut RunRecord, change: &FieldChange, clock: u64) -> Result<()> {
    apply_field_at(record, change, clock, &mut Places::default())
}

/// Sets one of many fields; `places` are those of the summary.
fn apply_field_at(record: &mut RunRecord, change: &FieldChange, clock: u64, places: &mut Places) -> Result<()> {
    let value = change.value().map_err(|cause| Error::format("field", cause))?;
    let text = |value: &Json| match value {
        Json::Text(text) => text.clone(),
        _ => String::new(),
    };
    let over = match change.field {
        FieldId::Name => set(&mut record.name, text(&value), clock),
        FieldId::Notes => set(&mut record.notes, text(&value), clock),
        FieldId::Group => set(&mut record.group, text(&value), clock),
        FieldId::JobType => set(&mut record.job_type, text(&value), clock),
        FieldId::Config => set_stamped(&mut record.config, &change.key, change.tokens().clone(), clock),
        _ => None,
    };
    if let Some(over) = over {
        note_overs(record, &[(change.field, &change.key, over)])?;
    }
    match change.field {
        FieldId::Name | FieldId::Notes | FieldId::Group | FieldId::JobType | FieldId::Config => {}
        FieldId::RemoveConfig => {
            record.config.retain(|(key, old)| *key != change.key || old.clock > clock);
            take_away(record, |taken| taken.add_key(TakenFrom::Config, &change.key, clock))?;
        }
        FieldId::Summary => {
            if let Some(value) = scalar(value) {
                places.set(&mut record.summary, &change.key, value, clock, true);
            }
        }
        FieldId::RemoveSummary => {
            record.summary.retain(|(key, old)| *key != change.key || old.clock > clock);
            *places = Places::default();
            take_away(record, |taken| taken.add_key(TakenFrom::Summary, &change.key, clock))?;
        }
        FieldId::AddTag => {
            if let Some(KeyId(add_id)) = KeyId::from_hex(&text(&value)) {
                add_tag(record, &change.key, add_id)?;
            }
        }
        FieldId::RemoveTag => {
            let seen = text(&value);
            let removed = |tag: &Tag| tag.name == change.key && seen.contains(&KeyId(tag.add_id).to_string());
            let ids: Vec<[u8; 16]> = record.tags.extract_if(.., |tag| removed(tag)).map(|tag| tag.add_id).collect();
            if !ids.is_empty() {
                take_away(record, |taken| taken.tags.extend(ids))?;
            }
        }
        FieldId::Removed => {
            let time = if let Json::Int(time) = value { Some(time) } else { None };
            record.removed.merge(time, clock);
        }
        FieldId::Metric => define_metric(record, &change.key, &value),
        // What a run is made with, and what its journals say themselves.
        FieldId::State | FieldId::Groups | FieldId::RunId | FieldId::Project | FieldId::Created => {}
        // Of the workspace, not of a run.
        FieldId::Setting | FieldId::Slot => {}
    }
    Ok(())
}

/// Notes over what fields were set, each with its key and the clock of the value that was there: who merges this run finds out
/// by it whether a value of theirs was seen.
///
/// Not of the summary, where what was logged last stands.
fn note_overs(record: &mut RunRecord, overs: &[(FieldId, &str, u64)]) -> Result<()> {
    if overs.is_empty() {
        return Ok(());
    }
    let mut edits = edits(record)?;
    overs.iter().for_each(|(field, key, over)| edits.set_over(*field, key, *over));
    edits.note(record).map_err(|cause| Error::format(format_args!("run {}", record.id), cause))
}

/// Returns what is remembered of the settings of a run's fields.
pub(crate) fn edits(record: &RunRecord) -> Result<Edits> {
    Edits::of(record).map_err(|cause| Error::format(format_args!("run {}", record.id), cause))
}

/// Longest text that stands in a summary or a series' statistics because it was logged. Both are one record each, which
/// has a limit of its own and is rewritten by every ingest; the series has the whole text.
const TEXT_BYTES_MAX: usize = 4096;

/// The most entries of a summary that there are because metrics were logged: as many as one row can have values. The
/// summary is part of a record that is rewritten by every ingest and read by every listing; metrics beyond it have their
/// series, and their last value in its statistics.
const SUMMARY_LOGGED_MAX: usize = crate::run::ROW_VALUES_MAX as usize;

/// Returns a value as summaries and statistics keep it.
pub(crate) fn shortened(value: &Value) -> Value {
    match value {
        Value::Text(text) if text.len() > TEXT_BYTES_MAX => {
            let end = (0..=TEXT_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            Value::Text(format!("{}...", text.get(..end).unwrap_or_default()))
        }
        Value::Histogram(histogram) => Value::Text(format!("histogram of {} bins", histogram.counts().len())),
        Value::Media(_) => Value::Text("media".into()),
        value => value.clone(),
    }
}

/// Sets a value; returns the clock of another one that it took the place of.
fn set<T: PartialEq>(stamped: &mut Stamped<T>, value: T, clock: u64) -> Option<u64> {
    let (differs, known) = (stamped.value != value, stamped.clock);
    (stamped.merge(value, clock) && differs && clock > known).then_some(known)
}

fn set_stamped<T: PartialEq>(entries: &mut Vec<(String, Stamped<T>)>, key: &str, value: T, clock: u64) -> Option<u64> {
    match entries.iter_mut().find(|(known, _)| known == key) {
        Some((_, stamped)) => set(stamped, value, clock),
        None => {
            entries.push((key.to_owned(), Stamped::new(value, clock)));
            None
        }
    }
}

/// Finds the places of many keys: after the last one found, as batches bring thousands of metrics in the same order
/// again and again, or by an index that is made when that fails.
#[derive(Default)]
struct Places {
    next: usize,
    index: Option<HashMap<String, usize>>,
}

impl Places {
    fn find<T>(&mut self, entries: &[(String, Stamped<T>)], key: &str) -> Option<usize> {
        let place = if entries.get(self.next).is_some_and(|(known, _)| known == key) {
            self.next
        } else {
            let places = || (0..).zip(entries).map(|(place, (known, _))| (known.clone(), place)).collect();
            *self.index.get_or_insert_with(places).get(key)?
        };
        self.next = place + 1;
        Some(place)
    }

    /// Sets an entry, adding it if `may_add`.
    fn set<T>(&mut self, entries: &mut Vec<(String, Stamped<T>)>, key: &str, value: T, clock: u64, may_add: bool) {
        match self.find(entries, key).and_then(|place| entries.get_mut(place)) {
            Some((_, stamped)) => drop(stamped.merge(value, clock)),
            None if !may_add => {}
            None => {
                if let Some(index) = &mut self.index {
                    index.insert(key.to_owned(), entries.len());
                }
                entries.push((key.to_owned(), Stamped::new(value, clock)));
            }
        }
    }
}

fn add_tag(record: &mut RunRecord, name: &str, add_id: [u8; 16]) -> Result<()> {
    if !record.tags.iter().any(|tag| tag.add_id == add_id) {
        let tag = Tag { name: name.to_owned(), add_id };
        // A run that is gone on with and given the tags of its start has them again.
        if taken_from(record)?.has_tag(&tag) {
            take_away(record, |taken| taken.tags.retain(|id| *id != add_id))?;
        }
        record.tags.push(tag);
    }
    Ok(())
}

/// Returns what was taken away from a run.
pub(crate) fn taken_from(record: &RunRecord) -> Result<Taken> {
    Taken::of(record).map_err(|cause| Error::format(format_args!("run {}", record.id), cause))
}

/// Notes what is taken away from a run, for copies that still have it.
fn take_away(record: &mut RunRecord, taking: impl FnOnce(&mut Taken)) -> Result<()> {
    let mut taken = taken_from(record)?;
    taking(&mut taken);
    taken.note(record).map_err(|cause| Error::format(format_args!("run {}", record.id), cause))
}

/// The adding of a tag at the start of a run needs no random id: it is the same adding wherever it is folded.
fn tag_id(name: &str) -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(&runcellar_format::seal::checksum(name.as_bytes())[..16]);
    id
}

fn scalar(value: Json) -> Option<Value> {
    match value {
        Json::Bool(value) => Some(Value::Bool(value)),
        Json::Int(value) => Some(Value::Int(value)),
        Json::Float(value) => Some(Value::Float(value)),
        Json::Text(value) => Some(Value::Text(value)),
        Json::Null | Json::List(_) | Json::Map(_) => None,
    }
}

fn define_metric(record: &mut RunRecord, name: &str, value: &Json) {
    let text = |key: &str| match value.get(key) {
        Some(Json::Text(text)) => text.clone(),
        _ => String::new(),
    };
    let summary =
        text("summary").split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect();
    let definition = MetricDefinition {
        name: name.to_owned(),
        summary,
        step_metric: text("step_metric"),
        goal: text("goal"),
        hidden: value.get("hidden") == Some(&Json::Bool(true)),
    };
    record.metrics.retain(|known| known.name != name);
    record.metrics.push(definition);
}

/// Puts the statistics that definitions ask for into the summary: `loss.min` and the like, in place of the last value.
pub(crate) fn apply_definitions(record: &mut RunRecord, series: &[SeriesEntry]) {
    if record.metrics.iter().all(|definition| definition.summary.is_empty()) {
        return;
    }
    let mut places = Places::default();
    for entry in series {
        let Some(definition) = definition_of(&record.metrics, &entry.name) else { continue };
        if definition.summary.is_empty() {
            continue;
        }
        // The plain last value keeps standing while runs are at work, as its clock is needed; it is hidden by the view.
        let last = places.find(&record.summary, &entry.name).and_then(|place| record.summary.get(place));
        let Some(clock) = last.map(|(_, last)| last.clock) else { continue };
        let mut wanted = Vec::new();
        for statistic in &definition.summary {
            let value = match statistic.as_str() {
                "min" => entry.min.clone(),
                "max" => entry.max.clone(),
                "best" if definition.goal == "maximize" => entry.max.clone(),
                "best" => entry.min.clone(),
                "mean" if entry.points > entry.non_finite => {
                    Some(Value::Float(entry.sum / (entry.points - entry.non_finite) as f64))
                }
                "first" => Some(entry.first.clone()),
                "last" => Some(entry.last.clone()),
                _ => None,
            };
            wanted.extend(value.map(|value| (format!("{}.{statistic}", entry.name), value)));
        }
        for (key, value) in wanted {
            places.set(&mut record.summary, &key, value, clock, true);
        }
    }
}

/// Returns true if a definition replaces the plain last value of this metric in the summary.
pub(crate) fn is_summarised(metrics: &[MetricDefinition], name: &str) -> bool {
    // A prefix such as `val/*` also covers `val/acc.best`, the statistic itself, which is to show.
    let is_statistic = |definition: &MetricDefinition| {
        name.rsplit_once('.').is_some_and(|(metric, statistic)| {
            definition.summary.iter().any(|wanted| wanted == statistic)
                && definition_of(metrics, metric) == Some(definition)
        })
    };
    definition_of(metrics, name).is_some_and(|definition| !definition.summary.is_empty() && !is_statistic(definition))
}

pub(crate) fn definition_of<'a>(metrics: &'a [MetricDefinition], name: &str) -> Option<&'a MetricDefinition> {
    let prefix = |definition: &&MetricDefinition| {
        definition.name.strip_suffix('*').is_some_and(|prefix| name.starts_with(prefix))
    };
    metrics.iter().find(|definition| definition.name == name).or_else(|| metrics.iter().find(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn what_a_resumed_run_is_given_as_it_was_is_set_over_nothing() {
        let start = |seconds: i64, config: &Json| Start {
            run_id: "a-run".into(),
            started: seconds * 1_000_000,
            resumed: seconds > 1,
            config: Tokens::new(config).expect("shallow"),
            ..Start::default()
        };
        let first = start(1, &json!({"lr": 0.1, "depth": 3}));
        let mut record = record_of(&first).expect("a start");
        apply_start(&mut record, WriterId([1; 16]), &first).expect("applies");
        apply_start(&mut record, WriterId([2; 16]), &start(2, &json!({"lr": 0.1, "depth": 3}))).expect("applies");
        assert_eq!(edits(&record).expect("reads"), Edits::default());
        apply_start(&mut record, WriterId([3; 16]), &start(3, &json!({"lr": 0.2, "depth": 3}))).expect("applies");
        let edits = edits(&record).expect("reads");
        assert_eq!(edits.overs.len(), 1);
        assert_eq!(edits.over(FieldId::Config, "lr"), clock_of(2_000_000));
    }
}
