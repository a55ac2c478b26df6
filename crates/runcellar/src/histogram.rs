//! Counting values into a histogram.

pub use runcellar_format::histogram::{HISTOGRAM_BINS_MAX as BINS_MAX, Histogram, check};

use crate::{Error, Result};

/// Counts values between `bins` equal steps from the least to the greatest, as `numpy.histogram` does: a value on an edge
/// counts upwards, and the greatest into the last bin; of equal values the steps are from half below to half above.
/// Values that are NaN or infinite are left out. O(values) time.
///
/// # Errors
/// [`crate::ErrorKind::InvalidArgument`] for 0 bins or over [`BINS_MAX`], or if no value is finite.
pub fn binned(values: &[f64], bins: usize) -> Result<Histogram> {
    if !(1..=BINS_MAX).contains(&bins) {
        return Err(Error::invalid(format!("histogram: {bins} bins; 1 to {BINS_MAX} are expected")));
    }
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let Some(mut low) = finite().reduce(f64::min) else {
        return Err(Error::invalid("histogram: no value is finite"));
    };
    let mut high = finite().fold(low, f64::max);
    if low == high {
        (low, high) = (low - 0.5, high + 0.5);
    }
    // Halved where the span of two finite floats is infinite.
    let scale = if (high - low).is_finite() { 1.0 } else { 0.5 };
    let span = high * scale - low * scale;
    let edge = |at: usize| if at == bins { high } else { (low * scale + span * (at as f64 / bins as f64)) / scale };
    let edges: Vec<f64> = (0..=bins).map(edge).collect();
    let mut counts = vec![0.0; bins];
    for value in finite() {
        let share = (value * scale - low * scale) / span;
        let mut at = ((share * bins as f64) as usize).min(bins - 1);
        // The share is rounded; the edges decide.
        while at > 0 && edges.get(at).is_some_and(|edge| value < *edge) {
            at -= 1;
        }
        while at + 1 < bins && edges.get(at + 1).is_some_and(|edge| value >= *edge) {
            at += 1;
        }
        if let Some(count) = counts.get_mut(at) {
            *count += 1.0;
        }
    }
    Histogram::new(edges, counts).map_err(|cause| Error::format("histogram", cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_between_edges() {
        let histogram = binned(&[0.0, 0.5, 1.0, 1.0, 2.0, f64::NAN, f64::INFINITY], 4).expect("finite values");
        assert_eq!(histogram.edges(), [0.0, 0.5, 1.0, 1.5, 2.0]);
        assert_eq!(histogram.counts(), [1.0, 1.0, 2.0, 1.0]);
        let equal = binned(&[3.0, 3.0], 2).expect("finite values");
        assert_eq!((equal.edges(), equal.counts()), (&[2.5, 3.0, 3.5][..], &[0.0, 2.0][..]));
        let wide = binned(&[f64::MIN, 0.0, f64::MAX], 3).expect("finite values");
        assert_eq!(wide.counts(), [1.0, 1.0, 1.0]);
        assert!(wide.edges().iter().all(|edge| edge.is_finite()));
        let tiny = binned(&[0.0, f64::from_bits(1)], 8).expect("finite values");
        assert_eq!(tiny.counts().iter().sum::<f64>(), 2.0);
        for (values, bins) in [(&[][..], 4), (&[f64::NAN], 4), (&[1.0], 0), (&[1.0], BINS_MAX + 1)] {
            assert!(binned(values, bins).is_err());
        }
    }
}
