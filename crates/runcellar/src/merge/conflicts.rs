//! What was set in two workspaces apart: the later setting stands, and the other is kept to be shown.

use std::fmt::Debug;

use runcellar_format::record::{Edits, FieldId, Lost, RunRecord, Stamped, TakenFrom, Tokens};
use runcellar_format::value::Json;

use super::fields::is_later;
use crate::ingest::fold;
use crate::{Error, Result};

/// Brings together what both sides remember of settings, and adds what loses now; `base` is still as it was.
pub(super) fn of_both(base: &RunRecord, more: &RunRecord) -> Result<Edits> {
    let (mine, theirs) = (fold::edits(base)?, fold::edits(more)?);
    let mut both = Both { mine: &mine, theirs: &theirs, edits: Edits::default(), lost: Vec::new() };
    for (field, base, more) in [
        (FieldId::Name, &base.name, &more.name),
        (FieldId::Notes, &base.notes, &more.notes),
        (FieldId::Group, &base.group, &more.group),
        (FieldId::JobType, &base.job_type, &more.job_type),
    ] {
        both.settle((field, ""), Some(base), Some(more), |value| text(value))?;
    }
    for (key, value) in &base.config {
        let more = more.config.iter().find(|(known, _)| known == key).map(|(_, value)| value);
        both.settle((FieldId::Config, key), Some(value), more, |value| Ok(value.clone()))?;
    }
    for (key, value) in more.config.iter().filter(|(key, _)| base.config.iter().all(|(known, _)| known != key)) {
        both.settle((FieldId::Config, key), None, Some(value), |value| Ok(value.clone()))?;
    }
    let Both { mut edits, lost, .. } = both;
    edits.lose(mine.lost.iter().chain(&theirs.lost).cloned().chain(lost));
    Ok(edits)
}

/// Notes it in the record as it came to be. What was set of a key before that was taken away is no loss.
pub(super) fn note(mut edits: Edits, record: &mut RunRecord) -> Result<()> {
    let taken = fold::taken_from(record)?;
    let config = &record.config;
    edits.overs.retain(|over| over.field != FieldId::Config || config.iter().any(|(key, _)| *key == over.key));
    edits.lost.retain(|lost| lost.field != FieldId::Config || !taken.has_key(TakenFrom::Config, &lost.key, lost.clock));
    edits.note(record).map_err(|cause| Error::format(format_args!("run {}", record.id), cause))
}

struct Both<'a> {
    mine: &'a Edits,
    theirs: &'a Edits,
    edits: Edits,
    lost: Vec<Lost>,
}

impl Both<'_> {
    /// Settles one field: the later value brings along what it was set over.
    fn settle<T: Clone + Debug + PartialEq>(
        &mut self,
        (field, key): (FieldId, &str),
        base: Option<&Stamped<T>>,
        more: Option<&Stamped<T>>,
        tokens: impl Fn(&T) -> Result<Tokens>,
    ) -> Result<()> {
        let (mine, theirs) = (self.mine.over(field, key), self.theirs.over(field, key));
        let over = match (base, more) {
            (Some(base), Some(more)) if base == more => mine.max(theirs),
            (Some(base), Some(more)) => {
                let wins = is_later(base, more);
                let (lost, lost_over, over) = if wins { (base, mine, theirs) } else { (more, theirs, mine) };
                // Nothing is lost where both set the same, or a field that was empty.
                if base.value != more.value && lost.clock > over {
                    let value = tokens(&lost.value)?;
                    self.lost.push(Lost { field, key: key.to_owned(), value, clock: lost.clock, over: lost_over });
                }
                over
            }
            (Some(_), None) => mine,
            (None, _) => theirs,
        };
        self.edits.set_over(field, key, over);
        Ok(())
    }
}

fn text(text: &str) -> Result<Tokens> {
    Tokens::new(&Json::Text(text.to_owned())).map_err(|cause| Error::format("field", cause))
}
