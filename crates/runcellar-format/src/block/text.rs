//! Texts: their lengths and then their bytes, compressed where that saves.

use crate::block::tag::Tag;
use crate::block::{Level, TEXT_BYTES_MAX, TEXT_VALUE_BYTES_MAX, check_limit};
use crate::codec::{Reader, Writer};
use crate::error::{FormatError, Result};
use crate::zframe;

/// zstd's level while a run is being written: its default.
const ZSTD_LEVEL_FAST: i32 = 3;

/// zstd's level at the end, for columns up to [`ZSTD_BEST_BYTES_MAX`].
const ZSTD_LEVEL_BEST: i32 = 19;

/// The most bytes that are compressed at the best level, which takes a third of a second for as many; longer columns
/// are compressed as while writing.
const ZSTD_BEST_BYTES_MAX: usize = 1 << 20;

const WHAT: &str = "text column";

/// Encodes texts in the smallest form.
///
/// # Errors
/// [`FormatError::Limit`] if a text, or all together, are too long.
pub(super) fn encode(values: &[String], level: Level) -> Result<(Tag, Vec<u8>)> {
    let total: usize = values.iter().map(String::len).sum();
    check_total(total)?;
    let mut plain = Writer::with_capacity(total + values.len() * 4);
    for value in values {
        plain.count("text value bytes", value.len(), TEXT_VALUE_BYTES_MAX)?;
    }
    if let Some(first) = values.first()
        && values.iter().all(|value| value == first)
    {
        return Ok((Tag::Constant, first.as_bytes().to_vec()));
    }
    for value in values {
        plain.raw(value.as_bytes());
    }
    let plain = plain.into_vec();
    let level = match level {
        Level::Best if plain.len() <= ZSTD_BEST_BYTES_MAX => ZSTD_LEVEL_BEST,
        _ => ZSTD_LEVEL_FAST,
    };
    Ok(match zframe::pack(&plain, level) {
        Some(packed) => (Tag::Text, packed),
        None => (Tag::Plain, plain),
    })
}

/// Decodes exactly `count` texts, at most as many as a group has rows.
pub(super) fn decode(tag: Tag, bytes: &[u8], count: usize) -> Result<Vec<String>> {
    match tag {
        Tag::Constant => {
            check_limit("text value bytes", bytes.len(), TEXT_VALUE_BYTES_MAX)?;
            check_total(bytes.len().saturating_mul(count))?;
            Ok(vec![utf8(bytes)?.to_owned(); count])
        }
        Tag::Plain => decode_plain(bytes, count),
        Tag::Text => decode_plain(&zframe::unpack(WHAT, bytes, TEXT_BYTES_MAX as usize + count * 4)?, count),
        _ => Err(FormatError::Malformed { what: WHAT, reason: "tag is not one of texts" }),
    }
}

fn decode_plain(bytes: &[u8], count: usize) -> Result<Vec<String>> {
    let mut reader = Reader::new(WHAT, bytes);
    let mut lengths = Reader::new(WHAT, reader.take(count * 4)?);
    check_total(reader.remaining())?;
    let one = |_| Ok(utf8(reader.take(lengths.count(TEXT_VALUE_BYTES_MAX)?)?)?.to_owned());
    let values = (0..count).map(one).collect::<Result<_>>()?;
    reader.finish()?;
    Ok(values)
}

fn check_total(len: usize) -> Result<()> {
    check_limit("text column bytes", len, TEXT_BYTES_MAX)
}

fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| FormatError::Malformed { what: WHAT, reason: "text is not UTF-8" })
}
