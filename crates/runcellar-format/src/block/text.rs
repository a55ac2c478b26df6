//! Texts: their lengths and then their bytes, compressed where that saves.

use zstd::zstd_safe::{find_frame_compressed_size, get_frame_content_size};

use crate::block::tag::Tag;
use crate::block::{Level, TEXT_BYTES_MAX, TEXT_VALUE_BYTES_MAX, check_limit};
use crate::codec::{Reader, Writer};
use crate::error::{FormatError, Result};

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
    match zstd::bulk::compress(&plain, level) {
        Ok(packed) if packed.len() < plain.len() => Ok((Tag::Text, packed)),
        _ => Ok((Tag::Plain, plain)),
    }
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
        Tag::Text => decode_plain(&decompress(bytes, count)?, count),
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

/// Decompresses a single frame that says how long its content is, and nothing else.
fn decompress(bytes: &[u8], count: usize) -> Result<Vec<u8>> {
    let malformed = |reason| FormatError::Malformed { what: WHAT, reason };
    if find_frame_compressed_size(bytes) != Ok(bytes.len()) {
        return Err(malformed("not one whole zstd frame"));
    }
    let Ok(Some(content)) = get_frame_content_size(bytes) else {
        return Err(malformed("zstd frame does not say how long its content is"));
    };
    let content = usize::try_from(content).unwrap_or(usize::MAX);
    let Some(total) = content.checked_sub(count * 4) else {
        return Err(malformed("content is shorter than its lengths"));
    };
    check_total(total)?;
    match zstd::bulk::decompress(bytes, content) {
        Ok(plain) if plain.len() == content => Ok(plain),
        _ => Err(malformed("zstd refuses the bytes")),
    }
}

fn check_total(len: usize) -> Result<()> {
    check_limit("text column bytes", len, TEXT_BYTES_MAX)
}

fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| FormatError::Malformed { what: WHAT, reason: "text is not UTF-8" })
}
