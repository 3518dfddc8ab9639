//! Clips for training and for evaluation.

mod dataset;
mod mixture;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use cola_coevolve::ExperimentConfig;
use cola_data::{ClipOptions, ClipSource, Dataset, DrawnConfig, DrawnWorld, EpisodeClips, Run as FrameRun};
use cola_report::Progress;

use self::dataset::{Asked, Found};

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

/// Says what a dataset holds but cannot be used.
pub fn tell_skipped(dataset: &dyn Dataset, label: &str) {
    let skipped = dataset.skipped();
    if let Some((name, why)) = skipped.first() {
        println!("left out   {label}{} that cannot be used, the first {name}: {why}", skipped.len());
    }
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
    pub held_out: Arc<dyn ClipSource>,
    /// Held-out clips of a rollout's length.
    pub long: Arc<dyn ClipSource>,
}

impl Sources {
    /// Those of `data.path`; where it is empty, of the drawn world or the shipped dataset.
    ///
    /// # Errors
    /// A dataset that is missing, damaged, or too short for the clips.
    pub fn of(config: &ExperimentConfig) -> Result<Self> {
        match &config.data.path {
            path if !path.as_os_str().is_empty() => Self::open(path, config),
            _ if config.data.drawn => Self::drawn(config),
            _ => Self::open(&robodesk(), config),
        }
    }

    /// A dataset of any format, or a mixture of them that a `.toml` file describes.
    ///
    /// # Errors
    /// A dataset that is missing, damaged, or too short for the clips.
    pub fn open(path: &Path, config: &ExperimentConfig) -> Result<Self> {
        if path.extension().is_some_and(|extension| extension == "toml") {
            return mixture::open(path, config);
        }
        let exclude = Some(&config.data.exclude).filter(|path| !path.as_os_str().is_empty());
        let asked = Asked {
            name: "",
            path,
            open: config.data.open_options()?,
            options: config.clip_options(),
            exclude: exclude.map(PathBuf::as_path),
            split: None,
        };
        let mut memory = config.data.memory * (1u64 << 30) as f64;
        let Found { train, held_out, long } = asked.find(config, &mut memory, true)?;
        Ok(Self { train, held_out, long: long? })
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
            held_out: Arc::new(world(held_out, config.data.frames, 2)?),
            long: Arc::new(world(config.evaluation.episodes, config.evaluation.horizon + 1, 3)?),
        })
    }
}
