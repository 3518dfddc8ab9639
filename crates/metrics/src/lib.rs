//! PSNR, SSIM, LPIPS and FVD of videos, with every choice that changes a number named.

mod error;
mod fit;
mod i3d;
mod pool;
mod resize;
mod rounding;
mod video;

pub use error::{Error, Result};
pub use fit::Fit;
pub use i3d::{I3d, I3dConfig};
pub use rounding::Rounding;
pub use video::Video;
