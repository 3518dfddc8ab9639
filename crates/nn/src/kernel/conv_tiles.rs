//! Register tiles of a convolution: blocks of sums that never leave the registers while their products come in.
//!
//! Both work on planes padded with zeros, laid out row after row: a kernel's tap is then a plain shift, and no patch is
//! ever copied. Every sum is taken in one order, whatever the vectors' width; products are contracted into sums where
//! the machine can.

use pulp::{Simd, WithSimd};

use super::lanes;

/// Output channels whose weights lie side by side.
pub(super) const ROWS: usize = 8;
/// Positions that every machine's vectors divide; the partial sums of a product of planes.
pub(super) const LANES: usize = 16;
/// Columns of a block of products of planes: the taps of a 3 x 3 kernel.
const COLUMNS: usize = 9;
/// Machines with so many vector registers take the larger blocks.
const MANY_REGISTERS: usize = 32;

/// Runs with the machine's widest vectors.
pub(super) fn dispatch<Op: WithSimd>(op: Op) -> Op::Output {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V4::try_new() {
        return Simd::vectorize(simd, op);
    }
    super::dispatch(op)
}

/// Adds the taps of some input channels to [`ROWS`] output channels.
pub(super) struct Taps<'a> {
    /// `ROWS` rows of `width` sums, a multiple of [`LANES`].
    pub(super) sums: &'a mut [f32],
    pub(super) width: usize,
    pub(super) x: &'a [f32],
    /// Positions from one line to the next in a row of sums, and in a plane of `x`. Either both are the same or the
    /// first is a multiple of [`LANES`]: no vector goes over a line's end.
    pub(super) lines: [usize; 2],
    /// For every frame that takes part: where the first channel's plane starts, and `(channel, tap, ROWS)` weights.
    pub(super) frames: &'a [(usize, &'a [f32])],
    /// From one channel's plane to the next.
    pub(super) stride: usize,
    /// The shift of each tap.
    pub(super) offsets: &'a [usize],
}

impl WithSimd for Taps<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let mut position = 0;
        while position < self.width {
            // Three vectors a row are the fastest; one alone waits for its products, so two are left for the end.
            let vectors = match (self.width - position) / S::F32_LANES {
                2 | 4 => 2,
                1 => 1,
                _ => 3,
            };
            match vectors {
                1 => self.tiles::<S, 1>(simd, position),
                2 => self.tiles::<S, 2>(simd, position),
                _ => self.tiles::<S, 3>(simd, position),
            }
            position += vectors * S::F32_LANES;
        }
    }
}

impl Taps<'_> {
    #[inline(always)]
    fn tiles<S: Simd, const WIDE: usize>(&mut self, simd: S, position: usize) {
        if S::REGISTER_COUNT >= MANY_REGISTERS {
            self.tile::<S, ROWS, WIDE>(simd, 0, position);
        } else {
            self.tile::<S, { ROWS / 2 }, WIDE>(simd, 0, position);
            self.tile::<S, { ROWS / 2 }, WIDE>(simd, ROWS / 2, position);
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const R: usize, const WIDE: usize>(&mut self, simd: S, first: usize, position: usize) {
        let (tile, [line, x_line]) = (WIDE * S::F32_LANES, self.lines);
        let places: [usize; WIDE] = std::array::from_fn(|vector| {
            let position = position + vector * S::F32_LANES;
            position / line * x_line + position % line
        });
        let mut sums = [[simd.splat_f32s(0.0); WIDE]; R];
        for (row, sums) in sums.iter_mut().enumerate() {
            let from = &self.sums[(first + row) * self.width + position..][..tile];
            sums.copy_from_slice(S::as_simd_f32s(from).0);
        }
        for (start, weights) in self.frames {
            let (columns, _) = weights.as_chunks::<ROWS>();
            for (channel, columns) in columns.chunks_exact(self.offsets.len()).enumerate() {
                let planes = places.map(|place| &self.x[start + channel * self.stride + place..]);
                for (offset, column) in self.offsets.iter().zip(columns) {
                    let x = planes.map(|plane| S::as_simd_f32s(&plane[*offset..][..S::F32_LANES]).0[0]);
                    for (row, sums) in sums.iter_mut().enumerate() {
                        let weight = simd.splat_f32s(column[first + row]);
                        for (sum, x) in sums.iter_mut().zip(x) {
                            *sum = simd.mul_add_e_f32s(weight, x, *sum);
                        }
                    }
                }
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            let to = &mut self.sums[(first + row) * self.width + position..][..tile];
            S::as_mut_simd_f32s(to).0.copy_from_slice(sums);
        }
    }
}

/// A run of positions in a plane of the gradient and in one of the input.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    pub(super) grad: usize,
    pub(super) x: usize,
    /// In [`LANES`]; a few positions beyond the end are read, where the gradient is zero.
    pub(super) blocks: usize,
}

/// Adds sums over positions of `grad x`, for each of some rows (output channels) with each column (input channel, tap).
pub(super) struct Products<'a> {
    /// `(rows, columns)`.
    pub(super) sums: &'a mut [f32],
    pub(super) grad: &'a [f32],
    pub(super) x: &'a [f32],
    pub(super) pieces: &'a [Piece],
    /// Each row's shift in `grad`, each column's in `x`.
    pub(super) rows: &'a [usize],
    pub(super) columns: &'a [usize],
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        for column in (0..self.columns.len()).step_by(COLUMNS) {
            if S::REGISTER_COUNT >= MANY_REGISTERS {
                self.rows::<S, 3>(simd, column);
            } else {
                self.rows::<S, 1>(simd, column);
            }
        }
    }
}

impl Products<'_> {
    #[inline(always)]
    fn rows<S: Simd, const R: usize>(&mut self, simd: S, column: usize) {
        for row in (0..self.rows.len()).step_by(R) {
            self.block::<S, R>(simd, row, column);
        }
    }

    /// At the edges the last row and the last column stand in for those that do not exist.
    #[inline(always)]
    fn block<S: Simd, const R: usize>(&mut self, simd: S, row: usize, column: usize) {
        let rows: [usize; R] = std::array::from_fn(|i| self.rows[(row + i).min(self.rows.len() - 1)]);
        let last = self.columns.len() - 1;
        let columns: [usize; COLUMNS] = std::array::from_fn(|i| self.columns[(column + i).min(last)]);
        let mut lanes = [[[0f32; LANES]; COLUMNS]; R];
        let parts = LANES / S::F32_LANES;
        for part in 0..parts {
            let mut sums = [[simd.splat_f32s(0.0); COLUMNS]; R];
            for piece in self.pieces {
                sums = self.piece::<S, R>(simd, sums, piece, (rows, columns), (part, parts));
            }
            for (lanes, sums) in lanes.iter_mut().flatten().zip(sums.iter().flatten()) {
                S::as_mut_simd_f32s(lanes).0[part] = *sums;
            }
        }
        let count = self.columns.len();
        for (sums, lanes) in self.sums[row * count..].chunks_mut(count).zip(&lanes) {
            for (sum, lanes) in sums[column..].iter_mut().zip(lanes) {
                *sum += lanes::fold(*lanes);
            }
        }
    }

    /// Every `parts`-th vector of a piece. The sums go in and out by value, and all slices have one length: only then do
    /// the sums stay in registers.
    #[inline(always)]
    fn piece<S: Simd, const R: usize>(
        &self,
        simd: S,
        mut sums: [[S::f32s; COLUMNS]; R],
        piece: &Piece,
        (rows, columns): ([usize; R], [usize; COLUMNS]),
        (part, parts): (usize, usize),
    ) -> [[S::f32s; COLUMNS]; R] {
        let count = piece.blocks * parts;
        let mut grads = [&[][..]; R];
        for (to, row) in grads.iter_mut().zip(rows) {
            *to = &S::as_simd_f32s(&self.grad[piece.grad + row..]).0[..count];
        }
        let mut xs = [&[][..]; COLUMNS];
        for (to, column) in xs.iter_mut().zip(columns) {
            *to = &S::as_simd_f32s(&self.x[piece.x + column..]).0[..count];
        }
        let mut at = part;
        while at < count {
            for column in 0..COLUMNS {
                let x = xs[column][at];
                for row in 0..R {
                    sums[row][column] = simd.mul_add_e_f32s(grads[row][at], x, sums[row][column]);
                }
            }
            at += parts;
        }
        sums
    }
}
