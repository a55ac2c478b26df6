//! What is said of a run in two workspaces, made one: of each field the later setting stands.

use std::fmt::Debug;

use runcellar_format::WriterId;
use runcellar_format::record::{EDITS_FIELD, FINDINGS_FIELD, extra_body, set_extra_body};
use runcellar_format::record::{
    LAUNCH_FIELD, Launches, REWINDS_FIELD, RunRecord, RunState, Session, Stamped, TakenFrom,
};

use super::conflicts;
use crate::ingest::fold;
use crate::{Error, Result};

/// Takes what `more` says into `base` where it was said later, or is not said there. Whichever is taken into the other, the
/// outcome is the same but for the order of lists.
///
/// Tags that either has stay, but for addings that either took away: adding again wins. A key of config or summary that
/// either took away stays away unless it was set later.
pub(super) fn take_in(base: &mut RunRecord, more: &RunRecord) -> Result<()> {
    let edits = conflicts::of_both(base, more)?;
    later(&mut base.name, &more.name);
    later(&mut base.notes, &more.notes);
    later(&mut base.group, &more.group);
    later(&mut base.job_type, &more.job_type);
    later(&mut base.removed, &more.removed);
    all_later(&mut base.config, &more.config);
    all_later(&mut base.summary, &more.summary);
    for tag in &more.tags {
        if !base.tags.iter().any(|known| known.add_id == tag.add_id) {
            base.tags.push(tag.clone());
        }
    }
    let mut taken = fold::taken_from(base)?;
    taken.add(fold::taken_from(more)?);
    base.tags.retain(|tag| !taken.has_tag(tag));
    base.config.retain(|(key, value)| !taken.has_key(TakenFrom::Config, key, value.clock));
    base.summary.retain(|(key, value)| !taken.has_key(TakenFrom::Summary, key, value.clock));
    taken.note(base).map_err(|cause| Error::format(format_args!("run {}", base.id), cause))?;
    conflicts::note(edits, base)?;
    for metric in &more.metrics {
        match base.metrics.iter_mut().find(|known| known.name == metric.name) {
            // Nobody wrote down when it was said.
            Some(known) if known != metric && said(metric) > said(known) => *known = metric.clone(),
            Some(_) => {}
            None => base.metrics.push(metric.clone()),
        }
    }
    let mut changed = false;
    for session in &more.sessions {
        changed |= take_session(&mut base.sessions, session);
    }
    if changed {
        base.sessions.sort_by_key(|session| (session.started, session.writer));
        // That of the last writer which gave one.
        let more_is_last = (more.finished, more.exit_code) > (base.finished, base.exit_code);
        let (last, other) = if more_is_last { (more, &*base) } else { (&*base, more) };
        base.exit_code = last.exit_code.or(other.exit_code);
        base.dropped = base.dropped.max(more.dropped);
        fold::derive_state(base);
    }
    base.next_step = base.next_step.max(more.next_step);
    Ok(())
}

/// Takes in what later versions of the format added, but for rewinds, which speak of row groups, and edits, which
/// [`take_in`] brings together.
pub(super) fn take_in_extra(base: &mut RunRecord, more: &RunRecord) -> Result<()> {
    let named = |cause| Error::format(format_args!("run {}", more.id), cause);
    for (field, bytes) in &more.extra {
        if ![REWINDS_FIELD, EDITS_FIELD].contains(field) && base.extra.iter().all(|(known, _)| known != field) {
            base.extra.push((*field, bytes.clone()));
        }
    }
    base.extra.sort_by_key(|(field, _)| *field);
    let launches = |record: &RunRecord| extra_body::<Launches>(&record.extra, LAUNCH_FIELD).map_err(named);
    if let (Some(mut all), Some(more)) = (launches(base)?, launches(more)?) {
        let is_new = |launch: &&([u8; 16], u64, u32)| all.writers.iter().all(|known| known.0 != launch.0);
        let new: Vec<_> = more.writers.iter().filter(is_new).copied().collect();
        all.writers.extend(new);
        set_extra_body(&mut base.extra, LAUNCH_FIELD, &all).map_err(named)?;
    }
    if more.extra.iter().any(|(field, _)| *field == FINDINGS_FIELD) {
        fold::findings(more)?.all.into_iter().try_for_each(|finding| fold::add_finding(base, finding))?;
    }
    Ok(())
}

/// What decides between two values of which neither is later: it must decide alike on both sides.
fn said(value: &impl Debug) -> String {
    format!("{value:?}")
}

/// Ends the writers that seem at work: whatever they go on with, they do not write here.
pub(super) fn end_all(record: &mut RunRecord) {
    let running = record.sessions.iter().filter(|session| session.state == RunState::Running);
    for writer in running.map(|session| WriterId(session.writer)).collect::<Vec<_>>() {
        fold::mark_dead(record, writer);
    }
}

fn later<T: Clone + Debug + PartialEq>(base: &mut Stamped<T>, more: &Stamped<T>) {
    if is_later(base, more) {
        *base = more.clone();
    }
}

/// Returns whether `more` takes the place of `base`.
pub(super) fn is_later<T: Debug + PartialEq>(base: &Stamped<T>, more: &Stamped<T>) -> bool {
    let is_greater = || more.value != base.value && said(&more.value) > said(&base.value);
    more.clock > base.clock || (more.clock == base.clock && is_greater())
}

fn all_later<T: Clone + Debug + PartialEq>(base: &mut Vec<(String, Stamped<T>)>, more: &[(String, Stamped<T>)]) {
    for (key, value) in more {
        match base.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) => later(known, value),
            None => base.push((key.clone(), value.clone())),
        }
    }
}

/// Takes in what is known of a writer; a silent end gives way to another.
fn take_session(sessions: &mut Vec<Session>, more: &Session) -> bool {
    let Some(known) = sessions.iter_mut().find(|known| known.writer == more.writer) else {
        sessions.push(more.clone());
        return true;
    };
    let is_silent = |state| matches!(state, RunState::Running | RunState::Crashed);
    let mut taken = known.clone();
    taken.superseded |= more.superseded;
    match (is_silent(known.state), is_silent(more.state)) {
        (true, false) => (taken.state, taken.ended) = (more.state, more.ended),
        (true, true) => taken.ended = taken.ended.max(more.ended),
        (false, _) => {}
    }
    let changed = taken != *known;
    *known = taken;
    changed
}
