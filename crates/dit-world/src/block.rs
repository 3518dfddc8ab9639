//! One transformer block, over space or over time.

use candle_core::{Result, Tensor};
use candle_nn::init::Init;
use candle_nn::var_builder::VarBuilder;
use cola_nn::{HeadNorm, Mlp, Rope, SelfAttention, SelfAttentionConfig, gate_add, modulate};

use crate::modulation::Modulation;

/// Layer norm epsilon of the whole model.
pub(crate) const EPS: f64 = 1e-6;

/// What a block attends over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// The tokens of one frame.
    Space,
    /// The frames of one token position, each seeing itself and the earlier ones; with rotary positions.
    Time,
}

/// `x + gate1 attn(modulate(x))`, then `x + gate2 mlp(modulate(x))` (STDiT3 block without cross-attention).
#[derive(Clone, Debug)]
pub struct DitBlock {
    table: Tensor,
    attention: SelfAttention,
    mlp: Mlp,
    axis: Axis,
}

impl DitBlock {
    /// Parameters `scale_shift_table`, `attn.*`, `mlp.*`. A fresh temporal block starts as the identity, as in the
    /// reference: the last layers of both branches are zero.
    ///
    /// # Errors
    /// Heads that do not divide the width, a stored parameter of another shape.
    pub fn new(
        hidden: usize,
        heads: usize,
        mlp_ratio: usize,
        axis: Axis,
        rope: Option<Rope>,
        vb: VarBuilder,
    ) -> Result<Self> {
        let init = Init::Randn { mean: 0.0, stdev: (hidden as f64).powf(-0.5) };
        let time = axis == Axis::Time;
        let attention = SelfAttentionConfig { dim: hidden, heads, causal: time, silent: time };
        let mlp = if time { Mlp::silent } else { Mlp::new };
        Ok(Self {
            table: vb.get_with_hints((6, hidden), "scale_shift_table", init)?,
            attention: SelfAttention::new(&attention, HeadNorm::rms, rope, vb.pp("attn"))?,
            mlp: mlp(hidden, hidden * mlp_ratio, vb.pp("mlp"))?,
            axis,
        })
    }

    /// Tokens `(B, T, S, D)` to the same shape.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn forward(&self, x: &Tensor, modulation: &Modulation) -> Result<Tensor> {
        let [shift1, scale1, gate1, shift2, scale2, gate2] = modulation.split(&self.table)?;
        let attended = self.attend(&modulate(x, &shift1, &scale1, EPS)?)?;
        let x = gate_add(x, &gate1, &attended)?;
        let fed = self.mlp.forward(&modulate(&x, &shift2, &scale2, EPS)?)?;
        gate_add(&x, &gate2, &fed)
    }

    fn attend(&self, x: &Tensor) -> Result<Tensor> {
        match self.axis {
            Axis::Space => self.attention.forward(x),
            Axis::Time => self.attention.forward_across(x),
        }
    }
}
