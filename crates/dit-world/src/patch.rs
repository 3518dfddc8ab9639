//! Latents to tokens and back: patches of `(pt, p, p)`.

use candle_core::{Result, Tensor};
use candle_nn::var_builder::VarBuilder;
use cola_nn::Linear;

/// Tokens of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Rows of tokens.
    pub rows: usize,
    /// Columns of tokens.
    pub columns: usize,
}

/// Patch embedding `x_embedder`: a convolution whose kernel `(pt, p, p)` equals its stride, which is a linear map over
/// patches in the order (channel, frame, row, column). Sizes that the patch does not divide are padded with zeros behind
/// the last frame, row and column.
#[derive(Clone, Debug)]
pub struct PatchEmbed {
    proj: Linear,
    patch: [usize; 3],
}

impl PatchEmbed {
    /// For patches of `patch` (frames, rows, columns); parameters `proj.weight` `(D, C, pt, p, p)` and `proj.bias`.
    ///
    /// # Errors
    /// An empty patch, a stored parameter of another shape.
    pub fn new(channels: usize, patch: [usize; 3], hidden: usize, vb: VarBuilder) -> Result<Self> {
        if patch.contains(&0) {
            candle_core::bail!("a patch of {patch:?} is empty");
        }
        let [pt, ph, pw] = patch;
        Ok(Self { proj: Linear::patch(&[channels, pt, ph, pw], hidden, None, vb.pp("proj"))?, patch })
    }

    /// `(B, C, T, H, W)` to tokens `(B, ceil(T / pt), S, D)` and the grid of the `S` tokens of a frame, row-major.
    ///
    /// # Errors
    /// Another number of channels.
    pub fn forward(&self, x: &Tensor) -> Result<(Tensor, Grid)> {
        let [pt, ph, pw] = self.patch;
        let (b, c, frames, height, width) = x.dims5()?;
        let (t, h, w) = (frames.div_ceil(pt), height.div_ceil(ph), width.div_ceil(pw));
        let x = x
            .pad_with_zeros(2, 0, t * pt - frames)?
            .pad_with_zeros(3, 0, h * ph - height)?
            .pad_with_zeros(4, 0, w * pw - width)?;
        let patches = x
            .reshape(vec![b, c, t, pt, h, ph, w, pw])?
            .permute(vec![0, 2, 4, 6, 1, 3, 5, 7])? // (B, T, h, w, C, pt, ph, pw)
            .contiguous()?
            .reshape((b, t, h * w, c * pt * ph * pw))?;
        Ok((self.proj.forward(&patches)?, Grid { rows: h, columns: w }))
    }
}

/// Tokens `(B, T, S, p p C)`, channel fastest, to `(B, C, T, H, W)`, cropped to `size`, height and width.
///
/// # Errors
/// Tokens that are no such grid of patches.
pub fn unpatchify(tokens: &Tensor, patch: usize, grid: Grid, size: (usize, usize)) -> Result<Tensor> {
    let (b, t, _, out) = tokens.dims4()?;
    let Grid { rows, columns } = grid;
    if patch == 0 {
        candle_core::bail!("a patch of 0 pixels is empty");
    }
    let c = out / (patch * patch);
    tokens
        .reshape(vec![b, t, rows, columns, patch, patch, c])?
        .permute(vec![0, 6, 1, 2, 4, 3, 5])? // (B, C, T, h, p, w, p)
        .contiguous()?
        .reshape((b, c, t, rows * patch, columns * patch))?
        .narrow(3, 0, size.0)?
        .narrow(4, 0, size.1)
}
