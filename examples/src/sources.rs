//! Clips for training and for evaluation.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use cola_coevolve::ExperimentConfig;
use cola_data::{ClipOptions, ClipSource, Dataset, DrawnConfig, DrawnWorld, EpisodeClips, OpenOptions};
use cola_report::Progress;

/// The shipped RoboDesk clips.
pub fn robodesk() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/robodesk_lerobot")
}

/// The shipped generator of the `tiny` preset.
pub fn generator() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/generator_tiny")
}

/// Decodes a split, showing how far it is.
///
/// # Errors
/// A dataset that is damaged or too short for the clips.
pub fn decode(dataset: &dyn Dataset, split: &str, options: &ClipOptions) -> Result<EpisodeClips> {
    let mut bar: Option<Progress> = None;
    let clips = EpisodeClips::load(dataset, &dataset.split(split)?, options, &mut |done, total| {
        bar.get_or_insert_with(|| Progress::start(&format!("decode {split}"), total as u64, 0))
            .tick(done as u64, "frames");
    })?;
    if let Some(bar) = bar {
        bar.finish(&format!("{} clips of {} frames", clips.len(), clips.frames_per_clip()));
    }
    Ok(clips)
}

/// What a run reads.
pub struct Sources {
    /// Training clips.
    pub train: Arc<dyn ClipSource>,
    /// Held-out clips of the training length.
    pub held_out: Box<dyn ClipSource>,
    /// Held-out clips of a rollout's length.
    pub long: Box<dyn ClipSource>,
}

impl Sources {
    /// Decodes the `train` split and the evaluation's split of a LeRobot dataset.
    ///
    /// # Errors
    /// A dataset that is missing, damaged, or too short for the clips.
    pub fn lerobot(root: &Path, config: &ExperimentConfig) -> Result<Self> {
        let dataset = cola_data::open(root, &OpenOptions::default())?;
        // What is missing is said before minutes of decoding.
        for split in ["train", &config.evaluation.split] {
            dataset.split(split)?;
        }
        let options = config.clip_options();
        let train = decode(&*dataset, "train", &options)?;
        let held_out = decode(&*dataset, &config.evaluation.split, &options)?;
        let long = held_out.with_frames(config.evaluation.horizon + 1)?;
        Ok(Self { train: Arc::new(train), held_out: Box::new(held_out), long: Box::new(long) })
    }

    /// The drawn world: training and held-out clips of different seeds.
    ///
    /// # Errors
    /// Sizes that do not fit together.
    pub fn drawn(config: &ExperimentConfig) -> Result<Self> {
        let world = |clips: usize, frames: usize, seed: u64| {
            DrawnWorld::new(
                DrawnConfig { clips, frames, size: config.data.store, ..DrawnConfig::tiny() },
                seed,
            )
        };
        let held_out = config.evaluation.transitions;
        Ok(Self {
            train: Arc::new(world(8192, config.data.frames, 1)?),
            held_out: Box::new(world(held_out, config.data.frames, 2)?),
            long: Box::new(world(config.evaluation.episodes, config.evaluation.horizon + 1, 3)?),
        })
    }
}
