//! One plane of a frame as rows of numbers: grey levels, average-pooled, reflected at the border.

use crate::Video;
use crate::video::{Level, Values};

/// A plane, its pixels 0 to 255. Rows and columns are counted from the first reflected ones.
#[derive(Clone, Copy)]
pub(super) struct Plane<'a> {
    pixels: Pixels<'a>,
    /// Stored columns.
    stored: usize,
    /// Side of the squares whose mean is one pixel.
    pool: usize,
    /// Pixels, after pooling.
    height: usize,
    width: usize,
    /// Reflected rows and columns on each side.
    margin: usize,
}

#[derive(Clone, Copy)]
enum Pixels<'a> {
    U8(&'a [u8]),
    F32(&'a [f32]),
}

impl<'a> Plane<'a> {
    /// Plane `index` of the video's `T * C`. The margin is less than the pooled height and width.
    pub(super) fn new(video: &'a Video, index: usize, pool: usize, margin: usize) -> Self {
        let [_, _, height, stored] = video.shape();
        let range = index * height * stored..(index + 1) * height * stored;
        let pixels = match &video.values {
            Values::U8(values) => Pixels::U8(&values[range]),
            Values::F32(values) => Pixels::F32(&values[range]),
        };
        Self { pixels, stored, pool, height: height / pool, width: stored / pool, margin }
    }

    /// Columns `from..` of a row; zeros beyond the last one.
    #[inline(always)]
    pub(super) fn read(&self, row: usize, from: usize, to: &mut [f64]) {
        let row = reflected(row, self.margin, self.height);
        let end = from + to.len();
        // What is stored, between what is reflected.
        let (first, last) = (self.margin.clamp(from, end), (self.margin + self.width).clamp(from, end));
        if first < last {
            self.stored(row, first - self.margin, &mut to[first - from..last - from]);
        }
        for column in (from..first).chain(last..end) {
            let to = &mut to[column - from..][..1];
            match column < self.width + 2 * self.margin {
                true => self.stored(row, reflected(column, self.margin, self.width), to),
                false => to.fill(0.0),
            }
        }
    }

    #[inline(always)]
    fn stored(&self, row: usize, from: usize, to: &mut [f64]) {
        match self.pixels {
            Pixels::U8(pixels) => self.pooled(pixels, row, from, to),
            Pixels::F32(pixels) => self.pooled(pixels, row, from, to),
        }
    }

    #[inline(always)]
    fn pooled<P: Level>(&self, pixels: &[P], row: usize, from: usize, to: &mut [f64]) {
        let pool = self.pool;
        if pool == 1 {
            let pixels = &pixels[row * self.stored + from..][..to.len()];
            to.iter_mut().zip(pixels).for_each(|(to, pixel)| *to = pixel.level());
            return;
        }
        to.fill(0.0);
        for row in row * pool..(row + 1) * pool {
            let squares = pixels[row * self.stored + from * pool..][..to.len() * pool].chunks_exact(pool);
            for (to, pixels) in to.iter_mut().zip(squares) {
                pixels.iter().for_each(|pixel| *to += pixel.level());
            }
        }
        to.iter_mut().for_each(|to| *to /= (pool * pool) as f64);
    }
}

/// The stored index of an index that counts from the first reflected one; the outermost pixel is not repeated.
#[inline(always)]
fn reflected(at: usize, margin: usize, count: usize) -> usize {
    let inside = at.abs_diff(margin);
    if inside < count { inside } else { 2 * (count - 1) - inside }
}
