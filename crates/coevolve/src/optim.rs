//! AdamW with named moments, a step count for each variable, and global-norm clipping.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Result, Var};
use cola_lam::replace_rows;
use cola_nn::{AdamStep, AdamUpdate, adamw, global_norm};
use serde::{Deserialize, Serialize};

/// AdamW's constants; the paper names none but the rate, so these are the usual ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay, for matrices of linear layers only.
    pub decay: f64,
    /// Largest global norm of all gradients of a step; 0 switches clipping off.
    pub clip: f64,
    /// Linear warm-up: the rate is multiplied by `(s + 1) / (warmup + 1)` while a variable's own step count `s` is below.
    pub warmup: u64,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, decay: 0.01, clip: 1.0, warmup: 2000 }
    }
}

/// One variable for one step.
pub struct Update<'a> {
    /// Unique over all parameter sets, e.g. `backbone.x_embedder.proj.weight`.
    pub name: &'a str,
    /// The variable.
    pub var: &'a Var,
    /// Its learning rate before warm-up.
    pub rate: f64,
    /// Whether weight decay applies.
    pub decays: bool,
}

/// First and second moment of a variable and how often it was updated.
pub(crate) struct Moments {
    pub(crate) first: Var,
    pub(crate) second: Var,
    pub(crate) steps: u64,
}

/// AdamW. A variable's moments start at its first gradient, so a backbone that joins late takes the right first step and
/// the others keep their moments.
pub struct AdamW {
    config: OptimizerConfig,
    pub(crate) moments: BTreeMap<String, Moments>,
}

impl AdamW {
    /// Without moments.
    pub fn new(config: &OptimizerConfig) -> Self {
        Self { config: config.clone(), moments: BTreeMap::new() }
    }

    /// How often a variable was updated.
    pub fn steps(&self, name: &str) -> u64 {
        self.moments.get(name).map_or(0, |moments| moments.steps)
    }

    /// Whether any variable whose name begins so was updated.
    pub(crate) fn has_updated(&self, prefix: &str) -> bool {
        self.moments.iter().any(|(name, moments)| name.starts_with(prefix) && moments.steps > 0)
    }

    /// Forgets the moments of some rows of a variable, e.g. of codebook rows that were replaced.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn clear_rows(&mut self, name: &str, rows: &[usize]) -> Result<()> {
        if let Some(Moments { first, second, .. }) = self.moments.get(name) {
            let zeros = first.narrow(0, 0, 1)?.zeros_like()?.repeat((rows.len(), 1))?.detach();
            for moment in [first, second] {
                moment.set(&replace_rows(&moment.as_detached_tensor(), rows, &zeros)?)?;
            }
        }
        Ok(())
    }

    /// Updates every variable that has a gradient; returns the global norm before clipping. Variables without a gradient
    /// are left alone, decay included. Drop the loss and its graph first: variables change in place.
    ///
    /// # Errors
    /// Tensor arithmetic. A norm that is not finite is returned, and nothing is updated.
    pub fn step(&mut self, updates: &[Update<'_>], grads: &GradStore) -> Result<f64> {
        let mut grads_found = Vec::with_capacity(updates.len());
        for update in updates {
            if let Some(grad) = grads.get(update.var.as_tensor()) {
                grads_found.push((update, grad.detach().contiguous()?));
            }
        }
        let norm = global_norm(grads_found.iter().map(|(_, grad)| grad))?;
        if !norm.is_finite() {
            return Ok(norm);
        }
        let clip = self.config.clip;
        let scale = if clip > 0.0 { (clip / (norm + 1e-6)).min(1.0) } else { 1.0 };
        for (update, _) in &grads_found {
            self.begin(update)?;
        }
        let steps: Vec<AdamUpdate<'_>> = grads_found
            .iter()
            .filter_map(|(update, grad)| {
                let Moments { first, second, steps } = self.moments.get(update.name)?;
                let step = self.numbers(update, *steps, scale);
                Some(AdamUpdate { var: update.var, grad, first, second, average: None, step })
            })
            .collect();
        adamw(&steps)?;
        Ok(norm)
    }

    /// Counts the update that comes; moments start as zeros.
    fn begin(&mut self, update: &Update<'_>) -> Result<()> {
        if let Some(moments) = self.moments.get_mut(update.name) {
            moments.steps += 1;
            return Ok(());
        }
        let zero = || Var::zeros(update.var.shape(), update.var.dtype(), update.var.device());
        let moments = Moments { first: zero()?, second: zero()?, steps: 1 };
        self.moments.insert(update.name.to_string(), moments);
        Ok(())
    }

    fn numbers(&self, update: &Update<'_>, count: u64, scale: f64) -> AdamStep {
        let config = &self.config;
        let warmth = (count as f64 / (config.warmup + 1) as f64).min(1.0);
        AdamStep {
            rate: update.rate * warmth,
            decay: if update.decays { config.decay } else { 0.0 },
            beta1: config.beta1,
            beta2: config.beta2,
            eps: config.eps,
            count,
            scale,
        }
    }
}
