//! From pixels to patches to tokens.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::var_builder::VarBuilder;
use cola_nn::{Linear, add_rows, sinusoid, xavier};

use crate::config::LamConfig;

/// ImageNet's mean of each channel.
const MEAN: [f64; 3] = [0.485, 0.456, 0.406];
/// ImageNet's standard deviation of each channel.
const DEVIATION: [f64; 3] = [0.229, 0.224, 0.225];

/// How frames become normalised patches: `(pixel - mean) / deviation` with ImageNet's numbers for each channel.
#[derive(Clone, Debug)]
pub struct Pixels {
    mean: Tensor,
    deviation: Tensor,
    image: usize,
    patch: usize,
}

impl Pixels {
    /// For the configuration's frames; results have the given dtype.
    ///
    /// # Errors
    /// The device's.
    pub fn new(config: &LamConfig, dtype: DType, device: &Device) -> Result<Self> {
        let by_channel = |values: &[f64; 3]| Tensor::new(values, device)?.reshape((3, 1, 1))?.to_dtype(dtype);
        Ok(Self {
            mean: by_channel(&MEAN)?,
            deviation: by_channel(&DEVIATION)?,
            image: config.image,
            patch: config.patch,
        })
    }

    /// `(B, T, 3, H, W)` in `[0, 1]` to the same shape, normalised.
    ///
    /// # Errors
    /// A video whose sides are not those of the configuration; the message gives both.
    pub fn normalise(&self, video: &Tensor) -> Result<Tensor> {
        match video.dims() {
            &[_, _, 3, height, width] if height == self.image && width == self.image => {}
            found => candle_core::bail!(
                "video of shape {found:?}, expected (clips, frames, 3, {0}, {0}): resize it to {0} pixels first",
                self.image
            ),
        }
        video.to_dtype(self.mean.dtype())?.broadcast_sub(&self.mean)?.broadcast_div(&self.deviation)
    }

    /// Normalised frames `(B, T, 3, H, W)` to prediction targets `(B, T, N, 3P²)`: patches row by row, the numbers of
    /// a patch in the order (row, column, channel).
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn patches(&self, frames: &Tensor) -> Result<Tensor> {
        patches_of(frames, self.patch)
    }

    /// Normalised frames `(B, T, 3, H, W)` to `(B·T, N, 3P²)` in a convolution kernel's order (channel, row, column).
    pub(crate) fn kernels(&self, frames: &Tensor) -> Result<Tensor> {
        cut(frames, self.patch, [0, 2, 4, 1, 3, 5])
    }
}

/// Square frames `(B, T, 3, H, W)` to patches `(B, T, N, 3P²)`, the numbers of a patch in the order (row, column, channel).
pub(crate) fn patches_of(frames: &Tensor, patch: usize) -> Result<Tensor> {
    let (clips, length, ..) = frames.dims5()?;
    let rows = cut(frames, patch, [0, 2, 4, 3, 5, 1])?;
    let (_, patches, values) = rows.dims3()?;
    rows.reshape((clips, length, patches, values))
}

/// Back from [`patches_of`]: `(B, T, N, 3P²)` to square frames `(B, T, 3, H, W)`.
pub(crate) fn frames_of(patches: &Tensor, patch: usize) -> Result<Tensor> {
    let (clips, length, count, values) = patches.dims4()?;
    let (grid, channels) = (count.isqrt(), values / patch.pow(2));
    patches
        .reshape((clips * length, grid, grid, patch, patch, channels))?
        .permute([0, 5, 1, 3, 2, 4])?
        .reshape((clips, length, channels, grid * patch, grid * patch))
}

/// Permutes (frame, channel, grid row, row, grid column, column) and flattens.
fn cut(frames: &Tensor, patch: usize, order: [usize; 6]) -> Result<Tensor> {
    let (clips, length, channels, height, width) = frames.dims5()?;
    let (down, across) = (height / patch, width / patch);
    frames.reshape((clips * length, channels, down, patch, across, patch))?.permute(order)?.reshape((
        clips * length,
        down * across,
        channels * patch * patch,
    ))
}

/// A linear map of each patch plus a fixed position: the first half of the channels encodes the column, the last half
/// the row.
#[derive(Clone, Debug)]
pub(crate) struct PatchEmbed {
    proj: Linear,
    positions: Tensor,
}

impl PatchEmbed {
    /// Parameters `proj.weight` `(D, 3, P, P)`, Xavier-uniform over the flattened kernel, and `proj.bias`.
    pub(crate) fn new(config: &LamConfig, vb: VarBuilder) -> Result<Self> {
        let (patch, dim) = (config.patch, config.dim);
        let init = xavier(config.patch_values(), dim);
        let places: Vec<f64> = (0..config.image / patch).map(|place| place as f64).collect();
        Ok(Self {
            proj: Linear::patch(&[3, patch, patch], dim, Some(init), vb.pp("proj"))?,
            positions: sinusoid::grid_table(&places, &places, dim, vb.dtype(), vb.device())?,
        })
    }

    /// The linear map alone, `(M, N, 3P²)` in kernel order to `(M, N, D)`.
    pub(crate) fn project(&self, patches: &Tensor) -> Result<Tensor> {
        self.proj.forward(patches)
    }

    /// Adds the positions to `(M, N, D)`.
    pub(crate) fn place(&self, projected: &Tensor) -> Result<Tensor> {
        add_rows(projected, &self.positions)
    }
}
