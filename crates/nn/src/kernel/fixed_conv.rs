//! A convolution of any stride and any zeros around its input, forward only.
//!
//! A stride is no loop of its own: rows and columns that lie a stride apart become a plane of their own, a phase, so that
//! each of the kernel's taps is a plain shift again.

use super::conv_planes::{Ending, Shifts, correlate, gap, pack};
use super::conv_tiles::LANES;
use super::{for_each, vectorised};

/// What a call needs to know besides the weights.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// Frames, height and width of the kernel.
    pub(crate) kernel: [usize; 3],
    pub(crate) stride: [usize; 3],
    /// In front of and behind time, height and width.
    pub(crate) zeros: [[usize; 2]; 3],
}

/// Weights in the order in which the sums take them.
#[derive(Debug)]
pub(crate) struct Filter {
    packed: Vec<f32>,
    bias: Option<Vec<f32>>,
    channels: [usize; 2],
}

impl Window {
    /// Frames, height and width of the result.
    pub(crate) fn result(&self, sizes: [usize; 3]) -> [usize; 3] {
        std::array::from_fn(|side| {
            let [front, back] = self.zeros[side];
            (sizes[side] + front + back - self.kernel[side]) / self.stride[side] + 1
        })
    }

    /// Entries of a side, of `size` in all, that the result's entry `at` sees.
    pub(super) fn range(&self, side: usize, at: usize, size: usize) -> [usize; 2] {
        let start = at * self.stride[side];
        [start, start + self.kernel[side]].map(|end| end.saturating_sub(self.zeros[side][0]).min(size))
    }

    /// Every number of the input is seen once, in its place.
    fn is_point(&self) -> bool {
        self.kernel == [1; 3] && self.stride == [1; 3] && self.zeros == [[0; 2]; 3]
    }

    /// Phases of height and of width.
    fn phases(&self) -> [usize; 2] {
        [1, 2].map(|side| self.stride[side].min(self.kernel[side]))
    }

    /// Rows and columns of a phase.
    fn phase(&self, result: [usize; 3]) -> [usize; 2] {
        [1, 2].map(|side| result[side] + (self.kernel[side] - 1) / self.stride[side])
    }

    fn shifts(&self, result: [usize; 3]) -> Shifts {
        let ([_, height, width], [rows, row], [phases, phases_wide]) =
            (result, self.phase(result), self.phases());
        let [_, down, right] = self.stride;
        let columns = 0..self.kernel[2];
        let tap = |y: usize, x: usize| {
            let phase = y % down * phases_wide + x % right;
            (phase * rows + y / down) * row + x / right
        };
        Shifts {
            sides: [height, width],
            row,
            stride: phases * phases_wide * rows * row + gap(row - width),
            taps: (0..self.kernel[1]).flat_map(|y| columns.clone().map(move |x| tap(y, x))).collect(),
        }
    }

    /// For each frame of the result where the frames that it sees start within a channel, and the kernel's frame for
    /// each. Zeros take no part.
    fn seen(&self, frames: [usize; 2], stride: usize) -> Vec<Vec<(usize, usize)>> {
        let sees = |to: usize, depth: usize| {
            let from = (to * self.stride[0] + depth).checked_sub(self.zeros[0][0])?;
            (from < frames[0]).then_some((from * stride, depth))
        };
        (0..frames[1]).map(|to| (0..self.kernel[0]).filter_map(|depth| sees(to, depth)).collect()).collect()
    }

    /// Planes of zeros around phases.
    fn split(
        &self,
        x: &[f32],
        [_, height, width]: [usize; 3],
        result: [usize; 3],
        stride: usize,
    ) -> Vec<f32> {
        let ([rows, row], [phases, phases_wide]) = (self.phase(result), self.phases());
        let ([_, [above, _], [left, _]], [_, down, right]) = (self.zeros, self.stride);
        let planes = x.chunks_exact(height * width);
        let mut split = vec![0f32; planes.len() * stride];
        for_each(split.len(), split.chunks_exact_mut(stride).zip(planes), |(split, plane)| {
            vectorised(
                #[inline(always)]
                || {
                    for index in 0..phases * phases_wide * rows {
                        let (phase, at) = (index / rows, index % rows);
                        let Some(y) = (at * down + phase / phases_wide).checked_sub(above) else { continue };
                        let Some(from) = plane.get(y * width..(y + 1) * width) else { continue };
                        // Column `c` of the phase is column `c right + first - left` of the input.
                        let first = phase % phases_wide;
                        let skip = left.saturating_sub(first).div_ceil(right);
                        let start = skip * right + first - left;
                        if start >= width {
                            continue;
                        }
                        let to = &mut split[index * row + skip..(index + 1) * row];
                        copy(to, &from[start..], right);
                    }
                },
            );
        });
        split
    }
}

/// Every `step`-th number, as many as there are or fit.
#[inline(always)]
fn copy(to: &mut [f32], from: &[f32], step: usize) {
    let count = to.len().min(from.len().div_ceil(step));
    match step {
        1 => to[..count].copy_from_slice(&from[..count]),
        2 => {
            let (pairs, rest) = from.as_chunks::<2>();
            to.iter_mut().zip(pairs).for_each(|(to, pair)| *to = pair[0]);
            if let (Some(to), [last]) = (to.get_mut(pairs.len()), rest) {
                *to = *last;
            }
        }
        _ => to.iter_mut().zip(from.iter().step_by(step)).for_each(|(to, from)| *to = *from),
    }
}

impl Filter {
    /// `weight` `(O, I, kt, kh, kw)`.
    pub(crate) fn new(
        weight: &[f32],
        channels: [usize; 2],
        kernel: [usize; 3],
        bias: Option<Vec<f32>>,
    ) -> Self {
        let ([in_dim, out_dim], [depth, height, width]) = (channels, kernel);
        Self { packed: pack(weight, [out_dim, in_dim, depth], height * width, false), bias, channels }
    }

    /// `x` `(batch, I, T, H, W)` to `(batch, O, T', H', W')`.
    pub(crate) fn run(
        &self,
        x: &[f32],
        batch: usize,
        sizes: [usize; 3],
        window: &Window,
        relu: bool,
    ) -> Vec<f32> {
        let [in_dim, out_dim] = self.channels;
        let correlate = |shifts: &Shifts, x: &[f32], frames: usize, seen: &[Vec<(usize, usize)>]| {
            let filter = (&*self.packed, window.kernel[0]);
            let ending = Ending { bias: self.bias.as_deref(), relu };
            correlate(shifts, (x, [batch, in_dim, frames]), filter, (out_dim, seen), ending)
        };
        let points: usize = sizes.iter().product();
        if window.is_point() && points.is_multiple_of(LANES) {
            let shifts = Shifts { sides: [points / LANES, LANES], row: LANES, stride: points, taps: vec![0] };
            return correlate(&shifts, x, 1, &[vec![(0, 0)]]);
        }
        // Points know no frames: as one, they fill more vectors.
        let sizes = if window.is_point() { [1, sizes[0] * sizes[1], sizes[2]] } else { sizes };
        let result = window.result(sizes);
        let shifts = window.shifts(result);
        let split = window.split(x, sizes, result, shifts.stride);
        correlate(&shifts, &split, sizes[0], &window.seen([sizes[0], result[0]], shifts.stride))
    }
}
