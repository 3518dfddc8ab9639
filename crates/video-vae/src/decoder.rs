//! From latents to latent images.

use candle_core::{Result, Tensor};
use candle_nn::var_builder::VarBuilder;
use cola_nn::{CausalConv3d, GroupNorm};

use crate::TemporalConfig;
use crate::block::{ResBlock, through};

/// A level's residual blocks, then a convolution to twice the channels, which become twice the frames.
type Level = (Vec<ResBlock>, Option<CausalConv3d>);

/// The encoder's levels backwards.
#[derive(Clone, Debug)]
pub struct Decoder {
    conv_in: CausalConv3d,
    res_blocks: Vec<ResBlock>,
    /// In the order in which they run; the names keep the encoder's numbers.
    levels: Vec<Level>,
    norm: GroupNorm,
    conv_out: CausalConv3d,
}

impl Decoder {
    /// Parameters as in the published `decoder.*`.
    ///
    /// # Errors
    /// A configuration that [`TemporalConfig::check`] refuses, a stored parameter of another shape.
    pub fn new(config: &TemporalConfig, vb: VarBuilder) -> Result<Self> {
        config.check().map_err(candle_core::Error::wrap)?;
        let norm = (config.num_groups, config.norm_eps);
        let count = config.num_res_blocks;
        let conv = |name: &str, from, to| CausalConv3d::new(from, to, [3; 3], vb.pp(name).pp("conv"));
        let last = config.channel_multipliers.len() - 1;
        let mut width = config.width(last);
        let conv_in = conv("conv1", config.latent_embed_dim, width)?;
        let res_blocks = ResBlock::row(ResBlock::new, count, width, width, norm, vb.pp("res_blocks"))?;
        let mut levels = Vec::new();
        for level in (0..=last).rev() {
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
            // The step between this level and the one before it.
            let step = level.checked_sub(1).filter(|step| config.temporal_downsample[*step]);
            let double =
                step.map(|step| conv(&format!("conv_blocks.{step}"), width, 2 * width)).transpose()?;
            levels.push((blocks, double));
        }
        Ok(Self {
            conv_in,
            res_blocks,
            levels,
            norm: GroupNorm::new(config.num_groups, width, config.norm_eps, vb.pp("norm1"))?,
            conv_out: conv("conv_out", width, config.in_out_channels)?,
        })
    }

    /// `(B, latent_embed_dim, T, H, W)` to `(B, in_out_channels, T time_factor, H, W)`.
    ///
    /// # Errors
    /// Another number of channels.
    pub fn forward(&self, z: &Tensor) -> Result<Tensor> {
        let mut x = through(&self.res_blocks, self.conv_in.forward(z)?)?;
        for (blocks, double) in &self.levels {
            x = through(blocks, x)?;
            if let Some(double) = double {
                x = channels_to_time(&double.forward(&x)?)?;
            }
        }
        self.conv_out.forward(&self.norm.forward_silu(&x)?)
    }
}

/// `(B, 2 C, T, H, W)` to `(B, C, 2 T, H, W)`: channel `2 c + s` becomes channel `c` of frame `2 t + s`.
fn channels_to_time(x: &Tensor) -> Result<Tensor> {
    let (b, c, t, h, w) = x.dims5()?;
    x.reshape((b * c / 2, 2, t, h * w))?.transpose(1, 2)?.contiguous()?.reshape((b, c / 2, 2 * t, h, w))
}
