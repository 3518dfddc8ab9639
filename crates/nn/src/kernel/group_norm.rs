//! Norm over groups of channels with everything behind them, scale and shift for each channel, and SiLU if wanted: one
//! pass over memory for the statistics, one for the result.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::exp::sigmoid;
use super::{for_each, lanes, lend, tensor, values, vectorised};

/// Numbers that are summed in f32 before f64 takes over.
const RUN: usize = 4096;

/// `f((x - mean) / sqrt(var + eps) scale + shift)` of `x` `(B, C, ...)`, scale and shift `(C)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Groupwise {
    pub(crate) groups: usize,
    pub(crate) eps: f64,
    /// Is `f` SiLU, or nothing?
    pub(crate) silu: bool,
}

/// One channel's way from input to `f`'s argument: `(x - mean) inverse`, times scale, plus shift.
#[derive(Clone, Copy)]
struct Channel {
    mean: f32,
    inverse: f32,
    scale: f32,
    shift: f32,
}

impl Channel {
    #[inline(always)]
    fn normed(&self, x: f32) -> f32 {
        (x - self.mean) * self.inverse
    }

    #[inline(always)]
    fn argument(&self, x: f32) -> f32 {
        self.normed(x) * self.scale + self.shift
    }
}

/// Mean and one over the deviation.
#[inline(always)]
fn statistics(x: &[f32], eps: f64) -> (f32, f32) {
    let share = 1.0 / x.len() as f64;
    let mean = x.chunks(RUN).map(|x| f64::from(lanes::sum(x, |x| x))).sum::<f64>() * share;
    let centre = mean as f32;
    let square = |x: f32| (x - centre) * (x - centre);
    let squares = x.chunks(RUN).map(|x| f64::from(lanes::sum(x, square))).sum::<f64>() * share;
    (centre, (1.0 / (squares + eps).sqrt()) as f32)
}

/// Sums of `grad` and of `grad x normed` over a channel.
#[inline(always)]
fn channel_sums(grad: &[f32], x: &[f32], channel: &Channel) -> [f64; 2] {
    let mut sums = [0f64; 2];
    for (grad, x) in grad.chunks(RUN).zip(x.chunks(RUN)) {
        let plain = f64::from(lanes::sum(grad, |grad| grad));
        let weighed = f64::from(lanes::dot(grad, x)) - f64::from(channel.mean) * plain;
        sums[0] += plain;
        sums[1] += weighed * f64::from(channel.inverse);
    }
    sums
}

/// The sizes of one call.
struct Sizes {
    channels: usize,
    /// Channels of a group.
    own: usize,
    /// Numbers of a channel.
    width: usize,
}

impl Groupwise {
    fn sizes(&self, shape: &Shape) -> Sizes {
        let dims = shape.dims();
        Sizes { channels: dims[1], own: dims[1] / self.groups, width: dims[2..].iter().product() }
    }

    /// The channels of a group.
    #[inline(always)]
    fn channels(&self, group: usize, x: &[f32], sizes: &Sizes, table: [&[f32]; 2]) -> Vec<Channel> {
        let (mean, inverse) = statistics(x, self.eps);
        let first = group % self.groups * sizes.own;
        let [scale, shift] = table.map(|values| &values[first..first + sizes.own]);
        scale.iter().zip(shift).map(|(&scale, &shift)| Channel { mean, inverse, scale, shift }).collect()
    }

    #[inline(always)]
    fn forward(&self, y: &mut [f32], x: &[f32], channel: &Channel) {
        if self.silu {
            for (y, x) in y.iter_mut().zip(x) {
                let argument = channel.argument(*x);
                *y = argument * sigmoid(argument);
            }
        } else {
            for (y, x) in y.iter_mut().zip(x) {
                *y = channel.argument(*x);
            }
        }
    }

    /// The gradient of `f`'s argument.
    #[inline(always)]
    fn through(&self, to: &mut [f32], grad: &[f32], x: &[f32], channel: &Channel) {
        if self.silu {
            for ((to, grad), x) in to.iter_mut().zip(grad).zip(x) {
                let argument = channel.argument(*x);
                let s = sigmoid(argument);
                *to = grad * (s + s * (1.0 - s) * argument);
            }
        } else {
            to.copy_from_slice(grad);
        }
    }
}

impl CustomOp3 for Groupwise {
    fn name(&self) -> &'static str {
        "group-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        scale: &CpuStorage,
        scale_layout: &Layout,
        shift: &CpuStorage,
        shift_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let sizes = self.sizes(x_layout.shape());
        let (x, table) = (values(x, x_layout)?, [values(scale, scale_layout)?, values(shift, shift_layout)?]);
        let group = sizes.own * sizes.width;
        let mut y = vec![0f32; x.len()];
        let tasks = y.chunks_exact_mut(group).zip(x.chunks_exact(group)).enumerate();
        for_each(x.len(), tasks, |(index, (y, x))| {
            vectorised(
                #[inline(always)]
                || {
                    let channels = self.channels(index, x, &sizes, table);
                    let rows = y.chunks_exact_mut(sizes.width).zip(x.chunks_exact(sizes.width));
                    for ((y, x), channel) in rows.zip(&channels) {
                        self.forward(y, x, channel);
                    }
                },
            );
        });
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        scale: &Tensor,
        shift: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let sizes = self.sizes(x.shape());
        let grad = grad.contiguous()?;
        let (lent_x, lent_grad, lent_scale, lent_shift) = (lend(x), lend(&grad), lend(scale), lend(shift));
        let (xs, grads) = (lent_x.values()?, lent_grad.values()?);
        let table = [lent_scale.values()?, lent_shift.values()?];
        let (group, width) = (sizes.own * sizes.width, sizes.width);
        let mut for_x = vec![0f32; xs.len()];
        // For every channel of every sample: of the shift, of the scale.
        let mut partial = vec![[0f64; 2]; xs.len() / width];
        let tasks = for_x.chunks_exact_mut(group).zip(partial.chunks_exact_mut(sizes.own));
        let tasks = tasks.zip(xs.chunks_exact(group).zip(grads.chunks_exact(group))).enumerate();
        for_each(xs.len(), tasks, |(index, ((dx, sums), (x, grad)))| {
            vectorised(
                #[inline(always)]
                || {
                    let channels = self.channels(index, x, &sizes, table);
                    let mut totals = [0f64; 2];
                    let rows = x.chunks_exact(width).zip(grad.chunks_exact(width));
                    for (((x, grad), dx), (sums, channel)) in
                        rows.zip(dx.chunks_exact_mut(width)).zip(sums.iter_mut().zip(&channels))
                    {
                        self.through(dx, grad, x, channel);
                        *sums = channel_sums(dx, x, channel);
                        totals[0] += sums[0] * f64::from(channel.scale);
                        totals[1] += sums[1] * f64::from(channel.scale);
                    }
                    let [average, along] = totals.map(|total| (total / group as f64) as f32);
                    let rows = dx.chunks_exact_mut(width).zip(x.chunks_exact(width));
                    for ((dx, x), channel) in rows.zip(&channels) {
                        for (dx, x) in dx.iter_mut().zip(x) {
                            let own = *dx * channel.scale - average - channel.normed(*x) * along;
                            *dx = own * channel.inverse;
                        }
                    }
                },
            );
        });
        let table = |which: usize, wanted: &Tensor| {
            if !wanted.track_op() {
                return Ok(None);
            }
            let mut sums = vec![0f64; sizes.channels];
            for partial in partial.chunks_exact(sizes.channels) {
                sums.iter_mut().zip(partial).for_each(|(sum, partial)| *sum += partial[which]);
            }
            tensor(sums.into_iter().map(|sum| sum as f32).collect(), wanted.shape()).map(Some)
        };
        let (for_scale, for_shift) = (table(1, scale)?, table(0, shift)?);
        Ok((if x.track_op() { Some(tensor(for_x, x.shape())?) } else { None }, for_scale, for_shift))
    }
}
