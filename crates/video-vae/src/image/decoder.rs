//! From latent images to pictures.

use candle_core::{Result, Tensor};
use candle_nn::var_builder::VarBuilder;
use cola_nn::{CausalConv3d, GroupNorm, ResizeConv};

use super::middle::Middle;
use crate::ResBlock;
use crate::block::through;
use crate::config::ImageConfig;

/// A level's residual blocks, then a convolution to twice the sides.
type Level = (Vec<ResBlock>, Option<ResizeConv>);

/// The encoder's levels backwards, each with one block more.
#[derive(Clone, Debug)]
pub struct ImageDecoder {
    conv_in: CausalConv3d,
    middle: Middle,
    levels: Vec<Level>,
    norm: GroupNorm,
    conv_out: CausalConv3d,
}

impl ImageDecoder {
    /// Parameters as in the published `decoder.*`; levels are numbered as they run, from small images to large ones.
    ///
    /// # Errors
    /// A configuration that [`ImageConfig::check`] refuses, a stored parameter of another shape.
    pub fn new(config: &ImageConfig, vb: VarBuilder) -> Result<Self> {
        config.check().map_err(candle_core::Error::wrap)?;
        let norm = (config.norm_num_groups, config.norm_eps);
        let (widths, inner) = (&config.block_out_channels, config.inner());
        let mut levels = Vec::new();
        let mut width = inner;
        for (level, &out_dim) in widths.iter().rev().enumerate() {
            let (count, vb) = (config.layers_per_block + 1, vb.pp("up_blocks").pp(level));
            let blocks = ResBlock::row(ResBlock::of_images, count, width, out_dim, norm, vb.pp("resnets"))?;
            width = out_dim;
            let is_last = level + 1 == widths.len();
            let double = if is_last {
                None
            } else {
                Some(ResizeConv::doubling(width, width, vb.pp("upsamplers.0.conv"))?)
            };
            levels.push((blocks, double));
        }
        Ok(Self {
            conv_in: CausalConv3d::of_images(config.latent_channels, inner, 3, vb.pp("conv_in"))?,
            middle: Middle::new(config, vb.pp("mid_block"))?,
            levels,
            norm: GroupNorm::new(norm.0, width, norm.1, vb.pp("conv_norm_out"))?,
            conv_out: CausalConv3d::of_images(width, config.in_channels, 3, vb.pp("conv_out"))?,
        })
    }

    /// `(N, latent_channels, 1, H, W)` to `(N, in_channels, 1, H factor, W factor)`, with the factor of
    /// [`ImageConfig::factor`].
    ///
    /// # Errors
    /// Another number of channels.
    pub fn forward(&self, z: &Tensor) -> Result<Tensor> {
        let mut x = self.middle.forward(&self.conv_in.forward(z)?)?;
        for (blocks, double) in &self.levels {
            x = through(blocks, x)?;
            if let Some(double) = double {
                x = double.forward(&x)?;
            }
        }
        self.conv_out.forward(&self.norm.forward_silu(&x)?)
    }
}
