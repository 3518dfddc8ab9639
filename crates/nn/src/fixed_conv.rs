//! Convolution of models that are only ever asked, never trained.

use std::sync::Arc;

use candle_core::{DType, Result, Tensor};

use crate::kernel::fixed_conv::{Filter, Window};
use crate::kernel::{lend, tensor};

/// Zeros around the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// So many in front of and behind time, height and width.
    Explicit([[usize; 2]; 3]),
    /// TensorFlow's `SAME`: as many results as strides fit into the input, rounded up, for `n` entries, a kernel of `k`
    /// and a stride of `s` with `p = max(k - s, 0)` zeros where `s` divides `n`, `max(k - n % s, 0)` elsewhere; the
    /// smaller half in front.
    Same,
}

impl Padding {
    /// Zeros in front of and behind each of time, height and width.
    ///
    /// ```
    /// use cola_nn::Padding;
    /// assert_eq!(Padding::Same.around([17, 224, 7], [7, 7, 3], [2, 2, 1]), [[3, 3], [2, 3], [1, 1]]);
    /// ```
    pub fn around(self, sizes: [usize; 3], kernel: [usize; 3], stride: [usize; 3]) -> [[usize; 2]; 3] {
        match self {
            Self::Explicit(zeros) => zeros,
            Self::Same => std::array::from_fn(|side| {
                let (n, k, s) = (sizes[side], kernel[side], stride[side]);
                let taken = if n.is_multiple_of(s) { s } else { n % s };
                let zeros = k.saturating_sub(taken);
                [zeros / 2, zeros - zeros / 2]
            }),
        }
    }
}

fn served(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && tensor.dtype() == DType::F32
}

fn filter(weight: &Tensor, bias: Option<&Tensor>) -> Result<Option<Filter>> {
    if !served(weight) || bias.is_some_and(|bias| !served(bias)) {
        return Ok(None);
    }
    let (out_dim, in_dim, depth, height, width) = weight.dims5()?;
    let bias = bias.map(|bias| bias.to_vec1()).transpose()?;
    let (channels, kernel) = ([in_dim, out_dim], [depth, height, width]);
    Ok(Some(Filter::new(lend(weight).values()?, channels, kernel, bias)))
}

/// A convolution over frames and pixels whose weights never change: any stride, any zeros around the input, bias and
/// ReLU on the way out. Images are single frames.
///
/// On the CPU, f32 runs in loops of this crate, its weights sorted for them once; the rest in candle's own operations.
/// It keeps no graph. So that no gradient is lost in silence, an input that tracks one is refused.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cola_nn::{FixedConv3d, Padding};
///
/// # fn main() -> candle_core::Result<()> {
/// let weight = Tensor::ones((4, 3, 1, 3, 3), DType::F32, &Device::Cpu)?; // (O, I, kt, kh, kw)
/// let conv = FixedConv3d::new(&weight, None)?.with_stride([1, 2, 2])?.with_padding(Padding::Same).with_relu();
/// let x = Tensor::ones((2, 3, 5, 9, 8), DType::F32, &Device::Cpu)?; // (B, I, T, H, W)
/// assert_eq!(conv.forward(&x)?.dims(), [2, 4, 5, 5, 4]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct FixedConv3d {
    weight: Tensor,
    bias: Option<Tensor>,
    /// The weight for the CPU's loops, if it is one for them.
    filter: Option<Arc<Filter>>,
    stride: [usize; 3],
    padding: Padding,
    relu: bool,
}

impl FixedConv3d {
    /// `weight` `(O, I, kt, kh, kw)`, `bias` `(O)`; stride 1, no padding, no ReLU.
    ///
    /// # Errors
    /// A weight of another rank or with an empty side, a bias of another shape.
    pub fn new(weight: &Tensor, bias: Option<&Tensor>) -> Result<Self> {
        let (out_dim, ..) = weight.dims5()?;
        if weight.elem_count() == 0 {
            candle_core::bail!("convolution: the weight {:?} is empty", weight.dims());
        }
        if let Some(bias) = bias
            && bias.dims() != [out_dim]
        {
            candle_core::bail!("convolution to {out_dim} channels: the bias has shape {:?}", bias.dims());
        }
        let weight = weight.detach().contiguous()?;
        let bias = bias.map(|bias| bias.detach().contiguous()).transpose()?;
        Ok(Self {
            filter: filter(&weight, bias.as_ref())?.map(Arc::new),
            weight,
            bias,
            stride: [1; 3],
            padding: Padding::Explicit([[0; 2]; 3]),
            relu: false,
        })
    }

    /// Steps in time, height and width.
    ///
    /// # Errors
    /// A step of zero, different steps in height and width.
    pub fn with_stride(self, stride: [usize; 3]) -> Result<Self> {
        if stride.contains(&0) || stride[1] != stride[2] {
            candle_core::bail!(
                "convolution: stride {stride:?} needs steps, and the same in height and width"
            );
        }
        Ok(Self { stride, ..self })
    }

    /// Zeros around the input.
    pub fn with_padding(self, padding: Padding) -> Self {
        Self { padding, ..self }
    }

    /// Negative results become zero.
    pub fn with_relu(self) -> Self {
        Self { relu: true, ..self }
    }

    /// Channels of the result.
    pub fn out_dim(&self) -> usize {
        self.weight.dims()[0]
    }

    /// `(B, I, T, H, W)` to `(B, O, T', H', W')` with `T' = (T + zeros - kt) / stride + 1` and so on, in the input's
    /// dtype, which has to be the weight's.
    ///
    /// # Errors
    /// An input of another rank, dtype or number of channels, smaller than the kernel, empty, or one that tracks
    /// gradients.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, channels, frames, height, width) = x.dims5()?;
        let (_, in_dim, kt, kh, kw) = self.weight.dims5()?;
        let (sizes, kernel) = ([frames, height, width], [kt, kh, kw]);
        let zeros = self.padding.around(sizes, kernel, self.stride);
        let fits = (0..3).all(|side| sizes[side] + zeros[side][0] + zeros[side][1] >= kernel[side]);
        if channels != in_dim || !fits || x.elem_count() == 0 || batch == 0 {
            candle_core::bail!(
                "convolution of {in_dim} channels with a kernel of {kernel:?} got a tensor of shape {:?}",
                x.dims()
            );
        }
        if x.track_op() {
            candle_core::bail!("convolution with fixed weights keeps no graph: detach its input");
        }
        match &self.filter {
            Some(filter) if served(x) => {
                let window = Window { kernel, stride: self.stride, zeros };
                let x = x.contiguous()?;
                let y = filter.run(lend(&x).values()?, batch, sizes, &window, self.relu);
                let [frames, height, width] = window.result(sizes);
                tensor(y, &(batch, self.out_dim(), frames, height, width).into())
            }
            _ => self.composed(x, zeros),
        }
    }

    /// One 2-D convolution for each frame of the kernel: for devices and dtypes that the loops do not serve.
    fn composed(&self, x: &Tensor, zeros: [[usize; 2]; 3]) -> Result<Tensor> {
        let (out_dim, in_dim, depth, ..) = self.weight.dims5()?;
        let step = self.stride[1];
        let mut x = x.clone();
        for (side, [front, back]) in zeros.into_iter().enumerate() {
            x = x.pad_with_zeros(2 + side, front, back)?;
        }
        let (batch, _, frames, height, width) = x.dims5()?;
        let count = (frames - depth) / self.stride[0] + 1;
        let mut sum: Option<Tensor> = None;
        for at in 0..depth {
            let index: Vec<u32> = (0..count).map(|frame| (at + frame * self.stride[0]) as u32).collect();
            let seen = x
                .index_select(&Tensor::new(index, x.device())?, 2)?
                .transpose(1, 2)? // (B, T', I, H + .., W + ..)
                .contiguous()?
                .reshape((batch * count, in_dim, height, width))?;
            let kernel = self.weight.narrow(2, at, 1)?.squeeze(2)?.contiguous()?;
            let part = seen.conv2d(&kernel, 0, step, 1, 1)?;
            sum = Some(match sum {
                Some(sum) => (sum + part)?,
                None => part,
            });
        }
        let Some(mut y) = sum else { candle_core::bail!("convolution: the kernel has no frames") };
        if let Some(bias) = &self.bias {
            y = y.broadcast_add(&bias.reshape((1, out_dim, 1, 1))?)?;
        }
        if self.relu {
            y = y.relu()?;
        }
        let (_, _, h, w) = y.dims4()?;
        y.reshape((batch, count, out_dim, h, w))?.transpose(1, 2)?.contiguous()
    }
}
