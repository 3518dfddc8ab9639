//! The map of a strip of columns, row after row, from sums that stay in the nearest cache.
//!
//! A row of pixels is filtered along itself once and put into a ring of as many rows as the window has; a row of the map
//! is the weighted sum of the ring. The oldest row is overwritten by the next one, so it is the weights that turn, not
//! the rows.

use pulp::{Simd, WithSimd};

use super::plane::Plane;
use super::window::MOST;

/// Columns of a strip, a multiple of every machine's vectors. Eleven rows of four maps of them take 22 KiB.
pub(super) const WIDTH: usize = 64;
/// Columns that a strip reads.
const READ: usize = WIDTH + MOST - 1;

/// Numbers that all strips share.
pub(super) struct Formula {
    /// Along one side of the window.
    pub(super) weights: Vec<f64>,
    /// `(K1 255)^2`, `(K2 255)^2`.
    pub(super) c1: f64,
    pub(super) c2: f64,
    /// What variances and covariance are multiplied by: 1, or `n / (n - 1)`.
    pub(super) factor: f64,
    /// Whether each variance is taken by itself and is at least 0; otherwise their sum is all that is needed.
    pub(super) clamp: bool,
}

/// One strip of one pair of planes.
pub(super) struct Strip<'a, Emit> {
    pub(super) formula: &'a Formula,
    pub(super) x: Plane<'a>,
    pub(super) y: Plane<'a>,
    /// Rows of the map.
    pub(super) rows: usize,
    /// The first column, and how many of [`WIDTH`] there are.
    pub(super) first: usize,
    pub(super) columns: usize,
    /// Takes each row of the map. What lies beyond `columns` has no meaning.
    pub(super) emit: Emit,
}

impl<Emit: FnMut(usize, &[f64; WIDTH])> WithSimd for Strip<'_, Emit> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let formula = self.formula;
        // With a number of weights that the compiler knows, the sums along a row are straight code.
        match (<&[f64; 11]>::try_from(&formula.weights[..]), formula.clamp) {
            (Ok(weights), false) => self.walk::<S, 4>(simd, weights),
            (Ok(weights), true) => self.walk::<S, 5>(simd, weights),
            (Err(_), false) => self.walk::<S, 4>(simd, &formula.weights),
            (Err(_), true) => self.walk::<S, 5>(simd, &formula.weights),
        }
    }
}

impl<Emit: FnMut(usize, &[f64; WIDTH])> Strip<'_, Emit> {
    /// `MAPS` is 4 for `x`, `y`, `x y`, `x^2 + y^2`; 5 for `x`, `y`, `x y`, `x^2`, `y^2`.
    #[inline(always)]
    fn walk<S: Simd, const MAPS: usize>(mut self, simd: S, weights: &[f64]) {
        let side = weights.len();
        let turning = [weights, weights].concat();
        let vectors = self.columns.div_ceil(S::F64_LANES).min(WIDTH / S::F64_LANES);
        let read = vectors * S::F64_LANES + side - 1;
        let mut ring = vec![[[0.0; WIDTH]; MAPS]; side];
        let (mut maps, mut means) = ([[0.0; READ]; MAPS], [[0.0; WIDTH]; MAPS]);
        let mut similar = [0.0; WIDTH];
        for row in 0..self.rows + side - 1 {
            self.x.read(row, self.first, &mut maps[0][..read]);
            self.y.read(row, self.first, &mut maps[1][..read]);
            products(&mut maps, read);
            for (to, map) in ring[row % side].iter_mut().zip(&maps) {
                along(simd, weights, map, to, vectors);
            }
            if row + 1 >= side {
                // The row that comes next overwrites the oldest one, which has the first weight.
                across(simd, &turning[side - (row + 1) % side..][..side], &ring, &mut means, vectors);
                for (column, similar) in similar.iter_mut().enumerate() {
                    *similar =
                        self.formula.similarity(std::array::from_fn::<_, MAPS, _>(|map| means[map][column]));
                }
                (self.emit)(row + 1 - side, &similar);
            }
        }
    }
}

impl Formula {
    /// From the weighted means of `x`, `y`, `x y` and the squares. Nothing is contracted here: equal planes have a
    /// similarity of exactly 1.
    #[inline(always)]
    fn similarity<const MAPS: usize>(&self, means: [f64; MAPS]) -> f64 {
        let [x, y, product] = [means[0], means[1], means[2]];
        let (xx, yy, xy) = (x * x, y * y, x * y);
        let variances = if MAPS == 5 {
            // Means of pixels are finite: no NaN can hide here.
            (means[3] - xx).max(0.0) + (means[MAPS - 1] - yy).max(0.0)
        } else {
            means[3] - (xx + yy)
        };
        let (variances, covariance) = (self.factor * variances, self.factor * (product - xy));
        (2.0 * xy + self.c1) * (2.0 * covariance + self.c2) / ((xx + yy + self.c1) * (variances + self.c2))
    }
}

/// Fills the maps behind the first two from these.
#[inline(always)]
fn products<const MAPS: usize>(maps: &mut [[f64; READ]; MAPS], read: usize) {
    let Some(([x, y], rest)) = maps.split_first_chunk_mut::<2>() else { return };
    for column in 0..read.min(READ) {
        let (x, y) = (x[column], y[column]);
        rest[0][column] = x * y;
        if MAPS == 5 {
            (rest[1][column], rest[MAPS - 3][column]) = (x * x, y * y);
        } else {
            rest[1][column] = x * x + y * y;
        }
    }
}

/// Weighted sums along a row.
#[inline(always)]
fn along<S: Simd>(simd: S, weights: &[f64], from: &[f64; READ], to: &mut [f64; WIDTH], vectors: usize) {
    let to = &mut S::as_mut_simd_f64s(to).0[..vectors.min(WIDTH / S::F64_LANES)];
    for (vector, to) in to.iter_mut().enumerate() {
        let mut sum = simd.splat_f64s(0.0);
        for (tap, weight) in weights.iter().enumerate().take(MOST) {
            let x = S::as_simd_f64s(&from[tap..][..WIDTH]).0[vector];
            sum = simd.mul_add_e_f64s(simd.splat_f64s(*weight), x, sum);
        }
        *to = sum;
    }
}

/// Weighted sums over the rows of the ring.
#[inline(always)]
fn across<S: Simd, const MAPS: usize>(
    simd: S,
    weights: &[f64],
    ring: &[[[f64; WIDTH]; MAPS]],
    to: &mut [[f64; WIDTH]; MAPS],
    vectors: usize,
) {
    for vector in 0..vectors.min(WIDTH / S::F64_LANES) {
        let mut sums = [simd.splat_f64s(0.0); MAPS];
        for (row, weight) in ring.iter().zip(weights) {
            let weight = simd.splat_f64s(*weight);
            for (sum, map) in sums.iter_mut().zip(row) {
                *sum = simd.mul_add_e_f64s(weight, S::as_simd_f64s(map).0[vector], *sum);
            }
        }
        for (to, sum) in to.iter_mut().zip(sums) {
            S::as_mut_simd_f64s(to).0[vector] = sum;
        }
    }
}
