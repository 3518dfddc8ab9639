//! Structural similarity (Wang, Bovik, Sheikh, Simoncelli, 2004), in f64.
//!
//! Per plane, `w *` a weighted mean over a window, pixels in `[0, R]`, `C = (K R)^2`:
//!
//! ```text
//! mx = w * x   my = w * y   vx = w * x^2 - mx^2   vy = w * y^2 - my^2   cxy = w * xy - mx my
//! S = (2 mx my + C1)(2 cxy + C2) / ((mx^2 + my^2 + C1)(vx + vy + C2))
//! ```
//!
//! A frame's value is the mean of `S` over the map and over the planes. Only the sum of the variances is needed, so four
//! means do: those of `x`, `y`, `x y` and `x^2 + y^2`.

mod plane;
mod strip;
mod window;

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::luma::Planes;
use crate::{Covariance, Error, Result, Video, pair, widest};
use plane::Plane;
use strip::{Formula, Strip, WIDTH};

pub use window::Window;

const METRIC: &str = "SSIM";
/// Pixels below which waking a thread costs more than it saves.
const WORTH_THREADS: usize = 1 << 13;

/// What a window sees at the border.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Border {
    /// Only windows inside of the frame: the map is `(H - side + 1, W - side + 1)`.
    #[default]
    Valid,
    /// Frames reflected by half a window without repeating the outermost pixel: the map is `(H, W)`. As torchmetrics,
    /// which has this border, each variance is at least 0.
    Reflect,
}

/// Every choice that changes an SSIM.
///
/// The default is the one that most references agree on: RGB, Gaussian 11 / 1.5, valid, population covariance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SsimConfig {
    /// What a pixel's neighbours weigh.
    pub window: Window,
    /// What a window sees at the border.
    pub border: Border,
    /// What variances and covariance are divided by: the window's `n` pixels, or `n - 1`, 49/48 times as much for 7 x 7.
    pub covariance: Covariance,
    /// Whether squares of `f x f` pixels are averaged first, `f = max(1, min(H, W) / 256 rounded half to even)`: 2 from
    /// 384 pixels up. Pixels that fill no square are left out.
    pub downsample: bool,
    /// Every channel by itself, or luma.
    pub planes: Planes,
    /// Steadies the quotient of the means.
    pub k1: f64,
    /// Steadies the quotient of the variances.
    pub k2: f64,
}

impl Default for SsimConfig {
    fn default() -> Self {
        Self {
            window: Window::Gaussian { side: 11, sigma: 1.5 },
            border: Border::Valid,
            covariance: Covariance::Biased,
            downsample: false,
            planes: Planes::Rgb,
            k1: 0.01,
            k2: 0.03,
        }
    }
}

impl SsimConfig {
    /// scikit-image's `structural_similarity` with nothing but `channel_axis` and `data_range` given: uniform 7 x 7,
    /// sample covariance.
    pub fn scikit_image() -> Self {
        Self { window: Window::Uniform { side: 7 }, covariance: Covariance::Unbiased, ..Self::default() }
    }

    /// torchmetrics 1.9 with `data_range=1.0`: reflected border, mean over the full frame.
    pub fn torchmetrics() -> Self {
        Self { border: Border::Reflect, ..Self::default() }
    }

    /// piq: the default behind its downsampling.
    pub fn piq() -> Self {
        Self { downsample: true, ..Self::default() }
    }

    /// [`SsimConfig::scikit_image`] of luma, as evaluations of robot world models have it.
    pub fn luma_uniform7() -> Self {
        Self { planes: Planes::Luma, ..Self::scikit_image() }
    }

    /// The default of luma, which the authors of SSIM recommend.
    pub fn luma_gaussian() -> Self {
        Self { planes: Planes::Luma, ..Self::default() }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// As [`Window::weights`]; a `k1` or `k2` outside of `[1e-6, 1]`: rounding would show below.
    pub fn check(&self) -> Result<()> {
        for (field, k) in [("k1", self.k1), ("k2", self.k2)] {
            if !(1e-6..=1.0).contains(&k) {
                return Err(Error::Setting {
                    field,
                    found: k.to_string(),
                    expected: "a number from 1e-6 to 1",
                });
            }
        }
        self.window.weights().map(drop)
    }

    fn formula(&self) -> Result<Formula> {
        self.check()?;
        let count = (self.window.side() * self.window.side()) as f64;
        Ok(Formula {
            weights: self.window.weights()?,
            c1: (self.k1 * 255.0).powi(2),
            c2: (self.k2 * 255.0).powi(2),
            factor: match self.covariance {
                Covariance::Biased => 1.0,
                Covariance::Unbiased => count / (count - 1.0),
            },
            clamp: self.border == Border::Reflect,
        })
    }
}

/// SSIM of a video, the mean over its frames.
///
/// ```
/// use cola_metrics::{SsimConfig, Video, ssim};
///
/// # fn main() -> cola_metrics::Result<()> {
/// let black = Video::from_u8([2, 3, 16, 16], vec![0; 1536])?;
/// let white = Video::from_u8([2, 3, 16, 16], vec![255; 1536])?;
/// assert_eq!(ssim(&white, &white, &SsimConfig::default())?, 1.0);
/// let c1 = 0.01f64.powi(2); // without structure, the quotient of the means is left
/// assert!((ssim(&black, &white, &SsimConfig::default())? - c1 / (1.0 + c1)).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`ssim_frames`].
pub fn ssim(a: &Video, b: &Video, config: &SsimConfig) -> Result<f64> {
    let frames = ssim_frames(a, b, config)?;
    Ok(frames.iter().sum::<f64>() / frames.len() as f64)
}

/// SSIM of every frame, the mean over map and planes; at most 1, below 0 where structure is inverted.
///
/// # Errors
/// Videos of different shapes; a height or width, after downsampling, below the window's side; luma of another number
/// of channels than 1 and 3; as [`SsimConfig::check`].
pub fn ssim_frames(a: &Video, b: &Video, config: &SsimConfig) -> Result<Vec<f64>> {
    let (a, b) = seen(a, b, config)?;
    let pair = Pair::new(&a, &b, config)?;
    let tasks = 0..pair.planes() * pair.strips();
    let sums: Vec<f64> = if pair.planes() * pair.rows * pair.columns < WORTH_THREADS {
        tasks.map(|task| pair.sum(task)).collect()
    } else {
        tasks.into_par_iter().map(|task| pair.sum(task)).collect()
    };
    let values = (pair.channels * pair.rows * pair.columns) as f64;
    let frames = sums.chunks_exact(pair.channels * pair.strips());
    Ok(frames.map(|sums| sums.iter().sum::<f64>() / values).collect())
}

/// The map of one frame, f64 `(C, H', W')` on the CPU: `H'` and `W'` as [`Border`] says, of the downsampled frame.
///
/// # Errors
/// As [`ssim_frames`]; a frame that is not there.
pub fn ssim_map(a: &Video, b: &Video, frame: usize, config: &SsimConfig) -> Result<Tensor> {
    pair::shape(METRIC, a, b)?;
    let frame = |video: &Video| video.narrow(frame, frame.saturating_add(1));
    let (a, b) = (frame(a)?, frame(b)?);
    let (a, b) = seen(&a, &b, config)?;
    let pair = Pair::new(&a, &b, config)?;
    let mut values = vec![0.0; pair.planes() * pair.rows * pair.columns];
    values.par_chunks_mut(pair.rows * pair.columns).enumerate().for_each(|(plane, map)| {
        for strip in 0..pair.strips() {
            let (first, columns) = pair.span(strip);
            pair.strip(plane * pair.strips() + strip, |row, similar| {
                map[row * pair.columns + first..][..columns].copy_from_slice(&similar[..columns]);
            });
        }
    });
    Ok(Tensor::from_vec(values, (pair.channels, pair.rows, pair.columns), &Device::Cpu)?)
}

type Seen<'a> = std::borrow::Cow<'a, Video>;

fn seen<'a>(a: &'a Video, b: &'a Video, config: &SsimConfig) -> Result<(Seen<'a>, Seen<'a>)> {
    pair::shape(METRIC, a, b)?;
    Ok((config.planes.of(a)?, config.planes.of(b)?))
}

/// Two videos cut into strips of maps.
struct Pair<'a> {
    a: &'a Video,
    b: &'a Video,
    formula: Formula,
    pool: usize,
    margin: usize,
    channels: usize,
    /// Of a map.
    rows: usize,
    columns: usize,
}

impl<'a> Pair<'a> {
    fn new(a: &'a Video, b: &'a Video, config: &SsimConfig) -> Result<Self> {
        let formula = config.formula()?;
        let [_, channels, height, width] = a.shape();
        let pool = if config.downsample { pool(height.min(width)) } else { 1 };
        let side = config.window.side();
        let margin = match config.border {
            Border::Valid => 0,
            Border::Reflect => side / 2,
        };
        let span = |what, pixels: usize| {
            if pixels < side {
                let mend = "enlarge the frames, or choose a smaller window";
                return Err(Error::TooSmall { metric: METRIC, what, found: pixels, least: side, mend });
            }
            Ok(pixels + 2 * margin + 1 - side)
        };
        let (rows, columns) = (span("height", height / pool)?, span("width", width / pool)?);
        Ok(Self { a, b, formula, pool, margin, channels, rows, columns })
    }

    fn planes(&self) -> usize {
        self.a.frames() * self.channels
    }

    fn strips(&self) -> usize {
        self.columns.div_ceil(WIDTH)
    }

    /// The first column of a strip, and how many it has.
    fn span(&self, strip: usize) -> (usize, usize) {
        let first = strip * WIDTH;
        (first, WIDTH.min(self.columns - first))
    }

    /// The rows of one strip of one plane.
    fn strip(&self, task: usize, emit: impl FnMut(usize, &[f64; WIDTH])) {
        let (plane, (first, columns)) = (task / self.strips(), self.span(task % self.strips()));
        let [x, y] = [self.a, self.b].map(|video| Plane::new(video, plane, self.pool, self.margin));
        widest::dispatch(Strip { formula: &self.formula, x, y, rows: self.rows, first, columns, emit });
    }

    fn sum(&self, task: usize) -> f64 {
        let mut sums = [0.0; WIDTH];
        self.strip(task, |_, similar| {
            sums.iter_mut().zip(similar).for_each(|(sum, similar)| *sum += similar)
        });
        sums[..self.span(task % self.strips()).1].iter().sum()
    }
}

/// Pixels on a side of what becomes one: the shorter side in 256ths, halves to even.
fn pool(shorter: usize) -> usize {
    ((shorter as f64 / 256.0).round_ties_even() as usize).max(1)
}
