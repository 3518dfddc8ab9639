//! Letters as pixels.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, RasterizedChar, get_raster, get_raster_width};

/// Noto Sans Mono, rasterized with soft edges: a fixed width, the letters of ASCII and Latin-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Font {
    /// 16 pixels a line: frame numbers, marks.
    Small,
    /// 20 pixels a line: labels.
    Body,
    /// 24 pixels a line, bold: titles.
    Title,
}

impl Font {
    /// Height of a line, pixels.
    pub fn height(self) -> usize {
        self.face().1.val()
    }

    /// Width of a text on one line, pixels.
    pub fn width(self, text: &str) -> usize {
        text.chars().count() * self.advance()
    }

    /// Pixels from one letter to the next.
    pub(crate) fn advance(self) -> usize {
        let (weight, size) = self.face();
        get_raster_width(weight, size)
    }

    /// The letter; a question mark for one that the font lacks, so that a gap is seen.
    pub(crate) fn glyph(self, letter: char) -> RasterizedChar {
        let (weight, size) = self.face();
        get_raster(letter, weight, size)
            .or_else(|| get_raster('?', weight, size))
            .expect("the font holds all of ASCII that prints")
    }

    fn face(self) -> (FontWeight, RasterHeight) {
        match self {
            Self::Small => (FontWeight::Regular, RasterHeight::Size16),
            Self::Body => (FontWeight::Regular, RasterHeight::Size20),
            Self::Title => (FontWeight::Bold, RasterHeight::Size24),
        }
    }
}
