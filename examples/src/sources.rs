//! Clips for training and for evaluation.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use cola_coevolve::ExperimentConfig;
use cola_data::{
    ClipOptions, ClipSource, Dataset, Division, DrawnConfig, DrawnWorld, EpisodeClips, Run as FrameRun,
    StreamedClips,
};
use cola_report::Progress;

/// The shipped RoboDesk clips.
pub fn robodesk() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/robodesk_lerobot")
}

/// The shipped generator of the `tiny` preset.
pub fn generator() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/generator_tiny")
}

/// Whether both paths lead to one folder.
pub fn same_folder(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// Decodes runs of frames, showing how far it is.
///
/// # Errors
/// A dataset that is damaged or too short for the clips.
pub fn decode(
    dataset: &dyn Dataset,
    what: &str,
    runs: &[FrameRun],
    options: &ClipOptions,
) -> Result<EpisodeClips> {
    let mut bar: Option<Progress> = None;
    let clips = EpisodeClips::load(dataset, runs, options, &mut |done, total| {
        bar.get_or_insert_with(|| Progress::start(&format!("decode {what}"), total as u64, 0))
            .tick(done as u64, "frames");
    })?;
    if let Some(bar) = bar {
        bar.finish(&format!("{} clips of {} frames", clips.len(), clips.frames_per_clip()));
    }
    Ok(clips)
}

/// Decodes a split of a dataset.
///
/// # Errors
/// As [`decode`], and a split that is not there.
pub fn decode_split(dataset: &dyn Dataset, split: &str, options: &ClipOptions) -> Result<EpisodeClips> {
    let runs = FrameRun::whole(dataset, &dataset.split(split)?)?;
    decode(dataset, split, &runs, options)
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
    /// The parts of a dataset of any format to train on and to hold out.
    ///
    /// # Errors
    /// A dataset that is missing, damaged, or too short for the clips.
    pub fn dataset(root: &Path, config: &ExperimentConfig) -> Result<Self> {
        let dataset = cola_data::open(root, &config.data.open_options()?)?;
        let holdout = config.holdout();
        let Division { train, held_out, own } = holdout.divide(&*dataset)?;
        if !own {
            println!(
                "held out   {} of {} episodes: the dataset does not define a split {}",
                held_out.len(),
                train.len() + held_out.len(),
                holdout.split
            );
        }
        let options = config.clip_options();
        let told = config.data.fps;
        if let Some(stored) = dataset.episodes().first().and_then(|episode| episode.rate) {
            let shown = options.rate.unwrap_or(stored / options.frame_stride as f64);
            if (shown / told - 1.0).abs() > 0.01 {
                println!(
                    "rate       clips of {shown:.2} frames per second; the world model is told data.fps = {told}"
                );
            }
        }
        // What is too short is said before minutes of decoding.
        let long = ClipOptions { frames: config.evaluation.horizon + 1, ..options.clone() };
        StreamedClips::new(dataset.clone(), &held_out, &long)?;

        let view = options.view(dataset.camera(options.camera.as_deref())?.size)?;
        let frames: usize = train.iter().chain(&held_out).map(|run| run.frames.len()).sum();
        let bytes = frames as f64 * (view.height * view.width * 3) as f64;
        if bytes > config.data.memory * (1u64 << 30) as f64 {
            println!(
                "clips      decoded when needed: {:.1} GiB of frames, data.memory is {}",
                bytes / (1u64 << 30) as f64,
                config.data.memory
            );
            let held_out = StreamedClips::new(dataset.clone(), &held_out, &options)?;
            let long = held_out.with_frames(config.evaluation.horizon + 1)?;
            let train = Arc::new(StreamedClips::new(dataset, &train, &options)?);
            return Ok(Self { train, held_out: Box::new(held_out), long: Box::new(long) });
        }
        let train = decode(&*dataset, "train", &train, &options)?;
        let held_out = decode(&*dataset, &holdout.split, &held_out, &options)?;
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
