//! Byte planes: the first bytes of all elements, then the second ones, and so on.
//!
//! Of a trained float32 the sign and most of the exponent stand in one byte, which takes few values; the bits of the
//! other bytes are noise. Apart, one plane shrinks to a third and the others are copied; together, nothing repeats.

use super::counts::Counts;
use super::form::Effort;
use crate::codec::Reader;
use crate::error::Result;
use crate::zframe::{self, Method};

const WHAT: &str = "planes of a chunk";
/// How a plane is stored.
const RAW: u8 = 0;
const ZSTD: u8 = 1;
/// Tag and length.
const HEAD_BYTES: usize = 5;
/// A plane whose bytes carry more is stored as it is: packing would save less than 2.5% of it.
const BITS_WORTH_PACKING: f32 = 7.8;
/// A plane whose bytes carry less repeats itself: without repetitions a byte takes a bit at least.
const BITS_OF_REPETITION: f32 = 1.0;

/// Appends the planes of elements of `STRIDE` bytes, then the bytes at the end that do not fill one.
pub(super) fn encode<const STRIDE: usize>(content: &[u8], effort: Effort, out: &mut Vec<u8>) {
    let (elements, tail) = content.as_chunks::<STRIDE>();
    let counts = Counts::of_planes(elements);
    let mut plane = Vec::new();
    for index in 0..STRIDE {
        let head = out.len();
        out.extend_from_slice(&[RAW, 0, 0, 0, 0]);
        let method = method(&counts, index, effort);
        let packed = method.is_some_and(|method| {
            plane.clear();
            copy_plane(elements, index, &mut plane);
            zframe::pack_into(&plane, method, out)
        });
        if packed {
            out[head] = ZSTD;
        } else {
            copy_plane(elements, index, out);
        }
        let len = u32::try_from(out.len() - head - HEAD_BYTES).expect("a chunk is far below 4 GiB");
        out[head + 1..head + HEAD_BYTES].copy_from_slice(&len.to_le_bytes());
    }
    out.extend_from_slice(tail);
}

/// How a plane is packed, or `None` if that does not pay: told by how its bytes spread.
fn method(counts: &Counts, plane: usize, effort: Effort) -> Option<Method> {
    if counts.runs(plane) || counts.bits(plane) < BITS_OF_REPETITION {
        return Some(Method::Level(effort.level()));
    }
    (counts.bits(plane) < BITS_WORTH_PACKING).then_some(Method::Literals)
}

fn copy_plane<const STRIDE: usize>(elements: &[[u8; STRIDE]], index: usize, out: &mut Vec<u8>) {
    out.extend(elements.iter().map(|element| element[index]));
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
