//! Overviews: what is known of one series in many row groups, by which a chart is drawn without reading them.
//!
//! An [`Overview`] is kept beside the groups and says nothing that they do not: it may be missing, or speak of groups
//! that are gone. docs/FORMAT.md, "Overviews".

use std::collections::HashSet;

use crate::block::{ROWS_MAX, ValueKind, Values, decode_column, integers_of, write_floats, write_integers};
use crate::codec::{Reader, Writer};
use crate::error::{FormatError, Result};
use crate::id::WriterId;

/// The version of the layout that this build writes, and the newest that it reads.
pub const OVERVIEW_VERSION: u8 = 1;

/// Places of row groups that one overview is about.
pub const OVERVIEW_GROUPS: u32 = 64;

/// The most bytes of one encoded list: eight a number, and room for what a packed form adds.
const LIST_BYTES_MAX: u32 = OVERVIEW_GROUPS * 8;

const WHAT: &str = "overview";

/// What is known of one series in some row groups, in each of which it has values of one kind alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Overview {
    /// The kind of the values: floats, integers or truth values.
    pub kind: ValueKind,
    /// The groups, each once.
    pub groups: Vec<GroupSummary>,
}

/// A series in one row group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupSummary {
    /// Which group.
    pub group: GroupIdentity,
    /// Its points, at least one.
    pub count: u32,
    /// The first by (step, time, row).
    pub first: SummaryPoint,
    /// The first of the smallest values; the last point if all are NaN.
    pub least: SummaryPoint,
    /// The first of the largest values; the last point if all are NaN.
    pub most: SummaryPoint,
    /// The last by (step, time, row).
    pub last: SummaryPoint,
}

/// What tells a row group by what it holds: its number changes when it is encoded anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GroupIdentity {
    /// Who logged its rows.
    pub writer: WriterId,
    /// Sequence of its first frame.
    pub first_sequence: u64,
    /// Sequence of its last frame.
    pub last_sequence: u64,
    /// Its rows.
    pub rows: u32,
}

/// One point; the value is a float's bits, an integer, or 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SummaryPoint {
    /// The step.
    pub step: i64,
    /// The time, microseconds UTC since 1970.
    pub time: i64,
    /// The value.
    pub value: u64,
}

impl GroupSummary {
    fn points(&self) -> [SummaryPoint; 4] {
        [self.first, self.least, self.most, self.last]
    }
}

impl Overview {
    /// Encodes the overview.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] or [`FormatError::Limit`] for what [`Overview::decode`] refuses.
    pub fn encode(&self) -> Result<Vec<u8>> {
        self.check()?;
        let mut out = Writer::with_capacity(2048);
        out.u8(OVERVIEW_VERSION).u8(self.kind as u8).u8(u8::try_from(self.groups.len()).unwrap_or(0));
        let mut writers: Vec<WriterId> = Vec::new();
        let mut indexes = Vec::new();
        for summary in &self.groups {
            let writer = summary.group.writer;
            let known = writers.iter().position(|known| *known == writer);
            indexes.push(known.unwrap_or(writers.len()) as i64);
            if known.is_none() {
                writers.push(writer);
            }
        }
        out.u8(u8::try_from(writers.len()).unwrap_or(0));
        writers.iter().for_each(|writer| {
            out.raw(&writer.0);
        });
        let mut integers = |numbers: &[i64]| write_integers(&mut out, numbers);
        integers(&indexes)?;
        let of = |number: fn(&GroupSummary) -> i64| -> Vec<i64> { self.groups.iter().map(number).collect() };
        integers(&of(|summary| summary.group.first_sequence.cast_signed()))?;
        integers(&of(|summary| summary.group.last_sequence.cast_signed()))?;
        integers(&of(|summary| summary.group.rows.into()))?;
        integers(&of(|summary| summary.count.into()))?;
        for point in 0..4 {
            let points: Vec<SummaryPoint> = self.groups.iter().map(|summary| summary.points()[point]).collect();
            write_integers(&mut out, &points.iter().map(|point| point.step).collect::<Vec<_>>())?;
            write_integers(&mut out, &points.iter().map(|point| point.time).collect::<Vec<_>>())?;
            match self.kind {
                ValueKind::Float => {
                    write_floats(
                        &mut out,
                        &points.iter().map(|point| f64::from_bits(point.value)).collect::<Vec<_>>(),
                    )?;
                }
                _ => {
                    write_integers(&mut out, &points.iter().map(|point| point.value.cast_signed()).collect::<Vec<_>>())?
                }
            }
        }
        Ok(out.into_vec())
    }

    /// Decodes an overview. O(bytes) time and memory.
    ///
    /// # Errors
    /// Any of [`FormatError`]'s kinds for bytes that no writer makes.
    pub fn decode(bytes: &[u8]) -> Result<Overview> {
        let mut reader = Reader::new(WHAT, bytes);
        let version = reader.u8()?;
        reader.version(version.into(), OVERVIEW_VERSION.into())?;
        let kind = match reader.u8()? {
            1 => ValueKind::Float,
            2 => ValueKind::Int,
            3 => ValueKind::Bool,
            _ => return Err(reader.malformed("kind of values has no overview")),
        };
        let count = u32::from(reader.u8()?);
        if !(1..=OVERVIEW_GROUPS).contains(&count) {
            return Err(reader.malformed("number of groups is out of range"));
        }
        let writers = (0..reader.u8()?).map(|_| reader.array().map(WriterId)).collect::<Result<Vec<_>>>()?;
        let indexes = integers_of(&mut reader, count)?;
        check_order(&indexes, writers.len())?;
        let [first_sequences, last_sequences, rows, counts] = [(); 4]
            .map(|()| integers_of(&mut reader, count))
            .into_iter()
            .collect::<Result<Vec<_>>>()?
            .try_into()
            .map_err(|_| FormatError::Malformed { what: WHAT, reason: "lists are missing" })?;
        let mut points = Vec::with_capacity(4);
        for _ in 0..4 {
            let (steps, times) = (integers_of(&mut reader, count)?, integers_of(&mut reader, count)?);
            let values: Vec<u64> = match kind {
                ValueKind::Float => floats_of(&mut reader, count)?.into_iter().map(f64::to_bits).collect(),
                _ => integers_of(&mut reader, count)?.into_iter().map(i64::cast_unsigned).collect(),
            };
            let all = steps.into_iter().zip(times).zip(values);
            points.push(all.map(|((step, time), value)| SummaryPoint { step, time, value }).collect::<Vec<_>>());
        }
        reader.finish()?;
        let malformed = || FormatError::Malformed { what: WHAT, reason: "a count is out of range" };
        let number = |all: &[i64], at: usize| all.get(at).copied().and_then(|number| u32::try_from(number).ok());
        let mut groups = Vec::with_capacity(indexes.len());
        for (at, index) in indexes.iter().enumerate() {
            let writer = usize::try_from(*index).ok().and_then(|index| writers.get(index)).ok_or_else(malformed)?;
            let sequence = |all: &[i64]| all.get(at).copied().map(i64::cast_unsigned).ok_or_else(malformed);
            let group = GroupIdentity {
                writer: *writer,
                first_sequence: sequence(&first_sequences)?,
                last_sequence: sequence(&last_sequences)?,
                rows: number(&rows, at).ok_or_else(malformed)?,
            };
            let point = |of: usize| points.get(of).and_then(|all| all.get(at)).copied().ok_or_else(malformed);
            let count = number(&counts, at).ok_or_else(malformed)?;
            let (first, least, most, last) = (point(0)?, point(1)?, point(2)?, point(3)?);
            groups.push(GroupSummary { group, count, first, least, most, last });
        }
        let overview = Overview { kind, groups };
        overview.check()?;
        Ok(overview)
    }

    /// Refuses what cannot be a summary of groups.
    fn check(&self) -> Result<()> {
        let malformed = |reason| Err(FormatError::Malformed { what: WHAT, reason });
        if !matches!(self.kind, ValueKind::Float | ValueKind::Int | ValueKind::Bool) {
            return malformed("kind of values has no overview");
        }
        if self.groups.is_empty() || self.groups.len() > OVERVIEW_GROUPS as usize {
            return malformed("number of groups is out of range");
        }
        let mut seen = HashSet::new();
        for summary in &self.groups {
            let (group, key) = (summary.group, |point: SummaryPoint| (point.step, point.time));
            if !seen.insert(group) {
                return malformed("a group is listed twice");
            }
            if !(1..=ROWS_MAX).contains(&group.rows) || !(1..=group.rows).contains(&summary.count) {
                return malformed("a count is out of range");
            }
            if group.last_sequence < group.first_sequence {
                return malformed("sequence numbers fall");
            }
            if summary.points().iter().any(|point| key(*point) < key(summary.first) || key(*point) > key(summary.last))
            {
                return malformed("a point lies outside of the first and the last");
            }
            if self.kind == ValueKind::Bool && summary.points().iter().any(|point| point.value > 1) {
                return malformed("a truth value is neither 0 nor 1");
            }
        }
        Ok(())
    }
}

/// Refuses indexes that are not given out in order of first use.
fn check_order(indexes: &[i64], writers: usize) -> Result<()> {
    let mut used = 0;
    for index in indexes {
        if *index < 0 || *index > used {
            return Err(FormatError::Malformed { what: WHAT, reason: "writers are not in order of first use" });
        }
        used += i64::from(*index == used);
    }
    if usize::try_from(used) == Ok(writers) {
        return Ok(());
    }
    Err(FormatError::Malformed { what: WHAT, reason: "a writer that no group has" })
}

fn floats_of(reader: &mut Reader<'_>, count: u32) -> Result<Vec<f64>> {
    let tag = reader.u8()?;
    match decode_column([ValueKind::Float as u8, tag], reader.bytes(LIST_BYTES_MAX)?, count)? {
        Values::Float(all) => Ok(all),
        _ => Err(reader.malformed("values are no floats")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(number: u64, value: f64) -> GroupSummary {
        let point = |step: i64, value: f64| SummaryPoint { step, time: step * 10, value: value.to_bits() };
        let start = number as i64 * 4096;
        let group = GroupIdentity {
            writer: WriterId([(number / 3) as u8; 16]),
            first_sequence: number * 4096 + 1,
            last_sequence: number * 4096 + 4096,
            rows: 4096,
        };
        GroupSummary {
            group,
            count: 4096,
            first: point(start, value),
            least: point(start + 7, value - 1.5),
            most: point(start + 9, f64::INFINITY),
            last: point(start + 4095, f64::from_bits(0x7ff8_0000_0000_1234)),
        }
    }

    #[test]
    fn an_overview_reads_back_bit_by_bit() {
        let groups: Vec<GroupSummary> = (0..64).map(|number| summary(number, number as f64 / 7.0)).collect();
        for kind in [ValueKind::Float, ValueKind::Int] {
            let overview = Overview { kind, groups: groups.clone() };
            let bytes = overview.encode().expect("encodes");
            assert_eq!(Overview::decode(&bytes).expect("decodes"), overview);
            for len in 0..bytes.len() {
                assert!(Overview::decode(&bytes[..len]).is_err(), "length {len}");
            }
        }
    }

    #[test]
    fn what_is_no_summary_is_refused_both_ways() {
        let good = summary(1, 0.5);
        let refused = |groups: Vec<GroupSummary>| Overview { kind: ValueKind::Float, groups }.encode().is_err();
        assert!(!refused(vec![good]));
        assert!(refused(vec![]) && refused(vec![good, good]) && refused(vec![good; 65]));
        assert!(
            refused(vec![GroupSummary { count: 0, ..good }]) && refused(vec![GroupSummary { count: 4097, ..good }])
        );
        assert!(refused(vec![GroupSummary { least: SummaryPoint { step: 0, ..good.least }, ..good }]));
        let fallen = GroupIdentity { last_sequence: 0, ..good.group };
        assert!(refused(vec![GroupSummary { group: fallen, ..good }]));
        assert!(Overview { kind: ValueKind::Text, groups: vec![good] }.encode().is_err());
        assert!(Overview { kind: ValueKind::Bool, groups: vec![good] }.encode().is_err());
    }
}
