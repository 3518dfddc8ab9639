//! Robot video as clips, and clips as batches: the formats users have on one side, tensors on the other.
//!
//! ```
//! use std::sync::Arc;
//!
//! use candle_core::Device;
//! use cola_data::{CropConfig, DrawnConfig, DrawnWorld, Loader, LoaderConfig};
//!
//! let world = DrawnWorld::new(DrawnConfig::tiny(), 7)?;
//! let config = LoaderConfig { batch: 8, lam_size: 14, world_size: 16, crop: CropConfig::paper(), crops: 0, budget: 0 };
//! let loader = Loader::new(Arc::new(world), config, 7)?;
//! let batch = loader.batch(0, true, &Device::Cpu)?;
//! assert_eq!(batch.lam_view.dims(), [8, 4, 3, 14, 14]);
//! assert_eq!(batch.world_view.dims(), [8, 4, 3, 16, 16]);
//! assert_eq!(batch.samples, [0, 1, 2, 3, 4, 5, 6, 7]);
//! # Ok::<(), cola_data::Error>(())
//! ```
//!
//! The parts, in the order in which data pass them:
//!
//! - [`open`] finds the format of a data set and reads its metadata: a [`Dataset`] has episodes with rows and pictures;
//! - [`EpisodeClips`] decodes the episodes of a split frame by frame and cuts them into [`Clip`]s;
//! - [`DrawnWorld`] draws clips instead, for tests and first steps without any files;
//! - [`tabletop`] draws a table that can be acted on, for planning and recordings without a robot;
//! - [`CropConfig`] and [`resize`] choose the window that both models see;
//! - [`Mixture`] puts weighted groups of sources side by side;
//! - [`Loader`] puts seeded, resumable batches together, [`Feeder`] ahead of time; [`collate`] makes batches for
//!   evaluation.
//! - [`validate()`] says what is wrong with a data set, and [`Exclusions`] names what is left out of it;
//! - [`ShardWriter`] stores decoded episodes, [`Shards`] reads them without a decoder.
//!
//! Without a data set around them:
//!
//! - [`VideoFile`] reads any H.264 file frame by frame, whatever its length;
//! - [`ColumnWriter`] writes what came out of it as a table, `.parquet` or `.csv`;
//! - [`LeRobotWriter`] writes a data set of your own, which LeRobot's Python package opens too.
//!
//! Nothing that a file claims is believed before it is checked: each way in which a data set can be wrong is an
//! [`Error`] that names the file, what was found, what was expected and what to do.
//!
//! It leaves value ranges other than `[0, 1]`, latents and metrics to the models and their crates.

#[cfg(feature = "hdf5")]
mod agibot;
mod clip;
mod collected;
mod columns;
mod crop;
mod dataset;
mod decoder;
mod document;
mod drawn;
mod episodes;
mod error;
mod exclusions;
#[cfg(feature = "ffmpeg")]
mod ffmpeg;
mod format;
mod guarded;
#[cfg(feature = "hdf5")]
mod hdf5;
mod hdf5_files;
mod latent_cache;
mod lerobot;
mod lerobot_writer;
mod loader;
mod mixture;
mod mp4;
mod picture;
mod planes;
mod recent;
mod regular;
#[cfg(feature = "pictures")]
mod rlds;
#[cfg(feature = "hdf5")]
mod robomimic;
mod runs;
mod shards;
mod streamed;
pub mod tabletop;
mod validate;
mod video;
mod video_file;
mod videos;
mod windows;

#[cfg(feature = "hdf5")]
pub use agibot::AgiBot;
pub use clip::{Clip, ClipSource, Frames, Share};
pub use columns::{Cells, Column, ColumnKind, ColumnWriter};
pub use crop::{Crop, CropConfig, Region, resize};
pub use dataset::{Camera, Dataset, Decoded, Episode, Rows, Stretch};
pub use drawn::{DrawnConfig, DrawnWorld};
pub use episodes::{ClipOptions, EpisodeClips};
pub use error::Error;
pub use exclusions::{Exclusion, Exclusions};
pub use format::{Format, OpenOptions, detect, open};
pub use latent_cache::{CacheOptions, CacheReport, CacheState, LatentCache};
pub use lerobot::{Feature, Info, LeRobot};
pub use lerobot_writer::{FileLimits, LeRobotLayout, LeRobotWriter, PictureStore};
pub use loader::{Batch, ClipKey, Failure, Feeder, FeederConfig, Loader, LoaderConfig, Stall, collate};
pub use mixture::{
    Group, GroupConfig, GroupWeights, Mixture, MixtureConfig, MixturePlan, PlanRow, Preset, Source,
    SourceConfig,
};
#[cfg(feature = "pictures")]
pub use rlds::Rlds;
#[cfg(feature = "hdf5")]
pub use robomimic::Robomimic;
pub use runs::{Division, Holdout, Run};
pub use shards::{EpisodeData, ShardLayout, ShardWriter, Shards};
pub use streamed::StreamedClips;
pub use validate::{Finding, Severity, ValidateOptions, What, validate, validate_episode};
pub use video_file::{VideoFile, View};
pub use videos::Videos;
