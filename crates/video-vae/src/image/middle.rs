//! The widest part of encoder and decoder.

use candle_core::{Result, Tensor};
use candle_nn::var_builder::VarBuilder;

use super::attention::PixelAttention;
use crate::ResBlock;
use crate::config::ImageConfig;

/// A residual block, attention, a residual block.
#[derive(Clone, Debug)]
pub(super) struct Middle {
    blocks: [ResBlock; 2],
    attention: PixelAttention,
}

impl Middle {
    pub(super) fn new(config: &ImageConfig, vb: VarBuilder) -> Result<Self> {
        let (width, groups, eps) = (config.inner(), config.norm_num_groups, config.norm_eps);
        let block = |index| ResBlock::of_images(width, width, groups, eps, vb.pp("resnets").pp(index));
        Ok(Self {
            blocks: [block(0)?, block(1)?],
            attention: PixelAttention::new(width, groups, eps, vb.pp("attentions.0"))?,
        })
    }

    /// `(N, C, 1, H, W)` to the same shape.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let [first, second] = &self.blocks;
        second.forward(&self.attention.forward(&first.forward(x)?)?)
    }
}
