//! Floats that are decimals: an exponent and integers.
//!
//! What was printed with some digits, or rounded to some, or counts something, is the float nearest to
//! `integer / 10^exponent`, and the division gives it back bit by bit: `10^exponent` and the integer are exact floats,
//! and IEEE 754 division is correctly rounded. Source of the idea: ALP, Afroozeh et al., SIGMOD 2023,
//! doi:10.1145/3626717; it multiplies, and keeps exceptions apart.

use crate::block::Level;
use crate::block::integer;
use crate::block::tag::Tag;
use crate::codec::{Reader, Writer};
use crate::error::Result;

/// The powers of ten that are tried; a common exponent above 9 is rarer than time stamps in nanoseconds.
const POWERS: [f64; 10] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// The largest magnitude of an integer that stands for a number: all up to it are exact floats.
const INTEGER_MAX: i64 = 1 << 53;

/// Floats that are no decimals but common among them, and the integers that stand for them. All other NaNs, whose
/// payload may mean something, keep the column from being decimal.
const SPECIAL: [(u64, i64); 4] = [
    (0x8000_0000_0000_0000, INTEGER_MAX + 1), // -0.0
    (0x7ff0_0000_0000_0000, INTEGER_MAX + 2), // infinity
    (0xfff0_0000_0000_0000, INTEGER_MAX + 3), // -infinity
    (0x7ff8_0000_0000_0000, INTEGER_MAX + 4), // the NaN that Python, numpy and torch write
];

/// Whether values are compared as they are, or were rounded to 32-bit floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    Full,
    Single,
}

impl Width {
    /// The magnitude below which a run of integers is taken for decimals rather than chance: neighbouring floats are
    /// then at least 512 times (16 times) closer than neighbouring decimals.
    fn believed_below(self) -> i64 {
        match self {
            Width::Full => 1 << 44,
            Width::Single => 1 << 20,
        }
    }

    fn tag(self) -> Tag {
        match self {
            Width::Full => Tag::Decimal,
            Width::Single => Tag::Decimal32,
        }
    }
}

/// Encodes floats as decimals, if all of them are.
pub(super) fn encode(values: &[f64], width: Width, level: Level) -> Option<(Tag, Vec<u8>)> {
    // A value that is a decimal of some exponent is one of every larger exponent, so one pass finds the least.
    let mut exponent = 0;
    for value in values {
        while to_integer(*value, *POWERS.get(exponent)?, width).is_none() {
            exponent += 1;
        }
    }
    let power = *POWERS.get(exponent)?;
    let integers: Option<Vec<i64>> = values.iter().map(|value| to_integer(*value, power, width)).collect();
    let (inner, bytes) = integer::encode(&integers?, level);
    let mut out = Writer::with_capacity(bytes.len() + 2);
    out.u8(u8::try_from(exponent).ok()?).u8(inner as u8).raw(&bytes);
    Some((width.tag(), out.into_vec()))
}

fn to_integer(value: f64, power: f64, width: Width) -> Option<i64> {
    let scaled = value * power;
    // Below the bound, the product is within 1/256 of the integer that is sought; above, the cast saturates.
    let integer = (scaled + 0.5_f64.copysign(scaled)) as i64;
    if integer.unsigned_abs() < width.believed_below().unsigned_abs()
        && from_integer(integer, power, width).to_bits() == value.to_bits()
    {
        return Some(integer);
    }
    SPECIAL.iter().find(|(bits, _)| *bits == value.to_bits()).map(|(_, integer)| *integer)
}

/// Returns the float that an integer up to [`INTEGER_MAX`] stands for.
fn from_integer(integer: i64, power: f64, width: Width) -> f64 {
    let quotient = integer as f64 / power;
    match width {
        Width::Full => quotient,
        Width::Single => f64::from(quotient as f32),
    }
}

/// Decodes exactly `count` decimals.
pub(super) fn decode(bytes: &[u8], count: usize, width: Width) -> Result<Vec<f64>> {
    let mut reader = Reader::new("decimal column", bytes);
    let exponent = reader.u8()?;
    let power = POWERS.get(usize::from(exponent)).ok_or_else(|| reader.malformed("exponent is above 9"))?;
    let inner = Tag::read(&mut reader)?;
    if inner == Tag::Constant {
        return Err(reader.malformed("floats that are all the same are no decimals"));
    }
    let integers = integer::decode(inner, reader.take(reader.remaining())?, count)?;
    let is_number = |integer: &i64| integer.unsigned_abs() <= INTEGER_MAX.unsigned_abs();
    if exponent > 0 && !integers.iter().any(|integer| is_number(integer) && integer % 10 != 0) {
        return Err(reader.malformed("exponent is not the least"));
    }
    let value = |integer: i64| {
        if is_number(&integer) {
            return Ok(from_integer(integer, *power, width));
        }
        let special = SPECIAL.iter().find(|(_, stands_for)| *stands_for == integer);
        special.map(|(bits, _)| f64::from_bits(*bits)).ok_or_else(|| reader.malformed("integer stands for no float"))
    };
    integers.into_iter().map(value).collect()
}
