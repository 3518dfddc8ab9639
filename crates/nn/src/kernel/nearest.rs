//! Nearest rows of a table: eight codes at a time, a few rows for each read of the table.

use pulp::{Simd, WithSimd};

use super::{dispatch, for_each};

/// Codes that are compared at a time; the machine's vectors hold as many or a power of two fewer.
const CODES: usize = 8;
/// Rows that share one read of the table.
const ROWS: usize = 4;
/// Products that one task takes.
const TASK: usize = 1 << 18;

/// A table of rows, turned: groups of eight codes, each `(D, 8)`, the last one filled up with NaN, which is never near.
pub(crate) struct Codes {
    turned: Vec<f32>,
    count: usize,
    size: usize,
}

impl Codes {
    /// `rows` are rows of `size` numbers, at least one of each.
    pub(crate) fn new(rows: &[f32], size: usize) -> Self {
        let count = rows.len() / size;
        let mut turned = vec![f32::NAN; count.next_multiple_of(CODES) * size];
        for (code, row) in rows.chunks_exact(size).enumerate() {
            let group = &mut turned[code / CODES * CODES * size..];
            for (at, value) in row.iter().enumerate() {
                group[at * CODES + code % CODES] = *value;
            }
        }
        Self { turned, count, size }
    }

    fn last(&self) -> u32 {
        (self.count - 1) as u32
    }
}

/// The index of the nearest code for each row of `x`.
pub(crate) fn find<X: Copy + Sync>(
    x: &[X],
    codes: &Codes,
    widen: impl Fn(X) -> f32 + Copy + Send + Sync,
) -> Vec<u32> {
    let mut found = vec![0u32; x.len() / codes.size];
    let rows = (TASK / codes.turned.len()).next_multiple_of(ROWS).max(ROWS);
    // Each row meets every code: that is the work that threads are woken for.
    let work = found.len() * codes.turned.len();
    for_each(work, found.chunks_mut(rows).zip(x.chunks(rows * codes.size)), |(found, x)| {
        let mut tile = vec![0f32; ROWS * codes.size];
        for (found, x) in found.chunks_mut(ROWS).zip(x.chunks(ROWS * codes.size)) {
            for (tile, x) in tile.iter_mut().zip(x) {
                *tile = widen(*x);
            }
            let nearest = dispatch(Nearest { rows: &tile, codes });
            found.copy_from_slice(&nearest[..found.len()]);
        }
    });
    found
}

/// Four rows against all codes.
struct Nearest<'a> {
    rows: &'a [f32],
    codes: &'a Codes,
}

impl WithSimd for Nearest<'_> {
    type Output = [u32; ROWS];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> [u32; ROWS] {
        let size = self.codes.size;
        let rows: [&[f32]; ROWS] = std::array::from_fn(|row| &self.rows[row * size..][..size]);
        let mut best = [(f32::INFINITY, u32::MAX); ROWS];
        for (group, codes) in self.codes.turned.chunks_exact(CODES * size).enumerate() {
            let mut distances = [[0f32; CODES]; ROWS];
            self.distances(simd, codes, rows, &mut distances);
            for (best, distances) in best.iter_mut().zip(&distances) {
                // Most groups hold nothing nearer; finding that out needs no order.
                if distances.iter().fold(false, |any, distance| any | (*distance < best.0)) {
                    for (lane, distance) in distances.iter().enumerate() {
                        if *distance < best.0 {
                            *best = (*distance, (group * CODES + lane) as u32);
                        }
                    }
                }
            }
        }
        std::array::from_fn(|row| match best[row].1 {
            u32::MAX => self.endless(rows[row]),
            index => index,
        })
    }
}

impl Nearest<'_> {
    /// Each distance is summed by itself in the order of the dimensions: its bits do not depend on the vectors' width.
    #[inline(always)]
    fn distances<S: Simd>(
        &self,
        simd: S,
        codes: &[f32],
        rows: [&[f32]; ROWS],
        to: &mut [[f32; CODES]; ROWS],
    ) {
        let parts = CODES / S::F32_LANES;
        let codes = S::as_simd_f32s(codes).0;
        for part in 0..parts {
            let mut sums = [simd.splat_f32s(0.0); ROWS];
            for (at, code) in codes[part..].iter().step_by(parts).enumerate() {
                for (sum, row) in sums.iter_mut().zip(rows) {
                    let off = simd.sub_f32s(simd.splat_f32s(row[at]), *code);
                    *sum = simd.add_f32s(*sum, simd.mul_f32s(off, off));
                }
            }
            for (to, sum) in to.iter_mut().zip(sums) {
                S::as_mut_simd_f32s(to).0[part] = sum;
            }
        }
    }

    /// A row without a finite distance: the first code at an infinite one, or the last code if all are NaN.
    fn endless(&self, row: &[f32]) -> u32 {
        let size = self.codes.size;
        let distance = |code: usize| -> f32 {
            let group = &self.codes.turned[code / CODES * CODES * size..];
            (0..size).map(|at| row[at] - group[at * CODES + code % CODES]).map(|off| off * off).sum()
        };
        (0..self.codes.count)
            .position(|code| !distance(code).is_nan())
            .map_or(self.codes.last(), |at| at as u32)
    }
}
