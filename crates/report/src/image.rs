//! A picture in memory.

use std::path::Path;

use crate::{Error, Font};

/// Red, green and blue, sRGB.
pub type Color = [u8; 3];

/// A picture: 8 bits each of red, green and blue, rows first.
///
/// What is drawn beyond an edge is cut off there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// `3 · width · height` bytes.
    pub rgb: Vec<u8>,
}

impl Image {
    /// A picture of one color.
    pub fn new(width: usize, height: usize, color: Color) -> Self {
        Self { width, height, rgb: color.repeat(width * height) }
    }

    /// A picture from its bytes, `(height, width, 3)`.
    ///
    /// # Errors
    /// Other than `3 · width · height` bytes.
    pub fn from_rgb(width: usize, height: usize, rgb: Vec<u8>) -> Result<Self, Error> {
        let image = Self { width, height, rgb };
        image.check()?;
        Ok(image)
    }

    /// The color at column `x` and row `y`.
    ///
    /// # Panics
    /// Outside of the picture.
    pub fn pixel(&self, x: usize, y: usize) -> Color {
        assert!(
            x < self.width && y < self.height,
            "({x}, {y}) in an image of {}x{}",
            self.width,
            self.height
        );
        let at = 3 * (y * self.width + x);
        [self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]]
    }

    /// Each pixel as a block of `factor` by `factor` pixels; 0 counts as 1.
    pub fn upscale(&self, factor: usize) -> Self {
        let factor = factor.max(1);
        let mut rgb = Vec::with_capacity(self.rgb.len() * factor * factor);
        for row in self.rgb.chunks_exact((3 * self.width).max(1)) {
            let wide: Vec<u8> = row.chunks_exact(3).flat_map(|color| color.repeat(factor)).collect();
            for _ in 0..factor {
                rgb.extend_from_slice(&wide);
            }
        }
        Self { width: self.width * factor, height: self.height * factor, rgb }
    }

    /// Copies another picture here, its top left corner at `(x, y)`.
    pub fn paste(&mut self, x: usize, y: usize, other: &Self) {
        let columns = other.width.min(self.width.saturating_sub(x));
        for row in 0..other.height.min(self.height.saturating_sub(y)) {
            let to = 3 * ((y + row) * self.width + x);
            let from = 3 * row * other.width;
            self.rgb[to..to + 3 * columns].copy_from_slice(&other.rgb[from..from + 3 * columns]);
        }
    }

    /// Fills a rectangle whose top left corner is `(x, y)`.
    pub fn fill(&mut self, x: usize, y: usize, width: usize, height: usize, color: Color) {
        let columns = width.min(self.width.saturating_sub(x));
        for row in y..(y + height).min(self.height) {
            let at = 3 * (row * self.width + x);
            for pixel in self.rgb[at..at + 3 * columns].chunks_exact_mut(3) {
                pixel.copy_from_slice(&color);
            }
        }
    }

    /// Mixes a color into one pixel: `share` 0 leaves it, 1 replaces it.
    pub fn blend(&mut self, x: usize, y: usize, color: Color, share: f32) {
        if x < self.width && y < self.height {
            let at = 3 * (y * self.width + x);
            for (old, new) in self.rgb[at..at + 3].iter_mut().zip(color) {
                *old = (f32::from(*old) * (1.0 - share) + f32::from(new) * share).round() as u8;
            }
        }
    }

    /// Writes one line of text; `(x, y)` is the top left corner of its first letter's box.
    pub fn text(&mut self, x: usize, y: usize, text: &str, color: Color, font: Font) {
        for (index, letter) in text.chars().enumerate() {
            let left = x + index * font.advance();
            for (row, shares) in font.glyph(letter).rows().enumerate() {
                for (column, share) in shares.iter().enumerate() {
                    self.blend(left + column, y + row, color, f32::from(*share) / 255.0);
                }
            }
        }
    }

    /// Writes one line of text from bottom to top; `(x, y)` is the top left corner of the whole text's box.
    pub fn text_upwards(&mut self, x: usize, y: usize, text: &str, color: Color, font: Font) {
        let bottom = y + font.width(text);
        for (index, letter) in text.chars().enumerate() {
            let start = bottom - index * font.advance() - 1;
            for (row, shares) in font.glyph(letter).rows().enumerate() {
                for (column, share) in shares.iter().enumerate() {
                    self.blend(x + row, start - column, color, f32::from(*share) / 255.0);
                }
            }
        }
    }

    /// The bytes of a PNG file.
    ///
    /// # Errors
    /// A picture without pixels, or whose bytes do not fill its sides.
    pub fn to_png(&self) -> Result<Vec<u8>, Error> {
        self.check()?;
        let encode = || {
            let mut bytes = Vec::new();
            // A side beyond 32 bits becomes 0, which the encoder refuses by name.
            let side = |side: usize| u32::try_from(side).unwrap_or(0);
            let mut encoder = png::Encoder::new(&mut bytes, side(self.width), side(self.height));
            encoder.set_color(png::ColorType::Rgb);
            encoder.set_depth(png::BitDepth::Eight);
            let mut writer = encoder.write_header()?;
            writer.write_image_data(&self.rgb)?;
            writer.finish()?;
            Ok(bytes)
        };
        encode().map_err(|source| Error::Png { width: self.width, height: self.height, source })
    }

    /// Writes a PNG file, whole or not at all.
    ///
    /// # Errors
    /// As [`Image::to_png`] and [`cola_files::write_atomically`].
    pub fn save_png(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        cola_files::write_atomically(path, &self.to_png()?).map_err(Error::io(path, "write"))
    }

    /// The fields are open, so whatever hands the bytes on looks at them first.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let (width, height, found) = (self.width, self.height, self.rgb.len());
        let expected = 3 * width * height;
        if found == expected { Ok(()) } else { Err(Error::Pixels { width, height, expected, found }) }
    }

    /// Width and height of a clip's frames: at least one, all of one size, with pixels.
    pub(crate) fn check_clip(
        frames: &[Self],
        what: &'static str,
        file: &Path,
    ) -> Result<(usize, usize), Error> {
        let first = frames.first().filter(|frame| frame.width * frame.height > 0);
        let first = first.ok_or(Error::NoFrames { what })?;
        let expected = (first.width, first.height);
        for (index, frame) in frames.iter().enumerate() {
            let found = (frame.width, frame.height);
            if found != expected {
                return Err(Error::FrameSize {
                    place: format!("{}, frame {index}", file.display()),
                    expected,
                    found,
                });
            }
            frame.check()?;
        }
        Ok(expected)
    }
}
