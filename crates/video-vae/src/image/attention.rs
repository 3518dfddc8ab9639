//! What lets every pixel of a latent image see every other.

use candle_core::{Result, Tensor};
use candle_nn::var_builder::VarBuilder;
use cola_nn::{GroupNorm, Linear, attend};

/// `x + out(softmax(q kᵀ / sqrt C) v)` with `q`, `k`, `v` linear in the group norm of `x`: one head as wide as the image
/// has channels.
#[derive(Clone, Debug)]
pub(super) struct PixelAttention {
    norm: GroupNorm,
    queries: Linear,
    keys: Linear,
    values: Linear,
    out: Linear,
}

/// Names of the four layers in diffusers today, and in its older checkpoints.
const NAMES: [[&str; 4]; 2] = [["to_q", "to_k", "to_v", "to_out.0"], ["query", "key", "value", "proj_attn"]];

impl PixelAttention {
    /// Over the newer names, unless only the older are there.
    pub(super) fn new(dim: usize, groups: usize, eps: f64, vb: VarBuilder) -> Result<Self> {
        let has = |names: &[&str; 4]| vb.contains_tensor(&format!("{}.weight", names[0]));
        let names = if has(&NAMES[1]) && !has(&NAMES[0]) { NAMES[1] } else { NAMES[0] };
        let linear = |which: usize| Linear::new(dim, dim, vb.pp(names[which]));
        Ok(Self {
            norm: GroupNorm::new(groups, dim, eps, vb.pp("group_norm"))?,
            queries: linear(0)?,
            keys: linear(1)?,
            values: linear(2)?,
            out: linear(3)?,
        })
    }

    /// `(N, C, 1, H, W)` to the same shape. Image by image: the order of the sums in a matrix product depends on the number
    /// of its rows, and an image's bits should not depend on its neighbours.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (n, c, ..) = x.dims5()?;
        let pixels = self.norm.forward(x)?.reshape((n, c, ()))?.transpose(1, 2)?.contiguous()?;
        let images: Vec<Tensor> =
            (0..n).map(|image| self.attend(&pixels.narrow(0, image, 1)?)).collect::<Result<_>>()?;
        x + Tensor::cat(&images, 0)?.transpose(1, 2)?.reshape(x.shape())?
    }

    /// `(1, H W, C)` to the same shape.
    fn attend(&self, pixels: &Tensor) -> Result<Tensor> {
        let head = |layer: &Linear| layer.forward(pixels)?.unsqueeze(1);
        let seen = attend(&head(&self.queries)?, &head(&self.keys)?, &head(&self.values)?, false)?;
        self.out.forward(&seen.squeeze(1)?)
    }
}
