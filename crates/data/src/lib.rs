//! Robot video as clips, and clips as batches: the formats users have on one side, tensors on the other.
//!
//! ```
//! use std::sync::Arc;
//!
//! use candle_core::Device;
//! use cola_data::{CropConfig, DrawnConfig, DrawnWorld, Loader, LoaderConfig};
//!
//! let world = DrawnWorld::new(DrawnConfig::tiny(), 7)?;
//! let config = LoaderConfig { batch: 8, lam_size: 14, world_size: 16, crop: CropConfig::paper() };
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
//! - [`CropConfig`] and [`resize`] choose the window that both models see;
//! - [`Loader`] puts seeded, resumable batches together; [`collate`] makes batches for evaluation.
//!
//! Without a data set around them:
//!
//! - [`VideoFile`] reads any H.264 file frame by frame, whatever its length;
//! - [`ColumnWriter`] writes what came out of it as a table, `.parquet` or `.csv`.
//!
//! Nothing that a file claims is believed before it is checked: each way in which a data set can be wrong is an
//! [`Error`] that names the file, what was found, what was expected and what to do.
//!
//! It leaves value ranges other than `[0, 1]`, latents and metrics to the models and their crates.

mod clip;
mod columns;
mod crop;
mod dataset;
mod decoder;
mod drawn;
mod episodes;
mod error;
#[cfg(feature = "ffmpeg")]
mod ffmpeg;
mod format;
mod lerobot;
mod loader;
mod mp4;
mod open_videos;
mod planes;
mod video;
mod video_file;
mod videos;

pub use clip::{Clip, ClipSource, Frames};
pub use columns::{Cells, Column, ColumnKind, ColumnWriter};
pub use crop::{Crop, CropConfig, Region, resize};
pub use dataset::{Camera, Dataset, Decoded, Episode, Rows, Stretch};
pub use drawn::{DrawnConfig, DrawnWorld};
pub use episodes::{ClipOptions, EpisodeClips};
pub use error::Error;
pub use format::{Format, OpenOptions, detect, open};
pub use lerobot::{Feature, Info, LeRobot};
pub use loader::{Batch, Loader, LoaderConfig, collate};
pub use video_file::{VideoFile, View};
pub use videos::Videos;
