//! One clip as the metrics see it.

use candle_core::{DType, Device, Tensor};

use crate::{Error, Result};

/// How far beyond `[0, 1]` a pixel may lie and still be a decoder's overshoot, which is clamped; farther is another scale.
const OVERSHOOT: f32 = 0.5;

/// Pixels of a clip, `(T, C, H, W)` row-major, frame 0 first, RGB where there are three channels.
///
/// Floating-point pixels lie in `[0, 1]`; overshoot by up to 0.5 is clamped, more is refused: it is another scale.
///
/// ```
/// use cola_metrics::Video;
///
/// # fn main() -> cola_metrics::Result<()> {
/// let decoded = Video::from_rgb8(2, 16, 16, &[128; 2 * 16 * 16 * 3])?; // frames as decoders give them, (T, H, W, 3)
/// let predicted = Video::from_f32([2, 3, 16, 16], vec![0.5; 2 * 3 * 16 * 16])?;
/// assert_eq!(decoded.shape(), predicted.shape());
/// assert_eq!(predicted.rounded(), decoded); // 0.5 * 255 = 127.5, away from zero
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Video {
    shape: [usize; 4],
    pub(crate) values: Values,
}

/// Stored pixels.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    /// Grey levels 0 to 255.
    U8(Vec<u8>),
    /// `[0, 1]`.
    F32(Vec<f32>),
}

/// A stored pixel as a number in `[0, 1]`.
pub(crate) trait Level: Copy + Send + Sync {
    fn unit(self) -> f64;
}

impl Level for u8 {
    #[inline(always)]
    fn unit(self) -> f64 {
        f64::from(self) / 255.0
    }
}

impl Level for f32 {
    #[inline(always)]
    fn unit(self) -> f64 {
        f64::from(self)
    }
}

impl Video {
    /// From grey levels, `(T, C, H, W)`.
    ///
    /// # Errors
    /// An empty side, or a buffer of another length than the shape says.
    pub fn from_u8(shape: [usize; 4], values: Vec<u8>) -> Result<Self> {
        check(shape, values.len())?;
        Ok(Self { shape, values: Values::U8(values) })
    }

    /// From pixels in `[0, 1]`, `(T, C, H, W)`.
    ///
    /// # Errors
    /// As [`Video::from_u8`]; a value that is not finite; values on another scale.
    pub fn from_f32(shape: [usize; 4], mut values: Vec<f32>) -> Result<Self> {
        check(shape, values.len())?;
        let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
        for (at, &value) in values.iter().enumerate() {
            if !value.is_finite() {
                return Err(Error::NotFinite { what: "video", value: value.into(), index: index(at, shape) });
            }
            (low, high) = (low.min(value), high.max(value));
        }
        if low < -OVERSHOOT || high > 1.0 + OVERSHOOT {
            let mend = if high > 2.0 {
                "divide grey levels by 255, or hand them over as u8"
            } else {
                "map [-1, 1] to [0, 1] by (v + 1) / 2"
            };
            return Err(Error::Scale { low: low.into(), high: high.into(), mend });
        }
        if low < 0.0 || high > 1.0 {
            values.iter_mut().for_each(|value| *value = value.clamp(0.0, 1.0));
        }
        Ok(Self { shape, values: Values::F32(values) })
    }

    /// From pictures as decoders give them: `(T, H, W, 3)`, 0 to 255.
    ///
    /// # Errors
    /// As [`Video::from_u8`].
    pub fn from_rgb8(frames: usize, height: usize, width: usize, rgb: &[u8]) -> Result<Self> {
        let shape = [frames, 3, height, width];
        check(shape, rgb.len())?;
        let mut values = vec![0; rgb.len()];
        let plane = height * width;
        for (planes, pixels) in values.chunks_exact_mut(3 * plane).zip(rgb.chunks_exact(3 * plane)) {
            for (channel, plane) in planes.chunks_exact_mut(plane).enumerate() {
                for (to, pixel) in plane.iter_mut().zip(pixels.chunks_exact(3)) {
                    *to = pixel[channel];
                }
            }
        }
        Ok(Self { shape, values: Values::U8(values) })
    }

    /// From a tensor `(T, C, H, W)`: u8 grey levels, or floating-point numbers in `[0, 1]`. Its graph is left behind.
    ///
    /// # Errors
    /// A tensor of another rank or of whole numbers other than u8; as [`Video::from_f32`].
    pub fn from_tensor(video: &Tensor) -> Result<Self> {
        let Ok((frames, channels, height, width)) = video.dims4() else {
            return Err(Error::Layout {
                found: format!("a tensor of shape {:?}", video.dims()),
                expected: "(T, C, H, W)".into(),
            });
        };
        let shape = [frames, channels, height, width];
        match video.dtype() {
            DType::U8 => Self::from_u8(shape, video.flatten_all()?.to_vec1()?),
            dtype if dtype.is_float() => {
                Self::from_f32(shape, video.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?)
            }
            dtype => Err(Error::Layout {
                found: format!("a tensor of {dtype:?}"),
                expected: "u8 grey levels or floating-point numbers in [0, 1]".into(),
            }),
        }
    }

    /// `(T, C, H, W)`.
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// `T`.
    pub fn frames(&self) -> usize {
        self.shape[0]
    }

    /// Frames `from..to`.
    ///
    /// # Errors
    /// A range that is empty or goes beyond the end.
    pub fn narrow(&self, from: usize, to: usize) -> Result<Self> {
        if from >= to || to > self.frames() {
            return Err(Error::Layout {
                found: format!("frames {from}..{to} of {}", self.frames()),
                expected: "some frames of the video".into(),
            });
        }
        let [_, channels, height, width] = self.shape;
        let range = from * channels * height * width..to * channels * height * width;
        let values = match &self.values {
            Values::U8(values) => Values::U8(values[range].to_vec()),
            Values::F32(values) => Values::F32(values[range].to_vec()),
        };
        Ok(Self { shape: [to - from, channels, height, width], values })
    }

    /// The video with pixels rounded to the nearest of 256 grey levels.
    pub fn rounded(&self) -> Self {
        let values = match &self.values {
            Values::U8(values) => values.clone(),
            Values::F32(values) => values.iter().map(|value| (value * 255.0).round() as u8).collect(),
        };
        Self { shape: self.shape, values: Values::U8(values) }
    }

    /// Other pixels, as many, in the same shape.
    pub(crate) fn with(&self, values: Values) -> Self {
        Self { shape: self.shape, values }
    }

    /// Pixels in `[0, 1]` as a tensor `(T, C, H, W)` in f32.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn tensor(&self, device: &Device) -> Result<Tensor> {
        let values: Vec<f32> = match &self.values {
            Values::U8(values) => values.iter().map(|value| f32::from(*value) / 255.0).collect(),
            Values::F32(values) => values.clone(),
        };
        Ok(Tensor::from_vec(values, &self.shape, device)?)
    }
}

fn check(shape: [usize; 4], found: usize) -> Result<()> {
    let count = shape.iter().try_fold(1usize, |count, side| count.checked_mul(*side));
    if found == 0 || count != Some(found) {
        return Err(Error::Layout {
            found: format!("{found} values for the shape {shape:?}"),
            expected: "one value for each entry of (T, C, H, W), no side empty".into(),
        });
    }
    Ok(())
}

fn index(mut at: usize, shape: [usize; 4]) -> Vec<usize> {
    let mut index: Vec<usize> = shape
        .iter()
        .rev()
        .map(|side| {
            let here = at % side;
            at /= side;
            here
        })
        .collect();
    index.reverse();
    index
}
