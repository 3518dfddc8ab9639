//! From clips of any size to the square that I3D was trained on.

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::resize::{Centres, Tap, plane, taps};
use crate::video::{Level, Values};
use crate::{Error, Result, Video};

/// Height and width of the network's input.
const SIDE: usize = 224;

/// How frames become 224x224. All are bilinear, frame by frame, and do not smooth where frames become smaller.
///
/// ```
/// use cola_metrics::{Fit, Video};
///
/// # fn main() -> cola_metrics::Result<()> {
/// let video = Video::from_rgb8(9, 48, 80, &[255; 9 * 48 * 80 * 3])?;
/// let input = Fit::Crop.input(&video)?;
/// assert_eq!(input.dims(), [3, 9, 224, 224]);
/// assert_eq!(input.max_all()?.to_scalar::<f32>()?, 1.0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// The short side to 224 and the long side in proportion, rounded up; then the middle, the odd pixel on the right and
    /// at the bottom. The StyleGAN-V and VideoGPT lineages; their floating-point rounding, which makes 225 of some square
    /// sizes (50, 100, 200), is left out.
    #[default]
    Crop,
    /// Both sides to 224 whatever their proportion. AdaWorld, TATS, content-debiased FVD.
    Stretch,
    /// [`Fit::Stretch`] with pixel `i` at `i * side / 224`, without half-pixel centres. The original TensorFlow FVD.
    #[serde(rename = "tensorflow1")]
    TensorFlow1,
}

impl Fit {
    /// Pixels in `[-1, 1]`, `(3, T, 224, 224)` in f32 on the CPU, computed in f64.
    ///
    /// # Errors
    /// A video with other than three channels.
    pub fn input(self, video: &Video) -> Result<Tensor> {
        let [frames, channels, height, width] = video.shape();
        if channels != 3 {
            return Err(Error::Layout {
                found: format!("{channels} channels"),
                expected: "3 (RGB) for I3D; give a grey video three equal channels".into(),
            });
        }
        let axes = match self {
            Self::Crop => {
                let short = height.min(width);
                [height, width].map(|side| {
                    let target = (side * SIDE).div_ceil(short);
                    taps(side, target, (target - SIDE) / 2, SIDE, Centres::Half)
                })
            }
            Self::Stretch => [height, width].map(|side| taps(side, SIDE, 0, SIDE, Centres::Half)),
            Self::TensorFlow1 => [height, width].map(|side| taps(side, SIDE, 0, SIDE, Centres::Corner)),
        };
        let values = match &video.values {
            Values::U8(values) => resized(values, video.shape(), &axes),
            Values::F32(values) => resized(values, video.shape(), &axes),
        };
        Ok(Tensor::from_vec(values, (3, frames, SIDE, SIDE), &Device::Cpu)?)
    }
}

fn resized<L: Level>(
    values: &[L],
    [frames, channels, height, width]: [usize; 4],
    [rows, columns]: &[Vec<Tap>; 2],
) -> Vec<f32> {
    let mut input = vec![0.0; channels * frames * SIDE * SIDE];
    input.par_chunks_mut(SIDE * SIDE).enumerate().for_each(|(place, to)| {
        let (channel, frame) = (place / frames, place % frames);
        let from = (frame * channels + channel) * height * width;
        let mut to = to.iter_mut();
        plane(&values[from..][..height * width], width, [rows, columns], L::unit, |value| {
            if let Some(to) = to.next() {
                *to = (2.0 * value - 1.0) as f32;
            }
        });
    });
    input
}
