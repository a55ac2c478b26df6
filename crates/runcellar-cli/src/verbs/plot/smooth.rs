//! Moving averages for lines that are too noisy to read.

/// Reads a weight: from 0 to below 1.
pub(super) fn weight(text: &str) -> Result<f64, String> {
    let weight = text.parse().ok().filter(|weight| (0.0..1.0).contains(weight));
    weight.ok_or_else(|| "a number from 0 to below 1 is expected, such as 0.9".to_owned())
}

/// Returns at each value the exponential moving average so far, which keeps `weight` of the one before.
///
/// Divided by the sum of the weights, so that it begins at the first value and not at zero. What is not finite is as
/// it was, a gap or an edge, and the average goes on behind it.
///
/// Source: bias correction as in Adam, Kingma and Ba, arXiv:1412.6980, section 3.
pub(super) fn average(values: &[f64], weight: f64) -> Vec<f64> {
    let (mut sum, mut total) = (0.0, 0.0);
    let mut step = |value: f64| {
        if !value.is_finite() {
            return value;
        }
        sum = sum * weight + value * (1.0 - weight);
        total = total * weight + (1.0 - weight);
        sum / total
    };
    values.iter().map(|value| step(*value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_begins_at_the_first_value_and_follows() {
        assert!(average(&[3.0, 3.0, 3.0], 0.9).iter().all(|average| (average - 3.0).abs() < 1e-12));
        let averages = average(&[0.0, 1.0], 0.5);
        // (0 * 0.25 + 1 * 0.5) / 0.75
        assert!((averages[1] - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(average(&[1.0, 2.0, 4.0], 0.0), [1.0, 2.0, 4.0]);
        assert_eq!(average(&[], 0.5), [0.0; 0]);
    }

    #[test]
    fn gaps_stay_and_do_not_reach_the_average() {
        let averages = average(&[1.0, f64::NAN, f64::INFINITY, 1.0], 0.9);
        assert!(averages[1].is_nan() && averages[2] == f64::INFINITY);
        assert!((averages[3] - 1.0).abs() < 1e-12);
    }

    #[test]
    fn weights_are_numbers_from_zero_to_below_one() {
        assert_eq!(weight("0.9"), Ok(0.9));
        for text in ["1", "-0.1", "NaN", "much", ""] {
            assert!(weight(text).is_err(), "{text}");
        }
    }
}
