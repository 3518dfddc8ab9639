//! The block of both transformers.

use candle_core::{Result, Tensor};
use candle_nn::var_builder::VarBuilder;
use cola_nn::{LayerNorm, Mlp, Rope, SelfAttention, SelfAttentionConfig};

use super::PromptConfig;

/// Epsilon of every norm here.
pub(super) const EPS: f64 = 1e-5;

/// How tokens of one place see each other across frames.
#[derive(Clone, Debug)]
pub(super) struct TimeAttention {
    /// A frame sees no later one.
    pub(super) causal: bool,
    /// Rotary positions; without them only the causal mask tells frames apart.
    pub(super) rope: Option<Rope>,
}

/// `y += Space(LN(y))` within a frame, `y += Time(LN(y))` across frames (encoder only), `y += MLP(LN(y))` with the exact
/// GELU. Every norm has parameters of its own.
#[derive(Clone, Debug)]
pub(super) struct Block {
    space: (LayerNorm, SelfAttention),
    time: Option<(LayerNorm, SelfAttention)>,
    mlp: (LayerNorm, Mlp),
}

impl Block {
    /// Parameters `norm1`, `spatial_attn`, `ffn.0`, `ffn.3`; with time attention `norm2`, `temporal_attn` and the
    /// feed-forward layer's `norm3`, without it the latter is `norm2`.
    pub(super) fn new(config: &PromptConfig, time: Option<&TimeAttention>, vb: VarBuilder) -> Result<Self> {
        let dim = config.dim;
        let norm = |name: &str| LayerNorm::new(dim, EPS, vb.pp(name));
        let attention = |causal: bool, rope: Option<Rope>, name: &str| {
            let shape = SelfAttentionConfig { dim, heads: config.heads, causal, silent: false };
            SelfAttention::plain(&shape, rope, vb.pp(name))
        };
        let last = if time.is_some() { "norm3" } else { "norm2" };
        Ok(Self {
            space: (norm("norm1")?, attention(false, None, "spatial_attn")?),
            time: match time {
                Some(TimeAttention { causal, rope }) => {
                    Some((norm("norm2")?, attention(*causal, rope.clone(), "temporal_attn")?))
                }
                None => None,
            },
            mlp: (norm(last)?, Mlp::exact(dim, 4 * dim, vb.pp("ffn.0"), vb.pp("ffn.3"))?),
        })
    }

    /// `(B, T, L, D)` to the same shape.
    pub(super) fn forward(&self, y: &Tensor) -> Result<Tensor> {
        let (norm, space) = &self.space;
        let mut y = (y + space.forward(&norm.forward(y)?)?)?;
        if let Some((norm, time)) = &self.time {
            y = (&y + time.forward_across(&norm.forward(&y)?)?)?;
        }
        let (norm, mlp) = &self.mlp;
        &y + mlp.forward(&norm.forward(&y)?)?
    }
}
