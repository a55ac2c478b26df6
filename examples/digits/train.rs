//! Training: mini-batch gradient descent with momentum, one report a step.
//!
//! Takes settings and data, gives reports; who listens to them is not its business.

use std::f64::consts::PI;

use crate::data::{Digit, Split};
use crate::net::{Mlp, Score};
use crate::rng::Rng;

/// Images a step; the last batch of an epoch has what is left.
pub(crate) const BATCH_SIZE: usize = 32;
/// Share of the last velocity that a step keeps.
pub(crate) const MOMENTUM: f64 = 0.9;
/// Share of all steps over which the learning rate rises: high rates are unstable from random weights.
const WARM_UP_SHARE: f64 = 0.05;

/// What tells one run of the grid from another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Highest learning rate, reached at the end of the warm-up.
    pub(crate) lr: f64,
    /// Times that every training image is seen.
    pub(crate) epochs: usize,
    /// Decides the first weights and the order of images.
    pub(crate) seed: u64,
}

/// What happened in one step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Report {
    /// From zero, over all epochs.
    pub(crate) step: i64,
    /// The batch, before its step was taken.
    pub(crate) train: Score,
    pub(crate) lr: f64,
    /// Euclidean length of the gradient.
    pub(crate) grad_norm: f64,
    /// All validation images, after the last step of an epoch.
    pub(crate) validation: Option<Score>,
}

/// A training under way: an iterator that takes one step each time it is asked.
pub(crate) struct Training<'a> {
    split: &'a Split,
    settings: Settings,
    rng: Rng,
    order: Vec<&'a Digit>,
    net: Mlp,
    velocity: Mlp,
    step: usize,
}

impl<'a> Training<'a> {
    pub(crate) fn new(split: &'a Split, settings: Settings) -> Self {
        let mut rng = Rng::new(settings.seed);
        let net = Mlp::random(&mut rng);
        let velocity = net.zeros();
        Self { split, settings, rng, order: split.train.iter().collect(), net, velocity, step: 0 }
    }

    fn steps_per_epoch(&self) -> usize {
        self.order.len().div_ceil(BATCH_SIZE)
    }
}

impl Iterator for Training<'_> {
    type Item = Report;

    fn next(&mut self) -> Option<Report> {
        let step_count = self.settings.epochs * self.steps_per_epoch();
        if self.step == step_count {
            return None;
        }
        let batch_index = self.step % self.steps_per_epoch();
        if batch_index == 0 {
            self.rng.shuffle(&mut self.order);
        }
        let batch = self.order.chunks(BATCH_SIZE).nth(batch_index)?;

        let (train, gradient) = self.net.gradient(batch.iter().copied());
        let lr = self.settings.lr * schedule(self.step, step_count);
        let parameters = self.net.values_mut().zip(self.velocity.values_mut());
        for ((value, velocity), slope) in parameters.zip(gradient.values()) {
            *velocity = MOMENTUM * *velocity - lr * slope;
            *value += *velocity;
        }

        let epoch_ends = batch_index + 1 == self.steps_per_epoch();
        let report = Report {
            step: self.step as i64,
            train,
            lr,
            grad_norm: gradient.values().map(|slope| slope * slope).sum::<f64>().sqrt(),
            validation: epoch_ends.then(|| self.net.score(self.split.validation.iter())),
        };
        self.step += 1;
        Some(report)
    }
}

/// Returns the learning rate of a step as a share of the highest: a straight rise, then half a cosine to zero.
///
/// Source: Loshchilov and Hutter, "SGDR", ICLR 2017, arXiv:1608.03983, without restarts; the rise is from Goyal
/// et al., arXiv:1706.02677.
fn schedule(step: usize, step_count: usize) -> f64 {
    let rise = WARM_UP_SHARE * step_count as f64;
    let done = (step + 1) as f64;
    if done < rise { done / rise } else { 0.5 * (1.0 + (PI * (done - rise) / (step_count as f64 - rise)).cos()) }
}

#[cfg(test)]
mod tests {
    use super::{Report, Settings, Training, schedule};
    use crate::data;

    fn train(lr: f64, seed: u64) -> Vec<Report> {
        Training::new(&data::load().unwrap(), Settings { lr, epochs: 20, seed }).collect()
    }

    #[test]
    fn a_good_rate_passes_95_percent() {
        let reports = train(0.1, 0);
        assert_eq!(reports.len(), 900);
        let scores: Vec<_> = reports.iter().filter_map(|report| report.validation).collect();
        assert_eq!(scores.len(), 20);
        assert!(scores.iter().any(|score| score.accuracy > 0.95));

        let mean_loss = |part: &[Report]| part.iter().map(|report| report.train.loss).sum::<f64>() / part.len() as f64;
        assert!((1.5..4.0).contains(&reports[0].train.loss), "ten digits at random: ln 10 and somewhat more");
        assert!(mean_loss(&reports[855..]) < 0.05 * mean_loss(&reports[..45]));
    }

    #[test]
    fn a_seed_decides_everything() {
        let reports = train(0.1, 3);
        assert_eq!(reports, train(0.1, 3));
        assert_ne!(reports, train(0.1, 4));
    }

    #[test]
    fn the_rate_rises_then_falls_to_zero() {
        let rates: Vec<f64> = (0..900).map(|step| schedule(step, 900)).collect();
        assert!(rates[..45].is_sorted() && rates[44..].is_sorted_by(|a, b| a >= b));
        assert_eq!(rates[44], 1.0);
        assert!(rates[899] < 1e-12);
    }
}
