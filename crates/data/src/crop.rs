//! Which part of a picture is used: a fixed region, a random crop; and the resize to a model's input size.

use fast_image_resize as fir;
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::{Error, Frames};

/// A fixed view cut out of each frame before anything else, as fractions of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Upper edge, from the top.
    pub top: f64,
    /// Left edge.
    pub left: f64,
    /// Height, at most `1 - top`.
    pub height: f64,
    /// Width, at most `1 - left`.
    pub width: f64,
}

impl Region {
    /// The whole frame.
    pub const FULL: Self = Self { top: 0.0, left: 0.0, height: 1.0, width: 1.0 };

    /// The region in whole pixels of a frame of `height` x `width`: each edge goes to the nearest pixel edge.
    ///
    /// # Errors
    /// A region that leaves the frame or holds no pixel.
    pub fn pixels(&self, height: usize, width: usize) -> Result<Crop, Error> {
        let edges = |from: f64, length: f64, side: usize| {
            // `1e-9` forgives fractions such as 0.7 + 0.3 that miss 1 by rounding.
            let inside = from >= 0.0 && length > 0.0 && from + length <= 1.0 + 1e-9;
            let (low, high) = ((from * side as f64).round(), ((from + length) * side as f64).round());
            (inside && low < high).then_some((low, high - low))
        };
        match (edges(self.top, self.height, height), edges(self.left, self.width, width)) {
            (Some((top, height)), Some((left, width))) => Ok(Crop { left, top, width, height }),
            _ => Err(Error::setting(
                "region",
                format!("{self:?} of a {height} x {width} frame"),
                "fractions with top + height <= 1 and left + width <= 1 that hold at least one pixel",
            )),
        }
    }
}

impl Default for Region {
    fn default() -> Self {
        Self::FULL
    }
}

/// Window of a picture in pixels; edges may lie between pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crop {
    /// Left edge.
    pub left: f64,
    /// Upper edge.
    pub top: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
}

impl Crop {
    /// The whole picture.
    pub fn full(height: usize, width: usize) -> Self {
        Self { left: 0.0, top: 0.0, width: width as f64, height: height as f64 }
    }
}

/// How random crops are drawn: one window for all frames of a clip, no flips.
///
/// A window of its own for each frame would add camera motion that the latent actions had to encode, and a flip would
/// exchange left and right.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CropConfig {
    /// Smallest and largest area, as a fraction of the picture's, in `(0, 1]`.
    pub area: [f64; 2],
    /// Smallest and largest width / height.
    pub aspect: [f64; 2],
}

impl CropConfig {
    /// Area 0.8 to 1, aspect 3/4 to 4/3.
    pub fn paper() -> Self {
        Self { area: [0.8, 1.0], aspect: [0.75, 4.0 / 3.0] }
    }

    /// Refuses ranges from which no window can be drawn.
    ///
    /// # Errors
    /// An area outside `(0, 1]`, an aspect that is not positive and finite, or a range that runs backwards.
    pub fn check(&self) -> Result<(), Error> {
        let [low, high] = self.area;
        if !(0.0 < low && low <= high && high <= 1.0) {
            return Err(Error::setting(
                "crop.area",
                format!("{:?}", self.area),
                "0 < smallest <= largest <= 1",
            ));
        }
        let [low, high] = self.aspect;
        if !(0.0 < low && low <= high && high.is_finite()) {
            return Err(Error::setting(
                "crop.aspect",
                format!("{:?}", self.aspect),
                "0 < smallest <= largest",
            ));
        }
        Ok(())
    }

    /// Draws a window of a `height` x `width` picture.
    ///
    /// Area is uniform, the logarithm of the aspect is uniform. After ten windows that do not fit, it is the largest
    /// centred one within the range of aspects. The ranges must have passed [`check`](Self::check).
    pub fn draw(&self, height: usize, width: usize, rng: &mut impl Rng) -> Crop {
        let (full_height, full_width) = (height as f64, width as f64);
        let [narrow, wide] = self.aspect;
        for _ in 0..10 {
            let area = rng.random_range(self.area[0]..=self.area[1]) * full_height * full_width;
            let aspect = rng.random_range(narrow.ln()..=wide.ln()).exp();
            let (width, height) = ((area * aspect).sqrt(), (area / aspect).sqrt());
            if width <= full_width && height <= full_height {
                let left = rng.random_range(0.0..=full_width - width);
                let top = rng.random_range(0.0..=full_height - height);
                return Crop { left, top, width, height };
            }
        }
        let aspect = (full_width / full_height).clamp(narrow, wide);
        let (width, height) = (full_width.min(full_height * aspect), full_height.min(full_width / aspect));
        Crop { left: (full_width - width) / 2.0, top: (full_height - height) / 2.0, width, height }
    }
}

/// The window `crop` of each frame, resized to `height` x `width` with an antialiased bilinear filter.
///
/// # Errors
/// Frames without pixels, a target without pixels, a window that is empty or leaves the frame.
pub fn resize(frames: &Frames, crop: &Crop, height: usize, width: usize) -> Result<Frames, Error> {
    frames.check()?;
    let (full_height, full_width) = (frames.height as f64, frames.width as f64);
    let inside =
        |from: f64, length: f64, side: f64| from >= 0.0 && length > 0.0 && from + length <= side + 1e-6;
    if !inside(crop.top, crop.height, full_height) || !inside(crop.left, crop.width, full_width) {
        let expected = format!("a window with pixels inside {full_height} x {full_width}");
        return Err(Error::setting("crop", format!("{crop:?}"), expected));
    }
    let (Ok(rows), Ok(columns)) = (u32::try_from(height), u32::try_from(width)) else {
        return Err(Error::setting("size", format!("{height} x {width}"), "sides below 2^32"));
    };
    if rows == 0 || columns == 0 {
        return Err(Error::setting("size", format!("{height} x {width}"), "at least 1 x 1"));
    }
    if *crop == Crop::full(height, width) && (height, width) == (frames.height, frames.width) {
        return Ok(frames.clone());
    }
    // Rounding may carry the far edge past the frame by less than the resizer would accept.
    let options =
        fir::ResizeOptions::new().resize_alg(fir::ResizeAlg::Convolution(fir::FilterType::Bilinear)).crop(
            crop.left,
            crop.top,
            crop.width.min(full_width - crop.left),
            crop.height.min(full_height - crop.top),
        );
    let mut rgb = vec![0; frames.count * height * width * 3];
    let mut resizer = fir::Resizer::new();
    for (index, target) in rgb.chunks_exact_mut(height * width * 3).enumerate() {
        let pixels = fir::PixelType::U8x3;
        let source = fir::images::ImageRef::new(
            frames.width as u32,
            frames.height as u32,
            frames.frame(index),
            pixels,
        );
        let target = fir::images::Image::from_slice_u8(columns, rows, target, pixels);
        // Both buffers were sized from the numbers given here, so neither constructor can refuse.
        let (Ok(source), Ok(mut target)) = (source, target) else {
            return Err(Error::setting(
                "frames",
                format!("{full_height} x {full_width}"),
                "sides below 2^32",
            ));
        };
        resizer.resize(&source, &mut target, &options)?;
    }
    Ok(Frames { count: frames.count, height, width, rgb })
}
