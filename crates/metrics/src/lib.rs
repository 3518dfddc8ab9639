//! PSNR, SSIM, LPIPS and FVD of videos, with every choice that changes a number named.

mod covariance;
mod error;
mod fit;
mod i3d;
mod pool;
mod resize;
mod rounding;
mod features;
mod frechet;
mod fvd;
mod kernel_distance;
mod moments;
mod sample;
mod backbone;
mod lpips;
mod network;
mod video;

pub use covariance::Covariance;
pub use error::{Error, Result};
pub use fit::Fit;
pub use i3d::{I3d, I3dConfig};
pub use rounding::Rounding;
pub use features::Features;
pub use frechet::{Frechet, frechet_from_features, frechet_from_moments, frechet_from_statistics};
pub use fvd::{Fvd, FvdConfig, FvdReport};
pub use kernel_distance::{KernelDistance, kernel_distance};
pub use moments::Moments;
pub use lpips::{Lpips, LpipsConfig, UnitNorm};
pub use network::Network;
pub use video::Video;
