//! AdamW with named moments, a step count for each variable, and global-norm clipping.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use cola_lam::replace_rows;
use cola_nn::{AdamStep, AdamUpdate, Average, adamw, global_norm};
use serde::{Deserialize, Serialize};

use crate::gradients::Gradients;

/// Which fraction of the rate step `s` of a warm-up of `W` steps takes, `s` counted from 0; 1 from step `W` on.
///
/// The paper says "linear" and no more; the rules differ by one step in where the line begins and ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum WarmupRule {
    /// `s / W`: the first step changes nothing.
    #[serde(rename = "step_over_warmup")]
    StepOverWarmup,
    /// `(s + 1) / W`: the whole rate at step `W - 1`.
    #[serde(rename = "step_plus_1_over_warmup")]
    NextStepOverWarmup,
    /// `(s + 1) / (W + 1)`, as Open-Sora.
    #[default]
    #[serde(rename = "step_plus_1_over_warmup_plus_1")]
    NextStepOverNextWarmup,
}

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
    /// Steps of linear warm-up, counted by each variable's own updates.
    pub warmup: u64,
    /// How the rate rises over them.
    #[serde(default)]
    pub warmup_rule: WarmupRule,
    /// Decay of the running average of the world model's parameters (action conditioner and video transformer), which
    /// evaluations then use; 0 keeps none. It starts as a copy at a variable's first update.
    #[serde(default)]
    pub average: f64,
}

impl OptimizerConfig {
    /// Constant rate, no decay, no clipping: for the small models that are fitted to a frozen one.
    pub fn plain() -> Self {
        Self { decay: 0.0, clip: 0.0, warmup: 0, ..Self::default() }
    }

    /// Factor of the rate at step `step`, counted from 0.
    pub fn warmth(&self, step: u64) -> f64 {
        if step >= self.warmup {
            return 1.0;
        }
        let (step, warmup) = (step as f64, self.warmup as f64);
        match self.warmup_rule {
            WarmupRule::StepOverWarmup => step / warmup,
            WarmupRule::NextStepOverWarmup => (step + 1.0) / warmup,
            WarmupRule::NextStepOverNextWarmup => (step + 1.0) / (warmup + 1.0),
        }
    }

    /// Factor of all gradients whose global norm is `norm`: `min(1, clip / (norm + 1e-6))`.
    pub fn clip_factor(&self, norm: f64) -> f64 {
        if self.clip > 0.0 { (self.clip / (norm + 1e-6)).min(1.0) } else { 1.0 }
    }
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            decay: 0.01,
            clip: 1.0,
            warmup: 2000,
            warmup_rule: WarmupRule::default(),
            average: 0.0,
        }
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
    /// Whether a running average of it is kept, see [`OptimizerConfig::average`].
    pub averaged: bool,
}

/// First and second moment of a variable, its running average, and how often it was updated.
pub(crate) struct Moments {
    pub(crate) first: Var,
    pub(crate) second: Var,
    pub(crate) average: Option<Var>,
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

    /// First and second moment of a variable, of its shape; `None` before its first gradient. Views: later steps show.
    pub fn moments(&self, name: &str) -> Option<(Tensor, Tensor)> {
        let moments = self.moments.get(name)?;
        Some((moments.first.as_detached_tensor(), moments.second.as_detached_tensor()))
    }

    /// The running average of a variable; `None` where none is kept. A view: later steps show.
    pub fn average(&self, name: &str) -> Option<Tensor> {
        self.moments.get(name)?.average.as_ref().map(Var::as_detached_tensor)
    }

    /// Forgets the variables whose names begin so: their next update is a first one, with its warm-up.
    pub(crate) fn forget(&mut self, prefix: &str) {
        self.moments.retain(|name, _| !name.starts_with(prefix));
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
        self.apply(updates, |update| grads.get(update.var.as_tensor()))
    }

    /// As [`AdamW::step`], with gradients that were gathered over several backward passes.
    pub(crate) fn step_gathered(&mut self, updates: &[Update<'_>], grads: &Gradients) -> Result<f64> {
        self.apply(updates, |update| grads.get(update.name))
    }

    fn apply<'g>(
        &mut self,
        updates: &[Update<'_>],
        grad_of: impl Fn(&Update<'_>) -> Option<&'g Tensor>,
    ) -> Result<f64> {
        let mut grads_found = Vec::with_capacity(updates.len());
        for update in updates {
            if let Some(grad) = grad_of(update) {
                grads_found.push((update, grad.detach().contiguous()?));
            }
        }
        let norm = global_norm(grads_found.iter().map(|(_, grad)| grad))?;
        if !norm.is_finite() {
            return Ok(norm);
        }
        let scale = self.config.clip_factor(norm);
        for (update, _) in &grads_found {
            self.begin(update)?;
        }
        let steps: Vec<AdamUpdate<'_>> = grads_found
            .iter()
            .filter_map(|(update, grad)| {
                let Moments { first, second, average, steps } = self.moments.get(update.name)?;
                let step = self.numbers(update, *steps, scale);
                let decay = self.config.average;
                let average = average.as_ref().map(|values| Average { values, decay });
                Some(AdamUpdate { var: update.var, grad, first, second, average, step })
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
        let average = match update.averaged && self.config.average > 0.0 {
            true => Some(Var::from_tensor(&update.var.as_tensor().copy()?)?),
            false => None,
        };
        let moments = Moments { first: zero()?, second: zero()?, average, steps: 1 };
        self.moments.insert(update.name.to_string(), moments);
        Ok(())
    }

    fn numbers(&self, update: &Update<'_>, count: u64, scale: f64) -> AdamStep {
        let config = &self.config;
        AdamStep {
            rate: update.rate * config.warmth(count - 1),
            decay: if update.decays { config.decay } else { 0.0 },
            beta1: config.beta1,
            beta2: config.beta2,
            eps: config.eps,
            count,
            scale,
        }
    }
}
