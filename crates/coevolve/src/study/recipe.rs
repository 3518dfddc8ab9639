//! How a small model is fitted to a frozen one: rate, steps, batches.

use cola_random::{permutation, stream};
use serde::{Deserialize, Serialize};

use crate::optim::OptimizerConfig;
use crate::study::StudyError;

/// Optimizer steps over seeded batches; the defaults are those of the probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Learning rate.
    pub rate: f64,
    /// Optimizer steps (paper: 1000).
    pub steps: u64,
    /// Samples of a batch.
    pub batch: usize,
    /// AdamW's constants.
    pub optimizer: OptimizerConfig,
    /// Seeds initial values and the order of the samples.
    pub seed: u64,
}

impl Recipe {
    /// 1000 steps of `batch` samples at rate 1e-3, constant, without decay or clipping.
    pub fn new(batch: usize) -> Self {
        Self { rate: 1e-3, steps: 1000, batch, optimizer: OptimizerConfig::plain(), seed: 0 }
    }

    /// Refuses an empty batch and numbers that AdamW cannot work with.
    ///
    /// # Errors
    /// [`StudyError::Setting`].
    pub fn check(&self) -> Result<(), StudyError> {
        let OptimizerConfig { beta1, beta2, eps, decay, clip, .. } = self.optimizer;
        let fail = |field, found: String, expected| Err(StudyError::Setting { field, found, expected });
        if self.batch == 0 {
            return fail("batch", "0".into(), "at least 1");
        }
        if ![beta1, beta2].iter().all(|beta| (0.0..1.0).contains(beta)) {
            return fail("optimizer betas", format!("{beta1} and {beta2}"), "0 up to, but not, 1");
        }
        match [self.rate, eps, decay, clip].into_iter().find(|value| !(value.is_finite() && *value >= 0.0)) {
            Some(value) => {
                fail("rate, eps, decay or clip", value.to_string(), "a finite number, not negative")
            }
            None => Ok(()),
        }
    }

    /// The samples of each step out of `count`: one seeded permutation an epoch, one after the other. A batch may hold a
    /// sample twice only where two epochs meet.
    pub(crate) fn batches(&self, count: usize) -> impl Iterator<Item = Vec<u32>> {
        let (seed, size) = (self.seed, self.batch as u64);
        let mut order: Option<(u64, Vec<usize>)> = None;
        (0..self.steps).map(move |step| {
            (step * size..(step + 1) * size)
                .map(|sample| {
                    let (epoch, place) = (sample / count as u64, (sample % count as u64) as usize);
                    if order.as_ref().is_none_or(|(known, _)| *known != epoch) {
                        order = Some((epoch, permutation(count, &mut stream(seed, "study-order", epoch, 0))));
                    }
                    order.as_ref().map_or(0, |(_, order)| order[place] as u32)
                })
                .collect()
        })
    }
}

impl Default for Recipe {
    fn default() -> Self {
        Self::new(512)
    }
}
