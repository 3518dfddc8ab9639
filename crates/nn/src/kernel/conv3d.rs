//! Convolution over frames and pixels, causal in time: forward, and backward for the operands that want it.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::conv_planes::{Plane, correlate, pack, products};
use super::{for_each, lanes, lend, tensor, values};

/// `x` `(B, I, T, H, W)` with `weight` `(O, I, kt, kh, kw)`, kernel sides odd, and `bias` `(O)` to
/// `(B, O, T / time_stride, H, W)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CausalConv {
    pub(crate) time_stride: usize,
}

/// The sizes of one call.
struct Sizes {
    batch: usize,
    in_dim: usize,
    out_dim: usize,
    /// Frames of `x` and of the result.
    frames: [usize; 2],
    depth: usize,
    time_stride: usize,
    plane: Plane,
}

impl Sizes {
    fn new(op: CausalConv, x: &Shape, weight: &Shape) -> Result<Self> {
        let (batch, in_dim, frames, height, width) = x.dims5()?;
        let (out_dim, _, depth, kernel_height, kernel_width) = weight.dims5()?;
        let plane = Plane { height, width, kernel_height, kernel_width };
        let frames = [frames, frames / op.time_stride];
        Ok(Self { batch, in_dim, out_dim, frames, depth, time_stride: op.time_stride, plane })
    }

    /// For each frame of the result the frames of `x` that it sees, with the kernel's depth for each: those in front of
    /// the first are zeros and do not take part.
    fn seen(&self) -> Vec<Vec<(usize, usize)>> {
        let mut seen = vec![Vec::new(); self.frames[1]];
        self.pairs().for_each(|(from, to, depth)| seen[to].push((from, depth)));
        seen
    }

    /// For each frame of `x` the frames of the result that see it.
    fn seeing(&self) -> Vec<Vec<(usize, usize)>> {
        let mut seeing = vec![Vec::new(); self.frames[0]];
        self.pairs().for_each(|(from, to, depth)| seeing[from].push((to, depth)));
        seeing
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let front = self.depth - self.time_stride;
        (0..self.frames[1]).flat_map(move |to| {
            (0..self.depth).filter_map(move |depth| {
                let from = (to * self.time_stride + depth).checked_sub(front)?;
                (from < self.frames[0]).then_some((from, to, depth))
            })
        })
    }

    fn result(&self) -> Shape {
        let Plane { height, width, .. } = self.plane;
        (self.batch, self.out_dim, self.frames[1], height, width).into()
    }
}

impl CustomOp3 for CausalConv {
    fn name(&self) -> &'static str {
        "causal-conv3d"
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
        let x = sizes.plane.pad(values(x, x_layout)?);
        let y = correlate(
            &sizes.plane,
            (&x, [sizes.batch, sizes.in_dim, sizes.frames[0]]),
            (&packed, sizes.depth),
            (sizes.out_dim, &sizes.seen()),
            Some(values(bias, bias_layout)?),
        );
        Ok((CpuStorage::F32(y), sizes.result()))
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
        let padded = sizes.plane.pad(grads);
        let for_x = if x.track_op() {
            // The same sums with the kernel turned round and the channels' roles exchanged.
            let dims = [sizes.in_dim, sizes.out_dim, sizes.depth];
            let packed = pack(lent_weight.values()?, dims, sizes.plane.taps(), true);
            let dx = correlate(
                &sizes.plane,
                (&padded, [sizes.batch, sizes.out_dim, sizes.frames[1]]),
                (&packed, sizes.depth),
                (sizes.in_dim, &sizes.seeing()),
                None,
            );
            Some(tensor(dx, x.shape())?)
        } else {
            None
        };
        let for_weight = if weight.track_op() {
            let pairs: Vec<_> = sizes.pairs().collect();
            let dw = products(
                &sizes.plane,
                (&padded, [sizes.batch, sizes.out_dim, sizes.frames[1]]),
                (&sizes.plane.pad(lent_x.values()?), [sizes.batch, sizes.in_dim, sizes.frames[0]]),
                (sizes.depth, &pairs),
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
