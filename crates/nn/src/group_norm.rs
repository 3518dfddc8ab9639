//! GroupNorm, alone or with SiLU behind it.

use candle_core::{D, Result, Tensor};
use candle_nn::init::Init;
use candle_nn::var_builder::VarBuilder;

use crate::kernel::group_norm::Groupwise;
use crate::kernel::{in_wide, loops_serve};
use crate::silu;

/// `(x - mean) / sqrt(var + eps) * weight + bias`, mean and biased variance taken over a group of channels with
/// everything behind them (time and space); parameters `weight` and `bias` `(C)` as in PyTorch.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cola_nn::{GroupNorm, Params};
///
/// # fn main() -> candle_core::Result<()> {
/// let params = Params::seeded(0, DType::F32, &Device::Cpu);
/// let norm = GroupNorm::new(2, 4, 1e-5, params.trainable().pp("norm"))?;
/// let x = Tensor::new(&[[1f32, 3.0, 5.0, 5.0]], &Device::Cpu)?.reshape((1, 4, 1, 1))?;
/// let y = norm.forward(&x)?.flatten_all()?.to_vec1::<f32>()?;
/// assert!((y[0] + 1.0).abs() < 1e-4 && (y[1] - 1.0).abs() < 1e-4); // a group of its own
/// assert_eq!(y[2..], [0.0, 0.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: usize,
    eps: f64,
}

impl GroupNorm {
    /// Fresh parameters leave the normed numbers as they are.
    ///
    /// # Errors
    /// A stored parameter of another shape, a number of channels that `groups` does not divide.
    pub fn new(groups: usize, channels: usize, eps: f64, vb: VarBuilder) -> Result<Self> {
        if groups == 0 || channels == 0 || !channels.is_multiple_of(groups) {
            candle_core::bail!("group norm: {channels} channels do not make {groups} equal groups");
        }
        let weight = vb.get_with_hints(channels, "weight", Init::Const(1.0))?;
        let bias = vb.get_with_hints(channels, "bias", Init::Const(0.0))?;
        Ok(Self { weight, bias, groups, eps })
    }

    /// `(B, C, ...)` to the same shape.
    ///
    /// # Errors
    /// Another number of channels.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        in_wide(x, |x| self.run(x, false))
    }

    /// [`silu`] of [`GroupNorm::forward`], in one go.
    ///
    /// # Errors
    /// Another number of channels.
    pub fn forward_silu(&self, x: &Tensor) -> Result<Tensor> {
        in_wide(x, |x| self.run(x, true))
    }

    fn run(&self, x: &Tensor, with_silu: bool) -> Result<Tensor> {
        let channels = self.weight.dim(0)?;
        if x.rank() < 2 || x.dim(1)? != channels {
            candle_core::bail!("group norm of {channels} channels got a tensor of shape {:?}", x.dims());
        }
        let (weight, bias) = (self.weight.to_dtype(x.dtype())?, self.bias.to_dtype(x.dtype())?);
        if loops_serve(&[x, &weight, &bias]) {
            let op = Groupwise { groups: self.groups, eps: self.eps, silu: with_silu };
            return x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op);
        }
        let groups = x.reshape((x.dim(0)?, self.groups, ()))?;
        let centred = groups.broadcast_sub(&groups.mean_keepdim(D::Minus1)?)?;
        let deviation = (centred.sqr()?.mean_keepdim(D::Minus1)? + self.eps)?.sqrt()?;
        let mut table = vec![1; x.rank()];
        table[1] = channels;
        let y = centred
            .broadcast_div(&deviation)?
            .reshape(x.shape())?
            .broadcast_mul(&weight.reshape(table.as_slice())?)?
            .broadcast_add(&bias.reshape(table.as_slice())?)?;
        if with_silu { silu(&y) } else { Ok(y) }
    }
}
