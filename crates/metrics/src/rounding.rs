//! Grey levels, or not, before a metric looks.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::Video;
use crate::video::Values;

/// What becomes of floating-point pixels before they are scored. Pixels that are grey levels already stay as they are.
///
/// ```
/// use cola_metrics::{Rounding, Video};
///
/// # fn main() -> cola_metrics::Result<()> {
/// let video = Video::from_f32([1, 3, 1, 1], vec![0.0, 0.999, 1.0])?; // 0.999 * 255 = 254.7
/// let levels = |levels| Video::from_u8([1, 3, 1, 1], levels);
/// assert_eq!(*Rounding::Nearest.apply(&video), levels(vec![0, 255, 255])?);
/// assert_eq!(*Rounding::Truncate.apply(&video), levels(vec![0, 254, 255])?);
/// assert_eq!(*Rounding::Keep.apply(&video), video);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// As the model made them.
    Keep,
    /// To the nearest of 256 grey levels, halves upwards: what an image file would hold.
    #[default]
    Nearest,
    /// To the grey level below, the product `255 v` in f32: what a cast to bytes does in VideoGPT and AdaWorld. Half a
    /// level darker on average.
    Truncate,
}

impl Rounding {
    /// The video as it is scored; nothing is copied where nothing changes.
    pub fn apply(self, video: &Video) -> Cow<'_, Video> {
        match (self, &video.values) {
            (Self::Keep, _) | (_, Values::U8(_)) => Cow::Borrowed(video),
            (Self::Nearest, _) => Cow::Owned(video.rounded()),
            (Self::Truncate, Values::F32(values)) => {
                let levels = values.iter().map(|value| (value * 255.0) as u8).collect();
                Cow::Owned(video.with(Values::U8(levels)))
            }
        }
    }
}
