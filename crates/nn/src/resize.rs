//! Convolutions that halve or double the sides of images.

use candle_core::{DType, Result, Tensor};
use candle_nn::init::Init;
use candle_nn::var_builder::VarBuilder;

use crate::conv3d::{convolve, kaiming};
use crate::kernel::conv3d::Convolution;

/// A 3 x 3 convolution between two resolutions, frame by frame; parameters `weight` `(O, I, 3, 3)` and `bias` `(O)` as in
/// PyTorch (the samplers of diffusers' `AutoencoderKL`).
///
/// Halving has stride 2 and pads one row of zeros below and one column on the right, none above and on the left. Doubling
/// is nearest-neighbour enlargement with an ordinary convolution behind it; the enlarged images are never made: each pixel
/// of the result sees 2 x 2 pixels, through sums of the weights (4 products for 9, rounded a little differently).
/// Over a frozen weight the backward pass computes the input's gradient only.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cola_nn::{Params, ResizeConv};
///
/// # fn main() -> candle_core::Result<()> {
/// let params = Params::seeded(0, DType::F32, &Device::Cpu);
/// let halve = ResizeConv::halving(4, 6, params.trainable().pp("down"))?;
/// let double = ResizeConv::doubling(6, 4, params.trainable().pp("up"))?;
/// let x = Tensor::zeros((1, 4, 1, 8, 6), DType::F32, &Device::Cpu)?; // (B, C, T, H, W)
/// let small = halve.forward(&x)?;
/// assert_eq!(small.dims(), [1, 6, 1, 4, 3]);
/// assert_eq!(double.forward(&small)?.dims(), x.dims());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ResizeConv {
    weight: Tensor,
    bias: Tensor,
    doubles: bool,
}

impl ResizeConv {
    /// To half the sides. A fresh weight is PyTorch's default (Kaiming-uniform with a = sqrt 5), a fresh bias zero.
    ///
    /// # Errors
    /// A stored parameter of another shape.
    pub fn halving(in_dim: usize, out_dim: usize, vb: VarBuilder) -> Result<Self> {
        let weight = vb.get_with_hints((out_dim, in_dim, 3, 3), "weight", kaiming())?;
        let bias = vb.get_with_hints(out_dim, "bias", Init::Const(0.0))?;
        Ok(Self { weight, bias, doubles: false })
    }

    /// To twice the sides. Fresh parameters as in [`ResizeConv::halving`].
    ///
    /// # Errors
    /// A stored parameter of another shape.
    pub fn doubling(in_dim: usize, out_dim: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self { doubles: true, ..Self::halving(in_dim, out_dim, vb)? })
    }

    /// `(B, I, T, H, W)` to `(B, O, T, H / 2, W / 2)` or `(B, O, T, 2 H, 2 W)`, in the input's dtype. On the CPU bf16 and
    /// f16 are widened and their sums taken in f32.
    ///
    /// # Errors
    /// An input of another rank or number of channels, odd sides that are to be halved.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let in_dim = self.weight.dim(1)?;
        let (_, channels, _, height, width) = x.dims5()?;
        let halves = height.is_multiple_of(2) && width.is_multiple_of(2);
        if channels != in_dim || !(self.doubles || halves) || x.elem_count() == 0 {
            candle_core::bail!(
                "convolution of {in_dim} channels that {} got a tensor of shape {:?}",
                if self.doubles { "doubles the sides" } else { "halves even sides" },
                x.dims()
            );
        }
        let (op, weight) = if self.doubles {
            (Convolution::Doubling, folded(&self.weight)?)
        } else {
            (Convolution::Halving, self.weight.unsqueeze(2)?)
        };
        convolve(op, x, &weight, Some(&self.bias), |x, _| self.composed(x))
    }

    /// Without bias, for devices and dtypes that the fused operation does not serve. Candle computes the gradients of both
    /// operands here, wanted or not.
    fn composed(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, channels, frames, height, width) = x.dims5()?;
        let images = x.transpose(1, 2)?.contiguous()?.reshape((batch * frames, channels, height, width))?;
        let weight = self.weight.to_dtype(x.dtype())?;
        let y = if self.doubles {
            let dots = images.reshape((batch * frames, channels, height, 1, width, 1))?;
            let squares = dots.broadcast_as((batch * frames, channels, height, 2, width, 2))?.contiguous()?;
            squares.reshape((batch * frames, channels, 2 * height, 2 * width))?.conv2d(&weight, 1, 1, 1, 1)?
        } else {
            images.pad_with_zeros(2, 0, 1)?.pad_with_zeros(3, 0, 1)?.conv2d(&weight, 0, 2, 1, 1)?
        };
        let (_, out_dim, height, width) = y.dims4()?;
        y.reshape((batch, frames, out_dim, height, width))?.transpose(1, 2)?.contiguous()
    }
}

/// For the first and the second of two pixels that were one: which of three taps fall on each of the two old pixels that
/// it sees.
const SEEN: [[[f32; 3]; 2]; 2] = [[[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]], [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]];

/// `(O, I, 3, 3)` to `(O, I, 4, 2, 2)`: of an enlarged image's pixels several taps see the same old one, so their weights
/// are added up, in f32 at least. Differentiable.
fn folded(weight: &Tensor) -> Result<Tensor> {
    let narrow = matches!(weight.dtype(), DType::BF16 | DType::F16);
    let weight = if narrow { &weight.to_dtype(DType::F32)? } else { weight };
    let (out_dim, in_dim, ..) = weight.dims4()?;
    let sees = |tap: usize, to: usize| {
        let row = SEEN[to / 8][to / 2 % 2][tap / 3];
        row * SEEN[to / 4 % 2][to % 2][tap % 3]
    };
    let table: Vec<f32> = (0..9 * 16).map(|at| sees(at / 16, at % 16)).collect();
    let table = Tensor::from_vec(table, (9, 16), weight.device())?.to_dtype(weight.dtype())?;
    weight.reshape((out_dim * in_dim, 9))?.matmul(&table)?.reshape((out_dim, in_dim, 4, 2, 2))
}
