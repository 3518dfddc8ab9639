//! From latent images to the parameters of the posterior.

use candle_core::{Result, Tensor};
use candle_nn::var_builder::VarBuilder;
use cola_nn::{CausalConv3d, GroupNorm};

use crate::TemporalConfig;
use crate::block::{ResBlock, through};

/// A level's residual blocks, then a convolution that halves the frame rate.
type Level = (Vec<ResBlock>, Option<CausalConv3d>);

/// Levels of residual blocks from the widest time to the narrowest, then blocks of the last width.
#[derive(Clone, Debug)]
pub struct Encoder {
    conv_in: CausalConv3d,
    levels: Vec<Level>,
    res_blocks: Vec<ResBlock>,
    norm: GroupNorm,
    conv_out: CausalConv3d,
}

impl Encoder {
    /// Parameters as in the published `encoder.*`.
    ///
    /// # Errors
    /// A configuration that [`TemporalConfig::check`] refuses, a stored parameter of another shape.
    pub fn new(config: &TemporalConfig, vb: VarBuilder) -> Result<Self> {
        config.check().map_err(candle_core::Error::wrap)?;
        let norm = (config.num_groups, config.norm_eps);
        let count = config.num_res_blocks;
        let conv = |name: &str| vb.pp(name).pp("conv");
        let conv_in =
            CausalConv3d::without_bias(config.in_out_channels, config.filters, [3; 3], conv("conv_in"))?;
        let mut levels = Vec::new();
        let mut width = config.filters;
        for level in 0..config.channel_multipliers.len() {
            let out_dim = config.width(level);
            let blocks = ResBlock::row(
                ResBlock::new,
                count,
                width,
                out_dim,
                norm,
                vb.pp("block_res_blocks").pp(level),
            )?;
            width = if count == 0 { width } else { out_dim };
            let halve = if config.temporal_downsample.get(level) == Some(&true) {
                let vb = vb.pp("conv_blocks").pp(level).pp("conv");
                let conv = CausalConv3d::new(width, out_dim, [3; 3], vb)?;
                width = out_dim;
                Some(conv.with_time_stride(2)?)
            } else {
                None
            };
            levels.push((blocks, halve));
        }
        Ok(Self {
            conv_in,
            levels,
            res_blocks: ResBlock::row(ResBlock::new, count, width, width, norm, vb.pp("res_blocks"))?,
            norm: GroupNorm::new(config.num_groups, width, config.norm_eps, vb.pp("norm1"))?,
            conv_out: CausalConv3d::new(width, 2 * config.latent_embed_dim, [1; 3], conv("conv2"))?,
        })
    }

    /// `(B, in_out_channels, T, H, W)`, `T` a multiple of [`TemporalConfig::time_factor`], to
    /// `(B, 2 latent_embed_dim, T / time_factor, H, W)`.
    ///
    /// # Errors
    /// Another number of channels, too few frames.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = self.conv_in.forward(x)?;
        for (blocks, halve) in &self.levels {
            x = through(blocks, x)?;
            if let Some(halve) = halve {
                x = halve.forward(&x)?;
            }
        }
        self.conv_out.forward(&self.norm.forward_silu(&through(&self.res_blocks, x)?)?)
    }
}
