//! Convolution over frames and pixels: forward, and backward for the operands that want it.

use std::borrow::Cow;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::conv_parts::{PARTS, join, split};
use super::conv_planes::{Ending, Pair, Plane, correlate, pack, products};
use super::{for_each, lanes, lend, tensor, values};

/// `x` `(B, I, T, H, W)` with `weight` and `bias` `(O)` to `(B, O, T', H', W')`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Convolution {
    /// Causal, every so many frames: `weight` `(O, I, kt, kh, kw)`, the kernel's sides odd; `T' = T / stride`, sides stay.
    Causal { time_stride: usize },
    /// Every other pixel of every other row, frame by frame: `weight` `(O, I, 1, 3, 3)`, one row of zeros below and one
    /// column on the right. Sides have to be even.
    Halving,
    /// Four pixels for each, frame by frame: `weight` `(O, I, 4, 2, 2)`. A pixel's upper left, upper right, lower left and
    /// lower right each have a kernel of their own, which reaches half a pixel further in its direction.
    Doubling,
}

/// The sizes of one call. Frames of twice the sides are four frames each, see [`split`].
struct Sizes {
    op: Convolution,
    batch: usize,
    in_dim: usize,
    out_dim: usize,
    /// Frames of `x` and of the result.
    frames: [usize; 2],
    depth: usize,
    plane: Plane,
    pairs: Vec<Pair>,
    result: Shape,
}

impl Sizes {
    fn new(op: Convolution, x: &Shape, weight: &Shape) -> Result<Self> {
        let (batch, in_dim, frames, height, width) = x.dims5()?;
        let (out_dim, _, depth, kernel_height, kernel_width) = weight.dims5()?;
        let of_pixels = Plane { height, width, kernel_height, kernel_width, pad: [1, 1] };
        let (plane, depth, frames, [height, width]) = match op {
            Convolution::Causal { time_stride } => {
                let plane = Plane { pad: [kernel_height / 2, kernel_width / 2], ..of_pixels };
                (plane, depth, [frames, frames / time_stride], [height, width])
            }
            Convolution::Halving => {
                let halves = [height / 2, width / 2];
                // Each tap is a layer of its own: they start in different frames.
                let [height, width] = halves;
                let plane = Plane { height, width, kernel_height: 1, kernel_width: 1, ..of_pixels };
                (plane, kernel_height * kernel_width, [PARTS * frames, frames], halves)
            }
            Convolution::Doubling => (of_pixels, depth, [frames, PARTS * frames], [2 * height, 2 * width]),
        };
        let shown = if matches!(op, Convolution::Doubling) { frames[0] } else { frames[1] };
        let result = (batch, out_dim, shown, height, width).into();
        Ok(Self { op, batch, in_dim, out_dim, frames, depth, plane, pairs: op.pairs(frames, depth), result })
    }

    /// `x`, or a gradient of its shape, as planes.
    fn planes_of_x<'a>(&self, values: &'a [f32]) -> Cow<'a, [f32]> {
        match self.op {
            Convolution::Halving => Cow::Owned(split(values, self.plane.sides())),
            Convolution::Causal { .. } | Convolution::Doubling => Cow::Borrowed(values),
        }
    }

    /// The result, or its gradient, as planes.
    fn planes_of_y<'a>(&self, values: &'a [f32]) -> Cow<'a, [f32]> {
        match self.op {
            Convolution::Doubling => Cow::Owned(split(values, self.plane.sides())),
            Convolution::Causal { .. } | Convolution::Halving => Cow::Borrowed(values),
        }
    }
}

impl Convolution {
    /// Which frame sees which. Frames in front of the first are zeros and do not take part.
    fn pairs(self, frames: [usize; 2], depth: usize) -> Vec<Pair> {
        match self {
            Self::Causal { time_stride } => {
                let front = depth - time_stride;
                let pair = |to: usize, depth: usize| {
                    let from = (to * time_stride + depth).checked_sub(front)?;
                    (from < frames[0]).then_some(Pair { from, to, depth, shift: [0, 0] })
                };
                (0..frames[1]).flat_map(|to| (0..depth).filter_map(move |depth| pair(to, depth))).collect()
            }
            Self::Halving => {
                // Tap 0 lies on even rows, tap 1 on odd ones, tap 2 on the next even ones; columns alike.
                let pair = |to: usize, depth: usize| {
                    let tap = [depth / 3, depth % 3];
                    let from = PARTS * to + 2 * (tap[0] % 2) + tap[1] % 2;
                    Pair { from, to, depth, shift: tap.map(|tap| 1 + tap / 2) }
                };
                (0..frames[1]).flat_map(|to| (0..depth).map(move |depth| pair(to, depth))).collect()
            }
            Self::Doubling => {
                let pair = |to: usize| {
                    let part = to % PARTS;
                    Pair { from: to / PARTS, to, depth: part, shift: [part / 2, part % 2] }
                };
                (0..frames[1]).map(pair).collect()
            }
        }
    }
}

impl CustomOp3 for Convolution {
    fn name(&self) -> &'static str {
        "convolution"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let sizes = Sizes::new(*self, x_layout.shape(), weight_layout.shape())?;
        let weight = values(weight, weight_layout)?;
        let packed = pack(weight, [sizes.out_dim, sizes.in_dim, sizes.depth], sizes.plane.taps(), false);
        let x = sizes.plane.pad(&sizes.planes_of_x(values(x, x_layout)?));
        let y = correlate(
            &sizes.plane.shifts(),
            (&x, [sizes.batch, sizes.in_dim, sizes.frames[0]]),
            (&packed, sizes.depth),
            (sizes.out_dim, &sizes.plane.seen(&sizes.pairs, sizes.frames[1])),
            Ending { bias: Some(values(bias, bias_layout)?), relu: false },
        );
        let y = match self {
            Self::Doubling => join(&y, sizes.plane.sides()),
            Self::Causal { .. } | Self::Halving => y,
        };
        Ok((CpuStorage::F32(y), sizes.result))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let sizes = Sizes::new(*self, x.shape(), weight.shape())?;
        let grad = grad.contiguous()?;
        let (lent_grad, lent_weight, lent_x) = (lend(&grad), lend(weight), lend(x));
        let grads = lent_grad.values()?;
        let for_bias = if bias.track_op() {
            Some(tensor(channel_sums(grads, sizes.out_dim, sizes.batch), bias.shape())?)
        } else {
            None
        };
        if !x.track_op() && !weight.track_op() {
            return Ok((None, None, for_bias));
        }
        let padded = sizes.plane.pad(&sizes.planes_of_y(grads));
        let for_x = if x.track_op() {
            // The same sums with the kernel turned round and the channels' roles exchanged.
            let dims = [sizes.in_dim, sizes.out_dim, sizes.depth];
            let packed = pack(lent_weight.values()?, dims, sizes.plane.taps(), true);
            let dx = correlate(
                &sizes.plane.shifts(),
                (&padded, [sizes.batch, sizes.out_dim, sizes.frames[1]]),
                (&packed, sizes.depth),
                (sizes.in_dim, &sizes.plane.seeing(&sizes.pairs, sizes.frames[0])),
                Ending::default(),
            );
            let dx = match self {
                Self::Halving => join(&dx, sizes.plane.sides()),
                Self::Causal { .. } | Self::Doubling => dx,
            };
            Some(tensor(dx, x.shape())?)
        } else {
            None
        };
        let for_weight = if weight.track_op() {
            let x = sizes.plane.pad(&sizes.planes_of_x(lent_x.values()?));
            let dw = products(
                &sizes.plane,
                (&padded, [sizes.batch, sizes.out_dim, sizes.frames[1]]),
                (&x, [sizes.batch, sizes.in_dim, sizes.frames[0]]),
                (sizes.depth, &sizes.pairs),
            );
            Some(tensor(dw, weight.shape())?)
        } else {
            None
        };
        Ok((for_x, for_weight, for_bias))
    }
}

/// Sum over all but the channels of `(batch, channels, ...)`.
fn channel_sums(grads: &[f32], channels: usize, batch: usize) -> Vec<f32> {
    let width = grads.len() / (channels * batch);
    let mut partial = vec![0f32; channels * batch];
    for_each(grads.len(), partial.iter_mut().zip(grads.chunks(width)), |(sum, grads)| {
        *sum = super::vectorised(
            #[inline(always)]
            || lanes::sum(grads, |x| x),
        );
    });
    let mut sums = vec![0f32; channels];
    partial.chunks(channels).for_each(|partial| lanes::add(&mut sums, partial));
    sums
}
