//! Means and code histograms over the steps between two records.

use candle_core::{DType, Result, Tensor};
use cola_lam::{CodebookUsage, LamConfig, TokenSpread};
use serde::{Deserialize, Serialize};

use crate::observe::Record;
use crate::plan::Phase;
use crate::step::Step;

/// The mean of what was added.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn add_tensor(&mut self, value: Option<&Tensor>) -> Result<()> {
        if let Some(value) = value {
            self.add(value.to_dtype(DType::F64)?.to_scalar::<f64>()?);
        }
        Ok(())
    }

    fn get(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Means {
    loss: Mean,
    flow: Mean,
    reconstruction: Mean,
    codebook: Mean,
    commitment: Mean,
    entropy_penalty: Mean,
    gradient_norm: Mean,
    token_norm: Mean,
    token_spread: Mean,
    idm_gradient_prediction: Mean,
    idm_gradient_vq: Mean,
}

/// Collects steps; [`Window::take`] makes a record and starts anew. Part of a checkpoint, so that one may be written
/// between two records.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Window {
    means: Means,
    usage: CodebookUsage,
    steps: u64,
}

impl Window {
    pub(crate) fn new(lam: &LamConfig) -> Self {
        Self { means: Means::default(), usage: CodebookUsage::new(lam.tokens, lam.codes), steps: 0 }
    }

    /// Whether its codes are those of this codebook.
    pub(crate) fn fits(&self, lam: &LamConfig) -> bool {
        (self.usage.positions(), self.usage.entries()) == (lam.tokens, lam.codes)
    }

    /// The largest number of steps that it speaks of.
    pub(crate) fn counted(&self) -> u64 {
        // Every field named, so that a new one is not forgotten.
        let Means {
            loss,
            flow,
            reconstruction,
            codebook,
            commitment,
            entropy_penalty,
            gradient_norm,
            token_norm,
            token_spread,
            idm_gradient_prediction,
            idm_gradient_vq,
        } = &self.means;
        let losses = [loss, flow, reconstruction, codebook, commitment, entropy_penalty];
        let norms = [gradient_norm, token_norm, token_spread, idm_gradient_prediction, idm_gradient_vq];
        losses.into_iter().chain(norms).fold(self.steps, |most, mean| most.max(mean.count))
    }

    /// Takes in a step and the global norm of its gradient.
    pub(crate) fn add(&mut self, step: &Step, norm: f64) -> Result<()> {
        self.means.gradient_norm.add(norm);
        let means = &mut self.means;
        means.loss.add_tensor(Some(&step.loss))?;
        means.flow.add_tensor(step.flow.as_ref())?;
        means.reconstruction.add_tensor(step.reconstruction.as_ref())?;
        means.codebook.add_tensor(step.vq.as_ref().map(|vq| &vq.codebook))?;
        means.commitment.add_tensor(step.vq.as_ref().map(|vq| &vq.commitment))?;
        means.entropy_penalty.add_tensor(step.vq.as_ref().and_then(|vq| vq.entropy.as_ref()))?;
        if let Some(codes) = &step.codes {
            self.usage.add(codes)?;
        }
        if let Some(tokens) = &step.tokens {
            let mut batch = TokenSpread::default();
            batch.add(tokens)?;
            means.token_norm.add(batch.norm());
            if let Some(spread) = batch.spread() {
                means.token_spread.add(spread);
            }
            self.steps += 1;
        }
        Ok(())
    }

    /// Takes in the gradient norms of the inverse dynamics model by source.
    pub(crate) fn add_sources(&mut self, prediction: f64, vq: f64) {
        self.means.idm_gradient_prediction.add(prediction);
        self.means.idm_gradient_vq.add(vq);
    }

    /// The record of the steps since the last one; codes, code norm, sensitivity and warnings are still missing. With it
    /// the codes of these steps and the number of steps that had any.
    pub(crate) fn take(&mut self, step: u64, phase: &Phase, phase_step: u64) -> (Record, CodebookUsage, u64) {
        let means = std::mem::take(&mut self.means);
        let fresh = CodebookUsage::new(self.usage.positions(), self.usage.entries());
        let usage = std::mem::replace(&mut self.usage, fresh);
        let record = Record {
            step,
            phase: phase.kind.name().to_string(),
            phase_step,
            loss: means.loss.get().unwrap_or(f64::NAN),
            flow: means.flow.get(),
            reconstruction: means.reconstruction.get(),
            codebook: means.codebook.get(),
            commitment: means.commitment.get(),
            entropy_penalty: means.entropy_penalty.get(),
            gradient_norm: means.gradient_norm.get().unwrap_or(f64::NAN),
            skipped: 0,
            idm_gradient_prediction: means.idm_gradient_prediction.get(),
            idm_gradient_vq: means.idm_gradient_vq.get(),
            codes: None,
            token_norm: means.token_norm.get(),
            token_spread: means.token_spread.get(),
            code_norm: None,
            sensitivity: None,
            sensitivity_error: None,
            warnings: Vec::new(),
        };
        (record, usage, std::mem::take(&mut self.steps))
    }
}
