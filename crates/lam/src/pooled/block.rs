//! The inverse dynamics model's block: space, then time, then a feed-forward layer.

use candle_core::{Result, Tensor};
use candle_nn::init::Init;
use candle_nn::var_builder::VarBuilder;
use cola_nn::{HeadNorm, Mlp, SelfAttention, SelfAttentionConfig, add_rows, gate_add, modulate};

use crate::config::LamConfig;

/// Epsilon of the norms without parameters.
const EPS: f64 = 1e-6;

/// One block. With `LN` a layer norm without parameters and six learned vectors:
///
/// ```text
/// y += gate1 * Space(LN(y) (1 + scale1) + shift1)     within a frame
/// y += gate1 * Time(y [+ frame positions])            across frames; no norm before it, the same gate
/// y += gate2 * MLP(LN(y) (1 + scale2) + shift2)       D -> 4D -> D
/// ```
///
/// The un-normalised time branch and its shared gate come with villa-X, which has them from the first Open-Sora.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    table: Tensor,
    space: SelfAttention,
    time: SelfAttention,
    mlp: Mlp,
}

impl Block {
    /// Parameters `scale_shift_table` `(6, D)`, `attn`, `attn_temp`, `mlp`.
    pub(crate) fn new(config: &LamConfig, vb: VarBuilder) -> Result<Self> {
        let dim = config.dim;
        let attention = |causal: bool, name: &str| {
            let shape = SelfAttentionConfig { dim, heads: config.heads, causal, silent: false };
            SelfAttention::new(&shape, HeadNorm::layer, None, vb.pp(name))
        };
        let init = Init::Randn { mean: 0.0, stdev: (dim as f64).powf(-0.5) };
        Ok(Self {
            table: vb.get_with_hints((6, dim), "scale_shift_table", init)?,
            space: attention(false, "attn")?,
            time: attention(config.causal, "attn_temp")?,
            mlp: Mlp::new(dim, 4 * dim, vb.pp("mlp"))?,
        })
    }

    /// `y` is `(B·T, N, D)` with `frames` = T; `positions` `(T, D)` are added to the input of the time branch only.
    pub(crate) fn forward(&self, y: &Tensor, frames: usize, positions: Option<&Tensor>) -> Result<Tensor> {
        let (rows, patches, dim) = y.dims3()?;
        let clips = rows / frames;
        let row = |index: usize| self.table.narrow(0, index, 1);
        let (gate1, gate2) = (row(2)?, row(5)?);

        let y = gate_add(y, &gate1, &self.space.forward(&modulate(y, &row(0)?, &row(1)?, EPS)?)?)?;

        let along_time = y.reshape((clips, frames, patches, dim))?;
        let along_time = match positions {
            Some(positions) => add_rows(&along_time, &positions.unsqueeze(1)?)?,
            None => along_time,
        };
        let branch = self.time.forward_across(&along_time)?.reshape((rows, patches, dim))?;
        let y = gate_add(&y, &gate1, &branch)?;

        gate_add(&y, &gate2, &self.mlp.forward(&modulate(&y, &row(3)?, &row(4)?, EPS)?)?)
    }
}
