//! Latents to tokens and back: patches of `(1, p, p)`.

use candle_core::{Result, Tensor};
use candle_nn::var_builder::VarBuilder;
use cola_nn::Linear;

/// Patch embedding `x_embedder`: a `(1, p, p)` convolution with equal stride, which is a linear map over patches in the
/// order (channel, row, column). Odd sizes are padded with zeros at the right and bottom.
#[derive(Clone, Debug)]
pub(crate) struct PatchEmbed {
    proj: Linear,
    patch: usize,
}

impl PatchEmbed {
    pub(crate) fn new(channels: usize, patch: usize, hidden: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self { proj: Linear::patch(&[channels, 1, patch, patch], hidden, None, vb.pp("proj"))?, patch })
    }

    /// `(B, C, T, H, W)` to tokens `(B, T, S, D)` and the token grid `(h, w)`; `S = h w`, row-major.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<(Tensor, (usize, usize))> {
        let p = self.patch;
        let (b, c, t, height, width) = x.dims5()?;
        let (h, w) = (height.div_ceil(p), width.div_ceil(p));
        let x = x.pad_with_zeros(3, 0, h * p - height)?.pad_with_zeros(4, 0, w * p - width)?;
        let patches = x
            .reshape(vec![b, c, t, h, p, w, p])?
            .permute(vec![0, 2, 3, 5, 1, 4, 6])? // (B, T, h, w, C, p, p)
            .contiguous()?
            .reshape((b, t, h * w, c * p * p))?;
        Ok((self.proj.forward(&patches)?, (h, w)))
    }
}

/// Tokens `(B, T, S, p p C)`, channel fastest, to `(B, C, T, H, W)`, cropped to `size`.
pub(crate) fn unpatchify(
    tokens: &Tensor,
    patch: usize,
    grid: (usize, usize),
    size: (usize, usize),
) -> Result<Tensor> {
    let (b, t, _, out) = tokens.dims4()?;
    let (h, w) = grid;
    let c = out / (patch * patch);
    tokens
        .reshape(vec![b, t, h, w, patch, patch, c])?
        .permute(vec![0, 6, 1, 2, 4, 3, 5])? // (B, C, T, h, p, w, p)
        .contiguous()?
        .reshape((b, c, t, h * patch, w * patch))?
        .narrow(3, 0, size.0)?
        .narrow(4, 0, size.1)
}
