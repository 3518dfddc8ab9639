//! One training step, the same page for every phase that has a world model, and the LAM phase's.

use candle_core::{Device, Result, Tensor};
use cola_data::Batch;
use cola_dit_world::Conditions;
use cola_flow::{Given, VideoSize, corrupt, keep_mask, velocity_loss};
use cola_lam::VqLosses;
use cola_nn::normal_by_sample;
use cola_random::stream;
use rand::Rng;

use crate::config::ExperimentConfig;
use crate::system::System;

/// What a step found; every tensor is a scalar except `tokens` and `codes`.
pub struct Step {
    /// What is differentiated.
    pub loss: Tensor,
    /// Flow loss of the world model; `None` in a LAM phase.
    pub flow: Option<Tensor>,
    /// Squared error of the forward dynamics model; `None` outside a LAM phase.
    pub reconstruction: Option<Tensor>,
    /// The quantizer's losses; `None` without actions.
    pub vq: Option<VqLosses>,
    /// Tokens before quantization `(B, T - 1, n, d)`; `None` without actions.
    pub tokens: Option<Tensor>,
    /// Codes `(B, T - 1, n)`; `None` without actions.
    pub codes: Option<Tensor>,
}

impl Step {
    /// The same numbers without history.
    pub(crate) fn detached(self) -> Self {
        let plain = |tensor: Option<Tensor>| tensor.map(|tensor| tensor.detach());
        Self {
            loss: self.loss.detach(),
            flow: plain(self.flow),
            reconstruction: plain(self.reconstruction),
            vq: self.vq.map(|vq| VqLosses {
                codebook: vq.codebook.detach(),
                commitment: vq.commitment.detach(),
                entropy: plain(vq.entropy),
            }),
            tokens: plain(self.tokens),
            codes: plain(self.codes),
        }
    }

    /// One step of several, each with its share of the batch: means of the losses, all tokens and codes.
    ///
    /// # Errors
    /// Tensor arithmetic; no parts.
    pub(crate) fn join(mut parts: Vec<(f64, Self)>) -> Result<Self> {
        if parts.len() == 1
            && let Some((_, whole)) = parts.pop()
        {
            return Ok(whole);
        }
        let mean = |value: &dyn Fn(&Self) -> Option<Tensor>| -> Result<Option<Tensor>> {
            let mut sum: Option<Tensor> = None;
            for (share, part) in &parts {
                let Some(value) = value(part) else { return Ok(None) };
                let value = (value * *share)?;
                sum = Some(match sum {
                    Some(sum) => (sum + value)?,
                    None => value,
                });
            }
            Ok(sum)
        };
        let all = |value: &dyn Fn(&Self) -> Option<Tensor>| -> Result<Option<Tensor>> {
            let found: Option<Vec<Tensor>> = parts.iter().map(|(_, part)| value(part)).collect();
            found.map(|tensors| Tensor::cat(&tensors, 0)).transpose()
        };
        let vq = |value: &dyn Fn(&VqLosses) -> Option<Tensor>| mean(&|step| step.vq.as_ref().and_then(value));
        let Some(loss) = mean(&|step| Some(step.loss.clone()))? else {
            candle_core::bail!("a step of no parts");
        };
        let losses = (vq(&|vq| Some(vq.codebook.clone()))?, vq(&|vq| Some(vq.commitment.clone()))?);
        Ok(Self {
            loss,
            flow: mean(&|step| step.flow.clone())?,
            reconstruction: mean(&|step| step.reconstruction.clone())?,
            vq: match losses {
                (Some(codebook), Some(commitment)) => {
                    Some(VqLosses { codebook, commitment, entropy: vq(&|vq| vq.entropy.clone())? })
                }
                _ => None,
            },
            tokens: all(&|step| step.tokens.clone())?,
            codes: all(&|step| step.codes.clone())?,
        })
    }
}

/// Keys everything that a step draws: with the batch's sample numbers, noise, times, given frames and dropped actions
/// are pure functions of it.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The run's seed.
    pub seed: u64,
    /// Global optimizer step.
    pub step: u64,
}

/// Flow loss of the world model without actions (pre-training), or with the batch's own latent actions plus the
/// quantizer's losses (warm-up, joint training, world-model training).
///
/// # Errors
/// Tensor arithmetic.
pub fn world_step(
    system: &System,
    config: &ExperimentConfig,
    batch: &Batch,
    key: Key,
    with_actions: bool,
) -> Result<Step> {
    let clean = system.latents(batch)?; // (B, C, T, h, w), no graph
    if !with_actions {
        let loss = flow_loss(system, config, batch, &clean, None, key)?.mean_all()?;
        return Ok(Step {
            flow: Some(loss.clone()),
            loss,
            reconstruction: None,
            vq: None,
            tokens: None,
            codes: None,
        });
    }
    let actions = system.lam.infer(&batch.lam_view)?;
    let transitions = actions.embedding.dim(1)?;
    let device = actions.embedding.device();
    let keep = keep_mask(config.flow.drop, transitions, key.seed, key.step, &batch.samples, device)?;
    let shown = actions.embedding.broadcast_mul(&keep)?;
    let flow = flow_loss(system, config, batch, &clean, Some(&shown), key)?.mean_all()?;
    Ok(Step {
        loss: (&flow + actions.losses.total(&config.lam)?)?,
        flow: Some(flow),
        reconstruction: None,
        vq: Some(actions.losses),
        tokens: Some(actions.tokens),
        codes: Some(actions.codes),
    })
}

/// Flow loss of each clip `(B)` under the given actions `(B, T - 1, action_dim)`.
///
/// # Errors
/// Tensor arithmetic.
pub(crate) fn flow_loss(
    system: &System,
    config: &ExperimentConfig,
    batch: &Batch,
    clean: &Tensor,
    actions: Option<&Tensor>,
    key: Key,
) -> Result<Tensor> {
    let (_, channels, frames, h, w) = clean.dims5()?;
    let (_, video_frames, _, height, width) = batch.world_view.dims5()?;
    let device = clean.device();
    let given = draw_given(config, frames, key, &batch.samples, device)?;
    let noise =
        normal_by_sample(&[channels, frames, h, w], key.seed, "noise", key.step, &batch.samples, device)?;
    let size = VideoSize { height, width, frames: video_frames, latent_frames: frames };
    let ratio = config.flow.time.ratio(size);
    let times = config.flow.time.draw(ratio, key.seed, key.step, &batch.samples);
    let noised = corrupt(clean, &noise, &Tensor::new(times, device)?, &given)?;
    let rows = actions.map(|actions| system.world.conditioner.forward(actions)).transpose()?;
    let conditions = Conditions::new(rows, config.data.fps, height, width);
    let velocity = system.world.dit.forward(&noised.x, &noised.t, Some(&given), &conditions)?;
    velocity_loss(&velocity, &noised)
}

/// How many first frames of each clip are given: evenly in `given_min..=given_max`.
fn draw_given(
    config: &ExperimentConfig,
    frames: usize,
    key: Key,
    samples: &[u64],
    device: &Device,
) -> Result<Given> {
    let (least, most) = (config.flow.given_min, config.flow.given_max.min(frames - 1));
    if least >= most {
        return Given::first(samples.len(), frames, least, device);
    }
    let mask: Vec<f32> = samples
        .iter()
        .flat_map(|&sample| {
            let given = stream(key.seed, "given", key.step, sample).random_range(least..=most);
            (0..frames).map(move |frame| if frame < given { 0.0 } else { 1.0 })
        })
        .collect();
    Given::from_mask(&Tensor::from_vec(mask, (samples.len(), frames), device)?)
}

/// One step of a LAM phase: reconstruct the next frame through the forward dynamics model (paper, equation 1).
///
/// # Errors
/// Tensor arithmetic.
pub fn lam_step(system: &System, config: &ExperimentConfig, batch: &Batch) -> Result<Step> {
    let actions = system.lam.infer(&batch.lam_view)?;
    let error = system.fdm.loss(&batch.lam_view, &actions.embedding, config.remedies.motion_weight)?;
    Ok(Step {
        loss: (&error + actions.losses.total(&config.lam)?)?,
        flow: None,
        reconstruction: Some(error),
        vq: Some(actions.losses),
        tokens: Some(actions.tokens),
        codes: Some(actions.codes),
    })
}
