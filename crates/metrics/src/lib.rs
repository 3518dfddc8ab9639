//! PSNR, SSIM, LPIPS and FVD of videos, with every choice that changes a number named.

mod backbone;
mod error;
mod lpips;
mod network;
mod pool;
mod video;

pub use error::{Error, Result};
pub use lpips::{Lpips, LpipsConfig, UnitNorm};
pub use network::Network;
pub use video::Video;
