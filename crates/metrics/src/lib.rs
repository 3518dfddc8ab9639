//! PSNR, SSIM, LPIPS and FVD of videos, with every choice that changes a number named.

mod error;
mod luma;
mod pair;
mod psnr;
mod ssim;
mod video;
mod widest;

pub use error::{Error, Result};
pub use luma::{Planes, luma};
pub use psnr::{Averaging, PsnrConfig, PsnrMode, mse_frames, psnr, psnr_frames};
pub use ssim::{Border, Covariance, SsimConfig, Window, ssim, ssim_frames, ssim_map};
pub use video::Video;
