//! `data`: where clips come from, their two views, and how batches are made of them.

use std::path::PathBuf;

use cola_data::{ClipOptions, CropConfig, FeederConfig, Holdout, LoaderConfig, OpenOptions, Region};
use serde::{Deserialize, Serialize};

use super::ExperimentConfig;
use crate::Error;

/// Clips and their two views.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// A dataset of any format that `dataset inspect` reads, or a mixture of them as a .toml file; empty takes the clips
    /// that come with the program, or the drawn world.
    #[serde(default)]
    pub path: PathBuf,
    /// Clips of the drawn world where `path` is empty.
    pub drawn: bool,
    /// Format of the dataset, such as `lerobot` or `rlds`; empty finds it by looking.
    #[serde(default)]
    pub format: String,
    /// Stored frames per second of a dataset that does not tell; 0 believes the dataset.
    #[serde(default)]
    pub stored_rate: f64,
    /// List of the videos to use, of a folder of videos; empty takes all.
    #[serde(default)]
    pub manifest: PathBuf,
    /// Fields that make up the action of an RLDS dataset, joined with `+`; empty takes the usual ones.
    #[serde(default)]
    pub action: String,
    /// Exclusion list that `dataset validate --repair` wrote; empty for none.
    #[serde(default)]
    pub exclude: PathBuf,
    /// One of so many episodes is held out where the dataset does not define `evaluation.split`; 0 refuses such a dataset.
    #[serde(default = "hold_out")]
    pub hold_out: usize,
    /// Video key of a dataset with several cameras; empty takes the only or the alphabetically first one.
    pub camera: String,
    /// Frames of a training clip, at least 2.
    pub frames: usize,
    /// Stored frames from one clip frame to the next.
    pub frame_stride: usize,
    /// Frames of a clip per second, instead of `frame_stride`; 0 leaves it to that.
    #[serde(default)]
    pub rate: f64,
    /// The part of each frame that is used, as fractions.
    pub region: Region,
    /// Largest height and largest width in pixels at which decoded frames are kept in memory.
    pub store: usize,
    /// GiB of frames kept in memory, of all splits together; clips of a larger dataset are decoded when they are needed.
    #[serde(default = "memory")]
    pub memory: f64,
    /// Side in pixels of the world model's view.
    pub world_size: usize,
    /// Clips of a batch.
    pub batch: usize,
    /// Parts that a batch is computed in, one after the other; their gradients are added up. Less memory, the same step up
    /// to rounding, but for what is no mean over clips and then each part's own: an entropy penalty on the codes, and
    /// `remedies.motion_weight` in a `LAM` phase.
    #[serde(default = "one_part")]
    pub accumulate: usize,
    /// The random crop.
    pub crop: CropConfig,
    /// Crops that each clip has, one of which every sample draws; 0 draws a fresh one for every sample (paper).
    #[serde(default)]
    pub crops: usize,
    /// Frames per second that the world model is told.
    pub fps: f64,
    /// Threads that make the next batches while a step is trained; 0 makes each batch when it is needed. Changes speed and
    /// memory, not the batches.
    #[serde(default = "one_worker")]
    pub workers: usize,
    /// Unreadable clips of each source that are replaced by others before the run gives up; 0 ends it at the first one. A
    /// resumed run counts anew.
    #[serde(default)]
    pub budget: usize,
}

/// Nothing that a preset would not say itself: whole frames, one after the other, of a dataset that tells everything.
impl Default for DataConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            drawn: false,
            format: String::new(),
            stored_rate: 0.0,
            manifest: PathBuf::new(),
            action: String::new(),
            exclude: PathBuf::new(),
            hold_out: hold_out(),
            camera: String::new(),
            frames: 2,
            frame_stride: 1,
            rate: 0.0,
            region: Region::FULL,
            store: 256,
            memory: memory(),
            world_size: 256,
            batch: 32,
            accumulate: one_part(),
            crop: CropConfig::paper(),
            crops: 0,
            fps: 1.0,
            workers: one_worker(),
            budget: 0,
        }
    }
}

fn one_worker() -> usize {
    FeederConfig::default().workers
}

fn one_part() -> usize {
    1
}

fn hold_out() -> usize {
    10
}

fn memory() -> f64 {
    4.0
}

/// `None` for an empty text.
fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// `None` for 0.
fn rate(rate: f64) -> Option<f64> {
    (rate != 0.0).then_some(rate)
}

impl DataConfig {
    /// What the dataset does not tell about itself.
    ///
    /// # Errors
    /// A format that there is not.
    pub fn open_options(&self) -> Result<OpenOptions, Error> {
        Ok(OpenOptions {
            format: some(&self.format).map(|name| name.parse()).transpose()?,
            rate: rate(self.stored_rate),
            manifest: (!self.manifest.as_os_str().is_empty()).then(|| self.manifest.clone()),
            action: some(&self.action),
        })
    }
}

impl ExperimentConfig {
    /// How clips are read.
    pub fn clip_options(&self) -> ClipOptions {
        let data = &self.data;
        ClipOptions {
            camera: some(&data.camera),
            frames: data.frames,
            frame_stride: data.frame_stride,
            rate: rate(data.rate),
            region: data.region,
            store: data.store,
        }
    }

    /// What is held out of a dataset.
    pub fn holdout(&self) -> Holdout {
        Holdout { split: self.evaluation.split.clone(), every: self.data.hold_out }
    }

    /// How batches are made.
    pub fn loader(&self) -> LoaderConfig {
        LoaderConfig {
            batch: self.data.batch,
            lam_size: self.lam.image,
            world_size: self.data.world_size,
            crop: self.data.crop,
            crops: self.data.crops,
            budget: self.data.budget,
        }
    }

    /// How many batches are made ahead, and by how many threads: a batch for each worker, but at least the usual number.
    pub fn feeder(&self) -> FeederConfig {
        let workers = self.data.workers;
        FeederConfig { workers, ahead: workers.max(FeederConfig::default().ahead) }
    }
}
