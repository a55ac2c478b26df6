//! What was taken away from a run, so that it does not come back from a copy that still has it.

use bincode::{Decode, Encode};

use super::{Body, RunRecord, Tag, extra_body, set_extra_body};
use crate::error::Result;

/// Field of [`RunRecord::extra`] that holds [`Taken`].
const TAKEN_FIELD: u16 = 7;
/// As many of each kind are remembered: the keys that were taken away last. What is beyond may come back.
pub const TAKEN_MAX: usize = 1024;

/// Where a key stood that was taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum TakenFrom {
    /// 0: the config.
    Config,
    /// 1: the summary.
    Summary,
}

/// What was taken away from a run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Taken {
    /// Ids of the addings of tags that were removed.
    pub tags: Vec<[u8; 16]>,
    /// Keys, each with the clock of its last removal: what was set later stands.
    pub keys: Vec<(TakenFrom, String, u64)>,
}

impl Body for Taken {
    const NAME: &'static str = "taken";
}

impl Taken {
    /// Reads what was taken away from a run.
    ///
    /// # Errors
    /// As [`Body::from_body`].
    pub fn of(record: &RunRecord) -> Result<Taken> {
        Ok(extra_body(&record.extra, TAKEN_FIELD)?.unwrap_or_default())
    }

    /// Notes it in the record.
    ///
    /// # Errors
    /// As [`Body::to_body`].
    pub fn note(mut self, record: &mut RunRecord) -> Result<()> {
        if self == Taken::default() {
            record.extra.retain(|(field, _)| *field != TAKEN_FIELD);
            return Ok(());
        }
        self.tags.sort_unstable();
        self.tags.truncate(TAKEN_MAX);
        self.keys.sort_by_key(|(_, _, clock)| *clock);
        self.keys.drain(..self.keys.len().saturating_sub(TAKEN_MAX));
        self.keys.sort();
        set_extra_body(&mut record.extra, TAKEN_FIELD, &self)
    }

    /// Returns true if this adding of a tag was taken away.
    #[must_use]
    pub fn has_tag(&self, tag: &Tag) -> bool {
        self.tags.contains(&tag.add_id)
    }

    /// Returns true if a value of a key, set at `clock`, was taken away since.
    #[must_use]
    pub fn has_key(&self, from: TakenFrom, key: &str, clock: u64) -> bool {
        self.keys.iter().any(|(place, known, taken)| *place == from && known == key && *taken >= clock)
    }

    /// Adds that a key was taken away.
    pub fn add_key(&mut self, from: TakenFrom, key: &str, clock: u64) {
        match self.keys.iter_mut().find(|(place, known, _)| *place == from && known == key) {
            Some((.., taken)) => *taken = clock.max(*taken),
            None => self.keys.push((from, key.to_owned(), clock)),
        }
    }

    /// Adds what `more` has.
    pub fn add(&mut self, more: Taken) {
        let new = more.tags.into_iter().filter(|id| !self.tags.contains(id)).collect::<Vec<_>>();
        self.tags.extend(new);
        more.keys.iter().for_each(|(from, key, clock)| self.add_key(*from, key, *clock));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_after_it_was_taken_away_stands() {
        let mut taken = Taken::default();
        taken.add_key(TakenFrom::Config, "lr", 5);
        taken.add_key(TakenFrom::Config, "lr", 3);
        assert!(taken.has_key(TakenFrom::Config, "lr", 5) && !taken.has_key(TakenFrom::Config, "lr", 6));
        assert!(!taken.has_key(TakenFrom::Summary, "lr", 1) && !taken.has_key(TakenFrom::Config, "l", 1));
    }

    #[test]
    fn the_oldest_are_forgotten_and_a_record_without_any_has_no_field() {
        let mut record = RunRecord::default();
        let mut taken = Taken::default();
        (0..TAKEN_MAX as u64 + 1).for_each(|n| taken.add_key(TakenFrom::Summary, &format!("key {n}"), n));
        taken.note(&mut record).expect("short");
        let taken = Taken::of(&record).expect("reads");
        assert_eq!(taken.keys.len(), TAKEN_MAX);
        assert!(!taken.has_key(TakenFrom::Summary, "key 0", 0) && taken.has_key(TakenFrom::Summary, "key 1", 1));
        Taken::default().note(&mut record).expect("short");
        assert!(record.extra.is_empty());
    }
}
