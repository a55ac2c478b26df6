//! A run whose rows stay where a device published them: what is said of it comes in, and its rows when somebody reads them.
//!
//! Until all of its rows are here none of those comes in by a merge, so that what shows of it is not counted from a part of them:
//! statistics are those of the place that has most points.

use std::collections::HashSet;

use runcellar_format::WriterId;
use runcellar_format::record::{Rewind, RowsAway, RowsPlace, RunHead, RunRecord};

use super::run::{Bring, Standing, is_same};
use super::{fields, ids, rewinds, rows};
use crate::Result;
use crate::db::{ReadTx, WriteTx};
use crate::ingest::data::RunData;
use crate::ingest::{fold, rows_away, store};
use crate::keys::Keyring;
use crate::lineage::recount::statistic_of;

/// Where the rows of a run are that a device published.
pub(super) struct Published {
    pub(super) place: RowsPlace,
    /// Writers of whose rows not all were fetched.
    pub(super) lacking: HashSet<WriterId>,
    /// The device published them there.
    pub(super) is_told: bool,
    /// They are wanted here now.
    pub(super) are_wanted: bool,
}

impl Bring<'_, '_> {
    /// Returns where the rows are, if they are to stay there.
    fn stays_at(&self) -> Option<&Published> {
        self.published.as_ref().filter(|published| !published.are_wanted)
    }

    /// Returns whether a run that is not here comes in without its rows.
    pub(super) fn comes_listed(&self) -> bool {
        self.stays_at().is_some_and(|published| published.is_told && !published.lacking.is_empty())
    }

    /// Returns how a run stands that is here, if its rows stay where they are; none if it is merged as any other.
    pub(super) fn listed_standing(
        &self,
        (to, keys): (&ReadTx<'_>, &Keyring),
        mine: &RunData,
        (ahead, has_new_rewinds): (&[WriterId], bool),
    ) -> Result<Option<Standing>> {
        let Some(published) = self.stays_at() else { return Ok(None) };
        let away = rows_away::of(to, keys, mine.object)?;
        let lacks = published.is_told && ahead.iter().any(|writer| published.lacking.contains(writer));
        let has_more = away.is_some() && (!ahead.is_empty() || has_new_rewinds);
        if !lacks && !has_more {
            return Ok(None);
        }
        let listed = self.listed(mine, away.clone().unwrap_or_default(), published.place)?;
        let is_known = away.as_ref() == Some(&listed.away) && is_same(&listed.record, &mine.record)?;
        Ok(Some(if is_known { Standing::Same } else { Standing::Listed }))
    }

    /// Returns what is said of a run that is here with what is said there, and where its rows are.
    fn listed(&self, mine: &RunData, mut away: RowsAway, place: RowsPlace) -> Result<Listed> {
        if !away.places.contains(&place) {
            away.places.push(place);
            away.places.sort_unstable();
        }
        let rewinds = rewinds::of_both(&mine.rewinds()?, &self.theirs.rewinds()?);
        if mine.head.rows > 0 {
            let record = self.described(&mine.record, &rewinds, false)?;
            return Ok(Listed { record, away, shows_theirs: false });
        }
        let shows_theirs = (self.theirs.head.points, place) > (away.points, away.shown);
        if shows_theirs {
            (away.points, away.shown) = (self.theirs.head.points, place);
        }
        let mut record = self.without_rows(&mine.record, shows_theirs)?;
        let has_all = rewinds::of_both(&self.theirs.rewinds()?, &mine.rewinds()?).new.is_empty();
        record.next_step = match (rewinds.new.is_empty(), has_all) {
            (true, true) => record.next_step,
            (false, true) => self.theirs.record.next_step,
            (_, false) => mine.record.next_step,
        };
        let mut data = RunData { record, ..mine.clone() };
        if !rewinds.all.is_empty() {
            data.set_rewinds(hiding_nothing(rewinds.all))?;
        }
        Ok(Listed { record: data.record, away, shows_theirs })
    }

    /// Returns what is said on either side of a run that has no rows here; statistics are theirs or those from here.
    pub(super) fn without_rows(&self, mine: &RunRecord, shows_theirs: bool) -> Result<RunRecord> {
        let (mut record, mut theirs) = (mine.clone(), self.theirs.record.clone());
        fields::end_all(&mut theirs);
        let series: HashSet<&str> = self.theirs.series.entries.iter().map(|entry| entry.name.as_str()).collect();
        let other = if shows_theirs { &mut record } else { &mut theirs };
        other.summary.retain(|(key, _)| statistic_of(key).is_none_or(|name| !series.contains(name)));
        fields::take_in(&mut record, &theirs)?;
        fields::take_in_extra(&mut record, &theirs)?;
        if self.is_of_device {
            record.id = ids::joined(&mine.id, &theirs.id, self.theirs.object).to_owned();
        }
        Ok(record)
    }

    /// Takes in what is said of a run that is here.
    pub(super) fn list(&self, to: &mut WriteTx<'_>) -> Result<Option<ids::Renamed>> {
        let Some(published) = self.stays_at() else { return Ok(None) };
        let mut mine = store::load(to, to.keyring, self.theirs.object)?;
        let away = rows_away::of(to, to.keyring, mine.object)?.unwrap_or_default();
        let Listed { mut record, away, shows_theirs } = self.listed(&mine, away, published.place)?;
        let renamed = self.settle_id(to, &mine.record.id, &mut record)?;
        mine.record = record;
        if shows_theirs {
            empty(to, &mut mine)?;
            rows::copy_series(to, (self.from, self.from_keys), self.theirs, &mut mine)?;
            fold::apply_definitions(&mut mine.record, &self.theirs.series.entries);
        }
        rows_away::put(to, mine.object, &away)?;
        store::say_described(to, &mine)?;
        mine.store(to)?;
        Ok(Some(renamed))
    }

    /// Finishes a run that was not here, and whose rows stay where they are: series, and where the rows are.
    pub(super) fn list_new(&self, to: &mut WriteTx<'_>, mine: &mut RunData, place: RowsPlace) -> Result<()> {
        let rewinds = mine.rewinds()?;
        if !rewinds.is_empty() {
            mine.set_rewinds(hiding_nothing(rewinds))?;
        }
        rows::copy_series(to, (self.from, self.from_keys), self.theirs, mine)?;
        let points = self.theirs.head.points;
        rows_away::put(to, mine.object, &RowsAway { places: vec![place], points, shown: place, extra: Vec::new() })
    }

    /// Returns where the rows are of a run that is not here.
    pub(super) fn place(&self) -> Option<RowsPlace> {
        self.stays_at().filter(|_| self.comes_listed()).map(|published| published.place)
    }

    /// Returns whether all rows can be copied as they are: none is here, all are there, and nothing hides some here that does not there.
    pub(super) fn fills(&self, mine: &RunData) -> Result<bool> {
        let all_there = self.published.as_ref().is_some_and(|there| there.are_wanted && there.lacking.is_empty());
        Ok(all_there
            && mine.head.rows == 0
            && rewinds::of_both(&self.theirs.rewinds()?, &mine.rewinds()?).new.is_empty())
    }

    /// Copies all rows of a run that is here without any.
    pub(super) fn fill(&self, to: &mut WriteTx<'_>) -> Result<ids::Renamed> {
        let mut mine = store::load(to, to.keyring, self.theirs.object)?;
        let mut record = self.without_rows(&mine.record, true)?;
        let renamed = self.settle_id(to, &mine.record.id, &mut record)?;
        mine.record = record;
        let rewinds = self.theirs.rewinds()?;
        if !rewinds.is_empty() {
            mine.set_rewinds(rewinds)?;
        }
        empty(to, &mut mine)?;
        rows::copy(to, (self.from, self.from_keys), self.theirs, &mut mine)?;
        fold::apply_definitions(&mut mine.record, &self.theirs.series.entries);
        store::say_described(to, &mine)?;
        mine.store(to)?;
        Ok(renamed)
    }
}

/// What is said of a run, and where its rows are.
struct Listed {
    record: RunRecord,
    away: RowsAway,
    /// Statistics and series are those of the place.
    shows_theirs: bool,
}

/// Takes the series of a run away that has no rows here.
fn empty(to: &mut WriteTx<'_>, mine: &mut RunData) -> Result<()> {
    mine.head = RunHead { version: mine.head.version, ..RunHead::default() };
    to.remove_series(mine.object)
}

/// Rewinds of a run that has no rows here to hide.
fn hiding_nothing(rewinds: Vec<Rewind>) -> Vec<Rewind> {
    rewinds.into_iter().map(|rewind| Rewind { hidden: Vec::new(), ..rewind }).collect()
}
