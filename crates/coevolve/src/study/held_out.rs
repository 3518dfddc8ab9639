//! Action sensitivity: does the world model care which action it is told?

use candle_core::{DType, Device, Tensor};
use cola_data::{Batch, Clip, ClipSource, collate};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::config::ExperimentConfig;
use crate::step::{Key, flow_loss};
use crate::system::System;

/// A fixed set of clips of the training length, spread evenly over a source, uncropped.
pub struct HeldOut {
    pub(crate) batches: Vec<Batch>,
    pub(crate) count: usize,
}

impl HeldOut {
    /// `count` clips, or all if the source has fewer.
    ///
    /// # Errors
    /// The source's; fewer than two clips, which could not be shuffled.
    pub fn new(
        source: &dyn ClipSource,
        count: usize,
        config: &ExperimentConfig,
        device: &Device,
    ) -> Result<Self, Error> {
        let count = count.min(source.len());
        if count < 2 {
            return Err(Error::Config {
                origin: "evaluation".into(),
                reason: format!(
                    "{count} held-out clips found, at least 2 needed to shuffle actions; choose a larger split"
                ),
            });
        }
        let clips = (0..count)
            .map(|i| Ok(source.clip(i * source.len() / count)?))
            .collect::<Result<Vec<Clip>, Error>>()?;
        let mut first = 0;
        let mut batches = Vec::new();
        for part in clips.chunks(config.evaluation.batch) {
            let mut batch = collate(part, config.lam.image, config.data.world_size, device)?;
            batch.samples.iter_mut().for_each(|sample| *sample += first);
            first += part.len() as u64;
            batches.push(batch);
        }
        Ok(Self { batches, count })
    }

    /// Latent actions of all clips, `(count, T - 1, action_dim)`, and codes.
    pub(crate) fn actions(&self, system: &System, frames: usize) -> Result<(Tensor, Tensor), Error> {
        let mut parts = (Vec::new(), Vec::new());
        for batch in &self.batches {
            let found = system.lam.infer_long(&batch.lam_view, frames)?;
            parts.0.push(found.embedding);
            parts.1.push(found.codes);
        }
        Ok((Tensor::cat(&parts.0, 0)?, Tensor::cat(&parts.1, 0)?))
    }
}

/// The actions of other clips: the sequence rotated by half.
pub(crate) fn shuffled(actions: &Tensor) -> candle_core::Result<Tensor> {
    let count = actions.dim(0)?;
    let half = count / 2;
    Tensor::cat(&[actions.narrow(0, half, count - half)?, actions.narrow(0, 0, half)?], 0)
}

/// A loss with shuffled minus with true actions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sensitivity {
    /// Mean over clips; positive when the true action helps.
    pub mean: f64,
    /// Its standard error over clips.
    pub standard_error: f64,
    /// The loss with true actions.
    #[serde(alias = "flow")]
    pub own: f64,
    /// Clips.
    pub samples: usize,
}

impl Sensitivity {
    /// Of the losses of the same clips with true and with shuffled actions.
    fn of(own: &[f64], other: &[f64]) -> Self {
        let differences: Vec<f64> = own.iter().zip(other).map(|(own, other)| other - own).collect();
        let n = differences.len() as f64;
        let mean = differences.iter().sum::<f64>() / n;
        let variance = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        Self {
            mean,
            standard_error: (variance / n).sqrt(),
            own: own.iter().sum::<f64>() / n,
            samples: differences.len(),
        }
    }
}

/// Of the world model's flow loss: measures at training times, with the same noise and times for both.
///
/// # Errors
/// Tensor arithmetic.
pub fn sensitivity(
    system: &System,
    config: &ExperimentConfig,
    held_out: &HeldOut,
) -> Result<Sensitivity, Error> {
    // A step number that no training step has, so that held-out noise is never trained on.
    let key = Key { seed: config.seed, step: u64::MAX };
    let (actions, _) = held_out.actions(system, config.data.frames)?;
    let others = shuffled(&actions)?;
    let (mut with_own, mut with_other) = (Vec::new(), Vec::new());
    let mut first = 0;
    for batch in &held_out.batches {
        let count = batch.samples.len();
        let clean = system.latents(batch)?;
        for (actions, losses) in [(&actions, &mut with_own), (&others, &mut with_other)] {
            let actions = actions.narrow(0, first, count)?;
            let loss = flow_loss(system, config, batch, &clean, Some(&actions), key)?;
            losses.extend(loss.to_vec1::<f32>()?.into_iter().map(f64::from));
        }
        first += count;
    }
    Ok(Sensitivity::of(&with_own, &with_other))
}

/// Of the forward dynamics model's squared error, for a latent action model that has no world model yet.
///
/// # Errors
/// Tensor arithmetic.
pub fn forward_sensitivity(
    system: &System,
    config: &ExperimentConfig,
    held_out: &HeldOut,
) -> Result<Sensitivity, Error> {
    let (actions, _) = held_out.actions(system, config.data.frames)?;
    let others = shuffled(&actions)?;
    let (mut with_own, mut with_other) = (Vec::new(), Vec::new());
    let mut first = 0;
    for batch in &held_out.batches {
        for clip in 0..batch.samples.len() {
            let video = batch.lam_view.narrow(0, clip, 1)?;
            for (actions, losses) in [(&actions, &mut with_own), (&others, &mut with_other)] {
                let loss = system.fdm.loss(&video, &actions.narrow(0, first + clip, 1)?, 0.0)?;
                losses.push(loss.to_dtype(DType::F64)?.to_scalar::<f64>()?);
            }
        }
        first += batch.samples.len();
    }
    Ok(Sensitivity::of(&with_own, &with_other))
}
