//! PSNR, SSIM, LPIPS and FVD of videos, with every choice that changes a number named.
//!
//! ```
//! use candle_core::Device;
//! use cola_metrics::{Evaluator, I3d, Protocol, Scores, Video};
//!
//! # fn main() -> cola_metrics::Result<()> {
//! # #[cfg(feature = "kinetics")]
//! # {
//! let protocol = Protocol::default();
//! let i3d = I3d::kinetics400(&protocol.fvd.i3d, &Device::Cpu)?; // shipped; LPIPS needs a backbone, see `Lpips`
//! let evaluator = Evaluator::new(protocol.clone(), None, Some(i3d))?;
//! let mut scores = Scores::new(protocol); // one for each worker; `merge` puts them together
//! for clip in 0..2 {
//!     let real = Video::from_u8([10, 3, 32, 32], vec![40 + 100 * clip; 10 * 3 * 32 * 32])?;
//!     let generated = Video::from_f32([10, 3, 32, 32], vec![0.2; 10 * 3 * 32 * 32])?;
//!     scores.add(clip.into(), &evaluator.clip(&real, &generated)?)?;
//! }
//! let report = scores.finish()?;
//! println!("{report}: {:?} dB, FVD {:?}", report.psnr.mean(), report.fvd.map(|fvd| fvd.fvd));
//! # }
//! # Ok(())
//! # }
//! ```
//!
//! # Parts
//!
//! | for | here |
//! |---|---|
//! | a clip: pixels with their shape and range | [`Video`], [`Rounding`], [`luma`] |
//! | two clips, frame by frame | [`psnr_frames`], [`ssim_frames`], [`Lpips`] |
//! | what a clip looks like to FVD | [`I3d`], [`Fit`] |
//! | two sets of features | [`Fvd`], [`Moments`], [`frechet_from_features`], [`frechet_from_statistics`], [`kernel_distance`] |
//! | all of it under one protocol | [`Protocol`], [`Evaluator`], [`Scores`], [`Report`] |
//! | means by frame, merged over workers | [`Tally`], [`Curve`] |
//!
//! # Promises
//!
//! - **A number is never alone.** A [`Report`] holds the [`Protocol`] that it was made under and prints it; reports under
//!   different protocols cannot be merged.
//! - **No silent NaN.** Pixels, features and weights that are not finite are errors that tell where; sets that are too
//!   small have no distance and say so. The two values that are infinite or negative by definition (PSNR of equal frames
//!   unless capped, KVD) are documented.
//! - **Bounded memory.** Accumulators do not grow with the number of clips; LPIPS takes frames in passes, I3D
//!   clip by clip (its memory is linear in the frames of one clip).
//! - **The same bits on any number of threads.** Merging workers agrees with one worker to 1e-10.
//! - **Numbers, not tensors.** Nothing here is made to be trained through: what could be mistaken for a loss returns f64.
//!
//! # Left to others
//!
//! It reads no video file and draws no curve. ImageNet backbones for LPIPS are not shipped (233 MB for AlexNet);
//! [`Lpips::open`] says where they are published. Features: `kinetics` (default) compiles the 26 MB of I3D into programs
//! that call [`I3d::kinetics400`], `hub` fetches weights by repository id, `cuda` runs the networks on a GPU.

mod backbone;
mod covariance;
mod curve;
mod error;
mod evaluator;
mod features;
mod fit;
mod frechet;
mod fvd;
mod i3d;
mod kernel_distance;
mod lpips;
mod luma;
mod moments;
mod network;
mod pair;
mod protocol;
mod psnr;
mod report;
mod resize;
mod rounding;
mod sample;
mod scores;
mod ssim;
mod tally;
mod video;
mod widest;

pub use covariance::Covariance;
pub use curve::Curve;
pub use error::{Error, Result};
pub use evaluator::Evaluator;
pub use features::Features;
pub use fit::Fit;
pub use frechet::{Frechet, frechet_from_features, frechet_from_moments, frechet_from_statistics};
pub use fvd::{Fvd, FvdConfig, FvdReport};
pub use i3d::{I3d, I3dConfig};
pub use kernel_distance::{KernelDistance, kernel_distance};
pub use lpips::{Lpips, LpipsConfig, UnitNorm};
pub use luma::{Planes, luma};
pub use moments::Moments;
pub use network::Network;
pub use protocol::{FvdProtocol, Protocol};
pub use psnr::{Averaging, PsnrConfig, PsnrMode, mse_frames, psnr, psnr_frames};
pub use report::Report;
pub use rounding::Rounding;
pub use scores::{ClipScores, Scores};
pub use ssim::{Border, SsimConfig, Window, ssim, ssim_frames, ssim_map};
pub use tally::Tally;
pub use video::Video;
