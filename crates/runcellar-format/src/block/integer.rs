//! Integers: those of metrics, steps, times, row indexes, and those that decimals come down to.

use pco::ModeSpec;

use crate::block::Level;
use crate::block::packed::{pack, unpack};
use crate::block::tag::Tag;
use crate::codec::{Reader, Writer};
use crate::error::{FormatError, Result};

const WHAT: &str = "integer column";

/// Encodes integers in the smallest form.
pub(super) fn encode(values: &[i64], level: Level) -> (Tag, Vec<u8>) {
    let mut out = Writer::default();
    if let Some((start, delta)) = arithmetic(values) {
        out.i64(start);
        if delta == 0 {
            return (Tag::Constant, out.into_vec());
        }
        out.i64(delta);
        return (Tag::Arithmetic, out.into_vec());
    }
    let narrow: Option<Vec<i32>> = values.iter().map(|value| i32::try_from(*value).ok()).collect();
    let (tag, packed) = match narrow {
        Some(narrow) => (Tag::Integer32, pack(&narrow, &ModeSpec::Auto, level)),
        None => (Tag::Integer, pack(values, &ModeSpec::Auto, level)),
    };
    match packed {
        Some(packed) if packed.len() < size_of_val(values) => (tag, packed),
        _ => {
            for value in values {
                out.i64(*value);
            }
            (Tag::Plain, out.into_vec())
        }
    }
}

/// Returns start and delta if the values are in arithmetic progression; a single value is one with delta 0.
fn arithmetic(values: &[i64]) -> Option<(i64, i64)> {
    let (first, rest) = values.split_first()?;
    let delta = rest.first().map_or(0, |second| second.wrapping_sub(*first));
    values.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == delta).then_some((*first, delta))
}

/// Decodes exactly `count` integers, at most as many as a group has rows.
pub(super) fn decode(tag: Tag, bytes: &[u8], count: usize) -> Result<Vec<i64>> {
    let mut reader = Reader::new(WHAT, bytes);
    match tag {
        Tag::Constant => {
            let value = reader.i64()?;
            reader.finish()?;
            Ok(vec![value; count])
        }
        Tag::Arithmetic => {
            let (mut next, delta) = (reader.i64()?, reader.i64()?);
            if count < 2 || delta == 0 {
                return Err(reader.malformed("a progression without a delta is a constant"));
            }
            reader.finish()?;
            let step = || {
                let value = next;
                next = next.wrapping_add(delta);
                value
            };
            Ok(std::iter::repeat_with(step).take(count).collect())
        }
        Tag::Integer => unpack(bytes, count),
        Tag::Integer32 => Ok(unpack::<i32>(bytes, count)?.into_iter().map(i64::from).collect()),
        Tag::Plain => {
            let values = (0..count).map(|_| reader.i64()).collect::<Result<_>>()?;
            reader.finish()?;
            Ok(values)
        }
        _ => Err(reader.malformed("tag is not one of integers")),
    }
}

/// Writes integers as they stand in a main part: tag, length, bytes.
pub(crate) fn write_integers(out: &mut Writer, values: &[i64]) -> Result<()> {
    let (tag, bytes) = encode(values, Level::Fast);
    out.u8(tag as u8).bytes("encoded integers", &bytes, u32::MAX)?;
    Ok(())
}

/// Reads what [`write_integers`] wrote: exactly `count` integers.
pub(crate) fn integers_of(reader: &mut Reader<'_>, count: u32) -> Result<Vec<i64>> {
    Integers::read(reader, count)?.decode()
}

/// Integers as they stand in the main part: steps, times, row indexes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Integers<'a> {
    pub(super) count: u32,
    pub(super) tag: Tag,
    pub(super) bytes: &'a [u8],
}

impl<'a> Integers<'a> {
    pub(super) fn read(reader: &mut Reader<'a>, count: u32) -> Result<Self> {
        let tag = Tag::read(reader)?;
        // No form is longer than the plain one: the writer would have taken that.
        Ok(Integers { count, tag, bytes: reader.bytes(count.saturating_mul(8))? })
    }

    pub(super) fn decode(&self) -> Result<Vec<i64>> {
        let count = usize::try_from(self.count)
            .map_err(|_| FormatError::Malformed { what: WHAT, reason: "count does not fit this machine" })?;
        decode(self.tag, self.bytes, count)
    }
}
