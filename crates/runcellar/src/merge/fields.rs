//! What is said of a run in two workspaces, made one: of each field the later setting stands.

use runcellar_format::WriterId;
use runcellar_format::record::{RunRecord, RunState, Session, Stamped};

use crate::ingest::fold;

/// Takes what `more` says into `base` where it was said later, or is not said there.
///
/// Tags that either has stay: adding wins. So do keys of config and summary: taking one away is not told from its never
/// having been set.
pub(super) fn take_in(base: &mut RunRecord, more: &RunRecord) {
    later(&mut base.name, &more.name);
    later(&mut base.notes, &more.notes);
    later(&mut base.group, &more.group);
    later(&mut base.job_type, &more.job_type);
    later(&mut base.removed, &more.removed);
    all_later(&mut base.config, &more.config);
    all_later(&mut base.summary, &more.summary);
    for tag in &more.tags {
        if !base.tags.iter().any(|known| known.name == tag.name) {
            base.tags.push(tag.clone());
        }
    }
    for metric in &more.metrics {
        if !base.metrics.iter().any(|known| known.name == metric.name) {
            base.metrics.push(metric.clone());
        }
    }
    let mut changed = false;
    for session in &more.sessions {
        changed |= take_session(&mut base.sessions, session);
    }
    if changed {
        base.exit_code = base.exit_code.or(more.exit_code);
        base.dropped = base.dropped.max(more.dropped);
        fold::derive_state(base);
    }
    base.next_step = base.next_step.max(more.next_step);
}

/// Ends the writers that seem at work: whatever they go on with, they do not write here.
pub(super) fn end_all(record: &mut RunRecord) {
    let running = record.sessions.iter().filter(|session| session.state == RunState::Running);
    for writer in running.map(|session| WriterId(session.writer)).collect::<Vec<_>>() {
        fold::mark_dead(record, writer);
    }
}

fn later<T: Clone>(base: &mut Stamped<T>, more: &Stamped<T>) {
    if more.clock > base.clock {
        *base = more.clone();
    }
}

fn all_later<T: Clone>(base: &mut Vec<(String, Stamped<T>)>, more: &[(String, Stamped<T>)]) {
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
    let better = is_silent(known.state) && !is_silent(more.state) || (more.superseded && !known.superseded);
    if better {
        *known = more.clone();
    }
    better
}
