//! Truth values.

use crate::block::tag::Tag;
use crate::codec::{Reader, Writer};
use crate::error::Result;

/// Encodes truth values in the smallest form.
pub(super) fn encode(values: &[bool]) -> (Tag, Vec<u8>) {
    let mut out = Writer::default();
    if let Some(first) = values.first()
        && values.iter().all(|value| value == first)
    {
        out.u8((*first).into());
        return (Tag::Constant, out.into_vec());
    }
    for eight in values.chunks(8) {
        out.u8(eight.iter().rev().fold(0, |byte, value| byte << 1 | u8::from(*value)));
    }
    (Tag::Bits, out.into_vec())
}

/// Decodes exactly `count` truth values.
pub(super) fn decode(tag: Tag, bytes: &[u8], count: usize) -> Result<Vec<bool>> {
    let mut reader = Reader::new("bool column", bytes);
    match tag {
        Tag::Constant => {
            let value = match reader.u8()? {
                0 => false,
                1 => true,
                _ => return Err(reader.malformed("a truth value is neither 0 nor 1")),
            };
            reader.finish()?;
            Ok(vec![value; count])
        }
        Tag::Bits => {
            let packed = reader.take(count.div_ceil(8))?;
            let bit = |index: usize| packed.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1);
            if (count..packed.len() * 8).any(bit) {
                return Err(reader.malformed("unused bits are set"));
            }
            reader.finish()?;
            Ok((0..count).map(bit).collect())
        }
        _ => Err(reader.malformed("tag is not one of truth values")),
    }
}
