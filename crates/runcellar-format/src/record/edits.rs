//! What was set over what, so that two copies of a workspace find out which values were set in ignorance of each other.

use bincode::{Decode, Encode};

use super::{Body, FieldId, RunRecord, Tokens, extra_body, set_extra_body};
use crate::error::Result;

/// Field of [`RunRecord::extra`] that holds [`Edits`].
pub const EDITS_FIELD: u16 = 9;
/// As many fields are remembered, those set last; the value of another one counts as set over none.
pub const OVERS_MAX: usize = 1024;
/// As many values that lost are kept, those set last.
pub const LOST_MAX: usize = 64;

/// The value that a field had when it was set anew.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Over {
    /// Which field, as the numbers of [`FieldId`] are ordered.
    pub field: FieldId,
    /// The key within the field; empty if it has none.
    pub key: String,
    /// The hybrid clock of the value that whoever set it saw.
    pub clock: u64,
}

/// A value that another, later one of another device took the place of, which had not seen it.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Lost {
    /// Which field.
    pub field: FieldId,
    /// The key within the field; empty if it has none.
    pub key: String,
    /// What was set.
    pub value: Tokens,
    /// The hybrid clock of the setting.
    pub clock: u64,
    /// The hybrid clock of the value that it was set over; 0 if of none.
    pub over: u64,
}

/// What is remembered of the settings of a run's fields.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct Edits {
    /// Of each field that was set anew: over what.
    pub overs: Vec<Over>,
    /// What was lost, until the field is set by somebody who saw it.
    pub lost: Vec<Lost>,
}

impl Body for Edits {
    const NAME: &'static str = "edits";
}

impl Edits {
    /// Reads what is remembered of a run.
    ///
    /// # Errors
    /// As [`Body::from_body`].
    pub fn of(record: &RunRecord) -> Result<Edits> {
        Ok(extra_body(&record.extra, EDITS_FIELD)?.unwrap_or_default())
    }

    /// Notes it in the record, in an order that is the same whoever does it.
    ///
    /// # Errors
    /// As [`Body::to_body`].
    pub fn note(mut self, record: &mut RunRecord) -> Result<()> {
        if self == Edits::default() {
            record.extra.retain(|(field, _)| *field != EDITS_FIELD);
            return Ok(());
        }
        self.overs.sort_by_key(|over| over.clock);
        self.overs.drain(..self.overs.len().saturating_sub(OVERS_MAX));
        self.overs.sort();
        self.lost.sort_by_cached_key(|lost| (lost.clock, lost.field, lost.key.clone(), format!("{:?}", lost.value)));
        self.lost.drain(..self.lost.len().saturating_sub(LOST_MAX));
        set_extra_body(&mut record.extra, EDITS_FIELD, &self)
    }

    /// Returns the clock of the value that the present one of a field was set over; 0 if of none.
    #[must_use]
    pub fn over(&self, field: FieldId, key: &str) -> u64 {
        let found = self.overs.iter().find(|over| over.field == field && over.key == key);
        found.map_or(0, |over| over.clock)
    }

    /// Says what the present value of a field was set over. What it was set over in knowledge is no loss any more.
    pub fn set_over(&mut self, field: FieldId, key: &str, clock: u64) {
        self.overs.retain(|over| over.field != field || over.key != key);
        if clock > 0 {
            self.overs.push(Over { field, key: key.to_owned(), clock });
        }
        self.lost.retain(|lost| lost.field != field || lost.key != key || lost.clock > clock);
    }

    /// Adds values that were lost, and forgets those that a later setting had seen.
    pub fn lose(&mut self, more: impl IntoIterator<Item = Lost>) {
        for lost in more {
            if !self.lost.contains(&lost) {
                self.lost.push(lost);
            }
        }
        let all = self.lost.clone();
        let overs = &self.overs;
        self.lost.retain(|lost| {
            let of_field = |field: FieldId, key: &str| field == lost.field && key == lost.key;
            let by_present = overs.iter().any(|over| of_field(over.field, &over.key) && over.clock >= lost.clock);
            let by_lost = all.iter().any(|later| of_field(later.field, &later.key) && later.over >= lost.clock);
            !by_present && !by_lost
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Json;

    fn lost(text: &str, clock: u64, over: u64) -> Lost {
        let value = Tokens::new(&Json::Text(text.into())).expect("shallow");
        Lost { field: FieldId::Notes, key: String::new(), value, clock, over }
    }

    #[test]
    fn a_value_that_a_later_one_was_set_over_is_no_loss() {
        let mut edits = Edits::default();
        edits.lose([lost("first", 5, 0), lost("second", 7, 5), lost("apart", 6, 0)]);
        let kept = edits.lost.iter().map(|lost| lost.clock).collect::<Vec<_>>();
        assert_eq!(kept, [7, 6], "the second was set over the first");
        edits.set_over(FieldId::Notes, "", 6);
        assert_eq!(edits.lost, [lost("second", 7, 5)]);
        edits.set_over(FieldId::Name, "", 9);
        assert_eq!(edits.lost.len(), 1, "another field");
    }

    #[test]
    fn the_oldest_are_forgotten_and_a_record_without_any_has_no_field() {
        let mut record = RunRecord::default();
        let mut edits = Edits::default();
        edits.lose((1..=LOST_MAX as u64 + 1).map(|clock| lost("x", clock, 0)));
        (1..=OVERS_MAX as u64 + 1).for_each(|n| edits.set_over(FieldId::Config, &format!("key {n}"), n));
        edits.note(&mut record).expect("short");
        let edits = Edits::of(&record).expect("reads");
        assert_eq!((edits.lost.len(), edits.overs.len()), (LOST_MAX, OVERS_MAX));
        assert_eq!(edits.lost.first().expect("some").clock, 2);
        assert_eq!((edits.over(FieldId::Config, "key 1"), edits.over(FieldId::Config, "key 2")), (0, 2));
        Edits::default().note(&mut record).expect("short");
        assert!(record.extra.is_empty());
    }
}
