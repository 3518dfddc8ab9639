//! Brightness alone: one plane of BT.601 luma for three of colour.

use std::borrow::Cow;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::video::Values;
use crate::{Error, Result, Video};

/// Weights of red, green and blue (0.299, 0.587, 0.114) in units of 2^-15. They sum to one: white stays white.
const WEIGHTS: [u32; 3] = [9798, 19235, 3735];
const SHIFT: u32 = 15;

/// Which planes of a video a metric sees.
///
/// Colour noise is averaged out by luma, so its PSNR and SSIM are higher than those of RGB: compare within one choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Planes {
    /// The channels as they are.
    #[default]
    Rgb,
    /// [`luma`] alone.
    Luma,
}

impl Planes {
    /// The video that a metric sees: itself, or its luma.
    ///
    /// # Errors
    /// As [`luma`].
    pub fn of(self, video: &Video) -> Result<Cow<'_, Video>> {
        match self {
            Self::Rgb => Ok(Cow::Borrowed(video)),
            Self::Luma => Ok(Cow::Owned(luma(video)?)),
        }
    }
}

/// BT.601 luma in grey levels, `Y = 0.299 R + 0.587 G + 0.114 B` rounded: `(T, 3, H, W)` to `(T, 1, H, W)`.
///
/// Pixels are rounded to grey levels first. The sum is taken in OpenCV's fixed point, weights of 15 bits (`cvtColor`
/// with `COLOR_RGB2GRAY`, versions 4 and 5), so planes equal OpenCV's to the last level; rounding the real sum, or
/// OpenCV 3's weights of 14 bits, gives another level at about one pixel in a thousand. A video of one channel is luma
/// already and is only rounded.
///
/// ```
/// use cola_metrics::{Video, luma};
///
/// # fn main() -> cola_metrics::Result<()> {
/// let red = Video::from_rgb8(1, 1, 1, &[255, 0, 0])?;
/// assert_eq!(luma(&red)?, Video::from_u8([1, 1, 1, 1], vec![76])?); // 0.299 * 255 = 76.2
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// A video of another number of channels than 1 and 3.
pub fn luma(video: &Video) -> Result<Video> {
    let [frames, channels, height, width] = video.shape();
    let rounded = match &video.values {
        Values::U8(_) => Cow::Borrowed(video),
        Values::F32(_) => Cow::Owned(video.rounded()),
    };
    if channels == 1 {
        return Ok(rounded.into_owned());
    }
    let (3, Values::U8(levels)) = (channels, &rounded.values) else {
        return Err(Error::Layout {
            found: format!("{channels} channels"),
            expected: "three channels (RGB) or one (luma already), to take the luma of".into(),
        });
    };
    let plane = height * width;
    let mut values = vec![0; frames * plane];
    let [of_red, of_green, of_blue] = WEIGHTS;
    values.par_chunks_mut(plane).zip(levels.par_chunks(3 * plane)).for_each(|(to, colours)| {
        let (red, rest) = colours.split_at(plane);
        let (green, blue) = rest.split_at(plane);
        for (((to, red), green), blue) in to.iter_mut().zip(red).zip(green).zip(blue) {
            let sum = of_red * u32::from(*red) + of_green * u32::from(*green) + of_blue * u32::from(*blue);
            *to = ((sum + (1 << (SHIFT - 1))) >> SHIFT) as u8;
        }
    });
    Video::from_u8([frames, 1, height, width], values)
}
