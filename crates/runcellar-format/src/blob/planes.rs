//! Byte planes: the first bytes of all elements, then the second ones, and so on.
//!
//! Of a trained float32 the sign and most of the exponent stand in one byte, which takes few values; the bits of the
//! other bytes are noise. Apart, one plane shrinks to a third and the others are copied; together, nothing repeats.

use super::form::Effort;
use crate::codec::Reader;
use crate::error::Result;
use crate::zframe;

const WHAT: &str = "planes of a chunk";
/// How a plane is stored.
const RAW: u8 = 0;
const ZSTD: u8 = 1;

/// Appends the planes of elements of `STRIDE` bytes, then the bytes at the end that do not fill one.
pub(super) fn encode<const STRIDE: usize>(content: &[u8], effort: Effort, out: &mut Vec<u8>) {
    let (elements, tail) = content.as_chunks::<STRIDE>();
    for index in 0..STRIDE {
        let plane: Vec<u8> = elements.iter().map(|element| element[index]).collect();
        let packed = zframe::pack(&plane, effort.level());
        let (tag, bytes) = packed.as_ref().map_or((RAW, &plane), |packed| (ZSTD, packed));
        out.push(tag);
        out.extend_from_slice(&u32::try_from(bytes.len()).expect("a chunk is far below 4 GiB").to_le_bytes());
        out.extend_from_slice(bytes);
    }
    out.extend_from_slice(tail);
}

/// Appends the content whose planes `stored` holds.
pub(super) fn decode<const STRIDE: usize>(stored: &[u8], raw_len: usize, out: &mut Vec<u8>) -> Result<()> {
    let (count, tail_len) = (raw_len / STRIDE, raw_len % STRIDE);
    let mut reader = Reader::new(WHAT, stored);
    let mut planes = Vec::with_capacity(count * STRIDE);
    for _ in 0..STRIDE {
        let tag = reader.u8()?;
        let bytes = reader.bytes(u32::MAX)?;
        match tag {
            RAW if bytes.len() == count => planes.extend_from_slice(bytes),
            RAW => return Err(reader.malformed("a raw plane of another length than its elements")),
            ZSTD if bytes.len() < count => zframe::unpack_exactly(WHAT, bytes, count, &mut planes)?,
            ZSTD => return Err(reader.malformed("a plane no smaller than its content")),
            _ => return Err(reader.malformed("a plane of an unknown form")),
        }
    }
    let tail = reader.take(tail_len)?;
    reader.finish()?;
    let from = out.len();
    out.resize(from + count * STRIDE, 0);
    let (elements, _) = out.split_at_mut(from).1.as_chunks_mut::<STRIDE>();
    for (index, plane) in planes.chunks_exact(count.max(1)).enumerate() {
        elements.iter_mut().zip(plane).for_each(|(element, byte)| element[index] = *byte);
    }
    out.extend_from_slice(tail);
    Ok(())
}
