//! What encoder and decoder have in common.

use candle_core::{Result, Tensor};
use candle_nn::var_builder::VarBuilder;
use cola_nn::{Compute, LayerNorm, Linear, add_rows, sinusoid};

use super::PromptConfig;
use super::block::{Block, EPS, TimeAttention};

/// A stem `LN -> Linear -> LN` that adds positions over the tokens of a frame, then blocks, then perhaps a last layer.
#[derive(Clone, Debug)]
pub(super) struct Transformer {
    before: LayerNorm,
    up: Linear,
    after: LayerNorm,
    positions: Tensor,
    blocks: Vec<Block>,
    out: Option<Linear>,
}

/// Sizes beside those of [`PromptConfig`].
pub(super) struct Ends {
    /// Width of the tokens that come in.
    pub(super) input: usize,
    /// Tokens of a frame.
    pub(super) length: usize,
    /// Width of what goes out; without it the last block's tokens do.
    pub(super) output: Option<usize>,
}

impl Transformer {
    /// Parameters `ffn.0`, `ffn.1`, `ffn.2` (the stem), `transformer_blocks.i`, and `out` if there is a last layer.
    pub(super) fn new(
        config: &PromptConfig,
        ends: &Ends,
        time: Option<&TimeAttention>,
        vb: VarBuilder,
    ) -> Result<Self> {
        let dim = config.dim;
        let places: Vec<f64> = (0..ends.length).map(|place| place as f64).collect();
        let blocks = vb.pp("transformer_blocks");
        Ok(Self {
            before: LayerNorm::new(ends.input, EPS, vb.pp("ffn.0"))?,
            up: Linear::new(ends.input, dim, vb.pp("ffn.1"))?,
            after: LayerNorm::new(dim, EPS, vb.pp("ffn.2"))?,
            positions: sinusoid::interleaved_table(&places, dim, vb.dtype(), vb.device())?,
            blocks: (0..config.layers)
                .map(|block| Block::new(config, time, blocks.pp(block)))
                .collect::<Result<_>>()?,
            out: ends.output.map(|output| Linear::new(dim, output, vb.pp("out"))).transpose()?,
        })
    }

    /// `(B, T, L, input)` to the last block's `(B, T, L, D)`, in the dtype that `compute` asks for.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        compute: Compute,
        observe: &mut impl FnMut(&str, &Tensor),
    ) -> Result<Tensor> {
        let stem = self.after.forward(&self.up.forward(&self.before.forward(x)?)?)?;
        let mut y = add_rows(&stem, &self.positions)?;
        for (index, block) in self.blocks.iter().enumerate() {
            y = compute.run(block, &y, Block::forward)?;
            observe(&format!("block{index}"), &y);
        }
        Ok(y)
    }

    /// The last layer over the tokens that are wanted, `(.., D)` to `(.., output)`.
    pub(super) fn last(&self, y: &Tensor) -> Result<Tensor> {
        self.out.as_ref().map_or_else(|| Ok(y.clone()), |out| out.forward(y))
    }
}
