//! PSNR, SSIM, LPIPS and FVD of videos, with every choice that changes a number named.

mod error;
mod video;

pub use error::{Error, Result};
pub use video::Video;
