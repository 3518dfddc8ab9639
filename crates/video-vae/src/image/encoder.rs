//! From pictures to the parameters of the posterior.

use candle_core::{Result, Tensor};
use candle_nn::var_builder::VarBuilder;
use cola_nn::{CausalConv3d, GroupNorm, ResizeConv};

use super::middle::Middle;
use crate::ResBlock;
use crate::block::through;
use crate::config::ImageConfig;

/// A level's residual blocks, then a convolution to half the sides.
type Level = (Vec<ResBlock>, Option<ResizeConv>);

/// Levels of residual blocks from large images to small ones, then attention among the pixels.
#[derive(Clone, Debug)]
pub struct ImageEncoder {
    conv_in: CausalConv3d,
    levels: Vec<Level>,
    middle: Middle,
    norm: GroupNorm,
    conv_out: CausalConv3d,
}

impl ImageEncoder {
    /// Parameters as in the published `encoder.*`.
    ///
    /// # Errors
    /// A configuration that [`ImageConfig::check`] refuses, a stored parameter of another shape.
    pub fn new(config: &ImageConfig, vb: VarBuilder) -> Result<Self> {
        config.check().map_err(candle_core::Error::wrap)?;
        let norm = (config.norm_num_groups, config.norm_eps);
        let (widths, inner) = (&config.block_out_channels, config.inner());
        let mut levels = Vec::new();
        let mut width = widths[0];
        for (level, &out_dim) in widths.iter().enumerate() {
            let (count, vb) = (config.layers_per_block, vb.pp("down_blocks").pp(level));
            let blocks = ResBlock::row(ResBlock::of_images, count, width, out_dim, norm, vb.pp("resnets"))?;
            width = out_dim;
            let is_last = level + 1 == widths.len();
            let halve = if is_last {
                None
            } else {
                Some(ResizeConv::halving(width, width, vb.pp("downsamplers.0.conv"))?)
            };
            levels.push((blocks, halve));
        }
        Ok(Self {
            conv_in: CausalConv3d::of_images(config.in_channels, widths[0], 3, vb.pp("conv_in"))?,
            levels,
            middle: Middle::new(config, vb.pp("mid_block"))?,
            norm: GroupNorm::new(norm.0, inner, norm.1, vb.pp("conv_norm_out"))?,
            conv_out: CausalConv3d::of_images(inner, 2 * config.latent_channels, 3, vb.pp("conv_out"))?,
        })
    }

    /// `(N, in_channels, 1, H, W)` to `(N, 2 latent_channels, 1, H / factor, W / factor)`, with the factor of
    /// [`ImageConfig::factor`].
    ///
    /// # Errors
    /// Another number of channels, sides that the factor does not divide.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = self.conv_in.forward(x)?;
        for (blocks, halve) in &self.levels {
            x = through(blocks, x)?;
            if let Some(halve) = halve {
                x = halve.forward(&x)?;
            }
        }
        self.conv_out.forward(&self.norm.forward_silu(&self.middle.forward(&x)?)?)
    }
}
