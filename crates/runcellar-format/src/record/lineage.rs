//! Where a run comes from and how it goes on: bodies that stand in `extra` fields of other records.
//!
//! docs/FORMAT.md, "Lineage".

use bincode::{Decode, Encode};

use super::Body;
use crate::error::Result;

/// `RunRecord.extra`, and `Change.extra` of the change that makes the run: an [`Origin`].
pub const ORIGIN_FIELD: u16 = 1;
/// `RunRecord.extra`: [`Rewinds`]. `Change.extra` of the change that rewinds: the same, as they are after it.
pub const REWINDS_FIELD: u16 = 2;
/// `Start.extra`: a [`Launched`]. `RunRecord.extra`: [`Launches`].
pub const LAUNCH_FIELD: u16 = 3;
/// `Start.extra`: the working directory, UTF-8.
pub const DIRECTORY_FIELD: u16 = 4;

/// The run that a run was forked from.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct Origin {
    /// Its object id.
    pub run: [u8; 16],
    /// Its id that users see.
    pub run_id: String,
    /// The last step that was taken over; none if all were.
    pub step: Option<i64>,
    /// Ranks of the writers whose rows were taken over: (writer, rank), ranks above 0 only.
    pub ranks: Vec<([u8; 16], u32)>,
}

impl Body for Origin {
    const NAME: &'static str = "origin";
}

/// Every rewind of a run, in order.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct Rewinds {
    /// The rewinds.
    pub all: Vec<Rewind>,
}

impl Body for Rewinds {
    const NAME: &'static str = "rewinds";
}

/// A run was rewound: what its writers of that time logged beyond a step is hidden.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct Rewind {
    /// When, microseconds UTC since 1970.
    pub time: i64,
    /// The last step that shows.
    pub step: i64,
    /// Start of BLAKE3 over what started the ranks that rewound together; zeros for a lone process.
    pub launch: [u8; 16],
    /// The writers that the run had: what is ingested of them later is hidden beyond the step, too.
    pub writers: Vec<[u8; 16]>,
    /// The hidden row groups.
    pub hidden: Vec<GroupRange>,
}

/// Row groups of one writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct GroupRange {
    /// The writer.
    pub writer: [u8; 16],
    /// The first number.
    pub first: u32,
    /// The last number.
    pub last: u32,
}

impl Rewind {
    /// Returns true if this rewind hides a row group.
    #[must_use]
    pub fn hides(&self, writer: [u8; 16], number: u32) -> bool {
        self.hidden.iter().any(|range| range.writer == writer && (range.first..=range.last).contains(&number))
    }

    /// Hides a row group.
    pub fn hide(&mut self, writer: [u8; 16], number: u32) {
        let next_to = |range: &&mut GroupRange| range.writer == writer && range.last.checked_add(1) == Some(number);
        match self.hidden.iter_mut().find(next_to) {
            Some(range) => range.last = number,
            None => self.hidden.push(GroupRange { writer, first: number, last: number }),
        }
    }
}

/// What started a writer as one of several processes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Launched {
    /// What all processes of the job have in common.
    pub job: String,
    /// How often the job was started again before.
    pub restart: u32,
}

impl Body for Launched {
    const NAME: &'static str = "launch";
}

/// Which writers of a run belong to which job: (writer, first 8 bytes of BLAKE3 of the job as u64, restart).
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Launches {
    /// The writers.
    pub writers: Vec<([u8; 16], u64, u32)>,
}

impl Body for Launches {
    const NAME: &'static str = "launches";
}

/// Reads the body that stands in a field of `extra`.
///
/// # Errors
/// As [`Body::from_body`].
pub fn extra_body<T: Body>(extra: &[(u16, Vec<u8>)], field: u16) -> Result<Option<T>> {
    extra.iter().find(|(number, _)| *number == field).map(|(_, bytes)| T::from_body(bytes)).transpose()
}

/// Puts a body into a field of `extra`.
///
/// # Errors
/// As [`Body::to_body`].
pub fn set_extra_body(extra: &mut Vec<(u16, Vec<u8>)>, field: u16, body: &impl Body) -> Result<()> {
    let bytes = body.to_body()?;
    extra.retain(|(number, _)| *number != field);
    extra.push((field, bytes));
    extra.sort_by_key(|(number, _)| *number);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_that_follow_one_another_take_one_range() {
        let mut rewind = Rewind::default();
        for number in [3, 4, 5, 9] {
            rewind.hide([1; 16], number);
        }
        rewind.hide([2; 16], 6);
        assert_eq!(rewind.hidden.len(), 3);
        let shown: Vec<u32> = (0..12).filter(|number| !rewind.hides([1; 16], *number)).collect();
        assert_eq!(shown, [0, 1, 2, 6, 7, 8, 10, 11]);
        assert!(rewind.hides([2; 16], 6) && !rewind.hides([2; 16], 5));
    }

    #[test]
    fn a_field_is_replaced_and_the_others_stay() {
        let mut extra = vec![(9, vec![1])];
        let origin = |step| Origin { run_id: "a".into(), step, ..Origin::default() };
        set_extra_body(&mut extra, ORIGIN_FIELD, &origin(None)).expect("short");
        set_extra_body(&mut extra, ORIGIN_FIELD, &origin(Some(7))).expect("short");
        assert_eq!(extra_body(&extra, ORIGIN_FIELD), Ok(Some(origin(Some(7)))));
        assert_eq!(extra_body::<Rewinds>(&extra, REWINDS_FIELD), Ok(None));
        assert_eq!(extra.len(), 2);
        assert!(extra_body::<Origin>(&extra, 9).is_err());
    }
}
