//! Numbers packed by pco, inside the limits that pco leaves open.
//!
//! The wrapped form of pco is used: its standalone form repeats the type and the count, which stand beside the
//! column already, costs 10 bytes more, and would allow several chunks.

use pco::data_types::Number;
use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DeltaSpec, ModeSpec, PagingSpec};

use crate::block::Level;
use crate::codec::Reader;
use crate::error::{FormatError, Result};

/// pco's level while a run is being written. Groups of 20 columns of 4,096 real values took 1.50 bytes a value and
/// 2.4 ms at level 4, 1.33 bytes and 2.7 ms at 6, 1.30 bytes and 4.9 ms at 8 (benches/columns.rs).
const PACK_LEVEL_FAST: usize = 6;

/// pco's level at the end, after the delta was chosen by [`likely_delta`]. The same groups took 1.288 bytes a value and
/// 5.5 ms; trying each delta on all values took 1.287 bytes and 15 ms, and level 12 with it 1.278 bytes and 55 ms.
const PACK_LEVEL_BEST: usize = 8;

/// Values on which deltas are tried at the best level, and the pieces of the column that they come from. With 768 in 6
/// the groups took 1.302 bytes, with 1,536 in 12 no fewer than with these.
const SAMPLE_VALUES: usize = 1024;
const SAMPLE_PIECES: usize = 8;

/// pco's format version, which begins what it writes. Bytes of another version would need a look at
/// [`check_features`] first.
const PCO_VERSION: [u8; 2] = [4, 1];

/// The longest way back, as a power of two, that a packed value may refer to: as far as a column is long.
const LOOKBACK_WINDOW_LOG_MAX: u8 = 16;

const WHAT: &str = "packed numbers";

/// A number that is packed.
pub(super) trait Packed: Number {
    /// Bytes of one number.
    const BYTES: usize;

    /// The bits, as only equal bits are equal here.
    fn bits(self) -> u64;
}

macro_rules! packed {
    ($($name:ty, $bits:expr;)*) => {$(
        impl Packed for $name {
            const BYTES: usize = size_of::<$name>();

            fn bits(self) -> u64 {
                let bits: fn($name) -> u64 = $bits;
                bits(self)
            }
        }
    )*};
}

packed! {
    i32, |value| value.cast_unsigned().into();
    i64, i64::cast_unsigned;
    f32, |value| value.to_bits().into();
    f64, f64::to_bits;
}

/// Packs the values, or returns `None` where pco cannot: then another form is written.
pub(super) fn pack<T: Packed>(values: &[T], mode: &ModeSpec, level: Level) -> Option<Vec<u8>> {
    let one = |delta, level| pack_as(values, mode, delta, level);
    let packed = match level {
        Level::Fast => one(DeltaSpec::Auto, PACK_LEVEL_FAST)?,
        Level::Best => one(likely_delta(values, mode), PACK_LEVEL_BEST)?,
    };
    // What is written here is often the only copy: a mistake in packing must cost space, not values.
    let back = unpack::<T>(&packed, values.len()).ok()?;
    back.iter().zip(values).all(|(back, value)| back.bits() == value.bits()).then_some(packed)
}

/// Returns the delta that packs a sample of the values best. pco itself decides by estimates, and less well; higher deltas
/// and dictionaries save next to nothing, convolutions 0.2% of 32-bit numbers at slower reading.
fn likely_delta<T: Packed>(values: &[T], mode: &ModeSpec) -> DeltaSpec {
    let piece = SAMPLE_VALUES / SAMPLE_PIECES;
    let stride = values.len().div_ceil(SAMPLE_PIECES).max(piece);
    let sample: Vec<T> = values.chunks(stride).flat_map(|chunk| chunk.iter().take(piece).copied()).collect();
    let deltas = [DeltaSpec::NoOp, DeltaSpec::TryLookback].into_iter().chain((1..=3).map(DeltaSpec::TryConsecutive));
    let packed = |delta: &DeltaSpec| pack_as(&sample, mode, delta.clone(), PACK_LEVEL_FAST);
    deltas.min_by_key(|delta| packed(delta).map_or(usize::MAX, |bytes| bytes.len())).unwrap_or_default()
}

fn pack_as<T: Packed>(values: &[T], mode: &ModeSpec, delta: DeltaSpec, level: usize) -> Option<Vec<u8>> {
    let config = ChunkConfig::default()
        .with_compression_level(level)
        .with_mode_spec(mode.clone())
        .with_delta_spec(delta)
        .with_paging_spec(PagingSpec::Exact(vec![values.len()]));
    let file = FileCompressor::default();
    let mut chunk = file.chunk_compressor(values, &config).ok()?;
    let out = file.write_header(Vec::with_capacity(chunk.meta_size_hint() + chunk.page_size_hint(0) + 2)).ok()?;
    let out = chunk.write_meta(out).ok()?;
    chunk.write_page(0, out).ok()
}

/// Unpacks exactly `count` values, which the caller has checked against the limit on rows.
pub(super) fn unpack<T: Packed>(bytes: &[u8], count: usize) -> Result<Vec<T>> {
    check_features::<T>(bytes)?;
    let damaged = |_| FormatError::Malformed { what: WHAT, reason: "pco refuses the bytes" };
    let (file, rest) = FileDecompressor::new(bytes).map_err(damaged)?;
    let (mut chunk, rest) = file.chunk_decompressor::<T, _>(rest).map_err(damaged)?;
    let mut page = chunk.page_decompressor(rest, count).map_err(damaged)?;
    let mut values = vec![T::default(); count];
    let progress = page.read(&mut values).map_err(damaged)?;
    if progress.n_processed != count || !progress.finished {
        return Err(FormatError::Malformed { what: WHAT, reason: "not as many numbers as the column has" });
    }
    Reader::new(WHAT, page.into_src()).finish()?;
    Ok(values)
}

/// Refuses what the writer never uses and what would allocate by the word of the bytes: a dictionary (up to 256 MiB
/// before the first of its values is read), a lookback window longer than any column (up to 256 MiB), and
/// convolutions. What is left allocates about 4 MiB at most.
///
/// The first bits of a chunk, low bits first: mode 4; its parameter (a number for the two kinds of multiplication,
/// 8 bits for quantization); delta 4; for lookback: window 5.
fn check_features<T: Packed>(bytes: &[u8]) -> Result<()> {
    let malformed = |reason| FormatError::Malformed { what: WHAT, reason };
    let mut reader = Reader::new(WHAT, bytes);
    if reader.array()? != PCO_VERSION {
        return Err(malformed("pco version is not the one of this format"));
    }
    let mode = reader.u8()?;
    let delta = match mode & 15 {
        0 => mode,
        1 | 2 => *reader.take(T::BYTES)?.last().ok_or_else(|| malformed("pco mode without a base"))?,
        3 => reader.u8()?,
        _ => return Err(malformed("pco mode is not one of this format")),
    };
    match delta >> 4 {
        0 | 1 => Ok(()),
        2 if reader.u8()? & 31 < LOOKBACK_WINDOW_LOG_MAX => Ok(()),
        2 => Err(malformed("pco looks back further than a column is long")),
        _ => Err(malformed("pco delta is not one of this format")),
    }
}
