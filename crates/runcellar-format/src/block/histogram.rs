//! Histograms: their edges once each, as they mostly repeat, and their counts one after the other.

use crate::block::tag::Tag;
use crate::block::{HISTOGRAM_NUMBERS_MAX, Level, ROWS_MAX, check_limit, float, integer};
use crate::codec::{Reader, Writer};
use crate::error::Result;
use crate::histogram::{HISTOGRAM_BINS_MAX, Histogram};

const WHAT: &str = "histogram column";

/// Encodes histograms.
///
/// # Errors
/// [`crate::FormatError::Limit`] if all together have too many edges or counts.
pub(super) fn encode(values: &[Histogram], level: Level) -> Result<(Tag, Vec<u8>)> {
    check_limit(WHAT, values.iter().map(Histogram::numbers).sum(), HISTOGRAM_NUMBERS_MAX)?;
    let mut known: Vec<&[f64]> = Vec::new();
    let mut numbers = std::collections::HashMap::new();
    let mut which = Vec::with_capacity(values.len());
    for value in values {
        // By bits: 0.0 and -0.0 are two edges, and both come back.
        let bits: Vec<u64> = value.edges().iter().map(|edge| edge.to_bits()).collect();
        let number = *numbers.entry(bits).or_insert_with(|| {
            known.push(value.edges());
            known.len() as i64 - 1
        });
        which.push(number);
    }
    let mut out = Writer::default();
    out.count(WHAT, known.len(), ROWS_MAX)?;
    for edges in &known {
        out.count(WHAT, edges.len() - 1, HISTOGRAM_BINS_MAX as u32)?;
    }
    let edges: Vec<f64> = known.concat();
    let counts: Vec<f64> = values.iter().flat_map(Histogram::counts).copied().collect();
    for (tag, bytes) in [integer::encode(&which, level), float::encode(&edges, level)] {
        out.u8(tag as u8);
        out.count(WHAT, bytes.len(), u32::MAX)?;
        out.raw(&bytes);
    }
    let (tag, bytes) = float::encode(&counts, level);
    out.u8(tag as u8);
    out.raw(&bytes);
    Ok((Tag::Histogram, out.into_vec()))
}

/// Decodes exactly `count` histograms, at most as many as a group has rows.
pub(super) fn decode(tag: Tag, bytes: &[u8], count: usize) -> Result<Vec<Histogram>> {
    let mut reader = Reader::new(WHAT, bytes);
    if tag != Tag::Histogram {
        return Err(reader.malformed("tag is not one of histograms"));
    }
    let known = reader.count(ROWS_MAX)?;
    if known > count {
        return Err(reader.malformed("more edges than histograms"));
    }
    let bins = (0..known).map(|_| reader.count(HISTOGRAM_BINS_MAX as u32)).collect::<Result<Vec<usize>>>()?;
    let total_edges = bins.iter().map(|bins| bins + 1).sum();
    check_limit(WHAT, total_edges, HISTOGRAM_NUMBERS_MAX)?;
    let which_tag = Tag::read(&mut reader)?;
    let which = integer::decode(which_tag, reader.bytes(u32::MAX)?, count)?;
    let edges_tag = Tag::read(&mut reader)?;
    let all_edges = float::decode(edges_tag, reader.bytes(u32::MAX)?, total_edges)?;
    let mut edges: Vec<&[f64]> = Vec::with_capacity(known);
    let mut rest = all_edges.as_slice();
    for bins in &bins {
        let (one, more) = rest.split_at_checked(bins + 1).ok_or_else(|| reader.malformed("edges end early"))?;
        (rest, _) = (more, edges.push(one));
    }
    let mut seen = 0;
    let mut of_each = Vec::with_capacity(count);
    for number in which {
        let place = usize::try_from(number).ok().filter(|place| *place <= seen);
        let edges = place.and_then(|place| edges.get(place));
        let edges = edges.ok_or_else(|| reader.malformed("edges are not numbered by first use"))?;
        seen = seen.max(place.map_or(0, |place| place + 1));
        of_each.push(*edges);
    }
    if seen != known {
        return Err(reader.malformed("edges that no histogram uses"));
    }
    let total: usize = of_each.iter().map(|edges| edges.len() - 1).sum();
    check_limit(WHAT, total + of_each.iter().map(|edges| edges.len()).sum::<usize>(), HISTOGRAM_NUMBERS_MAX)?;
    let counts_tag = Tag::read(&mut reader)?;
    let counts = float::decode(counts_tag, reader.take(reader.remaining())?, total)?;
    let mut rest = counts.as_slice();
    let one = |edges: &[f64]| {
        let (counts, more) = rest.split_at_checked(edges.len() - 1).unwrap_or((rest, &[]));
        rest = more;
        Histogram::new(edges.to_vec(), counts.to_vec())
    };
    of_each.into_iter().map(one).collect()
}
