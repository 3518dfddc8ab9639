//! Peak signal-to-noise ratio: `10 log10(R^2 / mse)`, `R` the range of the pixels (1, or 255 grey levels).

mod squares;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::luma::Planes;
use crate::{Result, Video, pair};

const METRIC: &str = "PSNR";
/// Pixels that one task takes.
const PIECE: usize = 1 << 16;
/// Pixels below which waking a thread costs more than it saves.
const WORTH_THREADS: usize = 1 << 18;

/// What the PSNR of equal images is, and what near-equal ones are rounded to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PsnrMode {
    /// Infinite; a mean with one equal frame is infinite too, so reports want one of the others.
    #[default]
    Inf,
    /// 100 dB where `mse < 1e-10`, nothing else changed (the common video-metric script).
    Cap100,
    /// `-10 log10(mse + 1e-8)`: at most 80 dB, and 0.0002 dB low at 36 dB (piq).
    #[serde(rename = "eps1e8")]
    Eps1e8,
}

impl PsnrMode {
    /// Decibels of a mean squared error of pixels in `[0, 1]`.
    pub fn decibels(self, mse: f64) -> f64 {
        match self {
            Self::Cap100 if mse < 1e-10 => 100.0,
            Self::Inf | Self::Cap100 => -10.0 * mse.log10(),
            Self::Eps1e8 => -10.0 * (mse + 1e-8).log10(),
        }
    }
}

/// Where the mean is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Averaging {
    /// The mean of the frames' decibels.
    #[default]
    PerFrame,
    /// The decibels of the frames' mean squared error; never above [`Averaging::PerFrame`].
    Pooled,
}

/// Every choice that changes a PSNR. The default is decibels per frame over all channels, infinite for equal frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PsnrConfig {
    /// Equal images.
    pub mode: PsnrMode,
    /// How frames become one number.
    pub averaging: Averaging,
    /// All channels in one error, or luma.
    pub planes: Planes,
}

impl PsnrConfig {
    /// One number, decibels, for the mean squared errors of some frames, of one video or of many.
    ///
    /// No frames have no PSNR: NaN.
    pub fn average(&self, mse: &[f64]) -> f64 {
        let mean = |sum: f64| sum / mse.len() as f64;
        match self.averaging {
            Averaging::PerFrame => mean(mse.iter().map(|mse| self.mode.decibels(*mse)).sum()),
            Averaging::Pooled => self.mode.decibels(mean(mse.iter().sum())),
        }
    }
}

/// PSNR of a video, decibels: its frames put together as `config.averaging` says.
///
/// ```
/// use cola_metrics::{PsnrConfig, Video, psnr};
///
/// # fn main() -> cola_metrics::Result<()> {
/// let dark = Video::from_u8([2, 3, 8, 8], vec![100; 384])?;
/// let bright = Video::from_u8([2, 3, 8, 8], vec![151; 384])?; // 51 grey levels, a fifth of the range: 10 log10(25)
/// assert!((psnr(&dark, &bright, &PsnrConfig::default())? - 13.979400086720377).abs() < 1e-12);
/// assert_eq!(psnr(&dark, &dark, &PsnrConfig::default())?, f64::INFINITY);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`psnr_frames`].
pub fn psnr(a: &Video, b: &Video, config: &PsnrConfig) -> Result<f64> {
    Ok(config.average(&seen(a, b, config)?))
}

/// PSNR of every frame, decibels; `config.averaging` has no say.
///
/// # Errors
/// Videos of different shapes; luma of another number of channels than 1 and 3.
pub fn psnr_frames(a: &Video, b: &Video, config: &PsnrConfig) -> Result<Vec<f64>> {
    Ok(seen(a, b, config)?.into_iter().map(|mse| config.mode.decibels(mse)).collect())
}

/// Mean squared error of every frame over channels and pixels, pixels in `[0, 1]`.
///
/// Grey levels are summed in whole numbers, other pixels in f64. For luma hand over [`Planes::of`] both videos.
///
/// # Errors
/// Videos of different shapes.
pub fn mse_frames(a: &Video, b: &Video) -> Result<Vec<f64>> {
    let [frames, channels, height, width] = pair::shape(METRIC, a, b)?;
    let frame = channels * height * width;
    let pieces = frame.div_ceil(PIECE);
    let piece = |task: usize| {
        let (start, from) = (task / pieces * frame, task % pieces * PIECE);
        squares::sum(&a.values, &b.values, start + from..start + frame.min(from + PIECE))
    };
    let tasks = 0..frames * pieces;
    let sums: Vec<f64> = if frames * frame < WORTH_THREADS {
        tasks.map(piece).collect()
    } else {
        tasks.into_par_iter().map(piece).collect()
    };
    let count = frame as f64 * 255.0 * 255.0;
    Ok(sums.chunks_exact(pieces).map(|sums| sums.iter().sum::<f64>() / count).collect())
}

fn seen(a: &Video, b: &Video, config: &PsnrConfig) -> Result<Vec<f64>> {
    pair::shape(METRIC, a, b)?;
    mse_frames(&*config.planes.of(a)?, &*config.planes.of(b)?)
}
