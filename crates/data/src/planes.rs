//! Decoded pictures as planes of luma and chroma, and their RGB.

/// How luma and chroma make RGB: the coefficients and the range of the luma.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Colour {
    matrix: Matrix,
    /// Whether black is 0 and white 255, instead of 16 and 235.
    full: bool,
}

/// The standards whose coefficients video of 8 bits has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Matrix {
    Bt601,
    Bt709,
    Bt2020,
}

impl Colour {
    /// What a video without marks has: BT.601, limited range.
    pub(crate) const UNTAGGED: Self = Self { matrix: Matrix::Bt601, full: false };

    /// The colour that a stream or container names by its matrix code (ISO/IEC 23091-2, `matrix_coefficients`) and
    /// range. Codes without a matrix of their own here, rare in video of 8 bits, are read as BT.601.
    pub(crate) fn tagged(code: u16, full: bool) -> Self {
        let matrix = match code {
            1 => Matrix::Bt709,
            9 | 10 => Matrix::Bt2020,
            _ => Matrix::Bt601,
        };
        Self { matrix, full }
    }

    /// Parts of luma in all three colours, then of `v` in red, `u` and `v` in green, `u` in blue, in 1/256.
    fn coefficients(self) -> [i16; 5] {
        match (self.matrix, self.full) {
            (Matrix::Bt601, false) => [298, 409, -100, -208, 516],
            (Matrix::Bt601, true) => [256, 359, -88, -183, 454],
            (Matrix::Bt709, false) => [298, 459, -55, -136, 541],
            (Matrix::Bt709, true) => [256, 403, -48, -120, 475],
            (Matrix::Bt2020, false) => [298, 430, -48, -167, 548],
            (Matrix::Bt2020, true) => [256, 377, -42, -146, 482],
        }
    }
}

/// A picture of 8 bits, 4:2:0. A row of luma takes `strides.0` bytes, one of chroma `strides.1`.
pub(crate) struct Planes<'a> {
    pub(crate) y: &'a [u8],
    pub(crate) u: &'a [u8],
    pub(crate) v: &'a [u8],
    pub(crate) strides: (usize, usize),
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) colour: Colour,
}

impl Planes<'_> {
    /// Fills `rgb` with the picture, `(height, width, 3)`; every chroma sample holds for its four pixels. `None` if a
    /// plane is too short.
    ///
    /// The arithmetic is that of openh264's own conversion for processors with AVX2, in 16 bits and rounded, but for
    /// every processor, every width and the other coefficients as well: the same pixels everywhere.
    pub(crate) fn write_rgb(&self, rgb: &mut Vec<u8>) -> Option<()> {
        let (height, width) = (self.height, self.width);
        let half = width.div_ceil(2);
        rgb.resize(height * width * 3, 0);
        let [cy, rv, gu, gv, bu] = self.colour.coefficients();
        let black = if self.colour.full { 0 } else { 16 };
        // What chroma adds to red, green and blue along a row, and the row's colours before they are interleaved.
        let mut added = [(); 3].map(|()| vec![0i16; 2 * half]);
        let mut colours = [(); 3].map(|()| vec![0u8; width]);
        for (row, target) in rgb.chunks_exact_mut((width * 3).max(1)).enumerate() {
            let luma = self.y.get(row * self.strides.0..)?.get(..width)?;
            if row % 2 == 0 {
                let at = row / 2 * self.strides.1;
                let u = self.u.get(at..)?.get(..half)?;
                let v = self.v.get(at..)?.get(..half)?;
                let [red, green, blue] = &mut added;
                chroma(u, v, red, |_, v| times(v, rv));
                chroma(u, v, green, |u, v| times(u, gu) + times(v, gv));
                chroma(u, v, blue, |u, _| times(u, bu));
            }
            for (colour, added) in colours.iter_mut().zip(&added) {
                for ((colour, &luma), &added) in colour.iter_mut().zip(luma).zip(added) {
                    let value =
                        times(i16::from(luma) - black, cy).saturating_add(added).saturating_add(32) >> 6;
                    *colour = value.clamp(0, 255) as u8;
                }
            }
            let [red, green, blue] = &colours;
            let pixels = target.as_chunks_mut::<3>().0.iter_mut();
            for (((pixel, &red), &green), &blue) in pixels.zip(red).zip(green).zip(blue) {
                *pixel = [red, green, blue];
            }
        }
        Some(())
    }
}

/// `value * part / 256`, in 1/64.
fn times(value: i16, part: i16) -> i16 {
    value * (part >> 2) + ((value * (part & 3)) >> 2)
}

/// What the chroma of a row adds to one colour of its pixels.
fn chroma(u: &[u8], v: &[u8], added: &mut [i16], sum: impl Fn(i16, i16) -> i16) {
    for ((pair, &u), &v) in added.as_chunks_mut::<2>().0.iter_mut().zip(u).zip(v) {
        *pair = [sum(i16::from(u) - 128, i16::from(v) - 128); 2];
    }
}

#[cfg(test)]
mod tests {
    use super::{Colour, Planes};

    /// Every luma with chroma in steps, against the standards' definition in floating point.
    #[test]
    fn pixels_are_within_one_of_the_exact_matrix() {
        // (code, red's part of luma, blue's part)
        for (code, kr, kb) in [(2, 0.299, 0.114), (1, 0.2126, 0.0722), (9, 0.2627, 0.0593)] {
            for full in [false, true] {
                let (black, scale, chroma) =
                    if full { (0.0, 1.0, 1.0) } else { (16.0, 255.0 / 219.0, 255.0 / 224.0) };
                let mut worst = 0.0f64;
                for u in (0..=255u8).step_by(5) {
                    for v in (0..=255u8).step_by(3) {
                        let y: Vec<u8> = (0..=255).collect();
                        let planes = Planes {
                            y: &y,
                            u: &[u; 128],
                            v: &[v; 128],
                            strides: (256, 128),
                            height: 1,
                            width: 256,
                            colour: Colour::tagged(code, full),
                        };
                        let mut rgb = Vec::new();
                        planes.write_rgb(&mut rgb).unwrap();
                        let (cb, cr) = (chroma * (f64::from(u) - 128.0), chroma * (f64::from(v) - 128.0));
                        for (luma, pixel) in rgb.as_chunks::<3>().0.iter().enumerate() {
                            let luma = scale * (luma as f64 - black);
                            let (red, blue) = (luma + 2.0 * (1.0 - kr) * cr, luma + 2.0 * (1.0 - kb) * cb);
                            let green = (luma - kr * red - kb * blue) / (1.0 - kr - kb);
                            for (exact, &found) in [red, green, blue].into_iter().zip(pixel) {
                                worst = worst.max((exact.clamp(0.0, 255.0) - f64::from(found)).abs());
                            }
                        }
                    }
                }
                assert!(worst < 1.25, "matrix {code}, full {full}: {worst}");
            }
        }
    }

    #[test]
    fn odd_sides_use_the_last_chroma_sample_and_short_planes_are_refused() {
        let planes = |v: &'static [u8]| Planes {
            y: &[235; 9],
            u: &[128; 4],
            v,
            strides: (3, 2),
            height: 3,
            width: 3,
            colour: Colour::UNTAGGED,
        };
        let mut rgb = Vec::new();
        planes(&[128, 128, 128, 0]).write_rgb(&mut rgb).unwrap();
        assert_eq!(rgb[..24], [255; 24]);
        assert!(rgb[24] < 255, "{rgb:?}");
        assert!(planes(&[128; 3]).write_rgb(&mut rgb).is_none());
    }
}
