//! The residual block.

use candle_core::{Result, Tensor};
use candle_nn::var_builder::VarBuilder;
use cola_nn::{CausalConv3d, GroupNorm};

/// `x + conv2(silu(norm2(conv1(silu(norm1(x))))))`, with a 1 x 1 x 1 convolution of `x` where the width changes.
///
/// The norms' statistics go over all frames: the block is not causal, only its convolutions are.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cola_nn::Params;
/// use cola_video_vae::ResBlock;
///
/// # fn main() -> candle_core::Result<()> {
/// let params = Params::seeded(0, DType::F32, &Device::Cpu);
/// let block = ResBlock::new(4, 6, 2, 1e-5, params.trainable())?;
/// let x = Tensor::zeros((1, 4, 3, 5, 5), DType::F32, &Device::Cpu)?;
/// assert_eq!(block.forward(&x)?.dims(), [1, 6, 3, 5, 5]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ResBlock {
    norms: [GroupNorm; 2],
    convs: [CausalConv3d; 2],
    shortcut: Option<CausalConv3d>,
}

impl ResBlock {
    /// Of the temporal VAE, from `in_dim` to `out_dim` channels: no convolution has a bias, that of `x` is `conv3`. `groups`
    /// has to divide both widths.
    ///
    /// # Errors
    /// A stored parameter of another shape, unequal groups.
    pub fn new(in_dim: usize, out_dim: usize, groups: usize, eps: f64, vb: VarBuilder) -> Result<Self> {
        let norm = |name: &str, dim| GroupNorm::new(groups, dim, eps, vb.pp(name));
        let conv = |name: &str, from, side| {
            CausalConv3d::without_bias(from, out_dim, [side; 3], vb.pp(name).pp("conv"))
        };
        Ok(Self {
            norms: [norm("norm1", in_dim)?, norm("norm2", out_dim)?],
            convs: [conv("conv1", in_dim, 3)?, conv("conv2", out_dim, 3)?],
            shortcut: if in_dim == out_dim { None } else { Some(conv("conv3", in_dim, 1)?) },
        })
    }

    /// Of the image VAE: 2-D convolutions with bias, that of `x` is `conv_shortcut`.
    ///
    /// # Errors
    /// As [`ResBlock::new`].
    pub fn of_images(in_dim: usize, out_dim: usize, groups: usize, eps: f64, vb: VarBuilder) -> Result<Self> {
        let norm = |name: &str, dim| GroupNorm::new(groups, dim, eps, vb.pp(name));
        let conv = |name: &str, from, side| CausalConv3d::of_images(from, out_dim, side, vb.pp(name));
        Ok(Self {
            norms: [norm("norm1", in_dim)?, norm("norm2", out_dim)?],
            convs: [conv("conv1", in_dim, 3)?, conv("conv2", out_dim, 3)?],
            shortcut: if in_dim == out_dim { None } else { Some(conv("conv_shortcut", in_dim, 1)?) },
        })
    }

    /// `(B, I, T, H, W)` to `(B, O, T, H, W)`.
    ///
    /// # Errors
    /// Another number of channels.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut y = x.clone();
        for (norm, conv) in self.norms.iter().zip(&self.convs) {
            y = conv.forward(&norm.forward_silu(&y)?)?;
        }
        match &self.shortcut {
            Some(shortcut) => shortcut.forward(x)? + y,
            None => x + y,
        }
    }

    /// `count` blocks in a row, named by their number, each made by `block`.
    pub(crate) fn row(
        block: fn(usize, usize, usize, f64, VarBuilder) -> Result<Self>,
        count: usize,
        in_dim: usize,
        out_dim: usize,
        (groups, eps): (usize, f64),
        vb: VarBuilder,
    ) -> Result<Vec<Self>> {
        (0..count)
            .map(|index| {
                let from = if index == 0 { in_dim } else { out_dim };
                block(from, out_dim, groups, eps, vb.pp(index))
            })
            .collect()
    }
}

/// One block after the other.
pub(crate) fn through(blocks: &[ResBlock], x: Tensor) -> Result<Tensor> {
    blocks.iter().try_fold(x, |x, block| block.forward(&x))
}
