//! Means and code histograms over the steps between two records.

use candle_core::{DType, Result, Tensor};
use cola_lam::{CodebookUsage, LamConfig};

use crate::observe::Record;
use crate::plan::Phase;
use crate::step::Step;

/// The mean of what was added.
#[derive(Default)]
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

#[derive(Default)]
struct Means {
    loss: Mean,
    flow: Mean,
    reconstruction: Mean,
    codebook: Mean,
    commitment: Mean,
    gradient_norm: Mean,
    token_norm: Mean,
}

/// Collects steps; [`Window::take`] makes a record and starts anew.
pub(crate) struct Window {
    means: Means,
    usage: CodebookUsage,
}

impl Window {
    pub(crate) fn new(lam: &LamConfig) -> Self {
        Self { means: Means::default(), usage: CodebookUsage::new(lam.tokens, lam.codes) }
    }

    /// Takes a step in and hands it back without history.
    pub(crate) fn add(&mut self, step: Step) -> Result<Step> {
        let means = &mut self.means;
        means.loss.add_tensor(Some(&step.loss))?;
        means.flow.add_tensor(step.flow.as_ref())?;
        means.reconstruction.add_tensor(step.reconstruction.as_ref())?;
        means.codebook.add_tensor(step.vq.as_ref().map(|vq| &vq.codebook))?;
        means.commitment.add_tensor(step.vq.as_ref().map(|vq| &vq.commitment))?;
        if let Some(codes) = &step.codes {
            self.usage.add(codes)?;
        }
        if let Some(tokens) = &step.tokens {
            let norm = tokens
                .detach()
                .to_dtype(DType::F32)?
                .sqr()?
                .sum(candle_core::D::Minus1)?
                .sqrt()?
                .mean_all()?;
            means.token_norm.add_tensor(Some(&norm))?;
        }
        Ok(Step {
            loss: step.loss.detach(),
            flow: None,
            reconstruction: None,
            vq: None,
            tokens: step.tokens.map(|tokens| tokens.detach()),
            codes: step.codes,
        })
    }

    pub(crate) fn add_norm(&mut self, norm: f64) {
        self.means.gradient_norm.add(norm);
    }

    pub(crate) fn take(&mut self, step: u64, phase: &Phase, phase_step: u64) -> Result<Record> {
        let means = std::mem::take(&mut self.means);
        let fresh = CodebookUsage::new(self.usage.positions(), self.usage.entries());
        let usage = std::mem::replace(&mut self.usage, fresh);
        let mut record = Record {
            step,
            phase: phase.kind.name().to_string(),
            phase_step,
            loss: means.loss.get().unwrap_or(f64::NAN),
            flow: means.flow.get(),
            reconstruction: means.reconstruction.get(),
            codebook: means.codebook.get(),
            commitment: means.commitment.get(),
            gradient_norm: means.gradient_norm.get().unwrap_or(f64::NAN),
            utilization: None,
            max_usage: None,
            entropy: None,
            position_max_usage: Vec::new(),
            joint_entropy: None,
            token_norm: means.token_norm.get(),
            sensitivity: None,
        };
        if usage.samples() > 0 {
            let positions: Vec<_> = (0..usage.positions()).map(|position| usage.position(position)).collect();
            record.set_usage(usage.pooled(), &positions, usage.joint());
        }
        Ok(record)
    }
}
