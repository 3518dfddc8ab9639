//! A configuration small enough to train in a second, on the drawn world.
#![allow(dead_code, reason = "each test target uses a part of it")]

use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Result};
use cola_coevolve::{ExperimentConfig, Run, SystemParams, Trains};
use cola_data::{ClipSource, DrawnConfig, DrawnWorld};

/// All phases that a plan can have, two batches each.
pub(crate) const EVERY_PHASE: &str = "PRE4+LAM8+WARM8+E2E8+WM4";

/// The toy preset at a size that means nothing but runs through every line.
pub(crate) fn config(plan: &str) -> ExperimentConfig {
    let mut config = ExperimentConfig::toy();
    config.plan = plan.parse().expect("a plan");
    config.data.batch = 8;
    config.data.frames = 3;
    config.flow.given_max = 2;
    (config.lam.dim, config.lam.heads, config.lam.map_heads, config.lam.fdm_heads) = (16, 2, 2, 2);
    (config.lam.code_dim, config.lam.codes) = (8, 8);
    (config.dit.hidden_size, config.dit.num_heads, config.dit.depth) = (16, 2, 1);
    config.dit.action.action_dim = 16;
    (config.dit.action.width, config.dit.action.heads, config.dit.action.layers) = (16, 2, 1);
    config.remedies.hold_lam = 2;
    config.remedies.restart_after = 2;
    (config.schedule.log_every, config.schedule.checkpoint_every, config.schedule.sensitivity_every) =
        (2, 4, 4);
    (config.evaluation.batch, config.evaluation.episodes, config.evaluation.transitions) = (8, 8, 16);
    config.evaluation.horizon = 4;
    config.check().expect("a configuration that holds together");
    config
}

/// Clips of `frames` frames.
pub(crate) fn clips(frames: usize) -> Arc<dyn ClipSource> {
    let drawn = DrawnConfig { clips: 64, frames, size: 16, ..DrawnConfig::tiny() };
    Arc::new(DrawnWorld::new(drawn, 5).expect("a drawn world"))
}

/// Trains a fresh run to its end.
pub(crate) fn train(config: &ExperimentConfig, folder: &Path) -> Run {
    let clips = clips(config.data.frames);
    let mut run = Run::new(config, &Device::Cpu).expect("a run");
    run.fit_codec(&clips).expect("a codec");
    run.train(&clips, None, folder, &mut []).expect("training");
    run
}

/// Key biases behind a softmax: their exact gradient is zero, so what arrives is rounding noise or nothing.
pub(crate) fn is_exactly_zero(name: &str) -> bool {
    name.ends_with("k_norm.bias") || name.ends_with("k_layernorm.bias")
}

/// Fresh parameters in which nothing starts at zero, so that no path is silent.
pub(crate) fn awake(params: &SystemParams) -> Result<()> {
    for (index, (name, var, _)) in params.vars(Trains::default()).into_iter().enumerate() {
        if !name.starts_with("codec.") {
            let mut rng = cola_random::stream(9, &name, index as u64, 0);
            let noise = cola_nn::normal(var.shape().clone(), &Device::Cpu, &mut rng)?;
            var.set(&(var.as_detached_tensor() + (noise * 0.05)?)?)?;
        }
    }
    Ok(())
}
