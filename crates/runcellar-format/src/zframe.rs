//! zstd frames: one whole frame that says how long its content is, and nothing before or after it.

use zstd::zstd_safe::{find_frame_compressed_size, get_frame_content_size};

use crate::error::{FormatError, Result};

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Compresses bytes, unless that does not make them smaller.
pub(crate) fn pack(bytes: &[u8], level: i32) -> Option<Vec<u8>> {
    zstd::bulk::compress(bytes, level).ok().filter(|packed| packed.len() < bytes.len())
}

/// Decompresses a frame whose content is at most `limit` bytes long, which is checked before any is made.
///
/// # Errors
/// [`FormatError::Malformed`] if it is not one whole frame or zstd refuses it, [`FormatError::Limit`].
pub(crate) fn unpack(what: &'static str, bytes: &[u8], limit: usize) -> Result<Vec<u8>> {
    let malformed = |reason| FormatError::Malformed { what, reason };
    // Skippable frames are frames too, to zstd.
    if !bytes.starts_with(&MAGIC) || find_frame_compressed_size(bytes) != Ok(bytes.len()) {
        return Err(malformed("not one whole zstd frame"));
    }
    let Ok(Some(content)) = get_frame_content_size(bytes) else {
        return Err(malformed("zstd frame does not say how long its content is"));
    };
    let len = usize::try_from(content).unwrap_or(usize::MAX);
    if len > limit {
        return Err(FormatError::Limit { what, found: content, limit: limit as u64 });
    }
    match zstd::bulk::decompress(bytes, len) {
        Ok(plain) if plain.len() == len => Ok(plain),
        _ => Err(malformed("zstd refuses the bytes")),
    }
}

/// Appends the content of a frame, which is exactly `len` bytes long; nothing if it is refused.
///
/// # Errors
/// [`FormatError::Malformed`] if it is not one whole frame of such content.
pub(crate) fn unpack_exactly(what: &'static str, bytes: &[u8], len: usize, out: &mut Vec<u8>) -> Result<()> {
    let plain = match unpack(what, bytes, len) {
        Err(FormatError::Limit { .. }) => None,
        other => Some(other?).filter(|plain| plain.len() == len),
    };
    out.extend_from_slice(&plain.ok_or(FormatError::Malformed { what, reason: "zstd content of another length" })?);
    Ok(())
}
