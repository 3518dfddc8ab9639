//! One transformer block, over space or over time.

use candle_core::{Result, Tensor};
use candle_nn::init::Init;
use candle_nn::var_builder::VarBuilder;
use cola_nn::{HeadNorm, Mlp, Rope, SelfAttention, SelfAttentionConfig, gate_add, modulate};

use crate::config::DitConfig;
use crate::modulation::Modulation;
use crate::text::{CrossAttention, Text};

/// Layer norm epsilon of the whole model.
pub(crate) const EPS: f64 = 1e-6;

/// What a block attends over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// The tokens of one frame.
    Space,
    /// The frames of one token position, in a causal model each seeing itself and the earlier ones; with rotary positions.
    Time,
}

/// `x + gate1 attn(modulate(x))`, in the reference form `x + cross_attn(x, text)` with neither norm nor gate, then
/// `x + gate2 mlp(modulate(x))` (`STDiT3Block`).
#[derive(Clone, Debug)]
pub struct DitBlock {
    table: Tensor,
    attention: SelfAttention,
    cross: Option<CrossAttention>,
    mlp: Mlp,
    axis: Axis,
}

impl DitBlock {
    /// Parameters `scale_shift_table`, `attn.*`, `cross_attn.*` if the configuration has text, `mlp.*`. A fresh temporal
    /// block starts as the identity, as in the reference: the last layers of all branches are zero.
    ///
    /// # Errors
    /// Heads that do not divide the width, a stored parameter of another shape.
    pub fn new(config: &DitConfig, axis: Axis, rope: Option<Rope>, vb: VarBuilder) -> Result<Self> {
        let (hidden, heads) = (config.hidden_size, config.num_heads);
        let init = Init::Randn { mean: 0.0, stdev: (hidden as f64).powf(-0.5) };
        let time = axis == Axis::Time;
        let attention =
            SelfAttentionConfig { dim: hidden, heads, causal: time && config.causal, silent: time };
        let norm: fn(usize, VarBuilder) -> Result<HeadNorm> =
            if config.qk_norm { HeadNorm::rms } else { |_, _| Ok(HeadNorm::Identity) };
        let mlp = if time { Mlp::silent } else { Mlp::new };
        Ok(Self {
            table: vb.get_with_hints((6, hidden), "scale_shift_table", init)?,
            attention: SelfAttention::new(&attention, norm, rope, vb.pp("attn"))?,
            cross: match config.text {
                Some(_) => Some(CrossAttention::new(hidden, heads, time, vb.pp("cross_attn"))?),
                None => None,
            },
            mlp: mlp(hidden, hidden * config.mlp_ratio, vb.pp("mlp"))?,
            axis,
        })
    }

    /// Tokens `(B, T, S, D)` to the same shape. Text is for the reference form, and needed there.
    ///
    /// # Errors
    /// Text for a block without cross-attention, none for one with it; tensor arithmetic.
    pub fn forward(&self, x: &Tensor, modulation: &Modulation, text: Option<&Text>) -> Result<Tensor> {
        let attend = |x: &Tensor| match self.axis {
            Axis::Space => self.attention.forward(x),
            Axis::Time => self.attention.forward_across(x),
        };
        self.around(x, modulation, text, attend)
    }

    /// [`DitBlock::forward`] of a causal block over time for frames behind `past`, and the keys and values of all frames;
    /// see [`SelfAttention::forward_behind`].
    pub(crate) fn forward_behind(
        &self,
        x: &Tensor,
        modulation: &Modulation,
        text: Option<&Text>,
        past: Option<&Tensor>,
    ) -> Result<(Tensor, Tensor)> {
        let mut seen = None;
        let x = self.around(x, modulation, text, |x| {
            let (y, keys_values) = self.attention.forward_behind(x, past)?;
            seen = Some(keys_values);
            Ok(y)
        })?;
        match seen {
            Some(keys_values) => Ok((x, keys_values)),
            None => candle_core::bail!("a block without attention remembers nothing"),
        }
    }

    /// Everything but the self-attention.
    fn around(
        &self,
        x: &Tensor,
        modulation: &Modulation,
        text: Option<&Text>,
        attend: impl FnOnce(&Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let [shift1, scale1, gate1, shift2, scale2, gate2] = modulation.split(&self.table)?;
        let x = gate_add(x, &gate1, &attend(&modulate(x, &shift1, &scale1, EPS)?)?)?;
        let x = match (&self.cross, text) {
            (Some(cross), Some(text)) => (&x + cross.forward(&x, text)?)?,
            (None, None) => x,
            (Some(_), None) => candle_core::bail!("the reference form of the model needs captions"),
            (None, Some(_)) => candle_core::bail!("the paper form of the model takes no captions"),
        };
        let fed = self.mlp.forward(&modulate(&x, &shift2, &scale2, EPS)?)?;
        gate_add(&x, &gate2, &fed)
    }
}
