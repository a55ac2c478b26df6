//! One run of another workspace: what of it is new here, and bringing it in.

use runcellar_format::ObjectId;
use runcellar_format::record::{Body as _, RunHead, RunRecord, Start};
use runcellar_format::seal::Kind;

use super::{fields, rows};
use crate::db::{ObjectKey, ReadTx, WriteTx};
use crate::ingest::data::{RunData, SeriesTable};
use crate::ingest::store;
use crate::keys::Keyring;
use crate::{Error, Result};

/// The longest part of an id that stays when the id is taken by another run.
const ID_BYTES_KEPT: usize = 120;
/// Digits of the object id that then tell them apart.
const DIGITS: usize = 6;

/// A run to bring in, as the other workspace has it.
pub(super) struct Bring<'a, 'tx> {
    pub(super) from: &'a ReadTx<'tx>,
    pub(super) from_keys: &'a Keyring,
    pub(super) theirs: &'a RunData,
    pub(super) project: &'a str,
}

/// What is to be done.
pub(super) enum Standing {
    /// It is not here.
    New,
    /// Its writers went on there, and not here.
    Ahead,
    /// Its rows are here; what is said of it is not all.
    Described,
    Same,
    /// Its writers went on there, and others here.
    Diverged,
}

/// What was done.
pub(super) enum Outcome {
    New { renamed: Option<(String, String)> },
    Updated,
    Same,
    Diverged { id: String },
}

impl Standing {
    pub(super) fn is_work(&self) -> bool {
        matches!(self, Standing::New | Standing::Ahead | Standing::Described)
    }

    pub(super) fn outcome(&self, id: &str) -> Outcome {
        match self {
            Standing::New => Outcome::New { renamed: None },
            Standing::Ahead | Standing::Described => Outcome::Updated,
            Standing::Same => Outcome::Same,
            Standing::Diverged => Outcome::Diverged { id: id.to_owned() },
        }
    }
}

impl Bring<'_, '_> {
    /// Compares the run with what is here; none if it was erased here.
    pub(super) fn compare(&self, to: &ReadTx<'_>, keys: &Keyring) -> Result<Option<Standing>> {
        let object = self.theirs.object;
        if to.object(ObjectKey::new(Kind::Tombstone, object, 0))?.is_some() {
            return Ok(None);
        }
        let Some(row) = to.object(ObjectKey::new(Kind::Run, object, 0))? else { return Ok(Some(Standing::New)) };
        let mine = RunData::without_series(to, keys, &row)?;
        let (mut ahead, mut behind) = (false, false);
        for writer in rows::writers(self.theirs).chain(rows::writers(&mine)) {
            let reached = |row: Option<runcellar_format::record::WriterRow>| row.map(|row| (row.sequence, row.closed));
            let there = reached(rows::writer_row(self.from, self.from_keys, object, writer)?);
            let here = reached(rows::writer_row(to, keys, object, writer)?);
            ahead |= there > here;
            behind |= here > there;
        }
        let standing = match (ahead, behind) {
            (true, true) => Standing::Diverged,
            (true, false) => Standing::Ahead,
            (false, _) if is_same(&self.described(&mine.record), &mine.record)? => Standing::Same,
            (false, _) => Standing::Described,
        };
        Ok(Some(standing))
    }

    /// Returns what is said of the run when what is said there is taken in.
    fn described(&self, mine: &RunRecord) -> RunRecord {
        let (mut record, mut theirs) = (mine.clone(), self.theirs.record.clone());
        fields::end_all(&mut theirs);
        fields::take_in(&mut record, &theirs);
        record
    }

    /// Brings it in, in one transaction.
    pub(super) fn apply(&self, to: &mut WriteTx<'_>) -> Result<Option<Outcome>> {
        // Again, and now with nobody beside us.
        let Some(standing) = self.compare(to, to.keyring)? else { return Ok(None) };
        to.witness_clock(self.from.root(self.from_keys)?.clock);
        let renamed = match standing {
            Standing::New => self.make(to)?,
            Standing::Ahead => {
                let mut mine = store::load(to, to.keyring, self.theirs.object)?;
                let mut record = self.theirs.record.clone();
                fields::end_all(&mut record);
                fields::take_in(&mut record, &mine.record);
                (record.id, record.project) = (mine.record.id, mine.record.project);
                record.start.project = record.project;
                to.remove_rows(mine.object)?;
                (mine.record, mine.series) = (record, SeriesTable::default());
                mine.head = RunHead { version: mine.head.version, ..RunHead::default() };
                rows::copy(to, (self.from, self.from_keys), self.theirs, &mut mine)?;
                store::say_described(to, &mine)?;
                mine.store(to)?;
                None
            }
            Standing::Described => {
                let mut mine = store::load(to, to.keyring, self.theirs.object)?;
                mine.record = self.described(&mine.record);
                store::say_described(to, &mine)?;
                mine.store(to)?;
                None
            }
            Standing::Same | Standing::Diverged => None,
        };
        Ok(Some(match standing {
            Standing::New => Outcome::New { renamed },
            other => other.outcome(&self.theirs.record.id),
        }))
    }

    /// Makes the run, under another id if that is taken; returns both ids then.
    fn make(&self, to: &mut WriteTx<'_>) -> Result<Option<(String, String)>> {
        let mut record = self.theirs.record.clone();
        fields::end_all(&mut record);
        let id = free_id(to, to.keyring, &record.id, self.theirs.object)?;
        let renamed = (id != record.id).then(|| (std::mem::replace(&mut record.id, id.clone()), id));
        let start = Start {
            run: self.theirs.object.0,
            project_name: self.project.to_owned(),
            started: record.created,
            ..record.start.clone()
        };
        let mut mine = store::create_run(to, &start, record, Vec::new())?;
        rows::copy(to, (self.from, self.from_keys), self.theirs, &mut mine)?;
        mine.store(to)?;
        Ok(renamed)
    }
}

/// Compares records by their bytes: a NaN is what it is.
fn is_same(one: &RunRecord, other: &RunRecord) -> Result<bool> {
    let body =
        |record: &RunRecord| record.to_body().map_err(|cause| Error::format(format_args!("run {}", record.id), cause));
    Ok(body(one)? == body(other)?)
}

/// Returns the id under which a run shows here: its own, or with some digits of its object id if another run has that.
///
/// Two runs of two workspaces that have one id are two runs: who gave them that id gave it twice. (Devices of one workspace
/// mean one run by it; their lookup tags are equal, and they are joined where they meet.)
pub(super) fn free_id(to: &ReadTx<'_>, keys: &Keyring, id: &str, object: ObjectId) -> Result<String> {
    let tag = store::tag_of(to, keys, Kind::Run, id)?;
    if to.object_by_tag(Kind::Run, &tag)?.is_none_or(|row| row.key.id == object) {
        return Ok(id.to_owned());
    }
    let end = (0..=id.len().min(ID_BYTES_KEPT)).rev().find(|end| id.is_char_boundary(*end)).unwrap_or(0);
    let digits = object.to_string();
    Ok(format!("{}.{}", &id[..end], digits.get(..DIGITS).unwrap_or(&digits)))
}
