//! Size, rate and quality of a video.

use std::ops::RangeInclusive;
use std::path::Path;

use crate::Error;

/// The least side of a picture that the encoder takes.
const SMALLEST: usize = 16;
/// Long and short side of the largest one.
const LARGEST: (usize, usize) = (3840, 2160);
/// Frames a second.
const RATES: RangeInclusive<f64> = 0.01..=1000.0;
/// Quantizers that the encoder holds.
const QUANTIZERS: RangeInclusive<u8> = 12..=51;

/// What all frames of a video have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoOptions {
    /// Pixels across, from 16; the last column of an odd width is shown twice, since H.264 needs even sides.
    pub width: usize,
    /// Pixels down, from 16; the last row of an odd height is shown twice. At most 3840 x 2160 or 2160 x 3840.
    pub height: usize,
    /// Frames a second, 0.01 to 1000. Exact to a part in 10⁹ if near a fraction with a denominator up to 10,000, such as
    /// 30000/1001, else to 10⁻⁶ frames a second.
    pub fps: f64,
    /// Frames from one key frame to the next, at least 1: so many are decoded at most to show any.
    pub key_every: u32,
    /// H.264's quantizer of every block, 12 (best) to 51; six more halve the size, about. 14 brings brightness back at
    /// some 47 dB on a robot's camera.
    pub quantizer: u8,
}

impl VideoOptions {
    /// A key frame every 16 frames, quantizer 14.
    pub fn new(width: usize, height: usize, fps: f64) -> Self {
        Self { width, height, fps, key_every: 16, quantizer: 14 }
    }

    /// Refuses what the encoder or the file cannot have; `file` is for the message.
    pub(crate) fn check(&self, file: &Path) -> Result<(), Error> {
        if !RATES.contains(&self.fps) {
            return Err(Error::FrameRate { file: file.to_owned(), found: self.fps });
        }
        if self.key_every == 0 || !QUANTIZERS.contains(&self.quantizer) {
            let (key_every, quantizer) = (self.key_every, self.quantizer);
            return Err(Error::Coding { file: file.to_owned(), key_every, quantizer });
        }
        let (long, short) = (self.width.max(self.height), self.width.min(self.height));
        if short < SMALLEST || long > LARGEST.0 || short > LARGEST.1 {
            return Err(Error::Size { file: file.to_owned(), width: self.width, height: self.height });
        }
        Ok(())
    }
}
