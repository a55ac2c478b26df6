//! Byte planes: the first bytes of all elements, then the second ones, and so on.
//!
//! Of a trained float32 the sign and most of the exponent stand in one byte, which takes few values; the bits of the
//! other bytes are noise. Apart, one plane shrinks to a third and the others are copied; together, nothing repeats.

use std::array;
use std::cell::RefCell;

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

/// Elements that are put together at once.
const BLOCK: usize = 16;

thread_local! {
    /// Planes that were unpacked: no more than a chunk has bytes.
    static UNPACKED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

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

/// Fills `out` with the content whose planes `stored` holds. What is stored as it is, is read where it stands.
pub(super) fn decode<const STRIDE: usize>(stored: &[u8], out: &mut [u8]) -> Result<()> {
    let (elements, tail) = out.as_chunks_mut::<STRIDE>();
    let count = elements.len();
    let mut reader = Reader::new(WHAT, stored);
    UNPACKED.with_borrow_mut(|unpacked| {
        if unpacked.len() < count * STRIDE {
            unpacked.resize(count * STRIDE, 0);
        }
        let mut room = unpacked.as_mut_slice();
        let mut planes: [&[u8]; STRIDE] = [&[]; STRIDE];
        for plane in &mut planes {
            let tag = reader.u8()?;
            let bytes = reader.bytes(u32::MAX)?;
            *plane = match tag {
                RAW if bytes.len() == count => bytes,
                RAW => return Err(reader.malformed("a raw plane of another length than its elements")),
                ZSTD if bytes.len() < count => {
                    let (own, rest) = room.split_at_mut(count);
                    zframe::unpack_exactly(WHAT, bytes, own)?;
                    room = rest;
                    own
                }
                ZSTD => return Err(reader.malformed("a plane no smaller than its content")),
                _ => return Err(reader.malformed("a plane of an unknown form")),
            };
        }
        join(&planes, elements);
        Ok(())
    })?;
    tail.copy_from_slice(reader.take(tail.len())?);
    reader.finish()
}

/// Puts the bytes of elements together.
fn join<const STRIDE: usize>(planes: &[&[u8]; STRIDE], elements: &mut [[u8; STRIDE]]) {
    // Blocks of a length that the compiler knows become a few instructions on vectors.
    let blocks = planes.map(|plane| plane.as_chunks::<BLOCK>().0);
    let (joined, rest) = elements.as_chunks_mut::<BLOCK>();
    for (number, joined) in joined.iter_mut().enumerate() {
        let block = blocks.map(|blocks| &blocks[number]);
        for (at, element) in joined.iter_mut().enumerate() {
            *element = array::from_fn(|plane| block[plane][at]);
        }
    }
    let from = planes.first().map_or(0, |plane| plane.len()) - rest.len();
    for (at, element) in (from..).zip(rest) {
        *element = array::from_fn(|plane| planes[plane][at]);
    }
}
