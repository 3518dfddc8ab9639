//! Rollouts on held-out clips: with true latent actions, with those of other clips, with none, and against standing
//! still.
//!
//! The latent actions are inferred from the clip's own future (the paper's GT-LAM), so these figures measure
//! reconstruction through a few bits a transition, not forecasting.

use candle_core::{D, DType, Device, Tensor};
use cola_data::ClipSource;
use cola_lam::{CodebookUsage, Usage};
use serde::Serialize;

use crate::Error;
use crate::config::ExperimentConfig;
use crate::study::held_out::{HeldOut, Sensitivity, sensitivity, shuffled};
use crate::system::System;

/// Pooled PSNR in dB over generated frames: `10 log10(1 / mean squared error)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Scores {
    /// With the clip's own latent actions.
    pub true_actions: f64,
    /// With those of another clip.
    pub shuffled: f64,
    /// With the zero vector, which guidance training shows as "dropped".
    pub zero: f64,
    /// The last given frame repeated.
    pub copy: f64,
}

/// Everything measured at one guidance scale.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Guidance scale.
    pub guidance: f64,
    /// One generated latent frame after true history, all transitions.
    pub one_step: Scores,
    /// The half of them in which most moves.
    pub one_step_moving: Scores,
    /// Whole rollouts from one given frame, all generated frames.
    pub rollout: Scores,
    /// Rollouts by generated frame, the first one first.
    pub by_frame: Vec<Scores>,
    /// One-step clips.
    pub transitions: usize,
    /// Rollouts.
    pub episodes: usize,
    /// Codes over the one-step clips, positions pooled.
    pub codes: Usage,
    /// Codes at each position.
    pub positions: Vec<Usage>,
    /// Whole actions.
    pub joint: Usage,
    /// Action sensitivity at training times.
    pub sensitivity: Sensitivity,
}

/// A few rollouts to look at, each `(n, T, 3, H, W)` in `[0, 1]`.
pub struct Pictures {
    /// The clips.
    pub truth: Tensor,
    /// Rollouts with true actions.
    pub rollout: Tensor,
    /// Rollouts with the actions of other clips.
    pub shuffled: Tensor,
}

/// Squared errors of the four rows: `errors[row][clip][frame]`.
struct Errors {
    rows: [Vec<Vec<f64>>; 4],
}

impl Errors {
    fn scores(&self, keep: impl Fn(usize, usize) -> bool) -> Scores {
        let psnr = |row: &[Vec<f64>]| {
            let (mut sum, mut count) = (0.0, 0u64);
            for (clip, frames) in row.iter().enumerate() {
                for (frame, error) in frames.iter().enumerate() {
                    if keep(clip, frame) {
                        sum += error;
                        count += 1;
                    }
                }
            }
            -10.0 * (sum / count as f64).log10()
        };
        let [own, other, zero, copy] = &self.rows;
        Scores { true_actions: psnr(own), shuffled: psnr(other), zero: psnr(zero), copy: psnr(copy) }
    }

    /// Clips in which the copy is worse than in the median clip.
    fn moving(&self) -> Vec<bool> {
        let motion: Vec<f64> = self.rows[3].iter().map(|frames| frames.iter().sum()).collect();
        let mut sorted = motion.clone();
        sorted.sort_by(f64::total_cmp);
        let median = sorted[sorted.len() / 2];
        motion.into_iter().map(|value| value >= median).collect()
    }
}

/// Evaluates at one guidance scale: `one_step` holds clips of the training length, `long` clips of
/// `evaluation.horizon + 1` frames. `progress` hears how many of how many batches are done.
///
/// # Errors
/// Sources' and tensor arithmetic.
pub fn evaluate(
    system: &System,
    config: &ExperimentConfig,
    guidance: f64,
    (one_step, long): (&dyn ClipSource, &dyn ClipSource),
    device: &Device,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(Evaluation, Pictures), Error> {
    let pairs = HeldOut::new(one_step, config.evaluation.transitions, config, device)?;
    let episodes = HeldOut::new(long, config.evaluation.episodes, config, device)?;
    let total = pairs.batches.len() + episodes.batches.len();
    let mut done = 0;
    let mut tick = || {
        done += 1;
        progress(done, total);
    };
    let (_, codes) = pairs.actions(system, config.data.frames)?;
    let usage = CodebookUsage::of(&codes, config.lam.codes)?;
    let given = config.data.frames - config.dit.action.frames_per_latent;
    let (short, _) = compare(system, config, guidance, &pairs, given, &mut tick)?;
    let (errors, pictures) = compare(system, config, guidance, &episodes, 1, &mut tick)?;
    let moving = short.moving();
    let evaluation = Evaluation {
        guidance,
        one_step: short.scores(|_, _| true),
        one_step_moving: short.scores(|clip, _| moving[clip]),
        rollout: errors.scores(|_, _| true),
        by_frame: (0..config.evaluation.horizon).map(|at| errors.scores(|_, frame| frame == at)).collect(),
        transitions: pairs.count,
        episodes: episodes.count,
        codes: usage.pooled(),
        positions: (0..usage.positions()).map(|position| usage.position(position)).collect(),
        joint: usage.joint(),
        sensitivity: sensitivity(system, config, &pairs)?,
    };
    Ok((evaluation, pictures))
}

/// Continues every clip from its first `given` frames under the three kinds of action.
fn compare(
    system: &System,
    config: &ExperimentConfig,
    guidance: f64,
    clips: &HeldOut,
    given: usize,
    tick: &mut dyn FnMut(),
) -> Result<(Errors, Pictures), Error> {
    let rollout = config.rollout(guidance);
    let (actions, _) = clips.actions(system, config.data.frames)?;
    let others = shuffled(&actions)?;
    let mut rows: [Vec<Vec<f64>>; 4] = Default::default();
    let mut pictures = None;
    let mut first = 0;
    for batch in &clips.batches {
        let count = batch.samples.len();
        let truth = &batch.world_view;
        let frames = truth.dim(1)?;
        let start = truth.narrow(1, 0, given)?;
        let imagine = |actions: &Tensor| -> Result<Tensor, Error> {
            let actions = actions.narrow(0, first, count)?.contiguous()?;
            Ok(system.world.rollout(&start, Some(&actions), frames - 1, &batch.samples, &rollout)?)
        };
        let (own, other, zero) = (imagine(&actions)?, imagine(&others)?, imagine(&actions.zeros_like()?)?);
        let still = truth.narrow(1, given - 1, 1)?.broadcast_as(truth.shape())?;
        for (row, video) in rows.iter_mut().zip([&own, &other, &zero, &still]) {
            row.extend(squared_errors(truth, video, given)?);
        }
        if pictures.is_none() {
            pictures = Some(Pictures { truth: truth.clone(), rollout: own, shuffled: other });
        }
        first += count;
        tick();
    }
    let pictures = pictures.ok_or_else(|| Error::Config {
        origin: "evaluation".into(),
        reason: "no held-out clips found; choose a larger split".into(),
    })?;
    Ok((Errors { rows }, pictures))
}

/// Mean squared error of each generated frame, `[clip][frame]`.
fn squared_errors(truth: &Tensor, video: &Tensor, given: usize) -> Result<Vec<Vec<f64>>, Error> {
    let frames = truth.dim(1)? - given;
    let error = (truth.narrow(1, given, frames)? - video.narrow(1, given, frames)?)?.sqr()?;
    Ok(error.flatten_from(2)?.mean(D::Minus1)?.to_dtype(DType::F64)?.to_vec2::<f64>()?)
}
