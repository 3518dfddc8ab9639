//! Whole training steps: forward, backward, clipping and update, with the batch already in memory.

use candle_core::{DType, Device, Result, Tensor, Var};
use cola_coevolve::{
    AdamW, ExperimentConfig, Key, OptimizerConfig, PhaseKind, System, SystemParams, Update, lam_step,
    world_step,
};
use cola_data::Batch;
use cola_dit_world::{Conditions, DitConfig, DitWorld};
use cola_flow::{Given, Shift, TimeConfig, TimeDistribution, corrupt, velocity_loss};
use cola_lam::CODEBOOK;
use cola_nn::{Compute, Params, normal_by_sample};
use cola_random::{stream, uniforms};

use super::Case;

/// Variables that learn, and the optimizer that they learn by.
struct Learner {
    vars: Vec<(String, Var)>,
    rate: f64,
    optimizer: AdamW,
}

impl Learner {
    fn new(vars: Vec<(String, Var)>, config: &OptimizerConfig) -> Self {
        Self { vars, rate: 1e-4, optimizer: AdamW::new(config) }
    }

    /// What a run does with a loss. The graph ends with `loss`, before variables change in place.
    fn learn(&mut self, loss: Tensor) -> Result<()> {
        let value = loss.to_scalar::<f32>()?;
        if !value.is_finite() {
            candle_core::bail!("the loss is {value}: this is no step to time");
        }
        let grads = loss.backward()?;
        drop(loss);
        let updates: Vec<Update<'_>> = self
            .vars
            .iter()
            .map(|(name, var)| {
                let decays = var.rank() >= 2 && name.ends_with(".weight") && !name.ends_with(CODEBOOK);
                Update { name, var, rate: self.rate, decays, averaged: false }
            })
            .collect();
        self.optimizer.step(&updates, &grads)?;
        Ok(())
    }
}

/// The video transformer alone at 22.7 million parameters: one clip of 8 latent frames of 32 x 32.
pub(super) fn small() -> Result<Case> {
    small_with(Compute::default())
}

/// The same, each block run a second time in the backward pass instead of being kept.
pub(super) fn small_recomputed() -> Result<Case> {
    small_with(Compute { recompute: true, ..Compute::default() })
}

fn small_with(compute: Compute) -> Result<Case> {
    const FRAMES: usize = 8;
    let config = DitConfig { hidden_size: 384, depth: 6, num_heads: 6, ..DitConfig::paper() };
    let params = Params::seeded(0, DType::F32, &Device::Cpu);
    let dit = DitWorld::new(&config, params.trainable())?.computing(compute);
    let mut learner = Learner::new(params.vars(), &OptimizerConfig::default());
    let shape = [config.in_channels, FRAMES, 32, 32];
    let clean = normal_by_sample(&shape, 0, "clean", 0, &[0], &Device::Cpu)?;
    let given = Given::first(1, FRAMES, 1, &Device::Cpu)?;
    let times = TimeConfig { distribution: TimeDistribution::LogitNormal, shift: Shift::Fixed(6.0) };
    let conditions = Conditions::new(None, 1.0, 256, 256);
    let mut step = 0;
    Ok(Case::new(params.count(), move || {
        step += 1;
        let noise = normal_by_sample(&shape, 0, "noise", step, &[0], &Device::Cpu)?;
        let t = Tensor::new(times.draw(6.0, 0, step, &[0]), &Device::Cpu)?;
        let noised = corrupt(&clean, &noise, &t, &given)?;
        let velocity = dit.forward(&noised.x, &noised.t, Some(&given), &conditions)?;
        let loss = velocity_loss(&velocity, &noised)?.mean_all()?;
        drop(velocity);
        learner.learn(loss)
    }))
}

pub(super) fn tiny_lam() -> Result<Case> {
    tiny(PhaseKind::Lam)
}

pub(super) fn tiny_warm() -> Result<Case> {
    tiny(PhaseKind::Warm)
}

pub(super) fn tiny_joint() -> Result<Case> {
    tiny(PhaseKind::Joint)
}

/// A step of the main job in the given phase.
fn tiny(kind: PhaseKind) -> Result<Case> {
    let config = ExperimentConfig::tiny();
    let params = SystemParams::new(&config, &Device::Cpu)?;
    let trains = kind.trains();
    let system = System::enter(&params, &config, trains)?;
    let learning = params.vars(trains).into_iter().filter(|(_, _, learns)| *learns);
    let mut learner = Learner::new(learning.map(|(name, var, _)| (name, var)).collect(), &config.optimizer);
    let batch = batch(&config)?;
    let takes_part = [&params.lam, if trains.fdm { &params.fdm } else { &params.action }];
    let backbone = if trains.fdm { 0 } else { params.backbone.count() };
    let count = takes_part.iter().map(|set| set.count()).sum::<usize>() + backbone;
    let mut step = 0;
    Ok(Case::new(count, move || {
        step += 1;
        let loss = match kind {
            PhaseKind::Lam => lam_step(&system, &config, &batch)?.loss,
            _ => world_step(&system, &config, &batch, Key { seed: 0, step }, true)?.loss,
        };
        learner.learn(loss)
    }))
}

/// Grey noise is as good as any video here.
fn batch(config: &ExperimentConfig) -> Result<Batch> {
    let (clips, side) = (config.data.batch, config.data.world_size);
    let shape = (clips, config.data.frames, 3, side, side);
    let count = clips * config.data.frames * 3 * side * side;
    let values = uniforms(count, 0.0, 1.0, &mut stream(0, "video", 0, 0));
    let video = Tensor::from_vec(values, shape, &Device::Cpu)?;
    Ok(Batch {
        lam_view: video.clone(),
        world_view: video,
        actions: None,
        samples: (0..clips as u64).collect(),
        clips: (0..clips).collect(),
        keys: Vec::new(),
    })
}
