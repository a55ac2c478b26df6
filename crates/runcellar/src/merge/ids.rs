//! Ids of runs that two devices gave, or two workspaces.
//!
//! Two runs of two workspaces that have one id are two runs, and what comes in takes another. Devices of one workspace have to
//! come to the same, whoever hears of whom first: the run that was begun first keeps the id, and each other has some digits of
//! its object id behind it. Which run that is follows from the runs alone, and a run that was given digits keeps them:
//! so any order of merges ends alike.

use runcellar_format::ObjectId;
use runcellar_format::record::{FieldChange, FieldId, RunRecord};
use runcellar_format::seal::Kind;

use crate::db::{ReadTx, WriteTx};
use crate::ingest::data::RunData;
use crate::ingest::store;
use crate::keys::Keyring;
use crate::{Error, Json, Result};

/// Digits of the object id that tell runs of one id apart, and how many bytes of the id stay before them: at first, and where
/// somebody else has even that.
const STEPS: [(usize, usize); 2] = [(6, 120), (32, 94)];

/// Returns which step an id is: 0 as it was given, else 1 or 2.
fn step_of(id: &str, object: ObjectId) -> usize {
    let digits = object.to_string();
    let ends = |(count, _): &(usize, usize)| {
        let tail = id.strip_suffix(digits.get(..*count).unwrap_or(&digits));
        tail.is_some_and(|rest| rest.ends_with('.'))
    };
    STEPS.iter().rposition(ends).map_or(0, |step| step + 1)
}

/// Returns the id of the next step; none after the last.
fn next_step(id: &str, object: ObjectId) -> Option<String> {
    let (step, digits) = (step_of(id, object), object.to_string());
    let (count, kept) = *STEPS.get(step)?;
    // Without the digits of the step before.
    let given = match step {
        0 => id,
        _ => &id[..id.len() - 1 - STEPS[step - 1].0],
    };
    let end = given.floor_char_boundary(kept);
    Some(format!("{}.{}", &given[..end], digits.get(..count).unwrap_or(&digits)))
}

/// Returns the id that a run has for all devices, of the two that it has on two.
pub(super) fn joined<'a>(one: &'a str, other: &'a str, object: ObjectId) -> &'a str {
    if step_of(other, object) > step_of(one, object) { other } else { one }
}

/// Returns the id under which a run of another workspace shows here: its own, or with some digits of its object id if another
/// run has that.
pub(super) fn free(to: &ReadTx<'_>, keys: &Keyring, id: &str, object: ObjectId) -> Result<String> {
    let tag = store::tag_of(to, keys, Kind::Run, id)?;
    if to.object_by_tag(Kind::Run, &tag)?.is_none_or(|row| row.key.id == object) {
        return Ok(id.to_owned());
    }
    Ok(next_step(id, object).unwrap_or_else(|| id.to_owned()))
}

/// Runs that were given another id, with the one that they had.
pub(super) type Renamed = Vec<(String, String)>;

/// Gives a run that is about to be stored, of a device of this workspace, the id that it has on all of them; one that is here may
/// give way.
pub(super) fn settle(to: &mut WriteTx<'_>, record: &mut RunRecord, object: ObjectId) -> Result<Renamed> {
    let mut renamed = Renamed::new();
    let had = record.id.clone();
    while let Some(mut other) = holder(to, &record.id, object)? {
        let comes_later = (record.created, object) > (other.record.created, other.object);
        let (mine, theirs) = (next_step(&record.id, object), next_step(&other.record.id, other.object));
        match (mine, theirs) {
            (Some(next), theirs) if comes_later || theirs.is_none() => record.id = next,
            (_, Some(next)) => {
                let before = std::mem::replace(&mut other.record.id, next);
                renamed.extend(settle(to, &mut other.record, other.object)?);
                say(to, &other)?;
                renamed.push((before, other.record.id.clone()));
                other.store(to)?;
            }
            // Whoever named a run by all digits of two others' object ids.
            (_, None) => return Err(Error::invalid(format!("run {}: three runs have this id", record.id))),
        }
    }
    if record.id != had {
        renamed.push((had, record.id.clone()));
    }
    Ok(renamed)
}

/// Returns another run that has an id here.
fn holder(to: &WriteTx<'_>, id: &str, object: ObjectId) -> Result<Option<RunData>> {
    let tag = store::run_tag(to, id)?;
    let row = to.object_by_tag(Kind::Run, &tag)?.filter(|row| row.key.id != object);
    row.map(|row| RunData::without_series(to, to.keyring, &row)).transpose()
}

/// Says in a change that a run has another id.
fn say(to: &mut WriteTx<'_>, data: &RunData) -> Result<()> {
    let field = FieldChange::new(FieldId::RunId, "", &Json::Text(data.record.id.clone()));
    let field = field.map_err(|cause| Error::format(format_args!("run {}", data.record.id), cause))?;
    store::say_fields(to, data, vec![field])
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: ObjectId = ObjectId([0xab; 16]);

    #[test]
    fn an_id_gets_digits_twice_and_then_no_more() {
        let first = next_step("run", OBJECT).expect("there is one");
        assert_eq!(first, "run.ababab");
        let second = next_step(&first, OBJECT).expect("there is another");
        assert_eq!(second, format!("run.{}", "ab".repeat(16)));
        assert_eq!(next_step(&second, OBJECT), None);
        // Whichever is joined with which, the one with more digits stays.
        for (one, other) in [("run", &first), (&first, &second), ("run", &second)] {
            assert_eq!([joined(one, other, OBJECT), joined(other, one, OBJECT)], [other; 2]);
        }
        // Digits of another run are part of the id.
        assert_eq!(next_step("run.cdcdcd", OBJECT).expect("there is one"), "run.cdcdcd.ababab");
    }

    #[test]
    fn ids_stay_as_long_as_ids_may_be() {
        let long = "\u{e4}".repeat(64);
        let first = next_step(&long, OBJECT).expect("there is one");
        let second = next_step(&first, OBJECT).expect("there is another");
        assert!(first.len() <= 128 && second.len() <= 128, "{} {}", first.len(), second.len());
    }
}
