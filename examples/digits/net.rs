//! A network of one hidden layer: 64 pixels, ReLU units, softmax over ten digits.
//!
//! Knows forward and backward passes; not how it is trained, and nothing of where results are kept.

use crate::data::{CLASSES, Digit, PIXELS};
use crate::rng::Rng;

/// Units of the hidden layer.
pub(crate) const HIDDEN: usize = 32;

/// A fully connected layer, `output = input * weights + bias`.
///
/// Weights are `[inputs, outputs]`, row-major: every inner loop below then runs along one row, which vectorises
/// without reordering a sum, and rows of blank pixels (half of an image) are skipped.
#[derive(Clone)]
struct Dense {
    weights: Vec<f64>,
    bias: Vec<f64>,
}

impl Dense {
    /// Draws weights from the uniform distribution of variance `2 / inputs`, and zero for the bias.
    ///
    /// Source: He et al., "Delving deep into rectifiers", ICCV 2015, arXiv:1502.01852.
    fn random(inputs: usize, outputs: usize, rng: &mut Rng) -> Self {
        let limit = (6.0 / inputs as f64).sqrt();
        let weights = (0..inputs * outputs).map(|_| rng.symmetric(limit)).collect();
        Self { weights, bias: vec![0.0; outputs] }
    }

    fn forward<const OUT: usize>(&self, input: &[f64]) -> [f64; OUT] {
        let mut output = [0.0; OUT];
        output.copy_from_slice(&self.bias);
        for (&x, row) in input.iter().zip(self.weights.chunks_exact(OUT)) {
            if x != 0.0 {
                output.iter_mut().zip(row).for_each(|(out, weight)| *out += x * weight);
            }
        }
        output
    }

    /// Adds to `self`, a gradient, what one example gives: the outer product of its input and `d_output`.
    fn accumulate<const OUT: usize>(&mut self, input: &[f64], d_output: &[f64; OUT]) {
        self.bias.iter_mut().zip(d_output).for_each(|(sum, d)| *sum += d);
        for (&x, row) in input.iter().zip(self.weights.chunks_exact_mut(OUT)) {
            if x != 0.0 {
                row.iter_mut().zip(d_output).for_each(|(sum, d)| *sum += x * d);
            }
        }
    }
}

/// Mean loss and share of right answers over some images.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Score {
    /// Cross-entropy, in nats an image.
    pub(crate) loss: f64,
    /// 0.0 to 1.0.
    pub(crate) accuracy: f64,
}

impl Score {
    /// Adds one image to `self`, which holds sums until [`Score::mean`]: whole numbers add up without rounding.
    fn add(&mut self, probabilities: &[f64; CLASSES], label: usize) {
        // A probability that underflowed would make the loss infinite, and the mean with it.
        self.loss -= probabilities[label].max(f64::MIN_POSITIVE).ln();
        if probabilities.iter().all(|&other| other <= probabilities[label]) {
            self.accuracy += 1.0;
        }
    }

    fn mean(self, count: usize) -> Self {
        Self { loss: self.loss / count as f64, accuracy: self.accuracy / count as f64 }
    }
}

/// The parameters of the network. A gradient has the same shape and so the same type.
#[derive(Clone)]
pub(crate) struct Mlp {
    hidden: Dense,
    output: Dense,
}

impl Mlp {
    pub(crate) fn random(rng: &mut Rng) -> Self {
        Self { hidden: Dense::random(PIXELS, HIDDEN, rng), output: Dense::random(HIDDEN, CLASSES, rng) }
    }

    /// Returns parameters of this shape that are all zero.
    pub(crate) fn zeros(&self) -> Self {
        let mut zeros = self.clone();
        zeros.values_mut().for_each(|value| *value = 0.0);
        zeros
    }

    /// Lists all parameters, in the order of [`Mlp::values_mut`].
    pub(crate) fn values(&self) -> impl Iterator<Item = &f64> {
        [&self.hidden.weights, &self.hidden.bias, &self.output.weights, &self.output.bias].into_iter().flatten()
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut f64> {
        let Self { hidden, output } = self;
        [&mut hidden.weights, &mut hidden.bias, &mut output.weights, &mut output.bias].into_iter().flatten()
    }

    /// Returns the units of the hidden layer, after ReLU, and the probability of each digit.
    fn forward(&self, digit: &Digit) -> ([f64; HIDDEN], [f64; CLASSES]) {
        let units = self.hidden.forward::<HIDDEN>(&digit.pixels).map(|z| z.max(0.0));
        let probabilities = softmax(self.output.forward(&units));
        (units, probabilities)
    }

    /// Scores `digits`.
    pub(crate) fn score<'a>(&self, digits: impl ExactSizeIterator<Item = &'a Digit>) -> Score {
        let count = digits.len();
        let mut score = Score::default();
        digits.for_each(|digit| score.add(&self.forward(digit).1, digit.label));
        score.mean(count)
    }

    /// Scores `digits` and returns the gradient of their mean loss too.
    pub(crate) fn gradient<'a>(&self, digits: impl ExactSizeIterator<Item = &'a Digit>) -> (Score, Self) {
        let count = digits.len();
        let weight = 1.0 / count as f64;
        let mut score = Score::default();
        let mut gradient = self.zeros();
        for digit in digits {
            let (units, probabilities) = self.forward(digit);
            score.add(&probabilities, digit.label);

            // Softmax and cross-entropy together: the derivative by a logit is probability minus truth.
            let mut d_logits = probabilities.map(|probability| weight * probability);
            d_logits[digit.label] -= weight;
            let mut d_units = [0.0; HIDDEN];
            let rows = self.output.weights.chunks_exact(CLASSES);
            for ((d_unit, &unit), row) in d_units.iter_mut().zip(&units).zip(rows) {
                if unit > 0.0 {
                    *d_unit = row.iter().zip(&d_logits).map(|(weight, d)| weight * d).sum();
                }
            }
            gradient.output.accumulate(&units, &d_logits);
            gradient.hidden.accumulate(&digit.pixels, &d_units);
        }
        (score.mean(count), gradient)
    }
}

fn softmax(logits: [f64; CLASSES]) -> [f64; CLASSES] {
    // Without the maximum taken away, exp overflows for logits above 709.
    let max = logits.into_iter().fold(f64::NEG_INFINITY, f64::max);
    let exponentials = logits.map(|logit| (logit - max).exp());
    let sum: f64 = exponentials.iter().sum();
    exponentials.map(|exponential| exponential / sum)
}

#[cfg(test)]
mod tests {
    use super::Mlp;
    use crate::{data, rng::Rng};

    /// Compares every derivative with a central difference of the loss. Its error is about h^2 from the cut-off
    /// series and 1e-16 / h from rounding, both near 1e-10 for the h used.
    #[test]
    fn the_gradient_agrees_with_finite_differences() {
        const H: f64 = 1e-5;
        let digits = data::load().unwrap().validation;
        let batch = || digits[..8].iter();
        let mut net = Mlp::random(&mut Rng::new(7));
        let (score, gradient) = net.gradient(batch());
        assert_eq!(score, net.score(batch()));

        for (index, &exact) in gradient.values().enumerate() {
            let mut loss_at = |shift: f64| {
                let value = *net.values().nth(index).unwrap();
                *net.values_mut().nth(index).unwrap() = value + shift;
                let loss = net.score(batch()).loss;
                *net.values_mut().nth(index).unwrap() = value;
                loss
            };
            let measured = (loss_at(H) - loss_at(-H)) / (2.0 * H);
            assert!((measured - exact).abs() < 1e-8, "parameter {index}: {measured} measured, {exact} computed");
        }
    }
}
