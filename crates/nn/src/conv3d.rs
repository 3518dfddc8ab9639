//! 3-D convolution, causal in time.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::init::{FanInOut, Init, NonLinearity, NormalOrUniform};
use candle_nn::var_builder::VarBuilder;

use crate::kernel::conv3d::Convolution;
use crate::kernel::loops_serve;

/// A convolution over frames and pixels in which no frame sees a later one; parameters `weight` `(O, I, kt, kh, kw)` and
/// `bias` `(O)` as in PyTorch (Open-Sora v1.2's `CausalConv3d`).
///
/// Zeros are padded around each frame, so that its sides stay, and `kt - time_stride` zero frames in front of the first.
/// Over a frozen weight the backward pass computes the input's gradient only.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cola_nn::{CausalConv3d, Params};
///
/// # fn main() -> candle_core::Result<()> {
/// let params = Params::seeded(0, DType::F32, &Device::Cpu);
/// let halve = CausalConv3d::new(4, 6, [3, 3, 3], params.trainable().pp("conv"))?.with_time_stride(2)?;
/// let x = Tensor::zeros((1, 4, 8, 5, 7), DType::F32, &Device::Cpu)?; // (B, C, T, H, W)
/// assert_eq!(halve.forward(&x)?.dims(), [1, 6, 4, 5, 7]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CausalConv3d {
    weight: Tensor,
    bias: Option<Tensor>,
    time_stride: usize,
}

impl CausalConv3d {
    /// With bias; `kernel` is (time, height, width). A fresh weight is PyTorch's default (Kaiming-uniform with
    /// a = sqrt 5), a fresh bias zero.
    ///
    /// # Errors
    /// A stored parameter of another shape, a side of the kernel that is zero, an even height or width.
    pub fn new(in_dim: usize, out_dim: usize, kernel: [usize; 3], vb: VarBuilder) -> Result<Self> {
        let bias = vb.get_with_hints(out_dim, "bias", Init::Const(0.0))?;
        Ok(Self { bias: Some(bias), ..Self::without_bias(in_dim, out_dim, kernel, vb)? })
    }

    /// Without bias.
    ///
    /// # Errors
    /// As [`CausalConv3d::new`].
    pub fn without_bias(in_dim: usize, out_dim: usize, kernel: [usize; 3], vb: VarBuilder) -> Result<Self> {
        let [depth, height, width] = kernel;
        if depth == 0 || height.is_multiple_of(2) || width.is_multiple_of(2) {
            candle_core::bail!("causal convolution: kernel {kernel:?} needs a time and odd sides");
        }
        let weight = vb.get_with_hints((out_dim, in_dim, depth, height, width), "weight", kaiming())?;
        Ok(Self { weight, bias: None, time_stride: 1 })
    }

    /// Over images, or over frames that do not see each other: with bias and a square kernel, the weight stored as that of
    /// a 2-D convolution, `(O, I, side, side)`.
    ///
    /// # Errors
    /// A stored parameter of another shape, an even side.
    pub fn of_images(in_dim: usize, out_dim: usize, side: usize, vb: VarBuilder) -> Result<Self> {
        if side.is_multiple_of(2) {
            candle_core::bail!("convolution of images: a kernel of {side} x {side} has no middle");
        }
        let weight = vb.get_with_hints((out_dim, in_dim, side, side), "weight", kaiming())?;
        let bias = vb.get_with_hints(out_dim, "bias", Init::Const(0.0))?;
        Ok(Self { weight: weight.unsqueeze(2)?, bias: Some(bias), time_stride: 1 })
    }

    /// Keeps one frame of `time_stride`.
    ///
    /// # Errors
    /// A stride of zero, or one that is longer than the kernel: frames would go unseen.
    pub fn with_time_stride(self, time_stride: usize) -> Result<Self> {
        let depth = self.weight.dim(2)?;
        if time_stride == 0 || time_stride > depth {
            candle_core::bail!(
                "causal convolution: time stride {time_stride} of a kernel {depth} frames long"
            );
        }
        Ok(Self { time_stride, ..self })
    }

    /// `(B, I, T, H, W)` to `(B, O, T / time_stride, H, W)`, in the input's dtype (the weight is cast to it). On the CPU
    /// bf16 and f16 are widened and their sums taken in f32.
    ///
    /// # Errors
    /// An input of another rank or number of channels, fewer frames than the time stride.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let in_dim = self.weight.dim(1)?;
        let (_, channels, frames, ..) = x.dims5()?;
        if channels != in_dim || frames < self.time_stride || x.elem_count() == 0 {
            candle_core::bail!(
                "causal convolution of {in_dim} channels with time stride {} got a tensor of shape {:?}",
                self.time_stride,
                x.dims()
            );
        }
        let op = Convolution::Causal { time_stride: self.time_stride };
        convolve(op, x, &self.weight, self.bias.as_ref(), |x, weight| self.composed(x, weight))
    }

    /// One 2-D convolution for each frame of the kernel, without bias: for devices and dtypes that the fused operation
    /// does not serve. Candle computes the gradients of both operands here, wanted or not.
    fn composed(&self, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let (batch, in_dim, frames, h, w) = x.dims5()?;
        let (out_dim, _, depth, kernel_height, kernel_width) = weight.dims5()?;
        let count = frames / self.time_stride;
        let x = x
            .pad_with_zeros(2, depth - self.time_stride, 0)?
            .pad_with_zeros(3, kernel_height / 2, kernel_height / 2)?
            .pad_with_zeros(4, kernel_width / 2, kernel_width / 2)?;
        let (height, width) = (x.dim(3)?, x.dim(4)?);
        let step = u32::try_from(self.time_stride).map_err(candle_core::Error::wrap)?;
        let mut sum: Option<Tensor> = None;
        for at in 0..depth {
            let first = at as u32;
            let index: Vec<u32> = (0..count as u32).map(|frame| first + frame * step).collect();
            let seen = x
                .index_select(&Tensor::new(index, x.device())?, 2)?
                .transpose(1, 2)? // (B, T', I, H + .., W + ..)
                .contiguous()?
                .reshape((batch * count, in_dim, height, width))?;
            let part = seen.conv2d(&weight.narrow(2, at, 1)?.squeeze(2)?.contiguous()?, 0, 1, 1, 1)?;
            sum = Some(match sum {
                Some(sum) => (sum + part)?,
                None => part,
            });
        }
        match sum {
            Some(sum) => sum.reshape((batch, count, out_dim, h, w))?.transpose(1, 2)?.contiguous(),
            None => candle_core::bail!("causal convolution: the kernel has no frames"),
        }
    }
}

/// PyTorch's default for a weight: Kaiming-uniform with a = sqrt 5.
pub(crate) fn kaiming() -> Init {
    Init::Kaiming {
        dist: NormalOrUniform::Uniform,
        fan: FanInOut::FanIn,
        non_linearity: NonLinearity::ExplicitGain((1f64 / 3.0).sqrt()),
    }
}

/// The fused operation, or for devices and dtypes that it does not serve the composed form, which leaves the bias out.
/// In the input's dtype; on the CPU bf16 and f16 are widened.
pub(crate) fn convolve(
    op: Convolution,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    composed: impl FnOnce(&Tensor, &Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let (out_dim, dtype) = (weight.dim(0)?, x.dtype());
    let wide = if matches!(x.device(), Device::Cpu) && matches!(dtype, DType::BF16 | DType::F16) {
        DType::F32
    } else {
        dtype
    };
    let x = x.to_dtype(wide)?.contiguous()?;
    let weight = weight.to_dtype(wide)?.contiguous()?;
    let bias = bias.map(|bias| bias.to_dtype(wide)?.contiguous()).transpose()?;
    let y = if loops_serve(&[&x, &weight]) {
        let bias = match bias {
            Some(bias) => bias,
            None => Tensor::zeros(out_dim, wide, x.device())?,
        };
        x.apply_op3(&weight, &bias, op)?
    } else {
        let y = composed(&x, &weight)?;
        match bias {
            Some(bias) => y.broadcast_add(&bias.reshape((1, out_dim, 1, 1, 1))?)?,
            None => y,
        }
    };
    y.to_dtype(dtype)
}
