//! One run of another workspace: what of it is new here, and bringing it in.

use std::cmp::Reverse;
use std::collections::HashSet;

use runcellar_format::record::{Body as _, RunRecord, Start, WriterRow};
use runcellar_format::seal::Kind;
use runcellar_format::{ObjectId, WriterId};

use super::ids::{self, Renamed};
use super::listed::Published;
use super::rewinds::{self, Rewinds};
use super::{fields, join, rows};
use crate::db::{ObjectKey, ReadTx, WriteTx};
use crate::ingest::data::RunData;
use crate::ingest::{fold, store};
use crate::keys::Keyring;
use crate::lineage::recount::statistic_of;
use crate::{Error, Result};

/// A run to bring in, as the other workspace has it.
pub(super) struct Bring<'a, 'tx> {
    pub(super) from: &'a ReadTx<'tx>,
    pub(super) from_keys: &'a Keyring,
    pub(super) theirs: &'a RunData,
    pub(super) project: &'a str,
    /// It is a device of this workspace that has it: ids come to be the same on all.
    pub(super) is_of_device: bool,
    /// Where its rows are, if a device published it on a remote.
    pub(super) published: Option<Published>,
}

/// What is to be done.
pub(super) enum Standing {
    /// It is not here.
    New,
    /// These of its writers went on there; or it was rewound there.
    Ahead(Vec<WriterId>),
    /// Its rows are here; what is said of it is not all.
    Described,
    /// Its rows stay where they are; what is said of it is new.
    Listed,
    /// It is here without rows, and all of them are there.
    Filled,
    Same,
    /// It was erased here, and stays so.
    Erased,
}

/// What was done.
pub(super) enum Outcome {
    New { renamed: Renamed },
    Updated { renamed: Renamed },
    Same,
    Erased { id: String },
}

impl Standing {
    pub(super) fn is_work(&self) -> bool {
        !matches!(self, Standing::Same | Standing::Erased)
    }

    pub(super) fn outcome(&self, id: &str) -> Outcome {
        match self {
            Standing::New => Outcome::New { renamed: Renamed::new() },
            Standing::Ahead(_) | Standing::Described | Standing::Listed | Standing::Filled => {
                Outcome::Updated { renamed: Renamed::new() }
            }
            Standing::Same => Outcome::Same,
            Standing::Erased => Outcome::Erased { id: id.to_owned() },
        }
    }
}

impl Bring<'_, '_> {
    /// Compares the run with what is here.
    pub(super) fn compare(&self, to: &ReadTx<'_>, keys: &Keyring) -> Result<Standing> {
        let object = self.theirs.object;
        let Some(row) = to.object(ObjectKey::new(Kind::Run, object, 0))? else {
            // A device may tell of the run's media that they were erased, and not of the run, which another published.
            let erased = to.is_run_buried(keys, object)? || to.is_buried(keys, ObjectId(self.theirs.record.project))?;
            return Ok(match erased {
                true => Standing::Erased,
                false if self.comes_listed() => Standing::Listed,
                false => Standing::New,
            });
        };
        let mine = RunData::without_series(to, keys, &row)?;
        let mut ahead = Vec::new();
        for writer in rows::writers(self.theirs) {
            let reached =
                |row: Option<WriterRow>| row.map(|row| (row.sequence, row.closed, Reverse(row.missing.len())));
            let there = reached(rows::writer_row(self.from, self.from_keys, object, writer)?);
            let here = reached(rows::writer_row(to, keys, object, writer)?);
            if there > here {
                ahead.push(writer);
            }
        }
        let rewinds = self.rewinds(&mine)?;
        if let Some(listed) = self.listed_standing((to, keys), &mine, (&ahead, !rewinds.new.is_empty()))? {
            return Ok(listed);
        }
        if !ahead.is_empty() && self.fills(&mine)? {
            return Ok(Standing::Filled);
        }
        // Of those whose rows are wanted, and not there, another place tells.
        if let Some(there) = self.published.as_ref().filter(|there| there.are_wanted) {
            ahead.retain(|writer| !there.lacking.contains(writer));
        }
        Ok(match ahead.is_empty() && rewinds.new.is_empty() {
            false => Standing::Ahead(ahead),
            true if is_same(&self.described(&mine.record, &rewinds, false)?, &mine.record)? => Standing::Same,
            true => Standing::Described,
        })
    }

    fn rewinds(&self, mine: &RunData) -> Result<Rewinds> {
        Ok(rewinds::of_both(&mine.rewinds()?, &self.theirs.rewinds()?))
    }

    /// Returns what is said of the run when what is said there is taken in; `joins` if its rows are, too.
    pub(super) fn described(&self, mine: &RunRecord, rewinds: &Rewinds, joins: bool) -> Result<RunRecord> {
        let (mut record, mut theirs) = (mine.clone(), self.theirs.record.clone());
        fields::end_all(&mut theirs);
        let series: HashSet<&str> = self.theirs.series.entries.iter().map(|entry| entry.name.as_str()).collect();
        // Statistics are those of the rows of both. A last value from there may be of a row that a rewind hides here; who
        // joins the rows tells them all anew.
        let may_be_hidden = !rewinds.agree && !joins;
        theirs.summary.retain(|(key, _)| {
            let is_hidden = may_be_hidden && series.contains(key.as_str());
            !is_hidden && statistic_of(key).is_none_or(|name| !series.contains(name))
        });
        fields::take_in(&mut record, &theirs)?;
        fields::take_in_extra(&mut record, &theirs)?;
        if self.is_of_device {
            record.id = ids::joined(&mine.id, &theirs.id, self.theirs.object).to_owned();
        }
        if !rewinds.agree {
            record.next_step = mine.next_step;
        }
        Ok(record)
    }

    /// Brings it in, in one transaction.
    pub(super) fn apply(&self, to: &mut WriteTx<'_>) -> Result<Outcome> {
        // Again, and now with nobody beside us.
        let standing = self.compare(to, to.keyring)?;
        to.witness_clock(self.from.root(self.from_keys)?.clock);
        match &standing {
            Standing::New => return Ok(Outcome::New { renamed: self.make(to)? }),
            Standing::Ahead(writers) => {
                let mine = store::load(to, to.keyring, self.theirs.object)?;
                let rewinds = self.rewinds(&mine)?;
                let mut record = self.described(&mine.record, &rewinds, true)?;
                let renamed = self.settle_id(to, &mine.record.id, &mut record)?;
                join::join(self, to, record, rewinds, writers)?;
                return Ok(Outcome::Updated { renamed });
            }
            Standing::Described => {
                let mut mine = store::load(to, to.keyring, self.theirs.object)?;
                let rewinds = self.rewinds(&mine)?;
                let record = self.described(&mine.record, &rewinds, false)?;
                let had = std::mem::replace(&mut mine.record, record).id;
                let renamed = self.settle_id(to, &had, &mut mine.record)?;
                mine.load_series(to, to.keyring)?;
                fold::apply_definitions(&mut mine.record, &mine.series.entries);
                store::say_described(to, &mine)?;
                mine.store(to)?;
                return Ok(Outcome::Updated { renamed });
            }
            Standing::Listed if to.object(ObjectKey::new(Kind::Run, self.theirs.object, 0))?.is_none() => {
                return Ok(Outcome::New { renamed: self.make(to)? });
            }
            Standing::Listed => {
                let renamed = self.list(to)?.unwrap_or_default();
                return Ok(Outcome::Updated { renamed });
            }
            Standing::Filled => return Ok(Outcome::Updated { renamed: self.fill(to)? }),
            Standing::Same | Standing::Erased => {}
        }
        Ok(standing.outcome(&self.theirs.record.id))
    }

    /// Gives a run that is here the id that it has on all devices; returns what was renamed by that.
    pub(super) fn settle_id(&self, to: &mut WriteTx<'_>, had: &str, record: &mut RunRecord) -> Result<Renamed> {
        if !self.is_of_device {
            return Ok(Renamed::new());
        }
        let taken_over = (record.id != had).then(|| (had.to_owned(), record.id.clone()));
        let mut renamed = ids::settle(to, record, self.theirs.object)?;
        renamed.extend(taken_over);
        Ok(renamed)
    }

    /// Makes the run, under another id if that is taken; returns what was renamed by that.
    fn make(&self, to: &mut WriteTx<'_>) -> Result<Renamed> {
        let mut record = self.theirs.record.clone();
        fields::end_all(&mut record);
        let renamed = match self.is_of_device {
            true => ids::settle(to, &mut record, self.theirs.object)?,
            false => {
                let id = ids::free(to, to.keyring, &record.id, self.theirs.object)?;
                let had = std::mem::replace(&mut record.id, id.clone());
                if had == id { Renamed::new() } else { vec![(had, id)] }
            }
        };
        let start = Start {
            run: self.theirs.object.0,
            project_name: self.project.to_owned(),
            started: record.created,
            ..record.start.clone()
        };
        let mut mine = store::create_run(to, &start, record, Vec::new())?;
        match self.place() {
            Some(place) => self.list_new(to, &mut mine, place)?,
            None => rows::copy(to, (self.from, self.from_keys), self.theirs, &mut mine)?,
        }
        mine.store(to)?;
        Ok(renamed)
    }
}

/// Compares records by their bytes: a NaN is what it is.
pub(super) fn is_same(one: &RunRecord, other: &RunRecord) -> Result<bool> {
    let body =
        |record: &RunRecord| record.to_body().map_err(|cause| Error::format(format_args!("run {}", record.id), cause));
    Ok(body(one)? == body(other)?)
}
