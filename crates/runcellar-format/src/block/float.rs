//! Floats, kept bit by bit.

use pco::ModeSpec;

use crate::block::Level;
use crate::block::decimal::{self, Width};
use crate::block::packed::{pack, unpack};
use crate::block::tag::Tag;
use crate::codec::{Reader, Writer};
use crate::error::Result;

/// Encodes floats in the smallest form.
pub(super) fn encode(values: &[f64], level: Level) -> (Tag, Vec<u8>) {
    let mut plain = Writer::with_capacity(size_of_val(values));
    if let Some(first) = values.first()
        && values.iter().all(|value| value.to_bits() == first.to_bits())
    {
        plain.u64(first.to_bits());
        return (Tag::Constant, plain.into_vec());
    }
    let found = packed(values, level);
    match found {
        Some((tag, bytes)) if bytes.len() < size_of_val(values) => (tag, bytes),
        _ => {
            for value in values {
                plain.u64(value.to_bits());
            }
            (Tag::Plain, plain.into_vec())
        }
    }
}

/// Writes floats as tag, length, bytes.
pub(crate) fn write_floats(out: &mut Writer, values: &[f64]) -> Result<()> {
    let (tag, bytes) = encode(values, Level::Fast);
    out.u8(tag as u8).bytes("encoded floats", &bytes, u32::MAX)?;
    Ok(())
}

fn packed(values: &[f64], level: Level) -> Option<(Tag, Vec<u8>)> {
    // Decimals that are found are believed, and floats not tried: on real series they were never smaller.
    if let Some(found) = decimal::encode(values, Width::Full, level) {
        return Some(found);
    }
    // pco multiplies floats in its FloatMult mode, and which NaN comes of NaN times a number is up to the processor:
    // packed on one kind of machine, a payload could change when unpacked on another. Classic mode only moves bits.
    let mode = if values.iter().any(|value| value.is_nan()) { ModeSpec::Classic } else { ModeSpec::Auto };
    if let Some(narrow) = single(values) {
        if let Some(found) = decimal::encode(values, Width::Single, level) {
            return Some(found);
        }
        return Some((Tag::Float32, pack(&narrow, &mode, level)?));
    }
    Some((Tag::Float64, pack(values, &mode, level)?))
}

/// Returns the values as 32-bit floats if that loses no bit.
fn single(values: &[f64]) -> Option<Vec<f32>> {
    let one = |value: &f64| {
        let narrow = *value as f32;
        (widen(narrow).to_bits() == value.to_bits()).then_some(narrow)
    };
    values.iter().map(one).collect()
}

/// Widens a 32-bit float, whatever the processor's mode: some libraries switch a thread to take subnormals for zero,
/// and some processors drop the payloads of NaNs.
fn widen(narrow: f32) -> f64 {
    let bits = u64::from(narrow.to_bits());
    let (sign, fraction) = (bits >> 31 << 63, bits & 0x007f_ffff);
    match bits >> 23 & 0xff {
        0 => f64::from_bits(sign | (fraction as f64 * SUBNORMAL_UNIT).to_bits()),
        0xff => f64::from_bits(sign | f64::INFINITY.to_bits() | fraction << 29),
        _ => f64::from(narrow),
    }
}

/// The least subnormal 32-bit float, 2^-149.
const SUBNORMAL_UNIT: f64 = f64::from_bits((1023 - 149) << 52);

/// Decodes exactly `count` floats, at most as many as a group has rows.
pub(super) fn decode(tag: Tag, bytes: &[u8], count: usize) -> Result<Vec<f64>> {
    let mut reader = Reader::new("float column", bytes);
    match tag {
        Tag::Constant => {
            let value = f64::from_bits(reader.u64()?);
            reader.finish()?;
            Ok(vec![value; count])
        }
        Tag::Decimal => decimal::decode(bytes, count, Width::Full),
        Tag::Decimal32 => decimal::decode(bytes, count, Width::Single),
        Tag::Float32 => Ok(unpack::<f32>(bytes, count)?.into_iter().map(widen).collect()),
        Tag::Float64 => unpack(bytes, count),
        Tag::Plain => {
            let values = (0..count).map(|_| reader.u64().map(f64::from_bits)).collect::<Result<_>>()?;
            reader.finish()?;
            Ok(values)
        }
        _ => Err(reader.malformed("tag is not one of floats")),
    }
}
