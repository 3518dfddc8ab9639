//! A configuration small enough to train in a second, on the drawn world.
#![allow(dead_code, reason = "each test target uses a part of it")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Result};
use cola_coevolve::{ExperimentConfig, Run, SystemParams, Trains, checkpoint};
use cola_data::{Clip, ClipSource, DrawnConfig, DrawnWorld};

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

/// All of an error, its causes included.
pub(crate) fn message(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// An error that says all of this.
pub(crate) fn holds(error: &dyn std::error::Error, parts: &[&str]) {
    let text = message(error);
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

/// The drawn clips, of which some cannot be read.
pub(crate) struct Damaged {
    pub(crate) clips: Arc<dyn ClipSource>,
    pub(crate) broken: Vec<usize>,
}

impl ClipSource for Damaged {
    fn len(&self) -> usize {
        self.clips.len()
    }

    fn frames_per_clip(&self) -> usize {
        self.clips.frames_per_clip()
    }

    fn clip(&self, index: usize) -> std::result::Result<Clip, cola_data::Error> {
        if self.broken.contains(&index) {
            let source = std::io::ErrorKind::UnexpectedEof.into();
            return Err(cola_data::Error::Read { file: format!("clip-{index}.mp4").into(), source });
        }
        self.clips.clip(index)
    }
}

/// What a run has come to: all files of its newest checkpoint, less what only repeats the configuration.
pub(crate) fn decided(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let newest = checkpoint::list(root).pop().expect("a checkpoint");
    let files = std::fs::read_dir(newest).expect("a folder").map(|entry| entry.expect("an entry").path());
    let named = files.map(|path| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let bytes = std::fs::read(&path).expect("a file");
        match name.as_str() {
            "state.json" => {
                let mut state: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
                state["files"]
                    .as_object_mut()
                    .expect("checksums")
                    .remove("config.toml")
                    .expect("its checksum");
                (name, state.to_string().into_bytes())
            }
            _ => (name, bytes),
        }
    });
    named.filter(|(name, _)| name != "config.toml" && name != "state.crc").collect()
}

/// As checkpoints were before there were checksums, which would find every one of these first.
pub(crate) fn without_checksums(folder: &Path) {
    let file = folder.join("state.json");
    let text = std::fs::read_to_string(&file).expect("the file");
    let mut state: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    state["format"] = 1.into();
    state.as_object_mut().expect("an object").remove("files").expect("checksums");
    std::fs::write(&file, serde_json::to_vec_pretty(&state).expect("JSON")).expect("a file");
}
