//! References to media files, of sixteen bytes each. They are hashes, which nothing makes smaller.

use crate::block::tag::Tag;
use crate::codec::Reader;
use crate::error::Result;
use crate::id::MediaId;

/// Encodes references in the smallest form.
pub(super) fn encode(values: &[MediaId]) -> (Tag, Vec<u8>) {
    match values.first() {
        Some(first) if values.iter().all(|value| value == first) => (Tag::Constant, first.0.to_vec()),
        _ => (Tag::Media, values.iter().flat_map(|value| value.0).collect()),
    }
}

/// Decodes exactly `count` references, at most as many as a group has rows.
pub(super) fn decode(tag: Tag, bytes: &[u8], count: usize) -> Result<Vec<MediaId>> {
    let mut reader = Reader::new("media column", bytes);
    let values = match tag {
        Tag::Constant => vec![MediaId(reader.array()?); count],
        Tag::Media => (0..count).map(|_| reader.array().map(MediaId)).collect::<Result<_>>()?,
        _ => return Err(reader.malformed("tag is not one of media")),
    };
    reader.finish()?;
    Ok(values)
}
