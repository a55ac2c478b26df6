//! Histograms as values of a series.

use bincode::de::Decoder;
use bincode::error::DecodeError;
use bincode::{Decode, Encode};

use crate::error::{FormatError, Result};

/// The most bins of one histogram. W&B draws 64 by default and takes 512; this is room for whoever wants a fine one.
pub const HISTOGRAM_BINS_MAX: usize = 4096;

/// How often values fell between edges: `n` counts between `n + 1` edges.
///
/// Edges do not fall and are no NaN (the outer ones may be infinite); counts are not negative and no NaN. Counts are
/// floats, as densities and weighted counts are; whole ones are exact up to 2^53.
#[derive(Debug, Clone, PartialEq, Encode)]
pub struct Histogram {
    edges: Vec<f64>,
    counts: Vec<f64>,
}

impl Histogram {
    /// Makes a histogram of `n` counts between `n + 1` edges.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] for numbers that are of no histogram, [`FormatError::Limit`] above
    /// [`HISTOGRAM_BINS_MAX`].
    pub fn new(edges: Vec<f64>, counts: Vec<f64>) -> Result<Histogram> {
        check(&edges, &counts)?;
        Ok(Histogram { edges, counts })
    }

    /// Returns the edges, one more than there are counts.
    #[must_use]
    pub fn edges(&self) -> &[f64] {
        &self.edges
    }

    /// Returns the counts.
    #[must_use]
    pub fn counts(&self) -> &[f64] {
        &self.counts
    }

    /// Returns how many values an encoder writes for it: edges and counts.
    #[must_use]
    pub fn numbers(&self) -> usize {
        self.edges.len() + self.counts.len()
    }
}

/// Refuses edges and counts that are of no histogram.
///
/// # Errors
/// As [`Histogram::new`].
pub fn check(edges: &[f64], counts: &[f64]) -> Result<()> {
    let malformed = |reason| Err(FormatError::Malformed { what: "histogram", reason });
    if counts.is_empty() || edges.len() != counts.len() + 1 {
        return malformed("it has not one edge more than counts, of which there is one at least");
    }
    if counts.len() > HISTOGRAM_BINS_MAX {
        let (found, limit) = (counts.len() as u64, HISTOGRAM_BINS_MAX as u64);
        return Err(FormatError::Limit { what: "bins of a histogram", found, limit });
    }
    if !edges.is_sorted_by(|left, right| left <= right) {
        return malformed("its edges fall, or are not numbers");
    }
    if !counts.iter().all(|count| *count >= 0.0) {
        return malformed("a count is negative, or not a number");
    }
    Ok(())
}

impl<C> Decode<C> for Histogram {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> std::result::Result<Self, DecodeError> {
        let (edges, counts) = Decode::decode(decoder)?;
        Histogram::new(edges, counts).map_err(|_| DecodeError::Other("no histogram"))
    }
}

bincode::impl_borrow_decode!(Histogram);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_histograms_are_taken() {
        let inf = f64::INFINITY;
        assert!(Histogram::new(vec![-inf, 0.0, 0.0, inf], vec![0.0, 2.5, inf]).is_ok());
        let refused: [(&[f64], &[f64]); 7] = [
            (&[], &[]),
            (&[1.0], &[]),
            (&[0.0, 1.0], &[1.0, 2.0]),
            (&[1.0, 0.0], &[1.0]),
            (&[0.0, f64::NAN], &[1.0]),
            (&[0.0, 1.0], &[-1.0]),
            (&[0.0, 1.0], &[f64::NAN]),
        ];
        for (edges, counts) in refused {
            assert!(Histogram::new(edges.into(), counts.into()).is_err(), "{edges:?} {counts:?}");
        }
        let many = HISTOGRAM_BINS_MAX + 1;
        assert!(matches!(Histogram::new(vec![0.0; many + 1], vec![0.0; many]), Err(FormatError::Limit { .. })));
    }

    #[test]
    fn bytes_of_no_histogram_are_no_histogram() {
        let config = bincode::config::standard();
        let encode = |edges: &[f64], counts: &[f64]| bincode::encode_to_vec((edges, counts), config).expect("encodes");
        let good = encode(&[0.0, 1.0], &[3.0]);
        let decode = |bytes: &[u8]| bincode::decode_from_slice::<Histogram, _>(bytes, config);
        let (read, len) = decode(&good).expect("reads");
        assert_eq!((read.edges(), read.counts(), len), (&[0.0, 1.0][..], &[3.0][..], good.len()));
        assert_eq!(bincode::encode_to_vec(&read, config).expect("encodes"), good);
        assert!(decode(&encode(&[1.0, 0.0], &[3.0])).is_err());
    }
}
